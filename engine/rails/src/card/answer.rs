//! What an answer of the provider means for a leg.
//!
//! Owns the table of statuses. One rule stands above it: **whatever may have been executed is
//! `Unknown`**. A leg is confirmed or rejected only by an answer that is whole, is surely its own,
//! and says so.

use super::call::CallBytes;
use super::object::{self, From, Standing};
use super::text;
use crate::status::{LegReport, LegWord};
use serde_json::Value;
use std::time::Duration;
use tallystick_ledger::limits::{CARD_LATER_DEFAULT, CARD_LATER_MAX};

/// What became of one attempt at a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The provider has taken it on; not final.
    Accepted {
        /// The provider's id.
        reference: String,
    },
    /// The money has moved.
    Confirmed {
        /// The provider's id.
        reference: String,
    },
    /// It will not be executed.
    Rejected {
        /// The provider's id; empty if it made nothing.
        reference: String,
        /// Why.
        reason: String,
    },
    /// It was declined, and the provider would still let the customer pay it: it counts as rejected
    /// only once the provider has given it up. The client sees to that; nobody else meets this
    /// answer.
    Open {
        /// The provider's id.
        reference: String,
        /// Why it was declined.
        reason: String,
    },
    /// It was executed and has been given back.
    Returned {
        /// The provider's id.
        reference: String,
        /// Why.
        reason: String,
    },
    /// It may have been executed. Only the same bytes may be sent again, and only as `next` says.
    Unknown {
        /// What happened.
        reason: String,
        /// Whether something is wrong that no retry will mend: a person must look.
        alarm: bool,
    },
    /// This attempt was not executed (an earlier one may have been): send the same bytes again.
    Later {
        /// But not before.
        after: Duration,
        /// What happened.
        reason: String,
    },
    /// This attempt was not executed, and none will be until the configuration is put right: stop
    /// sending.
    Halt {
        /// What is wrong.
        reason: String,
    },
}

impl Answer {
    pub(super) fn unknown(reason: &str) -> Self {
        Self::Unknown { reason: text::bounded(reason), alarm: false }
    }

    pub(super) fn alarm(reason: &str) -> Self {
        Self::Unknown { reason: text::bounded(reason), alarm: true }
    }

    pub(super) fn later(reason: &str) -> Self {
        Self::Later { after: CARD_LATER_DEFAULT, reason: text::bounded(reason) }
    }

    pub(super) fn halt(reason: &str) -> Self {
        Self::Halt { reason: text::bounded(reason) }
    }

    /// The answer as a report on the leg of that key, if it says what became of it.
    #[must_use]
    pub fn report(&self, key: &str) -> Option<LegReport> {
        let (word, reference, reason) = match self {
            Self::Accepted { reference } => (LegWord::Accepted, reference, ""),
            Self::Confirmed { reference } => (LegWord::Confirmed, reference, ""),
            Self::Rejected { reference, reason } => (LegWord::Rejected, reference, &**reason),
            Self::Returned { reference, reason } => (LegWord::Returned, reference, &**reason),
            Self::Open { .. } | Self::Unknown { .. } | Self::Later { .. } | Self::Halt { .. } => {
                return None;
            }
        };
        Some(LegReport {
            key: key.to_owned(),
            word,
            reference: reference.clone(),
            reason: reason.to_owned(),
            // The answer was compared with the call when it was read.
            amount: None,
        })
    }
}

/// An answer as it came over HTTP.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    pub status: u16,
    /// Header `Retry-After`.
    pub retry_after: Option<String>,
    /// Header `Idempotency-Key`, in which the provider repeats the request's.
    pub key: Option<String>,
    /// Header `Idempotent-Replayed`: the answer is a kept one.
    pub replayed: bool,
    pub body: Vec<u8>,
}

impl Raw {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn error(&self) -> Option<Value> {
        self.json()?.get_mut("error").filter(|error| error.is_object()).map(Value::take)
    }

    fn says(&self) -> String {
        let kept = if self.replayed { ", kept from an earlier attempt" } else { "" };
        let error = self.error().map(|error| object::reason_of(&error)).unwrap_or_default();
        text::bounded(&format!("HTTP {}{kept} {error}", self.status))
    }

    fn later(&self) -> Answer {
        let seconds = self.retry_after.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
        let after = seconds.map_or(CARD_LATER_DEFAULT, Duration::from_secs).min(CARD_LATER_MAX);
        Answer::Later { after, reason: self.says() }
    }
}

/// What the answer to a call means.
pub fn read(call: &CallBytes, raw: &Raw) -> Answer {
    if raw.key.as_deref().is_some_and(|key| key != call.key()) {
        return Answer::alarm("the answer belongs to another request: it repeats another key");
    }
    let error = raw.error();
    let of_error = |name| error.as_ref().and_then(|error| object::text_of(error, name));
    let (kind, code) = (of_error("type"), of_error("code"));
    match raw.status {
        200..=299 => match raw.json() {
            Some(object) => made(call, &object),
            None => Answer::unknown("the answer is broken: it is no JSON"),
        },
        400 | 409 if code == Some("idempotency_key_in_use") => raw.later(),
        400 if kind == Some("idempotency_error") => Answer::alarm(&format!(
            "ALARM: the provider has this key with other parameters; a bug, or keys of another \
             deployment. {}",
            raw.says()
        )),
        400 | 402 => match kind {
            Some("invalid_request_error" | "card_error") => refused(call, raw, error.as_ref()),
            Some(_) | None => Answer::unknown(&raw.says()),
        },
        404 if code == Some("resource_missing") => refused(call, raw, error.as_ref()),
        401 | 403 => Answer::halt(&format!("the secret key is not accepted: {}", raw.says())),
        404 => Answer::halt(&format!("the base URL is not that of the API: {}", raw.says())),
        409 | 429 => raw.later(),
        _ => Answer::unknown(&raw.says()),
    }
}

/// A success: what was made, if it is surely this leg's.
fn made(call: &CallBytes, object: &Value) -> Answer {
    if let Some(why) = misfit(call, object) {
        return Answer::alarm(&why);
    }
    stands(object::standing(call.kind(), object, From::Call), object)
}

/// What an object that is surely a leg's says of it.
pub(super) fn stands(standing: Standing, object: &Value) -> Answer {
    let reference = object::id(object);
    match standing {
        Standing::Accepted => Answer::Accepted { reference },
        Standing::Confirmed => Answer::Confirmed { reference },
        Standing::Open(reason) => Answer::Open { reference, reason },
        Standing::Rejected(reason) => Answer::Rejected { reference, reason },
        Standing::Returned(reason) => Answer::Returned { reference, reason },
        Standing::Unclear(reason) => Answer::unknown(&reason),
    }
}

/// What the answer to the cancelling of a declined payment means. Only what is surely given up is
/// rejected.
pub fn given_up(call: &CallBytes, raw: &Raw, reason: &str) -> Answer {
    // What was cancelled before is shown in the error.
    let object = match raw.status {
        200 => raw.json(),
        _ => raw.error().and_then(|error| error.get("payment_intent").cloned()),
    };
    let canceled = |object: &Value| object::text_of(object, "status") == Some("canceled");
    match object.filter(canceled) {
        Some(object) => match misfit(call, &object) {
            Some(why) => Answer::alarm(&why),
            None => {
                let reference = object::id(&object);
                Answer::Rejected { reference, reason: text::bounded(reason) }
            }
        },
        None => {
            Answer::unknown(&format!("declined ({reason}), and not yet given up: {}", raw.says()))
        }
    }
}

/// A refusal. If it comes with a payment, that must be this leg's and must not have been paid.
fn refused(call: &CallBytes, raw: &Raw, error: Option<&Value>) -> Answer {
    let payment = error.and_then(|error| error.get("payment_intent"));
    let payment = payment.filter(|payment| payment.is_object());
    if let Some(payment) = payment {
        let own = object::leg_key(payment).is_none_or(|key| key == call.leg_key());
        let unpaid =
            !matches!(object::text_of(payment, "status"), Some("succeeded" | "processing"));
        if !own || !unpaid {
            return Answer::alarm(&format!("a refusal that comes with a payment: {}", raw.says()));
        }
    }
    let reference = payment.map(object::id).unwrap_or_default();
    let reason = error.map(object::reason_of).unwrap_or_default();
    match payment.and_then(|payment| object::text_of(payment, "status")) {
        None | Some("canceled") => Answer::Rejected { reference, reason },
        // The customer, or anybody with the payment's secret, can still complete it.
        Some(_) => Answer::Open { reference, reason },
    }
}

/// Why an object cannot be what the call makes; `None` if it can.
pub(super) fn misfit(call: &CallBytes, object: &Value) -> Option<String> {
    let misfit = |what: &str| {
        let id = object::id(object);
        Some(text::bounded(&format!("the provider's object {id} does not fit the call: {what}")))
    };
    if object::text_of(object, "object") != Some(call.kind().name()) {
        return misfit("it is of another kind");
    }
    if object::id(object).is_empty() {
        return misfit("it has no id");
    }
    if object::leg_key(object) != Some(call.leg_key()) {
        return misfit("it carries another leg's key");
    }
    if object::number(object, "amount") != call.amount() {
        return misfit("it has another amount");
    }
    let currency = object::text_of(object, "currency").map(str::to_ascii_lowercase);
    if currency.as_deref() != call.currency() {
        return misfit("it has another currency");
    }
    None
}
