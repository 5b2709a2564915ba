//! Settlement, as the events say: what left, where each leg stood, what became owed again, and what
//! was settled for whom. Followed with the legs that the audit computed itself.

use super::batches::{Seen, State};
use super::difference::Difference;
use super::sums::per_party;
use crate::ledger::event::{
    ExposureReleased, LegProposed, LegRun, LegsBooked, LegsMoved, LegsSubmitted,
};
use crate::ledger::{
    BatchContent, Caller, LegMove, LegState, Mover, Obligation, Payment, Tally, Way,
};
use crate::limits::BOOKINGS_MAX;
use crate::types::{PartyId, Total};
use std::collections::{BTreeMap, BTreeSet};

/// What a batch carries on, and what deposits pay of it.
pub(super) type Left<'a> = (&'a [Obligation], &'a [(PartyId, Total)]);

/// The legs of one batch. Without its windows' evidence, `payments` is not known.
pub(super) struct Legs {
    payments: Option<Vec<Payment>>,
    states: BTreeMap<u32, LegState>,
    submissions: Vec<(Vec<LegRun>, u32)>,
    released: BTreeSet<u32>,
    rejected: BTreeMap<PartyId, u128>,
    /// One operator's word about an UNKNOWN leg: who, where it stands, the reference.
    proposed: BTreeMap<u32, (String, LegState, String)>,
    dust_owed: bool,
    /// What books showed of legs' money: how often it went and came back.
    shown: BTreeMap<(u32, Way), Tally>,
}

impl Legs {
    pub fn new(content: Option<&BatchContent>) -> Self {
        let payments = content.map(|content| content.legs.iter().map(|leg| leg.payment).collect());
        let (states, submissions, released) = Default::default();
        let (rejected, proposed, dust_owed, shown) = Default::default();
        Self { payments, states, submissions, released, rejected, proposed, dust_owed, shown }
    }

    /// Where a leg stands.
    pub fn state(&self, leg: u32) -> LegState {
        self.states.get(&leg).copied().unwrap_or(LegState::Ready)
    }

    fn has(&self, leg: u32) -> bool {
        self.payments.as_ref().is_none_or(|payments| (leg as usize) < payments.len())
    }

    /// Whether nothing has left.
    pub fn are_untouched(&self) -> bool {
        self.states.is_empty() && self.submissions.is_empty()
    }

    /// Whether there is no leg at all; `None` if that is not known.
    pub fn are_none(&self) -> Option<bool> {
        self.payments.as_ref().map(Vec::is_empty)
    }

    /// Whether every leg has ended; `None` if it is not known how many there are.
    pub fn have_ended(&self) -> Option<bool> {
        let count = u32::try_from(self.payments.as_ref()?.len()).ok()?;
        Some((0..count).all(|leg| self.state(leg).has_ended()))
    }

    /// The first time that it is asked: whether the batch's dust is owed from now on.
    pub fn dust(&mut self) -> bool {
        !std::mem::replace(&mut self.dust_owed, true)
    }

    /// Follows a submission.
    pub fn submit(&mut self, e: &LegsSubmitted) -> Result<(), Difference> {
        if let Some(paid_out) = self.paid_out(&e.legs).filter(|sum| *sum != Some(e.paid_out.0)) {
            let what = "what a submission pays out";
            return Err(Difference::new(what, format!("{paid_out:?}"), e.paid_out));
        }
        let wrong = |found: &str| Difference::new("a submission", "one that may follow", found);
        if let Some((legs, attempts)) = self.submissions.get_mut(e.submission as usize) {
            if (&*legs, *attempts) != (&e.legs, e.attempt) {
                return Err(wrong("another attempt at other legs, or not the next one"));
            }
            *attempts += 1;
            return Ok(());
        }
        if e.submission as usize != self.submissions.len() || e.attempt != 0 {
            return Err(wrong("one out of turn"));
        }
        for run in &e.legs {
            let end = run.first.checked_add(run.count);
            for leg in run.first..end.ok_or_else(|| wrong("more legs than there are"))? {
                if !self.has(leg) || self.state(leg) != LegState::Ready {
                    return Err(wrong("a leg that is not READY"));
                }
                self.states.insert(leg, LegState::Sent);
            }
        }
        self.submissions.push((e.legs.clone(), 1));
        Ok(())
    }

    /// What the clearing account pays of these legs: `None` if the legs are not known, `Some(None)`
    /// if there are none such or their sum is none.
    fn paid_out(&self, runs: &[LegRun]) -> Option<Option<u128>> {
        let payments = self.payments.as_ref()?;
        let legs = runs.iter().map(|run| {
            let first = run.first as usize;
            payments.get(first..first.checked_add(run.count as usize)?)
        });
        let legs: Option<Vec<&[Payment]>> = legs.collect();
        let own = |legs: Vec<&[Payment]>| {
            let own = legs.into_iter().flatten().filter(|leg| leg.from == PartyId::CLEARING);
            own.map(|leg| leg.amount.0).try_fold(0u128, u128::checked_add)
        };
        Some(legs.and_then(own))
    }

    /// Follows moves; gives what is owed again.
    pub fn moved(&mut self, caller: &Caller, e: &LegsMoved) -> Result<Vec<Obligation>, Difference> {
        let mut again = Vec::new();
        for one in &e.moves {
            let from = self.state(one.leg);
            if !self.has(one.leg) || !from.may_move(one.to, e.mover) {
                let found = format!("leg {} from {} to {}", one.leg, from.name(), one.to.name());
                return Err(Difference::new("a leg's move", "one of the table", found));
            }
            let said = (one.payer, one.payee, one.amount);
            if let Some(payments) = &self.payments {
                let leg = payments[one.leg as usize];
                if said != (leg.from, leg.to, leg.amount) {
                    let (expected, found) = (format!("{leg:?}"), format!("{said:?}"));
                    return Err(Difference::new("what a leg's move moves", expected, found));
                }
            }
            self.two_agree(caller, e, one, from)?;
            self.comes_back(e, one)?;
            self.states.insert(one.leg, one.to);
            if one.to.is_owed_again() {
                let (payer, payee, amount) = said;
                again.push(Obligation { payer, payee, amount });
            }
            if one.to == LegState::Rejected {
                let sum = self.rejected.entry(one.payer).or_default();
                *sum = sum.checked_add(one.amount.0).ok_or_else(|| {
                    Difference::new("the sum of a party's rejected legs", "a sum of money", "more")
                })?;
            }
        }
        Ok(again)
    }

    /// Follows bookings that are held: of legs that have ended, and nothing moves.
    pub fn booked(&mut self, e: &LegsBooked) -> Result<(), Difference> {
        for one in &e.bookings {
            if !self.has(one.leg) || !self.state(one.leg).has_ended() {
                let found = format!("leg {}, which is {}", one.leg, self.state(one.leg).name());
                return Err(Difference::new("a booking", "one of a leg that has ended", found));
            }
            self.shown(one.leg, one.way, &one.reference)?;
        }
        Ok(())
    }

    /// Books showed money of a leg move that way.
    fn shown(&mut self, leg: u32, way: Way, reference: &str) -> Result<(), Difference> {
        let tally = self.shown.entry((leg, way)).or_default();
        if tally.is_full() {
            let expected = format!("{BOOKINGS_MAX} of a leg and way at most");
            return Err(Difference::new("a booking", expected, format!("more of leg {leg}")));
        }
        tally.hold(reference);
        Ok(())
    }

    /// Follows what a move shows of a leg's money, and whether what comes back has gone no more
    /// often. Whose word it is stands for one return, if it is not the books'.
    fn comes_back(&mut self, e: &LegsMoved, one: &LegMove) -> Result<(), Difference> {
        let by_books = e.mover == Mover::Books;
        if let Some(way) = one.to.booked().filter(|_| by_books) {
            self.shown(one.leg, way, &one.reference)?;
        }
        let of = |way| self.shown.get(&(one.leg, way)).copied().unwrap_or_default();
        let came = of(Way::Came).count() + usize::from(!by_books);
        if one.to != LegState::Returned || of(Way::Went).is_back(came) {
            return Ok(());
        }
        let went = of(Way::Went).count();
        let found = format!("leg {} went {went} times and came back {came} times", one.leg);
        Err(Difference::new("a leg that comes back", "one that went no more often", found))
    }

    /// Follows one operator's word about an UNKNOWN leg.
    pub fn proposed(&mut self, caller: &Caller, e: &LegProposed) -> Result<(), Difference> {
        let state = self.state(e.leg);
        if state != LegState::Unknown || caller.name.is_empty() {
            let found = format!("leg {}, which is {}, by {:?}", e.leg, state.name(), caller.name);
            return Err(Difference::new("an operator's word", "one about an UNKNOWN leg", found));
        }
        self.proposed.insert(e.leg, (caller.name.clone(), e.to, e.reference.clone()));
        Ok(())
    }

    /// What an operator says of an UNKNOWN leg, another one has said before.
    fn two_agree(
        &mut self,
        caller: &Caller,
        e: &LegsMoved,
        one: &LegMove,
        from: LegState,
    ) -> Result<(), Difference> {
        let said = self.proposed.remove(&one.leg);
        if e.mover != Mover::Operator || from != LegState::Unknown {
            return Ok(());
        }
        let agreed = said.is_some_and(|(operator, to, reference)| {
            operator != caller.name && to == one.to && reference == one.reference
        });
        if agreed {
            return Ok(());
        }
        let found = format!("{:?} alone, of leg {}", caller.name, one.leg);
        Err(Difference::new("who says what became of an UNKNOWN leg", "two who agree", found))
    }

    /// Whether every leg of a party has ended.
    fn ended(&self, party: PartyId) -> bool {
        let payments = self.payments.iter().flatten().enumerate();
        let mut own = payments.filter(|(_, leg)| leg.from == party || leg.to == party);
        own.all(|(place, _)| u32::try_from(place).is_ok_and(|leg| self.state(leg).has_ended()))
    }

    /// Checks what was settled for parties. `owed` is what each owed in the batch's windows,
    /// ordered; if it is not known, nothing but that nobody is released twice is checked.
    pub fn released(
        &mut self,
        e: &ExposureReleased,
        owed: Option<&[(PartyId, u128)]>,
        content: Option<Left<'_>>,
    ) -> Result<(), Difference> {
        for one in &e.releases {
            if !self.released.insert(one.place) {
                let found = format!("{} a second time", one.party);
                return Err(Difference::new("whose exposure is released", "once a batch", found));
            }
            let (Some(owed), Some((carries, prefunded))) = (owed, content) else { continue };
            let place = one.place as usize;
            let Some(&(party, sum)) = owed.get(place).filter(|(party, _)| *party == one.party)
            else {
                let found = one.party;
                return Err(Difference::new("the party at this place of the dues", "it", found));
            };
            let dust = carries.iter().filter(|carry| carry.payer == party);
            let dust = dust.fold(0u128, |sum, carry| sum.saturating_add(carry.amount.0));
            let rejected = self.rejected.get(&party).copied().unwrap_or(0);
            let settled = sum.checked_sub(dust).and_then(|sum| sum.checked_sub(rejected));
            let paid = prefunded.iter().find(|(of, _)| *of == party).map_or(0, |(_, paid)| paid.0);
            let said = (Some(one.unsettled.0), one.prefund.0);
            if said != (settled, paid) || !self.ended(party) {
                let expected =
                    format!("{settled:?} owed less, {paid} of deposits, once all legs ended");
                return Err(Difference::new("what was settled", expected, format!("{said:?}")));
            }
        }
        Ok(())
    }
}

/// What each party but the clearing account owed as payer, over several windows, ordered by party.
pub(super) fn owed<'a>(
    windows: impl Iterator<Item = &'a [(PartyId, u128)]>,
) -> Option<Vec<(PartyId, u128)>> {
    per_party(windows.flatten().filter(|(party, _)| *party != PartyId::CLEARING).copied().collect())
}

/// Whether a batch that stands at `state` may be aborted.
pub(super) fn may_abort(seen: &Seen) -> bool {
    match seen.state {
        State::Computed => true,
        State::Approved => seen.legs.are_untouched() && seen.legs.are_none() != Some(true),
        State::Aborted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::LegBooking;
    use crate::types::{AssetNumber, BatchId, Digest};

    fn moved(mover: Mover, to: LegState, reference: &str) -> LegsMoved {
        let (payer, payee) = (PartyId([1; 32]), PartyId::CLEARING);
        let (reference, reason) = (reference.to_owned(), String::new());
        let one = LegMove { leg: 0, to, payer, payee, amount: Total(5), reference, reason };
        LegsMoved {
            batch: BatchId::ZERO,
            asset: AssetNumber(1),
            mover,
            evidence: Digest::ZERO,
            moves: vec![one],
            signature: [0; 64],
        }
    }

    fn by(operator: &str) -> Caller {
        Caller::grpc(operator.to_owned())
    }

    fn proposed() -> LegProposed {
        LegProposed {
            batch: BatchId::ZERO,
            leg: 0,
            to: LegState::Confirmed,
            reference: "R".into(),
            evidence: "a mail".into(),
            signature: [0; 64],
        }
    }

    /// The legs of a batch, the first of which is UNKNOWN.
    fn unknown() -> Legs {
        let mut legs = Legs::new(None);
        let submitted = LegsSubmitted {
            batch: BatchId::ZERO,
            submission: 0,
            attempt: 0,
            legs: vec![LegRun { first: 0, count: 2 }],
            paid_out: Total::ZERO,
            digest: Digest::ZERO,
            bytes: 1,
            name: "2 calls".into(),
        };
        legs.submit(&submitted).unwrap();
        legs.moved(&Caller::engine(), &moved(Mover::Engine, LegState::Unknown, "")).unwrap();
        legs
    }

    #[test]
    fn an_unknown_leg_that_one_operator_moves_alone_is_found() {
        let confirmed = |of: &str| moved(Mover::Operator, LegState::Confirmed, of);
        for (second, reference, agree) in
            [("bob", "R", true), ("ann", "R", false), ("bob", "other", false)]
        {
            let mut legs = unknown();
            legs.proposed(&by("ann"), &proposed()).unwrap();
            let found = legs.moved(&by(second), &confirmed(reference));
            assert_eq!(found.is_ok(), agree, "{second} {reference}: {found:?}");
        }
        let mut legs = unknown();
        assert!(legs.moved(&by("bob"), &confirmed("R")).is_err(), "nobody said it before");
        // The rail itself needs nobody.
        unknown().moved(&Caller::engine(), &moved(Mover::Rail, LegState::Confirmed, "R")).unwrap();
    }

    fn booked(all: &[(Way, &str)]) -> LegsBooked {
        let one = |(way, reference): &(Way, &str)| {
            let reference = (*reference).to_owned();
            LegBooking { leg: 0, way: *way, reference }
        };
        let (batch, evidence) = (BatchId::ZERO, Digest::ZERO);
        LegsBooked { batch, evidence, bookings: all.iter().map(one).collect() }
    }

    /// The payee has one of two payments yet, and the leg would be owed again.
    #[test]
    fn a_leg_that_comes_back_less_often_than_it_went_is_found() {
        for mover in [Mover::Books, Mover::Rail, Mover::Operator] {
            let mut legs = unknown();
            let engine = Caller::engine();
            legs.moved(&engine, &moved(Mover::Books, LegState::Confirmed, "A")).unwrap();
            legs.booked(&booked(&[(Way::Went, "B")])).unwrap();
            let back = moved(mover, LegState::Returned, "S");
            let found = legs.moved(&by("ann"), &back).unwrap_err();
            assert_eq!(found.found, "leg 0 went 2 times and came back 1 times", "{mover:?}");
        }
        for mover in [Mover::Books, Mover::Rail, Mover::Operator] {
            let mut legs = unknown();
            let engine = Caller::engine();
            legs.moved(&engine, &moved(Mover::Books, LegState::Confirmed, "A")).unwrap();
            legs.booked(&booked(&[(Way::Went, "B"), (Way::Came, "R")])).unwrap();
            legs.moved(&by("ann"), &moved(mover, LegState::Returned, "S")).unwrap();
        }
    }

    #[test]
    fn more_bookings_than_are_held_are_found() {
        let mut legs = unknown();
        legs.moved(&Caller::engine(), &moved(Mover::Rail, LegState::Confirmed, "A")).unwrap();
        legs.booked(&booked(&[(Way::Went, "A"); BOOKINGS_MAX])).unwrap();
        assert!(legs.booked(&booked(&[(Way::Went, "B")])).is_err());
        legs.booked(&booked(&[(Way::Came, "B")])).unwrap();
    }

    #[test]
    fn a_word_about_a_leg_that_is_not_unknown_or_by_nobody_is_found() {
        let mut legs = unknown();
        assert!(legs.proposed(&by(""), &proposed()).is_err());
        assert!(legs.proposed(&by("ann"), &LegProposed { leg: 1, ..proposed() }).is_err());
        // What was said before the leg moved counts no more.
        legs.proposed(&by("ann"), &proposed()).unwrap();
        legs.moved(&Caller::engine(), &moved(Mover::Engine, LegState::Sent, "")).unwrap();
        legs.moved(&Caller::engine(), &moved(Mover::Engine, LegState::Unknown, "")).unwrap();
        let alone = moved(Mover::Operator, LegState::Confirmed, "R");
        assert!(legs.moved(&by("bob"), &alone).is_err());
    }
}
