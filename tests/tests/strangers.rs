//! What a stranger on a connection can do: nothing that an honest client would notice.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::house::House;
use tallystick_tests::page::Page;
use tallystick_tests::raw::{Raw, grpc};
use tallystick_tests::wire::{Ack, Frame, GetNetworkRequest, GetStatusRequest, WindowAssetRequest};
use tallystick_tests::{Client, Engine, Launch, Voucher, World, limit_request, refused, until};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

const STREAM: &str = "/tallystick.v1.Vouchers/Stream";
const SUBMIT: &str = "/tallystick.v1.Vouchers/Submit";

fn engine() -> (TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    (dir, engine)
}

/// Megabytes in memory.
fn resident(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

/// Vouchers of one unit, each on a lane of its own.
fn vouchers(world: &World, first_lane: u64, count: u64) -> Vec<Voucher> {
    (first_lane..first_lane + count).map(|lane| world.voucher(0, 0, lane, 1)).collect()
}

/// A frame with one voucher that nobody signed, on the wire.
fn small_frame() -> Vec<u8> {
    let mut message = vec![0x08, 1, 0x12, 0xa0, 1];
    message.resize(message.len() + 160, 0);
    grpc(&message)
}

/// The HTTP/2 library counts small frames that lie unread and ended connections that had many. A
/// stream of frames of one voucher to a busy engine was cut, with every other call on its
/// connection, where it should have been held.
#[test]
fn frames_of_one_voucher_are_held_and_their_connection_is_never_ended() {
    let (_dir, engine) = engine();
    let mut raw = Raw::connect(engine.address()).unwrap();
    raw.settle().unwrap();
    let frame = small_frame();
    // Acks are not taken, so that the engine stops reading: then the windows fill, to the last
    // frame.
    let streams: Vec<u32> = (0..120).map(|_| raw.call(STREAM).unwrap()).collect();
    let mut held = 0;
    for round in 0.. {
        let before = held;
        for &stream in &streams {
            while raw.has_room(stream, frame.len()) {
                raw.data(stream, &frame, false).unwrap();
                held += 1;
                if held % 1_000 == 0 {
                    raw.settle().unwrap();
                }
                assert!(!raw.goaway, "the connection was ended with {held} frames, round {round}");
            }
        }
        raw.settle().unwrap();
        assert!(!raw.goaway, "the connection was ended with {held} frames");
        if held == before {
            break;
        }
    }
    assert!(held > 50_000, "{held}: far more than the engine reads ahead");
    let mut honest = raw.call("/tallystick.v1.Vouchers/GetNetwork").unwrap();
    raw.data(honest, &grpc(&[]), true).unwrap();
    until("another call on the connection is answered", || {
        raw.hear().unwrap();
        raw.ended.contains(&honest).then_some(())
    });
    honest += 2;
    assert!(raw.call(SUBMIT).unwrap() == honest);
}

/// Messages announced and never finished were kept for ever, up to 4 MiB on each of any number of
/// streams.
#[test]
fn unfinished_messages_end_in_time_and_their_memory_is_bounded() {
    let (_dir, engine) = engine();
    let before = resident(&engine);
    let mut raw = Raw::connect(engine.address()).unwrap();
    raw.settle().unwrap();
    let whole = grpc(&vec![0; 800_000]);
    let streams: Vec<u32> = (0..128).map(|_| raw.call(SUBMIT).unwrap()).collect();
    for &stream in &streams {
        raw.all_data(stream, &whole[..whole.len() - 1], false).unwrap();
    }
    let more = resident(&engine).saturating_sub(before);
    assert!(more < 160, "{more} MB for 100 MB of unfinished messages; 64 MiB are allowed");
    until("every one of them is ended", || {
        raw.hear().unwrap();
        streams.iter().all(|stream| raw.ended.contains(stream)).then_some(())
    });
    assert!(!raw.goaway, "the connection goes on");
}

/// Connections without a word took the files that the journal needs, and the engine stopped.
#[tokio::test]
async fn silent_connections_keep_nobody_out_and_leave_the_journal_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(&dir.path().join("data")).args(&["--checkpoint-bytes", "64KiB"]);
    let engine = launch.under(&["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""]).start();
    let mut before = Client::connect(&engine).await;
    let world = World::register(&mut before, 1, 1).await;
    let silent: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut socket = TcpStream::connect(engine.address()).unwrap();
            if number % 2 == 0 {
                // Whoever spoke and asks nothing is silent, too. It may have been told to go
                // already.
                let _ = socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
            }
            socket
        })
        .collect();
    let mut after = Client::connect(&engine).await;
    for round in 0..5 {
        let vouchers = vouchers(&world, round * 1_000, 500);
        assert!(after.pay(&vouchers).await.iter().all(|outcome| *outcome == Credited));
        after.close_window().await;
    }
    let status = after.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert!((2..=128).contains(&status.connections), "{} connections", status.connections);
    assert_eq!(before.pay(&vouchers(&world, 9_000, 1)).await, [Credited]);
    drop(silent);
}

#[test]
fn who_does_not_speak_in_time_is_not_served_any_longer() {
    let (_dir, engine) = engine();
    let mut buffer = [0; 16];
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = TcpStream::connect(engine.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        socket.write_all(said).unwrap();
        // An end, or a reset where something was left unread.
        let end = socket.read(&mut buffer);
        let is_end = end.as_ref().is_ok_and(|count| *count == 0)
            || end.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(is_end, "{said:?}: {end:?}");
    }
}

/// Exports that nobody read held the threads that every other call needs, and a list its whole
/// window.
#[tokio::test]
async fn answers_that_nobody_reads_keep_nobody_waiting_and_are_ended() {
    let (_dir, engine) = engine();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    for round in 0..4 {
        client.pay(&vouchers(&world, round * 1_000, 1_000)).await;
    }
    let window = client.close_window().await.number;
    // `windows = [1]` of an ExportEvidenceRequest.
    assert_eq!(window, 1);
    let ask = grpc(&[0x0a, 1, 1]);
    let mut raws: Vec<Raw> = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(engine.address()).unwrap();
        for _ in 0..100 {
            let stream = raw.call("/tallystick.v1.Operator/ExportEvidence").unwrap();
            raw.data(stream, &ask, true).unwrap();
        }
        raw.settle().unwrap();
        raws.push(raw);
    }
    // All of these need a thread of their own, too.
    let asked = WindowAssetRequest { window, asset: World::PAIRS, ..Default::default() };
    let mut list = client.operator.list_obligations(asked).await.unwrap().into_inner();
    let pair = list.message().await.unwrap();
    assert!(pair.is_some(), "lists are served");
    let limit = limit_request(world.payers[0].party, World::PAIRS, "1000000");
    client.operator.set_credit_limit(limit).await.unwrap();
    // Those with a place are ended some time; the others were told at once that there is none.
    let raw = &mut raws[0];
    until("unread exports are ended", || {
        raw.hear().unwrap();
        (raw.ended.len() == 100).then_some(())
    });
}

/// A stop waited for whoever held on: ten seconds for a connection that never spoke.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_acks_what_was_taken_in_and_ends_everything_else() {
    let (_dir, engine) = engine();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    let silent = TcpStream::connect(engine.address()).unwrap();
    let mut half = TcpStream::connect(engine.address()).unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    let channel = Channel::from_shared(format!("http://{}", engine.address())).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let watched = HealthCheckRequest { service: String::new() };
    let mut health = health.watch(watched).await.unwrap().into_inner();
    let serving = |status: ServingStatus| i32::from(status);
    let told = health.message().await.unwrap().unwrap().status;
    assert_eq!(told, serving(ServingStatus::Serving));
    let mut reflection = ServerReflectionClient::new(channel);
    let (_asks, asks) = tokio::sync::mpsc::channel::<ServerReflectionRequest>(1);
    let asks = tokio_stream::wrappers::ReceiverStream::new(asks);
    let mut reflection = reflection.server_reflection_info(asks).await.unwrap().into_inner();
    let (items_in, items) = tokio::sync::mpsc::channel(1);
    let mut importer = client.clone();
    let import = tokio::spawn(async move {
        importer.operator.import(tokio_stream::wrappers::ReceiverStream::new(items)).await
    });
    let (frames_in, frames) = tokio::sync::mpsc::channel(1);
    let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
    let mut acks = client.vouchers.stream(frames).await.unwrap().into_inner();
    let packed = vouchers(&world, 0, 1)[0].pack().to_vec();
    frames_in.send(Frame { frame_id: 7, packed: packed.into(), ..Frame::default() }).await.unwrap();
    let ack: Ack = acks.next().await.unwrap().unwrap();
    assert_eq!((ack.frame_id, ack.credited), (7, 1));

    let stopped = tokio::spawn(engine.stop());
    let told = health.message().await.unwrap().unwrap().status;
    assert_eq!(told, serving(ServingStatus::NotServing), "who watches is told first");
    assert_eq!(health.message().await.unwrap_err().code(), tonic::Code::Unavailable);
    assert!(!matches!(reflection.message().await, Ok(Some(_))), "reflection has ended");
    assert_eq!(import.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    assert!(acks.next().await.is_none_or(|end| end.is_err()), "the stream has ended");
    stopped.await.unwrap();
    drop((silent, half, items_in, frames_in));
}

#[tokio::test]
async fn metadata_beyond_the_limit_is_refused_with_a_word() {
    let (_dir, engine) = engine();
    let mut client = Client::connect(&engine).await;
    let mut request = tonic::Request::new(GetNetworkRequest {});
    request.metadata_mut().insert("x-long", "x".repeat(20_000).parse().unwrap());
    let answer = client.vouchers.get_network(request).await;
    refused(answer, tonic::Code::ResourceExhausted, "16384");
    client.vouchers.get_network(GetNetworkRequest {}).await.unwrap();
}

/// Names and account numbers could be read by everybody on the machine.
#[tokio::test]
async fn what_the_engine_writes_is_its_owners_only() {
    let (dir, engine) = engine();
    engine.stop().await;
    let mut folders = vec![dir.path().join("data")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder) & 0o077, 0, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            assert_eq!(mode(&entry) & 0o077, 0, "{}", entry.display());
            seen += 1;
            if entry.is_dir() {
                folders.push(entry);
            }
        }
    }
    assert!(seen > 5, "a journal, a key, folders: {seen}");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode()
}

#[tokio::test]
async fn refused_tokens_are_counted_and_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let token = "t".repeat(40);
    let digest = blake3::hash(token.as_bytes()).to_hex();
    let config = format!("[operators]\nann = \"{digest}\"\n");
    let engine = Launch::new(&dir.path().join("data")).config(&config).without_clearing().start();
    let mut client = Client::connect(&engine).await;
    for _ in 0..3 {
        let status = client.operator.get_status(GetStatusRequest {}).await;
        refused(status, tonic::Code::Unauthenticated, "token");
    }
    let mut request = tonic::Request::new(GetStatusRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let status = client.operator.get_status(request).await.unwrap().into_inner();
    assert_eq!(status.tokens_refused, 3);
    let lines = engine.stderr().matches("calls are refused").count();
    assert_eq!(lines, 1, "{}", engine.stderr());
}

/// What is refused at once costs those who do it little and the engine a lot, where it comes
/// thousands of times.
#[tokio::test]
async fn who_is_refused_again_and_again_is_told_later_then_to_go_and_nobody_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine =
        Launch::new(&dir.path().join("data")).config("listen_http = \"127.0.0.1:0\"\n").start();
    let mut honest = Client::connect(&engine).await;
    let address = engine.address().to_owned();
    let refused = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(&address).unwrap();
        raw.settle().unwrap();
        // A message of 4 GiB is on its way.
        let head = [0, 0xff, 0xff, 0xff, 0xff];
        let mut calls = 0;
        while !raw.goaway && calls < 3_000 {
            let stream = raw.call(SUBMIT).unwrap();
            raw.data(stream, &head, false).unwrap();
            raw.settle().unwrap();
            calls += 1;
        }
        assert!(raw.goaway, "it goes on after {calls}");
        calls
    });
    let refused = refused.await.unwrap();
    assert!(refused > 32, "a client may make a mistake more than once: {refused}");
    honest.operator.get_status(GetStatusRequest {}).await.expect("who is let in is not held");
    let mut other = Client::connect(&engine).await;
    other.vouchers.get_network(GetNetworkRequest {}).await.expect("and others find a place");
    let address = engine.http().unwrap().to_owned();
    let page = tokio::task::spawn_blocking(move || Page::of(&address)).await.unwrap();
    assert!(page.count("tallystick_refusals_held_total{listener=\"grpc\"}") > 0);
    assert_eq!(page.count("tallystick_refusals_held_total{listener=\"http\"}"), 0);
}

/// Webhooks that the provider has not signed were refused as fast as they came.
#[test]
fn webhooks_that_are_refused_again_and_again_are_told_later_and_then_to_go() {
    let house = House::new(&[]);
    let address = house.engine.as_ref().and_then(Engine::http).unwrap();
    let forged = "POST /webhooks/card HTTP/1.1\r\nhost: engine\r\ncontent-length: 2\r\n\r\n{}";
    let socket = TcpStream::connect(address).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let (mut refused, mut told) = (0, false);
    while !told && refused < 10_000 {
        // Many at once: they are answered one after the other.
        told = (&socket).write_all(forged.repeat(50).as_bytes()).is_err();
        for _ in 0..50 {
            let head = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty());
            let head: Vec<String> = head.collect();
            refused += usize::from(head.iter().any(|line| line.ends_with(" 400 Bad Request")));
            told |= head.is_empty() || head.iter().any(|line| line == "connection: close");
        }
    }
    assert!(told && refused > 32, "after {refused}");
    let page = Page::of(address);
    assert!(page.count("tallystick_refusals_held_total{listener=\"http\"}") > 0);
}

/// Connections of one address that came and went took the engine's threads from everybody.
#[tokio::test]
async fn one_address_opens_so_many_connections_a_second_and_others_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(&dir.path().join("data"))
        .args(&["--connections-per-address", "64"])
        .config("listen_http = \"127.0.0.1:0\"\n");
    let engine = launch.start();
    let mut honest = Client::connect(&engine).await;
    let address: std::net::SocketAddr = engine.address().parse().unwrap();
    for _ in 0..1_500 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        drop(socket.connect(address).await.unwrap());
    }
    let mut other = Client::connect(&engine).await;
    for client in [&mut honest, &mut other] {
        client.vouchers.get_network(GetNetworkRequest {}).await.expect("they are let in");
    }
    let address = engine.http().unwrap().to_owned();
    let page = tokio::task::spawn_blocking(move || Page::of(&address)).await.unwrap();
    assert!(page.count("tallystick_connections_too_often_total{listener=\"grpc\"}") > 0);
    assert_eq!(page.count("tallystick_connections_too_often_total{listener=\"http\"}"), 0);
}

/// Calls that need no key were answered as fast as they were asked for, on the threads that
/// everybody needs.
#[tokio::test]
async fn calls_that_need_no_key_have_a_pace_and_a_monitor_is_answered_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let engine =
        Launch::new(&dir.path().join("data")).config("listen_http = \"127.0.0.1:0\"\n").start();
    let channel = || Channel::from_shared(format!("http://{}", engine.address())).unwrap();
    let greedy = channel().connect().await.unwrap();
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = tokio_stream::iter(std::iter::repeat_n(question, 6_000));
    let mut reflection = ServerReflectionClient::new(greedy.clone());
    let asking = tokio::spawn(async move {
        let mut answers = reflection.server_reflection_info(questions).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok::<(), tonic::Status>(())
    });
    let mut asks = Client::over(greedy);
    let mut told = None;
    for _ in 0..50_000 {
        told = asks.vouchers.get_network(GetNetworkRequest {}).await.err();
        if told.is_some() {
            break;
        }
    }
    let told = told.expect("much was asked from here");
    assert!(told.metadata().contains_key("grpc-retry-pushback-ms"), "{told:?}");
    refused(Err::<(), _>(told), tonic::Code::ResourceExhausted, "come again");
    let mut monitor = HealthClient::new(channel().connect().await.unwrap());
    let watched = HealthCheckRequest { service: String::new() };
    monitor.check(watched).await.expect("who asks now and then is answered");
    asking.abort();
    let address = engine.http().unwrap().to_owned();
    let (answers, page) = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(&address).unwrap();
        let ask = "GET /livez HTTP/1.1\r\nhost: engine\r\n\r\n".repeat(7);
        let last = "GET /readyz HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n";
        socket.write_all(format!("{ask}{last}").as_bytes()).unwrap();
        let mut answers = String::new();
        socket.read_to_string(&mut answers).unwrap();
        (answers, Page::of(&address))
    })
    .await
    .unwrap();
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(
        answers.contains("HTTP/1.1 429 ") && answers.contains("\r\nretry-after: "),
        "{answers}"
    );
    assert!(page.count("tallystick_calls_limited_total{limit=\"open\"}") >= 2);
}
