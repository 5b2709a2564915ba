//! Budgets by hand: what was spent in each hour, day and month, all of them kept for ever, by a
//! calendar that counts month by month.

use super::State;
use crate::clock::{DAY, HOUR};
use std::collections::BTreeMap;
use tallystick::ledger::event::{BudgetEvent, BudgetsSet};
use tallystick::ledger::{BudgetEntry, BudgetKey, BudgetMisfit, BudgetUse, Period};
use tallystick::types::{Amount, Outcome, PartyId, SignerKey};

/// Most budgets of one key.
const BUDGETS_MAX: usize = 16;

/// The word for why not.
pub fn word(misfit: &BudgetMisfit) -> &'static str {
    match misfit {
        BudgetMisfit::TooMany(_) => "TooManyBudgets",
        BudgetMisfit::Repeat => "BudgetsRepeat",
        BudgetMisfit::ForSelf => "BudgetForSelf",
        BudgetMisfit::Moved => "BudgetsMoved",
    }
}

/// A budget of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// How much.
    pub amount: u64,
    /// What was spent in each period.
    pub spent: BTreeMap<i64, u64>,
    /// The last period in which somebody was warned.
    pub warned: Option<i64>,
}

/// Which period a time lies in.
fn number(period: Period, at: i64) -> i64 {
    match period {
        Period::Total => 0,
        Period::Hour => at.div_euclid(HOUR),
        Period::Day => at.div_euclid(DAY),
        Period::Month => {
            let (mut days, mut month) = (at.div_euclid(DAY), 0);
            while days >= length(month) {
                days -= length(month);
                month += 1;
            }
            while days < 0 {
                month -= 1;
                days += length(month);
            }
            month
        }
    }
}

/// How many days the month has that is so many after January 1970.
fn length(month: i64) -> i64 {
    let year = 1970 + month.div_euclid(12);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month.rem_euclid(12) {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

impl Budget {
    fn last(&self) -> Option<(i64, u64)> {
        self.spent.last_key_value().map(|(number, used)| (*number, *used))
    }
}

impl State {
    /// Why a key may not spend so much more, for its budgets.
    pub(super) fn over_budget(
        &self,
        signer: SignerKey,
        (asset, payee): (u32, PartyId),
        at: i64,
        rise: u64,
    ) -> Option<Outcome> {
        let held = self.budgets.get(&signer)?;
        let over = |period: Period| {
            held.iter().filter(|(key, _)| key.period == period).any(|(key, budget)| {
                let is_for = key.asset.0 == asset && key.payee.is_none_or(|to| to == payee);
                let used = budget.spent.get(&number(period, at)).copied().unwrap_or(0);
                is_for && u128::from(used) + u128::from(rise) > u128::from(budget.amount)
            })
        };
        let outcomes = [
            (Period::Total, Outcome::OverTotalBudget),
            (Period::Month, Outcome::OverMonthBudget),
            (Period::Day, Outcome::OverDayBudget),
            (Period::Hour, Outcome::OverHourBudget),
        ];
        outcomes.into_iter().find(|(period, _)| over(*period)).map(|(_, outcome)| outcome)
    }

    /// A key spends so much more.
    pub(super) fn spend(
        &mut self,
        signer: SignerKey,
        (asset, payee): (u32, PartyId),
        at: i64,
        rise: u64,
    ) {
        for (key, budget) in self.budgets.get_mut(&signer).into_iter().flatten() {
            if key.asset.0 == asset && key.payee.is_none_or(|to| to == payee) {
                *budget.spent.entry(number(key.period, at)).or_default() += rise;
            }
        }
    }

    /// Whether an event about budgets may happen.
    pub(super) fn may_budget(&self, event: &BudgetEvent) -> Result<(), &'static str> {
        match event {
            BudgetEvent::Set(BudgetsSet { signer, budgets }) => {
                if budgets.len() > BUDGETS_MAX {
                    return Err("TooManyBudgets");
                }
                if !budgets.is_sorted_by(|a, b| a.key < b.key) {
                    return Err("BudgetsRepeat");
                }
                let signer = self.signers.get(signer).ok_or("UnknownSigner")?;
                if signer.revoked {
                    return Err("SignerRevoked");
                }
                budgets.iter().try_for_each(|budget| {
                    let BudgetKey { asset, payee, .. } = budget.key;
                    match payee {
                        _ if !self.assets.contains_key(&asset.0) => Err("UnknownAsset"),
                        Some(payee) if payee == signer.party => Err("BudgetForSelf"),
                        Some(payee) if !self.parties.contains_key(&payee) => Err("UnknownParty"),
                        Some(_) | None => Ok(()),
                    }
                })
            }
            BudgetEvent::Warned(e) => {
                let mut before = None;
                for of in &e.uses {
                    let what = Some((of.signer, of.budget));
                    let held = self.budgets.get(&of.signer);
                    let held = held.and_then(|held| held.get(&of.budget.key));
                    let fits = held.is_some_and(|held| {
                        held.amount == of.budget.amount.0
                            && held.warned.is_none_or(|last| last < of.number)
                            && u128::from(of.used.0) * 10 >= u128::from(held.amount) * 8
                    });
                    if !fits || of.used.0 == 0 || before >= what {
                        return Err("BudgetsMoved");
                    }
                    before = what;
                }
                Ok(())
            }
        }
    }

    /// An event about budgets happens.
    pub(super) fn budgeted(&mut self, event: &BudgetEvent) {
        match event {
            BudgetEvent::Set(BudgetsSet { signer, budgets }) => {
                let mut before = self.budgets.remove(signer).unwrap_or_default();
                for budget in budgets {
                    let held = before.remove(&budget.key).unwrap_or_default();
                    let amount = budget.amount.0;
                    let warned = held.warned.filter(|_| held.amount == amount);
                    let now = Budget { amount, warned, ..held };
                    self.budgets.entry(*signer).or_default().insert(budget.key, now);
                }
            }
            BudgetEvent::Warned(e) => {
                for of in &e.uses {
                    let held = self.budgets.get_mut(&of.signer);
                    let held = held.and_then(|held| held.get_mut(&of.budget.key));
                    held.expect("it is known").warned = Some(of.number);
                }
            }
        }
    }

    /// The budgets of a key, as the control state has them.
    #[must_use]
    pub fn entries(&self, signer: SignerKey) -> Vec<BudgetEntry> {
        let held = self.budgets.get(&signer).into_iter().flatten();
        let entry = |(key, held): (&BudgetKey, &Budget)| {
            let budget = tallystick::ledger::Budget { key: *key, amount: Amount(held.amount) };
            BudgetEntry { budget, warned: held.warned }
        };
        held.map(entry).collect()
    }

    /// What a key has spent of its budgets, of each in the last period in which it did.
    #[must_use]
    pub fn uses(&self, signer: SignerKey) -> Vec<BudgetUse> {
        let held = self.budgets.get(&signer).into_iter().flatten();
        let of = |(key, held): (&BudgetKey, &Budget)| {
            let (number, used) = held.last()?;
            let budget = tallystick::ledger::Budget { key: *key, amount: Amount(held.amount) };
            Some(BudgetUse { signer, budget, number, used: Amount(used) })
        };
        held.filter_map(of).collect()
    }

    /// Of which budgets somebody is to be warned.
    #[must_use]
    pub fn near(&self) -> Vec<BudgetUse> {
        let mut near = Vec::new();
        for (signer, held) in &self.budgets {
            for of in self.uses(*signer) {
                let warned = held[&of.budget.key].warned;
                let is_near = u128::from(of.used.0) * 10 >= u128::from(of.budget.amount.0) * 8;
                if is_near && warned != Some(of.number) {
                    near.push(of);
                }
            }
        }
        near
    }
}
