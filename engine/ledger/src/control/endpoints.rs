//! Where parties are told over HTTP what happened to them.

use super::Control;
use crate::endpoint::Endpoints;
use crate::envelope::{Caller, Role};
use crate::event::{
    EndpointAdded, EndpointEvent, EndpointRemoved, EndpointRotated, Event, PartyErased,
};
use crate::refusal::Refusal;
use crate::row::RowKey;
use crate::sealed::{check_hook_secret, check_hook_url};
use crate::types::{Lsn, PartyId, Timestamp};
use crate::wish::Wish;

impl Control {
    /// Every endpoint.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What follows from a wish about endpoints.
    pub(super) fn of_endpoints(&self, wish: Wish) -> Result<Event, Refusal> {
        if let Wish::AddEndpoint { party, url, secret, topics, erasures } = wish {
            self.sealed_now(party, erasures)?;
            Ok(Event::from(EndpointAdded { party, url, secret, topics }))
        } else if let Wish::RemoveEndpoint { endpoint, party } = wish {
            Ok(Event::from(EndpointRemoved { endpoint, party }))
        } else if let Wish::RotateEndpoint { endpoint, party, secret, keeps_former, erasures } =
            wish
        {
            self.sealed_now(party, erasures)?;
            Ok(Event::from(EndpointRotated { endpoint, party, secret, keeps_former }))
        } else {
            unreachable!("{wish:?} is about no endpoint")
        }
    }

    /// Whether what was sealed for a party can be opened: it is not erased, and was not since.
    fn sealed_now(&self, party: PartyId, erasures: u32) -> Result<(), Refusal> {
        match self.party(party)? {
            entry if entry.is_erased() => Err(Refusal::PartyErased(party)),
            entry if entry.erasures != erasures => Err(Refusal::ErasedMeanwhile(party)),
            _ => Ok(()),
        }
    }

    pub(super) fn check_endpoints(&self, event: &EndpointEvent) -> Result<(), Refusal> {
        match event {
            EndpointEvent::Added(e) => {
                check_hook_url(&e.url)?;
                check_hook_secret(&e.secret)?;
                Ok(self.endpoints.check_add(e)?)
            }
            EndpointEvent::Removed(e) => Ok(self.endpoints.check_of(e.endpoint, e.party)?),
            EndpointEvent::Rotated(e) => {
                check_hook_secret(&e.secret)?;
                Ok(self.endpoints.check_of(e.endpoint, e.party)?)
            }
        }
    }

    pub(super) fn apply_endpoints(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        caller: &Caller,
        event: &EndpointEvent,
    ) {
        let by = (caller.name.as_str(), caller.role == Role::Party);
        match event {
            EndpointEvent::Added(e) => self.endpoints.add((lsn, at), e, by),
            EndpointEvent::Removed(e) => self.endpoints.remove(e.endpoint),
            EndpointEvent::Rotated(e) => {
                self.endpoints.rotate(at, (e.endpoint, &e.secret), e.keeps_former, by);
            }
        }
    }

    /// The rows that an event about them, in the record at `lsn`, changes.
    pub(super) fn rows_of_endpoints(lsn: Lsn, event: &EndpointEvent) -> Vec<RowKey> {
        vec![RowKey::Endpoint(match event {
            EndpointEvent::Added(_) => lsn,
            EndpointEvent::Removed(e) => e.endpoint,
            EndpointEvent::Rotated(e) => e.endpoint,
        })]
    }

    /// With a party its endpoints go: nobody can read where they are any more.
    pub(super) fn rows_of_erased(&self, e: &PartyErased) -> Vec<RowKey> {
        let endpoints = self.endpoints.of(e.party).map(RowKey::Endpoint);
        [RowKey::Party(e.party)].into_iter().chain(endpoints).collect()
    }
}
