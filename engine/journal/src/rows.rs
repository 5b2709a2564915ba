//! The rows of the control state: the table `control`, which is always as of the last checkpoint
//! that counts.
//!
//! | table | key | value |
//! |---|---|---|
//! | checkpoints | section 3, segment u64, page u32; big endian | changes of rows, then their digest |
//! | control | the row's key | digest of key and row, then the row |
//! | meta | `control` | the segment that table `control` is as of, u64 |
//!
//! A checkpoint first writes which rows change, as pages of its own segment, and changes none. Its
//! commit makes them count, as it does the pages of shards. Only then are the rows themselves
//! changed; and if that is cut off, the next start changes them again from the same pages before it
//! reads any. So what is read is as of one position and no other, and nothing that counts is
//! written over before what follows it counts.
//!
//! The commit says how many rows there are, and the sum of their digests: a row that is lost, old
//! or changed is noticed. Rows of legs are not counted: they are read when they are needed, and
//! each batch says itself of which record its pages are. Never knows what a row means.

use super::checkpoint::Commit;
use super::{JournalError, Table, Tables, VisitPage};
use tallystick_ledger::canary::{Bug, planted};
use tallystick_ledger::row::{RowChange, Section};
use tallystick_ledger::types::{Digest, checkpoint_digest};

/// The table that is as of a segment.
const META_APPLIED: &[u8] = b"control";

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// How many rows are kept, those of legs apart, and the sum of their digests (mod 2^256).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum {
    /// How many.
    pub count: u64,
    /// Little endian.
    pub sum: [u8; 32],
}

impl RowSum {
    fn add(&mut self, digest: &[u8; 32]) {
        self.count += 1;
        let mut carry = 0u16;
        for (byte, more) in self.sum.iter_mut().zip(digest) {
            let sum = u16::from(*byte) + u16::from(*more) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
    }

    fn take(&mut self, digest: &[u8; 32]) -> Result<(), JournalError> {
        self.count = self.count.checked_sub(1).ok_or_else(|| changed("the number of its rows"))?;
        let mut borrow = 0u16;
        for (byte, less) in self.sum.iter_mut().zip(digest) {
            let rest = 0x100 + u16::from(*byte) - u16::from(*less) - borrow;
            [*byte, _] = rest.to_le_bytes();
            borrow = u16::from(rest < 0x100);
        }
        Ok(())
    }

    /// Follows a change of the rows that are kept, before it is made. False when it would change
    /// nothing.
    ///
    /// # Errors
    /// `JournalError` of the storage, or when a row that goes has changed.
    pub(super) fn follow(
        &mut self,
        tables: &dyn Tables,
        change: &RowChange,
    ) -> Result<bool, JournalError> {
        match change {
            RowChange::Put { key, .. } if !is_counted(key) => Ok(true),
            RowChange::Put { key, value } => {
                if let Some(held) = tables.get(Table::Control, key)? {
                    self.take(&digest_of(key, &held)?)?;
                }
                self.add(&row_digest(key, value).0);
                Ok(true)
            }
            RowChange::Remove { from, to } => {
                let mut any = false;
                tables.scan(Table::Control, from, to, &mut |key, held| {
                    any = true;
                    if is_counted(key) { self.take(&digest_of(key, held)?) } else { Ok(()) }
                })?;
                Ok(any)
            }
        }
    }
}

/// Bytes of some changes, as they stand in a page.
pub(super) fn encode(changes: &[RowChange]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(changes.iter().map(|one| one.bytes() + 9).sum());
    for change in changes {
        let (kind, first, second) = match change {
            RowChange::Put { key, value } => (PUT, key, value),
            RowChange::Remove { from, to } => (REMOVE, from, to),
        };
        bytes.push(kind);
        for part in [first, second] {
            let length = u32::try_from(part.len()).expect("a row is bounded");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// The changes in a page; `None` when it holds something else.
fn decode(mut bytes: &[u8]) -> Option<Vec<RowChange>> {
    fn part(bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *bytes = rest;
        Some(part.to_vec())
    }
    let mut changes = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = rest;
        let (first, second) = (part(&mut bytes)?, part(&mut bytes)?);
        changes.push(match *kind {
            PUT => RowChange::Put { key: first, value: second },
            REMOVE => RowChange::Remove { from: first, to: second },
            _ => return None,
        });
    }
    Some(changes)
}

/// Changes the rows as the checkpoint says that counts, unless that was done.
///
/// # Errors
/// `Storage` when its pages are not what the commit says; `JournalError` of the storage.
pub fn apply(tables: &dyn Tables, commit: &Commit) -> Result<(), JournalError> {
    if applied(tables)? == Some(commit.segment) {
        return Ok(());
    }
    // All of them are looked at before any row is changed.
    super::checkpoint::load_changes(tables, commit, &mut |_| Ok(()))?;
    super::checkpoint::load_changes(tables, commit, &mut |page| {
        let mut changes = decode(page).ok_or_else(|| changed("a page of rows"))?;
        if planted(Bug::RowsHalfApplied) {
            changes.truncate(changes.len() / 2);
        }
        changes.into_iter().try_for_each(|change| change_row(tables, change))
    })?;
    tables.sync(Table::Control)?;
    tables.commit(META_APPLIED, &commit.segment.to_le_bytes())
}

fn change_row(tables: &dyn Tables, change: RowChange) -> Result<(), JournalError> {
    match change {
        RowChange::Put { key, value } => {
            let mut held = row_digest(&key, &value).0.to_vec();
            held.extend_from_slice(&value);
            tables.put(Table::Control, &key, &held)
        }
        RowChange::Remove { from, to } => tables.remove(Table::Control, &from, &to),
    }
}

/// The checkpoint that the rows are as of; `None` while there are none.
fn applied(tables: &dyn Tables) -> Result<Option<u64>, JournalError> {
    let Some(bytes) = tables.get(Table::Meta, META_APPLIED)? else { return Ok(None) };
    let number = bytes.try_into().map_err(|_| changed("how far its rows were changed"))?;
    Ok(Some(u64::from_le_bytes(number)))
}

/// Reads all rows but those of legs, in the order of their keys. They must be as of this checkpoint
/// (`apply`).
///
/// # Errors
/// `Storage` that names a row that was changed, or says that one is missing; the visitor's errors
/// pass through.
pub fn load(
    tables: &dyn Tables,
    commit: &Commit,
    visit: &mut VisitPage<'_>,
) -> Result<(), JournalError> {
    assert_eq!(applied(tables)?, Some(commit.segment), "rows are read after they were changed");
    let mut sum = RowSum::default();
    let legs = Section::Legs as u8;
    for (from, to) in [(0, legs), (legs + 1, u8::MAX)] {
        tables.scan(Table::Control, &[from], &[to], &mut |key, held| {
            sum.add(&digest_of(key, held)?);
            visit(key, &held[32..])
        })?;
    }
    if sum == commit.rows {
        return Ok(());
    }
    let (found, wanted) = (sum.count, commit.rows.count);
    Err(changed(&format!("the table of its rows ({found} of {wanted} are there)")))
}

/// Reads one row.
///
/// # Errors
/// `Storage` when it was changed.
pub fn get(tables: &dyn Tables, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
    let Some(mut held) = tables.get(Table::Control, key)? else { return Ok(None) };
    let digest = digest_of(key, &held)?;
    Ok(Some(held.split_off(digest.len())))
}

/// Reads the rows with keys from `from` up to and without `to`.
///
/// # Errors
/// `Storage` that names a row that was changed; the visitor's errors pass through.
pub fn scan(
    tables: &dyn Tables,
    from: &[u8],
    to: &[u8],
    visit: &mut VisitPage<'_>,
) -> Result<(), JournalError> {
    tables.scan(Table::Control, from, to, &mut |key, held| {
        digest_of(key, held)?;
        visit(key, &held[32..])
    })
}

fn is_counted(key: &[u8]) -> bool {
    key.first() != Some(&(Section::Legs as u8))
}

fn row_digest(key: &[u8], row: &[u8]) -> Digest {
    let length = u64::try_from(key.len()).expect("a key is short").to_le_bytes();
    checkpoint_digest(&[b"control row", &length, key, row])
}

/// The digest of a row that is kept, which it must have.
fn digest_of(key: &[u8], held: &[u8]) -> Result<[u8; 32], JournalError> {
    match held.split_first_chunk::<32>() {
        Some((digest, row)) if row_digest(key, row).0 == *digest => Ok(*digest),
        Some(_) | None => Err(changed(&format!("row {}", data_encoding::HEXLOWER.encode(key)))),
    }
}

/// A row, or what it says, does not fit the rest.
#[must_use]
pub fn changed(what: &str) -> JournalError {
    super::checkpoint::changed(what)
}

#[cfg(test)]
mod tests;
