//! An identity that brings vouchers by gRPC and by HTTP: what it may have is one, whichever door it
//! takes.

use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tallystick_tests::keys::{api_key, with};
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::{AddIdentityRequest, Credential, Frame, Role};
use tallystick_tests::x402::{ASSET, Facilitator, HTTP, House, pay};
use tallystick_tests::{Client, Launch, Voucher, frame, request_id};
use tokio_stream::StreamExt as _;
use tonic::Code;

const OPERATOR: &str = "the token of ann, whom the configuration names";

fn key_of(name: &str) -> String {
    api_key(*blake3::hash(name.as_bytes()).as_bytes())
}

/// A house with an operator, and facilitators with these rates.
async fn house(facilitators: &[(&str, u32)]) -> House {
    let House { client, world, engine, dir } = House::new().await;
    drop(client);
    engine.stop().await;
    let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
    let config = format!("{HTTP}[operators]\nann = \"{digest}\"\n");
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let mut client = Client::connect(&engine).await;
    for (name, rate) in facilitators {
        let digest = Bytes::copy_from_slice(blake3::hash(key_of(name).as_bytes()).as_bytes());
        let request = AddIdentityRequest {
            request_id: request_id("identity"),
            name: (*name).to_owned(),
            role: Role::Facilitator.into(),
            credential: Some(Credential { kind: Some(Kind::KeyDigest(digest)) }),
            rate: *rate,
            ..AddIdentityRequest::default()
        };
        client.operator.add_identity(with(OPERATOR, request)).await.expect("it is added");
    }
    House { client, world, engine, dir }
}

fn over_http(house: &House, name: &str) -> Facilitator {
    let mut asks = house.facilitator();
    asks.token = Some(key_of(name));
    asks
}

/// The first total of each of so many lanes of a payer's.
fn vouchers(house: &House, payer: usize, lanes: std::ops::Range<u64>) -> Vec<Voucher> {
    let (world, payee) = (&house.world, house.world.payees[0]);
    lanes.map(|lane| world.pay(payer, payee, ASSET, lane, 1)).collect()
}

/// Each door had a bucket of its own, so that whoever used both had twice the rate.
#[tokio::test]
async fn a_rate_is_one_for_both_doors() {
    let mut house = house(&[("first-grpc", 1), ("first-http", 1)]).await;
    let known = frame(1, &vouchers(&house, 0, 0..1_000));
    let ack = house.client.vouchers.submit(with(&key_of("first-grpc"), known)).await.unwrap();
    assert_eq!(ack.into_inner().credited, 1_000);
    let asks = over_http(&house, "first-grpc");
    let request = asks.request(&pay(&house.world, 2_000, 5), 5).to_string();
    for path in ["/verify", "/settle"] {
        let (status, said) = asks.post(path, request.clone()).await;
        assert_eq!(status, 429, "{said}");
        assert!(said["error"].as_str().unwrap().contains("1 vouchers a second"), "{said}");
    }
    let asks = over_http(&house, "first-http");
    // The first two come in at once, the others wait their time or are refused.
    for lane in 3_000..3_003 {
        asks.settle(&pay(&house.world, lane, 5), 5).await;
    }
    let more = frame(2, &vouchers(&house, 0, 4_000..4_001));
    let status = house.client.vouchers.submit(with(&key_of("first-http"), more)).await;
    let status = status.expect_err("a single call waits for nothing");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("--rate"), "{status:?}");
}

/// Settles one payment after the other until told to stop. Returns how many were made.
async fn settles(asks: Facilitator, all: Vec<Voucher>, stop: Arc<AtomicBool>) -> usize {
    let mut made = 0;
    for voucher in all {
        let said: Value = asks.settle(&voucher, 1).await;
        assert_eq!(said["success"], true, "{said}");
        if stop.load(Ordering::Relaxed) {
            break;
        }
        made += 1;
    }
    made
}

/// What an identity brought by HTTP overtook its own flood by gRPC, as if it were somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_one_for_both_doors() {
    const CONNECTIONS: u64 = 16;
    const FRAMES: u64 = 6;
    const FRAME: u64 = 512;
    // How often each lane is paid on: who may have so many channels floods long enough by that.
    const TOTALS: u64 = 4;
    let mut house = house(&[("greedy", 0), ("honest", 0)]).await;
    // Of both something was credited, so that neither is new.
    for (payer, name) in [(0, "greedy"), (1, "honest")] {
        let known = frame(0, &vouchers(&house, payer, 1_000_000..1_004_096));
        house.client.vouchers.submit(with(&key_of(name), known)).await.unwrap();
    }
    let mut floods = tokio::task::JoinSet::new();
    let (start, _) = tokio::sync::broadcast::channel::<()>(1);
    for number in 0..CONNECTIONS {
        let mut client = Client::connect(&house.engine).await;
        let of = |n| number * FRAMES * FRAME + n % FRAMES * FRAME;
        let paid = |n: u64| {
            let (world, payee) = (&house.world, house.world.payees[0]);
            let lanes = of(n)..of(n) + FRAME;
            let pay = |lane| world.pay(0, payee, ASSET, lane, 1 + n / FRAMES);
            frame(n, &lanes.map(pay).collect::<Vec<Voucher>>())
        };
        let frames: Vec<Frame> = (0..FRAMES * TOTALS).map(paid).collect();
        let mut started = start.subscribe();
        floods.spawn(async move {
            started.recv().await.unwrap();
            let frames = with(&key_of("greedy"), tokio_stream::iter(frames));
            let acks = client.vouchers.stream(frames).await.unwrap().into_inner();
            let acks: Vec<_> = acks.collect().await;
            acks.into_iter().for_each(|ack| drop(ack.unwrap()));
        });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let settling = |payer, name| {
        let all = vouchers(&house, payer, 2_000_000..2_002_000);
        tokio::spawn(settles(over_http(&house, name), all, stop.clone()))
    };
    // Their connections are there, before anything is counted.
    for (payer, name) in [(0, "greedy"), (1, "honest")] {
        let first = vouchers(&house, payer, 3_000_000..3_000_001).remove(0);
        assert_eq!(over_http(&house, name).settle(&first, 1).await["success"], true);
    }
    start.send(()).unwrap();
    let (own, others) = (settling(0, "greedy"), settling(1, "honest"));
    floods.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let (own, others) = (own.await.unwrap(), others.await.unwrap());
    // One after the other, each behind what the same identity has under way, or before it.
    assert!(others > 0 && others >= 2 * own, "{own} of its own, {others} of the other one");
}
