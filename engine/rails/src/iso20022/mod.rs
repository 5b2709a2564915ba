//! The rail `iso20022`: bank files, pain.001.001.09, and what banks send back.
//!
//! Owns the fields of an account (iban, bic) and of the clearing account (name, iban, bic), what
//! can be expressed in which currency, the file, and what pain.002, camt.052 to camt.054 say of
//! its legs. Never decides whether a leg may move, and never collects money: a credit transfer only
//! pays, so pay-ins are not in the file. `docs/RAIL-ISO20022.md` tells operators all of it.

mod account;
mod answer;
mod calendar;
mod camt;
mod codes;
mod currency;
mod details;
mod ids;
mod legs;
mod moved;
mod note;
mod pain001;
mod pain002;
mod parts;
mod problem;
mod quoted;
mod read;
mod rules;
mod text;
mod xml;

pub use answer::{Answer, Direction, Kind, Money, Reason, Report, Scope, SharedEntry, Summary};
pub use ids::is_key;
pub use legs::Legs;
pub use note::Note;
pub use problem::{Problem, ReadError};
pub use read::{read, read_stream};

pub(super) use rules::Iso20022;

use currency::Amounts;

use tallystick_ledger::OpenBatch;

const RAIL: &str = "iso20022";

/// The clearing account while none is configured, so that a first try-out has files: fields ordered
/// by name. The IBAN has valid check digits and cannot exist: no German bank code begins with 0.
pub const CLEARING_PLACEHOLDER: [(&str, &str); 2] =
    [("iban", "DE36000000000000000000"), ("name", "TALLYSTICK PLACEHOLDER, CONFIGURE (CLEARING)")];

/// Whether a clearing account is the placeholder, from which no bank will ever pay.
#[must_use]
pub fn is_placeholder(fields: &[(String, String)]) -> bool {
    account::Clearing::read(fields).is_some_and(|clearing| clearing.is_placeholder())
}

/// How the amounts of a batch are written.
fn amounts(content: &OpenBatch) -> Amounts {
    Amounts::new(&content.head.asset, content.head.policy.unit)
}

#[cfg(test)]
pub(crate) use pain001::render as render_part;

#[cfg(test)]
mod tests;
