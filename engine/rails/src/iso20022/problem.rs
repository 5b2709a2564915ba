//! Why a bank's file is refused.
//!
//! Owns the words; each says what is wrong and, where it can, what to do. Shows at most a few
//! characters of what stands in the file.

use tallystick_ledger::limits::{
    ANSWER_ATTRIBUTES_MAX, ANSWER_DEPTH_MAX, ANSWER_EVENT_BYTES_MAX, ANSWER_GUESSES_MAX,
    ANSWER_REPORTS_MAX, ANSWER_TEXT_BYTES_MAX,
};

/// Why a file was refused, and where. Nothing in it counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (byte {offset}): {what}")]
pub struct ReadError {
    /// Line on which reading stopped, from 1.
    pub line: u64,
    /// Bytes read when it stopped.
    pub offset: u64,
    /// What is wrong.
    pub what: Problem,
}

impl ReadError {
    /// Of a file as a whole, and of no place in it.
    pub(super) fn of_all(what: Problem) -> Self {
        Self { line: 0, offset: 0, what }
    }

    /// Whether it is a value that cannot be, or one that is missing: the file around it is whole,
    /// and whether it matters depends on whose entry it stands in.
    fn is_of_a_value(&self) -> bool {
        matches!(self.what, Problem::Value { .. } | Problem::Missing { .. })
    }

    /// For a person: where it is, if it is somewhere.
    pub(super) fn told(&self) -> String {
        if self.line == 0 { self.what.to_string() } else { self.to_string() }
    }
}

/// A value, or none if it cannot be one: then `fault` has why, until it is known whose it is. What
/// else is wrong refuses the file.
pub(super) fn held<T>(
    read: Result<T, ReadError>,
    fault: &mut Option<ReadError>,
) -> Result<Option<T>, ReadError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_of_a_value() => {
            fault.get_or_insert(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes could not be read.
    #[error("cannot be read: {0}")]
    Input(String),
    /// It does not begin as XML does.
    #[error("this is not XML; if it is packed by other means than ZIP or gzip, unpack it first")]
    NotXml,
    /// Not well-formed.
    #[error("not well-formed XML: {0}")]
    Syntax(String),
    /// Another encoding.
    #[error("{0}, which is not read here: convert the file, or ask the bank for UTF-8")]
    Encoding(String),
    /// A document type.
    #[error("a document type (DTD) is refused: bank files have none")]
    Doctype,
    /// An entity that is not one of XML's own five.
    #[error("the entity &{0}; is refused: only &amp; &lt; &gt; &quot; &apos; are known")]
    Entity(String),
    /// Nested too deeply.
    #[error("elements are nested more than {ANSWER_DEPTH_MAX} deep")]
    TooDeep,
    /// One tag, comment or text is too long.
    #[error("a tag, comment or text has more than {ANSWER_EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// Too many attributes.
    #[error("an element has more than {ANSWER_ATTRIBUTES_MAX} attributes")]
    Attributes,
    /// The text of an element that is read is too long.
    #[error("the text of {0} has more than {ANSWER_TEXT_BYTES_MAX} bytes")]
    TextTooLong(&'static str),
    /// The end is missing.
    #[error("the file is cut off: elements are still open; fetch it again")]
    Truncated,
    /// There is more behind the end.
    #[error("the file goes on behind the end of its document")]
    Trailing,
    /// Another root element.
    #[error(
        "the root element is {found:?} and holds no {expected}: this is no message of ISO 20022"
    )]
    Root {
        /// What it is.
        found: String,
        /// What is read here.
        expected: &'static str,
    },
    /// There are several documents in one envelope.
    #[error("the file holds more than one {0}: cut it into one file each, or ask the bank to")]
    Several(&'static str),
    /// It speaks of more of our payments than can be held.
    #[error(
        "the file speaks of more than {ANSWER_REPORTS_MAX} of our payments: ask the bank for several \
         smaller files"
    )]
    TooMany,
    /// Its texts are made to be searched for ever.
    #[error(
        "the texts of the file hold more than {ANSWER_GUESSES_MAX} groups of words that could be keys: \
         no bank writes such a file, see where it is from"
    )]
    Guesses,
    /// Another message, or none.
    #[error("this is {found}; expected {expected}")]
    OtherMessage {
        /// What it is.
        found: String,
        /// What is read here.
        expected: &'static str,
    },
    /// An element is missing.
    #[error("{within} has no {element}")]
    Missing {
        /// Which.
        element: &'static str,
        /// Where.
        within: &'static str,
    },
    /// An element that may stand once stands twice.
    #[error("{0} stands twice where the message has it once")]
    Twice(&'static str),
    /// An element stands in the wrong place.
    #[error("{0} stands in the wrong place")]
    Misplaced(&'static str),
    /// Elements where text belongs.
    #[error("{0} holds elements; only text belongs there")]
    NotText(&'static str),
    /// Text where elements belong. It is not shown: it may be somebody's account or name.
    #[error("text stands between elements")]
    StrayText,
    /// A value that cannot be.
    #[error("{element} is {found:?}; expected {expected}")]
    Value {
        /// Of which element.
        element: &'static str,
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
    },
}
