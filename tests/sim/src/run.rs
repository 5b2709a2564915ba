//! One run: what happens next, drawn from one seed, until it ends or something is wrong. Owns the
//! choice of every step, deaths and starts; what a step must lead to is checked where it is done.

use crate::action::{ACTIONS, Action};
use crate::calling::Looked;
use crate::calls;
use crate::check::{self, Checked, same};
use crate::clients::{Clients, by};
use crate::clock::Clocks;
use crate::dice::Dice;
use crate::disk::{Boundary, Disk};
use crate::life::{Halt, Heard, Life, Owner};
use crate::model::Model;
use crate::paying::Job;
use crate::sealer::Step;
use crate::settled;
use crate::task::{self, Call, Doing, Task};
use crate::world::{BEGIN, Sent, World};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use tallystick::ledger::{Command, Wish};
use tallystick::pipeline::StepOptions;
use tallystick::settle::CreateBatch;
use tallystick::types::{BatchId, SignerKey, WindowNumber};
use tallystick::verify::Verifier;
use tempfile::TempDir;

/// What was done in a run.
#[derive(Debug, Default, Clone)]
#[allow(missing_docs)]
pub struct Figures {
    pub operations: u64,
    pub steps: u64,
    pub vouchers: u64,
    pub crashes: u64,
    pub starts: u64,
    pub windows: u64,
    pub batches: u64,
    pub checkpoints: u64,
    pub boundaries: BTreeSet<Boundary>,
    pub words: BTreeMap<String, u64>,
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.steps += other.steps;
        self.vouchers += other.vouchers;
        self.crashes += other.crashes;
        self.starts += other.starts;
        self.windows += other.windows;
        self.batches += other.batches;
        self.checkpoints += other.checkpoints;
        self.boundaries.extend(&other.boundaries);
        for (word, times) in &other.words {
            *self.words.entry(word.clone()).or_default() += times;
        }
    }
}

/// What nobody was told of before the engine died.
pub(crate) enum Unheard {
    Frame(Vec<Rc<Sent>>),
    Commands(Vec<Command>),
    Batch(CreateBatch),
}

/// A run of one seed.
pub struct Run<'a> {
    pub(crate) dice: Dice,
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) disk: Disk,
    pub(crate) heard: Heard,
    pub(crate) figures: Figures,
    pub(crate) clients: Clients,
    pub(crate) clocks: Clocks,
    pub(crate) life: Option<Life>,
    pub(crate) unheard: Vec<Unheard>,
    pub(crate) verifier: &'a Arc<Verifier>,
    pub(crate) options: StepOptions,
    /// Starts so far.
    pub(crate) epoch: u32,
    /// The time of the first record, from the first start on that may have written it.
    pub(crate) born: Option<i64>,
    /// Every secret that the engine ever signed with, by its public half.
    pub(crate) secrets: BTreeMap<SignerKey, [u8; 32]>,
    /// Files that were made and could not be moved yet: batch and submission. They outlive a crash.
    pub(crate) staged: BTreeSet<(BatchId, u32)>,
    /// Files that were carried away, or taken out of the outbox again.
    pub(crate) gone: BTreeSet<(BatchId, u32)>,
    /// The archives of windows. They outlive a crash.
    pub(crate) archives: BTreeMap<WindowNumber, Vec<u8>>,
    /// Where they lie as files.
    pub(crate) shelf: TempDir,
    weights: Vec<u32>,
    /// How often a life is ended by the disk, in percent.
    pub(crate) fuses: u64,
    /// The look-up under way.
    pub(crate) looked: Option<Looked>,
    tasks: u64,
    trace: bool,
    /// What was brought to be paid.
    pub(crate) jobs: Vec<Job>,
    /// What comes again of what was under way when the process died, the last one first.
    pub(crate) died_paying: Vec<Job>,
}

impl<'a> Run<'a> {
    /// Before anything happens. `trace`: every step is told on standard error.
    #[must_use]
    pub fn new(seed: u64, verifier: &'a Arc<Verifier>, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        let world = World::new(&mut dice);
        let model = Model::new(world.assets.clone(), world.lifetime, world.network);
        let disk = Disk::new(dice.split());
        let options = StepOptions {
            checkpoint_bytes: *dice.pick(&[1 << 10, 5_000, 20_000, u64::MAX]),
            entries_least: *dice.pick(&[1, 20, 4_096]),
            known_totals: *dice.pick(&[1, 7, 256]),
        };
        let clients = Clients::new(&mut dice);
        let weights = ACTIONS.map(|(_, weight)| weight * *dice.pick(&[0, 1, 1, 1, 1, 3]));
        let mut run = Self {
            clients,
            world,
            model,
            disk,
            heard: Heard::default(),
            figures: Figures::default(),
            clocks: Clocks { wall: BEGIN, monotonic: dice.below(1 << 40) },
            life: None,
            unheard: Vec::new(),
            verifier,
            options,
            epoch: 0,
            born: None,
            secrets: BTreeMap::new(),
            archives: BTreeMap::new(),
            shelf: tempfile::tempdir().expect("a temporary folder"),
            staged: BTreeSet::new(),
            gone: BTreeSet::new(),
            weights: weights.to_vec(),
            fuses: *dice.pick(&[0, 50, 80, 95]),
            looked: None,
            tasks: 0,
            trace,
            jobs: Vec::new(),
            died_paying: Vec::new(),
            dice,
        };
        // Without these nothing ever happens.
        for (place, (action, weight)) in ACTIONS.iter().enumerate() {
            let needed = [
                Action::Frame,
                Action::Again,
                Action::Check,
                Action::TakeFrame,
                Action::TakeAsk,
                Action::HandOn,
                Action::Append,
                Action::Apply,
            ];
            if needed.contains(action) {
                run.weights[place] = run.weights[place].max(*weight / 2);
            }
        }
        run
    }

    pub(crate) fn tell(&self, what: impl Fn() -> String) {
        if self.trace {
            eprintln!("{:>6} {}", self.figures.steps, what());
        }
    }

    /// So many steps from the first start on.
    ///
    /// # Errors
    /// What was wrong.
    pub fn steps(&mut self, steps: u64) -> Result<(), String> {
        self.start()?;
        let founding = self.clients.founding(&mut self.dice, &self.world);
        let asked = self.ask_plain(founding);
        self.or_die(asked)?;
        if self.dice.percent(80) {
            let settled = self.settle();
            self.or_die(settled)?;
        }
        for _ in 0..steps {
            self.figures.steps += 1;
            let passing = *self.dice.pick(&[1, 50, 1_000, 300_000]);
            self.clocks.pass(passing);
            let action = ACTIONS[self.dice.weighted(&self.weights)].0;
            let acted = self.act(action);
            self.or_die(acted)?;
        }
        Ok(())
    }

    /// Where the process died, the next one is started.
    fn or_die(&mut self, step: Result<(), Halt>) -> Result<(), String> {
        match step {
            Ok(()) => Ok(()),
            Err(Halt::Died) => self.die(),
            Err(Halt::Wrong(what)) => Err(what),
        }
    }

    pub(crate) fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("the engine runs between two steps")
    }

    fn act(&mut self, action: Action) -> Result<(), Halt> {
        match action {
            Action::Frame => {
                let now = self.clocks.wall;
                let frame = self.clients.frame(&mut self.dice, &mut self.world, now);
                self.submit(frame);
            }
            Action::Commands => {
                let state = &self.model.now;
                let commands = self.clients.commands(&mut self.dice, &self.world, state);
                self.ask_plain(commands)?;
            }
            Action::Batch => {
                let ask = self.clients.batch(&mut self.dice, &self.world, &self.model.now);
                self.ask_batch(ask)?;
            }
            Action::Rail => self.rail()?,
            Action::Question => {
                let state = &self.model.now;
                let question = self.clients.question(&mut self.dice, &self.world, state);
                let call = task::question(&self.life().intake, question);
                self.call(call)?;
            }
            Action::Read => {
                let wanted = (self.model.now.applied, self.model.now.windows.len());
                let call = task::read(&self.life().intake, wanted);
                self.call(call)?;
            }
            Action::Rotate => self.rotate()?,
            Action::Pay => self.pay()?,
            Action::Erase => self.erase()?,
            Action::Archive => self.archive()?,
            Action::AskCheckpoint => {
                let life = self.life();
                let asked = life.intake.ask_checkpoint();
                asked.map_err(|busy| Halt::Wrong(busy.to_string()))?;
                life.owners.push_back(Owner::Nobody);
            }
            Action::Again => self.again()?,
            Action::Clock => self.set_clock(),
            Action::Settle => {
                self.settle()?;
                self.compare()?;
            }
            Action::Kill => return Err(Halt::Died),
            Action::Stop => self.stop()?,
            Action::Check
            | Action::TakeFrame
            | Action::TakeAsk
            | Action::HandOn
            | Action::Append
            | Action::Apply
            | Action::Copy
            | Action::Keep
            | Action::Seal
            | Action::Poll => {
                self.work(action)?;
            }
            // Whoever was not answered comes again before long.
            Action::Till => {
                if !self.work(action)? {
                    self.pay_again()?;
                }
            }
        }
        Ok(())
    }

    /// A step of the engine. False when there was nothing to do.
    fn work(&mut self, action: Action) -> Result<bool, Halt> {
        let Self { life, dice, model, world, clocks, heard, disk, figures, .. } = self;
        let life = life.as_mut().expect("the engine runs between two steps");
        let shard = dice.place(life.stepper.shards());
        let worked = match action {
            Action::Check => match life.stepper.chunks_waiting() {
                0 => false,
                waiting => {
                    let first = dice.place(waiting);
                    let count = dice.place(waiting - first) + 1;
                    life.check(model, first..first + count);
                    true
                }
            },
            Action::TakeFrame => life.take_frame(model, *clocks)?,
            Action::TakeAsk => calls::take_ask(life, model, *clocks)?,
            Action::HandOn => life.hand_on(model),
            Action::Append => life.append()?,
            Action::Apply => life.apply(shard, world)?,
            Action::Copy => {
                let limit = *dice.pick(&[1, 1, 2, 5, 100]);
                life.stepper.copy(shard, limit)
            }
            Action::Keep => life.keep()?,
            Action::Seal => seal(life, disk, model, heard, figures)? != Step::Nothing,
            Action::Till => {
                let (first, most) = (dice.below(crate::paying::STEPS), *dice.pick(&[1, 2, 8]));
                let (moves, dies) = (dice.percent(30), dice.percent(8).then(|| dice.below(12)));
                crate::paying::any(life, model, heard, (first, most, moves), dies)?
            }
            Action::Poll => {
                let place = (!life.tasks.is_empty()).then(|| dice.place(life.tasks.len()));
                let batches = &mut figures.batches;
                let polled = match place {
                    Some(place) => calls::poll(life, place, model, heard, batches)?,
                    None => false,
                };
                life.hear(heard)? || polled
            }
            Action::Frame
            | Action::Commands
            | Action::Batch
            | Action::Rail
            | Action::Question
            | Action::Read
            | Action::Rotate
            | Action::Pay
            | Action::Erase
            | Action::Archive
            | Action::AskCheckpoint
            | Action::Again
            | Action::Clock
            | Action::Settle
            | Action::Kill
            | Action::Stop => unreachable!("{action:?} is no work of the engine"),
        };
        if worked {
            self.tell(|| format!("{action:?} (shard {shard} if it is one's)"));
        }
        Ok(worked)
    }

    fn submit(&mut self, frame: Vec<Rc<Sent>>) {
        self.figures.operations += 1;
        self.figures.vouchers += u64::try_from(frame.len()).expect("a length fits 64 bits");
        self.tell(|| format!("a client sends {} vouchers", frame.len()));
        let source = self.dice.place(crate::life::SOURCES);
        self.life().submit(source, frame, None);
    }

    /// Asks for commands; whoever has an own key signs.
    pub(crate) fn ask_commands(&mut self, mut commands: Vec<Command>) -> Result<(), Halt> {
        let Self { world, model, .. } = self;
        commands.iter_mut().for_each(|one| world.operators.signs(one, &model.now));
        self.ask_as_they_are(commands)
    }

    pub(crate) fn ask_as_they_are(&mut self, commands: Vec<Command>) -> Result<(), Halt> {
        let call = task::commands(&self.life().intake, commands, Doing::Nothing);
        self.call(call)
    }

    pub(crate) fn ask_batch(&mut self, ask: CreateBatch) -> Result<(), Halt> {
        let clearing = self.world.clearing.clone();
        let Life { intake, archive, key, .. } = self.life();
        let call = task::batch(intake, archive, key, &clearing, ask);
        self.call(call)
    }

    /// Makes a call: it is polled for the first time at once.
    pub(crate) fn call(&mut self, call: Call) -> Result<(), Halt> {
        self.figures.operations += 1;
        self.tasks += 1;
        self.tell(|| format!("call {}: {}", self.tasks, calls::text(&call)));
        let id = self.tasks;
        let Self { life, model, heard, figures, .. } = self;
        let life = life.as_mut().expect("the engine runs between two steps");
        let place = life.tasks.len();
        life.tasks.push(Task { id, call });
        calls::poll(life, place, model, heard, &mut figures.batches)?;
        Ok(())
    }

    /// One key at a time, as the engine's edge does it.
    fn rotate(&mut self) -> Result<(), Halt> {
        let rotating =
            |task: &Task| matches!(task.call, Call::Commands { doing: Doing::Rotates, .. });
        if self.life().tasks.iter().any(rotating) || self.model.now.keys.is_empty() {
            return Ok(());
        }
        let (secret, network) = (self.dice.bytes32(), self.world.network);
        let request = self.clients.rotation(&mut self.dice);
        let life = self.life();
        let next = life.key.prepare_secret(network, secret);
        let next = next.map_err(|error| Halt::Wrong(error.to_string()))?;
        let (key, proof) = (next.key, next.signature);
        let command = Wish::SetEngineKey { key, proof }.by(by(""), request);
        let call = task::commands(&life.intake, vec![command], Doing::Rotates);
        self.secrets.insert(next.key, secret);
        self.call(call)
    }

    fn again(&mut self) -> Result<(), Halt> {
        if self.unheard.is_empty() {
            return Ok(());
        }
        let place = self.dice.place(self.unheard.len());
        match self.unheard.swap_remove(place) {
            Unheard::Frame(frame) => self.submit(frame),
            Unheard::Commands(commands) => self.ask_commands(commands)?,
            Unheard::Batch(ask) => self.ask_batch(ask)?,
        }
        Ok(())
    }

    /// Finishes everything that is under way.
    pub(crate) fn settle(&mut self) -> Result<(), Halt> {
        self.tell(|| "everything under way is finished".to_owned());
        // A batch that is computed takes some polls in which nothing else moves.
        let mut still = 0;
        while still < 4 {
            still = if self.round()? { 0 } else { still + 1 };
        }
        Ok(self.life().idle()?)
    }

    /// Moves every part as far as it goes. False when none moved.
    fn round(&mut self) -> Result<bool, Halt> {
        let Self { life, model, world, clocks, heard, disk, figures, .. } = self;
        let life = life.as_mut().expect("the engine runs between two steps");
        let mut moved = false;
        let chunks = life.stepper.chunks_waiting();
        life.check(model, 0..chunks);
        while life.take_frame(model, *clocks)? || calls::take_ask(life, model, *clocks)? {
            moved = true;
        }
        while life.hand_on(model) || life.append()? || life.keep()? {
            moved = true;
        }
        for shard in 0..life.stepper.shards() {
            while life.apply(shard, world)? || life.stepper.copy(shard, 100) {
                moved = true;
            }
        }
        while seal(life, disk, model, heard, figures)? != Step::Nothing {
            moved = true;
        }
        moved |= life.hear(heard)?;
        for kind in 0..crate::paying::STEPS {
            while crate::paying::step(life, model, heard, (kind, 8, true))? {
                moved = true;
            }
        }
        for place in (0..life.tasks.len()).rev() {
            moved |= calls::poll(life, place, model, heard, &mut figures.batches)?;
        }
        Ok(moved)
    }

    /// Compares everything. Nothing may be under way.
    pub(crate) fn compare(&mut self) -> Checked {
        let Self { life, model, world, disk, .. } = self;
        let life = life.as_mut().expect("the engine runs between two steps");
        check::control(&life.stepper.control(), &model.now, disk)?;
        settled::conserved(&model.now)?;
        let shards: Vec<_> = (0..life.stepper.shards()).map(|n| life.stepper.shard(n)).collect();
        check::shards(&shards, &model.now, world)?;
        same(|| "the last record".into(), &disk.last().0, &model.now.last.0)
    }

    /// Everything that is durable, and everything that was answered.
    #[must_use]
    pub fn digest(&self) -> blake3::Hash {
        let mut hasher = self.heard.answers.clone();
        self.disk.digest(&mut hasher);
        hasher.finalize()
    }
}

/// The sealer goes one step on.
fn seal(
    life: &mut Life,
    disk: &Disk,
    model: &Model,
    heard: &mut Heard,
    figures: &mut Figures,
) -> Result<Step, Halt> {
    let step = life.sealer.step(&life.intake, &life.key, disk, model, heard)?;
    match step {
        Step::Nothing | Step::Done => {}
        Step::Asked => life.owners.push_back(Owner::Sealer),
        Step::Sealed => figures.windows += 1,
    }
    Ok(step)
}
