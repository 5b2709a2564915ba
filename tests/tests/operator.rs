//! What operators register: assets, parties, signers, limits, deposits; and what is refused, how.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use tallystick_tests::Outcome::{
    Credited, OverLimit, OverSignerCap, RevokedSigner, Stale, SuspendedParty,
};
use tallystick_tests::wire::{
    AddSignerRequest, Asset, Cap, CreateAssetRequest, CreateBatchRequest, GetBatchRequest,
    GetExposureRequest, GetPartyRequest, GetStatusRequest, GetWindowRequest, ImportRequest,
    RecordDepositRequest, RevokeSignerRequest, SetCreditLimitRequest, SettlementModel,
    UpsertPartyRequest, WindowAssetRequest, import_request::Item,
};
use tallystick_tests::{
    Deployment, PartyId, Signer, World, iban, limit_request, party_id, party_request, refused,
    request_id, signer_request,
};
use tonic::Code::{AlreadyExists, InvalidArgument, NotFound};

fn bytes(party: PartyId) -> bytes::Bytes {
    party.0.to_vec().into()
}

fn asset(number: u32, code: &str, scale: u32) -> CreateAssetRequest {
    CreateAssetRequest {
        request_id: request_id("asset"),
        asset: Some(Asset { number, code: code.into(), scale }),
        model: SettlementModel::Bilateral.into(),
    }
}

fn deposit(party: PartyId, asset: u32, amount: &str) -> RecordDepositRequest {
    RecordDepositRequest {
        request_id: request_id("deposit"),
        party_id: bytes(party),
        asset,
        amount: amount.into(),
        reference: "MT910 0042".into(),
    }
}

#[tokio::test]
async fn what_is_registered_is_read_back() {
    let mut d = Deployment::new(1, 1).await;
    let mut party = party_request(party_id("müller"), 5);
    party.party.as_mut().unwrap().name = "Müller & Söhne <KG>".into();
    let made = d.client.operator.upsert_party(party.clone()).await.unwrap().into_inner();
    assert_eq!(Some(&made), party.party.as_ref());
    let ask = GetPartyRequest { party_id: made.party_id.clone() };
    assert_eq!(d.client.operator.get_party(ask.clone()).await.unwrap().into_inner(), made);
    let mut renamed = party.clone();
    renamed.request_id = request_id("party");
    renamed.party.as_mut().unwrap().name = "Müller AG".into();
    d.client.operator.upsert_party(renamed.clone()).await.unwrap();
    let read = d.client.operator.get_party(ask).await.unwrap().into_inner();
    assert_eq!(Some(read), renamed.party);

    let usdc = asset(77, "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 6);
    let created = d.client.operator.create_asset(usdc.clone()).await.unwrap().into_inner();
    assert_eq!(Some(created), usdc.asset);
    let network = d.client.vouchers.get_network(tallystick_tests::wire::GetNetworkRequest {}).await;
    let assets = network.unwrap().into_inner().assets;
    let numbers: Vec<u32> = assets.iter().map(|asset| asset.number).collect();
    assert_eq!(numbers, [World::PAIRS, World::CLEARED, 77]);

    let signer = Signer::new("müller's agent", party_id("müller"));
    let request = signer_request(&signer, &[(World::PAIRS, 9), (77, u64::MAX)]);
    let added = d.client.operator.add_signer(request.clone()).await.unwrap().into_inner();
    assert_eq!(Some(added), request.signer);

    let payer = d.world.payers[0].party;
    let exposure = d.client.operator.record_deposit(deposit(payer, World::PAIRS, "250")).await;
    assert_eq!(exposure.unwrap().get_ref().prefund, "250");
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 70)]).await, [Credited]);
    let ask = GetExposureRequest { party_id: bytes(payer), asset: World::PAIRS };
    let exposure = d.client.operator.get_exposure(ask).await.unwrap().into_inner();
    let told = (&*exposure.credit_limit, &*exposure.prefund, &*exposure.unsettled);
    assert_eq!(told, (&*World::LIMIT.to_string(), "250", "70"));

    let status = d.client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.parties, status.signers, status.channels), (3, 2, 1));
    assert_eq!((status.open_window, status.window_vouchers, status.batches), (1, 1, 0));
    assert_eq!(status.network_id.to_vec(), d.world.network.0);
    assert!(status.durable_lsn > 0 && status.started_at_us > 0 && status.shards > 0);
    assert!(!status.version.is_empty() && !status.verify_backend.is_empty());
}

#[tokio::test]
async fn what_is_unknown_is_not_found() {
    let mut d = Deployment::new(1, 1).await;
    let (nobody, known) = (party_id("nobody"), d.world.payers[0].party);
    let o = &mut d.client.operator;
    refused(o.get_party(GetPartyRequest { party_id: bytes(nobody) }).await, NotFound, "party");
    refused(o.set_credit_limit(limit_request(nobody, 1, "1")).await, NotFound, "party");
    refused(o.set_credit_limit(limit_request(known, 99, "1")).await, NotFound, "asset 99");
    refused(o.record_deposit(deposit(nobody, 1, "1")).await, NotFound, "party");
    refused(o.record_deposit(deposit(known, 99, "1")).await, NotFound, "asset 99");
    let signer = Signer::new("x", nobody);
    refused(o.add_signer(signer_request(&signer, &[])).await, NotFound, "party");
    let signer = Signer::new("x", known);
    refused(o.add_signer(signer_request(&signer, &[(99, 1)])).await, NotFound, "asset 99");
    let key = signer.key().0.to_vec().into();
    let revoke = RevokeSignerRequest { request_id: request_id("r"), signer: key };
    refused(o.revoke_signer(revoke).await, NotFound, "signer");
    for number in [0, 2, u64::MAX] {
        let window = o.get_window(GetWindowRequest { number }).await;
        refused(window, NotFound, &format!("window {number}"));
    }
    let ask = WindowAssetRequest { window: 9, asset: World::PAIRS, ..Default::default() };
    refused(o.list_obligations(ask).await, NotFound, "window 9");
    let ask = GetBatchRequest { batch_id: vec![7; 32].into() };
    refused(o.get_batch(ask.clone()).await, NotFound, "batch");
    refused(o.list_legs(ask.clone()).await, NotFound, "batch");
    refused(o.export_batch(ask).await, NotFound, "batch");
    let batch = |windows: &[u64], asset| CreateBatchRequest {
        request_id: request_id("batch"),
        windows: windows.to_vec(),
        asset,
        rail: "iso20022".into(),
    };
    refused(o.create_batch(batch(&[9], World::PAIRS)).await, NotFound, "window 9");
    refused(o.create_batch(batch(&[1], 99)).await, NotFound, "asset 99");
}

#[tokio::test]
async fn a_request_id_means_one_request_also_after_a_restart() {
    let mut d = Deployment::new(1, 1).await;
    let payer = d.world.payers[0].party;
    let first = RecordDepositRequest {
        request_id: "wire-2026-11-23".into(),
        ..deposit(payer, World::PAIRS, "500")
    };
    let answer = d.client.operator.record_deposit(first.clone()).await.unwrap().into_inner();
    d.client.operator.record_deposit(deposit(payer, World::PAIRS, "1")).await.unwrap();
    let party = party_request(party_id("first"), 9);
    let party_made = d.client.operator.upsert_party(party.clone()).await.unwrap().into_inner();
    for round in 0..2 {
        let again = d.client.operator.record_deposit(first.clone()).await.unwrap().into_inner();
        assert_eq!(again, answer, "round {round}: the first result, and no second deposit");
        let changed = RecordDepositRequest { amount: "501".into(), ..first.clone() };
        let reused = d.client.operator.record_deposit(changed).await;
        refused(reused, AlreadyExists, "wire-2026-11-23");
        // Another call with the same id is other content, whatever it is.
        let other = SetCreditLimitRequest {
            request_id: first.request_id.clone(),
            ..limit_request(payer, World::PAIRS, "500")
        };
        refused(d.client.operator.set_credit_limit(other).await, AlreadyExists, "wire-2026-11-23");
        let again = d.client.operator.upsert_party(party.clone()).await.unwrap().into_inner();
        assert_eq!(again, party_made);
        if round == 0 {
            d = d.restart(&[]).await;
        }
    }
    let ask = GetExposureRequest { party_id: bytes(payer), asset: World::PAIRS };
    let exposure = d.client.operator.get_exposure(ask).await.unwrap().into_inner();
    assert_eq!(exposure.prefund, "501");
}

#[tokio::test]
async fn a_call_without_a_request_id_is_refused() {
    let mut d = Deployment::new(1, 1).await;
    let payer = &d.world.payers[0];
    let none = String::new();
    let o = &mut d.client.operator;
    let request = CreateAssetRequest { request_id: none.clone(), ..asset(5, "USD", 2) };
    refused(o.create_asset(request).await, InvalidArgument, "request_id");
    let request = UpsertPartyRequest { request_id: none.clone(), ..party_request(payer.party, 1) };
    refused(o.upsert_party(request).await, InvalidArgument, "request_id");
    let request = AddSignerRequest { request_id: none.clone(), ..signer_request(payer, &[]) };
    refused(o.add_signer(request).await, InvalidArgument, "request_id");
    let signer = payer.key().0.to_vec().into();
    let request = RevokeSignerRequest { request_id: none.clone(), signer };
    refused(o.revoke_signer(request).await, InvalidArgument, "request_id");
    let request =
        SetCreditLimitRequest { request_id: none.clone(), ..limit_request(payer.party, 1, "1") };
    refused(o.set_credit_limit(request).await, InvalidArgument, "request_id");
    let request = RecordDepositRequest { request_id: none.clone(), ..deposit(payer.party, 1, "1") };
    refused(o.record_deposit(request).await, InvalidArgument, "request_id");
    let request = tallystick_tests::wire::CloseWindowRequest { request_id: none.clone() };
    refused(o.close_window(request).await, InvalidArgument, "request_id");
    let request = CreateBatchRequest {
        request_id: none,
        windows: vec![1],
        asset: 1,
        rail: "iso20022".into(),
    };
    refused(o.create_batch(request).await, InvalidArgument, "request_id");
    let long = UpsertPartyRequest { request_id: "x".repeat(129), ..party_request(payer.party, 1) };
    refused(o.upsert_party(long).await, InvalidArgument, "128");
}

#[tokio::test]
async fn assets_have_a_known_form_and_never_change() {
    let mut d = Deployment::new(0, 0).await;
    let o = &mut d.client.operator;
    for code in ["", "usd", "EURO", "eip155:1"] {
        refused(o.create_asset(asset(5, code, 2)).await, InvalidArgument, "CAIP-19");
    }
    refused(o.create_asset(asset(5, "USD", 19)).await, InvalidArgument, "19");
    for model in [0, 7] {
        let request = CreateAssetRequest { model, ..asset(5, "USD", 2) };
        refused(o.create_asset(request).await, InvalidArgument, "model");
    }
    let request = CreateAssetRequest { asset: None, ..asset(5, "USD", 2) };
    refused(o.create_asset(request).await, InvalidArgument, "asset");
    o.create_asset(asset(5, "USD", 2)).await.unwrap();
    o.create_asset(asset(5, "USD", 2)).await.expect("the same definition again changes nothing");
    for other in [asset(5, "USD", 3), asset(5, "EUR", 2)] {
        let status = o.create_asset(other).await.unwrap_err();
        assert!(status.message().contains("asset 5"), "{status:?}");
        assert!([AlreadyExists, tonic::Code::FailedPrecondition].contains(&status.code()));
    }
}

#[tokio::test]
async fn parties_have_whole_ids_and_reachable_accounts() {
    let mut d = Deployment::new(0, 0).await;
    let o = &mut d.client.operator;
    for id in [vec![], vec![1; 31], vec![1; 33]] {
        let ask = GetPartyRequest { party_id: id.clone().into() };
        refused(o.get_party(ask).await, InvalidArgument, "32");
        let mut request = party_request(party_id("x"), 1);
        request.party.as_mut().unwrap().party_id = id.into();
        refused(o.upsert_party(request).await, InvalidArgument, "32");
    }
    let clearing = party_request(PartyId([0; 32]), 1);
    refused(o.upsert_party(clearing).await, InvalidArgument, "zero");
    let missing =
        UpsertPartyRequest { request_id: request_id("p"), party: None, reopen: false, keep: None };
    refused(o.upsert_party(missing).await, InvalidArgument, "party");

    let with = |field: &str, value: &str| {
        let mut request = party_request(party_id("x"), 1);
        let account = request.party.as_mut().unwrap().accounts.get_mut("iso20022").unwrap();
        account.fields.insert(field.into(), value.into());
        request
    };
    let good = iban(1);
    let wrong_digit = good.replace("DE", "DE9").chars().take(22).collect::<String>();
    for bad in ["", "DE", "hello", &good[..21], &wrong_digit, &format!("{good} x")] {
        refused(o.upsert_party(with("iban", bad)).await, InvalidArgument, "iban");
    }
    let mut request = with("iban", &good);
    let account = request.party.as_mut().unwrap().accounts.get_mut("iso20022").unwrap();
    account.fields.remove("iban");
    refused(o.upsert_party(request).await, InvalidArgument, "iban");
    // A card number is never taken in, wherever it stands.
    for (field, value) in [("card", "4111 1111 1111 1111"), ("pan", "4111111111111111")] {
        refused(o.upsert_party(with(field, value)).await, InvalidArgument, field);
    }
    let mut request = party_request(party_id("x"), 1);
    let accounts = &mut request.party.as_mut().unwrap().accounts;
    let account = accounts.remove("iso20022").unwrap();
    accounts.insert("pigeon".into(), account);
    refused(o.upsert_party(request).await, InvalidArgument, "pigeon");
    let mut request = party_request(party_id("x"), 1);
    request.party.as_mut().unwrap().name = "x".repeat(257);
    refused(o.upsert_party(request).await, InvalidArgument, "256");
}

#[tokio::test]
async fn keys_that_do_not_prove_who_signed_are_refused() {
    let mut d = Deployment::new(1, 0).await;
    let good = Signer::new("good", d.world.payers[0].party);
    let of = |key: [u8; 32]| {
        let mut request = signer_request(&good, &[]);
        request.signer.as_mut().unwrap().signer = key.to_vec().into();
        request
    };
    let point = CompressedEdwardsY(good.key().0).decompress().unwrap();
    let mut keys: Vec<[u8; 32]> =
        EIGHT_TORSION.iter().map(|small| small.compress().to_bytes()).collect();
    let mixed = EIGHT_TORSION[1..].iter().map(|small| (point + small).compress().to_bytes());
    keys.extend(mixed);
    // y from p to 2^255 - 1, both signs: encodings that a canonical encoder never makes.
    for above in 0..19u8 {
        let mut key = [0xff; 32];
        key[0] = 0xed + above;
        for top in [0x7f, 0xff] {
            key[31] = top;
            keys.push(key);
        }
    }
    let nowhere = (2..=255u8).map(|first| {
        let mut key = [0; 32];
        key[0] = first;
        key
    });
    keys.extend(nowhere.filter(|key| CompressedEdwardsY(*key).decompress().is_none()).take(3));
    for key in keys {
        let shown = data_encoding::HEXLOWER.encode(&key);
        let status = d.client.operator.add_signer(of(key)).await.expect_err(&shown);
        assert_eq!(status.code(), InvalidArgument, "{shown}: {}", status.message());
    }
    let mut short = of([1; 32]);
    short.signer.as_mut().unwrap().signer = vec![1; 31].into();
    refused(d.client.operator.add_signer(short).await, InvalidArgument, "32");
    d.client.operator.add_signer(of(good.key().0)).await.unwrap();
}

#[tokio::test]
async fn sums_are_whole_numbers_within_bounds() {
    let mut d = Deployment::new(1, 1).await;
    let payer = d.world.payers[0].party;
    let above = format!("1{}", "0".repeat(35) + "1");
    let huge = format!("1{}", "0".repeat(37));
    let o = &mut d.client.operator;
    for bad in ["", "-1", "+1", "1.5", "1e9", " 1", "1 000", "0x10", "١", &above, &huge] {
        let limit = o.set_credit_limit(limit_request(payer, World::PAIRS, bad)).await;
        refused(limit, InvalidArgument, bad);
        let made = o.record_deposit(deposit(payer, World::PAIRS, bad)).await;
        refused(made, InvalidArgument, bad);
    }
    let largest = 10u128.pow(36).to_string();
    o.set_credit_limit(limit_request(payer, World::PAIRS, &largest)).await.unwrap();
    o.record_deposit(deposit(payer, World::PAIRS, &largest)).await.unwrap();
    let more = o.record_deposit(deposit(payer, World::PAIRS, "1")).await;
    assert!(more.unwrap_err().message().contains("10^36"), "deposits add up to a bound as well");
    o.set_credit_limit(limit_request(payer, World::PAIRS, "0")).await.unwrap();
}

#[tokio::test]
async fn suspension_revocation_caps_and_deposits_act_on_the_next_voucher() {
    let mut d = Deployment::new(2, 1).await;
    let world = d.world.clone();
    let [payer, payee] = [world.payers[0].party, world.payees[0]];
    for party in [payer, payee] {
        for (suspended, lane, wanted) in [(true, 0, SuspendedParty), (false, 1, Credited)] {
            let mut request = party_request(party, 3);
            request.party.as_mut().unwrap().suspended = suspended;
            d.client.operator.upsert_party(request).await.unwrap();
            let lane = lane + u64::from(party.0[0]) * 2;
            assert_eq!(d.client.pay(&[world.voucher(0, 0, lane, 1)]).await, [wanted]);
        }
    }
    let limited = world.payers[1].party;
    d.client.operator.set_credit_limit(limit_request(limited, World::PAIRS, "100")).await.unwrap();
    let of = |cumulative| world.voucher(1, 0, 0, cumulative);
    assert_eq!(d.client.pay(&[of(101), of(100)]).await, [OverLimit, Credited]);
    d.client.operator.record_deposit(deposit(limited, World::PAIRS, "5")).await.unwrap();
    assert_eq!(d.client.pay(&[of(106), of(105)]).await, [OverLimit, Credited]);
    // A limit below what is owed stops new vouchers and changes nothing else.
    d.client.operator.set_credit_limit(limit_request(limited, World::PAIRS, "1")).await.unwrap();
    assert_eq!(d.client.pay(&[of(106), of(105)]).await, [OverLimit, Stale]);

    let capped = Signer::new("capped", payer);
    let caps = [(World::PAIRS, 10)];
    d.client.operator.add_signer(signer_request(&capped, &caps)).await.unwrap();
    let of = |asset, lane, cumulative| {
        capped.sign(world.network, world.unsigned(payee, asset, lane, cumulative))
    };
    // The cap counts over all lanes of the key, and binds in its own asset only.
    let vouchers = [
        of(World::PAIRS, 0, 6),
        of(World::PAIRS, 1, 5),
        of(World::PAIRS, 1, 4),
        of(World::CLEARED, 0, 1_000),
    ];
    assert_eq!(d.client.pay(&vouchers).await, [Credited, OverSignerCap, Credited, Credited]);
    let other_caps = signer_request(&capped, &[(World::PAIRS, 11)]);
    let status = d.client.operator.add_signer(other_caps).await.unwrap_err();
    assert!(status.message().contains("caps"), "{status:?}");

    let key: bytes::Bytes = capped.key().0.to_vec().into();
    let revoke = RevokeSignerRequest { request_id: request_id("revoke"), signer: key };
    let answer = d.client.operator.revoke_signer(revoke).await.unwrap().into_inner();
    assert!(answer.revoked && answer.caps == [Cap { asset: World::PAIRS, amount: 10 }]);
    assert_eq!(d.client.pay(&[of(World::CLEARED, 0, 2_000)]).await, [RevokedSigner]);
    let again = d.client.operator.add_signer(signer_request(&capped, &caps)).await;
    assert!(again.unwrap_err().message().contains("revoked"));
    let d = d.restart(&[]).await;
    let mut client = d.client.clone();
    assert_eq!(client.pay(&[of(World::CLEARED, 0, 2_000)]).await, [RevokedSigner]);
}

#[tokio::test]
async fn import_applies_what_is_good_and_says_which_items_are_not() {
    let mut d = Deployment::new(1, 0).await;
    let (known, fresh) = (d.world.payers[0].party, party_id("imported"));
    let mut bad_iban = party_request(party_id("bad"), 1);
    let account = bad_iban.party.as_mut().unwrap().accounts.get_mut("iso20022").unwrap();
    account.fields.insert("iban".into(), "DE00".into());
    let items = [
        Some(Item::Party(party_request(fresh, 2))),
        Some(Item::Party(bad_iban)),
        // Depends on an item of the same import.
        Some(Item::Signer(signer_request(&Signer::new("imported", fresh), &[]))),
        Some(Item::Limit(limit_request(party_id("nobody"), World::PAIRS, "1"))),
        None,
        Some(Item::Limit(limit_request(fresh, World::PAIRS, "77"))),
        Some(Item::Deposit(deposit(known, World::PAIRS, "-1"))),
        Some(Item::Deposit(deposit(fresh, World::PAIRS, "23"))),
    ];
    let items: Vec<ImportRequest> = items.into_iter().map(|item| ImportRequest { item }).collect();
    for round in 0..2 {
        let done = d.client.operator.import(tokio_stream::iter(items.clone())).await;
        let done = done.unwrap().into_inner();
        let indices: Vec<u64> = done.failures.iter().map(|failure| failure.index).collect();
        assert_eq!((done.applied, indices), (4, vec![1, 3, 4, 6]), "round {round}");
        assert!(done.failures.iter().all(|failure| failure.reason.len() > 12), "{done:?}");
    }
    let ask = GetExposureRequest { party_id: bytes(fresh), asset: World::PAIRS };
    let exposure = d.client.operator.get_exposure(ask).await.unwrap().into_inner();
    assert_eq!((&*exposure.credit_limit, &*exposure.prefund), ("77", "23"), "applied once");
}
