//! Operators' keys of their own, by hand: who has one signs, with that one, just what they ask for.

use super::State;
use tallystick::ledger::event::{KeyEvent, OperatorKeyRemoved, OperatorKeySet};
use tallystick::ledger::{Envelope, Event, OperatorKeyMisfit, OperatorSignature, Wish};
use tallystick::types::{NetworkId, Statement, operator_key_statement, operator_removal_statement};

/// The word for a refusal about them.
pub(super) fn word(misfit: &OperatorKeyMisfit) -> &'static str {
    match misfit {
        OperatorKeyMisfit::MustSign { .. } => "MustSign",
        OperatorKeyMisfit::NoKey { .. } => "NoOperatorKey",
        OperatorKeyMisfit::Nameless => "NamelessKey",
        OperatorKeyMisfit::SignatureUnfit { .. } => "SignatureUnfit",
        OperatorKeyMisfit::NotHis { .. } => "NotHisKey",
        OperatorKeyMisfit::Idle { .. } => "SignedIdle",
        OperatorKeyMisfit::Reused(_)
        | OperatorKeyMisfit::Engines(_)
        | OperatorKeyMisfit::TooMany => "OperatorKey",
    }
}

impl State {
    pub(super) fn network(&self) -> NetworkId {
        NetworkId(self.network)
    }

    /// What stands under what an operator says.
    pub(super) fn signature(
        &self,
        operator: &str,
        signed: Option<OperatorSignature>,
        over: &Statement,
    ) -> Result<[u8; 64], &'static str> {
        match (self.own.get(operator), signed) {
            (None, None) => Ok([0; 64]),
            (None, Some(_)) if operator.is_empty() => Err("NamelessKey"),
            (None, Some(_)) => Err("NoOperatorKey"),
            (Some(_), None) => Err("MustSign"),
            (Some(key), Some(signed)) => signed.of(*key, over).ok_or("SignatureUnfit"),
        }
    }

    /// A key comes or goes.
    pub(super) fn key(&mut self, lsn: u64, event: &KeyEvent) {
        match event {
            KeyEvent::EngineSet(e) => self.keys.push((e.key, lsn)),
            KeyEvent::OperatorSet(e) => {
                self.own.insert(e.operator.clone(), e.key);
                self.had.insert(e.key);
            }
            KeyEvent::OperatorRemoved(e) => {
                self.own.remove(&e.operator);
            }
        }
    }

    /// A key that is set or taken away; `None` of other wishes.
    pub(super) fn of_keys(
        &self,
        envelope: &Envelope,
        wish: &Wish,
    ) -> Result<Option<Event>, &'static str> {
        let caller = envelope.operator();
        let has_name = || if caller.is_empty() { Err("NamelessKey") } else { Ok(()) };
        if let Wish::SetOperatorKey { possession, signed } = wish {
            has_name()?;
            let (key, before) = (possession.key(), self.own.get(caller).copied());
            let over = operator_key_statement(self.network(), caller, key, before);
            let signature = self.signature(caller, *signed, &over)?;
            let possession = possession.of(key, &over).ok_or("SignatureUnfit")?;
            if self.had.contains(&key) {
                return Err("OperatorKey");
            }
            let operator = caller.to_owned();
            let event = OperatorKeySet { operator, key, possession, signature };
            return Ok(Some(Event::from(event)));
        }
        if let Wish::RemoveOperatorKey { operator, key, signed } = wish {
            has_name()?;
            if self.own.get(operator) != Some(key) {
                return Err("NotHisKey");
            }
            let over = operator_removal_statement(self.network(), operator, *key);
            let (operator, signature) = (operator.clone(), self.signature(caller, *signed, &over)?);
            let event = OperatorKeyRemoved { operator, signature };
            return Ok(Some(Event::from(event)));
        }
        Ok(None)
    }
}
