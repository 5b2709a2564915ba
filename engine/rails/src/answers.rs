//! Answers of the rails that work with files, whatever their format: read whole, then handed out as
//! what they say of legs, by the names that the rail has for them.
//!
//! Owns what is asked of every answer. How a report becomes a statement of the ledger's is each
//! rail's own. Never knows which batches there are, and never decides whether a leg moves.

use super::{Part, rules};
use std::io::BufRead;
use std::ops::Range;
use tallystick_ledger::hearing::{Side, Statement};
use tallystick_ledger::types::{AssetDef, Total};
use tallystick_ledger::{BatchHead, Rail, TroubleKind};

/// One answer, read.
pub struct Answer {
    reports: Box<dyn Reports>,
    remarks: Vec<Remark>,
    more_remarks: u64,
    /// What is somebody else's business.
    others: u64,
    /// Names that are no leg's by their form; the first of them.
    strangers: Vec<String>,
    more_strangers: u64,
}

/// What an answer reports, one by one, by their numbers. What a format cannot say has a default.
pub(crate) trait Reports {
    /// Whom each report is about, and how wide it is, in the order of the answer.
    fn names(&self) -> Vec<(Name<'_>, Breadth)>;

    /// The places in a part of a batch of which a report speaks, if it is about a file.
    fn of_file(&self, _number: usize, _part: &Part) -> Range<usize> {
        0..0
    }

    /// What a report says of a leg; `None` if it is nothing to act on.
    fn statement(&self, number: usize, leg: About<'_>) -> Option<Statement>;

    /// The status of a report that is nothing to act on and worth a word.
    fn silent(&self, _number: usize) -> Option<String> {
        None
    }

    /// What the rail says of it in words: they may name people, so they are for the note beside the
    /// answer, which holds them anyway, and never to be journaled.
    fn words(&self, _number: usize) -> Option<&str> {
        None
    }

    /// The account whose money a report is about, in full: for the note beside the answer, which
    /// holds it anyway, and never to be journaled.
    fn account(&self, _number: usize) -> Option<&str> {
        None
    }

    /// The entry whose sum a report shares with others.
    fn shared(&self, _number: usize) -> Option<Shared<'_>> {
        None
    }

    /// Whether these sums, those of the legs that an entry lists, are all of what was booked.
    fn is_shared_out(&self, _entry: usize, _asset: &AssetDef, _legs: &[Total]) -> bool {
        false
    }

    /// Whether all that it speaks of was handed in under our name.
    fn is_about_instructions(&self) -> bool;
}

/// What is known here of what an answer may name.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The number of digits after the point of the asset of a leg, by the leg's name on the rail,
    /// if there is such a leg.
    pub scale: &'a dyn Fn(&str) -> Option<u32>,
    /// Whether an approved batch has a file, or a block in one, with this id.
    pub file: &'a dyn Fn(&str) -> bool,
}

impl Known<'_> {
    /// Every name of the right form is one of ours: for whoever has no ledger.
    pub const ANY: Known<'static> = Known { scale: &|_| Some(0), file: &|_| true };
}

/// An entry of which several legs share the sum.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// Its number in the answer.
    pub entry: usize,
    /// The names of the legs that it lists, in its order.
    pub legs: &'a [String],
}

/// What an id that a file of ours carries says of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// First hexadecimal digits of the batch's id, small letters.
    pub digits: String,
    /// The file's number in the batch.
    pub file: u32,
}

/// Whom a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// One leg, by what the rail calls it (`leg_name`).
    Leg(&'a str),
    /// All legs of a file that was sent, or of one debtor's block in it, by its id.
    File(&'a str),
}

/// How much a report speaks of at once: a narrow word stands against every wider one of the same
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breadth {
    /// One leg.
    Leg,
    /// One debtor's block of a file.
    Block,
    /// A file.
    Message,
}

/// What a person should read beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The leg that it is about, by its name on the rail, if one.
    pub leg: Option<String>,
    /// The file or block that it is about: of no interest if it is not one of ours.
    pub within: Option<String>,
    /// Whether it concerns our money, and as what.
    pub trouble: Option<TroubleKind>,
    /// What there is to say.
    pub text: String,
    /// What is said beside the answer alone, and never journaled: somebody's account, or words.
    pub aside: String,
}

/// A leg that an answer speaks of.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its batch.
    pub head: &'a BatchHead,
    /// The account that its money leaves, if it goes from party to party; else empty.
    pub account: &'a str,
    /// Which way its money goes.
    pub side: Side,
    /// Its sum, where it is known to be its share of an entry that names none.
    pub shared: Option<Total>,
}

/// What a rail says in words, as a note tells it.
pub(crate) fn in_words(words: &str) -> String {
    format!("in the bank's words: {words:?}")
}

impl Answer {
    /// Reads an answer of a rail whole.
    ///
    /// # Errors
    /// A text that says what is wrong with it, and where.
    pub fn read(rail: Rail, mut input: impl BufRead, known: Known<'_>) -> Result<Self, String> {
        let answers = rules(rail).answers();
        let answers = answers.ok_or("this rail answers calls, not with files")?;
        answers.read(&mut input, known)
    }

    /// What a rail has read.
    pub(crate) fn new(reports: impl Reports + 'static, remarks: Vec<Remark>) -> Self {
        let (strangers, more_strangers) = (Vec::new(), 0);
        let (reports, more_remarks, others) = (Box::new(reports), 0, 0);
        Self { reports, remarks, more_remarks, others, strangers, more_strangers }
    }

    /// The same, with how many remarks were left out, and how much is somebody else's business.
    pub(crate) fn with_counts(self, more_remarks: u64, others: u64) -> Self {
        Self { more_remarks, others, ..self }
    }

    /// The same, with names that are no leg's by their form, and how many more there are.
    pub(crate) fn with_strangers(self, strangers: Vec<String>, more_strangers: u64) -> Self {
        Self { strangers, more_strangers, ..self }
    }

    /// Whom each report is about, and how wide it is, in the order of the answer.
    #[must_use]
    pub fn names(&self) -> Vec<(Name<'_>, Breadth)> {
        self.reports.names()
    }

    /// The places in a part of a batch of which the report with this number speaks, if it is about
    /// a file.
    #[must_use]
    pub fn of_file(&self, number: usize, part: &Part) -> Range<usize> {
        self.reports.of_file(number, part)
    }

    /// What the report with this number says of a leg; `None` if it is nothing to act on.
    #[must_use]
    pub fn statement(&self, number: usize, leg: About<'_>) -> Option<Statement> {
        self.reports.statement(number, leg)
    }

    /// The status of the report with this number, where it is nothing to act on and worth a word.
    #[must_use]
    pub fn silent(&self, number: usize) -> Option<String> {
        self.reports.silent(number)
    }

    /// What the rail says in words in the report with this number, for the note beside the answer:
    /// they may name people, and are never to be journaled.
    #[must_use]
    pub fn words(&self, number: usize) -> Option<String> {
        self.reports.words(number).map(in_words)
    }

    /// The account whose money the report with this number is about, in full: for the note beside
    /// the answer, which holds it anyway, and never to be journaled.
    #[must_use]
    pub fn account(&self, number: usize) -> Option<&str> {
        self.reports.account(number)
    }

    /// The entry whose sum the report with this number shares with others.
    #[must_use]
    pub fn shared(&self, number: usize) -> Option<Shared<'_>> {
        self.reports.shared(number)
    }

    /// Whether these sums, those of the legs that an entry lists in their order, are all of what
    /// was booked.
    #[must_use]
    pub fn is_shared_out(&self, entry: usize, asset: &AssetDef, legs: &[Total]) -> bool {
        self.reports.is_shared_out(entry, asset, legs)
    }

    /// Whether all that it speaks of was handed in under our name: the status of instructions, or
    /// entries that come back. A statement of an account speaks of others', too.
    #[must_use]
    pub fn is_about_instructions(&self) -> bool {
        self.reports.is_about_instructions()
    }

    /// What there is to remark.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// How many more remarks there are than are kept.
    #[must_use]
    pub fn more_remarks(&self) -> u64 {
        self.more_remarks
    }

    /// How many movements are somebody else's business.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Names that are no leg's by their form, and how many more there are.
    #[must_use]
    pub fn strangers(&self) -> (&[String], u64) {
        (&self.strangers, self.more_strangers)
    }
}
