//! In the place of the rail `evm` where the engine is built without it: accounts are kept as they are, for
//! the day it is there, and nothing is settled.

use super::account::AccountError;
use crate::ledger::{Policy, Rail, Refusal};
use crate::types::AssetDef;
use std::collections::BTreeMap;

type Fields = Vec<(String, String)>;

pub fn check_account(fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
    Ok(fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

pub fn check_clearing(fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
    check_account(fields)
}

pub fn policy(asset: &AssetDef, _clearing: &[(String, String)]) -> Result<Policy, Refusal> {
    Err(Refusal::RailUnfit {
        rail: Rail::Evm.name(),
        asset: asset.number,
        why: "this engine was built without the rail; build it with the cargo feature `evm`".into(),
    })
}
