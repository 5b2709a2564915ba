//! What becomes of the legs of a batch, and of what they should have moved: the tables of moves by
//! hand, what is owed again, whose exposure falls by how much.

use super::{Batch, BatchState, State};
use std::collections::{BTreeMap, BTreeSet};
use tallystick::ledger::LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
use tallystick::ledger::event::{
    ExposureReleased, LegProposed, LegRun, LegsBooked, LegsMoved, LegsSubmitted, Release,
};
use tallystick::ledger::{LegState, Mover, Way};
use tallystick::limits::BOOKINGS_MAX;
use tallystick::types::{BatchId, PartyId, SettlementModel};

/// What may be done, or the word of the refusal.
type Allowed = Result<(), &'static str>;

/// How far a batch is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where each leg stands.
    pub legs: Vec<LegState>,
    /// What was handed to the rail, and in how many attempts.
    pub submissions: Vec<(Vec<LegRun>, usize)>,
    /// Whose exposure was released.
    pub released: BTreeSet<PartyId>,
    /// The last release, which is empty, was made.
    pub complete: bool,
    /// The dust is owed in a later window.
    pub dust_owed: bool,
    /// The references under which the books showed money of legs go and come back.
    pub books: BTreeMap<(u32, Way), Vec<String>>,
    /// In which window legs that failed are owed again.
    pub owed: BTreeMap<u32, u64>,
    /// One operator's word about an UNKNOWN leg: who, where it stands, the reference.
    pub proposed: BTreeMap<u32, (String, LegState, String)>,
}

/// The moves that the engine makes on its own.
const BY_ENGINE: [(LegState, LegState); 4] =
    [(Ready, Rejected), (Sent, Unknown), (Unknown, Sent), (Accepted, Sent)];

/// The moves that a rail or an operator makes.
const BY_OTHERS: [(LegState, LegState); 9] = [
    (Sent, Accepted),
    (Unknown, Accepted),
    (Sent, Confirmed),
    (Accepted, Confirmed),
    (Unknown, Confirmed),
    (Sent, Rejected),
    (Accepted, Rejected),
    (Unknown, Rejected),
    (Confirmed, Returned),
];

/// What was confirmed by somebody's word is seen in the books.
const BOOKED: (LegState, LegState) = (Confirmed, Confirmed);

fn may(from: LegState, to: LegState, mover: Mover) -> bool {
    if mover == Mover::Engine {
        BY_ENGINE.contains(&(from, to))
    } else {
        BY_OTHERS.contains(&(from, to)) || mover == Mover::Books && (from, to) == BOOKED
    }
}

/// The legs of a submission, in order.
fn of_runs(runs: &[LegRun]) -> Vec<u32> {
    runs.iter().flat_map(|run| run.first..run.first + run.count).collect()
}

fn place(leg: u32) -> usize {
    usize::try_from(leg).expect("legs are few")
}

impl Batch {
    /// Where a leg stands, if there is one.
    fn leg(&self, leg: u32) -> Result<LegState, &'static str> {
        self.progress.legs.get(place(leg)).copied().ok_or("NoSuchLeg")
    }

    /// Whether all its legs have ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.progress.legs.iter().all(|leg| [Confirmed, Rejected, Returned].contains(leg))
    }

    /// What a party's legs should have paid and, rejected, did not.
    #[must_use]
    pub fn rejected(&self, party: PartyId) -> u128 {
        let legs = self.payments.iter().zip(&self.progress.legs);
        let own = legs.filter(|((from, ..), leg)| *from == party && **leg == Rejected);
        own.map(|((_, _, amount, _), _)| amount).sum()
    }

    /// What of a party's debt is carried on as dust.
    #[must_use]
    pub fn dust(&self, party: PartyId) -> u128 {
        let own = self.carries.iter().filter(|((payer, _), _)| *payer == party);
        own.map(|(_, amount)| amount).sum()
    }

    /// What a party owes less once its legs have ended, and what of it its deposit has paid.
    ///
    /// # Errors
    /// Why nothing of it can be released.
    pub fn release(&self, party: PartyId) -> Result<(u128, u128), String> {
        let owed = self.owed.get(&party).ok_or_else(|| format!("{party} owed nothing"))?;
        for ((from, to, ..), leg) in self.payments.iter().zip(&self.progress.legs) {
            if (*from == party || *to == party) && ![Confirmed, Rejected, Returned].contains(leg) {
                return Err(format!("a leg of {party} is {leg:?}"));
            }
        }
        let settled = owed.checked_sub(self.dust(party) + self.rejected(party));
        let settled = settled.ok_or_else(|| format!("{party} is carried more than it owed"))?;
        Ok((settled, self.prefunded.get(&party).copied().unwrap_or(0)))
    }

    /// What the clearing account pays of a submission that may be made.
    #[must_use]
    pub fn paid_out(&self, e: &LegsSubmitted) -> u128 {
        let legs = of_runs(&e.legs).into_iter().map(|leg| self.payments[place(leg)]);
        legs.filter(|(from, ..)| *from == PartyId::CLEARING).map(|(_, _, amount, _)| amount).sum()
    }

    fn submittable(&self, e: &LegsSubmitted) -> Allowed {
        let (number, attempt) = (place(e.submission), place(e.attempt));
        let fits = match self.progress.submissions.get(number) {
            Some((legs, attempts)) => {
                let states = of_runs(legs).into_iter().map(|leg| self.progress.legs[place(leg)]);
                let mut open = states.filter(|leg| [Sent, Accepted, Unknown].contains(leg));
                *legs == e.legs && attempt == *attempts && open.next().is_some()
            }
            None => {
                let legs = of_runs(&e.legs);
                let next = number == self.progress.submissions.len() && attempt == 0;
                let ready = legs.iter().all(|leg| self.leg(*leg) == Ok(Ready));
                next && ready && !legs.is_empty() && legs.is_sorted_by(|a, b| a < b)
            }
        };
        if fits { Ok(()) } else { Err("Submission") }
    }

    fn movable(
        &self,
        operator: &str,
        e: &LegsMoved,
        suspended: impl Fn(PartyId) -> bool,
    ) -> Allowed {
        let mut last = None;
        for one in &e.moves {
            let from = self.leg(one.leg)?;
            if last.is_some_and(|last| last >= one.leg) {
                return Err("NoSuchLeg");
            }
            let again = from == one.to && self.progress.books.contains_key(&(one.leg, Way::Went));
            let given_up = e.mover == Mover::Operator && (from, one.to) == (Ready, Rejected);
            if again || !given_up && !may(from, one.to, e.mover) {
                return Err("LegState");
            }
            // It says that it came back once more. Of more than are counted nobody knows.
            let returns = self.shown(one.leg, Way::Came) + 1;
            let too_many = e.mover == Mover::Books && returns > BOOKINGS_MAX;
            let goings = self.shown(one.leg, Way::Went);
            if one.to == Returned && (goings > returns || goings == BOOKINGS_MAX || too_many) {
                return Err("StillPaid");
            }
            last = Some(one.leg);
        }
        let kept = |leg: u32| {
            let (_, to, ..) = self.payments[place(leg)];
            self.leg(leg) == Ok(Ready) && !suspended(to)
        };
        if e.mover == Mover::Operator && e.moves.iter().any(|one| kept(one.leg)) {
            return Err("LegState");
        }
        let unsure = e.moves.iter().filter(|one| self.leg(one.leg) == Ok(Unknown));
        let alone = unsure.filter(|one| {
            let said = self.progress.proposed.get(&one.leg);
            let agreed = said.is_some_and(|(who, to, reference)| {
                let another = who != operator && !operator.is_empty();
                another && *to == one.to && *reference == one.reference
            });
            e.mover == Mover::Operator && !agreed
        });
        if alone.count() > 0 { Err("NeedsTwo") } else { Ok(()) }
    }

    /// How often books showed its money move that way.
    fn shown(&self, leg: u32, way: Way) -> usize {
        self.progress.books.get(&(leg, way)).map_or(0, Vec::len)
    }

    fn bookable(&self, e: &LegsBooked) -> Allowed {
        let mut last = None;
        let mut held: BTreeMap<(u32, Way), usize> = BTreeMap::new();
        for one in &e.bookings {
            let state = self.leg(one.leg)?;
            let of = (one.leg, one.way, &one.reference);
            if last.is_some_and(|last| last > of) {
                return Err("NoSuchLeg");
            }
            let ended = [Confirmed, Rejected, Returned].contains(&state);
            let more = held.entry((one.leg, one.way)).or_default();
            *more += 1;
            if !ended || self.shown(one.leg, one.way) + *more > BOOKINGS_MAX {
                return Err("LegState");
            }
            last = Some(of);
        }
        Ok(())
    }

    fn proposable(&self, operator: &str, e: &LegProposed) -> Allowed {
        if self.leg(e.leg)? != Unknown || !may(Unknown, e.to, Mover::Operator) {
            return Err("LegState");
        }
        if operator.is_empty() { Err("NeedsTwo") } else { Ok(()) }
    }
}

/// What the events of settlement ask and change.
impl State {
    pub(super) fn approved(&self, id: BatchId) -> Result<&Batch, &'static str> {
        let (state, batch, _) = self.batches.get(&id).ok_or("UnknownBatch")?;
        match state {
            BatchState::Computed | BatchState::Aborted => Err("BatchState"),
            BatchState::Approved
            | BatchState::Submitting
            | BatchState::Settled
            | BatchState::SettledWithCarry => Ok(batch),
        }
    }

    pub(super) fn may_submit(&self, e: &LegsSubmitted) -> Allowed {
        self.may_leave()?;
        let batch = self.approved(e.batch)?;
        batch.submittable(e)?;
        let said = self.said_to_be_paid(e.batch);
        if of_runs(&e.legs).iter().any(|leg| said.contains(leg)) {
            return Err("SaidToBePaid");
        }
        match self.free_to_pay(e.batch) {
            Some(free) if e.attempt == 0 && batch.paid_out(e) > free => Err("NotCovered"),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether every leg of a submission is in flight.
    #[must_use]
    pub fn in_flight(&self, batch: BatchId, number: u32) -> bool {
        let Some((_, batch, _)) = self.batches.get(&batch) else { return false };
        let held = batch.progress.submissions.get(place(number));
        held.is_some_and(|(legs, _)| {
            let states = of_runs(legs).into_iter().map(|leg| batch.progress.legs[place(leg)]);
            states.into_iter().all(|leg| [Sent, Accepted, Unknown].contains(&leg))
        })
    }

    /// Whether some leg of a submission may still be paid, or was.
    #[must_use]
    pub fn may_be_paid(&self, batch: BatchId, number: u32) -> bool {
        let Some((_, batch, _)) = self.batches.get(&batch) else { return false };
        let held = batch.progress.submissions.get(place(number));
        held.is_some_and(|(legs, _)| {
            let states = of_runs(legs).into_iter().map(|leg| batch.progress.legs[place(leg)]);
            states.into_iter().any(|leg| ![Rejected, Returned].contains(&leg))
        })
    }

    /// The first payee of a submission who is suspended.
    #[must_use]
    pub fn suspended_payee(&self, e: &LegsSubmitted) -> Option<PartyId> {
        let (_, batch, _) = self.batches.get(&e.batch)?;
        let payees = of_runs(&e.legs).into_iter().map(|leg| batch.payments[place(leg)].1);
        let mut payees = payees.filter(|to| self.parties.get(to).is_some_and(|to| to.suspended));
        payees.next()
    }

    pub(super) fn may_move(&self, operator: &str, e: &LegsMoved) -> Allowed {
        let suspended = |party| self.parties.get(&party).is_some_and(|party| party.suspended);
        self.approved(e.batch)?.movable(operator, e, suspended)?;
        if e.moves.iter().any(|one| one.to == Sent) { self.may_leave() } else { Ok(()) }
    }

    /// Whether money may be on its way: not from an older copy that nobody has looked at.
    pub(super) fn may_leave(&self) -> Allowed {
        if self.held.is_some() { Err("OnHold") } else { Ok(()) }
    }

    pub(super) fn may_book(&self, e: &LegsBooked) -> Allowed {
        self.approved(e.batch)?.bookable(e)
    }

    pub(super) fn booked(&mut self, e: &LegsBooked) {
        let books = &mut self.batch_mut(e.batch).progress.books;
        for one in &e.bookings {
            books.entry((one.leg, one.way)).or_default().push(one.reference.clone());
        }
    }

    pub(super) fn may_propose(&self, operator: &str, e: &LegProposed) -> Allowed {
        self.approved(e.batch)?.proposable(operator, e)
    }

    pub(super) fn may_release(&self, e: &ExposureReleased) -> Allowed {
        let released = &self.approved(e.batch)?.progress.released;
        let before = e.releases.iter().any(|one| released.contains(&one.party));
        let ordered = e.releases.is_sorted_by(|a, b| a.party < b.party);
        if before || !ordered { Err("ReleasedBefore") } else { Ok(()) }
    }

    fn batch_mut(&mut self, id: BatchId) -> &mut Batch {
        &mut self.batches.get_mut(&id).expect("it is known").1
    }

    /// A batch is approved. Without a leg all of it is ended.
    pub(super) fn approve(&mut self, id: BatchId, operator: &str) {
        let (state, batch, _) = self.batches.get_mut(&id).expect("it is known");
        *state = BatchState::Approved;
        batch.approver = Some(operator.to_owned());
        if self.batches[&id].1.ended() {
            self.dust_owed(id);
            self.stands(id);
        }
    }

    pub(super) fn submit(&mut self, e: &LegsSubmitted) {
        let progress = &mut self.batch_mut(e.batch).progress;
        match progress.submissions.get_mut(place(e.submission)) {
            Some((_, attempts)) => *attempts += 1,
            None => {
                progress.submissions.push((e.legs.clone(), 1));
                of_runs(&e.legs).iter().for_each(|leg| progress.legs[place(*leg)] = Sent);
            }
        }
        self.dust_owed(e.batch);
        self.stands(e.batch);
    }

    pub(super) fn moved(&mut self, e: &LegsMoved) {
        self.dust_owed(e.batch);
        let open = self.open();
        let batch = self.batch_mut(e.batch);
        let asset = batch.asset;
        let (mut again, mut back) = (Vec::new(), Vec::new());
        for one in &e.moves {
            let failed = [Rejected, Returned].contains(&one.to);
            if e.mover == Mover::Books && (failed || one.to == Confirmed) {
                let way = if failed { Way::Came } else { Way::Went };
                let books = batch.progress.books.entry((one.leg, way)).or_default();
                books.push(one.reference.clone());
            }
            if failed {
                batch.progress.owed.insert(one.leg, open);
            }
            batch.progress.legs[place(one.leg)] = one.to;
            batch.progress.proposed.remove(&one.leg);
            let (from, to, amount, _) = batch.payments[place(one.leg)];
            if [Rejected, Returned].contains(&one.to) {
                again.push(((asset, from, to), amount));
            }
            if one.to == Returned && from != PartyId::CLEARING {
                back.push((from, amount));
            }
        }
        self.carries(again.iter().flat_map(|((_, payer, payee), _)| [*payer, *payee]));
        self.windows.last_mut().expect("one window is open").carried.extend(again);
        for (party, amount) in back {
            let owes = self.exposures.get_mut(&(party, asset)).expect("it paid");
            owes.unsettled += amount;
        }
        self.stands(e.batch);
    }

    pub(super) fn propose(&mut self, operator: &str, e: &LegProposed) {
        let said = (operator.to_owned(), e.to, e.reference.clone());
        self.batch_mut(e.batch).progress.proposed.insert(e.leg, said);
    }

    /// By what the model says, whatever the event does; that they agree is checked where it is
    /// decided.
    pub(super) fn release(&mut self, e: &ExposureReleased) {
        let batch = self.batch_mut(e.batch);
        let asset = batch.asset;
        batch.progress.complete = e.releases.is_empty();
        for Release { party, .. } in &e.releases {
            let batch = self.batch_mut(e.batch);
            batch.progress.released.insert(*party);
            let released = batch.release(*party);
            let (settled, prefund) = released.unwrap_or_else(|why| panic!("released: {why}"));
            let owes = self.exposures.get_mut(&(*party, asset)).expect("it owed");
            owes.unsettled -= settled;
            owes.prefund -= prefund;
        }
    }

    /// What the rail cannot express is owed in the open window, once.
    fn dust_owed(&mut self, id: BatchId) {
        let batch = self.batch_mut(id);
        if std::mem::replace(&mut batch.progress.dust_owed, true) {
            return;
        }
        let (asset, net) = (batch.asset, batch.dust_left());
        let dust = batch.carries.iter();
        let dust: Vec<_> =
            dust.map(|(&(payer, payee), &amount)| ((asset, payer, payee), amount)).collect();
        let bilateral = self.assets[&asset].model == SettlementModel::Bilateral;
        self.carries(dust.iter().flat_map(|((_, payer, payee), _)| [*payer, *payee]));
        let open = self.windows.last_mut().expect("one window is open");
        open.carried.extend(dust);
        if !bilateral {
            *open.dust.entry(asset).or_default() += net;
        }
    }

    /// Where a batch stands whose legs do not all wait any more.
    fn stands(&mut self, id: BatchId) {
        let (state, batch, _) = self.batches.get_mut(&id).expect("it is known");
        if !batch.ended() {
            *state = BatchState::Submitting;
            return;
        }
        let again = batch.progress.legs.iter().any(|leg| [Rejected, Returned].contains(leg));
        *state = if again { BatchState::SettledWithCarry } else { BatchState::Settled };
        let (windows, asset) = (batch.windows.clone(), batch.asset);
        for number in windows {
            self.window_mut(number).settled.insert(asset);
        }
    }
}
