//! The schedule by hand: a control state, a clock that is moved, and a life that can be lost
//! between any two steps. What a pipeline would do is done by `World`, step for step as `Schedule`
//! does it.

mod world;

use super::*;
use crate::ledger::batch::{BatchHead, Policy};
use crate::ledger::control::{CreateBatch, Decision, Used};
use crate::ledger::event::WindowSealed;
use crate::ledger::{AssetSeal, BatchState, Genesis, Rail, Refusal, WindowTotals, Wish};
use crate::types::{
    AssetDef, BatchId, Digest, NetworkId, SettlementModel, SignerKey, Total, content_digest,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use world::World;

const EUR: AssetNumber = AssetNumber(978);
const USD: AssetNumber = AssetNumber(840);
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A Saturday, 10:00 UTC.
const START: Timestamp = Timestamp(1_795_860_000 * SECOND);

fn entry(asset: AssetNumber, close: &str) -> ScheduleEntry {
    ScheduleEntry {
        asset,
        close: (!close.is_empty()).then(|| close.parse().unwrap()),
        gross_over: None,
        exposure_over: None,
        batch_rail: Some(Rail::Iso20022),
        batch_min_total: None,
        approve_below: None,
        approve_below_per_day: None,
    }
}

#[test]
fn a_time_runs_once_and_a_missed_one_too() {
    let mut world = World::new(vec![entry(EUR, "0 * * * *")]);
    world.credit(EUR, 5);
    world.run();
    assert_eq!(world.batches(EUR), [[1]], "what came before the start is not left");
    world.credit(EUR, 5);
    world.pass(HOUR - SECOND);
    assert_eq!(world.batches(EUR).len(), 1, "nothing before its time");
    world.pass(SECOND);
    assert_eq!(world.batches(EUR), [[1], [2]]);
    world.credit(EUR, 5);
    world.pass(MINUTE);
    assert_eq!(world.batches(EUR).len(), 2);
    // Down for hours: the last of the times that came meanwhile.
    world.restart();
    world.now.0 += 5 * HOUR;
    world.run();
    assert_eq!(world.batches(EUR), [[1], [2], [3]]);
    world.credit(EUR, 5);
    world.restart();
    world.run();
    assert_eq!(world.batches(EUR).len(), 3, "it was done before the restart");
}

#[test]
fn an_empty_window_is_not_closed_and_the_next_voucher_waits_for_the_next_time() {
    let mut world = World::new(vec![entry(EUR, "0 * * * *")]);
    world.pass(HOUR);
    assert_eq!(world.control.windows().len(), 1);
    world.credit(EUR, 5);
    world.pass(HOUR - SECOND);
    assert_eq!(world.control.windows().len(), 1);
    world.pass(SECOND);
    assert_eq!(world.batches(EUR), [[1]]);
}

/// Two entries have one time. The first closes the window, for both. A crash in the middle of it,
/// between any two steps, once left the second asset without its batch until its next time, and
/// nothing in `status`: its own close was in no record, so a start took the time for done.
#[test]
fn a_crash_anywhere_in_a_time_that_two_entries_share_forgets_neither_batch() {
    // Before the close; before the seal; before the second entry looks; before each batch; after
    // them.
    for crash in 0..6 {
        let mut world = World::new(vec![entry(EUR, "0 * * * *"), entry(USD, "0 * * * *")]);
        world.run();
        world.credit(EUR, 5);
        world.credit(USD, 7);
        world.now.0 += HOUR;
        world.turn(usize::from(crash > 0));
        if crash > 1 {
            world.seal();
        }
        if crash > 2 {
            world.turn(usize::MAX);
        }
        for _ in 3..crash {
            assert!(world.batch());
        }
        world.restart();
        world.now.0 += MINUTE;
        world.run();
        let made = (world.batches(EUR), world.batches(USD));
        assert_eq!(made, (vec![vec![1]], vec![vec![1]]), "crash {crash}");
        world.pass(30 * MINUTE);
        assert_eq!((world.batches(EUR).len(), world.batches(USD).len()), (1, 1));
    }
}

/// The batch of a time could not be made; then the engine was restarted. The trouble was gone from
/// `status`, and the batch too.
#[test]
fn what_could_not_be_done_is_a_trouble_and_is_tried_again_after_a_restart_too() {
    let mut world = World::new(vec![entry(EUR, "0 * * * *"), entry(USD, "0 * * * *")]);
    world.stuck.insert(USD);
    world.credit(EUR, 5);
    world.credit(USD, 7);
    world.pass(HOUR);
    assert_eq!((world.batches(EUR).len(), world.batches(USD).len()), (1, 0));
    assert!(world.trouble(1).contains("no account"), "{}", world.trouble(1));
    world.restart();
    world.pass(5 * MINUTE);
    assert!(world.trouble(1).contains("no account"), "{}", world.trouble(1));
    world.stuck.clear();
    world.pass(2 * MINUTE);
    assert_eq!((world.batches(USD), world.trouble(1)), (vec![vec![1]], String::new()));
}

#[test]
fn windows_that_are_closed_after_a_time_are_the_next_times_also_over_a_restart() {
    let mut world = World::new(vec![entry(EUR, "0 * * * *")]);
    world.run();
    world.credit(EUR, 5);
    world.pass(HOUR);
    for _ in 0..3 {
        world.credit(EUR, 5);
        world.pass(MINUTE);
        world.close_by_hand();
        world.restart();
        world.run();
    }
    assert_eq!(world.batches(EUR), [[1]]);
    world.credit(EUR, 5);
    world.pass(HOUR);
    assert_eq!(world.batches(EUR), [vec![1], vec![2, 3, 4, 5]]);
}

/// A window that was closed because it held too much, and whose batch could not be made, was
/// forgotten over a restart: no time in the schedule led back to it.
#[test]
fn the_batch_of_a_threshold_is_not_forgotten_over_a_restart() {
    for sealed in [true, false] {
        let mut over = entry(EUR, "");
        over.gross_over = Some(Total(100));
        let mut world = World::new(vec![over]);
        world.stuck.insert(EUR);
        world.credit(EUR, 101);
        world.turn(usize::MAX);
        if sealed {
            world.seal();
            assert!(world.batch());
        }
        world.restart();
        world.credit(EUR, 1);
        world.run();
        world.seal();
        world.pass(MINUTE);
        assert!(world.trouble(0).contains("no account"), "{}", world.trouble(0));
        world.stuck.clear();
        world.pass(2 * MINUTE);
        assert_eq!(world.batches(EUR), [[1]]);
        world.restart();
        world.pass(MINUTE);
        assert_eq!(world.batches(EUR), [[1]]);
    }
}

/// One payee without an account kept the batch of a window from being made; from then on the open
/// window grew and grew, and was closed no more.
#[test]
fn a_threshold_goes_on_closing_while_no_batch_can_be_made() {
    let mut over = entry(EUR, "");
    over.gross_over = Some(Total(100));
    let mut world = World::new(vec![over]);
    world.stuck.insert(EUR);
    for window in 2..9 {
        world.credit(EUR, 101);
        world.now.0 += SECOND;
        world.run();
        assert_eq!(world.control.open_window().number, WindowNumber(window));
        assert!(world.trouble(0).contains("no account"), "{}", world.trouble(0));
    }
    world.stuck.clear();
    world.pass(2 * MINUTE);
    assert_eq!(world.batches(EUR), [[1, 2, 3, 4, 5, 6, 7]]);
    assert_eq!(world.trouble(0), "");
}

#[test]
fn exposure_that_closing_does_not_lower_does_not_close_window_after_window() {
    let mut over = entry(EUR, "");
    over.exposure_over = Some(Total(50));
    let mut world = World::new(vec![over]);
    world.credit(EUR, 60);
    world.run();
    world.credit(EUR, 70);
    world.now.0 += SECOND;
    world.run();
    assert_eq!(world.control.open_window().number, WindowNumber(2));
    world.now.0 += MINUTE;
    world.run();
    assert_eq!(world.control.open_window().number, WindowNumber(3));
    // What is exactly at the bound is not over it.
    world.credit(EUR, 50);
    world.pass(5 * MINUTE);
    assert_eq!(world.control.open_window().number, WindowNumber(3));
}

/// A batch takes up to so many windows. What was more than that stayed closed, for ever, and
/// silently.
#[test]
fn more_windows_than_one_batch_takes_become_as_many_batches_as_it_takes() {
    let mut world = World::new(vec![entry(EUR, "0 17 * * *")]);
    let windows = 2 * BATCH_WINDOWS_MAX + 57;
    for _ in 0..windows {
        world.credit(EUR, 1);
        world.now.0 += SECOND;
        world.close_by_hand();
    }
    // None in the middle of a part has anything to settle, nor has a whole part.
    world.idle.extend((1..=BATCH_WINDOWS_MAX).map(|n| WindowNumber(n.try_into().unwrap())));
    world.now = Timestamp(START.0 + 7 * HOUR);
    world.turn(usize::MAX);
    assert!(world.batch());
    assert!(world.trouble(0).contains("801 more closed windows"), "{}", world.trouble(0));
    world.restart();
    assert!(world.batches(EUR).is_empty());
    world.run();
    let counts: Vec<usize> = world.batches(EUR).iter().map(Vec::len).collect();
    assert_eq!(counts, [BATCH_WINDOWS_MAX, 57]);
    assert_eq!(world.trouble(0), "");
    world.pass(HOUR);
    assert_eq!(world.batches(EUR).len(), 2);
}

#[test]
fn a_crash_between_two_parts_goes_on_with_the_next() {
    let mut world = World::new(vec![entry(EUR, "0 17 * * *")]);
    for _ in 0..2 * BATCH_WINDOWS_MAX {
        world.credit(EUR, 1);
        world.close_by_hand();
    }
    world.now = Timestamp(START.0 + 7 * HOUR);
    world.turn(usize::MAX);
    assert!(world.batch());
    world.restart();
    world.run();
    assert_eq!(world.batches(EUR).len(), 2);
}

/// The clock was two hours ahead when the engine started, and was put right. Every window was then
/// closed later than now, as its record said, so every time seemed to be done: nothing closed for
/// two hours.
#[test]
fn a_clock_that_was_ahead_and_is_put_right_stops_nothing() {
    for restarted in [false, true] {
        let mut world = World::new(vec![entry(EUR, "* * * * *")]);
        world.now.0 += 2 * HOUR;
        for _ in 0..5 {
            world.credit(EUR, 1);
            world.pass(MINUTE);
        }
        let closed = world.control.windows().len();
        assert!(closed >= 6, "{closed}");
        world.stuck.insert(EUR);
        world.credit(EUR, 1);
        world.pass(MINUTE);
        assert!(!world.trouble(0).is_empty());
        world.stuck.clear();
        // The wall clock is right now; that of the records goes on from where it was.
        world.now.0 -= 2 * HOUR;
        world.ahead += 2 * HOUR;
        if restarted {
            world.restart();
        }
        for minute in 1..180 {
            // At half speed, until the wall clock has caught up.
            world.ahead = (world.ahead - MINUTE / 2).max(0);
            let before = world.control.open_window().number;
            world.credit(EUR, 1);
            world.pass(MINUTE);
            let open = world.control.open_window().number;
            assert!(open > before, "nothing closed in minute {minute}, restarted {restarted}");
            let waits = world.control.unbatched(EUR).count();
            assert!(waits == 0 || minute < 3, "{waits} windows wait in minute {minute}");
        }
    }
}

#[test]
fn a_clock_that_is_put_back_a_little_runs_nothing_twice() {
    let mut world = World::new(vec![entry(EUR, "0 17 * * *")]);
    world.credit(EUR, 1);
    world.run();
    world.credit(EUR, 1);
    world.now = Timestamp(START.0 + 7 * HOUR);
    world.run();
    assert_eq!(world.batches(EUR), [[1], [2]]);
    world.credit(EUR, 1);
    world.now.0 -= SECOND;
    world.ahead = SECOND;
    world.run();
    world.now.0 += 2 * SECOND;
    world.run();
    assert_eq!(world.batches(EUR), [[1], [2]]);
}

#[test]
fn what_a_person_aborted_is_batched_again_with_the_next_time_and_not_before() {
    for restarted in [false, true] {
        let mut world = World::new(vec![entry(EUR, "0 * * * *")]);
        world.credit(EUR, 5);
        world.pass(HOUR + MINUTE);
        let batch = world.control.batches()[0].head.id;
        world.abort(batch);
        if restarted {
            world.restart();
        }
        world.pass(HOUR - 2 * MINUTE);
        assert!(world.batches(EUR).is_empty(), "restarted {restarted}");
        world.credit(EUR, 5);
        world.pass(MINUTE);
        assert_eq!(world.batches(EUR), [[1, 2]]);
        // So is a window that was disputed.
        world.credit(EUR, 5);
        world.close_by_hand();
        world.dispute(WindowNumber(3), true);
        world.pass(HOUR);
        world.dispute(WindowNumber(3), false);
        if restarted {
            world.restart();
        }
        world.pass(HOUR - MINUTE);
        assert_eq!(world.batches(EUR), [[1, 2]], "restarted {restarted}");
        world.pass(MINUTE);
        assert_eq!(world.batches(EUR), [vec![1, 2], vec![3]]);
    }
}

fn small(asset: AssetNumber, close: &str, below: u128, per_day: u128) -> ScheduleEntry {
    let mut entry = entry(asset, close);
    entry.approve_below = Some(Total(below));
    entry.approve_below_per_day = Some(Total(per_day));
    entry
}

/// Pays so much in each of so many minutes; gives what the schedule has approved of it by then.
fn approved(world: &mut World, minutes: u32, amount: u128) -> u128 {
    for _ in 0..minutes {
        world.credit(EUR, amount);
        world.pass(MINUTE);
    }
    let all = world.control.batches().into_iter();
    all.filter(|batch| batch.approved.is_some()).map(|batch| batch.head.size().0).sum()
}

/// `approve_below` looks at one batch. With a threshold of its own making, a stolen key had the
/// schedule pay out batch after batch, as far as its limit went, and nobody looked.
#[test]
fn what_the_schedule_approves_in_a_day_stays_below_its_bound_also_over_restarts() {
    let mut world = World::new(vec![small(EUR, "* * * * *", 6, 21)]);
    assert_eq!(approved(&mut world, 3, 5), 15);
    assert_eq!(world.trouble(0), "");
    world.restart();
    assert_eq!(approved(&mut world, 2, 5), 20);
    world.restart();
    assert_eq!(approved(&mut world, 10, 5), 20);
    assert!(world.trouble(0).contains("11 batches"), "{}", world.trouble(0));
    assert!(world.trouble(0).contains("approve_below_per_day"), "{}", world.trouble(0));
    let standing = world.diary.standing((0, &world.entries[0]), &world.control, world.now);
    assert_eq!(standing.approved_today, Total(20));
    // The next day has a sum of its own, and what waits from the day before is a person's.
    world.now = Timestamp((START.day() + 1) * DAY + HOUR);
    assert_eq!(approved(&mut world, 1, 5), 25);
    world.restart();
    assert_eq!(approved(&mut world, 20, 5), 40);
}

#[test]
fn a_batch_that_a_crash_left_unapproved_is_approved_on_the_same_day() {
    let mut world = World::new(vec![small(EUR, "* * * * *", 6, 21)]);
    world.credit(EUR, 5);
    world.turn(usize::MAX);
    world.seal();
    assert!(world.batch());
    world.restart();
    assert_eq!(approved(&mut world, 1, 0), 5);
}

#[test]
fn a_clock_that_is_put_right_gives_the_schedule_no_second_day() {
    let mut world = World::new(vec![small(EUR, "* * * * *", 6, 21)]);
    world.now.0 += DAY;
    assert_eq!(approved(&mut world, 10, 5), 20);
    world.now.0 -= DAY;
    world.ahead = DAY;
    assert_eq!(approved(&mut world, 10, 5), 20);
}

#[test]
fn what_an_operator_makes_or_approves_is_not_counted_and_not_touched() {
    let mut world = World::new(vec![small(EUR, "0 17 * * *", 6, 21)]);
    world.credit(EUR, 5);
    world.close_by_hand();
    let request = super::super::own("by hand");
    world.create(&request, &[WindowNumber(1)], EUR).unwrap();
    // As if an operator had made it: `create` names the schedule, so another asset stands for it
    // here.
    world.entries[0].asset = USD;
    assert_eq!(approved(&mut world, 1, 0), 0);
    let batch = world.control.batches()[0].head.id;
    world.asked("approved by hand", Wish::ApproveBatch { batch, signed: None });
    assert_eq!(world.control.approved_by_schedule(EUR, world.now), Total::ZERO);
    assert_eq!(world.control.unapproved().count(), 0);
}

#[test]
fn each_step_of_each_cause_has_a_request_of_its_own() {
    let entry = entry(EUR, "0 * * * *");
    let causes =
        [Cause::Due(START), Cause::Due(Timestamp(START.0 + HOUR)), Cause::Over(WindowNumber(4))];
    let ids: BTreeSet<String> = causes
        .into_iter()
        .flat_map(|cause| ["close", "batch", "batch/1"].map(|step| entry.step(cause, step)))
        .chain(causes.map(|cause| entry.close_request(cause, WindowNumber(9)).id))
        .collect();
    assert_eq!(ids.len(), 11, "{ids:?}");
    assert!(ids.iter().all(|id| id.starts_with(super::super::SCHEDULE_PREFIX)));
}

#[derive(Debug, Clone)]
enum Act {
    Credit(bool, u8),
    Pass(u16),
    CloseByHand,
    Crash,
    CrashInTurn(u8),
    Stuck(bool),
    ClockAhead(u16),
    ClockRight,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (any::<bool>(), 1u8..200).prop_map(|(eur, sum)| Act::Credit(eur, sum)),
        4 => (1u16..200).prop_map(Act::Pass),
        1 => Just(Act::CloseByHand),
        2 => Just(Act::Crash),
        2 => (0u8..4).prop_map(Act::CrashInTurn),
        1 => any::<bool>().prop_map(Act::Stuck),
        1 => (1u16..300).prop_map(Act::ClockAhead),
        1 => Just(Act::ClockRight),
    ]
}

proptest! {
    /// Whatever crashes, fails, or is set to a wrong time: within two times of its schedule every
    /// asset has every closed window in one batch, and none in two.
    #[test]
    fn nothing_is_forgotten_whatever_crashes_and_whatever_the_clock_says(
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let mut over = entry(USD, "*/20 * * * *");
        over.gross_over = Some(Total(150));
        let mut world = World::new(vec![entry(EUR, "*/20 * * * *"), over]);
        for act in acts {
            match act {
                Act::Credit(eur, sum) => world.credit(if eur { EUR } else { USD }, sum.into()),
                Act::Pass(minutes) => world.pass(i64::from(minutes) * MINUTE / 10),
                Act::CloseByHand => world.close_by_hand(),
                Act::Crash => world.restart(),
                Act::CrashInTurn(steps) => {
                    world.turn(usize::from(steps > 0));
                    for _ in 1..steps {
                        world.seal();
                        world.batch();
                    }
                    world.restart();
                    world.seal();
                }
                Act::Stuck(usd) => {
                    world.stuck = BTreeSet::from([if usd { USD } else { EUR }]);
                }
                Act::ClockAhead(minutes) => world.now.0 += i64::from(minutes) * MINUTE,
                Act::ClockRight => {
                    let back = 100 * MINUTE;
                    world.now.0 -= back;
                    world.ahead += back;
                }
            }
        }
        world.stuck.clear();
        world.credit(EUR, 1);
        world.credit(USD, 1);
        world.pass(41 * MINUTE);
        for asset in [EUR, USD] {
            let waits = world.control.unbatched(asset);
            let waits: Vec<u64> = waits.map(|(window, _)| window.0).collect();
            prop_assert!(waits.is_empty(), "{asset}: {waits:?}");
            let mut all: Vec<u64> = world.batches(asset).concat();
            let owed = world.closed.iter().filter(|(_, sums)| sums.contains_key(&asset));
            let owed: Vec<u64> = owed.map(|(window, _)| window.0).collect();
            all.sort_unstable();
            prop_assert_eq!(all, owed);
        }
        prop_assert_eq!(world.trouble(0) + &world.trouble(1), "");
        prop_assert!(world.open.values().all(|sum| *sum == 0), "what was credited is closed");
    }
}
