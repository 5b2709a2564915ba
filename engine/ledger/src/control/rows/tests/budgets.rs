//! Budgets among what happens while rows are copied.

use super::{ASSET, World};
use crate::Wish;
use crate::budget::{Budget, BudgetEntry, BudgetKey, BudgetUse, Period};
use crate::types::{Amount, SignerKey};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum OfBudgets {
    /// Of one key, the longest first.
    Set(u8, Vec<u64>),
    Warn(u8, i64),
}

pub(super) fn step() -> impl Strategy<Value = OfBudgets> {
    let amounts = prop::collection::vec(0u64..9, 0..5);
    prop_oneof![
        3 => (1u8..6, amounts).prop_map(|(n, amounts)| OfBudgets::Set(n, amounts)),
        1 => (1u8..6, 0i64..9).prop_map(|(n, number)| OfBudgets::Warn(n, number)),
    ]
}

impl World {
    pub(super) fn step_of_budgets(&mut self, step: OfBudgets) {
        match step {
            OfBudgets::Set(n, amounts) => {
                let key = |period| BudgetKey { asset: ASSET, period, payee: None };
                let all = Period::ALL.into_iter().zip(amounts);
                let budget = |(period, n)| Budget { key: key(period), amount: Amount(n) };
                let budgets = all.map(budget).collect();
                self.wish(Wish::SetBudgets { signer: SignerKey([n; 32]), budgets });
            }
            OfBudgets::Warn(n, number) => {
                let signer = SignerKey([n; 32]);
                let held = self.books.control.budgets(signer).unwrap_or_default();
                let used = |entry: &BudgetEntry| {
                    let (budget, used) = (entry.budget, entry.budget.amount);
                    BudgetUse { signer, budget, number, used }
                };
                let uses: Vec<BudgetUse> = held.iter().map(used).collect();
                if !uses.is_empty() {
                    self.wish(Wish::WarnBudgets(uses));
                }
            }
        }
    }
}
