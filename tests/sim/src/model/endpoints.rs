//! Where parties are told over HTTP, by hand.

use super::State;
use crate::clock::DAY;
use tallystick::ledger::event::{EndpointAdded, EndpointEvent, EndpointRemoved, EndpointRotated};
use tallystick::ledger::{EndpointMisfit, Event, Role, SealedText, Topic, Wish};
use tallystick::types::PartyId;

/// Most of one party.
const OF_PARTY_MAX: usize = 8;
/// Bytes of what is sealed: no fewer than this, and of a secret and an address so many at most.
const SEALED: [usize; 3] = [40, 40 + 64, 40 + 1_024];

/// The word for why not.
pub fn word(misfit: &EndpointMisfit) -> &'static str {
    match misfit {
        EndpointMisfit::Unknown(_) => "WebhookUnknown",
        EndpointMisfit::NotOf { .. } => "WebhookNotOf",
        EndpointMisfit::TooMany(_) => "WebhooksTooMany",
        EndpointMisfit::Full(_) => "Full",
        EndpointMisfit::Topics => "WebhookTopics",
    }
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose.
    pub party: PartyId,
    /// Where.
    pub url: SealedText,
    /// What signs.
    pub secret: SealedText,
    /// What signed before, and until when it still does.
    pub former: Option<(SealedText, i64)>,
    /// What it is told of.
    pub topics: Vec<Topic>,
    /// Who made its secret, and whether that was an owner.
    pub by: (String, bool),
    /// Since when.
    pub added_at: i64,
}

impl State {
    /// What follows from a wish about endpoints; `None` of others.
    pub(super) fn of_endpoints(&self, wish: &Wish) -> Option<Result<Event, &'static str>> {
        if let Wish::AddEndpoint { party, url, secret, topics, erasures } = wish.clone() {
            let event = EndpointAdded { party, url, secret, topics };
            Some(self.readable(party, erasures).map(|()| Event::from(event)))
        } else if let Wish::RemoveEndpoint { endpoint, party } = wish.clone() {
            Some(Ok(Event::from(EndpointRemoved { endpoint, party })))
        } else if let Wish::RotateEndpoint { endpoint, party, secret, keeps_former, erasures } =
            wish.clone()
        {
            let event = EndpointRotated { endpoint, party, secret, keeps_former };
            Some(self.readable(party, erasures).map(|()| Event::from(event)))
        } else {
            None
        }
    }

    fn readable(&self, party: PartyId, erasures: u32) -> Result<(), &'static str> {
        match self.parties.get(&party) {
            None => Err("UnknownParty"),
            Some(of) if of.erased => Err("PartyErased"),
            Some(of) if of.erasures != erasures => Err("ErasedMeanwhile"),
            Some(_) => Ok(()),
        }
    }

    /// Whether an event about endpoints may happen.
    pub(super) fn may_endpoint(&self, event: &EndpointEvent) -> Result<(), &'static str> {
        let fits = |sealed: &SealedText, most: usize| {
            let length = sealed.bytes().len();
            if length < SEALED[0] || length > most { Err("NotSealed") } else { Ok(()) }
        };
        let is_of = |endpoint: u64, party: PartyId| match self.endpoints.get(&endpoint) {
            None => Err("WebhookUnknown"),
            Some(of) if of.party != party => Err("WebhookNotOf"),
            Some(_) => Ok(()),
        };
        match event {
            EndpointEvent::Added(e) => {
                fits(&e.url, SEALED[2])?;
                fits(&e.secret, SEALED[1])?;
                if e.topics.is_empty() || e.topics.windows(2).any(|two| two[0] >= two[1]) {
                    return Err("WebhookTopics");
                }
                let own = self.endpoints.values().filter(|of| of.party == e.party).count();
                if own >= OF_PARTY_MAX { Err("WebhooksTooMany") } else { Ok(()) }
            }
            EndpointEvent::Removed(e) => is_of(e.endpoint.0, e.party),
            EndpointEvent::Rotated(e) => {
                fits(&e.secret, SEALED[1])?;
                is_of(e.endpoint.0, e.party)
            }
        }
    }

    /// An event about endpoints happens.
    pub(super) fn endpointed(&mut self, lsn: u64, by: &str, event: &EndpointEvent) {
        let at = self.last.1;
        let owner = self.identities.get(by).is_some_and(|of| of.role == Role::Party);
        let by = (by.to_owned(), owner);
        match event {
            EndpointEvent::Added(e) => {
                let endpoint = Endpoint {
                    party: e.party,
                    url: e.url.clone(),
                    secret: e.secret.clone(),
                    former: None,
                    topics: e.topics.clone(),
                    by,
                    added_at: at,
                };
                self.endpoints.insert(lsn, endpoint);
            }
            EndpointEvent::Removed(e) => {
                self.endpoints.remove(&e.endpoint.0);
            }
            EndpointEvent::Rotated(e) => {
                let of = self.endpoints.get_mut(&e.endpoint.0).expect("it is known");
                let before = of.secret.clone();
                of.former = e.keeps_former.then_some((before, at + DAY));
                (of.secret, of.by) = (e.secret.clone(), by);
            }
        }
    }
}
