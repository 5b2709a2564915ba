//! What must hold of money while batches are settled, whoever says what: nothing is made, lost,
//! settled twice or paid out before it is there. Compares and sums; changes nothing.

use crate::check::{Checked, ensure, same};
use crate::model::{Batch, BatchState, Pair, State};
use std::collections::BTreeMap;
use tallystick::ledger::LegState::{Confirmed, Rejected, Returned};
use tallystick::ledger::event::LegEvent;
use tallystick::ledger::{BatchEntry, Event, Legs, Way};
use tallystick::types::{PartyId, SettlementModel};

/// How far a batch is, in every part.
///
/// # Errors
/// The first difference.
pub fn progress(found: &BatchEntry, legs: &Legs, wanted: &Batch) -> Checked {
    let what = |of: &'static str| move || format!("{of} of batch {}", found.head.id);
    let progress = &wanted.progress;
    same(what("the legs"), &legs.states().collect(), &progress.legs)?;
    let submissions = legs.submissions().iter();
    let submissions: Vec<_> =
        submissions.map(|one| (one.legs.clone(), one.attempts.len())).collect();
    same(what("the submissions"), &submissions, &progress.submissions)?;
    let mut books = BTreeMap::new();
    for leg in (0..).take(progress.legs.len()) {
        let facts = legs.facts(leg).cloned().unwrap_or_default();
        for (way, held) in [(Way::Went, &facts.went), (Way::Came, &facts.came)] {
            let held: Vec<String> = held.references().iter().map(|of| of.to_string()).collect();
            books.extend((!held.is_empty()).then_some(((leg, way), held)));
        }
    }
    same(what("the bookings"), &books, &progress.books)?;
    let released = u64::try_from(progress.released.len()).expect("parties are few");
    same(what("the released parties"), &legs.released(), &released)?;
    let sums = progress.released.iter().map(|party| Ok(wanted.release(*party)?.0));
    let sum = sums.sum::<Result<u128, String>>()?;
    same(what("what was released"), &legs.released_sum().0, &sum)?;
    let proposed = legs
        .proposed()
        .iter()
        .map(|(leg, said)| (*leg, (said.operator.clone(), said.to, said.reference.clone())));
    same(what("the proposals"), &proposed.collect(), &progress.proposed)?;
    let again = progress.legs.iter().zip(&wanted.payments);
    let again = again.filter(|(leg, _)| [Rejected, Returned].contains(leg));
    let again: u128 = again.map(|(_, (_, _, amount, _))| amount).sum();
    same(what("what is owed again"), &legs.owed_again().0, &again)
}

/// An event of settlement that was just decided, and what it must say.
///
/// # Errors
/// What is wrong with it.
pub fn event(event: &Event, now: &State) -> Checked {
    match event {
        Event::Leg(LegEvent::Submitted(e)) => covered(now.batches[&e.batch].1.asset, now),
        Event::Leg(
            LegEvent::Moved(_)
            | LegEvent::Booked(_)
            | LegEvent::Proposed(_)
            | LegEvent::Released(_),
        )
        | Event::Registry(_)
        | Event::Budget(_)
        | Event::Access(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Key(_)
        | Event::Window(_)
        | Event::Batch(_)
        | Event::Trouble(_)
        | Event::Hold(_) => Ok(()),
    }
}

/// The clearing account of an asset sends no more than it has, over all batches: what came in and
/// what deposits pay, and the dust that it advances until the debtors' next pay-in. What was
/// returned to a debtor after it had been paid out is lost until they pay again; nobody else's
/// money replaces it.
fn covered(asset: u32, now: &State) -> Checked {
    if now.assets[&asset].model == SettlementModel::Bilateral {
        return Ok(());
    }
    let (mut held, mut lost) = (0i128, 0u128);
    let begun = now.batches.values().filter(|(_, batch, _)| batch.progress.dust_owed);
    for (_, batch, _) in begun.filter(|(_, batch, _)| batch.asset == asset) {
        let legs = batch.payments.iter().zip(&batch.progress.legs);
        let pay_ins = || legs.clone().filter(|((_, to, ..), _)| *to == PartyId::CLEARING);
        // Dust of earlier batches comes back with the last pay-in.
        let dust = now.dust_before(batch);
        let is_back = batch.ended() && pay_ins().all(|(_, leg)| *leg == Confirmed);
        let left = batch.cash() + batch.dust_left() - if is_back { dust } else { dust.min(0) };
        // While pay-ins are on their way, nothing is lacking that was not sent.
        held += left.max(-batch.sent());
        let returned = pay_ins().filter(|(_, leg)| **leg == Returned);
        lost += returned.map(|((_, _, amount, _), _)| amount).sum::<u128>();
    }
    let lost = i128::try_from(lost).expect("sums stay within 127 bits");
    ensure(held + lost >= 0, || {
        format!("{held} on the clearing account of {asset}, and {lost} returned to debtors")
    })
}

/// Nothing is made or lost: drawn from windows and legs, not from what the ledger sums up.
///
/// # Errors
/// What does not add up.
pub fn conserved(now: &State) -> Checked {
    for (id, (state, batch, _)) in &now.batches {
        if [BatchState::Settled, BatchState::SettledWithCarry].contains(state) {
            adds_up(batch, now).map_err(|what| format!("batch {id}: {what}"))?;
        }
    }
    carried(now)?;
    owed(now)?;
    deposits(now)
}

/// What moved, what is owed again, what is dust and what deposits paid is what was owed.
fn adds_up(batch: &Batch, now: &State) -> Checked {
    let mut left: BTreeMap<PartyId, i128> = BTreeMap::new();
    for window in batch.windows.iter().filter_map(|number| now.window(*number)) {
        for (party, net) in window.positions(batch.asset) {
            *left.entry(party).or_default() += net;
        }
    }
    let mut flow = |from: PartyId, to: PartyId, amount: u128| {
        let amount = i128::try_from(amount).expect("sums stay within 127 bits");
        *left.entry(from).or_default() += amount;
        *left.entry(to).or_default() -= amount;
    };
    for ((from, to, amount, _), leg) in batch.payments.iter().zip(&batch.progress.legs) {
        let ended = [Confirmed, Rejected, Returned].contains(leg);
        ensure(ended, || format!("a leg from {from} to {to} is {leg:?} and the batch has ended"))?;
        flow(*from, *to, *amount);
    }
    batch.carries.iter().for_each(|((from, to), amount)| flow(*from, *to, *amount));
    batch.prefunded.iter().for_each(|(party, amount)| flow(*party, PartyId::CLEARING, *amount));
    left.remove(&PartyId::CLEARING);
    left.retain(|_, left| *left != 0);
    ensure(left.is_empty(), || format!("neither paid nor carried: {left:?}"))
}

/// What windows hold of earlier batches is the dust of those that have begun, and what failed:
/// once.
fn carried(now: &State) -> Checked {
    let (mut found, mut wanted) = (BTreeMap::new(), BTreeMap::new());
    let add = |sums: &mut BTreeMap<Pair, u128>, pair: Pair, amount: u128| {
        *sums.entry(pair).or_default() += amount;
    };
    for (pair, amount) in now.windows.iter().flat_map(|window| &window.carried) {
        add(&mut found, *pair, *amount);
    }
    for (state, batch, _) in now.batches.values() {
        let waits = [BatchState::Computed, BatchState::Approved, BatchState::Aborted];
        if !waits.contains(state) {
            for ((from, to), amount) in &batch.carries {
                add(&mut wanted, (batch.asset, *from, *to), *amount);
            }
        }
        for ((from, to, amount, _), leg) in batch.payments.iter().zip(&batch.progress.legs) {
            if [Rejected, Returned].contains(leg) {
                add(&mut wanted, (batch.asset, *from, *to), *amount);
            }
        }
    }
    same(|| "what is carried in all windows".into(), &found, &wanted)
}

/// Everyone owes what the windows say that no batch has settled for them, each sum once.
fn owed(now: &State) -> Checked {
    let mut owed: BTreeMap<(PartyId, u32), u128> = BTreeMap::new();
    let settles = |live: &BTreeMap<u32, _>, asset: u32, party: &PartyId| {
        let batch = live.get(&asset).map(|id| &now.batches[id].1);
        batch.is_some_and(|batch| batch.progress.released.contains(party))
    };
    for window in &now.windows {
        let debts = window.owed.iter().map(|(pair, amount)| (*pair, *amount));
        for ((asset, payer, _), amount) in debts.chain(window.carried.iter().copied()) {
            if payer != PartyId::CLEARING && !settles(&window.live, asset, &payer) {
                *owed.entry((payer, asset)).or_default() += amount;
            }
        }
    }
    // What is carried on already stands in two windows until it is released from the first.
    for (_, batch, _) in now.batches.values().filter(|(_, batch, _)| batch.progress.dust_owed) {
        let twice = batch.owed.keys().filter(|party| !batch.progress.released.contains(*party));
        for party in twice {
            let sum = owed.get_mut(&(*party, batch.asset)).expect("it owes in a window");
            *sum -= batch.dust(*party) + batch.rejected(*party);
        }
    }
    for (&(party, asset), owes) in &now.exposures {
        let wanted = owed.remove(&(party, asset)).unwrap_or(0);
        same(|| format!("what {party} owes in {asset}"), &owes.unsettled, &wanted)?;
    }
    ensure(owed.is_empty(), || format!("owed without a limit or a deposit: {owed:?}"))
}

/// A deposit is there until a batch that it paid is released.
fn deposits(now: &State) -> Checked {
    let mut left = now.deposits.clone();
    let mut pledged: BTreeMap<(PartyId, u32), u128> = BTreeMap::new();
    for (state, batch, _) in now.batches.values().filter(|(s, ..)| *s != BatchState::Aborted) {
        for (party, amount) in &batch.prefunded {
            *pledged.entry((*party, batch.asset)).or_default() += amount;
            if batch.progress.released.contains(party) {
                let left = left.get_mut(&(*party, batch.asset)).expect("it was deposited");
                let rest = left.checked_sub(*amount);
                *left = rest.ok_or_else(|| format!("{party} paid more than it had: {state:?}"))?;
            }
        }
    }
    for (&(party, asset), owes) in &now.exposures {
        let rest = left.get(&(party, asset)).copied().unwrap_or(0);
        same(|| format!("the deposit of {party} in {asset}"), &owes.prefund, &rest)?;
        let pledged = pledged.get(&(party, asset)).copied().unwrap_or(0);
        let all = now.deposits.get(&(party, asset)).copied().unwrap_or(0);
        ensure(pledged <= all, || format!("{party} pledged {pledged} of {all} in {asset}"))?;
        same(
            || format!("what is free of {party} in {asset}"),
            &now.free(party, asset),
            &(all - pledged),
        )?;
    }
    Ok(())
}
