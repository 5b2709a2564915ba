//! A batch is settled by a rail that does what it likes; whatever it does, no money is made or
//! lost, and the clearing account never pays out what it does not hold.

use super::*;
use crate::Cover;
use crate::event::{ExposureReleased, LegRun, LegsMoved, LegsSubmitted};
use crate::fixture::{HEAD, as_account, sealed};
use crate::leg::{Heard, LegMove, LegWord, Mover};
use crate::runs;
use crate::types::{AssetDef, AssetNumber, Digest, Lsn, Net, Timestamp, WindowNumber};
use crate::{Obligation, Policy, Rail};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const ASSET: AssetNumber = AssetNumber(978);
/// Asset units in what the rail can express.
const UNIT: u128 = 10;

fn party(n: u8) -> PartyId {
    PartyId([n + 1; 32])
}

/// A sealed window in which these pairs owe.
fn window(owed: &[(u8, u8, u64)]) -> Arc<SealedWindow> {
    let mut pairs: BTreeMap<(PartyId, PartyId), u128> = BTreeMap::new();
    for (payer, payee, amount) in owed.iter().filter(|(payer, payee, _)| payer != payee) {
        *pairs.entry((party(*payer), party(*payee))).or_default() += u128::from(*amount);
    }
    let obligations: Vec<Obligation> = pairs
        .into_iter()
        .map(|((payer, payee), amount)| Obligation { payer, payee, amount: Total(amount) })
        .collect();
    sealed(HEAD, ASSET, obligations, Vec::new())
}

fn plan(
    windows: &[Arc<SealedWindow>],
    model: SettlementModel,
    deposits: &BTreeMap<PartyId, Total>,
) -> Option<BatchPlan> {
    let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 3, model };
    let policy = Policy {
        rail: Rail::Iso20022,
        unit: Total(UNIT),
        least: Total(UNIT),
        most: Total(500),
        clearing: Vec::new(),
    };
    let account = |_| Some(as_account(""));
    let prefund = |party| deposits.get(&party).copied().unwrap_or_default();
    let content = BatchContent::compute(windows, &asset, &policy, account, prefund).ok()?;
    Some(BatchPlan::new(windows, Arc::new(content)))
}

/// What is owed net by the windows: received minus sent, per party.
fn positions(windows: &[Arc<SealedWindow>]) -> BTreeMap<PartyId, i128> {
    let mut net = BTreeMap::new();
    for o in windows.iter().flat_map(|w| &w.assets[&ASSET].obligations) {
        let amount = i128::try_from(o.amount.0).unwrap();
        *net.entry(o.payer).or_default() -= amount;
        *net.entry(o.payee).or_default() += amount;
    }
    net
}

struct Run {
    plan: BatchPlan,
    legs: Legs,
    cover: Option<Cover>,
    submissions: u32,
    released: BTreeMap<PartyId, (u128, u128)>,
    suspended: BTreeSet<PartyId>,
    /// The legs that had not ended when parties were last released.
    looked: Option<Marks>,
}

impl Run {
    fn new(plan: BatchPlan) -> Self {
        let head = &plan.content.head;
        let (legs, cover) = (Legs::ready(head.leg_count), Cover::new(head, Net::ZERO));
        let (released, suspended, looked) = (BTreeMap::new(), BTreeSet::new(), None);
        Self { plan, legs, cover, submissions: 0, released, suspended, looked }
    }

    fn submit(&mut self, legs: &[u32]) {
        let event = LegsSubmitted {
            batch: self.plan.content.head.id,
            submission: self.submissions,
            attempt: 0,
            legs: runs(legs.iter().copied()),
            paid_out: self.plan.paid_out(legs),
            digest: Digest::ZERO,
            bytes: 1,
            name: String::new(),
        };
        self.legs.check_submission(&event).unwrap();
        self.legs.submit(Lsn(1), Timestamp(1), &event);
        if let Some(cover) = &mut self.cover {
            cover.leaves(event.paid_out);
        }
        self.submissions += 1;
    }

    fn moves(&mut self, mover: Mover, moves: Vec<(u32, LegState)>) {
        let one = |(leg, to): (u32, LegState)| {
            let payment = self.plan.content.legs[leg as usize].payment;
            let (payer, payee, amount) = (payment.from, payment.to, payment.amount);
            let (reference, reason) = (String::new(), String::new());
            LegMove { leg, to, payer, payee, amount, reference, reason }
        };
        let event = LegsMoved {
            batch: self.plan.content.head.id,
            asset: ASSET,
            mover,
            evidence: Digest::ZERO,
            moves: moves.into_iter().map(one).collect(),
            signature: [0; 64],
        };
        self.legs.check_moves(&event).unwrap();
        for one in &event.moves {
            if let Some(cover) = &mut self.cover {
                cover.moves(self.legs.state(one.leg), one);
            }
            self.legs.apply(Timestamp(2), one, mover, WindowNumber(2));
        }
    }

    fn next(&self) -> Next {
        let free = self.cover.map_or(Total::ZERO, |cover| cover.left().surplus());
        let next = self.plan.next(self.legs.standing(), free, &self.suspended);
        assert_eq!(next, self.walked(free), "what is found without a walk over all legs");
        next
    }

    /// What is next, by the states of all legs.
    fn walked(&self, free: Total) -> Next {
        let all = &self.plan.content.legs;
        let ready = |leg: &u32| self.legs.state(*leg) == LegState::Ready;
        let every = || (0..all.len()).map(place);
        let is_pay_in = |leg: &u32| all[*leg as usize].payment.is_pay_in();
        let is_cleared = |leg: &u32| all[*leg as usize].payment.from == PartyId::CLEARING;
        let multilateral = self.plan.content.head.asset.model == SettlementModel::Multilateral;
        let mut pay_outs: Vec<u32> = every().filter(ready).filter(|l| !is_pay_in(l)).collect();
        let (mut left, mut held_back) = (free.0, Vec::new());
        if multilateral {
            let mut cleared: Vec<u32> = pay_outs.extract_if(.., |leg| is_cleared(leg)).collect();
            cleared.sort_by_key(|leg| self.plan.amount(*leg));
            for leg in cleared {
                match left.checked_sub(self.plan.amount(leg).0) {
                    Some(rest) => {
                        left = rest;
                        pay_outs.push(leg);
                    }
                    None => held_back.push(leg),
                }
            }
            if every().any(|leg| is_pay_in(&leg) && !self.legs.state(leg).has_ended()) {
                held_back.clear();
            }
        }
        pay_outs.sort_unstable();
        held_back.sort_unstable();
        let waits = |leg: &u32| self.suspended.contains(&all[*leg as usize].payment.to);
        let (suspended, pay_outs) = pay_outs.into_iter().partition(waits);
        let pay_ins = every().filter(is_pay_in).filter(ready).collect();
        Next { pay_ins, pay_outs, held_back, suspended }
    }

    /// Everything that the plan says is to be done now.
    fn step(&mut self) {
        let Next { pay_ins, pay_outs, held_back, .. } = self.next();
        if !held_back.is_empty() {
            let held = held_back.into_iter().map(|leg| (leg, LegState::Rejected));
            self.moves(Mover::Engine, held.collect());
        }
        for legs in [pay_ins, pay_outs].iter().filter(|legs| !legs.is_empty()) {
            self.submit(legs);
        }
        let releases = self.plan.releases(&self.legs, usize::MAX);
        let open = self.legs.standing().open().clone();
        let found = self.plan.may_release(self.looked.as_ref(), &open).into_iter();
        let found: Vec<_> = found.filter_map(|at| self.plan.release_of(at, &self.legs)).collect();
        assert_eq!(found, releases, "what is found by the legs that have ended since");
        self.looked = Some(open);
        let event = ExposureReleased { batch: self.plan.content.head.id, asset: ASSET, releases };
        self.legs.check_release(&event).unwrap();
        for one in &event.releases {
            let sums = (one.unsettled.0, one.prefund.0);
            assert!(self.released.insert(one.party, sums).is_none(), "released twice");
        }
        self.legs.release(&event);
        self.covered();
    }

    /// The clearing account has sent no more than it holds.
    fn covered(&self) {
        if self.plan.content.head.asset.model == SettlementModel::Bilateral {
            return;
        }
        let (mut held, mut sent, mut dust) = (0, 0, 0);
        held += self.plan.content.head.prefunded.iter().map(|(_, paid)| paid.0).sum::<u128>();
        for (leg, of) in self.plan.content.legs.iter().enumerate() {
            let state = self.legs.state(place(leg));
            let amount = of.payment.amount.0;
            let returned = state == LegState::Returned;
            if of.payment.is_pay_in() && (state == LegState::Confirmed || returned) {
                held += amount;
            } else if !of.payment.is_pay_in()
                && (state.is_in_flight() || state == LegState::Confirmed)
            {
                sent += amount;
            }
        }
        for carry in &self.plan.content.head.carries {
            dust += if carry.payer == PartyId::CLEARING { 0 } else { carry.amount.0 };
        }
        assert!(sent <= held + dust, "{sent} sent, {held} held, {dust} of dust");
    }
}

#[test]
fn nothing_leaves_for_a_suspended_payee_and_what_covers_it_is_nobody_elses() {
    let windows = [window(&[(0, 1, 100), (0, 2, 300)])];
    let plan = plan(&windows, SettlementModel::Multilateral, &BTreeMap::new()).unwrap();
    let mut run = Run::new(plan);
    let Next { pay_ins, .. } = run.next();
    run.submit(&pay_ins);
    run.moves(Mover::Rail, pay_ins.iter().map(|leg| (*leg, LegState::Confirmed)).collect());
    let all = run.next();
    assert_eq!((all.pay_outs.len(), all.suspended.len()), (2, 0));
    run.suspended.insert(party(1));
    let next = run.next();
    let waits: Vec<PartyId> =
        next.suspended.iter().map(|leg| run.plan.content.legs[*leg as usize].payment.to).collect();
    assert_eq!((waits, next.pay_outs.len(), next.held_back.len()), (vec![party(1)], 1, 0));
    run.submit(&next.pay_outs);
    run.suspended.clear();
    assert_eq!(run.next().pay_outs, next.suspended, "it leaves when it is resumed");
}

fn words() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec((any::<u8>(), 0u8..4), 0..80)
}

fn owed() -> impl Strategy<Value = Vec<(u8, u8, u64)>> {
    proptest::collection::vec((0u8..6, 0u8..6, 1u64..2_000), 1..30)
}

proptest! {
    #[test]
    fn whatever_the_rail_says_no_money_is_made_or_lost(
        owed in owed(),
        words in words(),
        deposits in proptest::collection::btree_map(0u8..6, 1u64..3_000, 0..3),
        bilateral in any::<bool>(),
    ) {
        let windows = [window(&owed)];
        let model =
            if bilateral { SettlementModel::Bilateral } else { SettlementModel::Multilateral };
        let deposits: BTreeMap<PartyId, Total> =
            deposits.into_iter().map(|(n, sum)| (party(n), Total(u128::from(sum)))).collect();
        let Some(plan) = plan(&windows, model, &deposits) else { return Ok(()) };
        let count = plan.content.legs.len();
        let mut run = Run::new(plan);
        run.step();
        for (at, word) in words.into_iter().filter(|_| count > 0) {
            let leg = place(usize::from(at) % count);
            let word = [LegWord::Accepted, LegWord::Confirmed, LegWord::Rejected, LegWord::Returned]
                [usize::from(word)];
            if let Heard::Move(to) = run.legs.state(leg).hear(word) {
                run.moves(Mover::Rail, vec![(leg, to)]);
            }
            run.step();
        }
        // In the end the rail makes up its mind, pay-ins first.
        for _ in 0..3 {
            let open: Vec<u32> = (0..count)
                .map(place)
                .filter(|leg| run.legs.state(*leg).is_in_flight())
                .collect();
            for leg in open {
                let word = if leg % 3 == 0 { LegWord::Rejected } else { LegWord::Confirmed };
                if let Heard::Move(to) = run.legs.state(leg).hear(word) {
                    run.moves(Mover::Rail, vec![(leg, to)]);
                }
            }
            run.step();
        }
        prop_assert!(run.legs.have_ended(), "every leg ends");

        // Ledger = rail: what moved, what deposits paid and what is owed again is what was owed.
        let content = &run.plan.content;
        let mut left = positions(&windows);
        let mut flow = |from: PartyId, to: PartyId, amount: u128| {
            let amount = i128::try_from(amount).unwrap();
            *left.entry(from).or_default() += amount;
            *left.entry(to).or_default() -= amount;
        };
        for (leg, of) in content.legs.iter().enumerate() {
            // Confirmed: the money moved. Rejected or returned: it is owed again, the same way.
            prop_assert!(run.legs.state(place(leg)).has_ended());
            flow(of.payment.from, of.payment.to, of.payment.amount.0);
        }
        for carry in &content.head.carries {
            flow(carry.payer, carry.payee, carry.amount.0);
        }
        for (party, paid) in &content.head.prefunded {
            flow(*party, PartyId::CLEARING, paid.0);
            prop_assert!(*paid <= deposits[party], "a deposit pays no more than it is");
        }
        left.remove(&PartyId::CLEARING);
        prop_assert!(left.values().all(|left| *left == 0), "{left:?}");

        // Everyone's exposure was released once, by what it owed less what it owes again.
        for due in &run.plan.dues {
            let again: u128 = content.legs.iter().enumerate()
                .filter(|(leg, of)| {
                    of.payment.from == due.party
                        && run.legs.state(place(*leg)) == LegState::Rejected
                })
                .map(|(_, of)| of.payment.amount.0)
                .sum();
            let released = run.released.get(&due.party);
            // A leg that was returned before the party's other legs ended counts as settled here;
            // the shard adds it again when it comes back.
            prop_assert_eq!(released.map(|r| r.0 + again), Some(due.owed.0 - due.dust.0));
        }
        prop_assert_eq!(run.released.len(), run.plan.dues.len());
    }
}

#[test]
fn a_failed_pay_in_holds_back_the_largest_pay_outs_and_no_more() {
    // 1 owes 100 to 3 and 40 to 4; 2 owes 60 to 4 and 30 to 5.
    let windows = [window(&[(1, 3, 100), (1, 4, 40), (2, 4, 60), (2, 5, 30)])];
    let plan = plan(&windows, SettlementModel::Multilateral, &BTreeMap::new()).unwrap();
    let mut run = Run::new(plan);
    run.step();
    let of = |run: &Run, n: u8, pay_in: bool| {
        let legs = run.plan.content.legs.iter();
        let mut own = legs.enumerate().filter(|(_, leg)| {
            let end = if pay_in { leg.payment.from } else { leg.payment.to };
            end == party(n) && leg.payment.is_pay_in() == pay_in
        });
        place(own.next().unwrap().0)
    };
    let (one, two) = (of(&run, 1, true), of(&run, 2, true));
    let (three, four, five) = (of(&run, 3, false), of(&run, 4, false), of(&run, 5, false));
    assert_eq!(run.legs.state(five), LegState::Ready, "nothing has come in");
    run.moves(Mover::Rail, vec![(one, LegState::Confirmed)]);
    run.step();
    // 140 came in: 30 and one of the two 100s are covered, whichever is first.
    assert_eq!(run.legs.state(five), LegState::Sent);
    let sent = [three, four].map(|leg| run.legs.state(leg) == LegState::Sent);
    assert_eq!(sent.iter().filter(|sent| **sent).count(), 1);
    run.moves(Mover::Rail, vec![(two, LegState::Rejected)]);
    run.step();
    let states = [three, four].map(|leg| run.legs.state(leg));
    assert!(states.contains(&LegState::Sent) && states.contains(&LegState::Rejected));
    assert_eq!(run.legs.owed_again(), Total(90 + 100));
}

/// Found by the first batch on a chain with a pay-in that failed: its pay-outs leave a round later
/// than the others are held back, and what had been held back was taken for sent. So more were held
/// back, and then more, until nobody was paid.
#[test]
fn what_was_held_back_takes_nothing_from_what_is_covered() {
    let owed: Vec<(u8, u8, u64)> = (1..=9).map(|n| (n, 100 + n, 100)).collect();
    let plan = plan(&[window(&owed)], SettlementModel::Multilateral, &BTreeMap::new()).unwrap();
    let mut run = Run::new(plan);
    run.step();
    let failed = |leg: u32| (leg, if leg < 2 { LegState::Rejected } else { LegState::Confirmed });
    run.moves(Mover::Rail, (0..9).map(failed).collect());
    let Next { pay_outs, held_back, .. } = run.next();
    assert_eq!((pay_outs.len(), held_back.len()), (7, 2));
    // One by one, however often it is looked at in between.
    for leg in held_back {
        run.moves(Mover::Engine, vec![(leg, LegState::Rejected)]);
        assert_eq!(run.next().pay_outs, pay_outs);
    }
    for (sent, leg) in (1..).zip(&pay_outs) {
        run.submit(&[*leg]);
        let next = run.next();
        assert_eq!((&next.pay_outs[..], next.held_back.len()), (&pay_outs[sent..], 0));
    }
    run.covered();
}

#[test]
fn runs_hold_the_legs_and_nothing_else() {
    let found = runs([0, 1, 2, 5, 7, 8].into_iter());
    let run = |first, count| LegRun { first, count };
    assert_eq!(found, [run(0, 3), run(5, 1), run(7, 2)]);
}
