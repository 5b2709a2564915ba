//! Operators' keys of their own: who has one signs what they approve and say, and how keys come and
//! go. That a signature is valid was found before (`OperatorSignature`); that it is over just what
//! is journaled, and by the key in force, is decided here.

use super::Control;
use super::directory::bounded;
use crate::canary::{Bug, planted};
use crate::envelope::Caller;
use crate::event::{
    BatchApproved, BatchEvent, Event, KeyEvent, LegEvent, LegProposed, LegsMoved,
    OperatorKeyRemoved, OperatorKeySet,
};
use crate::leg::LegState;
use crate::limits::OPERATOR_NAME_BYTES_MAX;
use crate::operator_key::{OperatorKeyMisfit, OperatorKeys, OperatorSignature};
use crate::refusal::Refusal;
use crate::types::{
    BatchId, FileHasher, LegSaid, Lsn, NetworkId, SIGNATURE_BYTES, SignerKey, Statement,
    approval_statement, operator_key_statement, operator_removal_statement, words_statement,
};

/// What stands where nothing was signed. No key has such a signature: its R is of small order.
pub(crate) const UNSIGNED: [u8; SIGNATURE_BYTES] = [0; SIGNATURE_BYTES];

impl Control {
    pub(super) fn apply_keys(&mut self, lsn: Lsn, event: &KeyEvent) {
        match event {
            KeyEvent::EngineSet(e) => self.engine_keys.set(lsn, e.key),
            KeyEvent::OperatorSet(e) => self.operator_keys.set(lsn, &e.operator, e.key),
            KeyEvent::OperatorRemoved(e) => self.operator_keys.remove(lsn, &e.operator),
        }
    }

    /// Operators' keys.
    #[must_use]
    pub fn operator_keys(&self) -> &OperatorKeys {
        &self.operator_keys
    }

    /// The key with which a caller signs; `None` if the caller has none, and signs nothing.
    ///
    /// # Errors
    /// `MustSign` when there is one and `is_signed` is false; `NoKey` or `Nameless` when there is
    /// none and it is true.
    pub fn signs_with(
        &self,
        caller: &Caller,
        is_signed: bool,
    ) -> Result<Option<SignerKey>, Refusal> {
        let operator = caller.name.clone();
        match (self.key_of(caller), is_signed) {
            (None, false) => Ok(None),
            (None, true) if caller.is_operator() => {
                Err(OperatorKeyMisfit::NoKey { operator }.into())
            }
            (None, true) => Err(OperatorKeyMisfit::Nameless.into()),
            (Some(_), false) if planted(Bug::UnsignedApproval) => Ok(None),
            (Some(key), false) => Err(OperatorKeyMisfit::MustSign { operator, key }.into()),
            (Some(key), true) => Ok(Some(key)),
        }
    }

    fn key_of(&self, caller: &Caller) -> Option<SignerKey> {
        self.operator_keys.current(&caller.name).filter(|_| caller.is_operator())
    }

    /// The signature under what a caller says, as it is journaled.
    pub(super) fn signature(
        &self,
        caller: &Caller,
        signed: Option<OperatorSignature>,
        over: impl FnOnce(NetworkId) -> Statement,
    ) -> Result<[u8; SIGNATURE_BYTES], Refusal> {
        let key = self.signs_with(caller, signed.is_some())?;
        let Some((key, signed)) = key.zip(signed) else { return Ok(UNSIGNED) };
        let over = over(self.genesis.network);
        let operator = caller.name.clone();
        let unfit = OperatorKeyMisfit::SignatureUnfit { operator, key };
        signed.of(key, &over).ok_or_else(|| unfit.into())
    }

    /// An approval, as its operator signed it.
    pub(super) fn approval(
        &self,
        caller: &Caller,
        batch: BatchId,
        signed: Option<OperatorSignature>,
    ) -> Result<Event, Refusal> {
        let signature =
            self.signature(caller, signed, |network| approval_statement(network, batch))?;
        Ok(Event::from(BatchApproved { batch, signature }))
    }

    /// An operator's word about legs, as it was signed.
    pub(super) fn signed_moves(
        &self,
        caller: &Caller,
        moved: LegsMoved,
        signed: Option<OperatorSignature>,
    ) -> Result<Event, Refusal> {
        let signature = self.signature(caller, signed, |network| moved.statement(network))?;
        Ok(Event::from(LegsMoved { signature, ..moved }))
    }

    /// One operator's word about an UNKNOWN leg, as it was signed.
    pub(super) fn signed_word(
        &self,
        caller: &Caller,
        word: LegProposed,
        signed: Option<OperatorSignature>,
    ) -> Result<Event, Refusal> {
        let signature = self.signature(caller, signed, |network| word.statement(network))?;
        Ok(Event::from(LegProposed { signature, ..word }))
    }

    /// An operator's new key: they have it, and sign with the one before it, if there is one.
    pub(super) fn key_set(
        &self,
        caller: &Caller,
        possession: OperatorSignature,
        signed: Option<OperatorSignature>,
    ) -> Result<Event, Refusal> {
        if !caller.is_operator() {
            return Err(OperatorKeyMisfit::Nameless.into());
        }
        let (operator, key) = (caller.name.clone(), possession.key());
        let before = self.key_of(caller);
        let over = operator_key_statement(self.genesis.network, &operator, key, before);
        let signature = self.signature(caller, signed, |_| over)?;
        let Some(possession) = possession.of(key, &over) else {
            return Err(OperatorKeyMisfit::SignatureUnfit { operator, key }.into());
        };
        let is_engines = |of| self.engine_keys.all().any(|(_, held)| held == of);
        self.operator_keys.check_set(key, is_engines)?;
        Ok(Event::from(OperatorKeySet { operator, key, possession, signature }))
    }

    /// An operator's key that is lost, or was found by others: any operator takes it away.
    pub(super) fn key_removed(
        &self,
        caller: &Caller,
        (operator, key): (String, SignerKey),
        signed: Option<OperatorSignature>,
    ) -> Result<Event, Refusal> {
        if !caller.is_operator() {
            return Err(OperatorKeyMisfit::Nameless.into());
        }
        bounded(&operator, "operator", OPERATOR_NAME_BYTES_MAX)?;
        if self.operator_keys.current(&operator) != Some(key) {
            return Err(OperatorKeyMisfit::NotHis { operator, key }.into());
        }
        let signature = self.signature(caller, signed, |network| {
            operator_removal_statement(network, &operator, key)
        })?;
        Ok(Event::from(OperatorKeyRemoved { operator, signature }))
    }
}

impl LegsMoved {
    /// What an operator signs who says this.
    #[must_use]
    pub fn statement(&self, network: NetworkId) -> Statement {
        let words = self.moves.iter().map(|one| LegSaid {
            leg: one.leg,
            state: one.to.number(),
            reference: &one.reference,
            reason: &one.reason,
        });
        words_statement(network, self.batch, self.evidence, words)
    }
}

impl LegProposed {
    /// What an operator signs who says this: the same as if it moved the leg at once.
    #[must_use]
    pub fn statement(&self, network: NetworkId) -> Statement {
        let evidence = FileHasher::of(self.evidence.as_bytes());
        let (state, reference, reason) = (self.to.number(), &*self.reference, &*self.evidence);
        let word = LegSaid { leg: self.leg, state, reference, reason };
        words_statement(network, self.batch, evidence, [word])
    }
}

impl BatchApproved {
    /// Whether its operator signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signature != UNSIGNED
    }
}

impl Event {
    /// Whether an operator signed it with an own key: what they approved or said, or a change
    /// of such a key.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let signature = match self {
            Self::Batch(BatchEvent::Approved(e)) => &e.signature,
            Self::Leg(LegEvent::Moved(e)) => &e.signature,
            Self::Leg(LegEvent::Proposed(e)) => &e.signature,
            Self::Key(KeyEvent::OperatorSet(e)) => &e.signature,
            Self::Key(KeyEvent::OperatorRemoved(e)) => &e.signature,
            Self::Key(KeyEvent::EngineSet(_))
            | Self::Batch(BatchEvent::Computed(_) | BatchEvent::Aborted(_))
            | Self::Leg(LegEvent::Submitted(_) | LegEvent::Booked(_) | LegEvent::Released(_))
            | Self::Registry(_)
            | Self::Budget(_)
            | Self::Access(_)
            | Self::Endpoint(_)
            | Self::Eyes(_)
            | Self::Window(_)
            | Self::Trouble(_)
            | Self::Hold(_) => return false,
        };
        *signature != UNSIGNED
    }
}

impl LegState {
    /// Its number in the journal.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests;
