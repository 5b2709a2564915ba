//! What people need of an engine, through the real binary: lists by the page, ids by their first
//! digits, names beside ids, where a payment is, what is to be done, and plain words for what goes
//! wrong.

use serde_json::Value;
use std::path::Path;
use tallystick_tests::{Cli, Engine, add_euro, add_party, iban, run_cli};

fn of<'a>(lines: &'a [Value], name: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[name].as_str().unwrap()).collect()
}

/// How the ids of a buyer, a seller and somebody else begin.
const PARTIES: [&str; 3] = ["b0b0b0b0", "5e115e11", "0711e500"];

/// An id that begins so.
fn id(digits: &str) -> String {
    format!("{digits:0<64}")
}

fn party(cli: &Cli<'_>, id: &str, name: &str, place: u64) {
    let account = format!("iso20022:iban={}", iban(place));
    cli.one(&add_party(id, name, &account));
}

/// A key of a party's, with its file.
fn key(cli: &Cli<'_>, dir: &Path, party: &str) -> (String, String) {
    let file = dir.join(format!("{party}.key")).to_string_lossy().into_owned();
    let made = cli.one(&["voucher", "keygen", "--out", &file]);
    let key = made["signer"].as_str().unwrap().to_owned();
    cli.one(&["signer", "add", "--party", party, "--key", &key]);
    cli.one(&["limit", "set", "--party", party, "--asset", "978", "500000000"]);
    (file, key)
}

fn pay(cli: &Cli<'_>, file: &str, to: &str, total: &str) {
    let to = ["voucher", "sign", "--key-file", file, "--payee", to, "--asset", "978"];
    let rest = ["--expires-at", "2030-01-01T00:00:00Z", "--cumulative", total, "--submit"];
    assert_eq!(cli.one(&[&to[..], &rest].concat())["outcome"], "credited");
}

#[test]
fn parties_and_keys_are_listed_by_the_page_and_found_by_name_and_by_first_digits() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    cli.one(&add_euro("6", "bilateral"));
    let ids = ["abcdef0111", "abcdef0122", "cc00112233"].map(id);
    for (place, (id, name)) in (1..).zip(ids.iter().zip(["Müller & Søn", "Acme AG", "Zebra"])) {
        party(&cli, id, name, place);
    }
    let page = cli.lines(&["party", "list", "--limit", "2"]);
    assert_eq!(of(&page, "party_id"), [&ids[0], &ids[1]]);
    let more = cli.said(&["party", "list", "--limit", "2"]);
    assert!(more.contains(&format!("--after {}", ids[1])), "{more}");
    let rest = cli.lines(&["party", "list", "--after", &ids[1]]);
    assert_eq!(of(&rest, "name"), ["Zebra"]);
    for (text, names) in [
        ("MÜLL", &["Müller & Søn"][..]),
        ("e", &["Müller & Søn", "Acme AG", "Zebra"]),
        ("abcdef01", &["Müller & Søn", "Acme AG"]),
        ("nobody", &[]),
    ] {
        assert_eq!(of(&cli.lines(&["party", "find", text]), "name"), names, "{text}");
    }

    // First digits stand for an id wherever one is typed, and never for two.
    assert_eq!(cli.one(&["party", "show", "CC001122"])["name"], "Zebra");
    let (code, said) = cli.refused(&["party", "suspend", "abcdef01"]);
    assert_eq!(code, 1);
    assert_eq!(
        said,
        format!(
            "error: several ids begin with abcdef01; give more digits of the party that you mean:\n  {}  Müller \
             & Søn\n  {}  Acme AG\n",
            ids[0], ids[1]
        )
    );
    let (_, key) = key(&cli, dir.path(), &ids[0]);
    let of_party = cli.lines(&["signer", "list", "--party", "abcdef0111"]);
    assert_eq!(of(&of_party, "signer"), [&key]);
    assert!(cli.lines(&["signer", "list", "--party", &ids[2]]).is_empty());
    let shown = cli.shown(&["signer", "list"]);
    assert!(shown.contains(&key[..16]) && shown.contains("Müller & Søn"), "{shown}");
    assert_eq!(cli.one(&["signer", "revoke", &key[..12]])["revoked"], true);
    assert_eq!(cli.one(&["asset", "list"])["model"], "bilateral");
    let shown = cli.shown(&["limit", "show", "--party", "abcdef0111", "--asset", "978"]);
    assert!(shown.contains("Müller & Søn"), "{shown}");
}

/// `party add --name` once deleted the accounts, and resumed who was suspended.
#[test]
fn a_change_of_a_party_leaves_alone_what_it_does_not_name() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    cli.one(&add_euro("6", "bilateral"));
    let id = id("aa00bb11");
    party(&cli, &id, "Buyer GmbH", 1);
    let evm = "evm:address=0x52908400098527886E0F7030069857D2E4169EE7";
    let with_evm = cli.one(&["party", "update", "aa00bb11", "--account", evm]);
    let accounts = with_evm["accounts"].clone();
    assert_eq!(accounts.as_object().unwrap().len(), 2);
    assert_eq!(cli.one(&["party", "suspend", "aa00bb11"])["accounts"], accounts);
    let renamed = cli.one(&["party", "add", "--id", &id, "--name", "Buyer AG"]);
    assert_eq!((&renamed["accounts"], &renamed["suspended"]), (&accounts, &true.into()));
    assert_eq!(renamed["name"], "Buyer AG");
    assert_eq!(cli.one(&["party", "resume", "aa00bb11"])["name"], "Buyer AG");

    let fewer = cli.one(&["party", "update", "aa00bb11", "--remove-account", "evm"]);
    assert_eq!(fewer["accounts"], serde_json::json!({"iso20022": {"iban": iban(1)}}));
    let (code, said) = cli.refused(&["party", "update", "aa00bb11", "--remove-account", "evm"]);
    assert_eq!(code, 1);
    assert_eq!(
        said,
        format!("error: party {id} has no account on rail \"evm\", so none can be removed there\n")
    );

    // The same of a file: what a line leaves out stays.
    let file = dir.path().join("parties.jsonl");
    let line = format!(r#"{{"party":{{"id":"{id}","name":"Buyer SE"}}}}"#);
    let limit = format!(r#"{{"limit":{{"party":"{id}","asset":978,"limit":"7"}}}}"#);
    let money = r#"{"deposit":{"party":"ID","asset":978,"amount":"5","reference":"entry 7"}}"#;
    std::fs::write(&file, [line, limit, money.replace("ID", &id)].join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let counts = |line: &Value| {
        ["applied", "applied_before", "failed"].map(|name| line[name].as_u64().unwrap())
    };
    assert_eq!(counts(&cli.one(&["import", file])), [3, 0, 0]);
    let party = cli.one(&["party", "show", &id]);
    assert_eq!((&party["name"], &party["accounts"]), (&"Buyer SE".into(), &fewer["accounts"]));
    let exposure = ["limit", "show", "--party", &id, "--asset", "978"];
    cli.one(&["limit", "set", "--party", &id, "--asset", "978", "9"]);
    assert_eq!(counts(&cli.one(&["import", file])), [0, 3, 0]);
    assert_eq!(cli.one(&exposure)["credit_limit"], "9", "what was imported before is not set back");
    assert!(cli.said(&["import", file]).contains("--again"));
    assert_eq!(counts(&cli.one(&["import", file, "--again"])), [2, 1, 0]);
    let after = cli.one(&exposure);
    assert_eq!((&after["credit_limit"], &after["prefund"]), (&"7".into(), &"5".into()));
}

/// Three batches, each of one payment of a buyer's, the newest first.
fn three_batches(cli: &Cli<'_>, dir: &Path) -> Vec<String> {
    cli.one(&add_euro("6", "bilateral"));
    let [buyer, seller, other] = PARTIES.map(id);
    party(cli, &buyer, "Buyer GmbH", 1);
    party(cli, &seller, "Müller & Søn", 2);
    party(cli, &other, "Other Ltd", 3);
    assert_eq!(cli.shown(&["todo"]), "Nothing to do.\n");
    let (file, _) = key(cli, dir, &buyer);
    let mut batches = Vec::new();
    for (window, (to, total)) in
        [("1", (&seller, "22530000")), ("2", (&seller, "23530000")), ("3", (&other, "4000000"))]
    {
        pay(cli, &file, to, total);
        cli.one(&["window", "close"]);
        let made = ["batch", "create", "--window", window, "--asset", "978", "--rail", "iso20022"];
        let batch = cli.one(&made)["batch_id"].as_str().unwrap().to_owned();
        batches.push(batch);
    }
    batches.reverse();
    batches
}

/// The oldest leaves, and the bank says that it was paid.
fn pay_oldest(cli: &Cli<'_>, batches: &[String]) {
    cli.one(&["batch", "approve", &batches[2]]);
    let report = ["leg", "report", &batches[2], "--pay-outs", "--word", "confirmed"];
    cli.one(&[&report[..], &["--reference", "NTRF 4711/2"]].concat());
}

#[test]
fn what_is_to_be_done_is_said_over_all_batches_and_lists_begin_with_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    let batches = three_batches(&cli, dir.path());
    assert_eq!(of(&cli.lines(&["batch", "list"]), "batch_id"), batches);
    let newest = cli.lines(&["batch", "list", "--limit", "1"]);
    assert_eq!(of(&newest, "batch_id"), batches[..1]);
    let before = newest[0]["computed_lsn"].to_string();
    assert_eq!(of(&cli.lines(&["batch", "list", "--before", &before]), "batch_id"), batches[1..]);
    let windows = cli.lines(&["window", "list", "--limit", "2"]);
    assert_eq!(windows.iter().map(|w| w["number"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 3]);

    let todo = cli.lines(&["todo"]);
    assert_eq!(of(&todo, "state"), ["computed"; 3]);
    assert!(of(&todo, "do").iter().all(|what| what.starts_with("Compare the sums")), "{todo:?}");
    let check = cli.run(&["status", "--check"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let late = cli.run(&["status", "--check", "--computed-older", "0s"]);
    let text = String::from_utf8(late.stdout).unwrap();
    assert_eq!(late.status.code(), Some(1), "{text}");
    assert!(text.starts_with("WARNING: a batch has waited"), "{text}");
    pay_oldest(&cli, &batches);
    assert_eq!(cli.lines(&["todo"]).len(), 2, "what has ended asks for nothing");
}

#[test]
fn a_payment_is_found_by_whatever_is_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    let batches = three_batches(&cli, dir.path());
    pay_oldest(&cli, &batches);
    let [buyer, _, other] = PARTIES.map(id);
    let legs = |args: &[&str]| cli.lines(&[&["leg", "find"], args].concat());
    let all = legs(&["--party", "b0b0b0b0"]);
    assert_eq!(of(&all, "amount"), ["4000000", "1000000", "22530000"]);
    assert_eq!(of(&all, "batch_id"), batches);
    let paid = &all[2];
    let leg = paid["key"].as_str().unwrap();
    let small = leg[..8].to_lowercase();
    let day = "2000-01-01";
    for (args, amounts) in [
        (&["--name", "müller"][..], &["1000000", "22530000"][..]),
        (&["--name", "müller", "--limit", "1"], &["1000000"]),
        (&["--amount", "22.53"], &["22530000"]),
        (&["--amount", "22530000", "--asset", "978"], &["22530000"]),
        (&["--reference", "ntrf 4711"], &["22530000"]),
        (&["--key", &small], &["22530000"]),
        (&["--batch", &batches[0][..9]], &["4000000"]),
        (&["--from", day, "--party", &other], &["4000000"]),
    ] {
        assert_eq!(of(&legs(args), "amount"), amounts, "{args:?}");
    }
    let none = cli.refused(&["leg", "find", "--to", day, "--party", &buyer]);
    assert_eq!(none.0, 1);
    assert!(
        none.1.starts_with("error: no such leg; looked through 0 legs of 3 batches"),
        "{none:?}"
    );
    assert!(paid["sent_at_us"].as_i64().unwrap() > 0 && paid["file"] != "", "{paid}");
    assert_eq!((&all[0]["sent_at_us"], &all[0]["file"]), (&0.into(), &"".into()));

    // A key in small letters, by its beginning; people see whose money it is.
    let shown = cli.one(&["leg", "show", &batches[2][..8], &small]);
    assert_eq!((&shown["key"], &shown["state"]), (&leg.into(), &"confirmed".into()));
    let list = cli.shown(&["leg", "list", &batches[2][..8]]);
    assert!(list.contains("Müller & Søn") && list.contains("Buyer GmbH"), "{list}");
    assert!(list.lines().all(|line| line.chars().count() < 160), "{list}");
    let owed = ["window", "obligations", "2", "--asset", "978", "--payee"];
    assert_eq!(cli.lines(&[&owed[..], &["5e115e11"]].concat()).len(), 1);
    assert!(cli.lines(&[&owed[..], &["0711e500"]].concat()).is_empty());
}

#[test]
fn a_monitor_hears_of_an_engine_that_is_gone() {
    let gone = run_cli(&["status", "--check", "--server", "127.0.0.1:9"]);
    let text = String::from_utf8(gone.stdout).unwrap();
    assert_eq!((gone.status.code(), gone.stderr.len()), (Some(2), 0), "{text}");
    assert!(text.starts_with("CRITICAL: no engine at http://127.0.0.1:9"), "{text}");
}

#[test]
fn completions_and_manual_pages_need_no_engine() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = run_cli(&["completions", shell]);
        assert!(script.status.success() && script.stdout.len() > 10_000, "{shell}");
    }
    let out = dir.path().join("man1");
    let done = run_cli(&["man", "--out", out.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    let page = std::fs::read_to_string(out.join("tallystick-leg-find.1")).unwrap();
    assert!(page.contains("Looks through the legs of every batch"), "{page}");
}

/// A wrong usage, how it ends, and the whole text of the error.
type Wrong<'a> = (Vec<&'a str>, i32, String);

#[track_caller]
fn answers(cli: &Cli<'_>, table: Vec<Wrong<'_>>) {
    for (args, code, wanted) in table {
        let (got, said) = cli.refused(&args);
        assert_eq!((got, said.lines().next().unwrap()), (code, &*format!("error: {wanted}")));
    }
}

#[test]
fn what_is_no_amount_is_answered_with_how_it_is_typed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    cli.one(&add_euro("6", "bilateral"));
    let id = id("aa00bb11");
    party(&cli, &id, "Buyer GmbH", 1);
    let (file, _) = key(&cli, dir.path(), &id);
    let limit = ["limit", "set", "--party", "aa00bb11", "--asset", "978"];
    let units = "expected a whole number of asset units, digits only, got";
    let point = "amounts are in asset units, without a decimal point: EUR has scale 6;";
    let sign = ["voucher", "sign", "--key-file", &file, "--payee", &id, "--asset", "978"];
    let sign = [&sign[..], &["--expires-at", "2030-01-01T00:00:00Z", "--cumulative"]].concat();
    let table: Vec<Wrong<'_>> = vec![
        ([&limit[..], &["100,00"]].concat(), 2, format!("{point} 100.00 EUR is 100000000")),
        ([&limit[..], &["-5"]].concat(), 2, format!("{units} \"-5\"")),
        ([&sign[..], &["1.50"]].concat(), 2, format!("{point} 1.50 EUR is 1500000")),
    ];
    answers(&cli, table);
}

/// What people type wrong, and what they are told: the whole text.
#[test]
fn wrong_usage_is_answered_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    cli.one(&add_euro("6", "bilateral"));
    let id = id("aa00bb11");
    party(&cli, &id, "Buyer GmbH", 1);
    let create = ["batch", "create", "--window", "1", "--asset", "978", "--rail"];
    let token = dir.path().join("t");
    let token = ["operator", "token", "--out", token.to_str().unwrap(), "--name"];
    let not_json = dir.path().join("README.md");
    std::fs::write(&not_json, "# Tallystick\n").unwrap();
    let not_json = not_json.to_str().unwrap();
    let table: Vec<Wrong<'_>> = vec![
        (
            vec!["window", "show", "99"],
            1,
            "window 99 does not exist: windows are 1 to 1, and 1 is open".into(),
        ),
        (
            [&create[..], &["sepa"]].concat(),
            1,
            "there is no rail \"sepa\"; the rails are iso20022, nacha, card, evm; for sepa use iso20022".into(),
        ),
        (
            vec!["party", "update", "aa00bb11", "--account", "sepa:iban=DE89370400440532013000"],
            1,
            "account on rail \"sepa\": there is no rail \"sepa\"; the rails are iso20022, nacha, card, evm; for \
             sepa use iso20022"
                .into(),
        ),
        (
            vec!["party", "add", "--name", ""],
            1,
            "the party's name is empty: banks and people need one".into(),
        ),
        (
            [&token[..], &[""]].concat(),
            2,
            "--name expects 1 to 64 letters, digits and . _ - @, got \"\"".into(),
        ),
        (
            vec!["asset", "add", "--number", "978", "--code", "EUR", "--scale", "2", "--model", "bilateral"],
            1,
            "asset 978 exists with another definition (EUR, scale 6, bilateral); an asset never changes, choose \
             another number"
                .into(),
        ),
        (
            vec!["proof", "check", not_json],
            1,
            format!(
                "{not_json} proves nothing: it is not a proof or a receipt (not JSON): name a file that \
                 `tallystick proof` or `tallystick receipt` has written"
            ),
        ),
    ];
    answers(&cli, table);
}

/// What the parser of the command line says is wrapped in its own words: only ours are compared.
#[test]
fn what_cannot_be_read_is_answered_with_what_is_expected() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    cli.one(&add_euro("6", "bilateral"));
    let id = id("aa00bb11");
    party(&cli, &id, "Buyer GmbH", 1);
    for (args, wanted) in [
        (
            &["window", "positions", "last", "--asset", "978"][..],
            "expected a window's number, like 3, got \"last\"; `tallystick window list` shows them",
        ),
        (
            &["window", "positions", "1", "--asset", "EUR"],
            "expected an asset's number, like 978 for EUR, got \"EUR\"; `tallystick asset list` shows them",
        ),
        (
            &["party", "show", "Müller & Søn GmbH"],
            "expected the id of a party: 64 hexadecimal digits, or its first 8 or more; `tallystick party find \
             NAME` finds a party by its name",
        ),
        (
            &[
                "voucher",
                "sign",
                "--key-file",
                "k",
                "--payee",
                &id,
                "--asset",
                "978",
                "--ttl",
                "10y",
            ],
            "expected a whole number with a unit ms, s, m, h or d, like 500ms, 60s, 5m or 1h, got \"10y\"",
        ),
    ] {
        let (code, said) = cli.refused(args);
        assert_eq!(code, 2, "{said}");
        assert!(said.replace('\n', " ").contains(wanted), "{said}");
    }
    let data = dir.path().join("data");
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert_eq!((audit.status.code(), audit.stdout.len()), (Some(1), 0), "{audit:?}");
    let said = String::from_utf8(audit.stderr).unwrap();
    assert!(said.starts_with("error: the audit cannot begin: "), "{said}");
}
