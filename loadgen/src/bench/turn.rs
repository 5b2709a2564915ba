//! One turn: some vouchers on an engine, for some time, and what that took. Books are compared at
//! the end of every one.

use super::float;
use super::pool::Pool;
use crate::books::Differences;
use crate::engine::Engine;
use crate::error::Error;
use crate::progress::Progress;
use crate::setup::{Clients, per_second};
use crate::stream::{Answers, Sending, send_all};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tallystick_client::voucher;

const VOUCHER_BYTES: u64 = voucher::VOUCHER_BYTES as u64;

/// What a turn brought.
pub struct Turn {
    /// Vouchers acked.
    pub vouchers: u64,
    pub per_second: f64,
    /// Latency of acks, in milliseconds.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    /// The engine's CPU time for one voucher, in microseconds: all of it, that of checking
    /// signatures, and by thread.
    pub cpu_us: f64,
    pub verify_us: f64,
    pub stages_us: BTreeMap<String, f64>,
    /// The most memory that the engine had.
    pub memory_mib: f64,
    /// Bytes that it had written to disk until the last ack, for each byte of a voucher.
    pub written_ratio: f64,
}

/// A pool as it is sent: how fast, and by which signal it ends early.
pub fn sending(pool: &Pool, rate: Option<u64>) -> Sending {
    let args = &pool.args;
    let depth = match rate {
        Some(_) => args.depth.map_or(crate::args::OPEN_LOOP_DEPTH, usize::from),
        None => args.depth(),
    };
    let (frame, stop) = (usize::from(args.frame), Arc::default());
    Sending { frame, depth, rate, stop, timeline: false }
}

/// Sends for some time, or until there is nothing more.
///
/// # Errors
/// When a stream breaks, or an outcome is another than it must be.
pub async fn send(
    pool: &Pool,
    clients: &Clients,
    sending: Sending,
    time: Duration,
) -> Result<Answers, Error> {
    let count = u64::try_from(pool.planned.iter().map(Vec::len).sum::<usize>());
    let progress = Arc::new(Progress::new("send", "vouchers", count.unwrap_or(u64::MAX)));
    let stop = sending.stop.clone();
    let ended = async {
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        std::future::pending::<Result<Answers, Error>>().await
    };
    let answers = tokio::select! {
        answers = send_all(clients, &pool.signed, sending, progress.clone()) => answers,
        never = ended => never,
    };
    progress.finish();
    let answers = answers?;
    match &answers.first_unexpected {
        None => Ok(answers),
        Some(first) => Err(Error::Engine(format!(
            "{} outcomes are not those that were expected; {first}",
            answers.unexpected
        ))),
    }
}

/// A turn on a new engine with its data in `dir`, which is removed.
///
/// # Errors
/// When the engine cannot be started or loaded, or its books are not ours.
pub async fn turn(
    binary: &Path,
    dir: &Path,
    pool: &Pool,
    rate: Option<u64>,
    time: Duration,
) -> Result<Turn, Error> {
    super::rested(dir)?;
    let (mut engine, mut clients) = pool.engine(binary, dir).await?;
    let measured = measure(&engine, &mut clients, pool, rate, time).await;
    let turn = measured.map_err(|error| engine.explain(error))?;
    engine.stop().await?;
    super::remove(dir)?;
    Ok(turn)
}

async fn measure(
    engine: &Engine,
    clients: &mut Clients,
    pool: &Pool,
    rate: Option<u64>,
    time: Duration,
) -> Result<Turn, Error> {
    let (before, stages_before) = (clients.status().await?, engine.cpu_by_stage());
    let written_before = engine.written_bytes();
    let answers = send(pool, clients, sending(pool, rate), time).await?;
    let (after, stages_after) = (clients.status().await?, engine.cpu_by_stage());
    let memory_mib = engine.most_memory_mib();
    let written = engine.written_bytes().saturating_sub(written_before);
    compare(clients, &[(pool, &answers)]).await?;
    let vouchers = answers.outcomes.values().sum::<u64>();
    let each = |micros: u64| micros_each(micros.saturating_mul(1_000), vouchers);
    let stage = |(name, nanos): (&String, &u64)| {
        let spent = nanos.saturating_sub(stages_before.get(name).copied().unwrap_or(0));
        (name.clone(), micros_each(spent, vouchers))
    };
    Ok(Turn {
        vouchers,
        per_second: float(per_second(vouchers, answers.elapsed)),
        p50_ms: millis(&answers, 0.5),
        p99_ms: millis(&answers, 0.99),
        p999_ms: millis(&answers, 0.999),
        cpu_us: each(after.cpu_total_us.saturating_sub(before.cpu_total_us)),
        verify_us: each(after.cpu_verify_us.saturating_sub(before.cpu_verify_us)),
        stages_us: stages_after.iter().map(stage).collect(),
        memory_mib,
        written_ratio: bytes_each(written, vouchers),
    })
}

/// Closes the open window and compares all windows with our books of what was acked.
///
/// # Errors
/// When they differ, or a call fails.
pub async fn compare(clients: &mut Clients, sent: &[(&Pool, &Answers)]) -> Result<(), Error> {
    let [(pool, _), ..] = sent else { return Ok(()) };
    let open = clients.status().await?.open_window;
    let last = clients.close_window(&pool.crowd.tag(), open).await?.number;
    let sealed = clients.sealed(1, last, pool.args.asset).await?;
    let mut sums = sent.iter().map(|(pool, answers)| pool.books(&answers.acked));
    let mut books = sums.next().expect("something was sent");
    for more in sums {
        books.credited += more.credited;
        for (pair, amount) in more.pairs {
            *books.pairs.entry(pair).or_default() += amount;
        }
    }
    let mut differences = Differences::default();
    sealed.compare(&books, pool.args.asset, &mut differences)?;
    match differences.first.first() {
        None => Ok(()),
        Some(first) => Err(Error::Engine(format!(
            "the engine's books are not ours: {} differences, the first: {first}",
            differences.count
        ))),
    }
}

#[allow(clippy::float_arithmetic)]
fn millis(answers: &Answers, quantile: f64) -> f64 {
    float(answers.latency.value_at_quantile(quantile)) / 1e3
}

/// Bytes for each byte of a voucher: to a thousandth.
#[allow(clippy::float_arithmetic)]
fn bytes_each(bytes: u64, vouchers: u64) -> f64 {
    float(bytes.saturating_mul(1_000) / (vouchers * VOUCHER_BYTES).max(1)) / 1e3
}

/// Microseconds a voucher: to a thousandth.
#[allow(clippy::float_arithmetic)]
fn micros_each(nanos: u64, vouchers: u64) -> f64 {
    float(nanos / vouchers.max(1)) / 1e3
}

impl Turn {
    /// All figures.
    pub fn json(&self) -> Value {
        json!({
            "vouchers": self.vouchers, "vouchers_per_second": self.per_second,
            "ack_p50_ms": self.p50_ms, "ack_p99_ms": self.p99_ms, "ack_p999_ms": self.p999_ms,
            "cpu_us": self.cpu_us, "cpu_verify_us": self.verify_us,
            "cpu_stages_us": self.stages_us, "memory_mib": super::rounded(self.memory_mib, 0),
            "written_ratio": self.written_ratio,
        })
    }
}
