//! What a run found, as one JSON object and as text. Computes nothing but rates and quotients.

use crate::args::RunArgs;
use crate::books::hex;
use crate::crowd::cores;
use crate::run::{Run, signing_rate};
use crate::setup::per_second;
use crate::text::{self, Lines};
use crate::voucher::outcome;
use serde::Serialize;
use std::collections::BTreeMap;
use tallystick_proto::v1::Status;

/// The JSON object. Sums are decimal strings in asset units, times have their unit in the name; every
/// field is described in `docs/LOADGEN.md`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub engine_version: String,
    pub verify_backend: String,
    pub verify_threads: u32,
    pub shards: u32,
    pub network_id: String,
    pub cpus: usize,

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

    pub vouchers_sent: u64,
    pub frames: u64,
    pub credited: u64,
    pub stale: u64,
    pub rejected: u64,
    pub rejected_by_reason: BTreeMap<String, u64>,
    pub unexpected_outcomes: u64,
    pub seconds: f64,
    pub vouchers_per_second: u64,
    pub ack_p50_us: u64,
    pub ack_p90_us: u64,
    pub ack_p99_us: u64,
    pub ack_p999_us: u64,
    pub ack_max_us: u64,

    pub sign_seconds: f64,
    pub signatures_per_second: u64,
    pub import_parties_per_second: Option<u64>,
    pub verify_strict_per_second_per_core: Option<u64>,
    pub verify_strict_per_second_all_cores: Option<u64>,
    pub server_cpu_us_per_voucher_total: f64,
    pub server_cpu_us_per_voucher_verify: f64,
    pub server_cpu_us_per_voucher_outside_verify: f64,

    pub windows: Vec<u64>,
    pub window_roots: Vec<String>,
    pub pairs: u64,
    pub gross: String,
    pub net_pairs: u64,
    pub net_bilateral: String,
    pub positions: u64,
    pub net_multilateral: String,
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
        let answers = &run.answers;
        let of = |byte: u8| answers.outcomes.get(&byte).copied().unwrap_or(0);
        let is_reject = |byte: u8| byte != outcome::CREDITED && byte != outcome::STALE;
        let rejects = answers.outcomes.iter().filter(|&(&byte, _)| is_reject(byte));
        let rejected_by_reason: BTreeMap<String, u64> =
            rejects.map(|(&byte, &count)| (outcome::name(byte).replace(' ', "_"), count)).collect();
        let (before, after) = &run.status;
        let cpu = |field: fn(&Status) -> u64| {
            per_voucher(field(after).saturating_sub(field(before)), run.vouchers)
        };
        let spent_outside = |s: &Status| s.cpu_total_us.saturating_sub(s.cpu_verify_us);
        let quantile = |q: f64| answers.latency.value_at_quantile(q);
        let totals = run.books.totals();
        let windows = run.sealed.as_ref().map_or(&[][..], |sealed| &sealed.windows);
        let positions_sum = run.sealed.as_ref().map(|sealed| sealed.positions_sum());
        Self {
            engine_version: after.version.clone(),
            verify_backend: after.verify_backend.clone(),
            verify_threads: after.verify_threads,
            shards: after.shards,
            network_id: hex(&after.network_id),
            cpus: cores(),
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
            vouchers_sent: run.vouchers,
            frames: answers.frames,
            credited: of(outcome::CREDITED),
            stale: of(outcome::STALE),
            rejected: rejected_by_reason.values().sum(),
            rejected_by_reason,
            unexpected_outcomes: answers.unexpected,
            seconds: answers.elapsed.as_secs_f64(),
            vouchers_per_second: per_second(run.vouchers, answers.elapsed),
            ack_p50_us: quantile(0.5),
            ack_p90_us: quantile(0.9),
            ack_p99_us: quantile(0.99),
            ack_p999_us: quantile(0.999),
            ack_max_us: answers.latency.max(),
            sign_seconds: run.signing.as_secs_f64(),
            signatures_per_second: signing_rate(run),
            import_parties_per_second: run.import_rate,
            verify_strict_per_second_per_core: run.baseline.map(|baseline| baseline.one_core),
            verify_strict_per_second_all_cores: run.baseline.map(|baseline| baseline.all_cores),
            server_cpu_us_per_voucher_total: cpu(|s| s.cpu_total_us),
            server_cpu_us_per_voucher_verify: cpu(|s| s.cpu_verify_us),
            server_cpu_us_per_voucher_outside_verify: per_voucher(
                spent_outside(after).saturating_sub(spent_outside(before)),
                run.vouchers,
            ),
            windows: windows.iter().map(|window| window.number).collect(),
            window_roots: windows.iter().map(|window| hex(&window.root)).collect(),
            pairs: totals.pairs,
            gross: totals.gross.to_string(),
            net_pairs: totals.net_pairs,
            net_bilateral: totals.net_bilateral.to_string(),
            positions: totals.positions,
            net_multilateral: totals.net_multilateral.to_string(),
            positions_sum: positions_sum.map(|sum| sum.to_string()),
            sums_to_zero: positions_sum.map(|sum| sum == 0),
            books_match: run.sealed.is_some().then(|| run.differences.none()),
            differences_count: run.differences.count,
            differences: run.differences.first.clone(),
        }
    }

    /// The sections that `run` and `demo` have in common: what was sent and how fast.
    pub fn load(&self, lines: &mut Lines) {
        lines.line(
            "engine",
            &format!(
                "{}, {} x {} verify, {} shards, {} cores",
                self.engine_version,
                self.verify_threads,
                self.verify_backend,
                self.shards,
                self.cpus
            ),
        );
        let streams = match self.streams {
            1 => "1 stream".to_owned(),
            count => format!("{count} streams"),
        };
        let pace = match self.rate {
            None => "closed loop".to_owned(),
            Some(rate) => format!("open loop at {}/s", text::count(rate)),
        };
        lines.line(
            "load",
            &format!(
                "{pace}, {streams}, {} x {} vouchers under way",
                self.depth,
                text::count(self.frame)
            ),
        );
        lines.line(
            "sent",
            &format!(
                "{} vouchers in {}",
                text::count(self.vouchers_sent),
                text::micros(seconds_as_micros(self.seconds))
            ),
        );
        lines.line(
            "outcomes",
            &format!(
                "{} credited, {} stale, {} rejected{}",
                text::count(self.credited),
                text::count(self.stale),
                text::count(self.rejected),
                self.reasons()
            ),
        );
        lines.line("throughput", &format!("{} vouchers/s", text::count(self.vouchers_per_second)));
        lines.line(
            "ack latency",
            &format!(
                "p50 {}, p99 {}, p99.9 {}, max {}{}",
                text::micros(self.ack_p50_us),
                text::micros(self.ack_p99_us),
                text::micros(self.ack_p999_us),
                text::micros(self.ack_max_us),
                if self.intended { " (from the intended time)" } else { "" }
            ),
        );
        lines.line(
            "engine CPU",
            &format!(
                "{:.2} us a voucher: {:.2} verify, {:.2} everything else",
                self.server_cpu_us_per_voucher_total,
                self.server_cpu_us_per_voucher_verify,
                self.server_cpu_us_per_voucher_outside_verify
            ),
        );
        if let (Some(one), Some(all)) =
            (self.verify_strict_per_second_per_core, self.verify_strict_per_second_all_cores)
        {
            lines.line(
                "baseline",
                &format!(
                    "plain verify_strict: {}/s on one core, {}/s on all",
                    text::count(one),
                    text::count(all)
                ),
            );
        }
        let registered = match self.import_parties_per_second {
            None => String::new(),
            Some(rate) => format!("; {} parties/s registered", text::count(rate)),
        };
        lines.line(
            "before",
            &format!("{} signatures/s made{registered}", text::count(self.signatures_per_second)),
        );
    }

    fn reasons(&self) -> String {
        let reason = |(name, count): (&String, &u64)| {
            format!("{} {}", text::count(*count), name.replace('_', " "))
        };
        let reasons: Vec<String> = self.rejected_by_reason.iter().map(reason).collect();
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
    }

    /// Gross, bilateral and multilateral, in count and value.
    pub fn netting(&self, lines: &mut Lines) {
        let value = |sum: &str| -> u128 { sum.parse().expect("we wrote the sum") };
        let gross = (self.pairs, value(&self.gross));
        let rows = [
            ("gross", gross),
            ("bilateral", (self.net_pairs, value(&self.net_bilateral))),
            ("multilateral", (self.positions, value(&self.net_multilateral))),
        ];
        let head = format!("value {}", self.asset_code);
        lines.line("", &format!("{:>12} {:>9} {head:>20} {:>9}", "count", "", ""));
        for (name, (count, sum)) in rows {
            let smaller = |before: u128, after: u128| match name {
                "gross" => String::new(),
                _ => text::shrink(before, after),
            };
            lines.line(
                name,
                &format!(
                    "{:>12} {:>9} {:>20} {:>9}",
                    text::count(count),
                    smaller(u128::from(gross.0), u128::from(count)),
                    text::money(sum, u32::from(self.scale)),
                    smaller(gross.1, sum)
                ),
            );
        }
    }

    /// Whether the books match, and if not, why.
    pub fn verdict(&self, lines: &mut Lines) {
        let vouchers = text::count(self.vouchers_sent);
        let expected = self.unexpected_outcomes == 0;
        lines.check(expected, &format!("all {vouchers} outcomes are the expected ones"));
        match self.books_match {
            None => lines.line("window", "left open: obligations were not compared"),
            Some(true) => {
                let pairs = text::count(self.pairs);
                lines.check(true, &format!("our books match the engine's, all {pairs} pairs"));
            }
            Some(false) => lines.check(false, "our books differ from the engine's"),
        }
        if let Some(holds) = self.sums_to_zero {
            let text = format!("{} net positions sum to zero", text::count(self.positions));
            lines.check(holds, &text);
        }
        if self.differences_count > 0 {
            lines.title(&format!("Differences ({}):", text::count(self.differences_count)));
            for difference in &self.differences {
                lines.plain(&format!("  {difference}"));
            }
        }
    }

    /// The whole text of `run`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Lines::default();
        self.load(&mut lines);
        if self.books_match.is_some() {
            let numbers: Vec<String> = self.windows.iter().map(u64::to_string).collect();
            let word = if numbers.len() == 1 { "Window" } else { "Windows" };
            lines.title(&format!("{word} {}", numbers.join(", ")));
            self.netting(&mut lines);
        }
        lines.title("Books");
        self.verdict(&mut lines);
        lines.finish()
    }

    /// Whether everything was as it must be.
    #[must_use]
    pub fn good(&self) -> bool {
        self.differences_count == 0
    }
}

/// Microseconds a voucher. A quotient for people: no money is computed with floats.
#[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
fn per_voucher(micros: u64, vouchers: u64) -> f64 {
    let thousandths = (micros.saturating_mul(1_000) / vouchers.max(1)) as f64;
    thousandths / 1_000.0
}

fn seconds_as_micros(seconds: f64) -> u64 {
    let elapsed = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
