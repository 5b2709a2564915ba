//! A journal in memory, for tests: keeps what was appended, loses or damages what it is told to.

use super::{Framed, Journal, JournalError, Tail, Visit};
use crate::types::Lsn;

/// Records in memory.
#[derive(Debug, Default, Clone)]
pub struct MemoryJournal {
    records: Vec<(Lsn, Vec<u8>)>,
    remembered: Option<Tail>,
    appends_left: Option<usize>,
}

impl MemoryJournal {
    /// Fails every append after the next `appends`.
    pub fn fail_after(&mut self, appends: usize) {
        self.appends_left = Some(appends);
    }

    /// The bytes of the records, for a test to damage.
    pub fn records_mut(&mut self) -> &mut Vec<(Lsn, Vec<u8>)> {
        &mut self.records
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, group: &[Framed]) -> Result<(), JournalError> {
        if let Some(left) = &mut self.appends_left {
            *left =
                left.checked_sub(1).ok_or_else(|| JournalError::Storage("told to fail".into()))?;
        }
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
