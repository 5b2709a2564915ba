//! How far an endpoint has been told: one row each, durable beside the journal. Losing it means
//! that it is told again, never that something is skipped.

use crate::journal::{JournalError, Table, Tables, VisitPage, rocks};
use crate::limits::HOOK_REASON_BYTES_MAX;
use crate::types::{Lsn, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;

/// A place among what an endpoint can be told: a record, and which of what happened in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The record.
    pub lsn: Lsn,
    /// Which of several in it.
    pub index: u32,
}

impl Place {
    /// The first of a record.
    pub fn of(lsn: Lsn) -> Self {
        Self { lsn, index: 0 }
    }
}

/// How far an endpoint has been told, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Everything before it was told.
    pub next: Place,
    /// Deliveries of what is next that failed.
    pub failures: u32,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// Since when it is not tried any more.
    pub paused: Option<Timestamp>,
    /// Why the last delivery failed.
    pub reason: String,
}

const VERSION: u8 = 1;
const FIXED: usize = 1 + 8 + 4 + 4 + 3 * 8;
const PREFIX: &[u8] = b"webhook ";

fn key(endpoint: Lsn) -> Vec<u8> {
    [PREFIX, &endpoint.0.to_be_bytes()].concat()
}

impl Row {
    /// Nothing was told yet from here on.
    pub fn at(next: Place) -> Self {
        let (failing_since, next_try, paused) = (None, None, None);
        Self { next, failures: 0, failing_since, next_try, paused, reason: String::new() }
    }

    fn bytes(&self) -> Vec<u8> {
        let times = [self.failing_since, self.next_try, self.paused];
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.next.lsn.0.to_le_bytes());
        bytes.extend_from_slice(&self.next.index.to_le_bytes());
        bytes.extend_from_slice(&self.failures.to_le_bytes());
        for time in times {
            bytes.extend_from_slice(&time.map_or(0, |time| time.0).to_le_bytes());
        }
        let end = self.reason.floor_char_boundary(HOOK_REASON_BYTES_MAX);
        bytes.extend_from_slice(&self.reason.as_bytes()[..end]);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (fixed, reason) = bytes.split_first_chunk::<FIXED>()?;
        let (numbers, times) = fixed[1..].split_first_chunk::<16>()?;
        let (times, []) = times.as_chunks::<8>() else { return None };
        let time = |place: usize| {
            let time = i64::from_le_bytes(times[place]);
            (time != 0).then_some(Timestamp(time))
        };
        (fixed[0] == VERSION).then_some(())?;
        let index = u32::from_le_bytes(*numbers[8..].first_chunk()?);
        Some(Self {
            next: Place { lsn: Lsn(u64::from_le_bytes(*numbers.first_chunk()?)), index },
            failures: u32::from_le_bytes(*numbers[12..].first_chunk()?),
            failing_since: time(0),
            next_try: time(1),
            paused: time(2),
            reason: String::from_utf8(reason.to_vec()).ok()?,
        })
    }
}

/// Every row. One that cannot be read is as good as none.
///
/// # Errors
/// Of the storage.
pub fn load(tables: &dyn Tables) -> Result<BTreeMap<Lsn, Row>, JournalError> {
    collect(|visit| tables.scan(Table::Meta, PREFIX, &end(), visit))
}

/// Every row in a data directory, whether an engine runs there or not.
///
/// # Errors
/// Of the storage.
pub fn glance(dir: &Path) -> Result<BTreeMap<Lsn, Row>, JournalError> {
    collect(|visit| rocks::glance(dir, PREFIX, &end(), visit))
}

fn end() -> Vec<u8> {
    [&PREFIX[..PREFIX.len() - 1], &[PREFIX[PREFIX.len() - 1] + 1]].concat()
}

fn collect(
    scan: impl FnOnce(&mut VisitPage<'_>) -> Result<(), JournalError>,
) -> Result<BTreeMap<Lsn, Row>, JournalError> {
    let mut rows = BTreeMap::new();
    scan(&mut |key, bytes| {
        let endpoint = key.get(PREFIX.len()..).and_then(|rest| rest.try_into().ok());
        if let (Some(endpoint), Some(row)) = (endpoint, Row::read(bytes)) {
            rows.insert(Lsn(u64::from_be_bytes(endpoint)), row);
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Makes rows durable; those without a value are gone.
///
/// # Errors
/// Of the storage.
pub fn keep(tables: &dyn Tables, rows: &[(Lsn, Option<Row>)]) -> Result<(), JournalError> {
    for (endpoint, row) in rows {
        let key = key(*endpoint);
        if let Some(row) = row {
            tables.put(Table::Meta, &key, &row.bytes())?;
        } else {
            let mut end = key.clone();
            end.push(0);
            tables.remove(Table::Meta, &key, &end)?;
        }
    }
    tables.sync(Table::Meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::memory::Memory;

    #[test]
    fn rows_are_read_back_and_what_is_none_is_left_out() {
        assert!(Table::Meta.is_underived(&key(Lsn(1))), "each node of a ledger has it");
        let journal = Memory::journal();
        let memory = &*journal.tables;
        let row = Row {
            next: Place { lsn: Lsn(0x0102), index: 7 },
            failures: 3,
            failing_since: Some(Timestamp(5)),
            next_try: None,
            paused: Some(Timestamp(9)),
            reason: "no answer in time".into(),
        };
        let bare = Row::at(Place::of(Lsn(4)));
        let rows = [(Lsn(3), Some(row.clone())), (Lsn(9), Some(bare.clone()))];
        keep(memory, &rows).unwrap();
        memory.commit(b"webhool", b"another's").unwrap();
        memory.commit(&key(Lsn(5)), b"?").unwrap();
        assert_eq!(load(memory).unwrap(), BTreeMap::from([(Lsn(3), row), (Lsn(9), bare.clone())]));
        keep(memory, &[(Lsn(3), None)]).unwrap();
        assert_eq!(load(memory).unwrap(), BTreeMap::from([(Lsn(9), bare)]));
        let long = Row { reason: "ä".repeat(HOOK_REASON_BYTES_MAX), ..Row::at(Place::of(Lsn(1))) };
        assert!(Row::read(&long.bytes()).unwrap().reason.len() <= HOOK_REASON_BYTES_MAX);
    }
}
