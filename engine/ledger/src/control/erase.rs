//! Erasing a party: when its name and accounts are needed no more.
//!
//! A suspended party owes and is owed only what was credited before that, and what came back to it
//! since: a carry. So while it is suspended, the last window is known in which anything of it can
//! stand; when every window up to that one is settled, nothing needs its name or its accounts. Both
//! follow from events, and are as large as what is suspended and what is not settled. Of a window
//! that is sealed and not settled, perhaps never will be, somebody may have looked whether the
//! party stands in it: what is sealed does not change.

use super::Control;
use super::directory::text;
use crate::event::{PartyErased, PartyUpserted};
use crate::limits::BATCH_WINDOWS_MAX;
use crate::refusal::{PartyMisfit, Refusal};
use crate::sealed::SealedOnRail;
use crate::types::{AssetNumber, PartyId, Total, WindowNumber};
use crate::window::Obligation;
use crate::wish::UpsertParty;
use std::collections::{BTreeMap, BTreeSet};

/// What keeps a party from being erased.
#[derive(Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Needed {
    /// The last window in which something of a party can stand, of those that are suspended.
    until: BTreeMap<PartyId, WindowNumber>,
    /// The windows that are not settled: open, waiting for their seal or a batch, or in one that
    /// has not ended.
    unsettled: BTreeSet<WindowNumber>,
}

impl Needed {
    /// With one window, which is open.
    pub fn from(open: WindowNumber) -> Self {
        Self { until: BTreeMap::new(), unsettled: BTreeSet::from([open]) }
    }

    /// A window was opened.
    pub fn opened(&mut self, window: WindowNumber) {
        self.unsettled.insert(window);
    }

    /// A window was sealed, or a batch of it has ended.
    pub fn settled(&mut self, window: WindowNumber, is_settled: bool) {
        if is_settled {
            self.unsettled.remove(&window);
        }
    }

    /// Something of this suspended party is owed in this window that was owed before.
    pub fn carried(&mut self, into: WindowNumber, party: PartyId) {
        self.until.insert(party, into);
    }

    /// The last window in which something of a party can stand, if it is suspended.
    pub fn until(&self, party: PartyId) -> Option<WindowNumber> {
        self.until.get(&party).copied()
    }

    /// What a checkpoint holds of a party.
    pub fn restore(&mut self, party: PartyId, until: Option<WindowNumber>) {
        self.until.extend(until.map(|until| (party, until)));
    }

    /// Of those with which something is owed, the ones for whom this window counts from now on.
    fn of_those<'a>(
        &'a self,
        into: WindowNumber,
        owed: impl Iterator<Item = &'a Obligation>,
    ) -> BTreeSet<PartyId> {
        let parties = owed.flat_map(|owed| [owed.payer, owed.payee]);
        parties.filter(|party| self.until(*party).is_some_and(|until| until != into)).collect()
    }

    /// A party was registered anew while this window was open.
    pub fn upserted(&mut self, open: WindowNumber, e: &PartyUpserted) {
        if e.suspended {
            self.until.entry(e.party).or_insert(open);
        } else {
            self.until.remove(&e.party);
        }
    }

    /// The windows in which something of a suspended party may still be owed.
    fn of(&self, party: PartyId) -> impl Iterator<Item = WindowNumber> {
        let until = self.until.get(&party).copied();
        let windows = until.map(|until| self.unsettled.range(..=until));
        windows.into_iter().flatten().copied()
    }
}

impl Control {
    /// The suspended parties of what is carried into this window from a place on, for whom it is
    /// the last window in which something of them stands.
    pub(super) fn keeps_needed(&self, into: WindowNumber, from: usize) -> BTreeSet<PartyId> {
        if self.needed.until.is_empty() {
            return BTreeSet::new();
        }
        let carried = self.windows.get(&into).map_or(&[][..], |window| &window.carried[from..]);
        self.needed.of_those(into, carried.iter().map(|(_, owed)| owed))
    }

    /// Finds the windows that are not settled again.
    pub(super) fn restore_unsettled(&mut self) {
        let windows = self.windows.iter();
        let unsettled = windows.filter(|(_, window)| !window.has_nothing_to_settle());
        self.needed.unsettled = unsettled.map(|(number, _)| *number).collect();
    }

    /// How often a party was erased.
    #[must_use]
    pub fn erasures(&self, party: PartyId) -> u32 {
        self.parties.get(&party).map_or(0, |entry| entry.erasures)
    }

    /// Whether something may be registered of a party: asked before it is sealed, too, for what is
    /// sealed gets a key.
    ///
    /// # Errors
    /// `PartyErased`.
    pub fn check_open(&self, party: PartyId, reopen: bool) -> Result<(), Refusal> {
        match self.parties.get(&party) {
            Some(entry) if entry.is_erased() && !reopen => Err(Refusal::PartyErased(party)),
            Some(_) | None => Ok(()),
        }
    }

    /// The registration of a party, if it was sealed under the key that it has.
    pub(super) fn upserted(&self, wish: UpsertParty) -> Result<PartyUpserted, Refusal> {
        let UpsertParty { party, name, suspended, accounts, reopen, erasures, keep } = wish;
        self.check_open(party, reopen)?;
        if erasures != self.erasures(party) {
            return Err(Refusal::ErasedMeanwhile(party));
        }
        let held = self.parties.get(&party).filter(|entry| !entry.is_erased());
        let name = match (keep.name, held.and_then(|entry| entry.name.clone())) {
            (false, _) => name,
            (true, Some(held)) => held,
            (true, None) => return Err(Refusal::UnknownParty(party)),
        };
        let suspended = match held {
            Some(entry) if keep.suspended => entry.suspended,
            Some(_) | None => suspended,
        };
        let held = held.map_or(&[][..], |entry| &entry.accounts);
        let gone = |rail: &String| !held.iter().any(|account| account.rail == *rail);
        if let Some(rail) = keep.removed.iter().find(|rail| gone(rail)) {
            return Err(PartyMisfit::NoAccount { party, rail: rail.clone() }.into());
        }
        let accounts = if keep.accounts { kept(held, accounts, &keep.removed) } else { accounts };
        Ok(PartyUpserted { party, name, suspended, accounts })
    }

    /// The sealed windows in which something of a suspended party may still be owed, oldest first,
    /// as many as are worth to be looked through, each with the assets that are not settled.
    #[must_use]
    pub fn may_need(&self, party: PartyId) -> Vec<(WindowNumber, Vec<AssetNumber>)> {
        let unsettled = |number: WindowNumber| {
            let window = self.windows.get(&number)?;
            let owed = window.sealed.as_ref()?.assets.iter().map(|seal| seal.asset);
            Some((number, owed.filter(|asset| !window.settled.contains(asset)).collect()))
        };
        self.needed.of(party).map_while(unsettled).take(BATCH_WINDOWS_MAX).collect()
    }

    /// Whether nothing needs a party's name and accounts any more. Erasing it once more changes
    /// nothing.
    pub(super) fn check_erase(
        &self,
        party: PartyId,
        deposits: &str,
        clear: &[WindowNumber],
    ) -> Result<(), Refusal> {
        text(deposits, "deposits")?;
        let entry = self.party(party)?;
        if entry.is_erased() {
            return Ok(());
        }
        if !entry.suspended {
            return Err(Refusal::NotSuspended(party));
        }
        let is_clear = |window: &WindowNumber| {
            let sealed = self.windows.get(window).is_some_and(|window| window.sealed.is_some());
            sealed && clear.binary_search(window).is_ok()
        };
        let mut needed = self.needed.of(party);
        if let Some(window) = needed.find(|window| !is_clear(window)) {
            let (state, until) = (self.window(window)?.state().name(), self.needed.until[&party]);
            return Err(Refusal::StillNeeded { party, window, state, until });
        }
        let free = |asset: &AssetNumber| self.free_prefund(party, *asset);
        let left = self.assets.keys().map(|asset| (*asset, free(asset)));
        match left.into_iter().find(|(_, free)| *free > Total::ZERO) {
            Some((asset, free)) if deposits.trim().is_empty() => {
                Err(Refusal::DepositsLeft { party, asset, free })
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn erased(&mut self, e: &PartyErased) {
        let entry = self.parties.get_mut(&e.party).expect("it was found when it was decided");
        if entry.is_erased() {
            return;
        }
        entry.erasures = entry.erasures.saturating_add(1);
        entry.name = None;
        entry.accounts = Vec::new();
        self.changes.note(e.party);
    }
}

/// The accounts of a party, ordered by rail: new ones in place of those on the same rails, and none
/// on the rails that were removed.
fn kept(held: &[SealedOnRail], new: Vec<SealedOnRail>, removed: &[String]) -> Vec<SealedOnRail> {
    let stays = |on: &&SealedOnRail| {
        !removed.contains(&on.rail) && !new.iter().any(|account| account.rail == on.rail)
    };
    let mut all: Vec<SealedOnRail> = held.iter().filter(stays).cloned().collect();
    all.extend(new);
    all.sort_by(|a, b| a.rail.cmp(&b.rail));
    all
}

#[cfg(test)]
mod tests;
