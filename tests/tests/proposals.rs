//! Four eyes on the command line: what one proposes and another confirms, over restarts, in the
//! history, and for the audit; and how the first two come.

use serde_json::Value;
use std::path::Path;
use tallystick_tests::{Engine, Launch, ends_with, run_cli};

const IBAN: &str = "iso20022:iban=DE02120300000000202051,bic=BYLADEM1001";
const OTHER: &str = "iso20022:iban=DE89370400440532013000,bic=COBADEFFXXX";
const PARTY: &str = "5a3e77c05a3e77c05a3e77c05a3e77c05a3e77c05a3e77c05a3e77c05a3e77c0";

/// Somebody with a token, at an engine.
struct Person {
    server: String,
    token: String,
}

impl Person {
    fn at(engine: &Engine, token: &Path) -> Self {
        let (server, token) = (engine.address().to_owned(), token.display().to_string());
        Self { server, token }
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        let own = ["--server", &self.server, "--token-file", &self.token, "--json"];
        run_cli(&[args, &own[..]].concat())
    }

    fn does(&self, args: &[&str]) -> Vec<Value> {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {out:?}");
        let lines = String::from_utf8(out.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn one(&self, args: &[&str]) -> Value {
        let mut lines = self.does(args);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    /// What takes two: the id of the proposal.
    fn proposes(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains("another must confirm"), "{out:?}");
        let answer: Value = serde_json::from_slice(&out.stdout).expect("a line of JSON");
        answer["proposal"].as_str().expect("it is a proposal").to_owned()
    }
}

/// A token's file, and the line for `[operators]`.
fn token(dir: &Path, name: &str) -> (std::path::PathBuf, String) {
    let file = dir.join(format!("{name}.token"));
    let path = file.display().to_string();
    let out = run_cli(&["operator", "token", "--name", name, "--out", &path, "--json"]);
    let made: Value = serde_json::from_slice(&out.stdout).expect("a line of JSON");
    (file, format!("{name} = \"{}\"\n", made["digest"].as_str().unwrap()))
}

fn audited(data: &Path) {
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert!(audit.status.success(), "{audit:?}");
}

#[tokio::test]
async fn a_changed_account_goes_through_two_people() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ((ann, a), (bob, b)) = (token(dir.path(), "ann"), token(dir.path(), "bob"));
    let config = format!("four_eyes = true\n[operators]\n{a}{b}");
    let launch = Launch::new(&data).config(&config);
    let engine = launch.clone().start();
    let by_ann = Person::at(&engine, &ann);
    by_ann.one(&[
        "asset",
        "add",
        "--number",
        "978",
        "--code",
        "EUR",
        "--scale",
        "2",
        "--model",
        "bilateral",
    ]);
    let party = by_ann.one(&["party", "add", "--id", PARTY, "--name", "Seller", "--account", IBAN]);
    assert_eq!(party.get("proposal"), None, "one who is new takes one");
    let update = ["party", "update", PARTY, "--account", OTHER, "--request-id", "new-iban"];
    let proposal = by_ann.proposes(&update);
    assert_eq!(by_ann.proposes(&update), proposal, "the same request is the same proposal");
    let limit = by_ann.proposes(&["limit", "set", "--party", PARTY, "--asset", "978", "500000"]);
    let deposit = ["deposit", "record", "--party", PARTY, "--asset", "978", "7"];
    let odd = by_ann.proposes(&[&deposit[..], &["--reference", "a letter"]].concat());
    // Nothing has changed, whoever asks, and whatever becomes of the process.
    let shown = by_ann.one(&["party", "show", PARTY]);
    assert_eq!(shown["accounts"]["iso20022"]["iban"], "DE02120300000000202051");
    let own = by_ann.run(&["proposal", "confirm", &proposal]);
    ends_with(&own, 1, "takes another person");
    engine.kill9();
    let engine = launch.clone().start();
    let (by_ann, by_bob) = (Person::at(&engine, &ann), Person::at(&engine, &bob));
    let all = by_bob.does(&["proposal", "list"]);
    assert_eq!(all.len(), 3, "{all:?}");
    let first = by_bob.one(&["proposal", "show", &proposal[..12]]);
    assert_eq!((&first["proposer"], &first["kind"]), (&"ann".into(), &"party_upserted".into()));
    let change = &first["changes"][0];
    assert!(change["before"].as_str().unwrap().contains("DE02120300000000202051"), "{first}");
    assert!(change["after"].as_str().unwrap().contains("DE89370400440532013000"), "{first}");
    let todo = by_bob.does(&["todo"]);
    let says = todo[0]["do"].as_str().unwrap();
    assert!(says.starts_with("Look at what ann proposes (party_upserted)"), "{says}");
    let done = by_bob.does(&["proposal", "confirm", &proposal, &limit[..12]]);
    assert!(done.iter().all(|one| one["state"] == "confirmed"), "{done:?}");
    assert_eq!(done[1]["changes"][0]["after"], "500000", "{done:?}");
    by_bob.one(&["proposal", "withdraw", &odd, "--reason", "no such transfer"]);
    let gone = by_bob.run(&["proposal", "confirm", &odd]);
    ends_with(&gone, 1, "it was confirmed, withdrawn, or has expired");
    let shown = by_ann.one(&["party", "show", PARTY]);
    assert_eq!(shown["accounts"]["iso20022"]["iban"], "DE89370400440532013000");
    let owes = by_ann.one(&["limit", "show", "--party", PARTY, "--asset", "978"]);
    assert_eq!((&owes["credit_limit"], &owes["prefund"]), (&"500000".into(), &"0".into()));
    let history = by_bob.does(&["history", "--party", PARTY, "--kind", "party_upserted"]);
    let last = history.last().unwrap();
    assert_eq!((&last["caller"], &last["proposer"]), (&"bob".into(), &"ann".into()));
    assert_eq!(last["proposal"], Value::from(proposal));
    assert_eq!(by_bob.one(&["status"])["proposals_open"], 0);
    engine.stop().await;
    audited(&data);
    // What was confirmed holds after a start that goes by a checkpoint, and by the journal alone.
    launch.start().stop().await;
}

/// One operator adds an approver, or takes another's place: nothing of that goes by one.
#[tokio::test]
async fn the_first_two_come_from_the_machine_and_each_next_one_by_two() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = |name: &str| dir.path().join(format!("{name}.key"));
    let bootstrap = |name: &str| {
        let (data, out) = (data.display().to_string(), file(name).display().to_string());
        let args = ["access", "bootstrap", "--name", name, "--data-dir", &data, "--out", &out];
        let made = run_cli(&args);
        assert!(made.status.success(), "{made:?}");
    };
    bootstrap("ann");
    let launch = Launch::new(&data).without_clearing().config("four_eyes = true\n");
    let engine = launch.clone().start();
    let by_ann = Person::at(&engine, &file("ann"));
    let add = |name: &'static str, role: &'static str| {
        vec!["access", "add", "--name", name, "--role", role]
    };
    ends_with(&by_ann.run(&add("eve", "approver")), 1, "access bootstrap");
    // Everything else one does alone as long as there never were two.
    by_ann.one(&[
        "asset",
        "add",
        "--number",
        "978",
        "--code",
        "EUR",
        "--scale",
        "2",
        "--model",
        "bilateral",
    ]);
    by_ann.one(&["party", "add", "--id", PARTY, "--name", "Buyer"]);
    let owes = by_ann.one(&["limit", "set", "--party", PARTY, "--asset", "978", "5"]);
    assert_eq!(owes.get("proposal"), None);
    by_ann.one(&["access", "add", "--name", "agents", "--role", "party", "--party", PARTY]);
    engine.stop().await;
    // Two at once; and a name that somebody has lets nobody in, and stops no start.
    ["bob", "cleo", "agents"].into_iter().for_each(bootstrap);
    let engine = launch.clone().start();
    let [by_ann, by_bob] = ["ann", "bob"].map(|name| Person::at(&engine, &file(name)));
    ends_with(&Person::at(&engine, &file("agents")).run(&["status"]), 1, "");
    assert!(
        by_ann.one(&["limit", "set", "--party", PARTY, "--asset", "978", "6"])["proposal"]
            .is_string()
    );
    let eve = file("eve").display().to_string();
    let proposal = by_ann.proposes(&[&add("eve", "approver")[..], &["--out", &eve]].concat());
    let by_eve = Person::at(&engine, &file("eve"));
    ends_with(&by_eve.run(&["status"]), 1, "");
    by_bob.one(&["proposal", "confirm", &proposal]);
    by_eve.one(&["status"]);
    // Ann has made that key: until eve has another, they are one.
    let by_ann_proposed =
        by_ann.proposes(&["limit", "set", "--party", PARTY, "--asset", "978", "7"]);
    ends_with(
        &by_eve.run(&["proposal", "confirm", &by_ann_proposed]),
        1,
        "until that key is rotated",
    );
    let own = dir.path().join("own.key");
    by_eve.one(&["access", "rotate", "eve", "--out", own.to_str().unwrap()]);
    Person::at(&engine, &own).one(&["proposal", "confirm", &by_ann_proposed]);
    // Ann makes bob another key, and does not get to use it.
    let rotation = by_ann.proposes(&["access", "rotate", "bob"]);
    ends_with(&by_ann.run(&["proposal", "confirm", &rotation]), 1, "takes another person");
    by_bob.one(&["proposal", "withdraw", &rotation]);
    engine.stop().await;
    audited(&data);
}
