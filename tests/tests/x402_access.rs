//! Who may ask what over HTTP: every route by every role, with no, wrong, expired and revoked
//! credentials, in and out of scope; and agents, who have none.

use data_encoding::HEXLOWER;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use tallystick_tests::keys::{add_for_a_second, api_key, signed_token, until_refused, with};
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::{
    AddIdentityRequest, CloseWindowRequest, Credential, RevokeIdentityRequest, Role,
};
use tallystick_tests::x402::{ASSET, Facilitator, HTTP, House, pay};
use tallystick_tests::{Client, Launch, PartyId, Signer, request_id};

const OPERATOR: &str = "the token of ann, whom the configuration names";

fn key_of(name: &str) -> String {
    api_key(*blake3::hash(name.as_bytes()).as_bytes())
}

/// A house with an operator of the configuration and an identity of every role, whose scope is the
/// first payer and the first payee where a role has one.
async fn guarded() -> House {
    let House { client, world, engine, dir } = House::new().await;
    drop(client);
    engine.stop().await;
    let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
    let config = format!("{HTTP}[operators]\nann = \"{digest}\"\n");
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let client = Client::connect(&engine).await;
    let mut house = House { client, world, engine, dir };
    let (payer, payee) = (house.world.payers[0].party, house.world.payees[0]);
    for (name, role, parties, payees) in [
        ("facilitator", Role::Facilitator, vec![], vec![]),
        ("scoped", Role::Facilitator, vec![payer], vec![payee]),
        ("revoked", Role::Facilitator, vec![], vec![]),
        ("party", Role::Party, vec![payer], vec![]),
        ("operator", Role::Operator, vec![], vec![]),
        ("approver", Role::Approver, vec![], vec![]),
        ("auditor", Role::Auditor, vec![], vec![]),
    ] {
        add(&mut house, name, role, (parties, payees)).await;
    }
    let revoke =
        RevokeIdentityRequest { request_id: request_id("revoke"), name: "revoked".to_owned() };
    house.client.operator.revoke_identity(with(OPERATOR, revoke)).await.unwrap();
    let short = identity("expired", Role::Operator, Scope::default());
    add_for_a_second(&mut house.client, OPERATOR, short).await;
    until_refused(&house.client, &key_of("expired")).await;
    house
}

type Scope = (Vec<PartyId>, Vec<PartyId>);

async fn add(house: &mut House, name: &str, role: Role, scope: Scope) {
    let request = with(OPERATOR, identity(name, role, scope));
    house.client.operator.add_identity(request).await.expect("it is added");
}

fn identity(name: &str, role: Role, scope: Scope) -> AddIdentityRequest {
    let digest = blake3::hash(key_of(name).as_bytes()).as_bytes().to_vec();
    let ids = |ids: Vec<PartyId>| ids.iter().map(|id| id.0.to_vec().into()).collect();
    AddIdentityRequest {
        request_id: request_id("identity"),
        name: name.to_owned(),
        role: role.into(),
        credential: Some(Credential { kind: Some(Kind::KeyDigest(digest.into())) }),
        party_ids: ids(scope.0),
        payees: ids(scope.1),
        expires_at: 0,
        rate: 0,
    }
}

fn by(house: &House, token: Option<&str>) -> Facilitator {
    let mut asks = house.facilitator();
    asks.token = token.map(str::to_owned);
    asks
}

/// Every route by every role, and with what is no credential.
#[tokio::test]
async fn each_route_is_for_whom_the_table_names() {
    let house = guarded().await;
    let payment = by(&house, None).request(&pay(&house.world, 1, 5), 5).to_string();
    let known = by(&house, Some(OPERATOR)).settle(&pay(&house.world, 7, 5), 5).await;
    let id = known["transaction"].as_str().unwrap().to_owned();
    let channel = known["extra"]["channel"].as_str().unwrap().to_owned();
    let statuses = async |token: Option<&str>| {
        let asks = by(&house, token);
        let channels = json!({ "channels": [channel] }).to_string();
        [
            asks.get("/supported").await.0,
            asks.post("/verify", payment.clone()).await.0,
            asks.post("/settle", payment.clone()).await.0,
            asks.get(&format!("/status/{id}")).await.0,
            asks.get(&format!("/channel/{channel}")).await.0,
            asks.post("/channels", channels).await.0,
        ]
    };
    let (all, reads) = ([200; 6], [200, 403, 403, 200, 200, 200]);
    assert_eq!(statuses(Some(OPERATOR)).await, all);
    for (name, wanted) in [
        ("facilitator", all),
        ("scoped", all),
        ("operator", all),
        ("party", reads),
        ("approver", reads),
        ("auditor", reads),
    ] {
        assert_eq!(statuses(Some(&key_of(name))).await, wanted, "{name}");
    }
    let nobody = [200, 401, 401, 401, 401, 401];
    let [revoked, expired, other] = ["revoked", "expired", "other"].map(key_of);
    let gone = [&revoked, &expired, &other].map(|key| Some(&**key));
    for token in [None, Some("a word"), Some("tsk_abc")].into_iter().chain(gone) {
        assert_eq!(statuses(token).await, nobody, "{token:?}");
    }
    let (_, said) = by(&house, None).post("/verify", payment.clone()).await;
    assert!(said["error"].as_str().unwrap().contains("authorization: Bearer"), "{said}");
}

#[tokio::test]
async fn a_facilitator_brings_what_is_in_its_scope_and_no_more() {
    let mut house = guarded().await;
    let asks = by(&house, Some(&key_of("scoped")));
    let world = house.world.clone();
    asks.paid(&pay(&world, 1, 5), 5).await;
    let other =
        [world.pay(1, world.payees[0], ASSET, 1, 5), world.pay(0, world.payees[1], ASSET, 1, 5)];
    for voucher in &other {
        asks.refused(voucher, 5, "out_of_scope").await;
    }
    let by_all = by(&house, Some(&key_of("facilitator")));
    let known = by_all.paid(&other[0], 5).await;
    let path = format!("/status/{}", known["transaction"].as_str().unwrap());
    let state = |(status, said): (u16, serde_json::Value)| (status, said["state"].clone());
    assert_eq!(state(asks.get(&path).await), (200, json!("not_seen")));
    assert_eq!(state(by_all.get(&path).await), (200, json!("settled")));
    let request = with(OPERATOR, CloseWindowRequest { request_id: request_id("close") });
    let window = house.client.operator.close_window(request).await.unwrap().into_inner();
    assert!(window.number > 0);
}

/// An agent has no identity, and takes its lanes up again all the same.
#[tokio::test]
async fn an_agent_asks_for_its_own_channels_with_its_own_key() {
    let house = guarded().await;
    let pays = by(&house, Some(&key_of("facilitator")));
    let own = pays.paid(&pay(&house.world, 1, 5), 5).await;
    let others = pays.paid(&house.world.pay(1, house.world.payees[0], ASSET, 1, 6), 6).await;
    let [own, others] = [own, others].map(|one| one["transaction"].as_str().unwrap().to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (agent, network) = (&house.world.payers[0], HEXLOWER.encode(&house.world.network.0));
    let claims = |sub: &str, exp: u64| json!({"sub": sub, "aud": network, "iat": now, "exp": exp});
    let sub = HEXLOWER.encode(&agent.key().0);
    let token = signed_token(&agent.secret, &claims(&sub, now + 60));
    let asks = by(&house, Some(&token));
    let (status, said) = asks.get(&format!("/status/{own}")).await;
    assert_eq!((status, &said["state"]), (200, &json!("settled")));
    let channel = own.split(':').next().unwrap();
    let (_, said) = asks.get(&format!("/channel/{channel}")).await;
    assert_eq!(said, json!({"known": true, "charged": "5"}));
    // Another's channel is told from one that there is not by nothing.
    let theirs = others.split(':').next().unwrap();
    let none = "ab".repeat(32);
    for path in ["/status/", "/channel/"] {
        let end = if path == "/status/" { ":6" } else { "" };
        let said = [theirs, none.as_str()].map(|channel| format!("{path}{channel}{end}"));
        let (theirs, none) = (asks.get(&said[0]).await, asks.get(&said[1]).await);
        assert_eq!((theirs.0, &theirs), (200, &none), "{path}");
    }
    let all = json!({"channels": [channel, theirs, none]}).to_string();
    let (status, said) = asks.post("/channels", all).await;
    let known = ["0", "1", "2"].map(|n| {
        let one = &said["channels"][n.parse::<usize>().unwrap()];
        (one["known"].as_bool().unwrap(), one["charged"].as_str().unwrap().to_owned())
    });
    let wanted = [(true, "5"), (false, "0"), (false, "0")].map(|(is, sum)| (is, sum.to_owned()));
    assert_eq!((status, known), (200, wanted));
    // It brings no vouchers, and another one's signature or time is no token.
    let payment = asks.request(&pay(&house.world, 2, 5), 5).to_string();
    assert_eq!(asks.post("/settle", payment).await.0, 401);
    let stranger = Signer::new("nobody", agent.party);
    for token in [
        signed_token(&house.world.payers[1].secret, &claims(&sub, now + 60)),
        signed_token(&agent.secret, &claims(&sub, now + 6_000)),
        signed_token(&stranger.secret, &claims(&HEXLOWER.encode(&stranger.key().0), now + 60)),
    ] {
        assert_eq!(by(&house, Some(&token)).get(&format!("/status/{own}")).await.0, 401);
    }
}
