//! Identities on the command line: the first operator on the machine, keys that are shown once,
//! tokens that are signed, names of certificates, an engine that others can reach.

use serde_json::Value;
use std::path::Path;
use tallystick_tests::tls::Certs;
use tallystick_tests::{Launch, ends_with, run_cli};

fn json(args: &[&str]) -> Value {
    let out = run_cli(&[args, &["--json"]].concat());
    assert!(out.status.success(), "{out:?}");
    serde_json::from_slice(&out.stdout).expect("one line of JSON")
}

fn bootstrap(data: &Path, key: &str) -> Value {
    let data = data.to_str().unwrap();
    json(&["access", "bootstrap", "--name", "ann", "--data-dir", data, "--out", key])
}

#[tokio::test]
async fn the_owner_of_the_machine_makes_the_first_operator_and_the_door_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let (data, key) = (dir.path().join("data"), dir.path().join("ann.key"));
    let key = key.to_str().unwrap();
    let made = bootstrap(&data, key);
    assert_eq!((&made["name"], &made["key"]), (&Value::from("ann"), &Value::Null), "{made}");
    let waits = data.join("bootstrap.json");
    let twice = ["access", "bootstrap", "--name", "ann", "--data-dir", data.to_str().unwrap()];
    ends_with(&run_cli(&twice), 1, "take it away to make another key");
    let launch = Launch::new(&data).without_clearing();
    // The engine dies when it is journaled, and before the file is taken away.
    let killed = launch.clone().fault("TALLYSTICK_FAULT", "bootstrap-journaled:1").spawn();
    assert!(killed.wait().is_err() && waits.exists());
    let engine = launch.start();
    assert!(!waits.exists(), "it is journaled");
    let server = ["--server", engine.address()];
    let with = |args: &[&str]| run_cli(&[args, &server, &["--token-file", key]].concat());
    ends_with(&run_cli(&[&["status"], &server[..]].concat()), 1, "has operators");
    assert!(with(&["status"]).status.success());
    let listed = with(&["access", "list", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains("\"ann\"") && !listed.contains("tsk_"), "{listed}");
    let history = with(&["history", "--kind", "identity_added", "--json"]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(history.contains("\"role\":\"engine\""), "{history}");
    engine.stop().await;
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert!(audit.status.success(), "{audit:?}");
}

#[tokio::test]
async fn a_file_that_names_no_operator_stops_the_start_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for bad in ["", "{}", r#"{"name":"ann","key_digest":"zz"}"#] {
        std::fs::write(data.join("bootstrap.json"), bad).unwrap();
        let text = Launch::new(&data).refusal();
        assert!(text.contains("bootstrap.json") && text.contains("access bootstrap"), "{text}");
    }
}

#[tokio::test]
async fn keys_are_shown_once_and_the_key_of_a_file_signs_each_call() {
    let dir = tempfile::tempdir().unwrap();
    let (data, key) = (dir.path().join("data"), dir.path().join("ann.key"));
    let key = key.to_str().unwrap();
    bootstrap(&data, key);
    let engine = Launch::new(&data).without_clearing().start();
    let server = ["--server", engine.address()];
    let ann = [&server[..], &["--token-file", key]].concat();
    let shown =
        json(&[&["access", "add", "--name", "aud", "--role", "auditor"], &ann[..]].concat());
    let api_key = shown["key"].as_str().unwrap();
    assert!(api_key.starts_with("tsk_") && api_key.len() == 62, "{shown}");
    let file = dir.path().join("aud.key");
    std::fs::write(&file, api_key).unwrap();
    let aud = [&server[..], &["--token-file", file.to_str().unwrap()]].concat();
    assert!(run_cli(&[&["status"], &aud[..]].concat()).status.success());
    let close = run_cli(&[&["window", "close"], &aud[..]].concat());
    ends_with(&close, 1, "role auditor may not do this");
    std::fs::write(&file, &api_key[..60]).unwrap();
    ends_with(&run_cli(&[&["status"], &aud[..]].concat()), 1, "cut off or mistyped");

    let own = dir.path().join("own.json");
    let own = own.to_str().unwrap();
    let made = json(&[&["access", "keygen", "--name", "own", "--out", own], &server[..]].concat());
    let public = made["public_key"].as_str().unwrap();
    let add = ["access", "add", "--name", "own", "--role", "approver", "--public-key", public];
    json(&[&add, &ann[..]].concat());
    let signed = [&server[..], &["--token-file", own]].concat();
    assert!(run_cli(&[&["status"], &signed[..]].concat()).status.success());
    json(&[&["access", "revoke", "own"], &ann[..]].concat());
    ends_with(&run_cli(&[&["status"], &signed[..]].concat()), 1, "was revoked");
    let rotated = json(&[&["access", "rotate", "aud"], &ann[..]].concat());
    assert_ne!(rotated["key"], shown["key"]);
    std::fs::write(&file, api_key).unwrap();
    ends_with(&run_cli(&[&["status"], &aud[..]].concat()), 1, "nobody's");
    engine.stop().await;
}

#[tokio::test]
async fn an_engine_that_others_reach_knows_identities_by_key_and_by_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &["acme"]);
    let (data, key) = (dir.path().join("data"), dir.path().join("ann.key"));
    let key = key.to_str().unwrap();
    bootstrap(&data, key);
    for mutual in [false, true] {
        let launch = Launch::new(&data).config(&certs.listener(mutual)).without_clearing();
        let engine = launch.args(&["--listen", "0.0.0.0:0"]).start();
        let port = engine.address().rsplit_once(':').unwrap().1.to_owned();
        let (server, ca) = (format!("https://localhost:{port}"), certs.path("ca.pem"));
        let (cert, own) = (certs.path("acme.pem"), certs.path("acme.key"));
        let mut reach = vec!["--server", &server, "--tls-ca", &ca];
        if mutual {
            reach.extend(["--tls-cert", &cert, "--tls-key", &own]);
        }
        let ann = [&reach[..], &["--token-file", key]].concat();
        assert!(run_cli(&[&["status"], &ann[..]].concat()).status.success());
        let channel = ["channel", "show", "--asset", "978", "--expires-at", "1"];
        let (one, other) = ("ab".repeat(32), "cd".repeat(32));
        let channel = [&channel[..], &["--signer", &one, "--payee", &other]].concat();
        let unnamed = run_cli(&[&channel[..], &reach[..]].concat());
        match mutual {
            // Whoever has a certificate may ask, as long as there is no facilitator.
            true => assert!(unnamed.status.success(), "{unnamed:?}"),
            false => ends_with(&unnamed, 1, "facilitators alone"),
        }
        if mutual {
            ends_with(&run_cli(&[&["status"], &reach[..]].concat()), 1, "has operators");
            let add = ["access", "add", "--name", "acme", "--role", "auditor"];
            let add = [&add[..], &["--certificate", "acme"], &ann[..]].concat();
            json(&add);
            assert!(run_cli(&[&["status"], &reach[..]].concat()).status.success());
            // A word that is nobody's does not make somebody else of them: it is a mistake.
            let word = dir.path().join("word");
            std::fs::write(&word, "any-word-at-all\n").unwrap();
            let shed = [&["status", "--token-file", word.to_str().unwrap()], &reach[..]].concat();
            ends_with(&run_cli(&shed), 1, "token");
            json(&[&["access", "revoke", "acme"], &ann[..]].concat());
            ends_with(&run_cli(&[&["status"], &reach[..]].concat()), 1, "was revoked");
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn who_locks_the_door_behind_himself_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Launch::new(&dir.path().join("data")).without_clearing().start();
    let server = ["--server", engine.address()];
    let add = ["access", "add", "--name", "ann", "--role", "operator"];
    let added = json(&[&add[..], &server[..]].concat());
    assert!(added["key"].as_str().unwrap().starts_with("tsk_"), "{added}");
    ends_with(&run_cli(&[&["status"], &server[..]].concat()), 1, "has operators");
    let file = dir.path().join("ann.key");
    std::fs::write(&file, added["key"].as_str().unwrap()).unwrap();
    let ann = [&server[..], &["--token-file", file.to_str().unwrap()]].concat();
    let revoked = json(&[&["access", "revoke", "ann"], &ann[..]].concat());
    assert!(revoked["revoked_lsn"].as_u64().unwrap() > 0, "{revoked}");
    ends_with(&run_cli(&[&["status"], &ann[..]].concat()), 1, "was revoked");
    engine.stop().await;
}

/// Under four eyes an operator gave an approver the name of the other one, and approved alone, as
/// two.
#[tokio::test]
async fn an_operator_of_the_configuration_and_an_identity_never_have_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let token = |name: &str| dir.path().join(format!("{name}.token")).display().to_string();
    let digest = |name: &str| {
        let made = json(&["operator", "token", "--name", name, "--out", &token(name)]);
        made["digest"].as_str().unwrap().to_owned()
    };
    let (ann, bob, carol) = (digest("ann"), digest("bob"), digest("carol"));
    let by_bob = token("bob");
    let both = format!("four_eyes = true\n[operators]\nann = \"{ann}\"\nbob = \"{bob}\"\n");
    let launch = Launch::new(&dir.path().join("data")).without_clearing();
    let engine = launch.clone().config(&both).start();
    let by_ann = ["--server", engine.address(), "--token-file", &token("ann")].map(str::to_owned);
    let by_ann: Vec<&str> = by_ann.iter().map(String::as_str).collect();
    let add = |name: &str| {
        let role = ["access", "add", "--role", "approver", "--json", "--name", name];
        run_cli(&[&role[..], &by_ann].concat())
    };
    ends_with(&add("bob"), 1, "is the name of an operator in the configuration");
    let proposed = add("carol");
    assert!(proposed.status.success(), "{proposed:?}");
    let proposed: Value = serde_json::from_slice(&proposed.stdout).unwrap();
    let confirm = ["proposal", "confirm", proposed["proposal"].as_str().unwrap()];
    let bob = ["--server", engine.address(), "--token-file", &by_bob];
    let confirmed = run_cli(&[&confirm[..], &bob[..]].concat());
    assert!(confirmed.status.success(), "{confirmed:?}");
    let revoked = run_cli(&[&["access", "revoke", "carol"], &by_ann[..]].concat());
    assert!(revoked.status.success(), "{revoked:?}");
    engine.stop().await;
    // Nor the other way round, and not when the identity is gone.
    let refused = launch.config(&format!("{both}carol = \"{carol}\"\n"));
    // The ledger is open by then, and threads are at work on it: they end before it is closed, or
    // the process would now and then be aborted in place of a word.
    for _ in 0..12 {
        let text = refused.refusal();
        assert!(text.contains("operators.carol has the name of an identity"), "{text}");
    }
}
