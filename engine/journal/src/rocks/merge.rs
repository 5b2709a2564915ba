//! Merging small files. Each trim, and each start, writes what the logs held into files that may be
//! small; their keys mostly ascend, so they never overlap and RocksDB's own compaction never merges
//! them.
//!
//! A run of small neighbours becomes one file; a file that is large enough is never written again.
//! So a byte is written a few times in its life, and a column of B bytes has about B /
//! `LARGE_BYTES` files.

use super::super::{JournalError, Table};
use super::EVENTS;
use super::tables::RocksTables;
use rocksdb::{BottommostLevelCompaction, CompactOptions, LiveFile};

/// Files of so many bytes stay as they are.
const LARGE_BYTES: usize = 8 << 20;
/// Small neighbours that are merged at once: few enough that this takes a moment, many enough that
/// a byte is written again seldom.
const RUN_MIN: usize = 16;
const RUN_MAX: usize = 64;
/// Bytes that are merged at once.
const RUN_BYTES_MAX: usize = 64 << 20;

/// Merges at most one run in each column that is kept for ever. (Frames go by whole columns.) What
/// RocksDB cannot merge stays as it is; if it cannot write, the next write says so.
pub(super) fn merge_small_files(tables: &RocksTables) -> Result<(), JournalError> {
    let files = tables.db.live_files()?;
    for column in [EVENTS].into_iter().chain(Table::ALL.map(Table::name)) {
        let mut of: Vec<&LiveFile> =
            files.iter().filter(|file| file.column_family_name == column).collect();
        of.sort_unstable_by(|a, b| a.start_key.cmp(&b.start_key));
        let Some(run) = run(&of) else { continue };
        let start = run.iter().filter_map(|file| file.start_key.as_ref()).min();
        let end = run.iter().filter_map(|file| file.end_key.as_ref()).max();
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        tables.db.compact_range_cf_opt(&tables.column(column), start, end, &options);
    }
    Ok(())
}

/// The first run of neighbours that is worth merging.
fn run<'a, 'f>(files: &'a [&'f LiveFile]) -> Option<&'a [&'f LiveFile]> {
    files.split(|file| file.size >= LARGE_BYTES).find_map(|small| {
        let mut bytes = 0;
        let fits = |file: &&&LiveFile| {
            bytes += file.size;
            bytes <= RUN_BYTES_MAX
        };
        let length = small.iter().take(RUN_MAX).take_while(fits).count();
        (length >= RUN_MIN).then(|| &small[..length])
    })
}
