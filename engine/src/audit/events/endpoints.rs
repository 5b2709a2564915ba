//! Where parties are told over HTTP: how endpoints come and go. No money.

use super::{Audit, Done};
use crate::audit::difference::Difference;
use crate::ledger::event::{EndpointEvent, RegistryEvent};
use crate::ledger::{Caller, EndpointMisfit, Role};
use crate::types::{Lsn, PartyId, Timestamp};

impl Audit<'_> {
    /// An asset, a party, a key, a limit, a deposit; with a party that is erased its endpoints go.
    pub(super) fn registered(&mut self, lsn: Lsn, event: &RegistryEvent) -> Done {
        self.registry.apply(lsn, event)?;
        if let RegistryEvent::PartyErased(e) = event {
            self.endpoints.remove_of(e.party);
        }
        Ok(())
    }

    pub(super) fn endpoint(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        caller: &Caller,
        event: &EndpointEvent,
    ) -> Done {
        let differs = |misfit: EndpointMisfit| {
            Difference::new("a webhook", "one that there can be now", misfit)
        };
        let by = (caller.name.as_str(), caller.role == Role::Party);
        match event {
            EndpointEvent::Added(e) => {
                self.tellable(e.party)?;
                self.endpoints.check_add(e).map_err(differs)?;
                self.endpoints.add((lsn, at), e, by);
            }
            EndpointEvent::Removed(e) => {
                self.endpoints.check_of(e.endpoint, e.party).map_err(differs)?;
                self.endpoints.remove(e.endpoint);
            }
            EndpointEvent::Rotated(e) => {
                self.endpoints.check_of(e.endpoint, e.party).map_err(differs)?;
                self.endpoints.rotate(at, (e.endpoint, &e.secret), e.keeps_former, by);
            }
        }
        Ok(())
    }

    /// Whether a party is there, and not erased.
    fn tellable(&self, party: PartyId) -> Result<(), Difference> {
        match self.registry.parties.get(&party) {
            Some(of) if !of.is_erased() => Ok(()),
            Some(_) | None => {
                Err(Difference::new("a webhook's party", "one that is registered", party))
            }
        }
    }
}
