//! The log: the records, in one order, each at its position. Framing, links, checks, grouping and
//! meaning live above it, so that an embedded store and a replicated stream can both be one.
//!
//! Never looks into a record, but for whether it is a frame and how it ends.

use super::{Framed, JournalError, LogVitals, Tail};
use std::path::Path;
use std::sync::Arc;
use tallystick_ledger::types::Lsn;

/// Takes the bytes of the record at a position.
pub type Visit<'a> = dyn FnMut(Lsn, &[u8]) -> Result<(), JournalError> + 'a;

/// Where records are kept. One thread owns it, and it alone appends, one group at a time; everybody
/// else holds it `shared`, reads it and trims it meanwhile.
///
/// `conformance` holds every implementation to what is said here.
pub trait Log: Send + Sync {
    /// Makes a group of records durable, in order, in one write, and says where its last one
    /// stands. When it returns, all of them are; when it fails, nobody knows which, and it is not
    /// called again before `resync` has said so.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError>;

    /// The last durable record, looked up anew, `Tail::START` if there is none: what an append
    /// whose fate is unknown has led to. A record that was trimmed counts.
    ///
    /// # Errors
    /// `JournalError` of the storage below, or when it cannot know: then the process must stop, and
    /// the next start finds out.
    fn resync(&mut self) -> Result<Tail, JournalError>;

    /// Visits the bytes of every record from `from` on, in order. Of frames that were trimmed some
    /// may be missing. What the bytes hold is for the caller to check. Stops at the first error of
    /// the visitor or of the storage.
    ///
    /// # Errors
    /// `JournalError` of the visitor, or `Damaged` with the position that could not be read.
    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError>;

    /// Visits the bytes of every event (record that is no frame) up to and with `to`, in order. Of
    /// those that were let go the first record alone is sure to be there.
    ///
    /// # Errors
    /// As for `read`.
    fn read_events(&self, to: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.events_between(Lsn(0), to, visit)
    }

    /// The same of those from `from` on.
    ///
    /// # Errors
    /// As for `read`.
    fn events_between(&self, from: Lsn, to: Lsn, visit: &mut Visit<'_>)
    -> Result<(), JournalError>;

    /// Frames at and below `to` are not needed any more. Some of them may be kept for a while.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn trim(&self, to: Lsn) -> Result<(), JournalError>;

    /// Gives the disk back what frames at and below `to` take, which were trimmed before. Takes its
    /// time; where there is no disk it is a trim.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        self.trim(to)
    }

    /// Events at and below `to` are not needed any more, but the first record, which stays: they
    /// lie elsewhere. Takes its time.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn let_go(&self, to: Lsn) -> Result<(), JournalError>;

    /// Remembers, durably and apart from the records, that the log reached `tail`: a later start
    /// that finds less refuses.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn remember(&mut self, tail: Tail) -> Result<(), JournalError>;

    /// How far it is known to reach: what `remember` was told last, or an append since.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn remembered(&self) -> Result<Option<Tail>, JournalError>;

    /// Copies log and tables as they are at one moment into a new folder, while they are in use:
    /// with all that was durable before, and nothing half of what was not. Says where the log ends
    /// in the copy.
    ///
    /// # Errors
    /// `JournalError` of the storage below, or that it cannot be copied so.
    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        let dir = dir.display();
        Err(JournalError::Storage(format!("what is kept elsewhere is not copied into {dir}")))
    }

    /// What it counts, where it is kept on other machines.
    fn vitals(&self) -> Option<Arc<LogVitals>> {
        None
    }

    /// The same log, for those who do not append.
    fn shared(&self) -> Arc<dyn Log>;
}

/// One of several kinds of log, chosen at a start.
impl<T: Log + ?Sized> Log for Box<T> {
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError> {
        (**self).append(group)
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        (**self).resync()
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        (**self).read(from, visit)
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        (**self).events_between(from, to, visit)
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        (**self).trim(to)
    }

    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        (**self).reclaim(to)
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        (**self).let_go(to)
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        (**self).remember(tail)
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        (**self).remembered()
    }

    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        (**self).copy(dir)
    }

    fn vitals(&self) -> Option<Arc<LogVitals>> {
        (**self).vitals()
    }

    fn shared(&self) -> Arc<dyn Log> {
        (**self).shared()
    }
}
