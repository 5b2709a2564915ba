//! Rails: the outside networks that execute legs.
//!
//! Owns which accounts a rail takes, what it can do with an asset and what its files look like.
//! Never decides who owes what (`ledger::batch` does), never sends anything, reads no clock and no
//! file: the same batch gives the same bytes for ever.
//!
//! An account is checked once, when it is registered; files are made from checked accounts only.

mod account;
mod iso20022;
mod sink;
mod table;

pub use account::AccountError;
pub use iso20022::{CLEARING_PLACEHOLDER, is_placeholder};
pub use sink::Taker;

use crate::ledger::event::RailAccount;
use crate::ledger::{BatchContent, Policy, Rail, Refusal};
use crate::types::AssetDef;
use std::collections::BTreeMap;

/// Every rail for which a party may register an account. The engine settles on those of
/// `Rail::ALL`; accounts for the others are stored as they are, for the day it does.
pub const RAILS: [&str; 4] = ["iso20022", "nacha", "card", "evm"];

/// Checks and normalises a party's account on the rail named by the caller.
///
/// # Errors
/// `AccountError` that says which field is wrong and what to do. No error text ever shows a value.
pub fn check_account(
    rail: &str,
    fields: &BTreeMap<String, String>,
) -> Result<RailAccount, AccountError> {
    account::check_limits(fields)?;
    if !RAILS.contains(&rail) {
        return Err(AccountError::unknown_rail(rail));
    }
    let fields = match Rail::from_name(rail) {
        Some(Rail::Iso20022) => iso20022::check_account(fields)?,
        None => fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    };
    Ok(RailAccount { rail: rail.to_owned(), fields })
}

/// Checks and normalises the operator's clearing account on `rail`; returns its fields ordered by
/// name.
///
/// # Errors
/// `AccountError` that says which field is wrong and what to do.
pub fn check_clearing(
    rail: Rail,
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    account::check_limits(fields)?;
    match rail {
        Rail::Iso20022 => iso20022::check_clearing(fields),
    }
}

/// A clearing account that no bank has: for a first try-out, when none is configured.
#[must_use]
pub fn placeholder(rail: Rail) -> Vec<(String, String)> {
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    match rail {
        Rail::Iso20022 => CLEARING_PLACEHOLDER.map(own).to_vec(),
    }
}

/// What the rail can do with an asset. `clearing` is a checked clearing account.
///
/// # Errors
/// `Refusal::RailUnfit` when the rail cannot settle the asset.
pub fn policy(
    rail: Rail,
    asset: &AssetDef,
    clearing: &[(String, String)],
) -> Result<Policy, Refusal> {
    match rail {
        Rail::Iso20022 => iso20022::policy(asset, clearing),
    }
}

/// Hands the files of a batch to `write`, one after the other, each in pieces of at most
/// `EXPORT_CHUNK_BYTES`: the rail's own file (none if there is nothing to pay out), then all legs
/// as CSV and as JSON. The same batch gives the same bytes.
///
/// # Errors
/// What `write` fails with; it is not called again.
pub fn export<E>(content: &BatchContent, write: Taker<'_, E>) -> Result<(), E> {
    let short = short_id(content);
    let amount = match content.head.policy.rail {
        Rail::Iso20022 => {
            if content.legs.iter().any(|leg| !leg.payment.is_pay_in()) {
                let name = format!("{short}.pain.001.xml");
                sink::file(&name, write, |out| iso20022::render(content, out))?;
            }
            iso20022::amounts(content)
        }
    };
    let amount = |sum| amount.text(sum);
    sink::file(&format!("{short}.legs.csv"), write, |out| table::csv(content, &amount, out))?;
    sink::file(&format!("{short}.legs.json"), write, |out| table::json(content, &amount, out))
}

/// The first 16 hexadecimal digits of the batch's id: names its files, and the batch towards
/// people.
fn short_id(content: &BatchContent) -> String {
    let mut id = content.head.id.to_string();
    id.truncate(16);
    id
}

#[cfg(test)]
mod tests;
