//! The lines of a file that came from a bank: 94 characters each.
//!
//! Owns how bytes become lines, in every form in which such files arrive, and lines become fields;
//! and what can be wrong with a file. What is no printable ASCII is a question mark here: no field
//! that money depends on has any. Never panics on any bytes, never holds more than a line, and
//! never puts what a field holds into an error: it may be an account.

use super::record::RECORD_CHARS;
use crate::charset::Utf8;
use std::io::BufRead;
use tallystick_ledger::limits::ANSWER_REPORTS_MAX;
use tallystick_ledger::types::Total;

/// Why a file is refused, whole: a sum that is wrong anywhere makes all of it doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReadError {
    #[error("cannot be read: {0}")]
    Input(String),
    #[error("the file is empty; fetch it again")]
    Empty,
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
        "line {line}: this entry is one of ours, and neither returned nor corrected; this is no return \
         file but one that goes to the bank, do not import it"
    )]
    NotAReturn { line: usize },
    #[error(
        "the file speaks of more than {ANSWER_REPORTS_MAX} of our entries: ask the bank for several \
         smaller files"
    )]
    TooMany,
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    bytes: [u8; RECORD_CHARS],
}

impl Line {
    /// The record type.
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }

    /// The characters from position `first` to `last`, counted from 1 as the rules do.
    pub fn at(&self, first: usize, last: usize) -> &str {
        str::from_utf8(&self.bytes[first - 1..last]).expect("a line is ASCII")
    }

    /// The same without the blanks around.
    pub fn trimmed(&self, first: usize, last: usize) -> &str {
        self.at(first, last).trim()
    }

    /// Whether it only fills a block.
    pub fn is_filler(&self) -> bool {
        self.bytes.trim_ascii_end().iter().all(|b| *b == b'9')
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
    ) -> Result<&str, ReadError> {
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

/// The lines of a file, one after the other. They end with a line end of any kind, or after 94
/// characters; blanks that were cut off at their ends are put back, and blank lines are none.
pub struct Lines<R> {
    input: Utf8<R>,
    ahead: Option<Line>,
    /// Ends of lines so far, and lines that hold something.
    ends: usize,
    taken: usize,
    after_return: bool,
}

impl<R: BufRead> Lines<R> {
    /// Of a file, from its beginning.
    pub fn open(input: R) -> Result<Self, ReadError> {
        let input = Utf8::open(input).map_err(|error| ReadError::Input(error.to_string()))?;
        Ok(Self { input, ahead: None, ends: 0, taken: 0, after_return: false })
    }

    /// The next line, if the file has one more.
    pub fn peek(&mut self) -> Result<Option<Line>, ReadError> {
        if self.ahead.is_none() {
            self.ahead = self.line()?;
        }
        Ok(self.ahead)
    }

    /// Takes the next line; the error of a file that ends too early says what should follow.
    pub fn take(&mut self, expected: &'static str) -> Result<Line, ReadError> {
        self.peek()?;
        let last = self.ends.max(self.taken);
        self.ahead.take().ok_or(ReadError::Truncated { line: last, expected })
    }

    /// Takes the next line if it is of that kind.
    pub fn take_if(&mut self, kind: u8) -> Result<Option<Line>, ReadError> {
        let is_next = self.peek()?.is_some_and(|line| line.kind() == kind);
        Ok(if is_next { self.ahead.take() } else { None })
    }

    fn line(&mut self) -> Result<Option<Line>, ReadError> {
        let (mut bytes, mut filled) = ([b' '; RECORD_CHARS], 0);
        let number = loop {
            let number = self.ends + 1;
            let Some(byte) = self.byte()? else {
                if filled == 0 {
                    return Ok(None);
                }
                break number;
            };
            match byte {
                // Line ends of all systems, and what some put behind the last one.
                b'\n' | b'\r' | 0x0c | 0x1a | 0 => {
                    // A return and a feed are one end.
                    let is_second = byte == b'\n' && self.after_return;
                    self.ends += usize::from(!is_second);
                    self.after_return = byte == b'\r';
                    if bytes == [b' '; RECORD_CHARS] {
                        filled = 0;
                    } else {
                        break number;
                    }
                    continue;
                }
                // The second and later bytes of one character.
                0x80..=0xbf => continue,
                b' '..=b'~' => bytes[filled] = byte,
                _ => bytes[filled] = b'?',
            }
            self.after_return = false;
            filled += 1;
            if filled == RECORD_CHARS {
                if bytes != [b' '; RECORD_CHARS] {
                    break number;
                }
                filled = 0;
            }
        };
        self.taken += 1;
        Ok(Some(Line { number: number.max(self.taken), bytes }))
    }

    fn byte(&mut self) -> Result<Option<u8>, ReadError> {
        let bytes = self.input.fill_buf().map_err(|error| ReadError::Input(error.to_string()))?;
        let first = bytes.first().copied();
        if first.is_some() {
            self.input.consume(1);
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(usize, String)> {
        let mut lines = Lines::open(bytes).unwrap();
        let mut read = Vec::new();
        while let Ok(line) = lines.take("more") {
            read.push((line.number, line.at(1, 94).trim_end().to_owned()));
        }
        read
    }

    /// A quarter of the files that people publish have lines that are not 94 characters long.
    #[test]
    fn lines_arrive_in_every_form_and_are_the_same() {
        let first = format!("1{}x", "a".repeat(92));
        let wanted = vec![(1, first.clone()), (2, "5 short".to_owned()), (3, "9".to_owned())];
        let full = format!("{first}{:94}{:94}", "5 short", "9");
        for text in [
            format!("{first}\n5 short\n9\n"),
            format!("{first}\n5 short\n9"),
            format!("{first}\r\n5 short\r\n9\r\n"),
            format!("{first}\r5 short\r9\r"),
            format!("{first}   \n5 short{:100}\n9\n\n \n\r\n", ""),
            format!("{first}\n5 short\n9\n\u{1a}"),
            format!("\u{feff}{first}\n5 short\n9\n"),
            full.clone(),
            format!("{full}\n"),
            format!("{full}\u{1a}\0\0"),
        ] {
            assert_eq!(lines(text.as_bytes()), wanted, "{text:?}");
        }
        assert_eq!(lines(b"1\n\n\n5\n"), [(1, "1".to_owned()), (4, "5".to_owned())]);
        assert_eq!(lines(b"\r\n \n\x1a"), []);
    }

    #[test]
    fn a_letter_beyond_ascii_is_one_character_in_every_character_set() {
        for bytes in [&b"6JOS\xc9 P\xc9REZ"[..], "6JOSÉ PÉREZ".as_bytes(), b"6JOS\x07 P\tREZ"] {
            assert_eq!(lines(bytes), [(1, "6JOS? P?REZ".to_owned())]);
        }
    }
}
