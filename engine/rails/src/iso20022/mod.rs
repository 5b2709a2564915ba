//! The rail `iso20022`: bank files, pain.001.001.09, and what banks send back.
//!
//! Owns the fields of an account (iban, bic) and of the clearing account (name, iban, bic), what
//! can be expressed in which currency, the file, and what pain.002, camt.053 and camt.054 say of
//! its legs. Never decides whether a leg may move, and never collects money: a credit transfer only
//! pays, so pay-ins are not in the file. `docs/RAIL-ISO20022.md` tells operators all of it.

mod answer;
mod calendar;
mod camt;
mod currency;
mod ids;
mod legs;
mod pain001;
mod pain002;
mod parts;
mod problem;
mod read;
mod text;
mod xml;

pub use answer::{
    Answer, Direction, Kind, Money, Note, Reason, Report, Scope, SharedEntry, Summary,
};
pub use ids::{Sent, is_key, sent};
pub use legs::{Legs, pays, statement};
pub use problem::{Problem, ReadError};
pub use read::{read, read_stream};

pub(super) use currency::{Amounts, policy};
pub(super) use pain001::render;

use super::account::{self, AccountError};
use std::collections::BTreeMap;
use tallystick_ledger::{BatchContent, Rail};

const RAIL: &str = "iso20022";

/// The clearing account while none is configured, so that a first try-out has files: fields ordered
/// by name. The IBAN has valid check digits and cannot exist: no German bank code begins with 0.
pub const CLEARING_PLACEHOLDER: [(&str, &str); 2] =
    [("iban", "DE36000000000000000000"), ("name", "TALLYSTICK PLACEHOLDER, CONFIGURE (CLEARING)")];

/// Whether a clearing account is the placeholder, from which no bank will ever pay.
#[must_use]
pub fn is_placeholder(fields: &[(String, String)]) -> bool {
    let [(field, iban), _] = CLEARING_PLACEHOLDER;
    fields.iter().any(|(name, value)| name == field && value == iban)
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
            "iban" => account::iban(value)?,
            "bic" => account::bic(value)?,
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

/// How the amounts of a batch are written.
pub fn amounts(content: &BatchContent) -> Amounts {
    assert_eq!(content.head.policy.rail, Rail::Iso20022, "a batch is exported by its own rail");
    Amounts::new(&content.head.asset, content.head.policy.unit)
}

#[cfg(test)]
mod tests;
