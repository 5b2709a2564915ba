//! Text as ACH carries it: printable ASCII, upper case.
//!
//! Owns how other characters are replaced and where a text is cut. Never fails: a name may look
//! worse in a bank file than in the ledger, but it never keeps a payment back.

use super::super::latin::folded;

/// What stands where a name is needed and nothing is left of it.
pub const NOT_PROVIDED: &str = "NOT PROVIDED";

/// The text in at most `width` characters: letters lose their marks and become capital, white space
/// and control characters become one space, whatever else is not ASCII a full stop.
pub fn upper(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(width);
    for c in text.chars() {
        match c {
            '!'..='~' => out.push(c),
            c if c.is_whitespace() || c.is_control() => {
                if !(out.is_empty() || out.ends_with(' ')) {
                    out.push(' ');
                }
            }
            // A mark that belongs to the letter before it.
            '\u{300}'..='\u{36f}' => {}
            c => out.push_str(folded(c)),
        }
        if out.len() >= width {
            break;
        }
    }
    // All of it is ASCII: a character is a byte.
    out.truncate(width);
    out.truncate(out.trim_end().len());
    out.make_ascii_uppercase();
    out
}

/// A name in at most `width` characters, never empty.
pub fn name(name: &str, width: usize) -> String {
    let carried = upper(name, width);
    if carried.is_empty() { NOT_PROVIDED.into() } else { carried }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upper_case_without_marks_and_fit_their_field() {
        for (given, carried) in [
            ("Müller & Søn GmbH", "MULLER & SON GMBH"),
            ("Straße Nº 5", "STRASSE N. 5"),
            ("Cafe\u{301} L’Été", "CAFE L'ETE"),
            ("a\t\r\n\0 b  c ", "A B C"),
            ("Johnson, Johnson and Sons of Ohio", "JOHNSON, JOHNSON AND S"),
            ("Twenty one characters x", "TWENTY ONE CHARACTERS"),
            ("ÆÆÆÆÆÆÆÆÆÆÆÆ", "AEAEAEAEAEAEAEAEAEAEAE"),
            ("xÆÆÆÆÆÆÆÆÆÆÆÆ", "XAEAEAEAEAEAEAEAEAEAEA"),
            ("東京", ".."),
            ("🤖 bot", ". BOT"),
            (" \u{301} ", NOT_PROVIDED),
            ("", NOT_PROVIDED),
        ] {
            assert_eq!(name(given, 22), carried, "{given:?}");
        }
    }

    #[test]
    fn every_character_becomes_printable_ascii() {
        for c in (0..=0x2fff).filter_map(char::from_u32) {
            let carried = name(&c.to_string(), 22);
            assert!(carried.bytes().all(|b| matches!(b, b' '..=b'~')), "{c:?}");
            assert!(!carried.bytes().any(|b| b.is_ascii_lowercase()), "{c:?}");
            assert!(!carried.is_empty(), "{c:?}");
        }
    }
}
