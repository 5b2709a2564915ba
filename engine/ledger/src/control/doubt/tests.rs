//! What troubles forbid, from the moment of their record on.

use crate::control::{CreateBatch, Used};
use crate::fund::tests::{Books, request};
use crate::limits::{TROUBLES_MAX, TROUBLES_RECORD_MAX};
use crate::types::{BatchId, PartyId, SignerKey};
use crate::{Caller, LegState, NewTrouble, Rail, Refusal, TroubleKind, Voice, Wish};
use std::sync::Arc;

fn said(kind: TroubleKind, batch: BatchId, leg: Option<u32>) -> NewTrouble {
    let (source, text) = ("s.xml".to_owned(), "paid".to_owned());
    let party = Some(PartyId([2; 32]));
    NewTrouble { kind, rail: Rail::Iso20022, batch: Some(batch), leg, party, source, text }
}

fn raise(books: &mut Books, trouble: NewTrouble) {
    books.wish(Wish::RaiseTroubles(vec![trouble])).unwrap();
}

fn ack(books: &mut Books, troubles: Vec<u64>) {
    books.wish(Wish::AckTroubles { troubles, note: String::new() }).unwrap();
}

/// An account showed money under the key of a leg that nobody had sent yet: a remark beside the
/// answer, and the batch was approved and paid.
#[test]
fn what_is_said_to_be_paid_is_not_approved_before_somebody_has_looked() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let batch = books.computed(window);
    raise(&mut books, said(TroubleKind::Misfit, batch, Some(1)));
    raise(&mut books, said(TroubleKind::Contradiction, batch, Some(1)));
    let refused = Err(Refusal::SaidToBePaid { batch, trouble: 2 });
    assert_eq!(books.approve(batch), refused);
    ack(&mut books, vec![2]);
    assert_eq!(books.approve(batch), Ok(()));
}

#[test]
fn a_leg_that_is_said_to_be_paid_does_not_leave_before_somebody_has_looked() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100), (3, 4, 50)]);
    let batch = books.batch(window);
    raise(&mut books, said(TroubleKind::Contradiction, batch, Some(1)));
    raise(&mut books, said(TroubleKind::Contradiction, batch, Some(9)));
    let refused = Err(Refusal::SaidToBePaid { batch, trouble: 1 });
    assert_eq!(books.submit(batch, &[0, 1]), refused);
    assert_eq!(books.submit(batch, &[0]), Ok(()));
    ack(&mut books, vec![1]);
    assert_eq!(books.submit(batch, &[1]), Ok(()));
}

/// A leg was reported rejected, owed again, and then the account showed it paid. The batch that
/// paid it again said nothing of that.
#[test]
fn the_batch_that_pays_again_what_was_paid_names_the_trouble_and_so_does_the_one_behind_it() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100), (1, 3, 50)]);
    let first = books.batch(window);
    books.submit(first, &[0]).unwrap();
    books.moves(first, Voice::Rail, &[0], LegState::Confirmed);
    let pay_outs = books.next(first).pay_outs;
    books.submit(first, &pay_outs).unwrap();
    books.moves(first, Voice::Rail, &pay_outs, LegState::Rejected);
    raise(&mut books, said(TroubleKind::Contradiction, first, Some(1)));
    let window = books.close(&[]);
    let second = books.batch(window);
    let other = books.close(&[(4, 5, 70)]);
    let other = books.batch(other);
    let again = |books: &Books, batch| -> Vec<u64> {
        books.control.paid_again(batch).iter().map(|trouble| trouble.number).collect()
    };
    assert_eq!(again(&books, second), [1]);
    assert_eq!((again(&books, first), again(&books, other)), (vec![], vec![]));
    // The second does not get through either, for one of the two: the third pays it.
    let legs = books.next(second).pay_outs;
    books.submit(second, &legs).unwrap();
    books.moves(second, Voice::Rail, &legs[..1], LegState::Rejected);
    let one = books.close(&[]);
    books.moves(second, Voice::Rail, &legs[1..], LegState::Rejected);
    let two = books.close(&[]);
    let behind = [books.batch(one), books.batch(two)].map(|batch| again(&books, batch));
    assert_eq!(behind, [vec![1], vec![]], "only that of the same party");
    ack(&mut books, vec![1]);
    assert_eq!(again(&books, second), [0; 0]);
}

/// The simulator found that a batch that somebody had aborted still warned of what it would pay
/// again.
#[test]
fn an_aborted_batch_pays_nothing_again() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let first = books.batch(window);
    books.submit(first, &[0]).unwrap();
    books.moves(first, Voice::Rail, &[0], LegState::Rejected);
    raise(&mut books, said(TroubleKind::Contradiction, first, Some(0)));
    let window = books.close(&[]);
    let second = books.batch(window);
    assert_eq!(books.control.paid_again(second).len(), 1);
    let reason = "looked into it".into();
    books.wish(Wish::AbortBatch { batch: second, reason }).unwrap();
    assert!(books.control.paid_again(second).is_empty());
}

#[test]
fn while_the_list_of_troubles_is_full_nothing_is_batched_or_approved() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let batch = books.computed(window);
    let numbers: Vec<usize> = (0..TROUBLES_MAX).collect();
    for some in numbers.chunks(TROUBLES_RECORD_MAX) {
        let one = |n: &usize| {
            let text = n.to_string();
            NewTrouble { text, batch: None, ..said(TroubleKind::Surplus, batch, None) }
        };
        let troubles = some.iter().map(one).collect();
        books.wish(Wish::RaiseTroubles(troubles)).unwrap();
    }
    assert_eq!(books.approve(batch), Err(Refusal::TroublesFull(TROUBLES_MAX)));
    ack(&mut books, vec![7]);
    assert_eq!(books.approve(batch), Ok(()));
}

/// The doubt was asked about where the batch was computed; one that came between that and the
/// record slipped through, and the party was charged.
#[test]
fn a_doubt_that_comes_after_a_batch_was_computed_keeps_it_from_being_made() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let content = books.content(window, Rail::Card);
    let (head, accounts) = (content.head.clone(), content.accounts);
    let used = Arc::new(Used { head, accounts, free: Vec::new() });
    let directory_version = books.control.directory_version();
    let create = || {
        let wish = Wish::CreateBatch(CreateBatch {
            four_eyes: false,
            used: used.clone(),
            history: crate::types::Lsn(1),
            key: SignerKey::ZERO,
            signature: [0; 64],
            directory_version,
        });
        wish.by(Caller::schedule(), request(99))
    };
    assert!(books.control.decide(create(), crate::types::Timestamp(7)).is_ok());
    let doubt = said(TroubleKind::Contradiction, BatchId([9; 32]), Some(1));
    raise(&mut books, NewTrouble { rail: Rail::Card, ..doubt.clone() });
    let refused = books.control.decide(create(), crate::types::Timestamp(7)).unwrap_err();
    let party = PartyId([2; 32]);
    assert_eq!(refused, Refusal::InDoubt { party, trouble: 1, rail: "card" });
    ack(&mut books, vec![1]);
    raise(&mut books, doubt);
    assert!(
        books.control.decide(create(), crate::types::Timestamp(7)).is_ok(),
        "a bank's file is looked at before it is sent"
    );
}
