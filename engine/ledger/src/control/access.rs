//! Who may come, and whether who came may do what they ask: identities, by their roles and scopes.
//! An operator of the configuration may do everything; who that is, the edge has found.

use super::Control;
use crate::canary::{Bug, planted};
use crate::envelope::{Caller, Envelope, Role};
use crate::event::{AccessEvent, Event, IdentityAdded, IdentityRevoked, IdentityRotated};
use crate::identity::{Identities, Identity, IdentityMisfit, made_by};
use crate::refusal::Refusal;
use crate::rights::{Right, is_own};
use crate::row::RowKey;
use crate::types::{Lsn, Timestamp};
use crate::wish::Wish;

impl Control {
    /// Identities.
    #[must_use]
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Who asks, where it is an identity: in force at this time, and with a role that may want such
    /// a thing.
    pub(super) fn acting(
        &self,
        caller: &Caller,
        wish: &Wish,
        at: Timestamp,
    ) -> Result<Option<&Identity>, Refusal> {
        let is_identity = caller.via.is_of_identities();
        let needs_one = match caller.role {
            Role::Engine | Role::Anyone | Role::Operator => false,
            Role::Facilitator | Role::Party | Role::Approver | Role::Auditor => true,
        };
        if !is_identity && !needs_one {
            return Ok(None);
        }
        let acts = self.identities.acts(&caller.name, (caller.role, caller.via), at);
        let acting = match acts {
            Err(IdentityMisfit::Revoked(name)) if planted(Bug::RevokedIdentityStillActs) => {
                self.identities.named(&name)?
            }
            other => other?,
        };
        let Some(call) = wish.call() else {
            return Err(Refusal::EnginesOwn { role: caller.role.name() });
        };
        match call.right(acting.role) {
            Right::Allowed | Right::Own => Ok(Some(acting)),
            Right::Refused => {
                let (role, call) = (acting.role.name(), call.name());
                Err(IdentityMisfit::NotAllowed { role, call }.into())
            }
        }
    }

    /// Whether what follows from a wish is an identity's own affair, where its role may do no more.
    pub(super) fn entitled(&self, acting: &Identity, event: &Event) -> Result<(), Refusal> {
        let Some(call) = event.call() else { return Ok(()) };
        let party_of = |signer| self.signer(signer).ok().map(|of| of.party);
        if call.right(acting.role) == Right::Allowed || is_own(acting, event, party_of) {
            return Ok(());
        }
        let (name, role, call) = (acting.name.clone(), acting.role.name(), call.name());
        Err(IdentityMisfit::NotOwn { name, role, call }.into())
    }

    /// The rows that an event about them, in the record at `lsn`, changes.
    pub(super) fn rows_of_access(&self, lsn: Lsn, event: &AccessEvent) -> Vec<RowKey> {
        let place = match event {
            AccessEvent::Added(_) => Some(lsn),
            AccessEvent::Revoked(IdentityRevoked { name })
            | AccessEvent::Rotated(IdentityRotated { name, .. }) => self.identities.place(name),
        };
        // Somebody who is added may be the second.
        place.into_iter().map(RowKey::Identity).chain([RowKey::Eyes]).collect()
    }

    pub(super) fn check_access(&self, event: &AccessEvent, at: Timestamp) -> Result<(), Refusal> {
        match event {
            AccessEvent::Added(e) => {
                self.identities.check_add(&identity(Lsn(0), e, None), at)?;
                if self.eyes.has_operator(&e.name) {
                    return Err(IdentityMisfit::NameTaken(e.name.clone()).into());
                }
                let named = e.scope.parties.iter().chain(&e.scope.payees);
                named.copied().try_for_each(|party| self.party(party).map(|_| ()))
            }
            AccessEvent::Revoked(e) => Ok(self.identities.check_revoke(&e.name)?),
            AccessEvent::Rotated(e) => {
                Ok(self.identities.check_rotate(&e.name, &e.credential, at)?)
            }
        }
    }

    /// `maker` asked for it; `None`: the owner of the machine did.
    pub(super) fn apply_access(&mut self, lsn: Lsn, event: &AccessEvent, maker: Option<&str>) {
        match event {
            AccessEvent::Added(e) => {
                self.identities.add(lsn, identity(lsn, e, maker));
                self.eyes.count(&self.identities);
            }
            AccessEvent::Revoked(IdentityRevoked { name }) => self.identities.revoke(lsn, name),
            AccessEvent::Rotated(IdentityRotated { name, credential }) => {
                self.identities.rotate(lsn, name, credential.clone(), maker);
            }
        }
    }
}

/// What follows from a wish about identities.
pub(super) fn access_event(wish: Wish) -> Event {
    if let Wish::AddIdentity(e) = wish {
        Event::from(e)
    } else if let Wish::RevokeIdentity { name } = wish {
        Event::from(IdentityRevoked { name })
    } else if let Wish::RotateIdentity { name, credential } = wish {
        Event::from(IdentityRotated { name, credential })
    } else {
        unreachable!("{wish:?} is about no identity")
    }
}

/// Whether who asks may want this at all: the engine's own doings are nobody else's, and whatever
/// anybody asks for has a request, so that it is done once.
pub(super) fn may(envelope: &Envelope, wish: &Wish) -> Result<(), Refusal> {
    let Envelope { caller, request } = envelope;
    let is_engine = caller.role == Role::Engine;
    match request {
        None if is_engine && wish.is_the_engines() => Ok(()),
        // The first key, and whom the owner of the machine lets in.
        None if is_engine && may_be_the_engines(wish) => Ok(()),
        Some(_) if !wish.is_the_engines() => Ok(()),
        None if !wish.is_the_engines() => Err(Refusal::NoRequestId),
        Some(_) | None => Err(Refusal::EnginesOwn { role: caller.role.name() }),
    }
}

fn may_be_the_engines(wish: &Wish) -> bool {
    let lets_in = |wish: &Wish| matches!(wish, Wish::AddIdentity(e) if e.role == Role::Operator);
    matches!(wish, Wish::SetEngineKey { .. }) || lets_in(wish)
}

/// The identity that a record adds, as this one asked for it.
#[must_use]
pub fn identity(lsn: Lsn, e: &IdentityAdded, maker: Option<&str>) -> Identity {
    let IdentityAdded { name, role, credential, scope, expires_at, rate } = e.clone();
    let (changed, revoked, past) = (lsn, None, Vec::new());
    let maker = made_by(&credential, maker);
    Identity { name, role, credential, scope, expires_at, rate, changed, revoked, maker, past }
}

#[cfg(test)]
mod tests;
