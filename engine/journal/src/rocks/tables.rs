//! The tables beside the log, in RocksDB: how pages become durable, and how files stay few.
//!
//! What is small goes through the write-ahead log, with one sync; a table of its own file for each
//! closed window or each call would fill the directory, and the process's descriptors, with files
//! of a kilobyte. What is large goes past the log, straight into a file.
//!
//! **Every write to the log is synced.** A log that ends too early is forgiven only if it is the
//! newest (`wal`), so no write may stand unsynced at the end of one when the next is begun.

use super::super::{JournalError, Table, Tables, VisitPage};
use super::EVENTS;
use super::options::{past_the_log, reading, reading_one, synced};
use rocksdb::{ColumnFamily, DB, WriteBatch};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pages that are synced together go through the write-ahead log up to so many bytes, where they
/// hold up the journal's next write for about a millisecond, and past it from there on, into a file
/// that is large enough to stay.
const LOGGED_BYTES_MAX: usize = 1 << 20;

/// The tables of one data directory.
#[derive(Clone)]
pub(super) struct RocksTables {
    pub db: Arc<DB>,
    hands: Arc<[Mutex<Hand>; Table::ALL.len()]>,
}

/// The pages of one table that were put and not synced.
#[derive(Default)]
struct Hand {
    pages: WriteBatch,
    /// Some more of them are in the memtable, and in no log.
    past: bool,
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
            | Self::Meta => LOGGED_BYTES_MAX,
        }
    }
}

impl RocksTables {
    pub fn new(db: DB) -> Self {
        Self { db: Arc::new(db), hands: Arc::default() }
    }

    pub fn column(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("all column families were opened")
    }

    /// Writes out as files what holds write-ahead logs back: all that goes through them.
    pub fn flush_logged(&self) -> Result<(), JournalError> {
        let tables = Table::ALL.map(Table::name);
        for column in [EVENTS].into_iter().chain(tables) {
            self.db.flush_cf(self.column(column))?;
        }
        Ok(())
    }

    fn hand(&self, table: Table) -> MutexGuard<'_, Hand> {
        let place = Table::ALL.iter().position(|of| *of == table).expect("every table is in ALL");
        self.hands[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is in the hand past the log.
    fn put_past(&self, hand: &mut Hand) -> Result<(), JournalError> {
        if !hand.pages.is_empty() {
            hand.past = true;
            self.db.write_opt(std::mem::take(&mut hand.pages), &past_the_log())?;
        }
        Ok(())
    }
}

impl Tables for RocksTables {
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        let mut hand = self.hand(table);
        hand.pages.put_cf(self.column(table.name()), key, page);
        if hand.past || hand.pages.size_in_bytes() > table.logged_bytes_max() {
            self.put_past(&mut hand)?;
        }
        Ok(())
    }

    fn sync(&self, table: Table) -> Result<(), JournalError> {
        // Held until all is durable: another thread's pages may be among these, and when that
        // thread syncs it must not find the hand empty before they are.
        let mut hand = self.hand(table);
        if hand.past {
            self.put_past(&mut hand)?;
            self.db.flush_cf(self.column(table.name()))?;
            hand.past = false;
        } else if !hand.pages.is_empty() {
            self.db.write_opt(std::mem::take(&mut hand.pages), &synced())?;
        }
        Ok(())
    }

    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError> {
        Ok(self.db.put_cf_opt(self.column(Table::Meta.name()), key, entry, &synced())?)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        let found = self.db.get_cf_opt(self.column(table.name()), key, &reading_one());
        found.map_err(|error| unreadable(table, &error))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError> {
        let mut iterator = self.db.raw_iterator_cf_opt(self.column(table.name()), reading());
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
        self.db.delete_file_in_range_cf(column, from, to)?;
        Ok(self.db.delete_range_cf_opt(column, from, to, &synced())?)
    }

    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.db.path()).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

fn unreadable(table: Table, error: &rocksdb::Error) -> JournalError {
    JournalError::Storage(format!("table {} cannot be read: {error}", table.name()))
}
