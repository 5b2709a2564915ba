//! A journal in memory, for tests: keeps what was appended, until it is dropped. Can forget, as a
//! power cut does, what was not durable yet.

use super::record::FRAME;
use super::store::VisitPage;
use super::{Framed, Journal, JournalError, Store, Table, Tail, Visit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tallystick_ledger::types::Lsn;

/// Records in memory.
#[derive(Default)]
pub struct MemoryJournal {
    store: Arc<MemoryStore>,
    remembered: Option<Tail>,
}

/// Tables and records in memory.
#[derive(Default)]
pub struct MemoryStore(Mutex<Kept>);

#[derive(Default, Clone)]
struct Kept {
    frames: BTreeMap<Lsn, Vec<u8>>,
    events: BTreeMap<Lsn, Vec<u8>>,
    pages: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Put and not synced: key, and the page or its removal.
    unsynced: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

/// A copy shares nothing with the journal that it is of.
impl Clone for MemoryJournal {
    fn clone(&self) -> Self {
        let kept = self.store.kept().clone();
        Self { store: Arc::new(MemoryStore(Mutex::new(kept))), remembered: self.remembered }
    }
}

impl MemoryJournal {
    /// A journal as the next start finds it after a power cut: what was not durable is gone.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        let after = self.clone();
        after.store.kept().unsynced.clear();
        after
    }

    /// Everything that is durable: every record, then every page. Equal bytes mean equal journals.
    #[must_use]
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        let kept = self.store.kept();
        let records = kept.events.values().chain(kept.frames.values());
        records.chain(kept.pages.values()).cloned().collect()
    }
}

impl MemoryStore {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, group: &[Framed]) -> Result<(), JournalError> {
        let mut kept = self.store.kept();
        for framed in group {
            let records = if framed.kind() == FRAME { &mut kept.frames } else { &mut kept.events };
            records.insert(framed.lsn, framed.bytes.clone());
        }
        Ok(())
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let mut records: Vec<(Lsn, Vec<u8>)> = {
            let kept = self.store.kept();
            let copy = |(lsn, bytes): (&Lsn, &Vec<u8>)| (*lsn, bytes.clone());
            kept.frames.range(from..).chain(kept.events.range(from..)).map(copy).collect()
        };
        records.sort_unstable_by_key(|(lsn, _)| *lsn);
        records.iter().try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn read_events(&self, to: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.store.read_events(to, visit)
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.remembered = Some(tail);
        Ok(())
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        Ok(self.remembered)
    }
}

impl Store for MemoryStore {
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

    fn read_events(&self, to: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let events = self.kept().events.clone();
        events.range(..=to).try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn trim(&self, lsn: Lsn) -> Result<(), JournalError> {
        let mut kept = self.kept();
        kept.frames = kept.frames.split_off(&lsn.next());
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}
