//! Fair shares, counted: nothing here measures time.

use super::*;
use crate::limits::{
    FRAME_VOUCHERS_MAX, JUDGED_VOUCHERS, NEW_SOURCE_FRAMES, NEW_SOURCE_VOUCHERS, VAIN_FRAME,
    VAIN_PART, VAIN_SIGNATURE, VAIN_VOUCHER,
};
use proptest::prelude::*;
use std::time::Duration;

/// Frames and waiters are numbers.
type Numbers = Shares<u32, u32>;

const BOUNDS: Bounds = Bounds {
    all: Load { vouchers: 1_000, frames: 100 },
    source: Load { vouchers: 400, frames: 40 },
};

fn shares(bounds: Bounds) -> Numbers {
    Shares::new(bounds, |_| false)
}

fn one_frame(vouchers: usize) -> Load {
    Load { vouchers, frames: 1 }
}

/// Whose chunks come next, that many of them.
fn next(shares: &mut Numbers, chunks: usize) -> Vec<u32> {
    (0..chunks).map_while(|_| shares.next(true)).map(|next| next.item).collect()
}

/// All chunks that wait.
fn chunks(shares: &Numbers) -> usize {
    shares.chunks(true)
}

/// A frame of so many vouchers comes in and is answered: so many were credited, all were checked.
fn answer(shares: &mut Numbers, line: LineIndex, vouchers: usize, credited: u32) {
    assert!(shares.admit(line, one_frame(vouchers)));
    let vouchers_ = u32::try_from(vouchers).unwrap();
    let answered = Answered { vouchers: vouchers_, credited, checked: vouchers_ };
    shares.release(line, one_frame(vouchers), Some(answered));
}

/// A new source of which a full frame was credited.
fn trusted(shares: &mut Numbers, source: Source) -> LineIndex {
    let (line, _) = shares.join(source);
    let all = Answered { vouchers: JUDGED_VOUCHERS, credited: JUDGED_VOUCHERS, checked: 0 };
    shares.note(line, all);
    line
}

/// One client with a full queue took every other one's latency from 2 ms to 538 ms: its 266,240
/// vouchers were checked first.
#[test]
fn one_voucher_is_checked_before_another_sources_thousands() {
    let mut shares = shares(BOUNDS);
    let flood: Vec<LineIndex> = (0..50).map(|n| shares.join(Source::Connection(n)).0).collect();
    for line in &flood {
        (0..20).for_each(|_| shares.push(*line, 1, FRAME_VOUCHERS_MAX));
    }
    // In the middle of their turns.
    next(&mut shares, 777);
    let (honest, _) = shares.join(Source::Connection(99));
    for _ in 0..5 {
        shares.push(honest, 2, 1);
        assert_eq!(next(&mut shares, 1), [2]);
        // Once it was served it waits for the others' turns no longer than a round.
        next(&mut shares, 1_000);
    }
}

#[test]
fn who_comes_again_at_once_does_not_keep_the_others_from_their_turns() {
    let mut shares = shares(BOUNDS);
    let (small, large) = (shares.join(Source::Here(1)).0, trusted(&mut shares, Source::Here(2)));
    (0..4).for_each(|_| shares.push(large, 2, FRAME_VOUCHERS_MAX));
    let mut served = [0, 0];
    for _ in 0..200 {
        shares.push(small, 1, 1);
        next(&mut shares, 2).into_iter().for_each(|whose| served[whose as usize - 1] += 1);
    }
    assert_eq!(served[0] + served[1], 400);
    assert!(served[1] >= 200, "{served:?}");
}

#[test]
fn the_chunks_of_a_source_come_in_the_order_of_its_frames() {
    let mut shares = shares(BOUNDS);
    let (line, _) = shares.join(Source::Here(1));
    let sizes = [1, 64, 65, 200, 3];
    for (number, vouchers) in (0..).zip(sizes) {
        shares.push(line, number, vouchers);
    }
    assert_eq!(chunks(&shares), 1 + 1 + 2 + 4 + 1);
    let chunks = std::iter::from_fn(|| shares.next(true)).map(|next| (next.item, next.chunk));
    let chunks: Vec<_> = chunks.collect();
    let wanted = [(0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (3, 3), (4, 0)];
    assert_eq!(chunks, wanted);
}

#[test]
fn greedy_sources_leave_room_for_whoever_comes_next() {
    let all = Load { vouchers: 10_000, frames: 1_000 };
    let mut shares = shares(Bounds { all, source: Load { vouchers: 4_000, frames: 400 } });
    for n in 0..300 {
        let (line, _) = shares.join(Source::Connection(n));
        while shares.admit(line, one_frame(100)) {}
        shares.wait(line, one_frame(100), 0);
        let (comer, _) = shares.join(Source::Here(n));
        assert!(shares.admit(comer, one_frame(1)), "after {} greedy ones", n + 1);
        assert!(shares.release(comer, one_frame(1), None).is_empty());
        shares.leave(comer);
    }
    assert!(shares.held().vouchers > 9_000, "most of the room is used: {:?}", shares.held());
}

#[test]
fn one_source_alone_gets_all_that_one_may_have() {
    let mut shares = shares(Bounds { all: Load { vouchers: 8_000, frames: 800 }, ..BOUNDS });
    let (line, _) = shares.join(Source::Here(1));
    while shares.admit(line, one_frame(20)) {}
    assert_eq!(shares.held(), Load { vouchers: 400, frames: 20 });
}

/// A large frame of one who holds nothing was overtaken for ever by small ones of those who do.
#[test]
fn who_holds_nothing_comes_in_before_who_holds_something() {
    let mut shares = shares(BOUNDS);
    let lines: Vec<LineIndex> = (0..20).map(|n| shares.join(Source::Connection(n)).0).collect();
    for line in &lines {
        while shares.admit(*line, one_frame(1)) {}
        shares.wait(*line, one_frame(1), 1);
    }
    let (large, _) = shares.join(Source::Here(1));
    // Five vouchers more than there is room for, beside what is kept for small frames.
    let free = BOUNDS.all.vouchers - shares.held().vouchers - shares.kept().vouchers;
    assert!(!shares.admit(large, one_frame(free + 5)));
    shares.wait(large, one_frame(free + 5), 2);
    let mut admitted = Vec::new();
    for _ in 0..40 {
        let line = *lines.iter().find(|line| shares.lines[**line].held.frames > 0).unwrap();
        admitted.extend(shares.release(line, one_frame(1), None).into_iter().map(|one| one.waiter));
        if admitted.contains(&2) {
            assert_eq!(admitted.iter().position(|waiter| *waiter == 2), Some(admitted.len() - 1));
            return;
        }
    }
    panic!("it never came in: {admitted:?}");
}

#[test]
fn a_waiter_who_went_away_keeps_nobody_waiting() {
    let mut shares: Numbers = Shares::new(BOUNDS, |waiter| *waiter == 7);
    let (line, _) = shares.join(Source::Here(1));
    shares.wait(line, one_frame(5), 7);
    assert!(shares.admit(line, one_frame(5)));
}

const WIDE: Bounds = Bounds {
    all: Load { vouchers: 1 << 20, frames: 1 << 16 },
    source: Load { vouchers: 1 << 17, frames: 1 << 13 },
};

/// What a full frame of bad signatures costs.
fn full_frame() -> Duration {
    VAIN_FRAME + (VAIN_VOUCHER + VAIN_SIGNATURE) * JUDGED_VOUCHERS
}

#[test]
fn a_source_most_of_whose_vouchers_change_nothing_is_slowed_and_recovers() {
    let mut shares = shares(WIDE);
    let now = Instant::now();
    let (line, _) = shares.join(Source::Here(1));
    let (other, _) = shares.join(Source::Here(2));
    answer(&mut shares, line, 4_096, 2_048);
    assert_eq!(shares.when(line, now), now, "half of them is not most");
    answer(&mut shares, line, 4_096, 0);
    let each = full_frame() * VAIN_PART;
    assert_eq!(shares.when(line, now), now + each, "what was answered is paid for first");
    assert_eq!(shares.when(line, now), now + each, "asking takes no time");
    assert_eq!(shares.when(other, now), now, "nobody else is slowed");
    let then = now + each;
    assert_eq!(shares.when(line, then), then);
    assert_eq!(shares.when(line, then), then, "nothing was answered since");
    answer(&mut shares, line, 4_096, 0);
    assert_eq!(shares.when(line, then), then + each);
    (0..4).for_each(|_| answer(&mut shares, line, 4_096, 4_096));
    assert_eq!(shares.when(line, then), then, "most of them are credited");
}

/// Two connections had twice what one had, and a thousand all of it.
#[test]
fn all_who_are_slowed_share_one_part_of_the_time() {
    let mut shares = shares(WIDE);
    let lines: Vec<LineIndex> = (0..7).map(|n| shares.join(Source::Connection(n)).0).collect();
    for line in &lines {
        answer(&mut shares, *line, 4_096, 0);
    }
    let now = Instant::now();
    let mut spent = Duration::ZERO;
    let mut clock = lines.iter().map(|line| shares.when(*line, now)).min().unwrap();
    let end = now + Duration::from_mins(1);
    while clock < end {
        for line in &lines {
            if shares.when(*line, clock) == clock {
                answer(&mut shares, *line, 4_096, 0);
                spent += full_frame();
            }
        }
        clock += Duration::from_millis(1);
    }
    let part = Duration::from_mins(1) / VAIN_PART;
    assert!(spent > part * 9 / 10 && spent < part + full_frame() * 7, "{spent:?}");
    // When the others are gone, one has it all.
    lines[1..].iter().for_each(|line| shares.leave(*line));
    assert_eq!((shares.sources(), shares.slowed), (1, 1));
}

/// Frames of one voucher were never judged before 4,096 of them had been answered.
#[test]
fn small_frames_count_for_what_they_cost() {
    let mut shares = shares(WIDE);
    let (line, _) = shares.join(Source::Here(1));
    let frames = JUDGED_VOUCHERS / u32::from(CHUNK_COST_MIN);
    let now = Instant::now();
    (1..frames).for_each(|_| answer(&mut shares, line, 1, 0));
    assert_eq!(shares.when(line, now), now);
    answer(&mut shares, line, 1, 0);
    let last = VAIN_FRAME + VAIN_VOUCHER + VAIN_SIGNATURE;
    assert_eq!(shares.when(line, now), now + last * VAIN_PART);
    let (honest, _) = shares.join(Source::Here(2));
    for vouchers in [1, 3, 5, 7, 8, 9, 100] {
        let all = u32::try_from(vouchers).unwrap();
        (0..2 * frames).for_each(|_| answer(&mut shares, honest, vouchers, all));
        assert_eq!(shares.when(honest, now), now, "{vouchers}");
    }
}

/// What was under way of a flood before anything of it was answered, 65,536 vouchers a connection,
/// was a second of work.
#[test]
fn a_source_gets_room_as_it_is_credited() {
    let mut shares = shares(WIDE);
    let (line, _) = shares.join(Source::Here(1));
    let fill = |shares: &mut Numbers, vouchers: usize| {
        let frames = (0..).take_while(|_| shares.admit(line, one_frame(vouchers))).count();
        (0..frames).for_each(|_| drop(shares.release(line, one_frame(vouchers), None)));
        frames
    };
    assert_eq!(fill(&mut shares, 1_024), NEW_SOURCE_VOUCHERS / 1_024);
    assert_eq!(fill(&mut shares, 1), NEW_SOURCE_FRAMES);
    answer(&mut shares, line, 1_024, 1_024);
    assert!(fill(&mut shares, 1_024) > 4 * NEW_SOURCE_VOUCHERS / 1_024);
    answer(&mut shares, line, 4_096, 4_096);
    assert!(fill(&mut shares, 1_024) >= crate::limits::SOURCE_VOUCHERS_MAX / 1_024);
    (0..4).for_each(|_| answer(&mut shares, line, 4_096, 0));
    assert_eq!(fill(&mut shares, 1_024), NEW_SOURCE_VOUCHERS / 1_024, "and loses it");
    assert_eq!(fill(&mut shares, FRAME_VOUCHERS_MAX), 1, "one frame always fits");
}

/// Bad signatures kept all workers busy, so that a single voucher waited for one of them.
#[test]
fn large_frames_of_who_was_not_credited_wait_where_one_worker_takes_them() {
    let mut shares = shares(BOUNDS);
    let (flood, _) = shares.join(Source::Here(1));
    let bulk = trusted(&mut shares, Source::Here(2));
    shares.push(flood, 1, FRAME_VOUCHERS_MAX);
    assert_eq!((shares.chunks(false), shares.chunks(true)), (0, 64));
    assert!(shares.next(false).is_none(), "another worker has some of it");
    shares.push(bulk, 2, FRAME_VOUCHERS_MAX);
    assert_eq!((shares.chunks(false), shares.chunks(true)), (64, 128));
    let order = next(&mut shares, 40);
    let doubted = order.iter().filter(|whose| **whose == 1).count();
    assert!((7..=8).contains(&doubted), "one in five: {order:?}");
    while shares.next(false).is_some() {}
    assert_eq!((shares.chunks(false), shares.chunks(true)), (0, 64 - doubted));
    // A single voucher is never among them, whoever sends it.
    let (new, _) = shares.join(Source::Here(3));
    shares.push(new, 3, 1);
    assert!(shares.next(false).is_some_and(|next| next.item == 3 && !next.doubted));
    assert!(shares.next(true).is_some_and(|next| next.item == 1 && next.doubted));
}

#[derive(Debug, Clone)]
enum Step {
    Join(u64),
    Leave(usize),
    Ask(usize, usize),
    Done(usize),
    Next,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0u64..12).prop_map(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        8 => (any::<usize>(), 1usize..300).prop_map(|(who, vouchers)| Step::Ask(who, vouchers)),
        6 => any::<usize>().prop_map(Step::Done),
        8 => Just(Step::Next),
    ];
    prop::collection::vec(step, 1..400)
}

/// What is under way, and who waits, in lists.
#[derive(Default)]
struct Run {
    callers: Vec<LineIndex>,
    under_way: Vec<(LineIndex, Load)>,
    waiting: Vec<u32>,
    queued: usize,
}

impl Run {
    fn came_in(&mut self, shares: &mut Numbers, line: LineIndex, load: Load) {
        self.under_way.push((line, load));
        self.queued += load.vouchers.div_ceil(VERIFY_CHUNK);
        shares.push(line, 0, load.vouchers);
    }

    fn done(&mut self, shares: &mut Numbers, place: usize) {
        let (line, load) = self.under_way.swap_remove(place);
        for Admitted { line, load, waiter } in shares.release(line, load, None) {
            self.waiting.retain(|other| *other != waiter);
            self.came_in(shares, line, load);
        }
    }
}

proptest! {
    /// Whatever sources do, the bounds hold, nothing is lost, everybody who waits comes in once the
    /// others are done, and nothing is kept of a source that is gone.
    #[test]
    fn bounds_hold_and_everybody_comes_in(steps in steps()) {
        let (mut shares, mut run, mut number) = (shares(BOUNDS), Run::default(), 0);
        for step in steps {
            match step {
                Step::Join(source) => run.callers.push(shares.join(Source::Connection(source)).0),
                Step::Leave(place) if !run.callers.is_empty() => {
                    let caller = run.callers[place % run.callers.len()];
                    // A caller goes away only when it waits for nothing.
                    if shares.lines[caller].waiting.is_empty() {
                        run.callers.swap_remove(place % run.callers.len());
                        shares.leave(caller);
                    }
                }
                Step::Ask(place, vouchers) if !run.callers.is_empty() => {
                    let (line, load) =
                        (run.callers[place % run.callers.len()], one_frame(vouchers));
                    if shares.admit(line, load) {
                        run.came_in(&mut shares, line, load);
                    } else {
                        shares.wait(line, load, number);
                        run.waiting.push(number);
                        number += 1;
                    }
                }
                Step::Done(place) if !run.under_way.is_empty() => {
                    let place = place % run.under_way.len();
                    run.done(&mut shares, place);
                }
                Step::Next => run.queued -= usize::from(shares.next(true).is_some()),
                Step::Leave(_) | Step::Ask(..) | Step::Done(_) => {}
            }
            let held = run.under_way.iter().fold(Load::default(), |sum, (_, load)| sum.plus(*load));
            prop_assert_eq!(shares.held(), held);
            prop_assert!(held.fits(BOUNDS.all));
            prop_assert_eq!(chunks(&shares), run.queued);
            let doubted = shares.lines.iter().filter(|line| line.listed == Listed::Doubted);
            prop_assert_eq!(shares.doubted_chunks, doubted.map(|line| line.chunks).sum::<usize>());
            let starving = shares.lines.iter().filter(|line| line.starves()).count();
            prop_assert_eq!(shares.starving, starving);
        }
        while !run.under_way.is_empty() {
            run.done(&mut shares, 0);
        }
        prop_assert_eq!(&run.waiting, &Vec::<u32>::new());
        while shares.next(true).is_some() {}
        prop_assert_eq!((shares.doubted_chunks, shares.chunks), (0, 0));
        run.callers.into_iter().for_each(|caller| shares.leave(caller));
        prop_assert_eq!(shares.sources(), 0);
    }
}
