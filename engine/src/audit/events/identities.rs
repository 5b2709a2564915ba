//! Identities: how they come and go, and whether who acted as one was one then, and might.

use super::{Audit, Done};
use crate::audit::difference::Difference;
use crate::ledger::control::identity;
use crate::ledger::event::AccessEvent;
use crate::ledger::rights::is_own;
use crate::ledger::{Call, Envelope, Fact, IdentityMisfit, Right, Role};
use crate::types::{Lsn, PartyId, Timestamp};

impl Audit<'_> {
    /// An identity is added, revoked or known by something else.
    pub(super) fn access(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        fact: &Fact,
        event: &AccessEvent,
    ) -> Done {
        let by_machine = fact.envelope.caller.role == Role::Engine;
        let maker = (!by_machine).then(|| fact.maker());
        let differs = |misfit: IdentityMisfit| {
            Difference::new("an identity", "one that there can be now", misfit)
        };
        match event {
            AccessEvent::Added(e) => {
                let added = identity(lsn, e, maker);
                self.identities.check_add(&added, at).map_err(differs)?;
                let mut named = e.scope.parties.iter().chain(&e.scope.payees);
                let is_known = |party: &PartyId| self.registry.parties.contains_key(party);
                if let Some(unknown) = named.find(|party| !is_known(party)) {
                    let what = "a party in an identity's scope";
                    return Err(Difference::new(what, "a registered one", unknown).into());
                }
                if self.eyes.has_operator(&e.name) {
                    return Err(differs(IdentityMisfit::NameTaken(e.name.clone())).into());
                }
                self.identities.add(lsn, added);
                self.eyes.count(&self.identities);
            }
            AccessEvent::Revoked(e) => {
                self.identities.check_revoke(&e.name).map_err(differs)?;
                self.identities.revoke(lsn, &e.name);
            }
            AccessEvent::Rotated(e) => {
                self.identities.check_rotate(&e.name, &e.credential, at).map_err(differs)?;
                self.identities.rotate(lsn, &e.name, e.credential.clone(), maker);
            }
        }
        Ok(())
    }

    /// Whether who acted as an identity was one when the record was made, with a right to it.
    pub(super) fn identity_acts(&self, fact: &Fact, at: Timestamp) -> Done {
        let Fact { envelope: Envelope { caller, .. }, event, confirms } = fact;
        if !caller.via.is_of_identities() {
            return Ok(());
        }
        let what = "who made it happen";
        let differs = |misfit: IdentityMisfit| Difference::new(what, "an identity", misfit);
        let as_who = (caller.role, caller.via);
        let acting = self.identities.acts(&caller.name, as_who, at).map_err(differs)?;
        let call = match confirms {
            Some(_) => Some(Call::ConfirmProposal),
            None => event.call(),
        };
        let Some(call) = call else {
            return Err(Difference::new(what, "the engine", format!("{caller:?}")).into());
        };
        let party_of = |signer| self.registry.signers.get(&signer).map(|of| of.party);
        let may = match call.right(acting.role) {
            Right::Allowed => true,
            Right::Own => is_own(acting, event, party_of),
            Right::Refused => false,
        };
        match may {
            true => Ok(()),
            false => {
                let (expected, found) = ("one who may", format!("{caller:?}: {}", call.name()));
                Err(Difference::new(what, expected, found).into())
            }
        }
    }
}
