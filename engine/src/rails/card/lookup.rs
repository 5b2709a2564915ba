//! Finding out what became of a leg whose answer was lost.
//!
//! Owns what a list of the provider's objects says, and when bytes may be sent again without
//! looking. The provider keeps idempotency keys for a day only: after that the same bytes under the
//! same key would be a new payment.

use super::answer::{Answer, Raw, misfit, stands};
use super::call::CallBytes;
use super::object::{self, From};
use crate::types::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// How long after a leg was first sent its bytes may be sent again unseen: an hour less than the 24
/// that the provider keeps a key at least.
pub const KEY_LIFE: Duration = Duration::from_secs(23 * 3_600);

/// What may be done about a leg that is UNKNOWN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send the same bytes again: the provider still has the key.
    SendAgain,
    /// Look it up; send the same bytes again only if it is `Found::Absent`.
    LookFirst,
}

/// What may be done now about a leg whose bytes were first sent at `first_sent`. A clock that went
/// back counts as too late.
#[must_use]
pub fn next(first_sent: Timestamp, now: Timestamp) -> Next {
    let age = now.0.checked_sub(first_sent.0).and_then(|age| u64::try_from(age).ok());
    match age {
        Some(age) if Duration::from_micros(age) < KEY_LIFE => Next::SendAgain,
        Some(_) | None => Next::LookFirst,
    }
}

/// What looking a leg up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The provider knows it; this is where it stands.
    Leg(Answer),
    /// The provider has nothing under the leg's key, provided that no call of it is still under way
    /// (the client's timeout has passed).
    Absent,
    /// The provider could not be asked.
    Again {
        /// Ask again, but not before.
        after: Duration,
        /// What happened.
        reason: String,
    },
    /// The provider does not answer this key or URL: stop.
    Halt {
        /// What is wrong.
        reason: String,
    },
}

/// What one looked-up object says; it was asked for by its id.
pub(super) fn one(call: &CallBytes, object: &Value) -> Answer {
    match misfit(call, object) {
        Some(why) => Answer::alarm(&why),
        None => stands(object::standing(call.kind(), object, From::Lookup), object),
    }
}

/// What the answer to a question for one id says; `None` if it says nothing.
pub(super) fn read_one(call: &CallBytes, raw: &Raw) -> Option<Found> {
    let answer = raw.json()?;
    let missing = answer.get("error").and_then(|error| object::text_of(error, "code"));
    match (raw.status, missing) {
        (200, _) => Some(Found::Leg(one(call, &answer))),
        (404, Some("resource_missing")) => Some(Found::Leg(Answer::alarm(
            "the provider does not know the reference any more that it gave",
        ))),
        _ => None,
    }
}

/// Objects of the call's leg, gathered page by page.
#[derive(Debug, Default)]
pub(super) struct Matches {
    objects: Vec<Value>,
}

/// How a list goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// There is more behind this id.
    More(String),
    /// That was all.
    Last,
    /// It is no list.
    Broken,
}

impl Matches {
    /// Takes what belongs to the leg from one page.
    pub fn take(&mut self, call: &CallBytes, mut page: Value) -> Page {
        let is_list = object::text_of(&page, "object") == Some("list");
        let more = object::flag(&page, "has_more");
        let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) else {
            return Page::Broken;
        };
        if !is_list {
            return Page::Broken;
        }
        let last = data.last().map(object::id).unwrap_or_default();
        let own = |object: &Value| object::leg_key(object) == Some(call.leg_key());
        self.objects.extend(data.into_iter().filter(own));
        match (more, last.is_empty()) {
            (false, _) => Page::Last,
            (true, false) => Page::More(last),
            (true, true) => Page::Broken,
        }
    }

    /// What all pages together say.
    pub fn verdict(&self, call: &CallBytes) -> Found {
        match self.objects.as_slice() {
            [] => Found::Absent,
            [object] => Found::Leg(one(call, object)),
            several => {
                let ids: Vec<String> = several.iter().map(object::id).collect();
                Found::Leg(Answer::alarm(&format!(
                    "ALARM: {} payments carry this leg's key; keep one, refund the others: {}",
                    several.len(),
                    ids.join(", ")
                )))
            }
        }
    }
}
