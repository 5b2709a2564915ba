//! What bundles bring: the same load in vouchers and in bundles, each on an engine of its own, in
//! turn, several rounds, and the medians. Who begins changes from round to round, so that a machine
//! that gets slower or faster favours neither.

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
use std::path::PathBuf;

/// Options of `bundles`.
#[derive(Debug, Clone, Args)]
pub struct BundlesArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engines' data goes; it is removed afterwards.
    #[arg(long, default_value = "target/bundles")]
    pub dir: PathBuf,
    /// How often both take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// How many vouchers, or entries of bundles, each engine gets in one turn.
    #[arg(long, default_value_t = 4_000_000,
        value_parser = clap::value_parser!(u64).range(1..=VOUCHERS_MAX))]
    pub vouchers: u64,
    /// Entries of a bundle.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=64))]
    pub bundle: u16,
    #[command(flatten)]
    pub crowd: CrowdArgs,
    /// Vouchers, or entries, in one frame: whole bundles.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub frame: u16,
}

/// What one turn brought.
struct Turn {
    credits_per_second: f64,
    signatures_per_second: f64,
    p99_us: f64,
    /// The engine's CPU time for one voucher or entry, in microseconds.
    cpu_us: f64,
}

/// Measures both, and says whether all books were equal.
///
/// # Errors
/// When an engine cannot be started, or a run cannot be carried through.
pub async fn bundles(args: &BundlesArgs) -> Result<bool, Error> {
    let file = |doing| move |source| Error::File { doing, path: args.dir.clone(), source };
    if args.dir.exists() {
        fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    }
    print(&format!(
        "| round | vouchers: credits/s | in bundles of {}: credits/s | ratio | signatures/s | ack p99 ms | engine's CPU \
         us a credit |\n|---|---|---|---|---|---|---|\n",
        args.bundle
    ));
    let (mut pairs, mut good) = (Vec::new(), true);
    for round in 0..args.rounds {
        let pair = match round % 2 {
            0 => {
                let single = turn(args, round, 1, &mut good).await?;
                (single, turn(args, round, args.bundle, &mut good).await?)
            }
            _ => {
                let bundled = turn(args, round, args.bundle, &mut good).await?;
                (turn(args, round, 1, &mut good).await?, bundled)
            }
        };
        print(&line(&(round + 1).to_string(), &pair, ratio(&pair)));
        pairs.push(pair);
    }
    let of = |value: fn(&(Turn, Turn)) -> f64| median(pairs.iter().map(value).collect());
    let turn = |of: [f64; 4]| {
        let [credits_per_second, signatures_per_second, p99_us, cpu_us] = of;
        Turn { credits_per_second, signatures_per_second, p99_us, cpu_us }
    };
    let single = turn([
        of(|(single, _)| single.credits_per_second),
        of(|(single, _)| single.signatures_per_second),
        of(|(single, _)| single.p99_us),
        of(|(single, _)| single.cpu_us),
    ]);
    let bundled = turn([
        of(|(_, bundled)| bundled.credits_per_second),
        of(|(_, bundled)| bundled.signatures_per_second),
        of(|(_, bundled)| bundled.p99_us),
        of(|(_, bundled)| bundled.cpu_us),
    ]);
    let (middle, pair) = (of(ratio), (single, bundled));
    print(&line("median", &pair, middle));
    let (single, bundled) = pair;
    print(&format!(
        "{}\n",
        json!({
            "single": single.credits_per_second, "bundled": bundled.credits_per_second, "ratio": middle,
            "single_signatures": single.signatures_per_second,
            "bundled_signatures": bundled.signatures_per_second, "bundle": args.bundle, "books_match": good,
        })
    ));
    fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    Ok(good)
}

#[allow(clippy::float_arithmetic)]
fn ratio((single, bundled): &(Turn, Turn)) -> f64 {
    bundled.credits_per_second / single.credits_per_second
}

#[allow(clippy::float_arithmetic)]
fn line(name: &str, (single, bundled): &(Turn, Turn), ratio: f64) -> String {
    format!(
        "| {name} | {:.0} | {:.0} | {ratio:.2} | {:.0} / {:.0} | {:.1} / {:.1} | {:.2} / {:.2} |\n",
        single.credits_per_second,
        bundled.credits_per_second,
        single.signatures_per_second,
        bundled.signatures_per_second,
        single.p99_us / 1e3,
        bundled.p99_us / 1e3,
        single.cpu_us,
        bundled.cpu_us
    )
}

/// One load on an engine of its own.
#[allow(clippy::float_arithmetic)]
async fn turn(args: &BundlesArgs, round: u64, bundle: u16, good: &mut bool) -> Result<Turn, Error> {
    let dir = args.dir.join(format!("{bundle}-{round}"));
    let file = |doing| {
        let path = dir.clone();
        move |source| Error::File { doing, path, source }
    };
    fs::create_dir_all(&dir).map_err(file("cannot make"))?;
    let mut engine = Engine::start(&engine_binary(args.engine.as_deref()), &dir, None).await?;
    let asked = run_args(args, &engine.grpc, bundle);
    let ran = run::execute(&asked).await.map_err(|error| engine.explain(error))?;
    let report = Report::new(&asked, &ran);
    let signatures = ran.status.1.vouchers_verified.saturating_sub(ran.status.0.vouchers_verified);
    drop(ran);
    engine.stop().await?;
    fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    if !report.good() {
        print(&report.text());
        *good = false;
    }
    let seconds = report.sent.seconds;
    Ok(Turn {
        credits_per_second: float(report.sent.credited) / seconds,
        signatures_per_second: float(signatures) / seconds,
        p99_us: float(report.sent.ack_p99_us),
        cpu_us: report.cost.server_cpu_us_per_voucher_total,
    })
}

/// A figure that fits 32 bits: vouchers of a run, an hour in microseconds.
fn float(figure: u64) -> f64 {
    u32::try_from(figure).map_or(f64::INFINITY, f64::from)
}

/// The options of one load: those of `run`, with ours.
fn run_args(args: &BundlesArgs, address: &str, bundle: u16) -> RunArgs {
    let own = |name: &str, value: String| [name.to_owned(), value];
    let mut words = Vec::new();
    words.extend(own("--server", format!("http://{address}")));
    words.extend(own("--vouchers", args.vouchers.to_string()));
    words.extend(own("--frame", args.frame.to_string()));
    words.extend(own("--bundle", bundle.to_string()));
    RunArgs { crowd: args.crowd.clone(), ..RunArgs::of(words) }
}
