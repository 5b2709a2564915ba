//! What a batch was computed from, besides its windows, and whether that has changed since:
//! accounts of its parties on its rail, and what was free of their deposits. Nothing else can make
//! a batch stale, however much else is registered meanwhile.

use super::Control;
use crate::batch::BatchHead;
use crate::limits::CHANGED_PARTIES_MAX;
use crate::rail::Rail;
use crate::sealed::SealedAccount;
use crate::types::{PartyId, SettlementModel, Total};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a batch was computed from.
#[derive(Debug, Clone)]
pub struct Used {
    /// The batch.
    pub head: Arc<BatchHead>,
    /// The accounts that its legs need.
    pub accounts: Arc<BTreeMap<PartyId, SealedAccount>>,
    /// What was free of the deposits of each party that pays, by party.
    pub free: Vec<(PartyId, Total)>,
}

impl Used {
    /// Everybody of whom something was used.
    pub fn parties(&self) -> impl Iterator<Item = PartyId> {
        self.accounts.keys().copied().chain(self.free.iter().map(|(party, _)| *party))
    }

    /// Whether what was used of a party is still so; true of everybody of whom nothing was.
    #[must_use]
    pub fn fits(&self, control: &Control, party: PartyId) -> bool {
        let rail: Rail = self.head.policy.rail;
        let account = self.accounts.get(&party);
        if account.is_some_and(|account| control.account(party, rail).as_ref() != Some(account)) {
            return false;
        }
        let Ok(place) = self.free.binary_search_by_key(&party, |(of, _)| *of) else { return true };
        let (before, now) = (self.free[place].1, control.free_prefund(party, self.asset()));
        if before == now {
            return true;
        }
        match self.head.asset.model {
            // Its deposits pay all that it owes, and more of them would pay no more.
            SettlementModel::Multilateral => {
                let pays = self.pays(party);
                pays < before && pays <= now
            }
            // Payee by payee, and in whole units: who knows.
            SettlementModel::Bilateral => false,
        }
    }

    fn asset(&self) -> crate::types::AssetNumber {
        self.head.asset.number
    }

    /// What a party's deposits pay in the batch.
    fn pays(&self, party: PartyId) -> Total {
        let prefunded = &self.head.prefunded;
        let place = prefunded.binary_search_by_key(&party, |(of, _)| *of);
        place.map_or(Total::ZERO, |place| prefunded[place].1)
    }
}

/// The parties whose account or free deposits changed last, in order: each change is a version.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Changes {
    version: u64,
    last: VecDeque<PartyId>,
}

impl Changes {
    /// After so many, of which none is remembered.
    pub fn after(version: u64) -> Self {
        Self { version, last: VecDeque::new() }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn note(&mut self, party: PartyId) {
        self.version += 1;
        if self.last.len() == CHANGED_PARTIES_MAX {
            self.last.pop_front();
        }
        self.last.push_back(party);
    }

    /// The parties that changed after `version`; `None` when that is longer ago than is remembered.
    pub fn since(&self, version: u64) -> Option<impl Iterator<Item = PartyId>> {
        let count = usize::try_from(self.version.checked_sub(version)?).ok()?;
        let first = self.last.len().checked_sub(count)?;
        Some(self.last.range(first..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_known_and_older_ones_are_not_guessed_at() {
        let (mut changes, party) = (Changes::default(), |n: u8| PartyId([n; 32]));
        let since = |changes: &Changes, version| Some(changes.since(version)?.collect::<Vec<_>>());
        assert_eq!((since(&changes, 0), since(&changes, 1)), (Some(vec![]), None));
        (1..=3).for_each(|n| changes.note(party(n)));
        assert_eq!(since(&changes, 1), Some(vec![party(2), party(3)]));
        (0..CHANGED_PARTIES_MAX).for_each(|_| changes.note(party(9)));
        assert_eq!(since(&changes, 2), None);
        assert_eq!(since(&changes, 3).map(|all| all.len()), Some(CHANGED_PARTIES_MAX));
        assert_eq!(changes.last.len(), CHANGED_PARTIES_MAX);
    }
}
