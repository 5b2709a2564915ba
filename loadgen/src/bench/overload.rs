//! Overload: more than an engine can do comes in on an open loop, and beside it a client that asks
//! for little. What counts is that the engine goes on crediting what it can, that its memory stays
//! bounded, that each frame is answered, and that whoever asks for little gets it.

use super::options::Turns;
use super::pool::{Pool, Scenario};
use super::turn::{compare, send, sending, turn};
use super::{float, fresh, remove, report, rounded};
use crate::args::RunArgs;
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use crate::setup::per_second;
use crate::stream::Answers;
use clap::Args;
use serde_json::json;

/// Streams on which it comes in: 4 on each of 8 connections.
const CONNECTIONS: u64 = 8;
const STREAMS: u64 = 4;
/// What the client asks for who asks for little: vouchers a second, in frames of so many.
const MODEST_RATE: u64 = 1_000;
const MODEST_FRAME: u64 = 10;
/// How much of the maximum is to be credited under overload.
const GOODPUT_MIN: f64 = 0.9;

/// Options of `overload`.
#[derive(Debug, Clone, Args)]
pub struct OverloadArgs {
    /// How many times the maximum comes in.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=10))]
    pub times: u64,
    #[command(flatten)]
    pub turns: Turns,
}

/// What one round brought.
struct Round {
    maximum: f64,
    offered: u64,
    goodput: f64,
    memory_mib: f64,
    memory_at_maximum_mib: f64,
    /// Frames that were due by the end, and for which there was no room.
    held_back: u64,
    modest_per_second: f64,
    modest_p99_ms: f64,
}

/// Measures both. All books were equal and every frame was answered, or it is an error.
///
/// # Errors
/// When an engine cannot be started or loaded, or its books are not ours.
pub async fn overload(args: &OverloadArgs) -> Result<bool, Error> {
    fresh(&args.turns.dir)?;
    let many = [("--connections", CONNECTIONS), ("--streams-per-connection", STREAMS)];
    let pool = Pool::sign(Scenario::Agents, options(args, args.turns.vouchers, 0, &many)).await?;
    let few = [("--connections", 1), ("--frame", MODEST_FRAME)];
    let count = MODEST_RATE * args.turns.seconds;
    let modest = Pool::sign(Scenario::Agents, options(args, count, 1, &few)).await?;
    print(
        "| round | maximum | offered | goodput | of the maximum | memory MiB, at the maximum | \
         who asks for little: vouchers/s, p99 ms |\n|---|---|---|---|---|---|---|\n",
    );
    let mut rounds = Vec::new();
    for number in 1..=args.turns.rounds {
        let round = round(args, &pool, &modest).await?;
        print(&format!(
            "| {number} | {:.0} | {} | {:.0} | {:.3} | {:.0}, {:.0} | {:.0}, {:.1} |\n",
            round.maximum,
            round.offered,
            round.goodput,
            ratio(&round),
            round.memory_mib,
            round.memory_at_maximum_mib,
            round.modest_per_second,
            round.modest_p99_ms
        ));
        rounds.push(round);
    }
    remove(&args.turns.dir)?;
    let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let ratio = middle(ratio);
    let result = json!({
        "maximum": middle(|round| round.maximum),
        "offered": middle(|round| float(round.offered)),
        "goodput": middle(|round| round.goodput),
        "ratio": rounded(ratio, 3),
        "memory_mib": middle(|round| round.memory_mib).round(),
        "memory_at_maximum_mib": middle(|round| round.memory_at_maximum_mib).round(),
        "frames_held_back": middle(|round| float(round.held_back)),
        "modest_rate": MODEST_RATE,
        "modest_per_second": middle(|round| round.modest_per_second),
        "modest_p99_ms": rounded(middle(|round| round.modest_p99_ms), 1),
        "every_frame_answered": true,
        "books_match": true,
        "rounds": args.turns.rounds,
        "seconds": args.turns.seconds,
    });
    report(&result, args.turns.report.as_deref())?;
    Ok(ratio >= GOODPUT_MIN)
}

#[allow(clippy::float_arithmetic)]
fn ratio(round: &Round) -> f64 {
    round.goodput / round.maximum
}

/// Options of one of both loads.
fn options(args: &OverloadArgs, vouchers: u64, run: u64, more: &[(&str, u64)]) -> RunArgs {
    let own = [("--vouchers", vouchers), ("--seed", args.turns.seed), ("--run", run)];
    let own = own.iter().chain(more);
    RunArgs::of(own.flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]))
}

/// The maximum on one engine, and more than that on another.
async fn round(args: &OverloadArgs, pool: &Pool, modest: &Pool) -> Result<Round, Error> {
    let (binary, dir) = (engine_binary(args.turns.engine.as_deref()), args.turns.data());
    let time = args.turns.time();
    let most = turn(&binary, &dir, pool, None, time).await?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let offered = most.per_second as u64 * args.times;
    let (mut engine, mut clients) = pool.engine(&binary, &dir).await?;
    let little = modest.connect(&engine.grpc).await?;
    let loads = async {
        tokio::try_join!(
            send(pool, &clients, sending(pool, Some(offered)), time),
            send(modest, &little, sending(modest, Some(MODEST_RATE)), time),
        )
    };
    let (answers, asked): (Answers, Answers) = match loads.await {
        Ok(both) => both,
        Err(error) => return Err(engine.explain(error)),
    };
    let memory_mib = engine.most_memory_mib();
    compare(&mut clients, &[(pool, &answers), (modest, &asked)]).await?;
    engine.stop().await?;
    remove(&dir)?;
    let acked = |answers: &Answers| answers.outcomes.values().sum::<u64>();
    let due = offered.saturating_mul(args.turns.seconds).min(args.turns.vouchers);
    Ok(Round {
        maximum: most.per_second,
        offered,
        goodput: float(per_second(acked(&answers), answers.elapsed)),
        memory_mib,
        memory_at_maximum_mib: most.memory_mib,
        held_back: due.saturating_sub(acked(&answers)) / u64::from(pool.args.frame),
        modest_per_second: float(per_second(acked(&asked), asked.elapsed)),
        modest_p99_ms: p99(&asked),
    })
}

#[allow(clippy::float_arithmetic)]
fn p99(answers: &Answers) -> f64 {
    float(answers.latency.value_at_quantile(0.99)) / 1e3
}
