//! What commands print: records of named cells, as JSON Lines or for people.
//!
//! One description of a message gives both forms, so that they never differ in names or content.
//! Owns how money, times and bytes are shown. Never talks to the engine.

use super::CliError;
use crate::types::{PartyId, Total};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufWriter, Stdout, Write};

/// Rows of a table that are held back to find the columns' widths; later rows follow those widths.
const TABLE_SAMPLE_ROWS: usize = 1_000;

/// One value.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Text as it is.
    Text(String),
    /// A count, a position or a number of something.
    Count(u64),
    /// A 64-bit value that only identifies (a lane): a string in JSON, where 2^53 is the limit.
    Label(u64),
    /// Unix seconds.
    Seconds(i64),
    /// Microseconds since 1970, 0 for never; its name ends in `_us`.
    Micros(i64),
    /// Yes or no.
    Flag(bool),
    /// Bytes, in hexadecimal.
    Hex(Bytes),
    /// A party's id; all zero is the clearing account.
    Party(Bytes),
    /// A sum in asset units, as decimal digits, perhaps negative.
    Money(String, u32),
    /// Several counts.
    Counts(Vec<u64>),
    /// Settlement accounts: rail to field to value.
    Accounts(BTreeMap<String, BTreeMap<String, String>>),
    /// Records within a record.
    Records(Vec<Record>),
}

/// Named cells, in the order in which people read them.
#[derive(Debug, Clone, Default)]
pub struct Record(pub Vec<(&'static str, Cell)>);

/// What is needed to show an asset's amounts: its code and scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetText {
    /// Its code.
    pub code: String,
    /// Its scale.
    pub scale: u32,
}

/// The assets whose amounts can be shown in wholes.
pub type AssetTexts = BTreeMap<u32, AssetText>;

impl Cell {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) | Self::Money(text, _) => Value::from(text.as_str()),
            Self::Count(count) => Value::from(*count),
            Self::Label(label) => Value::from(label.to_string()),
            Self::Seconds(time) | Self::Micros(time) => Value::from(*time),
            Self::Flag(flag) => Value::from(*flag),
            Self::Hex(bytes) | Self::Party(bytes) => Value::from(hex(bytes)),
            Self::Counts(counts) => Value::from(counts.as_slice()),
            Self::Accounts(accounts) => {
                let fields = |fields: &BTreeMap<String, String>| {
                    let fields = fields.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str())));
                    Value::Object(fields.collect())
                };
                let rails = accounts.iter().map(|(rail, account)| (rail.clone(), fields(account)));
                Value::Object(rails.collect())
            }
            Self::Records(records) => records.iter().map(Record::json).collect(),
        }
    }

    /// The cell on one line.
    fn text(&self, assets: &AssetTexts) -> String {
        match self {
            Self::Text(text) => or_dash(printable(text)),
            Self::Count(count) => count.to_string(),
            Self::Label(label) => label.to_string(),
            Self::Seconds(seconds) => time_text(seconds.checked_mul(1_000_000)),
            Self::Micros(0) => "-".into(),
            Self::Micros(micros) => time_text(Some(*micros)),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.into(),
            Self::Hex(bytes) => or_dash(hex(bytes)),
            Self::Party(id) if id.as_ref() == PartyId::CLEARING.0 => "clearing".into(),
            Self::Party(id) => or_dash(hex(id)),
            Self::Money(units, asset) => money_text(units, *asset, assets),
            Self::Counts(counts) => {
                let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
                or_dash(counts.join(","))
            }
            Self::Accounts(accounts) => {
                let lines = accounts.iter().map(|(rail, fields)| {
                    let fields: Vec<String> =
                        fields.iter().map(|(k, v)| printable(&format!("{k}={v}"))).collect();
                    format!("{}: {}", printable(rail), fields.join(", "))
                });
                or_dash(lines.collect::<Vec<_>>().join("; "))
            }
            Self::Records(records) => {
                let texts = records.iter().map(|record| {
                    let cells = record.0.iter().map(|(_, cell)| cell.text(assets));
                    cells.collect::<Vec<_>>().join(" ")
                });
                or_dash(texts.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Whether a column of such cells lines up at its right.
    fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Label(_) | Self::Money(..))
    }

    /// Whether `text` needs the assets.
    fn has_money(&self) -> bool {
        match self {
            Self::Money(..) => true,
            Self::Records(records) => records.iter().any(Record::has_money),
            Self::Text(_)
            | Self::Count(_)
            | Self::Label(_)
            | Self::Seconds(_)
            | Self::Micros(_)
            | Self::Flag(_)
            | Self::Hex(_)
            | Self::Party(_)
            | Self::Counts(_)
            | Self::Accounts(_) => false,
        }
    }
}

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

    /// `name  value` lines; records within it as tables below their name.
    fn lines(&self, assets: &AssetTexts) -> String {
        let width = self.0.iter().map(|(name, _)| shown_name(name).len()).max().unwrap_or(0);
        let mut out = String::new();
        for (name, cell) in &self.0 {
            let name = shown_name(name);
            let Cell::Records(records) = cell else {
                out.push_str(&format!("{name:width$}  {}\n", cell.text(assets)));
                continue;
            };
            if records.is_empty() {
                out.push_str(&format!("{name:width$}  -\n"));
                continue;
            }
            out.push_str(name);
            out.push('\n');
            let mut table = Table::default();
            records.iter().for_each(|record| table.push(record, &[], assets));
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
    right: Vec<bool>,
    widths: Vec<usize>,
    header_done: bool,
}

impl Table {
    /// Adds a row: the named columns of the record, all of them where none are named.
    fn push(&mut self, record: &Record, columns: &[&'static str], assets: &AssetTexts) {
        let chosen =
            record.0.iter().filter(|(name, _)| columns.is_empty() || columns.contains(name));
        let (names, cells): (Vec<_>, Vec<_>) = chosen.map(|(name, cell)| (*name, cell)).unzip();
        if self.rows.is_empty() && !self.header_done {
            self.right = cells.iter().map(|cell| cell.is_number()).collect();
            self.rows.push(names.into_iter().map(|name| shown_name(name).to_owned()).collect());
        }
        self.rows.push(cells.into_iter().map(|cell| cell.text(assets)).collect());
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
    pub fn record(&mut self, record: &Record, assets: &AssetTexts) -> Result<(), CliError> {
        let text = if self.json { json_line(record) } else { record.lines(assets) };
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
        assets: &AssetTexts,
    ) -> Result<(), CliError> {
        if self.json {
            return self.write(&json_line(record));
        }
        self.table.push(record, columns, assets);
        if self.table.rows.len() > TABLE_SAMPLE_ROWS {
            let text = self.table.drain();
            self.write(&text)?;
        }
        Ok(())
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

fn json_line(record: &Record) -> String {
    format!("{}\n", record.json())
}

/// Lowercase hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// A name of the contract as people see it: times are not shown in microseconds.
fn shown_name(name: &'static str) -> &'static str {
    name.strip_suffix("_us").unwrap_or(name)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

/// Text that came from elsewhere, without control characters: it must not steer a terminal.
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

pub(super) fn time_text(micros: Option<i64>) -> String {
    let time = micros.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    time.map_or_else(|| "out of range".into(), |time| time.to_string())
}

/// "12.345678 EUR"; "12345678 units of asset 978" for an asset that is not known.
fn money_text(units: &str, asset: u32, assets: &AssetTexts) -> String {
    let (sign, digits) = match units.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", units),
    };
    match (assets.get(&asset), digits.parse().map(Total)) {
        (Some(AssetText { code, scale }), Ok(sum)) => {
            format!("{sign}{} {}", sum.decimal(*scale), printable(code))
        }
        (Some(_) | None, Ok(_) | Err(_)) => {
            format!("{} units of asset {asset}", printable(units))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euro() -> AssetTexts {
        BTreeMap::from([(978, AssetText { code: "EUR".into(), scale: 6 })])
    }

    #[test]
    fn money_is_shown_in_wholes_and_kept_in_units_in_json() {
        let cell = Cell::Money("12345678".into(), 978);
        assert_eq!(cell.text(&euro()), "12.345678 EUR");
        assert_eq!(cell.json(), "12345678");
        assert_eq!(Cell::Money("-5".into(), 978).text(&euro()), "-0.000005 EUR");
        assert_eq!(Cell::Money("7".into(), 1).text(&euro()), "7 units of asset 1");
    }

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
