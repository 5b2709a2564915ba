//! The lines of a file that came from a bank: 94 printable characters each.
//!
//! Owns how bytes become lines and lines become fields, and what can be wrong with a file. Never
//! panics on any bytes, and never puts what a field holds into an error: it may be an account.

use super::record::RECORD_CHARS;
use tallystick_ledger::limits::NACHA_BYTES_MAX;
use tallystick_ledger::types::Total;

/// Why a file is refused, whole: a sum that is wrong anywhere makes all of it doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReadError {
    #[error("the file has {bytes} bytes, the most is {NACHA_BYTES_MAX}; ask the bank for several")]
    TooLarge { bytes: usize },
    #[error("the file is empty; fetch it again")]
    Empty,
    #[error(
        "line {line} has {chars} characters, a record has {RECORD_CHARS}; fetch the file again, as \
         plain text"
    )]
    Length { line: usize, chars: usize },
    #[error("line {line}, position {position}: no printable ASCII; fetch the file again")]
    Character { line: usize, position: usize },
    #[error("the file ends after line {line} where {expected} should follow; fetch it again")]
    Truncated { line: usize, expected: &'static str },
    #[error("line {line} is not {expected}; fetch the file again")]
    Order { line: usize, expected: &'static str },
    #[error("line {line}: the {field} is not {expected}; fetch the file again")]
    Field { line: usize, field: &'static str, expected: &'static str },
    #[error(
        "line {line}: the {field} says {stated}, the records before it give {counted}; the file is \
         damaged or was changed, fetch it again"
    )]
    Sum { line: usize, field: &'static str, stated: Total, counted: Total },
    #[error(
        "line {line}: the {field} differs from that of the batch's header; fetch the file again"
    )]
    Differs { line: usize, field: &'static str },
    #[error(
        "line {line}: this entry is neither returned nor corrected; this is no return file, do not \
         import it"
    )]
    NotAReturn { line: usize },
    #[error(
        "line {line}: entries of class {class} have records of another form; ask the bank for the \
         returns of this company alone"
    )]
    Class { line: usize, class: String },
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// The record type.
    pub fn kind(&self) -> u8 {
        self.text.as_bytes()[0]
    }

    /// The characters from position `first` to `last`, counted from 1 as the rules do.
    pub fn at(&self, first: usize, last: usize) -> &'a str {
        &self.text[first - 1..last]
    }

    /// The same without the blanks around.
    pub fn trimmed(&self, first: usize, last: usize) -> &'a str {
        self.at(first, last).trim()
    }

    /// Whether it only fills a block.
    pub fn is_filler(&self) -> bool {
        self.text.bytes().all(|b| b == b'9')
    }

    /// A number of digits only.
    pub fn number_at(
        &self,
        first: usize,
        last: usize,
        field: &'static str,
    ) -> Result<Total, ReadError> {
        let digits = self.digits_at(first, last, field)?;
        let number = digits.bytes().fold(0u128, |n, b| n * 10 + u128::from(b - b'0'));
        Ok(Total(number))
    }

    /// Digits only.
    pub fn digits_at(
        &self,
        first: usize,
        last: usize,
        field: &'static str,
    ) -> Result<&'a str, ReadError> {
        let digits = self.at(first, last);
        let formed = digits.bytes().all(|b| b.is_ascii_digit());
        formed.then_some(digits).ok_or_else(|| self.wrong(field, "a number"))
    }

    /// The error that a field is not what it must be.
    pub fn wrong(&self, field: &'static str, expected: &'static str) -> ReadError {
        ReadError::Field { line: self.number, field, expected }
    }

    /// The error that a line is of another kind than the ones that may stand here.
    pub fn order(&self, expected: &'static str) -> ReadError {
        ReadError::Order { line: self.number, expected }
    }

    /// Holds a number that the file states against the one that its records give.
    pub fn compare(
        &self,
        (first, last): (usize, usize),
        field: &'static str,
        counted: Total,
    ) -> Result<(), ReadError> {
        let stated = self.number_at(first, last, field)?;
        let sum = ReadError::Sum { line: self.number, field, stated, counted };
        (stated == counted).then_some(()).ok_or(sum)
    }
}

/// The lines of a file, one after the other.
pub struct Lines<'a> {
    records: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// Cuts a file into lines: at line ends, or every 94 characters if it has none.
    pub fn of(bytes: &'a [u8]) -> Result<Self, ReadError> {
        if bytes.len() > NACHA_BYTES_MAX {
            return Err(ReadError::TooLarge { bytes: bytes.len() });
        }
        let records: Vec<&str> = if bytes.contains(&b'\n') {
            let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            let lines = whole.split(|b| *b == b'\n').enumerate();
            let lines =
                lines.map(|(at, line)| record(at, line.strip_suffix(b"\r").unwrap_or(line)));
            lines.collect::<Result<_, _>>()?
        } else {
            let lines = bytes.chunks(RECORD_CHARS).enumerate();
            lines.map(|(at, line)| record(at, line)).collect::<Result<_, _>>()?
        };
        if records.is_empty() {
            return Err(ReadError::Empty);
        }
        Ok(Self { records, next: 0 })
    }

    /// The next line, if the file has one more.
    pub fn peek(&self) -> Option<Line<'a>> {
        let text = self.records.get(self.next)?;
        Some(Line { number: self.next + 1, text })
    }

    /// Takes the next line; the error of a file that ends too early says what should follow.
    pub fn take(&mut self, expected: &'static str) -> Result<Line<'a>, ReadError> {
        let line = self.peek().ok_or(ReadError::Truncated { line: self.next, expected })?;
        self.next += 1;
        Ok(line)
    }

    /// Takes the next line if it is of that kind.
    pub fn take_if(&mut self, kind: u8) -> Option<Line<'a>> {
        let line = self.peek().filter(|line| line.kind() == kind)?;
        self.next += 1;
        Some(line)
    }
}

fn record(index: usize, bytes: &[u8]) -> Result<&str, ReadError> {
    let line = index + 1;
    if let Some(at) = bytes.iter().position(|b| !matches!(b, b' '..=b'~')) {
        return Err(ReadError::Character { line, position: at + 1 });
    }
    if bytes.len() != RECORD_CHARS {
        return Err(ReadError::Length { line, chars: bytes.len() });
    }
    Ok(str::from_utf8(bytes).expect("printable ASCII is UTF-8"))
}
