//! The engine goes on when its log cannot be written: the reader left, stands still, or has no
//! room. And a new ledger says that it is one, in the first line.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::Path;
use tallystick_tests::wire::{GetNetworkRequest, GetStatusRequest};
use tallystick_tests::{Client, Engine, Launch, World};

/// An engine that logs a line whenever it is told to: of a file in its inbox that it cannot read.
fn launch(dir: &Path, to: &str) -> Launch {
    let shell = format!("exec \"$@\" {to}");
    Launch::new(&dir.join("data")).under(&["sh", "-c", &shell, "sh"])
}

/// Has it log a line; waits until it has read the file.
fn bad_file(dir: &Path, name: &str) {
    let inbox = dir.join("data/inbox/iso20022");
    std::fs::write(inbox.join("new.part"), "no XML").unwrap();
    std::fs::rename(inbox.join("new.part"), inbox.join(name)).unwrap();
    tallystick_tests::until("the file was read", || {
        inbox.join("refused").join(name).exists().then_some(())
    });
}

async fn lives_on(engine: Engine, dir: &Path, lost: bool) {
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    for name in ["one.xml", "two.xml"] {
        bad_file(dir, name);
    }
    assert_eq!(client.submit(&[world.voucher(0, 0, 0, 7)]).await.credited, 1);
    let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.log_lines_lost > 0, lost, "{} lines", status.log_lines_lost);
    drop(client);
    engine.stop().await;
}

/// A log shipper that was restarted, or a full disk of logs, ended the ledger: writing a line
/// panicked.
#[tokio::test]
async fn an_engine_whose_log_has_no_room_goes_on_and_counts_the_lines() {
    let dir = tempfile::tempdir().unwrap();
    lives_on(launch(dir.path(), "2>/dev/full").start(), dir.path(), true).await;
}

#[tokio::test]
async fn an_engine_without_stdout_and_stderr_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    lives_on(launch(dir.path(), "1>&- 2>&-").start(), dir.path(), false).await;
}

fn fifo(dir: &Path) -> File {
    let fifo = dir.join("log");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Open for both, so that neither side waits for the other.
    OpenOptions::new().read(true).write(true).open(fifo).unwrap()
}

#[tokio::test]
async fn an_engine_whose_logs_reader_left_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = fifo(dir.path());
    let to = format!("2>{}", dir.path().join("log").display());
    let engine = launch(dir.path(), &to).start();
    let mut some = [0; 64];
    assert!(reader.read(&mut some).unwrap() > 0);
    drop(reader);
    lives_on(engine, dir.path(), true).await;
}

#[tokio::test]
async fn an_engine_whose_logs_reader_stands_still_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let reader = fifo(dir.path());
    let to = format!("2>{}", dir.path().join("log").display());
    // What a pipe holds is soon full.
    let engine = launch(dir.path(), &to).args(&["--log", "trace"]).start();
    lives_on(engine, dir.path(), true).await;
    drop(reader);
}

const NETWORK: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";

/// A data directory that was not mounted silently became an empty ledger with another key, which
/// refused every agent's vouchers and looked well.
#[tokio::test]
async fn a_missing_ledger_of_a_known_network_is_refused_unless_a_new_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let named = || Launch::new(&data).config(&format!("network_id = \"{NETWORK}\"\n"));
    let refused = named().refusal();
    assert!(refused.contains("--init") && refused.contains("mounted"), "{refused}");
    assert!(!data.exists(), "nothing was made");
    std::fs::create_dir(&data).unwrap();
    assert!(named().refusal().contains("--init"), "an empty one is refused too");
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "nothing was made in it");

    let first = named().args(&["--init"]).start();
    let network = Client::connect(&first).await.vouchers.get_network(GetNetworkRequest {}).await;
    let id: String =
        network.unwrap().into_inner().network_id.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(id, NETWORK);
    assert!(says_new(&first), "{}", first.stderr());
    first.stop().await;

    let again = named().start();
    assert!(!again.stderr().contains("created a new"), "{}", again.stderr());
    again.stop().await;
    std::fs::rename(&data, dir.path().join("elsewhere")).unwrap();
    assert!(named().refusal().contains("--init"));
}

fn says_new(engine: &Engine) -> bool {
    let log = engine.stderr();
    log.lines().next().is_some_and(|line| line.contains("created a new, empty ledger in"))
}

#[tokio::test]
async fn a_directory_that_nobody_named_a_network_for_is_made_and_the_first_line_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    assert!(says_new(&engine), "{}", engine.stderr());
    engine.stop().await;
}
