//! Who signs what: tables of callers and signatures. No signature here was checked: that is the
//! edge's, and the ledger goes by what was found to be signed.

use super::*;
use crate::control::Made;
use crate::fund::tests::Books;
use crate::operator_key::OperatorKeyMisfit;
use crate::types::Digest;
use crate::wish::{Command, SaidOfLeg};
use crate::{Decision, LegWord, Rail, Request, Voice, Wish};

const NETWORK: NetworkId = NetworkId([1; 32]);

fn key(n: u8) -> SignerKey {
    SignerKey([n; 32])
}

/// A signature of this key's over this, as the edge would have found it.
fn by(n: u8, over: Statement) -> OperatorSignature {
    OperatorSignature::checked(over, key(n), [n; SIGNATURE_BYTES])
}

fn set(books: &mut Books, operator: &str, next: u8, before: Option<u8>) -> Result<Event, Refusal> {
    let over = operator_key_statement(NETWORK, operator, key(next), before.map(key));
    let (possession, signed) = (Box::new(by(next, over)), before.map(|before| by(before, over)));
    books.wish_by(operator, Wish::SetOperatorKey { possession, signed })
}

fn remove(
    books: &mut Books,
    (caller, own): (&str, Option<u8>),
    (operator, of): (&str, u8),
) -> Result<Event, Refusal> {
    let over = operator_removal_statement(NETWORK, operator, key(of));
    let (operator, signed) = (operator.to_owned(), own.map(|own| by(own, over)));
    books.wish_by(caller, Wish::RemoveOperatorKey { operator, key: key(of), signed })
}

fn approve(
    books: &mut Books,
    operator: &str,
    batch: BatchId,
    signed: Option<OperatorSignature>,
) -> Result<Event, Refusal> {
    books.wish_by(operator, Wish::ApproveBatch { batch, signed })
}

fn must_sign(n: u8) -> Refusal {
    OperatorKeyMisfit::MustSign { operator: "ann".into(), key: key(n) }.into()
}

fn unfit(n: u8) -> Refusal {
    OperatorKeyMisfit::SignatureUnfit { operator: "ann".into(), key: key(n) }.into()
}

/// That an operator had approved was the engine's word, whoever it was.
#[test]
fn who_has_a_key_signs_his_approval_with_it_and_nobody_else_signs() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 60)]);
    let batch = books.computed(window);
    let (over, other) =
        (approval_statement(NETWORK, batch), approval_statement(NETWORK, BatchId([9; 32])));
    let elsewhere = approval_statement(NetworkId([2; 32]), batch);
    let no_key = |operator: &str| -> Refusal {
        OperatorKeyMisfit::NoKey { operator: operator.into() }.into()
    };
    assert_eq!(approve(&mut books, "ann", batch, Some(by(1, over))).unwrap_err(), no_key("ann"));
    set(&mut books, "ann", 1, None).unwrap();
    let table = [
        ("ann", None, must_sign(1)),
        ("ann", Some(by(1, other)), unfit(1)),
        ("ann", Some(by(1, elsewhere)), unfit(1)),
        ("ann", Some(by(2, over)), unfit(1)),
        ("bob", Some(by(1, over)), no_key("bob")),
        ("", Some(by(1, over)), OperatorKeyMisfit::Nameless.into()),
    ];
    for (operator, signed, wanted) in table {
        assert_eq!(approve(&mut books, operator, batch, signed).unwrap_err(), wanted);
    }
    let event = approve(&mut books, "ann", batch, Some(by(1, over))).unwrap();
    let Event::Batch(BatchEvent::Approved(approved)) = &event else { panic!("{event:?}") };
    assert_eq!((approved.signature, event.is_signed()), ([1; SIGNATURE_BYTES], true));
    let entry = books.control.batch(batch).unwrap().approved.clone().unwrap();
    assert_eq!((&*entry.operator, entry.key), ("ann", Some(key(1))));
    // Who has none goes on as before.
    let window = books.close(&[(1, 2, 60)]);
    let batch = books.computed(window);
    let event = approve(&mut books, "bob", batch, None).unwrap();
    assert!(!event.is_signed());
    assert_eq!(books.control.batch(batch).unwrap().approved.as_ref().unwrap().key, None);
}

#[test]
fn a_key_follows_another_of_the_same_operator_and_none_is_used_twice() {
    let mut books = Books::new();
    let reused = |n: u8| Refusal::OperatorKey(OperatorKeyMisfit::Reused(key(n)));
    set(&mut books, "ann", 1, None).unwrap();
    assert_eq!(set(&mut books, "bob", 1, None).unwrap_err(), reused(1));
    // The key in force signs, and is named in what is signed.
    let first = operator_key_statement(NETWORK, "ann", key(2), None);
    let possession = Box::new(by(2, first));
    let unsigned = Wish::SetOperatorKey { possession: possession.clone(), signed: None };
    assert_eq!(books.wish_by("ann", unsigned).unwrap_err(), must_sign(1));
    let signed = Some(by(1, first));
    let other = Wish::SetOperatorKey { possession: possession.clone(), signed };
    assert_eq!(books.wish_by("ann", other).unwrap_err(), unfit(1));
    let over = operator_key_statement(NETWORK, "ann", key(2), Some(key(1)));
    let not_held = Wish::SetOperatorKey { possession, signed: Some(by(1, over)) };
    assert_eq!(books.wish_by("ann", not_held).unwrap_err(), unfit(2));
    // A statement about ann makes no key of bob's.
    let of_ann = Wish::SetOperatorKey { possession: Box::new(by(3, first)), signed: None };
    let wanted = OperatorKeyMisfit::SignatureUnfit { operator: "bob".into(), key: key(3) }.into();
    assert_eq!(books.wish_by("bob", of_ann).unwrap_err(), wanted);
    set(&mut books, "ann", 2, Some(1)).unwrap();
    assert_eq!(set(&mut books, "ann", 1, Some(2)).unwrap_err(), reused(1));
    assert_eq!(books.control.operator_keys().current("ann"), Some(key(2)));
    assert_eq!(set(&mut books, "", 5, None).unwrap_err(), OperatorKeyMisfit::Nameless.into());
    let engines = Event::from(crate::event::EngineKeySet { key: key(7), proof: [0; 64] });
    books.happens(engines, Made::Nothing);
    let wanted = Refusal::OperatorKey(OperatorKeyMisfit::Engines(key(7)));
    assert_eq!(set(&mut books, "bob", 7, None).unwrap_err(), wanted);
    let operators = Wish::SetEngineKey { key: key(1), proof: [1; 64] };
    let wanted = Refusal::EngineKey(crate::KeyMisfit::Operators(key(1)));
    assert_eq!(books.wish_by("ann", operators).unwrap_err(), wanted);
}

#[test]
fn a_lost_key_is_taken_away_by_another_operator_and_then_a_new_one_is_the_first() {
    let mut books = Books::new();
    set(&mut books, "ann", 1, None).unwrap();
    let lost = ("ann", 1);
    assert_eq!(
        remove(&mut books, ("", None), lost).unwrap_err(),
        OperatorKeyMisfit::Nameless.into()
    );
    // Ann has lost it, so cannot sign; and has it, for all that the engine knows.
    assert_eq!(remove(&mut books, ("ann", None), lost).unwrap_err(), must_sign(1));
    let other = OperatorKeyMisfit::NotHis { operator: "ann".into(), key: key(2) }.into();
    assert_eq!(remove(&mut books, ("bob", None), ("ann", 2)).unwrap_err(), other);
    let long = "x".repeat(OPERATOR_NAME_BYTES_MAX + 1);
    let refused = remove(&mut books, ("bob", None), (&long, 2));
    assert!(matches!(refused, Err(Refusal::TextTooLong { field: "operator", .. })));
    // Bob has a key, so signs it.
    set(&mut books, "bob", 5, None).unwrap();
    let wanted = OperatorKeyMisfit::MustSign { operator: "bob".into(), key: key(5) }.into();
    assert_eq!(remove(&mut books, ("bob", None), lost).unwrap_err(), wanted);
    let event = remove(&mut books, ("bob", Some(5)), lost).unwrap();
    assert!(event.is_signed());
    assert_eq!(books.control.operator_keys().current("ann"), None);
    assert!(set(&mut books, "ann", 1, None).is_err(), "it never comes back");
    set(&mut books, "ann", 2, None).unwrap();
    remove(&mut books, ("ann", Some(2)), ("ann", 2)).unwrap();
    assert_eq!(books.control.operator_keys().current("ann"), None);
}

/// An approved batch: leg 0 pays in 100, legs 1 and 2 pay out; leg 0 has left.
fn sent(books: &mut Books, rail: Rail) -> BatchId {
    let window = books.close(&[(1, 2, 60), (1, 3, 40)]);
    let batch = books.computed_on(window, rail);
    books.approve(batch).unwrap();
    books.submit(batch, &[0]).unwrap();
    batch
}

#[test]
fn what_is_said_of_legs_is_signed_word_by_word() {
    let mut books = Books::new();
    let batch = sent(&mut books, Rail::Card);
    books.moves(batch, Voice::Engine, &[0], LegState::Unknown);
    set(&mut books, "ann", 1, None).unwrap();
    let said = |reference: &str, evidence: &str, to: LegState| {
        let rests_on = FileHasher::of(evidence.as_bytes());
        let (state, reason) = (to.number(), evidence);
        words_statement(NETWORK, batch, rests_on, [LegSaid { leg: 0, state, reference, reason }])
    };
    let resolve = |books: &mut Books, operator: &str, signed: Option<OperatorSignature>| {
        let (content, reference) = (books.legs(batch), "R".to_owned());
        let (leg, word, evidence) = (0, LegWord::Confirmed, "letter".to_owned());
        books
            .wish_by(operator, Wish::ResolveLeg { content, leg, word, reference, evidence, signed })
    };
    let good = said("R", "letter", LegState::Confirmed);
    let table = [
        (None, must_sign(1)),
        (Some(by(1, said("S", "letter", LegState::Confirmed))), unfit(1)),
        (Some(by(1, said("R", "mail", LegState::Confirmed))), unfit(1)),
        (Some(by(1, said("R", "letter", LegState::Rejected))), unfit(1)),
        (Some(by(2, good)), unfit(1)),
    ];
    for (signed, wanted) in table {
        assert_eq!(resolve(&mut books, "ann", signed).unwrap_err(), wanted);
    }
    let event = resolve(&mut books, "ann", Some(by(1, good))).unwrap();
    assert!(matches!(event, Event::Leg(LegEvent::Proposed(_))) && event.is_signed());
    // The second word moves the leg, and its operator signs the same of it.
    set(&mut books, "bob", 2, None).unwrap();
    let event = resolve(&mut books, "bob", Some(by(2, good))).unwrap();
    let Event::Leg(LegEvent::Moved(moved)) = &event else { panic!("{event:?}") };
    assert_eq!(moved.statement(NETWORK), good);
    assert_eq!(moved.signature, [2; SIGNATURE_BYTES]);
}

#[test]
fn a_report_is_signed_as_it_is_journaled() {
    let mut books = Books::new();
    let batch = sent(&mut books, Rail::Iso20022);
    set(&mut books, "ann", 1, None).unwrap();
    let word = SaidOfLeg {
        leg: 0,
        word: LegWord::Confirmed,
        reference: "R".into(),
        reason: "by letter".into(),
    };
    let over = words_statement(NETWORK, batch, Digest([6; 32]), [word.signed()]);
    let report = |books: &mut Books, signed: Option<OperatorSignature>, evidence: u8| {
        let (content, evidence) = (books.legs(batch), Digest([evidence; 32]));
        let words = vec![word.clone()];
        books.wish_by("ann", Wish::ReportLegs { content, evidence, words, signed })
    };
    assert_eq!(report(&mut books, None, 6).unwrap_err(), must_sign(1));
    assert_eq!(report(&mut books, Some(by(1, over)), 7).unwrap_err(), unfit(1));
    let event = report(&mut books, Some(by(1, over)), 6).unwrap();
    let Event::Leg(LegEvent::Moved(moved)) = &event else { panic!("{event:?}") };
    assert_eq!((moved.statement(NETWORK), event.is_signed()), (over, true));
}

/// The answer to a call was lost, and the key taken away before it was repeated.
#[test]
fn who_was_answered_is_answered_so_again_whatever_key_he_has_by_then() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 60)]);
    let batch = books.computed(window);
    set(&mut books, "ann", 1, None).unwrap();
    let over = approval_statement(NETWORK, batch);
    let request = Request { id: "once".into(), content: Digest([3; 32]) };
    let ask = |signed: Option<OperatorSignature>| -> Command {
        Wish::ApproveBatch { batch, signed }.by(Caller::grpc("ann".into()), request.clone())
    };
    books.command(ask(Some(by(1, over)))).unwrap();
    remove(&mut books, ("bob", None), ("ann", 1)).unwrap();
    for signed in [None, Some(by(1, over)), Some(by(9, over))] {
        let decision = books.control.decide(ask(signed), crate::types::Timestamp(7)).unwrap();
        assert!(matches!(decision, Decision::Repeat(_)), "{decision:?}");
    }
}
