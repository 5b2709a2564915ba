//! When a party may be erased, by hand: when it is suspended, and nothing in any window that is not
//! settled can be its.

use super::{Party, State};
use std::collections::BTreeSet;
use tallystick::ledger::event::{PartyErased, PartyUpserted};
use tallystick::types::{PartyId, WindowNumber};

impl State {
    /// How often a party was erased.
    #[must_use]
    pub fn erasures(&self, party: PartyId) -> u32 {
        self.parties.get(&party).map_or(0, |party| party.erasures)
    }

    /// A party is there, or is as somebody wants it now.
    pub(super) fn registered(&mut self, event: &PartyUpserted) {
        let (name, suspended) = (Some(event.name.clone()), event.suspended);
        let (accounts, erasures) = (event.accounts.clone(), self.erasures(event.party));
        let party = Party { name, suspended, accounts, erased: false, erasures };
        let before = self.parties.insert(event.party, party);
        let before = before.is_some_and(|party| party.suspended);
        if suspended && !before {
            self.until.insert(event.party, self.open());
        }
        self.suspensions += u64::from(before != suspended);
        self.directory += 1;
    }

    /// The windows that are not settled: open, not sealed, or with an asset whose batch has not
    /// ended.
    fn unsettled(&self) -> impl Iterator<Item = u64> {
        let done = |window: &super::Window| {
            let settled = |asset: &u32| window.settled.contains(asset);
            window.sealed && window.assets().iter().all(settled)
        };
        (1..).zip(&self.windows).filter(move |(_, window)| !done(window)).map(|(number, _)| number)
    }

    /// Everybody of whom something is owed, or to whom, in what is not settled of these windows.
    fn needed(&self, windows: impl Iterator<Item = u64>) -> BTreeSet<PartyId> {
        let mut needed = BTreeSet::new();
        for window in windows.filter_map(|number| self.window(number)) {
            let pairs = window.owed.keys().chain(window.carried.iter().map(|(pair, _)| pair));
            for (asset, payer, payee) in pairs {
                if !window.settled.contains(asset) {
                    needed.extend([*payer, *payee]);
                }
            }
        }
        needed
    }

    pub(super) fn may_erase(
        &self,
        e: &PartyErased,
        clear: &[WindowNumber],
    ) -> Result<(), &'static str> {
        let party = self.parties.get(&e.party).ok_or("UnknownParty")?;
        if party.erased {
            return Ok(());
        }
        if !party.suspended {
            return Err("NotSuspended");
        }
        let until = self.until.get(&e.party).copied().unwrap_or(0);
        let is_clear = |number: u64| clear.contains(&WindowNumber(number));
        if self.unsettled().any(|number| number <= until && !is_clear(number)) {
            return Err("StillNeeded");
        }
        let left = self.assets.keys().any(|asset| self.free(e.party, *asset) > 0);
        if left && e.deposits.is_empty() {
            return Err("DepositsLeft");
        }
        // Whatever the rule rests on: nobody who is owed anything is forgotten.
        let needed = self.needed(self.unsettled());
        assert!(!needed.contains(&e.party), "{} is erased and still owed", e.party);
        Ok(())
    }

    pub(super) fn erase(&mut self, e: &PartyErased) {
        self.endpoints.retain(|_, of| of.party != e.party);
        let party = self.parties.get_mut(&e.party).expect("it is known");
        if !party.erased {
            (party.name, party.erased) = (None, true);
            party.accounts.clear();
            party.erasures += 1;
            self.directory += 1;
        }
    }

    /// Something is owed anew in the open window.
    pub(super) fn carries(&mut self, parties: impl Iterator<Item = PartyId>) {
        let open = self.open();
        for party in parties {
            if self.parties.get(&party).is_some_and(|party| party.suspended) {
                self.until.insert(party, open);
            }
        }
    }
}
