//! The control state of settlement: disputes, batches from approval to their end, legs, and what is
//! owed again because a leg failed. Checks first, then changes; nothing else of the control state
//! is touched.

use super::directory::text;
use super::entry::Fate;
use super::{Approval, BatchEntry, BatchState, Control, Deed};
use crate::batch::{BatchHead, By};
use crate::canary::{Bug, planted};
use crate::envelope::Caller;
use crate::event::{
    BatchAborted, BatchApproved, BatchComputed, ExposureReleased, LegProposed, LegsBooked,
    LegsMoved, LegsSubmitted,
};
use crate::eyes::{EyesMisfit, check_own_key};
use crate::fund::{self, Cover};
use crate::leg::{LegState, Mover};
use crate::legs::{Legs, Proposal};
use crate::refusal::Refusal;
use crate::row::RowKey;
use crate::types::{AssetNumber, BatchId, Lsn, Net, PartyId, Timestamp, Total, WindowNumber};
use crate::window::Obligation;
use std::sync::Arc;

/// What may be done.
impl Control {
    /// What a party's deposits can still pay.
    #[must_use]
    pub fn free_prefund(&self, party: PartyId, asset: AssetNumber) -> Total {
        let pledged = self.pledged.get(&(party, asset)).copied().unwrap_or_default();
        self.deposited(party, asset)
            .checked_minus(pledged)
            .expect("no batch pays what is not there")
    }

    /// The legs of an approved batch.
    ///
    /// # Errors
    /// `Refusal` when there is no such batch or it was not approved.
    pub(super) fn settling(&self, id: BatchId) -> Result<&Legs, Refusal> {
        let entry = self.batch(id)?;
        match entry.fate {
            Fate::Approved => Ok(&entry.legs),
            Fate::Computed | Fate::Aborted => {
                Err(wrong_state(id, entry, "only legs of an approved batch move"))
            }
        }
    }

    pub(super) fn check_approval(&self, caller: &Caller, e: &BatchApproved) -> Result<(), Refusal> {
        let entry = self.batch(e.batch)?;
        if entry.fate != Fate::Computed {
            return Err(wrong_state(e.batch, entry, "only a COMPUTED batch can be approved"));
        }
        if entry.by.four_eyes || self.eyes.are_on() {
            self.check_another(caller, e.batch, entry)?;
        }
        self.check_hold()?;
        self.check_troubles_fit()?;
        self.check_unsent(e.batch)?;
        match entry.head.windows.iter().find(|window| self.is_disputed(**window)) {
            Some(window) => Err(Refusal::WindowDisputed(*window)),
            None => Ok(()),
        }
    }

    /// Whether a batch is approved by another than who made it, each by a key of their own.
    fn check_another(
        &self,
        caller: &Caller,
        id: BatchId,
        entry: &BatchEntry,
    ) -> Result<(), Refusal> {
        let maker = &entry.by.operator;
        let another = caller.is_operator() && caller.name != *maker;
        if !another && !planted(Bug::OwnApproval) {
            return Err(Refusal::SameOperator(id));
        }
        if maker.is_empty() {
            return Err(EyesMisfit::NobodyMade(id).into());
        }
        check_own_key(caller, &self.identities)?;
        match self.identities.stands_by(maker, entry.computed_lsn) {
            true => Ok(()),
            false => Err(EyesMisfit::MadeWithOldKey { batch: id, maker: maker.clone() }.into()),
        }
    }

    pub(super) fn check_abort(&self, e: &BatchAborted) -> Result<(), Refusal> {
        let entry = self.batch(e.batch)?;
        match entry.state() {
            BatchState::Computed | BatchState::Approved => Ok(()),
            BatchState::Submitting
            | BatchState::Settled
            | BatchState::SettledWithCarry
            | BatchState::Aborted => Err(wrong_state(
                e.batch,
                entry,
                "a batch can be aborted only while nothing of it has left",
            )),
        }
    }

    fn is_owed_in(&self, window: WindowNumber, asset: AssetNumber) -> bool {
        let sealed = self.window(window).ok().and_then(|window| window.sealed.as_ref());
        sealed.is_some_and(|sealed| sealed.assets.iter().any(|seal| seal.asset == asset))
    }

    /// Whether a window is disputed.
    #[must_use]
    pub fn is_disputed(&self, window: WindowNumber) -> bool {
        self.window(window).is_ok_and(|window| window.dispute.is_some())
    }

    pub(super) fn check_dispute(&self, number: WindowNumber) -> Result<(), Refusal> {
        let window = self.window(number)?;
        // A window in a batch of which nothing has left can still be disputed: the batch then
        // cannot be approved, and is aborted by whoever looks into it.
        let left = window
            .live
            .values()
            .any(|batch| self.batch(*batch).is_ok_and(|entry| entry.fate == Fate::Approved));
        if window.cut.is_none() {
            return Err(Refusal::WindowOpen(number));
        }
        if window.dispute.is_some() {
            return Err(Refusal::WindowDisputed(number));
        }
        if left {
            let state = window.state().name();
            let allowed = "a window can be disputed only while no batch of it is approved";
            return Err(Refusal::WindowState { window: number, state, allowed });
        }
        Ok(())
    }

    pub(super) fn check_dispute_end(&self, number: WindowNumber) -> Result<(), Refusal> {
        let window = self.window(number)?;
        if window.dispute.is_some() {
            return Ok(());
        }
        let (state, allowed) = (window.state().name(), "only a DISPUTED window's dispute can end");
        Err(Refusal::WindowState { window: number, state, allowed })
    }

    /// What the clearing account may pay out for a batch now: what the batch has left of what it
    /// brought, and what other batches have left over. In a bilateral asset it pays deposits, all
    /// of which are there.
    ///
    /// # Errors
    /// `UnknownBatch`.
    pub fn free_to_pay(&self, id: BatchId) -> Result<Total, Refusal> {
        let entry = self.batch(id)?;
        let Some(cover) = &entry.cover else { return Ok(entry.head.total) };
        let others = self.fund(entry.head.asset.number).minus(entry.spare()).surplus();
        Ok(cover.left().plus(others.to_net()).surplus())
    }

    pub(super) fn check_submission(&self, e: &LegsSubmitted) -> Result<(), Refusal> {
        text(&e.name, "name")?;
        self.check_hold()?;
        self.settling(e.batch)?.check_submission(e)?;
        self.check_leaving(e)?;
        let (batch, paid_out, free) = (e.batch, e.paid_out, self.free_to_pay(e.batch)?);
        // Another attempt is executed in place of the first.
        if e.attempt > 0 || paid_out <= free {
            return Ok(());
        }
        Err(Refusal::NotCovered { batch, paid_out, free })
    }

    pub(super) fn check_moves(&self, caller: &Caller, e: &LegsMoved) -> Result<(), Refusal> {
        let legs = self.settling(e.batch)?;
        // A record holds as many moves as there may be only because their texts are bounded.
        for one in &e.moves {
            text(&one.reference, "rail_reference")?;
            text(&one.reason, "reason")?;
        }
        legs.check_moves(e)?;
        // A call is made again, or a transaction sent.
        if e.moves.iter().any(|one| one.to == LegState::Sent) {
            self.check_hold()?;
        }
        if e.mover != Mover::Operator {
            return Ok(());
        }
        // What the rail cannot say takes two.
        let alone = |leg: u32, to: LegState, reference: &str| {
            let proposal = legs.proposed().get(&leg);
            let agreed = proposal.is_some_and(|proposal| {
                caller.is_operator()
                    && proposal.operator != caller.name
                    && proposal.to == to
                    && proposal.reference == reference
            });
            legs.state(leg) == LegState::Unknown && !agreed
        };
        match e.moves.iter().find(|one| alone(one.leg, one.to, &one.reference)) {
            Some(one) => Err(Refusal::NeedsTwo { batch: e.batch, leg: one.leg }),
            None => Ok(()),
        }
    }

    pub(super) fn check_bookings(&self, e: &LegsBooked) -> Result<(), Refusal> {
        e.bookings.iter().try_for_each(|one| text(&one.reference, "rail_reference"))?;
        self.settling(e.batch)?.check_bookings(e)
    }

    pub(super) fn check_proposal(&self, caller: &Caller, e: &LegProposed) -> Result<(), Refusal> {
        let (batch, leg, legs) = (e.batch, e.leg, self.settling(e.batch)?);
        if leg as usize >= legs.len() {
            return Err(Refusal::NoSuchLeg { batch, leg });
        }
        let state = legs.state(leg);
        if state != LegState::Unknown || !state.may_move(e.to, Mover::Operator) {
            let (from, to) = (state.name(), e.to.name());
            return Err(Refusal::LegState { batch, leg, from, to });
        }
        if !caller.is_operator() {
            return Err(Refusal::NeedsTwo { batch, leg });
        }
        Ok(())
    }

    pub(super) fn check_release(&self, e: &ExposureReleased) -> Result<(), Refusal> {
        let entry = self.batch(e.batch)?;
        // A party without legs could be released at once; but the batch can still be aborted, and
        // its debts settled a second time.
        if entry.state() == BatchState::Approved {
            let allowed = "nothing is settled before the first leg has left";
            return Err(wrong_state(e.batch, entry, allowed));
        }
        self.settling(e.batch)?.check_release(e)
    }

    /// The batches for which the engine has something to do, in the order in which they were made.
    #[must_use]
    pub fn settling_batches(&self) -> Vec<BatchId> {
        let mut found: Vec<&BatchEntry> =
            self.batches.values().filter(|entry| entry.is_settling()).collect();
        found.sort_unstable_by_key(|entry| entry.computed_lsn);
        found.into_iter().map(|entry| entry.head.id).collect()
    }
}

/// What it changes.
impl Control {
    pub(super) fn computed(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        caller: &Caller,
        e: &BatchComputed,
        head: Arc<BatchHead>,
    ) {
        assert_eq!(head.id, e.batch, "another batch");
        for &number in &e.windows {
            let before = self.window_mut(number).live.insert(e.asset, e.batch);
            assert!(before.is_none(), "window {number} is in two live batches");
        }
        for (party, amount) in &head.prefunded {
            let pledged = self.pledged.entry((*party, e.asset)).or_default();
            *pledged = pledged.plus(*amount);
            self.changes.note(*party);
        }
        let by = By { operator: caller.name.clone(), four_eyes: e.four_eyes };
        let deed = Deed { batch: e.batch, by: by.clone(), aborted: None };
        self.deeds.insert(lsn, deed);
        self.waiting.computed((lsn, e.batch), e.asset, &e.windows);
        let windows = e.windows.iter().filter_map(|number| self.window(*number).ok());
        let dust_before = windows.filter_map(|window| window.dust.get(&e.asset).copied());
        let dust_before = dust_before.fold(Net::ZERO, Net::plus);
        let entry = BatchEntry {
            fate: Fate::Computed,
            computed_lsn: lsn,
            computed_at: at,
            by,
            approved: None,
            legs: Legs::ready(head.leg_count),
            ended_at: None,
            aborted: None,
            cover: Cover::new(&head, dust_before),
            dust_owed: false,
            released: false,
            head,
        };
        self.batches.insert(e.batch, entry);
    }

    pub(super) fn approved(&mut self, at: Timestamp, caller: &Caller, e: &BatchApproved) {
        let key = self.operator_keys.current(&caller.name).filter(|_| e.is_signed());
        let entry = self.batch_mut(e.batch);
        entry.fate = Fate::Approved;
        entry.approved = Some(Approval { operator: caller.name.clone(), at, key });
        let (computed, of) = (entry.computed_lsn, (entry.head.asset.number, entry.head.size()));
        self.waiting.approved(computed, at, caller, of);
        let entry = self.batch_mut(e.batch);
        // Without a leg there is nothing that would leave, and all is ended at once.
        if entry.legs.have_ended() {
            self.go_on(at, e.batch, |_| Vec::new());
        }
    }

    pub(super) fn aborted(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        caller: &Caller,
        e: &BatchAborted,
    ) {
        let entry = self.batch_mut(e.batch);
        entry.fate = Fate::Aborted;
        let aborted = Some((caller.name.clone(), e.reason.clone()));
        entry.aborted.clone_from(&aborted);
        let (head, computed) = (entry.head.clone(), entry.computed_lsn);
        let deed = Deed { batch: e.batch, by: entry.by.clone(), aborted };
        self.deeds.insert(lsn, deed);
        let asset = head.asset.number;
        let owed = head.windows.iter().copied().filter(|number| self.is_owed_in(*number, asset));
        let owed: Vec<WindowNumber> = owed.collect();
        self.waiting.aborted((computed, at), asset, owed.into_iter());
        for number in &head.windows {
            self.window_mut(*number).live.remove(&head.asset.number);
        }
        for (party, amount) in &head.prefunded {
            let pledged = self.pledged.get_mut(&(*party, head.asset.number));
            let pledged = pledged.expect("it was pledged when the batch was computed");
            *pledged = pledged.checked_minus(*amount).expect("what was pledged is given back once");
            self.changes.note(*party);
        }
    }

    pub(super) fn submitted(&mut self, lsn: Lsn, at: Timestamp, e: &LegsSubmitted) {
        self.go_on(at, e.batch, |entry| {
            entry.legs.submit(lsn, at, e);
            if let Some(cover) = entry.cover.as_mut().filter(|_| e.attempt == 0) {
                cover.leaves(e.paid_out);
            }
            Vec::new()
        });
    }

    pub(super) fn moved(&mut self, at: Timestamp, e: &LegsMoved) {
        let open = self.open_window().number;
        self.go_on(at, e.batch, |entry| {
            for one in &e.moves {
                if let Some(cover) = &mut entry.cover {
                    cover.moves(entry.legs.state(one.leg), one);
                }
                entry.legs.apply(at, one, e.mover, open);
            }
            let again = e.moves.iter().filter(|one| one.to.is_owed_again());
            let again =
                again.map(|m| Obligation { payer: m.payer, payee: m.payee, amount: m.amount });
            again.collect()
        });
    }

    pub(super) fn booked(&mut self, e: &LegsBooked) {
        self.batch_mut(e.batch).legs.book(e);
    }

    /// A batch goes on: `change` makes it, and gives what is owed again. The first time its dust is
    /// owed too; when the last leg has ended, the batch has; and what is left over for others
    /// follows.
    fn go_on(
        &mut self,
        at: Timestamp,
        id: BatchId,
        change: impl FnOnce(&mut BatchEntry) -> Vec<Obligation>,
    ) {
        let entry = self.batch_mut(id);
        let (asset, spare) = (entry.head.asset.number, entry.spare());
        let again = change(entry);
        let dust = entry.dust();
        let ends = entry.legs.have_ended() && entry.ended_at.is_none();
        let more = entry.spare().minus(spare);
        let fund = self.funds.entry(asset).or_default();
        *fund = fund.plus(more);
        let open = self.open_window_mut();
        let held = open.dust.entry(asset).or_default();
        *held = held.plus(fund::dust(&dust));
        let (number, carried) = (open.number, open.carried.len());
        open.carried.extend(dust.into_iter().chain(again).map(|carry| (asset, carry)));
        for party in self.keeps_needed(number, carried) {
            self.touch(RowKey::Party(party));
            self.needed.carried(number, party);
        }
        if ends {
            self.ended(at, id);
        }
    }

    pub(super) fn proposed(&mut self, caller: &Caller, e: &LegProposed) {
        let (operator, to) = (caller.name.clone(), e.to);
        let (reference, evidence) = (e.reference.clone(), e.evidence.clone());
        let proposal = Proposal { operator, to, reference, evidence };
        self.batch_mut(e.batch).legs.propose(e.leg, proposal);
    }

    pub(super) fn released(&mut self, e: &ExposureReleased) {
        let entry = self.batch_mut(e.batch);
        entry.legs.release(e);
        // The last release of a batch is empty: it says that there is no more to come.
        entry.released = e.releases.is_empty();
        if entry.is_over() {
            self.ended.insert(e.batch);
        }
    }

    fn ended(&mut self, at: Timestamp, batch: BatchId) {
        let entry = self.batch_mut(batch);
        entry.ended_at = Some(at);
        let head = entry.head.clone();
        for number in &head.windows {
            self.touch(RowKey::Window(*number));
            let window = self.window_mut(*number);
            window.settled.insert(head.asset.number);
            let is_settled = window.has_nothing_to_settle();
            self.needed.settled(*number, is_settled);
        }
    }

    fn batch_mut(&mut self, id: BatchId) -> &mut BatchEntry {
        self.batches.get_mut(&id).expect("the batch was found when it was decided")
    }
}

fn wrong_state(batch: BatchId, entry: &BatchEntry, allowed: &'static str) -> Refusal {
    Refusal::BatchState { batch, state: entry.state().name(), allowed }
}

#[cfg(test)]
mod tests;
