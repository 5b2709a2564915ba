//! What the reason codes of the ISO lists say, in words of our own.
//!
//! Owns the words, and what has the form of a code. What a bank adds in its own is somebody else's
//! text, which may name people, and stands beside the answer alone; so a code has to speak for
//! itself.

use super::account;

/// The codes that rejections and returns have, in their order (external code sets of ISO 20022:
/// status reasons and return reasons).
const CODES: [(&str, &str); 71] = [
    ("AB05", "the payee's bank did not answer in time"),
    ("AB06", "a bank on the way did not answer in time"),
    ("AB08", "the payee's bank cannot be reached"),
    ("AC01", "account number wrong"),
    ("AC02", "the payer's account number is wrong"),
    ("AC03", "the payee's account number is wrong"),
    ("AC04", "account closed"),
    ("AC05", "the payer's account is closed"),
    ("AC06", "account blocked"),
    ("AC07", "the payee's account is closed"),
    ("AC13", "the payer's account is of the wrong kind"),
    ("AC14", "the payee's account is of the wrong kind"),
    ("AC15", "account changed"),
    ("AG01", "not allowed on this account"),
    ("AG02", "transaction code wrong"),
    ("AG03", "this kind of payment is not supported"),
    ("AGNT", "a bank is named wrong"),
    ("AM01", "the amount is zero"),
    ("AM02", "the amount is too large"),
    ("AM03", "currency not supported"),
    ("AM04", "not enough money on the account"),
    ("AM05", "handed in before"),
    ("AM06", "the amount is too small"),
    ("AM07", "the money is blocked"),
    ("AM09", "the amount is wrong"),
    ("AM10", "the control sum is wrong"),
    ("AM12", "the amount is not valid"),
    ("AM14", "the amount is above a limit"),
    ("ARDT", "returned before"),
    ("BE01", "name and account do not fit"),
    ("BE04", "the payee's address is missing or wrong"),
    ("BE05", "who began the payment is not known"),
    ("BE06", "the customer is not known there"),
    ("BE07", "the payer's address is missing or wrong"),
    ("CNOR", "the payee's bank cannot be reached in this system"),
    ("CURR", "currency wrong"),
    ("CUST", "a customer asked for it"),
    ("DNOR", "the payer's bank cannot be reached in this system"),
    ("DS02", "cancelled by whoever ordered it"),
    ("DT01", "date wrong"),
    ("DT06", "the date of execution was changed"),
    ("DU01", "the message was handed in before"),
    ("DU02", "the block of payments was handed in before"),
    ("DU03", "the payment was handed in before"),
    ("DU04", "the end-to-end id was used before"),
    ("DU05", "the payment's id was used before"),
    ("DUPL", "paid twice"),
    ("ED05", "settlement between the banks failed"),
    ("FF01", "the file's form is wrong"),
    ("FOCR", "sent back after a request for cancellation"),
    ("FR01", "fraud"),
    ("FRAD", "fraud"),
    ("LEGL", "a legal decision"),
    ("MD07", "the account's holder has died"),
    ("MS02", "the customer gave no reason"),
    ("MS03", "the bank gives no reason"),
    ("NARR", "the reason is in the bank's own words alone"),
    ("NOAS", "the customer did not answer"),
    ("RC01", "bank code wrong"),
    ("RC03", "the payer's bank code is wrong"),
    ("RC04", "the payee's bank code is wrong"),
    ("RF01", "the reference was used before"),
    ("RR01", "the payer's account or id is missing"),
    ("RR02", "the payer's name or address is missing"),
    ("RR03", "the payee's name or address is missing"),
    ("RR04", "for a regulator"),
    ("RR05", "information for a regulator is missing"),
    ("SL01", "a service that the account's holder has with the bank"),
    ("TECH", "a technical fault"),
    ("TM01", "after the cut-off time"),
    ("UPAY", "the payment is not owed"),
];

/// Longest code of a bank's own (Max35Text).
const CODE_CHARS_MAX: usize = 35;
/// Fewest digits of what may be somebody's account.
const NUMBER_DIGITS_MIN: usize = 7;

/// Whether a text has the form of a code: one word, and no account. Anything else is words, and
/// words may name people.
pub fn is_code(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    is_id(text) && digits < NUMBER_DIGITS_MIN
}

/// Whether a text has the form of an organisation's id, such as its BIC: one word, and no IBAN.
pub fn is_id(text: &str) -> bool {
    let formed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let fits = (1..=CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(formed);
    fits && account::iban(text).is_err()
}

/// What a code says; nothing if it is not among them.
pub fn meaning(code: &str) -> &'static str {
    let found = CODES.binary_search_by_key(&code, |(code, _)| code);
    found.map_or("", |at| CODES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_and_says_something() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        for (code, words) in CODES {
            assert_eq!(meaning(code), words, "{code}");
            assert!(code.len() == 4 && !words.is_empty(), "{code}");
        }
        assert!(CODES.iter().all(|(code, _)| is_code(code)));
        assert_eq!((meaning(""), meaning("ZZ99"), meaning("ac04")), ("", "", ""));
    }

    /// In the place of a code stands what a bank's program wrote there.
    #[test]
    fn words_and_accounts_are_no_codes() {
        for code in ["RJCT", "X-9", "INSUFFICIENT_FUNDS", "R03/a.1", "FRAUD-7"] {
            assert!(is_code(code), "{code}");
        }
        for other in [
            "",
            "account closed",
            "M\u{fc}ller",
            "DE89370400440532013000",
            "1918171614",
            &"X".repeat(CODE_CHARS_MAX + 1),
        ] {
            assert!(!is_code(other), "{other}");
        }
        assert!(is_id("COBADEFFXXX") && is_id("529900T8BM49AURSDO55") && is_id("4711"));
        assert!(!is_id("DE89370400440532013000") && !is_id("Bank of the creditor"));
    }
}
