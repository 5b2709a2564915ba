//! The evidence of settled windows leaves the data directory for archives: proofs, exports and
//! audits hold as before, and whenever the process dies one of the two places has the evidence.

use std::path::{Path, PathBuf};
use tallystick_tests::bank::{approve, report, until};
use tallystick_tests::wire::{LegWord, Window};
use tallystick_tests::{
    Client, Deployment, Launch, Outcome::Credited, World, flip_bit, run_cli, until_batch,
};
use tempfile::TempDir;

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

/// An engine on the deployment's directory that keeps the evidence of so many windows.
struct House {
    d: Deployment,
    archives: PathBuf,
}

impl House {
    async fn new(keep: u32) -> Self {
        let d = Deployment::new(2, 2).await;
        let archives = d.dir.path().join("archives");
        let mut house = Self { d, archives };
        house.again(keep).await;
        house
    }

    fn args(&self, keep: u32) -> Vec<String> {
        let keep = keep.to_string();
        let args = ["--archive-dir", text(&self.archives), "--keep-windows", &keep];
        args.map(str::to_owned).to_vec()
    }

    /// Stops the engine and starts it again.
    async fn again(&mut self, keep: u32) {
        let launch = self.launch(keep);
        self.live(launch).await;
    }

    fn launch(&self, keep: u32) -> Launch {
        let args = self.args(keep);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Launch::new(&self.d.data()).args(&args).args(&["--checkpoint-bytes", "1KiB"])
    }

    /// Ends this life and begins that one.
    async fn live(&mut self, launch: Launch) {
        self.d.engine.signal(tallystick_tests::Signal::KILL);
        let data = self.d.data();
        // Its lock goes with it.
        let engine = until("the directory is free", async || launch.try_start().ok()).await;
        assert!(data.exists());
        self.d.client = Client::connect(&engine).await;
        self.d.engine = engine;
    }

    /// Windows up to this one, each with two channels, closed and settled.
    async fn windows(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let (world, client) = (&self.d.world, &mut self.d.client);
            let pays = [
                world.voucher(0, 0, 0, number * 1_000_000),
                world.voucher(1, 1, 0, number * 2_000_000),
            ];
            assert_eq!(client.pay(&pays).await, [Credited, Credited]);
            assert_eq!(client.close_window().await.number, number);
            self.settle(number).await;
        }
    }

    async fn settle(&mut self, window: u64) {
        let client = &mut self.d.client;
        let batch = client.create_batch(&[window], World::PAIRS).await.unwrap();
        approve(client, &batch).await;
        let legs = client.legs(&batch).await;
        client.operator.report_legs(report(&batch, &legs, LegWord::Confirmed)).await.unwrap();
        until_batch(client, &batch, |batch| batch.ended_at_us > 0).await;
    }

    async fn archived(&mut self, number: u64) -> Window {
        let client = &mut self.d.client;
        until("the window is archived", async || {
            let window = client.window(number).await;
            (window.archive_bytes > 0).then_some(window)
        })
        .await
    }

    fn file(&self, window: u64) -> PathBuf {
        self.archives.join(format!("window-{window:010}.tallyexp"))
    }

    fn server(&self) -> String {
        self.d.engine.address().to_owned()
    }

    fn export(&self, windows: &[&str], out: &Path) -> (bool, String) {
        let server = self.server();
        let args =
            [&["--server", &server, "evidence", "export"][..], windows, &["--out", text(out)]];
        cli(&args.concat())
    }

    fn proof(&self, window: &str, out: &Path) -> (bool, String) {
        let payer = self.d.world.payers[0].party.to_string();
        let payee = self.d.world.payees[0].to_string();
        let (server, asset) = (self.server(), World::PAIRS.to_string());
        let of = ["--asset", &asset, "--payer", &payer, "--payee", &payee, "--out", text(out)];
        cli(&[&["--server", &server, "proof", "pair", window][..], &of].concat())
    }

    /// The engine is gone; its directory stays.
    fn stop(self) -> (TempDir, PathBuf, PathBuf) {
        let (data, archives) = (self.d.data(), self.archives);
        let Deployment { client, engine, dir, .. } = self.d;
        drop(client);
        engine.terminate();
        (dir, data, archives)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_for_archives_is_proved_exported_and_audited_as_before() {
    let mut house = House::new(2).await;
    house.windows(1..=5).await;
    // The newest two closed ones keep theirs.
    for number in 1..=3 {
        let window = house.archived(number).await;
        let length = house.file(number).metadata().unwrap().len();
        assert_eq!(window.archive_bytes, length);
    }
    let kept = house.d.client.window(4).await;
    assert_eq!((kept.archive_bytes, house.file(4).exists()), (0, false));
    let dir = house.d.dir.path().to_owned();
    let file = |name: &str| dir.join(name);
    for (window, name) in [("1", "p1.json"), ("3", "p3.json"), ("4", "p4.json")] {
        let (made, said) = house.proof(window, &file(name));
        assert!(made, "{said}");
        ok(&["proof", "check", text(&file(name))]);
    }
    let all = ["1", "2", "3", "4", "5"];
    let (made, said) = house.export(&all, &file("all.tallyexp"));
    assert!(made, "{said}");
    let report = ok(&["audit", text(&file("all.tallyexp"))]);
    assert!(report.contains("windows             5"), "{report}");
    // An archive is audited beside an export that does not hold its window, and not alone.
    let (made, said) = house.export(&["4", "5"], &file("rest.tallyexp"));
    assert!(made, "{said}");
    let archives = [1, 2, 3].map(|number| house.file(number));
    let [one, two, three] = archives.each_ref().map(|path| text(path));
    let report = ok(&["audit", text(&file("rest.tallyexp")), one, two, three]);
    assert!(report.contains("windows             5"), "{report}");
    let (success, said) = cli(&["audit", two]);
    assert!(!success && said.contains("is an archive, which holds"), "{said}");
    // Obligations stay.
    assert_eq!(house.d.client.obligations(1, World::PAIRS).await.len(), 2);
    let args = house.args(2);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (_dir, data, archives) = house.stop();
    let audit = ["audit", "--data-dir", text(&data)];
    let with = [&audit[..], &["--archives", text(&archives)]].concat();
    let report = ok(&with);
    assert!(report.contains("windows             5"), "{report}");
    // What somebody was reading when it should have gone stays until the next turn, which the stop
    // may have come before: a start looks first for what was left.
    let report = until("no evidence is here twice", async || {
        let report = ok(&audit);
        let done = report.contains("windows             2");
        if !done {
            Launch::new(&data).args(&args).start().terminate();
        }
        done.then_some(report)
    });
    let report = report.await;
    assert!(report.contains("3 sealed windows whose evidence was not given"), "{report}");
    flip_bit(&archives.join("window-0000000002.tallyexp"), 400, 1);
    let (success, said) = cli(&with);
    assert!(!success && said.contains("window-0000000002.tallyexp"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_taken_away_is_asked_for_by_name() {
    let mut house = House::new(1).await;
    house.windows(1..=3).await;
    house.archived(2).await;
    let away = house.d.dir.path().join("elsewhere");
    std::fs::rename(house.file(1), &away).unwrap();
    let out = house.d.dir.path().join("out");
    for (made, said) in [house.proof("1", &out), house.export(&["1", "3"], &out)] {
        assert!(!made, "{said}");
        assert!(said.contains("window-0000000001.tallyexp"), "{said}");
        assert!(said.contains("put"), "{said}");
    }
    // Another window's file in its place is not taken for it.
    std::fs::copy(house.file(2), house.file(1)).unwrap();
    let (made, said) = house.proof("1", &out);
    assert!(!made && said.contains("is another one"), "{said}");
    std::fs::rename(&away, house.file(1)).unwrap();
    let (made, said) = house.proof("1", &out);
    assert!(made, "{said}");
    ok(&["proof", "check", text(&out)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_not_settled_or_disputed_stays_and_what_cannot_be_written_is_said() {
    let mut house = House::new(1).await;
    std::fs::write(&house.archives, "a file where the folder should be").unwrap();
    house.windows(1..=1).await;
    let pay = house.d.world.voucher(0, 0, 0, 5_000_000);
    assert_eq!(house.d.client.pay(&[pay]).await, [Credited]);
    // Closed, and in no batch.
    assert_eq!(house.d.client.close_window().await.number, 2);
    let pay = house.d.world.voucher(0, 0, 0, 6_000_000);
    assert_eq!(house.d.client.pay(&[pay]).await, [Credited]);
    assert_eq!(house.d.client.close_window().await.number, 3);
    let server = house.server();
    let said = until("the trouble is told", async || {
        let (_, said) = cli(&["--server", &server, "status"]);
        said.contains("archive_dir").then_some(said)
    })
    .await;
    assert!(said.contains("archives"), "{said}");
    std::fs::remove_file(&house.archives).unwrap();
    house.archived(1).await;
    until("the trouble is over", async || {
        let (_, said) = cli(&["--server", &server, "status"]);
        (!said.contains("archive_dir")).then_some(())
    })
    .await;
    assert_eq!(house.d.client.window(2).await.archive_bytes, 0);
    house.settle(2).await;
    house.archived(2).await;
}

/// A restored copy with the same folder wrote over the archives of the ledger that it was a copy
/// of, which had forgotten that evidence.
#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_written_over_and_what_stands_in_the_way_is_named() {
    let mut house = House::new(1).await;
    std::fs::create_dir(&house.archives).unwrap();
    std::fs::write(house.file(1), "somebody else's").unwrap();
    house.windows(1..=2).await;
    let server = house.server();
    let said = until("the trouble is told", async || {
        let (_, said) = cli(&["--server", &server, "status"]);
        said.contains("archive_dir").then_some(said)
    })
    .await;
    assert!(said.contains("window-0000000001.tallyexp is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(house.file(1)).unwrap(), "somebody else's");
    assert_eq!(house.d.client.window(1).await.archive_bytes, 0);
    std::fs::remove_file(house.file(1)).unwrap();
    house.archived(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_around_the_record_one_of_the_two_places_has_the_evidence() {
    for point in ["archive-written", "archive-journaled"] {
        let mut house = House::new(1).await;
        // It dies as the first window leaves.
        let launch = house.launch(1).fault("TALLYSTICK_FAULT", &format!("{point}:1"));
        house.live(launch).await;
        house.pay_until_dead().await;
        house.again(1).await;
        let number = house.d.client.windows().await.len() as u64;
        house.windows(number..=number + 1).await;
        house.archived(1).await;
        let out = house.d.dir.path().join("out");
        let (made, said) = house.proof("1", &out);
        assert!(made, "{point}: {said}");
        ok(&["proof", "check", text(&out)]);
        let (_dir, data, archives) = house.stop();
        ok(&["audit", "--data-dir", text(&data), "--archives", text(&archives)]);
    }
}

impl House {
    /// Goes on with windows until the engine dies.
    async fn pay_until_dead(&mut self) {
        for number in 1..=2u64 {
            let client = &mut self.d.client;
            let pays = [self.d.world.voucher(0, 0, 0, number * 1_000_000)];
            if client.vouchers.submit(tallystick_tests::frame(0, &pays)).await.is_err() {
                break;
            }
            let request_id = tallystick_tests::request_id("close");
            let close = tallystick_tests::wire::CloseWindowRequest { request_id };
            if client.operator.close_window(close).await.is_err() {
                break;
            }
            if number == 1 {
                self.settle(1).await;
            }
        }
        let client = &mut self.d.client;
        until("the engine dies at the point", async || {
            let ask = tallystick_tests::wire::GetStatusRequest::default();
            client.operator.get_status(ask).await.err()
        })
        .await;
    }
}

/// A copy has nothing to take away from before somebody has looked at it: the archives of the
/// original may lie in the same folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_ledger_archives_nothing_before_its_release() {
    let mut house = House::new(100).await;
    let shelf = house.d.dir.path().join("backups");
    let launch = house.launch(100).args(&["--backup-dir", text(&shelf)]);
    house.live(launch).await;
    house.windows(1..=3).await;
    ok(&["--server", &house.server(), "backup", "create"]);
    let copy = house.d.dir.path().join("copy");
    let (data, root) = (house.d.data(), house.d.data().join("tallystick.root"));
    let asked = ["restore", "--from", text(&shelf), "--data-dir", text(&copy)];
    ok(&[&asked[..], &["--keep-root-key", "--root-key-file", text(&root)]].concat());
    house.d.engine.signal(tallystick_tests::Signal::KILL);
    until("the directory is free", async || {
        std::fs::rename(&data, data.with_extension("old")).ok()
    })
    .await;
    std::fs::rename(&copy, &data).unwrap();
    house.again(1).await;
    // It goes on: windows close, and are kept.
    let pay = house.d.world.voucher(0, 0, 0, 9_000_000);
    assert_eq!(house.d.client.pay(&[pay]).await, [Credited]);
    assert_eq!(house.d.client.close_window().await.number, 4);
    let server = house.server();
    ok(&["--server", &server, "restore", "release", "--reason", "nothing left"]);
    house.archived(2).await;
    let history = ok(&["--server", &server, "history", "--json"]);
    let events =
        history.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let kinds: Vec<String> = events.map(|of| of["kind"].as_str().unwrap().to_owned()).collect();
    let first =
        |kind: &str| kinds.iter().position(|of| of == kind).unwrap_or_else(|| panic!("{kinds:?}"));
    assert!(first("hold_released") < first("window_archived"), "{kinds:?}");
}
