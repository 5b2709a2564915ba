//! The tables beside the log, in RocksDB: how pages become durable, and how files stay few.
//!
//! What is small goes through the write-ahead log, with one sync; a table of its own file for each
//! closed window or each call would fill the directory, and the process's descriptors, with files
//! of a kilobyte. What is large goes past the log, straight into a file.
//!
//! **Every write to the log is synced.** A log that ends too early is forgiven only if it is the
//! newest (`wal`), so no write may stand unsynced at the end of one when the next is begun.

use super::super::{JournalError, Table, Tables, VisitPage};
use super::frames::Frames;
use super::options::{past_the_log, reading, reading_one, synced};
use super::{Database, EVENTS};
use rocksdb::{BottommostLevelCompaction, BoundColumnFamily, CompactOptions, WriteBatch};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Pages that are synced together go through the write-ahead log up to so many bytes, where they
/// hold up the journal's next write for about a millisecond, and past it from there on, into a file
/// that is large enough to stay.
const LOGGED_BYTES_MAX: usize = 1 << 20;

/// Pages past the log that wait in memory at most: RocksDB holds up every write, the journal's too,
/// while one column has several full memtables (`MEMTABLES`, of `MEMTABLE_BYTES`) to write out.
const PAST_BYTES_MAX: usize = 48 << 20;

/// The tables of one data directory.
#[derive(Clone)]
pub(super) struct RocksTables {
    pub db: Arc<Database>,
    /// Columns of the same database, of the log's.
    pub frames: Frames,
    hands: Arc<[Mutex<Hand>; Table::ALL.len()]>,
    /// Held by whoever makes pages durable past the log; alone by who makes a copy.
    copying: Arc<RwLock<()>>,
}

/// The pages of one table that were put and not synced.
#[derive(Default)]
struct Hand {
    pages: WriteBatch,
    /// Some more of them are in the memtable or in files, and in no log.
    past: bool,
    /// How many bytes of these may still be in memory.
    waiting: usize,
}

impl Table {
    /// How many bytes of its pages go through the log.
    fn logged_bytes_max(self) -> usize {
        match self {
            // The trim behind a checkpoint would write it into a file at once.
            Self::Checkpoints => 0,
            Self::Control
            | Self::Windows
            | Self::Batches
            | Self::Calls
            | Self::Legs
            | Self::PartyKeys
            | Self::Payments
            | Self::Meta => LOGGED_BYTES_MAX,
        }
    }
}

impl RocksTables {
    /// Of a database that was opened with these columns of frames, among others.
    pub fn new(db: Database, frames: &[String]) -> Result<Self, JournalError> {
        let db = Arc::new(db);
        let frames = Frames::of(&db, frames)?;
        Ok(Self { db, frames, hands: Arc::default(), copying: Arc::default() })
    }

    pub fn column(&self, name: &str) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(name).expect("all column families were opened")
    }

    /// Writes out as files what holds write-ahead logs back: all that goes through them.
    pub fn flush_logged(&self) -> Result<(), JournalError> {
        let tables = Table::ALL.map(Table::name);
        for column in [EVENTS].into_iter().chain(tables) {
            self.db.flush_cf(&self.column(column))?;
        }
        Ok(())
    }

    /// Writes anew the files that hold some of these keys, without what was deleted.
    pub fn rewrite(&self, column: &Arc<BoundColumnFamily<'_>>, from: &[u8], to: &[u8]) {
        let mut options = CompactOptions::default();
        // Whoever writes goes first.
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(column, Some(from), Some(to), &options);
    }

    /// While it is held, no page becomes durable past the log.
    pub fn keep_pages_out(&self) -> RwLockWriteGuard<'_, ()> {
        self.copying.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn past_the_log(&self) -> RwLockReadGuard<'_, ()> {
        self.copying.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand(&self, table: Table) -> MutexGuard<'_, Hand> {
        let place = Table::ALL.iter().position(|of| *of == table).expect("every table is in ALL");
        self.hands[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is in the hand past the log.
    fn put_past(&self, hand: &mut Hand) -> Result<(), JournalError> {
        if !hand.pages.is_empty() {
            hand.past = true;
            hand.waiting += hand.pages.size_in_bytes();
            self.db.write_opt(std::mem::take(&mut hand.pages), &past_the_log())?;
        }
        Ok(())
    }

    /// Writes out as a file what was put past the log.
    fn flush_past(&self, table: Table, hand: &mut Hand) -> Result<(), JournalError> {
        let _may = self.past_the_log();
        self.db.flush_cf(&self.column(table.name()))?;
        hand.waiting = 0;
        Ok(())
    }
}

impl Tables for RocksTables {
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        let mut hand = self.hand(table);
        hand.pages.put_cf(&self.column(table.name()), key, page);
        if hand.past || hand.pages.size_in_bytes() > table.logged_bytes_max() {
            self.put_past(&mut hand)?;
        }
        if hand.waiting > PAST_BYTES_MAX {
            self.flush_past(table, &mut hand)?;
        }
        Ok(())
    }

    fn sync(&self, table: Table) -> Result<(), JournalError> {
        // Held until all is durable: another thread's pages may be among these, and when that
        // thread syncs it must not find the hand empty before they are.
        let mut hand = self.hand(table);
        if hand.past {
            self.put_past(&mut hand)?;
            self.flush_past(table, &mut hand)?;
            hand.past = false;
        } else if !hand.pages.is_empty() {
            self.db.write_opt(std::mem::take(&mut hand.pages), &synced())?;
        }
        Ok(())
    }

    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError> {
        Ok(self.db.put_cf_opt(&self.column(Table::Meta.name()), key, entry, &synced())?)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        let found = self.db.get_cf_opt(&self.column(table.name()), key, &reading_one());
        found.map_err(|error| unreadable(table, &error))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError> {
        let mut iterator = self.db.raw_iterator_cf_opt(&self.column(table.name()), reading());
        iterator.seek(from);
        while let Some((key, page)) = iterator.item() {
            if key >= to {
                break;
            }
            visit(key, page)?;
            iterator.next();
        }
        iterator.status().map_err(|error| unreadable(table, &error))
    }

    fn remove(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        let column = self.column(table.name());
        // What was put before is removed too, wherever it is.
        self.put_past(&mut self.hand(table))?;
        // Whole files first, so that hardly anything is left for the tombstone to cover.
        self.db.delete_file_in_range_cf(&column, from, to)?;
        Ok(self.db.delete_range_cf_opt(&column, from, to, &synced())?)
    }

    fn reclaim(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        let column = self.column(table.name());
        self.db.flush_cf(&column)?;
        let mut options = CompactOptions::default();
        // Whoever writes goes first.
        options.set_exclusive_manual_compaction(false);
        self.db.compact_range_cf_opt(&column, Some(from), Some(to), &options);
        Ok(())
    }

    fn destroy(&self, table: Table, key: &[u8]) -> Result<(), JournalError> {
        let column = self.column(table.name());
        // What was put before goes too, wherever it is.
        self.put_past(&mut self.hand(table))?;
        self.db.delete_cf_opt(&column, key, &synced())?;
        // Out of the logs: one goes when no column needs anything of it any more. This column
        // first: what others write from here on lies in the next log.
        self.db.flush_cf(&column)?;
        self.frames.flush()?;
        self.flush_logged()?;
        // Out of the files: those that the key can be in are written anew, down to the last one.
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(true);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(&column, Some(key), Some(key), &options);
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.db.path()).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

fn unreadable(table: Table, error: &rocksdb::Error) -> JournalError {
    JournalError::Storage(format!("table {} cannot be read: {error}", table.name()))
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use super::*;
    use crate::{Chain, Framed, Log as _};
    use tallystick_ledger::types::{Lsn, Timestamp};

    fn record(chain: &mut Chain) -> Framed {
        chain.frame(1, Timestamp(7), 2, 1, &[&[9; 100]])
    }

    /// What was merely deleted stood in a log and in a table file until somebody wrote there again.
    #[test]
    fn what_is_destroyed_is_in_no_file_any_more_wherever_it_had_got_to() {
        let dir = tempfile::tempdir().unwrap();
        let (mut chain, mut journal) = (Chain::start(), open(dir.path()).unwrap());
        let tables = journal.tables.clone();
        let page = |n: u8| [&b"an unmistakable key "[..], &[n; 40]].concat();
        let put = |n: u8| {
            tables.put(Table::PartyKeys, &[1, n], &page(n)).unwrap();
            tables.sync(Table::PartyKeys).unwrap();
        };
        let holds = |n: u8| {
            let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
            let bytes = files.filter_map(|path| std::fs::read(path).ok());
            bytes
                .flat_map(|bytes| bytes.windows(60).map(|w| w == page(n)).collect::<Vec<_>>())
                .any(|found| found)
        };
        // The first three have got into a file, further and further down; the last is in a log.
        for n in 1..=3 {
            put(n);
            journal.log.append(&[record(&mut chain)]).unwrap();
            journal.log.remember(chain.tail()).unwrap();
        }
        journal.log.trim(Lsn(3)).unwrap();
        put(4);
        // What others write to the same log keeps it, until they have gone into a file.
        journal.log.append(&[record(&mut chain)]).unwrap();
        tables.commit(b"entry", b"of another table").unwrap();
        for n in [2, 4] {
            assert!(holds(n), "{n} is kept");
            tables.destroy(Table::PartyKeys, &[1, n]).unwrap();
            // RocksDB takes away what it needs no more on threads of its own.
            let mut looks = 0..100_000;
            assert!(looks.any(|_| !holds(n)), "{n} is still in a file");
        }
        let found = |n: u8| tables.get(Table::PartyKeys, &[1, n]).unwrap();
        assert_eq!([1, 2, 3, 4].map(|n| found(n).is_some()), [true, false, true, false]);
        drop((tables, journal));
        assert_eq!([1, 2, 3, 4].map(holds), [true, false, true, false]);
    }
}
