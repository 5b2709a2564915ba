//! What a bank's file says that moves no leg and that a person should see.
//!
//! Owns the words.

use super::answer::{Money, Scope};
use std::fmt;

/// Something that moves no leg and that a person should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The status report answers a message that is no pain.001, so it was not looked at.
    NotOurKind {
        /// What it answers.
        answers: String,
    },
    /// A transaction that the bank does not name by its `EndToEndId`.
    Unnamed {
        /// The payment information block or message it is in, if named.
        within: String,
        /// What the bank says of it.
        status: String,
        /// Why, on one line.
        reason: String,
        /// What the bank says in words.
        words: String,
        /// Its amount.
        amount: Option<Money>,
    },
    /// A transaction with a leg's key in a file that is none of ours.
    OtherFile {
        /// The leg.
        key: String,
        /// The payment information block or message.
        within: String,
        /// What the bank says of it.
        status: String,
    },
    /// One entry for many transactions that are not listed: proves none of them.
    BatchBooked {
        /// The payment information block or message.
        within: String,
        /// The bank's reference.
        reference: String,
        /// The sum.
        amount: Option<Money>,
        /// It came back.
        is_back: bool,
    },
    /// The bank's fee for a transaction: no payment.
    Charge {
        /// The transaction.
        key: String,
        /// The fee.
        amount: Option<Money>,
    },
    /// Money that somebody drew from the account by direct debit, and that quotes a leg.
    Drawn {
        /// The leg.
        key: String,
        /// The bank's reference.
        reference: String,
        /// The sum.
        amount: Option<Money>,
    },
    /// One payment that quotes several legs' keys: no leg can be told apart.
    SeveralKeys {
        /// The first of them.
        key: String,
        /// The bank's reference.
        reference: String,
        /// The sum.
        amount: Option<Money>,
    },
    /// A report of the day shows money that came in or came back: it is not final.
    NotFinal {
        /// The leg.
        key: String,
        /// The bank's reference.
        reference: String,
        /// The sum.
        amount: Option<Money>,
        /// It came back.
        is_back: bool,
    },
    /// The bank took it on with a change (ACWC); the reason says which.
    Changed {
        /// Whom it is about.
        scope: Scope,
        /// Why, on one line.
        reason: String,
        /// What the bank says in words.
        words: String,
    },
}

impl Note {
    /// What the bank says in words: for the note beside the answer, and never to be journaled.
    pub fn words(&self) -> &str {
        match self {
            Self::Unnamed { words, .. } | Self::Changed { words, .. } => words,
            Self::NotOurKind { .. }
            | Self::OtherFile { .. }
            | Self::BatchBooked { .. }
            | Self::Charge { .. }
            | Self::Drawn { .. }
            | Self::SeveralKeys { .. }
            | Self::NotFinal { .. } => "",
        }
    }
}

/// One sentence for a person.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |amount: &Option<Money>| {
            amount.as_ref().map_or_else(|| "a sum that is not told".to_owned(), Money::to_string)
        };
        match self {
            Self::NotOurKind { answers } => {
                write!(
                    f,
                    "the status report answers {answers}, which is no payment file of ours: not looked at"
                )
            }
            Self::Unnamed { within, status, reason, amount, words: _ } => write!(
                f,
                "the bank says {status} {reason} of a transaction of {} in {within} and does not name \
                 its EndToEndId: no leg moved, find out which it is",
                sum(amount)
            ),
            Self::OtherFile { key, within, status } => write!(
                f,
                "the bank says {status} of leg {key} in {within}, which is no file of ours: it is about a copy, and \
                 no leg moved; find out who handed that in, for the leg may be paid twice"
            ),
            Self::BatchBooked { within, reference, amount, is_back: true } => write!(
                f,
                "{} came back for {within} as one sum ({reference}), and no transaction is listed: no leg \
                 moved, ask the bank which payments they are and move them by hand",
                sum(amount)
            ),
            Self::BatchBooked { within, reference, amount, is_back: false } => write!(
                f,
                "the bank has booked {within} as one sum, {} ({reference}), and lists no transaction: \
                 that it has the file is certain, and not which payments were made; no leg moved",
                sum(amount)
            ),
            Self::Charge { key, amount } => {
                write!(f, "the bank took a fee of {} for leg {key}", sum(amount))
            }
            Self::Drawn { key, reference, amount } => write!(
                f,
                "somebody drew {} ({reference}) from the account by direct debit and quotes leg {key}: that is no \
                 payment of ours, and no leg moved; see whether it is rightful",
                sum(amount)
            ),
            Self::SeveralKeys { key, reference, amount } => write!(
                f,
                "one payment of {} ({reference}) quotes the keys of several legs, {key} among them: no leg \
                 moved, move them by hand",
                sum(amount)
            ),
            Self::NotFinal { key, reference, amount, is_back } => {
                let came = if *is_back { "came back" } else { "came in" };
                write!(
                    f,
                    "a report of the day (camt.052) shows that {} ({reference}) {came} for leg {key}: it is \
                     not final, and nothing moves before a statement (camt.053) or notification (camt.054) \
                     has it",
                    sum(amount)
                )
            }
            Self::Changed { scope, reason, words: _ } => {
                write!(f, "the bank took on {scope} with a change: {reason}")
            }
        }
    }
}
