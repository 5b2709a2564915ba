//! What a webhook's event says of a leg.
//!
//! Owns which event means what, and what of it must be the leg's own. Keeps no state and moves
//! nothing: an event may come twice, late, or before an older one; what it says is weighed by the
//! ledger.

use super::call::CallBytes;
use super::currency::Amounts;
use super::object::{self, From, Kind, Standing};
use super::text;
use crate::status::LegWord;
use serde_json::Value;
use tallystick_ledger::hearing::{Ground, Place, Side, Statement, Sum};
use tallystick_ledger::types::{AssetDef, BatchId};

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
    /// It speaks of a payment that may be a leg's.
    Report(Box<Report>),
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

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// This became of the leg.
    Word {
        /// The word.
        word: LegWord,
        /// Whether money has moved.
        ground: Ground,
        /// Why; may be empty.
        reason: String,
    },
    /// It was declined and can still be paid: the provider is asked, and gives it up.
    Ask(String),
    /// The provider holds the money of what it was said to have given back.
    Kept(String),
    /// It moves nothing, but a person must know.
    Notice(String),
}

/// An event about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The leg's key, if the object carries one.
    pub key: Option<String>,
    /// The leg's batch, if the object carries it.
    pub batch: Option<BatchId>,
    /// The provider's id of the payment; empty if the event names none.
    pub payment: String,
    /// The object that speaks, and the event: what a person looks it up by.
    pub source: String,
    /// What it says.
    pub says: Says,
    /// What calls it is about.
    of: Kind,
    /// What the object is called, and what it should be called.
    object: [String; 2],
    money: Option<Money>,
    /// The account at the provider that the event is of, if it is not the receiver's own.
    account: Option<String>,
    /// Whether it is about real money; `None` if it is not said.
    is_live: Option<bool>,
}

/// What a leg is, for what is said of it.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Its call.
    pub call: &'a CallBytes,
    /// Its asset.
    pub asset: &'a AssetDef,
    /// The provider's id of its payment; empty if none is known.
    pub reference: &'a str,
    /// The operator's account at the provider.
    pub account: &'a str,
    /// Whether the secret key moves real money.
    pub is_live: bool,
}

impl Report {
    /// What it says of a leg, for the ledger to weigh; `None` if it has no word about one.
    #[must_use]
    pub fn statement(&self, own: &Own<'_>) -> Option<Statement> {
        let Says::Word { word, ground, reason } = &self.says else { return None };
        Some(Statement {
            word: *word,
            ground: *ground,
            is_duplicate: false,
            side: side(own.call.kind()),
            sum: self.sum(own.asset),
            place: self.place(own),
            reference: self.payment.clone(),
            apart: 0,
            reason: reason.clone(),
        })
    }

    /// The sum, which an event must name: what names none is no leg's.
    fn sum(&self, asset: &AssetDef) -> Sum {
        let Some(Money { units, currency }) = &self.money else {
            return Sum::Alien("a sum that is not named".into());
        };
        let same = asset.currency() == Some(currency.as_str());
        let amount = same.then(|| Amounts::of(asset)?.asset_units(*units)).flatten();
        amount.map_or_else(|| Sum::Alien(format!("{units} units of {currency}")), Sum::Units)
    }

    /// Whether it is of the leg's own object.
    #[must_use]
    pub fn place(&self, own: &Own<'_>) -> Place {
        let [name, expected] = &self.object;
        let payment = &self.payment;
        let other = if self.account.as_deref().is_some_and(|account| account != own.account) {
            "another account of the provider".to_owned()
        } else if own.is_live && self.is_live != Some(true) {
            "a test of the provider".to_owned()
        } else if name != expected || self.of != own.call.kind() {
            text::shown(&format!("a {name} {payment}"))
        } else if payment.is_empty() || !own.reference.is_empty() && own.reference != payment {
            text::shown(&format!("{payment}, another payment than {}", own.reference))
        } else {
            return Place::Ours;
        };
        Place::Other(other)
    }
}

/// Which way the money of a call goes, seen from the clearing account.
pub fn side(kind: Kind) -> Side {
    match kind {
        Kind::PaymentIntent => Side::In,
        Kind::Transfer | Kind::Payout | Kind::Refund => Side::Out,
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
        let report = report(&kind, object).map(|report| Report {
            account: object::text_of(&event, "account").map(text::reference),
            is_live: event.get("livemode").and_then(Value::as_bool),
            ..report
        });
        let meaning = report.map_or(Meaning::Nothing, |report| Meaning::Report(report.into()));
        Some(Self { id, created, kind, meaning })
    }
}

fn report(event: &str, object: &Value) -> Option<Report> {
    match event {
        "payment_intent.succeeded"
        | "payment_intent.processing"
        | "payment_intent.requires_action"
        | "payment_intent.canceled"
        | "payment_intent.payment_failed" => made(event, Kind::PaymentIntent, object),
        "transfer.created" | "transfer.reversed" => made(event, Kind::Transfer, object),
        "payout.paid" | "payout.failed" | "payout.canceled" => made(event, Kind::Payout, object),
        "charge.refunded" => refunded(event, object),
        "refund.failed" | "refund.updated" | "charge.refund.updated" => refund(event, object),
        "charge.dispute.created"
        | "charge.dispute.closed"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated" => dispute(event, object),
        _ => None,
    }
}

/// An event whose object is what the leg's call made.
fn made(event: &str, kind: Kind, object: &Value) -> Option<Report> {
    let part = object::number(object, "amount_reversed").unwrap_or_default();
    let says = match object::standing(kind, object, From::Lookup) {
        Standing::Confirmed if kind == Kind::Transfer && part > 0 => {
            Says::Notice("a part of the transfer was reversed".into())
        }
        Standing::Accepted => word(LegWord::Accepted, Ground::Report, String::new()),
        Standing::Confirmed => word(LegWord::Confirmed, Ground::Money, String::new()),
        // A payout can fail after it was paid: then its money has come back.
        Standing::Rejected(reason) if kind == Kind::Payout => {
            word(LegWord::Returned, Ground::Money, reason)
        }
        Standing::Rejected(reason) => word(LegWord::Rejected, Ground::Report, reason),
        Standing::Returned(reason) => word(LegWord::Returned, Ground::Money, reason),
        Standing::Open(reason) => Says::Ask(reason),
        Standing::Unclear(reason) => Says::Notice(reason),
    };
    let report = of(event, kind, kind.name(), object, object::id(object), says, "amount");
    report.key.is_some().then_some(report)
}

/// A charge was given back, in full or in part. Its metadata is that of its payment.
fn refunded(event: &str, charge: &Value) -> Option<Report> {
    let says = match object::flag(charge, "refunded") {
        true => word(LegWord::Returned, Ground::Money, "refunded".into()),
        false => Says::Notice("a part of the charge was refunded".into()),
    };
    known(of_charge(event, "charge", charge, says, "amount_refunded"))
}

/// A refund that did not come about: the provider holds the charge.
fn refund(event: &str, refund: &Value) -> Option<Report> {
    let status = object::text_of(refund, "status").unwrap_or_default();
    if !matches!(status, "failed" | "canceled") {
        return None;
    }
    let why = object::text_of(refund, "failure_reason").unwrap_or_default();
    let says = Says::Kept(text::shown(&format!("the refund has {status}: {why}")));
    known(of_charge(event, "refund", refund, says, "amount"))
}

/// A chargeback. The leg is returned when it is lost, not while it is argued about.
fn dispute(event: &str, dispute: &Value) -> Option<Report> {
    let why = object::text_of(dispute, "reason").unwrap_or_default();
    let status = object::text_of(dispute, "status").unwrap_or_default();
    let about = text::shown(&format!("the chargeback ({why}) is {status}"));
    let says = match (event, status) {
        ("charge.dispute.funds_reinstated", _) | (_, "won") => Says::Kept(about),
        ("charge.dispute.closed", "lost") => {
            let reason = text::shown(&format!("chargeback {}: {why}", object::id(dispute)));
            word(LegWord::Returned, Ground::Money, reason)
        }
        // It was only asked about, or the provider has taken the money while it is argued about.
        (_, _) => Says::Notice(about),
    };
    Some(of_charge(event, "dispute", dispute, says, "amount"))
}

fn word(word: LegWord, ground: Ground, reason: String) -> Says {
    Says::Word { word, ground, reason }
}

/// What names neither a leg nor a payment is about others.
fn known(report: Report) -> Option<Report> {
    (report.key.is_some() || !report.payment.is_empty()).then_some(report)
}

fn of_charge(event: &str, name: &str, object: &Value, says: Says, amount: &str) -> Report {
    of(event, Kind::PaymentIntent, name, object, payment_of(object), says, amount)
}

fn of(
    event: &str,
    kind: Kind,
    name: &str,
    object: &Value,
    payment: String,
    says: Says,
    amount: &str,
) -> Report {
    let called = text::shown(object::text_of(object, "object").unwrap_or("thing without a name"));
    Report {
        key: own_key(object),
        batch: own_batch(object),
        payment,
        source: text::shown(&format!("{} {event}", object::id(object))),
        says,
        of: kind,
        object: [called, name.to_owned()],
        money: money(object, amount),
        account: None,
        is_live: None,
    }
}

/// The leg's key, if the object carries one that can be.
fn own_key(object: &Value) -> Option<String> {
    object::leg_key(object).map(text::reference).filter(|key| !key.is_empty())
}

/// The batch, if the object carries one that can be.
fn own_batch(object: &Value) -> Option<BatchId> {
    let text = object.get("metadata").and_then(|metadata| object::text_of(metadata, "batch"))?;
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(BatchId)
}

/// The payment intent that a charge, refund or dispute belongs to, itself or by its charge.
fn payment_of(object: &Value) -> String {
    let direct = object::text_of(object, "payment_intent");
    let charge = object.get("charge").and_then(|charge| object::text_of(charge, "payment_intent"));
    direct.or(charge).map(text::reference).unwrap_or_default()
}

fn money(object: &Value, amount: &str) -> Option<Money> {
    let currency = object::text_of(object, "currency")?.to_ascii_uppercase();
    let formed = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
    let units = object::number(object, amount)?;
    formed.then_some(Money { units, currency })
}
