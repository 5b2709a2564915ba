//! Own keys beside proposals, how many may be open, repeated requests, and when four eyes are on.

use super::*;
use crate::limits::{PROPOSALS_MAX, PROPOSALS_OF_ONE_MAX};

#[test]
fn an_own_key_is_set_alone_signs_what_it_confirms_and_goes_by_two() {
    let mut world = World::with(&["ann", "bob"]);
    let own = SignerKey([9; 32]);
    let by = |over| OperatorSignature::checked(over, own, [9; 64]);
    let over = crate::types::operator_key_statement(NETWORK, "bob", own, None);
    let set = Wish::SetOperatorKey { possession: Box::new(by(over)), signed: None };
    assert_eq!(world.by("bob", set), Ok(Done::Stands));
    let proposal = world.proposes("ann", limit(5));
    let must = world.confirms("bob", proposal).unwrap_err().to_string();
    assert!(must.contains("--sign-with"), "{must}");
    let other = by(confirmation_statement(NETWORK, Digest([5; 32])));
    let unfit = world.by("bob", Wish::ConfirmProposal { proposal, signed: Some(other) });
    assert!(unfit.is_err());
    let signed = Some(by(confirmation_statement(NETWORK, proposal)));
    let confirmed = world.by("bob", Wish::ConfirmProposal { proposal, signed });
    assert_eq!(confirmed, Ok(Done::Stands));
    // Without it whoever has bob's token could be bob.
    let remove = || Wish::RemoveOperatorKey { operator: "bob".into(), key: own, signed: None };
    let removal = world.proposes("ann", remove());
    assert_eq!(world.control.operator_keys().current("bob"), Some(own));
    assert_eq!(world.confirms("ann", removal), same(removal, "ann"));
    let signed = Some(by(confirmation_statement(NETWORK, removal)));
    let removed = world.by("bob", Wish::ConfirmProposal { proposal: removal, signed });
    assert_eq!(removed, Ok(Done::Stands));
    assert_eq!(world.control.operator_keys().current("bob"), None);
}

#[test]
fn so_many_proposals_may_be_open_and_one_person_leaves_room() {
    let mut world = World::with(&["ann", "bob", "cleo", "dan", "eve"]);
    for n in 0..PROPOSALS_OF_ONE_MAX {
        world.proposes("ann", limit(1 + n as u128));
    }
    let full = |whose, limit| Err(EyesMisfit::ProposalsFull { whose, limit }.into());
    assert_eq!(world.by("ann", limit(5)), full("you have", PROPOSALS_OF_ONE_MAX));
    for name in ["bob", "cleo", "dan"] {
        for _ in 0..PROPOSALS_OF_ONE_MAX {
            world.proposes(name, limit(7));
        }
    }
    assert_eq!(world.by("eve", limit(5)), full("there are", PROPOSALS_MAX));
    assert_eq!(world.by("eve", limit(0)), Ok(Done::Stands), "what protects needs no room");
}

#[test]
fn the_same_request_is_answered_by_the_record_that_proposed_it() {
    let mut world = World::with(&["ann", "bob"]);
    let request = || Request { id: "once".into(), content: Digest([1; 32]) };
    let caller = || Caller::grpc("ann".into());
    world.command(limit(5).by(caller(), request())).unwrap();
    let made = Lsn(world.lsn);
    let again = world.control.decide(limit(5).by(caller(), request()), world.now).unwrap();
    let Decision::Repeat(lsn) = again else { panic!("it was answered before") };
    assert_eq!(lsn, made);
    assert!(world.control.eyes().made_by(lsn).is_some());
    // A request that another had by chance, at the same moment, is another proposal.
    let ids: std::collections::BTreeSet<Digest> =
        ["ann", "bob", "ann"].iter().map(|name| world.proposes(name, limit(5))).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn four_eyes_are_the_engines_to_set_and_say_so_once() {
    let mut world = World::bare();
    let set = |on, operators: &[&str]| EyesSet {
        on,
        operators: operators.iter().map(|&of| of.to_owned()).collect(),
    };
    assert!(world.control.eyes().is_set_so(&set(false, &[])), "so it is, and no record says it");
    let refused = world.by("ann", Wish::SetEyes(set(false, &[])));
    assert!(matches!(refused, Err(Refusal::EnginesOwn { .. })));
    world.set(&["ann", "bob"]);
    assert!(world.control.eyes().is_set_so(&set(true, &["ann", "bob"])));
    assert!(world.control.eyes().are_on() && world.control.eyes().had_two());
    world.engine(Wish::SetEyes(set(false, &[]))).unwrap();
    assert_eq!(world.by("ann", limit(5)), Ok(Done::Stands));
    // Who was asked for by name is kept: turned on again, nothing is open.
    world.set(&[]);
    assert_eq!(world.by("ann", limit(5)), Err(EyesMisfit::NobodyProposes.into()));
}
