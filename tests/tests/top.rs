//! `tallystick top` in a real terminal, against the real engine; and the figures that it shows, as
//! they are told over gRPC.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tallystick_tests::console::{Browser, OPERATOR, add, launch};
use tallystick_tests::keys::with;
use tallystick_tests::terminal::Terminal;
use tallystick_tests::wire::{RevokeIdentityRequest, Role, WatchNowRequest};
use tallystick_tests::{Client, Deployment, Engine, World, request_id, run_cli, until};
use tempfile::TempDir;

const WIDE: (u16, u16) = (120, 40);

fn engine() -> (Engine, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (launch(&dir.path().join("data")).start(), dir)
}

/// A file that holds the operator's token.
fn token_file(dir: &TempDir) -> String {
    let path = dir.path().join("ann.token");
    std::fs::write(&path, OPERATOR).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn top(engine: &Engine, token: &str, more: &[&str], size: (u16, u16)) -> Terminal {
    let args = [&["top", "--server", engine.address()], more].concat();
    Terminal::run(&args, &[("TALLYSTICK_TOKEN", token)], size)
}

/// Whether the system says that it has stopped.
fn is_stopped(top: &Terminal) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", top.id())).unwrap();
    // The name before it stands in brackets.
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

#[test]
fn it_shows_what_goes_on_pauses_and_gives_the_terminal_back() {
    let (engine, _dir) = engine();
    let mut top = top(&engine, OPERATOR, &[], WIDE);
    for text in ["live", "all is well", "credited a second", "open window", "queue", "q end"] {
        top.shows(text);
    }
    assert!(top.is_coloured());
    top.press("?");
    top.shows("pause, and go on");
    top.press("x");
    top.shows("all is well");
    top.press("p");
    top.shows("paused");
    top.press("p");
    top.hides("paused");
    // With Ctrl a letter is another key.
    top.press("\u{10}\u{11}");
    top.press("p");
    top.shows("paused");
    top.press("p");
    top.hides("paused");
    // Ctrl Z gives the terminal back for as long as it is stopped.
    let id = Pid::from_raw(i32::try_from(top.id()).unwrap()).unwrap();
    top.press("\u{1a}");
    top.hides("q end");
    until("it has stopped", || is_stopped(&top).then_some(()));
    kill_process(id, Signal::CONT).unwrap();
    top.shows("q end");
    kill_process(id, Signal::TSTP).unwrap();
    top.hides("q end");
    until("it has stopped", || is_stopped(&top).then_some(()));
    kill_process(id, Signal::CONT).unwrap();
    top.shows("all is well");
    top.press("q");
    let (status, left) = top.ended();
    assert!(status.success(), "{status}");
    assert!(!left.contains("credited"), "nothing is left of it: {left}");
}

#[test]
fn it_waits_for_an_engine_that_has_gone_and_shows_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let launch = launch(&dir.path().join("data"));
    let engine = launch.start();
    let address = engine.address().to_owned();
    let mut top = top(&engine, OPERATOR, &["--no-color"], WIDE);
    top.shows("live");
    assert!(!top.is_coloured());
    engine.kill9();
    top.shows("no answer");
    top.shows("all is well");
    let _engine = launch.args(&["--listen", &address]).start();
    top.hides("no answer");
    top.shows("live");
    // Ctrl C.
    top.press("\u{3}");
    assert!(top.ended().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_watch_any_more_is_told_so_on_a_terminal_that_is_itself_again() {
    let (engine, _dir) = engine();
    let mut client = Client::connect(&engine).await;
    let dave = add(&mut client, "dave", Role::Auditor).await;
    let watching = top(&engine, &dave, &[], WIDE);
    let other = top(&engine, OPERATOR, &[], (38, 9));
    tokio::task::spawn_blocking(move || {
        watching.shows("live");
        // As narrow as it is: what there is room for, and the keys.
        other.shows("q end");
        other.shows("all is well");
        let revoke =
            RevokeIdentityRequest { request_id: request_id("revoke"), name: "dave".to_owned() };
        let runtime = tokio::runtime::Handle::current();
        let revoked = client.operator.revoke_identity(with(OPERATOR, revoke));
        runtime.block_on(revoked).expect("an operator may");
        let (status, said) = watching.ended();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("error: ") && said.contains("revoked"), "{said}");
        // A signal ends it as a key does.
        let id = Pid::from_raw(i32::try_from(other.id()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        assert!(other.ended().0.success());
    })
    .await
    .unwrap();
}

#[test]
fn before_the_screen_is_taken_it_says_what_keeps_it_from_that() {
    let (engine, dir) = engine();
    let (status, said) = top(&engine, "wrong", &[], WIDE).ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("error: "), "{said}");
    let to_a_file =
        run_cli(&["top", "--server", engine.address(), "--token-file", &token_file(&dir)]);
    let said = String::from_utf8(to_a_file.stderr).unwrap();
    assert!(to_a_file.status.code() == Some(2) && said.contains("use --once"), "{said}");
    let nobody = run_cli(&["top", "--server", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(3));
    let dumb = ["top", "--server", engine.address()];
    let variables = [("TALLYSTICK_TOKEN", OPERATOR), ("TERM", "dumb")];
    let (status, said) = Terminal::run(&dumb, &variables, WIDE).ended();
    assert!(status.code() == Some(2) && said.contains("TERM=dumb"), "{said}");
    // Whoever takes connections and says nothing holds nobody.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let held = run_cli(&["top", "--once", "--server", &address]);
    let said = String::from_utf8(held.stderr).unwrap();
    assert!(!held.status.success() && said.contains(&address), "{said}");
}

#[test]
fn once_is_text_without_a_terminal_and_json_has_the_contracts_names() {
    let (engine, dir) = engine();
    let file = token_file(&dir);
    let run = |more: &[&str]| {
        let args = [&["top", "--once", "--server", engine.address(), "--token-file", &file], more];
        let output = run_cli(&args.concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&[]);
    assert!(text.contains("credited a second") && text.contains("all is well"), "{text}");
    assert!(!text.contains('\u{1b}') && text.lines().count() > 15, "{text}");
    let json: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(json["open_window"], 1);
    assert!(json["queues"].as_array().unwrap().len() > 2 && json["uptime_us"].as_i64() >= Some(0));
}

/// A call tells so many figures; that it has is nothing that went wrong.
#[test]
fn a_call_that_has_told_all_is_made_anew_without_a_word() {
    let (engine, _dir) = engine();
    let json = top(&engine, OPERATOR, &["--json", "--per-call", "2"], (400, 60));
    let told = until("four seconds", || {
        let shown = json.shown();
        (shown.matches("\"durable_lsn\"").count() > 3).then_some(shown)
    });
    assert!(!told.contains("note:"), "{told}");
}

/// The console's page and the command line are told the same; at once, and then of each second.
#[tokio::test(flavor = "multi_thread")]
async fn figures_come_at_once_and_are_those_of_the_console() {
    let Deployment { mut client, world, engine, dir } = Deployment::new(1, 1).await;
    let paid = client.pay(&[world.pay(0, world.payees[0], World::CLEARED, 1, 5_000_000)]).await;
    assert_eq!(paid.len(), 1);
    client.close_window().await;
    drop(client);
    engine.stop().await;
    let engine = launch(&dir.path().join("data")).start();
    let mut client = Client::connect(&engine).await;
    let watch = |count| with(OPERATOR, WatchNowRequest { count });
    // One, if nothing else is asked for.
    let mut one = client.operator.watch_now(watch(0)).await.unwrap().into_inner();
    let first = one.message().await.unwrap().expect("it is told at once");
    assert!(one.message().await.unwrap().is_none(), "that was all");
    assert_eq!((first.open_window, first.outcomes.len()), (2, 0));
    assert!(first.verify_threads > 0 && first.disk_free_bytes.is_some());
    let mut two = client.operator.watch_now(watch(2)).await.unwrap().into_inner();
    let before = two.message().await.unwrap().unwrap();
    let after = two.message().await.unwrap().unwrap();
    assert!(before.at_us < after.at_us && two.message().await.unwrap().is_none());
    let page = tokio::task::block_in_place(|| {
        let mut live = Browser::logged_in(&engine, OPERATOR).live();
        live.next_named("now")
    });
    assert_eq!(page["window"]["number"], 2);
    assert_eq!(page["verify"]["text"], after.verify_backend_text.as_str());
    let names = |all: &Value| -> Vec<String> {
        let all = all.as_array().unwrap().iter();
        all.map(|queue| queue["name"].as_str().unwrap().to_owned()).collect()
    };
    let queues: Vec<String> = after.queues.iter().map(|queue| queue.name.clone()).collect();
    assert_eq!(names(&page["queues"]), queues);
    // Who stops the engine waits for nobody who watches.
    let mut watched = client.operator.watch_now(watch(3_600)).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    let told = tokio::spawn(async move { while let Ok(Some(_)) = watched.message().await {} });
    engine.stop().await;
    until("it ends", || told.is_finished().then_some(()));
}
