//! What happened to a party, told over HTTP by the real binary to real servers: signed, in order,
//! at least once, again on request; by whom it may be asked for; and never to what is inside.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tallystick_tests::receiver::{Answer, Hook, Receiver};
use tallystick_tests::tls::Certs;
use tallystick_tests::{Engine, Launch, add_euro, add_party, iban, run_cli, until};
use tempfile::TempDir;

const BUYER: &str = "b0b0b0b000000000000000000000000000000000000000000000000000000000";
const SELLER: &str = "5e115e1100000000000000000000000000000000000000000000000000000000";

/// For a try-out on this machine, tried again at once.
const OPEN: &str = "[webhooks]\nallow_private = true\nretries = [\"1ms\", \"1ms\", \"1ms\"]\n";

/// An engine, and whoever types.
struct House {
    launch: Launch,
    engine: Option<Engine>,
    dir: TempDir,
    /// The file of the token that commands go with.
    token: Option<PathBuf>,
}

impl House {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let launch = Launch::new(&dir.path().join("data")).config(config);
        let engine = Some(launch.start());
        Self { launch, engine, dir, token: None }
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it runs")
    }

    /// Runs a command with a token; its JSON, or what it says.
    fn by(&self, token: Option<&Path>, args: &[&str]) -> Result<Vec<Value>, String> {
        let token = token.map(|token| token.to_string_lossy().into_owned());
        let by = token.iter().flat_map(|token| ["--token-file", token]).collect::<Vec<_>>();
        let rest = ["--json", "--server", self.engine().address()];
        let output = run_cli(&[args, &rest, &by].concat());
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[track_caller]
    fn lines(&self, args: &[&str]) -> Vec<Value> {
        self.by(self.token.as_deref(), args).unwrap_or_else(|said| panic!("{args:?}: {said}"))
    }

    #[track_caller]
    fn one(&self, args: &[&str]) -> Value {
        let mut lines = self.lines(args);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        self.by(self.token.as_deref(), args).expect_err("it is refused")
    }

    /// A buyer that may spend, and a seller.
    fn registered(&self) {
        self.one(&add_euro("6", "bilateral"));
        for (place, id) in (1..).zip([BUYER, SELLER]) {
            let account = format!("iso20022:iban={}", iban(place));
            self.one(&add_party(id, &id[..4], &account));
        }
        let file = self.file("buyer");
        let made = self.one(&["voucher", "keygen", "--out", &file]);
        let key = made["signer"].as_str().unwrap();
        self.one(&["signer", "add", "--party", BUYER, "--key", key]);
        self.one(&["limit", "set", "--party", BUYER, "--asset", "978", "10000000"]);
    }

    fn pay(&self, total: &str) {
        let file = self.file("buyer");
        let to = ["voucher", "sign", "--key-file", &file, "--payee", SELLER, "--asset", "978"];
        let rest = ["--expires-at", "2030-01-01T00:00:00Z", "--cumulative", total, "--submit"];
        assert_eq!(self.one(&[&to[..], &rest].concat())["outcome"], "credited");
    }

    /// The buyer pays, and the window closes.
    fn window(&self, total: &str) -> String {
        self.pay(total);
        let closed = self.one(&["window", "close"]);
        closed["number"].to_string()
    }

    fn add(&self, party: &str, url: &str, more: &[&str]) -> (String, String) {
        let args = ["webhook", "add", "--party", party, "--url", url];
        let added = self.one(&[&args[..], more].concat());
        (added["webhook"].to_string(), added["secret"].as_str().unwrap().to_owned())
    }

    /// The one webhook that there is, once it is so.
    fn webhook(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.one(&["webhook", "list"])).filter(|found| is_so(found)))
    }

    fn again(&mut self, launch: &Launch) {
        self.engine = None;
        self.engine = Some(launch.start());
    }
}

fn kind(hook: &Hook) -> String {
    hook.json()["type"].as_str().unwrap().to_owned()
}

#[test]
fn a_seller_hears_what_it_was_paid_by_which_leg_and_that_it_came_back() {
    let (house, receiver) = (House::new(OPEN), Receiver::start());
    house.registered();
    let (webhook, secret) = house.add(SELLER, &receiver.url(), &[]);
    let window = house.window("2500000");
    let closed = receiver.next();
    assert!(closed.is_signed_by(&secret), "{closed:?}");
    let json = closed.json();
    assert_eq!((&json["type"], &json["data"]["party"]), (&json!("window.closed"), &json!(SELLER)));
    assert_eq!(json["data"]["window"].to_string(), window);
    let asset = &json["data"]["assets"][0];
    let figures = ["asset", "code", "scale", "received", "sent", "net", "payers"];
    assert_eq!(
        figures.map(|name| asset[name].clone()),
        [
            json!(978),
            json!("EUR"),
            json!(6),
            json!("2500000"),
            json!("0"),
            json!("2500000"),
            json!(1)
        ]
    );
    let root = house.one(&["window", "show", &window])["root"].clone();
    assert_eq!(json["data"]["root"], root);

    let batch = ["batch", "create", "--window", &window, "--asset", "978", "--rail", "iso20022"];
    let batch = house.one(&batch)["batch_id"].as_str().unwrap().to_owned();
    house.one(&["batch", "approve", &batch]);
    until("the leg to leave", || {
        (house.lines(&["leg", "list", &batch])[0]["state"] == "sent").then_some(())
    });
    let key = house.lines(&["leg", "list", &batch])[0]["key"].clone();
    let report = ["leg", "report", &batch, "--key", key.as_str().unwrap()];
    house.one(&[&report[..], &["--word", "confirmed", "--reference", "R1"]].concat());
    let confirmed = receiver.next();
    let json = confirmed.json();
    assert_eq!(json["type"], "leg.confirmed");
    let figures = ["batch", "key", "amount", "direction", "counterparty", "reference"];
    assert_eq!(
        figures.map(|name| json["data"][name].clone()),
        [json!(batch), key.clone(), json!("2500000"), json!("in"), json!(BUYER), json!("R1")]
    );
    house.one(&[&report[..], &["--word", "returned", "--reason", "closed account"]].concat());
    let returned = receiver.next();
    assert_eq!(kind(&returned), "leg.returned");
    assert_eq!(returned.json()["data"]["reason"], "closed account");

    // All of it again: the same ids, the same bodies.
    let first = house.one(&["webhook", "replay", &webhook, "--from", "1"]);
    assert_eq!(first["webhook"].to_string(), webhook);
    let told = [closed, confirmed, returned];
    for before in &told {
        let again = receiver.next();
        assert_eq!((&again.id, &again.body), (&before.id, &before.body));
        assert!(again.is_signed_by(&secret));
    }
    house.webhook("everything is told", |of| {
        of["next_lsn"].as_u64().unwrap() > told[2].json()["data"]["lsn"].as_u64().unwrap()
    });
    assert_eq!(receiver.rest(), []);
    audited(house, &secret, &receiver.url());
}

/// An audit passes, and neither secret nor address is anywhere in plain text.
fn audited(mut house: House, secret: &str, url: &str) {
    let history = house.lines(&["history"]);
    let kinds: Vec<&Value> = history.iter().map(|row| &row["kind"]).collect();
    assert!(kinds.contains(&&json!("webhook_added")), "{kinds:?}");
    let engine = house.engine.take().expect("it runs");
    let logged = engine.stderr();
    engine.terminate();
    let data = house.dir.path().join("data");
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap(), "--json"]);
    assert!(audit.status.success(), "{audit:?}");
    let plain = [secret.to_owned(), secret.replace("whsec_", ""), url.to_owned()];
    let texts = [logged, format!("{history:?}")];
    assert!(plain.iter().all(|plain| texts.iter().all(|text| !text.contains(plain))));
    for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap) {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let holds = |plain: &String| bytes.windows(plain.len()).any(|w| w == plain.as_bytes());
        assert!(!plain.iter().any(holds), "{}", entry.path().display());
    }
}

#[test]
fn what_fails_comes_again_in_order_until_the_webhook_is_paused_and_goes_on_when_asked() {
    let (house, receiver) = (House::new(OPEN), Receiver::start());
    house.registered();
    let (webhook, _) = house.add(SELLER, &receiver.url(), &["--type", "window.closed"]);
    receiver.bid(&[Answer::Status(500), Answer::Status(302), Answer::Status(200)]);
    house.window("100");
    let (first, second, third) = (receiver.next(), receiver.next(), receiver.next());
    assert!([&second, &third].iter().all(|of| (&of.id, &of.body) == (&first.id, &first.body)));
    // Nothing overtakes what was not delivered.
    receiver.bid(&[Answer::Status(500); 4]);
    house.window("200");
    house.window("300");
    let stuck: Vec<Hook> = (0..4).map(|_| receiver.next()).collect();
    assert!(stuck.iter().all(|of| of.id == stuck[0].id && of.id != first.id));
    let paused = house.webhook("it is paused", |of| of["state"] == "paused");
    assert_eq!((&paused["failures"], &paused["reason"]), (&json!(4), &json!("answered 500")));
    let status = house.one(&["status"]);
    let figures = ["webhooks", "webhooks_failing", "webhooks_paused"];
    assert_eq!(figures.map(|name| status[name].clone()), [json!(1), json!(0), json!(1)]);
    assert!(house.engine().stderr().contains("webhook replay"), "the log says what to do");
    // Whoever looks what is to be done is told, and whoever looks at the machine.
    let todo = house.lines(&["todo"]);
    let todo: Vec<&str> = todo.iter().map(|row| row["do"].as_str().unwrap()).collect();
    let wanted = format!(
        "is paused: answered 500. Once its receiver works: `tallystick webhook replay {webhook}`."
    );
    assert!(todo.iter().any(|line| line.ends_with(&wanted)), "{todo:?}");
    let data = house.file("data");
    let doctor = || {
        let said = run_cli(&["doctor", "--data-dir", &data]);
        String::from_utf8(said.stdout).unwrap()
    };
    let line = format!(
        "WARNING: webhooks: 1 paused, and nothing is told there: {webhook} (answered 500)."
    );
    until("the doctor sees it", || doctor().contains(&line).then_some(()));
    house.one(&["webhook", "replay", &webhook]);
    let windows = [receiver.next(), receiver.next()].map(|of| of.json()["data"]["window"].clone());
    until("the doctor is content", || {
        doctor().contains("OK: webhooks: none is paused").then_some(())
    });
    assert_eq!(windows, [json!(2), json!(3)]);
    // Who is gone is left alone.
    receiver.bid(&[Answer::Status(410)]);
    house.window("400");
    let _ = receiver.next();
    house.webhook("it is paused", |of| of["state"] == "paused" && of["failures"] == 1);
    // A test goes by itself, also to one that is paused.
    let test = house.one(&["webhook", "test", &webhook]);
    assert_eq!((&test["delivered"], &test["outcome"]), (&json!(true), &json!("answered 204")));
    assert_eq!(kind(&receiver.next()), "webhook.test");
    house.one(&["webhook", "remove", &webhook]);
    assert_eq!(house.lines(&["webhook", "list"]), Vec::<Value>::new());
}

#[test]
fn what_was_delivered_when_the_engine_was_killed_comes_again_under_the_same_id() {
    let (mut house, receiver) = (House::new(OPEN), Receiver::start());
    house.registered();
    let (_, secret) = house.add(SELLER, &receiver.url(), &[]);
    let launch = house.launch.clone();
    house.engine.take().expect("it runs").terminate();
    house.again(&launch.clone().fault("TALLYSTICK_FAULT", "webhook-sent:2"));
    house.window("100");
    let first = receiver.next();
    house.pay("200");
    // The answer to this may be lost: the engine dies as soon as the second one was sent.
    drop(house.by(None, &["window", "close"]));
    let second = receiver.next();
    let exit = house.engine.take().expect("it ran").ended();
    assert!(!exit.status.success());
    house.again(&launch);
    let again = receiver.next();
    // The first one may come again, too: its position was just being written.
    let again = if again.id == first.id { receiver.next() } else { again };
    assert_eq!((&again.id, &again.body), (&second.id, &second.body));
    assert!(again.is_signed_by(&secret));
    house.window("300");
    assert_eq!(receiver.next().json()["data"]["window"], 3);
}

#[test]
fn a_receiver_that_hangs_holds_up_neither_the_engine_nor_others_nor_the_stop() {
    let hang = "[webhooks]\nallow_private = true\ntimeout = \"60s\"\n";
    let (house, dead, good) = (House::new(hang), Receiver::start(), Receiver::start());
    house.registered();
    house.add(BUYER, &dead.url(), &[]);
    house.add(BUYER, &dead.url(), &[]);
    house.add(SELLER, &good.url(), &[]);
    dead.bid(&[Answer::Hang; 9]);
    house.window("100");
    assert_eq!([dead.next(), dead.next()].map(|of| kind(&of)), ["window.closed"; 2]);
    for n in 1..5 {
        assert_eq!(good.next().json()["data"]["window"], n);
        house.window(&(100 + n * 100).to_string());
    }
    house.engine.expect("it runs").terminate();
}

#[test]
fn nothing_is_sent_to_what_is_inside() {
    let (house, receiver) = (House::new(""), Receiver::start());
    house.registered();
    let inside = "not public";
    for (url, said) in [
        (receiver.url().as_str(), "https://"),
        ("https://127.0.0.1/", inside),
        ("https://localhost/", inside),
        ("https://[::1]/", inside),
        ("https://[::ffff:127.0.0.1]/", inside),
        ("https://169.254.169.254/latest/meta-data", inside),
        ("https://10.0.0.1/", inside),
        ("https://ann:secret@shop.example/", "before the host"),
        ("ftp://shop.example/", "url is not one"),
    ] {
        let refused = house.refused(&["webhook", "add", "--party", SELLER, "--url", url]);
        assert!(refused.contains(said), "{url}: {refused}");
    }
    // What a name leads to is looked at when it is sent to, however it is written.
    for (n, url) in ["https://localhost.:9/", "https://2130706433:9/", "https://0x7f.1:9/"]
        .into_iter()
        .enumerate()
    {
        let (webhook, _) = house.add(SELLER, url, &[]);
        let refused = house.refused(&["webhook", "test", &webhook]);
        assert!(refused.contains("the test was not delivered"), "{n} {refused}");
        assert!(refused.contains(inside) || refused.contains("name is not known"), "{refused}");
    }
    assert_eq!(receiver.rest(), []);
}

/// A receiver inside has a certificate of an authority that nobody outside knows.
#[test]
fn over_tls_it_goes_to_who_shows_a_certificate_of_an_authority_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let certs = |name: &str| Certs::make(&folder.path().join(name), &[]);
    let (ours, others) = (certs("ours"), certs("others"));
    let ca_file = format!("ca_file = {:?}\n", ours.path("ca.pem"));
    let mut house = House::new(&[OPEN, &ca_file].concat());
    house.registered();
    let [good, other] = [&ours, &others].map(Receiver::under_tls);
    let (webhook, secret) = house.add(SELLER, &good.url(), &[]);
    house.window("100");
    let closed = good.next();
    assert!(closed.is_signed_by(&secret) && kind(&closed) == "window.closed", "{closed:?}");
    let (wrong, _) = house.add(SELLER, &other.url(), &[]);
    let said = house.refused(&["webhook", "test", &wrong]);
    assert!(said.contains("certificate does not hold"), "{said}");
    house.one(&["webhook", "remove", &wrong]);
    // Without the file nobody inside is trusted, and what is not told waits.
    let launch = Launch::new(&house.dir.path().join("data"));
    let patient = "[webhooks]\nallow_private = true\nretries = [\"1h\"]\n";
    house.again(&launch.clone().config(patient));
    house.window("200");
    house.webhook("it fails", |of| of["failures"] == 1);
    let failing = house.one(&["webhook", "list"]);
    assert!(failing["reason"].as_str().unwrap().contains("certificate does not hold"));
    assert_eq!((good.rest(), other.rest()), (vec![], vec![]));
    house.again(&launch.clone().config(&[patient, &ca_file].concat()));
    house.one(&["webhook", "replay", &webhook]);
    // At least once: an engine that ended may tell once more what it had told.
    let window = |told: &Hook| told.json()["data"]["window"].clone();
    let told = std::iter::repeat_with(|| good.next()).find(|told| window(told) != 1).unwrap();
    assert_eq!(window(&told), 2);
    // A file that names nobody is said at the start.
    house.engine = None;
    let none = [OPEN, "ca_file = \"/dev/null\"\n"].concat();
    let said = launch.config(&none).refusal();
    assert!(said.contains("[webhooks] ca_file: /dev/null: it holds no certificate"), "{said}");
}

#[test]
fn an_owner_looks_after_its_own_and_who_is_revoked_hears_nothing_more() {
    let (mut house, receiver) = (House::new(OPEN), Receiver::start());
    house.registered();
    let keys = ["ann", "seller", "buyer-owner"].map(|name| house.dir.path().join(name));
    let [ann, seller, buyer] = &keys;
    let add = |house: &House, name: &str, role: &str, rest: &[&str]| {
        let file = house.file(name);
        let args = ["access", "add", "--name", name, "--role", role, "--out", &file];
        house.one(&[&args[..], rest].concat())
    };
    add(&house, "ann", "operator", &[]);
    house.token = Some(ann.clone());
    add(&house, "seller", "party", &["--party", SELLER]);
    add(&house, "buyer-owner", "party", &["--party", BUYER]);
    let url = receiver.url();
    let own = ["webhook", "add", "--party", SELLER, "--url", &url];
    let said = house.by(Some(buyer), &own).expect_err("another's party");
    assert!(said.contains("scope"), "{said}");
    let added = house.by(Some(seller), &own).expect("its own")[0].clone();
    let (webhook, secret) = (added["webhook"].to_string(), added["secret"].as_str().unwrap());
    assert_eq!(added["added_by"], "seller");
    for call in ["remove", "rotate", "replay", "test"] {
        let said = house.by(Some(buyer), &["webhook", call, &webhook]).expect_err(call);
        assert!(said.contains("scope"), "{call}: {said}");
    }
    assert!(house.by(Some(buyer), &["webhook", "list"]).is_err(), "of all parties");
    let listed = house.by(Some(seller), &["webhook", "list", "--party", SELLER]).unwrap();
    assert!(listed.len() == 1 && !listed[0].to_string().contains("whsec_"), "{listed:?}");
    house.window("100");
    assert!(receiver.next().is_signed_by(secret));
    // And may ask for all of it: by whom, in which window.
    let by_party = ["party", "statement", SELLER, "--by-party"];
    let asked = house.by(Some(seller), &by_party).expect("its own")[0].clone();
    let figures = ["window", "party_id", "received"].map(|name| asked["by_party"][0][name].clone());
    assert_eq!(figures, [json!(1), json!(BUYER), json!("100")]);
    assert!(house.by(Some(buyer), &by_party).expect_err("another's").contains("scope"));
    // Another secret: for a while both count.
    let rotated = house.by(Some(seller), &["webhook", "rotate", &webhook]).unwrap();
    let newer = rotated[0]["secret"].as_str().unwrap();
    house.window("200");
    let both = receiver.next();
    assert!(both.is_signed_by(secret) && both.is_signed_by(newer), "{both:?}");
    house.one(&["access", "revoke", "seller"]);
    house.webhook("it is stopped", |of| of["state"] == "stopped");
    house.window("300");
    // An operator takes it on: what was not told is told, and the old secrets count no more.
    let last = house.one(&["webhook", "rotate", &webhook, "--at-once"]);
    let told = receiver.next();
    assert_eq!(told.json()["data"]["window"], 3);
    assert!(told.is_signed_by(last["secret"].as_str().unwrap()));
    assert!(!told.is_signed_by(newer) && !told.is_signed_by(secret));
}

#[test]
fn an_owner_hears_when_a_budget_is_nearly_used_up() {
    let (house, receiver) = (House::new(OPEN), Receiver::start());
    house.registered();
    let signer = house.lines(&["signer", "list", "--party", BUYER])[0]["signer"].clone();
    let key = signer.as_str().unwrap();
    house.one(&["signer", "budget", "set", key, "--budget", "978=1000/total"]);
    let (_, secret) = house.add(BUYER, &receiver.url(), &["--type", "budget.reached"]);
    house.pay("799");
    house.pay("800");
    let reached = receiver.next();
    assert!(reached.is_signed_by(&secret));
    let json = reached.json();
    let figures = ["signer", "period", "amount", "used"].map(|name| json["data"][name].clone());
    assert_eq!(figures, [signer, json!("total"), json!("1000"), json!("800")]);
}
