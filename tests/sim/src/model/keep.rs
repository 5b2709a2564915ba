//! What a change of a party leaves alone, by hand.

use super::State;
use std::collections::BTreeMap;
use tallystick::ledger::event::PartyUpserted;
use tallystick::ledger::{Event, SealedOnRail, UpsertParty};

impl State {
    /// The registration or change of a party: what it names, and what stays of one that is there.
    pub(super) fn upserted(&self, wish: UpsertParty) -> Result<Event, &'static str> {
        let UpsertParty { party, name, suspended, accounts, reopen, erasures, keep } = wish;
        let known = self.parties.get(&party);
        if known.is_some_and(|party| party.erased) && !reopen {
            return Err("PartyErased");
        }
        if self.erasures(party) != erasures {
            return Err("ErasedMeanwhile");
        }
        // Of one that was erased nothing is left to stay.
        let known = known.filter(|party| !party.erased);
        let name = if keep.name {
            known.and_then(|party| party.name.clone()).ok_or("UnknownParty")?
        } else {
            name
        };
        let suspended = known.filter(|_| keep.suspended).map_or(suspended, |party| party.suspended);
        let by_rail = |accounts: &[SealedOnRail]| {
            let one = |account: &SealedOnRail| (account.rail.clone(), account.clone());
            accounts.iter().map(one).collect::<BTreeMap<_, _>>()
        };
        let mut stay = by_rail(known.map_or(&[], |party| &party.accounts));
        if keep.removed.iter().any(|rail| !stay.contains_key(rail)) {
            return Err("PartyUnfit");
        }
        stay.retain(|rail, _| keep.accounts && !keep.removed.contains(rail));
        stay.extend(by_rail(&accounts));
        let accounts = stay.into_values().collect();
        Ok(Event::from(PartyUpserted { party, name, suspended, accounts }))
    }
}
