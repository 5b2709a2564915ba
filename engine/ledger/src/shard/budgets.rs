//! What limits signers beside their party: caps and budgets. A signer signs for one party, and a
//! party is one shard's: so one shard sees all that a signer pays, in the order of the journal, and
//! its counts are exact.
//!
//! Of each budget one count is held, of the period in which something was credited last. The next
//! voucher in a later period begins at zero, whenever that is: nothing happens at midnight, and
//! nothing grows with the number of periods.

use super::{Headroom, Shard, Signer, SignerIndex, mark};
use crate::budget::{Budget, BudgetEntry, BudgetKey, BudgetUse, is_near, replaced};
use crate::canary::{Bug, planted};
use crate::event::{BudgetEvent, Cap};
use crate::types::{Amount, AssetNumber, Outcome, PartyId, SignerKey, Timestamp};

/// What limits one signer beside its party. One without any holds none of this.
#[derive(Default)]
pub(super) struct Limits {
    caps: Box<[CapUse]>,
    /// The longest first.
    budgets: Box<[Held]>,
}

/// A cap, and what is used of it.
pub(super) struct CapUse {
    pub cap: Cap,
    pub used: Amount,
}

/// A budget, and what is used of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    entry: BudgetEntry,
    /// The period in which something was credited last, and how much was in it.
    number: i64,
    used: Amount,
}

impl Held {
    fn new(entry: BudgetEntry) -> Self {
        Self { entry, number: entry.budget.key.period.number(Timestamp(0)), used: Amount(0) }
    }

    fn is_for(&self, asset: AssetNumber, payee: PartyId) -> bool {
        let BudgetKey { asset: of, period: _, payee: to } = self.entry.budget.key;
        of == asset && to.is_none_or(|to| to == payee)
    }

    fn is_for_all(&self, asset: AssetNumber) -> bool {
        let BudgetKey { asset: of, period: _, payee } = self.entry.budget.key;
        of == asset && payee.is_none()
    }

    /// What is used in the period in which `at` lies.
    fn used_at(&self, at: Timestamp) -> Amount {
        let is_now = self.entry.budget.key.period.number(at) == self.number;
        if is_now || planted(Bug::BudgetHoldsOn) { self.used } else { Amount(0) }
    }

    /// Whether so much is used that the owner should know, and was not told.
    fn is_to_tell(&self) -> bool {
        is_near(self.entry.budget.amount, self.used) && self.entry.warned != Some(self.number)
    }

    fn of(&self, signer: SignerKey) -> BudgetUse {
        let (budget, number, used) = (self.entry.budget, self.number, self.used);
        BudgetUse { signer, budget, number, used }
    }
}

impl Limits {
    /// Of a key with these caps.
    pub fn of(caps: &[Cap]) -> Option<Box<Self>> {
        let held = caps.iter().map(|&cap| CapUse { cap, used: Amount(0) }).collect();
        let limits = Self { caps: held, budgets: Box::default() };
        (!caps.is_empty()).then(|| Box::new(limits))
    }

    /// Which outcome says that a rise is over the cap or over a budget, if it is: of budgets that
    /// of the longest period, for no shorter one can help before it ends.
    pub fn refusal(
        &self,
        (asset, payee): (AssetNumber, PartyId),
        at: Timestamp,
        rise: Amount,
    ) -> Option<Outcome> {
        let over = |used: Amount, most: Amount| {
            let used = used.checked_add(rise);
            used.is_none_or(|used| used > most)
        };
        let mut caps = self.caps.iter().filter(|held| held.cap.asset == asset);
        if caps.any(|held| over(held.used, held.cap.amount)) {
            return Some(Outcome::OverSignerCap);
        }
        let mut budgets = self.budgets.iter().filter(|held| held.is_for(asset, payee));
        let held = budgets.find(|held| over(held.used_at(at), held.entry.budget.amount));
        held.map(|held| held.entry.budget.key.period.refusal())
    }
}

impl Signer {
    pub(super) fn caps(&self) -> &[CapUse] {
        self.limits.as_ref().map_or(&[], |limits| &limits.caps)
    }

    pub(super) fn caps_mut(&mut self) -> &mut [CapUse] {
        self.limits.as_mut().map_or(&mut [], |limits| &mut limits.caps)
    }

    fn budgets(&self) -> &[Held] {
        self.limits.as_ref().map_or(&[], |limits| &limits.budgets)
    }

    fn budgets_mut(&mut self) -> &mut [Held] {
        self.limits.as_mut().map_or(&mut [], |limits| &mut limits.budgets)
    }

    /// How much each cap and budget leaves of what it pays in an asset, to this payee or to
    /// whomever, in the order in which they refuse.
    pub(super) fn left(
        &self,
        (asset, payee): (AssetNumber, Option<PartyId>),
        at: Timestamp,
    ) -> impl Iterator<Item = Headroom> {
        let left = |most: Amount, used: Amount| Amount(most.0.saturating_sub(used.0));
        let caps = self.caps().iter().filter(move |held| held.cap.asset == asset);
        let caps = caps.map(move |held| Headroom {
            left: left(held.cap.amount, held.used),
            beyond: Outcome::OverSignerCap,
        });
        let budgets = self.budgets().iter().filter(move |held| match payee {
            Some(payee) => held.is_for(asset, payee),
            None => held.is_for_all(asset),
        });
        caps.chain(budgets.map(move |held| {
            let Budget { key, amount } = held.entry.budget;
            Headroom { left: left(amount, held.used_at(at)), beyond: key.period.refusal() }
        }))
    }

    /// Replaces its budgets.
    fn have_budgets(&mut self, budgets: Box<[Held]>) {
        self.limits.get_or_insert_default().budgets = budgets;
        self.limits.take_if(|limits| limits.caps.is_empty() && limits.budgets.is_empty());
    }

    fn uses(&self) -> impl Iterator<Item = BudgetUse> {
        self.budgets().iter().map(|held| held.of(self.key))
    }
}

impl Shard {
    /// Counts a rise that fits.
    #[inline]
    pub(super) fn spend(
        &mut self,
        index: SignerIndex,
        (asset, payee): (AssetNumber, PartyId),
        at: Timestamp,
        rise: Amount,
    ) {
        let signer = &mut self.signers[index as usize];
        let Some(limits) = &mut signer.limits else { return };
        let more = |used: Amount| used.checked_add(rise).expect("it was found to fit");
        for held in limits.caps.iter_mut().filter(|held| held.cap.asset == asset) {
            held.used = more(held.used);
            mark(&mut signer.changed, &mut self.signers_changed, index);
        }
        for held in limits.budgets.iter_mut().filter(|held| held.is_for(asset, payee)) {
            held.used = more(held.used_at(at));
            held.number = held.entry.budget.key.period.number(at);
            mark(&mut signer.changed, &mut self.signers_changed, index);
            if held.is_to_tell() {
                self.budgets_near.insert(index);
            }
        }
    }

    pub(super) fn apply_budgets(&mut self, event: &BudgetEvent) {
        match event {
            BudgetEvent::Set(e) => self.set_budgets(e.signer, &e.budgets),
            BudgetEvent::Warned(e) => e.uses.iter().for_each(|of| self.warned(of)),
        }
    }

    /// What was used of a budget for the same still counts.
    fn set_budgets(&mut self, signer: SignerKey, budgets: &[Budget]) {
        let Some(&index) = self.signer_index.get(&signer) else { return };
        let of = &mut self.signers[index as usize];
        let before = of.budgets().to_vec();
        let entries: Vec<BudgetEntry> = before.iter().map(|held| held.entry).collect();
        let held = |entry: BudgetEntry| {
            let same = before.iter().find(|held| held.entry.budget.key == entry.budget.key);
            same.map_or_else(|| Held::new(entry), |held| Held { entry, ..*held })
        };
        of.have_budgets(replaced(&entries, budgets).into_iter().map(held).collect());
        mark(&mut of.changed, &mut self.signers_changed, index);
        self.note_budgets(index);
    }

    fn warned(&mut self, of: &BudgetUse) {
        let Some(&index) = self.signer_index.get(&of.signer) else { return };
        let held = self.signers[index as usize].budgets_mut().iter_mut();
        for one in held.filter(|one| one.entry.budget == of.budget) {
            one.entry.warned = Some(of.number);
        }
        self.note_budgets(index);
    }

    /// Whether an owner is to be told of a signer's budgets.
    fn note_budgets(&mut self, index: SignerIndex) {
        if self.signers[index as usize].budgets().iter().any(Held::is_to_tell) {
            self.budgets_near.insert(index);
        } else {
            self.budgets_near.remove(&index);
        }
    }

    /// Of which budgets so much is used that their owners should know, and were not told: some of
    /// them, and the others once these are `BudgetsWarned`.
    #[must_use]
    pub fn budgets_near(&self, limit: usize) -> Vec<BudgetUse> {
        let near = self.budgets_near.iter().map(|&index| &self.signers[index as usize]);
        let to_tell = near.flat_map(|signer| {
            let held = signer.budgets().iter().filter(|held| held.is_to_tell());
            held.map(|held| held.of(signer.key))
        });
        let mut uses: Vec<BudgetUse> = to_tell.take(limit).collect();
        uses.sort_unstable();
        uses
    }

    /// What a signer has used of its budgets, each in the period in which it did last; nothing
    /// where it signs for a payer of another shard.
    #[must_use]
    pub fn budgets_used(&self, signer: SignerKey) -> Vec<BudgetUse> {
        let index = self.signer_index.get(&signer);
        index.map(|&index| self.signers[index as usize].uses().collect()).unwrap_or_default()
    }

    /// What a checkpoint holds of a signer's budgets: all of them, so that one that was taken away
    /// and given again is not read as it was before.
    pub(super) fn budgets_saved(of: &Signer, everything: bool) -> Vec<BudgetUse> {
        let lost = planted(Bug::CheckpointLosesBudgets);
        let saved = of.uses().filter(|one| !everything || one.used > Amount(0));
        saved.filter(|_| !lost).collect()
    }

    /// Takes back a signer's budgets of the control state, if the signer is this shard's.
    pub fn restore_budgets(&mut self, signer: SignerKey, entries: &[BudgetEntry]) {
        let Some(&index) = self.signer_index.get(&signer) else { return };
        let held = entries.iter().map(|&entry| Held::new(entry)).collect();
        self.signers[index as usize].have_budgets(held);
    }

    /// Takes back what was used. An earlier page may name a budget that is no more.
    pub(super) fn restore_budget_use(&mut self, of: &BudgetUse) {
        let Some(&index) = self.signer_index.get(&of.signer) else { return };
        let held = self.signers[index as usize].budgets_mut().iter_mut();
        for one in held.filter(|one| one.entry.budget.key == of.budget.key) {
            (one.number, one.used) = (of.number, of.used);
        }
    }

    /// Everything was taken back: who was not told is to be told.
    pub(super) fn note_all_budgets(&mut self) {
        let to_tell = self
            .signers
            .iter()
            .zip(0..)
            .filter(|(signer, _)| signer.budgets().iter().any(Held::is_to_tell));
        self.budgets_near = to_tell.map(|(_, index)| index).collect();
    }
}

#[cfg(test)]
mod tests;
