//! Accounts of ACH: a party's, and the operator's with what its bank told it to put into files.
//!
//! Owns the fields, which of them are needed and what they may hold. Never asks a bank whether an
//! account exists.

use super::super::account::AccountError;
use super::{RAIL, text};
use std::collections::BTreeMap;
use tallystick_ledger::batch::field;

/// Characters of an account number.
pub const ACCOUNT_CHARS_MAX: usize = 17;
/// Characters of the names in a file header.
pub const BANK_NAME_CHARS: usize = 23;
/// Characters of the company name in a batch header: all of it that a receiver's statement shows.
pub const COMPANY_NAME_CHARS: usize = 16;
/// Characters of the company identification.
pub const COMPANY_ID_CHARS: usize = 10;
/// Characters of the entry description.
pub const DESCRIPTION_CHARS: usize = 10;

/// The clearing account while none is configured, so that a first try-out has files: fields ordered
/// by name. Routing numbers that begin with 80 were for traveller's cheques: no bank has this one.
pub const CLEARING_PLACEHOLDER: [(&str, &str); 12] = [
    ("account", "PLACEHOLDER"),
    ("company_id", "PLACEHOLDR"),
    ("company_name", "PLACEHOLDER"),
    ("destination_name", "PLACEHOLDER, CONFIGURE"),
    ("entry_description", "SETTLEMENT"),
    ("immediate_destination", "800000006"),
    ("immediate_origin", "800000006"),
    ("odfi_routing", "800000006"),
    ("origin_name", "PLACEHOLDER, CONFIGURE"),
    ("routing", "800000006"),
    ("same_day", "no"),
    ("type", "checking"),
];

/// One field of an account.
struct Field {
    name: &'static str,
    check: fn(&'static str, &str) -> Result<String, AccountError>,
    /// What an absent field means; `None` if it must be given.
    default: Option<&'static str>,
}

const fn needed(
    name: &'static str,
    check: fn(&'static str, &str) -> Result<String, AccountError>,
) -> Field {
    Field { name, check, default: None }
}

const ACCOUNT: Field = needed("account", account_number);
const ROUTING: Field = needed("routing", routing);
const TYPE: Field = Field { name: "type", check: kind, default: Some("checking") };

/// Fields of a party's account, ordered by name.
const PARTY: [Field; 3] = [ACCOUNT, ROUTING, TYPE];
const PARTY_KNOWN: &str = "account, routing and type";

/// Fields of the clearing account, ordered by name.
const CLEARING: [Field; 12] = [
    ACCOUNT,
    needed("company_id", |field, value| code(field, value, COMPANY_ID_CHARS)),
    needed("company_name", |field, value| words(field, value, COMPANY_NAME_CHARS)),
    needed("destination_name", |field, value| words(field, value, BANK_NAME_CHARS)),
    Field {
        name: "entry_description",
        check: |field, value| words(field, value, DESCRIPTION_CHARS),
        default: Some("SETTLEMENT"),
    },
    needed("immediate_destination", routing),
    needed("immediate_origin", |field, value| code(field, value, COMPANY_ID_CHARS)),
    needed("odfi_routing", routing),
    needed("origin_name", |field, value| words(field, value, BANK_NAME_CHARS)),
    ROUTING,
    Field { name: "same_day", check: yes_or_no, default: Some("no") },
    TYPE,
];
const CLEARING_KNOWN: &str = "account, company_id, company_name, destination_name, \
     entry_description, immediate_destination, immediate_origin, odfi_routing, origin_name, \
     routing, same_day and type";

/// Checks a party's account: `routing`, `account`, and `type` unless it is a checking account.
pub fn check_account(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    check(fields, &PARTY, PARTY_KNOWN)
}

/// Checks the clearing account: an account as a party's, and what the operator's bank wants in
/// files.
pub fn check_clearing(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    check(fields, &CLEARING, CLEARING_KNOWN)
}

fn check(
    fields: &BTreeMap<String, String>,
    table: &[Field],
    known: &'static str,
) -> Result<Vec<(String, String)>, AccountError> {
    for name in fields.keys() {
        if !table.iter().any(|field| field.name == name) {
            return Err(AccountError::unknown_field(RAIL, name, known));
        }
    }
    let read = |field: &Field| {
        let given = fields.get(field.name).map(|value| value.trim()).filter(|v| !v.is_empty());
        let value = match (given, field.default) {
            (Some(value), _) => (field.check)(field.name, value)?,
            (None, Some(default)) => default.to_owned(),
            (None, None) => return Err(AccountError::Missing { rail: RAIL, field: field.name }),
        };
        Ok((field.name.to_owned(), value))
    };
    table.iter().map(read).collect()
}

/// Nine digits with the check digit of the American Bankers Association (weights 3, 7, 1).
pub fn routing(field: &'static str, value: &str) -> Result<String, AccountError> {
    let digits: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let area = match digits.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..]
            if rest.len() == 7 && rest.iter().all(u8::is_ascii_digit) =>
        {
            (tens - b'0') * 10 + (ones - b'0')
        }
        [..] => return Err(AccountError::RoutingForm { field }),
    };
    let used = matches!(area, 0..=12 | 21..=32 | 61..=72 | 80) && digits != "000000000";
    if !used {
        return Err(AccountError::RoutingForm { field });
    }
    is_checked(&digits).then_some(digits).ok_or(AccountError::RoutingCheck { field })
}

/// Whether the last of nine digits is the check digit of the others.
pub fn is_checked(digits: &str) -> bool {
    let weights = [3, 7, 1, 3, 7, 1, 3, 7, 1];
    let weighed = digits.bytes().zip(weights).map(|(b, weight)| u32::from(b - b'0') * weight);
    weighed.sum::<u32>().is_multiple_of(10)
}

fn account_number(field: &'static str, value: &str) -> Result<String, AccountError> {
    let number: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let formed = (1..=ACCOUNT_CHARS_MAX).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && number.bytes().any(|b| b.is_ascii_alphanumeric() && b != b'0');
    formed
        .then(|| number.to_ascii_uppercase())
        .ok_or(AccountError::AccountNumber { field, most: ACCOUNT_CHARS_MAX })
}

fn kind(field: &'static str, value: &str) -> Result<String, AccountError> {
    choice(field, value, ["checking", "savings"], "checking, savings")
}

fn yes_or_no(field: &'static str, value: &str) -> Result<String, AccountError> {
    choice(field, value, ["no", "yes"], "yes, no")
}

fn choice(
    field: &'static str,
    value: &str,
    of: [&str; 2],
    allowed: &'static str,
) -> Result<String, AccountError> {
    let value = value.to_ascii_lowercase();
    of.contains(&value.as_str()).then_some(value).ok_or(AccountError::Choice { field, allowed })
}

fn words(field: &'static str, value: &str, most: usize) -> Result<String, AccountError> {
    // One character more than fits, so that a text that is too long is refused and never cut: the
    // operator chooses what receivers read.
    let carried = text::upper(value, most + 1);
    let readable = carried.bytes().any(|b| b.is_ascii_alphanumeric());
    (carried.len() <= most && readable).then_some(carried).ok_or(AccountError::Text { field, most })
}

fn code(field: &'static str, value: &str, most: usize) -> Result<String, AccountError> {
    let formed =
        (1..=most).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric());
    formed.then(|| value.to_ascii_uppercase()).ok_or(AccountError::Code { field, least: 1, most })
}

/// Where entries go: the account in a party's or the clearing account's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankAccount<'a> {
    /// The bank: nine digits.
    pub routing: &'a str,
    /// The number there.
    pub number: &'a str,
    /// Whether it is a savings account.
    pub savings: bool,
}

impl<'a> BankAccount<'a> {
    /// Reads checked fields.
    ///
    /// # Errors
    /// `AccountError::Missing` if they are no account of this rail.
    pub fn read(fields: &'a [(String, String)]) -> Result<Self, AccountError> {
        Ok(Self {
            routing: value(fields, "routing")?,
            number: value(fields, "account")?,
            savings: value(fields, "type")? == "savings",
        })
    }
}

/// The clearing account: where the other side of all entries is booked, and what its bank wants in
/// files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearing<'a> {
    pub account: BankAccount<'a>,
    pub company_id: &'a str,
    pub company_name: &'a str,
    pub destination_name: &'a str,
    pub entry_description: &'a str,
    pub immediate_destination: &'a str,
    pub immediate_origin: &'a str,
    /// The originating bank: the first eight digits of its routing number.
    pub odfi: &'a str,
    pub origin_name: &'a str,
    /// Whether entries are to settle on the day of their file.
    pub same_day: bool,
}

impl<'a> Clearing<'a> {
    /// Reads checked fields.
    ///
    /// # Errors
    /// `AccountError` if they are no clearing account of this rail.
    pub fn read(fields: &'a [(String, String)]) -> Result<Self, AccountError> {
        let own = |name| value(fields, name);
        let field = "odfi_routing";
        let odfi = own(field)?.get(..8).ok_or(AccountError::RoutingForm { field })?;
        Ok(Self {
            account: BankAccount::read(fields)?,
            company_id: own("company_id")?,
            company_name: own("company_name")?,
            destination_name: own("destination_name")?,
            entry_description: own("entry_description")?,
            immediate_destination: own("immediate_destination")?,
            immediate_origin: own("immediate_origin")?,
            odfi,
            origin_name: own("origin_name")?,
            same_day: own("same_day")? == "yes",
        })
    }
}

fn value<'a>(fields: &'a [(String, String)], name: &'static str) -> Result<&'a str, AccountError> {
    field(fields, name).ok_or(AccountError::Missing { rail: RAIL, field: name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        fields.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn accounts_are_normalised_and_a_checking_account_is_the_default() {
        let given = [("routing", " 0210 0002 1 "), ("account", " 12-34 ab ")];
        let checked = [("account", "12-34AB"), ("routing", "021000021"), ("type", "checking")];
        assert_eq!(check_account(&map(&given)), Ok(pairs(&checked)));
        let given = [("routing", "021000021"), ("account", "1"), ("type", "Savings")];
        let checked = [("account", "1"), ("routing", "021000021"), ("type", "savings")];
        assert_eq!(check_account(&map(&given)), Ok(pairs(&checked)));
        assert!(PARTY.iter().map(|field| field.name).is_sorted());
        assert!(CLEARING.iter().map(|field| field.name).is_sorted());
    }

    #[test]
    fn checked_fields_are_taken_again_as_they_are() {
        let placeholder = pairs(&CLEARING_PLACEHOLDER);
        let fields = placeholder.iter().cloned().collect();
        assert_eq!(check_clearing(&fields), Ok(placeholder));
    }

    #[test]
    fn the_example_of_the_documents_is_accepted_as_it_is() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
        for (file, comment) in [("RAIL-NACHA.md", ""), ("tallystick.example.toml", "#")] {
            let text = std::fs::read_to_string(format!("{docs}/{file}")).unwrap();
            let section = text.split_once(&format!("{comment}[clearing.nacha]\n")).unwrap().1;
            let lines = section.lines().map_while(|line| line.strip_prefix(comment));
            let pairs = lines.map_while(|line| line.split_once(" = \""));
            let field = |(name, rest): (&str, &str)| {
                (name.to_owned(), rest.split_once('"').unwrap().0.to_owned())
            };
            let fields: BTreeMap<String, String> = pairs.map(field).collect();
            assert!(fields.len() >= 9, "{file}");
            let checked = check_clearing(&fields).unwrap();
            for (name, value) in fields {
                assert_eq!(
                    tallystick_ledger::batch::field(&checked, &name),
                    Some(value.as_str()),
                    "{file}"
                );
            }
        }
    }

    /// Routing numbers of real banks, as they publish them.
    const BANKS: [&str; 6] =
        ["021000021", "026009593", "121042882", "091000019", "322271627", "011401533"];

    #[test]
    fn every_wrong_digit_of_a_routing_number_is_caught() {
        for bank in BANKS {
            assert_eq!(routing("routing", bank).as_deref(), Ok(bank));
            for place in 0..9 {
                for digit in (b'0'..=b'9').filter(|&digit| digit != bank.as_bytes()[place]) {
                    let mut bad = bank.as_bytes().to_vec();
                    bad[place] = digit;
                    let bad = String::from_utf8(bad).unwrap();
                    assert!(routing("routing", &bad).is_err(), "{bad}");
                }
            }
        }
    }

    #[test]
    fn errors_name_the_field_and_never_show_the_value() {
        let account = ("account", "123456");
        let bank = ("routing", "021000021");
        for (fields, part) in [
            (&[account][..], "\"routing\" is missing"),
            (&[bank], "\"account\" is missing"),
            (&[bank, ("account", "  ")], "\"account\" is missing"),
            (&[account, ("routing", "021000022")], "check digit"),
            (&[account, ("routing", "02100002")], "nine digits"),
            (&[account, ("routing", "0210000211")], "nine digits"),
            (&[account, ("routing", "000000000")], "nine digits"),
            (&[account, ("routing", "131000025")], "nine digits"),
            (&[account, ("routing", "02100002١")], "nine digits"),
            (&[account, ("routing", "٠21000021")], "nine digits"),
            (&[bank, ("account", "123456789012345678")], "1 to 17"),
            (&[bank, ("account", "00000")], "zeros"),
            (&[bank, ("account", "--")], "hyphens"),
            (&[bank, ("account", "12/34")], "hyphens"),
            (&[bank, ("account", "１２３")], "hyphens"),
            (&[bank, account, ("type", "loan")], "checking, savings"),
            (&[bank, account, ("iban", "DE89370400440532013000")], "account, routing and type"),
            (&[bank, account, ("same_day", "yes")], "account, routing and type"),
        ] {
            let error = check_account(&map(fields)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            for (_, value) in fields {
                assert!(value.trim().is_empty() || !error.contains(value.trim()), "{error}");
            }
        }
    }

    #[test]
    fn the_clearing_account_needs_what_the_bank_wants_in_files() {
        let good = map(&CLEARING_PLACEHOLDER);
        for one in CLEARING {
            let mut fields = good.clone();
            fields.remove(one.name);
            match one.default {
                Some(default) => {
                    let checked = check_clearing(&fields).unwrap();
                    assert_eq!(field(&checked, one.name), Some(default));
                }
                None => {
                    let missing = AccountError::Missing { rail: RAIL, field: one.name };
                    assert_eq!(check_clearing(&fields), Err(missing));
                }
            }
        }
        for (name, bad) in [
            ("company_name", "SEVENTEEN LETTERS"),
            ("company_name", "..."),
            ("company_name", "東京"),
            ("destination_name", "TWENTY-FOUR CHARACTERS ..."),
            ("entry_description", "ELEVEN CHAR"),
            ("company_id", "12345678901"),
            ("company_id", "12-3456789"),
            ("immediate_origin", "1 23456789"),
            ("immediate_destination", "12345678"),
            ("odfi_routing", "123456789"),
            ("same_day", "maybe"),
            ("type", "x"),
        ] {
            let mut fields = good.clone();
            fields.insert(name.into(), bad.into());
            let error = check_clearing(&fields).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains(bad), "{error}");
        }
        let mut fields = good.clone();
        fields.insert("company_name".into(), "Zürich  Clearing".into());
        let checked = check_clearing(&fields).unwrap();
        assert_eq!(field(&checked, "company_name"), Some("ZURICH CLEARING"));
    }
}
