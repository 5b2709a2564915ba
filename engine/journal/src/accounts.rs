//! The accounts that batches were computed from, and batches computed again with them. They are
//! those that parties had at the batch's record: where they are kept no more, they follow from the
//! events.

use super::kept::{ACCOUNTS, batch_key, unfit};
use super::{JournalError, Table, Tables};
use rkyv::rancor::Error as RkyvError;
use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick_ledger::types::{BatchId, PartyId, Total};
use tallystick_ledger::{BatchContent, BatchHead, SealedAccount, SealedWindow};

/// The accounts that are kept of a batch; none if they are kept no more.
///
/// # Errors
/// `Storage` when they cannot be read.
pub fn load(
    tables: &dyn Tables,
    id: BatchId,
) -> Result<BTreeMap<PartyId, SealedAccount>, JournalError> {
    let mut accounts = BTreeMap::new();
    let (from, to) = keys(id);
    tables.scan(Table::Batches, &from, &to, &mut |_, page| {
        let page = rkyv::from_bytes::<Vec<(PartyId, SealedAccount)>, RkyvError>(page);
        accounts.extend(page.map_err(|error| unfit(id, &error))?);
        Ok(())
    })?;
    Ok(accounts)
}

/// The batches of which accounts are kept.
///
/// # Errors
/// `JournalError` of the storage.
pub fn batches_here(tables: &dyn Tables) -> Result<Vec<BatchId>, JournalError> {
    let mut found: Vec<BatchId> = Vec::new();
    tables.scan(Table::Batches, &[0; 37], &[u8::MAX; 38], &mut |key, _| {
        let id = key.first_chunk().map(|id| BatchId(*id));
        let id = id.filter(|id| key.get(32) == Some(&ACCOUNTS) && found.last() != Some(id));
        found.extend(id);
        Ok(())
    })?;
    Ok(found)
}

/// Forgets the accounts of a batch. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn forget(tables: &dyn Tables, id: BatchId) -> Result<(), JournalError> {
    let (from, to) = keys(id);
    tables.remove(Table::Batches, &from, &to)?;
    tables.sync(Table::Batches)
}

/// Gives the disk back what was forgotten.
///
/// # Errors
/// `JournalError` of the storage.
pub fn reclaim(tables: &dyn Tables) -> Result<(), JournalError> {
    tables.reclaim(Table::Batches, &[0; 37], &[u8::MAX; 38])
}

fn keys(id: BatchId) -> ([u8; 37], [u8; 37]) {
    let mut end = batch_key(id, ACCOUNTS, 0);
    end[32] += 1;
    (batch_key(id, ACCOUNTS, 0), end)
}

/// Computes a batch again from its windows and accounts.
///
/// # Errors
/// `Storage` when what comes out has another id.
pub fn compute_again(
    head: &BatchHead,
    windows: &[Arc<SealedWindow>],
    account: impl Fn(PartyId) -> Option<SealedAccount>,
) -> Result<BatchContent, JournalError> {
    let prefunded = |party| {
        let place = head.prefunded.binary_search_by_key(&party, |(of, _)| *of);
        place.map_or(Total::ZERO, |place| head.prefunded[place].1)
    };
    let again = BatchContent::compute(windows, &head.asset, &head.policy, account, prefunded);
    let again = again.map_err(|refusal| unfit(head.id, &refusal))?;
    if *again.head == *head { Ok(again) } else { Err(unfit(head.id, &"it has changed")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use tallystick_ledger::SealedText;

    #[test]
    fn accounts_of_one_batch_go_and_nothing_of_another() {
        let tables = Memory::journal().tables;
        let [first, second] = [BatchId([7; 32]), BatchId([u8::MAX; 32])];
        let text = |n: u8| SealedText::new(vec![n; 48]);
        for id in [first, second] {
            let of = |n: u8| (PartyId([n; 32]), SealedAccount { name: text(n), fields: text(9) });
            for (piece, n) in [(0, 1), (1, 2)] {
                let some: Vec<(PartyId, SealedAccount)> = std::iter::once(of(n)).collect();
                let page = rkyv::to_bytes::<RkyvError>(&some).unwrap();
                tables.put(Table::Batches, &batch_key(id, ACCOUNTS, piece), &page).unwrap();
            }
            tables.put(Table::Batches, &batch_key(id, 1, 0), b"a head").unwrap();
        }
        tables.sync(Table::Batches).unwrap();
        assert_eq!(batches_here(&*tables).unwrap(), [first, second]);
        let parties: Vec<PartyId> = load(&*tables, first).unwrap().into_keys().collect();
        assert_eq!(parties, [PartyId([1; 32]), PartyId([2; 32])]);
        for (gone, left) in [(first, &[second][..]), (second, &[])] {
            forget(&*tables, gone).unwrap();
            assert_eq!(batches_here(&*tables).unwrap(), left);
            assert!(load(&*tables, gone).unwrap().is_empty());
            assert!(tables.get(Table::Batches, &batch_key(gone, 1, 0)).unwrap().is_some());
        }
    }
}
