//! The published voucher vectors, made by an independent program, against a running engine.

use serde_json::Value;
use std::collections::BTreeSet;
use tallystick_tests::wire::{
    Asset, CreateAssetRequest, Frame, GetChannelRequest, GetNetworkRequest, SettlementModel,
};
use tallystick_tests::{
    Client, Engine, Outcome, PartyId, Signer, limit_request, outcomes, party_id, party_request,
    request_id, signer_request,
};

fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

/// Registers everything that the vectors name.
async fn register(client: &mut Client, cases: &[Value]) {
    let assets: BTreeSet<u64> = cases.iter().map(|case| case["asset"].as_u64().unwrap()).collect();
    for asset in &assets {
        let number = u32::try_from(*asset).unwrap();
        let request = CreateAssetRequest {
            request_id: request_id("asset"),
            asset: Some(Asset { number, code: "USD".into(), scale: 6 }),
            model: SettlementModel::Bilateral.into(),
        };
        client.operator.create_asset(request).await.unwrap();
    }
    let payees: BTreeSet<Vec<u8>> = cases.iter().map(|case| hex(&case["payee"])).collect();
    for payee in payees {
        let party = PartyId(payee.try_into().unwrap());
        client.operator.upsert_party(party_request(party, 1)).await.unwrap();
    }
    let secrets: BTreeSet<Vec<u8>> = cases.iter().map(|case| hex(&case["signer_secret"])).collect();
    for (place, secret) in (0..).zip(secrets) {
        let party = party_id(&format!("vector payer {place}"));
        client.operator.upsert_party(party_request(party, place)).await.unwrap();
        let secret = ed25519_dalek::SigningKey::from_bytes(&secret.try_into().unwrap());
        let signer = Signer { secret, party };
        client.operator.add_signer(signer_request(&signer, &[])).await.unwrap();
        for asset in &assets {
            let asset = u32::try_from(*asset).unwrap();
            let limit = limit_request(party, asset, &u64::MAX.to_string());
            client.operator.set_credit_limit(limit).await.unwrap();
        }
    }
}

#[tokio::test]
async fn every_vector_gets_the_channel_and_the_outcome_that_the_rules_give() {
    let text = include_str!("../vectors/vouchers.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let cases = file["vouchers"].as_array().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(
        dir.path(),
        &["--init", "--network-id", file["network_id"].as_str().unwrap()],
    );
    let mut client = Client::connect(&engine).await;
    let network = client.vouchers.get_network(GetNetworkRequest {}).await.unwrap().into_inner();
    assert_eq!(network.network_id.to_vec(), hex(&file["network_id"]));
    register(&mut client, cases).await;

    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    for case in cases {
        let packed = hex(&case["packed"]);
        let expires_at: i64 = number(&case["expires_at"]);
        let wanted = match expires_at {
            _ if expires_at <= now => Outcome::Expired,
            _ if expires_at.saturating_sub(now) > network.voucher_lifetime_seconds_max => {
                Outcome::LifetimeTooLong
            }
            _ => Outcome::Credited,
        };
        let ack = client.vouchers.submit(Frame { packed: packed.into(), ..Frame::default() }).await;
        assert_eq!(outcomes(ack.unwrap().get_ref()), [wanted], "{}", case["name"]);
        let channel = GetChannelRequest {
            signer: hex(&case["signer"]).into(),
            payee: hex(&case["payee"]).into(),
            asset: u32::try_from(case["asset"].as_u64().unwrap()).unwrap(),
            lane: number(&case["lane"]),
            expires_at,
        };
        let channel = client.vouchers.get_channel(channel).await.unwrap().into_inner();
        assert_eq!(channel.channel_id.to_vec(), hex(&case["channel_id"]), "{}", case["name"]);
        let total: u64 = number(&case["cumulative"]);
        let total = if wanted == Outcome::Credited { total } else { 0 };
        assert_eq!(channel.cumulative, total, "{}", case["name"]);
    }
    engine.stop().await;
}
