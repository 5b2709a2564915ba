//! Who did what: every event says who made it happen, over a restart too; what was refused is in
//! the log.

use serde_json::Value;
use tallystick_tests::house::{Charges, House, done, hex, refusal};
use tallystick_tests::{World, add_party};

fn history(house: &House, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["history"];
    all.extend(args);
    done(&house.cli("bob", &all))
}

/// One row: kind, who, as what, by which way.
fn who(row: &Value) -> [&str; 4] {
    ["kind", "caller", "role", "via"].map(|name| row[name].as_str().unwrap())
}

/// Rows without what came before `lsn`.
fn since(rows: &[Value], lsn: u64) -> Vec<&Value> {
    rows.iter().filter(|row| row["lsn"].as_u64().unwrap() > lsn).collect()
}

fn of_kind<'a>(rows: &[&'a Value], kind: &str) -> &'a Value {
    rows.iter().find(|row| row["kind"] == kind).unwrap()
}

/// Four changes by two operators, and one that is refused. Gives the rows of what they did.
fn changes(house: &House) -> Vec<Value> {
    let (id, asset) = (hex(house.world.payers[0].party), World::CLEARED.to_string());
    let before = history(house, &[]).last().unwrap()["lsn"].as_u64().unwrap();
    let asked =
        |operator: &str, args: &[&str]| assert_eq!(done(&house.cli(operator, args)).len(), 1);
    let limit = ["limit", "set", "--party", &id, "--asset", &asset, "77", "--request-id", "L-1"];
    asked("ann", &limit);
    let account = "card:customer=cus_9,payment_method=pm_9";
    asked("bob", &add_party(&id, "P", account));
    asked("ann", &["window", "close"]);
    asked("bob", &["key", "rotate"]);
    let deposit = ["deposit", "record", "--party", &id, "--asset", "9", "5", "--reference", "R"];
    let refused = refusal(&house.cli("ann", &[&deposit[..], &["--request-id", "D-1"]].concat()));
    assert!(refused.contains("asset 9"), "{refused}");
    since(&history(house, &[]), before).into_iter().cloned().collect()
}

#[test]
fn every_change_says_who_made_it_and_what_was_refused_is_in_the_log() {
    let house = House::new(&["ann", "bob"]);
    let (all, id) = (changes(&house), hex(house.world.payers[0].party));
    let new: Vec<&Value> = all.iter().collect();
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
    let limit = of_kind(&new, "limit_set");
    assert_eq!((&limit["request_id"], &limit["about"]), (&"L-1".into(), &"limit 77".into()));
    assert_eq!((&limit["party_id"], &limit["asset"]), (&id.into(), &World::CLEARED.into()));
    let at = limit["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && limit["at_us"].as_u64().unwrap() > 0, "{at}");
    let account = of_kind(&new, "party_upserted");
    assert!(account["about"].as_str().unwrap().contains("payment_method=pm_9"), "{account}");
    // What was there before was done by nobody in particular: no operators were configured then.
    let founded = history(&house, &["--kind", "asset_created"]);
    assert!(founded.iter().all(|row| who(row)[1..] == ["", "anyone", "grpc"]), "{founded:?}");
    let log = house.engine.as_ref().unwrap().stderr();
    let line = log.lines().find(|line| line.contains("D-1")).expect("the log tells it");
    assert!(line.contains("ann") && line.contains("record deposit"), "{line}");
}

#[test]
fn the_history_is_asked_by_name_party_kind_time_and_request() {
    let house = House::new(&["ann", "bob"]);
    let id = hex(house.world.payers[0].party);
    assert_eq!(changes(&house).len(), 5);
    let kinds = |args: &[&str]| -> Vec<String> {
        let rows = history(&house, args);
        rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&["--by", "ann"]), ["limit_set", "window_closed"]);
    assert_eq!(kinds(&["--request-id", "L-1"]), ["limit_set"]);
    assert_eq!(kinds(&["--by", "bob", "--party", &id]), ["party_upserted"]);
    let named = kinds(&["--party", &id, "--kind", "limit_set,signer_added"]);
    assert_eq!(named.last().map(String::as_str), Some("limit_set"));
    assert!(named.contains(&"signer_added".to_owned()), "{named:?}");
    assert_eq!(kinds(&["--since", "2040-01-01T00:00:00Z"]), [""; 0]);
    let unknown = refusal(&house.cli("ann", &["history", "--kind", "limit"]));
    assert!(unknown.contains("limit_set"), "{unknown}");
}

/// Only a single wish was told when the ledger refused it: nothing was said of a batch that could
/// not be computed, of an item of an import, of words about legs.
#[test]
fn what_is_refused_is_in_the_log_by_whichever_way_it_came() {
    let house = House::new(&["ann", "bob"]);
    house.register_all("ann", "pm_0");
    let (Charges { batch: id, small, .. }, asset) = (house.computed("ann"), World::CLEARED);
    let asset = asset.to_string();
    let batch = ["batch", "create", "--window", "99", "--asset", &asset, "--rail", "card"];
    // No leg has this key, and nobody asks what became of one that has not left.
    let key = "K".repeat(32);
    let report = ["leg", "report", &id, "--key", &key, "--word", "confirmed"];
    let resolve = ["leg", "resolve", &id, &small, "--word", "confirmed", "--reference", "R"];
    let resolve = [&resolve[..], &["--evidence", "E"]].concat();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines.jsonl");
    let item = r#"{"limit":{"party":"PARTY","asset":99,"limit":"1"},"request_id":"I-1"}"#;
    std::fs::write(&file, item.replace("PARTY", &hex(house.world.payers[0].party))).unwrap();
    for (args, id) in [(&batch[..], "B-1"), (&report[..], "W-1"), (&resolve[..], "V-1")] {
        let told = refusal(&house.cli("ann", &[args, &["--request-id", id]].concat()));
        assert!(!told.is_empty(), "{id}");
    }
    assert!(!house.cli("bob", &["import", file.to_str().unwrap()]).status.success());
    let log = house.engine.as_ref().unwrap().stderr();
    for (id, who, asked) in [
        ("B-1", "ann", "refused: create batch"),
        ("W-1", "ann", "refused: report legs"),
        ("V-1", "ann", "refused: resolve leg"),
        ("I-1", "bob", "refused: set limit"),
    ] {
        let mut lines = log.lines().filter(|line| line.contains(id));
        let line = lines.next().unwrap_or_else(|| panic!("nothing is said of {id}:\n{log}"));
        assert!(line.contains(who) && line.contains(asked), "{line}");
        assert_eq!(lines.next(), None, "it is said once");
    }
}
