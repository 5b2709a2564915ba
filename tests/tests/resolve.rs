//! What became of a leg when the rail cannot say: two operators say it, each with evidence, on the command
//! line. The rail is `card`, the provider the test double, which loses answers and then answers no question.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::psp::{Fault, FaultOptions, Options, Psp};
use tallystick_tests::{Deployment, Engine, Launch, PartyId, World, run_cli, until};
use tempfile::TempDir;

const SECRET: &str = "sk_test_double";
/// What the first payer owes the first payee, and the second the second: the pay-out of the small one does
/// not need the large one.
const LARGE: &str = "5000000";
const SMALL: &str = "1000000";

/// A provider, and an engine that has closed a window in which two payers owe two payees.
struct House {
    engine: Option<Engine>,
    launch: Launch,
    psp: Psp,
    world: World,
    dir: TempDir,
}

fn hex(party: PartyId) -> String {
    data_encoding::HEXLOWER.encode(&party.0)
}

/// Runs a command; its results, a line each.
fn done(out: &Output) -> Vec<Value> {
    assert!(out.status.success(), "{out:?}");
    let text = std::str::from_utf8(&out.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was refused, in words.
fn refusal(out: &Output) -> String {
    assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0), "{out:?}");
    String::from_utf8(out.stderr.clone()).unwrap()
}

/// Makes a token for an operator; the line for the configuration.
fn token(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    let out = ["operator", "token", "--name", name, "--json", "--out", file.to_str().unwrap()];
    done(&run_cli(&out))[0]["config"].as_str().unwrap().to_owned()
}

impl House {
    fn new(operators: &[&str]) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (world, dir) = runtime.block_on(async {
            let mut d = Deployment::new(2, 2).await;
            let owed = [LARGE, SMALL].map(|amount| amount.parse().unwrap());
            let vouchers = [0, 1].map(|place| {
                d.world.pay(place, d.world.payees[place], World::CLEARED, 0, owed[place])
            });
            assert_eq!(d.client.pay(&vouchers).await, [Credited, Credited]);
            assert_eq!(d.client.close_window().await.number, 1);
            let Deployment { client, world, engine, dir } = d;
            drop(client);
            engine.stop().await;
            (world, dir)
        });
        let psp = Psp::start(Options::new(SECRET)).unwrap();
        let secret = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (key, hook) = (secret("card.key", SECRET), secret("card.webhook", "whsec_test"));
        let tokens = operators.iter().map(|name| token(dir.path(), name) + "\n");
        let tokens: String = tokens.collect();
        let tokens = if tokens.is_empty() { tokens } else { format!("[operators]\n{tokens}") };
        // One call at a time, so that the order of the faults is that of the legs.
        let config = format!(
            "{tokens}[clearing.card]\naccount = \"acct_clearing\"\n[rail.card]\nbase_url = \"{}\"\n\
             secret_key_file = {key:?}\nwebhook_secret_file = {hook:?}\nthreads = 1\n",
            psp.url()
        );
        let launch = Launch::new(&dir.path().join("data")).config(&config);
        let engine = Some(launch.start());
        Self { engine, launch, psp, world, dir }
    }

    /// Runs a command, as an operator if one is named.
    fn cli(&self, operator: &str, args: &[&str]) -> Output {
        let engine = self.engine.as_ref().expect("it runs");
        let mut all = vec!["--server", engine.address(), "--json"];
        let file = self.dir.path().join(operator);
        if !operator.is_empty() {
            all.extend(["--token-file", file.to_str().unwrap()]);
        }
        all.extend(args);
        run_cli(&all)
    }

    /// A batch of the window over the card rail, approved while the provider loses the answers of both
    /// charges: the small one is made, the large one is not. From then on it answers nothing.
    fn lose_both(&self, operator: &str) -> Lost {
        for (place, payer) in self.world.payers.iter().enumerate() {
            let account = format!("card:customer=cus_{place},payment_method=pm_{place}");
            self.register(operator, payer.party, &account);
        }
        for (place, payee) in self.world.payees.iter().enumerate() {
            self.register(operator, *payee, &format!("card:payout=acct_{place}"));
        }
        let asset = World::CLEARED.to_string();
        let create = ["batch", "create", "--window", "1", "--asset", &asset, "--rail", "card"];
        let made = done(&self.cli(operator, &create));
        let batch = made[0]["batch_id"].as_str().unwrap().to_owned();
        let legs = done(&self.cli(operator, &["leg", "list", &batch]));
        let (mut keys, mut faults) = (BTreeMap::new(), Vec::new());
        let to_clearing = "00".repeat(32);
        for leg in legs.iter().filter(|leg| leg["to"] == *to_clearing) {
            let amount = leg["amount"].as_str().unwrap().to_owned();
            faults.push(if amount == SMALL { Fault::DropAfter } else { Fault::DropBefore });
            keys.insert(amount, leg["key"].as_str().unwrap().to_owned());
        }
        self.psp.fail_next(&faults);
        let per_mille = [(Fault::Unavailable, 1_000)].into();
        self.psp.set_faults(FaultOptions { per_mille, ..FaultOptions::default() });
        done(&self.cli(operator, &["batch", "approve", &batch]));
        let lost = Lost { batch, small: keys[SMALL].clone(), large: keys[LARGE].clone() };
        until("both charges are unknown", || {
            let report = self.report(operator, &lost);
            (report["pay_ins"][0]["state"] == "unknown" && report["pay_ins"][0]["legs"] == 2)
                .then_some(())
        });
        lost
    }

    fn register(&self, operator: &str, party: PartyId, account: &str) {
        let id = hex(party);
        let add = ["party", "add", "--id", &id, "--name", "Somebody Ltd", "--account", account];
        done(&self.cli(operator, &add));
    }

    fn report(&self, operator: &str, lost: &Lost) -> Value {
        done(&self.cli(operator, &["batch", "report", &lost.batch])).remove(0)
    }

    fn resolve(&self, operator: &str, lost: &Lost, key: &str, word: &str, of: &str) -> Output {
        let evidence = format!("{operator} saw it on the provider's pages");
        let args = ["leg", "resolve", &lost.batch, key, "--word", word, "--reference", of];
        self.cli(operator, &[&args[..], &["--evidence", &evidence]].concat())
    }

    fn owes(&self, operator: &str, party: PartyId) -> String {
        let asset = World::CLEARED.to_string();
        let show = ["limit", "show", "--party", &hex(party), "--asset", &asset];
        done(&self.cli(operator, &show))[0]["unsettled"].as_str().unwrap().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

/// A batch, and the keys of its charges whose answers were lost.
struct Lost {
    batch: String,
    small: String,
    large: String,
}

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
    let Lost { small, large, .. } = &lost;
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

    // Who says something else does not agree: his word stands instead, for another one to agree with.
    for (word, of) in [("rejected", ""), ("confirmed", "pi_other")] {
        let said = done(&house.resolve("bob", &lost, small, word, of));
        assert_eq!(said[0]["state"], "unknown");
        assert_eq!(proposals(&house.report("ann", &lost)), [["bob", word, of]]);
    }
    done(&house.resolve("ann", &lost, small, "confirmed", &of));

    // Killed between the first word and the second.
    house.engine.take().expect("it runs").kill9();
    house.engine = Some(house.launch.start());
    let report = house.report("bob", &lost);
    assert_eq!(proposals(&report), [["ann", "confirmed", &of]]);
    assert_eq!(
        (&report["unknown_under_an_hour"], &report["unknown_oldest_us"]),
        (&2.into(), &oldest)
    );

    done(&house.resolve("bob", &lost, large, "rejected", ""));
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
fn two_are_unknown_and_one_word_is_not_enough(house: &House, lost: &Lost) -> Value {
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
fn ends_with_what_was_rejected_owed_again(house: &House, lost: &Lost) {
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
