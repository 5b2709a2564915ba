//! Endpoints: where a party is told over HTTP what happened to it. Which there are, and what each
//! is told; how far it has been told is no event, and is kept elsewhere.
//!
//! An endpoint is named by the record that added it. Its address and its secret are sealed under
//! its party's key: the ledger compares and keeps them, and reads neither.

use crate::event::EndpointAdded;
use crate::identity::Identities;
use crate::limits::{ENDPOINTS_MAX, ENDPOINTS_OF_PARTY_MAX, HOOK_FORMER_SECONDS};
use crate::refusal::Refusal;
use crate::sealed::SealedText;
use crate::types::{Lsn, PartyId, Timestamp};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a party can be told of. The numbers are in the journal for ever.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Topic {
    /// A window in which it paid or was paid is closed and sealed.
    WindowClosed = 1,
    /// A payment to it, or by it, was made.
    LegConfirmed = 2,
    /// A payment to it, or by it, came back.
    LegReturned = 3,
    /// 80 % of a budget of one of its keys are used.
    BudgetReached = 4,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::WindowClosed, Self::LegConfirmed, Self::LegReturned, Self::BudgetReached];

    /// Its word: the `type` of what is sent.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WindowClosed => "window.closed",
            Self::LegConfirmed => "leg.confirmed",
            Self::LegReturned => "leg.returned",
            Self::BudgetReached => "budget.reached",
        }
    }

    /// The one with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// The secret before the one that an endpoint has.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct FormerSecret {
    /// The secret, sealed.
    pub secret: SealedText,
    /// Until when what is sent is signed with it, too.
    pub until: Timestamp,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Endpoint {
    /// Whose.
    pub party: PartyId,
    /// Where it is, sealed.
    pub url: SealedText,
    /// What signs what is sent there, sealed.
    pub secret: SealedText,
    /// The one before it, if that still counts.
    pub former: Option<FormerSecret>,
    /// What is told there, ascending.
    pub topics: Vec<Topic>,
    /// Who added it, or gave it its secret last.
    pub by: String,
    /// Whether that was an owner of the party: then it counts as long as that identity does.
    pub by_owner: bool,
    /// When it was added.
    pub added_at: Timestamp,
}

impl Endpoint {
    /// Whether something is sent there at this time.
    #[must_use]
    pub fn is_in_force(&self, identities: &Identities, at: Timestamp) -> bool {
        !self.by_owner
            || identities.named(&self.by).is_ok_and(|owner| owner.check_in_force(at).is_ok())
    }
}

/// Why an endpoint cannot be added or changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum EndpointMisfit {
    #[error("there is no webhook {0}; `tallystick webhook list` shows which there are")]
    Unknown(Lsn),
    #[error(
        "webhook {endpoint} is not of party {party}; `tallystick webhook list` shows whose it is"
    )]
    NotOf { endpoint: Lsn, party: PartyId },
    #[error(
        "a party may have {0} webhooks at most; remove one first (`tallystick webhook remove`)"
    )]
    TooMany(usize),
    #[error("there are {0} webhooks, and no more fit; remove some that nobody needs")]
    Full(usize),
    #[error(
        "a webhook is told of something: name one type at least, each once, of window.closed, leg.confirmed, \
         leg.returned and budget.reached"
    )]
    Topics,
}

impl From<EndpointMisfit> for Refusal {
    fn from(misfit: EndpointMisfit) -> Self {
        Self::Endpoint(misfit)
    }
}

/// All endpoints that there are.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    all: BTreeMap<Lsn, Endpoint>,
    /// How often they changed in this process.
    changes: u64,
}

impl PartialEq for Endpoints {
    /// How often they changed is each process's own.
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Endpoints {
    /// One of them.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn get(&self, endpoint: Lsn) -> Result<&Endpoint, EndpointMisfit> {
        self.all.get(&endpoint).ok_or(EndpointMisfit::Unknown(endpoint))
    }

    /// Every one, the oldest first, with the record that added it.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (Lsn, &Endpoint)> {
        self.all.iter().map(|(lsn, of)| (*lsn, of))
    }

    /// Those of one party.
    pub fn of(&self, party: PartyId) -> impl Iterator<Item = Lsn> {
        self.all.iter().filter(move |(_, of)| of.party == party).map(|(lsn, _)| *lsn)
    }

    /// How often they changed in this process.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether one more of this party fits, that is told of these.
    ///
    /// # Errors
    /// `EndpointMisfit`.
    pub fn check_add(&self, e: &EndpointAdded) -> Result<(), EndpointMisfit> {
        if e.topics.is_empty() || !e.topics.is_sorted_by(|a, b| a < b) {
            return Err(EndpointMisfit::Topics);
        }
        if self.all.len() >= ENDPOINTS_MAX {
            return Err(EndpointMisfit::Full(ENDPOINTS_MAX));
        }
        match self.of(e.party).count() {
            ENDPOINTS_OF_PARTY_MAX.. => Err(EndpointMisfit::TooMany(ENDPOINTS_OF_PARTY_MAX)),
            _ => Ok(()),
        }
    }

    /// Whether there is such a one of this party.
    ///
    /// # Errors
    /// `Unknown` or `NotOf`.
    pub fn check_of(&self, endpoint: Lsn, party: PartyId) -> Result<(), EndpointMisfit> {
        match self.get(endpoint)?.party == party {
            true => Ok(()),
            false => Err(EndpointMisfit::NotOf { endpoint, party }),
        }
    }

    /// Adds the one of this record.
    pub fn add(&mut self, (lsn, at): (Lsn, Timestamp), e: &EndpointAdded, by: (&str, bool)) {
        let endpoint = Endpoint {
            party: e.party,
            url: e.url.clone(),
            secret: e.secret.clone(),
            former: None,
            topics: e.topics.clone(),
            by: by.0.to_owned(),
            by_owner: by.1,
            added_at: at,
        };
        self.restore(lsn, endpoint);
    }

    /// Puts one back that there was.
    pub fn restore(&mut self, lsn: Lsn, endpoint: Endpoint) {
        self.all.insert(lsn, endpoint);
        self.changes += 1;
    }

    /// Takes one away.
    pub fn remove(&mut self, endpoint: Lsn) {
        self.all.remove(&endpoint);
        self.changes += 1;
    }

    /// Takes all of a party away.
    pub fn remove_of(&mut self, party: PartyId) {
        self.all.retain(|_, of| of.party != party);
        self.changes += 1;
    }

    /// Gives one another secret.
    pub fn rotate(
        &mut self,
        at: Timestamp,
        (endpoint, secret): (Lsn, &SealedText),
        keeps_former: bool,
        (by, by_owner): (&str, bool),
    ) {
        let of = self.all.get_mut(&endpoint).expect("it was found when this was decided");
        let former = std::mem::replace(&mut of.secret, secret.clone());
        let until = Timestamp(at.0.saturating_add(HOOK_FORMER_SECONDS * 1_000_000));
        of.former = keeps_former.then_some(FormerSecret { secret: former, until });
        (of.by, of.by_owner) = (by.to_owned(), by_owner);
        self.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(party: u8, topics: &[Topic]) -> EndpointAdded {
        let sealed = |byte| SealedText::new(vec![byte; 60]);
        let (url, secret, topics) = (sealed(1), sealed(2), topics.to_vec());
        EndpointAdded { party: PartyId([party; 32]), url, secret, topics }
    }

    #[test]
    fn words_are_read_back() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
        }
        assert_eq!(Topic::from_name("window.open"), None);
    }

    #[test]
    fn a_party_has_a_few_and_each_is_told_of_something() {
        let (mut all, one) = (Endpoints::default(), added(1, &Topic::ALL));
        for topics in [&[][..], &[Topic::LegConfirmed, Topic::WindowClosed]] {
            assert_eq!(all.check_add(&added(1, topics)), Err(EndpointMisfit::Topics));
        }
        for n in 0..8 {
            assert_eq!(all.check_add(&one), Ok(()));
            all.add((Lsn(n), Timestamp(0)), &one, ("ann", false));
        }
        assert_eq!(all.check_add(&one), Err(EndpointMisfit::TooMany(8)));
        assert_eq!(all.check_add(&added(2, &Topic::ALL)), Ok(()));
        assert_eq!(all.check_of(Lsn(3), PartyId([1; 32])), Ok(()));
        let (endpoint, party) = (Lsn(3), PartyId([2; 32]));
        assert_eq!(all.check_of(endpoint, party), Err(EndpointMisfit::NotOf { endpoint, party }));
        all.remove(Lsn(3));
        assert_eq!(all.check_of(endpoint, party), Err(EndpointMisfit::Unknown(endpoint)));
        all.remove_of(PartyId([1; 32]));
        assert_eq!(all.all().len(), 0);
    }

    #[test]
    fn a_secret_that_is_followed_by_another_signs_for_a_day_or_not_at_all() {
        let mut all = Endpoints::default();
        all.add((Lsn(5), Timestamp(7)), &added(1, &Topic::ALL), ("ann", false));
        let next = SealedText::new(vec![9; 60]);
        all.rotate(Timestamp(1_000), (Lsn(5), &next), true, ("bob", true));
        let of = all.get(Lsn(5)).unwrap();
        let former = of.former.clone().unwrap();
        assert_eq!((&of.secret, former.secret.bytes()[0]), (&next, 2));
        assert_eq!(former.until, Timestamp(1_000 + 86_400_000_000));
        assert_eq!((of.by.as_str(), of.by_owner), ("bob", true));
        all.rotate(Timestamp(2_000), (Lsn(5), &next), false, ("bob", true));
        assert_eq!(all.get(Lsn(5)).unwrap().former, None);
        assert!(!all.get(Lsn(5)).unwrap().is_in_force(&Identities::default(), Timestamp(0)));
    }
}
