//! What takes two and stands by one, or by two who are one, or as another thing than was proposed:
//! whatever of it the engine writes, is found.

use super::made::{Change as Made_, Made, party};
use super::*;
use crate::journal::Framed;
use crate::ledger::event::{
    Change, ChangeProposed, Confirmation, CreditLimitSet, EyesSet, IdentityAdded, IdentityRotated,
    ProposalWithdrawn, WindowCut,
};
use crate::ledger::eyes::{credential_before, proposal_id};
use crate::ledger::{Credential, Role, Scope, Via};
use crate::sign::EngineKey;
use crate::types::{AssetNumber, Lsn, Timestamp, Total, WindowNumber};

fn limit(limit: u128) -> CreditLimitSet {
    CreditLimitSet { party: party(1), asset: AssetNumber(978), limit: Total(limit) }
}

/// A deployment with four eyes, and what ann has proposed in it.
fn proposed() -> (Made, Digest) {
    proposed_in(Made::new(Made_::default()).deployed())
}

fn proposed_in(mut made: Made) -> (Made, Digest) {
    let operators = ["ann", "bob", "cleo"].map(str::to_owned).to_vec();
    made.event(Event::from(EyesSet { on: true, operators }));
    let id = proposes(&mut made, "ann", "first", Change::Limit(limit(5)));
    (made, id)
}

fn proposes(made: &mut Made, who: &str, request: &str, change: Change) -> Digest {
    let id = proposal_id(&change, Digest::ZERO, (who, request), made.next_at());
    let before = Digest::ZERO;
    made.asked(who, request, Event::from(ChangeProposed { proposal: id, change, before }));
    id
}

fn by(proposal: Digest, proposer: &str) -> Confirmation {
    Confirmation { proposal, proposer: proposer.to_owned(), signature: [0; 64] }
}

fn found(made: Made) -> String {
    let report = audit_files(&[made.export()]);
    report.first_difference.as_ref().map_or_else(String::new, ToString::to_string)
}

/// What happens next, after what was proposed under this id.
type Step = fn(&mut Made, Digest);

#[test]
fn what_stands_by_one_where_it_takes_two_is_found() {
    let (mut made, id) = proposed();
    made.confirmed("bob", Event::from(limit(5)), by(id, "ann"));
    assert_eq!(found(made), "", "so it may be");
    // What protects goes by one.
    let (mut made, _) = proposed();
    made.asked("ann", "nothing", Event::from(limit(0)));
    assert_eq!(found(made), "");
    let cases: [(&str, Step); 9] = [
        ("another confirms", |made, _| {
            made.asked("ann", "alone", Event::from(limit(5)));
        }),
        ("takes another person", |made, id| {
            made.confirmed("ann", Event::from(limit(5)), by(id, "ann"));
        }),
        ("takes another person", |made, id| {
            made.confirmed("stranger", Event::from(limit(5)), by(id, "ann"));
        }),
        ("a proposal of another", |made, id| {
            made.confirmed("bob", Event::from(limit(6)), by(id, "ann"));
        }),
        ("who proposed it", |made, id| {
            made.confirmed("bob", Event::from(limit(5)), by(id, "cleo"));
        }),
        ("is not there", |made, id| {
            made.confirmed("bob", Event::from(limit(5)), by(id, "ann"));
            made.confirmed("cleo", Event::from(limit(5)), by(id, "ann"));
        }),
        ("is not there", |made, id| {
            let reason = String::new();
            made.asked("cleo", "w", Event::from(ProposalWithdrawn { proposal: id, reason }));
            made.confirmed("bob", Event::from(limit(5)), by(id, "ann"));
        }),
        ("has expired", |made, id| {
            made.clock += 3 * 24 * 3_600 * 1_000_000;
            made.confirmed("bob", Event::from(limit(5)), by(id, "ann"));
        }),
        ("what takes two", |made, _| {
            proposes(made, "ann", "nothing", Change::Limit(limit(0)));
        }),
    ];
    for (part, step) in cases {
        let (mut made, id) = proposed();
        step(&mut made, id);
        let what = found(made);
        assert!(what.contains(part), "{part:?}: {what:?}");
    }
}

#[test]
fn a_proposal_under_another_id_or_of_nobody_is_found() {
    let (mut made, id) = proposed();
    let (change, before) = (Change::Limit(limit(6)), Digest::ZERO);
    made.asked("ann", "other", Event::from(ChangeProposed { proposal: id, change, before }));
    assert!(found(made).contains("the id of a proposal"));
    let (mut made, _) = proposed();
    proposes(&mut made, "stranger", "of nobody", Change::Limit(limit(6)));
    assert!(found(made).contains("by one of them"));
}

/// One operator adds an approver, before and after there are two.
#[test]
fn who_is_let_in_by_one_is_found() {
    let added = |name: &str| IdentityAdded {
        name: name.to_owned(),
        role: Role::Approver,
        credential: Credential::Key(Digest([9; 32])),
        scope: Scope::default(),
        expires_at: None::<Timestamp>,
        rate: 0,
    };
    let (mut made, _) = proposed();
    made.asked("ann", "alone", Event::from(added("eve")));
    assert!(found(made).contains("another confirms"));
    let mut made = Made::new(Made_::default()).deployed();
    made.event(Event::from(EyesSet { on: true, operators: Vec::new() }));
    made.asked("ann", "the first", Event::from(added("eve")));
    assert!(found(made).contains("access bootstrap"));
    let (mut made, _) = proposed();
    let id = proposes(&mut made, "ann", "eve", Change::Identity(added("eve")));
    made.confirmed("bob", Event::from(added("eve")), by(id, "ann"));
    assert_eq!(found(made), "");
}

/// Dora's key was made by ann, and bob has confirmed her.
fn with_dora() -> (Made, Caller) {
    with_dora_in(proposed().0)
}

fn with_dora_in(mut made: Made) -> (Made, Caller) {
    let dora = IdentityAdded {
        name: "dora".into(),
        role: Role::Operator,
        credential: Credential::Key(Digest([8; 32])),
        scope: Scope::default(),
        expires_at: None,
        rate: 0,
    };
    let id = proposes(&mut made, "ann", "dora", Change::Identity(dora.clone()));
    made.confirmed("bob", Event::from(dora), by(id, "ann"));
    (made, Caller { name: "dora".into(), role: Role::Operator, via: Via::Key })
}

fn key_of_dora(byte: u8) -> IdentityRotated {
    IdentityRotated { name: "dora".into(), credential: Credential::Key(Digest([byte; 32])) }
}

fn proposes_as(made: &mut Made, dora: Caller) -> Digest {
    let (change, before) = (Change::Limit(limit(6)), Digest::ZERO);
    let proposal = proposal_id(&change, before, ("dora", "p"), made.next_at());
    made.asked_as(dora, "p", Event::from(ChangeProposed { proposal, change, before }));
    proposal
}

/// What somebody does, who has a key that another made.
type As = fn(&mut Made, Caller);

#[test]
fn what_was_done_with_a_key_that_another_made_is_found() {
    let cases: [(&str, As); 6] = [
        ("", |made, dora| {
            made.asked_as(dora.clone(), "0", Event::from(limit(0)));
            made.asked_as(dora, "own", Event::from(key_of_dora(9)));
        }),
        ("dora was made by ann", |made, dora| {
            made.asked_as(dora, "cut", Event::from(WindowCut { window: WindowNumber(3) }));
        }),
        ("dora was made by ann", |made, dora| {
            proposes_as(made, dora);
        }),
        ("dora was made by ann", |made, dora| {
            let id = proposes(made, "bob", "by bob", Change::Limit(limit(6)));
            made.confirmed_as(dora, Event::from(limit(6)), by(id, "bob"));
        }),
        ("would replace has changed since", |made, _| {
            let id = proposes(made, "ann", "late", Change::Limit(limit(6)));
            made.asked("bob", "0", Event::from(limit(0)));
            made.confirmed("bob", Event::from(limit(6)), by(id, "ann"));
        }),
        ("would replace has changed since", |made, dora| {
            let of = Credential::Key(Digest([8; 32]));
            let (change, before) =
                (Change::Credential(key_of_dora(7)), credential_before(Some(&of)));
            let proposal = proposal_id(&change, before, ("ann", "r"), made.next_at());
            made.asked("ann", "r", Event::from(ChangeProposed { proposal, change, before }));
            made.asked_as(dora, "own", Event::from(key_of_dora(9)));
            made.confirmed("bob", Event::from(key_of_dora(7)), by(proposal, "ann"));
        }),
    ];
    for (part, step) in cases {
        let (mut made, dora) = with_dora();
        step(&mut made, dora);
        let found = found(made);
        assert!(found.contains(part) && part.is_empty() == found.is_empty(), "{part:?}: {found:?}");
        assert_eq!(found.contains("--own-keys-since"), !part.is_empty(), "{found:?}");
    }
    // With a key of her own she counts, and with the one that she had then.
    let goes_on = |again: bool| {
        let (mut made, dora) = with_dora();
        made.asked_as(dora.clone(), "own", Event::from(key_of_dora(9)));
        let id = proposes_as(&mut made, dora.clone());
        if again {
            made.asked_as(dora, "another", Event::from(key_of_dora(10)));
        }
        made.confirmed("ann", Event::from(limit(6)), by(id, "dora"));
        found(made)
    };
    assert_eq!(goes_on(false), "");
    assert!(goes_on(true).contains("has had another key since"));
}

/// A journal without vouchers, of an engine that did not ask whose key it was, with that engine's
/// key. In its last record dora has done something with the key that ann had made.
pub(crate) fn by_an_older_engine() -> (Vec<Framed>, EngineKey) {
    let (mut made, dora) = with_dora_in(proposed_in(Made::new(Made_::default())).0);
    proposes_as(&mut made, dora);
    let framed = |bytes: Vec<u8>| {
        let lsn = bytes[8..].first_chunk().copied().map(u64::from_le_bytes);
        Framed { lsn: Lsn(lsn.expect("a record has a header")), bytes }
    };
    (made.records.into_iter().map(framed).collect(), made.engine_key)
}

/// An engine that did not ask whose key it was let all of that stand: it is told by its record, and
/// is no difference, as far as whoever audits says that the engine was an older one.
#[test]
fn what_an_older_engine_let_stand_is_noted_with_its_record() {
    let cases: [(&str, As); 3] = [
        ("the key of dora was made by ann", |made, dora| {
            proposes_as(made, dora);
        }),
        ("the key of dora was made by ann", |made, dora| {
            let id = proposes(made, "bob", "by bob", Change::Limit(limit(6)));
            made.confirmed_as(dora, Event::from(limit(6)), by(id, "bob"));
        }),
        ("would replace has changed since", |made, _| {
            let id = proposes(made, "ann", "late", Change::Limit(limit(6)));
            made.asked("bob", "0", Event::from(limit(0)));
            made.confirmed("bob", Event::from(limit(6)), by(id, "ann"));
        }),
    ];
    for (part, step) in cases {
        let (mut made, dora) = with_dora();
        step(&mut made, dora);
        let last = made.end().last.lsn;
        let export = made.export();
        let report = audit_since(std::slice::from_ref(&export), Some(Lsn(last.0 + 1)));
        assert!(report.ok, "{:?}", report.first_difference);
        let wanted = format!("record {} stands by an older rule", last.0);
        let [note] = &report.notes[..] else { panic!("{:?}", report.notes) };
        assert!(note.starts_with(&wanted) && note.contains(part), "{note}");
        let report = audit_since(&[export], Some(last));
        let difference = report.first_difference.expect("a difference").to_string();
        assert!(difference.contains(part) && report.notes.is_empty(), "{difference}");
    }
    // What takes two and stands by one was never let stand.
    let (mut made, _) = proposed();
    made.asked("ann", "alone", Event::from(limit(5)));
    let report = audit_since(&[made.export()], Some(Lsn(u64::MAX)));
    assert!(!report.ok && report.notes.is_empty());
}
