//! Looking for what is registered and for what was made: by id, a page at a time, or newest first.
//! Each costs what it shows and no more, however much there is. Changes nothing.

use super::{BatchEntry, Control, PartyEntry, SignerEntry, WindowEntry};
use crate::types::{BatchId, Lsn, PartyId, SignerKey, WindowNumber, ids_named};
use std::collections::BTreeMap;
use std::ops::Bound;

impl Control {
    /// Parties in the order of their ids, behind one of them.
    pub fn parties_after(
        &self,
        after: Option<PartyId>,
    ) -> impl Iterator<Item = (PartyId, &PartyEntry)> {
        self.parties.range((behind(after), Bound::Unbounded)).map(|(id, entry)| (*id, entry))
    }

    /// Signers in the order of their keys, behind one of them.
    pub fn signers_after(
        &self,
        after: Option<SignerKey>,
    ) -> impl Iterator<Item = (SignerKey, &SignerEntry)> {
        self.signers.range((behind(after), Bound::Unbounded)).map(|(key, entry)| (*key, entry))
    }

    /// Batches, those that were computed last first; `before` a record. One that was aborted and
    /// computed again stands where it was computed last.
    pub fn batches_before(&self, before: Option<Lsn>) -> impl Iterator<Item = &BatchEntry> {
        let until = before.map_or(Bound::Unbounded, Bound::Excluded);
        let deeds = self.deeds.range((Bound::Unbounded, until)).rev();
        deeds.filter_map(|(lsn, deed)| {
            let entry = self.batches.get(&deed.batch)?;
            (entry.computed_lsn == *lsn && deed.aborted.is_none()).then_some(entry)
        })
    }

    /// Windows, the newest first; those before a number.
    pub fn windows_before(
        &self,
        before: Option<WindowNumber>,
    ) -> impl Iterator<Item = &WindowEntry> {
        let until = before.map_or(Bound::Unbounded, Bound::Excluded);
        self.windows.range((Bound::Unbounded, until)).rev().map(|(_, window)| window)
    }

    /// Batches that somebody or something has yet to do with: those that nobody has approved, and
    /// those whose legs have not all ended.
    pub fn open_batches(&self) -> Vec<&BatchEntry> {
        let settling = self.settling_batches().into_iter();
        let settling = settling.filter_map(|batch| self.batches.get(&batch));
        self.unapproved().chain(settling).collect()
    }

    /// Parties whose id begins with these hexadecimal digits.
    pub fn parties_named(&self, digits: &str) -> impl Iterator<Item = (PartyId, &PartyEntry)> {
        named(&self.parties, digits, PartyId)
    }

    /// Signers whose key begins with these hexadecimal digits.
    pub fn signers_named(&self, digits: &str) -> impl Iterator<Item = (SignerKey, &SignerEntry)> {
        named(&self.signers, digits, SignerKey)
    }

    /// Batches whose id begins with these hexadecimal digits.
    pub fn batches_named(&self, digits: &str) -> impl Iterator<Item = (BatchId, &BatchEntry)> {
        named(&self.batches, digits, BatchId)
    }
}

fn behind<T>(after: Option<T>) -> Bound<T> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

/// Those of a table whose id begins with these digits; none if they are no digits.
fn named<'a, K: Ord + Copy, V>(
    table: &'a BTreeMap<K, V>,
    digits: &str,
    id: fn([u8; 32]) -> K,
) -> impl Iterator<Item = (K, &'a V)> + use<'a, K, V> {
    let range = ids_named(digits).map(|(first, last)| table.range(id(first)..=id(last)));
    range.into_iter().flatten().map(|(key, value)| (*key, value))
}

#[cfg(test)]
mod tests;
