//! What a monitor sees of the engine: the page of metrics, whether it lives and is ready, and what
//! is for nobody's eyes.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tallystick_tests::bank;
use tallystick_tests::page::{Answer, Page, get, post};
use tallystick_tests::wire::{ApproveBatchRequest, BatchState, GetStatusRequest, Status};
use tallystick_tests::{
    Client, Engine, Launch, Outcome, Signal, Starting, Voucher, World, limit_request, request_id,
    run_cli, until, until_batch,
};

const HTTP: &str = "listen_http = \"127.0.0.1:0\"\n";

fn launch(dir: &Path) -> Launch {
    Launch::new(&dir.join("data")).config(HTTP)
}

fn http(engine: &Engine) -> String {
    engine.http().expect("it serves HTTP").to_owned()
}

async fn page(engine: &Engine) -> Page {
    let address = http(engine);
    tokio::task::spawn_blocking(move || Page::of(&address)).await.unwrap()
}

async fn status(client: &mut Client) -> Status {
    client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The rows of the document: name and type.
fn listed() -> BTreeSet<(String, String)> {
    let text = read("docs/METRICS.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `tallystick_"));
    let rows = rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`');
        (format!("tallystick_{name}"), cells.next().unwrap().to_owned())
    });
    rows.collect()
}

#[tokio::test]
async fn what_is_served_is_what_the_document_lists() {
    let dir = tempfile::tempdir().unwrap();
    let engine = launch(dir.path()).start();
    let page = page(&engine).await;
    let (served, listed) = (page.metrics(), listed());
    assert!(listed.len() > 40, "{}", listed.len());
    assert_eq!(served, listed);
    for series in page.series() {
        let name = series.split('{').next().unwrap();
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| {
            let base = name.strip_suffix(part)?;
            served.contains(&(base.to_owned(), "histogram".to_owned())).then_some(base)
        });
        let name = base.unwrap_or(name);
        assert!(served.iter().any(|(served, _)| served == name), "{series}");
    }
    assert_eq!(page.count("tallystick_metrics_complete"), 1);
    assert_eq!(page.count("tallystick_ready"), 1);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(page.count(&format!("tallystick_info{{version=\"{version}\"}}")), 1);
    engine.stop().await;
}

/// One voucher for each of some outcomes, and what becomes of it.
fn some(world: &World) -> Vec<(Voucher, Outcome, &'static str)> {
    let mut forged = world.voucher(0, 0, 1, 5);
    forged.signature[3] ^= 1;
    let stranger = tallystick_tests::Signer::new("stranger", world.payees[0]);
    let unknown = stranger.sign(world.network, world.voucher(0, 0, 2, 5));
    vec![
        (world.voucher(0, 0, 0, 5), Outcome::Credited, "credited"),
        (world.voucher(0, 0, 0, 5), Outcome::Stale, "stale"),
        (world.voucher(0, 0, 0, 9), Outcome::Credited, "credited"),
        (forged, Outcome::BadSignature, "bad_signature"),
        (unknown, Outcome::UnknownSigner, "unknown_signer"),
        (world.voucher(1, 0, 0, 50), Outcome::OverLimit, "over_limit"),
    ]
}

#[tokio::test]
async fn the_page_agrees_with_what_was_sent_and_acked_and_with_the_status() {
    let dir = tempfile::tempdir().unwrap();
    let engine = launch(dir.path()).start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 2, 1).await;
    let limit = limit_request(world.payers[1].party, World::PAIRS, "10");
    client.operator.set_credit_limit(limit).await.unwrap();
    let some = some(&world);
    // Each in a frame of its own.
    for (voucher, outcome, name) in &some {
        assert_eq!(client.pay(std::slice::from_ref(voucher)).await, [*outcome], "{name}");
    }
    let of = |outcome: &str| format!("tallystick_vouchers_total{{outcome=\"{outcome}\"}}");
    // Its place is free a moment after it was acked.
    let seen = bank::until("nothing is in flight", async || {
        let seen = page(&engine).await;
        (seen.count("tallystick_vouchers_in_flight") == 0).then_some(seen)
    })
    .await;
    for (_, _, name) in &some {
        let sent = some.iter().filter(|(_, _, other)| other == name).count();
        assert_eq!(seen.count(&of(name)), u64::try_from(sent).unwrap(), "{name}");
    }
    let all = seen.series().filter(|series| series.starts_with("tallystick_vouchers_total"));
    let frames = u64::try_from(some.len()).unwrap();
    assert_eq!(all.map(|series| seen.count(series)).sum::<u64>(), frames);
    for series in [
        "tallystick_ack_seconds_count",
        "tallystick_ack_seconds_bucket{le=\"+Inf\"}",
        "tallystick_stage_seconds_count{stage=\"check\"}",
        "tallystick_stage_seconds_count{stage=\"order\"}",
        "tallystick_stage_seconds_count{stage=\"settle\"}",
    ] {
        assert_eq!(seen.count(series), frames, "{series}");
    }
    assert!(seen.count("tallystick_journal_sync_seconds_count") > 0);
    let status = status(&mut client).await;
    for (series, value) in [
        ("tallystick_journal_durable_lsn", status.durable_lsn),
        ("tallystick_window_open", status.open_window),
        ("tallystick_window_vouchers", status.window_vouchers),
        ("tallystick_channels", status.channels),
        ("tallystick_parties", status.parties),
        ("tallystick_signers", status.signers),
        ("tallystick_signatures_checked_total", status.vouchers_verified),
        ("tallystick_request_ids", status.request_ids),
        ("tallystick_request_ids_max", status.request_ids_max),
        ("tallystick_connections{listener=\"grpc\"}", status.connections),
        ("tallystick_vouchers_in_flight", 0),
        ("tallystick_disk_low", 0),
        ("tallystick_verify_alarms_total", 0),
    ] {
        assert_eq!(seen.count(series), value, "{series}");
    }
    // One may owe 10 and owes nothing, the other owes 9 of very much.
    for quantile in ["0", "0.5"] {
        let of = "tallystick_exposure_headroom_ratio";
        let series = format!("{of}{{asset=\"1\",quantile=\"{quantile}\"}}");
        let wanted = if quantile == "0" { "0.99" } else { "1.00" };
        assert_eq!(seen.value(&series), wanted);
    }
    let backend = format!("tallystick_verify_backend{{backend=\"{}\"}}", status.verify_backend);
    assert_eq!(seen.count(&backend), 1);
    drop(client);
    engine.stop().await;
}

#[tokio::test]
async fn the_page_follows_a_batch_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let engine = launch(dir.path()).start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    let voucher = world.pay(0, world.payees[0], World::CLEARED, 0, 3_000_000);
    assert_eq!(client.pay(&[voucher]).await, [Outcome::Credited]);
    let window = client.close_window().await.number;
    let batch = client.create_batch(&[window], World::CLEARED).await.unwrap();
    let state = |state: &str| format!("tallystick_batches{{rail=\"iso20022\",state=\"{state}\"}}");
    let leg = |state: &str| format!("tallystick_legs{{rail=\"iso20022\",state=\"{state}\"}}");
    let money =
        |way: &str| format!("tallystick_money_in_flight_units{{asset=\"2\",way=\"{way}\"}}");
    let seen = page(&engine).await;
    assert_eq!(seen.count(&state("computed")), 1);
    assert_eq!(seen.count("tallystick_seal_seconds_count"), 1);
    assert_eq!((seen.count(&money("pay_in")), seen.count(&money("pay_out"))), (0, 0));
    let id = request_id("approve");
    let approve = ApproveBatchRequest {
        request_id: id,
        batch_id: batch.batch_id.clone(),
        ..Default::default()
    };
    client.operator.approve_batch(approve).await.unwrap();
    until_batch(&mut client, &batch, |b| b.state() == BatchState::Submitting).await;
    let seen = page(&engine).await;
    assert_eq!(seen.count(&state("submitting")), 1);
    // The payer is asked for it; the pay-out waits for that.
    assert_eq!((seen.count(&leg("sent")), seen.count(&leg("ready"))), (1, 1));
    assert_eq!(
        (seen.count(&money("pay_in")), seen.count(&money("pay_out"))),
        (3_000_000, 3_000_000)
    );
    assert_eq!(seen.count("tallystick_clearing_balance_units{asset=\"2\"}"), 0);
    drop(client);
    engine.stop().await;
}

/// The points at which the engine waits until a pipe was written to.
struct Held(PathBuf);

impl Held {
    fn new(dir: &Path) -> Self {
        let path = dir.join("held");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        Self(path)
    }

    fn at(&self, point: &str) -> String {
        format!("{point}:{}", self.0.display())
    }

    /// It goes on.
    fn release(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

/// Where an engine that only starts answers.
fn early_http(starting: &Starting) -> String {
    until("the log says where", || {
        let log = starting.stderr();
        let line = log.lines().find(|line| line.contains("serving HTTP"))?;
        let at = line.split("addr=").nth(1)?;
        Some(at.split_whitespace().next()?.to_owned())
    })
}

fn is_later(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text.contains(why) && answer.retry_after.is_some(), "{answer:?}");
}

#[test]
fn it_lives_from_the_first_moment_and_is_ready_when_vouchers_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    launch(dir.path()).start().terminate();
    for point in ["start-opened", "start-recovered"] {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::new(folder.path());
        let starting = launch(dir.path()).fault("TALLYSTICK_FAULT_WAIT", &held.at(point)).spawn();
        let address = early_http(&starting);
        assert_eq!(get(&address, "/livez", None).status, 200, "{point}");
        is_later(&get(&address, "/readyz", None), "the journal is read");
        is_later(&post(&address, "/webhooks/card", "{}"), "send this again");
        let seen = Page::of(&address);
        assert_eq!(seen.metrics(), listed());
        let (ready, complete) = ("tallystick_ready", "tallystick_metrics_complete");
        assert_eq!((seen.count(ready), seen.count(complete)), (0, 0));
        held.release();
        let engine = starting.wait().unwrap();
        assert_eq!(http(&engine), address);
        assert_eq!(get(&address, "/readyz", None).status, 200, "{point}");
        assert_eq!(get(&address, "/livez", None).status, 200, "{point}");
        assert_eq!(Page::of(&address).count(ready), 1);
        engine.terminate();
    }
}

#[test]
fn while_it_stops_it_lives_and_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::new(dir.path());
    let launch = launch(dir.path()).fault("TALLYSTICK_FAULT_WAIT", &held.at("stopping"));
    let engine = launch.start();
    let address = http(&engine);
    engine.signal(Signal::TERM);
    until("it says that it stops", || (get(&address, "/readyz", None).status == 503).then_some(()));
    is_later(&get(&address, "/readyz", None), "stopping");
    is_later(&post(&address, "/webhooks/card", "{}"), "stopping");
    assert_eq!(get(&address, "/livez", None).status, 200);
    assert_eq!(Page::of(&address).count("tallystick_ready"), 0);
    held.release();
    let exit = engine.ended();
    assert!(exit.status.success(), "{}", exit.stderr);
}

#[tokio::test]
async fn on_a_nearly_full_disk_it_is_not_ready_and_settlement_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let full = launch(dir.path()).args(&["--disk-reserve-bytes", "1000000GiB"]);
    let engine = full.start();
    let address = http(&engine);
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    let ask = |path: &'static str| {
        let address = address.clone();
        tokio::task::spawn_blocking(move || get(&address, path, None))
    };
    is_later(&ask("/readyz").await.unwrap(), "the disk is nearly full");
    assert_eq!(ask("/livez").await.unwrap().status, 200);
    let seen = page(&engine).await;
    assert_eq!((seen.count("tallystick_ready"), seen.count("tallystick_disk_low")), (0, 1));
    assert_eq!(seen.count("tallystick_disk_reserve_bytes"), 1_000_000 << 30);
    assert!(seen.count("tallystick_disk_free_bytes") > 0);
    assert_eq!(seen.count("tallystick_metrics_complete"), 1);
    let limit = limit_request(world.payers[0].party, World::PAIRS, "10");
    client.operator.set_credit_limit(limit).await.unwrap();
    assert_eq!(client.close_window().await.number, 1);
    drop(client);
    engine.stop().await;
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn nobodys_secret_and_nobodys_name_is_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metrics.token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let operator = dir.path().join("ann");
    let path = operator.to_str().unwrap();
    let out =
        run_cli(&["operator", "token", "--name", "ann-the-operator", "--json", "--out", path]);
    let made: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let line = made["config"].as_str().unwrap();
    let config = format!("metrics_token_file = {file:?}\n{HTTP}");
    let world = {
        let engine = Launch::new(&dir.path().join("data")).config(&config).start();
        let mut client = Client::connect(&engine).await;
        let world = World::register(&mut client, 2, 2).await;
        assert_eq!(client.pay(&[world.voucher(0, 1, 7, 3)]).await, [Outcome::Credited]);
        client.close_window().await;
        client.create_batch(&[1], World::PAIRS).await.unwrap();
        drop(client);
        engine.stop().await;
        world
    };
    let config = format!("{config}[operators]\n{line}\n");
    let launch = Launch::new(&dir.path().join("data")).config(&config);
    let engine = tokio::task::spawn_blocking(move || launch.start()).await.unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a secret that others could read is closed");
    // A call with a wrong token is counted, and says nothing of it.
    let out =
        run_cli(&["--server", engine.address(), "--token-file", file.to_str().unwrap(), "status"]);
    assert!(!out.status.success());
    let address = http(&engine);
    let ask = |token: Option<&'static str>| {
        let address = address.clone();
        tokio::task::spawn_blocking(move || get(&address, "/metrics", token))
    };
    for wrong in [None, Some("0123456789abcdef0123456789abcdee"), Some("0123456789abcdef")] {
        assert_eq!(ask(wrong).await.unwrap().status, 401, "{wrong:?}");
    }
    let seen = Page::read(ask(Some(TOKEN)).await.unwrap().text);
    let denied = |reason: &str| format!("tallystick_calls_denied_total{{reason=\"{reason}\"}}");
    assert_eq!(seen.count(&denied("metrics_token")), 3);
    assert!(seen.count(&denied("token")) > 0);
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let mut hidden = vec![TOKEN.to_owned(), "ann-the-operator".to_owned(), hex(&world.network.0)];
    let token = std::fs::read_to_string(&operator).unwrap();
    hidden.push(token.trim().to_owned());
    for payer in &world.payers {
        hidden.extend([hex(&payer.party.0), hex(&payer.key().0)]);
    }
    hidden.extend(world.payees.iter().map(|payee| hex(&payee.0)));
    hidden.extend((1_000..1_004).map(tallystick_tests::iban));
    let (log, text) = (engine.stderr(), seen.text.to_lowercase());
    for secret in hidden {
        // Nor the beginning of it.
        let part = secret.get(..12).unwrap_or(&secret).to_lowercase();
        assert!(!text.contains(&part), "{secret} is on the page:\n{text}");
    }
    assert!(!log.contains(TOKEN) && !log.contains(token.trim()), "{log}");
    engine.stop().await;
}

#[test]
fn a_token_that_can_be_guessed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metrics.token");
    std::fs::write(&file, "hunter2\n").unwrap();
    let config = format!("metrics_token_file = {file:?}\n{HTTP}");
    let said = Launch::new(&dir.path().join("data")).config(&config).refusal();
    assert!(said.contains("metrics_token_file") && said.contains("16 or more"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!dir.path().join("data").exists(), "nothing is made before that is known");
}
