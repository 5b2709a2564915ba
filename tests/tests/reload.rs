//! What a running engine takes of its settings when it is told to (SIGHUP): all that can change, or
//! nothing.

use std::path::Path;
use tallystick_tests::page::get;
use tallystick_tests::wire::GetStatusRequest;
use tallystick_tests::{Client, Engine, Launch, Signal, ends_with, keys, run_cli, until};

/// Somebody with a token, whose line for the configuration is this.
struct Person {
    file: String,
    line: String,
    token: String,
}

impl Person {
    fn new(dir: &Path, name: &str, file: &str) -> Self {
        let file = dir.join(file).display().to_string();
        let made = run_cli(&["operator", "token", "--name", name, "--json", "--out", &file]);
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        Self { file, line: made["config"].as_str().unwrap().to_owned(), token }
    }

    fn asks(&self, engine: &Engine) -> std::process::Output {
        run_cli(&["--server", engine.address(), "--token-file", &self.file, "status"])
    }

    /// Asks until they are answered.
    fn is_let_in(&self, engine: &Engine) {
        until("they are let in", || self.asks(engine).status.success().then_some(()));
    }
}

/// Has the settings read anew; waits for the line that says what came of it.
fn reload(engine: &Engine, said: &str) {
    let before = engine.stderr().matches(said).count();
    engine.signal(Signal::HUP);
    until("the log says so", || (engine.stderr().matches(said).count() > before).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_come_and_go_without_a_restart_and_what_is_wrong_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ann = Person::new(dir.path(), "ann", "ann");
    let again = Person::new(dir.path(), "ann", "ann-2");
    let bob = Person::new(dir.path(), "bob", "bob");
    let config = format!("[operators]\n{}\n", ann.line);
    let engine = Launch::new(&dir.path().join("data")).without_clearing().config(&config).start();
    ann.is_let_in(&engine);
    ends_with(&bob.asks(&engine), 1, "unknown token");

    // A file that no engine would start with.
    engine.configure(&ann.line, "ann = \"not a digest\"");
    reload(&engine, "SIGHUP: the settings stay as they were");
    ann.is_let_in(&engine);
    assert!(!engine.stderr().contains("not a digest"), "it may be a token: {}", engine.stderr());
    // A name that is an identity's.
    let add = ["access", "add", "--name", "carol", "--role", "auditor"];
    let by_ann = ["--server", engine.address(), "--token-file", &ann.file];
    assert!(run_cli(&[&add[..], &by_ann[..]].concat()).status.success());
    let carol = bob.line.replace("bob", "carol");
    engine.configure("ann = \"not a digest\"", &format!("{}\n{carol}", ann.line));
    reload(&engine, "operators.carol has the name of an identity");
    ends_with(&bob.asks(&engine), 1, "unknown token");

    // One more; whoever is there stays.
    let mut client = Client::connect(&engine).await;
    engine.configure(&carol, &bob.line);
    reload(&engine, "who operates by the configuration was changed");
    bob.is_let_in(&engine);
    ann.is_let_in(&engine);
    let asks = || keys::with(&ann.token, GetStatusRequest {});
    client.operator.get_status(asks()).await.unwrap();
    // Another token for the same name: the old one is nobody's, on a connection that stands, too.
    engine.configure(&ann.line, &again.line);
    reload(&engine, "who operates by the configuration was changed");
    again.is_let_in(&engine);
    ends_with(&ann.asks(&engine), 1, "unknown token");
    let refused = client.operator.get_status(asks()).await.unwrap_err();
    assert!(refused.message().contains("unknown token"), "{refused}");
    // Nobody at all: nobody could change it back.
    engine.configure(&again.line, "");
    engine.configure(&bob.line, "");
    reload(&engine, "no operator would be left");
    bob.is_let_in(&engine);
    again.is_let_in(&engine);
    // An identity that operates is somebody; and that nobody is configured opens nothing.
    let key = dir.path().join("dan").display().to_string();
    let add = ["access", "add", "--name", "dan", "--role", "operator", "--out", &key];
    let by_bob = ["--server", engine.address(), "--token-file", &bob.file];
    assert!(run_cli(&[&add[..], &by_bob[..]].concat()).status.success());
    reload(&engine, "who operates by the configuration was changed");
    ends_with(&bob.asks(&engine), 1, "token");
    ends_with(&run_cli(&["--server", engine.address(), "status"]), 1, "has operators");
    let by_dan = ["--server", engine.address(), "--token-file", &key, "status"];
    assert!(run_cli(&by_dan).status.success());
    drop(client);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_and_the_token_of_the_metrics_change_and_what_cannot_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    std::fs::write(&first, "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(&second, "fedcba9876543210fedcba9876543210\n").unwrap();
    let config = format!(
        "listen_http = \"127.0.0.1:0\"\nkeep_windows = 7\nmetrics_token_file = {first:?}\n\
         log = \"warn\"\n"
    );
    let engine = Launch::new(&dir.path().join("data")).without_clearing().config(&config).start();
    let http = engine.http().unwrap().to_owned();
    let may_read = |file: &Path| {
        let token = std::fs::read_to_string(file).unwrap();
        get(&http, "/metrics", Some(token.trim())).status == 200
    };
    assert!(may_read(&first) && !may_read(&second));
    engine.configure(&format!("{first:?}"), &format!("{second:?}"));
    engine.configure("keep_windows = 7", "keep_windows = 8");
    engine.configure("log = \"warn\"", "log = \"info\"");
    reload(&engine, "the settings were read anew");
    assert!(may_read(&second) && !may_read(&first));
    until("what waits is named", || {
        engine.stderr().contains("settings=\"keep_windows\"").then_some(())
    });
    // A token that can be guessed is none, as at a start.
    std::fs::write(&first, "short\n").unwrap();
    engine.configure(&format!("{second:?}"), &format!("{first:?}"));
    reload(&engine, "has 5 letters");
    assert!(may_read(&second));
    engine.stop().await;
}

/// Who counts where two must agree is who operates now.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_a_restart_proposes_and_confirms_and_who_goes_does_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let person = |name: &str| Person::new(dir.path(), name, name);
    let [ann, bob, carl] = ["ann", "bob", "carl"].map(person);
    let config = format!("four_eyes = true\n[operators]\n{}\n{}\n", ann.line, bob.line);
    let engine = Launch::new(&dir.path().join("data")).without_clearing().config(&config).start();
    let by = |who: &Person, args: &[&str]| {
        let own = ["--server", engine.address(), "--token-file", &who.file, "--json"];
        run_cli(&[args, &own[..]].concat())
    };
    let propose = |who: &Person, name: &str| {
        let out = by(who, &["access", "add", "--role", "approver", "--name", name]);
        assert!(out.status.success(), "{out:?}");
        let made: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        made["proposal"].as_str().expect("it takes two").to_owned()
    };
    let first = propose(&ann, "eve");
    engine.configure(&bob.line, &format!("{}\n{}", bob.line, carl.line));
    reload(&engine, "who operates by the configuration was changed");
    carl.is_let_in(&engine);
    assert!(by(&carl, &["proposal", "confirm", &first]).status.success());
    let (of_carl, of_ann) = (propose(&carl, "zoe"), propose(&ann, "yan"));
    engine.configure(&carl.line, "");
    reload(&engine, "who operates by the configuration was changed");
    ends_with(&by(&bob, &["proposal", "confirm", &of_carl]), 1, "carl, who made proposal");
    assert!(by(&bob, &["proposal", "confirm", &of_ann]).status.success());
    engine.stop().await;
}
