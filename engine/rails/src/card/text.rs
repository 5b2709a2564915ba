//! What of a provider's words may be kept: short, on one line, without tokens.
//!
//! Owns the masking. Never shows a whole token of a card, customer or account, or any part of a
//! key.

use tallystick_ledger::limits::TEXT_BYTES_MAX;

/// Prefixes of tokens that stand for a person's card or account, or are secrets.
const HIDDEN: [&str; 13] = [
    "cus_",
    "pm_",
    "card_",
    "src_",
    "tok_",
    "acct_",
    "ba_",
    "sk_",
    "rk_",
    "pk_",
    "whsec_",
    "seti_",
    "client_secret_",
];
/// Prefixes of references: what an operator looks a payment up by. They give access to nothing.
const REFERENCES: [&str; 10] =
    ["pi_", "ch_", "py_", "tr_", "po_", "re_", "dp_", "du_", "req_", "evt_"];
/// Digits in a row from which on a word may be an account or a card.
const DIGITS_HIDDEN: usize = 8;

/// Text from outside, fit to be kept and shown: printable, bounded, and with `...` in place of
/// tokens.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Never read more than could be kept, however long the answer is.
    let text: String = text.chars().take(4 * TEXT_BYTES_MAX).collect();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            out.push_str(&masked(&rest[..word]));
            word
        } else {
            out.push(if first.is_control() || first.is_whitespace() { ' ' } else { first });
            first.len_utf8()
        };
        rest = &rest[end..];
    }
    bounded(&out)
}

/// One word: as it is, or its kind and `...`.
fn masked(word: &str) -> String {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    // `pi_..._secret_...` would let somebody act on the payment.
    let reference = REFERENCES.iter().any(|prefix| word.starts_with(prefix));
    if reference && !word.contains("_secret") {
        return word.into();
    }
    let hidden = HIDDEN.iter().find(|prefix| word.starts_with(**prefix));
    match hidden {
        // Codes like `card_declined` have no digit; tokens practically always do.
        Some(prefix) if *prefix != "card_" || digits > 0 => format!("{prefix}..."),
        Some(_) => word.into(),
        None if digits >= DIGITS_HIDDEN || reference => "...".into(),
        None => word.into(),
    }
}

/// The text, cut to what the ledger keeps.
pub fn bounded(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text[..end.unwrap_or(0)].to_owned()
}

/// A reference that the provider gave: kept as it is if it can be one, else nothing.
pub fn reference(text: &str) -> String {
    let formed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let fits = text.len() <= TEXT_BYTES_MAX && text.bytes().all(formed);
    if fits { text.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_masked_and_codes_and_references_kept() {
        for (text, expected) in [
            ("No such customer: 'cus_NffrFeUfNV2Hib'", "No such customer: 'cus_...'"),
            ("Invalid API Key provided: sk_test_abcdef", "Invalid API Key provided: sk_..."),
            (
                "card_declined: insufficient_funds (pi_3abc12)",
                "card_declined: insufficient_funds (pi_3abc12)",
            ),
            ("card_1NGTaT2eZvKYlo2C is closed", "card_... is closed"),
            ("account 4111111111111111", "account ..."),
            ("pi_3abc_secret_9xyz", "..."),
            ("acct_1032D82eZvKYlo2C\r\nX: y", "acct_...  X: y"),
            ("amount 99999999", "amount ..."),
            ("pm_card_visa", "pm_..."),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn a_reference_is_an_id_or_nothing() {
        assert_eq!(reference("pi_3MtwBwLkdIwHu7ix28a3tqPa"), "pi_3MtwBwLkdIwHu7ix28a3tqPa");
        for bad in ["pi 3", "pi_3\n", "<a>", "ü", &"x".repeat(TEXT_BYTES_MAX + 1)] {
            assert_eq!(reference(bad), "");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded_and_on_one_line(text in any::<String>()) {
            let kept = shown(&text);
            prop_assert!(kept.len() <= TEXT_BYTES_MAX);
            prop_assert!(!kept.contains(char::is_control));
        }

        #[test]
        fn no_token_survives_wherever_it_stands(
            before in "[ -~]{0,40}[^A-Za-z0-9_]",
            token in "(cus|pm|card|acct|sk|whsec)_[A-Za-z0-9]{6}1[A-Za-z0-9]{8}",
            after in "[^A-Za-z0-9_][ -~]{0,40}",
        ) {
            let kept = shown(&format!("{before}{token}{after}"));
            prop_assert!(!kept.contains(&token), "{kept}");
        }
    }
}
