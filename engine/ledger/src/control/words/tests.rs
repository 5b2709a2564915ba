//! Operators' words, row by row: where the leg stands, what is said, and what becomes of it.

use super::*;
use crate::event::LegEvent;
use crate::fund::tests::Books;
use crate::limits::TEXT_BYTES_MAX;
use crate::types::{BatchId, Digest, PartyId, Total};
use crate::{Rail, Voice, Wish};

const WORDS: [LegWord; 4] =
    [LegWord::Accepted, LegWord::Confirmed, LegWord::Rejected, LegWord::Returned];

fn said(leg: u32, word: LegWord) -> SaidOfLeg {
    SaidOfLeg { leg, word, reference: "R".into(), reason: "by letter".into() }
}

fn report(books: &mut Books, batch: BatchId, words: Vec<SaidOfLeg>) -> Result<Event, Refusal> {
    let (content, evidence) = (books.legs(batch), Digest::ZERO);
    books.wish_by("ann", Wish::ReportLegs { content, evidence, words, signed: None })
}

fn resolve(
    books: &mut Books,
    batch: BatchId,
    operator: &str,
    (leg, word, evidence): (u32, LegWord, &str),
) -> Result<Event, Refusal> {
    let (content, reference) = (books.legs(batch), "R".to_owned());
    let evidence = evidence.to_owned();
    books.wish_by(
        operator,
        Wish::ResolveLeg { content, leg, word, reference, evidence, signed: None },
    )
}

/// An approved batch on a rail: leg 0 pays in 100, legs 1 and 2 pay out 60 and 40.
fn batch(books: &mut Books, rail: Rail) -> BatchId {
    let window = books.close(&[(1, 2, 60), (1, 3, 40)]);
    let batch = books.computed_on(window, rail);
    books.approve(batch).unwrap();
    batch
}

/// `returned`, said of a payment that nobody had confirmed, made it REJECTED without a word;
/// `confirmed`, said of one that was sent back, did nothing, without a word either.
#[test]
fn an_operators_word_moves_a_leg_to_what_it_says_or_says_what_is_known_or_is_refused() {
    for state in LegState::ALL {
        for said in WORDS {
            let to = match said {
                LegWord::Accepted => LegState::Accepted,
                LegWord::Confirmed => LegState::Confirmed,
                LegWord::Rejected => LegState::Rejected,
                LegWord::Returned => LegState::Returned,
            };
            match heard("K", state, said) {
                Ok(Some(moved)) => {
                    assert_eq!(moved, to, "{state:?} {said:?}");
                    assert!(state.may_move(to, Mover::Operator), "{state:?} {said:?}");
                    assert_eq!(heard("K", to, said).unwrap(), None, "twice is once");
                }
                // What is known is the word itself, or that it was taken on before it was paid.
                Ok(None) => assert!(
                    state == to || (state, said) == (LegState::Confirmed, LegWord::Accepted),
                    "{state:?} {said:?}"
                ),
                Err(refusal) => {
                    assert_ne!(state, to, "{said:?}");
                    let text = refusal.to_string();
                    assert!(text.contains(state.name()), "{text}");
                    assert!(text.contains("nothing was changed"), "{text}");
                }
            }
        }
    }
    let text = heard("K", LegState::Sent, LegWord::Returned).unwrap_err().to_string();
    assert!(text.contains("say rejected"), "{text}");
    let text = heard("K", LegState::Confirmed, LegWord::Rejected).unwrap_err().to_string();
    assert!(text.contains("say returned"), "{text}");
    assert!(heard("K", LegState::Returned, LegWord::Confirmed).is_err());
}

/// Of a charge that the engine still asks about, one operator's word was refused by the gRPC layer
/// alone: through any other door it was owed again, and could be charged as well.
#[test]
fn one_operators_word_moves_nothing_of_which_the_rail_is_still_asked() {
    for (rail, asked) in [(Rail::Card, true), (Rail::Iso20022, false)] {
        for word in [LegWord::Confirmed, LegWord::Rejected] {
            let mut books = Books::new();
            let batch = batch(&mut books, rail);
            books.submit(batch, &[0]).unwrap();
            let key = books.legs(batch).legs[0].key.clone();
            let done = report(&mut books, batch, vec![said(0, word)]).map(|_| ());
            let refused = Refusal::InHand { key, state: "SENT" };
            assert_eq!(done, if asked { Err(refused) } else { Ok(()) }, "{rail:?} {word:?}");
            let owed = if !asked && word == LegWord::Rejected { 100 } else { 0 };
            assert_eq!(books.control.batch(batch).unwrap().legs.owed_again(), Total(owed));
        }
    }
}

/// A move said itself who pays whom how much, and what was said was owed again: 7,000 for a leg
/// over 1,000.
#[test]
fn what_a_leg_moves_is_what_its_batch_says_whoever_moves_it() {
    let mut books = Books::new();
    let batch = batch(&mut books, Rail::Iso20022);
    books.submit(batch, &[0]).unwrap();
    let event = report(&mut books, batch, vec![said(0, LegWord::Rejected)]).unwrap();
    let Event::Leg(LegEvent::Moved(moved)) = event else { panic!("{event:?}") };
    let one = &moved.moves[0];
    let (payer, payee) = (PartyId([1; 32]), PartyId::CLEARING);
    assert_eq!((one.payer, one.payee, one.amount), (payer, payee, Total(100)));
    assert_eq!((moved.batch, moved.asset), (batch, books.legs(batch).head.asset.number));
    assert_eq!(moved.mover, Mover::Operator);
}

#[test]
fn a_report_is_taken_whole_or_refused_whole() {
    let mut books = Books::new();
    let batch = batch(&mut books, Rail::Iso20022);
    books.submit(batch, &[0]).unwrap();
    let key = books.legs(batch).legs[0].key.clone();
    let yes = || said(0, LegWord::Confirmed);
    let silent = SaidOfLeg { reason: String::new(), ..said(0, LegWord::Rejected) };
    let over = "x".repeat(TEXT_BYTES_MAX + 1);
    let (length, limit) = (over.len(), TEXT_BYTES_MAX);
    let long = |field| Refusal::TextTooLong { field, length, limit };
    let ready = books.legs(batch).legs[1].key.clone();
    let not_left = Refusal::LegWord {
        key: ready,
        state: "READY",
        word: "confirmed",
        why: "nothing of it has left",
    };
    let many = MOVES_MAX + 1;
    let table = [
        (vec![], Refusal::ReportCount { count: 0, limit: MOVES_MAX }),
        (vec![yes(); many], Refusal::ReportCount { count: many, limit: MOVES_MAX }),
        (vec![yes(), yes()], Refusal::LegTwice { key: key.clone() }),
        (vec![yes(), said(9, LegWord::Confirmed)], Refusal::NoSuchLeg { batch, leg: 9 }),
        (vec![yes(), said(1, LegWord::Confirmed)], not_left),
        (vec![silent], Refusal::NoReasonOfLeg { key, word: "rejected" }),
        (vec![SaidOfLeg { reference: over.clone(), ..yes() }], long("rail_reference")),
        (vec![SaidOfLeg { reason: over, ..yes() }], long("reason")),
    ];
    for (words, wanted) in table {
        assert_eq!(report(&mut books, batch, words).unwrap_err(), wanted);
        assert_eq!(books.control.batch(batch).unwrap().legs.state(0), LegState::Sent);
    }
    report(&mut books, batch, vec![yes()]).unwrap();
    let again = SaidOfLeg { reference: "R2".into(), ..yes() };
    assert_eq!(
        books.control.reported(&books.legs(batch), std::slice::from_ref(&again)),
        Ok(Vec::new())
    );
    let (from, to) = ("CONFIRMED", "CONFIRMED");
    let known = Refusal::LegState { batch, leg: 0, from, to };
    assert_eq!(report(&mut books, batch, vec![again]).unwrap_err(), known);
}

/// What has not left is told before what the batch waits for: that is what whoever reports is
/// mistaken about.
#[test]
fn of_a_batch_that_is_not_approved_nothing_has_left() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 60)]);
    let batch = books.computed(window);
    let done = report(&mut books, batch, vec![said(0, LegWord::Confirmed)]).unwrap_err();
    assert!(matches!(done, Refusal::LegWord { state: "READY", .. }), "{done:?}");
    let done = resolve(&mut books, batch, "ann", (0, LegWord::Confirmed, "letter")).unwrap_err();
    assert!(matches!(done, Refusal::NotUnknown { state: "READY", .. }), "{done:?}");
}

#[test]
fn what_failed_is_not_reported_without_a_reason() {
    let mut books = Books::new();
    let batch = batch(&mut books, Rail::Iso20022);
    let content = books.legs(batch);
    for word in WORDS {
        let fails = matches!(word, LegWord::Rejected | LegWord::Returned);
        let silent = SaidOfLeg { reason: String::new(), ..said(0, word) };
        assert_eq!(check_reason(&content.legs[0], &silent).is_err(), fails, "{word:?}");
        assert!(check_reason(&content.legs[0], &said(0, word)).is_ok());
    }
}

#[test]
fn what_the_rail_cannot_say_takes_two_operators_who_say_the_same() {
    let mut books = Books::new();
    let batch = batch(&mut books, Rail::Card);
    let key = books.legs(batch).legs[0].key.clone();
    let yes = (0, LegWord::Confirmed, "letter 1");
    let not_unknown = |state| Refusal::NotUnknown { key: key.clone(), state };
    assert_eq!(resolve(&mut books, batch, "ann", yes).unwrap_err(), not_unknown("READY"));
    books.submit(batch, &[0]).unwrap();
    assert_eq!(resolve(&mut books, batch, "bob", yes).unwrap_err(), not_unknown("SENT"));
    books.moves(batch, Voice::Engine, &[0], LegState::Unknown);
    let alone = report(&mut books, batch, vec![said(0, LegWord::Rejected)]).unwrap_err();
    assert_eq!(alone, Refusal::NeedsTwo { batch, leg: 0 });
    let (no, silent) = ((0, LegWord::Rejected, "letter 2"), (0, LegWord::Confirmed, ""));
    let nowhere = (9, LegWord::Confirmed, "letter 1");
    let table = [
        ("ann", silent, Refusal::NoEvidence),
        ("ann", nowhere, Refusal::NoSuchLeg { batch, leg: 9 }),
        ("", yes, Refusal::NeedsTwo { batch, leg: 0 }),
    ];
    for (operator, words, wanted) in table {
        assert_eq!(resolve(&mut books, batch, operator, words).unwrap_err(), wanted, "{operator}");
    }
    let returned = resolve(&mut books, batch, "ann", (0, LegWord::Returned, "letter 1"));
    assert!(matches!(returned, Err(Refusal::LegWord { state: "UNKNOWN", .. })), "{returned:?}");
    let is_kept = |books: &mut Books, operator, words| {
        let event = resolve(books, batch, operator, words).unwrap();
        matches!(event, Event::Leg(LegEvent::Proposed(_)))
    };
    assert!(is_kept(&mut books, "ann", yes));
    assert!(is_kept(&mut books, "bob", no), "the other way: bob's word stands, and waits");
    assert!(is_kept(&mut books, "ann", (0, LegWord::Confirmed, "letter 3")));
    // The same word of the same operator on other grounds is one operator's yet.
    assert!(is_kept(&mut books, "ann", (0, LegWord::Confirmed, "letter 4")));
    let event = resolve(&mut books, batch, "bob", (0, LegWord::Confirmed, "seen")).unwrap();
    let Event::Leg(LegEvent::Moved(moved)) = event else { panic!("{event:?}") };
    assert_eq!((moved.moves[0].to, moved.moves[0].amount), (LegState::Confirmed, Total(100)));
    assert_eq!(moved.moves[0].reason, "seen");
}

#[test]
fn who_says_just_the_same_again_is_told_that_it_takes_another() {
    let mut books = Books::new();
    let batch = batch(&mut books, Rail::Card);
    books.submit(batch, &[0]).unwrap();
    books.moves(batch, Voice::Engine, &[0], LegState::Unknown);
    resolve(&mut books, batch, "ann", (0, LegWord::Confirmed, "letter")).unwrap();
    let content = books.legs(batch);
    let key = content.legs[0].key.clone();
    let said = (LegWord::Confirmed, "R".to_owned(), "letter".to_owned());
    let (word, reference, evidence) = said;
    let wish = Wish::ResolveLeg { content, leg: 0, word, reference, evidence, signed: None };
    assert_eq!(
        books.wish_by("ann", wish).unwrap_err(),
        Refusal::SaidBefore { key, operator: "ann".into() }
    );
}
