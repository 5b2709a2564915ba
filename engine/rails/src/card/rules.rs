//! What this rail answers to the questions that are asked of every rail. Decides nothing that the
//! other files of this folder do not own.

use super::{Amounts, CLEARING_PLACEHOLDER, account, request};
use crate::account::AccountError;
use crate::rules::{AmountText, AnswerRules, Awaits, Fields, FileRules, RailRules};
use std::collections::BTreeMap;
use tallystick_ledger::types::AssetDef;
use tallystick_ledger::{OpenBatch, Policy, Refusal};

/// The rail.
pub struct Card;

impl RailRules for Card {
    fn check_account(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
        account::check_account(fields)
    }

    fn check_clearing(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
        account::check_clearing(fields)
    }

    fn placeholder(&self) -> &'static [(&'static str, &'static str)] {
        &CLEARING_PLACEHOLDER
    }

    fn policy(&self, asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
        super::currency::policy(asset, clearing)
    }

    fn check_batch(&self, content: &OpenBatch) -> Result<(), String> {
        request::check_batch(content).map_err(|why| why.to_string())
    }

    fn amounts<'a>(&self, content: &'a OpenBatch) -> AmountText<'a> {
        let asset = &content.head.asset;
        match Amounts::of(asset) {
            Some(amounts) => Box::new(move |sum| amounts.text(sum)),
            None => Box::new(|sum| sum.decimal(asset.scale)),
        }
    }

    fn files(&self) -> Option<&'static dyn FileRules> {
        None
    }

    fn answers(&self) -> Option<&'static dyn AnswerRules> {
        None
    }

    fn is_known_by_reference(&self) -> bool {
        // A dispute names nothing else.
        true
    }

    fn is_sent_in_calls(&self) -> bool {
        true
    }

    fn awaits(&self, _pay_in: bool) -> Awaits {
        Awaits::Engine("asks the payment service provider")
    }
}
