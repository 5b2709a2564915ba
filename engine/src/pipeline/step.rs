//! The pipeline without its threads, for the simulator: the same stages between the same queues,
//! moved one step at a time by whoever holds it. Owns no rule and no order but that of its caller;
//! never waits, never reads a clock.

use super::apply::Out;
use super::check::{Batch, Chunk, Worker};
use super::clock::{Clock, Reading};
use super::group::{Ask, Item};
use super::keep::Keeper;
use super::meters::Meters;
use super::order::Group;
use super::recover::Recovered;
use super::sequence::Sequencer;
use super::{Applier, Intake, PipelineOptions, Saved, Wired, Wiring, commit};
use crate::journal::{Journal, JournalError, Log, Tables};
use crate::ledger::Command;
use crate::ledger::control::Control;
use crate::ledger::{SealedPart, Shard};
use crate::limits::GROUP_QUEUE;
use crate::types::Lsn;
use crate::verify::Verifier;
use crossbeam::channel::{Receiver, Sender};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;

/// How a `Stepper` works.
#[derive(Debug, Clone, Copy)]
pub struct StepOptions {
    /// Bytes of records after which the next checkpoint is due.
    pub checkpoint_bytes: u64,
    /// Entries of channels beside a checkpoint's first segment after which everything is written
    /// anew.
    pub entries_least: u64,
    /// Channels whose totals verify workers may know.
    pub known_totals: usize,
}

/// The pipeline, standing still between two steps.
pub struct Stepper<L> {
    worker: Worker,
    batch: Batch,
    /// Chunks that wait for their verdicts; any of them may be next.
    chunks: Vec<Chunk>,
    sequencer: Sequencer,
    control: Arc<RwLock<Control>>,
    log: L,
    tables: Arc<dyn Tables>,
    groups: Receiver<Group>,
    durable: watch::Sender<Lsn>,
    shards: Vec<ShardAtWork>,
    parts: Sender<SealedPart>,
    pages_in: Sender<Saved>,
    pages: Receiver<Saved>,
    keeper: Keeper,
    meters: Arc<Meters>,
}

struct ShardAtWork {
    applier: Applier,
    queue: Receiver<Arc<[Item]>>,
    /// The group that it is in, and how far.
    group: Option<(Arc<[Item]>, usize)>,
}

/// What the sequencer was asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// To do these.
    Commands(Vec<Command>),
    /// To put a question to a shard.
    Question,
    /// To begin a checkpoint.
    Checkpoint,
}

/// What a shard applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The frame with this ticket.
    Frame(u64),
    /// The event at this position.
    Event(Lsn),
    /// A question, its own or another shard's.
    Question,
    /// The beginning of a checkpoint.
    Checkpoint,
}

impl<L: Log> Stepper<L> {
    /// On a recovered state, with the way in and the parts of windows that wait to be sealed.
    pub fn start(
        recovered: Recovered,
        clock: Clock,
        journal: Journal<L>,
        epoch: u32,
        verifier: Arc<Verifier>,
        options: StepOptions,
    ) -> (Self, Intake, Receiver<SealedPart>) {
        let StepOptions { checkpoint_bytes, entries_least, known_totals } = options;
        let options =
            PipelineOptions { verify_threads: 1, checkpoint_bytes, disk_reserve_bytes: 0 };
        // Whoever moves the stages hands a group over in two steps; more may lie between them here
        // than between threads.
        let groups_max = GROUP_QUEUE;
        let wiring = Wiring { epoch, verifier, options, entries_least, known_totals, groups_max };
        let tables = journal.tables.clone();
        let (wired, intake, parts_out) = super::wire(recovered, clock, journal, wiring);
        let Wired { sequencer, log, groups, durable, parts, pages_in, pages, keeper, .. } = wired;
        let meters = sequencer.meters.clone();
        let mut workers = wired.workers;
        let worker = workers.pop().expect("one worker was asked for");
        let at_work = |(applier, queue)| ShardAtWork { applier, queue, group: None };
        let stepper = Self {
            worker,
            batch: Batch::default(),
            chunks: Vec::new(),
            control: sequencer.order.control(),
            sequencer,
            log,
            tables,
            groups,
            durable,
            shards: wired.shards.into_iter().map(at_work).collect(),
            parts,
            pages_in,
            pages,
            keeper,
            meters,
        };
        (stepper, intake, parts_out)
    }

    /// How many chunks wait for their verdicts.
    pub fn chunks_waiting(&mut self) -> usize {
        self.worker.fair.drain(&mut self.chunks);
        self.chunks.len()
    }

    /// Checks the waiting chunks of these places together. Says which vouchers of which frames (by
    /// ticket) they are.
    pub fn check(&mut self, places: Range<usize>) -> Vec<(u64, Range<usize>)> {
        self.batch.hand.chunks.clear();
        self.batch.hand.chunks.extend(self.chunks.drain(places));
        let vouchers = |(frame, index): &Chunk| (frame.ticket, frame.places(*index));
        let checked = self.batch.hand.chunks.iter().map(vouchers).collect();
        let open = self.worker.check(&mut self.batch);
        assert!(open, "the sequencer is here");
        checked
    }

    /// How many checked frames and how many asks wait for the sequencer.
    #[must_use]
    pub fn sequencer_waiting(&self) -> (usize, usize) {
        (self.sequencer.frames.len(), self.sequencer.asks.len())
    }

    /// The sequencer takes a frame. Returns which frames have their places by that, by ticket and
    /// with their records: none, while an earlier one of the same source is missing, or several.
    pub fn take_frame(&mut self, reading: Reading) -> Option<Vec<(u64, Option<Lsn>)>> {
        let frame = self.sequencer.frames.try_recv().ok()?;
        Some(self.sequencer.frame(frame, reading))
    }

    /// The sequencer takes an ask.
    pub fn take_ask(&mut self, reading: Reading) -> Option<Asked> {
        let ask = self.sequencer.asks.try_recv().ok()?;
        let asked = match &ask {
            Ask::Commands(commands, _) => Asked::Commands(commands.clone()),
            Ask::Question(_) => Asked::Question,
            Ask::Checkpoint => Asked::Checkpoint,
        };
        self.sequencer.ask(ask, reading);
        Some(asked)
    }

    /// The sequencer hands on the group so far. False when there is none, or no room for it.
    pub fn hand_on(&mut self) -> bool {
        let mut shards = self.sequencer.shards.iter();
        if self.sequencer.journal.is_full() || shards.any(Sender::is_full) {
            return false;
        }
        let Some(group) = self.sequencer.order.group() else { return false };
        let open = self.sequencer.hand_on(group);
        assert!(open, "journal and shards are here");
        true
    }

    /// The journal makes a group durable. False when there is none.
    ///
    /// # Errors
    /// Of the storage; the engine would stop at once.
    pub fn append(&mut self) -> Result<bool, JournalError> {
        let Ok(group) = self.groups.try_recv() else { return Ok(false) };
        commit::commit(&mut self.log, &group, &self.durable, &self.meters)?;
        Ok(true)
    }

    /// A shard applies its next item, if it has one, and if its first page finds room where it is a
    /// checkpoint.
    pub fn apply(&mut self, shard: usize) -> Option<Applied> {
        let at_work = &mut self.shards[shard];
        if at_work.group.is_none() {
            at_work.group = at_work.queue.try_recv().ok().map(|items| (items, 0));
        }
        let (items, next) = at_work.group.take()?;
        let applied = match &items[next] {
            Item::Frame(frame) => Applied::Frame(frame.ticket),
            Item::Event(lsn, _) => Applied::Event(*lsn),
            Item::Question(_) => Applied::Question,
            Item::Checkpoint(_) if self.pages_in.is_full() => {
                at_work.group = Some((items, next));
                return None;
            }
            Item::Checkpoint(_) => Applied::Checkpoint,
        };
        let out = at_work.applier.item(&items[next]);
        at_work.group = (next + 1 < items.len()).then_some((items, next + 1));
        self.hand_out(out);
        Some(applied)
    }

    /// A shard copies up to `limit` more channels of what leaves it. False when nothing leaves.
    pub fn copy(&mut self, shard: usize, limit: usize) -> bool {
        let applier = &mut self.shards[shard].applier;
        if !applier.is_copying() {
            return false;
        }
        let out = applier.copy(limit, !self.pages_in.is_full());
        self.hand_out(out);
        true
    }

    fn hand_out(&self, out: Out) {
        let Out { part, saved } = out;
        part.into_iter().for_each(|part| self.parts.try_send(part).expect("it has its room"));
        saved.into_iter().for_each(|page| self.pages_in.try_send(page).expect("there was room"));
    }

    /// The keeper takes a page, or copies some rows of the control state or, once all are written
    /// and their records durable, makes the checkpoint count. False when it can do none of these.
    ///
    /// # Errors
    /// Of the storage; the engine would stop at once.
    pub fn keep(&mut self) -> Result<bool, JournalError> {
        if self.keeper.has_rows() {
            self.keeper.rows()?;
            return Ok(true);
        }
        if let Some(lsn) = self.keeper.written() {
            if *self.durable.borrow() < lsn {
                return Ok(false);
            }
            self.keeper.commit()?;
            return Ok(true);
        }
        let Ok(saved) = self.pages.try_recv() else { return Ok(false) };
        self.keeper.page(&saved)?;
        Ok(true)
    }

    /// Remembers where the journal ends, as a clean stop does, and gives it back. Every queue must
    /// be empty.
    ///
    /// # Errors
    /// Of the storage.
    pub fn stop(self) -> Result<Journal<L>, JournalError> {
        let idle = self.groups.is_empty() && self.sequencer_waiting() == (0, 0);
        assert!(idle && self.chunks.is_empty(), "a clean stop drains every queue first");
        let log = commit::close(self.log, self.sequencer.order.tail())?;
        Ok(Journal { log, tables: self.tables })
    }

    /// The control state as the sequencer has it.
    pub fn control(&self) -> RwLockReadGuard<'_, Control> {
        self.control.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard as it is.
    #[must_use]
    pub fn shard(&self, shard: usize) -> &Shard {
        self.shards[shard].applier.shard()
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::memory::Memory;
    use crate::ledger::{Caller, Genesis, Request, Wish};
    use crate::pipeline::{Feed, Source, recover};
    use crate::types::{AssetDef, AssetNumber, Digest, NetworkId, SettlementModel, Timestamp};
    use crate::verify::Options;

    const READING: Reading = Reading { wall: Timestamp(1_000_000), monotonic: 0 };

    fn stepper(checkpoint_bytes: u64) -> (Stepper<Memory>, Intake) {
        let mut journal = Memory::journal();
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let recovered = recover(&mut journal, 1, 1, || (genesis, READING.wall)).unwrap();
        let clock = recovered.clock_at(READING, false).unwrap();
        let verifier = Arc::new(Verifier::new(Options::default()).unwrap());
        let options = StepOptions { checkpoint_bytes, entries_least: 1, known_totals: 1 };
        let (stepper, intake, _) = Stepper::start(recovered, clock, journal, 1, verifier, options);
        (stepper, intake)
    }

    fn asset() -> Command {
        let request = Request { id: "r".into(), content: Digest([1; 32]) };
        let (number, model) = (AssetNumber(978), SettlementModel::Bilateral);
        let asset = AssetDef { number, code: "EUR".into(), scale: 2, model };
        Wish::CreateAsset { asset }.by(Caller::grpc(String::new()), request)
    }

    /// Everything that was sent before it was checked and journaled first, whosever it was.
    #[test]
    fn one_voucher_has_its_place_before_another_sources_queue_does() {
        let (mut stepper, intake) = stepper(u64::MAX);
        let (greedy, honest) = (intake.feed(Source::Here(1)), intake.feed(Source::Here(2)));
        let submit = |caller: &Feed, vouchers: usize| {
            // No voucher at all: bytes that are 0xff.
            let frame = vec![0xff; vouchers * crate::types::VOUCHER_BYTES];
            let submitted = std::pin::pin!(caller.submit(bytes::Bytes::from(frame)));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(submitted.poll(&mut context).is_ready(), "there is room");
        };
        (0..4).for_each(|_| submit(&greedy, crate::limits::NEW_SOURCE_VOUCHERS / 4));
        submit(&honest, 1);
        stepper.chunks_waiting();
        let mut placed = Vec::new();
        for _ in 0..8 {
            stepper.check(0..1);
            placed.extend(stepper.take_frame(READING).into_iter().flatten());
        }
        assert_eq!(placed, [(4, None)], "in the time of eight chunks of the other one's 256");
    }

    /// Found by the simulator, seed 7 of its first day: what was asked for made the largest setting
    /// due, and the next group added to it.
    #[test]
    fn a_checkpoint_that_is_asked_for_is_made_whatever_the_setting() {
        for setting in [1, 1 << 30, u64::MAX] {
            let (mut stepper, intake) = stepper(setting);
            intake.ask_checkpoint().unwrap();
            drop(intake.tell(asset()).unwrap());
            while stepper.take_ask(READING).is_some() {}
            assert!(stepper.hand_on() && stepper.append().unwrap());
            while stepper.apply(0).is_some() {}
            while stepper.copy(0, 1) {}
            while stepper.keep().unwrap() {}
            assert_eq!(intake.checkpoints().done(), 1, "with a checkpoint every {setting} bytes");
            stepper.stop().unwrap();
        }
    }
}
