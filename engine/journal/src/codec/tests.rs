//! What is written is read back, and persisted bytes are for ever.

use super::*;
use tallystick_ledger::event::{
    ArchiveId, BatchApproved, BudgetsSet, BudgetsWarned, Change, ChangeProposed, CreditLimitSet,
    EndpointAdded, EndpointRemoved, EndpointRotated, EyesSet, HoldReleased, IdentityAdded,
    IdentityRevoked, IdentityRotated, LedgerRestored, LegBooking, LegProposed, LegsBooked,
    LegsMoved, OperatorKeyRemoved, OperatorKeySet, PartyErased, PartyUpserted, ProposalWithdrawn,
    TroublesRaised, WindowArchived,
};
use tallystick_ledger::types::{
    Amount, AssetNumber, BUNDLE_HEAD_BYTES, BatchId, Digest, ENTRY_BYTES, PartyId, Seat, SignerKey,
    Total, WindowNumber, put_seat, unpack_bundle,
};
use tallystick_ledger::{
    Budget, BudgetKey, BudgetUse, Caller, Credential, LegMove, LegState, Mover, NewTrouble, Period,
    Rail, Request, Role, Scope, SealedOnRail, SealedText, Topic, TroubleKind, Way,
};

fn by_ann(event: Event) -> Fact {
    let request = Request { id: "req-1".into(), content: Digest([7; 32]) };
    Fact::new(Caller::grpc("ann".into()).asks(request), event)
}

#[test]
fn entries_are_read_back() {
    let sealed = |length: usize| SealedText::new((0..=255).cycle().take(length).collect());
    let events = [
        Event::from(PartyUpserted {
            party: PartyId([1; 32]),
            name: sealed(47),
            suspended: true,
            accounts: vec![SealedOnRail { rail: "iso20022".into(), fields: sealed(60) }],
        }),
        Event::from(PartyErased {
            party: PartyId([1; 32]),
            deposits: "sent back on 3 March".into(),
        }),
        Event::from(CreditLimitSet {
            party: PartyId([1; 32]),
            asset: AssetNumber(9),
            limit: Total(1 << 100),
        }),
    ];
    let (mut writer, mut reader) = (Chain::start(), Chain::start());
    for fact in events.map(by_ann) {
        let framed = writer.frame_fact(1, Timestamp(5), &fact);
        let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
        assert!(record.is_written_as(&fact));
        assert_eq!(record.entry().unwrap(), Entry::Fact(Box::new(fact)));
    }
    let mut vouchers = [[3u8; VOUCHER_BYTES], [4u8; VOUCHER_BYTES]];
    vouchers.iter_mut().for_each(|voucher| put_seat_bytes(voucher, [0; 4]));
    let framed = writer.frame_vouchers(1, Timestamp(6), &[&vouchers[0], &vouchers[1]]);
    let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
    assert_eq!(record.entry().unwrap(), Entry::Frame(&vouchers));
    let rises = [5u64.to_le_bytes(), u64::MAX.to_le_bytes()];
    let parts: [&[u8]; 2] = [&vouchers[0], &vouchers[1]];
    let framed = writer.frame_charges(1, Timestamp(6), &parts, rises.as_flattened());
    let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
    assert_eq!((record.kind, record.count, record.body.len()), (3, 2, 2 * 168));
    assert_eq!(record.entry().unwrap(), Entry::Charges(&vouchers, &rises));
    // A byte too many or too few is no such record.
    for body in [&record.body[1..], &record.body[..335], &[record.body, &[0]].concat()] {
        assert!(Record { body, ..record }.entry().is_err());
    }
}

fn put_seat_bytes(voucher: &mut [u8; VOUCHER_BYTES], bytes: [u8; 4]) {
    voucher[68..72].copy_from_slice(&bytes);
}

/// Whoever can change a directory could put an entry of one key's bundle there, and behind it what
/// another key never signed: the audit of frames looked at the first entry's signature alone.
#[test]
fn what_is_no_voucher_makes_no_record_of_vouchers() {
    let voucher = [0; VOUCHER_BYTES];
    for bytes in [[0, 2, 0, 0], [1, 2, 0, 0], [2, 2, 0, 0], [0, 0, 1, 0], [255; 4]] {
        let mut other = voucher;
        put_seat_bytes(&mut other, bytes);
        let parts: [&[u8]; 2] = [&voucher, &other];
        let mut writer = Chain::start();
        let bundle = entries(1, 7);
        let framed = [
            writer.frame_vouchers(1, Timestamp(6), &parts),
            writer.frame_charges(1, Timestamp(6), &parts, &[5; 16]),
            writer.frame_bundles(1, Timestamp(6), &parts, &[&bundle]),
        ];
        let mut reader = Chain::start();
        for framed in framed {
            let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
            assert!(record.entry().is_err(), "{bytes:?} in kind {}", record.kind);
        }
    }
}

/// Entries of bundles, in the bytes of vouchers.
fn entries(count: usize, with: u8) -> Vec<[u8; VOUCHER_BYTES]> {
    let packed = vec![with; BUNDLE_HEAD_BYTES + count * ENTRY_BYTES];
    unpack_bundle(&packed).unwrap().collect()
}

#[test]
fn bundles_are_read_back_whole_or_not_at_all() {
    let (mut writer, mut reader) = (Chain::start(), Chain::start());
    let voucher = [[0; VOUCHER_BYTES]];
    let (three, one) = (entries(3, 6), entries(1, 7));
    for singles in [&voucher[..0], &voucher[..1]] {
        let parts: Vec<&[u8]> = singles.iter().map(|voucher| &voucher[..]).collect();
        let framed = writer.frame_bundles(1, Timestamp(6), &parts, &[&three, &one]);
        let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
        let count = singles.len() + 4;
        assert_eq!((record.kind, record.count as usize), (4, count));
        let length = 4 + singles.len() * 160 + (1 + 96 + 180) + (1 + 96 + 60);
        assert_eq!(record.body.len(), length);
        let all = [singles, &three, &one].concat();
        assert_eq!(record.entry().unwrap(), Entry::Bundles(all));
        for length in 0..length {
            assert!(Record { body: &record.body[..length], ..record }.entry().is_err());
        }
        let longer = [record.body, &[0]].concat();
        assert!(Record { body: &longer, ..record }.entry().is_err());
        assert!(Record { count: record.count + 1, ..record }.entry().is_err());
    }
    // A voucher that says that it is an entry is none.
    let mut seated = voucher[0];
    put_seat(&mut seated, Seat::new(0, 1).unwrap());
    let framed = writer.frame_bundles(1, Timestamp(6), &[&seated], &[&one]);
    assert!(reader.follow(framed.lsn, &framed.bytes).unwrap().entry().is_err());
}

/// Persisted bytes are for ever: this is what version 1 wrote.
#[test]
fn golden_bytes_of_an_event() {
    let event = Event::from(CreditLimitSet {
        party: PartyId([0xaa; 32]),
        asset: AssetNumber(0x0102_0304),
        limit: Total(0x1122),
    });
    let request = Request { id: "r".into(), content: Digest([0xcc; 32]) };
    let envelope = Caller::grpc("ann".into()).asks(request);
    let hex = data_encoding::HEXLOWER.encode(&fact_bytes(&Fact::new(envelope, event)));
    // The operator `ann`, by gRPC, with a request.
    let (caller, id) = ("616e6effffffffff0102", "0172ffffffffffffff");
    let limit = format!("2211{}", "00".repeat(14));
    let golden = [caller, id, &"cc".repeat(32), &"aa".repeat(32), "04030201", &limit].concat();
    assert_eq!(hex, golden);
}

#[test]
fn golden_bytes_of_a_party_and_of_its_end() {
    let (party, hex) = (PartyId([0xaa; 32]), |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    });
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let sealed = |byte: u8, count: usize| SealedText::new(vec![byte; count]);
    let (name, fields) = (sealed(0xee, 3), sealed(0xdd, 2));
    let accounts = vec![SealedOnRail { rail: "evm".into(), fields }];
    let upserted = PartyUpserted { party, name, suspended: true, accounts };
    let golden = [
        // Sealed bytes stand before what holds their places and numbers.
        "eeeeee",
        "dddd",
        "65766dffffffffff",
        "f6ffffff02000000",
        &own,
        &"aa".repeat(32),
        "98ffffff03000000",
        "01",
        "94ffffff01000000",
    ];
    assert_eq!(hex(Event::from(upserted)), (23, golden.concat()));
    let erased = PartyErased { party, deposits: "R".into() };
    let golden = [&own, &"aa".repeat(32), "52ffffffffffffff"];
    assert_eq!(hex(Event::from(erased)), (24, golden.concat()));
}

#[test]
fn golden_bytes_of_what_operators_sign() {
    let (batch, hex) = (BatchId([0xbb; 32]), |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    });
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let (name, signature) = ("616e6effffffffff", [0x99; 64]);
    let (operator, key) = ("ann".to_owned(), SignerKey([0xaa; 32]));
    let set = OperatorKeySet { operator, key, possession: [0x88; 64], signature };
    let golden = [&own, name, &"aa".repeat(32), &"88".repeat(64), &"99".repeat(64)];
    assert_eq!(hex(Event::from(set)), (25, golden.concat()));
    let removed = OperatorKeyRemoved { operator: "ann".into(), signature };
    let golden = [&own, name, &"99".repeat(64)];
    assert_eq!(hex(Event::from(removed)), (26, golden.concat()));
    let approved = BatchApproved { batch, signature };
    let golden = [&*own, &"bb".repeat(32), &"99".repeat(64)];
    assert_eq!(hex(Event::from(approved)), (62, golden.concat()));
    let (to, reference, evidence) = (LegState::Confirmed, "R".to_owned(), "E".to_owned());
    let word = LegProposed { batch, leg: 7, to, reference, evidence, signature };
    let (r, e) = ("52ffffffffffffff", "45ffffffffffffff");
    let golden = [&*own, &"bb".repeat(32), "07000000", "05", r, e, &"99".repeat(64)];
    assert_eq!(hex(Event::from(word)), (67, golden.concat()));
    let moves = vec![LegMove {
        leg: 7,
        to,
        payer: PartyId([0xaa; 32]),
        payee: PartyId([0xcc; 32]),
        amount: Total(5),
        reference: "R".into(),
        reason: "E".into(),
    }];
    let (asset, mover, evidence) = (AssetNumber(978), Mover::Operator, Digest([0xee; 32]));
    let moved = LegsMoved { batch, asset, mover, evidence, moves, signature };
    let amount = format!("05{}", "00".repeat(15));
    let row = ["07000000", "05", &"aa".repeat(32), &"cc".repeat(32), &amount, r, e].concat();
    let list = "23ffffff01000000";
    let golden =
        [&*row, &own, &"bb".repeat(32), "d203000003", &"ee".repeat(32), list, &"99".repeat(64)];
    assert_eq!(hex(Event::from(moved)), (63, golden.concat()));
}

#[test]
fn golden_bytes_of_budgets() {
    let hex = |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    };
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let (signer, payee) = (SignerKey([0xaa; 32]), PartyId([0xbb; 32]));
    let budget = |period, payee| Budget {
        key: BudgetKey { asset: AssetNumber(978), period, payee },
        amount: Amount(0x0102),
    };
    let set = BudgetsSet { signer, budgets: vec![budget(Period::Day, None)] };
    let amount = "0201000000000000";
    let row = ["d2030000", "03", "00", &"00".repeat(32), amount].concat();
    let golden = [&*row, &own, &"aa".repeat(32), "7fffffff01000000"];
    assert_eq!(hex(Event::from(set)), (80, golden.concat()));
    let budget = budget(Period::Hour, Some(payee));
    let uses = vec![BudgetUse { signer, budget, number: 0x0304, used: Amount(0x0506) }];
    let row = ["d2030000", "04", "01", &"bb".repeat(32), amount].concat();
    let used = "04030000000000000605000000000000";
    let golden = [&"aa".repeat(32), &*row, used, &own, "6fffffff01000000"];
    assert_eq!(hex(Event::from(BudgetsWarned { uses })), (81, golden.concat()));
}

#[test]
fn golden_bytes_of_identities() {
    let hex = |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    };
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let (party, payee) = (PartyId([0xaa; 32]), PartyId([0xbb; 32]));
    let added = IdentityAdded {
        name: "fac".into(),
        role: Role::Facilitator,
        credential: Credential::Key(Digest([0xcc; 32])),
        scope: Scope { parties: vec![party], payees: vec![payee] },
        expires_at: Some(Timestamp(0x0102)),
        rate: 0x0304,
    };
    let golden = [
        // The two lists stand before what holds their places and numbers.
        &*"aa".repeat(32),
        &"bb".repeat(32),
        &own,
        "666163ffffffffff",
        "03",
        "00",
        &"cc".repeat(32),
        "63ffffff01000000",
        "7bffffff01000000",
        "010201000000000000",
        "04030000",
    ];
    assert_eq!(hex(Event::from(added)), (90, golden.concat()));
    let name = || "fac".to_owned();
    let revoked = IdentityRevoked { name: name() };
    assert_eq!(hex(Event::from(revoked)), (91, [&*own, "666163ffffffffff"].concat()));
    let key = Credential::Signed(SignerKey([0xdd; 32]));
    let rotated = IdentityRotated { name: name(), credential: key };
    let golden = [&*own, "666163ffffffffff", "01", &"dd".repeat(32)].concat();
    assert_eq!(hex(Event::from(rotated)), (92, golden));
    let certificate = Credential::Certificate("c".into());
    let rotated = IdentityRotated { name: name(), credential: certificate };
    let golden = [&*own, "666163ffffffffff", "02", "63ffffffffffffff", &"00".repeat(24)];
    assert_eq!(hex(Event::from(rotated)), (92, golden.concat()));
}

#[test]
fn golden_bytes_of_webhooks() {
    let hex = |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    };
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let (party, endpoint) = (PartyId([0xaa; 32]), Lsn(0x0102));
    let sealed = |byte: u8| SealedText::new(vec![byte; 3]);
    let (url, secret) = (sealed(0xbb), sealed(0xcc));
    let topics = vec![Topic::WindowClosed, Topic::BudgetReached];
    let added = EndpointAdded { party, url, secret: secret.clone(), topics };
    let golden = [
        // The texts and the list stand before what holds their places and lengths.
        "bbbbbb",
        "cccccc",
        "0104",
        &own,
        &"aa".repeat(32),
        "a5ffffff03000000",
        "a0ffffff03000000",
        "9bffffff02000000",
    ];
    assert_eq!(hex(Event::from(added)), (120, golden.concat()));
    let removed = EndpointRemoved { endpoint, party };
    let golden = [&*own, "0201000000000000", &"aa".repeat(32)].concat();
    assert_eq!(hex(Event::from(removed)), (121, golden));
    let rotated = EndpointRotated { endpoint, party, secret, keeps_former: true };
    let golden =
        ["cccccc", &own, "0201000000000000", &"aa".repeat(32), "a2ffffff03000000", "01"].concat();
    assert_eq!(hex(Event::from(rotated)), (122, golden));
}

#[test]
fn golden_bytes_of_an_archived_window() {
    let (window, digest) = (WindowNumber(0x0102), Digest([0xdd; 32]));
    let archive = ArchiveId { digest, bytes: 0x0304 };
    let event = Event::from(WindowArchived { window, archive });
    let fact = Fact::new(Envelope::own(), event);
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let golden = [&*own, "0201000000000000", &"dd".repeat(32), "0403000000000000"];
    let hex = data_encoding::HEXLOWER.encode(&fact_bytes(&fact));
    assert_eq!((event_kind(&fact.event), hex), (100, golden.concat()));
}

#[test]
fn golden_bytes_of_a_restored_ledger_and_of_its_release() {
    let hex = |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    };
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let (instance, backup) = (Digest([0xaa; 32]), Digest([0xbb; 32]));
    let restored = LedgerRestored { instance, backup, position: Lsn(0x0102) };
    let golden = [&*own, &"aa".repeat(32), &"bb".repeat(32), "0201000000000000"];
    assert_eq!(hex(Event::from(restored)), (96, golden.concat()));
    let released = HoldReleased { restored: Lsn(0x0304), reason: "R".into() };
    let golden = [&*own, "0403000000000000", "52ffffffffffffff"];
    assert_eq!(hex(Event::from(released)), (97, golden.concat()));
}

#[test]
fn golden_bytes_of_what_is_held_of_legs_and_of_a_trouble() {
    let (batch, hex) = (BatchId([0xbb; 32]), |event: Event| {
        let fact = Fact::new(Envelope::own(), event);
        (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
    });
    // The engine, on its own, without a request.
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let booking = LegBooking { leg: 0x0102, way: Way::Came, reference: "R".into() };
    let evidence = Digest([0xee; 32]);
    let booked = LegsBooked { batch, evidence, bookings: vec![booking] };
    let golden = [
        "0201000002",
        "52ffffffffffffff",
        &own,
        &"bb".repeat(32),
        &"ee".repeat(32),
        // From its own place to the list, and how many.
        "80ffffff",
        "01000000",
    ];
    assert_eq!(hex(Event::from(booked)), (60, golden.concat()));
    let trouble = NewTrouble {
        kind: TroubleKind::Surplus,
        rail: Rail::Card,
        batch: Some(batch),
        leg: Some(7),
        party: Some(PartyId([0xaa; 32])),
        source: "s".into(),
        text: "t".into(),
    };
    let raised = TroublesRaised { troubles: vec![trouble] };
    let golden = [
        "0303",
        "01",
        &"bb".repeat(32),
        "0107000000",
        "01",
        &"aa".repeat(32),
        "73ffffffffffffff",
        "74ffffffffffffff",
        &own,
        "74ffffff",
        "01000000",
    ];
    assert_eq!(hex(Event::from(raised)), (66, golden.concat()));
}

#[test]
fn an_unknown_kind_and_a_cut_body_are_refused() {
    let mut writer = Chain::start();
    let framed = writer.frame(1, Timestamp(5), 99, 1, &[b"x"]);
    let record = Chain::start().follow(framed.lsn, &framed.bytes).unwrap();
    assert!(record.entry().unwrap_err().to_string().contains("kind 99"));
    let framed = Chain::start().frame(1, Timestamp(5), 18, 1, &[b"too short"]);
    let record = Chain::start().follow(framed.lsn, &framed.bytes).unwrap();
    assert!(matches!(record.entry(), Err(JournalError::Damaged { lsn: Lsn(1), .. })));
}

/// What was confirmed holds what it would be on its own, whole.
#[test]
fn golden_bytes_of_what_was_proposed_and_confirmed() {
    let hex = |fact: &Fact| (fact_kind(fact), data_encoding::HEXLOWER.encode(&fact_bytes(fact)));
    let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
    let of = |event: Event| hex(&Fact::new(Envelope::own(), event));
    let set = EyesSet { on: true, operators: vec!["ann".into()] };
    let golden = ["616e6effffffffff", &*own, "01", "c4ffffff", "01000000"];
    assert_eq!(of(Event::from(set)), (110, golden.concat()));
    let (party, asset, limit) = (PartyId([0xaa; 32]), AssetNumber(0x0102), Total(0x0304));
    let limit = CreditLimitSet { party, asset, limit };
    let (proposal, before) = (Digest([0xbb; 32]), Digest([0xcc; 32]));
    let change = Change::Limit(limit.clone());
    let the_limit = format!("{}020100000403{}", "aa".repeat(32), "00".repeat(14));
    let proposed = ChangeProposed { proposal, change, before };
    let (kind, bytes) = of(Event::from(proposed));
    assert_eq!(kind, 111);
    let front = format!("{own}{}02{the_limit}", "bb".repeat(32));
    assert!(bytes.starts_with(&front) && bytes.ends_with(&"cc".repeat(32)), "{bytes}");
    let withdrawn = ProposalWithdrawn { proposal, reason: "R".into() };
    let golden = [&*own, &"bb".repeat(32), "52ffffffffffffff"];
    assert_eq!(of(Event::from(withdrawn)), (113, golden.concat()));
    let plain = Fact::new(Envelope::own(), Event::from(limit));
    let (_, whole) = hex(&plain);
    let confirms = Confirmation { proposal, proposer: "ann".into(), signature: [0xdd; 64] };
    let confirmed = Fact { confirms: Some(confirms), ..plain };
    let (kind, bytes) = hex(&confirmed);
    let tail = format!("{}616e6effffffffff{}14", "bb".repeat(32), "dd".repeat(64));
    assert!(kind == 112 && bytes.starts_with(&whole) && bytes.contains(&tail), "{bytes}");
    let read = fact_of(CONFIRMED, &fact_bytes(&confirmed)).unwrap().unwrap();
    assert_eq!(read, confirmed);
    // One that is confirmed twice is nothing that can be.
    let twice = Confirmed {
        confirms: confirmed.confirms.clone().unwrap(),
        kind: CONFIRMED,
        body: fact_bytes(&confirmed).to_vec(),
    };
    let bytes = rkyv::to_bytes::<RkyvError>(&twice).unwrap();
    assert!(fact_of(CONFIRMED, &bytes).is_none());
}
