//! What commands print: records of named cells, as JSON Lines or for people.
//!
//! One description of a message gives both forms, so that they never differ in names or content.
//! Owns how records stand below each other. Never talks to the engine.

mod cell;

pub(in crate::cli) use cell::time_text;
pub use cell::{AssetText, AssetTexts, Cell, Texts, hex, printable};

use super::CliError;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io::{BufWriter, Stdout, Write};

/// Rows of a table that are held back to find the columns' widths; later rows follow those widths.
const TABLE_SAMPLE_ROWS: usize = 1_000;

/// Named cells, in the order in which people read them.
#[derive(Debug, Clone, Default)]
pub struct Record(pub Vec<(&'static str, Cell)>);

impl Record {
    /// The record as a JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let members = self.0.iter().map(|(name, cell)| ((*name).to_owned(), cell.json()));
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// Whether amounts are in it, so that the assets are needed to show it to people.
    #[must_use]
    pub fn has_money(&self) -> bool {
        self.0.iter().any(|(_, cell)| cell.has_money())
    }

    /// Adds the parties whose names people are to see beside their ids.
    pub fn add_parties(&self, parties: &mut BTreeSet<Bytes>) {
        self.0.iter().for_each(|(_, cell)| cell.add_parties(parties));
    }

    /// `name  value` lines; records within it as tables below their name.
    fn lines(&self, texts: &Texts) -> String {
        let width = self.0.iter().map(|(name, _)| shown_name(name).len()).max().unwrap_or(0);
        let mut out = String::new();
        for (name, cell) in &self.0 {
            let name = shown_name(name);
            let Cell::Records(records) = cell else {
                out.push_str(&format!("{name:width$}  {}\n", cell.line(texts)));
                continue;
            };
            if records.is_empty() {
                out.push_str(&format!("{name:width$}  -\n"));
                continue;
            }
            out.push_str(name);
            out.push('\n');
            let mut table = Table::default();
            records.iter().for_each(|record| table.push(record, &[], texts));
            for line in table.drain().lines() {
                out.push_str("  ");
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }
}

/// Rows under one header, padded to columns.
#[derive(Default)]
struct Table {
    rows: Vec<Vec<String>>,
    names: Vec<&'static str>,
    right: Vec<bool>,
    widths: Vec<usize>,
    header_done: bool,
}

impl Table {
    /// Adds a row: the named columns of the record, all of them where none are named. What a record
    /// does not have is `-`.
    fn push(&mut self, record: &Record, columns: &[&'static str], texts: &Texts) {
        if self.rows.is_empty() && !self.header_done {
            let all = record.0.iter().map(|(name, _)| *name);
            self.names = if columns.is_empty() { all.collect() } else { columns.to_vec() };
            let is_number = |name: &&str| record.cell(name).is_some_and(Cell::is_number);
            self.right = self.names.iter().map(is_number).collect();
            self.rows.push(self.names.iter().map(|name| shown_name(name).to_owned()).collect());
        }
        let text = |name: &&str| record.cell(name).map_or_else(|| "-".into(), |of| of.text(texts));
        self.rows.push(self.names.iter().map(text).collect());
    }

    /// The rows so far, as lines. The first call fixes the widths of the columns.
    fn drain(&mut self) -> String {
        if !self.header_done {
            self.widths = vec![0; self.right.len()];
            for row in &self.rows {
                for (width, text) in self.widths.iter_mut().zip(row) {
                    *width = (*width).max(text.chars().count());
                }
            }
            self.header_done = true;
        }
        let mut out = String::new();
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for ((text, &width), &right) in row.iter().zip(&self.widths).zip(&self.right) {
                let cell =
                    if right { format!("{text:>width$}  ") } else { format!("{text:width$}  ") };
                line.push_str(&cell);
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Standard output: one JSON object per line, or text for people.
pub struct Output {
    json: bool,
    out: BufWriter<Stdout>,
    table: Table,
}

impl Output {
    /// For standard output.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json, out: BufWriter::new(std::io::stdout()), table: Table::default() }
    }

    /// Whether JSON is printed.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one record.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn record(&mut self, record: &Record, texts: &Texts) -> Result<(), CliError> {
        let text = if self.json { json_line(record) } else { record.lines(texts) };
        self.write(&text)
    }

    /// Prints one row of a list; `finish` ends it. People see the `columns`, all of them if empty.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn row(
        &mut self,
        record: &Record,
        columns: &[&'static str],
        texts: &Texts,
    ) -> Result<(), CliError> {
        if self.json {
            return self.write(&json_line(record));
        }
        self.table.push(record, columns, texts);
        if self.table.rows.len() > TABLE_SAMPLE_ROWS {
            let text = self.table.drain();
            self.write(&text)?;
        }
        Ok(())
    }

    /// Prints text as it is.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.write(text)
    }

    /// Prints text as it is, with a line end.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.write(&format!("{text}\n"))
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn finish(&mut self) -> Result<(), CliError> {
        let text = self.table.drain();
        self.write(&text)?;
        self.out.flush().map_err(CliError::Output)
    }

    fn write(&mut self, text: &str) -> Result<(), CliError> {
        self.out.write_all(text.as_bytes()).map_err(CliError::Output)
    }
}

impl Record {
    fn cell(&self, name: &str) -> Option<&Cell> {
        self.0.iter().find(|(of, _)| *of == name).map(|(_, cell)| cell)
    }
}

fn json_line(record: &Record) -> String {
    format!("{}\n", record.json())
}

/// A name of the contract as people see it: times are not shown in microseconds.
fn shown_name(name: &'static str) -> &'static str {
    name.strip_suffix("_us").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::cell::tests::euro;
    use super::*;

    #[test]
    fn json_keeps_names_and_types() {
        let record = Record(vec![
            ("party_id", Cell::Hex(Bytes::from_static(&[0xab, 1]))),
            ("lane", Cell::Label(u64::MAX)),
            ("lsn", Cell::Count(7)),
            ("cut_at_us", Cell::Micros(1_500_000)),
            ("revoked", Cell::Flag(false)),
            ("windows", Cell::Counts(vec![1, 2])),
            ("caps", Cell::Records(vec![Record(vec![("amount", Cell::Money("5".into(), 978))])])),
        ]);
        let expected = serde_json::json!({
            "party_id": "ab01", "lane": "18446744073709551615", "lsn": 7, "cut_at_us": 1_500_000,
            "revoked": false, "windows": [1, 2], "caps": [{"amount": "5"}],
        });
        assert_eq!(record.json(), expected);
        assert!(record.has_money());
    }

    /// The first row decided which columns there are, and the cells of others stood under them.
    #[test]
    fn a_cell_stands_under_its_name_whatever_other_rows_have() {
        let (mut table, texts) = (Table::default(), Texts::default());
        let columns = ["name", "made_by", "rate"];
        let of = |made_by: Option<&str>, rate| {
            let mut cells = vec![("name", Cell::Text("ann".into()))];
            cells.extend(made_by.map(|by| ("made_by", Cell::Text(by.into()))));
            cells.push(("rate", Cell::Count(rate)));
            Record(cells)
        };
        for record in [of(None, 7), of(Some("bob"), 12)] {
            table.push(&record, &columns, &texts);
        }
        let shown = ["name  made_by  rate", "ann   -           7", "ann   bob        12", ""];
        assert_eq!(table.drain(), shown.join("\n"));
    }

    #[test]
    fn people_see_aligned_lines_and_tables_within() {
        let caps = vec![
            Record(vec![("asset", Cell::Count(978)), ("amount", Cell::Money("5".into(), 978))]),
            Record(vec![("asset", Cell::Count(1)), ("amount", Cell::Money("7".into(), 978))]),
        ];
        let record = Record(vec![
            ("at_us", Cell::Micros(1_500_000)),
            ("from", Cell::Party(Bytes::from_static(&[0; 32]))),
            ("name", Cell::Text("a\u{1b}[31m".into())),
            ("caps", Cell::Records(caps)),
        ]);
        let expected = [
            "at    1970-01-01T00:00:01.5Z",
            "from  clearing",
            "name  a\\u{1b}[31m",
            "caps",
            "  asset        amount",
            "    978  0.000005 EUR",
            "      1  0.000007 EUR",
        ];
        assert_eq!(record.lines(&euro()).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn columns_keep_their_widths_after_the_first_rows() {
        let row = |n| Record(vec![("n", Cell::Count(n)), ("x", Cell::Text("y".into()))]);
        let mut table = Table::default();
        table.push(&row(100), &["n"], &euro());
        assert_eq!(table.drain(), "  n\n100\n");
        table.push(&row(7), &["n"], &euro());
        assert_eq!(table.drain(), "  7\n");
    }
}
