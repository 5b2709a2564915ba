//! Where frames lie: in columns of their own, a few ten MiB each, one after the other.
//!
//! A frame is read by a start alone, and only until the next checkpoint holds what it did. So a
//! column whose frames a checkpoint has overtaken is dropped as a whole: most are dropped while
//! they are still in memory and in the write-ahead log, and are never written out as a file
//! ([ADR 43](../../../docs/adr/0043-frames-go-by-whole-columns.md)).

use super::options::{options, reading_one};
use super::{Database, Records};
use crate::JournalError;
use rocksdb::BoundColumnFamily;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tallystick_ledger::types::Lsn;

/// The only column of frames, up to format 7; names of later ones have a number behind it.
const FORMER: &str = "frames";
/// A column takes groups until it has so many bytes, or would have more than a memtable holds, so
/// that none is written out because it is full, but one with the very largest group alone.
const COLUMN_BYTES: usize = 32 << 20;
const COLUMN_BYTES_MAX: usize = 56 << 20;

/// The columns of frames of one database. Clones share them.
#[derive(Clone)]
pub(super) struct Frames {
    db: Arc<Database>,
    /// In the order of their numbers and of what they hold; the last one takes what comes.
    columns: Arc<Mutex<Vec<Column>>>,
    /// Held by whoever works on columns that may have to go; alone by who drops some. Taken before
    /// `columns`; appends take only that, and wait for neither.
    going: Arc<RwLock<()>>,
    /// While a copy is made no column is begun: what it lists and what its log holds belong
    /// together.
    copying: Arc<AtomicBool>,
}

struct Column {
    number: u64,
    /// Its first and last frame.
    holds: Option<(Lsn, Lsn)>,
    /// Bytes that were put into it since the start.
    bytes: usize,
}

impl Frames {
    /// Those that the database was opened with. One that reads it alone must not `append`.
    pub fn of(db: &Arc<Database>, names: &[String]) -> Result<Self, JournalError> {
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        let columns = numbers.into_iter().map(|number| {
            let holds = holds(db, &name(number))?;
            Ok(Column { number, holds, bytes: 0 })
        });
        let columns = columns.collect::<Result<Vec<_>, JournalError>>()?;
        let columns = Arc::new(Mutex::new(columns));
        Ok(Self { db: db.clone(), columns, going: Arc::default(), copying: Arc::default() })
    }

    /// The column that takes the next group, which holds frames from `first` to `last` of so many
    /// bytes together.
    pub fn taking(
        &self,
        first: Lsn,
        last: Lsn,
        bytes: usize,
    ) -> Result<Arc<BoundColumnFamily<'_>>, JournalError> {
        let mut columns = self.columns();
        let is_full = |newest: &Column| {
            newest.bytes >= COLUMN_BYTES
                || newest.bytes > 0 && newest.bytes + bytes > COLUMN_BYTES_MAX
        };
        if columns.last().is_none_or(|newest| is_full(newest) && !self.is_copied()) {
            self.begin(&mut columns)?;
        }
        let newest = columns.last_mut().expect("one was begun");
        newest.holds = Some((newest.holds.map_or(first, |(first, _)| first), last));
        newest.bytes += bytes;
        Ok(self.column(newest.number))
    }

    /// Drops the columns that hold nothing above `to`.
    pub fn drop_to(&self, to: Lsn) -> Result<(), JournalError> {
        let _alone = self.going.write().unwrap_or_else(PoisonError::into_inner);
        let overtaken = |column: &Column| column.holds.is_some_and(|(_, last)| last <= to);
        let gone: Vec<Column> = {
            let mut columns = self.columns();
            // What comes must not wait for a column with frames that nobody needs, nor they for it.
            if columns.last().is_some_and(overtaken) && !self.is_copied() {
                self.begin(&mut columns)?;
            }
            let taking = columns.len().saturating_sub(1);
            let gone = columns.iter().take(taking).take_while(|column| overtaken(column)).count();
            columns.drain(..gone).collect()
        };
        gone.iter().try_for_each(|column| Ok(self.db.drop_cf(&name(column.number))?))
    }

    /// Does something with the column that holds frames at and below `to` beside later ones, if one
    /// does. It is not dropped meanwhile.
    pub fn with_shared_at(
        &self,
        to: Lsn,
        work: impl FnOnce(&Arc<BoundColumnFamily<'_>>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let _stays = self.stay();
        let reaches = |of: &&Column| of.holds.is_some_and(|(first, last)| first <= to && to < last);
        let shared = self.columns().iter().find(reaches).map(|column| column.number);
        shared.map_or(Ok(()), |number| work(&self.column(number)))
    }

    /// Writes out as files what is in memory and in the logs alone.
    pub fn flush(&self) -> Result<(), JournalError> {
        let _stays = self.stay();
        for column in self.all() {
            self.db.flush_cf(&column)?;
        }
        Ok(())
    }

    /// Makes a copy of the database: no column comes or goes meanwhile.
    pub fn keep_while<T>(&self, copy: impl FnOnce() -> T) -> T {
        let _stays = self.stay();
        // Under the lock, so that none is being begun.
        let set = |copied| {
            let _columns = self.columns();
            self.copying.store(copied, Ordering::Relaxed);
        };
        set(true);
        let made = copy();
        set(false);
        made
    }

    /// All of them, in the order of what they hold.
    pub fn all(&self) -> Vec<Arc<BoundColumnFamily<'_>>> {
        self.columns().iter().map(|column| self.column(column.number)).collect()
    }

    fn is_copied(&self) -> bool {
        self.copying.load(Ordering::Relaxed)
    }

    fn stay(&self) -> RwLockReadGuard<'_, ()> {
        self.going.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, columns: &mut Vec<Column>) -> Result<(), JournalError> {
        let number = columns.last().map_or(0, |newest| newest.number) + 1;
        self.db.create_cf(name(number), &options())?;
        columns.push(Column { number, holds: None, bytes: 0 });
        Ok(())
    }

    fn column(&self, number: u64) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(&name(number)).expect("it was opened or begun, and not dropped")
    }

    fn columns(&self) -> MutexGuard<'_, Vec<Column>> {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The columns of frames that a directory has; none where there is no directory yet.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, rocksdb::Error> {
    if !dir.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    let mut names = Database::list_cf(&options(), dir)?;
    names.retain(|name| number(name).is_some());
    Ok(names)
}

fn name(number: u64) -> String {
    if number == 0 { FORMER.to_owned() } else { format!("{FORMER} {number}") }
}

fn number(name: &str) -> Option<u64> {
    let rest = name.strip_prefix(FORMER)?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix(' ')?.parse().ok() }
}

fn holds(db: &Database, name: &str) -> Result<Option<(Lsn, Lsn)>, JournalError> {
    let column = db.cf_handle(name).expect("it was opened");
    let mut iterator = db.raw_iterator_cf_opt(&column, reading_one());
    iterator.seek_to_first();
    let first = Records::at(iterator)?;
    let Some(lsn) = first.lsn else { return Ok(None) };
    let mut iterator = first.iterator;
    iterator.seek_to_last();
    let last = Records::at(iterator)?.lsn.expect("a column with a first record has a last one");
    Ok(Some((lsn, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_columns_name_has_its_number() {
        for n in [0, 1, 10, u64::MAX] {
            assert_eq!(number(&name(n)), Some(n));
        }
        assert_eq!(["frame", "frames-1", "frames x", "events"].map(number), [None; 4]);
    }
}
