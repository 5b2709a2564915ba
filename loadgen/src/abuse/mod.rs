//! Abuse of an engine on this machine, beside an honest client: what the Internet tries. Each kind
//! against an engine of its own, rounds of quiet and abuse in turn, medians, and the most memory
//! that the engine had.
//!
//! Everybody has an identity: an honest facilitator, and one that does harm. Bounded in time and
//! connections. The abuse runs on threads that give way to all others, and signs nothing while it
//! is measured: what is measured is the engine, not how the clients share the cores.

mod attack;
mod house;
mod open;
mod wire;

use crate::engine::Engine;
use crate::error::Error;
use crate::flood::{Prober, Seen, lowest_runtime};
use crate::floods::{engine_binary, median};
use crate::print;
use attack::Attack;
use clap::{Args, ValueEnum};
use house::House;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How much slower the honest client's p99 may be.
const RATIO_MAX: f64 = 2.0;
/// How long an attack may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// What somebody does to an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AbuseKind {
    /// Five thousand connections that say nothing, or half a word; who is put out comes again.
    Idle,
    /// Calls whose messages come byte by byte.
    SlowWriters,
    /// Streams whose acks nobody reads.
    SlowReaders,
    /// Messages and metadata beyond what is taken.
    Oversized,
    /// Calls with tokens that nobody has.
    BadTokens,
    /// Calls that anybody may make: the network, health, reflection, whether it lives.
    OpenCalls,
    /// Vouchers whose signatures have a flipped bit.
    BadSignatures,
    /// Vouchers of keys that nobody registered.
    UnknownSigners,
    /// Vouchers that were credited before.
    Stale,
    /// Good vouchers, 50,000 a second, on many connections.
    Greedy,
    /// All of them at once.
    All,
}

/// Options of `abuse`.
#[derive(Debug, Clone, Args)]
pub struct AbuseArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engines' data goes; it is removed afterwards.
    #[arg(long, default_value = "target/abuse")]
    pub dir: PathBuf,
    /// How often quiet and abuse take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// How long each of both is measured.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub seconds: u64,
    /// Connections of the kind `idle`.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub idle: u16,
    /// Only abuse of this kind; may be repeated.
    #[arg(long, value_enum)]
    pub kind: Vec<AbuseKind>,
    /// Print one JSON object on standard output instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// One line of the table.
struct Line {
    kind: String,
    /// p50 and p99 in milliseconds.
    quiet: [f64; 2],
    beside: [f64; 2],
    /// Of both p99, round by round: the middle one, the lowest and the highest.
    ratio: f64,
    ratios: [f64; 2],
    memory_mib: f64,
    denied: Option<String>,
    /// What the abuse did, in words.
    did: String,
}

/// Measures every kind of abuse, prints it line by line, and says whether the honest client was
/// denied nothing.
///
/// # Errors
/// When an engine cannot be started, or is no longer there.
pub async fn abuse(args: &AbuseArgs) -> Result<bool, Error> {
    let mut lines = Vec::new();
    if !args.json {
        print(&Line::head());
    }
    for kind in AbuseKind::value_variants() {
        if !args.kind.is_empty() && !args.kind.contains(kind) {
            continue;
        }
        let line = measure(args, *kind).await?;
        if !args.json {
            print(&line.text());
        }
        lines.push(line);
    }
    if args.json {
        let all: Vec<_> = lines.iter().map(Line::json).collect();
        let (rounds, seconds) = (args.rounds, args.seconds);
        print(&format!("{}\n", json!({ "rounds": rounds, "seconds": seconds, "abuse": all })));
    }
    Ok(lines.iter().all(|line| line.denied.is_none()))
}

async fn measure(args: &AbuseArgs, kind: AbuseKind) -> Result<Line, Error> {
    let name = kind.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let dir = args.dir.join(&name);
    let file = |doing| {
        let path = dir.clone();
        move |source| Error::File { doing, path, source }
    };
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    }
    std::fs::create_dir_all(&dir).map_err(file("cannot make"))?;
    let config = house::configuration(&dir)?;
    let binary = engine_binary(args.engine.as_deref());
    let mut engine = Engine::start(&binary, &dir, Some(&config)).await?;
    let measured = rounds(args, kind, &engine, &dir).await;
    let (rounds, did) = measured.map_err(|error| engine.explain(error))?;
    let memory_mib = engine.most_memory_mib();
    engine.stop().await?;
    std::fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    Ok(Line::of(name, &rounds, memory_mib, did))
}

/// Quiet and abuse in turn, on one engine.
async fn rounds(
    args: &AbuseArgs,
    kind: AbuseKind,
    engine: &Engine,
    dir: &std::path::Path,
) -> Result<(Vec<[Seen; 2]>, String), Error> {
    let house = House::prepare(engine, dir).await?;
    let time = Duration::from_secs(args.seconds);
    let mut vouchers = house.honest_vouchers(args.rounds, args.seconds).into_iter();
    let half = house.vouchers_of(args.seconds);
    let attack = Arc::new(Attack::new(kind, args.idle, &house).await?);
    let mut all = Vec::new();
    for _ in 0..args.rounds {
        attack.sign(args.seconds);
        let own = vouchers.by_ref().take(half).collect();
        let quiet = Prober::start(house.honest.clone(), own, time).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = lowest_runtime()?;
        let attacking = runtime.spawn(attack.clone().run(stop.clone()));
        attack.begun().await;
        let own = vouchers.by_ref().take(half).collect();
        let beside = Prober::start(house.honest.clone(), own, time).await;
        stop.store(true, Ordering::Relaxed);
        // Whatever hangs on is dropped with its threads.
        drop(tokio::time::timeout(END_MAX, attacking).await);
        runtime.shutdown_background();
        all.push([quiet, beside?]);
        house.calm().await?;
    }
    Ok((all, attack.did()))
}

impl Line {
    fn of(kind: String, rounds: &[[Seen; 2]], memory_mib: f64, did: String) -> Self {
        let of = |which: usize, quantile: f64| {
            median(rounds.iter().map(|round| round[which].millis(quantile)).collect())
        };
        let denied = rounds.iter().flatten().find_map(Seen::why_denied);
        let ratios: Vec<f64> = rounds.iter().map(ratio).collect();
        let ends = |end: fn(f64, f64) -> f64| ratios.iter().copied().reduce(end).unwrap_or(0.0);
        Self {
            kind,
            quiet: [of(0, 0.5), of(0, 0.99)],
            beside: [of(1, 0.5), of(1, 0.99)],
            ratios: [ends(f64::min), ends(f64::max)],
            ratio: median(ratios),
            memory_mib,
            denied,
            did,
        }
    }

    fn head() -> String {
        "| abuse | quiet p50 / p99 ms | beside p50 / p99 ms | p99 (lowest to highest round) | engine's \
         memory MiB | what it did |\n|---|---|---|---|---|---|\n"
            .into()
    }

    fn text(&self) -> String {
        let Self { kind, quiet, beside, ratio, ratios, memory_mib, denied, did } = self;
        let word = match denied {
            Some(why) => format!(", **denied**: {why}"),
            None if *ratio > RATIO_MAX => ", above 2".to_owned(),
            None => String::new(),
        };
        format!(
            "| {kind} | {:.1} / {:.1} | {:.1} / {:.1} | x {ratio:.2} ({:.2} to {:.2}){word} | \
             {memory_mib:.0} | {did} |\n",
            quiet[0], quiet[1], beside[0], beside[1], ratios[0], ratios[1]
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "kind": self.kind,
            "quiet_p50_ms": self.quiet[0], "quiet_p99_ms": self.quiet[1],
            "beside_p50_ms": self.beside[0], "beside_p99_ms": self.beside[1],
            "ratio_p99": self.ratio, "ratio_p99_lowest": self.ratios[0],
            "ratio_p99_highest": self.ratios[1], "memory_mib": self.memory_mib,
            "denied": self.denied, "did": self.did,
        })
    }
}

#[allow(clippy::float_arithmetic)]
fn ratio([quiet, beside]: &[Seen; 2]) -> f64 {
    beside.millis(0.99) / quiet.millis(0.99)
}
