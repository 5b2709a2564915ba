use super::*;
use crate::types::PartyId;

fn key(n: u8) -> Credential {
    Credential::Key(Digest([n; 32]))
}

fn party(n: u8) -> PartyId {
    PartyId([n; 32])
}

fn identity(name: &str, role: Role, credential: Credential) -> Identity {
    let (name, scope) = (name.to_owned(), Scope::default());
    let (changed, expires_at) = (Lsn(5), None);
    let (maker, past, revoked) = (None, Vec::new(), None);
    Identity { name, role, credential, scope, expires_at, rate: 0, changed, revoked, maker, past }
}

#[test]
fn names_are_plain_and_nobody_is_the_schedule() {
    for good in ["a", "fac-1", "Ann.B_c@d", &"x".repeat(IDENTITY_NAME_BYTES_MAX)] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for bad in ["", "two words", "schedule", "ä", "a/b", &"x".repeat(IDENTITY_NAME_BYTES_MAX + 1)]
    {
        assert_eq!(check_name(bad), Err(IdentityMisfit::Name(bad.to_owned())), "{bad}");
    }
}

#[test]
fn each_role_has_the_scope_that_it_can_have() {
    let one = |role, parties: &[u8], payees: &[u8], rate| {
        let scope = Scope {
            parties: parties.iter().copied().map(party).collect(),
            payees: payees.iter().copied().map(party).collect(),
        };
        Identity { scope, rate, ..identity("n", role, key(1)) }.check()
    };
    let no_scope = |role: Role| Err(IdentityMisfit::NoScope { role: role.name() });
    for (parties, payees, rate) in [(&[][..], &[][..], 0), (&[1, 2], &[], 5), (&[], &[3], 0)] {
        assert_eq!(one(Role::Facilitator, parties, payees, rate), Ok(()));
    }
    assert_eq!(one(Role::Party, &[1], &[], 0), Ok(()));
    assert_eq!(one(Role::Party, &[], &[], 0), Err(IdentityMisfit::NoParty));
    assert_eq!(one(Role::Party, &[1], &[2], 0), no_scope(Role::Party));
    assert_eq!(one(Role::Party, &[1], &[], 1), no_scope(Role::Party));
    for role in [Role::Operator, Role::Approver, Role::Auditor] {
        assert_eq!(one(role, &[], &[], 0), Ok(()));
        assert_eq!(one(role, &[1], &[], 0), no_scope(role));
        assert_eq!(one(role, &[], &[], 9), no_scope(role));
    }
    for role in [Role::Engine, Role::Anyone] {
        assert_eq!(one(role, &[], &[], 0), Err(IdentityMisfit::Role { role: role.name() }));
    }
    for bad in [&[2, 1][..], &[1, 1]] {
        assert_eq!(one(Role::Facilitator, bad, &[], 0), Err(IdentityMisfit::Scope));
        assert_eq!(one(Role::Facilitator, &[], bad, 0), Err(IdentityMisfit::Scope));
    }
    let long = Credential::Certificate("c".repeat(CERTIFICATE_NAME_BYTES_MAX + 1));
    let length = CERTIFICATE_NAME_BYTES_MAX + 1;
    let refused = identity("n", Role::Auditor, long).check();
    assert_eq!(refused, Err(IdentityMisfit::CertificateName { length }));
}

#[test]
fn a_name_and_a_key_are_one_identitys_and_a_revoked_one_never_comes_back() {
    let (mut all, at) = (Identities::default(), Timestamp(7));
    all.add(Lsn(5), identity("fac", Role::Facilitator, key(1)));
    let again = all.check_add(&identity("fac", Role::Auditor, key(2)), at);
    assert_eq!(again, Err(IdentityMisfit::NameTaken("fac".into())));
    let same_key = all.check_add(&identity("other", Role::Auditor, key(1)), at);
    assert_eq!(same_key, Err(IdentityMisfit::CredentialTaken("fac".into())));
    all.revoke(Lsn(6), "fac");
    all.revoke(Lsn(9), "fac");
    assert_eq!(all.named("fac").unwrap().revoked, Some(Lsn(6)), "the first one counts");
    let acts = |all: &Identities| all.acts("fac", (Role::Facilitator, Via::Key), at).cloned();
    assert_eq!(acts(&all), Err(IdentityMisfit::Revoked("fac".into())));
    for (name, by) in [("fac", 2), ("other", 1)] {
        assert!(all.check_add(&identity(name, Role::Facilitator, key(by)), at).is_err(), "{name}");
    }
    assert!(all.check_rotate("fac", &key(3), at).is_err(), "nor by another key");
    assert!(all.had_facilitator() && !all.had_operator(), "the door stays locked");
}

#[test]
fn an_identity_acts_until_its_end_and_by_its_newest_key_alone() {
    let (mut all, at) = (Identities::default(), Timestamp(100));
    let ends = Identity { expires_at: Some(at), ..identity("p", Role::Operator, key(1)) };
    assert_eq!(all.check_add(&ends, at), Err(IdentityMisfit::Over));
    assert_eq!(all.check_add(&ends, Timestamp(99)), Ok(()));
    all.add(Lsn(5), ends);
    let acts = |all: &Identities, role, via, at| all.acts("p", (role, via), Timestamp(at)).is_ok();
    assert!(acts(&all, Role::Operator, Via::Key, 99));
    assert!(!acts(&all, Role::Operator, Via::Key, 100));
    assert!(
        !acts(&all, Role::Auditor, Via::Key, 99) && !acts(&all, Role::Operator, Via::Signed, 99)
    );
    let before = Timestamp(50);
    let other_kind = Credential::Certificate("host".into());
    let refused = all.check_rotate("p", &other_kind, before);
    assert_eq!(refused, Err(IdentityMisfit::OtherKind("p".into())));
    assert_eq!(all.check_rotate("p", &key(2), before), Ok(()));
    all.rotate(Lsn(8), "p", key(2), Some("p"));
    assert_eq!(all.known_by(&key(1)), None);
    // What counts no more never comes back, as anybody's.
    let taken = Err(IdentityMisfit::CredentialTaken("p".into()));
    assert_eq!(all.check_rotate("p", &key(1), before), taken);
    assert_eq!(all.check_add(&identity("q", Role::Auditor, key(1)), before), taken);
    assert_eq!(all.known_by(&key(2)).map(|of| of.changed), Some(Lsn(8)));
    assert!(all.check_rotate("p", &key(3), at).is_err(), "it has expired");
    assert_eq!(all.check_rotate("q", &key(3), before), Err(IdentityMisfit::Unknown("q".into())));
}

#[test]
fn as_many_identities_as_fit_and_no_more() {
    let mut all = Identities::default();
    let one = |n: usize| {
        let mut digest = Digest::ZERO;
        digest.0[..8].copy_from_slice(&u64::try_from(n).unwrap().to_le_bytes());
        identity(&format!("id-{n}"), Role::Auditor, Credential::Key(digest))
    };
    for n in 0..IDENTITIES_MAX {
        assert_eq!(all.check_add(&one(n), Timestamp(0)), Ok(()));
        all.add(Lsn(2 + u64::try_from(n).unwrap()), one(n));
    }
    let one_more = all.check_add(&one(IDENTITIES_MAX), Timestamp(0));
    assert_eq!(one_more, Err(IdentityMisfit::TooMany));
}

#[test]
fn an_empty_list_leaves_nobody_out_and_owns_nobody() {
    let scope = |parties: &[u8], payees: &[u8]| Scope {
        parties: parties.iter().copied().map(party).collect(),
        payees: payees.iter().copied().map(party).collect(),
    };
    let all = scope(&[], &[]);
    assert!(all.has_payer(party(1)) && all.has_payee(party(1)) && !all.owns(party(1)));
    let some = scope(&[1, 3], &[2]);
    assert!(some.has_payer(party(3)) && !some.has_payer(party(2)) && some.owns(party(1)));
    assert!(some.has_payee(party(2)) && !some.has_payee(party(1)));
}

/// Who hands out a key may know it, until its owner has made another.
#[test]
fn what_was_done_with_another_key_or_with_one_that_another_made_is_not_stood_by() {
    let mut all = Identities::default();
    let made = |name: &str, n: u8, maker: Option<&str>| Identity {
        maker: made_by(&key(n), maker),
        changed: Lsn(u64::from(n)),
        ..identity(name, Role::Approver, key(n))
    };
    all.add(Lsn(1), made("bob", 1, Some("ann")));
    all.add(Lsn(2), made("dan", 2, None));
    let stands =
        |all: &Identities, lsn| ["ann", "bob", "dan"].map(|of| all.stands_by(of, Lsn(lsn)));
    assert_eq!(stands(&all, 5), [true, false, true], "ann has a token, and bob a key by her");
    all.rotate(Lsn(9), "bob", key(9), Some("bob"));
    assert_eq!(stands(&all, 5), [true, false, true], "ann may have done it");
    assert_eq!(stands(&all, 10), [true, true, true]);
    all.rotate(Lsn(11), "dan", key(11), Some("dan"));
    assert_eq!(stands(&all, 10), [true, true, false], "a thief may have done it");
    all.rotate(Lsn(12), "bob", key(12), Some("dan"));
    assert_eq!(stands(&all, 20), [true, false, true]);
    // A certificate is by whoever signs certificates.
    assert_eq!(made_by(&Credential::Certificate("host".into()), Some("ann")), None);
}

#[test]
fn an_identity_has_so_many_keys_and_no_more() {
    let mut all = Identities::default();
    let numbered = |n: usize| {
        let mut digest = Digest::ZERO;
        digest.0[..8].copy_from_slice(&u64::try_from(n).unwrap().to_le_bytes());
        Credential::Key(digest)
    };
    all.add(Lsn(1), identity("p", Role::Facilitator, numbered(0)));
    for n in 1..ROTATIONS_MAX {
        assert_eq!(all.check_rotate("p", &numbered(n), Timestamp(0)), Ok(()));
        all.rotate(Lsn(1), "p", numbered(n), Some("p"));
    }
    let more = all.check_rotate("p", &numbered(ROTATIONS_MAX), Timestamp(0));
    assert_eq!(more, Err(IdentityMisfit::TooOften("p".into())));
}
