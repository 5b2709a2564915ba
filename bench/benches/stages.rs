//! What each stage costs per voucher, on frames of 1,024 real vouchers of 10,000 payers.
//!
//! `raw verify_strict` is the baseline: what the signatures alone cost. Throughput is in vouchers.

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::{Signature, VerifyingKey};
use prost::Message as _;
use std::hint::black_box;
use tallystick::journal::rocks;
use tallystick::journal::{Chain, Log as _};
use tallystick::ledger::event::{BudgetsSet, RegistryEvent};
use tallystick::ledger::shard::Checked;
use tallystick::ledger::{Budget, BudgetKey, Event, Period, Shard};
use tallystick::limits::VERIFY_BATCH;
use tallystick::types::{Amount, Lsn, MESSAGE_BYTES, Outcome, Packed, Timestamp, Verdict, message};
use tallystick::verify::{Check, Keys, Options, Scratch, SignatureVerdict, Verifier};
use tallystick_bench::{ASSET, EXPIRES_AT, FRAME, NOW_US, PAYERS, World};
use tallystick_proto::v1;
use tokio_stream::StreamExt as _;

const VOUCHERS: Throughput = Throughput::Elements(FRAME as u64);

fn vouchers(frame: &[u8]) -> impl Iterator<Item = Packed<'_>> {
    Packed::split(frame).0
}

fn decode(c: &mut Criterion, world: &World) {
    let packed = Bytes::from(world.frame(0));
    let structured = vouchers(&packed).map(|voucher| v1::Voucher {
        signer: Bytes::copy_from_slice(&voucher.signer().0),
        payee: Bytes::copy_from_slice(&voucher.payee().0),
        asset: voucher.asset().0,
        lane: voucher.lane(),
        expires_at: voucher.expires_at(),
        cumulative: voucher.cumulative().0,
        signature: Bytes::copy_from_slice(voucher.signature()),
    });
    let structured = v1::Frame { vouchers: structured.collect(), ..v1::Frame::default() };
    let packed = v1::Frame { packed, ..v1::Frame::default() };
    let mut group = c.benchmark_group("decode");
    group.throughput(VOUCHERS);
    for (name, frame) in [("packed", packed), ("structured", structured)] {
        let bytes = Bytes::from(frame.encode_to_vec());
        group.bench_function(name, |b| {
            b.iter(|| v1::Frame::decode(black_box(bytes.clone())).expect("a whole frame"));
        });
    }
    group.finish();
}

fn verify(c: &mut Criterion, world: &World) {
    let keys = Keys::default();
    for event in world.events() {
        if let Event::Registry(RegistryEvent::SignerAdded(added)) = event {
            keys.insert([(added.signer, added.party)]);
        }
    }
    let frame = world.frame(0);
    type Raw = (VerifyingKey, [u8; MESSAGE_BYTES], Signature);
    let raw: Vec<Raw> = vouchers(&frame)
        .map(|voucher| {
            let message = message(world.hasher.channel(voucher), voucher.cumulative(), EXPIRES_AT);
            let key = VerifyingKey::from_bytes(&voucher.signer().0).expect("a good key");
            (key, message, Signature::from_bytes(voucher.signature()))
        })
        .collect();
    let mut group = c.benchmark_group("verify");
    group.throughput(VOUCHERS).sample_size(20);
    group.bench_function("raw verify_strict", |b| {
        b.iter(|| raw.iter().all(|(key, message, s)| key.verify_strict(message, s).is_ok()));
    });
    group.bench_function("route (key, channel, shard, message)", |b| {
        b.iter(|| {
            let view = keys.view();
            let route = |voucher| route(world, &view, voucher);
            vouchers(&frame).map(route).fold(0u32, |sum, (shard, _)| sum + u32::from(shard))
        });
    });
    let verifier = Verifier::new(Options::default()).expect("some backend always runs");
    let name = format!("backend {}", verifier.backend());
    group.bench_function(name, |b| {
        let view = keys.view();
        let messages: Vec<_> = vouchers(&frame).map(|v| route(world, &view, v).1).collect();
        let keys = vouchers(&frame).map(|v| view.get(&v.signer()).expect("registered").key());
        let signed = vouchers(&frame).zip(keys).zip(&messages);
        let checks: Vec<Check<'_>> = signed
            .map(|((v, key), message)| Check { key, message, signature: v.signature() })
            .collect();
        let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
        b.iter(|| {
            for batch in checks.chunks(VERIFY_BATCH) {
                verifier.check(&mut scratch, batch, &mut verdicts);
                assert!(verdicts.iter().all(|verdict| *verdict == SignatureVerdict::Valid));
                verifier.learn(&mut scratch, batch, &verdicts);
            }
        });
    });
    group.finish();
}

fn route(
    world: &World,
    keys: &tallystick::verify::KeysView<'_>,
    voucher: Packed<'_>,
) -> (u16, [u8; MESSAGE_BYTES]) {
    let key = keys.get(&voucher.signer()).expect("registered");
    let channel = world.hasher.channel(voucher);
    (key.party().shard(4), message(channel, voucher.cumulative(), voucher.expires_at()))
}

fn journal(c: &mut Criterion, world: &World) {
    let frame = world.frame(0);
    let mut group = c.benchmark_group("sequence+journal");
    group.throughput(VOUCHERS).sample_size(50);
    group.bench_function("frame, link and hash a record", |b| {
        let mut chain = Chain::start();
        b.iter(|| chain.frame_vouchers(1, Timestamp(NOW_US), &[&frame]));
    });
    for frames in [1u64, 8] {
        group.throughput(Throughput::Elements(FRAME as u64 * frames));
        let name = format!("the same, and one fsync for {frames} of them");
        group.bench_function(name, |b| {
            let dir = tempfile::tempdir().expect("a directory");
            let mut log = rocks::open(dir.path()).expect("an empty journal").log;
            let mut chain = Chain::start();
            b.iter(|| {
                let record = |_| chain.frame_vouchers(1, Timestamp(NOW_US), &[&frame]);
                log.append(&(0..frames).map(record).collect::<Vec<_>>()).expect("it is written");
            });
        });
    }
    group.finish();
}

fn apply(c: &mut Criterion, world: &World) {
    apply_with(c, world, "credit", &[]);
    // What an agent may well have: all three are counted for each of its vouchers.
    apply_with(c, world, "credit with three budgets", &[Period::Month, Period::Day, Period::Hour]);
}

fn apply_with(c: &mut Criterion, world: &World, name: &str, periods: &[Period]) {
    let mut shard = Shard::new(0, 1, world.hasher.network(), i64::MAX);
    let events = world.events();
    (1..).zip(&events).for_each(|(lsn, event)| {
        shard.apply(Lsn(lsn), event);
    });
    let budget = |&period: &Period| Budget {
        key: BudgetKey { asset: ASSET, period, payee: None },
        amount: Amount(u64::MAX),
    };
    for n in 0..if periods.is_empty() { 0 } else { PAYERS } {
        let (signer, budgets) = (world.signer(n), periods.iter().map(budget).collect());
        shard.apply(Lsn(1), &Event::from(BudgetsSet { signer, budgets }));
    }
    let frames: Vec<Vec<u8>> = (0..8).map(|round| world.frame(round)).collect();
    let channels = |frame: &Vec<u8>| vouchers(frame).map(|v| world.hasher.channel(v)).collect();
    let channels: Vec<Vec<_>> = frames.iter().map(channels).collect();
    let mut group = c.benchmark_group("shard apply");
    group.throughput(VOUCHERS);
    // Every pass raises every total again, by a cumulative that only this pass has.
    let (mut pass, mut outcomes) = (10u64, Vec::new());
    group.bench_function(name, |b| {
        b.iter_batched(
            || {
                pass += 1;
                let round = usize::try_from(pass % 8).expect("below 8");
                let mut frame = frames[round].clone();
                for voucher in frame.as_chunks_mut::<160>().0 {
                    voucher[88..96].copy_from_slice(&pass.to_le_bytes());
                }
                (frame, round)
            },
            |(frame, round)| {
                let checked = |(voucher, channel): (_, &_)| Checked {
                    voucher,
                    channel: *channel,
                    verdict: Verdict::Valid,
                    rise: None,
                    tree: None,
                };
                let checked: Vec<_> = vouchers(&frame).zip(&channels[round]).map(checked).collect();
                shard.credit(Lsn(1), Timestamp(NOW_US), &checked, &mut outcomes);
                outcomes.iter().filter(|outcome| **outcome == Outcome::Credited).count()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn ack(c: &mut Criterion) {
    let outcomes = vec![Outcome::Credited.byte(); FRAME];
    let mut group = c.benchmark_group("ack");
    group.throughput(VOUCHERS);
    group.bench_function("encode", |b| {
        let mut buffer = BytesMut::with_capacity(2 * FRAME);
        b.iter(|| {
            buffer.clear();
            let outcomes = Bytes::from(black_box(&outcomes).clone());
            let ack =
                v1::Ack { frame_id: 1, lsn: 1, outcomes, credited: 1_024, ..v1::Ack::default() };
            ack.encode(&mut buffer).expect("there is room");
            buffer.len()
        });
    });
    group.finish();
}

/// A server that acks every frame without looking into it: what gRPC itself costs, both ends.
struct Echo;

#[tonic::async_trait]
impl v1::vouchers_server::Vouchers for Echo {
    type StreamStream =
        std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::Ack, tonic::Status>> + Send>>;

    async fn stream(
        &self,
        request: tonic::Request<tonic::Streaming<v1::Frame>>,
    ) -> Result<tonic::Response<Self::StreamStream>, tonic::Status> {
        let acks = request.into_inner().map(|frame| {
            let frame = frame?;
            let outcomes = Bytes::from(vec![1; frame.packed.len() / 160]);
            Ok(v1::Ack { frame_id: frame.frame_id, outcomes, ..v1::Ack::default() })
        });
        Ok(tonic::Response::new(Box::pin(acks)))
    }

    async fn submit(
        &self,
        _: tonic::Request<v1::Frame>,
    ) -> Result<tonic::Response<v1::Ack>, tonic::Status> {
        Err(tonic::Status::unimplemented("only Stream is measured"))
    }

    async fn get_channel(
        &self,
        _: tonic::Request<v1::GetChannelRequest>,
    ) -> Result<tonic::Response<v1::Channel>, tonic::Status> {
        Err(tonic::Status::unimplemented("only Stream is measured"))
    }

    async fn get_receipt(
        &self,
        _: tonic::Request<v1::GetChannelRequest>,
    ) -> Result<tonic::Response<v1::Receipt>, tonic::Status> {
        Err(tonic::Status::unimplemented("only Stream is measured"))
    }

    async fn get_headroom(
        &self,
        _: tonic::Request<v1::GetHeadroomRequest>,
    ) -> Result<tonic::Response<v1::GetHeadroomResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("only Stream is measured"))
    }

    async fn get_network(
        &self,
        _: tonic::Request<v1::GetNetworkRequest>,
    ) -> Result<tonic::Response<v1::Network>, tonic::Status> {
        Err(tonic::Status::unimplemented("only Stream is measured"))
    }
}

/// Frames sent, and acks received, in one measured pass over a stream.
const PASS: u64 = 64;

fn grpc(c: &mut Criterion, world: &World) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let packed = Bytes::from(world.frame(0));
    let mut client = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let service = v1::vouchers_server::VouchersServer::new(Echo);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming.with_nodelay(Some(true))),
        );
        v1::vouchers_client::VouchersClient::connect(format!("http://{addr}"))
            .await
            .expect("the server listens")
    });
    let mut group = c.benchmark_group("gRPC");
    group.throughput(Throughput::Elements(FRAME as u64 * PASS)).sample_size(20);
    group.bench_function("stream frames and acks, both ends", |b| {
        b.iter(|| {
            let packed = packed.clone();
            let frames = (0..PASS).map(move |frame_id| v1::Frame {
                frame_id,
                packed: packed.clone(),
                ..Default::default()
            });
            runtime.block_on(async {
                let acks = client.stream(tokio_stream::iter(frames)).await.expect("it streams");
                acks.into_inner()
                    .map(|ack| ack.expect("an ack").outcomes.len())
                    .collect::<Vec<_>>()
                    .await
            })
        });
    });
    group.finish();
}

fn stages(c: &mut Criterion) {
    let world = World::default();
    decode(c, &world);
    verify(c, &world);
    journal(c, &world);
    apply(c, &world);
    ack(c);
    grpc(c, &world);
}

criterion_group!(benches, stages);
criterion_main!(benches);
