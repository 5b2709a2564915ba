//! Which format a directory has, looked up before anything in it is changed.

use super::options::options;
use crate::{JournalError, Table};
use rocksdb::DB;
use std::path::Path;

/// Where format 1 kept all records.
const RECORDS_OF_FORMAT_1: &str = "records";
/// The format of the directory: 6 since identities are in the journal, and the evidence of settled
/// windows can leave for archives. Records have a format of their own.
pub(super) const DIRECTORY_FORMAT: u16 = 6;
/// An empty column that names the format, as every format since 3 has one: the names of columns can
/// be listed without opening what is in them. It is made before those of the tables.
pub(super) const FORMAT_COLUMN: &str = "format 6";
const FORMAT_PREFIX: &str = "format ";
/// The entry that names the format, since format 2.
pub(super) const META_FORMAT: &[u8] = b"format";

pub(super) fn other_format(found: u16) -> JournalError {
    JournalError::OtherFormat { found: found.to_string(), wanted: DIRECTORY_FORMAT }
}

/// Refuses a directory of another format before anything in it is touched: opening it to write
/// would already move what is in its logs.
pub(super) fn check_format_of(dir: &Path) -> Result<(), JournalError> {
    if !dir.join("CURRENT").exists() {
        return Ok(());
    }
    // Where it cannot be listed, it cannot be opened, and then RocksDB says why.
    let Ok(names) = DB::list_cf(&options(), dir) else { return Ok(()) };
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let named = names.iter().find_map(|name| name.strip_prefix(FORMAT_PREFIX)?.parse().ok());
    match named {
        Some(DIRECTORY_FORMAT) => Ok(()),
        Some(found) => Err(other_format(found)),
        None if has(RECORDS_OF_FORMAT_1) => Err(other_format(1)),
        None if has(Table::Meta.name()) => Err(other_format(2)),
        // A directory that a first start did not finish.
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{open, open_read_only};
    use super::*;
    use std::collections::BTreeMap;

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
    /// for an archive, and nobody has an identity.
    #[test]
    fn a_directory_of_an_earlier_or_a_later_format_is_refused_untouched() {
        let since_2 = ["frames", "events", "meta"];
        let all: [(u16, Option<&str>, &[&str]); 6] = [
            (1, None, &["records"]),
            (2, None, &since_2),
            (3, Some("format 3"), &since_2),
            (4, Some("format 4"), &since_2),
            (5, Some("format 5"), &since_2),
            (7, Some("format 7"), &since_2),
        ];
        for (format, marker, kept) in all {
            let dir = directory(marker, kept);
            let before = files(dir.path());
            let writing = open(dir.path()).map(drop);
            let reading = open_read_only(dir.path()).map(drop);
            for refused in [writing, reading] {
                let text = refused.unwrap_err().to_string();
                let wanted = format!("the journal has format {format}, this engine reads 6");
                assert!(text.contains(&wanted), "{text}");
            }
            assert!(files(dir.path()) == before, "format {format}: files were changed");
        }
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            drop(open(dir.path()).unwrap());
        }
        drop(open_read_only(dir.path()).unwrap());
    }
}
