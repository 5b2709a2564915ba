//! Which budgets signers have, and of which of them their owners were warned. How much is used, the
//! shards count.

use super::Control;
use crate::budget::{Budget, BudgetEntry, BudgetUse, replaced};
use crate::event::{BudgetEvent, BudgetsSet, BudgetsWarned};
use crate::limits::{BUDGET_WARNINGS_MAX, BUDGETS_MAX};
use crate::refusal::{BudgetMisfit, Refusal};
use crate::types::SignerKey;

impl Control {
    /// A signer's budgets, ordered by what they are for.
    ///
    /// # Errors
    /// `UnknownSigner`.
    pub fn budgets(&self, signer: SignerKey) -> Result<&[BudgetEntry], Refusal> {
        self.signer(signer)?;
        Ok(self.held_budgets(signer))
    }

    /// Whether any signer has one.
    #[must_use]
    pub fn has_budgets(&self) -> bool {
        !self.budgets.is_empty()
    }

    fn held_budgets(&self, signer: SignerKey) -> &[BudgetEntry] {
        self.budgets.get(&signer).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn check_budgets(&self, event: &BudgetEvent) -> Result<(), Refusal> {
        match event {
            BudgetEvent::Set(e) => self.check_budgets_set(e),
            BudgetEvent::Warned(e) => {
                let count = e.uses.len();
                assert!((1..=BUDGET_WARNINGS_MAX).contains(&count), "warnings come in pieces");
                let in_order = e.uses.is_sorted_by(|a, b| order(a) < order(b));
                match in_order && e.uses.iter().all(|of| self.is_new(of)) {
                    true => Ok(()),
                    false => Err(BudgetMisfit::Moved.into()),
                }
            }
        }
    }

    fn check_budgets_set(&self, e: &BudgetsSet) -> Result<(), Refusal> {
        if e.budgets.len() > BUDGETS_MAX {
            return Err(BudgetMisfit::TooMany(BUDGETS_MAX).into());
        }
        if !e.budgets.is_sorted_by(|a, b| a.key < b.key) {
            return Err(BudgetMisfit::Repeat.into());
        }
        let signer = self.signer(e.signer)?;
        if signer.revoked {
            return Err(Refusal::SignerRevoked(e.signer));
        }
        let party = signer.party;
        e.budgets.iter().try_for_each(|Budget { key, amount: _ }| {
            self.known_asset(key.asset)?;
            match key.payee {
                Some(payee) if payee == party => Err(BudgetMisfit::ForSelf.into()),
                Some(payee) => self.party(payee).map(|_| ()),
                None => Ok(()),
            }
        })
    }

    /// Whether a warning is of a budget as it is, and the first one of its period.
    fn is_new(&self, of: &BudgetUse) -> bool {
        let mut held = self.held_budgets(of.signer).iter();
        let held = held.find(|entry| entry.budget == of.budget);
        of.is_near() && held.is_some_and(|entry| entry.warned.is_none_or(|last| last < of.number))
    }

    pub(super) fn apply_budgets(&mut self, event: &BudgetEvent) {
        match event {
            BudgetEvent::Set(BudgetsSet { signer, budgets }) => {
                let now = replaced(self.held_budgets(*signer), budgets);
                match now.is_empty() {
                    true => self.budgets.remove(signer),
                    false => self.budgets.insert(*signer, now),
                };
            }
            BudgetEvent::Warned(BudgetsWarned { uses }) => {
                for of in uses {
                    let held = self.budgets.get_mut(&of.signer).into_iter().flatten();
                    for entry in held.filter(|entry| entry.budget == of.budget) {
                        entry.warned = Some(of.number);
                    }
                }
            }
        }
    }
}

/// What a warning is of.
fn order(of: &BudgetUse) -> (SignerKey, Budget) {
    (of.signer, of.budget)
}

#[cfg(test)]
mod tests;
