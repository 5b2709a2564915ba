//! A hundred and more wrong usages: each is answered with what is wrong and what to do. Every row
//! of the tables in `usage/` is a command line, how it ends, and what its answer must hold.

use std::path::Path;
use std::process::Output;
use tallystick_tests::{Cli, Engine, add_euro, add_party, iban, run_cli, run_loadgen};

/// Of an engine with two parties, a key, a closed window and a batch.
const AT_AN_ENGINE: &str = include_str!("usage/at-an-engine.txt");

/// Of no engine.
const ALONE: &str = include_str!("usage/alone.txt");

/// Configurations: the file, and what is said of it. All end with 2.
const CONFIGURATIONS: &str = include_str!("usage/configurations.txt");

/// Of the load generator.
const LOADGEN: &str = include_str!("usage/loadgen.txt");

/// What stands for longer words in the rows.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (short, word)| text.replace(short, word))
    }
}

/// Runs each row; all that are answered otherwise are told together.
#[track_caller]
fn all_are_answered(rows: &str, words: &Words, run: impl Fn(&[&str]) -> Output) {
    let mut wrong = Vec::new();
    for row in rows.trim().lines() {
        let [line, code, part] = row.splitn(3, " | ").collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let line = words.fill(line);
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = run(&args);
        let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        let ended = output.status.code().map(|code| code.to_string());
        if ended.as_deref() != Some(code) || !said.contains(part) || said.contains("panicked") {
            wrong.push(format!("{line}\n  wanted {code}: {part}\n  got {ended:?}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that the rows name.
fn files(dir: &Path) -> Vec<(&'static str, String)> {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    std::fs::write(path("legs.csv"), "nokey\n1\n").unwrap();
    // What is no file, and files of another kind than is wanted.
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("text"), "hello\n").unwrap();
    std::fs::write(path("json"), "{\"a\": 1}\n").unwrap();
    std::fs::write(path("binary"), [0xff, 0xfe, 0x00]).unwrap();
    std::fs::write(path("export"), b"TALLYEXP\x02\0").unwrap();
    let made = run_cli(&["voucher", "keygen", "--out", &path("key")]);
    assert!(made.status.success(), "{made:?}");
    let mut words = vec![("$KEYFILE", path("key")), ("$CSV", path("legs.csv"))];
    words.extend([("$FOLDER", path("folder")), ("$EMPTY", path("empty")), ("$TEXT", path("text"))]);
    words.extend([("$JSON", path("json")), ("$BINARY", path("binary"))]);
    words.extend([("$EXPORT", path("export")), ("$NEW", path("new"))]);
    words
}

#[test]
fn a_wrong_usage_is_answered_with_what_is_wrong_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    let cli = Cli(&engine);
    let [buyer, seller, nobody, zero] = ["a1", "b2", "c3", "00"].map(|byte| byte.repeat(32));
    cli.one(&add_euro("6", "multilateral"));
    for (place, (id, name)) in (1..).zip([(&buyer, "Buyer"), (&seller, "Seller")]) {
        let account = format!("iso20022:iban={}", iban(place));
        cli.one(&add_party(id, name, &account));
    }
    cli.one(&["limit", "set", "--party", &buyer, "--asset", "978", "100000000"]);
    let mut words = files(dir.path());
    let file = dir.path().join("agent").to_string_lossy().into_owned();
    let made = cli.one(&["voucher", "keygen", "--out", &file]);
    let key = made["signer"].as_str().unwrap().to_owned();
    cli.one(&["signer", "add", "--party", &buyer, "--key", &key]);
    let to = format!("--key-file {file} --payee {seller} --asset 978");
    let pay = format!("voucher sign {to} --expires-at 1893456000 --cumulative 1500000 --submit");
    cli.one(&pay.split(' ').collect::<Vec<_>>());
    cli.one(&["window", "close"]);
    let create = ["batch", "create", "--window", "1", "--asset", "978", "--rail", "iso20022"];
    let batch = cli.one(&create)["batch_id"].as_str().unwrap().to_owned();
    let legs = cli.lines(&["leg", "list", &batch]);
    words.push(("$LEG", legs[0]["key"].as_str().unwrap().to_owned()));
    words.extend([("$BT", batch), ("$TO", to), ("$A", buyer), ("$B", seller), ("$C", nobody)]);
    words.extend([("$K", key), ("$0", zero)]);
    all_are_answered(AT_AN_ENGINE, &Words(words), |args| cli.run(args));
}

#[test]
fn a_wrong_usage_without_an_engine_is_answered_so_too() {
    let dir = tempfile::tempdir().unwrap();
    let words = Words(files(dir.path()));
    all_are_answered(ALONE, &words, run_cli);
    all_are_answered(LOADGEN, &words, run_loadgen);
}

#[test]
fn a_wrong_configuration_is_answered_so_too() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("c.toml"), dir.path().join("data"));
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    for row in CONFIGURATIONS.trim().lines() {
        let (config, part) = row.split_once(" | ").unwrap();
        std::fs::write(file, config.replace("\\n", "\n")).unwrap();
        let output = run_cli(&["serve", "--config", file, "--data-dir", data]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{config}: {said}");
        assert!(said.contains(part), "{config}: {said}");
    }
}
