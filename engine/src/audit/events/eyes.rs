//! What takes two: that nothing of it stands by one, that what was confirmed is what was proposed,
//! and by somebody else.

use super::{Audit, Done};
use crate::audit::difference::{AuditError, Difference};
use crate::ledger::event::{Change, ChangeProposed, Confirmation, EyesEvent, RegistryEvent};
use crate::ledger::eyes::{Before, Proposal, check_own_key, credential_before, proposal_id};
use crate::ledger::{Caller, Envelope, Event, EyesMisfit, Fact};
use crate::types::{Digest, Lsn, Timestamp, confirmation_statement, operator_removal_statement};

impl Audit<'_> {
    /// Whether an event may stand: by one, or, where that takes two, by two.
    pub(super) fn seen_by_two(&mut self, at: Timestamp, fact: &Fact) -> Done {
        let Fact { envelope: Envelope { caller, .. }, event, confirms } = fact;
        if let Some(of) = confirms {
            return self.confirmed(at, caller, event, of);
        }
        let own = self.eyes.check_acts(caller, event, self.before(event));
        self.or_noted(own).map_err(|refusal| alone(&self.hint(&refusal), caller))?;
        match self.eyes.asks_for_two(caller, event, self.before(event)) {
            Ok(false) => Ok(()),
            Ok(true) => Err(alone("what one proposes and another confirms", caller)),
            Err(refusal) => Err(alone(&refusal.to_string(), caller)),
        }
    }

    fn before(&self, event: &Event) -> Before<'_> {
        let party = if let Event::Registry(RegistryEvent::PartyUpserted(e)) = event {
            self.registry.before(e.party)
        } else {
            None
        };
        Before { party, identities: &self.identities }
    }

    /// Whether a key was somebody's own; in a record from before that was asked it is noted.
    pub(super) fn or_noted(&mut self, own: Result<(), EyesMisfit>) -> Result<(), EyesMisfit> {
        let Err(misfit) = own else { return Ok(()) };
        if self.settings.own_keys_since.is_none_or(|since| self.last >= since) {
            return Err(misfit);
        }
        self.notes.push(format!("record {} stands by an older rule: {misfit}", self.last.0));
        Ok(())
    }

    /// What is wrong, and what to do if an older engine let it stand.
    pub(super) fn hint(&self, misfit: &EyesMisfit) -> String {
        match self.settings.own_keys_since {
            Some(_) => misfit.to_string(),
            None => format!(
                "{misfit} (if an engine that did not ask for own keys made this, say --own-keys-since with the record \
                 of the first start of a newer one)"
            ),
        }
    }

    fn confirmed(
        &mut self,
        at: Timestamp,
        caller: &Caller,
        event: &Event,
        of: &Confirmation,
    ) -> Done {
        let differs = |found: &dyn ToString| -> AuditError {
            let found = found.to_string();
            Difference::new("what was confirmed", "a proposal of another", found).into()
        };
        let proposal = self.eyes.named(of.proposal, at).map_err(|r| differs(&r))?.clone();
        let other = self.eyes.check_other(caller, &proposal, &self.identities, at);
        other.map_err(|refusal| differs(&refusal))?;
        if !self.eyes.counts(&proposal.proposer, &self.identities, at) {
            return Err(differs(&format!("{} counted no more", proposal.proposer)));
        }
        let own = check_own_key(caller, &self.identities);
        let by_the_same = self.eyes.check_proposer(&proposal, &self.identities, at);
        let still = self.still(&proposal);
        for checked in [own, by_the_same, still] {
            self.or_noted(checked).map_err(|refusal| differs(&self.hint(&refusal)))?;
        }
        if proposal.proposer != of.proposer {
            return Err(Difference::new("who proposed it", proposal.proposer, &of.proposer).into());
        }
        if proposal.change.event() != *event {
            return Err(differs(&format!("{event:?}")));
        }
        let over = confirmation_statement(self.network(), of.proposal);
        self.under(caller, &over, &of.signature)?;
        self.eyes.end(of.proposal);
        Ok(())
    }

    /// Whether what a proposal replaces is as it was, as far as the events alone tell: a limit, and
    /// the key of an identity. What is zero says nothing.
    fn still(&self, of: &Proposal) -> Result<(), EyesMisfit> {
        let now = if let Change::Credential(e) = &of.change {
            credential_before(self.identities.credential(&e.name))
        } else if let Change::Limit(_) = &of.change {
            Digest::ZERO
        } else {
            return Ok(());
        };
        match of.before == now || of.before == Digest::ZERO {
            true => Ok(()),
            false => Err(EyesMisfit::ChangedMeanwhile(of.id)),
        }
    }

    /// A limit that is set has what was proposed before of it be confirmed no more.
    pub(super) fn overtake(&mut self, event: &RegistryEvent) {
        if let RegistryEvent::LimitSet(e) = event {
            self.eyes.overtake(e.party, e.asset);
        }
    }

    pub(super) fn eyes(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        envelope: &Envelope,
        event: &EyesEvent,
    ) -> Done {
        match event {
            EyesEvent::Set(_) => {}
            EyesEvent::Proposed(e) => self.proposal(at, envelope, e)?,
            EyesEvent::Withdrawn(e) => {
                let differs =
                    |refusal| Difference::new("what is withdrawn", "an open proposal", refusal);
                self.eyes.named(e.proposal, at).map_err(differs)?;
            }
        }
        self.eyes.apply((lsn, at), &envelope.caller, event, &self.identities);
        Ok(())
    }

    fn proposal(&self, at: Timestamp, envelope: &Envelope, e: &ChangeProposed) -> Done {
        let Envelope { caller, request } = envelope;
        let request = request.as_ref().map_or("", |request| &request.id);
        let id = proposal_id(&e.change, e.before, (&caller.name, request), at);
        if id != e.proposal {
            return Err(Difference::new("the id of a proposal", id, e.proposal).into());
        }
        let counts = caller.is_operator() && self.eyes.counts(&caller.name, &self.identities, at);
        // Whose key it is was looked at before.
        let event = e.change.event();
        let takes_two = self.eyes.asks_for_two(caller, &event, self.before(&event));
        if !counts || !matches!(takes_two, Ok(true)) {
            let what = "a proposal";
            let found = format!("{:?} of {caller:?}", e.change);
            return Err(Difference::new(what, "what takes two, by one of them", found).into());
        }
        // Whoever wants a key to be taken away signs that; who confirms it signs that.
        if let Change::OperatorKey(removed) = &e.change {
            let Some(key) = self.operators.current(&removed.operator) else {
                let (what, found) = ("a key that is removed", &removed.operator);
                return Err(Difference::new(what, "one in force", found).into());
            };
            let over = operator_removal_statement(self.network(), &removed.operator, key);
            self.under(caller, &over, &removed.signature)?;
        }
        Ok(())
    }
}

fn alone(expected: &str, caller: &Caller) -> AuditError {
    Difference::new("who made it happen", expected, format!("{} alone", caller.name)).into()
}
