//! Rails: the outside networks that execute legs.
//!
//! Owns which accounts a rail takes, what it can do with an asset, what its files and calls look
//! like and what its answers mean. Never decides who owes what (`ledger::batch` does) or where a
//! leg stands, sends nothing of its own accord, reads no clock and no file: the same batch gives
//! the same bytes for ever.
//!
//! An account is checked once, when it is registered; files are made from checked accounts only.

#![forbid(unsafe_code)]

mod account;
mod answers;
pub mod card;
pub mod evm;
pub mod iso20022;
mod latin;
pub mod nacha;
mod parts;
mod sink;
pub mod status;
mod table;

pub use account::AccountError;
pub use answers::{About, Answer, Breadth, Name, Remark, Sent, leg_name, sent};
pub use iso20022::{CLEARING_PLACEHOLDER, is_placeholder};
pub use parts::{PAY_INS_ENDING, Part, split};
pub use sink::Taker;
pub use status::{LegReport, LegWord};

use std::collections::BTreeMap;
use tallystick_ledger::batch::Payment;
use tallystick_ledger::event::RailAccount;
use tallystick_ledger::types::{AssetDef, PartyId, Total};
use tallystick_ledger::{BatchContent, Policy, Rail, Refusal};

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
        Some(Rail::Nacha) => nacha::check_account(fields)?,
        Some(Rail::Card) => card::check_account(fields)?,
        Some(Rail::Evm) => evm::check_account(fields)?,
        None => fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    };
    Ok(RailAccount { rail: rail.to_owned(), fields })
}

/// Checks that a party's (checked) account is not the clearing account itself: `clearing` has the fields of
/// each rail's.
///
/// # Errors
/// `AccountError` that says which field is wrong.
pub fn check_apart(
    account: &RailAccount,
    clearing: &BTreeMap<Rail, Vec<(String, String)>>,
) -> Result<(), AccountError> {
    let rail = Rail::from_name(&account.rail);
    let clearing = rail.and_then(|rail| clearing.get(&rail)).map_or(&[][..], Vec::as_slice);
    match rail {
        Some(Rail::Evm) => evm::check_apart(&account.fields, clearing),
        // A bank moves money between any two accounts, and gives it back.
        Some(Rail::Iso20022 | Rail::Nacha | Rail::Card) | None => Ok(()),
    }
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
        Rail::Nacha => nacha::check_clearing(fields),
        Rail::Card => card::check_clearing(fields),
        Rail::Evm => evm::check_clearing(fields),
    }
}

/// A clearing account that no bank has: for a first try-out, when none is configured. Empty where there
/// is nothing to try out without a real one.
#[must_use]
pub fn placeholder(rail: Rail) -> Vec<(String, String)> {
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    match rail {
        Rail::Iso20022 => CLEARING_PLACEHOLDER.map(own).to_vec(),
        Rail::Nacha => nacha::CLEARING_PLACEHOLDER.map(own).to_vec(),
        Rail::Card => card::CLEARING_PLACEHOLDER.map(own).to_vec(),
        Rail::Evm => Vec::new(),
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
        Rail::Nacha => nacha::policy(asset, clearing),
        Rail::Card => card::policy(asset, clearing),
        Rail::Evm => evm::policy(asset, clearing),
    }
}

/// Whether the rail can carry a computed batch: what `policy` cannot see, such as accounts from before
/// the rail checked them. A batch that this refuses must not be created: it has no files.
///
/// # Errors
/// `Refusal::RailUnfit` that says which leg or account is wrong.
pub fn check_batch(content: &BatchContent) -> Result<(), Refusal> {
    let rail = content.head.policy.rail;
    let unfit = |why: String| {
        Err(Refusal::RailUnfit { rail: rail.name(), asset: content.head.asset.number, why })
    };
    match rail {
        Rail::Iso20022 => Ok(()),
        Rail::Nacha => {
            nacha::files(content, 0).map_or_else(|why| unfit(why.to_string()), |_| Ok(()))
        }
        Rail::Card => {
            card::check_batch(content).map_or_else(|why| unfit(why.to_string()), |()| Ok(()))
        }
        Rail::Evm => evm::check_batch(content).map_or_else(|why| unfit(why.to_string()), Ok),
    }
}

/// Hands the records of a batch to `write`, one after the other, each in pieces of at most
/// `EXPORT_CHUNK_BYTES`: all legs as CSV and as JSON. The same batch gives the same bytes.
///
/// Never anything that a rail executes. What a rail gets is a `Part`, which leaves once, with a record; a second
/// file with the same payments under ids of its own would be money paid twice.
///
/// # Errors
/// What `write` fails with; it is not called again.
pub fn export<E>(content: &BatchContent, write: Taker<'_, E>) -> Result<(), E> {
    let short = short_id(content);
    let amount = amounts(content);
    sink::file(&format!("{short}.legs.csv"), write, |out| table::csv(content, &*amount, out))?;
    sink::file(&format!("{short}.legs.json"), write, |out| table::json(content, &*amount, out))
}

/// The account that a leg's money leaves, where it goes from party to party: as the rail compares it. Else
/// it is the clearing account, and this is empty.
#[must_use]
pub fn own_account<'a>(content: &'a BatchContent, payment: &Payment) -> &'a str {
    let is_direct = payment.from != PartyId::CLEARING && payment.to != PartyId::CLEARING;
    match content.head.policy.rail {
        Rail::Iso20022 if is_direct => {
            let account = content.accounts.get(&payment.from);
            account.and_then(|account| account.field("iban")).unwrap_or_default()
        }
        Rail::Iso20022 | Rail::Nacha | Rail::Card | Rail::Evm => "",
    }
}

/// How the batch's rail writes an amount.
fn amounts(content: &BatchContent) -> Box<dyn Fn(Total) -> String + '_> {
    match content.head.policy.rail {
        Rail::Iso20022 => {
            let amounts = iso20022::amounts(content);
            Box::new(move |sum| amounts.text(sum))
        }
        Rail::Nacha => {
            let amounts = nacha::amounts(content);
            Box::new(move |sum| amounts.text(sum))
        }
        Rail::Card => {
            let amounts = card::Amounts::of(&content.head.asset);
            let amounts = amounts.expect("policy() lets only currencies of the rail into a batch");
            Box::new(move |sum| amounts.text(sum))
        }
        Rail::Evm => Box::new(|sum| sum.decimal(content.head.asset.scale)),
    }
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
