//! Closing at scale: a window with many pairs, from the call that closes it to its batch, while
//! other vouchers come in at a steady rate. What is measured is what an operator and a client see:
//! the calls' times, and the acks' latency before and meanwhile.

use super::pool::{Pool, Scenario};
use super::turn::{compare, send, sending};
use super::{fresh, remove, report, rounded};
use crate::args::RunArgs;
use crate::engine::Engine;
use crate::error::Error;
use crate::floods::engine_binary;
use crate::print;
use crate::setup::{Clients, RAIL};
use crate::stream::{Answers, Sending};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tallystick_proto::v1::{CloseWindowRequest, CreateBatchRequest, GetWindowRequest};

/// What is sent beside goes on for at most so long after the window was closed.
const BESIDE_MAX: Duration = Duration::from_secs(120);
/// How often we look whether the window is sealed.
const LOOK: Duration = Duration::from_millis(2);
/// How long sealing may take before we give up.
const SEALING_MAX: Duration = Duration::from_secs(600);
/// The first of what is sent beside finds nothing warm, and is not counted.
const WARM_UP: Duration = Duration::from_secs(2);

/// Options of `close`.
#[derive(Debug, Clone, Args)]
pub struct CloseArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engine's data goes; it is removed afterwards.
    #[arg(long, default_value = "target/close")]
    pub dir: PathBuf,
    /// Pairs that owe something when the window is closed.
    #[arg(long, default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub pairs: u64,
    /// Parties that pay.
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub payers: u32,
    /// Parties that are paid.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub payees: u32,
    /// Vouchers a second that come in beside.
    #[arg(long, default_value_t = 20_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// How long they come in before the window is closed.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(5..=120))]
    pub seconds: u64,
    /// For how long after that there are vouchers: the close itself should be over by then.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub beside_seconds: u64,
    /// What parties and vouchers are drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the result to this file, too.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// When the steps of a close were done.
struct Steps {
    called: Instant,
    cut: Instant,
    root: Instant,
    batch: Instant,
    /// Of the window and the batch, as the engine says them.
    pairs: u64,
    legs: u64,
}

/// Measures one close. All books were equal, or it is an error.
///
/// # Errors
/// When the engine cannot be started, loaded or closed, or its books are not ours.
pub async fn close(args: &CloseArgs) -> Result<bool, Error> {
    if u64::from(args.payers) * (u64::from(args.payees) - 1) < args.pairs {
        return Err(Error::Usage(format!(
            "{} payers and {} payees have fewer than {} pairs; raise --payers or --payees",
            args.payers, args.payees, args.pairs
        )));
    }
    fresh(&args.dir)?;
    let bulk = Pool::sign(Scenario::NewChannels, options(args, args.pairs, 0, 1_024)).await?;
    // The same parties on channels of their own, in frames as facilitators send them.
    let count = args.rate * (args.seconds + args.beside_seconds);
    let beside = Pool::sign(Scenario::Agents, options(args, count, 1, 64)).await?;
    let binary = engine_binary(args.engine.as_deref());
    let (mut engine, mut clients) = bulk.engine(&binary, &args.dir.join("data")).await?;
    let measured = measure(args, &engine, &mut clients, bulk, beside).await;
    let result = measured.map_err(|error| engine.explain(error))?;
    engine.stop().await?;
    remove(&args.dir)?;
    report(&result, args.report.as_deref())?;
    Ok(true)
}

/// Options of one of both loads.
fn options(args: &CloseArgs, vouchers: u64, run: u32, frame: u16) -> RunArgs {
    let own = [
        ("--payers", args.payers.to_string()),
        ("--payees", args.payees.to_string()),
        ("--vouchers", vouchers.to_string()),
        ("--seed", args.seed.to_string()),
        ("--run", run.to_string()),
        ("--frame", frame.to_string()),
    ];
    RunArgs::of(own.into_iter().flat_map(|(name, value)| [name.to_owned(), value]))
}

async fn measure(
    args: &CloseArgs,
    engine: &Engine,
    clients: &mut Clients,
    mut bulk: Pool,
    beside: Pool,
) -> Result<serde_json::Value, Error> {
    let filled = send(&bulk, clients, sending(&bulk, None), Duration::MAX).await?;
    bulk.signed.clear();
    print(&format!(
        "{} pairs came in within {:.1} s; now {} vouchers/s beside\n",
        args.pairs,
        filled.elapsed.as_secs_f64(),
        args.rate
    ));
    let ingest = beside.connect(&engine.grpc).await?;
    let paced = Sending { timeline: true, ..sending(&beside, Some(args.rate)) };
    let (stop, begun) = (paced.stop.clone(), Instant::now());
    let closing = async {
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        let memory = engine.memory_now_mib();
        engine.forget_most_memory();
        let steps = settle(clients, bulk.args.asset).await;
        let most = engine.most_memory_mib();
        stop.store(true, Ordering::Relaxed);
        steps.map(|steps| (steps, memory, most))
    };
    let time = Duration::from_secs(args.seconds) + BESIDE_MAX;
    let (answers, closed) = tokio::join!(send(&beside, &ingest, paced, time), closing);
    let (answers, (steps, memory, most)) = (answers?, closed?);
    let [before, during] = phases(&answers, begun, &steps);
    compare(clients, &[(&bulk, &filled), (&beside, &answers)]).await?;
    Ok(result(args, &steps, [memory, most], [before, during]))
}

/// Closes the window, and has its batch computed.
async fn settle(clients: &mut Clients, asset: u32) -> Result<Steps, Error> {
    let open = clients.status().await?.open_window;
    let called = Instant::now();
    let request = CloseWindowRequest { request_id: format!("loadgen-bench-close-{open}") };
    let answer = clients.operator.close_window(request).await;
    let number = answer.map_err(|status| Error::call("CloseWindow", &status))?.into_inner().number;
    let cut = Instant::now();
    let window = loop {
        let answer = clients.operator.get_window(GetWindowRequest { number }).await;
        let window = answer.map_err(|status| Error::call("GetWindow", &status))?.into_inner();
        if !window.root.is_empty() {
            break window;
        }
        if cut.elapsed() > SEALING_MAX {
            return Err(Error::Engine(format!("window {number} is not sealed; see its log")));
        }
        tokio::time::sleep(LOOK).await;
    };
    let root = Instant::now();
    let (request_id, rail) = (format!("loadgen-bench-batch-{number}"), RAIL.to_owned());
    let request = CreateBatchRequest { request_id, windows: vec![number], asset, rail };
    let answer = clients.operator.create_batch(request).await;
    let made = answer.map_err(|status| Error::call("CreateBatch", &status))?.into_inner();
    let batch = Instant::now();
    let pairs = window.totals.iter().map(|totals| totals.pairs).sum();
    Ok(Steps { called, cut, root, batch, pairs, legs: made.legs })
}

/// The p99 of the frames that were due before the call, and from it to the batch, in milliseconds;
/// and how many of each there were.
fn phases(answers: &Answers, begun: Instant, steps: &Steps) -> [(f64, usize); 2] {
    let p99 = |from: Instant, to: Instant| {
        let within = answers.timeline.iter().filter(|(due, _)| (from..to).contains(due));
        let mut times: Vec<Duration> = within.map(|(_, took)| *took).collect();
        times.sort_unstable();
        let place = (times.len() * 99).div_ceil(100).saturating_sub(1);
        (times.get(place).map_or(f64::NAN, |time| millis(*time)), times.len())
    };
    [p99(begun + WARM_UP, steps.called), p99(steps.called, steps.batch)]
}

#[allow(clippy::float_arithmetic)]
fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[allow(clippy::float_arithmetic)]
fn result(
    args: &CloseArgs,
    steps: &Steps,
    [memory, most]: [f64; 2],
    [before, during]: [(f64, usize); 2],
) -> serde_json::Value {
    let between = |from: Instant, to: Instant| millis(to.saturating_duration_since(from));
    let Steps { called, cut, root, batch, pairs, legs } = *steps;
    print(&format!(
        "cut {:.0} ms, root {:.0} ms, batch of {legs} legs {:.0} ms; p99 {:.1} ms before, {:.1} ms \
         meanwhile ({} and {} frames); memory {memory:.0} MiB at the call, {most:.0} at most\n",
        between(called, cut),
        between(cut, root),
        between(root, batch),
        before.0,
        during.0,
        before.1,
        during.1
    ));
    json!({
        "pairs": pairs,
        "cut_to_batch_ms": between(called, batch).round(),
        "p99_ratio": rounded(during.0 / before.0, 2),
        "cut_ms": between(called, cut).round(),
        "root_ms": between(cut, root).round(),
        "batch_ms": between(root, batch).round(),
        "p99_before_ms": rounded(before.0, 1),
        "p99_during_ms": rounded(during.0, 1),
        "memory_mib": memory.round(),
        "memory_most_mib": most.round(),
        "legs": legs,
        "rate": args.rate,
        "books_match": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_for_the_phase_in_which_they_were_due() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let steps = Steps {
            called: at(10_000),
            cut: at(10_001),
            root: at(10_500),
            batch: at(11_000),
            pairs: 1,
            legs: 1,
        };
        let mut answers = Answers::default();
        // Before the call acks take 1 ms, then 5; what came cold, or after the batch, took a
        // second.
        let took = |due: u64| match due {
            ..2_000 | 11_000.. => 1_000,
            ..10_000 => 1,
            _ => 5,
        };
        answers.timeline = (0..12_000)
            .step_by(10)
            .map(|due| (at(due), Duration::from_millis(took(due))))
            .collect();
        let [before, during] = phases(&answers, begun, &steps);
        assert_eq!((before.0.round(), before.1), (1.0, 800));
        assert_eq!((during.0.round(), during.1), (5.0, 100));
    }
}
