//! What operators signed cannot be written anew, not even by the engine: whoever changes it needs
//! their keys.

use super::made::{Change, Made, agent};
use super::*;
use crate::ledger::event::{BatchEvent, KeyEvent, LegEvent, OperatorKeySet};
use crate::ledger::{LegState, Mover};
use crate::types::SignerKey;

const APPROVER: &str = "a second operator";

fn public(secret: u8) -> SignerKey {
    SignerKey(agent(secret).verifying_key().to_bytes())
}

/// A busy deployment in which the approver and bob have keys; bob's is changed at the end, and the
/// approver's taken away.
fn signing(change: Change) -> Made {
    let mut made = Made::new(change);
    made.sets_key(APPROVER, 41);
    made.sets_key("bob", 42);
    let mut made = made.deployed().made_busy();
    made.sets_key("bob", 43);
    made.removes_key("bob", APPROVER);
    made
}

fn pinned(file: &[u8], pins: &[(&str, SignerKey)]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    std::fs::write(&path, file).unwrap();
    let pins: Vec<_> = pins.iter().map(|(name, key)| ((*name).to_owned(), *key)).collect();
    let settings = Settings {
        threads: 1,
        first_key: None,
        operator_keys: &pins,
        receipts: &[],
        own_keys_since: None,
        progress: &|_| {},
    };
    audit(&Files::open(&[path]).unwrap(), settings)
}

fn what(report: &Report) -> String {
    report.first_difference.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn what_operators_signed_is_counted_and_their_keys_are_named() {
    let report = pinned(&signing(Change::default()).export(), &[]);
    assert!(report.ok, "{}", what(&report));
    let counts = report.counts;
    assert_eq!((counts.approvals, counts.approvals_signed), (2, 2));
    assert_eq!((counts.words, counts.words_signed), (2, 1), "ann has no key");
    let keys: Vec<_> = report.operator_keys.iter().map(|of| (&*of.operator, &*of.key)).collect();
    let [first, second, third] = [41, 42, 43].map(|secret| public(secret).to_string());
    assert_eq!(keys, [(APPROVER, &*first), ("bob", &*second), ("bob", &*third)]);
    let ended: Vec<bool> = report.operator_keys.iter().map(|of| of.until_lsn.is_some()).collect();
    assert_eq!(ended, [true, true, false]);
    let busy = pinned(&Made::busy().export(), &[]);
    assert_eq!((busy.counts.approvals, busy.counts.approvals_signed), (2, 0));
}

/// What the engine writes instead of an event, in words.
type Written = (&'static str, fn(&mut Fact));

/// What is found in a deployment that its engine changed so, and signed.
fn found_out(changes: &[Written]) {
    for (changed, change) in changes {
        let change = Change { fact: Some(*change), ..Change::default() };
        let report = pinned(&signing(change).export(), &[]);
        assert!(!report.ok, "{changed}: the audit agrees");
        let found = what(&report);
        assert!(found.contains("the signature of operator"), "{changed}: {found}");
    }
}

/// The engine could write that anybody had approved, and sign what follows.
#[test]
fn an_approval_that_an_operator_signed_is_not_changed_even_with_the_engines_key() {
    found_out(&[
        ("another approver", |fact| {
            if let Event::Batch(BatchEvent::Approved(_)) = fact.event {
                fact.envelope.caller.name = "eve".to_owned();
            }
        }),
        ("another approver who has a key", |fact| {
            if let Event::Batch(BatchEvent::Approved(_)) = fact.event {
                fact.envelope.caller.name = "bob".to_owned();
            }
        }),
        ("another signature", |fact| {
            if let Event::Batch(BatchEvent::Approved(e)) = &mut fact.event {
                e.signature[9] ^= 1;
            }
        }),
        ("an approval without a signature", |fact| {
            if let Event::Batch(BatchEvent::Approved(e)) = &mut fact.event {
                e.signature = [0; SIGNATURE_BYTES];
            }
        }),
        ("a key without the one before it", |fact| {
            if let Event::Key(KeyEvent::OperatorSet(e)) = &mut fact.event {
                e.signature = [0; SIGNATURE_BYTES];
            }
        }),
        ("who took a key away", |fact| {
            if let Event::Key(KeyEvent::OperatorRemoved(_)) = fact.event {
                fact.envelope.caller.name = APPROVER.to_owned();
            }
        }),
    ]);
}

#[test]
fn a_word_that_an_operator_signed_is_not_changed_even_with_the_engines_key() {
    found_out(&[
        ("a word's reference", |fact| {
            if let Event::Leg(LegEvent::Proposed(e)) = &mut fact.event {
                e.reference = "REF-2".to_owned();
            } else if let Event::Leg(LegEvent::Moved(e)) = &mut fact.event
                && e.mover == Mover::Operator
            {
                e.moves[0].reference = "REF-2".to_owned();
            }
        }),
        ("a word", |fact| {
            if let Event::Leg(LegEvent::Proposed(e)) = &mut fact.event {
                e.to = LegState::Accepted;
            } else if let Event::Leg(LegEvent::Moved(e)) = &mut fact.event
                && e.mover == Mover::Operator
            {
                e.moves[0].to = LegState::Accepted;
            }
        }),
        ("what a word rests on", |fact| {
            if let Event::Leg(LegEvent::Moved(e)) = &mut fact.event
                && e.mover == Mover::Operator
            {
                e.evidence.0[0] ^= 1;
            }
        }),
        ("a rail's word that seems signed", |fact| {
            if let Event::Leg(LegEvent::Moved(e)) = &mut fact.event
                && e.mover == Mover::Rail
            {
                e.signature = [7; SIGNATURE_BYTES];
            }
        }),
        ("a word of who has no key", |fact| {
            if let Event::Leg(LegEvent::Proposed(e)) = &mut fact.event {
                e.signature = [7; SIGNATURE_BYTES];
            }
        }),
    ]);
}

#[test]
fn a_key_is_one_operators_who_has_it() {
    let change = |change: fn(&mut Fact)| Change { fact: Some(change), ..Change::default() };
    let changes: [(&str, Change); 5] = [
        (
            "the possession of a key",
            change(|fact| {
                if let Event::Key(KeyEvent::OperatorSet(e)) = &mut fact.event {
                    e.key.0[..].copy_from_slice(&public(77).0);
                }
            }),
        ),
        (
            "the possession of a key",
            change(|fact| {
                if let Event::Key(KeyEvent::OperatorSet(e)) = &mut fact.event {
                    e.operator = "eve".to_owned();
                    fact.envelope.caller.name = "eve".to_owned();
                }
            }),
        ),
        (
            "who sets a key",
            change(|fact| {
                if let Event::Key(KeyEvent::OperatorSet(_)) = fact.event {
                    fact.envelope.caller.name = "eve".to_owned();
                }
            }),
        ),
        (
            "a key that is removed",
            change(|fact| {
                if let Event::Key(KeyEvent::OperatorRemoved(e)) = &mut fact.event {
                    e.operator = "eve".to_owned();
                }
            }),
        ),
        (
            "an operator's key",
            change(|fact| {
                if let Event::Key(KeyEvent::OperatorSet(OperatorKeySet { key, .. })) =
                    &mut fact.event
                {
                    *key = crate::sign::EngineKey::of_secret([3; 32]).public();
                }
            }),
        ),
    ];
    for (expected, change) in changes {
        let found = what(&pinned(&signing(change).export(), &[]));
        assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
    }
    let mut twice = signing(Change::default());
    twice.sets_key("carl", 42);
    let found = what(&pinned(&twice.export(), &[]));
    assert!(found.contains("one that nobody had before"), "{found}");
}

/// The engine can make up a key for bob. Only who knows bob's own can tell.
#[test]
fn a_first_key_that_is_not_the_operators_is_found_by_who_knows_it() {
    let file = signing(Change::default()).export();
    for known in [&[("bob", public(42))][..], &[("bob", public(42)), (APPROVER, public(41))]] {
        let report = pinned(&file, known);
        assert!(report.ok, "{}", what(&report));
    }
    // Another one, the operator's second one, one of somebody who never set any, and two of one.
    let wrong: [&[(&str, SignerKey)]; 4] = [
        &[("bob", public(7))],
        &[("bob", public(43))],
        &[("bob", public(42)), ("ann", public(44))],
        &[("bob", public(42)), ("bob", public(43))],
    ];
    for known in wrong {
        let found = what(&pinned(&file, known));
        assert!(found.contains("the first key of operator"), "{found}");
    }
}
