//! What pages of the console call: the same as over gRPC, by the same rights, in JSON.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::{Value, json};
use tallystick_tests::console::{Browser, OPERATOR, launch};
use tallystick_tests::keys::{api_key, with};
use tallystick_tests::rights::{ROLES, path, table};
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::{
    AddIdentityRequest, Credential, FindIdsRequest, FindLegsRequest, GetBatchRequest,
    GetExposureRequest, GetPartyRequest, GetStatementRequest, GetStatusRequest, GetWindowRequest,
    IdKind, ListHistoryRequest, ListPartiesRequest, ListSignersRequest, ListWindowsRequest, Role,
    WindowAssetRequest,
};
use tallystick_tests::{Client, Deployment, Engine, World, request_id, until};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

const ASSET: u32 = World::CLEARED;
/// What the console does not have: streams that are sent, a further login, and what goes on, of
/// which its pages are told.
const NOT_HERE: [&str; 5] = ["Stream", "Submit", "Import", "CreateConsoleLogin", "WatchNow"];

/// An engine with a console, payers and payees, and a batch.
struct House {
    client: Client,
    world: World,
    engine: Engine,
    batch: Bytes,
    dir: TempDir,
}

impl House {
    async fn new() -> Self {
        let Deployment { mut client, world, engine, dir } = Deployment::new(2, 2).await;
        let paid = client
            .pay(&[
                world.pay(0, world.payees[0], ASSET, 1, 5_000_000),
                world.pay(1, world.payees[1], ASSET, 1, 7_000_000),
            ])
            .await;
        assert_eq!(paid.len(), 2);
        let window = client.close_window().await;
        let batch = client.create_batch(&[window.number], ASSET).await.unwrap().batch_id;
        drop(client);
        engine.stop().await;
        let engine = launch(&dir.path().join("data")).start();
        let client = Client::connect(&engine).await;
        Self { client, world, engine, batch, dir }
    }

    async fn add(&mut self, name: &str, role: Role) {
        let own = Bytes::copy_from_slice(&self.world.payers[0].party.0);
        let request = AddIdentityRequest {
            request_id: request_id("identity"),
            name: name.to_owned(),
            role: role.into(),
            credential: Some(Credential {
                kind: Some(Kind::KeyDigest(Bytes::copy_from_slice(
                    blake3::hash(key_of(name).as_bytes()).as_bytes(),
                ))),
            }),
            party_ids: if role == Role::Party { vec![own] } else { Vec::new() },
            ..AddIdentityRequest::default()
        };
        self.client.operator.add_identity(with(OPERATOR, request)).await.expect("it is added");
    }

    async fn lsn(&mut self) -> u64 {
        let status = self.client.operator.get_status(with(OPERATOR, GetStatusRequest {})).await;
        status.expect("an operator may ask").into_inner().durable_lsn
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.engine.address()));
        endpoint.unwrap().connect().await.unwrap()
    }
}

fn key_of(name: &str) -> String {
    api_key(*blake3::hash(name.as_bytes()).as_bytes())
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(tallystick_proto::FILE_DESCRIPTORS).unwrap()
}

/// Every call that the console has.
fn methods() -> Vec<MethodDescriptor> {
    let pool = pool();
    let all = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    all.filter(|of| !NOT_HERE.contains(&of.name())).collect()
}

/// A call over gRPC with bytes: its messages as JSON, or how it failed.
async fn over_grpc(
    channel: &mut Channel,
    of: &MethodDescriptor,
    message: &[u8],
) -> Result<Vec<Value>, (Code, String)> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &length, message].concat();
    let request = hyper::Request::post(path(of.name()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {OPERATOR}"))
        .body(tonic::body::Body::new(Full::new(Bytes::from(framed))))
        .unwrap();
    let (head, body) = channel.ready().await.unwrap().call(request).await.unwrap().into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = tonic::Status::from_header_map(&head.headers)
        .or_else(|| tonic::Status::from_header_map(&trailers))
        .expect("every answer has a status");
    if status.code() != Code::Ok {
        return Err((status.code(), status.message().to_owned()));
    }
    let (mut left, mut all) = (collected.to_bytes(), Vec::new());
    while !left.is_empty() {
        let length = u32::from_be_bytes(left[1..5].try_into().unwrap()) as usize;
        let message = DynamicMessage::decode(of.output(), left.slice(5..5 + length)).unwrap();
        all.push(serde_json::to_value(&message).unwrap());
        left = left.slice(5 + length..);
    }
    Ok(all)
}

/// The name of a status of gRPC, as JSON has it.
fn named(code: Code) -> String {
    let text = format!("{code:?}");
    let mut name = String::new();
    for (place, letter) in text.char_indices() {
        if letter.is_uppercase() && place > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The same of what the console answers.
fn by_console(
    browser: &Browser,
    of: &MethodDescriptor,
    body: &Value,
) -> Result<Vec<Value>, (String, String)> {
    let reply = browser.call(of.name(), &body.to_string());
    let said = reply.json();
    if reply.status != 200 {
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        return Err((text("code"), text("message")));
    }
    assert_eq!(reply.header("content-type"), "application/json");
    Ok(match of.is_server_streaming() {
        true => said["items"].as_array().unwrap().clone(),
        false => vec![said],
    })
}

/// The first digits of an id.
fn hex(id: &[u8]) -> String {
    id[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whatever is different each time that it is asked for.
fn steady(mut answers: Vec<Value>) -> Vec<Value> {
    for answer in &mut answers {
        let Some(members) = answer.as_object_mut() else { continue };
        for of in ["atUs", "cpuTotalUs", "cpuVerifyUs", "connections", "channelsLive"] {
            members.remove(of);
        }
    }
    answers
}

/// An empty message: refused in the same words, or answered with the same.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_gives_the_same_answer_by_both_doors() {
    let mut house = House::new().await;
    let (mut channel, before) = (house.channel().await, house.lsn().await);
    let browser = Browser::logged_in(&house.engine, OPERATOR);
    let methods = methods();
    assert!(methods.len() > 60, "{}", methods.len());
    for of in &methods {
        let grpc = over_grpc(&mut channel, of, &[]).await;
        let grpc = grpc.map(steady).map_err(|(code, text)| (named(code), text));
        let console = by_console(&browser, of, &json!({})).map(steady);
        match of.name() {
            // The console hides what is in it: see below.
            // Each call that is made here is one more line.
            "ListParties" | "ListAuditLog" => assert!(grpc.is_ok() && console.is_ok()),
            // The one hides what parties are called, the other is signed anew each time.
            "ListHistory" | "ExportEvidence" => {
                assert_eq!(console.unwrap().len(), grpc.unwrap().len())
            }
            name => assert_eq!(console, grpc, "{name}"),
        }
    }
    assert_eq!(house.lsn().await, before, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_in_json_is_what_the_message_asks_for() {
    let house = House::new().await;
    let party = Bytes::copy_from_slice(&house.world.payers[0].party.0);
    let batch = house.batch.clone();
    let window = || WindowAssetRequest { window: 1, asset: ASSET, ..Default::default() };
    let of_party = FindLegsRequest { party_ids: vec![party.clone()], ..Default::default() };
    let asked: Vec<(&str, Vec<u8>)> = vec![
        ("GetWindow", GetWindowRequest { number: 1 }.encode_to_vec()),
        (
            "ListWindows",
            ListWindowsRequest { limit: 1, newest_first: true, before: 0 }.encode_to_vec(),
        ),
        ("ListObligations", window().encode_to_vec()),
        ("ListNetObligations", window().encode_to_vec()),
        ("ListNetPositions", window().encode_to_vec()),
        (
            "GetExposure",
            GetExposureRequest { party_id: party.clone(), asset: ASSET }.encode_to_vec(),
        ),
        (
            "ListSigners",
            ListSignersRequest { party_id: party.clone(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "GetStatement",
            GetStatementRequest { party_id: party.clone(), ..Default::default() }.encode_to_vec(),
        ),
        ("FindLegs", of_party.encode_to_vec()),
        ("GetBatch", GetBatchRequest { batch_id: batch.clone() }.encode_to_vec()),
        ("ListLegs", GetBatchRequest { batch_id: batch.clone() }.encode_to_vec()),
        ("ExportBatch", GetBatchRequest { batch_id: batch.clone() }.encode_to_vec()),
        (
            "ListHistory",
            ListHistoryRequest { kinds: vec!["limit_set".to_owned()], ..Default::default() }
                .encode_to_vec(),
        ),
        (
            "FindIds",
            FindIdsRequest {
                kind: IdKind::Batch.into(),
                prefix: hex(&batch),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
    ];
    let mut channel = house.channel().await;
    let (browser, pool) = (Browser::logged_in(&house.engine, OPERATOR), pool());
    let service = pool.get_service_by_name("tallystick.v1.Operator").unwrap();
    for (name, bytes) in asked {
        let of = service.methods().find(|of| of.name() == name).unwrap();
        let message = DynamicMessage::decode(of.input(), &bytes[..]).unwrap();
        let body = serde_json::to_value(&message).unwrap();
        let grpc = over_grpc(&mut channel, &of, &bytes).await.unwrap();
        assert!(!grpc.is_empty() && grpc[0] != json!({}), "{name} says nothing: {grpc:?}");
        let console = by_console(&browser, &of, &body).unwrap();
        assert_eq!(console, grpc, "{name} of {body}");
    }
    // As the contract's mapping has it: numbers of 64 bits are text, bytes are base64.
    let window = browser.call("GetWindow", "{\"number\":\"1\"}").json();
    assert_eq!(
        (&window["number"], &window["state"]),
        (&json!("1"), &json!("WINDOW_STATE_BATCHED"))
    );
    let missing = browser.call("GetWindow", "{\"number\":\"99\"}");
    assert_eq!((missing.status, missing.code().as_str()), (404, "NOT_FOUND"));
}

/// The document's table, by this door too.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_for_the_roles_that_the_document_says() {
    let mut house = House::new().await;
    for (name, role) in ROLES {
        house.add(name, role).await;
    }
    let before = house.lsn().await;
    let browsers = ROLES.map(|(name, _)| Browser::logged_in(&house.engine, &key_of(name)));
    for (browser, (name, _)) in browsers.iter().zip(ROLES) {
        assert_eq!(browser.get("/api/me").json()["role"], name);
    }
    for (call, rights) in table() {
        for ((browser, (name, _)), right) in browsers.iter().zip(ROLES).zip(&rights) {
            let reply = browser.call(&call, "{}");
            let code = reply.code();
            match right.as_str() {
                _ if NOT_HERE.contains(&call.as_str()) => assert_eq!(code, "UNIMPLEMENTED"),
                "yes" => assert!(![401, 403].contains(&reply.status), "{call} by {name}: {code}"),
                "own" => assert_ne!(code, "UNAUTHENTICATED", "{call} by {name}"),
                _ => assert_eq!(code, "PERMISSION_DENIED", "{call} by {name}"),
            }
        }
    }
    assert_eq!(house.lsn().await, before, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_accounts_are_hidden_until_somebody_asks_for_them_and_that_is_written_down() {
    let house = House::new().await;
    let browser = Browser::logged_in(&house.engine, OPERATOR);
    let mut operator = house.client.operator.clone();
    let list = operator.list_parties(with(OPERATOR, ListPartiesRequest::default())).await;
    let list = list.unwrap().into_inner().parties;
    let party = list.iter().find(|party| !party.accounts.is_empty()).expect("one with accounts");
    let iban = party.accounts["iso20022"].fields["iban"].clone();
    let id = GetPartyRequest { party_id: party.party_id.clone() };
    let pool = pool();
    let of = pool.get_message_by_name("tallystick.v1.GetPartyRequest").unwrap();
    let id = DynamicMessage::decode(of, &id.encode_to_vec()[..]).unwrap();
    let id = serde_json::to_string(&id).unwrap();
    for reply in [browser.call("GetParty", &id), browser.call("ListParties", "{}")] {
        assert!(!reply.text.contains(&party.name) && !reply.text.contains(&iban), "{}", reply.text);
        assert!(reply.text.contains("\"masked\":true") && reply.text.contains('•'));
    }
    let shown = browser.call("GetParty", &id).json();
    let revealed = browser.call("RevealParty", &id).json();
    assert_eq!(revealed["name"], party.name.as_str());
    assert_eq!(revealed["accounts"]["iso20022"]["fields"]["iban"], iban.as_str());
    assert_eq!(revealed["partyId"], shown["partyId"]);
    let found = json!({ "kind": "ID_KIND_PARTY", "prefix": hex(&party.party_id) }).to_string();
    let found = browser.call("FindIds", &found);
    assert!(found.status == 200 && found.text.contains('•'), "{}", found.text);
    assert!(!found.text.contains(&party.name), "{}", found.text);
    let history = browser.call("ListHistory", "{\"kinds\":[\"party_upserted\"]}");
    assert!(history.status == 200 && history.text.contains("party_upserted"), "{}", history.text);
    assert!(!history.text.contains(&party.name) && !history.text.contains(&iban));
    let kept = json!({ "requestId": "x", "party": shown }).to_string();
    let back = browser.call("UpsertParty", &kept);
    assert_eq!((back.status, back.code().as_str()), (400, "INVALID_ARGUMENT"), "{}", back.text);
    let data = house.dir.path().join("data/audit-log");
    until("the reveal is written down", || {
        let files = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path());
        let text: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!(!text.contains(&iban));
        text.lines()
            .any(|line| line.contains("\"RevealParty\"") && line.contains("ann"))
            .then_some(())
    });
}
