//! The legs of one batch that is being settled: where each stands, what was submitted, and how much
//! of the batch's exposure was released. Part of the control state; knows legs by their place only.

use super::event::{ExposureReleased, LegsBooked, LegsSubmitted};
use super::leg::{LegMove, LegState, Mover, Way};
use super::movements::Movements;
use super::pages::{PAGE, Pages};
use super::standing::Standing;
use super::submission::{Attempt, MayLeave, Submission, legs_of};
use crate::canary::{Bug, planted};
use crate::types::{Lsn, PartyId, Timestamp, Total, WindowNumber};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod check;
mod kept;

pub use kept::{LegsHead, LegsPage, PageHeld, page_of};

/// What is known of a leg besides its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegFacts {
    /// The rail's own reference.
    pub reference: Box<str>,
    /// Why it stands where it stands.
    pub reason: Box<str>,
    /// What books showed of its money going.
    pub went: Movements,
    /// What they showed of it coming back.
    pub came: Movements,
}

/// Where the amount of a leg that failed is owed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Owed {
    /// In which window.
    pub window: WindowNumber,
    /// Whom the leg is about.
    pub party: PartyId,
}

impl LegFacts {
    fn is_nothing(&self) -> bool {
        let Self { reference, reason, went, came } = self;
        let unsaid = reference.is_empty() && reason.is_empty();
        unsaid && went.is_none() && came.is_none()
    }

    /// Books showed its money move that way.
    fn book(&mut self, way: Way, reference: &str) {
        match way {
            Way::Went => self.went.hold(reference),
            Way::Came => self.came.hold(reference),
        }
    }
}

/// The legs of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legs {
    count: u32,
    /// By page.
    states: Vec<Arc<Vec<LegState>>>,
    counts: [u64; 8],
    facts: Pages<LegFacts>,
    /// When a leg became UNKNOWN, by leg.
    unknown_since: Pages<Timestamp>,
    submissions: Vec<Arc<Submission>>,
    /// The submission of each run of legs, by the first of them.
    homes: BTreeMap<u32, u32>,
    standing: Standing,
    /// One bit a party of the batch, in the order of its dues.
    released: Vec<u64>,
    released_count: u64,
    released_sum: Total,
    /// What was rejected or returned, in asset units.
    owed_again: Total,
    /// What an operator said of an UNKNOWN leg, until another says the same.
    proposed: BTreeMap<u32, Proposal>,
    /// The record that changed each page last; 0 where all of it is READY as at first.
    changed: Vec<Lsn>,
    /// Pages that changed and are not in memory: every leg on them has ended.
    away: BTreeSet<u32>,
    /// Legs that failed, with where each is owed again: in memory, whatever page is not.
    failed: BTreeMap<u32, (LegState, Owed)>,
}

/// Where the bytes of a leg's call lie, and when they were first journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// The number of its submission.
    pub submission: u32,
    /// Which of the submission's legs it is.
    pub piece: u32,
    /// When its newest attempt was journaled.
    pub at: Timestamp,
}

/// One operator's word about a leg whose fate the rail cannot tell.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Proposal {
    /// Who.
    pub operator: String,
    /// Where the leg stands, in the operator's word.
    pub to: LegState,
    /// The rail's own reference.
    pub reference: String,
    /// The evidence.
    pub evidence: String,
}

impl Legs {
    /// Legs that are all READY.
    #[must_use]
    pub fn ready(count: u64) -> Self {
        let length = usize::try_from(count).expect("legs are limited");
        let mut counts = [0; 8];
        counts[LegState::Ready as usize] = count;
        let count = u32::try_from(count).expect("legs are limited");
        let states: Vec<_> = kept::pages_of(count)
            .map(|page| Arc::new(vec![LegState::Ready; kept::legs_of_page(count, page).len()]))
            .collect();
        Self {
            count,
            changed: vec![Lsn(0); states.len()],
            states,
            counts,
            facts: Pages::default(),
            unknown_since: Pages::default(),
            submissions: Vec::new(),
            homes: BTreeMap::new(),
            standing: Standing::ready_all(length),
            released: Vec::new(),
            released_count: 0,
            released_sum: Total::ZERO,
            owed_again: Total::ZERO,
            proposed: BTreeMap::new(),
            away: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where a leg stands.
    #[must_use]
    pub fn state(&self, leg: u32) -> LegState {
        match self.states[page_of(leg) as usize].get((leg % PAGE) as usize) {
            Some(state) => *state,
            // Of a page that is away every leg has ended, and those that failed are known.
            None => self.failed.get(&leg).map_or(LegState::Confirmed, |(state, _)| *state),
        }
    }

    /// Where all stand, in the order of the batch's legs.
    pub fn states(&self) -> impl Iterator<Item = LegState> {
        (0..self.count).map(|leg| self.state(leg))
    }

    /// What is known of a leg besides.
    ///
    /// Panics when its page is away: nobody may take what is not here for what is not known.
    #[must_use]
    pub fn facts(&self, leg: u32) -> Option<&LegFacts> {
        assert!(!self.away.contains(&page_of(leg)), "what is known of leg {leg} is not here");
        self.facts.get(leg)
    }

    /// Which of these legs, that the rail was found not to know, are sent again: those of which the
    /// journal says nothing else by now. The looking takes its time, and operators may have said
    /// what became of one.
    #[must_use]
    pub fn to_send_again(&self, absent: &[u32]) -> Vec<u32> {
        let unknown = |leg: &u32| self.state(*leg) == LegState::Unknown;
        let kept = |leg: &u32| unknown(leg) || planted(Bug::ResolvedLeaves);
        absent.iter().copied().filter(kept).collect()
    }

    /// Since when each UNKNOWN leg has been so.
    #[must_use]
    pub fn unknown_since(&self) -> &Pages<Timestamp> {
        &self.unknown_since
    }

    /// What was handed to the rail, in order.
    #[must_use]
    pub fn submissions(&self) -> &[Arc<Submission>] {
        &self.submissions
    }

    /// The number of the submission that holds a leg; `None` if the leg has not left.
    #[must_use]
    pub fn submission_of(&self, leg: u32) -> Option<u32> {
        self.home(leg).map(|home| home.submission)
    }

    /// Where the bytes of a leg's call lie; `None` if the leg has not left.
    #[must_use]
    pub fn home(&self, leg: u32) -> Option<Home> {
        let (_, &submission) = self.homes.range(..=leg).next_back()?;
        let held = &self.submissions[submission as usize];
        let at = held.legs.partition_point(|run| run.first + run.count <= leg);
        let run = held.legs.get(at).filter(|run| run.first <= leg)?;
        let before = held.legs[..at].iter().map(|run| run.count).sum::<u32>();
        let piece = before + (leg - run.first);
        Some(Home { submission, piece, at: held.newest().at })
    }

    /// Which have something to do yet.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether what was submitted under this number may leave now: as far as its legs go, whatever
    /// has become of them since it was made.
    #[must_use]
    pub fn may_leave(&self, submission: u32) -> MayLeave {
        let Some(held) = self.submissions.get(submission as usize) else { return MayLeave::Never };
        if planted(Bug::HeldFileLeaves) {
            return MayLeave::Now;
        }
        let open = held.legs().filter(|leg| self.state(*leg).is_in_flight()).count();
        match held.legs().count() {
            all if all == open => MayLeave::Now,
            _ if open == 0 => MayLeave::Never,
            _ => MayLeave::Mixed,
        }
    }

    /// The submissions of which legs are in flight, by number.
    #[must_use]
    pub fn submissions_under_way(&self) -> BTreeMap<u32, Arc<Submission>> {
        let mut found = BTreeMap::new();
        for number in self.standing.in_flight().filter_map(|leg| self.submission_of(leg)) {
            found.entry(number).or_insert_with(|| self.submissions[number as usize].clone());
        }
        found
    }

    /// Whether nothing of what was submitted under this number is to be paid any more, and all of
    /// it is owed again: then its file must not leave, and must not be handed in by anybody.
    #[must_use]
    pub fn is_void(&self, submission: u32) -> bool {
        let Some(held) = self.submissions.get(submission as usize) else { return false };
        !planted(Bug::RejectedFileStays) && held.legs().all(|leg| self.state(leg).is_owed_again())
    }

    /// Where legs that failed are owed again: by leg.
    pub fn owed(&self) -> impl Iterator<Item = (u32, Owed)> {
        self.failed.iter().map(|(leg, (_, owed))| (*leg, *owed))
    }

    /// Where a leg that failed is owed again.
    #[must_use]
    pub fn owed_in(&self, leg: u32) -> Option<Owed> {
        self.failed.get(&leg).map(|(_, owed)| *owed)
    }

    /// How many legs stand at `state`.
    #[must_use]
    pub fn count(&self, state: LegState) -> u64 {
        self.counts[state as usize]
    }

    /// What was rejected or returned, and so is owed anew.
    #[must_use]
    pub fn owed_again(&self) -> Total {
        self.owed_again
    }

    /// Whether nothing has left and nothing can have changed.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.submissions.is_empty() && self.counts[LegState::Ready as usize] == self.total()
    }

    /// Whether every leg has ended.
    #[must_use]
    pub fn have_ended(&self) -> bool {
        let ended = LegState::ALL.into_iter().filter(|state| state.has_ended());
        ended.map(|state| self.count(state)).sum::<u64>() == self.total()
    }

    /// What operators said of UNKNOWN legs and nobody has confirmed yet.
    #[must_use]
    pub fn proposed(&self) -> &BTreeMap<u32, Proposal> {
        &self.proposed
    }

    /// Whether the exposure of the party at this place of the batch's dues was released.
    #[must_use]
    pub fn is_released(&self, place: u32) -> bool {
        let word = self.released.get(place as usize / 64).copied().unwrap_or(0);
        word & (1 << (place % 64)) != 0
    }

    /// How many parties' exposure was released.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.released_count
    }

    /// By how much their exposure fell in all.
    #[must_use]
    pub fn released_sum(&self) -> Total {
        self.released_sum
    }

    fn total(&self) -> u64 {
        u64::from(self.count)
    }

    /// Applies a submission that was allowed.
    pub fn submit(&mut self, lsn: Lsn, at: Timestamp, e: &LegsSubmitted) {
        let (digest, bytes, name) = (e.digest, e.bytes, e.name.as_str().into());
        let attempt = Attempt { lsn, at, digest, bytes, name };
        if let Some(held) = self.submissions.get_mut(e.submission as usize) {
            Arc::make_mut(held).attempts.push(attempt);
            return;
        }
        self.homes.extend(e.legs.iter().map(|run| (run.first, e.submission)));
        self.submissions
            .push(Arc::new(Submission { legs: e.legs.clone(), attempts: vec![attempt] }));
        for leg in legs_of(&e.legs) {
            self.set(leg, LegState::Sent, at);
        }
    }

    /// Holds bookings that were allowed.
    pub fn book(&mut self, e: &LegsBooked) {
        for one in &e.bookings {
            self.facts.entry(one.leg).book(one.way, &one.reference);
        }
    }

    /// Applies a move that was allowed, on that word, while `open` is the open window.
    pub fn apply(&mut self, at: Timestamp, one: &LegMove, mover: Mover, open: WindowNumber) {
        self.set(one.leg, one.to, at);
        self.proposed.remove(&one.leg);
        if one.to.is_owed_again() {
            self.owed_again = self.owed_again.plus(one.amount);
        }
        let facts = self.facts.entry(one.leg);
        if !one.reference.is_empty() {
            facts.reference = one.reference.as_str().into();
        }
        facts.reason = one.reason.as_str().into();
        if let Some(way) = one.to.booked().filter(|_| mover == Mover::Books) {
            facts.book(way, &one.reference);
        }
        if facts.is_nothing() {
            self.facts.remove(one.leg);
        }
        if one.to.is_owed_again() {
            let owed = Owed { window: open, party: one.party() };
            self.failed.insert(one.leg, (one.to, owed));
        }
    }

    /// Remembers one operator's word about an UNKNOWN leg.
    pub fn propose(&mut self, leg: u32, proposal: Proposal) {
        self.proposed.insert(leg, proposal);
    }

    /// Remembers that parties' exposure was released.
    pub fn release(&mut self, e: &ExposureReleased) {
        for one in &e.releases {
            let word = one.place as usize / 64;
            if self.released.len() <= word {
                self.released.resize(word + 1, 0);
            }
            self.released[word] |= 1 << (one.place % 64);
            self.released_count += 1;
            self.released_sum = self.released_sum.plus(one.unsettled);
        }
    }

    fn set(&mut self, leg: u32, to: LegState, at: Timestamp) {
        let states = Arc::make_mut(&mut self.states[page_of(leg) as usize]);
        let from = std::mem::replace(&mut states[(leg % PAGE) as usize], to);
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
        self.standing.set(leg, to);
        match to {
            LegState::Unknown => {
                self.unknown_since.insert(leg, at);
            }
            LegState::Ready
            | LegState::Sent
            | LegState::Accepted
            | LegState::Confirmed
            | LegState::Rejected
            | LegState::Returned => {
                self.unknown_since.remove(leg);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The look-up took six seconds, in which two operators said what became of two legs.
    #[test]
    fn what_is_sent_again_is_what_is_unknown_by_now() {
        let mut legs = Legs::ready(5);
        for (leg, to) in [
            (1, LegState::Unknown),
            (2, LegState::Confirmed),
            (3, LegState::Rejected),
            (4, LegState::Unknown),
        ] {
            legs.set(leg, to, Timestamp(1));
        }
        assert_eq!(legs.to_send_again(&[0, 1, 2, 3, 4]), [1, 4]);
    }
}
