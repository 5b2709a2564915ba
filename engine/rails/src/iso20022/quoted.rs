//! Keys of legs in what people and banks write: in words, in groups, over lines, between the marks
//! that banks put into texts.
//!
//! Owns how a key is found in a text. What is put together from several words counts only if it is
//! a key of ours: a sentence without its blanks looks like one, too.

use super::ids;
use tallystick_ledger::limits::ANSWER_QUOTED_BYTES_MAX;

/// Characters of a key.
const KEY_CHARS: usize = 32;
/// Keys that are kept of one payment that quotes several.
const QUOTED_MAX: usize = 2;
/// Longest word in which a key is looked for that has something glued to it.
const GLUED_CHARS_MAX: usize = 70;
/// Marks between the parts of a text, each with a plus sign behind it: `EREF+...KREF+...SVWZ+...`.
const MARKS: [&str; 18] = [
    "ABWA", "ABWE", "ANAM", "BIC", "COAM", "CRED", "DEBT", "EREF", "IBAN", "KREF", "MDAT", "MREF",
    "OAMT", "OCMT", "PURP", "REFN", "SVWZ", "ULTD",
];

/// What is said of one payment in words: all lines of it, as far as there is room.
#[derive(Debug, Default)]
pub struct Quoted(String);

impl Quoted {
    /// Puts one more line behind the others.
    pub fn add(&mut self, line: &str) {
        if self.0.len() + line.len() < ANSWER_QUOTED_BYTES_MAX {
            self.0.push('\n');
            self.0.push_str(line);
        }
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that are quoted, each once: all that stand as one word with a digit in it, and all
    /// others that `is_ours` knows; two at most.
    pub fn keys(&self, is_ours: &dyn Fn(&str) -> bool) -> Vec<String> {
        let text = self.0.to_ascii_uppercase();
        let words = words(&text);
        let mut found: Vec<String> = Vec::new();
        let mut add = |key: &str| {
            if found.len() < QUOTED_MAX && !found.iter().any(|known| known == key) {
                found.push(key.to_owned());
            }
        };
        // A long word of letters alone is a word: one key in a thousand has no digit.
        let is_whole =
            |word: &&Word<'_>| is_likely(word.text) || ids::is_key(word.text) && is_ours(word.text);
        words.iter().filter(is_whole).for_each(|word| add(word.text));
        for (at, word) in words.iter().enumerate() {
            if word.text.len() < KEY_CHARS {
                together(&words[at..]).filter(|key| is_ours(key)).iter().for_each(|key| add(key));
            }
            glued(word.text).filter(|key| is_ours(key)).for_each(&mut add);
        }
        found
    }
}

/// Letters and digits without anything between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word<'a> {
    text: &'a str,
    /// Only blanks, line ends or what people put between groups stand behind it.
    goes_on: bool,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let is_part = |c: char| c.is_ascii_alphanumeric();
        rest = rest.trim_start_matches(|c| !is_part(c));
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (mut word, behind) = rest.split_at(end);
        if word.is_empty() {
            return words;
        }
        let gap = behind.find(is_part).unwrap_or(behind.len());
        let between = |c: char| c.is_whitespace() || matches!(c, '-' | '.' | '/' | ',');
        let mut goes_on = behind[..gap].chars().all(between);
        if behind.starts_with('+') {
            let mark = MARKS.iter().find(|mark| word.ends_with(**mark));
            word = mark.and_then(|mark| word.strip_suffix(mark)).unwrap_or(word);
            goes_on = false;
        }
        words.push(Word { text: word, goes_on });
        rest = behind;
    }
}

/// A key that begins with the first of these words and ends with another one.
fn together(words: &[Word<'_>]) -> Option<String> {
    let mut key = String::new();
    for word in words {
        key.push_str(word.text);
        if key.len() >= KEY_CHARS || !word.goes_on {
            break;
        }
    }
    is_likely(&key).then_some(key)
}

/// What may be keys in a word that is longer than one.
fn glued(word: &str) -> impl Iterator<Item = &str> {
    let is_long = (KEY_CHARS + 1..=GLUED_CHARS_MAX).contains(&word.len());
    let last = if is_long { word.len() - KEY_CHARS + 1 } else { 0 };
    (0..last).map(|at| &word[at..at + KEY_CHARS]).filter(|key| is_likely(key))
}

/// Whether it has the form of a key and is no sentence.
fn is_likely(text: &str) -> bool {
    ids::is_key(text) && text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "25U3A6IZ23CUTOKORTYKM677SQJKWZQD";
    const OTHER: &str = "3KIJ2IVT3UV3V2PBUUPPU4QOVASSUAEV";

    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF";

    fn ours(key: &str) -> bool {
        [KEY, OTHER, LETTERS].contains(&key)
    }

    fn found(lines: &[&str]) -> Vec<String> {
        let mut quoted = Quoted::default();
        lines.iter().for_each(|line| quoted.add(line));
        quoted.keys(&ours)
    }

    /// What payers and banks made of keys was dropped without a word, and the pay-outs stayed.
    #[test]
    fn a_key_is_found_in_every_form_in_which_banks_bring_it() {
        let groups: Vec<&str> = (0..8).map(|at| &KEY[4 * at..4 * at + 4]).collect();
        let groups = groups.join(" ");
        let (front, back) = KEY.split_at(24);
        let (line, rest) = KEY.split_at(27);
        for lines in [
            vec![KEY],
            vec![&*KEY.to_lowercase()],
            vec![&*format!("Settlement {KEY}, thank you")],
            vec![&*groups],
            vec![&*format!("Settlement no 5 {groups} thank you")],
            vec![&*format!("ref:{}", groups.replace(' ', "-"))],
            vec![&*format!("Settlement {front}"), back],
            vec![&*format!("{front}\n{back} Settlement")],
            vec![&*format!("EREF+{KEY}SVWZ+Settlement")],
            vec![&*format!("EREF+{KEY}KREF+2026 11 30SVWZ+Settlement")],
            vec![&*format!("EREF+{line} {rest}SVWZ+Rechnung 17")],
            vec![&*format!("EREF+{line}"), &*format!("{rest}SVWZ+Rechnung 17")],
            vec![&*format!("/TRTP/SEPA OVERBOEKING/NAME/A BUYER/EREF/{front} {back}/BIC/ABNANL2A")],
            vec![&*format!("Received money from A Buyer with reference {KEY}")],
            vec![&*format!("INVOICE{KEY}")],
            vec![&*format!("{KEY}THANKS")],
        ] {
            assert_eq!(found(&lines), [KEY], "{lines:?}");
        }
        assert_eq!(found(&[&format!("for {LETTERS}")]), [LETTERS]);
        assert_eq!(found(&[KEY, &groups, &format!("REF{KEY}")]), [KEY], "each once");
        assert_eq!(found(&[&format!("{KEY} and {OTHER}")]), [KEY, OTHER]);
    }

    #[test]
    fn what_only_looks_like_a_key_is_none() {
        for lines in [
            vec!["Invoice 4711 of the 23rd of November for services rendered in Q4"],
            vec!["RECHNUNG VOM ERSTEN JULI ZWEITAUSEND 26"],
            vec!["IBAN", "DE89 3704 0044 0532 0130 00"],
            vec!["AdditionalTransactionInformation"],
            vec![&KEY[..31]],
            vec![&*format!("{}0{}", &KEY[..16], &KEY[17..])],
            vec![&*format!("{} (2) {}", &KEY[..16], &KEY[16..])],
            vec![""],
        ] {
            assert_eq!(found(&lines), [""; 0], "{lines:?}");
        }
        // Put together it is the key of nobody here.
        let stranger = format!("{} {}", &OTHER[..16], &KEY[..16]);
        assert_eq!(found(&[&stranger]), [""; 0]);
        // As one word it is told, and somebody finds out what it is.
        let stranger = stranger.replace(' ', "");
        assert_eq!(found(&[&stranger]), [stranger.as_str()]);
    }

    #[test]
    fn what_is_kept_of_a_text_is_bounded() {
        let mut quoted = Quoted::default();
        (0..10_000).for_each(|_| quoted.add("a line that says nothing"));
        assert!(quoted.0.len() <= ANSWER_QUOTED_BYTES_MAX);
        assert_eq!(quoted.keys(&ours), [""; 0]);
        assert!(words("").is_empty() && words("+ -/ ").is_empty());
    }
}
