//! What may be done with the legs of a batch: submissions, moves, bookings, releases. Changes
//! nothing.

use super::Legs;
use crate::event::{ExposureReleased, LegsBooked, LegsMoved, LegsSubmitted};
use crate::leg::{LegMove, LegState, Mover, Way};
use crate::limits::BOOKINGS_MAX;
use crate::movements::Tally;
use crate::refusal::Refusal;
use crate::submission::legs_of;

impl Legs {
    /// Whether these legs may be submitted.
    ///
    /// # Errors
    /// `Refusal` that names what stands against it.
    pub fn check_submission(&self, e: &LegsSubmitted) -> Result<(), Refusal> {
        let misfit = |why| Err(Refusal::Submission { batch: e.batch, number: e.submission, why });
        let index = e.submission as usize;
        if let Some(held) = self.submissions.get(index) {
            if held.legs != e.legs {
                return misfit("another attempt is for the same legs");
            }
            if e.attempt as usize != held.attempts.len() {
                return misfit("attempts are numbered one after the other");
            }
            let in_flight = held.legs().any(|leg| self.state(leg).is_in_flight());
            return if in_flight { Ok(()) } else { misfit("its legs have ended") };
        }
        if index != self.submissions.len() || e.attempt != 0 {
            return misfit("submissions are numbered one after the other");
        }
        let mut next = 0;
        for run in &e.legs {
            let (first, end) = (u64::from(run.first), u64::from(run.first) + u64::from(run.count));
            if run.count == 0 || first < next || end > self.total() {
                return misfit("there are no such legs, or they do not ascend");
            }
            next = end;
        }
        if e.legs.is_empty() || legs_of(&e.legs).any(|leg| self.state(leg) != LegState::Ready) {
            return misfit("only READY legs are submitted");
        }
        Ok(())
    }

    /// Whether these moves may be made.
    ///
    /// # Errors
    /// `Refusal` that names the first leg that may not.
    pub fn check_moves(&self, e: &LegsMoved) -> Result<(), Refusal> {
        let mut last = None;
        for one in &e.moves {
            let (batch, leg) = (e.batch, one.leg);
            if u64::from(leg) >= self.total() || last.is_some_and(|last| last >= leg) {
                return Err(Refusal::NoSuchLeg { batch, leg });
            }
            last = Some(leg);
            let state = self.state(leg);
            // Books are remembered once.
            let again = state == one.to && self.tally(leg, Way::Went).held() > 0;
            if again || !state.may_move(one.to, e.mover) {
                let (from, to) = (state.name(), one.to.name());
                return Err(Refusal::LegState { batch, leg, from, to });
            }
            if one.to == LegState::Returned && !self.is_back_with(one, e.mover) {
                let of = |way| self.tally(leg, way).count();
                let (went, came) = (of(Way::Went), of(Way::Came));
                return Err(Refusal::StillPaid { batch, leg, went, came });
            }
        }
        Ok(())
    }

    /// Whether as much of a leg's money has come back as went, once it does what this move says:
    /// come back. A leg is paid as long as it went more often.
    fn is_back_with(&self, one: &LegMove, mover: Mover) -> bool {
        let (went, mut came) = (self.tally(one.leg, Way::Went), self.tally(one.leg, Way::Came));
        match mover {
            Mover::Books => {
                let fits = !came.is_full();
                came.hold(&one.reference);
                fits && went.is_back(came.count())
            }
            // Somebody's word stands for one that the books will show.
            Mover::Engine | Mover::Rail | Mover::Operator => went.is_back(came.count() + 1),
        }
    }

    fn tally(&self, leg: u32, way: Way) -> Tally {
        let Some(facts) = self.facts(leg) else { return Tally::default() };
        match way {
            Way::Went => facts.went.tally(),
            Way::Came => facts.came.tally(),
        }
    }

    /// Whether these bookings may be held: each of a leg that has ended, and no more of one way
    /// than are counted.
    ///
    /// # Errors
    /// `Refusal` that names the first leg of which it may not.
    pub fn check_bookings(&self, e: &LegsBooked) -> Result<(), Refusal> {
        let (mut last, mut alike) = (None, 0);
        for one in &e.bookings {
            let (batch, leg, of) = (e.batch, one.leg, (one.leg, one.way, &one.reference));
            // Two movements can have one reference: that of the entry in which both stand.
            if u64::from(leg) >= self.total() || last.is_some_and(|last| last > of) {
                return Err(Refusal::NoSuchLeg { batch, leg });
            }
            let same = last.is_some_and(|(leg, way, _)| (leg, way) == (one.leg, one.way));
            alike = if same { alike + 1 } else { 1 };
            last = Some(of);
            let from = self.state(leg);
            if !from.has_ended() || self.tally(leg, one.way).held() + alike > BOOKINGS_MAX {
                let (from, to) = (from.name(), from.name());
                return Err(Refusal::LegState { batch, leg, from, to });
            }
        }
        Ok(())
    }

    /// Whether these parties' exposure may be released.
    ///
    /// # Errors
    /// `Refusal` when one was released before.
    pub fn check_release(&self, e: &ExposureReleased) -> Result<(), Refusal> {
        let mut last = None;
        for one in &e.releases {
            if self.is_released(one.place) || last.is_some_and(|last| last >= one.place) {
                return Err(Refusal::ReleasedBefore { batch: e.batch, party: one.party });
            }
            last = Some(one.place);
        }
        Ok(())
    }
}
