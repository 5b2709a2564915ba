//! What this rail answers to the questions that are asked of every rail. Decides nothing that the
//! other files of this folder do not own.

use super::{account, chunk};
use crate::account::AccountError;
use crate::rules::{AnswerRules, Awaits, Fields, FileRules, RailRules};
use std::collections::BTreeMap;
use tallystick_ledger::types::AssetDef;
use tallystick_ledger::{OpenBatch, Policy, Refusal};

/// The rail.
pub struct Evm;

impl RailRules for Evm {
    fn check_account(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
        account::check_account(fields)
    }

    fn check_clearing(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
        account::check_clearing(fields)
    }

    fn check_apart(
        &self,
        account: &[(String, String)],
        clearing: &[(String, String)],
    ) -> Result<(), AccountError> {
        account::check_apart(account, clearing)
    }

    fn placeholder(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn policy(&self, asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
        account::policy(asset, clearing)
    }

    fn check_batch(&self, content: &OpenBatch) -> Result<(), String> {
        chunk::check_batch(content).map_err(|why| why.to_string())
    }

    fn files(&self) -> Option<&'static dyn FileRules> {
        None
    }

    fn answers(&self) -> Option<&'static dyn AnswerRules> {
        None
    }

    fn awaits(&self, pay_in: bool) -> Awaits {
        // A contract cannot collect.
        if pay_in { Awaits::Chain } else { Awaits::Engine("follows the chain") }
    }
}
