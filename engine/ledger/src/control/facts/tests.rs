//! What events say that nobody who wishes says: it follows from the batch.

use crate::event::LegBooking;
use crate::event::{Event, LegEvent};
use crate::fund::tests::Books;
use crate::limits::{BATCH_WINDOWS_MAX, TEXT_BYTES_MAX};
use crate::types::{AssetNumber, BatchId, Digest, PartyId, Total, WindowNumber};
use crate::{LegMove, LegState, LegStep, Refusal, SubmitLegs, Voice, Way, Wish, runs};

/// A party and what it owes less.
type Released = Vec<(PartyId, Total)>;

fn release(books: &mut Books, batch: BatchId, places: &[u32]) -> Result<Released, Refusal> {
    let (plan, places) = (books.plan(batch), places.to_vec());
    let event = books.wish(Wish::ReleaseExposure { plan, places })?;
    let Event::Leg(LegEvent::Released(e)) = event else { panic!("{event:?}") };
    assert_eq!((e.batch, e.asset), (batch, books.legs(batch).head.asset.number));
    Ok(e.releases.iter().map(|one| (one.party, one.unsettled)).collect())
}

/// What was released was believed as it was said, and a batch with open legs could be called done.
#[test]
fn exposure_falls_by_what_the_batch_settled_and_not_before_its_legs_have_ended() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100), (3, 2, 50)]);
    let batch = books.batch(window);
    let (one, three) = (PartyId([1; 32]), PartyId([3; 32]));
    let open = Err(Refusal::NotEnded { batch });
    assert_eq!(release(&mut books, batch, &[0]), open, "nothing has left");
    books.submit(batch, &[0, 1]).unwrap();
    books.moves(batch, Voice::Rail, &[0], LegState::Confirmed);
    // Row by row: whose, and what comes of it, in this order.
    let before = |party| Err(Refusal::ReleasedBefore { batch, party });
    let table = [
        (vec![1], open.clone()),
        (vec![7], open.clone()),
        (vec![], open.clone()),
        (vec![0, 0], before(one)),
        (vec![0], Ok(vec![(one, Total(100))])),
        (vec![0], before(one)),
    ];
    for (places, wanted) in table {
        assert_eq!(release(&mut books, batch, &places), wanted, "{places:?}");
    }
    books.moves(batch, Voice::Rail, &[1], LegState::Rejected);
    assert_eq!(release(&mut books, batch, &[1]), Ok(vec![(three, Total::ZERO)]));
    assert_eq!(release(&mut books, batch, &[]), open, "the pay-out waits yet");
    let held_back = books.next(batch).held_back;
    books.moves(batch, Voice::Engine, &held_back, LegState::Rejected);
    assert_eq!(release(&mut books, batch, &[]), Ok(Vec::new()));
}

#[test]
fn what_leaves_pays_out_what_the_batch_says() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 60), (1, 3, 40)]);
    let batch = books.batch(window);
    let paid_out = |books: &mut Books, legs: &[u32]| {
        let submission = books.control.batch(batch).unwrap().legs.submissions().len();
        let submit = SubmitLegs {
            content: books.legs(batch),
            submission: u32::try_from(submission).unwrap(),
            attempt: 0,
            legs: runs(legs.iter().copied()),
            digest: Digest::ZERO,
            bytes: 1,
            name: String::new(),
            suspensions: books.control.suspensions(),
        };
        let event = books.wish(Wish::SubmitLegs(submit))?;
        let Event::Leg(LegEvent::Submitted(e)) = event else { panic!("{event:?}") };
        Ok(e.paid_out)
    };
    let (sum, free) = (Total(100), Total::ZERO);
    let uncovered = Refusal::NotCovered { batch, paid_out: sum, free };
    assert_eq!(paid_out(&mut books, &[1, 2]), Err(uncovered), "nothing has come in");
    assert_eq!(paid_out(&mut books, &[0]), Ok(Total::ZERO), "a pay-in pays nothing out");
    books.moves(batch, Voice::Rail, &[0], LegState::Confirmed);
    assert_eq!(paid_out(&mut books, &[1]), Ok(Total(60)));
    assert_eq!(paid_out(&mut books, &[2]), Ok(Total(40)));
}

/// Nobody holds a batch that has ended, and an answer about one leg would load all of it: there the
/// kept table says what the leg moves. As long as the batch is held, the batch does.
#[test]
fn only_legs_of_a_batch_that_has_ended_move_without_the_batch() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let batch = books.batch(window);
    books.submit(batch, &[0]).unwrap();
    books.moves(batch, Voice::Rail, &[0], LegState::Confirmed);
    let paid = books.legs(batch).legs[1].payment;
    let returned = LegMove {
        leg: 1,
        to: LegState::Returned,
        payer: paid.from,
        payee: paid.to,
        amount: paid.amount,
        reference: String::new(),
        reason: "closed".to_owned(),
    };
    let (voice, evidence, moves) = (Voice::Rail, Digest::ZERO, vec![returned]);
    let wish = Wish::MoveEnded { batch, voice, evidence, moves };
    let refused = books.wish(wish.clone()).unwrap_err();
    assert_eq!(refused, Refusal::NotEnded { batch });
    let pay_outs = books.next(batch).pay_outs;
    books.submit(batch, &pay_outs).unwrap();
    books.moves(batch, Voice::Rail, &pay_outs, LegState::Confirmed);
    assert!(matches!(books.wish(wish), Ok(Event::Leg(LegEvent::Moved(_)))));
    assert_eq!(books.control.batch(batch).unwrap().legs.state(1), LegState::Returned);
}

/// How many windows, and that none is named twice, was looked at by one of those who ask.
#[test]
fn a_batch_settles_some_windows_in_order_each_once() {
    let mut books = Books::new();
    let windows = [0; 3].map(|_| books.close(&[(1, 2, 100)]));
    let asset = AssetNumber(978);
    let [one, two, three] = windows;
    let limit = BATCH_WINDOWS_MAX;
    let many = |count: usize| (1..).take(count).map(WindowNumber).collect::<Vec<_>>();
    let counted = |count| Err(Refusal::BatchWindows { count, limit });
    let table = [
        (vec![], counted(0)),
        (many(limit + 1), counted(limit + 1)),
        (many(limit), Err(Refusal::WindowOpen(WindowNumber(4)))),
        (vec![one, one], Err(Refusal::WindowTwice(one))),
        (vec![two, one], Err(Refusal::WindowTwice(one))),
        (vec![one, three, three], Err(Refusal::WindowTwice(three))),
        (vec![one, three], Ok(2)),
        (vec![one, two, three], Ok(3)),
    ];
    for (named, wanted) in table {
        let found = books.control.settleable(&named, asset).map(|found| found.len());
        assert_eq!(found, wanted, "{named:?}");
    }
}

/// What a rail says became part of a record at any length: each rail cut it by itself, and a record
/// that is too long ends the engine.
#[test]
fn no_text_of_a_rail_is_longer_than_a_record_takes() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 60), (3, 2, 40)]);
    let batch = books.batch(window);
    let (fits, over) = ("x".repeat(TEXT_BYTES_MAX), "x".repeat(TEXT_BYTES_MAX + 1));
    let long = |field| {
        let (length, limit) = (TEXT_BYTES_MAX + 1, TEXT_BYTES_MAX);
        Err(Refusal::TextTooLong { field, length, limit })
    };
    let submit = |books: &Books, name: &String| {
        Wish::SubmitLegs(SubmitLegs {
            content: books.legs(batch),
            submission: 0,
            attempt: 0,
            legs: runs([0, 1].into_iter()),
            digest: Digest::ZERO,
            bytes: 1,
            name: name.clone(),
            suspensions: books.control.suspensions(),
        })
    };
    let moves = |books: &Books, leg, reference: &String, reason: &String| {
        let (reference, reason) = (reference.clone(), reason.clone());
        let steps = vec![LegStep { leg, to: LegState::Confirmed, reference, reason }];
        let (content, evidence) = (books.legs(batch), Digest::ZERO);
        Wish::MoveLegs { content, voice: Voice::Rail, evidence, steps }
    };
    let books_it = |reference: &String| {
        let booking = LegBooking { leg: 0, way: Way::Went, reference: reference.clone() };
        Wish::BookLegs { batch, evidence: Digest::ZERO, bookings: vec![booking] }
    };
    let table = [
        (submit(&books, &over), long("name")),
        (submit(&books, &fits), Ok(())),
        (moves(&books, 0, &over, &fits), long("rail_reference")),
        (moves(&books, 0, &fits, &over), long("reason")),
        (moves(&books, 0, &fits, &fits), Ok(())),
        (books_it(&over), long("rail_reference")),
        (books_it(&fits), Ok(())),
    ];
    for (row, (wish, wanted)) in table.into_iter().enumerate() {
        assert_eq!(books.wish(wish).map(|_| ()), wanted, "row {row}");
    }
}
