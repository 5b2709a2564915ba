//! What operators sign with keys of their own, checked strictly before it becomes a wish; and how
//! such keys come and go. Whether a caller must sign, and what, is the ledger's to decide, and it
//! decides again on just what it journals.

use super::engine::Engine;
use crate::ledger::{Caller, Command, Envelope, OperatorKeyMisfit, OperatorSignature, Wish};
use crate::pipeline::NotDone;
use crate::types::{
    BatchId, Digest, Lsn, SIGNATURE_BYTES, SignerKey, Statement, approval_statement,
    confirmation_statement, operator_key_statement, operator_removal_statement,
};
use crate::verify::is_signed;

/// A signature as it came.
pub type Signature = [u8; SIGNATURE_BYTES];

impl Engine {
    /// Approves a batch. A request that was answered before is answered so again.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Busy`.
    pub async fn approve_batch(
        &self,
        envelope: Envelope,
        batch: BatchId,
        signature: Option<Signature>,
    ) -> Result<Lsn, NotDone> {
        let over = approval_statement(self.network(), batch);
        let signed = self.signed(&envelope, signature, over).await;
        let signed = self.note_refusal(&envelope, "approve batch", signed)?;
        self.wish_of(envelope, Wish::ApproveBatch { batch, signed }).await
    }

    /// Has what another proposed happen.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Busy`.
    pub async fn confirm_proposal(
        &self,
        envelope: Envelope,
        proposal: Digest,
        signature: Option<Signature>,
    ) -> Result<Lsn, NotDone> {
        let over = confirmation_statement(self.network(), proposal);
        let signed = self.signed(&envelope, signature, over).await;
        let signed = self.note_refusal(&envelope, "confirm proposal", signed)?;
        self.wish_of(envelope, Wish::ConfirmProposal { proposal, signed }).await
    }

    /// Has the caller sign with this key from now on. The caller has it, and signs with the one
    /// before it, if there is one.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Busy`.
    pub async fn set_operator_key(
        &self,
        envelope: Envelope,
        key: SignerKey,
        possession: Signature,
        signature: Option<Signature>,
    ) -> Result<Lsn, NotDone> {
        // What is signed names the key before it: one follows another at a time.
        let _alone = self.rotating().lock().await;
        if let Some(lsn) = self.answered_by(&envelope).await? {
            return Ok(lsn);
        }
        let wish = self.next_key(&envelope, key, possession, signature).await;
        let wish = self.note_refusal(&envelope, "set an operator's key", wish)?;
        self.wish_of(envelope, wish).await
    }

    async fn next_key(
        &self,
        envelope: &Envelope,
        key: SignerKey,
        possession: Signature,
        signature: Option<Signature>,
    ) -> Result<Wish, NotDone> {
        let caller = &envelope.caller;
        let before = self.ask(|control| match caller.is_operator() {
            true => Ok(control.operator_keys().current(&caller.name)),
            false => Err(OperatorKeyMisfit::Nameless.into()),
        });
        let before = before.await?;
        let over = operator_key_statement(self.network(), &caller.name, key, before);
        let signed = self.signed(envelope, signature, over).await?;
        let possession = Box::new(checked(caller, key, possession, over).await?);
        Ok(Wish::SetOperatorKey { possession, signed })
    }

    /// Takes an operator's key away, if it is this one.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Busy`.
    pub async fn remove_operator_key(
        &self,
        envelope: Envelope,
        (operator, key): (String, SignerKey),
        signature: Option<Signature>,
    ) -> Result<Lsn, NotDone> {
        let over = operator_removal_statement(self.network(), &operator, key);
        let signed = self.signed(&envelope, signature, over).await;
        let signed = self.note_refusal(&envelope, "remove an operator's key", signed)?;
        self.wish_of(envelope, Wish::RemoveOperatorKey { operator, key, signed }).await
    }

    /// What a caller has signed: `None` where there is no key, and where it was answered.
    ///
    /// # Errors
    /// `Refused` when the caller must sign and did not, has no key and did, or when it is not the
    /// signature of that key over this.
    pub(super) async fn signed(
        &self,
        envelope: &Envelope,
        signature: Option<Signature>,
        over: Statement,
    ) -> Result<Option<OperatorSignature>, NotDone> {
        // Whoever was answered is answered so again, whichever key holds by now.
        if self.answered_by(envelope).await?.is_some() {
            return Ok(None);
        }
        let caller = &envelope.caller;
        let key = self.ask(|control| control.signs_with(caller, signature.is_some())).await?;
        match key.zip(signature) {
            None => Ok(None),
            Some((key, signature)) => checked(caller, key, signature, over).await.map(Some),
        }
    }

    /// The record that answered a request before.
    ///
    /// # Errors
    /// `Refused` when its id was used for something else, or `Busy`.
    pub(super) async fn answered_by(&self, envelope: &Envelope) -> Result<Option<Lsn>, NotDone> {
        let Some(request) = &envelope.request else { return Ok(None) };
        self.ask(|control| control.answered(request)).await
    }

    async fn wish_of(&self, envelope: Envelope, wish: Wish) -> Result<Lsn, NotDone> {
        Ok(self.tell(Command { envelope, wish }).await?.lsn())
    }

    fn note_refusal<T>(
        &self,
        envelope: &Envelope,
        asked: &str,
        done: Result<T, NotDone>,
    ) -> Result<T, NotDone> {
        if let Err(NotDone::Refused(refusal)) = &done {
            self.tell_refusal(envelope, asked, refusal);
        }
        done
    }
}

/// A signature that is this key's over this, strictly. Looked at beside the network threads. The
/// only place where one is found to be good.
async fn checked(
    caller: &Caller,
    key: SignerKey,
    signature: Signature,
    over: Statement,
) -> Result<OperatorSignature, NotDone> {
    let check = move || is_signed(key, over.bytes(), &signature);
    let is_good = tokio::task::spawn_blocking(check).await.expect("checking does not panic");
    if is_good {
        return Ok(OperatorSignature::checked(over, key, signature));
    }
    let operator = caller.name.clone();
    Err(NotDone::Refused(OperatorKeyMisfit::SignatureUnfit { operator, key }.into()))
}
