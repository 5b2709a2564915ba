//! The log: appends go into the stream, then into the copy; everybody reads the copy.

use super::copy;
use super::error::StreamError;
use super::fold::Stand;
use super::link::Link;
use super::owner::Owner;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tallystick_journal::rocks::RocksLog;
use tallystick_journal::{Framed, JournalError, Log, LogVitals, Tables, Tail, Visit};
use tallystick_ledger::types::Lsn;

/// The log in the stream, with its copy.
pub struct StreamLog {
    owner: Owner,
    copy: RocksLog,
    shared: Arc<Shared>,
}

/// What everybody else holds of it.
pub(super) struct Shared {
    pub(super) copy: Arc<dyn Log>,
    pub(super) tables: Arc<dyn Tables>,
    /// Where the copy stands.
    pub(super) stand: Arc<Mutex<Stand>>,
    pub(super) vitals: Arc<LogVitals>,
}

/// Appends to the copy what it has not yet.
pub(super) fn take(copy: &mut RocksLog, end: Tail, records: &[Framed]) -> Result<(), StreamError> {
    let new = records.partition_point(|framed| framed.lsn <= end.lsn);
    match &records[new..] {
        [] => Ok(()),
        new => copy.append(new).map(drop).map_err(StreamError::Copy),
    }
}

impl StreamLog {
    pub(super) fn new(owner: Owner, copy: RocksLog, tables: Arc<dyn Tables>, link: &Link) -> Self {
        let (shared_copy, stand) = (copy.shared(), Arc::new(Mutex::new(owner.stand())));
        let vitals = link.vitals.clone();
        let shared = Arc::new(Shared { copy: shared_copy, tables, stand, vitals });
        Self { owner, copy, shared }
    }

    /// The epoch of this owner, which records carry.
    ///
    /// # Errors
    /// After 2^32 claims.
    pub fn epoch(&self) -> Result<u32, JournalError> {
        let many = |_| JournalError::Stream("it was claimed 2^32 times".into());
        u32::try_from(self.owner.epoch()).map_err(many)
    }

    /// Whether it holds no record yet.
    ///
    /// # Errors
    /// `Damaged`, or the storage's own failure.
    pub fn is_empty(&self) -> Result<bool, JournalError> {
        self.copy.is_empty()
    }

    fn copied(&self) {
        let mut stand = self.shared.stand.lock().unwrap_or_else(PoisonError::into_inner);
        *stand = self.owner.stand();
    }
}

/// The first records of a group, as many as fit into one message.
fn piece(group: &[Framed], most: usize) -> usize {
    let mut bytes = 0;
    let fits = |framed: &&Framed| {
        bytes += framed.bytes.len();
        bytes <= most
    };
    group.iter().take_while(fits).count().max(1)
}

impl Log for StreamLog {
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError> {
        let mut rest = group;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece(rest, self.owner.group_bytes_max()));
            self.owner.append_group(now)?;
            self.copy.append(now)?;
            self.copied();
            rest = later;
        }
        Ok(group.last().expect("a group has records").lsn)
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        let copy = &mut self.copy;
        let mut end = copy.resync()?;
        self.owner.settle(&mut |records| {
            take(copy, end, records)?;
            end = records.last().map_or(end, Framed::tail);
            Ok(())
        })?;
        self.copied();
        self.copy.resync()
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.shared.read(from, visit)
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        self.shared.events_between(from, to, visit)
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        self.shared.trim(to)
    }

    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        self.shared.reclaim(to)
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.shared.let_go(to)
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.shared.note()?;
        self.copy.remember(tail)
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.copy.remembered()
    }

    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        self.shared.copy(dir)
    }

    fn vitals(&self) -> Option<Arc<LogVitals>> {
        self.shared.vitals()
    }

    fn shared(&self) -> Arc<dyn Log> {
        self.shared.clone()
    }
}

impl Shared {
    /// Notes where the copy stands: what is trimmed lies before that.
    fn note(&self) -> Result<(), JournalError> {
        let stand = *self.stand.lock().unwrap_or_else(PoisonError::into_inner);
        copy::note_stand(&*self.tables, &stand)
    }
}

/// Appending is its owner's alone.
impl Log for Shared {
    fn append(&mut self, _group: &[Framed]) -> Result<Lsn, JournalError> {
        Err(JournalError::Stream("a shared log is not appended to".into()))
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        Err(JournalError::Stream("a shared log is not settled".into()))
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.copy.read(from, visit)
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        self.copy.events_between(from, to, visit)
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        self.note()?;
        self.copy.trim(to)
    }

    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        self.note()?;
        self.copy.reclaim(to)
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.note()?;
        self.copy.let_go(to)
    }

    fn remember(&mut self, _tail: Tail) -> Result<(), JournalError> {
        Err(JournalError::Stream("a shared log is not told where it ends".into()))
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.copy.remembered()
    }

    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        self.copy.copy(dir)
    }

    fn vitals(&self) -> Option<Arc<LogVitals>> {
        Some(self.vitals.clone())
    }

    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(Self {
            copy: self.copy.clone(),
            tables: self.tables.clone(),
            stand: self.stand.clone(),
            vitals: self.vitals.clone(),
        })
    }
}
