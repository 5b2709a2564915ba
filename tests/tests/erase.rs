//! Names and accounts: they lie in no file of the engine's in plain text, and when a party is
//! erased nobody can read them any more, while everything that was owed and paid stays provable.

use std::fs;
use std::path::{Path, PathBuf};
use tallystick_tests::Outcome::Credited;
use tallystick_tests::bank::{approve, report};
use tallystick_tests::house::{House, done, hex};
use tallystick_tests::psp::DisputeEnd;
use tallystick_tests::wire::{
    Batch, ErasePartyRequest, GetPartyRequest, LegWord, ListHistoryRequest, Party,
    UpsertPartyRequest, Window,
};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, PartyId, World, iban, refused, request_id, run_cli, until,
    until_batch,
};
use tokio_stream::StreamExt as _;
use tonic::Code::{FailedPrecondition, Unavailable, Unknown};
use tonic::Status;

/// What is registered of a party, nowhere else to be found.
struct Secrets {
    name: String,
    accounts: Vec<(&'static str, &'static str, String)>,
}

impl Secrets {
    /// Distinctive ones, on each rail.
    fn new(place: u64) -> Self {
        let accounts = vec![
            ("card", "payout", format!("acct_Unmistakable{place}")),
            ("evm", "address", format!("0x{place:0>40x}").replace("000", "abc")),
            ("iso20022", "iban", iban(777_000 + place)),
            ("nacha", "account", format!("90210{place:07}")),
            ("nacha", "routing", "021000021".to_owned()),
        ];
        Self { name: format!("Zylinderkopf {place} & Töchter"), accounts }
    }

    fn request(&self, party: PartyId) -> UpsertPartyRequest {
        let mut message = Party {
            party_id: party.0.to_vec().into(),
            name: self.name.clone(),
            ..Party::default()
        };
        for (rail, field, value) in &self.accounts {
            let account = message.accounts.entry((*rail).to_owned());
            let account = account.or_default();
            account.fields.insert((*field).to_owned(), value.clone());
        }
        let (request_id, party) = (request_id("party"), Some(message));
        UpsertPartyRequest { request_id, party, reopen: false, keep: None }
    }

    /// What must be found nowhere, in whatever way it is written: all but the bank, which has many
    /// customers.
    fn texts(&self) -> Vec<Vec<u8>> {
        let of = |text: &str| text.to_lowercase().into_bytes();
        let values = self.accounts.iter().filter(|(_, field, _)| *field != "routing");
        let mut texts: Vec<Vec<u8>> = values.map(|(_, _, value)| of(value)).collect();
        texts.push(of(&self.name));
        // An address as a transaction has it.
        let address = self.accounts[1].2.trim_start_matches("0x").to_lowercase();
        texts.push(data_encoding::HEXLOWER.decode(address.as_bytes()).unwrap());
        texts
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The files below a folder that hold one of these, in capital or small letters.
fn holding(folder: &Path, texts: &[Vec<u8>]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        // What goes away meanwhile holds nothing.
        let bytes = fs::read(path).unwrap_or_default();
        let small: Vec<u8> = bytes.iter().map(u8::to_ascii_lowercase).collect();
        let within = |text: &Vec<u8>| {
            [&bytes, &small].iter().any(|all| all.windows(text.len()).any(|some| some == text))
        };
        texts.iter().any(within)
    };
    files(folder).into_iter().filter(holds).collect()
}

async fn erase(client: &mut Client, party: PartyId) -> Result<Party, Status> {
    let (request_id, party_id) = (request_id("erase"), party.0.to_vec().into());
    let request = ErasePartyRequest { request_id, party_id, deposits: String::new() };
    Ok(client.operator.erase_party(request).await?.into_inner())
}

async fn get(client: &mut Client, party: PartyId) -> Party {
    let request = GetPartyRequest { party_id: party.0.to_vec().into() };
    client.operator.get_party(request).await.unwrap().into_inner()
}

async fn suspend(client: &mut Client, party: PartyId) {
    let mut message = get(client, party).await;
    message.suspended = true;
    let (request_id, party) = (request_id("suspend"), Some(message));
    let request = UpsertPartyRequest { request_id, party, reopen: false, keep: None };
    client.operator.upsert_party(request).await.unwrap();
}

/// What the history says of a party's registrations.
async fn told_of(client: &mut Client, party: PartyId) -> Vec<String> {
    let (party_id, kinds) = (party.0.to_vec().into(), vec!["party_upserted".to_owned()]);
    let request = ListHistoryRequest { party_id, kinds, ..ListHistoryRequest::default() };
    let rows = client.operator.list_history(request).await.unwrap().into_inner();
    rows.map(|row| row.unwrap().about).collect().await
}

/// A launch whose files for the bank lie outside the data directory.
fn launch(dir: &Path) -> Launch {
    let folder = |name: &str| dir.join("bank").join(name);
    Launch::new(&dir.join("data")).config(&format!(
        "[rail.iso20022]\noutbox = {:?}\npay_ins = {:?}\ninbox = {:?}\n",
        folder("out"),
        folder("pay-ins"),
        folder("in")
    ))
}

/// An engine with a payer and two payees, of whom the first two have secrets on every rail; they
/// have a batch of the first window, whose file is with the bank.
struct Scene {
    d: Deployment,
    launch: Launch,
    batch: Batch,
    secrets: [Secrets; 2],
    parties: [PartyId; 2],
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let launch = launch(dir.path());
        let engine = launch.start();
        let mut client = Client::connect(&engine).await;
        let world = World::register(&mut client, 2, 2).await;
        let parties = [world.payers[0].party, world.payees[0]];
        let secrets = [1, 2].map(Secrets::new);
        for (party, secrets) in parties.iter().zip(&secrets) {
            client.operator.upsert_party(secrets.request(*party)).await.unwrap();
        }
        let mut d = Deployment { client, world, engine, dir };
        let pay = [d.world.voucher(0, 0, 0, 5_000_000), d.world.voucher(0, 1, 0, 7_000_000)];
        assert_eq!(d.client.pay(&pay).await, [Credited, Credited]);
        assert_eq!(d.client.close_window().await.number, 1);
        let batch = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
        approve(&mut d.client, &batch).await;
        Self { d, launch, batch, secrets, parties }
    }

    fn texts(&self) -> Vec<Vec<u8>> {
        self.secrets.iter().flat_map(Secrets::texts).collect()
    }

    /// The bank says that all was paid.
    async fn paid(&mut self) {
        let legs = self.d.client.legs(&self.batch).await;
        let said = report(&self.batch, &legs, LegWord::Confirmed);
        self.d.client.operator.report_legs(said).await.unwrap();
        until_batch(&mut self.d.client, &self.batch, |batch| batch.ended_at_us > 0).await;
    }

    /// Both are suspended, what they were owed is settled, and nothing needs them any more.
    async fn part(&mut self) {
        self.paid().await;
        for party in self.parties {
            suspend(&mut self.d.client, party).await;
        }
        self.d.client.close_window().await;
    }

    /// Everything of an audit: that an export agrees. Gives the export.
    fn audited(&self, name: &str) -> Vec<u8> {
        let path = self.d.dir.path().join(name);
        let path = path.to_str().unwrap();
        let server = self.d.engine.address();
        let windows = ["1", "2"];
        let export = [&["--server", server, "evidence", "export"], &windows[..]].concat();
        let export = run_cli(&[&export[..], &["--out", path]].concat());
        assert!(export.status.success(), "{export:?}");
        let audit = run_cli(&["audit", path]);
        assert!(audit.status.success(), "{audit:?}");
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        bytes
    }

    async fn roots(&mut self) -> (Vec<Window>, Vec<Batch>) {
        (self.d.client.windows().await, self.d.client.batches().await)
    }
}

#[tokio::test]
async fn no_name_and_no_account_lies_in_the_directory_in_plain_text() {
    let mut scene = Scene::new().await;
    scene.paid().await;
    let (data, texts) = (scene.d.data(), scene.texts());
    // The search finds what is there: the bank has it all.
    assert!(!holding(&scene.d.dir.path().join("bank"), &texts).is_empty());
    assert_eq!(holding(&data, &texts), Vec::<PathBuf>::new());
    let log = scene.d.engine.stderr();
    assert!(!log.contains("Zylinderkopf"), "{log}");
    for (party, secrets) in scene.parties.into_iter().zip(&scene.secrets) {
        let shown = get(&mut scene.d.client, party).await;
        assert_eq!((&shown.name, shown.accounts.len()), (&secrets.name, 4));
        let told = told_of(&mut scene.d.client, party).await;
        assert!(told[1].contains(&secrets.accounts[2].2), "{told:?}");
    }
    let Scene { d, .. } = scene;
    d.engine.stop().await;
    assert_eq!(holding(&data, &texts), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn erasing_waits_for_what_is_owed_and_says_what_to_do() {
    let mut scene = Scene::new().await;
    let party = scene.parties[1];
    let why = async |scene: &mut Scene, part: &str| {
        refused(erase(&mut scene.d.client, party).await, FailedPrecondition, part);
    };
    why(&mut scene, "suspend it first").await;
    suspend(&mut scene.d.client, party).await;
    why(&mut scene, "window 1 is BATCHED; close, batch and settle every window up to 2").await;
    scene.paid().await;
    why(&mut scene, "window 2 is OPEN").await;
    // What is owed to others later keeps nobody, settled or not.
    let pay = [scene.d.world.voucher(0, 1, 0, 9_000_000)];
    assert_eq!(scene.d.client.pay(&pay).await, [Credited]);
    scene.d.client.close_window().await;
    let erased = erase(&mut scene.d.client, party).await.unwrap();
    assert_eq!((erased.name.as_str(), erased.accounts.len()), ("[erased]", 0));
    assert!(erased.erased && erased.suspended);
}

#[tokio::test]
async fn what_is_erased_is_in_no_file_and_no_new_export_and_every_root_stays() {
    let mut scene = Scene::new().await;
    scene.part().await;
    let (before, export) = (scene.roots().await, scene.audited("before.tallyexp"));
    for party in scene.parties {
        erase(&mut scene.d.client, party).await.unwrap();
        // Twice is the same.
        assert!(erase(&mut scene.d.client, party).await.unwrap().erased);
    }
    assert_eq!(scene.roots().await, before);
    let after = scene.audited("after.tallyexp");
    assert!(after.len() > export.len(), "what was done stands in it");
    fs::write(scene.d.data().join("after.tallyexp"), &after).unwrap();
    let (data, texts) = (scene.d.data(), scene.texts());
    assert_eq!(holding(&data, &texts), Vec::<PathBuf>::new());
    fs::remove_file(data.join("after.tallyexp")).unwrap();
    // Files of a batch say that they are gone.
    let files = scene.d.client.export(&scene.batch).await;
    let shown: String =
        files.values().map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect();
    assert!(shown.contains("[erased]") && !shown.contains("Zylinderkopf"), "{shown}");
    let Scene { d, launch, parties, .. } = scene;
    let Deployment { client, engine, dir, .. } = d;
    drop(client);
    engine.stop().await;
    assert_eq!(holding(&data, &texts), Vec::<PathBuf>::new());
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    for party in parties {
        let shown = get(&mut client, party).await;
        assert_eq!((shown.name.as_str(), shown.erased), ("[erased]", true));
        let told = told_of(&mut client, party).await;
        assert!(told.iter().all(|text| text.starts_with("\"[erased]\"")), "{told:?}");
    }
    assert_eq!((client.windows().await, client.batches().await), before);
    drop(dir);
}

#[tokio::test]
async fn an_erased_party_is_closed_until_it_is_registered_anew() {
    let mut scene = Scene::new().await;
    scene.part().await;
    let (party, secrets) = (scene.parties[1], Secrets::new(3));
    erase(&mut scene.d.client, party).await.unwrap();
    let again = secrets.request(party);
    let closed = scene.d.client.operator.upsert_party(again.clone()).await;
    refused(closed, FailedPrecondition, "--reopen");
    let reopened = UpsertPartyRequest { reopen: true, ..again };
    let shown = scene.d.client.operator.upsert_party(reopened.clone()).await.unwrap().into_inner();
    assert_eq!((&shown.name, shown.erased), (&secrets.name, false));
    let retried = scene.d.client.operator.upsert_party(reopened).await.unwrap().into_inner();
    assert_eq!(retried, shown);
    // What was erased stays so.
    let told = told_of(&mut scene.d.client, party).await;
    let readable: Vec<bool> = told.iter().map(|text| text.contains(&secrets.name)).collect();
    assert_eq!(readable.iter().filter(|readable| **readable).count(), 1, "{told:?}");
    assert!(readable.ends_with(&[true]));
    let mut texts = scene.texts();
    texts.extend(secrets.texts());
    assert_eq!(holding(&scene.d.data(), &texts), Vec::<PathBuf>::new());
    scene.audited("reopened.tallyexp");
}

#[tokio::test]
async fn what_a_crash_leaves_of_erasing_is_finished_at_the_next_start() {
    for (point, at) in [("append-24-after", 1), ("erase-journaled", 1), ("erase-destroyed", 1)] {
        let mut scene = Scene::new().await;
        scene.part().await;
        let (party, data, texts) = (scene.parties[1], scene.d.data(), scene.texts());
        let Scene { d, launch, .. } = scene;
        let Deployment { client, engine, dir, .. } = d;
        drop(client);
        engine.stop().await;
        let engine = launch.clone().fault("TALLYSTICK_FAULT", &format!("{point}:{at}")).start();
        let mut client = Client::connect(&engine).await;
        let lost = erase(&mut client, party).await.unwrap_err();
        assert!([Unavailable, Unknown].contains(&lost.code()), "{lost:?}");
        drop(client);
        let ended = engine.ended();
        assert!(!ended.status.success(), "it was killed at {point}");
        let engine = launch.start();
        let mut client = Client::connect(&engine).await;
        assert!(get(&mut client, party).await.erased, "{point}");
        // It is in the key that they were sealed under, so that is gone.
        let told = told_of(&mut client, party).await;
        assert!(told.iter().all(|text| text.starts_with("\"[erased]\"")), "{point}: {told:?}");
        assert_eq!(holding(&data, &texts), Vec::<PathBuf>::new());
        drop(dir);
    }
}

#[tokio::test]
async fn a_root_key_that_is_missing_or_anothers_is_refused_with_what_to_do() {
    let mut d = Deployment::new(1, 1).await;
    let (party, data) = (d.world.payers[0].party, d.data());
    let name = get(&mut d.client, party).await.name;
    let Deployment { client, engine, dir, .. } = d;
    drop(client);
    engine.stop().await;
    let (own, moved) = (data.join("tallystick.root"), dir.path().join("root.key"));
    fs::rename(&own, &moved).unwrap();
    let missing = Launch::new(&data).refusal();
    assert!(missing.contains("root key file") && missing.contains("root_key_file"), "{missing}");
    assert!(!own.exists(), "no other is made in its place");
    fs::write(&own, format!("{}\n", "ab".repeat(32))).unwrap();
    let other = Launch::new(&data).refusal();
    assert!(other.contains("another ledger"), "{other}");
    fs::remove_file(&own).unwrap();
    let engine = Engine::start(&data, &["--root-key-file", moved.to_str().unwrap()]);
    let mut client = Client::connect(&engine).await;
    assert_eq!(get(&mut client, party).await.name, name);
}

/// Calls name a customer, a payment method or an account at the provider; whoever was erased may
/// still dispute a charge.
#[test]
fn the_calls_of_a_provider_are_sealed_and_a_dispute_is_heard_after_its_party_was_erased() {
    let house = House::new(&[]);
    house.register_all("", "pm_0");
    let charges = house.computed("");
    house.approve("", &charges);
    for key in [&charges.small, &charges.large] {
        house.until("", &charges, key, "confirmed");
    }
    let legs = |state: &str| {
        let all = done(&house.cli("", &["leg", "list", &charges.batch]));
        all.iter().filter(|leg| leg["state"] == *state).count()
    };
    until("all is paid", || (legs("confirmed") == 4).then_some(()));
    let texts =
        ["cus_0", "cus_1", "pm_0", "acct_0", "Somebody Ltd"].map(|text| text.to_lowercase());
    let texts = texts.map(String::into_bytes);
    assert_eq!(holding(&house.data(), &texts), Vec::<PathBuf>::new());
    let payer = hex(house.world.payers[0].party);
    let _ = done(&house.cli("", &["party", "suspend", &payer]));
    let _ = done(&house.cli("", &["window", "close"]));
    let unsure = house.cli("", &["party", "erase", &payer]);
    assert!(!unsure.status.success() && unsure.stdout.is_empty(), "{unsure:?}");
    assert!(String::from_utf8_lossy(&unsure.stderr).contains("--yes"), "{unsure:?}");
    let erased = done(&house.cli("", &["party", "erase", &payer, "--yes"]));
    assert_eq!((&erased[0]["name"], &erased[0]["erased"]), (&"[erased]".into(), &true.into()));
    house.hear_webhooks();
    let own = house.world.payers[0].party;
    let all = done(&house.cli("", &["leg", "list", &charges.batch]));
    let leg = all.iter().find(|leg| leg["from"] == *hex(own)).unwrap();
    let (key, payment) = (leg["key"].as_str().unwrap(), leg["rail_reference"].as_str().unwrap());
    assert!(house.psp.dispute(payment, DisputeEnd::Lost, None));
    house.until("", &charges, key, "returned");
}
