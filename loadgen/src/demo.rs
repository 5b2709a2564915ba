//! The demo: an engine of its own, a load, a closed window, a settlement batch, and every figure
//! checked. The engine does not outlive it, unless the demo is killed by SIGKILL, or is asked to
//! leave one at work.

use crate::args::{DemoArgs, RunArgs};
use crate::engine::Engine;
use crate::error::Error;
use crate::report::Report;
use crate::run;
use crate::settle::{self, ExportedFile, Settled};
use crate::setup;
use crate::text::{self, Lines};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tallystick_client::{Credentials, Way};

/// The file by which a demo knows a folder that it made itself.
const MARKER: &str = ".tallystick-demo";

/// The JSON object of the demo: that of the run and what was settled.
#[derive(Debug, Serialize)]
struct DemoReport {
    #[serde(flatten)]
    run: Report,
    window: u64,
    window_root: String,
    batch_id: String,
    batch_rail: String,
    batch_legs: u64,
    batch_total: String,
    batch_carried: String,
    batch_state: &'static str,
    pay_in_legs: u64,
    pay_in_total: String,
    nb_of_txs: u64,
    ctrl_sum: String,
    export_dir: PathBuf,
    files: Vec<ExportedFile>,
    bank_took: Vec<String>,
    bank_answered: Vec<String>,
    exposure_released: String,
    checks: Vec<String>,
    demo_seconds: f64,
}

/// Runs the demo; the answer says whether everything was as it must be.
///
/// # Errors
/// When it cannot be carried through or a check does not hold.
pub async fn demo(args: &DemoArgs) -> Result<bool, Error> {
    let started = Instant::now();
    let binary = engine_binary(args)?;
    prepare(&args.dir)?;
    eprintln!("Starting {} with its data in {}", binary.display(), args.dir.display());
    let mut engine = Engine::start(&binary, &args.dir, None).await?;
    let found = load_and_settle(args, &engine.grpc).await;
    let (report, settled) = found.map_err(|error| engine.explain(error))?;
    let json = args.dir.join("report.json");
    let Some(settled) = settled else {
        write_json(&json, &report)?;
        crate::print(&report.text());
        return Ok(false);
    };
    engine.stop().await?;
    let report = DemoReport::new(report, settled, &args.dir, started.elapsed().as_secs_f64());
    write_json(&json, &report)?;
    crate::print(&report.text(&args.dir));
    if args.keep {
        keep(&binary, &args.dir).await?;
    }
    Ok(true)
}

/// What an engine that stays is told: to have a console, at any free port.
const KEPT: &str = "# What `tallystick-loadgen demo --keep` leaves at work.\n[console]\nlisten = \"127.0.0.1:0\"\n";

/// Leaves an engine at work, and says how to look at it.
async fn keep(binary: &Path, dir: &Path) -> Result<(), Error> {
    let config = dir.join("console.toml");
    let failed = |source| Error::File { doing: "cannot write", path: config.clone(), source };
    fs::write(&config, KEPT).map_err(failed)?;
    let engine = Engine::start(binary, dir, Some(&config)).await?;
    let way = Way::prepare(&format!("http://{}", engine.grpc), &Credentials::default())?;
    let login = setup::connect(&way, 0).await?.console_login().await?;
    let (grpc, pid) = (engine.grpc.clone(), engine.leave());
    let mut lines = Lines::default();
    lines.title("The console, on what this demo made");
    lines.line("open", format!("{}/#login={}", login.address, login.code));
    lines.line("", "it logs in once, within five minutes; for another link:");
    lines.line("", format!("tallystick console login --server {grpc}"));
    lines.line("stop", format!("kill {pid}  (before the demo runs again)"));
    crate::print(&lines.finish());
    Ok(())
}

/// Loads the engine and, if the books match, settles the window.
async fn load_and_settle(
    args: &DemoArgs,
    target: &str,
) -> Result<(Report, Option<Settled>), Error> {
    let run_args = run_args(args, target);
    let mut run = run::execute(&run_args).await?;
    let report = Report::new(&run_args, &run);
    if !report.good() {
        return Ok((report, None));
    }
    let settled = settle::settle(&run_args, &mut run, &args.dir).await?;
    Ok((report, Some(settled)))
}

/// Where the bank's files go.
fn export_dir(dir: &Path) -> PathBuf {
    dir.join(settle::EXPORT)
}

/// The engine beside our own executable, unless another is named.
fn engine_binary(args: &DemoArgs) -> Result<PathBuf, Error> {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("tallystick"))
    };
    let binary = args.engine.clone().or_else(beside);
    match binary {
        Some(binary) if binary.is_file() => Ok(binary),
        Some(binary) => Err(Error::Usage(format!(
            "there is no engine at {}; build it with `cargo build --release -p tallystick` or name \
             it with --engine",
            binary.display()
        ))),
        None => Err(Error::Usage("name the engine's binary with --engine".into())),
    }
}

/// The options of the load: the demo's own numbers, everything else as `run` has it.
fn run_args(args: &DemoArgs, target: &str) -> RunArgs {
    let vouchers = args.vouchers.to_string();
    let seed = args.seed.to_string();
    let words = [
        "--server",
        target,
        "--vouchers",
        &vouchers,
        "--seed",
        &seed,
        "--baseline",
        // Two frames on each stream keep every core busy; more would only wait.
        "--depth",
        "2",
    ];
    RunArgs::of(words.map(str::to_owned))
}

/// Makes an empty folder with our marker. Removes what stood there only if a demo made it.
fn prepare(dir: &Path) -> Result<(), Error> {
    let failed = |doing, source| Error::File { doing, path: dir.to_owned(), source };
    let marker = dir.join(MARKER);
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("cannot look at", error)),
        Ok(meta) if meta.is_dir() && marker.is_file() => {
            fs::remove_dir_all(dir).map_err(|error| failed("cannot remove", error))?;
        }
        Ok(meta) => {
            let empty = || fs::read_dir(dir).map(|mut entries| entries.next().is_none());
            if !meta.is_dir() || !empty().map_err(|error| failed("cannot read", error))? {
                return Err(Error::Usage(format!(
                    "{} was not made by a demo, so it stays as it is; name another --dir",
                    dir.display()
                )));
            }
        }
    }
    fs::create_dir_all(dir).map_err(|error| failed("cannot make", error))?;
    let note = "Made by `tallystick-loadgen demo`, which removes this folder when it runs again.\n";
    fs::write(&marker, note).map_err(|error| failed("cannot write to", error))
}

/// Writes a report as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, report: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(report).expect("a report is plain data");
    text.push('\n');
    let failed = |source| Error::File { doing: "cannot write", path: path.to_owned(), source };
    fs::write(path, text).map_err(failed)
}

impl DemoReport {
    fn new(run: Report, settled: Settled, dir: &Path, demo_seconds: f64) -> Self {
        let Settled { batch, files, payments, cents, played, mut checks } = settled;
        checks.push("the engine ended with exit code 0 when asked to".into());
        Self {
            window: run.owed.windows.last().copied().unwrap_or(0),
            window_root: run.owed.window_roots.last().cloned().unwrap_or_default(),
            run,
            batch_id: crate::books::hex(&batch.batch_id),
            batch_rail: batch.rail,
            batch_legs: batch.legs,
            batch_total: batch.total,
            batch_state: played.batch.state().as_str_name().trim_start_matches("BATCH_STATE_"),
            batch_carried: batch.carried,
            pay_in_legs: batch.pay_in_legs,
            pay_in_total: batch.pay_in_total,
            nb_of_txs: payments,
            ctrl_sum: format!("{}.{:02}", cents / 100, cents % 100),
            export_dir: export_dir(dir),
            files,
            bank_took: played.taken,
            bank_answered: played.answers,
            exposure_released: played.released.to_string(),
            checks,
            demo_seconds,
        }
    }

    fn text(&self, dir: &Path) -> String {
        let mut lines = Lines::default();
        lines.title("Load");
        self.run.load(&mut lines);
        lines.title(&format!("Netting of window {}", self.window));
        self.run.owed.show(&self.run.asked, &mut lines);
        self.settlement(&mut lines);
        self.bank(dir, &mut lines);
        lines.title("Checked");
        self.run.checks(&mut lines);
        for check in &self.checks {
            lines.check(true, check);
        }
        lines.title("Next");
        let dir = dir.display();
        lines.line("look", format!("{dir} has export/, bank/, report.json, engine.log and data/"));
        lines.line(
            "try",
            format!(
                "tallystick serve --data-dir {dir}/data --window-every 60s  (windows that close)"
            ),
        );
        lines.line(
            "and",
            "tallystick-loadgen run --no-setup --run 1 --rate 10000  (latency at a given load)",
        );
        lines.finish()
    }

    /// What was done in the bank's place.
    fn bank(&self, dir: &Path, lines: &mut Lines) {
        let (pay_ins, pay_outs) = (text::count(self.pay_in_legs), text::count(self.nb_of_txs));
        let inbox = dir.join("data/inbox").join(&self.batch_rail).join("done");
        let files = match self.bank_took.len() {
            1 => "1 pain.001 file".to_owned(),
            count => format!("{count} pain.001 files"),
        };
        lines.title("The bank, played by this demo: the files are real, no money moved");
        lines.line(
            "it said",
            format!("{pay_ins} pay-ins have come, by camt.054 (now in {}/)", inbox.display()),
        );
        lines.line(
            "it took",
            format!("{files} with {pay_outs} pay-outs to bank/, and said that they are booked"),
        );
        lines.line("so", format!("the batch is {}, and its window with it", self.batch_state));
    }

    fn settlement(&self, lines: &mut Lines) {
        let (code, scale) = (&self.run.asked.asset_code, u32::from(self.run.asked.scale));
        let units = |sum: &str| sum.parse().unwrap_or(0u128);
        let money = |units: u128| format!("{} {code}", text::money(units, scale));
        let (paid_in, paid_out) = (units(&self.pay_in_total), units(&self.batch_total));
        let (pay_ins, pay_outs) = (text::count(self.pay_in_legs), text::count(self.nb_of_txs));
        lines.title("Settlement");
        lines.line("window root", &self.window_root);
        lines.line("batch", &self.batch_id);
        lines.line("pay-ins", format!("{pay_ins} legs, {}", money(paid_in)));
        lines.line(
            "pay-outs",
            format!("{pay_outs} legs, {} by {}", money(paid_out), self.batch_rail),
        );
        lines.line(
            "clearing",
            format!(
                "advances {}; it comes back as payers' cents add up",
                money(paid_out.saturating_sub(paid_in))
            ),
        );
        lines.line(
            "carried",
            format!(
                "{} is owed to creditors in the next window",
                money(units(&self.batch_carried))
            ),
        );
        for file in &self.files {
            let path = self.export_dir.join(&file.name);
            let bytes = text::count(u64::try_from(file.bytes).unwrap_or(u64::MAX));
            lines.line("file", format!("{} ({bytes} bytes)", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("target/demo");
        prepare(&dir).unwrap();
        fs::write(dir.join("engine.log"), "old").unwrap();
        prepare(&dir).unwrap();
        assert!(!dir.join("engine.log").exists());
        fs::remove_file(dir.join(MARKER)).unwrap();
        prepare(&dir).expect("an empty folder can be taken");
        fs::remove_file(dir.join(MARKER)).unwrap();
        fs::write(dir.join("precious"), "mine").unwrap();
        assert!(prepare(&dir).is_err());
        assert!(prepare(&dir.join("precious")).is_err());
        assert_eq!(fs::read_to_string(dir.join("precious")).unwrap(), "mine");
    }

    #[test]
    fn the_demo_loads_with_the_defaults_of_run() {
        let args = DemoArgs { engine: None, dir: "d".into(), vouchers: 5, seed: 9, keep: false };
        let run = run_args(&args, "127.0.0.1:1");
        assert_eq!((run.traffic.vouchers, run.crowd.seed), (5, 9));
        assert_eq!((run.crowd.payers, run.crowd.payees), (10_000, 1_000));
        assert_eq!((run.asset, run.asset_code.as_str(), run.scale), (978, "EUR", 6));
        assert!(run.close && run.baseline && run.check().is_ok());
    }
}
