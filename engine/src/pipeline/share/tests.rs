//! Fair shares, counted: nothing here measures time.

use super::*;
use crate::limits::FRAME_VOUCHERS_MAX;
use proptest::prelude::*;

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
    (0..chunks).map_while(|_| shares.next()).map(|(item, _)| item).collect()
}

/// One client with a full queue took every other one's latency from 2 ms to 538 ms: its 266,240 vouchers
/// were checked first.
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
    let (small, large) = (shares.join(Source::Here(1)).0, shares.join(Source::Here(2)).0);
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
    assert_eq!(shares.chunks(), 1 + 1 + 2 + 4 + 1);
    let chunks: Vec<_> = std::iter::from_fn(|| shares.next()).collect();
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
        assert!(shares.release(comer, one_frame(1), 0).is_empty());
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
        admitted.extend(shares.release(line, one_frame(1), 0).into_iter().map(|one| one.waiter));
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

#[test]
fn a_source_most_of_whose_vouchers_are_refused_is_slowed_and_recovers() {
    let mut shares = shares(Bounds { all: Load { vouchers: 1 << 20, frames: 1_000 }, ..BOUNDS });
    let now = Instant::now();
    let (line, _) = shares.join(Source::Here(1));
    let (other, _) = shares.join(Source::Here(2));
    let answer = |shares: &mut Numbers, vouchers: usize, refused: u32| {
        assert!(shares.admit(line, one_frame(vouchers)));
        shares.release(line, one_frame(vouchers), refused);
    };
    answer(&mut shares, 4_096, 2_048);
    assert_eq!(shares.when(line, 4_096, now, None), Some(now), "half of them is not most");
    answer(&mut shares, 4_096, 4_096);
    // The first at once, each further one when the ones before have had their time.
    assert_eq!(shares.when(line, 4_096, now, None), Some(now));
    let each = Duration::from_secs(1) * 4_096 / REFUSED_PER_SECOND;
    assert_eq!(shares.when(line, 4_096, now, None), Some(now + each));
    assert_eq!(shares.when(line, 4_096, now, Some(each)), None, "who cannot wait is told");
    assert_eq!(shares.when(line, 4_096, now, None), Some(now + 2 * each), "and takes no time");
    assert_eq!(shares.when(other, 4_096, now, None), Some(now), "nobody else is slowed");
    (0..4).for_each(|_| answer(&mut shares, 4_096, 0));
    assert_eq!(shares.when(line, 4_096, now, None), Some(now));
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
        for Admitted { line, load, waiter } in shares.release(line, load, 0) {
            self.waiting.retain(|other| *other != waiter);
            self.came_in(shares, line, load);
        }
    }
}

proptest! {
    /// Whatever sources do, the bounds hold, nothing is lost, everybody who waits comes in once the others
    /// are done, and nothing is kept of a source that is gone.
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
                Step::Next => run.queued -= usize::from(shares.next().is_some()),
                Step::Leave(_) | Step::Ask(..) | Step::Done(_) => {}
            }
            let held = run.under_way.iter().fold(Load::default(), |sum, (_, load)| sum.plus(*load));
            prop_assert_eq!(shares.held(), held);
            prop_assert!(held.fits(BOUNDS.all));
            prop_assert_eq!(shares.chunks(), run.queued);
            let starving = shares.lines.iter().filter(|line| line.starves()).count();
            prop_assert_eq!(shares.starving, starving);
        }
        while !run.under_way.is_empty() {
            run.done(&mut shares, 0);
        }
        prop_assert_eq!(&run.waiting, &Vec::<u32>::new());
        while shares.next().is_some() {}
        run.callers.into_iter().for_each(|caller| shares.leave(caller));
        prop_assert_eq!(shares.sources(), 0);
    }
}
