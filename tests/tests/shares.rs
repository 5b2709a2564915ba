//! What strangers may do to others: fair shares between connections, vouchers that change nothing,
//! disks that are nearly full, channels without end.

use tallystick_tests::bank::until;
use tallystick_tests::wire::{Frame, GetStatusRequest};
use tallystick_tests::{
    Client, Deployment, Engine, Outcome, Voucher, World, frame, limit_request, outcomes, refused,
    run_loadgen,
};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Channel;

async fn durable(client: &mut Client) -> u64 {
    client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner().durable_lsn
}

/// One client with full frames made every other one wait until all it had sent was done: 2 ms
/// became 538 ms with one stream, and RESOURCE_EXHAUSTED with a thousand. The order of records
/// tells who was first: never the clock.
#[tokio::test]
async fn one_voucher_is_credited_before_the_queue_of_another_connection_is() {
    let d = Deployment::new(2, 1).await;
    let (mut greedy, mut honest) =
        (Client::connect(&d.engine).await, Client::connect(&d.engine).await);
    let mut overtaken = 0;
    for round in 0..3 {
        let frames = (0..8u64).map(|number| {
            let lanes = 1_000 * round..1_000 * round + 1_000;
            let total = |lane| d.world.voucher(0, 0, lane, number + 1);
            frame(number, &lanes.map(total).collect::<Vec<Voucher>>())
        });
        let frames: Vec<_> = frames.collect();
        let acks = greedy.vouchers.stream(tokio_stream::iter(frames)).await.unwrap();
        let mut acks = acks.into_inner();
        // Its first frame is done, so the others are on their way.
        assert_eq!(acks.next().await.unwrap().unwrap().credited, 1_000);
        let own = honest.submit(&[d.world.voucher(1, 0, 0, round + 1)]).await;
        assert_eq!(outcomes(&own), [Outcome::Credited]);
        while let Some(ack) = acks.next().await {
            let ack = ack.unwrap();
            assert_eq!(ack.credited, 1_000);
            overtaken += u32::from(ack.lsn > own.lsn);
        }
    }
    assert!(overtaken > 0, "it always waited for all that was queued before it");
}

/// What a client that had gone had sent was checked for half a minute after, one frame every third
/// of a second: whoever is slowed has to wait, and its frames did, too.
#[tokio::test]
async fn what_a_client_left_behind_is_not_checked() {
    let mut d = Deployment::new(2, 1).await;
    // In other lanes its signature fits none of these.
    let packed = d.world.voucher(0, 0, 0, 1).pack();
    let forged = |lane: u64| {
        let mut forged = packed;
        forged[72..80].copy_from_slice(&lane.to_le_bytes());
        forged
    };
    let packed: Vec<u8> = (1..=4_096).flat_map(forged).collect();
    let frames = vec![Frame { frame_id: 1, packed: packed.into(), ..Frame::default() }; 2];
    // A runtime of its own: with it the connection goes at once, as that of a process that was
    // killed. A client that only drops its streams goes on with what it was sending.
    let theirs = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let theirs = theirs.unwrap();
    let channel = Channel::from_shared(format!("http://{}", d.engine.address())).unwrap();
    let sending = theirs.spawn(async move {
        let client = Client::over(channel.connect().await.unwrap());
        let mut streams = tokio_stream::StreamMap::new();
        for number in 0..8 {
            let frames = tokio_stream::iter(frames.clone()).chain(tokio_stream::pending());
            let acks = client.clone().vouchers.stream(frames).await.unwrap().into_inner();
            streams.insert(number, acks);
        }
        let (_, ack) = streams.next().await.unwrap();
        assert_eq!(ack.unwrap().rejected, 4_096);
        streams
    });
    let streams = sending.await.unwrap();
    theirs.shutdown_background();
    let status = async |client: &mut Client| {
        client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner()
    };
    let before = until("its connection is over, and nothing is under way any more", async || {
        let status = status(&mut d.client).await;
        let gone = status.connections == 1 && status.inflight_vouchers == 0;
        gone.then_some(status.vouchers_verified)
    });
    let before = before.await;
    for total in 1..=3_000 {
        let ack = d.client.submit(&[d.world.voucher(1, 0, 0, total)]).await;
        assert_eq!(outcomes(&ack), [Outcome::Credited]);
    }
    let verified = status(&mut d.client).await.vouchers_verified;
    assert_eq!(verified - before, 3_000, "what it had left is checked by nobody");
    drop(streams);
}

/// A credited voucher, which payees and facilitators see, sent 4,096 times a frame, wrote 159 MB a
/// second for as long as somebody liked.
#[tokio::test]
async fn a_voucher_sent_again_leaves_no_record() {
    let mut d = Deployment::new(1, 1).await;
    let vouchers: Vec<Voucher> = (0..4).map(|lane| d.world.voucher(0, 0, lane, 7)).collect();
    assert_eq!(d.client.submit(&vouchers).await.credited, 4);
    let before = durable(&mut d.client).await;
    let again = vec![vouchers[3].clone(); 4_096];
    for _ in 0..20 {
        let acks = d.client.stream(vec![frame(1, &again), frame(2, &vouchers)]).await;
        assert_eq!(
            [(acks[0].stale, acks[0].lsn), (acks[1].stale, acks[1].lsn)],
            [(4_096, 0), (4, 0)]
        );
    }
    assert_eq!(durable(&mut d.client).await, before, "nothing was written");
    // One that rises among them still counts, and is all that is written.
    let mut mixed = again[..100].to_vec();
    mixed.insert(50, d.world.voucher(0, 0, 3, 9));
    let ack = d.client.submit(&mixed).await;
    assert_eq!((ack.credited, ack.stale, ack.lsn), (1, 100, before + 1));
    // A start knows no totals at first: then each costs a record once.
    let mut d = d.restart(&[]).await;
    let start = durable(&mut d.client).await;
    for _ in 0..5 {
        assert_eq!(d.client.submit(&again).await.stale, 4_096);
    }
    assert!(durable(&mut d.client).await <= start + 1);
}

/// The same flood, with what can never count for other reasons.
#[tokio::test]
async fn what_can_never_count_leaves_no_record() {
    let mut d = Deployment::new(1, 1).await;
    let limit = limit_request(d.world.payers[0].party, World::PAIRS, "10");
    d.client.operator.set_credit_limit(limit).await.unwrap();
    let before = durable(&mut d.client).await;
    let signed = |expires_at, cumulative| {
        let plain = d.world.unsigned(d.world.payees[0], World::PAIRS, 0, cumulative);
        d.world.payers[0].sign(d.world.network, Voucher { expires_at, ..plain })
    };
    let (expired, for_ever) = (signed(1_000, 5), signed(i64::MAX, 5));
    let nothing = signed(d.world.expires_at, 0);
    let ack = d.client.submit(&[expired, for_ever, nothing]).await;
    let wanted = [Outcome::Expired, Outcome::LifetimeTooLong, Outcome::Stale];
    assert_eq!((outcomes(&ack), ack.lsn), (wanted.to_vec(), 0));
    assert_eq!(durable(&mut d.client).await, before);
    // Whether this one counts, only the ledger knows: one record, however often the frame repeats
    // it.
    let over = signed(d.world.expires_at, 11);
    let ack = d.client.submit(&vec![over; 4_096]).await;
    assert_eq!((ack.rejected, ack.lsn), (4_096, before + 1));
}

/// A replayed voucher filled a disk of 300 MB in 3.5 s, and the engine ended.
#[tokio::test]
async fn on_a_nearly_full_disk_operators_go_on_and_vouchers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &["--disk-reserve-bytes", "1000000GiB"]);
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    let voucher = world.voucher(0, 0, 0, 5);
    let one = frame(1, std::slice::from_ref(&voucher));
    let submitted = client.vouchers.submit(one.clone()).await;
    refused(submitted, Code::ResourceExhausted, "disk is nearly full");
    let mut acks = client.vouchers.stream(tokio_stream::iter([one])).await.unwrap().into_inner();
    refused(acks.next().await.unwrap(), Code::ResourceExhausted, "disk is nearly full");
    let limit = limit_request(world.payers[0].party, World::PAIRS, "10");
    client.operator.set_credit_limit(limit).await.unwrap();
    assert_eq!(client.close_window().await.vouchers_credited, 0);
    drop(client);
    engine.terminate();
    let engine = Engine::start(dir.path(), &["--disk-reserve-bytes", "0"]);
    let mut client = Client::connect(&engine).await;
    assert_eq!(client.pay(&[voucher]).await, [Outcome::Credited]);
}

/// A limit of 0.40 EUR paid for 400,000 channels, 142 MB of memory and 203 MB of disk for ever.
#[tokio::test]
async fn a_key_opens_so_many_channels_and_no_more() {
    const MOST: u64 = 65_536;
    let mut d = Deployment::new(2, 1).await;
    let world = d.world.clone();
    let lane = |lane| world.voucher(0, 0, lane, 1);
    let frames = (0..MOST / 4_096).map(|n| {
        let lanes = n * 4_096..(n + 1) * 4_096;
        frame(n, &lanes.map(lane).collect::<Vec<Voucher>>())
    });
    let acks = d.client.stream(frames.collect()).await;
    assert_eq!(acks.iter().map(|ack| u64::from(ack.credited)).sum::<u64>(), MOST);
    let more = [lane(MOST), world.voucher(0, 0, 5, 2), world.voucher(1, 0, MOST, 1)];
    let wanted = [Outcome::TooManyChannels, Outcome::Credited, Outcome::Credited];
    assert_eq!(d.client.pay(&more).await, wanted, "others, and the channels that are there, go on");
    // A start counts them again.
    let mut d = d.restart(&[]).await;
    let more = [lane(MOST + 1), world.voucher(0, 0, 5, 3)];
    assert_eq!(d.client.pay(&more).await, [Outcome::TooManyChannels, Outcome::Credited]);
}

/// Of one connection only some large frames are read at once. All streams have their turn all the
/// same.
#[tokio::test]
async fn large_frames_on_many_streams_of_one_connection_all_come_in() {
    let d = Deployment::new(1, 1).await;
    let client = Client::connect(&d.engine).await;
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..20u64 {
        let (mut client, world) = (client.clone(), d.world.clone());
        streams.spawn(async move {
            let frames = (0..3).map(|n| {
                let lanes = 1_000 * number..1_000 * number + 300;
                let vouchers = lanes.map(|lane| world.voucher(0, 0, lane, n + 1));
                frame(n, &vouchers.collect::<Vec<Voucher>>())
            });
            let frames: Vec<_> = frames.collect();
            let acks = client.vouchers.stream(tokio_stream::iter(frames)).await.unwrap();
            let acks: Vec<_> = acks.into_inner().collect().await;
            acks.into_iter().map(|ack| ack.unwrap().credited).sum::<u32>()
        });
    }
    assert_eq!(streams.join_all().await, [900; 20]);
}

#[test]
fn the_table_of_floods_names_every_flood_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("floods");
    let args = ["floods", "--json", "--rounds", "2", "--seconds", "1", "--kind", "bad-signature"];
    let output = run_loadgen(&[&args[..], &["--dir", folder.to_str().unwrap()]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let floods = report["floods"].as_array().unwrap();
    assert_eq!(floods.len(), 3, "{report}");
    for flood in floods {
        assert_eq!(flood["denied"], false, "{report}");
        assert!(flood["memory_mib"].as_f64().unwrap() > 0.0, "{report}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_load_generator_floods_an_engine_of_this_machine_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &[]);
    for kind in ["replay", "bad-signature"] {
        let args = [
            "flood",
            "--json",
            "--target",
            engine.address(),
            "--kind",
            kind,
            "--seconds",
            "1",
            "--connections",
            "1",
            "--streams",
            "2",
        ];
        let output = run_loadgen(&args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", output.status);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let beside = &report["beside"];
        assert_eq!(beside["credited"], beside["calls"], "{report}");
        // The honest client's own records, and next to none of the flood's.
        let records = report["records"].as_u64().unwrap();
        assert!(records <= beside["calls"].as_u64().unwrap() + 2, "{report}");
        assert!(report["frames_sent"].as_u64().unwrap() > 0, "{report}");
    }
    let output = run_loadgen(&["flood", "--target", "192.0.2.1:7450", "--kind", "small"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("only an engine on this machine"), "{error}");
    engine.terminate();
}
