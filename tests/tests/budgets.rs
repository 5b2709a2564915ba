//! What an agent may spend in an hour, a day, and at all, by the real binary: over stops and kills,
//! with a clock that stands where the test puts it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tallystick_tests::wire::SetBudgetsRequest;
use tallystick_tests::{
    Client, Engine, Launch, Outcome, Signer, Voucher, World, refused, request_id, run_cli, until,
};
use tonic::Code;

const HOUR: i64 = 3_600 * 1_000_000;
const DAY: i64 = 24 * HOUR;

/// When this day began, in UTC.
fn begin_of_day() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_micros()).expect("before the year 294,000");
    now / DAY * DAY
}

/// An engine whose clock stands, and who there is.
struct House {
    data: PathBuf,
    engine: Engine,
    client: Client,
    world: World,
}

impl House {
    async fn new(dir: &Path, clock: i64) -> Self {
        let data = dir.join("data");
        let engine = launch(&data, clock).start();
        let mut client = Client::connect(&engine).await;
        let mut world = World::register(&mut client, 2, 2).await;
        world.expires_at = (begin_of_day() + DAY + HOUR) / 1_000_000;
        Self { data, engine, client, world }
    }

    /// The same after a stop or a kill, at another time.
    async fn again(self, kill: bool, clock: i64) -> Self {
        let Self { data, engine, client, world } = self;
        drop(client);
        if kill {
            engine.kill9();
        } else {
            engine.stop().await;
        }
        let engine = launch(&data, clock).start();
        let client = Client::connect(&engine).await;
        Self { data, engine, client, world }
    }

    fn cli(&self, args: &[&str]) -> Result<Vec<Value>, String> {
        let server = self.engine.address();
        let output = run_cli(&[args, &["--json", "--server", server]].concat());
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).expect("text"));
        }
        let text = String::from_utf8(output.stdout).expect("text");
        Ok(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    /// The key of a payer, in hexadecimal.
    fn key(&self, payer: usize) -> String {
        self.world.payers[payer].key().to_string()
    }

    /// Replaces the budgets of a payer's key; gives each with what is used of it.
    fn set(&self, payer: usize, budgets: &[&str]) -> Vec<Value> {
        let key = self.key(payer);
        let budgets = budgets.iter().flat_map(|budget| ["--budget", *budget]);
        let args: Vec<&str> =
            ["signer", "budget", "set", &key].into_iter().chain(budgets).collect();
        rows(&self.cli(&args).expect("they are set"))
    }

    fn list(&self, payer: usize) -> Vec<Value> {
        rows(&self.cli(&["signer", "budget", "list", &self.key(payer)]).expect("they are listed"))
    }

    async fn pay(&mut self, payee: usize, lane: u64, total: u64) -> Outcome {
        let voucher: Voucher = self.world.voucher(0, payee, lane, total);
        let outcomes = self.client.pay(&[voucher]).await;
        outcomes[0]
    }

    /// What owners were warned of, in the order of the records.
    fn warned(&self) -> Vec<String> {
        let rows = self.cli(&["history", "--kind", "budgets_warned"]).expect("a history");
        let about = |row: &Value| {
            assert_eq!((&row["caller"], &row["role"]), (&json!(""), &json!("engine")));
            row["about"].as_str().expect("text").to_owned()
        };
        let texts = rows.iter().map(about).collect::<Vec<String>>().join(", ");
        texts.split(", ").filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }
}

fn launch(data: &Path, clock: i64) -> Launch {
    Launch::new(data).fault("TALLYSTICK_FAULT_CLOCK", &clock.to_string())
}

fn rows(answer: &[Value]) -> Vec<Value> {
    answer[0]["budgets"].as_array().expect("budgets").clone()
}

/// Of each budget: its period, how much, how much of it is used, whether its owner was warned.
fn standing(rows: &[Value]) -> Vec<Value> {
    let one = |row: &Value| json!([row["period"], row["amount"], row["used"], row["warned"]]);
    rows.iter().map(one).collect()
}

#[tokio::test]
async fn what_is_over_a_budget_is_refused_until_the_next_hour_or_day_over_any_restart() {
    let (dir, day) = (tempfile::tempdir().unwrap(), begin_of_day());
    // The last microsecond of an hour.
    let mut house = House::new(dir.path(), day + 11 * HOUR - 1).await;
    let payee = house.world.payees[1].to_string();
    let total = format!("1=30/total@{payee}");
    house.set(0, &["1=100/hour", "1=150/day", &total]);
    assert_eq!(house.pay(0, 1, 70).await, Outcome::Credited);
    assert_eq!(house.pay(0, 1, 101).await, Outcome::OverHourBudget, "refused whole");
    assert_eq!(house.pay(1, 1, 31).await, Outcome::OverTotalBudget);
    assert_eq!(house.pay(1, 1, 30).await, Outcome::Credited);
    assert_eq!(house.pay(0, 2, 1).await, Outcome::OverHourBudget);
    for kill in [false, true] {
        house = house.again(kill, day + 11 * HOUR - 1).await;
        assert_eq!(house.pay(0, 1, 71).await, Outcome::OverHourBudget, "killed: {kill}");
        assert_eq!(house.pay(1, 2, 1).await, Outcome::OverTotalBudget, "killed: {kill}");
        let used: Vec<Value> = house.list(0).iter().map(|row| row["used"].clone()).collect();
        assert_eq!(used, [json!("30"), json!("100"), json!("100")]);
    }
    // The next microsecond is in the next hour: the same voucher is credited.
    house = house.again(true, day + 11 * HOUR).await;
    assert_eq!(house.pay(0, 1, 101).await, Outcome::Credited);
    assert_eq!(house.pay(0, 1, 121).await, Outcome::OverDayBudget);
    // Lowered below what is used, nothing more; raised, as much more as that.
    house.set(0, &["1=100/hour", "1=120/day", &total]);
    assert_eq!(house.pay(0, 1, 102).await, Outcome::OverDayBudget);
    let rows = house.set(0, &["1=100/hour", "1=201/day", &total]);
    let (period, used, since) = (&rows[2]["period"], &rows[2]["used"], &rows[2]["since_us"]);
    assert_eq!((period, used), (&json!("hour"), &json!("31")));
    assert_eq!(since, &json!(day + 11 * HOUR));
    assert_eq!(house.pay(0, 1, 170).await, Outcome::Credited);
    assert_eq!(house.pay(0, 1, 171).await, Outcome::OverHourBudget);
    // The next day. What never begins anew does not.
    house = house.again(false, day + DAY).await;
    assert_eq!(house.pay(1, 1, 31).await, Outcome::OverTotalBudget);
    assert_eq!(house.pay(0, 1, 270).await, Outcome::Credited);
    let key = house.key(0);
    assert_eq!(house.cli(&["signer", "budget", "set", &key, "--none"]).unwrap().len(), 1);
    assert_eq!(house.pay(1, 1, 31).await, Outcome::Credited);
    // What the directory says fits together.
    let data = house.data.clone();
    drop(house.client);
    house.engine.stop().await;
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap(), "--json"]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stderr));
}

#[tokio::test]
async fn an_owner_is_warned_once_a_period_when_eighty_percent_are_used() {
    let (dir, day) = (tempfile::tempdir().unwrap(), begin_of_day());
    let mut house = House::new(dir.path(), day + 11 * HOUR).await;
    house.set(0, &["1=100/hour", "1=1000/day"]);
    assert_eq!(house.pay(0, 1, 79).await, Outcome::Credited);
    assert_eq!(house.pay(0, 1, 80).await, Outcome::Credited);
    let until_warned = |house: &House, wanted: &[&str]| {
        until("a warning", || (house.warned().len() >= wanted.len()).then_some(()));
        assert_eq!(house.warned(), wanted);
    };
    until_warned(&house, &["used 80 of budget 100 of 1/hour"]);
    assert_eq!(
        standing(&house.list(0)),
        [json!(["day", "1000", "80", false]), json!(["hour", "100", "80", true]),]
    );
    // More of the same hour, and a start, warn of nothing new. What comes after would be behind it.
    assert_eq!(house.pay(0, 1, 100).await, Outcome::Credited);
    house = house.again(true, day + 11 * HOUR).await;
    house.set(1, &["1=10/month"]);
    let other = house.world.voucher(1, 0, 1, 9);
    assert_eq!(house.client.pay(&[other]).await, [Outcome::Credited]);
    let (first, second) = ("used 80 of budget 100 of 1/hour", "used 9 of budget 10 of 1/month");
    until_warned(&house, &[first, second]);
    // In the next hour there is a next warning.
    house = house.again(false, day + 12 * HOUR).await;
    assert_eq!(house.pay(0, 1, 185).await, Outcome::Credited);
    until_warned(&house, &[first, second, "used 85 of budget 100 of 1/hour"]);
    let log = house.engine.stderr();
    assert!(log.contains("80 % of a signer's budget are used"), "{log}");
    assert!(!log.contains("used=80 "), "the first life's warning is not said again: {log}");
    // The history of the party has them, too.
    let party = house.world.payers[1].party.to_string();
    let rows = house.cli(&["history", "--party", &party, "--kind", "budgets_warned"]).unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn budgets_that_make_no_sense_are_refused_in_plain_words_and_change_nothing() {
    let (dir, day) = (tempfile::tempdir().unwrap(), begin_of_day());
    let mut house = House::new(dir.path(), day + 11 * HOUR).await;
    let key = house.key(0);
    let (own, nobody) = (house.world.payers[0].party.to_string(), "ab".repeat(32));
    house.set(0, &["1=100/hour"]);
    let (to_own, to_nobody) = (format!("1=5/day@{own}"), format!("1=5/day@{nobody}"));
    for (budgets, words) in [
        (vec!["99=5/day"], "asset 99"),
        (vec!["1=5/day", "1=6/day"], "one budget for the same"),
        (vec![to_own.as_str()], "nobody pays themselves"),
        (vec![to_nobody.as_str()], "is not registered"),
        (vec!["1=5/week"], "hour, day, month or total"),
        (vec![], "--none"),
    ] {
        let budgets = budgets.iter().flat_map(|budget| ["--budget", *budget]);
        let args: Vec<&str> =
            ["signer", "budget", "set", &key].into_iter().chain(budgets).collect();
        let refusal = house.cli(&args).expect_err("it is refused");
        assert!(refusal.contains(words), "{refusal}");
    }
    let many: Vec<String> = (0..17).map(|n| format!("{n}=5/day")).collect();
    let many = many.iter().flat_map(|budget| ["--budget", budget.as_str()]);
    let args: Vec<&str> = ["signer", "budget", "set", &key].into_iter().chain(many).collect();
    assert!(house.cli(&args).expect_err("too many").contains("16 budgets at most"));
    assert_eq!(standing(&house.list(0)), [json!(["hour", "100", "0", false])]);
    // The same request again changes nothing; with other content it is refused.
    let set = SetBudgetsRequest {
        request_id: request_id("budgets"),
        signer: house.world.payers[0].key().0.to_vec().into(),
        budgets: Vec::new(),
    };
    house.client.operator.set_budgets(set.clone()).await.unwrap();
    house.set(0, &["1=7/hour"]);
    house.client.operator.set_budgets(set.clone()).await.unwrap();
    assert_eq!(standing(&house.list(0)), [json!(["hour", "7", "0", false])]);
    let other = SetBudgetsRequest { signer: vec![1; 32].into(), ..set };
    let answer = house.client.operator.set_budgets(other).await;
    refused(answer, Code::AlreadyExists, "was used before");
}

#[tokio::test]
async fn a_key_is_added_with_its_budgets() {
    let (dir, day) = (tempfile::tempdir().unwrap(), begin_of_day());
    let mut house = House::new(dir.path(), day + 11 * HOUR).await;
    let party = house.world.payers[0].party;
    let agent = Signer::new("agent", party);
    let (key, party) = (agent.key().to_string(), party.to_string());
    let add = ["signer", "add", "--party", &party, "--key", &key, "--request-id", "agent-1"];
    let add = [&add[..], &["--budget", "1=5/hour", "--budget", "1=9/total"]].concat();
    for _ in 0..2 {
        assert_eq!(house.cli(&add).unwrap()[0]["signer"], json!(key));
    }
    let plain = house.world.unsigned(house.world.payees[0], World::PAIRS, 1, 6);
    let voucher = agent.sign(house.world.network, plain);
    assert_eq!(house.client.pay(&[voucher]).await, [Outcome::OverHourBudget]);
    let found = rows(&house.cli(&["signer", "budget", "list", &key[..8]]).unwrap());
    assert_eq!(
        standing(&found),
        [json!(["total", "9", "0", false]), json!(["hour", "5", "0", false]),]
    );
    assert_eq!(house.cli(&["signer", "revoke", &key]).unwrap()[0]["revoked"], json!(true));
    let refusal = house.cli(&["signer", "budget", "set", &key, "--none"]).expect_err("refused");
    assert!(refusal.contains("was revoked"), "{refusal}");
}
