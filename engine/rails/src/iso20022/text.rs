//! Text that every bank takes: the character set of the SEPA implementation guidelines
//! (EPC217-08: a-z A-Z 0-9 / - ? : ( ) . , ' + and space).
//!
//! Owns which characters are carried; `latin` says what stands for the others. Never fails: a name
//! may look worse in a bank file than in the ledger, but it never keeps a payment back. CSV and
//! JSON keep it as it is.

use super::super::latin::folded;
use tallystick_ledger::limits::SEPA_NAME_CHARS as NAME_CHARS_MAX;

/// What stands where a text is needed and nothing is left of it.
pub const NOT_PROVIDED: &str = "NOTPROVIDED";

/// A party's name as a bank file carries it: at most 70 characters of the set, never empty.
///
/// Latin letters lose their marks ("Müller & Søn" becomes "Muller + Son"), white space and control
/// characters become one space, whatever else is outside the set becomes a full stop.
pub fn name(name: &str) -> String {
    let mut out = String::with_capacity(NAME_CHARS_MAX);
    for c in name.chars() {
        let gap = out.is_empty() || out.ends_with(' ');
        match c {
            ' ' if gap => {}
            c if is_carried(c) => out.push(c),
            c if c.is_whitespace() || c.is_control() => {
                if !gap {
                    out.push(' ');
                }
            }
            // A mark that belongs to the letter before it.
            '\u{300}'..='\u{36f}' => {}
            c => out.push_str(folded(c)),
        }
        if out.len() >= NAME_CHARS_MAX {
            break;
        }
    }
    // All of it is ASCII: a character is a byte.
    out.truncate(NAME_CHARS_MAX);
    out.truncate(out.trim_end().len());
    if out.is_empty() { NOT_PROVIDED.into() } else { out }
}

fn is_carried(c: char) -> bool {
    // A pattern, and no search in a text: every character of every name comes by.
    matches!(
        c,
        'a'..='z' | 'A'..='Z' | '0'..='9'
            | '/' | '-' | '?' | ':' | '(' | ')' | '.' | ',' | '\'' | '+' | ' '
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_letters_and_lose_their_marks() {
        for (given, carried) in [
            ("Müller & Søn GmbH", "Muller + Son GmbH"),
            ("Škoda Österreich", "Skoda Osterreich"),
            ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
            ("Straße Nº 5", "Strasse N. 5"),
            ("Cafe\u{301} L’Été", "Cafe L'Ete"),
            ("Agent_7 – <b>", "Agent-7 - .b."),
            ("🤖 bot", ". bot"),
            ("a\t\r\n\0 b  c ", "a b c"),
            ("  ", NOT_PROVIDED),
            ("", NOT_PROVIDED),
            ("\u{301}", NOT_PROVIDED),
            ("東京", ".."),
        ] {
            assert_eq!(name(given), carried, "{given:?}");
        }
    }

    #[test]
    fn names_are_cut_to_70_characters_of_the_set() {
        for given in
            ["Æ".repeat(100), "x".repeat(300), "ab ".repeat(90), format!("{}æ", "x".repeat(69))]
        {
            let carried = name(&given);
            assert!((69..=70).contains(&carried.len()), "{carried}");
            assert!(!carried.ends_with(' '));
        }
        let every: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        for c in every.chars() {
            let carried = name(&c.to_string());
            assert!(carried.chars().all(is_carried) && !carried.is_empty(), "{c:?}");
        }
    }
}
