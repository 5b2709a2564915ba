//! The journal in RocksDB: its own WAL with sync writes; one value a record, keyed by lsn.
//!
//! Owns the directory's lock and marker. Every RocksDB option is in `options`; what lies beside the
//! records in `tables`. Never looks into a record.

mod copy;
mod format;
mod frames;
mod merge;
mod options;
mod tables;
#[cfg(test)]
mod tests;

use super::mark::{self, Mark};
use super::record::{is_frame, tail_of};
use super::{Framed, Journal, JournalError, Log, Table, Tables as _, Tail, Visit, wal};
pub use copy::{glance, note_restored, open_copy, restored};
use format::{
    DIRECTORY_FORMAT, FORMAT_COLUMN, META_FORMAT, check_format_of, is_read, other_format,
};
use merge::merge_small_files;
use options::{options, reading, reading_one, synced};
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DBRawIteratorWithThreadMode, DBRecoveryMode,
    DBWithThreadMode, IteratorMode, MultiThreaded, WriteBatch,
};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use tables::RocksTables;
use tallystick_ledger::types::Lsn;

/// Names the first operator until a start has journaled it: may be there before a journal is.
const BOOTSTRAP_FILE: &str = "bootstrap.json";
const LOCK_FILE: &str = "tallystick.lock";
/// The column that every database has.
const DEFAULT: &str = "default";
/// Records that are no frames, kept until they have left for archives. Frames: see `frames`.
const EVENTS: &str = "events";
const META_EPOCH: &[u8] = b"epoch";
/// The last position whose frames were trimmed: written for the sake of the write, never read.
const META_TRIMMED: &[u8] = b"trimmed";

/// What a write batch holds of a record besides its bytes: tag, column, lengths, key; and its
/// header.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// Columns of frames come and go while the others are read and written.
type Database = DBWithThreadMode<MultiThreaded>;

/// The log of one data directory, locked for this process.
pub struct RocksLog {
    tables: RocksTables,
    dir: Arc<Path>,
    epoch: u32,
    /// RocksDB has a lock of its own, but takes it only when it opens, and the logs are looked
    /// through, and perhaps cut, before that.
    lock: Arc<File>,
    mark: Arc<Mark>,
    /// A write failed: RocksDB shows what it had before, whatever the disk holds.
    failed: bool,
}

/// Opens the journal in `dir`, or makes one in a new or empty directory, and starts a new epoch. A
/// directory of a format before gets this one's.
///
/// # Errors
/// `Locked`, `NotAJournal`, `OtherFormat`, `Damaged`, or the storage's own failure.
pub fn open(dir: &Path) -> Result<Journal<RocksLog>, JournalError> {
    check_directory(dir)?;
    let lock = lock(dir)?;
    wal::check_manifest(dir)?;
    let former = check_format_of(dir)?;
    let mark = Mark::open(dir).map_err(|error| mark_failed(dir, &error))?;
    let known = mark.read().map_err(|error| mark_failed(dir, &error))?;
    wal::check(dir, known.map(|tail| tail.lsn))?;
    let frames = frames::names(dir).map_err(|error| explain(dir, &error))?;
    // Made in this order, tables last: a MANIFEST that is cut off before the name of the format has
    // no tables.
    let mut columns = vec![DEFAULT, EVENTS];
    columns.extend(frames.iter().chain(&former).map(String::as_str));
    columns.push(FORMAT_COLUMN);
    tables().for_each(|table| columns.push(table));
    let columns = columns.into_iter().map(|name| ColumnFamilyDescriptor::new(name, options()));
    let db = Database::open_cf_descriptors(&options(), dir, columns);
    let db = db.map_err(|error| explain(dir, &error))?;
    former.iter().try_for_each(|former| db.drop_cf(former))?;
    let tables = RocksTables::new(db, &frames)?;
    match meta::<2>(&tables, META_FORMAT)?.map(u16::from_le_bytes) {
        Some(DIRECTORY_FORMAT) => {}
        Some(found) if !is_read(found) => return Err(other_format(found)),
        Some(_) | None => tables.commit(META_FORMAT, &DIRECTORY_FORMAT.to_le_bytes())?,
    }
    let epoch = meta::<4>(&tables, META_EPOCH)?.map_or(0, u32::from_le_bytes);
    let epoch = epoch.checked_add(1).ok_or_else(|| {
        JournalError::Storage("the engine was started 2^32 times on this directory".into())
    })?;
    tables.commit(META_EPOCH, &epoch.to_le_bytes())?;
    Ok(journal(tables, dir, epoch, lock, mark))
}

/// Opens the journal in `dir` to read it; changes nothing, and keeps engines out meanwhile.
///
/// # Errors
/// `Locked`, `NoJournal`, `NotAFolder`, `OtherFormat`, `Damaged`, or the storage's own failure.
pub fn open_read_only(dir: &Path) -> Result<Journal<RocksLog>, JournalError> {
    if !exists(dir)? {
        return Err(JournalError::NoJournal { dir: dir.to_owned() });
    }
    let lock = lock(dir)?;
    wal::check_manifest(dir)?;
    check_format_of(dir)?;
    let mark = Mark::open(dir).map_err(|error| mark_failed(dir, &error))?;
    let tables = read_only(dir)?;
    match meta::<2>(&tables, META_FORMAT)?.map(u16::from_le_bytes) {
        Some(found) if is_read(found) => Ok(journal(tables, dir, 0, lock, mark)),
        Some(found) => Err(other_format(found)),
        None => Err(JournalError::NoJournal { dir: dir.to_owned() }),
    }
}

/// Whether a directory holds a journal, however short.
///
/// # Errors
/// `CurrentLost` when it holds what is left of one, `NotAFolder` when it is a file.
pub fn exists(dir: &Path) -> Result<bool, JournalError> {
    if std::fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
        return Err(JournalError::NotAFolder { dir: dir.to_owned() });
    }
    if dir.join("CURRENT").exists() {
        return Ok(true);
    }
    check_not_lost(dir)?;
    Ok(false)
}

/// Log and tables lie in the same database.
fn journal(
    tables: RocksTables,
    dir: &Path,
    epoch: u32,
    lock: File,
    mark: Mark,
) -> Journal<RocksLog> {
    let (lock, mark) = (Arc::new(lock), Arc::new(mark));
    let beside = Arc::new(tables.clone());
    let log = RocksLog { tables, dir: dir.into(), epoch, lock, mark, failed: false };
    Journal { log, tables: beside }
}

fn meta<const N: usize>(tables: &RocksTables, key: &[u8]) -> Result<Option<[u8; N]>, JournalError> {
    let Some(bytes) = tables.get(Table::Meta, key)? else {
        return Ok(None);
    };
    let length = bytes.len();
    let wrong = |_| JournalError::Storage(format!("entry {key:?} has {length} bytes, not {N}"));
    bytes.try_into().map(Some).map_err(wrong)
}

impl RocksLog {
    /// Whether it holds no record yet.
    ///
    /// # Errors
    /// `Damaged`, or the storage's own failure.
    pub fn is_empty(&self) -> Result<bool, JournalError> {
        // The first record is no frame, and stays.
        Ok(Records::start(&self.tables, EVENTS, &[])?.lsn.is_none())
    }

    /// Counts starts on this directory; the first is 1.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Lets those write-ahead logs go that only trimmed frames were in.
    fn let_logs_go(&self, to: Lsn) -> Result<(), JournalError> {
        // The next log is begun, and the others looked through, when something is written out.
        self.tables.commit(META_TRIMMED, &to.0.to_le_bytes())?;
        // A log stays as long as any column holds something of it that is in no file yet, and
        // events and small pages are so few that theirs would take for ever to fill one.
        self.tables.flush_logged()
    }

    fn marked<T>(&self, done: std::io::Result<T>) -> Result<T, JournalError> {
        done.map_err(|error| mark_failed(&self.dir, &error))
    }
}

impl Log for RocksLog {
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError> {
        let tail = group.last().expect("a group has records").tail();
        // Room for all of it at once: growing would copy every record several times.
        let bytes = group.iter().map(|framed| framed.bytes.len() + RECORD_OVERHEAD_BYTES).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        let mut frames = group.iter().filter(|framed| is_frame(framed.kind())).map(|of| of.lsn);
        let events = self.tables.column(EVENTS);
        let frames = match (frames.next(), frames.next_back()) {
            (Some(first), last) => {
                Some(self.tables.frames.taking(first, last.unwrap_or(first), bytes)?)
            }
            (None, _) => None,
        };
        for framed in group {
            let frames = frames.as_ref().filter(|_| is_frame(framed.kind()));
            let column = frames.unwrap_or(&events);
            batch.put_cf(column, framed.lsn.0.to_be_bytes(), &framed.bytes);
        }
        self.failed = true;
        self.tables.db.write_opt(batch, &synced())?;
        self.marked(self.mark.write(tail))?;
        self.failed = false;
        Ok(tail.lsn)
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        if self.failed {
            return Err(JournalError::Storage(
                "a write failed, and only a start can find out how much of it is durable".into(),
            ));
        }
        // What was trimmed is in the mark, which was made durable before.
        let mut tail = self.remembered()?.unwrap_or(Tail::START);
        for found in lasts(&self.tables)? {
            tail = if found.lsn > tail.lsn { found } else { tail };
        }
        Ok(tail)
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let start = from.0.to_be_bytes();
        // All columns as they are at one moment: records may be appended meanwhile. Those that are
        // begun after it hold nothing of that moment.
        let now = self.tables.db.snapshot();
        let mut columns = self.tables.frames.all();
        columns.push(self.tables.column(EVENTS));
        let records = columns.iter().map(|column| {
            let mut iterator = now.raw_iterator_cf_opt(column, reading());
            iterator.seek(start);
            Records::at(iterator)
        });
        let mut records = records.collect::<Result<Vec<_>, _>>()?;
        loop {
            records.retain(|of| of.lsn.is_some());
            let Some(next) = records.iter_mut().min_by_key(|of| of.lsn) else { return Ok(()) };
            next.hand_out(visit)?;
        }
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        let mut events = Records::start(&self.tables, EVENTS, &from.0.to_be_bytes())?;
        while events.lsn.is_some_and(|lsn| lsn <= to) {
            events.hand_out(visit)?;
        }
        Ok(())
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        // When the last record goes, the mark alone says that it was there.
        self.marked(self.mark.sync())?;
        self.tables.frames.drop_to(to)?;
        self.let_logs_go(to)?;
        merge_small_files(&self.tables)
    }

    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        self.marked(self.mark.sync())?;
        self.tables.frames.drop_to(to)?;
        // What shares a column with later frames: what is written out as a file leaves out what was
        // deleted, and no log is needed any more.
        self.tables.frames.with_shared_at(to, |frames| {
            let end = to.next().0.to_be_bytes();
            self.tables.db.delete_range_cf_opt(frames, [0; 8], end, &synced())?;
            self.tables.db.flush_cf(frames)?;
            self.tables.rewrite(frames, &[0; 8], &end);
            Ok(())
        })?;
        self.let_logs_go(to)
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.marked(self.mark.sync())?;
        let (first, end) = (Lsn(2).0.to_be_bytes(), to.next().0.to_be_bytes());
        if first >= end {
            return Ok(());
        }
        let events = self.tables.column(EVENTS);
        self.tables.db.delete_range_cf_opt(&events, first, end, &synced())?;
        self.tables.db.flush_cf(&events)?;
        self.tables.rewrite(&events, &first, &end);
        Ok(())
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.marked(self.mark.write(tail).and_then(|()| self.mark.sync()))?;
        // Out of the write-ahead log and into table files, where every bit is under a checksum.
        self.tables.frames.flush()?;
        self.tables.flush_logged()
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.marked(self.mark.read())
    }

    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        self.copy_into(dir)
    }

    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(Self {
            tables: self.tables.clone(),
            dir: self.dir.clone(),
            epoch: self.epoch,
            lock: self.lock.clone(),
            mark: self.mark.clone(),
            failed: self.failed,
        })
    }
}

/// The last records of all columns that have some.
fn lasts(tables: &RocksTables) -> Result<Vec<Tail>, JournalError> {
    let mut columns = tables.frames.all();
    columns.push(tables.column(EVENTS));
    let mut lasts = Vec::with_capacity(columns.len());
    for column in columns {
        lasts.extend(last_of(tables, &column)?);
    }
    Ok(lasts)
}

fn last_of(
    tables: &RocksTables,
    column: &Arc<BoundColumnFamily<'_>>,
) -> Result<Option<Tail>, JournalError> {
    let mut iterator = tables.db.raw_iterator_cf_opt(column, reading_one());
    iterator.seek_to_last();
    let records = Records::at(iterator)?;
    let Some(lsn) = records.lsn else { return Ok(None) };
    let tail = tail_of(lsn, records.iterator.value().unwrap_or_default());
    let damaged = || JournalError::Damaged { lsn, why: "it is less than a header".into() };
    tail.map(Some).ok_or_else(damaged)
}

/// The records of one column, one after the other.
struct Records<'a> {
    iterator: DBRawIteratorWithThreadMode<'a, Database>,
    /// Where it stands.
    lsn: Option<Lsn>,
}

impl<'a> Records<'a> {
    fn start(tables: &'a RocksTables, column: &str, from: &[u8]) -> Result<Self, JournalError> {
        let mut iterator = tables.db.raw_iterator_cf_opt(&tables.column(column), reading());
        iterator.seek(from);
        Self::at(iterator)
    }

    /// From where the iterator stands.
    fn at(iterator: DBRawIteratorWithThreadMode<'a, Database>) -> Result<Self, JournalError> {
        let mut records = Self { iterator, lsn: None };
        records.look(Lsn(0))?;
        Ok(records)
    }

    fn hand_out(&mut self, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let lsn = self.lsn.expect("called where a record is");
        visit(lsn, self.iterator.value().expect("a valid iterator has a value"))?;
        self.iterator.next();
        self.look(lsn)
    }

    fn look(&mut self, last: Lsn) -> Result<(), JournalError> {
        let damaged = |why: String| JournalError::Damaged { lsn: last.next(), why };
        self.iterator.status().map_err(|error| damaged(error.into_string()))?;
        self.lsn = match self.iterator.key() {
            None => None,
            Some(key) => {
                let lsn = <[u8; 8]>::try_from(key)
                    .map_err(|_| damaged(format!("its key has {} bytes", key.len())))?;
                Some(Lsn(u64::from_be_bytes(lsn)))
            }
        };
        Ok(())
    }
}

/// Opens what lies in `dir` to read it: all columns but those that name the format.
fn read_only(dir: &Path) -> Result<RocksTables, JournalError> {
    let mut options = options();
    options.create_if_missing(false);
    let frames = frames::names(dir).map_err(|error| explain(dir, &error))?;
    let mut columns = vec![DEFAULT, EVENTS];
    columns.extend(frames.iter().map(String::as_str));
    tables().for_each(|table| columns.push(table));
    let db = Database::open_cf_for_read_only(&options, dir, columns, false);
    RocksTables::new(db.map_err(|error| explain(dir, &error))?, &frames)
}

fn tables() -> impl Iterator<Item = &'static str> {
    Table::ALL.into_iter().map(Table::name)
}

fn mark_failed(dir: &Path, error: &std::io::Error) -> JournalError {
    JournalError::Storage(format!("{}: {error}", dir.join(mark::FILE).display()))
}

/// Keeps other engines out for as long as the file is held.
fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK_FILE);
    let failed = |error: std::io::Error| {
        JournalError::Storage(format!("lock file {}: {error}", path.display()))
    };
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A ledger without RocksDB's `CURRENT` would be taken for no ledger at all. Its mark is written
/// behind the first record, its tables later still.
fn check_not_lost(dir: &Path) -> Result<(), JournalError> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    // A mark that is empty was made by a start that was cut off.
    let is_marked = || std::fs::metadata(dir.join(mark::FILE)).is_ok_and(|mark| mark.len() > 0);
    let is_left = |name: &str| name.ends_with(".sst") || name == mark::FILE && is_marked();
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    match names.find(|name| is_left(name)) {
        Some(found) => Err(JournalError::CurrentLost { dir: dir.to_owned(), found }),
        None => Ok(()),
    }
}

/// A directory is a journal's (RocksDB's `CURRENT` names it), or new, or empty.
fn check_directory(dir: &Path) -> Result<(), JournalError> {
    let failed = |error: std::io::Error| {
        JournalError::Storage(format!("data directory {}: {error}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(|error| {
        let is_behind_a_file = error.kind() == std::io::ErrorKind::NotADirectory;
        let no_folder = JournalError::NotAFolder { dir: dir.to_owned() };
        if is_behind_a_file { no_folder } else { failed(error) }
    })?;
    if dir.join("CURRENT").exists() {
        return Ok(());
    }
    check_not_lost(dir)?;
    // What RocksDB itself makes before it writes CURRENT may be left by a start that was cut off.
    let known = |name: &str| {
        [LOCK_FILE, mark::FILE, BOOTSTRAP_FILE, "tallystick.root", "LOCK", "LOG", "IDENTITY"]
            .contains(&name)
            || name.starts_with("LOG.old")
            || name.starts_with("MANIFEST-")
            || name.starts_with("OPTIONS-")
            || name.ends_with(".dbtmp")
    };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !name.to_str().is_some_and(known) {
            return Err(JournalError::NotAJournal { dir: dir.to_owned() });
        }
    }
    Ok(())
}

/// Turns RocksDB's failure to open into words. For a damaged write-ahead log it looks, read-only,
/// how far the records can still be read, so that the refusal can name the record.
fn explain(dir: &Path, error: &rocksdb::Error) -> JournalError {
    let text = error.to_string();
    if text.contains("LOCK")
        && (text.contains("No locks") || text.contains("temporarily unavailable"))
    {
        return JournalError::Locked { dir: dir.to_owned() };
    }
    if error.kind() != rocksdb::ErrorKind::Corruption {
        return JournalError::Storage(text);
    }
    let mut readable = options();
    readable.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    let mut records = frames::names(dir).unwrap_or_default();
    records.push(EVENTS.to_owned());
    let last = Database::open_cf_for_read_only(&readable, dir, &records, false).ok().map(|db| {
        let last = |name: &String| {
            let (key, _) = db.iterator_cf(&db.cf_handle(name)?, IteratorMode::End).next()?.ok()?;
            Some(u64::from_be_bytes(<[u8; 8]>::try_from(&*key).ok()?))
        };
        records.iter().filter_map(last).max().unwrap_or(0)
    });
    let last = last.unwrap_or(0);
    JournalError::Damaged { lsn: Lsn(last).next(), why: text }
}
