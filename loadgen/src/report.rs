//! What a run found, as one JSON object. Computes nothing but rates and quotients; how people read
//! it is `show`'s business.

use crate::args::RunArgs;
use crate::books::hex;
use crate::crowd::cores;
use crate::run::Run;
use crate::setup::per_second;
use serde::Serialize;
use std::collections::BTreeMap;
use tallystick_client::voucher::outcome;
use tallystick_proto::v1::Status;

/// The JSON object: one flat list of fields, each described in `docs/LOADGEN.md`. Sums are decimal
/// strings in asset units, times have their unit in the name.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured, and on what.
    #[serde(flatten)]
    pub engine: EngineFacts,
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Asked,
    /// What was sent and came back.
    #[serde(flatten)]
    pub sent: Sent,
    /// What it cost.
    #[serde(flatten)]
    pub cost: Cost,
    /// What is owed.
    #[serde(flatten)]
    pub owed: Owed,
    /// Whether it is right.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What was measured, and on what.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct EngineFacts {
    pub engine_version: String,
    pub verify_backend: String,
    pub verify_threads: u32,
    pub shards: u32,
    pub network_id: String,
    pub cpus: usize,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Asked {
    pub seed: u64,
    pub run: u32,
    pub parties: usize,
    pub payers: u32,
    pub payees: u32,
    pub lanes: u32,
    pub zipf: f64,
    pub asset: u32,
    pub asset_code: String,
    pub scale: u8,
    #[serde(rename = "loop")]
    pub kind_of_loop: &'static str,
    pub rate: Option<u64>,
    pub intended: bool,
    pub connections: u16,
    pub streams: usize,
    pub frame: u16,
    pub depth: usize,
}

/// What was sent and came back.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Sent {
    pub vouchers_sent: u64,
    pub frames: u64,
    pub credited: u64,
    pub stale: u64,
    pub rejected: u64,
    pub rejected_by_reason: BTreeMap<String, u64>,
    pub unexpected_outcomes: u64,
    pub connections_broken: u64,
    pub vouchers_sent_again: u64,
    pub seconds: f64,
    pub vouchers_per_second: u64,
    pub ack_p50_us: u64,
    pub ack_p90_us: u64,
    pub ack_p99_us: u64,
    pub ack_p999_us: u64,
    pub ack_max_us: u64,
}

/// What it cost.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Cost {
    pub sign_seconds: f64,
    pub signatures_per_second: u64,
    pub import_parties_per_second: Option<u64>,
    pub verify_strict_per_second_per_core: Option<u64>,
    pub verify_strict_per_second_all_cores: Option<u64>,
    pub server_cpu_us_per_voucher_total: f64,
    pub server_cpu_us_per_voucher_verify: f64,
    pub server_cpu_us_per_voucher_outside_verify: f64,
}

/// What is owed.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Owed {
    pub windows: Vec<u64>,
    pub window_roots: Vec<String>,
    pub pairs: u64,
    pub gross: String,
    pub net_pairs: u64,
    pub net_bilateral: String,
    pub positions: u64,
    pub net_multilateral: String,
}

/// Whether it is right.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Verdict {
    pub positions_sum: Option<String>,
    pub sums_to_zero: Option<bool>,
    pub books_match: Option<bool>,
    pub differences_count: u64,
    pub differences: Vec<String>,
}

impl Report {
    /// The report of a run.
    #[must_use]
    pub fn new(args: &RunArgs, run: &Run) -> Self {
        Self {
            engine: EngineFacts::new(&run.status.1),
            asked: Asked::new(args, run),
            sent: Sent::new(run),
            cost: Cost::new(run),
            owed: Owed::new(run),
            verdict: Verdict::new(run),
        }
    }

    /// Whether everything was as it must be.
    #[must_use]
    pub fn good(&self) -> bool {
        self.verdict.differences_count == 0
    }
}

impl EngineFacts {
    fn new(status: &Status) -> Self {
        Self {
            engine_version: status.version.clone(),
            verify_backend: status.verify_backend.clone(),
            verify_threads: status.verify_threads,
            shards: status.shards,
            network_id: hex(&status.network_id),
            cpus: cores(),
        }
    }
}

impl Asked {
    fn new(args: &RunArgs, run: &Run) -> Self {
        Self {
            seed: args.crowd.seed,
            run: args.traffic.run,
            parties: run.crowd.parties().len(),
            payers: args.crowd.payers,
            payees: args.crowd.payees,
            lanes: args.traffic.lanes,
            zipf: args.traffic.zipf,
            asset: args.asset,
            asset_code: args.asset_code.clone(),
            scale: args.scale,
            kind_of_loop: if args.rate.is_some() { "open" } else { "closed" },
            rate: args.rate,
            intended: args.rate.is_some(),
            connections: args.connections,
            streams: args.streams(),
            frame: args.frame,
            depth: args.depth(),
        }
    }
}

impl Sent {
    fn new(run: &Run) -> Self {
        let answers = &run.answers;
        let of = |byte: u8| answers.outcomes.get(&byte).copied().unwrap_or(0);
        let is_reject = |byte: u8| byte != outcome::CREDITED && byte != outcome::STALE;
        let rejects = answers.outcomes.iter().filter(|&(&byte, _)| is_reject(byte));
        let rejected_by_reason: BTreeMap<String, u64> =
            rejects.map(|(&byte, &count)| (outcome::name(byte).replace(' ', "_"), count)).collect();
        let quantile = |q: f64| answers.latency.value_at_quantile(q);
        Self {
            vouchers_sent: run.vouchers,
            frames: answers.frames,
            credited: of(outcome::CREDITED),
            stale: of(outcome::STALE),
            rejected: rejected_by_reason.values().sum(),
            rejected_by_reason,
            unexpected_outcomes: answers.unexpected,
            connections_broken: answers.broken,
            vouchers_sent_again: answers.sent_again,
            seconds: answers.elapsed.as_secs_f64(),
            vouchers_per_second: per_second(run.vouchers, answers.elapsed),
            ack_p50_us: quantile(0.5),
            ack_p90_us: quantile(0.9),
            ack_p99_us: quantile(0.99),
            ack_p999_us: quantile(0.999),
            ack_max_us: answers.latency.max(),
        }
    }
}

impl Cost {
    fn new(run: &Run) -> Self {
        let (before, after) = &run.status;
        let spent = |field: fn(&Status) -> u64| {
            per_voucher(field(after).saturating_sub(field(before)), run.vouchers)
        };
        Self {
            sign_seconds: run.signing.as_secs_f64(),
            signatures_per_second: per_second(run.vouchers, run.signing),
            import_parties_per_second: run.import_rate,
            verify_strict_per_second_per_core: run.baseline.map(|baseline| baseline.one_core),
            verify_strict_per_second_all_cores: run.baseline.map(|baseline| baseline.all_cores),
            server_cpu_us_per_voucher_total: spent(|s| s.cpu_total_us),
            server_cpu_us_per_voucher_verify: spent(|s| s.cpu_verify_us),
            server_cpu_us_per_voucher_outside_verify: spent(|s| {
                s.cpu_total_us.saturating_sub(s.cpu_verify_us)
            }),
        }
    }
}

impl Owed {
    fn new(run: &Run) -> Self {
        let totals = run.books.totals();
        let windows = run.sealed.as_ref().map_or(&[][..], |sealed| &sealed.windows);
        Self {
            windows: windows.iter().map(|window| window.number).collect(),
            window_roots: windows.iter().map(|window| hex(&window.root)).collect(),
            pairs: totals.pairs,
            gross: totals.gross.to_string(),
            net_pairs: totals.net_pairs,
            net_bilateral: totals.net_bilateral.to_string(),
            positions: totals.positions,
            net_multilateral: totals.net_multilateral.to_string(),
        }
    }
}

impl Verdict {
    fn new(run: &Run) -> Self {
        let sum = run.sealed.as_ref().map(|sealed| sealed.positions_sum());
        Self {
            positions_sum: sum.map(|sum| sum.to_string()),
            sums_to_zero: sum.map(|sum| sum == 0),
            books_match: run.sealed.is_some().then(|| run.differences.none()),
            differences_count: run.differences.count,
            differences: run.differences.first.clone(),
        }
    }
}

/// Microseconds a voucher. A quotient for people: no money is computed with floats.
#[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
fn per_voucher(micros: u64, vouchers: u64) -> f64 {
    let thousandths = (micros.saturating_mul(1_000) / vouchers.max(1)) as f64;
    thousandths / 1_000.0
}
