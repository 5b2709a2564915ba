//! What leaves, line by line: the number of a submission, the attempt at it, its runs of legs (the
//! first and how many), and what comes of it, or why it does not fit.

use super::*;
use crate::event::LegRun;

/// A batch of three legs: leg 0 pays in 100, legs 1 and 2 pay out 60 and 40.
const SUBMISSIONS: &str = "
    # number attempt runs      | what comes of it
    # Numbers and attempts follow each other, from 0 on.
    1 0 0+1                    | submissions are numbered one after the other
    0 1 0+1                    | submissions are numbered one after the other
    # Runs are of legs that are there, hold something, and ascend.
    0 0                        | only READY legs are submitted
    0 0 3+1                    | there are no such legs, or they do not ascend
    0 0 2+2                    | there are no such legs, or they do not ascend
    0 0 4294967295+4294967295  | there are no such legs, or they do not ascend
    0 0 0+0                    | there are no such legs, or they do not ascend
    0 0 1+1 0+1                | there are no such legs, or they do not ascend
    0 0 0+2 1+1                | there are no such legs, or they do not ascend
    # What the clearing account pays must have come in, and nothing has.
    0 0 1+1                    | NotCovered
    0 0 0+1 2+1                | NotCovered
    0 0 0+1                    | left
    # A leg leaves once; another attempt is the next one, for the same legs.
    1 0 0+1                    | only READY legs are submitted
    0 0 0+1                    | attempts are numbered one after the other
    0 2 0+1                    | attempts are numbered one after the other
    0 1 1+1                    | another attempt is for the same legs
    0 1 0+1                    | left
    0 1 0+1                    | attempts are numbered one after the other
    0 2 0+1                    | left
    # In flight is not there yet.
    1 0 1+1                    | NotCovered
    confirmed 0
    0 3 0+1                    | its legs have ended
    # 100 are there, and are paid out once, however often it is tried.
    1 0 1+1                    | left
    1 1 1+1                    | left
    2 0 1+2                    | only READY legs are submitted
    2 0 2+1                    | left
    # As long as one of a submission's legs is under way, so is what was sent.
    confirmed 1
    1 2 1+1                    | its legs have ended
    2 1 2+1                    | left
    confirmed 2
    2 2 2+1                    | its legs have ended
    3 0 2+1                    | only READY legs are submitted
";

#[test]
fn each_leg_leaves_once_and_what_left_is_tried_again_until_it_has_ended() {
    let mut world = World::new(Rail::Iso20022);
    world.window = world.books.close(&[(b'A', b'B', 60), (b'A', b'C', 40)]);
    world.batch = world.create("ann", false).unwrap();
    world.plan = world.books.plan(world.batch);
    world.does("bob", "approve").unwrap();
    for row in lines(SUBMISSIONS) {
        let (asked, wanted) = row.split_once('|').unwrap_or((row, ""));
        let mut line = Line::new(asked);
        if row.starts_with("confirmed") {
            line.word();
            let wish = world.moves(Voice::Rail, line.read(), LegState::Confirmed);
            world.ask("engine", wish).unwrap();
            continue;
        }
        let Wish::SubmitLegs(submit) = world.submit(&[], None) else { unreachable!("it is one") };
        let (submission, attempt, rest) = (line.read(), line.read(), line.rest());
        let run = |word: &str| {
            let (first, count) = word.split_once('+').expect("first+count");
            LegRun { first: first.parse().unwrap(), count: count.parse().unwrap() }
        };
        let legs = rest.split_whitespace().map(run).collect();
        let before = world.stands();
        let wish = Wish::SubmitLegs(SubmitLegs { submission, attempt, legs, ..submit });
        let found = world.ask("engine", wish);
        assert_eq!(world.stands() == before, found.is_err(), "{row}");
        let found = match &found {
            Ok(event) => fact(event).to_owned(),
            Err(Refusal::Submission { why, .. }) => (*why).to_owned(),
            Err(refusal) => name(refusal),
        };
        assert_eq!(found, wanted.trim(), "{row}");
    }
}

/// The legs were chosen before a party was suspended: they are chosen anew. Another attempt pays
/// nothing that the first does not.
#[test]
fn what_was_chosen_before_a_suspension_does_not_leave() {
    let mut world = World::batch_at("APPROVED");
    let chosen = world.submit(&[0], None);
    world.suspend("C");
    let before = world.stands();
    assert_eq!(world.ask("engine", chosen), Err(Refusal::SuspensionsMoved));
    assert_eq!(world.stands(), before);
    world.does("engine", "submit-in").unwrap();
    let again = world.submit(&[0], Some(0));
    world.suspend("B");
    assert_eq!(world.ask("engine", again).map(|event| fact(&event)), Ok("left"));
}

/// The ledger trusted whoever chose the legs to have looked: a submission with the number that had
/// just become the next one left for a payee who had been suspended long before.
#[test]
fn nothing_leaves_for_a_payee_who_is_suspended_whoever_chose_it() {
    let mut world = World::batch_at("APPROVED");
    world.does("engine", "submit-in").unwrap();
    for party in ["A", "B", "C"] {
        world.suspend(party);
    }
    let before = world.stands();
    let chosen = world.submit(&[1], None);
    assert_eq!(world.ask("engine", chosen), Err(Refusal::SuspensionsMoved));
    assert_eq!(world.stands(), before);
}
