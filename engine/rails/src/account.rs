//! What makes an account's fields acceptable: their number and size, IBAN, BIC, and that none of
//! them is a payment card number.
//!
//! Owns the forms and the errors. Never asks a bank whether an account exists, and never puts a
//! value into an error text: it may be somebody's account or card.

use super::RAILS;
use std::collections::BTreeMap;
use tallystick_ledger::limits::{ACCOUNT_FIELDS_MAX, TEXT_BYTES_MAX};

/// Why an account is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum AccountError {
    #[error("there is no rail {rail:?}; use one of {}", RAILS.join(", "))]
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

/// Length of an IBAN per country: SWIFT IBAN registry (ISO 13616), all its 89 countries in 2026.
const IBAN_LENGTHS: [(&str, usize); 89] = [
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

/// Reads an IBAN: spaces out, letters capital, country, length and check digits (ISO 7064 MOD
/// 97-10).
pub(super) fn iban(text: &str) -> Result<String, AccountError> {
    let iban = compact(text);
    let bytes = iban.as_bytes();
    let formed = bytes.len() > 4
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit);
    if !formed {
        return Err(AccountError::IbanForm);
    }
    let country = &iban[..2];
    let Some((_, expected)) = IBAN_LENGTHS.into_iter().find(|(code, _)| *code == country) else {
        return Err(AccountError::IbanCountry { country: country.into() });
    };
    if iban.len() != expected {
        let got = iban.len();
        return Err(AccountError::IbanLength { country: country.into(), expected, got });
    }
    // 00, 01 and 99 leave the same remainders as 97, 98 and 02, which are what banks compute.
    let computable = !matches!(&bytes[2..4], b"00" | b"01" | b"99");
    if !computable || remainder_97(bytes[4..].iter().chain(&bytes[..4])) != 1 {
        return Err(AccountError::IbanCheck);
    }
    Ok(iban)
}

/// Remainder by 97 of the number that digits and letters (A = 10 ... Z = 35) write.
fn remainder_97<'a>(characters: impl Iterator<Item = &'a u8>) -> u32 {
    characters.fold(0, |remainder, &byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}

/// Reads a BIC (ISO 9362:2014): institution, country, location and, if given, branch.
pub(super) fn bic(text: &str) -> Result<String, AccountError> {
    let bic = compact(text);
    let bytes = bic.as_bytes();
    let formed = matches!(bytes.len(), 8 | 11)
        && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && bytes[4..6].iter().all(u8::is_ascii_uppercase);
    formed.then_some(bic).ok_or(AccountError::BicForm)
}

fn compact(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of the SWIFT IBAN registry.
    const GOOD: [&str; 12] = [
        "DE89 3704 0044 0532 0130 00",
        "GB29 NWBK 6016 1331 9268 19",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "BE68 5390 0754 7034",
        "CH93 0076 2011 6238 5295 7",
        "SA03 8000 0000 6080 1016 7519",
        "BR18 0036 0305 0000 1000 9795 493C 1",
        "LC55 HEMM 0001 0001 0012 0012 0002 3015",
        "QA58 DOHB 0000 1234 5678 90AB CDEF G",
        "RU03 0445 2522 5408 1781 0538 0913 1041 9",
    ];

    #[test]
    fn ibans_of_the_registry_are_accepted_in_any_spelling() {
        for good in GOOD {
            let compact: String = good.split(' ').collect();
            assert_eq!(iban(good).as_deref(), Ok(compact.as_str()));
            assert_eq!(iban(&good.to_lowercase()).as_deref(), Ok(compact.as_str()));
        }
        let lengths = IBAN_LENGTHS.map(|(_, length)| length);
        assert!(IBAN_LENGTHS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(lengths.iter().all(|length| (15..=34).contains(length)));
    }

    #[test]
    fn every_wrong_digit_and_every_transposition_of_digits_is_caught() {
        for good in GOOD {
            let good = iban(good).unwrap().into_bytes();
            let refused = |bytes: &[u8]| iban(std::str::from_utf8(bytes).unwrap()).is_err();
            for place in (2..good.len()).filter(|&place| good[place].is_ascii_digit()) {
                for digit in (b'0'..=b'9').filter(|&digit| digit != good[place]) {
                    let mut bad = good.clone();
                    bad[place] = digit;
                    assert!(refused(&bad), "{}", String::from_utf8_lossy(&bad));
                }
                for other in (place + 1..good.len()).filter(|&other| good[other].is_ascii_digit()) {
                    let mut bad = good.clone();
                    bad.swap(place, other);
                    assert!(bad == good || refused(&bad), "{}", String::from_utf8_lossy(&bad));
                }
            }
        }
    }

    #[test]
    fn iban_errors_say_what_is_wrong_and_never_show_it() {
        let length = AccountError::IbanLength { country: "DE".into(), expected: 22, got: 21 };
        let country = AccountError::IbanCountry { country: "US".into() };
        for (bad, error) in [
            ("", AccountError::IbanForm),
            ("DE8", AccountError::IbanForm),
            ("DE89-3704-0044-0532-0130-00", AccountError::IbanForm),
            ("DEAA370400440532013000", AccountError::IbanForm),
            ("١٢89370400440532013000", AccountError::IbanForm),
            ("US89370400440532013000", country),
            ("DE8937040044053201300", length),
            ("DE88370400440532013000", AccountError::IbanCheck),
        ] {
            let got = iban(bad).unwrap_err();
            assert_eq!(got, error, "{bad}");
            assert!(bad.is_empty() || !got.to_string().contains(bad));
        }
    }

    #[test]
    fn check_digits_that_no_bank_computes_are_refused() {
        // 02 and 99 leave the same remainder, as do 97 and 00, 98 and 01.
        for (wanted, alias) in [("02", "99"), ("97", "00"), ("98", "01")] {
            let found = (0..1_000_000).find_map(|account| {
                let good = format!("DE{wanted}37040044{account:010}");
                iban(&good).ok()
            });
            let found = found.expect("one in 97 accounts has these check digits");
            let bad = format!("DE{alias}{}", &found[4..]);
            assert_eq!(iban(&bad), Err(AccountError::IbanCheck));
        }
    }

    #[test]
    fn a_bic_has_8_or_11_characters_and_a_country() {
        for good in ["DEUTDEFF", "deutdeff500", " COBA DE FF XXX ", "1234GB2L"] {
            assert_eq!(bic(good), Ok(compact(good)), "{good}");
        }
        for bad in ["", "DEUTDEF", "DEUTDEFF5", "DEUT1EFF", "DEUTDEFF-00", "DEUTDEFFÄ00", "ÄÄÄÄ"]
        {
            assert_eq!(bic(bad), Err(AccountError::BicForm), "{bad}");
        }
    }

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
