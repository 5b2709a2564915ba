//! Accounts of batches that are over: they were those of parties at the batch's record, so they
//! follow from the events, and need not be kept beside each batch for ever.
//!
//! Owns when they are let go of, and how a batch is computed again without them. What comes out has
//! the batch's id, or is refused.

use super::archive::Archive;
use crate::journal::{Chain, Entry, JournalError, accounts, kept};
use crate::ledger::event::{BatchEvent, PartyUpserted, RegistryEvent};
use crate::ledger::{
    BatchContent, BatchEntry, BatchHead, Event, Rail, SealedAccount, SealedWindow,
};
use crate::past::NotRead;
use crate::types::{BatchId, Lsn, PartyId, WindowNumber};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A batch that is over.
#[derive(Debug, Clone)]
pub struct Over {
    /// Its id.
    pub batch: BatchId,
    /// Its rail.
    pub rail: Rail,
    /// The windows that it settles.
    pub windows: Vec<WindowNumber>,
}

impl Over {
    /// Of its entry.
    #[must_use]
    pub fn of(entry: &BatchEntry) -> Self {
        let BatchHead { id, windows, policy, .. } = &*entry.head;
        Self { batch: *id, rail: policy.rail, windows: windows.clone() }
    }
}

/// Lets go of the accounts of batches whose windows have left, if they are those that the parties
/// have now. (What was another one since stays: it would be read from all events.) How many went.
///
/// # Errors
/// `JournalError` of the storage.
pub fn let_accounts_go(archive: &Archive, batches: &[Over]) -> Result<usize, JournalError> {
    let (tables, mut gone) = (archive.tables(), 0);
    for Over { batch, rail, windows } in batches {
        let mut here = false;
        for window in windows {
            here |= kept::has_owed(tables, *window)?;
        }
        let held = accounts::load(tables, *batch)?;
        let follow = |(party, own): (&PartyId, &SealedAccount)| {
            archive.account_now(*party, *rail).as_ref() == Some(own)
        };
        if !here && !held.is_empty() && held.iter().all(follow) {
            accounts::forget(tables, *batch)?;
            gone += 1;
        }
    }
    if gone > 0 {
        accounts::reclaim(tables)?;
    }
    Ok(gone)
}

/// Computes a batch again from its windows and the accounts that are kept of it, or follow.
///
/// # Errors
/// When something cannot be read, or does not give the batch again.
pub(super) fn load_batch(
    archive: &Archive,
    head: &BatchHead,
    windows: &[Arc<SealedWindow>],
) -> Result<BatchContent, NotRead> {
    let held = accounts::load(archive.tables(), head.id)?;
    let is_held = !held.is_empty();
    // Each is asked for once, and moves.
    let held = RefCell::new(held);
    let loaded = accounts::compute_again(head, windows, |party| held.borrow_mut().remove(&party));
    match loaded {
        Ok(content) => Ok(content),
        Err(error) if is_held => Err(error.into()),
        Err(_) => {
            let rail = head.policy.rail;
            let now = |party| archive.account_now(party, rail);
            accounts::compute_again(head, windows, now)
                .map_or_else(|error| from_events(archive, head, windows, error), Ok)
        }
    }
}

/// The same with the accounts that parties had at the batch's record.
fn from_events(
    archive: &Archive,
    head: &BatchHead,
    windows: &[Arc<SealedWindow>],
    unfit: JournalError,
) -> Result<BatchContent, NotRead> {
    let rail = head.policy.rail;
    let mut parties: BTreeMap<PartyId, Option<SealedAccount>> = BTreeMap::new();
    for of in windows.iter().filter_map(|window| window.assets.get(&head.asset.number)) {
        let owed = of.obligations.iter().chain(&of.carried);
        parties.extend(owed.flat_map(|owed| [(owed.payer, None), (owed.payee, None)]));
    }
    let (chain, mut found) = (Chain::start(), None);
    let read = archive.events_between(Lsn(1), Lsn(u64::MAX), &mut |lsn, bytes| {
        let record = chain.single(lsn, bytes)?;
        let Entry::Fact(fact) = record.entry()? else { return Ok(()) };
        if let Event::Registry(RegistryEvent::PartyUpserted(e)) = &fact.event
            && let Some(held) = parties.get_mut(&e.party)
        {
            *held = account(e, rail);
        } else if let Event::Batch(BatchEvent::Computed(e)) = &fact.event
            && e.batch == head.id
        {
            let account = |party| parties.get(&party).cloned().flatten();
            found = Some(accounts::compute_again(head, windows, account));
            return Err(JournalError::Storage("enough was read".to_owned()));
        }
        Ok(())
    });
    match (found, read) {
        (Some(found), _) => Ok(found?),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(unfit.into()),
    }
}

fn account(e: &PartyUpserted, rail: Rail) -> Option<SealedAccount> {
    let own = e.accounts.iter().find(|account| account.rail == rail.name())?;
    Some(SealedAccount { name: e.name.clone(), fields: own.fields.clone() })
}
