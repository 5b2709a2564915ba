//! Bundles against a running engine: each entry is told what it would be told as a voucher, all
//! survive a restart, and each is proved alone.

use serde_json::Value;
use std::path::Path;
use tallystick_client::bundle;
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::{
    AddIdentityRequest, Bundle, CreateAssetRequest, Credential, Entry, Frame, GetChannelRequest,
    Role, SettlementModel,
};
use tallystick_tests::{
    Client, Deployment, Engine, Outcome, PartyId, Signer, World, limit_request, outcomes, party_id,
    party_request, request_id, run_cli, signer_request,
};

use Outcome::{BadSignature, Credited, Malformed, OverLimit, SelfPayment, Stale, UnknownPayee};

/// A packed bundle of payer number `payer`.
fn signed(world: &World, payer: usize, entries: &[(PartyId, u64, u64)]) -> Vec<u8> {
    let entry = |&(payee, lane, total): &_| world.unsigned(payee, World::PAIRS, lane, total);
    let entries: Vec<_> = entries.iter().map(entry).collect();
    world.bundle(payer, &entries)
}

/// The same, as a client sends it that would rather not pack bytes.
fn structured(packed: &[u8]) -> Bundle {
    let (head, entries) = packed.split_at(bundle::HEAD_BYTES);
    let entry = |bytes: &[u8; bundle::ENTRY_BYTES]| Entry {
        payee: bytes[..32].to_vec().into(),
        asset: u32::from_le_bytes(bytes[32..36].try_into().unwrap()),
        lane: u64::from_le_bytes(bytes[36..44].try_into().unwrap()),
        expires_at: i64::from_le_bytes(bytes[44..52].try_into().unwrap()),
        cumulative: u64::from_le_bytes(bytes[52..].try_into().unwrap()),
    };
    Bundle {
        signer: head[..32].to_vec().into(),
        entries: entries.as_chunks().0.iter().map(entry).collect(),
        signature: head[32..].to_vec().into(),
    }
}

async fn submit(client: &mut Client, bundles: &[Vec<u8>]) -> Vec<Outcome> {
    let packed_bundles = bundles.iter().map(|bundle| bundle.clone().into()).collect();
    let frame = Frame { packed_bundles, ..Frame::default() };
    outcomes(client.vouchers.submit(frame).await.unwrap().get_ref())
}

async fn total(d: &mut Deployment, payer: usize, payee: PartyId, lane: u64) -> u64 {
    let asked = GetChannelRequest {
        signer: d.world.payers[payer].key().0.to_vec().into(),
        payee: payee.0.to_vec().into(),
        asset: World::PAIRS,
        lane,
        expires_at: d.world.expires_at,
    };
    d.client.vouchers.get_channel(asked).await.unwrap().into_inner().cumulative
}

fn ok(args: &[&str]) -> String {
    let done = run_cli(args);
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{args:?}: {out}{}", String::from_utf8_lossy(&done.stderr));
    out
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_is_told_what_it_would_be_told_as_a_voucher() {
    let mut d = Deployment::new(2, 3).await;
    let (payees, own) = (d.world.payees.clone(), d.world.payers[0].party);
    let stranger = party_id("nobody knows them");
    let first = signed(&d.world, 0, &[(payees[0], 0, 10), (payees[1], 0, 20), (payees[2], 0, 30)]);
    assert_eq!(submit(&mut d.client, std::slice::from_ref(&first)).await, [Credited; 3]);
    // Again, and one that is stale among others; a channel twice, in order; whom nobody knows.
    assert_eq!(submit(&mut d.client, std::slice::from_ref(&first)).await, [Stale; 3]);
    let too_much = u64::try_from(World::LIMIT).unwrap() + 1;
    let mixed = signed(
        &d.world,
        0,
        &[
            (payees[0], 0, 10),
            (payees[0], 0, 15),
            (payees[0], 0, 12),
            (stranger, 0, 5),
            (own, 0, 5),
            (payees[1], 0, too_much),
            (payees[2], 1, 7),
        ],
    );
    let told = [Stale, Credited, Stale, UnknownPayee, SelfPayment, OverLimit, Credited];
    assert_eq!(submit(&mut d.client, std::slice::from_ref(&mixed)).await, told);
    // One flipped bit anywhere of what was signed, or of the signature, refuses what would count.
    let good = signed(&d.world, 1, &[(payees[0], 0, 10), (payees[1], 0, 20)]);
    for at in [40, 96, 96 + 32, 96 + 60 + 59] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let told = submit(&mut d.client, &[bad]).await;
        assert!(!told.contains(&Credited) && told.contains(&BadSignature), "byte {at}: {told:?}");
    }
    // Another order, or one entry less, is another bundle.
    let swapped = [&good[..96], &good[156..], &good[96..156]].concat();
    assert_eq!(submit(&mut d.client, &[swapped, good[..156].to_vec()]).await, [BadSignature; 3]);
    // A voucher's signature is no bundle's, nor the other way round.
    let voucher = d.world.voucher(1, 0, 0, 10);
    let as_bundle = [
        &voucher.signer.0[..],
        &voucher.signature,
        &voucher.pack()[32..68],
        &voucher.pack()[72..96],
    ];
    assert_eq!(submit(&mut d.client, &[as_bundle.concat()]).await, [BadSignature]);
    let one = signed(&d.world, 1, &[(payees[0], 0, 10)]);
    let mut as_voucher = voucher.pack();
    as_voucher[96..].copy_from_slice(&one[32..96]);
    let seated = |mut bytes: [u8; 160]| {
        bytes[69] = 1;
        bytes
    };
    let frame =
        |vouchers: &[[u8; 160]]| Frame { packed: vouchers.concat().into(), ..Frame::default() };
    let ack = d.client.vouchers.submit(frame(&[as_voucher, seated(as_voucher)])).await.unwrap();
    assert_eq!(outcomes(ack.get_ref()), [BadSignature, Malformed]);
    // All forms in one frame, in their order.
    let ack = Frame {
        packed: voucher.pack().to_vec().into(),
        packed_bundles: vec![good.clone().into()],
        bundles: vec![structured(&one), structured(&mixed)],
        ..Frame::default()
    };
    let ack = d.client.vouchers.submit(ack).await.unwrap();
    let stale = [Stale, Stale, Stale, UnknownPayee, SelfPayment, OverLimit, Stale];
    let told = [&[Credited, Stale, Credited, Stale][..], &stale].concat();
    assert_eq!(outcomes(ack.get_ref()), told);
    d.engine.stop().await;
}

/// Bundles that do not end where the engine's chunks of 64 do, and one that fills a chunk.
#[tokio::test(flavor = "multi_thread")]
async fn bundles_of_every_size_in_one_frame() {
    let mut d = Deployment::new(1, 1).await;
    let payee = d.world.payees[0];
    let (mut lane, mut bundles, mut count) = (0, Vec::new(), 0);
    for size in (1..=24).chain([64, 63, 64]) {
        let entries: Vec<_> = (lane..lane + size).map(|lane| (payee, lane, lane + 1)).collect();
        (lane, count) = (lane + size, count + usize::try_from(size).unwrap());
        bundles.push(signed(&d.world, 0, &entries));
    }
    assert_eq!(submit(&mut d.client, &bundles).await, vec![Credited; count]);
    assert_eq!(submit(&mut d.client, &bundles).await, vec![Stale; count]);
    d.engine.signal(tallystick_tests::Signal::KILL);
    let engine = tallystick_tests::bank::until("the directory is free", async || {
        tallystick_tests::Launch::new(&d.data()).try_start().ok()
    });
    d.engine = engine.await;
    d.client = Client::connect(&d.engine).await;
    for lane in [0, 1, 299, lane - 1] {
        assert_eq!(total(&mut d, 0, payee, lane).await, lane + 1);
    }
    d.client.close_window().await;
    let data = d.data();
    let Deployment { client, engine, dir, .. } = d;
    drop(client);
    engine.stop().await;
    let report: Value =
        serde_json::from_str(&ok(&["audit", "--data-dir", path(&data), "--json"])).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    assert!(
        report["voucher_signatures"].as_u64().unwrap() >= u64::try_from(count).unwrap(),
        "{report}"
    );
    drop(dir);
}

/// Has a pair proved, by entries at least in part, and checks that; gives how many pieces have a
/// path.
fn entries_proved(d: &Deployment, window: u64, payee: PartyId) -> usize {
    let out = d.dir.path().join(format!("proof-{window}-{payee}"));
    let payer = d.world.payers[0].party;
    let [window, asset, payer, payee] =
        [window.to_string(), World::PAIRS.to_string(), payer.to_string(), payee.to_string()];
    let of = ["--asset", &asset, "--payer", &payer, "--payee", &payee, "--out", path(&out)];
    let server = ["--server", d.engine.address(), "proof", "pair", &window];
    ok(&[&server[..], &of].concat());
    let text = std::fs::read_to_string(&out).unwrap();
    let proof: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(proof["format"], "tallystick proof v3");
    ok(&["proof", "check", path(&out)]);
    let evidence = proof["pairs"][0]["evidence"].as_array().unwrap();
    let pieces: Vec<&str> = evidence.iter().map(|piece| piece.as_str().unwrap()).collect();
    // Every digest of a path counts.
    let piece = pieces[0];
    let other = if piece.ends_with('0') { '1' } else { '0' };
    let changed = format!("{}{other}", &piece[..piece.len() - 1]);
    std::fs::write(&out, text.replace(piece, &changed)).unwrap();
    assert!(!run_cli(&["proof", "check", path(&out)]).status.success(), "{text}");
    pieces.iter().filter(|piece| piece.len() > 2 * 176).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_proved_alone() {
    let mut d = Deployment::new(1, 3).await;
    let payees = d.world.payees.clone();
    let first = signed(&d.world, 0, &[(payees[0], 0, 5), (payees[1], 0, 6), (payees[2], 0, 7)]);
    assert_eq!(submit(&mut d.client, &[first]).await, [Credited; 3]);
    // A voucher and an entry in one pair, and an entry that replaces a voucher.
    let vouchers = [d.world.voucher(0, 0, 1, 9), d.world.voucher(0, 1, 0, 8)];
    assert_eq!(d.client.pay(&vouchers).await, [Credited; 2]);
    let second = signed(&d.world, 0, &[(payees[1], 0, 16), (payees[2], 3, 17)]);
    assert_eq!(submit(&mut d.client, &[second]).await, [Credited; 2]);
    d.client.close_window().await;
    let third = signed(&d.world, 0, &[(payees[1], 0, 17), (payees[2], 0, 18)]);
    assert_eq!(submit(&mut d.client, &[third]).await, [Credited; 2]);
    // From a checkpoint, and from what lies behind it.
    d = d.restart(&["--checkpoint-bytes", "1KiB"]).await;
    d = d.restart(&[]).await;
    for (payee, lane, wanted) in [(0, 0, 5), (1, 0, 17), (2, 0, 18), (2, 3, 17)] {
        assert_eq!(total(&mut d, 0, payees[payee], lane).await, wanted);
    }
    d.client.close_window().await;
    let server = d.engine.address().to_owned();
    let call = |args: &[&str]| ok(&[&["--server", &server][..], args].concat());
    let proofs = [(1, 0), (1, 1), (1, 2), (2, 1), (2, 2)];
    let entries = proofs.map(|(window, payee)| entries_proved(&d, window, payees[payee]));
    assert_eq!(entries.iter().sum::<usize>(), 6);
    let (asset, key) = (World::PAIRS.to_string(), d.world.payers[0].key().to_string());
    let expires = d.world.expires_at.to_string();
    let file = |name: String| d.dir.path().join(name);
    let receipt = file("receipt".to_owned());
    let payee = payees[2].to_string();
    let of = ["--signer", &key, "--payee", &payee, "--asset", &asset, "--expires-at", &expires];
    call(&[&["receipt", "--out", path(&receipt)][..], &of].concat());
    ok(&["proof", "check", path(&receipt)]);
    let text = std::fs::read_to_string(&receipt).unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["format"], "tallystick receipt v3");
    assert_eq!(shown["bundle_path"].as_array().unwrap().len(), 1);
    for (from, to) in [("v3", "v2"), ("\"bundle_path\"", "\"path\"")] {
        std::fs::write(&receipt, text.replacen(from, to, 1)).unwrap();
        assert!(!run_cli(&["proof", "check", path(&receipt)]).status.success(), "{from}");
    }
    std::fs::write(&receipt, &text).unwrap();
    let export = file("export".to_owned());
    call(&["evidence", "export", "1", "2", "--out", path(&export)]);
    let audited = ok(&["audit", path(&export), "--receipt", path(&receipt), "--json"]);
    let audited: Value = serde_json::from_str(&audited).unwrap();
    assert_eq!((&audited["ok"], &audited["receipts"]), (&true.into(), &1.into()), "{audited}");
    let data = d.data();
    let Deployment { client, engine, dir, .. } = d;
    drop(client);
    engine.stop().await;
    let report: Value =
        serde_json::from_str(&ok(&["audit", "--data-dir", path(&data), "--json"])).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    drop(dir);
}

/// The vectors come from an independent program.
#[tokio::test]
async fn every_vector_is_taken() {
    let hex = |value: &Value| -> Vec<u8> {
        data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
    };
    let file: Value = serde_json::from_str(include_str!("../vectors/bundles.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let network = file["network_id"].as_str().unwrap();
    let engine = Engine::start(dir.path(), &["--init", "--network-id", network]);
    let mut client = Client::connect(&engine).await;
    for number in [1, 2] {
        let asset = tallystick_tests::wire::Asset { number, code: "USD".into(), scale: 6 };
        let model = SettlementModel::Bilateral.into();
        let asked =
            CreateAssetRequest { request_id: request_id("asset"), asset: Some(asset), model };
        client.operator.create_asset(asked).await.unwrap();
    }
    let mut known = std::collections::BTreeSet::new();
    for case in file["bundles"].as_array().unwrap() {
        for entry in case["entries"].as_array().unwrap() {
            let payee = PartyId(hex(&entry["payee"]).try_into().unwrap());
            if known.insert(payee.0.to_vec()) {
                client.operator.upsert_party(party_request(payee, 1)).await.unwrap();
            }
        }
        if known.insert(hex(&case["signer"])) {
            let secret: [u8; 32] = hex(&case["signer_secret"]).try_into().unwrap();
            let party = party_id(case["signer"].as_str().unwrap());
            client.operator.upsert_party(party_request(party, 2)).await.unwrap();
            let signer = Signer { secret: ed25519_dalek::SigningKey::from_bytes(&secret), party };
            client.operator.add_signer(signer_request(&signer, &[])).await.unwrap();
            for asset in [1, 2] {
                client
                    .operator
                    .set_credit_limit(limit_request(party, asset, "1000000000"))
                    .await
                    .unwrap();
            }
        }
        let told = submit(&mut client, &[hex(&case["packed"])]).await;
        let is_largest = case["name"] == "the largest numbers";
        let wanted = if is_largest { Outcome::UnknownAsset } else { Credited };
        // Some channels stand in several.
        let is_told = |outcome: &Outcome| *outcome == wanted || *outcome == Stale;
        assert!(told.iter().all(is_told) && told.contains(&wanted), "{}: {told:?}", case["name"]);
    }
    engine.stop().await;
}

/// A facilitator that may not bring one of the entries brings none.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_within_a_scope_as_a_whole() {
    let mut d = Deployment::new(1, 2).await;
    let payees = d.world.payees.clone();
    let key = tallystick_tests::keys::api_key([7; 32]);
    let digest =
        |key: &str| Kind::KeyDigest(blake3::hash(key.as_bytes()).as_bytes().to_vec().into());
    let identity = |name: &str, role: Role, key: &str, payees: &[PartyId]| AddIdentityRequest {
        request_id: request_id("identity"),
        name: name.to_owned(),
        role: role.into(),
        credential: Some(Credential { kind: Some(digest(key)) }),
        payees: payees.iter().map(|payee| payee.0.to_vec().into()).collect(),
        ..AddIdentityRequest::default()
    };
    let narrow = identity("narrow", Role::Facilitator, &key, &payees[..1]);
    let operator = tallystick_tests::keys::api_key([6; 32]);
    let boss = identity("boss", Role::Operator, &operator, &[]);
    d.client.operator.add_identity(boss).await.unwrap();
    d.client.operator.add_identity(tallystick_tests::keys::with(&operator, narrow)).await.unwrap();
    let mixed = signed(&d.world, 0, &[(payees[0], 0, 5), (payees[1], 0, 5)]);
    let own = signed(&d.world, 0, &[(payees[0], 0, 6), (payees[0], 1, 5)]);
    let frame = Frame {
        packed: d.world.voucher(0, 0, 2, 4).pack().to_vec().into(),
        packed_bundles: vec![mixed.into(), own.into()],
        ..Frame::default()
    };
    let ack = d.client.vouchers.submit(tallystick_tests::keys::with(&key, frame)).await.unwrap();
    let out = Outcome::OutOfScope;
    assert_eq!(outcomes(ack.get_ref()), [Credited, out, out, Credited, Credited]);
    d.engine.stop().await;
}
