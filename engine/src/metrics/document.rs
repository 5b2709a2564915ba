//! The document of all metrics, made of the table.

use super::table::{ALL, Metric};
use std::fmt::Write as _;

/// What stands above the tables.
const HEAD: &str = include_str!("head.md");

/// The text of `docs/METRICS.md`.
#[must_use]
pub(super) fn document() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for metric in ALL {
        if metric.section != section {
            section = metric.section;
            // Writing to a text does not fail.
            let _ = write!(
                text,
                "\n## {section}\n\n| name | type | labels | what it is |\n|---|---|---|---|\n"
            );
        }
        let Metric { name, kind, labels, help, .. } = metric;
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.name(), labels.join(", "));
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {help} |");
    }
    text
}
