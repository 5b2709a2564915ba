//! Two builds of the engine under the same load, in turn, several rounds, and the ratios. The load
//! generator is ours for both.

use super::options::Turns;
use super::pool::{Pool, Scenario};
use super::turn::{Turn, turn};
use super::{fresh, name_of, remove, report, rounded};
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Options of `compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The engine that is compared with: another build.
    #[arg(long, value_name = "PATH")]
    pub before: PathBuf,
    /// What it is called in the result, such as its commit.
    #[arg(long, default_value = "before")]
    pub rev: String,
    /// What is sent.
    #[arg(long, value_enum, default_value_t = Scenario::Agents)]
    pub bench: Scenario,
    #[command(flatten)]
    pub turns: Turns,
}

/// Measures both. All books were equal, or it is an error.
///
/// # Errors
/// When an engine cannot be started or loaded, or its books are not ours.
pub async fn compare(args: &CompareArgs) -> Result<bool, Error> {
    fresh(&args.turns.dir)?;
    let pool =
        Pool::sign(args.bench, args.bench.options(args.turns.vouchers, args.turns.seed)).await?;
    print(
        "| round | before vouchers/s | now vouchers/s | ratio | before p50 / p99 ms | now p50 / p99 ms | \
         engine's CPU us a voucher, before / now | of it signatures |\n|---|---|---|---|---|---|---|---|\n",
    );
    let now = engine_binary(args.turns.engine.as_deref());
    let time = args.turns.time();
    let mut rounds: Vec<(Turn, Turn)> = Vec::new();
    for round in 0..args.turns.rounds {
        let dir = args.turns.data();
        let [first, second] = match round % 2 {
            0 => [&args.before, &now],
            _ => [&now, &args.before],
        };
        let first = turn(first, &dir, &pool, None, time).await?;
        let second = turn(second, &dir, &pool, None, time).await?;
        let (before, now) = if round % 2 == 0 { (first, second) } else { (second, first) };
        print(&line(&(round + 1).to_string(), &before, &now));
        rounds.push((before, now));
    }
    remove(&args.turns.dir)?;
    let ratios = || rounds.iter().map(|(before, now)| ratio(before, now));
    let middle = |of: fn(&(Turn, Turn)) -> f64| median(rounds.iter().map(of).collect());
    let result = json!({
        "bench": name_of(&args.bench),
        "rev": args.rev,
        "before": middle(|(before, _)| before.per_second),
        "now": middle(|(_, now)| now.per_second),
        "ratio": rounded(median(ratios().collect()), 3),
        "ratio_min": rounded(ratios().fold(f64::INFINITY, f64::min), 3),
        "ratio_max": rounded(ratios().fold(0.0, f64::max), 3),
        "seconds": args.turns.seconds,
        "books_match": true,
        "rounds": rounds
            .iter()
            .map(|(before, now)| json!({ "before": before.json(), "now": now.json() }))
            .collect::<Vec<_>>(),
    });
    report(&result, args.turns.report.as_deref())?;
    Ok(true)
}

#[allow(clippy::float_arithmetic)]
fn ratio(before: &Turn, now: &Turn) -> f64 {
    now.per_second / before.per_second
}

fn line(name: &str, before: &Turn, now: &Turn) -> String {
    let millis = |turn: &Turn| format!("{:.1} / {:.1}", turn.p50_ms, turn.p99_ms);
    format!(
        "| {name} | {:.0} | {:.0} | {:.3} | {} | {} | {:.2} / {:.2} | {:.2} / {:.2} |\n",
        before.per_second,
        now.per_second,
        ratio(before, now),
        millis(before),
        millis(now),
        before.cpu_us,
        now.cpu_us,
        before.verify_us,
        now.verify_us
    )
}
