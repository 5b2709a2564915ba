//! The pipeline, on one page: every thread, every queue, every depth.
//!
//! | queue | from -> to | holds | bound |
//! |---|---|---|---|
//! | the fair queue | ingress -> verify workers | each source's frames, taken in chunks of 64 vouchers | `INFLIGHT_*_MAX`, of a source `SOURCE_*_MAX`; full: whoever brings more waits |
//! | `frames` | verify workers -> sequencer | a frame whose chunks are all checked | `INFLIGHT_FRAMES_MAX`; never full, for no more are under way. Workers rest at `DECIDING_VOUCHERS_MAX` checked and not answered |
//! | `asks` | operators, readers -> sequencer | commands, questions | `COMMAND_QUEUE`; full: the caller is told |
//! | `pages` | shards -> keeper | pages of a checkpoint | `PAGE_QUEUE`; full: the shard copies no more of it for a while |
//! | `groups` | sequencer -> journal | the records of one fsync | none: handed over when the journal asks, and growing until then |
//! | `items` | sequencer -> each shard | the same list of items | `GROUP_QUEUE`; full: the sequencer waits |
//! | `parts` | shards -> sealer (in `settle`) | a cut window's obligations | `UNSEALED_WINDOWS_MAX` x shards; never full, since cuts are refused before |
//!
//! | thread | how many | does |
//! |---|---|---|
//! | `verify-N` | `verify_threads` | channel, payer's shard and verdict of each voucher, of all chunks together that are its share of the queue (`check`) |
//! | `sequence` | 1 | the one order: lsn, time, links; the control state (`order`, on the thread of `sequence`) |
//! | `journal` | 1 | one write with fsync a group (`commit`) |
//! | `shard-N` | `shards` | the credit rule (`apply`) |
//! | `keeper` | 1 | writes checkpoints: the shards' pages, and rows of the control state, which it copies (`keep`) |
//!
//! Everything that waits for long waits in the fair queue (`fair`, its rules in `share`), where
//! sources take turns; what is behind it is one line for all, and short. What a shard has credited
//! is `known` to the verify workers, so that what certainly changes nothing costs neither a check
//! nor a record.
//!
//! A frame is answered by whoever is done with it last: journal or shard (`frame`). The way in is
//! `intake`, the way back after a start `recover`. tokio lends its channels to the edge; no thread
//! here runs a task. The pipeline stops when the last `Intake` is dropped: each stage drains its
//! queue and ends, and so the next.
//!
//! `Stepper` is all of this without the threads: whoever holds it moves the stages one step at a
//! time.

mod apply;
mod budgets;
mod check;
mod clock;
mod commit;
mod fair;
mod follow;
mod frame;
mod group;
mod headroom;
mod intake;
mod keep;
mod known;
mod leftover;
mod legs;
mod look;
mod meters;
mod newest;
mod order;
mod queues;
mod recover;
mod replay;
mod seen;
mod sequence;
mod share;
mod space;
mod step;

pub use clock::{Clock, ClockRefused, Reading};
pub use commit::EXIT_ELSEWHERE;
pub use follow::{Beside, Following, Keeping, Next, Stands, follow};
pub use frame::{Aim, Answer, Brought, Counts};
pub use group::{Done, Figures};
pub use intake::{Busy, Entry, Feed, Intake, NotDone};
pub use keep::Progress;
pub use legs::complete as complete_legs;
pub use look::{Vitals, Watch};
pub use meters::{Meters, OUTCOME_BYTES, Way};
pub use recover::{Recovered, recover};
pub use share::Source;
pub use space::Room;
pub use step::{Applied, Asked, StepOptions, Stepper};

use crate::journal::{Journal, JournalError, Log, Tables};
use crate::ledger::SealedPart;
use crate::limits::{
    COMMAND_QUEUE, GROUP_QUEUE, INFLIGHT_FRAMES_MAX, KNOWN_TOTALS, PAGE_QUEUE, UNSEALED_WINDOWS_MAX,
};
use crate::types::{BundleHasher, Lsn, Timestamp};
use crate::verify::Verifier;
use apply::Applier;
use check::Worker;
use crossbeam::channel::{Receiver, Sender, bounded};
use fair::Fair;
use group::Item;
use intake::Inner;
use keep::{Keeper, Saved};
use known::Known;
use order::{Group, Order};
use queues::Queues;
use seen::Seen;
use sequence::Sequencer;
use space::Space;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// The running threads.
pub struct Pipeline<L> {
    workers: Vec<JoinHandle<()>>,
    log: JoinHandle<L>,
    tables: Arc<dyn Tables>,
    sequencer: JoinHandle<crate::journal::Tail>,
}

/// How the pipeline works.
#[derive(Debug, Clone, Copy)]
pub struct PipelineOptions {
    /// Threads that check signatures.
    pub verify_threads: usize,
    /// Bytes of records after which the next checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Free bytes on the disk below which no vouchers are taken.
    pub disk_reserve_bytes: u64,
}

/// Every stage with its ends of the queues, and nothing at work yet: what `start` gives to threads,
/// and `Stepper` moves by hand.
struct Wired<L> {
    workers: Vec<Worker>,
    sequencer: Sequencer,
    log: L,
    groups: Receiver<Group>,
    durable: watch::Sender<Lsn>,
    shards: Vec<(Applier, Receiver<Arc<[Item]>>)>,
    parts: Sender<SealedPart>,
    pages_in: Sender<Saved>,
    pages: Receiver<Saved>,
    keeper: Keeper,
    reached: watch::Receiver<Lsn>,
}

/// What the stages are wired up with.
struct Wiring {
    epoch: u32,
    verifier: Arc<Verifier>,
    options: PipelineOptions,
    /// See `keep::ENTRIES_LEAST`.
    entries_least: u64,
    /// See `KNOWN_TOTALS`.
    known_totals: usize,
    /// Groups that may wait for the journal.
    groups_max: usize,
}

/// Starts the pipeline on a recovered state: its threads, the way in, and the parts of windows that
/// wait to be sealed.
pub fn start<L: Log + 'static>(
    recovered: Recovered,
    clock: Clock,
    journal: Journal<L>,
    epoch: u32,
    verifier: Verifier,
    options: &PipelineOptions,
) -> (Pipeline<L>, Intake, Receiver<SealedPart>) {
    let (verifier, entries_least) = (Arc::new(verifier), keep::ENTRIES_LEAST);
    let (options, known_totals) = (*options, KNOWN_TOTALS);
    let wiring = Wiring { epoch, verifier, options, entries_least, known_totals, groups_max: 0 };
    let tables = journal.tables.clone();
    let (wired, intake, parts_out) = wire(recovered, clock, journal, wiring);
    let Wired { sequencer, log, groups, durable, parts, pages_in, pages, keeper, reached, .. } =
        wired;
    let mut workers = Vec::new();
    for (n, worker) in wired.workers.into_iter().enumerate() {
        workers.push(spawn(format!("verify-{n}"), move || worker.run()));
    }
    for (applier, items) in wired.shards {
        let (parts, pages) = (parts.clone(), pages_in.clone());
        let name = format!("shard-{}", applier.shard().index());
        workers.push(spawn(name, move || apply::run(applier, &items, &parts, &pages)));
    }
    workers.push(spawn("keeper".to_owned(), move || keep::run(keeper, &pages, &reached)));
    let meters = sequencer.meters.clone();
    let log = spawn("journal".to_owned(), move || commit::run(log, &groups, &durable, &meters));
    let sequencer = spawn("sequence".to_owned(), move || sequencer.run());
    (Pipeline { workers, log, tables, sequencer }, intake, parts_out)
}

/// Makes the queues of the table above, and the stages between them.
fn wire<L: Log>(
    recovered: Recovered,
    clock: Clock,
    journal: Journal<L>,
    wiring: Wiring,
) -> (Wired<L>, Intake, Receiver<SealedPart>) {
    let Wiring { epoch, verifier, options, entries_least, known_totals, groups_max } = wiring;
    let PipelineOptions { verify_threads, checkpoint_bytes, disk_reserve_bytes } = options;
    let Recovered { control, shards, keys, hasher, chain, unsealed, checkpoint, since, .. } =
        recovered;
    let Journal { log, tables } = journal;
    let progress = Arc::new(Progress::new(checkpoint, entries_least));
    let count = u16::try_from(shards.len()).expect("shards are bounded");
    let (control, keys) = (Arc::new(RwLock::new(control)), Arc::new(keys));
    let (shared, meters) = ((control.clone(), tables.clone()), Arc::new(Meters::of(&clock)));
    let (fair, known) = (Fair::new(), Known::of_shards(usize::from(count), known_totals));
    let (frames_in, frames) = bounded(INFLIGHT_FRAMES_MAX);
    let ((asks_in, asks), (groups_in, groups)) = (bounded(COMMAND_QUEUE), bounded(groups_max));
    let (pages_in, pages) = bounded(PAGE_QUEUE);
    let (parts, parts_out) = bounded((UNSEALED_WINDOWS_MAX + 1) * usize::from(count));
    let (durable_in, durable) = watch::channel(chain.tail().lsn);
    let (changed_in, changed) = watch::channel(chain.tail().lsn);
    unsealed.into_iter().for_each(|part| parts.send(part).expect("there is room for all"));
    let seen = Arc::<Seen>::default();
    let worker = |_| Worker {
        fair: fair.clone(),
        checked: frames_in.clone(),
        keys: keys.clone(),
        hasher: hasher.clone(),
        bundles: BundleHasher::new(hasher.network()),
        verifier: verifier.clone(),
        known: known.clone(),
        seen: seen.clone(),
        workers: verify_threads,
        meters: meters.clone(),
    };
    let workers = (0..verify_threads).map(worker).collect();
    let applier = |shard| {
        let (items_in, items) = bounded(GROUP_QUEUE);
        (items_in, (Applier::new(shard, known.clone(), meters.clone()), items))
    };
    let (to_shards, shards): (Vec<_>, Vec<_>) = shards.into_iter().map(applier).unzip();
    let queues = Queues::new(&frames_in, asks_in, &to_shards, &pages_in);
    let keeper = Keeper::new(log.shared(), shared.clone(), progress.clone(), usize::from(count));
    let sequencer = Sequencer {
        clock,
        order: Order::new(chain, epoch, shared, progress.clone(), since, checkpoint_bytes),
        keys: keys.clone(),
        frames,
        asks,
        journal: groups_in,
        shards: to_shards,
        changed: changed_in,
        meters: meters.clone(),
    };
    let reached = durable.clone();
    let intake = Intake::new(Inner {
        fair,
        space: Space::new(tables.clone(), disk_reserve_bytes),
        queues,
        control,
        keys,
        hasher,
        verifier,
        verify_threads,
        shards: count,
        meters,
        log: log.shared(),
        tables,
        progress,
        tickets: AtomicU64::new(0),
        durable,
        changed,
    });
    let wired = Wired {
        workers,
        sequencer,
        log,
        groups,
        durable: durable_in,
        shards,
        parts,
        pages_in,
        pages,
        keeper,
        reached,
    };
    (wired, intake, parts_out)
}

impl<L: Log> Pipeline<L> {
    /// Waits until every stage has drained its queue, then remembers where the journal ends, and
    /// gives the journal back. Call it after the last `Intake` was dropped.
    ///
    /// # Errors
    /// The storage's failure to remember.
    pub fn stop(self) -> Result<Journal<L>, JournalError> {
        for worker in self.workers {
            join(worker);
        }
        let tail = join(self.sequencer);
        let log = commit::close(join(self.log), tail)?;
        Ok(Journal { log, tables: self.tables })
    }
}

/// Ends the process for a thread outside the pipeline whose write failed: its fate is unknown.
pub fn stop_at_once(error: &JournalError) -> ! {
    commit::stop(error)
}

/// The time now, for the first record.
#[must_use]
pub fn now() -> Timestamp {
    sequence::clocks().wall
}

fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let thread = std::thread::Builder::new().name(name);
    thread.spawn(work).expect("the system can start a thread")
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
