//! Accounts on the rail and what it can do with an asset.
//!
//! Owns the fields of a party's account (`address`) and of the clearing account (`chain_id`,
//! `contract`, `token`, `decimals`, `least`). Asks no chain whether any of them exists: `Desk`
//! compares them with what is deployed before anything is sent.

use super::address::{self, Address};
use super::chunk::Units;
use crate::account::AccountError;
use std::collections::BTreeMap;
use tallystick_ledger::batch::field;
use tallystick_ledger::limits::{EVM_AMOUNT_MAX, EVM_DECIMALS_MAX};
use tallystick_ledger::types::{AssetDef, SettlementModel};
use tallystick_ledger::{Policy, Rail, Refusal};

pub(super) const RAIL: &str = "evm";
const CLEARING_FIELDS: &str = "chain_id, contract, token, decimals and least";

/// The clearing account, read: where money is paid from and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearing {
    /// EIP-155 number of the chain.
    pub chain_id: u64,
    /// The deployed `BatchPayout`.
    pub contract: Address,
    /// The ERC-20 token that it pays.
    pub token: Address,
    /// The token's decimals.
    pub decimals: u32,
    /// Smallest payment, in the token's smallest units.
    pub least: u128,
}

/// A party's account, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payee {
    /// Where it is paid.
    pub address: Address,
}

impl Payee {
    /// Reads a checked account; `None` if it is not one.
    #[must_use]
    pub fn read(fields: &[(String, String)]) -> Option<Self> {
        let address = address::read("address", field(fields, "address")?).ok()?;
        Some(Self { address })
    }
}

/// Checks a party's account: `address`, which becomes its EIP-55 form.
pub fn check_account(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    only(fields, &["address"], "address")?;
    let address = address::read("address", needed(fields, "address")?)?;
    Ok(vec![("address".into(), address::text(address))])
}

/// Checks that a party's checked account is neither the payout contract nor the token itself: money
/// sent there would be nobody's. The contract leaves such an item out as well.
pub fn check_apart(
    account: &[(String, String)],
    clearing: &[(String, String)],
) -> Result<(), AccountError> {
    let read = Payee::read(account).zip(Clearing::read(clearing));
    let Some((Payee { address }, Clearing { contract, token, .. })) = read else { return Ok(()) };
    let unfit = |why| Err(AccountError::AddressUnfit { field: "address", why });
    if address == contract {
        return unfit("it is the contract that pays out; give one of the party's own");
    }
    if address == token {
        return unfit("it is the token itself; give one of the party's own");
    }
    Ok(())
}

/// Checks the clearing account; `least` may be absent and is 1 then.
pub fn check_clearing(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    let known = ["chain_id", "contract", "token", "decimals", "least"];
    only(fields, &known, CLEARING_FIELDS)?;
    let chain_id = number(needed(fields, "chain_id")?, 1, u128::from(u64::MAX)).ok_or(
        AccountError::Number {
            field: "chain_id",
            expected: "the chain's EIP-155 number, e.g. 8453 for Base",
        },
    )?;
    let contract = address::read("contract", needed(fields, "contract")?)?;
    let token = address::read("token", needed(fields, "token")?)?;
    if contract == token {
        let why = "it is the token's own; give that of the deployed BatchPayout";
        return Err(AccountError::AddressUnfit { field: "contract", why });
    }
    let decimals = number(needed(fields, "decimals")?, 0, u128::from(EVM_DECIMALS_MAX)).ok_or(
        AccountError::Number {
            field: "decimals",
            expected: "the token's decimals, 0 to 28, e.g. 6 for USDC",
        },
    )?;
    let least = match fields.get("least").filter(|least| !least.trim().is_empty()) {
        None => 1,
        Some(least) => number(least, 1, EVM_AMOUNT_MAX).ok_or(AccountError::Number {
            field: "least",
            expected: "the smallest payment in the token's smallest units, 1 to 2^96 - 1",
        })?,
    };
    Ok(vec![
        ("chain_id".into(), chain_id.to_string()),
        ("contract".into(), address::text(contract)),
        ("decimals".into(), decimals.to_string()),
        ("least".into(), least.to_string()),
        ("token".into(), address::text(token)),
    ])
}

impl Clearing {
    /// Reads a checked clearing account; `None` if it is not one (none was configured).
    #[must_use]
    pub fn read(fields: &[(String, String)]) -> Option<Self> {
        let address = |name| address::read(name, field(fields, name)?).ok();
        Some(Self {
            chain_id: field(fields, "chain_id")?.parse().ok()?,
            contract: address("contract")?,
            token: address("token")?,
            decimals: field(fields, "decimals")?.parse().ok()?,
            least: field(fields, "least")?.parse().ok()?,
        })
    }

    /// The token as an asset code (CAIP-19).
    #[must_use]
    pub fn asset_code(&self) -> String {
        format!("eip155:{}/erc20:{}", self.chain_id, address::text(self.token))
    }
}

/// What the rail can do with an asset: it must be the clearing account's token, and multilateral.
pub fn policy(asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
    let unfit = |why: String| Refusal::RailUnfit { rail: RAIL, asset: asset.number, why };
    match asset.model {
        SettlementModel::Multilateral => {}
        SettlementModel::Bilateral => {
            let why = "the contract pays out of the clearing account only; the asset must be \
                       multilateral";
            return Err(unfit(why.into()));
        }
    }
    let read = Clearing::read(clearing).ok_or_else(|| {
        unfit("no clearing account is configured; deploy BatchPayout and set [clearing.evm]".into())
    })?;
    if !asset.code.eq_ignore_ascii_case(&read.asset_code()) {
        let why = format!("the contract pays {} only", read.asset_code());
        return Err(unfit(why));
    }
    let units = Units::new(asset.scale, read.decimals);
    let most = units.largest().ok_or_else(|| {
        unfit("one asset unit is more than a payment of the token can carry".into())
    })?;
    let least = units.at_least(read.least).filter(|least| *least <= most).ok_or_else(|| {
        unfit("the smallest payment, `least`, is more than the largest; lower it".into())
    })?;
    let clearing = clearing.to_vec();
    Ok(Policy { rail: Rail::Evm, unit: units.unit(), least, most, clearing })
}

fn only(
    fields: &BTreeMap<String, String>,
    allowed: &[&str],
    known: &'static str,
) -> Result<(), AccountError> {
    match fields.keys().find(|name| !allowed.contains(&name.as_str())) {
        Some(unknown) => Err(AccountError::unknown_field(RAIL, unknown, known)),
        None => Ok(()),
    }
}

fn needed<'a>(
    fields: &'a BTreeMap<String, String>,
    name: &'static str,
) -> Result<&'a str, AccountError> {
    let value = fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    value.ok_or(AccountError::Missing { rail: RAIL, field: name })
}

/// A decimal number between bounds.
fn number(text: &str, least: u128, most: u128) -> Option<u128> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u128>().ok()).flatten()?;
    (least..=most).contains(&number).then_some(number)
}
