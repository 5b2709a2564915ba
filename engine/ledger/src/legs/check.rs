//! What may be done with the legs of a batch: submissions, moves, bookings, releases. Changes
//! nothing.

use super::Legs;
use crate::event::{ExposureReleased, LegsBooked, LegsMoved, LegsSubmitted};
use crate::leg::{LegState, Way};
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
            let again = state == one.to && self.is_held(leg, Way::Went);
            if again || !state.may_move(one.to, e.mover) {
                let (from, to) = (state.name(), one.to.name());
                return Err(Refusal::LegState { batch, leg, from, to });
            }
        }
        Ok(())
    }

    fn is_held(&self, leg: u32, way: Way) -> bool {
        self.facts(leg).is_some_and(|facts| match way {
            Way::Went => facts.went.is_some(),
            Way::Came => facts.came.is_some(),
        })
    }

    /// Whether these bookings may be held: each of a leg that has ended, and that holds none of its
    /// way.
    ///
    /// # Errors
    /// `Refusal` that names the first leg of which it may not.
    pub fn check_bookings(&self, e: &LegsBooked) -> Result<(), Refusal> {
        let mut last = None;
        for one in &e.bookings {
            let (batch, leg, of) = (e.batch, one.leg, (one.leg, one.way));
            if u64::from(leg) >= self.total() || last.is_some_and(|last| last >= of) {
                return Err(Refusal::NoSuchLeg { batch, leg });
            }
            last = Some(of);
            let from = self.state(leg);
            if !from.has_ended() || self.is_held(leg, one.way) {
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
