//! What was owed in archived windows leaves the data directory, too, and so do events: nothing
//! needs them but who asks for them, and a late answer of a bank needs neither them nor archives.

use serde_json::Value;
use std::path::{Path, PathBuf};
use tallystick_tests::bank::{answer, approve, entry, own_account, report, statement, told, until};
use tallystick_tests::house as card;
use tallystick_tests::psp::DisputeEnd;
use tallystick_tests::receiver::Receiver;
use tallystick_tests::wire::{Batch, LegState, LegWord};
use tallystick_tests::{
    Client, Deployment, Launch, Outcome::Credited, World, get_batch, legs_at, refused, run_cli,
    until_batch,
};
use tonic::Code::FailedPrecondition;

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

fn cli(args: &[&str]) -> (bool, String) {
    let done = run_cli(args);
    let out = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&out).into_owned())
}

fn ok(args: &[&str]) -> String {
    let (success, out) = cli(args);
    assert!(success, "{args:?}: {out}");
    out
}

/// An engine that keeps one window, and makes a checkpoint behind almost every record.
struct House {
    d: Deployment,
    archives: PathBuf,
    closed: u64,
    paid: u64,
}

impl House {
    async fn new() -> Self {
        let d = Deployment::new(1, 1).await;
        let archives = d.dir.path().join("archives");
        let mut house = Self { d, archives, closed: 0, paid: 0 };
        house.live(house.launch()).await;
        house
    }

    fn launch(&self) -> Launch {
        let args = ["--archive-dir", text(&self.archives), "--keep-windows", "1"];
        Launch::new(&self.d.data()).args(&args).args(&["--checkpoint-bytes", "1KiB"])
    }

    /// Ends this life and begins that one.
    async fn live(&mut self, launch: Launch) {
        self.d.engine.signal(tallystick_tests::Signal::KILL);
        let engine = until("the directory is free", async || launch.try_start().ok()).await;
        self.d.client = Client::connect(&engine).await;
        self.d.engine = engine;
    }

    /// A window with one pair, closed and settled by one leg.
    async fn window(&mut self) -> Batch {
        self.paid += 2_000_000;
        let (data, total) = (self.d.data(), self.paid);
        let client = &mut self.d.client;
        assert_eq!(client.pay(&[self.d.world.voucher(0, 0, 0, total)]).await, [Credited]);
        self.closed = client.close_window().await.number;
        let batch = client.create_batch(&[self.closed], World::PAIRS).await.unwrap();
        approve(client, &batch).await;
        let key = client.legs(&batch).await[0].key.clone();
        let paid = entry("2.00", "DBIT", &format!("R-{}", self.closed), &key, false);
        let paid = statement(&own_account(), &[paid]);
        let name = format!("{}.xml", self.closed);
        assert_eq!(answer(&data, &name, &paid).await, ("done", String::new()));
        until_batch(client, &batch, |batch| batch.ended_at_us > 0).await
    }

    fn file(&self, window: u64) -> PathBuf {
        self.archives.join(format!("window-{window:010}.tallyexp"))
    }

    fn away(&self, window: u64) -> PathBuf {
        self.d.dir.path().join(format!("away-{window}"))
    }

    fn events(&self) -> PathBuf {
        self.archives.join("events-0000000001.tallyexp")
    }

    fn history(&self, more: &[&str]) -> (bool, String) {
        cli(&[&["--server", self.d.engine.address(), "--json", "history"], more].concat())
    }

    /// Ends the engine and audits what it leaves, with these arguments.
    async fn audited(&self, more: &[&str]) -> (bool, String) {
        self.d.engine.signal(tallystick_tests::Signal::KILL);
        let data = self.d.data();
        let args = [&["audit", "--data-dir", text(&data)], more].concat();
        let is_free = |of: &(bool, String)| !of.1.contains("in use by another engine");
        until("the directory is free", async || Some(cli(&args)).filter(is_free)).await
    }

    /// Closes windows in which nothing is owed until a second file of events is there: what is in
    /// the first has left for good. Gives the second.
    async fn until_events_left(&mut self) -> PathBuf {
        let (archives, first) = (self.archives.clone(), self.events());
        until("events leave", async || {
            self.d.client.close_window().await;
            let all = std::fs::read_dir(&archives).ok().into_iter().flatten();
            let mut all = all.map(|file| file.unwrap().path());
            let is_events = |path: &PathBuf| text(path).contains("/events-0");
            all.find(|path| is_events(path) && *path != first)
        })
        .await
    }

    fn take_away(&self, window: u64) {
        std::fs::rename(self.file(window), self.away(window)).unwrap();
    }

    fn bring_back(&self, window: u64) {
        std::fs::rename(self.away(window), self.file(window)).unwrap();
    }

    fn owed(&self, window: u64) -> (bool, String) {
        let (server, number) = (self.d.engine.address(), window.to_string());
        let asset = World::PAIRS.to_string();
        cli(&["--server", server, "window", "obligations", &number, "--asset", &asset])
    }

    /// Goes on until what was owed in a window is in its archive alone.
    async fn until_it_left(&mut self, window: u64) {
        for _ in 0..100 {
            // The windows that were loaded last are held in memory: these two, then.
            self.window().await;
            self.window().await;
            if !self.file(window).exists() {
                continue;
            }
            self.take_away(window);
            let (here, said) = self.owed(window);
            self.bring_back(window);
            if !here {
                let name = self.file(window);
                let name = name.file_name().unwrap().to_str().unwrap();
                assert!(said.contains(name) && said.contains("put"), "{said}");
                return;
            }
        }
        panic!("window {window} does not leave");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_owed_is_read_from_the_archive_and_asked_for_by_its_name() {
    let mut house = House::new().await;
    let batch = house.window().await;
    house.until_it_left(1).await;
    let (here, said) = house.owed(1);
    assert!(here && said.contains("2"), "{said}");
    let server = house.d.engine.address().to_owned();
    let payee = house.d.world.payees[0].to_string();
    let asked = ["--server", &server, "party", "statement", &payee, "--windows", "1"];
    let before = ok(&asked);
    let legs = house.d.client.legs(&batch).await;
    house.live(house.launch()).await;
    house.take_away(1);
    // Another window's archive is not taken for it.
    std::fs::copy(house.file(2), house.file(1)).unwrap();
    let server = house.d.engine.address().to_owned();
    let asked = ["--server", &server, "party", "statement", &payee, "--windows", "1"];
    let (shown, said) = cli(&asked);
    assert!(!shown && said.contains("is another one"), "{said}");
    std::fs::remove_file(house.file(1)).unwrap();
    let (shown, said) = cli(&asked);
    assert!(!shown && said.contains("window-0000000001.tallyexp"), "{said}");
    // What needs the batch's legs says the same, and changes nothing.
    let word = report(&batch, &legs, LegWord::Returned);
    refused(house.d.client.operator.report_legs(word).await, FailedPrecondition, "0000000001");
    assert_eq!(legs_at(&get_batch(&mut house.d.client, &batch).await, LegState::Confirmed), 1);
    house.bring_back(1);
    assert_eq!(ok(&asked), before);
    let word = report(&batch, &legs, LegWord::Returned);
    house.d.client.operator.report_legs(word).await.unwrap();
    let now = get_batch(&mut house.d.client, &batch).await;
    assert_eq!((legs_at(&now, LegState::Returned), &*now.owed_again), (1, "2000000"));
    house.d.engine.signal(tallystick_tests::Signal::KILL);
    let (data, archives) = (house.d.data(), &house.archives);
    let audit = ["audit", "--data-dir", text(&data), "--archives", text(archives)];
    let report = until("the directory is free", async || Some(cli(&audit)).filter(|of| of.0)).await;
    assert!(report.1.contains(&format!("windows             {}", house.closed)), "{}", report.1);
}

/// Whoever is to be told of a window that lies in an archive waits for the archive, and nobody else
/// does.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_waits_for_an_archive_holds_up_no_other() {
    let mut house = House::new().await;
    house.window().await;
    house.until_it_left(1).await;
    let open = "[webhooks]\nallow_private = true\n";
    house.live(house.launch().config(open)).await;
    house.take_away(1);
    let server = house.d.engine.address().to_owned();
    let add = |party: &str, receiver: &Receiver| {
        let asked = ["webhook", "add", "--party", party, "--url", &receiver.url()];
        let rest = ["--type", "window.closed", "--server", &server, "--json"];
        let added: Value = serde_json::from_str(&ok(&[&asked[..], &rest].concat())).unwrap();
        added["webhook"].to_string()
    };
    let (late, other) = (Receiver::start(), Receiver::start());
    let payee = house.d.world.payees[0].to_string();
    let waits = add(&payee, &late);
    add(&house.d.world.payers[0].party.to_string(), &other);
    let server = &["--server", &server, "--json"];
    let replay = || ok(&[&["webhook", "replay", &waits, "--from", "1"][..], server].concat());
    replay();
    let log = |house: &House| house.d.engine.stderr();
    let missing = "window-0000000001.tallyexp";
    until("it is looked for", async || log(&house).contains(missing).then_some(())).await;
    for _ in 0..3 {
        let closed = house.closed + 1;
        house.window().await;
        assert_eq!(other.next().json()["data"]["window"], closed);
    }
    assert_eq!(late.rest(), []);
    house.bring_back(1);
    replay();
    // Everything from the first window on, in its order.
    for window in 1..=house.closed {
        assert_eq!(late.next().json()["data"]["window"], window);
    }
}

/// The bank returns a payment whose window, and with it what the batch was computed from, has left;
/// the archive is not even there.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_return_is_booked_once_without_any_archive() {
    let mut house = House::new().await;
    let batch = house.window().await;
    let key = house.d.client.legs(&batch).await[0].key.clone();
    house.until_it_left(1).await;
    house.take_away(1);
    let back = statement(&own_account(), &[entry("2.00", "CRDT", "R-BACK", &key, true)]);
    for (name, kill) in [("late.xml", false), ("again.xml", true), ("third.xml", false)] {
        if kill {
            house.live(house.launch()).await;
        }
        let (tray, note) = answer(&house.d.data(), name, &back).await;
        assert_eq!((tray, &*note), ("done", ""), "{name}");
        let now = get_batch(&mut house.d.client, &batch).await;
        assert_eq!((legs_at(&now, LegState::Returned), &*now.owed_again), (1, "2000000"));
    }
    house.bring_back(1);
    assert!(!told(&mut house.d.client, &batch).await.contains("R-BACK"));
    // It is owed again in the window that was open, and once.
    let open = house.closed + 1;
    house.d.client.close_window().await;
    let owed = house.d.client.net_obligations(open, World::PAIRS).await;
    assert_eq!(owed.iter().map(|of| &*of.amount).collect::<Vec<_>>(), ["2000000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_either_side_of_forgetting_nothing_is_lost() {
    for point in ["window-leaves", "window-left"] {
        let mut house = House::new().await;
        house.window().await;
        let launch = house.launch().fault("TALLYSTICK_FAULT", &format!("{point}:1"));
        house.live(launch).await;
        house.pay_until_dead().await;
        house.live(house.launch()).await;
        house.closed = house.d.client.windows().await.len() as u64 - 1;
        house.until_it_left(1).await;
        let (here, said) = house.owed(1);
        assert!(here, "{point}: {said}");
        house.d.engine.signal(tallystick_tests::Signal::KILL);
        let (data, archives) = (house.d.data(), &house.archives);
        let audit = ["audit", "--data-dir", text(&data), "--archives", text(archives)];
        until("the audit passes", async || Some(()).filter(|()| cli(&audit).0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_left_are_read_from_their_archive_and_asked_for_by_its_name() {
    let mut house = House::new().await;
    house.window().await;
    let before = house.history(&[]);
    assert!(before.0 && before.1.contains("asset_created"), "{}", before.1);
    house.until_events_left().await;
    house.live(house.launch()).await;
    // All of it, in order, from both places.
    let all = house.history(&[]);
    assert!(all.0 && all.1.starts_with(&before.1), "{}", all.1);
    let lsn = |line: &str| serde_json::from_str::<Value>(line).unwrap()["lsn"].as_u64();
    assert!(all.1.lines().map(lsn).is_sorted_by(|a, b| a < b), "{}", all.1);
    let export = house.d.dir.path().join("all.tallyexp");
    let server = house.d.engine.address().to_owned();
    ok(&["--server", &server, "evidence", "export", "--out", text(&export)]);
    ok(&["audit", text(&export)]);
    // The first file begins with genesis: it is a history of its own.
    ok(&["audit", text(&house.events())]);
    // Taken away, and exchanged.
    let away = house.d.dir.path().join("away-events");
    std::fs::rename(house.events(), &away).unwrap();
    let (shown, said) = house.history(&[]);
    assert!(!shown && said.contains("put events-0000000001.tallyexp back"), "{said}");
    std::fs::copy(house.file(1), house.events()).unwrap();
    let (shown, said) = house.history(&[]);
    assert!(!shown && said.contains("is another one"), "{said}");
    // What happened since needs no file, and neither does money.
    assert!(house.history(&["--since", "2100-01-01T00:00:00Z"]).0);
    house.window().await;
    std::fs::rename(&away, house.events()).unwrap();
    let archives = house.archives.clone();
    let (agrees, said) = house.audited(&["--archives", text(&archives)]).await;
    assert!(agrees, "{said}");
    let (agrees, said) = house.audited(&[]).await;
    assert!(!agrees && said.contains("events-0000000001.tallyexp"), "{said}");
    assert!(said.contains("--archives"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_wherever_events_leave_each_is_in_one_place_at_least() {
    for point in ["events-written", "events-noted", "events-left"] {
        let mut house = House::new().await;
        house.window().await;
        let before = house.history(&[]);
        let launch = house.launch().fault("TALLYSTICK_FAULT", &format!("{point}:1"));
        house.live(launch).await;
        house.pay_until_dead().await;
        house.live(house.launch()).await;
        assert!(house.history(&[]).1.starts_with(&before.1), "{point}");
        let second = house.until_events_left().await;
        let (agrees, said) = cli(&["audit", text(&second)]);
        assert!(!agrees && said.contains("begins behind others"), "{said}");
        assert!(house.history(&[]).1.starts_with(&before.1), "{point}");
        let archives = house.archives.clone();
        let (agrees, said) = house.audited(&["--archives", text(&archives)]).await;
        assert!(agrees, "{point}: {said}");
    }
}

/// They are those that the party has, or, since it has another account, those of the events.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_a_batch_that_is_over_follow_from_its_parties_and_their_events() {
    let mut house = House::new().await;
    let batch = house.window().await;
    let id = data_encoding::HEXLOWER.encode(&batch.batch_id);
    let exported = |house: &House, name: &str| {
        let dir = house.d.dir.path().join(name);
        let server = house.d.engine.address();
        let (done, said) = cli(&["--server", server, "batch", "export", &id, "--dir", text(&dir)]);
        let file = dir.join(format!("{}.legs.csv", &id[..16]));
        (done, said, std::fs::read_to_string(file).unwrap_or_default())
    };
    let before = exported(&house, "before");
    assert!(before.0 && before.2.contains("DE"), "{before:?}");
    until("accounts leave", async || {
        house.d.client.close_window().await;
        house.d.engine.stderr().contains("accounts of batches have left").then_some(())
    })
    .await;
    house.live(house.launch()).await;
    assert_eq!(exported(&house, "after").2, before.2);
    let payee = house.d.world.payees[0].to_string();
    let account = "iso20022:iban=FR1420041010050500013M02606";
    let server = house.d.engine.address().to_owned();
    let party = ["--server", &server, "party", "add", "--id", &payee, "--name", "Moved"];
    ok(&[&party[..], &["--account", account]].concat());
    house.until_events_left().await;
    house.live(house.launch()).await;
    assert_eq!(exported(&house, "moved").2, before.2);
    house.live(house.launch()).await;
    std::fs::rename(house.events(), house.d.dir.path().join("away-events")).unwrap();
    let (done, said, _) = exported(&house, "away");
    assert!(!done && said.contains("events-0000000001.tallyexp"), "{said}");
}

/// A chargeback of long ago. Without the archive nothing is made of it, a person is told which file
/// it is, and the provider sends it again; with the archive it is booked, once.
#[test]
fn a_webhook_about_a_leg_that_left_waits_for_its_archive() {
    let mut house = card::House::new(&[]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("window-0000000001.tallyexp");
    let keeps = ["--archive-dir", text(dir.path()), "--keep-windows", "1"];
    house.launch = house.launch.clone().args(&keeps).args(&["--checkpoint-bytes", "1KiB"]);
    start(&mut house);
    house.register_all("", "pm_0");
    let charges = house.computed("");
    house.approve("", &charges);
    tallystick_tests::until("the batch has ended", || {
        (house.report("", &charges)["ended_at_us"] != 0).then_some(())
    });
    let payment = house.psp.payment(&charges.small).expect("it was made");
    let payment = payment["id"].as_str().expect("an id").to_owned();
    tallystick_tests::until("what was owed has left", || {
        let _ = card::done(&house.cli("", &["window", "close"]));
        let said = house.engine.as_ref().expect("it runs").stderr();
        said.contains("the window has left window=1\n").then_some(())
    });
    start(&mut house);
    let away = dir.path().join("away");
    std::fs::rename(&file, &away).unwrap();
    house.hear_webhooks();
    assert!(house.psp.dispute(&payment, DisputeEnd::Lost, None));
    tallystick_tests::until("a person is told", || {
        let all = house.troubles("");
        let own = all.iter().filter(|(_, _, text)| text.contains("window-0000000001.tallyexp"));
        own.into_iter().any(|(_, _, text)| text.contains(&charges.small)).then_some(())
    });
    assert!(house.psp.undelivered() > 0, "what was not weighed was confirmed");
    let asked = house.cli("", &["leg", "list", &charges.batch]);
    assert!(card::refusal(&asked).contains("window-0000000001.tallyexp"));
    std::fs::rename(&away, &file).unwrap();
    tallystick_tests::until("every webhook is taken", || {
        (house.psp.undelivered() == 0).then_some(())
    });
    assert_eq!(house.state("", &charges, &charges.small), "returned");
    let report = house.report("", &charges);
    assert_eq!(report["owed_again"], card::SMALL, "{report}");
}

fn start(house: &mut card::House) {
    if let Some(engine) = house.engine.take() {
        engine.kill9();
    }
    house.engine = Some(house.launch.start());
}

impl House {
    /// Closes windows in which nothing is owed until the engine dies.
    async fn pay_until_dead(&mut self) {
        let client = &mut self.d.client;
        until("the engine dies at the point", async || {
            let request_id = tallystick_tests::request_id("close");
            let close = tallystick_tests::wire::CloseWindowRequest { request_id };
            client.operator.close_window(close).await.err()
        })
        .await;
    }
}
