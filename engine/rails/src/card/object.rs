//! The provider's objects (payment intents, transfers, payouts, refunds): what each says of a leg.
//!
//! Owns which status means what. Reads JSON that anybody may have written: nothing is trusted to be
//! there.

use super::text;
use serde_json::Value;

/// Under this name every object carries the key of its leg.
pub const LEG_KEY: &str = "leg_key";

/// What a call makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Charges a debtor.
    PaymentIntent,
    /// Pays a creditor who has an account at the provider.
    Transfer,
    /// Pays a creditor's card or bank account.
    Payout,
    /// Gives a charge back.
    Refund,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::PaymentIntent, Self::Transfer, Self::Payout, Self::Refund];

    /// Where it is made, listed and, with an id behind it, read.
    pub fn path(self) -> &'static str {
        match self {
            Self::PaymentIntent => "/v1/payment_intents",
            Self::Transfer => "/v1/transfers",
            Self::Payout => "/v1/payouts",
            Self::Refund => "/v1/refunds",
        }
    }

    /// What the object calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::PaymentIntent => "payment_intent",
            Self::Transfer => "transfer",
            Self::Payout => "payout",
            Self::Refund => "refund",
        }
    }
}

/// How an object was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// It is the answer to the call that made it: what the call does is done.
    Call,
    /// It was looked up: the call that makes it may still be running.
    Lookup,
}

/// What an object says of its leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Accepted,
    Confirmed,
    /// Declined, and can still be paid.
    Open(String),
    Rejected(String),
    Returned(String),
    /// It has not come to rest, or says something that is not understood.
    Unclear(String),
}

/// What an object says of its leg.
pub fn standing(kind: Kind, object: &Value, from: From) -> Standing {
    let status = text_of(object, "status").unwrap_or_default();
    match kind {
        Kind::PaymentIntent => payment_intent(object, status, from),
        Kind::Transfer => {
            let whole = number(object, "amount");
            let all = whole.is_some() && number(object, "amount_reversed") == whole;
            if flag(object, "reversed") || all {
                Standing::Returned("reversed".into())
            } else {
                Standing::Confirmed
            }
        }
        Kind::Payout => match status {
            "paid" => Standing::Confirmed,
            "pending" | "in_transit" => Standing::Accepted,
            "failed" | "canceled" => Standing::Rejected(payout_failure(object, status)),
            other => unclear(other),
        },
        Kind::Refund => match status {
            "succeeded" => Standing::Confirmed,
            "pending" | "requires_action" => Standing::Accepted,
            "failed" | "canceled" => {
                let why = text_of(object, "failure_reason").unwrap_or_default();
                Standing::Rejected(text::shown(&format!("{status}: {why}")))
            }
            other => unclear(other),
        },
    }
}

fn payment_intent(object: &Value, status: &str, from: From) -> Standing {
    let failure = object.get("last_payment_error").filter(|error| error.is_object());
    match status {
        "succeeded" => {
            let charge = object.get("latest_charge").unwrap_or(&Value::Null);
            let (asked, got) = (number(object, "amount"), number(object, "amount_received"));
            if flag(charge, "refunded") {
                Standing::Returned("refunded".into())
            } else if got.is_some() && got != asked {
                Standing::Unclear("another amount was received than asked for".into())
            } else {
                Standing::Confirmed
            }
        }
        "processing" => Standing::Accepted,
        "requires_action" => {
            let why = "requires_action: the card's bank wants to hear from the customer first";
            Standing::Open(why.into())
        }
        // So it also stands for a moment while it is made.
        "requires_payment_method" => match (failure, from) {
            (Some(error), _) => Standing::Open(reason_of(error)),
            (None, From::Call) => Standing::Open(status.into()),
            (None, From::Lookup) => unclear(status),
        },
        "canceled" => {
            let why = text_of(object, "cancellation_reason").unwrap_or_default();
            Standing::Rejected(text::shown(&format!("canceled: {why}")))
        }
        other => unclear(other),
    }
}

fn unclear(status: &str) -> Standing {
    Standing::Unclear(text::shown(&format!("its status is {status:?}")))
}

/// Why a payout failed.
pub fn payout_failure(object: &Value, status: &str) -> String {
    let code = text_of(object, "failure_code").unwrap_or_default();
    let message = text_of(object, "failure_message").unwrap_or_default();
    text::shown(&format!("{status} {code}: {message}"))
}

/// An error object in one line: codes first, then what it says.
pub fn reason_of(error: &Value) -> String {
    let codes = ["type", "code", "decline_code", "param"];
    let codes: Vec<&str> = codes.iter().filter_map(|name| text_of(error, name)).collect();
    let message = text_of(error, "message").unwrap_or_default();
    text::shown(&format!("{}: {message}", codes.join(" ")))
}

/// A member that is a text.
pub fn text_of<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// A member that is a whole number, not negative.
pub fn number(object: &Value, name: &str) -> Option<u64> {
    object.get(name).and_then(Value::as_u64)
}

/// Whether a member is `true`.
pub fn flag(object: &Value, name: &str) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// The key of the leg that the object belongs to.
pub fn leg_key(object: &Value) -> Option<&str> {
    object.get("metadata").and_then(|metadata| text_of(metadata, LEG_KEY))
}

/// The object's id, if it can be one.
pub fn id(object: &Value) -> String {
    text_of(object, "id").map(text::reference).unwrap_or_default()
}
