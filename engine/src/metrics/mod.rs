//! What the engine measures of itself, for Prometheus: the one table of metrics, the page that is
//! served of it, and how times are counted on the way.
//!
//! Owns names, types, labels and the text format, and what follows from the table alone:
//! `docs/METRICS.md` and the dashboards. Where the values come from is known to who puts them on
//! the page (`api/front/`). Nothing that is measured ever decides anything.

#[cfg(test)]
mod alerts;
mod boards;
mod document;
mod page;
mod table;
mod times;

pub use page::{Page, Seconds};
pub use table::*;
pub use times::{BOUNDS, Taken, Times};

/// What is made of the table: the path of each file, from the repository's root, and its content.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    let boards = boards::boards().into_iter();
    let boards = boards.map(|(name, text)| (format!("dist/grafana/{name}.json"), text));
    [("docs/METRICS.md".to_owned(), document::document())].into_iter().chain(boards).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_is_made_of_the_table_is_what_lies_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (path, text) in super::files() {
            let found = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
            assert!(found == text, "{path} is older than the table: cargo run --example metrics");
        }
    }
}
