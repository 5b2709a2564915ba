//! The journal in RocksDB: its own WAL with sync writes; one value a record, keyed by lsn.
//!
//! Owns the directory's lock and marker, and every RocksDB option. Never looks into a record.

use super::mark::{self, Mark};
use super::{FORMAT_VERSION, Framed, Journal, JournalError, Tail, Visit, wal};
use crate::types::Lsn;
use rocksdb::{
    ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode,
    Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "tallystick.lock";
const RECORDS: &str = "records";
const META: &str = "meta";
const META_FORMAT: &[u8] = b"format";
const META_EPOCH: &[u8] = b"epoch";

/// A memtable holds this much before it is written out as a file: long runs of records, few files.
const MEMTABLE_BYTES: usize = 64 << 20;
/// What a write batch holds of a record besides its bytes: tag, column, lengths, key; and its header.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// Memtables that may wait to be written out before appends are slowed down.
const MEMTABLES: i32 = 4;

/// The journal of one data directory, locked for this process.
pub struct RocksJournal {
    db: DB,
    dir: PathBuf,
    epoch: u32,
    /// RocksDB has a lock of its own, but takes it only when it opens, and the logs are looked through,
    /// and perhaps cut, before that.
    _lock: File,
    mark: Mark,
}

impl RocksJournal {
    /// Opens the journal in `dir`, or makes one in a new or empty directory, and starts a new epoch.
    ///
    /// # Errors
    /// `Locked`, `NotAJournal`, `OtherFormat`, `Damaged`, or the storage's own failure.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        check_directory(dir)?;
        let lock = lock(dir)?;
        let mark = Mark::open(dir).map_err(|error| mark_failed(dir, &error))?;
        let known = mark.read().map_err(|error| mark_failed(dir, &error))?;
        wal::check(dir, known.map(|tail| tail.lsn))?;
        let column = |name| ColumnFamilyDescriptor::new(name, options());
        let columns = [column("default"), column(RECORDS), column(META)];
        let db = DB::open_cf_descriptors(&options(), dir, columns).map_err(|e| explain(dir, &e))?;
        let mut journal = Self { db, dir: dir.to_owned(), epoch: 0, _lock: lock, mark };
        journal.check_format()?;
        let epoch = journal.meta(META_EPOCH)?.map_or(0, |bytes: [u8; 4]| u32::from_le_bytes(bytes));
        journal.epoch = epoch.checked_add(1).ok_or_else(|| {
            JournalError::Storage("the engine was started 2^32 times on this directory".into())
        })?;
        journal.put_meta(META_EPOCH, &journal.epoch.to_le_bytes())?;
        Ok(journal)
    }

    /// The how-manieth start on this directory this is; the first is 1.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    fn check_format(&mut self) -> Result<(), JournalError> {
        match self.meta::<2>(META_FORMAT)?.map(u16::from_le_bytes) {
            None => self.put_meta(META_FORMAT, &FORMAT_VERSION.to_le_bytes()),
            Some(FORMAT_VERSION) => Ok(()),
            Some(found) => {
                let (found, wanted) = (found.to_string(), FORMAT_VERSION);
                Err(JournalError::OtherFormat { found, wanted })
            }
        }
    }

    fn meta<const N: usize>(&self, key: &[u8]) -> Result<Option<[u8; N]>, JournalError> {
        let Some(bytes) = self.db.get_cf(self.column(META), key)? else { return Ok(None) };
        let length = bytes.len();
        let wrong = |_| JournalError::Storage(format!("entry {key:?} has {length} bytes, not {N}"));
        bytes.try_into().map(Some).map_err(wrong)
    }

    fn put_meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        Ok(self.db.put_cf_opt(self.column(META), key, value, &synced())?)
    }

    fn column(&self, name: &str) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(name).expect("both column families were opened")
    }
}

impl Journal for RocksJournal {
    fn append(&mut self, group: &[Framed]) -> Result<(), JournalError> {
        let records = self.column(RECORDS);
        // Room for all of it at once: growing would copy every record several times.
        let bytes = group.iter().map(|framed| framed.bytes.len() + RECORD_OVERHEAD_BYTES).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        for framed in group {
            batch.put_cf(records, framed.lsn.0.to_be_bytes(), &framed.bytes);
        }
        self.db.write_opt(batch, &synced())?;
        match group.last() {
            None => Ok(()),
            Some(last) => {
                self.mark.write(last.tail()).map_err(|error| mark_failed(&self.dir, &error))
            }
        }
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.set_readahead_size(8 << 20);
        options.fill_cache(false);
        let start = from.0.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut next = from;
        for item in self.db.iterator_cf_opt(self.column(RECORDS), options, mode) {
            let damaged = |why: String| JournalError::Damaged { lsn: next, why };
            let (key, value) = item.map_err(|e| damaged(e.into_string()))?;
            let lsn = <[u8; 8]>::try_from(&*key)
                .map_err(|_| damaged(format!("its key has {} bytes", key.len())))?;
            let lsn = Lsn(u64::from_be_bytes(lsn));
            visit(lsn, &value)?;
            next = lsn.next();
        }
        Ok(())
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.mark.write_durably(tail).map_err(|error| mark_failed(&self.dir, &error))?;
        // Out of the write-ahead log and into table files, where every bit is under a checksum.
        for column in [RECORDS, META] {
            self.db.flush_cf(self.column(column))?;
        }
        Ok(())
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.mark.read().map_err(|error| mark_failed(&self.dir, &error))
    }
}

fn mark_failed(dir: &Path, error: &std::io::Error) -> JournalError {
    JournalError::Storage(format!("{}: {error}", dir.join(mark::FILE).display()))
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(MEMTABLES);
    // Signatures and hashes do not compress.
    options.set_compression_type(DBCompressionType::None);
    // Keys only ascend, so files never overlap and compaction moves them without rewriting.
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(2);
    // An unfinished write at the very end was never acked and is cut off; damage anywhere else makes
    // the open fail. (The default would silently drop every record after the damage.)
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_keep_log_file_num(4);
    options
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
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

/// A directory is a journal's (RocksDB's `CURRENT` names it), or new, or empty.
fn check_directory(dir: &Path) -> Result<(), JournalError> {
    let failed = |error: std::io::Error| {
        JournalError::Storage(format!("data directory {}: {error}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    if dir.join("CURRENT").exists() {
        return Ok(());
    }
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

/// Turns RocksDB's failure to open into words. For a damaged write-ahead log it looks, read-only, how
/// far the records can still be read, so that the refusal can name the record.
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
    let last = DB::open_cf_for_read_only(&readable, dir, [RECORDS], false)
        .ok()
        .and_then(|db| {
            let records = db.cf_handle(RECORDS)?;
            let (key, _) = db.iterator_cf(records, IteratorMode::End).next()?.ok()?;
            Some(u64::from_be_bytes(<[u8; 8]>::try_from(&*key).ok()?))
        })
        .unwrap_or(0);
    JournalError::Damaged { lsn: Lsn(last).next(), why: text }
}

#[cfg(test)]
mod tests {
    use super::super::{Chain, replay};
    use super::*;
    use crate::types::Timestamp;

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
}
