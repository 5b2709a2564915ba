//! What takes two people: an event that one wants becomes a proposal, and a proposal that another
//! confirms becomes the event. The rules are those of `crate::eyes`.

use super::directory::text;
use super::signed::UNSIGNED;
use super::{Control, Decision, Made};
use crate::canary::{Bug, planted};
use crate::envelope::{Envelope, Fact};
use crate::event::{
    AccessEvent, Change, ChangeProposed, Confirmation, Event, KeyEvent, PartyUpserted,
    ProposalWithdrawn, RegistryEvent,
};
use crate::eyes::{
    Before, Eyes, EyesMisfit, PartyBefore, Proposal, credential_before, key_before, party_before,
    proposal_id,
};
use crate::operator_key::OperatorSignature;
use crate::refusal::Refusal;
use crate::row::RowKey;
use crate::types::{Digest, Lsn, Timestamp, confirmation_statement};
use crate::wish::Wish;

impl Control {
    /// Four eyes: whether they are on, and what waits for the second pair.
    #[must_use]
    pub fn eyes(&self) -> &Eyes {
        &self.eyes
    }

    /// The event itself, or that it is proposed, where one person is not enough.
    pub(super) fn seen_by_two(
        &self,
        envelope: &Envelope,
        event: Event,
        at: Timestamp,
    ) -> Result<Event, Refusal> {
        let party = if let Event::Registry(RegistryEvent::PartyUpserted(e)) = &event {
            self.parties.get(&e.party)
        } else {
            None
        };
        let party = party.map(|held| PartyBefore {
            name: held.name.as_ref(),
            suspended: held.suspended,
            accounts: &held.accounts,
        });
        let before = Before { party, identities: &self.identities };
        if !self.eyes.takes_two(&envelope.caller, &event, before)? {
            return Ok(event);
        }
        let proposer = &envelope.caller;
        if !proposer.is_operator() || !self.eyes.counts(&proposer.name, &self.identities, at) {
            return Err(EyesMisfit::NobodyProposes.into());
        }
        self.eyes.room(&proposer.name, at)?;
        let before = self.before(&event);
        let change = Change::of(event).expect("what takes two can be proposed");
        let request = envelope.request.as_ref().map_or("", |request| &request.id);
        let proposal = proposal_id(&change, before, (&proposer.name, request), at);
        Ok(Event::from(ChangeProposed { proposal, change, before }))
    }

    /// What stands where an event would change something: a proposal to change it says so, and is
    /// not confirmed once it is another.
    fn before(&self, event: &Event) -> Digest {
        if let Event::Registry(RegistryEvent::PartyUpserted(PartyUpserted { party, .. })) = event {
            party_before(self.parties.get(party))
        } else if let Event::Key(KeyEvent::OperatorRemoved(e)) = event {
            key_before(self.operator_keys.current(&e.operator).as_ref())
        } else if let Event::Access(AccessEvent::Rotated(e)) = event {
            credential_before(self.identities.credential(&e.name))
        } else {
            // Of limits nothing is known here: `Eyes::overtake` says when one was set.
            Digest::ZERO
        }
    }

    /// A proposal that is confirmed: its event, as it was proposed, if it may still be.
    pub(super) fn confirmed(
        &self,
        envelope: Envelope,
        id: Digest,
        signed: Option<OperatorSignature>,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        let proposal = self.eyes.named(id, at)?;
        let is_own = envelope.caller.name == proposal.proposer;
        if !(is_own && planted(Bug::ProposerConfirmsOwn)) {
            self.eyes.check_confirmer(&envelope.caller, proposal, &self.identities, at)?;
        }
        let over = |network| confirmation_statement(network, id);
        let signature = self.signature(&envelope.caller, signed, over)?;
        let event = proposal.change.event();
        self.check_still(proposal, &event)?;
        self.check(&envelope, &event, at)?;
        let proposer = proposal.proposer.clone();
        let confirms = Some(Confirmation { proposal: id, proposer, signature });
        Ok(Decision::New(Box::new(Fact { envelope, event, confirms }), Made::Nothing))
    }

    /// Whether a proposal can still be confirmed, as far as that is its own: who proposed it
    /// counts, and what it would replace is as it was. Who may do it, and whether its change is
    /// allowed then, is asked when somebody does.
    ///
    /// # Errors
    /// `ProposerGone` or `ChangedMeanwhile`: it can only be withdrawn.
    pub fn check_confirmable(&self, proposal: &Proposal, at: Timestamp) -> Result<(), EyesMisfit> {
        self.eyes.check_proposer(proposal, &self.identities, at)?;
        self.check_still(proposal, &proposal.change.event())
    }

    /// Whether what a proposal would replace is as it was.
    fn check_still(&self, proposal: &Proposal, event: &Event) -> Result<(), EyesMisfit> {
        let is_held = match &proposal.change {
            Change::Hold(e) => self.on_hold().is_some_and(|hold| hold.lsn == e.restored),
            Change::Party(_)
            | Change::Signer(_)
            | Change::Limit(_)
            | Change::Deposit(_)
            | Change::Identity(_)
            | Change::Credential(_)
            | Change::OperatorKey(_) => true,
        };
        match is_held && self.before(event) == proposal.before {
            true => Ok(()),
            false => Err(EyesMisfit::ChangedMeanwhile(proposal.id)),
        }
    }

    /// What the engine's own word of them, and a withdrawal, lead to.
    pub(super) fn of_eyes(
        &self,
        envelope: &Envelope,
        wish: Wish,
        at: Timestamp,
    ) -> Result<Event, Refusal> {
        if let Wish::SetEyes(e) = wish {
            Ok(Event::from(e))
        } else if let Wish::WithdrawProposal { proposal, reason } = wish {
            self.withdrawal(envelope, proposal, reason, at)
        } else {
            unreachable!("{wish:?} is decided as what was proposed")
        }
    }

    /// Whoever counts may take a proposal away: it changes nothing.
    fn withdrawal(
        &self,
        envelope: &Envelope,
        proposal: Digest,
        reason: String,
        at: Timestamp,
    ) -> Result<Event, Refusal> {
        text(&reason, "reason")?;
        self.eyes.named(proposal, at)?;
        if !envelope.caller.is_operator() {
            return Err(EyesMisfit::NobodyProposes.into());
        }
        Ok(Event::from(ProposalWithdrawn { proposal, reason }))
    }

    /// The row of a proposal with this name.
    pub(super) fn row_of_proposal(&self, id: Digest) -> Option<RowKey> {
        self.eyes.place(id).map(RowKey::Proposal)
    }

    /// Rows that a proposal in the record at `lsn` changes: those that have expired go with it.
    pub(super) fn rows_of_proposed(&self, lsn: Lsn, at: Timestamp) -> Vec<RowKey> {
        self.eyes.over(at).chain([lsn]).map(RowKey::Proposal).collect()
    }
}

impl Confirmation {
    /// Whether who confirmed it signed that.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signature != UNSIGNED
    }
}

#[cfg(test)]
mod tests;
