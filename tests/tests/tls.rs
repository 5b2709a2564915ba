//! TLS with the real binary: everything that is served goes over it, nobody else gets in, new
//! certificates come without a restart, and what a person is told when the sides do not fit.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::time::Duration;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::tls::{Certs, TLS12, TLS13, channel, handshake};
use tallystick_tests::wire::{Frame, GetNetworkRequest, GetStatusRequest};
use tallystick_tests::{
    Client, Engine, Launch, Signal, Voucher, World, run_cli, run_loadgen, until,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const H2: &[u8] = b"h2";

/// An engine with TLS, and the certificates: of the engine, and of a client `acme`.
struct House {
    dir: TempDir,
    certs: Certs,
    engine: Engine,
}

impl House {
    fn new(mutual: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certs = Certs::make(&dir.path().join("certs"), &["acme"]);
        let launch = Launch::new(&dir.path().join("data")).config(&certs.listener(mutual));
        let engine = launch.without_clearing().start();
        Self { dir, certs, engine }
    }

    fn url(&self) -> String {
        format!("https://{}", self.engine.address())
    }

    async fn client(&self, name: Option<&str>) -> Client {
        let config = self.certs.client(name, &[&TLS13], H2);
        Client::over(channel(self.engine.address(), config).await.expect("a connection"))
    }

    /// `tallystick status` with these options.
    fn status(&self, server: &str, options: &[&str]) -> Output {
        run_cli(&[&["status", "--json", "--server", server][..], options].concat())
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The end of the certificate that an engine shows now.
async fn shown(address: &str, trusted: &Certs) -> Option<Vec<u8>> {
    let stream = handshake(address, trusted.client(None, &[&TLS13], H2)).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

fn vouchers(world: &World, first_lane: u64, count: u64) -> Vec<Voucher> {
    (first_lane..first_lane + count).map(|lane| world.voucher(0, 0, lane, 1)).collect()
}

#[tokio::test]
async fn vouchers_and_operators_calls_go_over_tls() {
    let house = House::new(false);
    let mut client = house.client(None).await;
    let world = World::register(&mut client, 2, 2).await;
    assert_eq!(client.pay(&vouchers(&world, 0, 3)).await, [Credited; 3]);
    // More than a record, many times over, on one stream.
    let frames: Vec<Frame> = (0..20u64)
        .map(|frame| {
            let of_frame = vouchers(&world, 1_000 + frame * 1_000, 1_000);
            let packed: Vec<u8> = of_frame.iter().flat_map(|voucher| voucher.pack()).collect();
            Frame { frame_id: frame, packed: packed.into(), ..Frame::default() }
        })
        .collect();
    let acks = client.stream(frames).await;
    assert_eq!(acks.iter().map(|ack| u64::from(ack.credited)).sum::<u64>(), 20_000);
    assert_eq!(client.close_window().await.number, 1);
    let ca = house.certs.path("ca.pem");
    let status = house.status(&house.url(), &["--tls-ca", &ca]);
    assert!(status.status.success(), "{status:?}");
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["open_window"], json!(2), "{status}");
    // Who names an authority means TLS.
    let status = house.status(house.engine.address(), &["--tls-ca", &ca]);
    assert!(status.status.success(), "{status:?}");
    drop(client);
    house.engine.stop().await;
}

#[test]
fn the_load_generators_books_match_over_tls_with_and_without_certificates_of_clients() {
    for mutual in [false, true] {
        let house = House::new(mutual);
        let (url, ca) = (house.url(), house.certs.path("ca.pem"));
        let (cert, key) = (house.certs.path("acme.pem"), house.certs.path("acme.key"));
        let mut args = vec!["run", "--json", "--server", &url, "--tls-ca", &ca];
        args.extend(["--vouchers", "5000", "--payers", "50", "--payees", "9"]);
        if mutual {
            let refused = run_loadgen(&args);
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert!(said(&refused).contains("--tls-cert"), "{refused:?}");
            args.extend(["--tls-cert", &cert, "--tls-key", &key]);
        }
        let report = run_loadgen(&args);
        assert!(report.status.success(), "{report:?}");
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(report["books_match"], true, "{report}");
        house.engine.terminate();
    }
}

#[test]
fn what_tls_costs_can_be_measured() {
    let dir = tempfile::tempdir().unwrap();
    let engine = tallystick_tests::binary("TALLYSTICK_BIN", "tallystick");
    let (engine, dir) = (engine.to_string_lossy(), dir.path().join("tls"));
    let mut args = vec!["tls", "--engine", &engine, "--dir", dir.to_str().unwrap(), "--json"];
    args.extend(["--rounds", "2", "--vouchers", "3000", "--mutual"]);
    args.extend(["--payers", "50", "--payees", "9"]);
    let measured = run_loadgen(&args);
    assert!(measured.status.success(), "{measured:?}");
    let measured: Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert_eq!(measured["books_match"], true, "{measured}");
    assert_eq!(measured["rounds"].as_array().unwrap().len(), 2);
    assert!(measured["tls"]["vouchers_per_second"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn webhooks_come_over_tls_and_only_so() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &[]);
    let secret = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (key, hook) = (secret("card.key", "sk_test_1"), secret("card.webhook", "whsec_1"));
    let config = format!(
        "{}[[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n{}\
         [clearing.card]\naccount = \"acct_clearing\"\n[rail.card]\nbase_url = \"http://127.0.0.1:9\"\n\
         secret_key_file = {key:?}\nwebhook_secret_file = {hook:?}\n",
        certs.listener(false),
        certs.setting(false)
    );
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let http = engine.http().unwrap().to_owned();
    let payload = concat!(
        r#"{"id":"evt_1","object":"event","created":1,"type":"customer.created","#,
        r#""data":{"object":{"id":"cus_1","object":"customer"}}}"#
    );
    let ask = |signature: &str| {
        format!(
            "POST /webhooks/card HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             stripe-signature: {signature}\r\ncontent-length: {}\r\n\r\n{payload}",
            payload.len()
        )
    };
    let signed = tallystick_tests::psp::signature("whsec_1", payload);
    for (signature, wanted) in [(signed.as_str(), "HTTP/1.1 200"), ("t=1,v1=00", "HTTP/1.1 400")] {
        let config = certs.client(None, &[&TLS13], b"http/1.1");
        let mut stream = handshake(&http, config).await.unwrap();
        stream.write_all(ask(signature).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(wanted), "{signature}: {answer}");
    }
    // Nobody speaks HTTP/2 there, and nobody plain text.
    assert!(handshake(&http, certs.client(None, &[&TLS13], H2)).await.is_err());
    let mut plain = TcpStream::connect(&http).unwrap();
    plain.write_all(ask(&signed).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    engine.stop().await;
}

#[tokio::test]
async fn only_who_has_a_certificate_by_the_right_authority_gets_in_where_one_is_asked_for() {
    let house = House::new(true);
    let other = Certs::make(&house.dir.path().join("other"), &["acme"]);
    let mut client = house.client(Some("acme")).await;
    client.vouchers.get_network(GetNetworkRequest {}).await.unwrap();
    let (url, ca) = (house.url(), house.certs.path("ca.pem"));
    let (cert, key) = (house.certs.path("acme.pem"), house.certs.path("acme.key"));
    let (strange, strange_key) = (other.path("acme.pem"), other.path("acme.key"));
    let (server, server_key) = (house.certs.path("server.pem"), house.certs.path("server.key"));
    let with = |cert: &str, key: &str| {
        house.status(&url, &["--tls-ca", &ca, "--tls-cert", cert, "--tls-key", key])
    };
    let good = with(&cert, &key);
    assert!(good.status.success(), "{good:?}");
    // A server's certificate is none for clients.
    for (out, wanted) in [
        (house.status(&url, &["--tls-ca", &ca]), "--tls-cert"),
        (with(&strange, &strange_key), "client_ca"),
        (with(&server, &server_key), "client_ca"),
    ] {
        assert_eq!(out.status.code(), Some(3), "{out:?}");
        assert!(said(&out).contains(wanted), "{wanted}: {}", said(&out));
    }
    // What belongs together and does not fit is said before anybody is asked.
    for (out, wanted) in [
        (with(&cert, &strange_key), "not a certificate and its key"),
        (house.status(&url, &["--tls-ca", &ca, "--tls-cert", &cert]), "belong together"),
    ] {
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        assert!(said(&out).contains(wanted), "{wanted}: {}", said(&out));
    }
    let log = house.engine.stderr();
    assert!(log.contains("TLS handshakes fail"), "{log}");
    drop(client);
    house.engine.stop().await;
}

/// Whoever mixes the two up was told "transport error".
#[test]
fn a_person_is_told_what_does_not_fit_and_which_option_to_give() {
    let house = House::new(false);
    let plain_dir = house.dir.path().join("plain");
    let plain = Engine::start(&plain_dir, &[]);
    let other = Certs::make(&house.dir.path().join("other"), &[]);
    let (url, ca, other_ca) = (house.url(), house.certs.path("ca.pem"), other.path("ca.pem"));
    let tls = house.engine.address();
    // Its certificate is for 127.0.0.1, among others.
    let launch = Launch::new(&house.dir.path().join("nine")).config(&house.certs.listener(false));
    let nine = launch.without_clearing().args(&["--listen", "127.0.0.9:0"]).start();
    let (by_name, elsewhere) = (format!("https://{}", nine.address()), plain.address());
    let plain_text = format!("http://{tls}");
    let missing = house.dir.path().join("none.pem");
    let missing = missing.to_str().unwrap();
    for (server, options, code, wanted) in [
        // Plain text to TLS, and the reverse.
        (tls, &[][..], 3, &["speaks TLS", "https://", "--tls-ca"][..]),
        (elsewhere, &["--tls-ca", &ca], 3, &["does not speak TLS", "http://"]),
        // Another authority, or none that is known.
        (&url, &["--tls-ca", &other_ca], 3, &["not by the authority in --tls-ca"]),
        (&url, &[], 3, &["--tls-ca"]),
        // Another name.
        (&by_name, &["--tls-ca", &ca], 3, &["not for 127.0.0.9", "localhost"]),
        // What makes no sense.
        (&plain_text, &["--tls-ca", &ca], 2, &["plain text", "https://"]),
        (&url, &["--tls-ca", missing], 1, &["none.pem"]),
        (&url, &["--tls-ca", &house.certs.path("server.key")], 2, &["holds no certificate"]),
    ] {
        let out = house.status(server, options);
        let text = said(&out);
        assert_eq!(out.status.code(), Some(code), "{server} {options:?}: {text}");
        for part in wanted {
            assert!(text.contains(part), "{server} {options:?}: {text} without {part:?}");
        }
        assert!(!text.contains("transport error") && !text.contains("panicked"), "{text}");
    }
    // A token goes nowhere where it could be read.
    let token = house.dir.path().join("token");
    std::fs::write(&token, "a".repeat(64)).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let token = ["--token-file", token.to_str().unwrap()];
    let out = house.status("http://clearing.example:7450", &token);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(said(&out).contains("https://clearing.example:7450"), "{}", said(&out));
    plain.terminate();
    nine.terminate();
    house.engine.terminate();
}

#[tokio::test]
async fn who_speaks_an_older_tls_is_refused() {
    let house = House::new(false);
    let old = handshake(house.engine.address(), house.certs.client(None, &[&TLS12], H2)).await;
    let why = old.expect_err("the engine speaks TLS 1.3 only").to_string();
    assert!(why.contains("ProtocolVersion"), "{why}");
    let new = house.certs.client(None, &[&TLS12, &TLS13], H2);
    assert!(handshake(house.engine.address(), new).await.is_ok(), "who speaks both is let in");
    house.engine.stop().await;
}

#[tokio::test]
async fn new_certificates_are_taken_without_a_restart_and_bad_ones_are_not() {
    let house = House::new(false);
    let address = house.engine.address();
    let (first, certs) = (shown(address, &house.certs).await.unwrap(), &house.certs);
    let mut before = house.client(None).await;
    let second = Certs::make(&house.dir.path().join("second"), &[]);
    let third = Certs::make(&house.dir.path().join("third"), &[]);

    // What cannot be used changes nothing, and is said as what it is.
    certs.replace("server.key", &std::fs::read(second.path("server.key")).unwrap());
    house.engine.signal(Signal::HUP);
    until("the log says so", || house.engine.stderr().contains("made together").then_some(()));
    assert_eq!(shown(address, certs).await, Some(first.clone()), "the old pair is in force");

    // Files that change are enough.
    certs.renew_from(&second);
    let new = until_shown(address, &second).await;
    assert_ne!(new, first);
    assert_eq!(shown(address, certs).await, None, "the old authority's is gone");

    // So is a signal.
    certs.renew_from(&third);
    house.engine.signal(Signal::HUP);
    let newest = until_shown(address, &third).await;
    assert_ne!(newest, new);
    let status = before.operator.get_status(GetStatusRequest {}).await;
    status.expect("a connection that stood goes on");
    let log = house.engine.stderr();
    assert!(log.contains("stays in force") && log.contains("took the TLS certificate"), "{log}");
    drop(before);
    house.engine.stop().await;
}

/// Tries until an engine shows a certificate by this authority.
async fn until_shown(address: &str, trusted: &Certs) -> Vec<u8> {
    let (address, trusted) = (address.to_owned(), trusted.clone());
    let look = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        until("the new certificate is shown", || runtime.block_on(shown(&address, &trusted)))
    };
    tokio::task::spawn_blocking(look).await.unwrap()
}

/// Handshakes that began and never end are a stranger's cheapest way to hold on.
#[tokio::test]
async fn stalled_handshakes_keep_nobody_out_and_end_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &["acme"]);
    let launch = Launch::new(&dir.path().join("data")).config(&certs.listener(true));
    let launch = launch.args(&["--checkpoint-bytes", "64KiB"]).without_clearing();
    let engine = launch.under(&["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""]).start();
    let config = certs.client(Some("acme"), &[&TLS13], H2);
    let connect = || async {
        let channel = channel(engine.address(), config.clone()).await;
        Client::over(channel.expect("there is a place for who speaks"))
    };
    let mut before = connect().await;
    let world = World::register(&mut before, 1, 1).await;
    let half_a_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let mut stalled: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut socket = TcpStream::connect(engine.address()).unwrap();
            match number % 3 {
                0 => {}
                1 => drop(socket.write_all(&half_a_hello)),
                _ => drop(socket.write_all(&half_a_hello[..5])),
            }
            socket
        })
        .collect();
    let mut after = connect().await;
    for round in 0..5 {
        let of_round = vouchers(&world, round * 1_000, 500);
        assert!(after.pay(&of_round).await.iter().all(|outcome| *outcome == Credited));
        after.close_window().await;
    }
    assert_eq!(before.pay(&vouchers(&world, 9_000, 1)).await, [Credited]);
    let ended = tokio::task::spawn_blocking(move || {
        for socket in &mut stalled {
            socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
            let mut unread = Vec::new();
            // An end or a reset; never the time limit of ours.
            let end = socket.read_to_end(&mut unread);
            let late = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!late, "a stalled handshake is ended");
        }
    });
    ended.await.unwrap();
    assert_eq!(after.pay(&vouchers(&world, 9_500, 1)).await, [Credited]);
    drop((before, after));
    engine.stop().await;
}

/// The whole of it: reachable from elsewhere, with operators and certificates.
#[tokio::test]
async fn with_operators_and_certificates_of_clients_an_engine_may_be_reached_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &["acme"]);
    let token = dir.path().join("ann.token");
    let token = token.to_str().unwrap();
    let made = run_cli(&["operator", "token", "--name", "ann", "--out", token, "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let operators = format!("[operators]\n{}\n", made["config"].as_str().unwrap());
    let config = format!("{}{operators}", certs.listener(true));
    let launch = Launch::new(&dir.path().join("data")).config(&config).without_clearing();
    let engine = launch.args(&["--listen", "0.0.0.0:0"]).start();
    let port = engine.address().rsplit_once(':').unwrap().1.to_owned();
    let (ca, cert, key) = (certs.path("ca.pem"), certs.path("acme.pem"), certs.path("acme.key"));
    let server = format!("https://localhost:{port}");
    let mut args = vec!["status", "--server", &server, "--tls-ca", &ca];
    args.extend(["--tls-cert", &cert, "--tls-key", &key]);
    let without = run_cli(&args);
    assert_eq!(without.status.code(), Some(1), "{without:?}");
    assert!(said(&without).contains("token"), "a certificate is no token: {without:?}");
    args.extend(["--token-file", token]);
    let with = run_cli(&args);
    assert!(with.status.success(), "{with:?}");
    engine.stop().await;
}
