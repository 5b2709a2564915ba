//! What operators signed with keys of their own, and whose keys those are: who has one signs all
//! that they approve and say, and nobody else's signature counts.

use super::{Audit, Done};
use crate::audit::difference::Difference;
use crate::audit::report::OperatorKey;
use crate::ledger::event::{
    BatchApproved, LegProposed, LegsMoved, OperatorKeyRemoved, OperatorKeySet,
};
use crate::ledger::{Caller, Mover};
use crate::types::{
    Lsn, SIGNATURE_BYTES, SignerKey, Statement, approval_statement, operator_key_statement,
    operator_removal_statement,
};
use crate::verify::is_signed;

type Checked = Result<(), Difference>;

impl Audit<'_> {
    pub(super) fn operator_key_set(
        &mut self,
        lsn: Lsn,
        caller: &Caller,
        e: &OperatorKeySet,
    ) -> Done {
        if !caller.is_operator() || caller.name != e.operator {
            let found = format!("{caller:?}");
            return Err(Difference::new("who sets a key", &e.operator, found).into());
        }
        let engines = |key: SignerKey| self.had_key(key);
        self.operators.check_set(e.key, engines).map_err(|misfit| {
            Difference::new("an operator's key", "one that nobody had before", misfit)
        })?;
        let before = self.operators.current(&e.operator);
        let over = operator_key_statement(self.network(), &e.operator, e.key, before);
        if !is_signed(e.key, over.bytes(), &e.possession) {
            let expected = format!("a signature by {}", e.key);
            return Err(Difference::new("the possession of a key", expected, "another").into());
        }
        self.under(caller, &over, &e.signature)?;
        self.pinned(e)?;
        self.operators.set(lsn, &e.operator, e.key);
        Ok(())
    }

    /// `caller`, who has signed it; `None`: it was proposed by one who did, and confirmed.
    pub(super) fn operator_key_removed(
        &mut self,
        lsn: Lsn,
        caller: Option<&Caller>,
        e: &OperatorKeyRemoved,
    ) -> Done {
        let may = caller.is_none_or(Caller::is_operator);
        let Some(key) = self.operators.current(&e.operator).filter(|_| may) else {
            let (what, found) = ("a key that is removed", format!("of {:?}", e.operator));
            return Err(Difference::new(what, "one in force, by an operator", found).into());
        };
        let over = operator_removal_statement(self.network(), &e.operator, key);
        if let Some(caller) = caller {
            self.under(caller, &over, &e.signature)?;
        }
        self.operators.remove(lsn, &e.operator);
        Ok(())
    }

    pub(super) fn approval_signed(&mut self, caller: &Caller, e: &BatchApproved) -> Checked {
        let signed = self.under(caller, &approval_statement(self.network(), e.batch), &e.signature);
        self.counts.approvals += 1;
        self.counts.approvals_signed += u64::from(signed?);
        Ok(())
    }

    pub(super) fn word_signed(&mut self, caller: &Caller, e: &LegProposed) -> Checked {
        let signed = self.under(caller, &e.statement(self.network()), &e.signature);
        self.counts.words += 1;
        self.counts.words_signed += u64::from(signed?);
        Ok(())
    }

    /// Of moves that are no operator's word, nobody signs any.
    pub(super) fn moves_signed(&mut self, caller: &Caller, e: &LegsMoved) -> Checked {
        let signed = self.under(caller, &e.statement(self.network()), &e.signature)?;
        if e.mover == Mover::Operator {
            self.counts.words += 1;
            self.counts.words_signed += u64::from(signed);
        }
        Ok(())
    }

    /// Whether a caller signed what they say: strictly with the key that they have, and who
    /// has none does not.
    pub(super) fn under(
        &self,
        caller: &Caller,
        over: &Statement,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<bool, Difference> {
        let what = format!("the signature of operator {:?}", caller.name);
        let key = self.operators.current(&caller.name).filter(|_| caller.is_operator());
        match (key, *signature == [0; SIGNATURE_BYTES]) {
            (None, true) => Ok(false),
            (None, false) => Err(Difference::new(&what, "none, for want of a key", "one")),
            (Some(key), true) => Err(Difference::new(&what, format!("one by {key}"), "none")),
            (Some(key), false) if is_signed(key, over.bytes(), signature) => Ok(true),
            (Some(key), false) => Err(Difference::new(&what, format!("one by {key}"), "another")),
        }
    }

    /// An operator's first key is the one that whoever audits knows, if they do.
    fn pinned(&self, e: &OperatorKeySet) -> Checked {
        let had_one = self.operators.all().iter().any(|(_, of)| of.operator == e.operator);
        let pins = self.settings.operator_keys.iter();
        let mut own = pins.filter(|(operator, _)| *operator == e.operator && !had_one);
        match own.find(|(_, key)| *key != e.key) {
            Some((operator, key)) => Err(Difference::new(&first_key(operator), key, e.key)),
            None => Ok(()),
        }
    }

    /// Checks, after the last event, that every operator whose first key is known has set it.
    pub(super) fn all_pins_met(&self) -> Checked {
        let all = self.operators.all();
        let is_set = |name: &str| all.iter().any(|(_, of)| of.operator == name);
        match self.settings.operator_keys.iter().find(|(operator, _)| !is_set(operator)) {
            Some((operator, key)) => Err(Difference::new(&first_key(operator), key, "none")),
            None => Ok(()),
        }
    }

    /// The keys, for the report.
    pub(super) fn keys_of_operators(&self) -> Vec<OperatorKey> {
        let all = self.operators.all().into_iter();
        let one = |(key, of): (SignerKey, &crate::ledger::OperatorKeyEntry)| OperatorKey {
            operator: of.operator.clone(),
            key: key.to_string(),
            since_lsn: of.since.0,
            until_lsn: of.until.map(|lsn| lsn.0),
        };
        all.map(one).collect()
    }
}

fn first_key(operator: &str) -> String {
    format!("the first key of operator {operator:?}")
}
