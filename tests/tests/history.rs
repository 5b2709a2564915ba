//! Who did what: every event says who made it happen, over a restart too; what was refused is in the log.

use serde_json::Value;
use tallystick_tests::World;
use tallystick_tests::house::{House, done, hex, refusal};

fn history(house: &House, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["history"];
    all.extend(args);
    done(&house.cli("bob", &all))
}

/// One row: kind, who, as what, by which way.
fn who(row: &Value) -> [&str; 4] {
    ["kind", "caller", "role", "via"].map(|name| row[name].as_str().unwrap())
}

#[test]
fn the_history_tells_who_set_a_limit_changed_an_account_closed_a_window_and_rotated_a_key() {
    let house = House::new(&["ann", "bob"]);
    let party = house.world.payers[0].party;
    let (id, asset) = (hex(party), World::CLEARED.to_string());
    let last = |house: &House| history(house, &[]).last().unwrap()["lsn"].as_u64().unwrap();
    let before = last(&house);

    done(&house.cli(
        "ann",
        &["limit", "set", "--party", &id, "--asset", &asset, "77", "--request-id", "L-1"],
    ));
    let account = "card:customer=cus_9,payment_method=pm_9";
    done(&house.cli("bob", &["party", "add", "--id", &id, "--name", "P", "--account", account]));
    done(&house.cli("ann", &["window", "close"]));
    done(&house.cli("bob", &["key", "rotate"]));
    let refused = refusal(&house.cli(
        "ann",
        &[
            "deposit",
            "record",
            "--party",
            &id,
            "--asset",
            "9",
            "5",
            "--reference",
            "R",
            "--request-id",
            "D-1",
        ],
    ));
    assert!(refused.contains("asset 9"), "{refused}");

    let all = history(&house, &[]);
    let new: Vec<&Value> = all.iter().filter(|row| row["lsn"].as_u64().unwrap() > before).collect();
    let rows: Vec<[&str; 4]> = new.iter().map(|row| who(row)).collect();
    // The seal and the new key may come in either order.
    for wanted in [
        ["limit_set", "ann", "operator", "grpc"],
        ["party_upserted", "bob", "operator", "grpc"],
        ["window_closed", "ann", "operator", "grpc"],
        ["window_sealed", "", "engine", "engine"],
        ["engine_key_set", "bob", "operator", "grpc"],
    ] {
        assert!(rows.contains(&wanted), "{wanted:?} is missing in {rows:?}");
    }
    assert_eq!(rows.len(), 5, "what was refused is in no record: {rows:?}");
    let limit = new.iter().find(|row| row["kind"] == "limit_set").unwrap();
    assert_eq!((&limit["request_id"], &limit["about"]), (&"L-1".into(), &"limit 77".into()));
    assert_eq!((&limit["party_id"], &limit["asset"]), (&id.clone().into(), &World::CLEARED.into()));
    let at = limit["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && limit["at_us"].as_u64().unwrap() > 0, "{at}");
    let account = new.iter().find(|row| row["kind"] == "party_upserted").unwrap();
    assert!(account["about"].as_str().unwrap().contains("payment_method=pm_9"), "{account}");

    // What was there before was done by nobody in particular: no operators were configured then.
    let founded = history(&house, &["--kind", "asset_created"]);
    assert!(founded.iter().all(|row| who(row)[1..] == ["", "anyone", "grpc"]), "{founded:?}");

    let kinds = |args: &[&str]| -> Vec<String> {
        let rows = history(&house, args);
        rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&["--by", "ann"]), ["limit_set", "window_closed"]);
    assert_eq!(kinds(&["--request-id", "L-1"]), ["limit_set"]);
    assert_eq!(kinds(&["--by", "bob", "--party", &id]), ["party_upserted"]);
    let named = ["--party", &id, "--kind", "limit_set,signer_added"];
    assert!(kinds(&named).ends_with(&["limit_set".to_owned()]), "{:?}", kinds(&named));
    assert!(kinds(&named).contains(&"signer_added".to_owned()));
    assert_eq!(kinds(&["--since", "2040-01-01T00:00:00Z"]), [""; 0]);
    let unknown = refusal(&house.cli("ann", &["history", "--kind", "limit"]));
    assert!(unknown.contains("limit_set"), "{unknown}");

    let log = house.engine.as_ref().unwrap().stderr();
    let line = log.lines().find(|line| line.contains("D-1")).expect("the log tells it");
    assert!(line.contains("ann") && line.contains("record deposit"), "{line}");
}
