//! What takes two: that nothing of it stands by one, that what was confirmed is what was proposed,
//! and by somebody else.

use super::{Audit, Done};
use crate::audit::difference::{AuditError, Difference};
use crate::ledger::event::{Change, ChangeProposed, Confirmation, EyesEvent, RegistryEvent};
use crate::ledger::eyes::{Before, Proposal, credential_before, proposal_id};
use crate::ledger::{Caller, Envelope, Event, EyesMisfit, Fact};
use crate::types::{Digest, Lsn, Timestamp, confirmation_statement, operator_removal_statement};

impl Audit<'_> {
    /// Whether an event may stand: by one, or, where that takes two, by two.
    pub(super) fn seen_by_two(&mut self, at: Timestamp, fact: &Fact) -> Done {
        let Fact { envelope: Envelope { caller, .. }, event, confirms } = fact;
        if let Some(of) = confirms {
            return self.confirmed(at, caller, event, of);
        }
        match self.takes_two(caller, event) {
            Ok(false) => Ok(()),
            Ok(true) => Err(alone("what one proposes and another confirms", caller)),
            Err(refusal) => Err(alone(&refusal.to_string(), caller)),
        }
    }

    fn takes_two(&self, caller: &Caller, event: &Event) -> Result<bool, EyesMisfit> {
        let party = if let Event::Registry(RegistryEvent::PartyUpserted(e)) = event {
            self.registry.before(e.party)
        } else {
            None
        };
        let before = Before { party, identities: &self.identities };
        self.eyes.takes_two(caller, event, before)
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
        if !self.still(&proposal) {
            return Err(differs(&"what it would replace had changed since"));
        }
        let check = self.eyes.check_confirmer(caller, &proposal, &self.identities, at);
        check.map_err(|refusal| differs(&refusal))?;
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
    fn still(&self, of: &Proposal) -> bool {
        let now = if let Change::Credential(e) = &of.change {
            credential_before(self.identities.credential(&e.name))
        } else if let Change::Limit(_) = &of.change {
            Digest::ZERO
        } else {
            return true;
        };
        of.before == now || of.before == Digest::ZERO
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
        let takes_two = self.takes_two(caller, &e.change.event());
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
