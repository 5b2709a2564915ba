//! Who acts as an identity was one then, with a right to it: whatever else the engine writes, is
//! found.

use super::made::{Change, Made, agent, party};
use super::*;
use crate::ledger::event::{
    CreditLimitSet, IdentityAdded, IdentityRevoked, IdentityRotated, SignerRevoked, WindowCut,
};
use crate::ledger::{Credential, Identity, Role, Scope};
use crate::types::{AssetNumber, Lsn, PartyId, Timestamp, Total, WindowNumber};

fn by(name: &str, role: Role) -> Caller {
    let credential = Credential::Key(Digest::ZERO);
    let (scope, changed) = (Scope::default(), Lsn(0));
    let identity = Identity {
        name: name.to_owned(),
        role,
        credential,
        scope,
        expires_at: None,
        rate: 0,
        changed,
        revoked: None,
        maker: None,
        past: Vec::new(),
    };
    Caller::identity(&identity)
}

fn added(name: &str, role: Role, parties: Vec<PartyId>) -> IdentityAdded {
    IdentityAdded {
        name: name.to_owned(),
        role,
        credential: Credential::Key(Digest(*blake3::hash(name.as_bytes()).as_bytes())),
        scope: Scope { parties, payees: Vec::new() },
        expires_at: None,
        rate: 0,
    }
}

/// What is found in a deployment that goes on so.
fn found(steps: Vec<(Caller, Event)>) -> String {
    let mut made = Made::new(Change::default()).deployed();
    for (place, (caller, event)) in steps.into_iter().enumerate() {
        made.asked_as(caller, &format!("step {place}"), event);
    }
    let report = audit_files(&[made.export()]);
    report.first_difference.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn what_an_identity_did_without_a_right_is_found() {
    let ann = || Caller::grpc("ann".into());
    let add = |role| (ann(), Event::from(added("id", role, Vec::new())));
    let operator = || by("id", Role::Operator);
    let revoke = || Event::from(IdentityRevoked { name: "id".into() });
    let unknown = PartyId([77; 32]);
    let set = |party| CreditLimitSet { party, asset: AssetNumber(978), limit: Total(5) };
    let own = || added("id", Role::Party, vec![unknown]);
    let ended =
        IdentityAdded { expires_at: Some(Timestamp(1)), ..added("id", Role::Auditor, vec![]) };
    let other =
        IdentityRotated { name: "id".into(), credential: Credential::Certificate("c".into()) };
    let cases: Vec<(&str, Vec<(Caller, Event)>)> = vec![
        ("", vec![add(Role::Operator), (operator(), revoke())]),
        ("was revoked", vec![add(Role::Operator), (ann(), revoke()), (operator(), revoke())]),
        ("does not exist", vec![(operator(), revoke())]),
        ("something else by now", vec![add(Role::Auditor), (operator(), revoke())]),
        ("RevokeIdentity", vec![add(Role::Auditor), (by("id", Role::Auditor), revoke())]),
        ("exists, or existed", vec![add(Role::Operator), (ann(), revoke()), add(Role::Operator)]),
        ("not after now", vec![(ann(), Event::from(ended))]),
        ("another kind", vec![add(Role::Operator), (ann(), Event::from(other))]),
        ("a party in an identity's scope", vec![(ann(), Event::from(own()))]),
        (
            "SetCreditLimit",
            vec![add(Role::Approver), (by("id", Role::Approver), Event::from(set(unknown)))],
        ),
    ];
    for (part, steps) in cases {
        let found = found(steps);
        assert!(found.contains(part) && part.is_empty() == found.is_empty(), "{part:?}: {found:?}");
    }
}

#[test]
fn an_owner_who_acts_for_others_is_found() {
    let signer = |name: u8| (SignerKey(agent(name).verifying_key().to_bytes()), party(name));
    let (own, other) = (signer(1), signer(2));
    let ann = || Caller::grpc("ann".into());
    let add = || (ann(), Event::from(added("id", Role::Party, vec![own.1])));
    let revokes = |signer| (by("id", Role::Party), Event::from(SignerRevoked { signer }));
    assert_eq!(found(vec![add(), revokes(own.0)]), "");
    let not_own = found(vec![add(), revokes(other.0)]);
    assert!(not_own.contains("one who may"), "{not_own}");
    let cut = Event::from(WindowCut { window: WindowNumber(3) });
    let not_theirs = found(vec![add(), (by("id", Role::Party), cut)]);
    assert!(not_theirs.contains("CloseWindow"), "{not_theirs}");
}
