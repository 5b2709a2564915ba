//! x402 over HTTP: a payment is made once, of just the amount asked for, whatever is sent, lost,
//! repeated or restarted.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tallystick_tests::wire::{RevokeSignerRequest, UpsertPartyRequest};
use tallystick_tests::x402::{ASSET, House, pay};
use tallystick_tests::{
    PartyId, Signer, World, limit_request, party_request, request_id, run_cli, signer_request,
};

#[tokio::test]
async fn a_payment_is_verified_settled_and_told_of() {
    let mut house = House::new().await;
    let asks = house.facilitator();
    let (status, supported) = asks.get("/supported").await;
    assert_eq!((status, &supported["kinds"][0]["network"]), (200, &json!(asks.network)));
    assert_eq!(supported["kinds"][0]["scheme"], "batch-settlement");
    assert_eq!(supported["kinds"][0]["extra"]["assets"][0]["code"], "EUR");
    assert_eq!(asks.get("/supported/").await, (200, supported));

    let first = asks.paid(&pay(&house.world, 1, 100), 100).await;
    assert_eq!(first["amount"], "100");
    assert_eq!(first["payer"], HEXLOWER.encode(&house.world.payers[0].party.0));
    let channel = first["extra"]["channel"].as_str().unwrap().to_owned();
    assert_eq!(first["transaction"], format!("{channel}:100"));
    assert_eq!(first["extra"]["charged"], "100");
    let second = pay(&house.world, 1, 130);
    let receipt = asks.paid(&second, 30).await["extra"]["receipt"].clone();
    assert_eq!(receipt["format"], "tallystick receipt v2", "{receipt}");
    assert_eq!(receipt["voucher"], HEXLOWER.encode(&second.pack()));
    assert!(receipt["lsn"].as_u64().unwrap() > 0 && receipt["signature"].is_string());

    let (_, status) = asks.get(&format!("/status/{channel}:130")).await;
    assert_eq!((&status["state"], &status["charged"]), (&json!("settled"), &json!("130")));
    assert_eq!(status["receipt"]["lsn"], receipt["lsn"]);
    for (total, state) in [(131, "not_seen"), (129, "unknown")] {
        let (_, status) = asks.get(&format!("/status/{channel}:{total}")).await;
        assert_eq!(status["state"], state, "{status}");
    }
    let (_, one) = asks.get(&format!("/channel/{channel}")).await;
    assert_eq!(one, json!({"known": true, "charged": "130"}));
    let none = "ab".repeat(32);
    let body = json!({"channels": [none, channel]}).to_string();
    let (_, several) = asks.post("/channels", body).await;
    assert_eq!(several["channels"][0], json!({"channel": none, "known": false, "charged": "0"}));
    assert_eq!(several["channels"][1]["charged"], "130");
    assert_eq!(house.owed().await, 130);
}

#[tokio::test]
async fn each_refusal_has_its_reason_and_charges_nothing() {
    let mut house = House::new().await;
    let asks = house.facilitator();
    let world = house.world.clone();
    asks.paid(&pay(&world, 1, 100), 100).await;
    // An amount that does not fit names the total that does.
    for amount in [1, 49, 51, 1_000] {
        let said = asks.refused(&pay(&world, 1, 150), amount, "wrong_amount").await;
        assert_eq!(said["extra"]["charged"], "100");
        assert_eq!(said["extra"]["expected"], (100 + amount).to_string());
    }
    let said = asks.refused(&pay(&world, 1, 100), 20, "stale_voucher").await;
    assert_eq!(said["extra"]["expected"], "120");
    let mut forged = pay(&world, 1, 150);
    forged.signature[0] ^= 1;
    let said = asks.refused(&forged, 50, "bad_signature").await;
    assert_eq!(said["extra"]["expected"], Value::Null, "nobody learns totals by guessing");
    let mut expired = World { expires_at: 1_000_000_000, ..world.clone() };
    asks.refused(&pay(&expired, 1, 50), 50, "expired_voucher").await;
    expired.expires_at = world.expires_at + 40_000 * 86_400;
    asks.refused(&pay(&expired, 1, 50), 50, "lifetime_too_long").await;
    let stranger = Signer::new("nobody", world.payers[0].party);
    let unsigned = world.unsigned(world.payees[0], ASSET, 1, 50);
    asks.refused(&stranger.sign(world.network, unsigned), 50, "unknown_signer").await;
    let nobody = world.pay(0, PartyId([9; 32]), ASSET, 1, 50);
    asks.refused(&nobody, 50, "unknown_payee").await;
    asks.refused(&world.pay(0, world.payers[0].party, ASSET, 1, 50), 50, "self_payment").await;

    let limit = limit_request(world.payers[1].party, ASSET, "70");
    house.client.operator.set_credit_limit(limit).await.unwrap();
    let poor = |total| world.pay(1, world.payees[0], ASSET, 1, total);
    asks.refused(&poor(71), 71, "insufficient_funds").await;
    asks.paid(&poor(70), 70).await;
    let capped = Signer::new("capped", world.payers[0].party);
    let signer = signer_request(&capped, &[(ASSET, 10)]);
    house.client.operator.add_signer(signer).await.unwrap();
    let with = |total| capped.sign(world.network, world.unsigned(world.payees[0], ASSET, 1, total));
    asks.refused(&with(11), 11, "insufficient_funds").await;
    asks.paid(&with(10), 10).await;
    let revoke = RevokeSignerRequest {
        request_id: request_id("revoke"),
        signer: capped.key().0.to_vec().into(),
    };
    house.client.operator.revoke_signer(revoke).await.unwrap();
    asks.refused(&with(12), 2, "revoked_signer").await;
    let UpsertPartyRequest { party, .. } = party_request(world.payers[1].party, 1_001);
    let mut party = party.unwrap();
    party.suspended = true;
    let request = UpsertPartyRequest {
        request_id: request_id("suspend"),
        party: Some(party),
        reopen: false,
        keep: None,
    };
    house.client.operator.upsert_party(request).await.unwrap();
    asks.refused(&poor(71), 1, "suspended_party").await;
    assert_eq!(house.owed().await, 100 + 70 + 10);
}

#[tokio::test]
async fn what_is_no_payment_of_this_network_is_refused_with_200() {
    let house = House::new().await;
    let asks = house.facilitator();
    let good = asks.request(&pay(&house.world, 1, 100), 100);
    let with = |path: &str, value: Value| {
        let mut request = good.clone();
        *request.pointer_mut(path).unwrap() = value;
        request.to_string()
    };
    for (body, reason) in [
        (with("/x402Version", json!(1)), "invalid_x402_version"),
        (with("/paymentRequirements/scheme", json!("exact")), "unsupported_scheme"),
        (with("/paymentRequirements/network", json!("eip155:8453")), "invalid_network"),
        (with("/paymentRequirements/payTo", json!("0xabc")), "invalid_payment_requirements"),
        (with("/paymentRequirements/extra", json!({})), "invalid_payment_requirements"),
        (with("/paymentPayload/payload/lane", json!(1)), "invalid_payload"),
        ("{\"x402Version\": 2".to_owned(), "invalid_payload"),
        (String::new(), "invalid_payload"),
    ] {
        let (status, said) = asks.post("/verify", body.clone()).await;
        assert_eq!((status, &said["isValid"]), (200, &json!(false)), "{body}");
        assert_eq!(said["invalidReason"], reason, "{body}");
        let (status, said) = asks.post("/settle/", body.clone()).await;
        assert_eq!((status, &said["success"]), (200, &json!(false)), "{body}");
        assert_eq!((&said["errorReason"], &said["transaction"]), (&json!(reason), &json!("")));
    }
    let (status, _) = asks.post("/settle", " ".repeat(70_000)).await;
    assert_eq!(status, 413);
    assert_eq!(asks.get("/settle").await.0, 405);
    assert_eq!(asks.get("/status/ab:1").await.0, 400);
    assert_eq!(asks.get("/channel/zz").await.0, 400);
    assert_eq!(asks.get("/nothing").await.0, 404);
}

/// Thirty-two payments on one channel at once, each for the total that it sees: one counts at a
/// time, each at most once, and never for another amount.
#[tokio::test]
async fn payments_on_one_channel_at_once_never_both_count() {
    let mut house = House::new().await;
    let asks = house.facilitator();
    let mut total = 0;
    for round in 0..4u64 {
        let each = (0..32u64).map(|n| {
            let (asks, amount) = (asks.clone(), 10 + n % 3);
            let voucher = pay(&house.world, 1, total + amount);
            tokio::spawn(async move { (asks.settle(&voucher, amount).await, amount) })
        });
        let each: Vec<_> = each.collect();
        let mut paid = Vec::new();
        for one in each {
            let (said, amount) = one.await.unwrap();
            match said["success"] == true {
                true => paid.push(amount),
                false => assert!(
                    ["wrong_amount", "stale_voucher"]
                        .contains(&said["errorReason"].as_str().unwrap()),
                    "{said}"
                ),
            }
        }
        assert_eq!(paid.len(), 1, "round {round}");
        total += paid[0];
    }
    assert_eq!(house.owed().await, total);
}

#[tokio::test]
async fn thirty_two_lanes_are_paid_on_at_once() {
    let mut house = House::new().await;
    let asks = house.facilitator();
    let lanes = (0..32).map(|lane| {
        let (asks, world) = (asks.clone(), house.world.clone());
        tokio::spawn(async move {
            for n in 1..5 {
                asks.paid(&pay(&world, lane, n * 7), 7).await;
            }
            asks.paid(&pay(&world, lane, 5 * 7), 7).await["extra"]["receipt"].to_string()
        })
    });
    // Those of one moment are signed for together; each is good by itself.
    for lane in lanes.collect::<Vec<_>>() {
        let file = house.dir.path().join("receipt.json");
        std::fs::write(&file, lane.await.unwrap()).unwrap();
        let checked = run_cli(&["proof", "check", file.to_str().unwrap()]);
        assert!(checked.status.success(), "{checked:?}");
    }
    assert_eq!(house.owed().await, 32 * 5 * 7);
}

#[tokio::test]
async fn an_engine_that_is_killed_between_verify_and_settle_pays_once() {
    let mut house = House::new().await;
    let mut asks = house.facilitator();
    let voucher = pay(&house.world, 1, 40);
    assert_eq!(asks.verify(&voucher, 40).await["isValid"], true);
    house = house.killed().await;
    asks = house.facilitator();
    // What failed its condition is not credited by a replay either.
    asks.refused(&pay(&house.world, 2, 40), 39, "wrong_amount").await;
    let settled = asks.settle(&voucher, 40).await;
    assert_eq!(settled["success"], true);
    // The answer is lost, with the engine.
    house = house.killed().await;
    asks = house.facilitator();
    let (_, status) =
        asks.get(&format!("/status/{}", settled["transaction"].as_str().unwrap())).await;
    assert_eq!((&status["state"], &status["charged"]), (&json!("settled"), &json!("40")));
    asks.refused(&voucher, 40, "stale_voucher").await;
    assert_eq!(house.owed().await, 40);
}
