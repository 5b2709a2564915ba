//! Four eyes on the command line: what one proposes and another confirms, over restarts, in the
//! history, and for the audit; and how the first two come.

use serde_json::Value;
use std::path::Path;
use tallystick_tests::{Engine, Launch, add_euro, add_party, ends_with, run_cli};

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
    by_ann.one(&add_euro("2", "bilateral"));
    let party = by_ann.one(&add_party(PARTY, "Seller", IBAN));
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

/// What nobody can confirm any more is said to be so, and why, where people look for what to do.
#[tokio::test]
async fn a_proposal_that_nothing_can_come_of_is_shown_as_void() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ((ann, a), (bob, b)) = (token(dir.path(), "ann"), token(dir.path(), "bob"));
    let (_, c) = token(dir.path(), "cleo");
    let config = format!("four_eyes = true\n[operators]\n{a}{b}");
    let launch = Launch::new(&data).config(&config);
    let engine = launch.clone().start();
    let (by_ann, by_bob) = (Person::at(&engine, &ann), Person::at(&engine, &bob));
    by_ann.one(&add_euro("2", "bilateral"));
    by_ann.one(&add_party(PARTY, "Seller", IBAN));
    let limit = |limit| ["limit", "set", "--party", PARTY, "--asset", "978", limit];
    let overtaken = by_ann.proposes(&limit("500000"));
    by_bob.one(&limit("0"));
    let account = by_ann.proposes(&["party", "update", PARTY, "--account", OTHER]);
    let both = by_bob.does(&["proposal", "list"]);
    assert_eq!(
        (&both[0]["state"], &both[1]["state"]),
        (&"void".into(), &"open".into()),
        "{both:?}"
    );
    assert!(both[0]["why"].as_str().unwrap().contains("has changed since"), "{both:?}");
    assert_eq!(both[1].get("why"), None);
    let todo = by_bob.does(&["todo"]);
    let says = todo[0]["do"].as_str().unwrap();
    assert!(says.starts_with("Withdraw what ann proposed (limit_set)"), "{says}");
    ends_with(&by_bob.run(&["proposal", "confirm", &overtaken]), 1, "has changed since");
    // A party that somebody suspended is another than the one that was looked at.
    by_bob.one(&["party", "suspend", PARTY]);
    let shown = by_bob.one(&["proposal", "show", &account[..12]]);
    assert_eq!(shown["state"], "void", "{shown}");
    ends_with(&by_bob.run(&["proposal", "confirm", &account]), 1, "has changed since");
    engine.stop().await;
    // Of who proposed what, and is gone, nothing is confirmed either.
    let config = format!("four_eyes = true\n[operators]\n{b}{c}");
    let engine = Launch::new(&data).config(&config).start();
    let all = Person::at(&engine, &bob).does(&["proposal", "list"]);
    assert!(
        all.iter().all(|one| one["why"].as_str().unwrap().contains("counts no more")),
        "{all:?}"
    );
    engine.stop().await;
    audited(&data);
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
    by_ann.one(&add_euro("2", "bilateral"));
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
    // Ann has made that key: until eve has another, it counts for nothing.
    let by_ann_proposed =
        by_ann.proposes(&["limit", "set", "--party", PARTY, "--asset", "978", "7"]);
    ends_with(
        &by_eve.run(&["proposal", "confirm", &by_ann_proposed]),
        1,
        "the key of eve was made by ann",
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

const BUYER: &str = "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2";

/// Ann and bob of the configuration, and what ann has made besides, with keys that she knows, and
/// bob has confirmed: dora and emil, who operate, and the owner of a party's agents.
struct HandedOut {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl HandedOut {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ((_, a), (_, b)) = (token(dir.path(), "ann"), token(dir.path(), "bob"));
        let config = format!("four_eyes = true\n[operators]\n{a}{b}");
        let engine = Launch::new(&dir.path().join("data")).config(&config);
        let house = Self { engine: engine.start(), dir };
        let (ann, bob) = (house.person("ann"), house.person("bob"));
        ann.one(&add_euro("6", "bilateral"));
        ann.one(&add_party(BUYER, "Buyer", OTHER));
        ann.one(&add_party(PARTY, "Seller", IBAN));
        ann.proposes(&["limit", "set", "--party", BUYER, "--asset", "978", "9000000"]);
        for who in ["dora", "emil"] {
            let key = house.file(who);
            ann.proposes(&["access", "add", "--name", who, "--role", "operator", "--out", &key]);
        }
        let key = house.file("agents");
        let agents = ["access", "add", "--name", "agents", "--role", "party", "--party", BUYER];
        ann.proposes(&[&agents[..], &["--out", &key]].concat());
        house.confirm_all(&bob);
        house
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(format!("{name}.token")).display().to_string()
    }

    fn person(&self, name: &str) -> Person {
        Person::at(&self.engine, Path::new(&self.file(name)))
    }

    /// Somebody makes a key of their own.
    fn takes_over(&self, name: &str) -> Person {
        let own = format!("{name}-own");
        self.person(name).one(&["access", "rotate", name, "--out", &self.file(&own)]);
        self.person(&own)
    }

    fn open(&self) -> Vec<String> {
        let all = self.person("bob").does(&["proposal", "list"]);
        all.iter().map(|one| one["proposal"].as_str().unwrap().to_owned()).collect()
    }

    fn confirm_all(&self, by: &Person) {
        let open = self.open();
        let ids = open.iter().map(String::as_str);
        by.does(&["proposal", "confirm"].into_iter().chain(ids).collect::<Vec<_>>());
    }

    /// A key that signs vouchers: its file, and its public half.
    fn signer(&self, name: &str) -> (String, String) {
        let file = self.dir.path().join(name).display().to_string();
        let out = run_cli(&["voucher", "keygen", "--out", &file, "--json"]);
        let made: Value = serde_json::from_slice(&out.stdout).expect("a line of JSON");
        (file, made["signer"].as_str().unwrap().to_owned())
    }

    async fn ends(self) {
        self.engine.stop().await;
        audited(&self.dir.path().join("data"));
    }
}

/// The break-in: before dora has her key, ann does as dora what she will confirm as herself when
/// dora has rotated it. The classic fraud, and everything like it.
#[tokio::test]
async fn whoever_has_made_a_key_waits_in_vain_for_its_owner_to_take_it_over() {
    let house = HandedOut::start();
    let [ann, bob, dora] = ["ann", "bob", "dora"].map(|name| house.person(name));
    let by_bob = bob.proposes(&["limit", "set", "--party", PARTY, "--asset", "978", "7"]);
    let own_key = house.file("own-key");
    assert!(run_cli(&["operator", "key", "new", "--out", &own_key]).status.success());
    let attempts: [&[&str]; 7] = [
        &["party", "update", PARTY, "--account", OTHER],
        &["limit", "set", "--party", BUYER, "--asset", "978", "200000000"],
        &["deposit", "record", "--party", BUYER, "--asset", "978", "7", "--reference", "x"],
        &["access", "add", "--name", "yves", "--role", "approver"],
        &["proposal", "confirm", &by_bob],
        &["proposal", "withdraw", &by_bob, "--reason", "x"],
        &["operator", "key", "set", "dora", "--sign-with", &own_key],
    ];
    for args in attempts {
        ends_with(&dora.run(args), 1, "the key of dora was made by ann");
    }
    let says = dora.run(attempts[0]);
    ends_with(&says, 1, "tallystick access rotate dora");
    // What protects goes at once, whoever made the key.
    dora.one(&["limit", "set", "--party", BUYER, "--asset", "978", "0"]);
    assert_eq!(house.open(), std::slice::from_ref(&by_bob), "nothing was prepared");
    // Dora takes her key over, and counts.
    let dora = house.takes_over("dora");
    dora.one(&["proposal", "confirm", &by_bob]);
    let account = dora.proposes(&["party", "update", PARTY, "--account", OTHER]);
    // Ann makes her another key, with bob: what she proposed before does not count, nor does she.
    let key = house.file("by-ann");
    let rotation = ann.proposes(&["access", "rotate", "dora", "--out", &key]);
    bob.one(&["proposal", "confirm", &rotation]);
    ends_with(&ann.run(&["proposal", "confirm", &account]), 1, "has had another key since");
    ends_with(
        &house.person("by-ann").run(&["party", "update", PARTY, "--account", OTHER]),
        1,
        "the key of dora was made by ann",
    );
    house.ends().await;
}

/// The same with a key of the owner of a party: ann adds a signer as them, and pays herself.
#[tokio::test]
async fn whoever_has_made_an_owners_key_adds_no_signer_with_it() {
    let house = HandedOut::start();
    let agents = house.person("agents");
    let (_, evil) = house.signer("evil.key");
    let add = ["signer", "add", "--party", BUYER, "--key", &evil];
    ends_with(&agents.run(&add), 1, "the key of agents was made by ann");
    let takes_two = house.person("ann").proposes(&add);
    house.person("bob").one(&["proposal", "withdraw", &takes_two, "--reason", "whose is it?"]);
    let agents = house.takes_over("agents");
    let (_, own) = house.signer("own.key");
    agents.one(&["signer", "add", "--party", BUYER, "--key", &own]);
    house.ends().await;
}

/// The same with a batch: ann makes it as emil, and approves it as herself.
#[tokio::test]
async fn whoever_has_made_a_key_makes_no_batch_with_it() {
    let house = HandedOut::start();
    let [ann, bob, emil] = ["ann", "bob", "emil"].map(|name| house.person(name));
    let (file, signer) = house.signer("agent.key");
    ann.proposes(&["signer", "add", "--party", BUYER, "--key", &signer]);
    house.confirm_all(&bob);
    let pay = ["voucher", "sign", "--key-file", &file, "--payee", PARTY, "--asset", "978"];
    ann.does(&[&pay[..], &["--ttl", "10d", "--cumulative", "5000000", "--submit"]].concat());
    ends_with(&emil.run(&["window", "close"]), 1, "the key of emil was made by ann");
    let window = ann.one(&["window", "close"])["number"].to_string();
    let create = ["batch", "create", "--window", &window, "--asset", "978", "--rail", "iso20022"];
    ends_with(&emil.run(&create), 1, "the key of emil was made by ann");
    let batch = ann.one(&create)["batch_id"].as_str().unwrap().to_owned();
    ends_with(&emil.run(&["batch", "approve", &batch]), 1, "the key of emil was made by ann");
    let own = house.takes_over("emil");
    own.one(&["batch", "approve", &batch]);
    house.ends().await;
}

/// A limit of 0 in an emergency was undone by a proposal from before it.
#[tokio::test]
async fn what_was_proposed_before_an_emergency_does_not_undo_it() {
    let house = HandedOut::start();
    let [ann, bob] = ["ann", "bob"].map(|name| house.person(name));
    let older = ann.proposes(&["limit", "set", "--party", BUYER, "--asset", "978", "7000"]);
    bob.one(&["limit", "set", "--party", BUYER, "--asset", "978", "0"]);
    ends_with(&bob.run(&["proposal", "confirm", &older]), 1, "has changed since");
    let owes = bob.one(&["limit", "show", "--party", BUYER, "--asset", "978"]);
    assert_eq!(owes["credit_limit"], "0");
    house.ends().await;
}

/// A file whose proposals were withdrawn was said to be applied before.
#[tokio::test]
async fn an_import_whose_proposals_were_withdrawn_was_not_applied() {
    let house = HandedOut::start();
    let [ann, bob] = ["ann", "bob"].map(|name| house.person(name));
    let file = house.dir.path().join("limits.jsonl");
    let line = |limit: u32| {
        format!("{{\"limit\":{{\"party\":\"{BUYER}\",\"asset\":978,\"limit\":\"{limit}\"}}}}\n")
    };
    std::fs::write(&file, line(7) + &line(8)).unwrap();
    let import = ["import", file.to_str().unwrap()];
    let counts = |of: &Value| {
        ["applied", "applied_before", "proposed", "failed"].map(|n| of[n].as_u64().unwrap())
    };
    assert_eq!(counts(&ann.one(&import)), [2, 0, 2, 0]);
    assert_eq!(counts(&ann.one(&import)), [2, 0, 2, 0], "they wait still");
    let open = house.open();
    bob.one(&["proposal", "confirm", &open[0]]);
    bob.one(&["proposal", "withdraw", &open[1], "--reason", "look again"]);
    let out = ann.run(&import);
    let answer: Value = serde_json::from_slice(&out.stdout).expect("a line of JSON");
    assert_eq!((out.status.code(), counts(&answer)), (Some(1), [0, 1, 0, 1]), "{answer}");
    let why = answer["failures"][0]["reason"].as_str().unwrap();
    assert!(
        why.contains("withdrawn or has expired") && answer["failures"][0]["line"] == 2,
        "{why}"
    );
    let again = ann.one(&["import", "--again", file.to_str().unwrap()]);
    assert_eq!(counts(&again), [2, 0, 2, 0]);
    house.ends().await;
}

/// A key of which the engine was never told is a file that only leads astray.
#[tokio::test]
async fn the_file_of_a_key_that_was_refused_goes() {
    let house = HandedOut::start();
    let [ann, emil] = ["ann", "emil"].map(|name| house.person(name));
    let out = house.file("refused");
    let add = |name, role| vec!["access", "add", "--name", name, "--role", role, "--out", &out];
    ends_with(&ann.run(&add("dora", "facilitator")), 1, "exists, or existed");
    assert!(!Path::new(&out).exists());
    ends_with(&emil.run(&add("eve", "approver")), 1, "the key of emil was made by ann");
    assert!(!Path::new(&out).exists());
    ends_with(&ann.run(&["access", "rotate", "nobody", "--out", &out]), 1, "does not exist");
    assert!(!Path::new(&out).exists());
    // One that was there before is not this command's to take away.
    let emils = house.file("emil");
    let key = std::fs::read_to_string(&emils).unwrap();
    ends_with(&ann.run(&["access", "rotate", "emil", "--out", &emils]), 1, "exist");
    assert_eq!(std::fs::read_to_string(&emils).unwrap(), key);
    ann.one(&["access", "add", "--name", "fac", "--role", "facilitator", "--out", &out]);
    assert!(Path::new(&out).exists());
    let list = run_cli(&["--server", &ann.server, "--token-file", &ann.token, "access", "list"]);
    let header = String::from_utf8(list.stdout).unwrap();
    assert!(header.lines().next().unwrap().contains("rate"), "{header}");
    house.ends().await;
}
