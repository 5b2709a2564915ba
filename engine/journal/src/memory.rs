//! A journal in memory, for tests: keeps what was appended, until it is dropped. Can forget, as a
//! power cut does, what was not durable yet.

use super::record::is_frame;
use super::{Framed, Journal, JournalError, Log, Table, Tables, Tail, Visit, VisitPage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tallystick_ledger::types::Lsn;

/// Records and tables in memory. Whoever holds it shares it.
#[derive(Default)]
pub struct Memory(Arc<Mutex<Kept>>);

#[derive(Default, Clone)]
struct Kept {
    frames: BTreeMap<Lsn, Vec<u8>>,
    events: BTreeMap<Lsn, Vec<u8>>,
    pages: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Put and not synced.
    unsynced: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// How far it is known to reach.
    last: Option<Tail>,
}

impl Memory {
    /// An empty journal.
    #[must_use]
    pub fn journal() -> Journal<Self> {
        Self::default().with_tables()
    }

    /// A copy, which shares nothing with this one.
    #[must_use]
    pub fn copy(&self) -> Journal<Self> {
        Self(Arc::new(Mutex::new(self.kept().clone()))).with_tables()
    }

    /// A copy as the next start finds it after a power cut: what was not durable is gone.
    #[must_use]
    pub fn after_power_cut(&self) -> Journal<Self> {
        let after = self.copy();
        after.log.kept().unsynced.clear();
        after
    }

    fn with_tables(self) -> Journal<Self> {
        let tables = Arc::new(self.same());
        Journal { log: self, tables }
    }

    fn same(&self) -> Self {
        Self(self.0.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Memory {
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError> {
        let mut kept = self.kept();
        for framed in group {
            let records = if is_frame(framed.kind()) { &mut kept.frames } else { &mut kept.events };
            records.insert(framed.lsn, framed.bytes.clone());
        }
        let tail = group.last().expect("a group has records").tail();
        kept.last = Some(tail);
        Ok(tail.lsn)
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        Ok(self.kept().last.unwrap_or(Tail::START))
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let mut records: Vec<(Lsn, Vec<u8>)> = {
            let kept = self.kept();
            let copy = |(lsn, bytes): (&Lsn, &Vec<u8>)| (*lsn, bytes.clone());
            kept.frames.range(from..).chain(kept.events.range(from..)).map(copy).collect()
        };
        records.sort_unstable_by_key(|(lsn, _)| *lsn);
        records.iter().try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        if from > to {
            return Ok(());
        }
        let events = self.kept().events.clone();
        events.range(from..=to).try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        let mut kept = self.kept();
        kept.frames = kept.frames.split_off(&to.next());
        Ok(())
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.kept().events.retain(|lsn, _| *lsn > to || *lsn == Lsn(1));
        Ok(())
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.kept().last = Some(tail);
        Ok(())
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        Ok(self.kept().last)
    }

    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(self.same())
    }
}

impl Tables for Memory {
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        self.kept().unsynced.insert((table, key.to_vec()), page.to_vec());
        Ok(())
    }

    fn sync(&self, table: Table) -> Result<(), JournalError> {
        let mut kept = self.kept();
        let (synced, rest) = std::mem::take(&mut kept.unsynced)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|((of, _), _)| *of == table);
        kept.unsynced = rest;
        kept.pages.extend(synced);
        Ok(())
    }

    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError> {
        self.kept().pages.insert((Table::Meta, key.to_vec()), entry.to_vec());
        Ok(())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError> {
        let range = (table, from.to_vec())..(table, to.to_vec());
        let pages: BTreeMap<Vec<u8>, Vec<u8>> = {
            let kept = self.kept();
            let both = kept.pages.range(range.clone()).chain(kept.unsynced.range(range));
            both.map(|((_, key), page)| (key.clone(), page.clone())).collect()
        };
        pages.iter().try_for_each(|(key, page)| visit(key, page))
    }

    fn remove(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        let gone = |(of, key): &(Table, Vec<u8>)| *of == table && &**key >= from && &**key < to;
        let mut kept = self.kept();
        kept.pages.retain(|key, _| !gone(key));
        kept.unsynced.retain(|key, _| !gone(key));
        Ok(())
    }

    fn destroy(&self, table: Table, key: &[u8]) -> Result<(), JournalError> {
        let (mut kept, of) = (self.kept(), (table, key.to_vec()));
        kept.pages.remove(&of);
        kept.unsynced.remove(&of);
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Place};

    struct OverPowerCuts;

    impl Place for OverPowerCuts {
        type Log = Memory;

        fn open(&mut self) -> Journal<Memory> {
            Memory::journal()
        }

        fn again(&mut self, before: Journal<Memory>) -> Journal<Memory> {
            before.log.after_power_cut()
        }
    }

    #[test]
    fn it_keeps_what_a_log_and_tables_promise_over_power_cuts() {
        conformance::check(|| OverPowerCuts);
    }
}
