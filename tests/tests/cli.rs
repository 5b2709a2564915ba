//! The whole story of an operator through the command line alone, and how commands end.

use serde_json::Value;
use std::path::Path;
use tallystick_tests::{Cli, Engine, Launch, add_euro, ends_with, iban, run_cli};

const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const NO_ENGINE: i32 = 3;

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}")).to_owned()
}

/// A party with an account and a key; gives (party, key file, public key).
fn party_with_key(cli: &Cli<'_>, dir: &Path, name: &str, place: u64) -> (String, String, String) {
    let account = format!("iso20022:iban={}", iban(place));
    let party =
        text(&cli.one(&["party", "add", "--name", name, "--account", &account]), "party_id");
    let file = dir.join(format!("{name}.key")).to_string_lossy().into_owned();
    let key = cli.one(&["voucher", "keygen", "--out", &file]);
    let key = text(&key, "signer");
    cli.one(&["signer", "add", "--party", &party, "--key", &key, "--cap", "978=900000000"]);
    cli.one(&["limit", "set", "--party", &party, "--asset", "978", "500000000"]);
    (party, file, key)
}

#[test]
fn an_operator_needs_nothing_but_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    let asset = add_euro("6", "bilateral");
    assert_eq!(cli.one(&asset)["number"], 978);
    let (alice, alice_file, alice_key) = party_with_key(&cli, dir.path(), "alice", 1);
    let (bob, bob_file, _) = party_with_key(&cli, dir.path(), "bob", 2);
    assert_eq!(text(&cli.one(&["party", "show", &alice]), "name"), "alice");
    let deposit = [
        "deposit",
        "record",
        "--party",
        &alice,
        "--asset",
        "978",
        "250000",
        "--reference",
        "MT910 7",
    ];
    assert_eq!(text(&cli.one(&deposit), "prefund"), "250000");

    let pay = |file: &str, to: &str, cumulative: &str| {
        let to = ["--key-file", file, "--payee", to, "--asset", "978"];
        let rest = ["--expires-at", "2030-01-01T00:00:00Z", "--cumulative", cumulative, "--submit"];
        cli.one(&[&["voucher", "sign"], &to[..], &rest[..]].concat())
    };
    assert_eq!(text(&pay(&alice_file, &bob, "7500000"), "outcome"), "credited");
    assert_eq!(text(&pay(&alice_file, &bob, "7500000"), "outcome"), "stale");
    assert_eq!(text(&pay(&bob_file, &alice, "2500000"), "outcome"), "credited");
    let channel = [
        "channel",
        "show",
        "--signer",
        &alice_key,
        "--payee",
        &bob,
        "--asset",
        "978",
        "--expires-at",
        "1893456000",
    ];
    assert_eq!(text(&cli.one(&channel), "cumulative"), "7500000");
    let exposure = cli.one(&["limit", "show", "--party", &alice, "--asset", "978"]);
    assert_eq!(text(&exposure, "unsettled"), "7500000");

    let window = cli.one(&["window", "close"]);
    assert_eq!((&window["number"], text(&window, "state")), (&1.into(), "closed".into()));
    assert_eq!(cli.lines(&["window", "list"]).len(), 2);
    let shown = cli.one(&["window", "show", "1"]);
    assert_eq!(text(&shown["totals"][0], "gross"), "10000000");
    assert_eq!(cli.lines(&["window", "obligations", "1", "--asset", "978"]).len(), 2);
    let net = cli.one(&["window", "obligations", "1", "--asset", "978", "--net"]);
    assert_eq!((text(&net, "payer"), text(&net, "amount")), (alice.clone(), "5000000".into()));
    let positions = cli.lines(&["window", "positions", "1", "--asset", "978"]);
    let sum: i64 = positions.iter().map(|p| text(p, "amount").parse::<i64>().unwrap()).sum();
    assert_eq!((positions.len(), sum), (2, 0));

    settle(&cli, dir.path());
    let status = cli.one(&["status"]);
    assert_eq!((&status["parties"], &status["batches"]), (&2.into(), &1.into()));
    cli.one(&["signer", "revoke", &alice_key]);
    cli.one(&["party", "suspend", &bob]);
    assert_eq!(cli.one(&["party", "resume", &bob])["suspended"], false);
    engine.terminate();
}

/// The batch of window 1: create, look, approve, export.
fn settle(cli: &Cli<'_>, dir: &Path) {
    let create = ["batch", "create", "--window", "1", "--asset", "978", "--rail", "iso20022"];
    let batch = cli.one(&create);
    let id = text(&batch, "batch_id");
    assert_eq!(
        (text(&batch, "state"), text(&batch, "total")),
        ("computed".into(), "5000000".into())
    );
    // The first digits name it.
    let approved = cli.one(&["batch", "approve", &id[..8]]);
    assert_eq!(text(&approved, "state"), "submitting");
    // What Alice has deposited is paid from the clearing account, the rest by Alice.
    let legs = cli.lines(&["batch", "legs", &id]);
    let amounts: Vec<String> = legs.iter().map(|leg| text(leg, "amount")).collect();
    assert_eq!(amounts, ["250000", "4750000"]);
    assert!(legs.iter().all(|leg| text(leg, "state") == "sent"));
    assert_eq!(cli.one(&["leg", "show", &id, &text(&legs[0], "key")]), legs[0]);
    assert_eq!(cli.lines(&["batch", "list"]).len(), 1);
    let out = dir.join("out").to_string_lossy().into_owned();
    cli.lines(&["batch", "export", &id, "--dir", &out]);
    cli.lines(&["batch", "export", &id, "--dir", &out]);
    let file = dir.join("out").join(format!("{}.legs.csv", &id[..16]));
    let content = std::fs::read_to_string(&file).unwrap();
    assert!(content.contains(",5000000,") || content.contains(",4750000,"), "{content}");
    // Nothing of it is for the bank; people are told what is.
    let exported = std::fs::read_dir(dir.join("out")).unwrap();
    assert!(
        exported.into_iter().all(|e| !e.unwrap().file_name().to_str().unwrap().ends_with(".xml"))
    );
    let said = cli.said(&["batch", "export", &id, "--dir", &out]);
    assert!(
        said.contains("only these go to the bank") && said.contains(".0.pain.001.xml"),
        "{said}"
    );
    // A file that was changed by hand is not overwritten unasked.
    std::fs::write(&file, "changed").unwrap();
    cli.fails(&["batch", "export", &id, "--dir", &out], REFUSED, "--force");
    cli.lines(&["batch", "export", &id, "--dir", &out, "--force"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn how_a_command_ends_tells_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    let nobody = "ab".repeat(32);
    cli.fails(&["party", "show", &nobody], REFUSED, "not registered");
    cli.fails(&["window", "show", "9"], REFUSED, "window 9");
    cli.fails(&["party", "show", "ab"], USAGE, "64");
    cli.fails(&["limit", "set", "--party", &nobody, "--asset", "1", "1.50"], USAGE, "1.50");
    cli.fails(&["batch", "create", "--asset", "1", "--rail", "iso20022"], USAGE, "--window");
    cli.fails(&["dance"], USAGE, "dance");
    let key = dir.path().join("k").to_string_lossy().into_owned();
    cli.one(&["voucher", "keygen", "--out", &key]);
    cli.fails(&["voucher", "keygen", "--out", &key], REFUSED, "exist");
    let sign = ["voucher", "sign", "--key-file", &key, "--payee", &nobody, "--asset", "1"];
    let sign = [&sign[..], &["--ttl", "1h", "--cumulative", "5", "--submit"]].concat();
    cli.fails(&sign, REFUSED, "unknown_signer");
    // The same request id is the same change; with other content it is refused.
    let add = |name: &str| {
        let id = "cd".repeat(32);
        cli.run(&["party", "add", "--id", &id, "--name", name, "--request-id", "one"])
    };
    assert_eq!(add("a").stdout, add("a").stdout);
    ends_with(&add("b"), REFUSED, "used before");
    engine.terminate();
    // The port is closed now.
    let gone = run_cli(&["status", "--server", "127.0.0.1:1"]);
    ends_with(&gone, NO_ENGINE, "tallystick serve");
}

#[test]
fn an_import_names_the_lines_that_it_could_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    let asset =
        ["asset", "add", "--number", "1", "--code", "USD", "--scale", "6", "--model", "bilateral"];
    cli.one(&asset);
    let (party, iban) = ("cd".repeat(32), iban(4));
    let good = [
        format!(
            r#"{{"party":{{"id":"{party}","name":"P","accounts":{{"iso20022":{{"iban":"{iban}"}}}}}}}}"#
        ),
        format!(r#"{{"limit":{{"party":"{party}","asset":1,"limit":"100"}}}}"#),
        format!(r#"{{"deposit":{{"party":"{party}","asset":1,"amount":7,"reference":"r"}}}}"#),
    ];
    let bad = format!(r#"{{"limit":{{"party":"{party}","asset":99,"limit":"1"}}}}"#);
    let file = dir.path().join("lines.jsonl");
    let path = file.to_string_lossy().into_owned();
    std::fs::write(&file, good.join("\n")).unwrap();
    for _ in 0..2 {
        cli.lines(&["import", &path]);
    }
    let exposure = cli.one(&["limit", "show", "--party", &party, "--asset", "1"]);
    assert_eq!(
        (text(&exposure, "credit_limit"), text(&exposure, "prefund")),
        ("100".into(), "7".into())
    );
    std::fs::write(&file, format!("{}\n{bad}\nno json\n", good[0])).unwrap();
    let output = cli.run(&["import", &path]);
    assert_eq!(output.status.code(), Some(REFUSED));
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("asset 99") && told.contains('3'), "{told}");
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let refuse = |args: &[&str], part: &str| {
        let text = Launch::new(&data).args(args).refusal();
        assert!(text.contains(part), "{args:?}: {text:?} says nothing of {part:?}");
        assert!(!data.exists(), "nothing is made before the settings are known to be good");
    };
    let serve = |args: &[&str], part: &str| {
        let data = data.to_string_lossy().into_owned();
        ends_with(&run_cli(&[&["serve", "--data-dir", &data], args].concat()), USAGE, part);
    };
    serve(&["--listen", "0.0.0.0:1"], "loopback");
    serve(&["--listen", "[::]:1"], "loopback");
    serve(&["--listen", "here"], "127.0.0.1:7450");
    serve(&["--verify-backend", "fast"], "one of auto, lanes, avx2, portable, reference");
    serve(&["--verify-table-bytes", "1 GB"], "like 192MiB");
    serve(&["--verify-table-bytes", "1000GiB"], "at most 64GiB");
    refuse(&["--shards", "0"], "shards");
    refuse(&["--shards", "65"], "64");
    refuse(&["--network-id", "abc"], "64");
    refuse(&["--window-every", "1"], "60s");
    let file = dir.path().join("t.toml");
    let path = file.to_string_lossy().into_owned();
    for (content, part) in [
        ("shard = 1", "shard"),
        ("[clearing.iso20022]\nname = \"A\"\niban = \"DE00\"", "IBAN"),
        ("[clearing.pigeon]\nname = \"A\"", "pigeon"),
    ] {
        std::fs::write(&file, content).unwrap();
        let text = Launch::new(&data).without_clearing().args(&["--config", &path]).refusal();
        assert!(text.contains(part), "{content:?}: {text:?}");
    }
    std::fs::write(
        &file,
        "shards = 3\n[clearing.iso20022]\nname = \"A\"\niban = \"DE02120300000000202051\"",
    )
    .unwrap();
    let shown = run_cli(&["serve", "--config", &path, "--shards", "5", "--print-config"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("shards = 5") && shown.contains("[clearing.iso20022]"), "{shown}");
}
