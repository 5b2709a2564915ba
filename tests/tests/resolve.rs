//! What became of a leg when the rail cannot say: two operators say it, each with evidence, on the
//! command line. The rail is `card`, the provider the test double, which loses answers and then
//! answers no question.

use serde_json::Value;
use std::collections::BTreeMap;
use tallystick_tests::house::{Charges, House, LARGE, SMALL, done, hex, refusal};
use tallystick_tests::psp::FaultOptions;
use tallystick_tests::{World, run_cli, until};

/// What the report says of the words of operators: who, which state, which reference.
fn proposals(report: &Value) -> Vec<[&str; 3]> {
    let all = report["proposals"].as_array().unwrap().iter();
    all.map(|of| ["operator", "state", "rail_reference"].map(|name| of[name].as_str().unwrap()))
        .collect()
}

fn todo(report: &Value) -> String {
    let all = report["todo"].as_array().unwrap().iter();
    all.map(|one| one["do"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Pay-ins of a report by state, with their sums.
fn pay_ins(report: &Value) -> Vec<(&str, &str)> {
    let all = report["pay_ins"].as_array().unwrap().iter();
    all.map(|of| (of["state"].as_str().unwrap(), of["sum"].as_str().unwrap())).collect()
}

#[test]
fn what_the_rail_cannot_say_two_operators_say_who_agree() {
    let mut house = House::new(&["ann", "bob"]);
    let lost = house.lose_both("ann");
    let Charges { small, large, .. } = &lost;
    let oldest = two_are_unknown_and_one_word_is_not_enough(&house, &lost);

    // What the pages of the provider show: the small charge was made, the large one was not.
    let made = house.psp.movements();
    assert_eq!((made.len(), &made[0].leg_key), (1, small));
    let of = made[0].id.clone();
    let said = house.resolve("ann", &lost, small, "confirmed", &of);
    assert_eq!(done(&said)[0]["state"], "unknown");
    assert!(String::from_utf8_lossy(&said.stderr).contains("another operator says the same"));
    let report = house.report("bob", &lost);
    assert_eq!(proposals(&report), [["ann", "confirmed", &of]]);
    let agree = format!(
        "`tallystick leg resolve {} {small} --word confirmed --reference '{of}'",
        &lost.batch[..16]
    );
    assert!(todo(&report).starts_with("ann says that leg"), "{report}");
    assert!(todo(&report).contains(&agree), "{report}");
    let again = refusal(&house.resolve("ann", &lost, small, "confirmed", &of));
    assert!(again.contains("another operator"), "{again}");

    // Who says something else does not agree: that word stands instead, for another one to agree
    // with.
    for (word, of) in [("rejected", ""), ("confirmed", "pi_other")] {
        let said = done(&house.resolve("bob", &lost, small, word, of));
        assert_eq!(said[0]["state"], "unknown");
        assert_eq!(proposals(&house.report("ann", &lost)), [["bob", word, of]]);
    }
    let _ = done(&house.resolve("ann", &lost, small, "confirmed", &of));

    // Killed between the first word and the second.
    house.engine.take().expect("it runs").kill9();
    house.engine = Some(house.launch.start());
    let report = house.report("bob", &lost);
    assert_eq!(proposals(&report), [["ann", "confirmed", &of]]);
    assert_eq!(
        (&report["unknown_under_an_hour"], &report["unknown_oldest_us"]),
        (&2.into(), &oldest)
    );

    let _ = done(&house.resolve("bob", &lost, large, "rejected", ""));
    let report = house.report("ann", &lost);
    assert_eq!(proposals(&report).len(), 2, "one word a leg: {report}");
    assert_eq!(done(&house.resolve("ann", &lost, large, "rejected", ""))[0]["state"], "rejected");
    let report = house.report("ann", &lost);
    assert_eq!(pay_ins(&report), [("unknown", SMALL), ("rejected", LARGE)]);
    assert_eq!(
        (&report["unknown_under_an_hour"], &report["owed_again"]),
        (&1.into(), &LARGE.into())
    );

    let agreed = done(&house.resolve("bob", &lost, small, "confirmed", &of));
    assert_eq!(
        (&agreed[0]["state"], &agreed[0]["rail_reference"]),
        (&"confirmed".into(), &of.into())
    );
    assert_eq!(agreed[0]["proposal"], Value::Array(Vec::new()));
    house.psp.set_faults(FaultOptions::default());
    ends_with_what_was_rejected_owed_again(&house, &lost);

    house.engine.take().expect("it runs").terminate();
    let data = house.data();
    let audit = done(&run_cli(&["audit", "--json", "--data-dir", data.to_str().unwrap()]));
    assert_eq!((&audit[0]["ok"], &audit[0]["batches"]), (&true.into(), &1.into()), "{audit:?}");
}

/// What is told of the two charges whose answers were lost; since when the older has been UNKNOWN.
fn two_are_unknown_and_one_word_is_not_enough(house: &House, lost: &Charges) -> Value {
    let report = house.report("ann", lost);
    let ages = ["under_an_hour", "under_a_day", "older"].map(|age| format!("unknown_{age}"));
    assert_eq!(ages.map(|age| report[age].as_u64().unwrap()), [2, 0, 0]);
    let oldest = report["unknown_oldest_us"].clone();
    assert!(oldest.as_i64().unwrap() > 0, "{report}");
    assert!(todo(&report).contains("Ask the rail what became of 2 pay-ins"), "{report}");
    assert_eq!(pay_ins(&report), [("unknown", "6000000")]);
    // An ordinary report is the word of one.
    let alone = ["leg", "report", &lost.batch, "--key", &lost.small, "--word", "confirmed"];
    let alone = refusal(&house.cli("ann", &alone));
    assert!(alone.contains("takes the word of two operators"), "{alone}");
    oldest
}

/// The batch ends; the provider's books, the ledger and the audit say the same.
fn ends_with_what_was_rejected_owed_again(house: &House, lost: &Charges) {
    let report = until("the batch has ended", || {
        let report = house.report("ann", lost);
        (report["ended_at_us"] != 0).then_some(report)
    });
    assert_eq!(report["state"], "settled_with_carry");
    // The charge that failed, and the pay-out that it held back.
    assert_eq!((&report["owed_again"], &report["held_back"]), (&"10000000".into(), &LARGE.into()));
    assert_eq!(pay_ins(&report), [("confirmed", SMALL), ("rejected", LARGE)]);
    assert_eq!(proposals(&report), <[[&str; 3]; 0]>::default());
    let moved = house.psp.movements();
    let moved: Vec<_> =
        moved.iter().map(|one| (one.kind.as_str(), one.amount, &*one.party)).collect();
    assert_eq!(moved, [("charge", 100, "cus_1"), ("transfer", 100, "acct_1")]);

    let [failed, paid] = [0, 1].map(|place: usize| house.world.payers[place].party);
    until("the exposure falls", || (house.owes("ann", paid) == "0").then_some(()));
    assert_eq!(house.owes("ann", failed), LARGE);
    let close = done(&house.cli("ann", &["window", "close"]));
    assert_eq!(close[0]["number"], 2);
    let asset = World::CLEARED.to_string();
    let owed = done(&house.cli("ann", &["window", "positions", "2", "--asset", &asset]));
    let owed: BTreeMap<_, _> = owed
        .iter()
        .map(|of| (of["party_id"].as_str().unwrap(), of["amount"].as_str().unwrap()))
        .collect();
    let (failed, payee) = (hex(failed), hex(house.world.payees[0]));
    assert_eq!(owed, BTreeMap::from([(&*failed, "-5000000"), (&*payee, LARGE)]));
}

#[test]
fn without_operators_only_the_rail_can_say_what_became_of_a_leg() {
    let house = House::new(&[]);
    let lost = house.lose_both("");
    let alone = refusal(&house.resolve("", &lost, &lost.small, "confirmed", "pi_1"));
    assert!(alone.contains("configure operators"), "{alone}");
    house.psp.set_faults(FaultOptions::default());
    let report = until("the batch has ended", || {
        let report = house.report("", &lost);
        (report["ended_at_us"] != 0).then_some(report)
    });
    // Looked up: one charge had been made, and is not made twice; the other is made now.
    assert_eq!((&report["state"], &report["owed_again"]), (&"settled".into(), &"0".into()));
    let moved = house.psp.movements();
    let charges = moved.iter().filter(|one| one.kind == "charge");
    assert_eq!((charges.count(), moved.len()), (2, 4), "{moved:?}");
}
