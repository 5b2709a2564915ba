//! The keeper: writes what the shards hand out for a checkpoint, and what changed of the control
//! state, and makes it count once the journal is durable up to it. `Keeper` has no thread; `run`
//! drives it on one.

use crate::canary::{Bug, planted};
use crate::journal::checkpoint::{Commit, Mark, Writer};
use crate::journal::{JournalError, Log, Tables};
use crate::ledger::control::{Control, Made};
use crate::ledger::event::{BatchEvent, WindowEvent};
use crate::ledger::{Event, ShardPage};
use crate::limits::{CHECKPOINT_WORK, CHECKPOINT_WORK_WINDOW, COPY_ROWS, COPY_ROWS_BYTES};
use crate::types::Lsn;
use crossbeam::channel::Receiver;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// A page of one shard. The mark comes with a shard's first.
pub(super) struct Saved {
    pub mark: Mark,
    pub page: ShardPage,
    /// It is the shard's last of this checkpoint.
    pub last: bool,
}

/// Where checkpoints stand: shared by whoever begins, writes and reports them.
pub struct Progress {
    idle: AtomicBool,
    done: AtomicU64,
    last: Mutex<Option<Commit>>,
    entries_least: u64,
}

/// So many entries (channels, answers) may stand in segments beside the first before everything is
/// written anew: as many as the first has, so that writing stays in proportion, but at least a page
/// or two.
pub(super) const ENTRIES_LEAST: u64 = 4_096;

impl Progress {
    /// After the checkpoint that the start found. `entries_least` is `ENTRIES_LEAST`, or what a
    /// test with few channels has in its place.
    pub(super) fn new(last: Option<Commit>, entries_least: u64) -> Self {
        let (idle, done) = (AtomicBool::new(true), AtomicU64::new(0));
        Self { idle, done, last: Mutex::new(last), entries_least }
    }

    /// Begins the next one unless one is under way. Whether it must hold everything.
    pub(super) fn begin(&self) -> Option<bool> {
        if !self.idle.swap(false, Ordering::AcqRel) {
            return None;
        }
        Some(match self.last() {
            None => true,
            Some(last) => {
                let beside = last.entries - last.entries_first;
                beside > last.entries_first.max(self.entries_least)
            }
        })
    }

    /// The last one that counts.
    #[must_use]
    pub fn last(&self) -> Option<Commit> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last one that counts holds what this record did: a start does it no more.
    #[must_use]
    pub fn holds(&self, record: Lsn) -> bool {
        planted(Bug::OwedLeavesEarly) || self.last().is_some_and(|last| record <= last.tail.lsn)
    }

    /// The last record that the last one holds: no start reads events up to it.
    #[must_use]
    pub fn reached(&self) -> Lsn {
        if planted(Bug::EventsLeaveEarly) {
            return Lsn(u64::MAX);
        }
        self.last().map_or(Lsn(0), |last| last.tail.lsn)
    }

    /// How many were made since the start.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }
}

/// What a start would have to do again if the engine died now: what was journaled since the last
/// checkpoint began, by this process or, where a start replayed it, by those before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Since {
    bytes: u64,
    /// In legs: what records cost at a start beside their bytes, since windows are sealed and
    /// batches computed again.
    work: u64,
}

impl Since {
    /// Counts the bytes of records.
    pub fn add_bytes(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).expect("a length fits 64 bits");
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts what a start has to do for an event.
    pub fn add_event(&mut self, event: &Event, made: &Made) {
        let windows = match event {
            Event::Window(WindowEvent::Sealed(_)) => 1,
            Event::Batch(BatchEvent::Computed(e)) => {
                u64::try_from(e.windows.len()).expect("windows are limited")
            }
            Event::Window(
                WindowEvent::Cut(_)
                | WindowEvent::Disputed(_)
                | WindowEvent::DisputeEnded(_)
                | WindowEvent::Archived(_),
            )
            | Event::Batch(BatchEvent::Approved(_) | BatchEvent::Aborted(_))
            | Event::Registry(_)
            | Event::Budget(_)
            | Event::Access(_)
            | Event::Endpoint(_)
            | Event::Eyes(_)
            | Event::Key(_)
            | Event::Leg(_)
            | Event::Trouble(_)
            | Event::Hold(_) => 0,
        };
        let legs = match made {
            Made::Nothing => 0,
            Made::Batch(head) => head.leg_count,
        };
        self.work = self.work.saturating_add(windows * CHECKPOINT_WORK_WINDOW + legs);
    }

    /// Whether it is time for a checkpoint.
    pub fn is_due(&self, checkpoint_bytes: u64) -> bool {
        self.bytes >= checkpoint_bytes || self.work >= CHECKPOINT_WORK
    }

    /// Makes it time, whatever the setting.
    pub fn make_due(&mut self) {
        self.bytes = u64::MAX;
    }
}

/// Writes checkpoints, one after the other.
pub(super) struct Keeper {
    log: Arc<dyn Log>,
    tables: Arc<dyn Tables>,
    progress: Arc<Progress>,
    control: Arc<RwLock<Control>>,
    shards: usize,
    writing: Option<Writing>,
}

/// A checkpoint that is written.
struct Writing {
    writer: Writer,
    /// The record that it is as of.
    lsn: Lsn,
    /// Shards that have not handed out their last page.
    shards: usize,
    /// The last row of the control state was written.
    rows: bool,
}

impl Keeper {
    pub fn new(
        log: Arc<dyn Log>,
        (control, tables): (Arc<RwLock<Control>>, Arc<dyn Tables>),
        progress: Arc<Progress>,
        shards: usize,
    ) -> Self {
        Self { log, tables, progress, control, shards, writing: None }
    }

    /// Takes a page of a shard.
    pub fn page(&mut self, saved: &Saved) -> Result<(), JournalError> {
        let mut writing = match self.writing.take() {
            Some(writing) => writing,
            None => {
                let (before, lsn) = (self.progress.last(), saved.mark.tail.lsn);
                let writer = Writer::begin(&*self.tables, before, &saved.mark)?;
                Writing { writer, lsn, shards: self.shards, rows: false }
            }
        };
        writing.writer.add(&*self.tables, &saved.page)?;
        writing.shards -= usize::from(saved.last);
        self.writing = Some(writing);
        Ok(())
    }

    /// Whether the pages of all shards are written, and rows of the control state are not.
    pub fn has_rows(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.shards == 0 && !writing.rows)
    }

    /// Writes some rows of the control state. The lock is held while they are copied, not while
    /// they are written.
    pub fn rows(&mut self) -> Result<(), JournalError> {
        let writing = self.writing.as_mut().expect("a checkpoint is written");
        let some = {
            let mut control = self.control.write().unwrap_or_else(PoisonError::into_inner);
            control.save_some(COPY_ROWS, COPY_ROWS_BYTES)
        };
        let (changes, last) = some.expect("a picture was begun at the mark");
        writing.rows = last;
        writing.writer.add_rows(&*self.tables, changes)
    }

    /// Once all is written, the record that must be durable before `commit`.
    pub fn written(&self) -> Option<Lsn> {
        let writing = self.writing.as_ref()?;
        (writing.shards == 0 && writing.rows).then_some(writing.lsn)
    }

    /// Makes the checkpoint count, then lets go of the records that it holds.
    pub fn commit(&mut self) -> Result<Commit, JournalError> {
        assert!(self.written().is_some(), "all of the checkpoint is written");
        let writing = self.writing.take().expect("a checkpoint is written");
        let commit = writing.writer.commit(&*self.tables)?;
        let gone = {
            let mut control = self.control.write().unwrap_or_else(PoisonError::into_inner);
            control.let_go()
        };
        drop(gone);
        self.log.trim(commit.tail.lsn)?;
        *self.progress.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit);
        self.progress.done.fetch_add(1, Ordering::AcqRel);
        self.progress.idle.store(true, Ordering::Release);
        Ok(commit)
    }
}

/// Works until the shards are gone. A failed write stops the process: what is in the tables is
/// unknown then, and the next start goes by the last checkpoint that counts.
pub(super) fn run(mut keeper: Keeper, pages: &Receiver<Saved>, durable: &watch::Receiver<Lsn>) {
    let mut durable = durable.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without IO needs nothing of the system");
    for saved in pages {
        let mut kept = keeper.page(&saved);
        while kept.is_ok() && keeper.has_rows() {
            kept = keeper.rows();
        }
        kept.unwrap_or_else(|error| super::commit::stop(&error));
        let Some(lsn) = keeper.written() else { continue };
        let reached = durable.wait_for(|reached| *reached >= lsn);
        if runtime.block_on(reached).is_err() {
            return;
        }
        let commit = keeper.commit().unwrap_or_else(|error| super::commit::stop(&error));
        tracing::info!(
            lsn = commit.tail.lsn.0,
            segment = commit.segment,
            everything = commit.first == commit.segment,
            "checkpoint"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::WindowSealed;
    use crate::types::{Digest, SignerKey, WindowNumber};

    /// A quiet deployment that closes a window a minute writes little: without this it replayed,
    /// and sealed again, some hundred thousand windows before its first checkpoint.
    #[test]
    fn windows_make_a_checkpoint_due_however_little_is_in_them() {
        let sealed = WindowSealed {
            window: WindowNumber(1),
            root: Digest::ZERO,
            credited: 0,
            assets: Vec::new(),
            key: SignerKey::ZERO,
            signature: [0; 64],
        };
        let (mut since, event) = (Since::default(), Event::from(sealed));
        let windows = CHECKPOINT_WORK / CHECKPOINT_WORK_WINDOW;
        for window in 1..=windows {
            assert!(!since.is_due(u64::MAX), "after {window} windows");
            since.add_event(&event, &Made::Nothing);
        }
        assert!(since.is_due(u64::MAX));
        let mut since = Since::default();
        since.add_bytes(1 << 20);
        assert!(since.is_due(1 << 20) && !since.is_due((1 << 20) + 1));
    }
}
