//! Each call of operators is written down, reads and refused ones too, and nothing of what it
//! carries: no name, no account, no token.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::path::{Path, PathBuf};
use tallystick_tests::wire::GetStatusRequest;
use tallystick_tests::{Cli, Client, Engine, Launch, Signal, run_cli};
use tempfile::TempDir;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

const IBAN: &str = "DE02120300000000202051";
const PARTY: &str = "5a00000000000000000000000000000000000000000000000000000000000001";

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

/// An engine with two operators.
struct House {
    dir: TempDir,
    engine: Engine,
    launch: Launch,
}

impl House {
    fn new(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let digest = |name: &str| {
            let out = dir.path().join(format!("{name}.token"));
            let made =
                run_cli(&["operator", "token", "--name", name, "--out", text(&out), "--json"]);
            let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
            made["digest"].as_str().unwrap().to_owned()
        };
        let config =
            format!("[operators]\nann = \"{}\"\nbob = \"{}\"\n", digest("ann"), digest("bob"));
        let launch =
            Launch::new(&dir.path().join("data")).without_clearing().config(&config).args(args);
        let engine = launch.start();
        Self { dir, engine, launch }
    }

    fn token(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.token"))
    }

    fn ask(&self, operator: &str, args: &[&str]) -> bool {
        let token = self.token(operator);
        Cli(&self.engine)
            .run(&[&["--token-file", text(&token)][..], args].concat())
            .status
            .success()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("data/audit-log")
    }

    /// Stops the engine, so that every line is written.
    fn stop(&self) {
        self.engine.signal(Signal::TERM);
        let gone = || std::fs::read_to_string(format!("/proc/{}/stat", self.engine.id()));
        tallystick_tests::until("the engine has ended", || {
            let stat = gone().unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}

/// What `audit-log` shows of a folder.
fn lines(dir: &Path, more: &[&str]) -> Vec<serde_json::Value> {
    let done = run_cli(&[&["audit-log", "--dir", text(dir), "--json"][..], more].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = String::from_utf8(done.stdout).unwrap();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn calls(lines: &[serde_json::Value]) -> Vec<(&str, &str, &str)> {
    lines
        .iter()
        .map(|of| {
            let member = |name: &str| of[name].as_str().unwrap();
            (member("name"), member("call"), member("result"))
        })
        .collect()
}

#[test]
fn every_call_is_written_down_with_who_what_and_what_came_of_it_and_nothing_it_carries() {
    let house = House::new(&[]);
    let add = ["party", "add", "--id", PARTY, "--name", "Erika Mustermann", "--account"];
    let account = format!("iso20022:iban={IBAN},bic=BYLADEM1001");
    let added = house.ask("ann", &[&add[..], &[&account, "--request-id", "add-erika"]].concat());
    assert!(added);
    assert!(house.ask("bob", &["party", "show", PARTY]));
    assert!(!house.ask("bob", &["party", "show", &PARTY.replace("5a", "5b")]));
    // A wrong token, and none.
    std::fs::write(house.token("eve"), "a token that nobody has").unwrap();
    assert!(!house.ask("eve", &["party", "show", PARTY]));
    assert!(!Cli(&house.engine).run(&["window", "close"]).status.success());
    house.stop();

    let all = lines(&house.log(), &[]);
    let upsert = all.iter().find(|line| line["call"] == "UpsertParty").unwrap();
    assert_eq!((&upsert["name"], &upsert["role"]), (&"ann".into(), &"operator".into()));
    assert_eq!((&upsert["request_id"], &upsert["result"]), (&"add-erika".into(), &"OK".into()));
    assert_eq!(upsert["about"], format!("party_id {PARTY}"));
    assert!(upsert["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{upsert}");
    assert!(upsert["at"].as_str().unwrap().ends_with('Z'), "{upsert}");
    let shown = lines(&house.log(), &["--call", "GetParty"]);
    assert_eq!(
        calls(&shown),
        [
            ("bob", "GetParty", "OK"),
            ("bob", "GetParty", "NOT_FOUND"),
            ("", "GetParty", "UNAUTHENTICATED"),
        ]
    );
    let of_party = lines(&house.log(), &["--id", &PARTY[..8], "--by", "bob"]);
    assert_eq!(calls(&of_party), [("bob", "GetParty", "OK")]);
    let refused = lines(&house.log(), &["--refused", "--by", ""]);
    assert_eq!(
        calls(&refused),
        [("", "GetParty", "UNAUTHENTICATED"), ("", "CloseWindow", "UNAUTHENTICATED"),]
    );
    assert_eq!(lines(&house.log(), &["--since", "2200-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(lines(&house.log(), &["--until", "2200-01-01T00:00:00Z"]).len(), all.len());

    let raw = std::fs::read_to_string(house.log().join("audit-00000001.jsonl")).unwrap();
    let tokens =
        ["ann", "bob", "eve"].map(|name| std::fs::read_to_string(house.token(name)).unwrap());
    let secrets = tokens.iter().map(|token| token.trim());
    for secret in secrets.chain(["Mustermann", "Erika", IBAN, "0202051"]) {
        assert!(!raw.contains(secret), "{secret}");
    }
}

#[test]
fn files_are_the_owners_only_and_go_on_after_a_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut house = House::new(&[]);
    assert!(house.ask("ann", &["status"]));
    house.stop();
    let before = lines(&house.log(), &[]).len();
    assert!(before > 0);
    house.engine = house.launch.start();
    assert!(house.ask("bob", &["status"]));
    house.stop();
    let after = lines(&house.log(), &[]);
    assert!(after.len() > before);
    assert_eq!(after[before]["name"], "bob");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&house.log()), 0o700);
    assert_eq!(mode(&house.log().join("audit-00000001.jsonl")), 0o600);
}

#[test]
fn a_log_that_cannot_be_written_is_refused_at_the_start_and_counted_later() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let launch = Launch::new(&dir.path().join("data")).args(&["--audit-log", text(&file)]);
    let said = launch.refusal();
    assert!(said.contains("the audit log cannot be written") && said.contains("a file"), "{said}");

    // Every write to this one fails as on a full disk.
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::os::unix::fs::symlink("/dev/full", full.join("audit-00000001.jsonl")).unwrap();
    let engine = Launch::new(&dir.path().join("more")).args(&["--audit-log", text(&full)]).start();
    let lost = tallystick_tests::until("a line is lost", || {
        let status = Cli(&engine).one(&["status"]);
        status["audit_lines_lost"].as_u64().filter(|lost| *lost > 0)
    });
    assert!(lost > 0);
    let ended = Cli(&engine).run(&["window", "close"]);
    assert!(ended.status.success(), "the engine goes on");
    assert!(engine.stderr().contains("lines of the audit log are lost"), "{}", engine.stderr());
}

/// The name of a call that there is not was written down as a stranger sent it, of any length.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_not_written_down_as_it_was_sent() {
    let house = House::new(&[]);
    let address = format!("http://{}", house.engine.address());
    let mut channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let path = format!("/tallystick.v1.Operator/{}", "x".repeat(8_000));
    let request = hyper::Request::post(path)
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::empty())
        .unwrap();
    let answer = channel.ready().await.unwrap().call(request).await.unwrap();
    assert!(answer.headers().contains_key("grpc-status"), "it is refused: {answer:?}");
    drop(channel);
    house.stop();
    let raw = std::fs::read_to_string(house.log().join("refused-00000001.jsonl")).unwrap();
    assert!(raw.contains("\"call\":\"?\"") && !raw.contains("xxx"), "{raw}");
}

/// A folder that hung held up every operator, and the stop, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_holds_up_neither_operators_nor_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    std::fs::create_dir(&log).unwrap();
    // A pipe that nobody reads takes 64 KiB, and then nothing.
    let pipe = log.join("audit-00000001.jsonl");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let launch = Launch::new(&dir.path().join("data")).args(&["--audit-log", text(&log)]);
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    let mut lost = 0;
    for _ in 0..10_000 {
        let status = client.operator.get_status(GetStatusRequest {}).await.unwrap();
        lost = status.into_inner().audit_lines_lost;
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "10,000 lines fit nowhere");
    drop(client);
    engine.stop().await;
}
