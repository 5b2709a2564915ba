//! What events say that nobody who wishes says: it follows from the batch.

use crate::event::Event;
use crate::fund::tests::Books;
use crate::types::{BatchId, Digest, PartyId, Total};
use crate::{LegMove, LegState, Refusal, SubmitLegs, Voice, Wish, runs};

/// A party and what it owes less.
type Released = Vec<(PartyId, Total)>;

fn release(books: &mut Books, batch: BatchId, places: &[u32]) -> Result<Released, Refusal> {
    let (plan, places) = (books.plan(batch), places.to_vec());
    let event = books.wish(Wish::ReleaseExposure { plan, places })?;
    let Event::ExposureReleased(e) = event else { panic!("{event:?}") };
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
        let Event::LegsSubmitted(e) = event else { panic!("{event:?}") };
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
    assert!(matches!(books.wish(wish), Ok(Event::LegsMoved(_))));
    assert_eq!(books.control.batch(batch).unwrap().legs.state(1), LegState::Returned);
}
