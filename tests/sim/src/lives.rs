//! Lives of the engine, one after the other: how it dies, stops and starts, and what must hold
//! whenever it is back.

use crate::calls;
use crate::check::{Checked, ensure, same};
use crate::clock::{DAY, HOUR, Times};
use crate::fold;
use crate::life::{Halt, Life, Owner, died};
use crate::run::{Run, Unheard};
use crate::sealer::Sealer;
use crate::settler;
use crate::task::{Call, Doing};
use tallystick::journal::JournalError;
use tallystick::ledger::{Command, Genesis, Wish};
use tallystick::pipeline::{Recovered, Stepper, recover};
use tallystick::settle::Archive;
use tallystick::sign::EngineKey;
use tallystick::types::Timestamp;
use tallystick::vault::{Vault, VaultError};

impl Run<'_> {
    /// The process is dead: what follows from it, and the next start.
    pub(crate) fn die(&mut self) -> Result<(), String> {
        self.figures.crashes += 1;
        let boundary = self.disk.died();
        self.last_words()?;
        self.end_life();
        let power = self.dice.percent(50);
        self.disk.restart(power);
        self.find_end()?;
        self.tell(|| {
            let last = self.model.now.last.0;
            format!("DIED at {boundary:?}; power lost: {power}; record {last} is the last")
        });
        self.start()
    }

    /// The model goes back to what the disk has.
    fn find_end(&mut self) -> Checked {
        let last = self.disk.last().0;
        if let Some(at) = self.born
            && self.model.now.last.0 == 0
            && last > 0
        {
            self.model.genesis(at);
        }
        let (heard, reached) = (self.heard.lsn, self.model.now.last.0);
        ensure(heard <= last, || {
            format!("record {heard} was answered and is lost; {last} is the last")
        })?;
        ensure(last <= reached, || {
            format!("record {last} is there, and only {reached} were made")
        })?;
        self.model.restart(last);
        self.heard.roots.retain(|_, (cut, _)| *cut <= last);
        Ok(())
    }

    /// What was on its way to clients when the process died still arrives, mostly.
    fn last_words(&mut self) -> Checked {
        if self.dice.percent(20) {
            return Ok(());
        }
        let Self { life: Some(life), model, heard, figures, .. } = self else { return Ok(()) };
        let heard_all = life.hear(heard).and_then(|_| {
            for place in (0..life.tasks.len()).rev() {
                // Computing a batch would write, and so would what follows an erasure or archive.
                let writes = match &life.tasks[place].call {
                    Call::Batch { .. } => true,
                    Call::Commands { doing, .. } => {
                        matches!(doing, Doing::Erases(_) | Doing::Archives(_))
                    }
                    Call::Question { .. } | Call::Read { .. } => false,
                };
                if !writes {
                    calls::poll(life, place, model, heard, &mut figures.batches)?;
                }
            }
            Ok(())
        });
        heard_all.map_err(|halt| match halt {
            Halt::Died => "the process died twice".to_owned(),
            Halt::Wrong(what) => what,
        })
    }

    /// What was under way is gone; whoever waits for an answer will ask again, mostly.
    fn end_life(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        if let Some(till) = life.till.take() {
            self.payments_died(till);
        }
        self.figures.checkpoints += life.intake.checkpoints().done();
        // Who brought a payment brings it again.
        let frames = life.flights.into_values().filter(|flight| flight.paying.is_none());
        let frames = frames.map(|flight| Unheard::Frame(flight.vouchers));
        let calls = life.tasks.into_iter().filter_map(|task| match task.call {
            // The settler looks anew at where the legs stand: what it was about to do may be wrong
            // now.
            Call::Commands { doing: Doing::Nothing, commands, .. }
                if !settler::is_own(&commands) =>
            {
                Some(Unheard::Commands(commands))
            }
            Call::Batch { ask, .. } => Some(Unheard::Batch(ask)),
            Call::Commands { .. } | Call::Question { .. } | Call::Read { .. } => None,
        });
        for unheard in frames.chain(calls) {
            if self.dice.percent(85) {
                self.unheard.push(unheard);
            }
        }
    }

    /// A clock is set, or time passes.
    pub(crate) fn set_clock(&mut self) {
        let steps = [-HOUR, -1_000_000, 1_000_000, 60_000_000, HOUR / 2, HOUR + 1];
        let leaps = [-3 * DAY, -DAY - 1, 2 * DAY, 400 * DAY];
        match self.dice.below(40) {
            // Time passes, which every clock of the machine sees.
            0..10 => self.clocks.pass(900_000_000),
            // Somebody sets it right.
            10..20 => self.clocks.wall = self.model.now.last.1 + 1,
            20 => self.clocks.wall += *self.dice.pick(&leaps),
            21.. => self.clocks.wall += *self.dice.pick(&steps),
        }
        self.tell(|| format!("the clocks are {:?}", self.clocks));
    }

    /// Stops in good order and starts again.
    pub(crate) fn stop(&mut self) -> Result<(), Halt> {
        self.settle()?;
        self.compare()?;
        self.tell(|| "the engine is stopped".to_owned());
        self.restart_in_order(None)
    }

    /// Stops the engine, which stands still, and starts it again.
    pub(crate) fn restart_in_order(&mut self, shards: Option<u16>) -> Result<(), Halt> {
        let life = self.life.take().expect("the engine runs between two steps");
        self.figures.checkpoints += life.intake.checkpoints().done();
        if let Err(error) = life.stepper.stop() {
            return Err(died(&self.disk, &error));
        }
        self.disk.restart(true);
        self.find_end()?;
        Ok(self.start_on(shards)?)
    }

    pub(crate) fn start(&mut self) -> Result<(), String> {
        self.start_on(None)
    }

    /// Starts the engine, as often as it dies on its way.
    fn start_on(&mut self, shards: Option<u16>) -> Result<(), String> {
        loop {
            let chosen = [1, 1, 2, 3, 4, 7, 16];
            let shards = shards.unwrap_or(*self.dice.pick(&chosen));
            let fuse = self.dice.percent(self.fuses).then(|| {
                let most = *self.dice.pick(&[4, 30, 120, 400]);
                self.dice.below(most)
            });
            self.disk.arm(fuse);
            self.disk.may_die(self.fuses > 0);
            self.epoch += 1;
            self.figures.starts += 1;
            let accepted = self.dice.percent(5);
            match self.try_start(shards, accepted) {
                Ok(true) => {
                    self.tell(|| format!("STARTED on {shards} shards, fuse {fuse:?}"));
                    return Ok(());
                }
                // The operator sets the clock, and starts it again.
                Ok(false) => {
                    self.heard.word("ClockRefused".to_owned());
                    self.clocks.wall = self.model.now.last.1 + 60_000_000;
                }
                Err(Halt::Wrong(what)) => return Err(what),
                Err(Halt::Died) => {
                    self.figures.crashes += 1;
                    self.tell(|| format!("DIED in a start at {:?}", self.disk.died()));
                    let power = self.dice.percent(50);
                    self.disk.restart(power);
                    self.find_end()?;
                }
            }
        }
    }

    /// One start. False when the clock cannot be right.
    fn try_start(&mut self, shards: u16, accepted: bool) -> Result<bool, Halt> {
        let (wall, network) = (self.clocks.wall, self.world.network);
        let lifetime_seconds_max = self.world.lifetime;
        let genesis = || (Genesis { network, lifetime_seconds_max }, Timestamp(wall));
        if self.disk.last().0 == 0 {
            self.born = Some(wall);
        }
        let mut journal = self.disk.journal();
        let recovered = recover(&mut journal, self.epoch, shards, genesis);
        let recovered = recovered.map_err(|error| self.not_started(&error))?;
        self.find_end()?;
        same(|| "the end".into(), &recovered.tail().lsn.0, &self.model.now.last.0)?;
        let times = Times::start(self.model.now.last.1, self.clocks, accepted);
        let clock = recovered.clock_at(self.clocks.reading(), accepted);
        let (clock, times) = match (clock, times) {
            (Ok(clock), Some(times)) => (clock, times),
            (Err(_), None) => return Ok(false),
            (found, wanted) => {
                let wanted = wanted.is_some();
                let what = format!("a start with the clock at {wall} is {found:?}, not {wanted}");
                return Err(Halt::Wrong(what));
            }
        };
        let vault = Vault::seeded(journal.tables.clone(), self.world.network.0);
        let finished = vault.finish_all(&|party| recovered.erasures(party));
        match finished {
            Ok(()) => {}
            Err(VaultError::Storage(error)) => return Err(self.not_started(&error)),
            Err(error) => return Err(Halt::Wrong(error.to_string())),
        }
        let key = self.engine_key(&recovered)?;
        let first = recovered.engine_key().is_none();
        let (verifier, options) = (self.verifier.clone(), self.options);
        let (stepper, intake, parts) =
            Stepper::start(recovered, clock, journal, self.epoch, verifier, options);
        let sealer = Sealer::new(parts, shards);
        let archive = Archive::new(&intake, vault, Some(self.shelf.path()));
        let disk = self.disk.clone();
        self.life = Some(Life::new(stepper, intake, archive, sealer, key, times, disk));
        let life = self.life.as_ref().expect("it was just started");
        fold::same(&life.stepper.control(), &self.disk, self.shelf.path())?;
        self.compare()?;
        self.acked_is_present()?;
        self.keys_are_right()?;
        if first {
            self.first_key()?;
        }
        self.open_till().map_err(|error| self.not_started(&error))?;
        Ok(true)
    }

    fn not_started(&self, error: &JournalError) -> Halt {
        match died(&self.disk, error) {
            Halt::Died => Halt::Died,
            Halt::Wrong(_) => Halt::Wrong(format!("the engine does not start: {error}")),
        }
    }

    /// The key that the journal names, which is on disk; or a first one.
    fn engine_key(&mut self, recovered: &Recovered) -> Result<EngineKey, Halt> {
        let secret = match recovered.engine_key() {
            Some(key) => self.secrets.get(&key).copied(),
            None => Some(self.dice.bytes32()),
        };
        let secret = secret.ok_or_else(|| {
            Halt::Wrong(format!("the journal names the key {:?}", recovered.engine_key()))
        })?;
        let key = EngineKey::of_secret(secret);
        self.secrets.insert(key.public(), secret);
        Ok(key)
    }

    /// The start has the first key journaled before anybody is served.
    fn first_key(&mut self) -> Checked {
        let life = self.life();
        let (key, proof) = (life.key.public(), [0; 64]);
        let told = life.intake.tell(Command::own(Wish::SetEngineKey { key, proof }));
        drop(told.map_err(|busy| busy.to_string())?);
        life.owners.push_back(Owner::Nobody);
        Ok(())
    }

    /// What clients were told is there, whatever happened since.
    fn acked_is_present(&self) -> Checked {
        let life = self.life.as_ref().expect("it was just started");
        let count = u16::try_from(life.stepper.shards()).expect("shards are few");
        let now = self.model.now.last.1.div_euclid(1_000_000);
        for (channel, acked) in &self.heard.credited {
            let signer = self.model.now.signers.get(&channel.signer);
            let payer = signer.ok_or_else(|| format!("the signer of {channel:?} is gone"))?.party;
            let shard = life.stepper.shard(usize::from(payer.shard(count)));
            let total = shard.channel(self.world.id(channel)).total.0;
            // What has expired may be forgotten.
            ensure(total >= *acked || channel.expires_at <= now && total == 0, || {
                format!("{acked} of {channel:?} was acked as credited, {total} is there")
            })?;
        }
        Ok(())
    }
}
