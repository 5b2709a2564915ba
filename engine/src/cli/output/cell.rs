//! One value as it is printed: for programs and for people. Owns how money, times, ids and bytes
//! are shown.

use super::Record;
use crate::types::{PartyId, Total};
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One value.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Text as it is.
    Text(String),
    /// A count, a position or a number of something.
    Count(u64),
    /// A 64-bit value that only identifies (a lane): a string in JSON, where 2^53 is the limit.
    Label(u64),
    /// Unix seconds, 0 for never.
    Seconds(i64),
    /// Microseconds since 1970, 0 for never; its name ends in `_us`.
    Micros(i64),
    /// Yes or no.
    Flag(bool),
    /// Bytes, in hexadecimal.
    Hex(Bytes),
    /// An id that every command takes by its first digits: in a table people see those.
    Id(Bytes),
    /// A party's id; all zero is the clearing account. People see the party's name beside it.
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

/// What is known beside the records themselves, to show them to people.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Codes and scales of assets.
    pub assets: AssetTexts,
    /// Names of parties, by their ids; empty where none is known.
    pub names: BTreeMap<Bytes, String>,
}

/// Digits of an id in a table: enough for every command.
const ID_DIGITS: usize = 16;
/// Letters of a name beside an id in a table.
const NAME_LETTERS: usize = 28;

impl Cell {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text(text) | Self::Money(text, _) => Value::from(text.as_str()),
            Self::Count(count) => Value::from(*count),
            Self::Label(label) => Value::from(label.to_string()),
            Self::Seconds(time) | Self::Micros(time) => Value::from(*time),
            Self::Flag(flag) => Value::from(*flag),
            Self::Hex(bytes) | Self::Id(bytes) | Self::Party(bytes) => Value::from(hex(bytes)),
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
    pub(super) fn text(&self, texts: &Texts) -> String {
        match self {
            Self::Text(text) => or_dash(printable(text)),
            Self::Count(count) => count.to_string(),
            Self::Label(label) => label.to_string(),
            Self::Seconds(0) => "-".into(),
            Self::Seconds(seconds) => time_text(seconds.checked_mul(1_000_000)),
            Self::Micros(0) => "-".into(),
            Self::Micros(micros) => time_text(Some(*micros)),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.into(),
            Self::Hex(bytes) => or_dash(hex(bytes)),
            Self::Id(bytes) => or_dash(first_digits(bytes)),
            Self::Party(id) if id.as_ref() == PartyId::CLEARING.0 => "clearing".into(),
            Self::Party(id) => match name_of(id, texts) {
                Some(name) => format!("{} {}", first_digits(id), cut(&printable(name))),
                None => or_dash(hex(id)),
            },
            Self::Money(units, asset) => money_text(units, *asset, &texts.assets),
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
                    let cells = record.0.iter().map(|(_, cell)| cell.text(texts));
                    cells.collect::<Vec<_>>().join(" ")
                });
                or_dash(texts.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// The cell where it has a line to itself: nothing of it is cut off.
    pub(super) fn line(&self, texts: &Texts) -> String {
        match self {
            Self::Id(bytes) => or_dash(hex(bytes)),
            Self::Party(id) => match name_of(id, texts) {
                Some(name) => format!("{} {}", hex(id), printable(name)),
                None => self.text(texts),
            },
            Self::Text(_)
            | Self::Count(_)
            | Self::Label(_)
            | Self::Seconds(_)
            | Self::Micros(_)
            | Self::Flag(_)
            | Self::Hex(_)
            | Self::Money(..)
            | Self::Counts(_)
            | Self::Accounts(_)
            | Self::Records(_) => self.text(texts),
        }
    }

    /// Whether a column of such cells lines up at its right.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Label(_) | Self::Money(..))
    }

    /// Whether `text` needs the assets.
    pub(super) fn has_money(&self) -> bool {
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
            | Self::Id(_)
            | Self::Party(_)
            | Self::Counts(_)
            | Self::Accounts(_) => false,
        }
    }

    /// Adds the parties whose names `text` needs.
    pub(super) fn add_parties(&self, parties: &mut BTreeSet<Bytes>) {
        match self {
            Self::Party(id) if id.as_ref() != PartyId::CLEARING.0 && !id.is_empty() => {
                parties.insert(id.clone());
            }
            Self::Records(records) => {
                let cells = records.iter().flat_map(|record| &record.0);
                cells.for_each(|(_, cell)| cell.add_parties(parties));
            }
            Self::Text(_)
            | Self::Count(_)
            | Self::Label(_)
            | Self::Seconds(_)
            | Self::Micros(_)
            | Self::Flag(_)
            | Self::Hex(_)
            | Self::Id(_)
            | Self::Party(_)
            | Self::Money(..)
            | Self::Counts(_)
            | Self::Accounts(_) => {}
        }
    }
}

/// Lowercase hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// What is shown of an id in a table.
fn first_digits(id: &[u8]) -> String {
    let mut digits = hex(id);
    digits.truncate(ID_DIGITS);
    digits
}

/// A party's name, if it is known.
fn name_of<'a>(party: &Bytes, texts: &'a Texts) -> Option<&'a str> {
    texts.names.get(party).map(String::as_str).filter(|name| !name.is_empty())
}

/// As much of a name as a table has room for.
fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_LETTERS {
        return name.to_owned();
    }
    let mut cut: String = name.chars().take(NAME_LETTERS - 1).collect();
    cut.push('…');
    cut
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

/// Text that came from elsewhere, as one line that shows all of itself: it must not steer a
/// terminal, turn round what is read, or look like another text.
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        if is_unseen(c) { c.escape_unicode().to_string() } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

/// What a terminal obeys and does not show: control characters, marks of the direction in which
/// text runs (Unicode's bidirectional controls), ends of lines, and what has no width.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

pub(in crate::cli) fn time_text(micros: Option<i64>) -> String {
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
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::output) fn euro() -> Texts {
        let euro = AssetText { code: "EUR".into(), scale: 6 };
        Texts { assets: BTreeMap::from([(978, euro)]), ..Texts::default() }
    }

    #[test]
    fn people_see_names_beside_ids_and_programs_whole_ids() {
        let id = Bytes::from(vec![0xab; 32]);
        let long = "Müller & Søn Handelsgesellschaft mbH";
        for (name, shown) in [
            ("Müller & Søn", "abababababababab Müller & Søn"),
            (long, "abababababababab Müller & Søn Handelsgesells…"),
            ("", &"ab".repeat(32)),
        ] {
            let texts = Texts { names: [(id.clone(), name.to_owned())].into(), ..euro() };
            let cell = Cell::Party(id.clone());
            assert_eq!(cell.text(&texts), shown);
            assert!(cell.line(&texts).ends_with(if name.is_empty() { "ab" } else { name }));
            assert_eq!(cell.json(), "ab".repeat(32));
            let mut parties = BTreeSet::new();
            Record(vec![("all", Cell::Records(vec![Record(vec![("from", cell)])]))])
                .add_parties(&mut parties);
            assert_eq!(parties, [id.clone()].into());
        }
        assert_eq!(Cell::Id(id.clone()).text(&euro()), "abababababababab");
        assert_eq!(Cell::Id(id).line(&euro()), "ab".repeat(32));
    }

    /// A name turned round what stood behind it, or was another than it looked.
    #[test]
    fn what_others_chose_shows_all_of_itself_and_steers_nothing() {
        for (name, shown) in [
            ("Sel\u{1b}[2K\rler", "Sel\\u{1b}[2K\\u{d}ler"),
            ("Sel\nler\t", "Sel\\u{a}ler\\u{9}"),
            ("\u{202e}relleS", "\\u{202e}relleS"),
            ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"),
            ("Sel\u{200b}ler\u{feff}", "Sel\\u{200b}ler\\u{feff}"),
            ("Sel\u{2028}ler\u{85}", "Sel\\u{2028}ler\\u{85}"),
            ("Müller & Søn, 北京, سعيد", "Müller & Søn, 北京, سعيد"),
        ] {
            assert_eq!(Cell::Text(name.to_owned()).text(&euro()), shown);
            let id = Bytes::from(vec![0xab; 32]);
            let texts = Texts { names: [(id.clone(), name.to_owned())].into(), ..euro() };
            assert!(Cell::Party(id).line(&texts).ends_with(shown));
        }
    }

    #[test]
    fn money_is_shown_in_wholes_and_kept_in_units_in_json() {
        let cell = Cell::Money("12345678".into(), 978);
        assert_eq!(cell.text(&euro()), "12.345678 EUR");
        assert_eq!(cell.json(), "12345678");
        assert_eq!(Cell::Money("-5".into(), 978).text(&euro()), "-0.000005 EUR");
        assert_eq!(Cell::Money("7".into(), 1).text(&euro()), "7 units of asset 1");
    }
}
