//! Budgets as the events say: each of a key and of what there is, and owners warned once a period,
//! of what they have, of a period that had begun. How much was used needs every voucher.

use super::difference::Difference;
use super::registry::Registry;
use crate::ledger::event::{BudgetEvent, BudgetsSet};
use crate::ledger::{Budget, BudgetKey, BudgetUse};
use crate::limits::{BUDGET_WARNINGS_MAX, BUDGETS_MAX};
use crate::types::{PartyId, SignerKey, Timestamp};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};

/// What a signer has: how much of what, and the last period of which its owner was warned.
type Held = BTreeMap<BudgetKey, (Budget, Option<i64>)>;

/// The budgets of signers that have any.
#[derive(Default)]
pub(super) struct Budgets(HashMap<SignerKey, Held, RandomState>);

fn wrong(expected: &'static str, found: impl std::fmt::Display) -> Difference {
    Difference::new("a signer's budgets", expected, found)
}

impl Registry {
    /// Takes an event about budgets.
    ///
    /// # Errors
    /// When the engine could not have made it.
    pub fn budgets(&mut self, at: Timestamp, event: &BudgetEvent) -> Result<(), Difference> {
        match event {
            BudgetEvent::Set(e) => self.budgets_set(e),
            BudgetEvent::Warned(e) => {
                let count = e.uses.len();
                if !(1..=BUDGET_WARNINGS_MAX).contains(&count) {
                    return Err(wrong("warnings, and no more than a record holds", count));
                }
                let order = |of: &BudgetUse| (of.signer, of.budget);
                if !e.uses.is_sorted_by(|a, b| order(a) < order(b)) {
                    return Err(wrong("warnings in order, each once", "another order"));
                }
                e.uses.iter().try_for_each(|of| self.warned(at, of))
            }
        }
    }

    fn budgets_set(
        &mut self,
        BudgetsSet { signer, budgets }: &BudgetsSet,
    ) -> Result<(), Difference> {
        let party = match self.signers.get(signer) {
            Some(signer) if signer.revoked.is_none() => signer.party,
            Some(_) | None => return Err(wrong("those of a key that signs", signer)),
        };
        if budgets.len() > BUDGETS_MAX || !budgets.is_sorted_by(|a, b| a.key < b.key) {
            return Err(wrong("a few, in order, each for something else", signer));
        }
        for Budget { key, .. } in budgets {
            if !self.assets.contains_key(&key.asset) {
                return Err(wrong("one in a registered asset", key.asset));
            }
            let is_there = |payee: PartyId| payee != party && self.parties.contains_key(&payee);
            if !key.payee.is_none_or(is_there) {
                return Err(wrong("one for another, registered party", signer));
            }
        }
        let before = self.budgets.0.remove(signer).unwrap_or_default();
        let warned = |budget: &Budget| match before.get(&budget.key) {
            Some((held, warned)) if held == budget => *warned,
            Some(_) | None => None,
        };
        let now: Held = budgets.iter().map(|one| (one.key, (*one, warned(one)))).collect();
        if !now.is_empty() {
            self.budgets.0.insert(*signer, now);
        }
        Ok(())
    }

    fn warned(&mut self, at: Timestamp, of: &BudgetUse) -> Result<(), Difference> {
        let BudgetUse { signer, budget, number, used } = of;
        let held = self.budgets.0.get_mut(signer).and_then(|held| held.get_mut(&budget.key));
        let Some((_, warned)) = held.filter(|(held, _)| held == budget) else {
            return Err(wrong("a warning of a budget that there is", signer));
        };
        if warned.is_some_and(|last| last >= *number) {
            return Err(wrong("one warning a period", format!("a second one in period {number}")));
        }
        if *number > budget.key.period.number(at) {
            return Err(wrong("a warning of a period that had begun", number));
        }
        if !of.is_near() {
            return Err(wrong("a warning from 80 % on", format!("{used} of {}", budget.amount)));
        }
        *warned = Some(*number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Period;
    use crate::ledger::SealedText;
    use crate::ledger::event::{
        AssetCreated, BudgetsWarned, PartyUpserted, RegistryEvent, SignerAdded, SignerRevoked,
    };
    use crate::types::{Amount, AssetDef, AssetNumber, Lsn, SettlementModel};

    const ASSET: AssetNumber = AssetNumber(978);
    const KEY: SignerKey = SignerKey([3; 32]);

    fn party(n: u8) -> PartyId {
        PartyId([n; 32])
    }

    fn registry() -> Registry {
        let (code, model) = ("EUR".into(), SettlementModel::Bilateral);
        let asset = AssetDef { number: ASSET, code, scale: 2, model };
        let mut events = vec![RegistryEvent::AssetCreated(AssetCreated { asset })];
        for party in [party(1), party(2)] {
            let (name, accounts) = (SealedText::new(vec![0; 40]), Vec::new());
            let event = PartyUpserted { party, name, suspended: false, accounts };
            events.push(RegistryEvent::PartyUpserted(event));
        }
        let added = SignerAdded { signer: KEY, party: party(1), caps: Vec::new() };
        events.push(RegistryEvent::SignerAdded(added));
        let mut registry = Registry::default();
        events.iter().zip(1..).for_each(|(event, lsn)| registry.apply(Lsn(lsn), event).unwrap());
        registry
    }

    fn budget(period: Period, payee: Option<PartyId>, amount: u64) -> Budget {
        Budget { key: BudgetKey { asset: ASSET, period, payee }, amount: Amount(amount) }
    }

    fn set(registry: &mut Registry, budgets: &[Budget]) -> bool {
        let event = BudgetsSet { signer: KEY, budgets: budgets.to_vec() };
        registry.budgets(Timestamp(0), &BudgetEvent::Set(event)).is_ok()
    }

    fn warn(registry: &mut Registry, hour: i64, uses: &[(Budget, i64, u64)]) -> bool {
        let one = |&(budget, number, used): &(Budget, i64, u64)| BudgetUse {
            signer: KEY,
            budget,
            number,
            used: Amount(used),
        };
        let event = BudgetsWarned { uses: uses.iter().map(one).collect() };
        registry.budgets(Timestamp(hour * 3_600_000_000), &BudgetEvent::Warned(event)).is_ok()
    }

    #[test]
    fn budgets_that_cannot_be_are_found() {
        let hour = budget(Period::Hour, None, 10);
        let mut of = registry();
        assert!(set(&mut of, &[budget(Period::Day, Some(party(2)), 0), hour]));
        assert!(!set(&mut of, &[hour, budget(Period::Day, None, 0)]), "order");
        assert!(!set(&mut of, &[hour, hour]), "twice");
        assert!(!set(&mut of, &[budget(Period::Day, Some(party(1)), 5)]), "its own party");
        assert!(!set(&mut of, &[budget(Period::Day, Some(party(9)), 5)]), "nobody");
        let key = BudgetKey { asset: AssetNumber(1), ..hour.key };
        assert!(!set(&mut of, &[Budget { key, ..hour }]), "an asset that there is not");
        let revoked = RegistryEvent::SignerRevoked(SignerRevoked { signer: KEY });
        of.apply(Lsn(9), &revoked).unwrap();
        assert!(!set(&mut of, &[hour]), "a key that was revoked");
    }

    #[test]
    fn warnings_that_cannot_be_are_found() {
        let (day, hour) = (budget(Period::Day, None, 50), budget(Period::Hour, None, 10));
        let mut of = registry();
        assert!(!warn(&mut of, 7, &[(hour, 7, 8)]), "there is none");
        assert!(set(&mut of, &[day, hour]));
        assert!(!warn(&mut of, 7, &[(hour, 7, 7)]), "too little");
        assert!(!warn(&mut of, 7, &[(hour, 8, 8)]), "not begun");
        assert!(!warn(&mut of, 7, &[(budget(Period::Hour, None, 9), 7, 8)]), "another amount");
        assert!(!warn(&mut of, 7, &[]), "of nothing");
        assert!(!warn(&mut of, 7, &[(hour, 7, 8), (day, 0, 40)]), "order");
        assert!(warn(&mut of, 7, &[(day, 0, 40), (hour, 6, 8)]));
        assert!(!warn(&mut of, 7, &[(hour, 6, 9)]), "a second time");
        assert!(set(&mut of, &[day, hour]));
        assert!(!warn(&mut of, 7, &[(hour, 6, 9)]), "set just so");
        assert!(warn(&mut of, 7, &[(hour, 7, 9)]), "the next hour");
        let more = budget(Period::Hour, None, 11);
        assert!(set(&mut of, &[more]) && warn(&mut of, 7, &[(more, 7, 9)]), "set anew");
        assert!(!warn(&mut of, 7, &[(day, 1, 50)]), "taken away");
    }
}
