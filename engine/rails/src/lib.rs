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
mod charset;
pub mod evm;
pub mod hook;
pub mod iso20022;
mod latin;
pub mod nacha;
#[cfg(test)]
mod opened;
mod parts;
mod rules;
mod sink;
pub mod status;
mod table;

pub use account::AccountError;
pub use answers::{About, Answer, Breadth, Known, Name, Remark, Sent, Shared};
pub use iso20022::{CLEARING_PLACEHOLDER, is_placeholder};
pub use parts::{PAY_INS_ENDING, Part, PartFile, is_file, split};
pub use rules::Awaits;
pub use sink::Taker;
pub use status::{LegReport, LegWord};

use rules::{AmountText, Fields, RailRules};
use std::collections::BTreeMap;
use tallystick_ledger::batch::Payment;
use tallystick_ledger::types::AssetDef;
use tallystick_ledger::{OpenBatch, Policy, Rail, RailAccount, Refusal};

/// The rules of each rail: the one list of them.
fn rules(rail: Rail) -> &'static dyn RailRules {
    match rail {
        Rail::Iso20022 => &iso20022::Iso20022,
        Rail::Nacha => &nacha::Nacha,
        Rail::Card => &card::Card,
        Rail::Evm => &evm::Evm,
    }
}

/// Checks and normalises a party's account on the rail named by the caller.
///
/// # Errors
/// `AccountError` that says which field is wrong and what to do. No error text ever shows a value.
pub fn check_account(
    rail: &str,
    fields: &BTreeMap<String, String>,
) -> Result<RailAccount, AccountError> {
    account::check_limits(fields)?;
    let named = Rail::from_name(rail).ok_or_else(|| AccountError::unknown_rail(rail))?;
    let fields = rules(named).check_account(fields)?;
    Ok(RailAccount { rail: rail.to_owned(), fields })
}

/// Checks that a party's (checked) account is not the clearing account itself: `clearing` has the
/// fields of each rail's.
///
/// # Errors
/// `AccountError` that says which field is wrong.
pub fn check_apart(
    account: &RailAccount,
    clearing: &BTreeMap<Rail, Fields>,
) -> Result<(), AccountError> {
    let Some(rail) = Rail::from_name(&account.rail) else { return Ok(()) };
    let clearing = clearing.get(&rail).map_or(&[][..], Vec::as_slice);
    rules(rail).check_apart(&account.fields, clearing)
}

/// Checks and normalises the operator's clearing account on `rail`; returns its fields ordered by
/// name.
///
/// # Errors
/// `AccountError` that says which field is wrong and what to do.
pub fn check_clearing(
    rail: Rail,
    fields: &BTreeMap<String, String>,
) -> Result<Fields, AccountError> {
    account::check_limits(fields)?;
    rules(rail).check_clearing(fields)
}

/// A clearing account that no bank has: for a first try-out, when none is configured. Empty where
/// there is nothing to try out without a real one.
#[must_use]
pub fn placeholder(rail: Rail) -> Fields {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    rules(rail).placeholder().iter().map(own).collect()
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
    rules(rail).policy(asset, clearing)
}

/// Whether the rail can carry a computed batch: what `policy` cannot see, such as accounts from
/// before the rail checked them. A batch that this refuses must not be created: it has no files.
///
/// # Errors
/// `Refusal::RailUnfit` that says which leg or account is wrong.
pub fn check_batch(content: &OpenBatch) -> Result<(), Refusal> {
    let rail = content.head.policy.rail;
    let (name, asset) = (rail.name(), content.head.asset.number);
    let done = rules(rail).check_batch(content);
    done.map_err(|why| Refusal::RailUnfit { rail: name, asset, why })
}

/// What the rail calls a leg with this key.
#[must_use]
pub fn leg_name(rail: Rail, key: &str) -> String {
    rules(rail).leg_name(key)
}

/// What an id in an answer of the rail says, if it may be that of a file of ours. It can be read in
/// two ways; only the batch knows which.
#[must_use]
pub fn sent(rail: Rail, id: &str) -> Vec<Sent> {
    rules(rail).answers().map_or_else(Vec::new, |answers| answers.sent(id))
}

/// Whether what the rail says later may name a payment by its own reference only.
#[must_use]
pub fn is_known_by_reference(rail: Rail) -> bool {
    rules(rail).is_known_by_reference()
}

/// Whether a leg of the rail is SENT only while a call for it is being made: nobody heard what
/// became of one that a start finds so.
#[must_use]
pub fn is_sent_in_calls(rail: Rail) -> bool {
    rules(rail).is_sent_in_calls()
}

/// Who follows what has left on the rail, of pay-ins or of pay-outs.
#[must_use]
pub fn awaits(rail: Rail, pay_in: bool) -> Awaits {
    rules(rail).awaits(pay_in)
}

/// Whether the rail was handed these as a file, and says that it has taken them on before it says
/// how they ended.
#[must_use]
pub fn is_acknowledged(rail: Rail, pay_in: bool) -> bool {
    let is_list = pay_in && !rail.collects();
    !is_list && rules(rail).files().is_some_and(|files| files.is_acknowledged())
}

/// Hands the records of a batch to `write`, one after the other, each in pieces of at most
/// `EXPORT_CHUNK_BYTES`: all legs as CSV and as JSON. The same batch gives the same bytes.
///
/// Never anything that a rail executes. What a rail gets is a `Part`, which leaves once, with a
/// record; a second file with the same payments under ids of its own would be money paid twice.
///
/// # Errors
/// What `write` fails with; it is not called again.
pub fn export<E>(content: &OpenBatch, write: Taker<'_, E>) -> Result<(), E> {
    let short = short_id(content);
    let amount = amounts(content);
    sink::file(&format!("{short}.legs.csv"), write, |out| table::csv(content, &*amount, out))?;
    sink::file(&format!("{short}.legs.json"), write, |out| table::json(content, &*amount, out))
}

/// The account that a leg's money leaves, where it goes from party to party: as the rail compares
/// it. Else it is the clearing account, and this is empty.
#[must_use]
pub fn own_account<'a>(content: &'a OpenBatch, payment: &Payment) -> &'a str {
    rules(content.head.policy.rail).own_account(content, payment)
}

/// How the batch's rail writes an amount.
fn amounts(content: &OpenBatch) -> AmountText<'_> {
    rules(content.head.policy.rail).amounts(content)
}

/// The first 16 hexadecimal digits of the batch's id: names its files, and the batch towards
/// people.
fn short_id(content: &OpenBatch) -> String {
    let mut id = content.head.id.to_string();
    id.truncate(16);
    id
}

#[cfg(test)]
mod tests;
