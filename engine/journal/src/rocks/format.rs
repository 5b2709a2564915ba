//! Which format a directory has, looked up before anything in it is changed.

use super::Database;
use super::options::options;
use crate::{JournalError, Table};
use std::path::Path;

/// Where format 1 kept all records.
const RECORDS_OF_FORMAT_1: &str = "records";
/// The format of the directory: 8 since frames lie in columns that come and go, and evidence can be
/// of bundles. Records have a format of their own.
pub(super) const DIRECTORY_FORMAT: u16 = 8;
/// Those before that are read: in 7 all frames lie in one column and nothing was credited by a
/// bundle, in 6 no event has left for an archive either. Nothing else is different.
const FORMER_FORMATS: [u16; 2] = [6, 7];
/// An empty column that names the format, as every format since 3 has one: the names of columns can
/// be listed without opening what is in them. It is made before those of the tables.
pub(super) const FORMAT_COLUMN: &str = "format 8";
const FORMAT_PREFIX: &str = "format ";
/// The entry that names the format, since format 2.
pub(super) const META_FORMAT: &[u8] = b"format";

pub(super) fn other_format(found: u16) -> JournalError {
    JournalError::OtherFormat { found: found.to_string(), wanted: DIRECTORY_FORMAT }
}

/// Whether a directory of this format can be read.
pub(super) fn is_read(format: u16) -> bool {
    format == DIRECTORY_FORMAT || FORMER_FORMATS.contains(&format)
}

/// Refuses a directory of another format before anything in it is touched: opening it to write
/// would already move what is in its logs. Returns its columns that name a format before: a start
/// makes the one of today first, and then takes these away.
pub(super) fn check_format_of(dir: &Path) -> Result<Vec<String>, JournalError> {
    if !dir.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    // Where it cannot be listed, it cannot be opened, and then RocksDB says why.
    let Ok(names) = Database::list_cf(&options(), dir) else { return Ok(Vec::new()) };
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let format = |name: &String| name.strip_prefix(FORMAT_PREFIX)?.parse().ok();
    match names.iter().filter_map(format).max() {
        Some(found) if is_read(found) => {
            let is_former = |name: &String| format(name).is_some_and(|of| of != DIRECTORY_FORMAT);
            Ok(names.into_iter().filter(is_former).collect())
        }
        Some(found) => Err(other_format(found)),
        None if has(RECORDS_OF_FORMAT_1) => Err(other_format(1)),
        // A start that gave a directory of the format before this one's made the column behind the
        // tables.
        None if has(Table::Meta.name()) => Err(JournalError::OtherFormat {
            found: "2 (or its MANIFEST is cut off)".to_owned(),
            wanted: DIRECTORY_FORMAT,
        }),
        // A directory that a first start did not finish.
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{open, open_read_only};
    use super::*;
    use crate::{Chain, Log as _, replay};
    use rocksdb::DB;
    use std::collections::BTreeMap;
    use tallystick_ledger::types::Timestamp;

    /// The files of a directory with their bytes, but what RocksDB notes about itself and the lock.
    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
        let own = named.filter(|(name, _)| !name.starts_with("LOG") && name != "tallystick.lock");
        own.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
    }

    /// A directory with the columns of another format, and a record.
    fn directory(marker: Option<&str>, kept: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut creating = options();
        creating.create_if_missing(true);
        creating.create_missing_column_families(true);
        let columns = ["default"].iter().chain(kept).copied().chain(marker);
        let db = DB::open_cf(&creating, dir.path(), columns).unwrap();
        let records = db.cf_handle(kept[0]).unwrap();
        db.put_cf(records, 1u64.to_be_bytes(), b"a record").unwrap();
        drop(db);
        dir
    }

    /// What the engine signed in format 2 does not say what later formats say; before format 4
    /// names and accounts were in plain text, and checkpoints did not hold the whole state; in
    /// format 4 approvals and words have no place for a signature, in format 5 rows of windows none
    /// for an archive, and nobody has an identity. Formats 6 and 7 are read.
    #[test]
    fn a_directory_of_an_earlier_or_a_later_format_is_refused_untouched() {
        let since_2 = ["frames", "events", "meta"];
        let all: [(u16, Option<&str>, &[&str]); 6] = [
            (1, None, &["records"]),
            (2, None, &since_2),
            (3, Some("format 3"), &since_2),
            (4, Some("format 4"), &since_2),
            (5, Some("format 5"), &since_2),
            (9, Some("format 9"), &since_2),
        ];
        for (format, marker, kept) in all {
            let dir = directory(marker, kept);
            let before = files(dir.path());
            let writing = open(dir.path()).map(drop);
            let reading = open_read_only(dir.path()).map(drop);
            for refused in [writing, reading] {
                let text = refused.unwrap_err().to_string();
                assert!(text.contains(&format!("the journal has format {format}")), "{text}");
                assert!(text.contains(", this engine reads 8"), "{text}");
            }
            assert!(files(dir.path()) == before, "format {format}: files were changed");
        }
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            drop(open(dir.path()).unwrap());
        }
        drop(open_read_only(dir.path()).unwrap());
    }

    fn formats(dir: &Path) -> Vec<String> {
        let mut names = DB::list_cf(&options(), dir).unwrap();
        names.retain(|name| name.starts_with(FORMAT_PREFIX));
        names
    }

    /// An engine of before names the format that it finds, and touches nothing. A directory of
    /// before is read as it is, and gets the new name from the first start, wherever that is cut
    /// off. Its frames are where they were, those that come go on behind them.
    #[test]
    fn a_directory_of_a_format_before_is_read_and_named_anew_by_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut columns: Vec<&str> = vec!["frames", "events"];
        columns.extend(Table::ALL.map(Table::name));
        for (former, cut_off) in [(6u16, false), (6, true), (7, false), (7, true)] {
            let path = dir.path().join(format!("{former} {cut_off}"));
            let name = format!("format {former}");
            let mut db =
                DB::open_cf(&options(), &path, columns.iter().chain(&[name.as_str()])).unwrap();
            let meta = db.cf_handle(Table::Meta.name()).unwrap();
            db.put_cf(meta, META_FORMAT, former.to_le_bytes()).unwrap();
            let mut chain = Chain::start();
            for (kind, column) in [(16, "events"), (2, "frames")] {
                let record = chain.frame(1, Timestamp(7), kind, 1, &[b"of before"]);
                let column = db.cf_handle(column).unwrap();
                db.put_cf(column, record.lsn.0.to_be_bytes(), &record.bytes).unwrap();
            }
            if cut_off {
                db.create_cf(FORMAT_COLUMN, &options()).unwrap();
            }
            drop(db);
            drop(open_read_only(&path).unwrap());
            assert!(formats(&path).contains(&name));
            for start in 0..2 {
                let mut log = open(&path).unwrap().log;
                assert_eq!(formats(&path), ["format 8"]);
                let mut again = Chain::start();
                replay(&log, &mut again, &mut |_| Ok(())).unwrap();
                assert_eq!(again.tail(), chain.tail(), "start {start}");
                log.append(&[chain.frame(2, Timestamp(7), 2, 1, &[b"of now"])]).unwrap();
                log.append(&[chain.frame(2, Timestamp(7), 16, 1, &[b"of now"])]).unwrap();
                if start > 0 {
                    log.trim(chain.tail().lsn).unwrap();
                }
            }
            // The column of before went with what it held.
            assert!(!DB::list_cf(&options(), &path).unwrap().contains(&"frames".to_owned()));
            drop(open_read_only(&path).unwrap());
        }
    }
}
