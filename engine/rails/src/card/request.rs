//! Calls that legs become.
//!
//! Owns their parameters. Every object that a call makes carries the leg's key and the batch's id
//! in its metadata, so that it can be found again without the answer.

use super::account::{CUSTOMER, PAYMENT_METHOD, PAYOUT, Tokens, is_connected_account};
use super::call::CallBytes;
use super::currency::Amounts;
use super::object::Kind;
use std::collections::BTreeSet;
use tallystick_ledger::types::{PartyId, Total};
use tallystick_ledger::{Leg, OpenBatch, Payment, Refusal};

/// Why a leg cannot become a call: it cannot leave on this rail and is owed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Inexpressible {
    #[error("the batch holds no card account of party {0}")]
    NoAccount(PartyId),
    #[error(
        "the card account of party {party} has no {field}; `tallystick party update ID --account` \
         registers it for the next batch"
    )]
    NoToken { party: PartyId, field: &'static str },
    #[error("{0} asset units cannot be expressed in the provider's units")]
    Amount(Total),
    #[error(
        "it goes from party to party; this rail charges and pays out through the clearing account"
    )]
    NotThroughClearing,
}

/// Whether every party of a batch has the tokens that its leg needs: asked before the batch is
/// kept, so that a debtor who can only be paid does not fail when the others have left.
///
/// # Errors
/// `Refusal::AccountsMissing` that names the first of them.
pub fn check_batch(content: &OpenBatch) -> Result<(), Refusal> {
    let lacks = |payment: &Payment| {
        let charge = payment.is_pay_in();
        let party = if charge { payment.from } else { payment.to };
        let account = content.accounts.get(&party);
        let has = account.is_some_and(|account| Tokens::read(&account.fields).has(charge));
        (!has).then_some(party)
    };
    let lacking: BTreeSet<PartyId> =
        content.legs.iter().filter_map(|leg| lacks(&leg.payment)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = lacking.iter().take(3).map(PartyId::to_string).collect();
    let more = if lacking.len() > 3 { ", ..." } else { "" };
    Err(Refusal::AccountsMissing {
        rail: super::RAIL,
        count: lacking.len(),
        first: format!("{}{more}", first.join(", ")),
    })
}

/// The call of one leg.
///
/// # Errors
/// `Inexpressible` when the leg cannot leave on this rail.
pub fn request(
    leg: &Leg,
    content: &OpenBatch,
    api_version: &str,
) -> Result<CallBytes, Inexpressible> {
    let payment = &leg.payment;
    let tokens = |party: PartyId| {
        let account = content.accounts.get(&party).ok_or(Inexpressible::NoAccount(party))?;
        Ok(Tokens::read(&account.fields))
    };
    let given = |token: Option<&str>, party: PartyId, field: &'static str| {
        token.map(str::to_owned).ok_or(Inexpressible::NoToken { party, field })
    };
    let common = Common::of(leg, content)?;
    if payment.is_pay_in() && payment.from != PartyId::CLEARING {
        let (party, Tokens { customer, payment_method, .. }) =
            (payment.from, tokens(payment.from)?);
        let form = [
            ("amount", common.amount),
            ("confirm", "true".into()),
            ("currency", common.currency),
            ("customer", given(customer, party, CUSTOMER)?),
            ("description", common.description),
            ("metadata[batch]", common.batch),
            ("metadata[leg_key]", leg.key.clone()),
            // The customer is not there: what needs it fails, and does not wait.
            ("off_session", "true".into()),
            ("payment_method", given(payment_method, party, PAYMENT_METHOD)?),
            ("payment_method_types[0]", "card".into()),
            ("transfer_group", leg.key.clone()),
        ];
        return Ok(CallBytes::new(Kind::PaymentIntent, &leg.key, api_version, &form));
    }
    if payment.from != PartyId::CLEARING || payment.is_pay_in() {
        return Err(Inexpressible::NotThroughClearing);
    }
    let destination = given(tokens(payment.to)?.payout, payment.to, PAYOUT)?;
    let transfer = is_connected_account(&destination);
    let mut form = vec![
        ("amount", common.amount),
        ("currency", common.currency),
        ("description", common.description),
        ("destination", destination),
        ("metadata[batch]", common.batch),
        ("metadata[leg_key]", leg.key.clone()),
    ];
    let kind = if transfer {
        // A transfer is found again by its group: one group a leg.
        form.push(("transfer_group", leg.key.clone()));
        Kind::Transfer
    } else {
        Kind::Payout
    };
    Ok(CallBytes::new(kind, &leg.key, api_version, &form))
}

/// The call that gives the whole charge of a pay-in back, under a key of its own. For what should
/// not have been charged: the charge of a leg that counts as rejected, or a second one that
/// somebody made by hand. Never for a leg that merely was not answered.
///
/// # Errors
/// `Inexpressible` when the leg is no pay-in.
pub fn refund(
    leg: &Leg,
    content: &OpenBatch,
    payment_intent: &str,
    api_version: &str,
) -> Result<CallBytes, Inexpressible> {
    if !leg.payment.is_pay_in() {
        return Err(Inexpressible::NotThroughClearing);
    }
    let common = Common::of(leg, content)?;
    let form = [
        ("amount", common.amount),
        ("metadata[batch]", common.batch),
        ("metadata[currency]", common.currency),
        ("metadata[leg_key]", leg.key.clone()),
        ("payment_intent", super::text::reference(payment_intent)),
    ];
    Ok(CallBytes::new(Kind::Refund, &format!("{}-refund", leg.key), api_version, &form))
}

/// What all calls of a leg say.
struct Common {
    amount: String,
    currency: String,
    batch: String,
    description: String,
}

impl Common {
    fn of(leg: &Leg, content: &OpenBatch) -> Result<Self, Inexpressible> {
        let asset = &content.head.asset;
        let units = leg.payment.amount;
        let amount = Amounts::of(asset).and_then(|amounts| amounts.api_units(units));
        let amount = amount.filter(|amount| *amount > 0).ok_or(Inexpressible::Amount(units))?;
        let short = crate::short_id(content);
        Ok(Self {
            amount: amount.to_string(),
            currency: asset.code.to_ascii_lowercase(),
            batch: content.head.id.to_string(),
            description: format!("Tallystick batch {short} leg {}", leg.key),
        })
    }
}
