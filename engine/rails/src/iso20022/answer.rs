//! What a bank's file says of legs, before it is known which batch they are of.
//!
//! Owns the words of a report: whom it is about, what it says, why, and which sum it names. Never
//! decides which legs a report moves (`legs.rs` does) or whether a leg may move (the engine does).

use super::super::status::LegWord;
use super::codes;
use super::note::Note;
use super::problem::ReadError;
use std::fmt;
use tallystick_ledger::limits::{ANSWER_NAMES_SHOWN, ANSWER_NOTES_MAX, TEXT_BYTES_MAX};
use tallystick_ledger::types::{AssetDef, Total};

/// Digits that an amount may have (ISO 20022, ActiveOrHistoricCurrencyAndAmount).
const AMOUNT_DIGITS_MAX: usize = 18;
/// Digits after the point that an amount may have.
const AMOUNT_DECIMALS_MAX: usize = 5;

/// Whom a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every transaction of a file that was sent.
    Message {
        /// Its `MsgId`.
        id: String,
    },
    /// Every transaction of one payment information block: of one debtor.
    Payment {
        /// Its `PmtInfId`.
        id: String,
    },
    /// One transaction.
    Leg {
        /// Its `EndToEndId`: the leg's key.
        key: String,
    },
}

/// Which way the money goes, seen from the account that the file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A payment that the bank was told to make.
    Out,
    /// A payment that somebody else made to the account: a pay-in.
    In,
}

/// Why, as far as the bank says it. Every text may be empty and is at most `TEXT_BYTES_MAX` bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// Code of the ISO list, such as AC04.
    pub code: String,
    /// A code of the bank's own.
    pub proprietary: String,
    /// All further reasons, as codes.
    pub further: String,
    /// What the bank says in words: they may name people, so they stand beside the answer alone and
    /// are never journaled.
    pub words: String,
    /// Who gave the reason: the BIC or other id of an organisation.
    pub originator: String,
    /// One of the codes says that the same was handed in before.
    pub is_duplicate: bool,
}

/// An amount as the bank wrote it: exact, in no asset's units yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// ISO 4217 code.
    pub currency: String,
    /// All digits, as one number.
    digits: u64,
    /// How many of them stand after the point.
    decimals: u32,
}

/// What the bank says of one transaction, one debtor's or a whole file's.
///
/// Reports of one file come narrow before wide: transactions, then their payment information block,
/// then the message. A wide one holds only for legs of which no narrower one of the file spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whom it is about.
    pub scope: Scope,
    /// What became of them. `None`: nothing to act on, and wider reports of the file do not hold
    /// for them either.
    pub word: Option<LegWord>,
    /// The bank's own word: a status code, or BOOK for an entry of an account.
    pub status: String,
    /// Which way the money goes.
    pub direction: Direction,
    /// The bank's reference; may be empty.
    pub reference: String,
    /// Why.
    pub reason: Reason,
    /// What moved, or was to move; `None` if the bank names no sum.
    pub amount: Option<Money>,
    /// What the payer instructed, if named apart: in another currency, it is this that counts.
    pub instructed: Option<Money>,
    /// The account on which it moved (IBAN or another id); empty in a status report.
    pub account: String,
    /// It was booked for good: money that moved. Else it is what the bank thinks so far.
    pub is_booked: bool,
    /// Tells it apart from other movements of the file where no reference of its own does; else 0.
    pub apart: u64,
    /// The sum of its entry, where that does not cover what the entry lists.
    pub uncovered: Option<Money>,
    /// The number of its entry among those of `Summary::shared`, if it is a part that names no sum.
    pub shared: Option<usize>,
}

/// A booked entry of several transactions, some of which name no sum. What they share out is its
/// sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedEntry {
    /// Its sum.
    pub amount: Option<Money>,
    /// How many transactions it lists.
    pub listed: u64,
    /// Keys of those that have one, in order, as often as they are listed.
    pub keys: Vec<String>,
    /// How many transactions it says that it has, if it says so.
    pub claimed: Option<u64>,
    /// The bank's reference.
    pub reference: String,
}

/// Kinds of files that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// pain.002: what the bank thinks of a file.
    Status,
    /// camt.052: entries of an account while the day lasts. None of them is final.
    Interim,
    /// camt.053: all entries of an account on a day.
    Statement,
    /// camt.054: entries as they are booked.
    Notification,
}

/// Where the reports of one file go.
pub(super) type Visit<'a, E> = &'a mut dyn FnMut(Report) -> Result<(), E>;

/// A file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What kind of file it is.
    pub kind: Kind,
    /// The message with its version, such as pain.002.001.10; without one if it says none.
    pub message: String,
    /// The bank's own id of the file (`GrpHdr/MsgId`).
    pub id: String,
    /// When the bank made it, as written.
    pub created: String,
    /// How many reports were handed out.
    pub reports: u64,
    /// Booked transactions of an account.
    pub booked: u64,
    /// Booked movements of an account that quote no leg's key: somebody else's business.
    pub others: u64,
    /// Guesses at keys that were looked up.
    pub guesses: u64,
    /// Entries of an account that are not booked (PDNG, INFO, ...).
    pub unbooked: u64,
    /// Entries whose sum is shared out among transactions that name none.
    pub shared: Vec<SharedEntry>,
    /// What a person should see; the first `ANSWER_NOTES_MAX`.
    pub notes: Vec<Note>,
    /// How many notes were left out.
    pub notes_left_out: u64,
    /// Why somebody else's entries could not be read; the first `ANSWER_NAMES_SHOWN`.
    pub passed_over: Vec<ReadError>,
    /// How many more of them there are.
    pub more_passed_over: u64,
}

/// A file that was read to its end, with all its reports: for files of bounded size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The file.
    pub summary: Summary,
    /// What it says, narrow before wide.
    pub reports: Vec<Report>,
}

impl Summary {
    pub(super) fn new(kind: Kind, message: String) -> Self {
        Self {
            kind,
            message,
            id: String::new(),
            created: String::new(),
            reports: 0,
            booked: 0,
            others: 0,
            guesses: 0,
            unbooked: 0,
            shared: Vec::new(),
            notes: Vec::new(),
            notes_left_out: 0,
            passed_over: Vec::new(),
            more_passed_over: 0,
        }
    }

    /// Whether it says what the bank thinks of instructions.
    #[must_use]
    pub fn is_status(&self) -> bool {
        match self.kind {
            Kind::Status => true,
            Kind::Interim | Kind::Statement | Kind::Notification => false,
        }
    }

    /// An entry that is somebody else's, and cannot be read: their money, and no reason to leave
    /// ours waiting.
    pub(super) fn pass_over(&mut self, fault: ReadError) {
        if self.passed_over.len() < ANSWER_NAMES_SHOWN {
            self.passed_over.push(fault);
        } else {
            self.more_passed_over += 1;
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < ANSWER_NOTES_MAX {
            self.notes.push(note);
        } else {
            self.notes_left_out += 1;
        }
    }
}

impl Report {
    /// The named amount that is in the asset's currency, in asset units. `Ok(None)`: no amount is
    /// named. `Err`: one is named, and it is in another currency or finer than the asset.
    ///
    /// # Errors
    /// The amount that is no whole number of asset units.
    pub fn units(&self, asset: &AssetDef) -> Result<Option<Total>, &Money> {
        let named = || self.amount.iter().chain(&self.instructed);
        match named().find(|money| money.currency == asset.code) {
            Some(money) => money.units(asset).map(Some).ok_or(money),
            None => named().next().map_or(Ok(None), Err),
        }
    }
}

impl Money {
    /// Reads an amount: a decimal number as XML Schema writes it ("12.3", "+012.30", ".5"), never
    /// negative, at most 18 digits and 5 of them after the point.
    pub(super) fn parse(text: &str, currency: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits_only = whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit());
        if !digits_only || whole.len() + part.len() == 0 {
            return None;
        }
        let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
        let long = whole.len() + part.len() > AMOUNT_DIGITS_MAX || part.len() > AMOUNT_DECIMALS_MAX;
        let code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        if long || !code {
            return None;
        }
        let digits = if whole.len() + part.len() == 0 { "0" } else { &format!("{whole}{part}") };
        let decimals = u32::try_from(part.len()).ok()?;
        Some(Self { currency: currency.to_owned(), digits: digits.parse().ok()?, decimals })
    }

    /// In the smallest part that any amount may have, whatever its currency.
    pub(super) fn parts(&self) -> i128 {
        let missing = u32::try_from(AMOUNT_DECIMALS_MAX).map_or(0, |most| most - self.decimals);
        i128::from(self.digits) * 10i128.pow(missing)
    }

    /// In units of the asset; `None` if it is in another currency or finer than one unit.
    #[must_use]
    pub fn units(&self, asset: &AssetDef) -> Option<Total> {
        if self.currency != asset.code {
            return None;
        }
        let digits = u128::from(self.digits);
        if let Some(more) = asset.scale.checked_sub(self.decimals) {
            return digits.checked_mul(10u128.checked_pow(more)?).map(Total);
        }
        let step = 10u128.pow(self.decimals - asset.scale);
        digits.is_multiple_of(step).then(|| Total(digits / step))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, Total(u128::from(self.digits)).decimal(self.decimals))
    }
}

impl Reason {
    /// Whether the bank gave none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// On one line, at most `TEXT_BYTES_MAX` bytes: "AC04 account closed (by BANKDEFFXXX)". The words
/// are ours, never the bank's.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.originator.is_empty() {
            String::new()
        } else {
            format!("(by {})", self.originator)
        };
        let mut line = String::new();
        for piece in [&self.code, codes::meaning(&self.code), &self.proprietary, &by] {
            add(&mut line, " ", piece);
        }
        add(&mut line, "; ", &self.further);
        f.write_str(&line)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id } => write!(f, "message {id}"),
            Self::Payment { id } => write!(f, "payment information {id}"),
            Self::Leg { key } => write!(f, "leg {key}"),
        }
    }
}

/// As much of a text as a report of a leg holds, on one line.
pub(super) fn bounded(text: &str) -> String {
    let mut line = String::new();
    add(&mut line, "", text);
    line
}

/// Puts `more` behind `text`, white space and control characters as single spaces, cut so that
/// `text` stays within `TEXT_BYTES_MAX` bytes.
pub(super) fn add(text: &mut String, between: &str, more: &str) {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let mut gap = if text.is_empty() { "" } else { between };
    for word in more.split(blank).filter(|word| !word.is_empty()) {
        for piece in [gap, word] {
            let room = TEXT_BYTES_MAX.saturating_sub(text.len());
            if piece.len() > room {
                text.push_str(&piece[..piece.floor_char_boundary(room)]);
                return;
            }
            text.push_str(piece);
        }
        gap = " ";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_ledger::types::{AssetNumber, SettlementModel};

    fn asset(code: &str, scale: u32) -> AssetDef {
        let model = SettlementModel::Multilateral;
        AssetDef { number: AssetNumber(1), code: code.into(), scale, model }
    }

    #[test]
    fn amounts_become_asset_units_exactly_or_not_at_all() {
        for (text, scale, units) in [
            ("12.34", 6, Some(12_340_000)),
            ("12.34", 2, Some(1_234)),
            ("12.340", 2, Some(1_234)),
            ("12.5", 0, None),
            ("12.00000", 0, Some(12)),
            ("+012.30", 2, Some(1_230)),
            (".5", 1, Some(5)),
            ("5.", 0, Some(5)),
            ("0", 2, Some(0)),
            ("000.000", 2, Some(0)),
            ("12.345", 2, None),
            ("999999999999999999", 18, Some(999_999_999_999_999_999 * 10u128.pow(18))),
        ] {
            let money = Money::parse(text, "EUR").unwrap_or_else(|| panic!("{text}"));
            assert_eq!(money.units(&asset("EUR", scale)), units.map(Total), "{text} at {scale}");
            assert_eq!(money.units(&asset("USD", scale)), None);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", ".", "-1", "-0", "1,5", "1e3", "1 000", "0x1", "1.2.3", "١", "1.123456", "INF"]
        {
            assert_eq!(Money::parse(text, "EUR"), None, "{text:?}");
        }
        assert_eq!(Money::parse("1000000000000000000", "EUR"), None);
        for currency in ["", "eur", "EURO", "E R", "€"] {
            assert_eq!(Money::parse("1", currency), None, "{currency:?}");
        }
        assert_eq!(Money::parse("0001.50", "EUR").unwrap().to_string(), "EUR 1.5");
    }

    #[test]
    fn reasons_are_one_bounded_line() {
        let reason = Reason {
            code: "AC04".into(),
            proprietary: "X-9".into(),
            further: "AM05\r\n handed\u{0} in before".into(),
            words: "call Ann".into(),
            originator: "BANK".into(),
            is_duplicate: false,
        };
        let told = "AC04 account closed X-9 (by BANK); AM05 handed in before";
        assert_eq!(reason.to_string(), told);
        let mut long = String::new();
        for _ in 0..100 {
            add(&mut long, "; ", "éééé é");
        }
        assert!((TEXT_BYTES_MAX - 1..=TEXT_BYTES_MAX).contains(&long.len()), "{}", long.len());
    }
}
