//! A run's report as people read it: short, aligned, with units.

use crate::report::{Asked, Cost, Owed, Report, Sent};
use crate::text::{self, Lines};
use std::time::Duration;

impl Report {
    /// The whole text of `run`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Lines::default();
        self.load(&mut lines);
        if self.verdict.books_match.is_some() {
            let numbers: Vec<String> = self.owed.windows.iter().map(u64::to_string).collect();
            let word = if numbers.len() == 1 { "Window" } else { "Windows" };
            lines.title(&format!("{word} {}", numbers.join(", ")));
            self.owed.show(&self.asked, &mut lines);
        }
        lines.title("Books");
        self.checks(&mut lines);
        lines.finish()
    }

    /// What was sent and how fast.
    pub fn load(&self, lines: &mut Lines) {
        let engine = &self.engine;
        let (version, backend) = (&engine.engine_version, &engine.verify_backend);
        let (threads, cores) = (engine.verify_threads, engine.cpus);
        let shards = match engine.shards {
            1 => "1 shard".to_owned(),
            count => format!("{count} shards"),
        };
        lines.line("engine", format!("{version}, {threads} x {backend}, {shards}, {cores} cores"));
        self.asked.show(lines);
        self.sent.show(&self.asked, lines);
        self.cost.show(lines);
    }

    /// Whether the books match, and if not, why.
    pub fn checks(&self, lines: &mut Lines) {
        let vouchers = text::count(self.sent.vouchers_sent);
        let expected = self.sent.unexpected_outcomes == 0;
        lines.check(expected, format!("all {vouchers} outcomes are the expected ones"));
        let verdict = &self.verdict;
        let pairs = text::count(self.owed.pairs);
        match verdict.books_match {
            None => lines.line("window", "left open: obligations were not compared"),
            Some(holds) => {
                lines.check(holds, format!("our books match the engine's, all {pairs} pairs"));
            }
        }
        if let Some(holds) = verdict.sums_to_zero {
            let positions = text::count(self.owed.positions);
            lines.check(holds, format!("{positions} net positions sum to zero"));
        }
        if verdict.differences_count > 0 {
            lines.title(&format!("Differences ({}):", text::count(verdict.differences_count)));
            for difference in &verdict.differences {
                lines.plain(&format!("  {difference}"));
            }
        }
    }
}

impl Asked {
    fn show(&self, lines: &mut Lines) {
        let pace = match self.rate {
            None => "closed loop".to_owned(),
            Some(rate) => format!("open loop at {} vouchers/s", text::count(rate)),
        };
        let streams = match self.streams {
            1 => "1 stream".to_owned(),
            count => format!("{count} streams"),
        };
        let (depth, frame) = (self.depth, text::count(self.frame));
        lines.line("load", format!("{pace}, {streams}, {depth} x {frame} vouchers under way"));
    }
}

impl Sent {
    fn show(&self, asked: &Asked, lines: &mut Lines) {
        let elapsed = Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        let elapsed = text::micros(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        lines.line("sent", format!("{} vouchers in {elapsed}", text::count(self.vouchers_sent)));
        let reason = |(name, count): (&String, &u64)| {
            format!("{} {}", text::count(*count), name.replace('_', " "))
        };
        let reasons: Vec<String> = self.rejected_by_reason.iter().map(reason).collect();
        let counts = [self.credited, self.stale, self.rejected].map(text::count);
        let [credited, stale, rejected] = counts;
        let outcomes = format!("{credited} credited, {stale} stale, {rejected} rejected");
        match reasons.is_empty() {
            true => lines.line("outcomes", outcomes),
            false => lines.line("outcomes", format!("{outcomes} ({})", reasons.join(", "))),
        }
        if self.connections_broken > 0 {
            let [broken, again] =
                [self.connections_broken, self.vouchers_sent_again].map(text::count);
            let what = "connections broke, and streams went on at the next owner's";
            lines.line("takeovers", format!("{broken} {what}; {again} vouchers were sent again"));
        }
        lines.line("throughput", format!("{} vouchers/s", text::count(self.vouchers_per_second)));
        let figures = [self.ack_p50_us, self.ack_p99_us, self.ack_p999_us, self.ack_max_us];
        let [p50, p99, p999, max] = figures.map(text::micros);
        let from = if asked.intended { " (from the intended time)" } else { "" };
        lines.line("ack latency", format!("p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}{from}"));
    }
}

impl Cost {
    fn show(&self, lines: &mut Lines) {
        lines.line(
            "engine CPU",
            format!(
                "{:.2} us a voucher: {:.2} verify, {:.2} everything else",
                self.server_cpu_us_per_voucher_total,
                self.server_cpu_us_per_voucher_verify,
                self.server_cpu_us_per_voucher_outside_verify
            ),
        );
        if let (Some(one), Some(all)) =
            (self.verify_strict_per_second_per_core, self.verify_strict_per_second_all_cores)
        {
            let (one, all) = (text::count(one), text::count(all));
            lines.line(
                "baseline",
                format!("plain verify_strict: {one}/s on one core, {all}/s on all"),
            );
        }
        let signed = text::count(self.signatures_per_second);
        match self.import_parties_per_second {
            None => lines.line("beforehand", format!("{signed} signatures/s made")),
            Some(rate) => lines.line(
                "beforehand",
                format!("{} parties/s registered, {signed} signatures/s made", text::count(rate)),
            ),
        }
    }
}

impl Owed {
    /// Gross, bilateral and multilateral, in count and value.
    pub fn show(&self, asked: &Asked, lines: &mut Lines) {
        let value = |sum: &str| -> u128 { sum.parse().expect("we wrote the sum") };
        let (pairs, gross) = (u128::from(self.pairs), value(&self.gross));
        let head = format!("value {}", asked.asset_code);
        lines.line("", format!("{:>12} {:>9} {head:>20}", "count", ""));
        let mut row = |name: &str, count: u64, sum: u128, less: [String; 2]| {
            let ([fewer, smaller], count) = (less, text::count(count));
            let sum = text::money(sum, u32::from(asked.scale));
            lines.line(name, format!("{count:>12} {fewer:>9} {sum:>20} {smaller:>9}"));
        };
        row("gross", self.pairs, gross, [String::new(), String::new()]);
        for (name, count, sum) in [
            ("bilateral", self.net_pairs, value(&self.net_bilateral)),
            ("multilateral", self.positions, value(&self.net_multilateral)),
        ] {
            let less = [text::shrink(pairs, u128::from(count)), text::shrink(gross, sum)];
            row(name, count, sum, less);
        }
    }
}
