//! The journal in RocksDB: its own WAL with sync writes; one value a record, keyed by lsn.
//!
//! Owns the directory's lock and marker. Every RocksDB option is in `options`; what lies beside the
//! records in `tables`. Never looks into a record.

mod format;
mod merge;
mod options;
mod tables;

use super::mark::{self, Mark};
use super::record::FRAME;
use super::{FORMAT_VERSION, Framed, Journal, JournalError, Store, Table, Tail, Visit, wal};
use format::{FORMAT_COLUMN, META_FORMAT, check_format_of, other_format};
use options::{options, reading, synced};
use rocksdb::{
    ColumnFamilyDescriptor, DB, DBRawIterator, DBRecoveryMode, IteratorMode, WriteBatch,
};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tables::RocksStore;
use tallystick_ledger::types::Lsn;

const LOCK_FILE: &str = "tallystick.lock";
/// Records that hold vouchers; those below the last checkpoint are dropped.
const FRAMES: &str = "frames";
/// All other records, kept for ever.
const EVENTS: &str = "events";
const META_EPOCH: &[u8] = b"epoch";

/// What a write batch holds of a record besides its bytes: tag, column, lengths, key; and its
/// header.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// The journal of one data directory, locked for this process.
pub struct RocksJournal {
    store: RocksStore,
    dir: PathBuf,
    epoch: u32,
    /// RocksDB has a lock of its own, but takes it only when it opens, and the logs are looked
    /// through, and perhaps cut, before that.
    _lock: File,
    mark: Mark,
}

impl RocksJournal {
    /// Opens the journal in `dir`, or makes one in a new or empty directory, and starts a new
    /// epoch.
    ///
    /// # Errors
    /// `Locked`, `NotAJournal`, `OtherFormat`, `Damaged`, or the storage's own failure.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        check_directory(dir)?;
        let lock = lock(dir)?;
        wal::check_manifest(dir)?;
        check_format_of(dir)?;
        let mark = Mark::open(dir).map_err(|error| mark_failed(dir, &error))?;
        let known = mark.read().map_err(|error| mark_failed(dir, &error))?;
        wal::check(dir, known.map(|tail| tail.lsn))?;
        let columns = columns().map(|name| ColumnFamilyDescriptor::new(name, options()));
        let db = DB::open_cf_descriptors(&options(), dir, columns).map_err(|e| explain(dir, &e))?;
        let store = RocksStore::new(db);
        let mut journal = Self { store, dir: dir.to_owned(), epoch: 0, _lock: lock, mark };
        journal.check_format()?;
        let epoch = journal.meta(META_EPOCH)?.map_or(0, |bytes: [u8; 4]| u32::from_le_bytes(bytes));
        journal.epoch = epoch.checked_add(1).ok_or_else(|| {
            JournalError::Storage("the engine was started 2^32 times on this directory".into())
        })?;
        journal.store.commit(META_EPOCH, &journal.epoch.to_le_bytes())?;
        Ok(journal)
    }

    /// Opens the journal in `dir` to read it; changes nothing, and keeps engines out meanwhile.
    ///
    /// # Errors
    /// `Locked`, `NotAJournal`, `OtherFormat`, `Damaged`, or the storage's own failure.
    pub fn open_read_only(dir: &Path) -> Result<Self, JournalError> {
        if !Self::exists(dir)? {
            return Err(JournalError::NotAJournal { dir: dir.to_owned() });
        }
        let lock = lock(dir)?;
        wal::check_manifest(dir)?;
        check_format_of(dir)?;
        let mark = Mark::open(dir).map_err(|error| mark_failed(dir, &error))?;
        let mut options = options();
        options.create_if_missing(false);
        let db = DB::open_cf_for_read_only(&options, dir, columns(), false)
            .map_err(|error| explain(dir, &error))?;
        let store = RocksStore::new(db);
        let journal = Self { store, dir: dir.to_owned(), epoch: 0, _lock: lock, mark };
        match journal.meta::<2>(META_FORMAT)?.map(u16::from_le_bytes) {
            Some(FORMAT_VERSION) => Ok(journal),
            Some(found) => Err(other_format(found)),
            None => Err(JournalError::NotAJournal { dir: dir.to_owned() }),
        }
    }

    /// Whether a directory holds a journal, however short.
    ///
    /// # Errors
    /// `CurrentLost` when it holds what is left of one.
    pub fn exists(dir: &Path) -> Result<bool, JournalError> {
        if dir.join("CURRENT").exists() {
            return Ok(true);
        }
        check_not_lost(dir)?;
        Ok(false)
    }

    /// Whether it holds no record yet.
    ///
    /// # Errors
    /// `Damaged`, or the storage's own failure.
    pub fn is_empty(&self) -> Result<bool, JournalError> {
        // The first record is no frame, and events are kept for ever.
        Ok(Records::start(&self.store, EVENTS, &[])?.lsn.is_none())
    }

    /// The how-manieth start on this directory this is; the first is 1.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    fn check_format(&mut self) -> Result<(), JournalError> {
        match self.meta::<2>(META_FORMAT)?.map(u16::from_le_bytes) {
            None => self.store.commit(META_FORMAT, &FORMAT_VERSION.to_le_bytes()),
            Some(FORMAT_VERSION) => Ok(()),
            Some(found) => Err(other_format(found)),
        }
    }

    fn meta<const N: usize>(&self, key: &[u8]) -> Result<Option<[u8; N]>, JournalError> {
        let Some(bytes) = self.store.get(Table::Meta, key)? else {
            return Ok(None);
        };
        let length = bytes.len();
        let wrong = |_| JournalError::Storage(format!("entry {key:?} has {length} bytes, not {N}"));
        bytes.try_into().map(Some).map_err(wrong)
    }
}

impl Journal for RocksJournal {
    fn append(&mut self, group: &[Framed]) -> Result<(), JournalError> {
        let (frames, events) = (self.store.column(FRAMES), self.store.column(EVENTS));
        // Room for all of it at once: growing would copy every record several times.
        let bytes = group.iter().map(|framed| framed.bytes.len() + RECORD_OVERHEAD_BYTES).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        for framed in group {
            let column = if framed.kind() == FRAME { frames } else { events };
            batch.put_cf(column, framed.lsn.0.to_be_bytes(), &framed.bytes);
        }
        self.store.db.write_opt(batch, &synced())?;
        match group.last() {
            None => Ok(()),
            Some(last) => {
                self.mark.write(last.tail()).map_err(|error| mark_failed(&self.dir, &error))
            }
        }
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let start = from.0.to_be_bytes();
        let mut frames = Records::start(&self.store, FRAMES, &start)?;
        let mut events = Records::start(&self.store, EVENTS, &start)?;
        loop {
            let next = match (frames.lsn, events.lsn) {
                (None, None) => return Ok(()),
                (Some(frame), Some(event)) if frame < event => &mut frames,
                (Some(_), None) => &mut frames,
                (_, Some(_)) => &mut events,
            };
            next.hand_out(visit)?;
        }
    }

    fn read_events(&self, to: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.store.read_events(to, visit)
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.mark.write_durably(tail).map_err(|error| mark_failed(&self.dir, &error))?;
        // Out of the write-ahead log and into table files, where every bit is under a checksum.
        self.store.db.flush_cf(self.store.column(FRAMES))?;
        self.store.flush_logged()
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.mark.read().map_err(|error| mark_failed(&self.dir, &error))
    }
}

/// The records of one column, one after the other.
struct Records<'a> {
    iterator: DBRawIterator<'a>,
    /// Where it stands.
    lsn: Option<Lsn>,
}

impl<'a> Records<'a> {
    fn start(store: &'a RocksStore, column: &str, from: &[u8]) -> Result<Self, JournalError> {
        let mut iterator = store.db.raw_iterator_cf_opt(store.column(column), reading());
        iterator.seek(from);
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

fn columns() -> impl Iterator<Item = &'static str> {
    ["default", FRAMES, EVENTS, FORMAT_COLUMN].into_iter().chain(Table::ALL.map(Table::name))
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
    std::fs::create_dir_all(dir).map_err(failed)?;
    if dir.join("CURRENT").exists() {
        return Ok(());
    }
    check_not_lost(dir)?;
    // What RocksDB itself makes before it writes CURRENT may be left by a start that was cut off.
    let known = |name: &str| {
        [LOCK_FILE, mark::FILE, "LOCK", "LOG", "IDENTITY"].contains(&name)
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
    let last = DB::open_cf_for_read_only(&readable, dir, [FRAMES, EVENTS], false)
        .ok()
        .and_then(|db| {
            let last = |column| {
                let records = db.cf_handle(column)?;
                let (key, _) = db.iterator_cf(records, IteratorMode::End).next()?.ok()?;
                Some(u64::from_be_bytes(<[u8; 8]>::try_from(&*key).ok()?))
            };
            last(FRAMES).max(last(EVENTS))
        })
        .unwrap_or(0);
    JournalError::Damaged { lsn: Lsn(last).next(), why: text }
}

#[cfg(test)]
mod tests {
    use super::super::{Chain, replay};
    use super::*;
    use tallystick_ledger::types::Timestamp;

    fn three_records(chain: &mut Chain, epoch: u32) -> Vec<Framed> {
        (0..3).map(|i| chain.frame(epoch, Timestamp(7), 2, 1, &[&[i; 100]])).collect()
    }

    #[test]
    fn records_are_read_back_after_a_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain::start();
        let mut journal = RocksJournal::open(dir.path()).unwrap();
        assert_eq!(journal.epoch(), 1);
        journal.append(&three_records(&mut chain, 1)).unwrap();
        journal.remember(chain.tail()).unwrap();
        drop(journal);
        let journal = RocksJournal::open(dir.path()).unwrap();
        assert_eq!(journal.epoch(), 2);
        let mut bodies = Vec::new();
        let mut again = Chain::start();
        replay(&journal, &mut again, &mut |record| {
            bodies.push(record.body.to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!(again.tail(), chain.tail());
        assert_eq!(bodies, [vec![0; 100], vec![1; 100], vec![2; 100]]);
    }

    #[test]
    fn a_second_journal_on_the_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _held = RocksJournal::open(dir.path()).unwrap();
        let second = RocksJournal::open(dir.path()).err().unwrap();
        assert!(matches!(second, JournalError::Locked { .. }), "{second}");
    }

    #[test]
    fn a_directory_with_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
        let refused = RocksJournal::open(dir.path()).err().unwrap();
        assert!(matches!(refused, JournalError::NotAJournal { .. }), "{refused}");
    }

    /// The logs of 20 million vouchers stood in the directory, for the sake of one registration.
    #[test]
    fn a_trim_lets_the_write_ahead_logs_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain::start();
        let mut journal = RocksJournal::open(dir.path()).unwrap();
        journal.append(&[chain.frame(1, Timestamp(7), 16, 1, &[&[1; 100]])]).unwrap();
        let body = vec![7; 1 << 20];
        for _ in 0..7 {
            for _ in 0..80 {
                journal.append(&[chain.frame(1, Timestamp(7), 2, 1, &[&body])]).unwrap();
            }
            journal.store().trim(chain.tail().lsn).unwrap();
        }
        let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        let logs = files.filter(|file| file.path().extension().is_some_and(|e| e == "log"));
        let bytes: u64 = logs.map(|file| file.metadata().unwrap().len()).sum();
        // 560 MiB were written; what no file holds yet is at most what the memtables hold.
        assert!(bytes < 384 << 20, "{bytes} bytes of logs");
    }

    #[test]
    fn a_journal_shorter_than_remembered_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain::start();
        let mut journal = RocksJournal::open(dir.path()).unwrap();
        journal.append(&three_records(&mut chain, 1)).unwrap();
        let tail = Tail { lsn: Lsn(4), ..chain.tail() };
        journal.remember(tail).unwrap();
        let error = replay(&journal, &mut Chain::start(), &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { lsn: Lsn(4), .. }), "{error}");
    }

    /// One file stayed open for each window that was ever closed, and one for each batch: on the
    /// usual limit of 1,024 open files the engine stopped for good after 17 hours of a window a
    /// minute.
    #[test]
    fn small_pages_leave_no_file_each_and_small_files_are_merged() {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain::start();
        let mut journal = RocksJournal::open(dir.path()).unwrap();
        let store = journal.store();
        let tables = || {
            let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
            files.filter(|file| file.path().extension().is_some_and(|e| e == "sst")).count()
        };
        let mut most = 0;
        for n in 0..640u64 {
            for table in [Table::Windows, Table::Batches, Table::Calls] {
                store.put(table, &n.to_be_bytes(), &[7; 300]).unwrap();
                store.sync(table).unwrap();
            }
            journal.append(&[chain.frame(1, Timestamp(7), 16, 1, &[&[1; 100]])]).unwrap();
            if n % 8 == 7 {
                store.trim(Lsn(0)).unwrap();
                most = most.max(tables());
            }
        }
        // 80 trims of four columns; a run of sixteen is merged, and those that RocksDB has not
        // deleted yet.
        assert!(most < 4 * (16 + 16 + 4), "{most} table files");
        for n in 0..640u64 {
            assert_eq!(store.get(Table::Windows, &n.to_be_bytes()).unwrap(), Some(vec![7; 300]));
        }
    }

    /// As a kill leaves them: the directory is copied while the engine runs.
    #[test]
    fn pages_are_there_after_a_kill_once_they_were_synced_however_many_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let journal = RocksJournal::open(&dir.path().join("live")).unwrap();
        let store = journal.store();
        // A few, many together, and a few again: through the log, past it, and both.
        let sizes = [300, 300_000, 2_000_000, 300, 900_000];
        for (n, size) in (0u8..).zip(sizes) {
            for piece in 0..3u8 {
                store.put(Table::Windows, &[n, piece], &vec![n; size]).unwrap();
            }
            store.sync(Table::Windows).unwrap();
        }
        store.remove(Table::Windows, &[3], &[4]).unwrap();
        store.put(Table::Windows, &[9, 9], &[1]).unwrap();
        let dead = dir.path().join("dead");
        std::fs::create_dir(&dead).unwrap();
        for entry in std::fs::read_dir(dir.path().join("live")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dead.join(entry.file_name())).unwrap();
        }
        let again = RocksJournal::open(&dead).unwrap().store();
        for (n, size) in (0u8..).zip(sizes) {
            let wanted = (n != 3).then(|| vec![n; size]);
            for piece in 0..3u8 {
                assert_eq!(again.get(Table::Windows, &[n, piece]).unwrap(), wanted, "{n}");
            }
        }
        assert_eq!(again.get(Table::Windows, &[9, 9]).unwrap(), None, "it was not synced");
    }
}
