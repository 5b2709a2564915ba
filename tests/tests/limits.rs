//! What an identity may have, by however many connections it comes; and who is let in when
//! something is missing. Whoever has had their share is told when to come again.

use bytes::Bytes;
use std::net::SocketAddr;
use tallystick_tests::keys::{api_key, with};
use tallystick_tests::page::Page;
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::{
    AddIdentityRequest, CloseWindowRequest, Credential, Frame, GetChannelRequest,
    GetNetworkRequest, GetStatusRequest, Outcome, Role, RotateIdentityRequest,
};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, Signer, Voucher, World, files, frame, outcomes, refused,
    request_id, run_cli, run_loadgen, signer_request,
};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

const OPERATOR: &str = "the token of ann, whom the configuration names";

/// An engine with an operator of the configuration, and two payers.
struct Place {
    client: Client,
    world: World,
    engine: Engine,
    launch: Launch,
    _dir: TempDir,
}

fn key_of(name: &str) -> String {
    api_key(*blake3::hash(name.as_bytes()).as_bytes())
}

fn credential(key: &str) -> Option<Credential> {
    let digest = Bytes::copy_from_slice(blake3::hash(key.as_bytes()).as_bytes());
    Some(Credential { kind: Some(Kind::KeyDigest(digest)) })
}

fn added(name: &str, role: Role, rate: u32) -> AddIdentityRequest {
    AddIdentityRequest {
        request_id: request_id("identity"),
        name: name.to_owned(),
        role: role.into(),
        credential: credential(&key_of(name)),
        rate,
        ..Default::default()
    }
}

impl Place {
    async fn new() -> Self {
        let Deployment { client, world, engine, dir } = Deployment::new(2, 1).await;
        drop(client);
        engine.stop().await;
        let launch = Launch::new(&dir.path().join("data"));
        let engine = launch.clone().config(&operators(OPERATOR)).start();
        let client = Client::connect(&engine).await;
        Self { client, world, engine, launch, _dir: dir }
    }

    async fn add(&mut self, name: &str, role: Role, rate: u32) -> String {
        let request = with(OPERATOR, added(name, role, rate));
        self.client.operator.add_identity(request).await.expect("it is added");
        key_of(name)
    }

    /// The first total of each of so many lanes.
    fn vouchers(&self, payer: usize, lanes: std::ops::Range<u64>) -> Vec<Voucher> {
        lanes.map(|lane| self.world.voucher(payer, 0, lane, 1)).collect()
    }
}

fn operators(token: &str) -> String {
    format!(
        "listen_http = \"127.0.0.1:0\"\n[operators]\nann = \"{}\"\n",
        blake3::hash(token.as_bytes()).to_hex()
    )
}

/// How long somebody was told to wait, in milliseconds.
fn told_to_wait(status: &Status) -> u64 {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(!status.details().is_empty(), "RetryInfo is among the details: {status:?}");
    let told = status.metadata().get("grpc-retry-pushback-ms").expect("it says when");
    told.to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_rate_holds_over_all_connections_of_an_identity_and_for_nobody_else() {
    let mut place = Place::new().await;
    let (slow, free) = (
        place.add("slow", Role::Facilitator, 1).await,
        place.add("free", Role::Facilitator, 0).await,
    );
    // A thousand seconds' worth comes in at once, as one frame.
    let first = frame(1, &place.vouchers(0, 0..1_000));
    let ack = place.client.vouchers.submit(with(&slow, first)).await.unwrap().into_inner();
    assert_eq!(ack.credited, 1_000);
    let mut elsewhere = Client::connect(&place.engine).await;
    let more = frame(2, &place.vouchers(0, 1_000..1_001));
    let status = elsewhere.vouchers.submit(with(&slow, more.clone())).await.unwrap_err();
    assert!((1..=999_000).contains(&told_to_wait(&status)), "{status:?}");
    assert!(status.message().contains("1 vouchers a second"), "{status:?}");
    // A stream is held for so long, and no longer.
    let acks = elsewhere.vouchers.stream(with(&slow, tokio_stream::iter([more.clone()]))).await;
    let status = acks.unwrap().into_inner().next().await.unwrap().unwrap_err();
    assert!(told_to_wait(&status) > 30_000, "{status:?}");
    let ack = elsewhere.vouchers.submit(with(&free, more)).await.unwrap().into_inner();
    assert_eq!(outcomes(&ack), [Outcome::Credited]);
}

/// What is told to the first of many calls at once that is refused.
async fn first_refused<C>(calls: impl Iterator<Item = C>) -> Status
where
    C: Future<Output = Result<(), Status>> + Send + 'static,
{
    let mut all: tokio::task::JoinSet<_> = calls.collect();
    while let Some(done) = all.join_next().await {
        if let Err(status) = done.unwrap() {
            return status;
        }
    }
    panic!("all of them were answered")
}

/// Both were answered as fast as they were asked for, on the threads that everybody needs.
#[tokio::test]
async fn who_has_no_rate_asks_for_channels_and_sends_nothing_at_a_pace() {
    let mut place = Place::new().await;
    let (free, curious) = (
        place.add("free", Role::Facilitator, 0).await,
        place.add("curious", Role::Facilitator, 0).await,
    );
    let vouchers = place.vouchers(0, 0..1);
    let Voucher { signer, payee, asset, lane, expires_at, .. } = vouchers[0].clone();
    let first = frame(1, &vouchers);
    place.client.vouchers.submit(with(&free, first)).await.unwrap();
    let empty = (0..5_000).map(|_| {
        let (mut api, sent) = (place.client.vouchers.clone(), with(&free, Frame::default()));
        async move { api.submit(sent).await.map(drop) }
    });
    // One connection alone has fewer calls at once than are held.
    let mut apis = vec![place.client.vouchers.clone()];
    for _ in 0..9 {
        apis.push(Client::connect(&place.engine).await.vouchers);
    }
    let questions = (0..5_000).map(|n| {
        let asked = GetChannelRequest {
            signer: Bytes::copy_from_slice(&signer.0),
            payee: Bytes::copy_from_slice(&payee.0),
            asset,
            lane,
            expires_at,
        };
        let (mut api, asked) = (apis[n % apis.len()].clone(), with(&curious, asked));
        async move { api.get_channel(asked).await.map(drop) }
    });
    for (status, name) in
        [(first_refused(empty).await, "free"), (first_refused(questions).await, "curious")]
    {
        assert!(told_to_wait(&status) > 0, "{status:?}");
        assert!(status.message().contains(name), "{status:?}");
        assert!(status.message().contains("calls a second"), "{status:?}");
    }
    // Vouchers are no calls.
    let more = frame(2, &place.vouchers(0, 1..2));
    let ack = place.client.vouchers.submit(with(&free, more)).await.unwrap().into_inner();
    assert_eq!(outcomes(&ack), [Outcome::Credited]);
}

#[tokio::test]
async fn a_stream_beyond_its_rate_is_held_and_all_of_it_comes_in() {
    let mut place = Place::new().await;
    let key = place.add("steady", Role::Facilitator, 400).await;
    let frames: Vec<Frame> =
        (0..5u64).map(|n| frame(n, &place.vouchers(0, n * 300..n * 300 + 300))).collect();
    let acks = place.client.vouchers.stream(with(&key, tokio_stream::iter(frames))).await.unwrap();
    let acks: Vec<_> = acks.into_inner().collect().await;
    let credited = acks.into_iter().map(|ack| ack.expect("it is held").credited);
    assert_eq!(credited.sum::<u32>(), 1_500);
}

/// One identity made 717 keys of itself a second, each a record for ever. However slow the machine,
/// it is told to wait: by its calls a second, or by its changes at once.
#[tokio::test]
async fn an_identity_changes_itself_so_often_and_no_more() {
    // Fewer than an identity may have keys, and than it may make calls at once.
    const KEYS: u32 = 400;
    let mut place = Place::new().await;
    let mut key = place.add("busy", Role::Auditor, 0).await;
    let mut ended = None;
    for n in 0..2_000 {
        let newest = key_of(&format!("busy {n}"));
        // What is refused counts, too.
        let name = if n < KEYS { "busy" } else { "another" };
        let asked = RotateIdentityRequest {
            request_id: request_id("rotate"),
            name: name.into(),
            credential: credential(&newest),
        };
        match place.client.operator.rotate_identity(with(&key, asked)).await {
            Ok(_) => key = newest,
            Err(status) if status.code() == Code::PermissionDenied => assert_eq!(name, "another"),
            Err(status) => {
                assert!(n >= KEYS, "{n}: {status:?}");
                ended = Some(status);
                break;
            }
        }
    }
    let status = ended.expect("it does not go on for ever");
    assert!(told_to_wait(&status) > 0, "{status:?}");
    let status = place.client.operator.get_status(with(OPERATOR, GetStatusRequest {})).await;
    status.expect("an operator is not held up");
}

/// One facilitator with many connections had as many shares.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_with_many_connections_gets_no_more_than_its_share() {
    const CONNECTIONS: u64 = 24;
    const FRAME: u64 = 512;
    let mut place = Place::new().await;
    let (greedy, honest) = (
        place.add("greedy", Role::Facilitator, 0).await,
        place.add("honest", Role::Facilitator, 0).await,
    );
    // Of both something was credited, so that neither is new.
    for (payer, key) in [(0, &greedy), (1, &honest)] {
        let known = frame(0, &place.vouchers(payer, 1_000_000..1_004_096));
        place.client.vouchers.submit(with(key, known)).await.unwrap();
    }
    let (start, _) = tokio::sync::broadcast::channel::<()>(1);
    let mut floods = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut client = Client::connect(&place.engine).await;
        let frames: Vec<Frame> = (0..6)
            .map(|n| {
                let from = (number * 6 + n) * FRAME;
                frame(n, &place.vouchers(0, from..from + FRAME))
            })
            .collect();
        let (key, mut started) = (greedy.clone(), start.subscribe());
        floods.spawn(async move {
            started.recv().await.unwrap();
            let acks = client.vouchers.stream(with(&key, tokio_stream::iter(frames))).await;
            let acks: Vec<_> = acks.unwrap().into_inner().collect().await;
            acks.into_iter().map(|ack| ack.unwrap().lsn).collect::<Vec<u64>>()
        });
    }
    let frames: Vec<Frame> =
        (0..16).map(|n| frame(n, &place.vouchers(1, n * FRAME..n * FRAME + FRAME))).collect();
    let mut client = Client::connect(&place.engine).await;
    start.send(()).unwrap();
    let acks = client.vouchers.stream(with(&honest, tokio_stream::iter(frames))).await.unwrap();
    let own: Vec<u64> = acks.into_inner().map(|ack| ack.unwrap().lsn).collect().await;
    let others: Vec<u64> = floods.join_all().await.into_iter().flatten().collect();
    // How many frames of the greedy one came in between two of the honest one's, as long as it had
    // any. Whatever the honest one leaves unused is the other's, so now and then it is many.
    let end = *others.iter().max().unwrap();
    let between = |two: &[u64]| others.iter().filter(|lsn| (two[0]..two[1]).contains(lsn)).count();
    let mut gaps: Vec<usize> = own.windows(2).filter(|two| two[1] < end).map(between).collect();
    gaps.sort_unstable();
    // With a share for each connection it was twenty-four.
    assert!(!gaps.is_empty() && gaps[gaps.len() / 2] <= 6, "{gaps:?}");
}

#[tokio::test]
async fn an_unknown_token_is_a_mistake_also_where_the_door_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Launch::new(&dir.path().join("data")).start();
    let mut client = Client::connect(&engine).await;
    client.operator.get_status(GetStatusRequest {}).await.expect("it is open to who has none");
    for token in ["nonsense", &*key_of("nobody"), "", "  "] {
        let asked = client.operator.get_status(with(token, GetStatusRequest {})).await;
        refused(asked, Code::Unauthenticated, "access");
        let brought = client.vouchers.submit(with(token, Frame::default())).await;
        refused(brought, Code::Unauthenticated, "access");
        let network = client.vouchers.get_network(with(token, GetNetworkRequest {})).await;
        network.expect("everybody may know the network");
    }
    // From the first identity on nobody operates unnamed: so the first one is an operator.
    let first = client.operator.add_identity(added("fac", Role::Facilitator, 0)).await;
    refused(first, Code::FailedPrecondition, "--role operator");
    client.operator.add_identity(added("ann", Role::Operator, 0)).await.unwrap();
    let asked = client.operator.get_status(GetStatusRequest {}).await;
    refused(asked, Code::Unauthenticated, "has operators");
}

/// An engine with facilitators was open to everybody when `[operators]` was lost.
#[tokio::test]
async fn losing_the_operators_of_the_configuration_opens_nothing() {
    let mut place = Place::new().await;
    let fac = place.add("fac", Role::Facilitator, 0).await;
    let Place { client, engine, launch, _dir, .. } = place;
    drop(client);
    engine.stop().await;
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    let asked = client.operator.get_status(GetStatusRequest {}).await;
    refused(asked, Code::Unauthenticated, "token");
    let asked = client.operator.get_status(with(OPERATOR, GetStatusRequest {})).await;
    refused(asked, Code::Unauthenticated, "token");
    let asked = client.operator.get_status(with(&fac, GetStatusRequest {})).await;
    refused(asked, Code::PermissionDenied, "role facilitator");
    assert!(engine.stderr().contains("nobody can operate this engine"), "{}", engine.stderr());
}

#[test]
fn the_digest_of_nothing_is_no_operators() {
    let dir = tempfile::tempdir().unwrap();
    for nothing in ["", "\n", " "] {
        let launch = Launch::new(&dir.path().join("data")).config(&operators(nothing));
        let text = launch.refusal();
        assert!(text.contains("operators.ann") && text.contains("empty text"), "{text}");
    }
}

#[tokio::test]
async fn what_was_refused_is_counted_by_its_limit() {
    let mut place = Place::new().await;
    let key = place.add("slow", Role::Facilitator, 1).await;
    for n in 0..3 {
        let frame = frame(n, &place.vouchers(0, n * 100..n * 100 + 100));
        let done = place.client.vouchers.submit(with(&key, frame)).await;
        assert_eq!(done.is_ok(), n == 0, "{done:?}");
    }
    let address = place.engine.http().expect("it serves HTTP").to_owned();
    let page = tokio::task::spawn_blocking(move || Page::of(&address)).await.unwrap();
    for (limit, count) in [("rate", 2), ("streams", 0), ("places", 0)] {
        let series = format!("tallystick_calls_limited_total{{limit=\"{limit}\"}}");
        assert_eq!(page.count(&series), count);
    }
}

/// A connection from another address of this machine.
async fn from_elsewhere(to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to.parse::<SocketAddr>().unwrap()).await.unwrap()
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_the_others_find_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(&dir.path().join("data"));
    let engine = launch.args(&["--connections-per-address", "4"]).start();
    let mut client = Client::connect(&engine).await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(from_elsewhere(engine.address()).await);
    }
    let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert!((1..=5).contains(&status.connections), "{}", status.connections);
    let mut more = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(&engine).await;
        client.vouchers.get_network(GetNetworkRequest {}).await.expect("others find a place");
        more.push(client);
    }
    client.vouchers.get_network(GetNetworkRequest {}).await.expect("and keep theirs");
}

/// An owner that knew the id of a line an operator would import had that line fail.
#[tokio::test]
async fn an_owners_request_id_is_not_an_operators() {
    let mut place = Place::new().await;
    let own = place.world.payers[0].clone();
    let owner = AddIdentityRequest {
        party_ids: vec![Bytes::copy_from_slice(&own.party.0)],
        ..added("owner", Role::Party, 0)
    };
    place.client.operator.add_identity(with(OPERATOR, owner)).await.unwrap();
    let (key, id) = (key_of("owner"), "import-5a3e77c0-17");
    let mut agent = signer_request(&Signer::new("an agent", own.party), &[]);
    agent.request_id = id.into();
    let api = &mut place.client.operator;
    for _ in 0..2 {
        api.add_signer(with(&key, agent.clone())).await.expect("done once, and then a repeat");
    }
    let close = || CloseWindowRequest { request_id: id.into() };
    let closed = api.close_window(with(OPERATOR, close())).await.expect("it is the operator's own");
    let again = api.close_window(with(OPERATOR, close())).await.unwrap().into_inner();
    assert_eq!(closed.into_inner().number, again.number);
    // Over a restart, from the journal alone, and by the audit's own sums.
    let Place { client, engine, launch, _dir: dir, .. } = place;
    drop(client);
    engine.stop().await;
    let engine = launch.config(&operators(OPERATOR)).start();
    let mut client = Client::connect(&engine).await;
    client.operator.add_signer(with(&key, agent)).await.expect("a repeat still");
    let once = client.operator.close_window(with(OPERATOR, close())).await.unwrap().into_inner();
    assert_eq!(once.number, again.number);
    drop(client);
    engine.stop().await;
    let audit = run_cli(&["audit", "--data-dir", dir.path().join("data").to_str().unwrap()]);
    assert!(audit.status.success(), "{audit:?}");
}

/// Calls that were not let in filled the audit log, until the desk's were gone.
#[tokio::test]
async fn who_is_not_let_in_makes_no_line_of_the_desk_go() {
    let mut place = Place::new().await;
    let (fac, aud) =
        (place.add("fac", Role::Facilitator, 0).await, place.add("aud", Role::Auditor, 0).await);
    let api = &mut place.client.operator;
    let status = || GetStatusRequest {};
    api.get_status(with(OPERATOR, status())).await.unwrap();
    let lines = 20;
    for _ in 0..lines {
        api.get_status(with("nonsense", status())).await.unwrap_err();
        api.get_status(with(&fac, status())).await.unwrap_err();
    }
    // Somebody who is known, and comes more often than they may.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2_000 {
        let mut api = api.clone();
        let asked = with(&aud, status());
        calls.spawn(async move { api.get_status(asked).await.err() });
    }
    let too_often = calls.join_all().await.into_iter().flatten().count();
    let Place { client, engine, _dir: dir, .. } = place;
    drop(client);
    engine.stop().await;
    let folder = dir.path().join("data/audit-log");
    let count = |group: &str| {
        let name = format!("{group}-00000001.jsonl");
        let paths = files(&folder, |path| path.ends_with(&name));
        std::fs::read_to_string(&paths[0]).unwrap().lines().count()
    };
    assert_eq!(count("own"), lines);
    assert_eq!(count("refused"), lines + too_often);
    let shown = run_cli(&["audit-log", "--dir", folder.to_str().unwrap(), "--json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let at =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["at"].to_string();
    let times: Vec<String> = shown.lines().map(at).collect();
    assert_eq!(times.len(), count("own") + count("refused") + count("audit"), "all are shown");
    let sequential = &times[..times.len() - 2_000];
    assert!(sequential.is_sorted(), "oldest first, whichever file they are in");
}

/// What is answered to a request over HTTP with these headers: its first line.
fn first_line(address: &str, headers: &str) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(120))).unwrap();
    // It may have been answered before all of it was taken.
    let _ = write!(socket, "GET /livez HTTP/1.1\r\nhost: engine\r\n{headers}\r\n");
    let mut line = String::new();
    let _ = BufReader::new(socket).read_line(&mut line);
    line.trim_end().to_owned()
}

#[tokio::test]
async fn a_head_over_http_is_bounded_in_headers_and_in_bytes() {
    let place = Place::new().await;
    let address = place.engine.http().unwrap();
    let headers = |count: usize, bytes: usize| {
        let one = |n| format!("x-{n}: {}\r\n", "y".repeat(bytes));
        (0..count).map(one).collect::<String>()
    };
    assert_eq!(first_line(address, &headers(50, 10)), "HTTP/1.1 200 OK");
    for (count, bytes) in [(200, 10), (1, 100_000)] {
        let line = first_line(address, &headers(count, bytes));
        // A reset where more was under way than it took.
        let refused = line.is_empty() || line.starts_with("HTTP/1.1 431");
        assert!(refused, "{count} of {bytes}: {line:?}");
    }
    assert_eq!(first_line(address, ""), "HTTP/1.1 200 OK");
}

#[test]
fn the_table_of_abuse_names_every_kind_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("abuse");
    let args = ["abuse", "--json", "--rounds", "1", "--seconds", "1", "--idle", "200"];
    let kinds = ["--kind", "idle", "--kind", "bad-tokens", "--kind", "slow-writers"];
    let folder_args = ["--dir", folder.to_str().unwrap()];
    let output = run_loadgen(&[&args[..], &kinds, &folder_args].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = report["abuse"].as_array().unwrap();
    assert_eq!(all.len(), 3, "{report}");
    for abuse in all {
        assert_eq!(abuse["denied"], serde_json::Value::Null, "{report}");
        assert!(abuse["memory_mib"].as_f64().unwrap() > 0.0, "{report}");
        assert!(!abuse["did"].as_str().unwrap().is_empty(), "{report}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
}
