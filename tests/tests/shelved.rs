//! What has left the ledger for archives is in its backups, comes back with them, and is missed
//! where it is not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use tallystick_tests::bank::{approve, computed, report};
use tallystick_tests::wire::LegWord;
use tallystick_tests::{
    Cli, Client, Deployment, Engine, Signal, ends_with, flip_bit, run_cli, until,
};

const EVENTS: &str = "events-0000000001.tallyexp";
const WINDOW: &str = "window-0000000001.tallyexp";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A ledger whose events and first windows have left.
struct House {
    d: Deployment,
}

impl House {
    async fn new() -> Self {
        let mut house = Self { d: Deployment::new(2, 2).await };
        house.start().await;
        let batch = computed(&mut house.d, 5_000_000).await;
        let client = &mut house.d.client;
        approve(client, &batch).await;
        let legs = client.legs(&batch).await;
        client.operator.report_legs(report(&batch, &legs, LegWord::Confirmed)).await.unwrap();
        while !house.d.engine.stderr().contains("events archived first=1 ") {
            house.d.client.close_window().await;
        }
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.d.dir.path().join(name)
    }

    fn args(&self, archives: &Path) -> Vec<String> {
        let backups = self.path("backups");
        let args = ["--backup-dir", text(&backups), "--archive-dir", text(archives)];
        let more = ["--keep-windows", "1", "--checkpoint-bytes", "1KiB"];
        args.into_iter().chain(more).map(str::to_owned).collect()
    }

    /// Ends the engine and starts it anew.
    async fn start(&mut self) {
        self.d.engine.signal(Signal::KILL);
        let (data, args) = (self.path("data"), self.args(&self.path("archives")));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let launch = tallystick_tests::Launch::new(&data).args(&args);
        self.d.engine = until("the directory is free", || launch.try_start().ok());
        self.d.client = Client::connect(&self.d.engine).await;
    }

    fn backup(&self, to: &str) -> PathBuf {
        let to = self.path("backups").join(to);
        let made = Cli(&self.d.engine).one(&["backup", "create", "--to", text(&to)]);
        PathBuf::from(made["folder"].as_str().unwrap())
    }

    fn restore(&self, from: &Path, to: &Path, more: &[&str]) -> std::process::Output {
        let key = self.path("data").join("tallystick.root");
        let asked = ["restore", "--from", text(from), "--data-dir", text(to)];
        let key = ["--root-key-file", text(&key), "--keep-root-key"];
        run_cli(&[&asked[..], &key, more].concat())
    }
}

/// The files in a folder, with what they are on the disk.
fn files(dir: &Path) -> BTreeMap<String, u64> {
    let all = fs::read_dir(dir).into_iter().flatten().map(Result::unwrap);
    let one =
        |of: fs::DirEntry| (of.file_name().into_string().unwrap(), of.metadata().unwrap().ino());
    all.map(one).collect()
}

fn good(done: &std::process::Output) {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_copied_once_and_come_back_on_an_empty_disk() {
    let house = House::new().await;
    let history = Cli(&house.d.engine).lines(&["history"]);
    let first = house.backup("");
    let second = house.backup("");
    let held = files(&first.join("archives"));
    assert!(held.contains_key(EVENTS) && held.contains_key(WINDOW), "{held:?}");
    let again = files(&second.join("archives"));
    assert!(held.iter().all(|(name, of)| again[name] == *of), "each is there once");
    let own = files(&house.path("archives"));
    assert!(held.iter().all(|(name, of)| own[name] != *of), "and is not the ledger's own");
    good(&run_cli(&["backup", "verify", text(&house.path("backups"))]));
    // Where the archives go must be said; what lies there must be the same.
    let (to, dir) = (house.path("again"), house.path("archives-again"));
    ends_with(&house.restore(&second, &to, &[]), 1, "--archive-dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(WINDOW), "another").unwrap();
    ends_with(&house.restore(&second, &to, &["--archive-dir", text(&dir)]), 1, WINDOW);
    assert!(files(&to).is_empty() && files(&dir).len() == 1, "nothing was left");
    fs::copy(house.path("archives").join(WINDOW), dir.join(WINDOW)).unwrap();
    good(&house.restore(&second, &to, &["--archive-dir", text(&dir)]));
    assert_eq!(files(&dir).len(), again.len());
    house.d.engine.kill9();
    let args = house.d.dir.path().join("archives-again");
    let engine = Engine::start(&to, &["--archive-dir", text(&args)]);
    let restored = Cli(&engine).lines(&["history"]);
    assert_eq!(restored[..history.len()], history);
    engine.stop().await;
    good(&run_cli(&["audit", "--data-dir", text(&to), "--archives", text(&dir)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_lost_or_changed_is_said_and_keeps_nothing_else_from_a_backup() {
    let mut house = House::new().await;
    let backup = house.backup("");
    let archive = backup.join("archives").join(EVENTS);
    flip_bit(&archive, 3_000, 2);
    let verified = run_cli(&["backup", "verify", text(&backup)]);
    ends_with(&verified, 1, EVENTS);
    // One is lost: it is said, and all else is backed up.
    let (dir, away) = (house.path("archives"), house.path("away"));
    fs::rename(dir.join(WINDOW), &away).unwrap();
    house.start().await;
    let other = house.backup("other");
    let held = files(&other.join("archives"));
    assert!(!held.contains_key(WINDOW) && held.contains_key(EVENTS), "{held:?}");
    assert!(house.d.engine.stderr().contains("an archive is not in the backup"));
    good(&run_cli(&["backup", "verify", text(&other)]));
    until("status says so", || {
        Cli(&house.d.engine).shown(&["status"]).contains(WINDOW).then_some(())
    });
    let here = house.path("data");
    let look = |more: &[&str]| {
        let args = ["doctor", "--data-dir", text(&here), "--archive-dir", text(&dir)];
        let done = run_cli(&[&args[..], more].concat());
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(look(&[]).contains("an engine runs, and looks itself"));
    assert!(look(&["--read-archives"]).contains("are whole"));
    house.d.engine.signal(Signal::KILL);
    until("the directory is free", || {
        let said = look(&[]);
        let lost = said.contains("CRITICAL: archives: 1 of ") && said.contains(WINDOW);
        lost.then_some(())
    });
    fs::rename(&away, dir.join(WINDOW)).unwrap();
    assert!(look(&[]).contains("are there") && !look(&[]).contains("CRITICAL: archives"));
    flip_bit(&dir.join(WINDOW), 100, 2);
    assert!(look(&[]).contains("are there"), "its length is the same");
    let read = look(&["--read-archives"]);
    assert!(read.contains("are not whole") && read.contains(WINDOW), "{read}");
}
