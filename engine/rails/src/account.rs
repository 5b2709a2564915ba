//! What makes an account's fields acceptable on every rail: their number and size, and that none of
//! them is a payment card number. What each rail asks for beside is its own.
//!
//! Owns the errors. Never asks a bank whether an account exists, and never puts a
//! value into an error text: it may be somebody's account or card.

use std::collections::BTreeMap;
use tallystick_ledger::Rail;
use tallystick_ledger::limits::{ACCOUNT_FIELDS_MAX, TEXT_BYTES_MAX};

/// Why an account is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum AccountError {
    #[error("{}", Rail::unknown(rail))]
    UnknownRail { rail: String },
    #[error("the account has {count} fields, the most is {ACCOUNT_FIELDS_MAX}; give fewer")]
    TooManyFields { count: usize },
    #[error(
        "field {field:?} has a name or value of {bytes} bytes, the most is {TEXT_BYTES_MAX}; \
         shorten it"
    )]
    TooLong { field: String, bytes: usize },
    #[error("rail {rail} knows no field {field:?}; it knows {known}")]
    UnknownField { rail: &'static str, field: String, known: &'static str },
    #[error("field {field:?} is missing or empty; rail {rail} needs it")]
    Missing { rail: &'static str, field: &'static str },
    #[error(
        "field {field:?} looks like a payment card number; card numbers are never stored here: \
         register the token under which your payment provider keeps the card"
    )]
    CardNumber { field: String },
    #[error(
        "field {field:?} is no token of a payment provider: it begins with {prefixes} and goes on \
         with letters, digits and underscores; give it as the provider's dashboard or API shows it"
    )]
    Token { field: &'static str, prefixes: &'static str },
    #[error(
        "the account can neither pay nor be paid; give customer and payment_method (a debtor), \
         payout (a creditor), or all three"
    )]
    Useless,
    #[error(
        "the IBAN has something else than letters and digits, or does not begin with two letters \
         and two digits; give it as on a bank statement, with or without spaces"
    )]
    IbanForm,
    #[error("no IBAN begins with {country}; check the first two letters (SWIFT IBAN registry)")]
    IbanCountry { country: String },
    #[error(
        "an IBAN of {country} has {expected} characters, this one {got}; check it for typing errors"
    )]
    IbanLength { country: String, expected: usize, got: usize },
    #[error("the IBAN's check digits do not match the rest; check it for typing errors")]
    IbanCheck,
    #[error(
        "the BIC does not have the form of one: 8 or 11 letters and digits, the fifth and sixth \
         of them the letters of a country; correct it or leave it out"
    )]
    BicForm,
    #[error("the name has no letter or digit that a bank file can carry; give it in Latin letters")]
    Name,
    #[error(
        "field {field:?} is no routing number: it has nine digits, of which the first two are 01-12, \
         21-32, 61-72 or 80, or 00 for the government's; ask the bank for the one it uses for ACH"
    )]
    RoutingForm { field: &'static str },
    #[error(
        "the check digit of the routing number in field {field:?} does not match the rest; check it \
         for typing errors"
    )]
    RoutingCheck { field: &'static str },
    #[error(
        "field {field:?} is no account number of a bank in the United States: 1 to {most} digits, \
         letters and hyphens, not all of them zeros"
    )]
    AccountNumber { field: &'static str, most: usize },
    #[error("field {field:?} must be one of: {allowed}")]
    Choice { field: &'static str, allowed: &'static str },
    #[error(
        "field {field:?} must have 1 to {most} characters that a bank file can carry, a letter or \
         digit among them; shorten it, or give it in Latin letters"
    )]
    Text { field: &'static str, most: usize },
    #[error("field {field:?} must have {least} to {most} letters and digits")]
    Code { field: &'static str, least: usize, most: usize },
    #[error("field {field:?} is no address: 0x and 40 hexadecimal digits")]
    AddressForm { field: &'static str },
    #[error(
        "the capital letters in field {field:?} are not the address's checksum (EIP-55); check it for \
         typing errors"
    )]
    AddressCheck { field: &'static str },
    #[error("field {field:?} must be another address: {why}")]
    AddressUnfit { field: &'static str, why: &'static str },
    #[error("field {field:?} must be {expected}")]
    Number { field: &'static str, expected: &'static str },
}

impl AccountError {
    pub(super) fn unknown_rail(rail: &str) -> Self {
        Self::UnknownRail { rail: shown(rail) }
    }

    pub(super) fn unknown_field(rail: &'static str, field: &str, known: &'static str) -> Self {
        Self::UnknownField { rail, field: shown(field), known }
    }
}

/// What an error may show of a name that a caller chose: not much, and never a card number.
fn shown(name: &str) -> String {
    if is_card_number(name) { "(hidden)".into() } else { name.chars().take(40).collect() }
}

/// Checks what holds on every rail.
pub(super) fn check_limits(fields: &BTreeMap<String, String>) -> Result<(), AccountError> {
    if fields.len() > ACCOUNT_FIELDS_MAX {
        return Err(AccountError::TooManyFields { count: fields.len() });
    }
    for (name, value) in fields {
        let field = || shown(name);
        let bytes = name.len().max(value.len());
        if bytes > TEXT_BYTES_MAX {
            return Err(AccountError::TooLong { field: field(), bytes });
        }
        // An IBAN never looks like one: it begins with two letters.
        if is_card_number(name) || is_card_number(value) {
            return Err(AccountError::CardNumber { field: field() });
        }
    }
    Ok(())
}

/// Whether a text is a payment card number: 13 to 19 digits with the check digit of ISO/IEC 7812-1
/// (Luhn), however they are grouped.
fn is_card_number(text: &str) -> bool {
    let grouped = |c: &char| c.is_whitespace() || *c == '-';
    let digits: Option<Vec<u32>> =
        text.chars().filter(|c| !grouped(c)).map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits else { return false };
    (13..=19).contains(&digits.len()) && luhn(&digits)
}

/// Whether a text has 13 digits or more in a row, however they are grouped: a token that was made
/// by putting something around a card number. The check digit is not asked for: a mistyped number
/// is nearly a number. A random token of 24 letters and digits is hit less than once in 10^8.
pub(super) fn hides_card_number(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = match c {
            '0'..='9' => run + 1,
            ' ' | '-' | '_' | '.' => run,
            _ => 0,
        };
        run >= 13
    })
}

fn luhn(digits: &[u32]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(place, &digit)| match (place % 2, digit) {
        (0, _) => digit,
        (_, 0..=4) => 2 * digit,
        (_, _) => 2 * digit - 9,
    });
    weighed.sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_recognised_however_they_are_grouped() {
        // Test numbers that card schemes and payment providers publish.
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555 5555 5555 4444",
            "378282246310005",
            "4222222222222",
            "6304 0000 0000 0000",
        ] {
            assert!(is_card_number(card), "{card}");
        }
        for other in ["4111111111111112", "411111111111", "DE89370400440532013000", "", "- -"] {
            assert!(!is_card_number(other), "{other}");
        }
    }

    #[test]
    fn the_check_digit_of_a_card_is_the_only_one_of_ten() {
        for length in 12..=18usize {
            let body: String =
                (0..length).map(|i| char::from(b'1' + u8::try_from(i % 9).unwrap())).collect();
            let hits = (0..10).filter(|check| is_card_number(&format!("{body}{check}"))).count();
            assert_eq!(hits, 1, "{length}");
        }
    }

    #[test]
    fn fields_are_bounded_and_no_card_number_gets_in_or_into_an_error() {
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let card = "4111 1111 1111 1111";
        for fields in [map("iban", card), map(card, "x")] {
            let error = check_limits(&fields).unwrap_err();
            assert!(matches!(error, AccountError::CardNumber { .. }));
            assert!(!error.to_string().contains("4111"), "{error}");
        }
        assert!(!AccountError::unknown_rail(card).to_string().contains("4111"));
        assert_eq!(check_limits(&map("name", &"x".repeat(TEXT_BYTES_MAX))), Ok(()));
        let long = check_limits(&map("name", &"x".repeat(TEXT_BYTES_MAX + 1)));
        assert_eq!(long, Err(AccountError::TooLong { field: "name".into(), bytes: 257 }));
        let many = |count: usize| (0..count).map(|i| (format!("f{i}"), String::new())).collect();
        assert_eq!(check_limits(&many(ACCOUNT_FIELDS_MAX)), Ok(()));
        let count = ACCOUNT_FIELDS_MAX + 1;
        assert_eq!(check_limits(&many(count)), Err(AccountError::TooManyFields { count }));
    }
}
