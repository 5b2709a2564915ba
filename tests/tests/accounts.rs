//! What is asked about money before and after it moves, through the real binary: a party's
//! statement, as it asks its operator for one; and the headroom of a key, as a facilitator asks
//! before it serves.

use serde_json::{Value, json};
use std::path::Path;
use tallystick_tests::wire::{GetHeadroomRequest, GetStatementRequest};
use tallystick_tests::{
    Cli, Client, Engine, Launch, Outcome, World, add_euro, add_party, iban, refused, run_cli,
};
use tonic::Code;

const BUYER: &str = "b0b0b0b000000000000000000000000000000000000000000000000000000000";
const SELLER: &str = "5e115e1100000000000000000000000000000000000000000000000000000000";
const OTHER: &str = "0711e50000000000000000000000000000000000000000000000000000000000";

/// A key of a party's that may spend: its file, and the key.
fn key(cli: &Cli<'_>, dir: &Path, party: &str) -> (String, String) {
    let file = dir.join(&party[..8]).to_string_lossy().into_owned();
    let made = cli.one(&["voucher", "keygen", "--out", &file]);
    let key = made["signer"].as_str().unwrap().to_owned();
    cli.one(&["signer", "add", "--party", party, "--key", &key]);
    cli.one(&["limit", "set", "--party", party, "--asset", "978", "10000000"]);
    (file, key)
}

fn pay(cli: &Cli<'_>, file: &str, to: &str, total: &str) -> String {
    let to = ["voucher", "sign", "--key-file", file, "--payee", to, "--asset", "978"];
    let rest =
        ["--expires-at", "2030-01-01T00:00:00Z", "--cumulative", total, "--submit", "--json"];
    let output = cli.run(&[&to[..], &rest].concat());
    let line: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    line["outcome"].as_str().unwrap().to_owned()
}

fn registered(cli: &Cli<'_>, model: &str) {
    cli.one(&add_euro("6", model));
    for (place, (id, name)) in
        (1..).zip([(BUYER, "Buyer GmbH"), (SELLER, "Seller Ltd"), (OTHER, "Other AG")])
    {
        let account = format!("iso20022:iban={}", iban(place));
        cli.one(&add_party(id, name, &account));
    }
}

/// Two windows, of which the first one's batch is paid and leaves a cent's rest to the second.
fn told(cli: &Cli<'_>, dir: &Path) -> String {
    registered(cli, "multilateral");
    let (buyer, _) = key(cli, dir, BUYER);
    let (seller, _) = key(cli, dir, SELLER);
    assert_eq!(pay(cli, &buyer, SELLER, "2500004"), "credited");
    assert_eq!(pay(cli, &seller, BUYER, "1000000"), "credited");
    cli.one(&["window", "close"]);
    let create = ["batch", "create", "--window", "1", "--asset", "978", "--rail", "iso20022"];
    let batch = cli.one(&create)["batch_id"].as_str().unwrap().to_owned();
    cli.one(&["batch", "approve", &batch]);
    let confirmed = ["leg", "report", &batch, "--word", "confirmed", "--reference", "=1+1"];
    cli.one(&[&confirmed[..], &["--pay-ins"]].concat());
    tallystick_tests::until("the pay-out to leave", || {
        let legs = cli.lines(&["leg", "list", &batch]);
        legs.iter().any(|leg| leg["state"] == "sent").then_some(())
    });
    cli.one(&[&confirmed[..], &["--pay-outs"]].concat());
    assert_eq!(pay(cli, &buyer, SELLER, "3500004"), "credited");
    assert_eq!(pay(cli, &buyer, OTHER, "7"), "credited");
    cli.one(&["window", "close"]);
    batch
}

#[test]
fn a_statement_adds_up_to_positions_that_can_be_proved_and_names_the_payments() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    cli.fails(&["party", "statement", SELLER], 1, "`tallystick window close` closes the first");
    let batch = told(&cli, dir.path());

    let seller = cli.one(&["party", "statement", "5e115e11"]);
    let windows = seller["windows"].as_array().unwrap();
    let figures = |line: &Value| {
        ["window", "sent", "received", "carried", "net", "state"].map(|name| line[name].clone())
    };
    assert_eq!(
        figures(&windows[0]),
        [
            json!(1),
            json!("1000000"),
            json!("2500004"),
            json!("0"),
            json!("1500004"),
            json!("settled")
        ]
    );
    let rest = windows[1]["carried"].as_str().unwrap();
    assert_eq!(windows[1]["received"], "1000000");
    assert_eq!((&windows[0]["batch_id"], &windows[1]["batch_id"]), (&json!(batch), &json!("")));

    // Each line is what a proof says.
    let proof = dir.path().join("proof").to_string_lossy().into_owned();
    for line in windows {
        let (window, root) = (line["window"].to_string(), line["root"].as_str().unwrap());
        let of =
            ["proof", "position", &window, "--asset", "978", "--party", SELLER, "--out", &proof];
        cli.one(&of);
        let checked = run_cli(&["proof", "check", &proof, "--json"]);
        let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(checked["net"], line["net"], "{line}");
        assert!(std::fs::read_to_string(&proof).unwrap().contains(root), "{root}");
    }

    // What was paid: 1.50 of 1.500004, and the rest is carried on both sides of the account.
    let payments = seller["payments"].as_array().unwrap();
    assert_eq!(payments.len(), 1);
    assert_eq!(
        (&payments[0]["gets"], &payments[0]["state"]),
        (&json!("1500000"), &json!("confirmed"))
    );
    assert_eq!(rest, "4", "what could not be paid is owed in the next window");
    let carried_on = json!([{"batch_id": batch, "asset": 978, "amount": "4"}]);
    assert_eq!(seller["carried_on"], carried_on);
    let totals = json!([{
        "asset": 978, "sent": "1000000", "received": "3500004", "has_paid": "0", "has_got": "1500000",
    }]);
    assert_eq!(seller["totals"], totals);

    other_forms(&cli);
}

/// Some windows, one asset; people; a spreadsheet; what there is not.
fn other_forms(cli: &Cli<'_>) {
    let second = cli.one(&["party", "statement", BUYER, "--windows", "2", "--asset", "978"]);
    assert_eq!(second["windows"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&second["windows"][0]["sent"], &second["payments"]),
        (&json!("1000007"), &json!([]))
    );
    let shown = cli.shown(&["party", "statement", "5e115e11"]);
    assert!(shown.contains("Seller Ltd") && shown.contains("2.500004 EUR"), "{shown}");
    let csv = cli.shown(&["party", "statement", "5e115e11", "--csv", "--windows", "1-"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 5, "{csv}");
    assert!(
        rows[4].starts_with("carried_on,") && rows[4].contains(",978,EUR,,,0.000004,"),
        "{csv}"
    );
    assert!(rows[1].contains(",978,EUR,1.000000,2.500004,0.000000,1.500004,"), "{csv}");
    assert!(
        rows[3].contains(",0.000000,1.500000,confirmed,") && rows[3].contains("'=1+1"),
        "{csv}"
    );
    let other = cli.said(&["party", "statement", OTHER, "--windows", "1"]);
    assert!(other.contains("neither sent nor received"), "{other}");
    cli.fails(&["party", "statement", BUYER, "--windows", "3"], 1, "window 3 is still open");
    cli.fails(&["party", "statement", BUYER, "--windows", "2-9"], 1, "windows are 1 to 3");
}

#[tokio::test]
async fn a_statement_of_many_windows_comes_in_pieces_that_fit_together() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    for total in 1..=110 {
        let voucher = world.voucher(0, 0, 1, total);
        assert_eq!(client.pay(&[voucher]).await, [Outcome::Credited]);
        client.close_window().await;
    }
    let mut asked = GetStatementRequest {
        party_id: world.payees[0].0.to_vec().into(),
        ..GetStatementRequest::default()
    };
    let mut pieces = Vec::new();
    loop {
        let answer = client.operator.get_statement(asked.clone()).await.unwrap().into_inner();
        pieces.push(answer.lines.len());
        assert!(answer.lines.iter().all(|line| line.received == "1" && line.net == "1"));
        let windows = answer.lines.iter().map(|line| line.window);
        let first = asked.first_window.max(1);
        assert!(windows.zip(first..).all(|(found, wanted)| found == wanted));
        asked.first_window = answer.next_window;
        if asked.first_window == 0 {
            break;
        }
    }
    assert_eq!(pieces, [100, 10]);
    let beyond = GetStatementRequest { first_window: 111, ..asked.clone() };
    refused(client.operator.get_statement(beyond).await, Code::FailedPrecondition, "still open");
    let nobody = GetStatementRequest { party_id: vec![9; 32].into(), ..asked };
    refused(client.operator.get_statement(nobody).await, Code::NotFound, "party");
}

#[test]
fn headroom_is_what_limit_cap_and_budgets_leave_and_what_is_said_beyond_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    registered(&cli, "bilateral");
    let (file, key) = key(&cli, dir.path(), BUYER);
    let room = |args: &[&str]| {
        let found = cli.one(&[&["signer", "headroom", &key, "--asset", "978"], args].concat());
        let text = |name: &str| found[name].as_str().unwrap().to_owned();
        (text("left"), text("beyond"))
    };
    let is = |left: &str, beyond: &str| (left.to_owned(), beyond.to_owned());
    assert_eq!(room(&[]), is("10000000", "over_limit"));
    assert_eq!(pay(&cli, &file, SELLER, "4000000"), "credited");
    assert_eq!(room(&[]), is("6000000", "over_limit"));
    let deposit = ["deposit", "record", "--party", BUYER, "--asset", "978", "500000"];
    cli.one(&[&deposit[..], &["--reference", "x"]].concat());
    assert_eq!(room(&[]), is("6500000", "over_limit"));
    let seller = format!("978=1000000/total@{SELLER}");
    cli.one(&["signer", "budget", "set", &key, "--budget", "978=5000000/day", "--budget", &seller]);
    assert_eq!(room(&[]), is("5000000", "over_day_budget"));
    assert_eq!(room(&["--payee", SELLER]), is("1000000", "over_total_budget"));
    assert_eq!(room(&["--payee", OTHER]), is("5000000", "over_day_budget"));
    // To the unit.
    assert_eq!(pay(&cli, &file, SELLER, "5000001"), "over_total_budget");
    assert_eq!(pay(&cli, &file, SELLER, "5000000"), "credited");
    assert_eq!(room(&["--payee", SELLER]), is("0", "over_total_budget"));
    assert_eq!(room(&["--payee", BUYER]), is("0", "self_payment"));
    let shown = cli.shown(&["signer", "headroom", &key[..12], "--asset", "978"]);
    assert!(shown.contains("4.000000 EUR"), "{shown}");
    cli.one(&["party", "suspend", SELLER]);
    assert_eq!(room(&["--payee", SELLER]), is("0", "suspended_party"));
    cli.one(&["signer", "revoke", &key]);
    assert_eq!(room(&[]), is("0", "revoked_signer"));
}

/// As a facilitator comes: without an operator's token.
#[tokio::test]
async fn whoever_may_send_vouchers_may_ask_for_headroom_of_many_keys_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let engine = Launch::new(&data).start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 20, 1).await;
    drop(client);
    engine.stop().await;
    // From now on operators need a token, and nobody here has one.
    let operators = format!("[operators]\nann = \"{}\"\n", "ab".repeat(32));
    let engine = Launch::new(&data).config(&operators).start();
    let mut client = Client::connect(&engine).await;
    let mut signers: Vec<_> = world.payers.iter().map(|payer| payer.key().0.to_vec()).collect();
    signers.insert(3, vec![7; 32]);
    let paid: Vec<_> = (0..20).map(|payer| world.voucher(payer, 0, 1, payer as u64 + 1)).collect();
    assert!(client.pay(&paid).await.iter().all(|outcome| *outcome == Outcome::Credited));
    let asked = GetHeadroomRequest {
        asset: World::PAIRS,
        signers: signers.iter().cloned().map(Into::into).collect(),
        payee: Vec::new().into(),
    };
    let found = client.vouchers.get_headroom(asked.clone()).await.unwrap().into_inner().headrooms;
    assert_eq!(found.len(), 21, "one for each, in their order");
    for (place, (found, signer)) in found.iter().zip(&signers).enumerate() {
        assert_eq!(found.signer, signer);
        let limit = u64::try_from(World::LIMIT).unwrap();
        let payer = if place < 3 { place } else { place - 1 } as u64;
        let (left, beyond) = match place {
            3 => (0, Outcome::UnknownSigner),
            _ => (limit - payer - 1, Outcome::OverLimit),
        };
        assert_eq!((found.left, found.beyond()), (left, beyond), "{place}");
    }
    for (signers, part) in [
        (Vec::new(), "name 1 to 256"),
        (vec![vec![1; 32].into(); 257], "name 1 to 256"),
        (vec![vec![1; 31].into()], "it must have 32 bytes"),
    ] {
        let wrong = GetHeadroomRequest { signers, ..asked.clone() };
        refused(client.vouchers.get_headroom(wrong).await, Code::InvalidArgument, part);
    }
    let unknown = GetHeadroomRequest { asset: 77, ..asked };
    let found = client.vouchers.get_headroom(unknown).await.unwrap().into_inner().headrooms;
    assert_eq!(found[0].beyond(), Outcome::UnknownAsset);
    let statement = client.operator.get_statement(GetStatementRequest::default()).await;
    refused(statement, Code::Unauthenticated, "token");
}
