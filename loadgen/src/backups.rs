//! What a backup costs those who wait for acks: the same paced load on an engine that makes backups
//! one after the other, and on one that makes none, in turn, several rounds, and the medians.

use crate::args::{CrowdArgs, RunArgs, VOUCHERS_MAX};
use crate::engine::Engine;
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use crate::report::Report;
use crate::run;
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

/// What backups may make of the time within which 99 of 100 acks come.
const FACTOR_MAX: f64 = 1.5;

/// Options of `backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engines' data and the backups go; it is removed afterwards.
    #[arg(long, default_value = "target/backup")]
    pub dir: PathBuf,
    /// How often both take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// How many vouchers each engine gets in one turn.
    #[arg(long, default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=VOUCHERS_MAX))]
    pub vouchers: u64,
    /// Vouchers a second: well below what the engine can do, so that acks wait for it and not for
    /// each other.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    #[command(flatten)]
    pub crowd: CrowdArgs,
    /// Vouchers in one frame.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub frame: u16,
    /// Print one JSON object on standard output instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// What one turn brought.
struct Turn {
    p50_us: f64,
    p99_us: f64,
    /// How many backups were made meanwhile.
    backups: u64,
}

/// Measures both, and says whether all books were equal.
///
/// # Errors
/// When an engine cannot be started, a run cannot be carried through, or a backup is not made.
pub async fn backups(args: &BackupArgs) -> Result<bool, Error> {
    let file = |doing| move |source| Error::File { doing, path: args.dir.clone(), source };
    if args.dir.exists() {
        fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    }
    fs::create_dir_all(&args.dir).map_err(file("cannot make"))?;
    if !args.json {
        print("| round | quiet p50 / p99 ms | beside backups p50 / p99 ms | p99 | backups |\n");
        print("|---|---|---|---|---|\n");
    }
    let (mut pairs, mut good) = (Vec::new(), true);
    for round in 0..args.rounds {
        // Who begins changes, so that a machine that gets slower or faster favours neither.
        let (quiet, busy) = if round % 2 == 0 {
            let quiet = turn(args, round, false, &mut good).await?;
            (quiet, turn(args, round, true, &mut good).await?)
        } else {
            let busy = turn(args, round, true, &mut good).await?;
            (turn(args, round, false, &mut good).await?, busy)
        };
        if !args.json {
            print(&line(&(round + 1).to_string(), &quiet, &busy, ratio(&quiet, &busy)));
        }
        pairs.push((quiet, busy));
    }
    report(args, &pairs, good);
    fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    Ok(good)
}

/// Prints the medians; the factor is that of the rounds' own quotients.
#[allow(clippy::float_arithmetic)]
fn report(args: &BackupArgs, pairs: &[(Turn, Turn)], good: bool) {
    let of = |busy: bool, value: fn(&Turn) -> f64| {
        median(pairs.iter().map(|pair| value(if busy { &pair.1 } else { &pair.0 })).collect())
    };
    let made = pairs.iter().map(|(_, busy)| busy.backups).sum();
    let middle = |busy| Turn {
        p50_us: of(busy, |turn| turn.p50_us),
        p99_us: of(busy, |turn| turn.p99_us),
        backups: made,
    };
    let (quiet, busy) = (middle(false), middle(true));
    let factor = median(pairs.iter().map(|(quiet, busy)| ratio(quiet, busy)).collect());
    if args.json {
        let turn = |turn: &Turn| json!({ "ack_p50_us": turn.p50_us, "ack_p99_us": turn.p99_us });
        let text = json!({
            "quiet": turn(&quiet), "beside_backups": turn(&busy), "p99_factor": factor, "backups": made,
            "books_match": good, "vouchers": args.vouchers, "rate": args.rate, "frame": args.frame,
        });
        print(&format!("{text}\n"));
        return;
    }
    print(&line("median", &quiet, &busy, factor));
    let word = if factor > FACTOR_MAX { "above" } else { "within" };
    print(&format!(
        "p99 beside backups is {factor:.2} x quiet, {word} the {FACTOR_MAX} x that it may be\n"
    ));
}

#[allow(clippy::float_arithmetic)]
fn ratio(quiet: &Turn, busy: &Turn) -> f64 {
    busy.p99_us / quiet.p99_us
}

#[allow(clippy::float_arithmetic)]
fn line(name: &str, quiet: &Turn, busy: &Turn, ratio: f64) -> String {
    let millis = |turn: &Turn| format!("{:.2} / {:.2}", turn.p50_us / 1e3, turn.p99_us / 1e3);
    format!("| {name} | {} | {} | {ratio:.2} x | {} |\n", millis(quiet), millis(busy), busy.backups)
}

/// One load on an engine of its own, with or without backups.
async fn turn(args: &BackupArgs, round: u64, busy: bool, good: &mut bool) -> Result<Turn, Error> {
    let dir = args.dir.join(format!("{}-{round}", if busy { "busy" } else { "quiet" }));
    let file = |doing| {
        let path = dir.clone();
        move |source| Error::File { doing, path, source }
    };
    fs::create_dir_all(&dir).map_err(file("cannot make"))?;
    let here = fs::canonicalize(&dir).map_err(file("cannot find"))?;
    let config = dir.join("tallystick.toml");
    let text = format!("backup_dir = {:?}\n", here.join("backups").display().to_string());
    fs::write(&config, text).map_err(file("cannot write"))?;
    let binary = engine_binary(args.engine.as_deref());
    let mut engine = Engine::start(&binary, &dir, Some(&config)).await?;
    let asked = run_args(args, &engine.grpc);
    let (server, over) = (engine.grpc.clone(), AtomicBool::new(!busy));
    let load = async {
        let ran = run::execute(&asked).await;
        over.store(true, Ordering::Relaxed);
        ran
    };
    let (ran, made) = tokio::join!(load, make(&binary, &server, &over));
    let ran = ran.map_err(|error| engine.explain(error))?;
    let report = Report::new(&asked, &ran);
    drop(ran);
    engine.stop().await?;
    fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    if !report.good() {
        print(&report.text());
        *good = false;
    }
    let (p50, p99) = (report.sent.ack_p50_us, report.sent.ack_p99_us);
    Ok(Turn { p50_us: float(p50), p99_us: float(p99), backups: made? })
}

/// Has backups made one after the other until it is over; the newest stay, so that all but what is
/// new is linked.
async fn make(binary: &Path, server: &str, over: &AtomicBool) -> Result<u64, Error> {
    let mut made = 0;
    while !over.load(Ordering::Relaxed) {
        let (binary, server) = (binary.to_owned(), server.to_owned());
        let call = tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(&binary);
            command.args(["backup", "create", "--server", &server]).stdin(Stdio::null());
            command.output()
        });
        let done = call.await.expect("waiting for a process does not panic");
        let done = done.map_err(|source| Error::Engine(format!("no backup is made: {source}")))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(Error::Engine(format!("no backup is made: {}", said.trim())));
        }
        made += 1;
    }
    Ok(made)
}

/// A figure that fits 32 bits: an hour in microseconds.
fn float(figure: u64) -> f64 {
    u32::try_from(figure).map_or(f64::INFINITY, f64::from)
}

/// The options of one load: those of `run`, with ours.
fn run_args(args: &BackupArgs, address: &str) -> RunArgs {
    let words = [
        ("--vouchers", args.vouchers.to_string()),
        ("--frame", args.frame.to_string()),
        ("--rate", args.rate.to_string()),
        ("--server", format!("http://{address}")),
    ];
    let words = words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    RunArgs { crowd: args.crowd.clone(), ..RunArgs::of(words) }
}
