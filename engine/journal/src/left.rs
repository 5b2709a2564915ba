//! Events that have left the log for files: which, and which files. Rows of the table `meta`, each
//! durable before any of its events is let go.
//!
//! | key | value |
//! |---|---|
//! | `events ` and the first event u64, big endian | last lsn u64, its digest, its timestamp i64, the file's digest, its bytes u64 |

use super::{JournalError, Log, Table, Tables};
use tallystick_ledger::event::ArchiveId;
use tallystick_ledger::types::{Digest, History, Lsn, Timestamp};

const PREFIX: &[u8; 7] = b"events ";
/// Behind every key of these rows.
const END: &[u8; 7] = b"events!";
const ROW_BYTES: usize = 8 + 32 + 8 + 32 + 8;

/// A run of events in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The record behind the run before: the first of them, or a frame before that.
    pub first: Lsn,
    /// The last of them.
    pub last: History,
    /// When that was sequenced.
    pub at: Timestamp,
    /// The file.
    pub file: ArchiveId,
}

impl Left {
    fn key(first: Lsn) -> [u8; 15] {
        let mut key = [0; 15];
        key[..7].copy_from_slice(PREFIX);
        key[7..].copy_from_slice(&first.0.to_be_bytes());
        key
    }

    fn encode(&self) -> [u8; ROW_BYTES] {
        let mut row = [0; ROW_BYTES];
        row[..8].copy_from_slice(&self.last.lsn.0.to_le_bytes());
        row[8..40].copy_from_slice(&self.last.digest.0);
        row[40..48].copy_from_slice(&self.at.0.to_le_bytes());
        row[48..80].copy_from_slice(&self.file.digest.0);
        row[80..].copy_from_slice(&self.file.bytes.to_le_bytes());
        row
    }

    fn decode(key: &[u8], row: &[u8]) -> Option<Self> {
        fn part<const N: usize>(row: &[u8; ROW_BYTES], at: usize) -> [u8; N] {
            *row[at..].first_chunk().expect("fields lie within their row")
        }
        let row: &[u8; ROW_BYTES] = row.try_into().ok()?;
        let first = Lsn(u64::from_be_bytes(key.get(7..)?.try_into().ok()?));
        let (lsn, digest) = (Lsn(u64::from_le_bytes(part(row, 0))), Digest(part(row, 8)));
        let at = Timestamp(i64::from_le_bytes(part(row, 40)));
        let (name, bytes) = (Digest(part(row, 48)), u64::from_le_bytes(part(row, 80)));
        let file = ArchiveId { digest: name, bytes };
        Some(Self { first, last: History { lsn, digest }, at, file })
    }
}

/// Remembers that events have left. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn put(tables: &dyn Tables, left: &Left) -> Result<(), JournalError> {
    tables.commit(&Left::key(left.first), &left.encode())
}

/// All that have left, from the first one on: each run begins where the one before ends.
///
/// # Errors
/// `JournalError` of the storage; `Storage` when a row is missing or is none.
pub fn list(tables: &dyn Tables) -> Result<Vec<Left>, JournalError> {
    let mut found: Vec<Left> = Vec::new();
    tables.scan(Table::Meta, PREFIX, END, &mut |key, row| {
        let next = found.last().map_or(Lsn(1), |left| left.last.lsn.next());
        let left = Left::decode(key, row).filter(|of| of.first == next && of.last.lsn >= next);
        let wrong = || {
            JournalError::Storage(format!("what is kept of events from {next} on is none of it"))
        };
        found.push(left.ok_or_else(wrong)?);
        Ok(())
    })?;
    Ok(found)
}

/// Whether the log holds events that have left up to this record.
///
/// # Errors
/// `JournalError` of the storage.
pub fn are_here(log: &dyn Log, to: Lsn) -> Result<bool, JournalError> {
    let mut found = false;
    let visited = log.events_between(Lsn(2), to, &mut |_, _| {
        found = true;
        Err(JournalError::Storage(String::new()))
    });
    if found { Ok(true) } else { visited.map(|()| false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn left(first: u64, last: u64) -> Left {
        let (last, at) = (History { lsn: Lsn(last), digest: Digest([7; 32]) }, Timestamp(-5));
        Left {
            first: Lsn(first),
            last,
            at,
            file: ArchiveId { digest: Digest([8; 32]), bytes: 300 },
        }
    }

    #[test]
    fn runs_are_read_back_in_order_and_one_that_is_missing_is_noticed() {
        let tables = Memory::journal().tables;
        tables.commit(b"epoch", b"1").unwrap();
        tables.commit(b"format", b"1").unwrap();
        assert_eq!(list(&*tables).unwrap(), []);
        let runs = [left(1, 300), left(301, 301), left(302, 70_000)];
        runs.iter().for_each(|run| put(&*tables, run).unwrap());
        assert_eq!(list(&*tables).unwrap(), runs);
        let tables = Memory::journal().tables;
        put(&*tables, &runs[0]).unwrap();
        put(&*tables, &runs[2]).unwrap();
        assert!(list(&*tables).unwrap_err().to_string().contains("from 301 on"));
    }
}
