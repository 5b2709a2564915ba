//! One life of the engine: from a start to a stop or a death. Owns what is under way in it, and the
//! steps of each part with what must come of them. Which step is next is decided in `run`.

use crate::check::{self, Checked, ensure, same};
use crate::clock::{Clocks, Times};
use crate::disk::Disk;
use crate::model::{self, Model, Verdict};
use crate::paying::{Charged, Sold, Till};
use crate::sealer::Sealer;
use crate::task::Task;
use crate::world::{Channel, Sent, World};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use tallystick::journal::JournalError;
use tallystick::pipeline::{Aim, Answer, Applied, Brought, Feed, Intake, Source, Stepper};
use tallystick::settle::Archive;
use tallystick::sign::EngineKey;
use tallystick::types::{Digest, Lsn, Outcome, PartyId, WindowNumber};
use tokio::sync::oneshot;

/// Sources that frames come from.
pub const SOURCES: usize = 3;

/// Why a step did not end well.
#[derive(Debug)]
pub enum Halt {
    /// The process died, as the disk was told.
    Died,
    /// Something is wrong.
    Wrong(String),
}

impl From<String> for Halt {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// A failed write: the process dies of it, and only the disk's own fuse may cause it.
#[must_use]
pub fn died(disk: &Disk, error: &JournalError) -> Halt {
    match disk.died() {
        Some(_) => Halt::Died,
        None => Halt::Wrong(format!("the storage failed by itself: {error}")),
    }
}

/// A frame under way.
pub struct Flight {
    /// Its vouchers.
    pub vouchers: Vec<Rc<Sent>>,
    verdicts: Vec<Option<Verdict>>,
    /// Of payments: the amounts, whether they are only looked at, and who is told.
    pub paying: Option<Charged>,
    wanted: Option<(u64, Vec<u8>)>,
    answer: oneshot::Receiver<Answer>,
}

/// What tells one operation in the shards from another: a frame's ticket, or an event's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Frame(u64),
    Event(u64),
}

/// What an operation must leave behind in the shards.
#[derive(Default)]
struct Left {
    channels: Vec<(Channel, model::Held)>,
    exposures: Vec<((PartyId, u32), model::Exposure)>,
    shards_done: usize,
}

/// Whose ask is next at the sequencer.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// A call.
    Task(u64),
    /// The sealer.
    Sealer,
    /// Nobody waits for the answer.
    Nobody,
    /// Whoever looks up what became of a payment.
    Teller,
}

/// What clients and operators know for sure, in whatever life they heard it.
#[derive(Default)]
pub struct Heard {
    /// The last record of which anybody was told.
    pub lsn: u64,
    /// The highest total of each channel that was acked as credited.
    pub credited: BTreeMap<Channel, u64>,
    /// The root of each window, with the record of its cut.
    pub roots: BTreeMap<u64, (u64, Digest)>,
    /// Everything that was answered, in the order in which it came.
    pub answers: blake3::Hasher,
    /// What sellers were told of payments.
    pub sold: Sold,
    /// How often each word was the answer: outcomes of vouchers, and what became of commands.
    pub words: BTreeMap<String, u64>,
}

impl Heard {
    /// Counts an answer.
    pub fn word(&mut self, word: String) {
        *self.words.entry(word).or_default() += 1;
    }

    /// Somebody is told of a record: it must be durable by now.
    ///
    /// # Errors
    /// That it is not.
    pub fn told(&mut self, disk: &Disk, lsn: u64, what: impl Fn() -> String) -> Checked {
        let last = disk.last().0;
        ensure(lsn <= last, || {
            format!("{} was answered with record {lsn}, but {last} is the last durable one", what())
        })?;
        self.lsn = self.lsn.max(lsn);
        self.answers.update(what().as_bytes()).update(&lsn.to_le_bytes());
        Ok(())
    }
}

/// The engine while it lives.
pub struct Life {
    /// The pipeline.
    pub stepper: Stepper<Disk>,
    /// The way in.
    pub intake: Intake,
    /// Windows and batches of the past.
    pub archive: Archive,
    /// The engine's key.
    pub key: Arc<EngineKey>,
    /// What the timestamps must be.
    pub times: Times,
    /// Frames under way, by ticket.
    pub flights: BTreeMap<u64, Flight>,
    /// Calls under way.
    pub tasks: Vec<Task>,
    /// Whose asks wait for the sequencer.
    pub owners: VecDeque<Owner>,
    /// The sealer.
    pub sealer: Sealer,
    /// The disk.
    pub disk: Disk,
    /// Clients that send frames, each from a source of its own.
    callers: Vec<Arc<Feed>>,
    /// Frames of each source that have no place yet, in the order in which they were sent.
    unplaced: Vec<VecDeque<u64>>,
    submitted: u64,
    left: BTreeMap<Operation, Left>,
    /// Where payments are brought, once it is open.
    pub till: Option<Till>,
    /// Archived windows, each with a record behind the one that says so.
    pub archived: BTreeMap<WindowNumber, Lsn>,
    /// Totals as they were last seen in a shard.
    seen: BTreeMap<Channel, u64>,
}

impl Life {
    /// Begins.
    #[must_use]
    pub fn new(
        stepper: Stepper<Disk>,
        intake: Intake,
        archive: Archive,
        sealer: Sealer,
        key: EngineKey,
        times: Times,
        disk: Disk,
    ) -> Self {
        let callers = (0..).take(SOURCES).map(|n| Arc::new(intake.feed(Source::Here(n)))).collect();
        Self {
            stepper,
            intake,
            archive,
            key: Arc::new(key),
            times,
            flights: BTreeMap::new(),
            tasks: Vec::new(),
            owners: VecDeque::new(),
            sealer,
            disk,
            callers,
            unplaced: (0..SOURCES).map(|_| VecDeque::new()).collect(),
            submitted: 0,
            left: BTreeMap::new(),
            till: None,
            archived: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A client sends a frame, or the edge one of payments.
    pub fn submit(&mut self, source: usize, vouchers: Vec<Rc<Sent>>, paying: Option<Charged>) {
        let bytes: Vec<u8> = vouchers.iter().flat_map(|sent| sent.packed).collect();
        let singles = vouchers.iter().filter(|sent| !sent.entry).count();
        let brought = Brought::new(bytes.into(), singles);
        let caller = self.callers[source].clone();
        let (count, aim) = (vouchers.len(), paying.as_ref().map_or(Aim::Credit, Charged::aim));
        let answer = crate::task::at_once(async move {
            caller.enter(count).await.map(|entry| entry.submit_as(brought, aim))
        });
        let answer = answer.expect("the engine runs");
        let verdicts = vec![None; vouchers.len()];
        self.unplaced[source].push_back(self.submitted);
        let flight = Flight { vouchers, verdicts, paying, wanted: None, answer };
        self.flights.insert(self.submitted, flight);
        self.submitted += 1;
    }

    /// A verify worker checks the waiting chunks of these places together.
    pub fn check(&mut self, model: &Model, places: Range<usize>) {
        for (ticket, vouchers) in self.stepper.check(places) {
            let flight = self.flights.get_mut(&ticket).expect("it is under way");
            for place in vouchers {
                flight.verdicts[place] = Some(model.verdict(&flight.vouchers[place]));
            }
        }
    }

    /// The sequencer takes a frame. False when none waits.
    ///
    /// # Errors
    /// `Wrong`.
    pub fn take_frame(&mut self, model: &mut Model, clocks: Clocks) -> Result<bool, Halt> {
        let Some(placed) = self.stepper.take_frame(clocks.reading()) else { return Ok(false) };
        let clock = self.times.at(clocks);
        for (ticket, lsn) in placed {
            // Nothing else is promised of the order: each source's frames keep theirs.
            let first = self.unplaced.iter_mut().find(|sent| sent.front() == Some(&ticket));
            let first = first.ok_or_else(|| format!("frame {ticket} overtakes an earlier one"))?;
            first.pop_front();
            self.place(model, ticket, clock, lsn.is_some())?;
        }
        Ok(true)
    }

    /// A frame has its place in the one order: from here on it is known what must come of it.
    fn place(&mut self, model: &mut Model, ticket: u64, clock: i64, has_record: bool) -> Checked {
        let flight = self.flights.get_mut(&ticket).expect("it is under way");
        let amount = |at: usize| flight.paying.as_ref().map(|of| of.amounts[at]);
        let known = flight.vouchers.iter().cloned().zip(&flight.verdicts).zip(0..);
        let known = known.map(|((sent, verdict), at)| Some((sent, (*verdict)?, amount(at))));
        let known = known.collect::<Option<Vec<_>>>();
        let known = known.ok_or_else(|| format!("frame {ticket} is in order and not checked"))?;
        if flight.paying.as_ref().is_some_and(|of| of.is_asked) {
            ensure(!has_record, || format!("frame {ticket} only asks, and has a record"))?;
            flight.wanted = Some((0, model.asked(clock, &known)));
            return Ok(());
        }
        let (lsn, outcomes) = model.frame(clock, known, has_record)?;
        let mut left = Left::default();
        for (sent, outcome) in flight.vouchers.iter().zip(&outcomes) {
            if *outcome == Outcome::Credited.byte() {
                let held = model.now.channels[&sent.channel].clone();
                let owes = (held.payer, sent.channel.asset);
                left.exposures.push((owes, model.now.exposures[&owes]));
                left.channels.push((sent.channel, held));
            }
        }
        flight.wanted = Some((lsn, outcomes));
        self.left.insert(Operation::Frame(ticket), left);
        Ok(())
    }

    /// An event that sets exposures is in the one order.
    pub fn sets(&mut self, lsn: u64, exposures: Vec<((PartyId, u32), model::Exposure)>) {
        let left = Left { exposures, ..Left::default() };
        self.left.insert(Operation::Event(lsn), left);
    }

    /// The sequencer hands on a group. False when it cannot.
    pub fn hand_on(&mut self, model: &mut Model) -> bool {
        let handed = self.stepper.hand_on();
        if handed {
            model.handed_on();
        }
        handed
    }

    /// The journal makes a group durable. False when there is none.
    ///
    /// # Errors
    /// `Died`.
    pub fn append(&mut self) -> Result<bool, Halt> {
        self.stepper.append().map_err(|error| died(&self.disk, &error))
    }

    /// The keeper goes on. False when it cannot.
    ///
    /// # Errors
    /// `Died`.
    pub fn keep(&mut self) -> Result<bool, Halt> {
        self.stepper.keep().map_err(|error| died(&self.disk, &error))
    }

    /// A shard applies one item, and must then hold what that leaves behind. False when it has
    /// none.
    ///
    /// # Errors
    /// `Wrong`.
    pub fn apply(&mut self, shard: usize, world: &World) -> Result<bool, Halt> {
        match self.stepper.apply(shard) {
            None => return Ok(false),
            Some(Applied::Frame(ticket)) => self.applied(Operation::Frame(ticket), shard, world)?,
            Some(Applied::Event(lsn)) => self.applied(Operation::Event(lsn.0), shard, world)?,
            Some(Applied::Question | Applied::Checkpoint) => {}
        }
        Ok(true)
    }

    fn applied(&mut self, operation: Operation, shard: usize, world: &World) -> Checked {
        let Some(left) = self.left.get_mut(&operation) else { return Ok(()) };
        let (number, held) = (shard, self.stepper.shard(shard));
        let count = u16::try_from(self.stepper.shards()).expect("shards are few");
        let own = |party: &PartyId| usize::from(party.shard(count)) == number;
        for (channel, wanted) in left.channels.iter().filter(|(_, held)| own(&held.payer)) {
            check::channel(held, world, channel, wanted)?;
            let (total, seen) = (wanted.newest.cumulative, self.seen.entry(*channel).or_default());
            ensure(*seen <= total, || format!("the total of {channel:?} fell from {seen}"))?;
            *seen = total;
        }
        let credited = !left.channels.is_empty();
        for ((party, asset), wanted) in left.exposures.iter().filter(|((party, _), _)| own(party)) {
            let asset = tallystick::types::AssetNumber(*asset);
            let found = check::exposure(held.exposure(*party, asset));
            same(|| format!("exposure of {party} in {asset}"), &found, wanted)?;
            let model::Exposure { limit, prefund, unsettled } = found;
            ensure(!credited || unsettled <= limit + prefund, || {
                format!("{party} owes {unsettled} in {asset} and may owe {}", limit + prefund)
            })?;
        }
        left.shards_done += 1;
        if left.shards_done == self.stepper.shards() {
            self.left.remove(&operation);
        }
        Ok(())
    }

    /// Clients hear what became of their frames. False when no answer has come.
    ///
    /// # Errors
    /// `Wrong`.
    pub fn hear(&mut self, heard: &mut Heard) -> Result<bool, Halt> {
        let mut answered = Vec::new();
        for (ticket, flight) in &mut self.flights {
            let Ok(Answer { lsn, outcomes, .. }) = flight.answer.try_recv() else { continue };
            let what = || format!("frame {ticket}");
            let wanted = flight.wanted.as_ref();
            let wanted = wanted.ok_or_else(|| format!("{} has no place yet", what()))?;
            same(what, &(lsn.0, outcomes), wanted)?;
            heard.told(&self.disk, lsn.0, what)?;
            heard.answers.update(&wanted.1);
            if let Some(paying) = flight.paying.take() {
                paying.tell(lsn, &wanted.1);
                answered.push(*ticket);
                continue;
            }
            for (sent, outcome) in flight.vouchers.iter().zip(&wanted.1) {
                heard.word(format!("{:?}", Outcome::from_byte(*outcome).expect("a known outcome")));
                if *outcome == Outcome::Credited.byte() {
                    let total = heard.credited.entry(sent.channel).or_default();
                    *total = (*total).max(sent.cumulative);
                }
            }
            answered.push(*ticket);
        }
        answered.iter().for_each(|ticket| drop(self.flights.remove(ticket)));
        Ok(!answered.is_empty())
    }

    /// Whether nothing is under way any more; else what is.
    ///
    /// # Errors
    /// What is under way.
    pub fn idle(&mut self) -> Checked {
        let (chunks, waiting) = (self.stepper.chunks_waiting(), self.stepper.sequencer_waiting());
        let (flights, tasks) = (self.flights.len(), self.tasks.len());
        let (sealing, paying) = (self.sealer.is_busy(), self.till.as_ref().map_or(0, Till::busy));
        let found = (chunks, waiting, flights, tasks, sealing, paying);
        ensure(found == (0, (0, 0), 0, 0, false, 0), || {
            format!(
                "the engine stands still with {chunks} chunks, {waiting:?} frames and asks, \
                 {flights} frames, {tasks} calls and {paying} payments not answered, sealing: {sealing}"
            )
        })
    }
}
