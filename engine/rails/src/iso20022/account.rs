//! Accounts at banks: a party's, and the operator's. Their fields, IBAN and BIC.
//!
//! Owns the forms. Never asks a bank whether an account exists, and never puts a value into an
//! error text.

use super::{CLEARING_PLACEHOLDER, RAIL, text};
use crate::account::AccountError;
use std::collections::BTreeMap;
use tallystick_ledger::batch::field;

/// An account, read from its checked fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankAccount<'a> {
    /// Its number.
    pub iban: &'a str,
    /// Its bank, if the party named it.
    pub bic: Option<&'a str>,
}

impl<'a> BankAccount<'a> {
    /// Reads kept fields; `None` if they are no account of this rail.
    pub fn read(fields: &'a [(String, String)]) -> Option<Self> {
        Some(Self { iban: field(fields, "iban")?, bic: field(fields, "bic") })
    }
}

/// The clearing account, read from its checked fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearing<'a> {
    /// Who pays, as creditors read it.
    pub name: &'a str,
    /// From where.
    pub account: BankAccount<'a>,
}

impl<'a> Clearing<'a> {
    /// Reads kept fields; `None` if they are no clearing account of this rail.
    pub fn read(fields: &'a [(String, String)]) -> Option<Self> {
        Some(Self { name: field(fields, "name")?, account: BankAccount::read(fields)? })
    }

    /// Whether no bank will ever pay from it.
    pub fn is_placeholder(&self) -> bool {
        let [(_, iban), _] = CLEARING_PLACEHOLDER;
        self.account.iban == iban
    }
}

/// Checks a party's account: `iban`, and `bic` if the bank wants one.
pub fn check_account(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    check(fields, false)
}

/// Checks the clearing account: as a party's, and `name`, which a party has outside its account.
pub fn check_clearing(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    check(fields, true)
}

fn check(
    fields: &BTreeMap<String, String>,
    clearing: bool,
) -> Result<Vec<(String, String)>, AccountError> {
    let known = if clearing { "iban, bic and name" } else { "iban and bic" };
    let mut checked = Vec::new();
    for (name, value) in fields {
        let value = match name.as_str() {
            "iban" if is_blank(value) => continue,
            "iban" => iban(value)?,
            "bic" => bic(value)?,
            "name" if clearing && is_blank(value) => continue,
            "name" if clearing => check_name(value)?,
            unknown => return Err(AccountError::unknown_field(RAIL, unknown, known)),
        };
        checked.push((name.clone(), value));
    }
    let needed: &[&str] = if clearing { &["iban", "name"] } else { &["iban"] };
    for field in needed {
        if !checked.iter().any(|(name, _)| name == field) {
            return Err(AccountError::Missing { rail: RAIL, field });
        }
    }
    Ok(checked)
}

fn is_blank(value: &str) -> bool {
    value.trim().is_empty()
}

fn check_name(name: &str) -> Result<String, AccountError> {
    let carried = text::name(name);
    let readable =
        carried != text::NOT_PROVIDED && carried.bytes().any(|b| b.is_ascii_alphanumeric());
    readable.then(|| name.trim().to_owned()).ok_or(AccountError::Name)
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
pub fn iban(text: &str) -> Result<String, AccountError> {
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
pub fn bic(text: &str) -> Result<String, AccountError> {
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
}
