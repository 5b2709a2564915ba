//! Movements over several answers: whatever files they come in, in whatever order, told once or
//! again, a leg is paid as long as its money went more often than it came back.

use super::*;
use crate::leg::Mover;
use crate::limits::BOOKINGS_MAX;
use crate::movements::Tally;

/// What is journaled of a leg.
enum Record<'a> {
    Held(&'a (Way, String)),
    Move(&'a Step),
}

/// A leg, as answers change it.
#[derive(Clone)]
struct Heard {
    state: At,
    went: Movements,
    came: Movements,
    /// What a person must look at, of all answers.
    troubles: usize,
}

impl Heard {
    fn new(state: At) -> Self {
        Self { state, went: Movements::None, came: Movements::None, troubles: 0 }
    }

    fn hold(&mut self, way: Way, reference: &str) {
        match way {
            Way::Went => self.went.hold(reference),
            Way::Came => self.came.hold(reference),
        }
    }

    fn weigh(&self, said: &[Statement]) -> Verdict {
        let Self { went, came, .. } = self;
        weigh(&Subject { went, came, ..subject(self.state) }, said)
    }

    /// Takes an answer in, as whoever journals what it leads to does.
    fn hear(&mut self, said: &[Statement]) -> Verdict {
        let verdict = self.weigh(said);
        let weights = verdict.findings.iter().map(|finding| finding.weight(self.state));
        self.troubles += weights.filter(|weight| *weight != Weight::Remark).count();
        self.journal(&verdict, usize::MAX);
        verdict
    }

    /// Journals the first of the records that follow; whether that was not all of them.
    fn journal(&mut self, verdict: &Verdict, records: usize) -> bool {
        let held = verdict.held.iter().map(Record::Held);
        let (first, then) =
            if verdict.holds_first() { (Some(held), None) } else { (None, Some(held)) };
        let all = first.into_iter().flatten().chain(verdict.to.iter().map(Record::Move));
        let all: Vec<Record<'_>> = all.chain(then.into_iter().flatten()).collect();
        for record in all.iter().take(records) {
            match record {
                Record::Held((way, reference)) => {
                    assert!(self.state.has_ended(), "of what is open nothing is held");
                    self.hold(*way, reference);
                }
                Record::Move(step) => {
                    let mover = if step.is_booked { Mover::Books } else { Mover::Rail };
                    assert!(self.state.may_move(step.to, mover), "{:?} {step:?}", self.state);
                    self.state = step.to;
                    if let Some(way) = step.to.booked().filter(|_| step.is_booked) {
                        self.hold(way, &step.reference);
                    }
                    let (went, came) = (self.went.tally(), self.came.tally());
                    let is_back = step.to != At::Returned || went.is_back(came.count());
                    assert!(is_back, "{went:?} {came:?}");
                }
            }
        }
        records < all.len()
    }

    /// The same, and once more: nobody learns anything by that.
    fn hear_twice(&mut self, said: &[Statement]) {
        let verdict = self.hear(said);
        let again = self.hear(said);
        assert_eq!(again, Verdict::default(), "told again: {said:#?} after {verdict:?}");
    }
}

/// Every way to put these into files, one after the other, some of them together.
fn splits(said: &[Statement]) -> Vec<Vec<&[Statement]>> {
    let cuts = 1u32 << (said.len() - 1);
    let split = |mask: u32| {
        let (mut files, mut first) = (Vec::new(), 0);
        for end in 1..=said.len() {
            if end == said.len() || mask & (1 << (end - 1)) != 0 {
                files.push(&said[first..end]);
                first = end;
            }
        }
        files
    };
    (0..cuts).map(split).collect()
}

/// Every order of these, in every split into files.
fn each_way(mut said: Vec<Statement>, visit: &mut dyn FnMut(&[&[Statement]])) {
    orders(&mut said, 0, &mut |said| splits(said).iter().for_each(|files| visit(files)));
}

fn count(files: &[&[Statement]]) -> (usize, usize) {
    let all = || files.iter().flat_map(|file| file.iter());
    let of = |word| all().filter(|one| one.word == word).count();
    (of(Confirmed), of(Returned))
}

/// A leg was paid under A. A later file showed B, a second payment of the same; the operator asked
/// the bank for it back. A third file showed the return R, and the leg was owed again, although the
/// payee still had one payment: the next batch would have paid once more.
#[test]
fn the_return_of_a_second_payment_that_a_third_file_tells_leaves_the_first_paid() {
    let mut leg = Heard::new(At::Sent);
    leg.hear_twice(&[money(Confirmed, "A")]);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, 0));
    leg.hear_twice(&[money(Confirmed, "B")]);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, 1));
    let back = leg.hear(&[money(Returned, "R")]);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, 1));
    let text = back.findings[0].text("KEY", At::Confirmed, AMOUNT, 2);
    assert!(text.contains("went 2 times and came back 1 times"), "{text}");
    leg.hear_twice(&[money(Returned, "R")]);
    // The first one comes back, too.
    leg.hear_twice(&[money(Returned, "S")]);
    assert_eq!((leg.state, leg.troubles), (At::Returned, 1));
}

#[test]
fn it_is_owed_again_if_and_only_if_after_some_answer_it_had_come_back_as_often_as_it_went() {
    let all = [
        money(Confirmed, "A"),
        money(Confirmed, "B"),
        money(Confirmed, "C"),
        money(Returned, "R"),
        money(Returned, "S"),
    ];
    let mut checked = 0;
    for mask in 1u32..1 << all.len() {
        let picked = (0..all.len()).filter(|at| mask & (1 << at) != 0);
        let said: Vec<Statement> = picked.map(|at| all[at].clone()).collect();
        for start in [At::Sent, At::Accepted, At::Unknown, At::Confirmed] {
            each_way(said.clone(), &mut |files| {
                let mut leg = Heard::new(start);
                let mut owed = false;
                for at in 0..files.len() {
                    leg.hear_twice(files[at]);
                    let (goings, returns) = count(&files[..=at]);
                    // What came back must have gone; and what is owed again stays so.
                    owed |= returns >= goings.max(1);
                    assert_eq!(leg.state.is_owed_again(), owed, "{start:?} {files:#?}");
                    // Money that is out beside what is owed again, or beside the first, is told.
                    let is_out = goings > returns && owed || goings > 1;
                    assert!(leg.troubles > 0 || !is_out, "{start:?} {files:#?}");
                }
                let (goings, returns) = count(files);
                let held = [&leg.went, &leg.came].map(|held| held.tally().count());
                assert_eq!(held, [goings, returns], "{files:#?}");
                checked += 1;
            });
        }
    }
    assert!(checked > 5_000, "{checked}");
}

/// The engine stops between any two of the records to which an answer leads; at the next start it
/// takes the whole answer in again.
#[test]
fn an_answer_of_which_some_records_were_made_leads_to_the_same_when_it_is_taken_in_again() {
    let all = [
        money(Confirmed, "A"),
        money(Confirmed, "B"),
        money(Returned, "R"),
        money(Returned, "S"),
        money(Confirmed, ""),
    ];
    let mut checked = 0;
    for mask in 1u32..1 << all.len() {
        let picked = (0..all.len()).filter(|at| mask & (1 << at) != 0);
        let said: Vec<Statement> = picked.map(|at| all[at].clone()).collect();
        each_way(said, &mut |files| {
            let mut leg = Heard::new(At::Sent);
            for file in files {
                let mut whole = leg.clone();
                whole.hear(file);
                for records in 0.. {
                    let mut cut = leg.clone();
                    let more = cut.journal(&cut.weigh(file), records);
                    cut.hear_twice(file);
                    let held = |leg: &Heard| [leg.went.tally(), leg.came.tally()].map(Tally::count);
                    assert_eq!((cut.state, held(&cut)), (whole.state, held(&whole)), "{files:#?}");
                    checked += 1;
                    if !more {
                        break;
                    }
                }
                leg = whole;
            }
        });
    }
    assert!(checked > 5_000, "{checked}");
}

/// The order in which it matters what was known: a return that comes first can be of nothing but
/// the leg. What is paid after that is a trouble.
#[test]
fn every_order_of_two_payments_and_a_return_over_one_two_and_three_files() {
    let (a, b, r) = (money(Confirmed, "A"), money(Confirmed, "B"), money(Returned, "R"));
    let paid = |files: &[&[Statement]]| {
        let mut known = (0..files.len()).map(|at| count(&files[..=at]));
        !known.any(|(goings, returns)| returns > 0 && returns >= goings)
    };
    let (mut stays, mut all) = (0, 0);
    each_way(vec![a, b, r], &mut |files| {
        let mut leg = Heard::new(At::Sent);
        files.iter().for_each(|file| leg.hear_twice(file));
        let wanted = if paid(files) { [At::Confirmed; 2] } else { [At::Rejected, At::Returned] };
        assert!(wanted.contains(&leg.state), "{:?}: {files:#?}", leg.state);
        assert_eq!(leg.troubles, 1, "the second payment, once: {files:#?}");
        (stays, all) = (stays + usize::from(paid(files)), all + 1);
    });
    assert_eq!((stays, all), (14, 24));
}

/// What a bank gives no reference may be told again, and what it gives one later is the same. But
/// two without one in one file are two, and two names are two.
#[test]
fn a_movement_without_a_reference_is_counted_as_often_as_it_must_be() {
    let apart = |word, apart| Statement { apart, ..money(word, "") };
    let mut leg = Heard::new(At::Sent);
    leg.hear_twice(&[apart(Confirmed, 1)]);
    leg.hear_twice(&[money(Confirmed, "A")]);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, 0));
    leg.hear_twice(&[money(Confirmed, "B")]);
    assert_eq!(leg.troubles, 1, "once it was taken for the one without a reference, too");
    leg.hear_twice(&[money(Returned, "R")]);
    assert_eq!(leg.state, At::Confirmed);
    let mut leg = Heard::new(At::Sent);
    leg.hear_twice(&[apart(Confirmed, 1), money(Confirmed, "A")]);
    leg.hear_twice(&[apart(Returned, 3)]);
    leg.hear_twice(&[apart(Returned, 9)]);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, 1), "it may be the same return");
    leg.hear_twice(&[apart(Returned, 1), apart(Returned, 2)]);
    assert_eq!(leg.state, At::Returned);
    // An entry of two transactions has one reference.
    let sum = |apart| Statement { apart, ..money(Confirmed, "SUM") };
    let mut leg = Heard::new(At::Sent);
    leg.hear_twice(&[sum(1), sum(2)]);
    leg.hear_twice(&[sum(7)]);
    leg.hear_twice(&[money(Returned, "R")]);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, 1));
}

/// Beyond what is counted nothing moves, and a person is told of each.
#[test]
fn what_is_beyond_the_bound_moves_nothing_and_is_a_trouble() {
    let names: Vec<String> = (0..BOOKINGS_MAX + 3).map(|n| format!("A{n}")).collect();
    let mut leg = Heard::new(At::Sent);
    for (at, name) in names.iter().enumerate() {
        leg.hear(&[money(Confirmed, name)]);
        assert_eq!(leg.troubles, at, "each but the first");
    }
    assert_eq!(leg.went.tally().held(), BOOKINGS_MAX);
    for (at, name) in names.iter().enumerate() {
        leg.hear(&[money(Returned, name)]);
        assert_eq!(leg.state, At::Confirmed, "nobody knows how often it went");
        assert_eq!(leg.troubles, names.len() + at);
    }
    assert_eq!(leg.came.tally().held(), BOOKINGS_MAX);
    // All at once: the same.
    let all: Vec<Statement> = names.iter().map(|name| money(Confirmed, name)).collect();
    let mut leg = Heard::new(At::Sent);
    leg.hear(&all);
    assert_eq!((leg.state, leg.troubles), (At::Confirmed, names.len() - 1));
    assert_eq!(leg.went.tally().held(), BOOKINGS_MAX);
    leg.hear(&names.iter().map(|name| money(Returned, name)).collect::<Vec<_>>());
    assert_eq!(leg.state, At::Confirmed);
}

/// One fewer than the bound is counted to the last.
#[test]
fn as_many_as_are_counted_come_back_to_the_last() {
    let names: Vec<String> = (1..BOOKINGS_MAX).map(|n| format!("A{n}")).collect();
    let mut leg = Heard::new(At::Sent);
    names.iter().for_each(|name| leg.hear_twice(&[money(Confirmed, name)]));
    for (at, name) in names.iter().enumerate() {
        let last = at + 1 == names.len();
        assert_eq!(leg.state, At::Confirmed, "{at}");
        leg.hear_twice(&[money(Returned, name)]);
        assert_eq!(leg.state, if last { At::Returned } else { At::Confirmed }, "{at}");
    }
}
