//! One record of a file: 94 characters, filled from the left.
//!
//! Owns widths, filling and the line end. Never cuts anything: a text or number that does not fit
//! its field is a bug, for who writes has checked it.

use std::io::{self, Write};

/// Characters of a record.
pub const RECORD_CHARS: usize = 94;

/// A record while it is filled.
pub struct Record {
    bytes: [u8; RECORD_CHARS + 1],
    filled: usize,
}

impl Record {
    /// A record of that type (1, 5, 6, 7, 8 or 9).
    pub fn new(kind: u8) -> Self {
        let mut bytes = [b' '; RECORD_CHARS + 1];
        bytes[0] = kind;
        bytes[RECORD_CHARS] = b'\n';
        Self { bytes, filled: 1 }
    }

    /// A text: from the left, blanks behind it.
    pub fn text(&mut self, width: usize, text: &str) -> &mut Self {
        assert!(text.len() <= width, "a text of {} does not fit {width}", text.len());
        assert!(text.bytes().all(|b| matches!(b, b' '..=b'~')), "a text is printable ASCII");
        self.field(width)[..text.len()].copy_from_slice(text.as_bytes());
        self
    }

    /// A number: zeros before it.
    pub fn number(&mut self, width: usize, number: u128) -> &mut Self {
        let mut rest = number;
        for place in self.field(width).iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).expect("a digit fits a byte");
            rest /= 10;
        }
        assert!(rest == 0, "the number {number} does not fit {width} digits");
        self
    }

    /// Blanks.
    pub fn blank(&mut self, width: usize) -> &mut Self {
        self.text(width, "")
    }

    /// Writes the record. Panics if a field is missing.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        assert_eq!(self.filled, RECORD_CHARS, "a record has a place for every character");
        out.write_all(&self.bytes)
    }

    fn field(&mut self, width: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled += width;
        assert!(self.filled <= RECORD_CHARS, "a record has {RECORD_CHARS} characters");
        &mut self.bytes[start..self.filled]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Record)) -> String {
        let mut record = Record::new(b'6');
        fill(&mut record);
        let mut out = Vec::new();
        record.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_filled_with_blanks_and_numbers_with_zeros() {
        let record = written(|r| {
            r.text(4, "AB").number(5, 42).number(3, 999).blank(81);
        });
        assert_eq!(record, format!("6AB  00042999{}\n", " ".repeat(81)));
    }

    #[test]
    #[should_panic(expected = "does not fit 2 digits")]
    fn a_number_is_never_cut() {
        written(|r| {
            r.number(2, 100);
        });
    }

    #[test]
    #[should_panic(expected = "a text of 3 does not fit 2")]
    fn a_text_is_never_cut() {
        written(|r| {
            r.text(2, "ABC");
        });
    }

    #[test]
    #[should_panic(expected = "a place for every character")]
    fn a_record_is_never_short() {
        written(|r| {
            r.text(92, "");
        });
    }
}
