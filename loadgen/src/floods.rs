//! The table of floods: each kind against an engine of its own, several rounds of quiet and flood
//! in turn, and the medians.

use crate::args::{FloodArgs, FloodKind};
use crate::engine::Engine;
use crate::error::Error;
use crate::flood::{Report, Target};
use crate::print;
use clap::{Args, ValueEnum as _};
use serde_json::json;
use std::path::{Path, PathBuf};
use tallystick_client::Credentials;

/// The floods: kind, connections, streams on each.
const FLOODS: [(FloodKind, u16, u16); 10] = [
    (FloodKind::BadSignature, 1, 1),
    (FloodKind::BadSignature, 2, 16),
    (FloodKind::BadSignature, 4, 250),
    (FloodKind::Stale, 2, 16),
    (FloodKind::Replay, 2, 16),
    (FloodKind::OverLimit, 2, 16),
    (FloodKind::Unread, 2, 64),
    (FloodKind::Unknown, 2, 16),
    (FloodKind::Malformed, 2, 16),
    (FloodKind::Small, 2, 64),
];

/// How much slower the honest client's p99 may be beside a flood.
const RATIO_MAX: f64 = 3.0;

/// Options of `floods`.
#[derive(Debug, Clone, Args)]
pub struct FloodsArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engines' data goes; it is removed afterwards.
    #[arg(long, default_value = "target/floods")]
    pub dir: PathBuf,
    /// How often quiet and flood take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// How long each of both is measured.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub seconds: u64,
    /// Only floods of this kind.
    #[arg(long, value_enum)]
    pub kind: Option<FloodKind>,
    /// Print one JSON object on standard output instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// One line of the table.
struct Line {
    kind: String,
    connections: u16,
    streams: u16,
    /// p50 and p99 in milliseconds.
    quiet: [f64; 2],
    beside: [f64; 2],
    /// Of both p99, round by round.
    ratio: f64,
    rss_mib: f64,
    denied: bool,
}

/// Measures every flood of the table, prints it line by line, and says whether the honest client
/// was denied nothing.
///
/// # Errors
/// When an engine cannot be started, or is no longer there.
pub async fn floods(args: &FloodsArgs) -> Result<bool, Error> {
    let mut lines = Vec::new();
    if !args.json {
        print(&Line::head());
    }
    for (kind, connections, streams) in FLOODS {
        if args.kind.is_some_and(|only| only != kind) {
            continue;
        }
        let line = measure(args, kind, connections, streams).await?;
        if !args.json {
            print(&line.text());
        }
        lines.push(line);
    }
    if args.json {
        let lines: Vec<_> = lines.iter().map(Line::json).collect();
        print(&format!(
            "{}\n",
            json!({ "rounds": args.rounds, "seconds": args.seconds, "floods": lines })
        ));
    }
    Ok(lines.iter().all(|line| !line.denied))
}

async fn measure(
    args: &FloodsArgs,
    kind: FloodKind,
    connections: u16,
    streams: u16,
) -> Result<Line, Error> {
    let name = kind.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let dir = args.dir.join(format!("{name}-{connections}x{streams}"));
    let file = |doing| {
        let path = dir.clone();
        move |source| Error::File { doing, path, source }
    };
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    }
    std::fs::create_dir_all(&dir).map_err(file("cannot make"))?;
    let mut engine = Engine::start(&engine_binary(args.engine.as_deref()), &dir, None).await?;
    let measured = rounds(args, &engine, kind, connections, streams).await;
    let reports = measured.map_err(|error| engine.explain(error))?;
    let rss_mib = engine.most_memory_mib();
    engine.stop().await?;
    std::fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    let of = |value: fn(&Report) -> f64| median(reports.iter().map(value).collect());
    Ok(Line {
        kind: name,
        connections,
        streams,
        quiet: [of(|r| r.quiet.millis(0.5)), of(|r| r.quiet.millis(0.99))],
        beside: [of(|r| r.beside.millis(0.5)), of(|r| r.beside.millis(0.99))],
        ratio: of(ratio),
        rss_mib,
        denied: !reports.iter().all(Report::good),
    })
}

#[allow(clippy::float_arithmetic)]
fn ratio(report: &Report) -> f64 {
    report.beside.millis(0.99) / report.quiet.millis(0.99)
}

/// Quiet and flood in turn, on one engine.
async fn rounds(
    args: &FloodsArgs,
    engine: &Engine,
    kind: FloodKind,
    connections: u16,
    streams: u16,
) -> Result<Vec<Report>, Error> {
    let target = engine.grpc.parse();
    let target = target.map_err(|_| Error::Engine(format!("{:?} is no address", engine.grpc)))?;
    let (seconds, asset, json) = (args.seconds, 978, false);
    let (server, credentials) = (target, Credentials::default());
    let flood = FloodArgs { server, credentials, kind, connections, streams, seconds, asset, json };
    let mut target = Target::prepare(&flood, args.rounds).await?;
    let mut reports = Vec::new();
    for _ in 0..args.rounds {
        reports.push(target.measure().await?);
        target.calm().await?;
    }
    Ok(reports)
}

/// The engine's binary: beside this one, unless it is named.
pub fn engine_binary(named: Option<&Path>) -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tallystick-loadgen"));
        own.with_file_name("tallystick")
    };
    named.map_or_else(beside, Path::to_owned)
}

/// The middle one, or the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

impl Line {
    fn head() -> String {
        "| flood | connections x streams | quiet p50 / p99 ms | beside p50 / p99 ms | p99 | engine's \
         memory MiB |\n|---|---|---|---|---|---|\n"
            .into()
    }

    fn text(&self) -> String {
        let Self { kind, connections, streams, quiet, beside, ratio, rss_mib, denied } = self;
        let word = match (denied, *ratio > RATIO_MAX) {
            (true, _) => ", **denied**",
            (false, true) => ", above 3",
            (false, false) => "",
        };
        format!(
            "| {kind} | {connections} x {streams} | {:.1} / {:.1} | {:.1} / {:.1} | x {ratio:.2}{word} | \
             {rss_mib:.0} |\n",
            quiet[0], quiet[1], beside[0], beside[1]
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "kind": self.kind, "connections": self.connections, "streams": self.streams,
            "quiet_p50_ms": self.quiet[0], "quiet_p99_ms": self.quiet[1],
            "beside_p50_ms": self.beside[0], "beside_p99_ms": self.beside[1],
            "ratio_p99": self.ratio, "memory_mib": self.rss_mib, "denied": self.denied,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0]).to_bits(), 1.0f64.to_bits());
    }
}
