//! A journal in memory, for tests: keeps what was appended, until it is dropped.

use super::{Framed, Journal, JournalError, Tail, Visit};
use crate::types::Lsn;

/// Records in memory.
#[derive(Debug, Default, Clone)]
pub struct MemoryJournal {
    records: Vec<(Lsn, Vec<u8>)>,
    remembered: Option<Tail>,
}

impl Journal for MemoryJournal {
    fn append(&mut self, group: &[Framed]) -> Result<(), JournalError> {
        let record = |framed: &Framed| (framed.lsn, framed.bytes.clone());
        self.records.extend(group.iter().map(record));
        Ok(())
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let wanted = self.records.iter().filter(|(lsn, _)| *lsn >= from);
        wanted.into_iter().try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.remembered = Some(tail);
        Ok(())
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        Ok(self.remembered)
    }
}
