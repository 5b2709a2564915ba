//! Backups of an engine at work, and the way back from them: on an empty directory, with the same
//! windows and sums, and with nothing that leaves before an operator has said so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tallystick_tests::bank::{approve, computed, names, report};
use tallystick_tests::wire::{GetStatusRequest, LegWord, Status};
use tallystick_tests::{
    Cli, Client, Deployment, Engine, Launch, Outcome::Credited, Seen, ends_with, flip_bit, run_cli,
    until,
};
use tokio::sync::oneshot::error::TryRecvError;

/// A ledger whose engine may make backups, beside its data directory.
struct House {
    d: Deployment,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl House {
    async fn new() -> Self {
        let mut d = Deployment::new(2, 2).await;
        let shelf = d.dir.path().join("backups");
        d = d.restart(&["--backup-dir", text(&shelf)]).await;
        Self { d }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.d.dir.path().join(name)
    }

    fn shelf(&self) -> PathBuf {
        self.path("backups")
    }

    fn root_key(&self) -> PathBuf {
        self.path("data").join("tallystick.root")
    }

    /// Makes a backup; gives its folder.
    fn backup(&self) -> PathBuf {
        let made = Cli(&self.d.engine).one(&["backup", "create"]);
        PathBuf::from(made["folder"].as_str().unwrap())
    }

    fn restore(&self, from: &Path, to: &Path, root_key: &Path) -> std::process::Output {
        let asked = ["restore", "--from", text(from), "--data-dir", text(to), "--root-key-file"];
        run_cli(&[&asked[..], &[text(root_key), "--keep-root-key", "--json"]].concat())
    }

    /// Restores into a new directory.
    fn restored(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.path(name);
        let done = self.restore(from, &to, &self.root_key());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        to
    }
}

/// A window that is settled to its end.
async fn settle(d: &mut Deployment, total: u64) {
    let batch = computed(d, total).await;
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    d.client.operator.report_legs(report(&batch, &legs, LegWord::Confirmed)).await.unwrap();
}

async fn status(client: &mut Client) -> Status {
    client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

/// The files of a ledger in a backup, with what they are on the disk.
fn files(backup: &Path) -> BTreeMap<String, (u64, u64)> {
    let ledger = fs::read_dir(backup.join("ledger")).unwrap().map(Result::unwrap);
    let one = |entry: fs::DirEntry| {
        let of = entry.metadata().unwrap();
        (entry.file_name().into_string().unwrap(), (of.ino(), of.nlink()))
    };
    ledger.map(one).collect()
}

/// A backup that is gone is no newest one; none lies in the ledger, or in another backup.
#[tokio::test]
async fn a_backup_lies_outside_of_the_ledger_and_one_that_was_removed_is_missed() {
    let house = House::new().await;
    let check = || run_cli(&["--server", house.d.engine.address(), "status", "--check"]);
    let (first, second) = (house.backup(), house.backup());
    assert!(check().status.success(), "{:?}", check());
    fs::remove_dir_all(&second).unwrap();
    let mut client = Client::connect(&house.d.engine).await;
    assert_eq!(status(&mut client).await.last_backup.unwrap().folder, text(&first));
    let within = Cli(&house.d.engine).run(&["backup", "create", "--to", text(&first.join("x"))]);
    ends_with(&within, 1, "is a backup");
    fs::remove_dir_all(&first).unwrap();
    ends_with(&check(), 1, "");
    assert!(status(&mut client).await.last_backup.is_none());
    drop(client);
    for (setting, name) in [("--backup-dir", "backup_dir"), ("--archive-dir", "archive_dir")] {
        let inside = house.path("data/copies");
        let refused = Launch::new(&house.path("data")).args(&[setting, text(&inside)]).refusal();
        assert!(
            refused.contains(name) && refused.contains("lies in the data directory"),
            "{refused}"
        );
        assert!(!inside.exists());
    }
}

fn verify(dir: &Path) -> std::process::Output {
    run_cli(&["backup", "verify", text(dir)])
}

/// Names that begin with a dot: what is begun, or left.
fn hidden(dir: &Path) -> Vec<String> {
    let all = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    all.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
}

/// The engine takes vouchers all the while; the copy has all that was acked before, and no more
/// than was ever acked.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_restored_on_an_empty_directory_with_the_same_sums() {
    let mut house = House::new().await;
    settle(&mut house.d, 5_000_000).await;
    settle(&mut house.d, 9_000_000).await;
    // A window that is owed and not batched, and what is credited in the open one.
    let vouchers: Vec<_> = (0..64).map(|lane| house.d.world.voucher(1, 1, lane, 7)).collect();
    assert_eq!(house.d.client.pay(&vouchers).await, vec![Credited; 64]);
    house.d.client.close_window().await;
    let before = Seen::of(&mut house.d.client, &house.d.world).await;
    let lsn = status(&mut house.d.client).await.durable_lsn;
    let load = {
        let (world, mut client) = (house.d.world.clone(), Client::connect(&house.d.engine).await);
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut total = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                total += 1;
                assert_eq!(client.pay(&[world.voucher(0, 1, 9, total)]).await, [Credited]);
            }
            total
        });
        (stop, task)
    };
    let backups: Vec<PathBuf> = (0..3).map(|_| house.backup()).collect();
    drop(load.0);
    let paid = load.1.await.unwrap();
    assert!(paid > 0);
    let last = status(&mut house.d.client).await.last_backup.unwrap();
    assert_eq!(last.folder, text(backups.last().unwrap()));
    assert!(last.lsn >= lsn, "{} {lsn}", last.lsn);
    let shown = run_cli(&["backup", "list", text(&house.shelf()), "--json"]);
    assert_eq!(String::from_utf8(shown.stdout).unwrap().lines().count(), 3);
    for backup in &backups {
        let good = verify(backup);
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    }
    // The folder in which they lie stands for the newest.
    let to = house.restored(&house.shelf(), "again");
    let House { d } = house;
    let Deployment { client, world, engine, dir } = d;
    drop(client);
    engine.kill9();
    let audit = run_cli(&["audit", "--data-dir", text(&to)]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    let engine = Engine::start(&to, &[]);
    let mut client = Client::connect(&engine).await;
    let after = Seen::of(&mut client, &world).await;
    // What was credited while the backups were made is in the open window.
    let closed = |seen: &Seen| {
        let mut windows = seen.windows.clone();
        windows.retain(|window| window.cut_lsn > 0);
        (windows, seen.obligations.clone(), seen.positions.clone(), seen.legs.clone())
    };
    assert_eq!(closed(&after), closed(&before));
    assert_eq!((&after.batches, &after.files), (&before.batches, &before.files));
    // The newest voucher of a channel brings back what was lost, and it goes on.
    let pay = world.voucher(0, 1, 9, paid + 1);
    assert_eq!(client.pay(&[pay]).await, [Credited]);
    drop(dir);
}

#[tokio::test]
async fn what_two_backups_share_is_there_once_and_stays_when_the_first_is_pruned() {
    let mut house = House::new().await;
    settle(&mut house.d, 5_000_000).await;
    let first = house.backup();
    let second = house.backup();
    let (a, b) = (files(&first), files(&second));
    let shared = a.iter().filter(|(name, of)| b.get(*name).is_some_and(|also| also.0 == of.0));
    let tables = a.keys().filter(|name| name.ends_with(".sst")).count();
    assert!(tables > 0 && shared.count() >= tables, "{a:?} {b:?}");
    // Nothing of a backup is the ledger's own file.
    let own: Vec<u64> = fs::read_dir(house.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().ino())
        .collect();
    assert!(b.values().all(|(inode, _)| !own.contains(inode)));
    let gone = run_cli(&["backup", "prune", text(&house.shelf()), "--keep", "1", "--json"]);
    assert!(gone.status.success());
    assert!(!first.exists() && second.exists());
    assert!(verify(&second).status.success());
    assert!(hidden(&house.shelf()).is_empty() && hidden(&house.path("data")).is_empty());
    // Only below the folder that the configuration names.
    let below = house.shelf().join("weekly");
    let made = Cli(&house.d.engine).one(&["backup", "create", "--to", text(&below)]);
    assert!(made["folder"].as_str().unwrap().starts_with(text(&below)));
    let elsewhere = house.path("elsewhere");
    let asked = ["backup", "create", "--to", text(&elsewhere)];
    Cli(&house.d.engine).fails(&asked, 1, "backup_dir");
    assert!(!elsewhere.exists());
}

/// A file that had rotted in one backup was linked into every later one, and none could be
/// restored.
#[tokio::test]
async fn what_has_rotted_in_the_last_backup_does_not_go_on_into_the_next() {
    let mut house = House::new().await;
    settle(&mut house.d, 5_000_000).await;
    let first = house.backup();
    let tables = files(&first).into_keys().filter(|name| name.ends_with(".sst"));
    for name in tables.collect::<Vec<_>>() {
        let path = first.join("ledger").join(&name);
        flip_bit(&path, fs::read(&path).unwrap().len() / 2, 3);
    }
    assert!(!verify(&first).status.success());
    let second = house.backup();
    assert!(verify(&second).status.success());
}

/// The manifest with the sum that belongs to it.
fn summed(manifest: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(manifest).unwrap();
    let mut was = |name: &str| {
        let was = format!("\"{name}\": {}", value[name]);
        value[name] = String::new().into();
        was
    };
    let (sum, mark) = (was("blake3"), was("mark"));
    let bare = manifest.replace(&sum, "\"blake3\": \"\"").replace(&mark, "\"mark\": \"\"");
    // The files have sums of their own, under the same name, and keep them.
    assert_eq!(bare.matches("\"blake3\": \"\"").count(), 1);
    let found = blake3::hash(bare.as_bytes()).to_string();
    manifest.replace(&sum, &format!("\"blake3\": \"{found}\""))
}

/// Every file in turn, by one bit, or gone: the refusal names it.
#[tokio::test]
async fn a_damaged_backup_is_refused_with_the_name_of_the_file() {
    let mut house = House::new().await;
    settle(&mut house.d, 5_000_000).await;
    let backup = house.backup();
    let to = house.path("again");
    for name in files(&backup).into_keys() {
        let path = backup.join("ledger").join(&name);
        let whole = fs::read(&path).unwrap();
        if whole.is_empty() {
            continue;
        }
        flip_bit(&path, whole.len() / 2, 3);
        ends_with(&verify(&backup), 1, &name);
        ends_with(&house.restore(&backup, &to, &house.root_key()), 1, &name);
        fs::remove_file(&path).unwrap();
        ends_with(&verify(&backup), 1, &name);
        fs::write(&path, whole).unwrap();
    }
    fs::write(backup.join("ledger/000999.sst"), "x").unwrap();
    ends_with(&verify(&backup), 1, "000999.sst");
    fs::remove_file(backup.join("ledger/000999.sst")).unwrap();
    // What only the root key could contradict is known by its sum, also without that key.
    let manifest = backup.join("manifest.json");
    let whole = fs::read_to_string(&manifest).unwrap();
    let sealed: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let sealed = sealed["engine_key_sealed"].as_str().unwrap();
    let other = format!("{}{}", if sealed.starts_with('0') { "1" } else { "0" }, &sealed[1..]);
    fs::write(&manifest, whole.replace(sealed, &other)).unwrap();
    ends_with(&verify(&backup), 1, "not what was written");
    // Who rewrites the sum, too, has not the root key.
    fs::write(&manifest, summed(&whole.replace(sealed, &other))).unwrap();
    assert!(verify(&backup).status.success());
    ends_with(&house.restore(&backup, &to, &house.root_key()), 1, "not the one of this backup");
    fs::write(&manifest, whole).unwrap();
    assert!(verify(&backup).status.success());
    assert!(!to.join("CURRENT").exists() && (!to.exists() || hidden(&to).is_empty()));
    house.restored(&backup, "at-last");
}

#[tokio::test]
async fn a_backup_is_no_use_without_its_root_key_and_goes_into_no_folder_that_holds_anything() {
    let mut house = House::new().await;
    settle(&mut house.d, 5_000_000).await;
    let backup = house.backup();
    // Neither key stands in it, in plain or in hexadecimal digits.
    for secret in ["tallystick.root", "tallystick.key"] {
        let digits = fs::read_to_string(house.path("data").join(secret)).unwrap();
        let digits = digits.trim().to_owned();
        let bytes: Vec<u8> =
            (0..32).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect();
        let all = files(&backup).into_keys().map(|name| backup.join("ledger").join(name));
        for path in all.chain([backup.join("manifest.json")]) {
            let held = fs::read(&path).unwrap();
            let holds = |what: &[u8]| held.windows(what.len()).any(|some| some == what);
            assert!(!holds(digits.as_bytes()) && !holds(&bytes), "{}", path.display());
        }
    }
    let (to, other) = (house.path("again"), house.path("other.root"));
    fs::write(&other, format!("{}\n", "5a".repeat(32))).unwrap();
    ends_with(&house.restore(&backup, &to, &other), 1, "not the one of this backup");
    ends_with(&house.restore(&backup, &to, &house.path("none")), 1, "there is no root key file");
    assert!(!to.exists());
    fs::create_dir(&to).unwrap();
    fs::write(to.join("thesis.txt"), "precious").unwrap();
    ends_with(&house.restore(&backup, &to, &house.root_key()), 1, "not empty");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    // Nor over the ledger itself.
    ends_with(&house.restore(&backup, &house.path("data"), &house.root_key()), 1, "not empty");
}

/// Killed at each step of the way: what is left is no backup, the next start takes it away, and the
/// next backup is good.
#[tokio::test]
async fn a_backup_that_is_cut_off_leaves_none() {
    let mut house = House::new().await;
    settle(&mut house.d, 5_000_000).await;
    let shelf = house.shelf();
    let House { d } = house;
    let Deployment { client, engine, dir, .. } = d;
    drop(client);
    engine.stop().await;
    let data = dir.path().join("data");
    let args = ["--backup-dir", text(&shelf)];
    for point in ["backup-linked", "backup-file", "backup-written"] {
        let engine = Launch::new(&data).args(&args);
        let engine = engine.fault("TALLYSTICK_FAULT", &format!("{point}:1")).start();
        let asked = Cli(&engine).run(&["backup", "create"]);
        assert!(!asked.status.success(), "{point}");
        drop(engine.ended());
        let left = run_cli(&["backup", "list", text(&shelf), "--json"]);
        assert!(left.stdout.is_empty(), "{point}");
        ends_with(&verify(&shelf), 1, "there is no backup");
        for half in hidden(&shelf) {
            assert!(!verify(&shelf.join(half)).status.success(), "{point}");
        }
    }
    let engine = Engine::start(&data, &args);
    assert!(hidden(&data).is_empty(), "a start takes away what was left: {:?}", hidden(&data));
    let made = Cli(&engine).one(&["backup", "create"]);
    assert!(verify(Path::new(made["folder"].as_str().unwrap())).status.success());
    assert!(hidden(&shelf).is_empty());
}

/// A batch was approved when the copy was made, and its file left after that. The restored ledger
/// does not know; it must not pay again by itself.
#[tokio::test]
async fn a_restored_ledger_pays_nothing_until_an_operator_releases_it() {
    let mut house = House::new().await;
    let batch = computed(&mut house.d, 5_000_000).await;
    let backup = house.backup();
    approve(&mut house.d.client, &batch).await;
    until("the file leaves", || names(&house.path("data/outbox/iso20022")).pop());
    let to = house.restored(&backup, "again");
    house.d.engine.kill9();
    let shelf = house.d.dir.path().join("backups");
    let args = ["--backup-dir", text(&shelf)];
    let engine = Engine::start(&to, &args);
    let mut client = Client::connect(&engine).await;
    let cli = Cli(&engine);
    let held = status(&mut client).await.hold.unwrap();
    assert_eq!((held.released_lsn, held.instance.len()), (0, 32));
    assert!(engine.stderr().contains("restored from a copy"));
    let id: String = batch.batch_id.iter().map(|byte| format!("{byte:02x}")).collect();
    cli.fails(&["batch", "approve", &id], 1, "restored from a copy");
    cli.fails(&["status", "--check"], 2, "");
    assert!(cli.shown(&["todo"]).contains("restore release"));
    // It takes vouchers, and closes windows.
    let pay = house.d.world.voucher(1, 1, 3, 11);
    assert_eq!(client.pay(&[pay]).await, [Credited]);
    client.close_window().await;
    // Held over a restart, too.
    drop(client);
    engine.stop().await;
    let engine = Engine::start(&to, &args);
    let (mut client, cli) = (Client::connect(&engine).await, Cli(&engine));
    assert_eq!(status(&mut client).await.hold.unwrap().instance, held.instance);
    assert!(names(&to.join("outbox/iso20022")).is_empty());
    // A copy of a held ledger is held, for itself.
    let made = cli.one(&["backup", "create"]);
    let twice = house.d.dir.path().join("twice");
    let asked = ["restore", "--from", made["folder"].as_str().unwrap(), "--data-dir", text(&twice)];
    let root = to.join("tallystick.root");
    let more = ["--root-key-file", text(&root), "--keep-root-key"];
    assert!(run_cli(&[&asked[..], &more].concat()).status.success());
    let other = Engine::start(&twice, &[]);
    let mut of_other = Client::connect(&other).await;
    let also = status(&mut of_other).await.hold.unwrap();
    assert!(also.released_lsn == 0 && also.instance != held.instance, "{also:?}");
    drop(other);
    // Released: what is approved leaves, as it would have.
    let released = cli.one(&["restore", "release", "--reason", "the bank has nothing"]);
    assert_eq!(released["position"], held.position);
    cli.fails(&["restore", "release", "--reason", "again"], 1, "nothing is held");
    assert!(!cli.shown(&["todo"]).contains("restore release"));
    let _ = cli.one(&["batch", "approve", &id]);
    until("the file leaves again", || names(&to.join("outbox/iso20022")).pop());
    drop(client);
    engine.stop().await;
    let audit = run_cli(&["audit", "--data-dir", text(&to)]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

fn doctor(args: &[&str]) -> (Option<i32>, String) {
    let done = run_cli(&[&["doctor"], args].concat());
    (done.status.code(), String::from_utf8(done.stdout).unwrap())
}

/// Beside a running engine: one line for each thing, and the exit code of the worst.
#[tokio::test]
async fn a_doctor_looks_beside_a_running_engine_and_says_how_bad_it_is() {
    let house = House::new().await;
    let (data, shelf) = (house.path("data"), house.shelf());
    let here = ["--data-dir", text(&data), "--backup-dir", text(&shelf)];
    let (code, said) = doctor(&here);
    // No backup, and perhaps a clock that nobody keeps.
    assert_eq!(code, Some(1), "{said}");
    for what in ["disk", "fsync", "clock", "open files", "signatures", "permissions", "iso20022"] {
        assert!(said.contains(&format!(": {what}: ")), "{what} is missing: {said}");
    }
    assert!(said.contains("WARNING: backups: there is none") && !said.contains("CRITICAL"));
    drop(house.backup());
    assert!(doctor(&here).1.contains("is on the disk of the ledger itself"));
    // A provider that does not answer, and a secret that others may read.
    let secret = house.path("secret");
    fs::write(&secret, "sk_test_0\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let config = house.path("config.toml");
    let rail = format!(
        "[rail.card]\nbase_url = \"http://127.0.0.1:1\"\nsecret_key_file = {0:?}\n\
         webhook_secret_file = {0:?}\n",
        text(&secret)
    );
    fs::write(&config, rail).unwrap();
    let with_card = [&here[..], &["--config", text(&config)]].concat();
    let (code, said) = doctor(&with_card);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("CRITICAL: permissions: others may read"), "{said}");
    assert!(said.contains("CRITICAL: card: it was not asked"), "{said}");
    // It changes nothing.
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o644);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = doctor(&with_card);
    assert!(said.contains("CRITICAL: card: the provider does not answer"), "{code:?} {said}");
    let (_, lines) = doctor(&[&here[..], &["--json"]].concat());
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["level"].is_string() && first["what"].is_string(), "{first}");
}
