//! The keeper: writes what the shards hand out for a checkpoint, and makes it count once the journal is
//! durable up to it. `Keeper` has no thread; `run` drives it on one.

use crate::journal::checkpoint::{Commit, Mark, Writer};
use crate::journal::{JournalError, Store};
use crate::ledger::ShardPage;
use crate::types::Lsn;
use crossbeam::channel::Receiver;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

/// So many entries of channels may stand in segments beside the first before everything is written
/// anew: as many as the first has, so that writing stays in proportion, but at least a page or two.
pub(super) const ENTRIES_LEAST: u64 = 4_096;

impl Progress {
    /// After the checkpoint that the start found. `entries_least` is `ENTRIES_LEAST`, or what a test
    /// with few channels has in its place.
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
                let beside = last.channels - last.channels_first;
                beside > last.channels_first.max(self.entries_least)
            }
        })
    }

    /// The last one that counts.
    #[must_use]
    pub fn last(&self) -> Option<Commit> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were made since the start.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }
}

/// Writes checkpoints, one after the other.
pub(super) struct Keeper {
    store: Arc<dyn Store>,
    progress: Arc<Progress>,
    shards: usize,
    writing: Option<(Writer, usize)>,
}

impl Keeper {
    pub fn new(store: Arc<dyn Store>, progress: Arc<Progress>, shards: usize) -> Self {
        Self { store, progress, shards, writing: None }
    }

    /// Takes a page. With the last one of all shards returns the record that must be durable before
    /// `commit`.
    pub fn page(&mut self, saved: &Saved) -> Result<Option<Lsn>, JournalError> {
        let (mut writer, mut open) = match self.writing.take() {
            Some(writing) => writing,
            None => {
                let before = self.progress.last();
                (Writer::begin(&*self.store, before, &saved.mark)?, self.shards)
            }
        };
        writer.add(&*self.store, &saved.page)?;
        open -= usize::from(saved.last);
        self.writing = Some((writer, open));
        Ok((open == 0).then_some(saved.mark.tail.lsn))
    }

    /// Makes the checkpoint count.
    pub fn commit(&mut self) -> Result<Commit, JournalError> {
        let (writer, open) = self.writing.take().expect("a checkpoint is written");
        assert_eq!(open, 0, "every shard has handed out its last page");
        let commit = writer.commit(&*self.store)?;
        *self.progress.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit);
        self.progress.done.fetch_add(1, Ordering::AcqRel);
        self.progress.idle.store(true, Ordering::Release);
        Ok(commit)
    }
}

/// Works until the shards are gone. A failed write stops the process: what is in the tables is unknown
/// then, and the next start goes by the last checkpoint that counts.
pub(super) fn run(mut keeper: Keeper, pages: &Receiver<Saved>, durable: &watch::Receiver<Lsn>) {
    let mut durable = durable.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without IO needs nothing of the system");
    for saved in pages {
        let ready = keeper.page(&saved).unwrap_or_else(|error| super::commit::stop(&error));
        let Some(lsn) = ready else { continue };
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
