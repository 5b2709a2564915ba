//! The page that Prometheus reads: every metric of the table with the values that were put on it,
//! in the text format 0.0.4.

use super::table::{ALL, Kind, Metric};
use super::times::{BOUNDS, Taken};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::time::Duration;

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Page {
    /// The lines of each metric, by its name.
    samples: BTreeMap<&'static str, String>,
}

/// A time in seconds, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

impl Page {
    /// Puts a value on it.
    pub fn put(&mut self, metric: &Metric, labels: &[&str], value: impl Display) {
        self.line(metric, "", labels, None, value);
    }

    /// Puts a count on it.
    pub fn count(&mut self, metric: &Metric, labels: &[&str], count: usize) {
        self.put(metric, labels, count);
    }

    /// Puts times on it: how many took up to each bound, how many there were, and their sum.
    pub fn times(&mut self, metric: &Metric, labels: &[&str], taken: &Taken) {
        let mut so_far = 0;
        for (bound, count) in BOUNDS.iter().zip(taken.buckets) {
            so_far += count;
            let bound = Seconds(Duration::from_micros(*bound)).to_string();
            let bound = bound.trim_end_matches('0').trim_end_matches('.');
            self.line(metric, "_bucket", labels, Some(bound), so_far);
        }
        self.line(metric, "_bucket", labels, Some("+Inf"), taken.count());
        self.line(metric, "_sum", labels, None, Seconds(taken.sum));
        self.line(metric, "_count", labels, None, taken.count());
    }

    fn line(
        &mut self,
        metric: &Metric,
        suffix: &str,
        labels: &[&str],
        bound: Option<&str>,
        value: impl Display,
    ) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        let pairs = metric.labels.iter().zip(labels).map(|(name, value)| (*name, *value));
        let pairs: Vec<String> = pairs
            .chain(bound.map(|bound| ("le", bound)))
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let lines = self.samples.entry(metric.name).or_default();
        let labels =
            if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        // Writing to a text does not fail.
        let _ = writeln!(lines, "{}{suffix}{labels} {value}", metric.name);
    }

    /// The whole text. Metrics without a value are on it, too, with their names and what they are.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Metric { name, kind, help, .. } in ALL {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
            text.push_str(self.samples.get(name).map_or("", String::as_str));
        }
        text
    }
}

impl Kind {
    /// Its word in the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::table::{ACK_SECONDS, DISK_FREE_BYTES, VOUCHERS};
    use super::*;

    #[test]
    fn a_page_holds_every_metric_once_and_its_values_under_it() {
        let mut page = Page::default();
        page.put(&VOUCHERS, &["credited"], 5);
        page.put(&DISK_FREE_BYTES, &[], 1_u64 << 40);
        page.put(&VOUCHERS, &["a \"b\"\\\n"], 7);
        let text = page.text();
        for Metric { name, .. } in ALL {
            let lines = text.lines().filter(|line| line.starts_with(&format!("# TYPE {name} ")));
            assert_eq!(lines.count(), 1, "{name}");
        }
        let under = text.split(&format!("# TYPE {} counter\n", VOUCHERS.name)).nth(1).unwrap();
        let own: Vec<&str> = under.lines().take_while(|line| !line.starts_with('#')).collect();
        assert_eq!(
            own,
            [
                "tallystick_vouchers_total{outcome=\"credited\"} 5",
                "tallystick_vouchers_total{outcome=\"a \\\"b\\\"\\\\\\n\"} 7",
            ]
        );
        assert!(text.contains("\ntallystick_disk_free_bytes 1099511627776\n"), "{text}");
    }

    #[test]
    fn times_are_cumulative_and_their_bounds_are_plain_decimals() {
        let mut taken = Taken { sum: Duration::from_millis(2_503), ..Taken::default() };
        (taken.buckets[0], taken.buckets[4], taken.buckets[18]) = (3, 2, 1);
        let mut page = Page::default();
        page.times(&ACK_SECONDS, &[], &taken);
        let text = page.text();
        for line in [
            "tallystick_ack_seconds_bucket{le=\"0.0001\"} 3",
            "tallystick_ack_seconds_bucket{le=\"0.0025\"} 5",
            "tallystick_ack_seconds_bucket{le=\"10\"} 5",
            "tallystick_ack_seconds_bucket{le=\"60\"} 5",
            "tallystick_ack_seconds_bucket{le=\"+Inf\"} 6",
            "tallystick_ack_seconds_sum 2.503000",
            "tallystick_ack_seconds_count 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
