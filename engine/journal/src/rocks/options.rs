//! Every option of RocksDB, with its reason.

use rocksdb::{DBCompressionType, DBRecoveryMode, Options, ReadOptions, WriteOptions};
use rustix::process::{Resource, getrlimit};
use tallystick_ledger::limits::{STORE_FILES_MAX, STORE_FILES_MIN};

/// A memtable holds this much before it is written out as a file: long runs of records, few files.
const MEMTABLE_BYTES: usize = 64 << 20;
/// Memtables that may wait to be written out before appends are slowed down.
const MEMTABLES: i32 = 4;
/// Bytes of write-ahead logs: what comes between two checkpoints, and while one is made, twice.
const WAL_BYTES_MAX: u64 = 768 << 20;
/// Bytes of RocksDB's list of its files before it is begun anew; a start reads it twice.
const MANIFEST_BYTES_MAX: usize = 16 << 20;
/// Bytes of one of RocksDB's own text logs, of which the newest few are kept.
const LOG_BYTES_MAX: usize = 256 << 10;
const LOGS_KEPT: usize = 4;

/// Of the database and of each of its columns.
pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(MEMTABLES);
    // Whatever holds a log back is written to a file when they are so large together.
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    // Signatures and hashes do not compress.
    options.set_compression_type(DBCompressionType::None);
    // Keys mostly ascend, so files rarely overlap and compaction moves them without rewriting.
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(2);
    // An unfinished write at the very end was never acked and is cut off; damage anywhere else
    // makes the open fail. (The default would silently drop every record after the damage.)
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // What is kept for ever lies in more and more files; only so many of them are open at once.
    options.set_max_open_files(open_files());
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    options.set_keep_log_file_num(LOGS_KEPT);
    options.set_max_log_file_size(LOG_BYTES_MAX);
    // Figures that nobody reads, every ten minutes for ever.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// Files that RocksDB may hold open: a quarter of what the process may, so that connections have
/// the rest.
fn open_files() -> i32 {
    let all = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = i32::try_from(all / 4).unwrap_or(i32::MAX);
    share.clamp(STORE_FILES_MIN, STORE_FILES_MAX)
}

/// For reading many keys, one after the other.
pub(super) fn reading() -> ReadOptions {
    let mut options = reading_one();
    options.set_readahead_size(8 << 20);
    options
}

/// For reading one key.
pub(super) fn reading_one() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.fill_cache(false);
    options
}

/// Durable when it returns.
pub(super) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// Past the write-ahead log: durable once its column was written out as a file.
pub(super) fn past_the_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}
