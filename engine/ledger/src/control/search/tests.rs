//! What is looked for is found, by the page and by the first digits, and nothing else.

use super::super::{Control, Decision};
use crate::event::Genesis;
use crate::fixture;
use crate::fund::tests::unlinked;
use crate::types::{
    Digest, FitKey, Lsn, NetworkId, PartyId, SignerKey, Timestamp, WindowNumber, ids_named,
};
use crate::{Caller, Command, Request, Wish};

fn id(digits: &str) -> [u8; 32] {
    ids_named(digits).unwrap().0
}

/// Parties and a signer of each, whose ids begin so.
fn world(digits: &[&str]) -> Control {
    let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
    let (mut control, mut lsn) = (Control::new(genesis, unlinked(Lsn(1))), Lsn(1));
    let wishes = digits.iter().flat_map(|digits| {
        let (party, signer) = (PartyId(id(digits)), FitKey::checked(SignerKey(id(digits))));
        [
            Wish::UpsertParty(fixture::upsert(party, digits, false)),
            Wish::AddSigner { signer, party, caps: Vec::new() },
            Wish::CloseWindow,
        ]
    });
    for wish in wishes {
        lsn = lsn.next();
        let request = Request { id: format!("r{lsn}"), content: Digest([1; 32]) };
        let command: Command = wish.by(Caller::grpc("ann".into()), request);
        let Ok(Decision::New(fact, made)) = control.decide(command, Timestamp(7)) else {
            panic!("allowed")
        };
        control.apply(unlinked(lsn), Timestamp(7), &fact, made);
    }
    control
}

#[test]
fn pages_go_on_where_the_last_one_ended_and_leave_nobody_out() {
    let control = world(&["02", "abcd", "0100", "abc1", "ff"]);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page: Vec<PartyId> = control.parties_after(after).take(2).map(|(id, _)| id).collect();
        let Some(last) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, ["0100", "02", "abc1", "abcd", "ff"].map(|digits| PartyId(id(digits))));
    let keys = control.signers_after(Some(SignerKey(id("abc1")))).map(|(key, _)| key);
    assert_eq!(keys.collect::<Vec<_>>(), ["abcd", "ff"].map(|digits| SignerKey(id(digits))));
}

/// Once the digits were read in pairs, and an odd one was dropped: then nothing began with them.
#[test]
fn first_digits_stand_for_all_that_begin_so_whether_they_are_even_or_odd() {
    let control = world(&["02", "abcd", "0100", "abc1", "ff"]);
    for (digits, wanted) in [
        ("0", &["0100", "02"][..]),
        ("ab", &["abc1", "abcd"]),
        ("abc", &["abc1", "abcd"]),
        ("ABCD", &["abcd"]),
        ("abce", &[]),
        ("f", &["ff"]),
        ("x", &[]),
        ("äb", &[]),
        (&"a".repeat(65), &[]),
    ] {
        let found: Vec<PartyId> = control.parties_named(digits).map(|(id, _)| id).collect();
        let wanted: Vec<PartyId> = wanted.iter().map(|digits| PartyId(id(digits))).collect();
        assert_eq!(found, wanted, "{digits}");
        let keys: Vec<[u8; 32]> = control.signers_named(digits).map(|(key, _)| key.0).collect();
        assert_eq!(keys, wanted.iter().map(|party| party.0).collect::<Vec<_>>(), "{digits}");
    }
}

#[test]
fn windows_are_listed_from_the_newest_and_on_before_any() {
    let control = world(&["01", "02"]);
    let numbers = |before: Option<u64>| {
        let found = control.windows_before(before.map(WindowNumber));
        found.map(|window| window.number.0).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None), [3, 2, 1]);
    assert_eq!(numbers(Some(3)), [2, 1]);
    assert!(numbers(Some(1)).is_empty());
}
