//! What a webhook's event says of a leg.
//!
//! Owns which event means what. Keeps no state: an event may come twice, late, or before an older
//! one; the ledger's leg states make that harmless.

use super::currency::Amounts;
use super::object::{self, From, Kind, Standing};
use super::text;
use crate::rails::status::{LegReport, LegWord};
use crate::types::AssetDef;
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's id: the same event has the same id each time it comes.
    pub id: String,
    /// When it happened, by the provider's clock, unix seconds. Events come in any order.
    pub created: i64,
    /// Its type, as the provider calls it.
    pub kind: String,
    /// What it means here.
    pub meaning: Meaning,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// It says what became of a leg.
    Leg(Report),
    /// It moves no leg, but the operator should know.
    Notice(String),
    /// It says nothing about legs.
    Nothing,
}

/// A sum as the provider counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// In the provider's units of the currency.
    pub units: u64,
    /// ISO 4217, capital letters.
    pub currency: String,
}

/// What an event says of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The leg's key or, where the event does not hold it, the provider's reference of its payment.
    pub key: String,
    /// What became of the leg.
    pub word: LegWord,
    /// The provider's reference.
    pub reference: String,
    /// Why; may be empty.
    pub reason: String,
    /// How much, if the event says so.
    pub money: Option<Money>,
}

impl Report {
    /// The report in the ledger's words, for a leg in `asset`. An amount in another currency, or
    /// that the asset cannot express, is none, and the reason says so.
    #[must_use]
    pub fn in_asset(self, asset: &AssetDef) -> LegReport {
        let Self { key, word, reference, mut reason, money } = self;
        let amount = money.as_ref().and_then(|money| {
            let same = asset.currency() == Some(money.currency.as_str());
            same.then(|| Amounts::of(asset)?.asset_units(money.units)).flatten()
        });
        if let (Some(money), None) = (&money, amount) {
            let Money { units, currency } = money;
            reason =
                text::bounded(&format!("{units} units of {currency}, not the leg's; {reason}"));
        }
        LegReport { key, word, reference, reason, amount }
    }
}

impl Event {
    /// Reads an event; `None` if it is none. Only for bytes whose signature was checked, now or
    /// when they were stored.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(payload).ok()?;
        let id = Some(object::id(&event)).filter(|id| !id.is_empty())?;
        let created = event.get("created").and_then(Value::as_i64)?;
        let kind = text::shown(object::text_of(&event, "type")?);
        let object = event.get("data").and_then(|data| data.get("object"))?;
        let meaning = meaning(&kind, object);
        Some(Self { id, created, kind, meaning })
    }
}

fn meaning(event: &str, object: &Value) -> Meaning {
    match event {
        "payment_intent.succeeded"
        | "payment_intent.processing"
        | "payment_intent.canceled"
        | "payment_intent.payment_failed" => leg(Kind::PaymentIntent, object),
        "transfer.created" | "transfer.reversed" => transfer(object),
        "payout.paid" | "payout.failed" | "payout.canceled" => leg(Kind::Payout, object),
        "charge.refunded" => refunded(object),
        "charge.dispute.created" | "charge.dispute.closed" => dispute(object),
        _ => Meaning::Nothing,
    }
}

/// An event whose object is what the leg's call made.
fn leg(kind: Kind, object: &Value) -> Meaning {
    let Some(key) = own_key(object) else { return Meaning::Nothing };
    let (word, reason) = match object::standing(kind, object, From::Lookup) {
        Standing::Accepted => (LegWord::Accepted, String::new()),
        Standing::Confirmed => (LegWord::Confirmed, String::new()),
        Standing::Rejected(reason) => (LegWord::Rejected, reason),
        Standing::Returned(reason) => (LegWord::Returned, reason),
        Standing::Unclear(reason) => return Meaning::Notice(reason),
    };
    report(key, word, object::id(object), reason, money(object, "amount"))
}

fn transfer(object: &Value) -> Meaning {
    let part = object::number(object, "amount_reversed").unwrap_or_default();
    match object::standing(Kind::Transfer, object, From::Lookup) {
        Standing::Confirmed if part > 0 && own_key(object).is_some() => {
            notice(object, "a part of the transfer was reversed; the leg stays as it is")
        }
        Standing::Confirmed
        | Standing::Accepted
        | Standing::Rejected(_)
        | Standing::Returned(_)
        | Standing::Unclear(_) => leg(Kind::Transfer, object),
    }
}

/// A charge was given back, in full or in part. Its metadata is that of its payment.
fn refunded(charge: &Value) -> Meaning {
    let payment = payment_of(charge);
    let Some(key) = own_key(charge).or_else(|| payment.clone()) else { return Meaning::Nothing };
    if object::flag(charge, "refunded") {
        let reference = payment.unwrap_or_else(|| object::id(charge));
        let money = money(charge, "amount_refunded");
        return report(key, LegWord::Returned, reference, "refunded".into(), money);
    }
    notice(charge, "a part of the charge was refunded; the leg stays as it is")
}

/// A chargeback. The leg is returned when it is lost, not while it is argued about.
fn dispute(dispute: &Value) -> Meaning {
    let Some(payment) = payment_of(dispute) else { return Meaning::Nothing };
    let why = object::text_of(dispute, "reason").unwrap_or_default();
    match object::text_of(dispute, "status").unwrap_or_default() {
        "lost" => {
            let reason = text::shown(&format!("chargeback {}: {why}", object::id(dispute)));
            report(payment.clone(), LegWord::Returned, payment, reason, money(dispute, "amount"))
        }
        status => notice(dispute, &format!("chargeback of {payment} is {status}: {why}")),
    }
}

fn report(
    key: String,
    word: LegWord,
    reference: String,
    reason: String,
    money: Option<Money>,
) -> Meaning {
    Meaning::Leg(Report { key, word, reference, reason, money })
}

fn notice(object: &Value, what: &str) -> Meaning {
    Meaning::Notice(text::shown(&format!("{}: {what}", object::id(object))))
}

/// The leg's key, if the object carries one that can be.
fn own_key(object: &Value) -> Option<String> {
    object::leg_key(object).map(text::reference).filter(|key| !key.is_empty())
}

/// The payment intent that a charge or dispute belongs to.
fn payment_of(object: &Value) -> Option<String> {
    let payment = object::text_of(object, "payment_intent").map(text::reference);
    payment.filter(|payment| !payment.is_empty())
}

fn money(object: &Value, amount: &str) -> Option<Money> {
    let currency = object::text_of(object, "currency")?.to_ascii_uppercase();
    let formed = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
    let units = object::number(object, amount)?;
    formed.then_some(Money { units, currency })
}
