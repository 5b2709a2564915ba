//! Operators' keys of their own, on the command line: who has one signs what they approve and say,
//! a lost one is taken away, and an auditor who knows the first key finds another one.

use serde_json::Value;
use std::path::Path;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::house::{House, done, refusal};
use tallystick_tests::psp::{Fault, FaultOptions};
use tallystick_tests::{Deployment, Engine, Launch, World, run_cli, until};

/// What an audit says, and whether it agrees.
fn audit(args: &[&str]) -> (Value, bool) {
    let out = run_cli(&[&["audit", "--json"], args].concat());
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["ok"], out.status.success(), "{out:?}");
    let ok = out.status.success();
    (report, ok)
}

fn keys_of(house: &House) -> Vec<(String, bool)> {
    let all = done(&house.cli("bob", &["operator", "key", "list"]));
    let one = |of: &Value| (of["key"].as_str().unwrap().to_owned(), of["until_lsn"] == 0);
    all.iter().map(one).collect()
}

#[test]
fn who_approved_and_said_is_proved_by_an_own_key_and_a_lost_key_is_taken_away() {
    let mut house = House::new(&["ann", "bob"]);
    house.register_all("ann", "pm_0");
    let charges = house.computed("ann");
    let key = house.own_key("ann");
    let own = house.own("ann").unwrap();
    let set = |who: &str| house.cli(who, &["operator", "key", "set", "ann", "--sign-with", &own]);
    let other = refusal(&set("bob"));
    assert!(other.contains("is not that of key"), "bob is not ann: {other}");
    assert_eq!(done(&set("ann"))[0]["key"], *key);

    // From now on ann signs, and nobody signs for ann.
    let approve = ["batch", "approve", &charges.batch, "--request-id", "approval"];
    let unsigned = refusal(&house.cli("ann", &approve));
    assert!(unsigned.contains("--sign-with FILE") && unsigned.contains(&key), "{unsigned}");
    let signs = [&approve[..], &["--sign-with", &own]].concat();
    let by_bob = refusal(&house.cli("bob", &signs));
    assert!(by_bob.contains("no own key"), "{by_bob}");
    assert_eq!(house.report("bob", &charges)["state"], "computed");
    house.psp.fail_next(&[Fault::DropBefore, Fault::DropBefore]);
    let per_mille = [(Fault::Unavailable, 1_000)].into();
    house.psp.set_faults(FaultOptions { per_mille, ..FaultOptions::default() });
    let approved = done(&house.cli("ann", &signs)).remove(0);
    assert_eq!(approved["approved_by"], "ann");
    assert_eq!(approved["approved_key"], *key);

    // Who repeats a call is answered again, signed or not.
    for again in [&signs[..], &approve] {
        assert_eq!(done(&house.cli("ann", again))[0]["approved_key"], *key);
    }
    until("both charges are unknown", || {
        let report = house.report("ann", &charges);
        (report["pay_ins"][0]["state"] == "unknown" && report["pay_ins"][0]["legs"] == 2)
            .then_some(())
    });
    let resolve = ["leg", "resolve", &charges.batch, &charges.small, "--word", "rejected"];
    let resolve = [&resolve[..], &["--evidence", "the provider's pages"]].concat();
    let unsigned = refusal(&house.cli("ann", &resolve));
    assert!(unsigned.contains("--sign-with FILE"), "{unsigned}");
    let said = done(&house.resolve("ann", &charges, &charges.small, "rejected", ""));
    assert_eq!(said[0]["state"], "unknown");

    house.engine.take().expect("it runs").kill9();
    house.engine = Some(house.launch.start());
    assert_eq!(keys_of(&house), [(key.clone(), true)]);
    assert_eq!(house.report("bob", &charges)["approved_key"], *key);
    let agreed = done(&house.resolve("bob", &charges, &charges.small, "rejected", ""));
    assert_eq!(agreed[0]["state"], "rejected");
    let second = the_key_is_lost(&house, &key);
    assert_eq!(keys_of(&house), [(key.clone(), false), (second, true)]);
    let history = done(&house.cli("bob", &["history", "--kind", "batch_approved,leg_proposed"]));
    let signed: Vec<&str> = history.iter().filter_map(|one| one["signed_with"].as_str()).collect();
    assert_eq!(signed, [&*key; 2], "{history:?}");

    let file = house.data().with_file_name("windows.tallyexp");
    let file = file.to_str().unwrap();
    let _ = done(&house.cli("bob", &["evidence", "export", "1", "--out", file]));
    house.engine.take().expect("it runs").terminate();
    audits_with_what_is_known_of_ann(&[file], &key);
    audits_with_what_is_known_of_ann(&["--data-dir", house.data().to_str().unwrap()], &key);
}

/// Ann has lost a key, and bob takes it away. The key that ann sets then, which it gives, is a
/// first one again.
fn the_key_is_lost(house: &House, key: &str) -> String {
    let own = house.own("ann").unwrap();
    std::fs::rename(&own, format!("{own}.found-again")).unwrap();
    let alone = refusal(&house.cli("ann", &["operator", "key", "remove", "ann"]));
    assert!(alone.contains("another operator takes it away"), "{alone}");
    let removed = done(&house.cli("bob", &["operator", "key", "remove", "ann"]));
    assert_eq!(removed[0]["key"], *key);
    assert_ne!(removed[0]["until_lsn"], 0);
    let found = format!("{own}.found-again");
    let back = ["operator", "key", "set", "ann", "--sign-with", &found];
    let back = refusal(&house.cli("ann", &back));
    assert!(back.contains("was an operator's key before"), "{back}");
    let second = house.own_key("ann");
    let set = ["operator", "key", "set", "ann", "--sign-with", &own];
    assert_eq!(done(&house.cli("ann", &set))[0]["key"], *second);
    second
}

fn audits_with_what_is_known_of_ann(what: &[&str], key: &str) {
    let (report, ok) = audit(what);
    assert!(ok, "{report}");
    let counted = ["approvals", "approvals_signed", "words", "words_signed"];
    assert_eq!(counted.map(|name| report[name].as_u64().unwrap()), [1, 1, 2, 1]);
    assert_eq!(report["operator_keys"][0]["key"], *key);
    let known = format!("ann={key}");
    assert!(audit(&[what, &["--operator-key", &known]].concat()).1);
    for wrong in [format!("ann={}", "a1".repeat(32)), format!("bob={key}")] {
        let (report, ok) = audit(&[what, &["--operator-key", &wrong]].concat());
        assert!(!ok && report["first_difference"]["what"].to_string().contains("first key"));
    }
}

/// An engine with the operators ann and bob, and a closed window that a bank settles.
fn desk() -> (Launch, tempfile::TempDir) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = runtime.block_on(async {
        let mut d = Deployment::new(1, 2).await;
        let vouchers = [0, 1].map(|payee| d.world.voucher(0, payee, 0, 2_000_000));
        assert_eq!(d.client.pay(&vouchers).await, [Credited, Credited]);
        d.client.close_window().await;
        let Deployment { client, engine, dir, .. } = d;
        drop(client);
        engine.stop().await;
        dir
    });
    let digest = |token: &str| blake3::hash(token.as_bytes()).to_hex().to_string();
    let operators = ["ann", "bob"].map(|name| {
        std::fs::write(dir.path().join(name), format!("token of {name}\n")).unwrap();
        format!("{name} = \"{}\"\n", digest(&format!("token of {name}")))
    });
    let config = format!("[operators]\n{}", operators.concat());
    (Launch::new(&dir.path().join("data")).config(&config), dir)
}

fn by(engine: &Engine, folder: &Path, operator: &str, args: &[&str]) -> std::process::Output {
    let token = folder.join(operator);
    let first = ["--server", engine.address(), "--json", "--token-file", token.to_str().unwrap()];
    run_cli(&[&first[..], args].concat())
}

#[test]
fn a_report_is_signed_word_by_word_and_one_key_follows_another() {
    let (launch, dir) = desk();
    let (engine, folder) = (launch.start(), dir.path());
    let ann = |args: &[&str]| by(&engine, folder, "ann", args);
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let make = |name: &str| {
        let made = done(&run_cli(&["operator", "key", "new", "--json", "--out", &file(name)]));
        made[0]["key"].as_str().unwrap().to_owned()
    };
    let (first, second) = (make("first.key"), make("second.key"));
    let (old, new) = (file("first.key"), file("second.key"));
    let _ = done(&ann(&["operator", "key", "set", "ann", "--sign-with", &old]));
    let forgot = refusal(&ann(&["operator", "key", "set", "ann", "--sign-with", &new]));
    assert!(forgot.contains("--sign-with FILE"), "{forgot}");
    let follows = ["operator", "key", "set", "ann", "--sign-with", &old, "--new", &new];
    assert_eq!(done(&ann(&follows))[0]["key"], *second);

    let asset = World::PAIRS.to_string();
    let create = ["batch", "create", "--window", "1", "--asset", &asset, "--rail", "iso20022"];
    let batch = done(&ann(&create))[0]["batch_id"].as_str().unwrap().to_owned();
    let with_old = refusal(&ann(&["batch", "approve", &batch, "--sign-with", &old]));
    assert!(with_old.contains(&second), "{with_old}");
    let _ = done(&ann(&["batch", "approve", &batch, "--sign-with", &new]));
    let legs = until("the file leaves", || {
        let legs = done(&ann(&["leg", "list", &batch]));
        legs.iter().all(|leg| leg["state"] == "sent").then_some(legs)
    });
    let key = |place: usize| legs[place]["key"].as_str().unwrap();
    // The second leg first: what is signed names it by its place.
    let report = ["leg", "report", &batch, "--word", "confirmed", "--reference", "statement 41"];
    let one = [&report[..], &["--key", key(1), "--sign-with", &new]].concat();
    assert_eq!(done(&ann(&one))[0]["legs_moved"], 1);
    let both = format!("{},{}", key(0), key(1));
    let both = [&report[..], &["--key", &both]].concat();
    let unsigned = refusal(&ann(&both));
    assert!(unsigned.contains("--sign-with FILE"), "{unsigned}");
    let idle = refusal(&ann(&[&both[..], &["--sign-with", &new]].concat()));
    assert!(idle.contains(key(1)) && idle.contains("CONFIRMED already"), "{idle}");
    let rest = [&report[..], &["--key", key(0), "--sign-with", &new]].concat();
    assert_eq!(done(&ann(&rest))[0]["legs_moved"], 1);
    // Who has no key goes on as before.
    let known = done(&by(&engine, folder, "bob", &both));
    assert_eq!(known[0]["legs_moved"], 0);
    engine.terminate();
    let known = format!("ann={first}");
    let (report, ok) = audit(&["--data-dir", &file("data"), "--operator-key", &known]);
    assert!(ok, "{report}");
    assert_eq!((&report["words"], &report["words_signed"]), (&2.into(), &2.into()));
    assert_eq!(report["operator_keys"].as_array().unwrap().len(), 2);
}
