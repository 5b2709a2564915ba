//! Finding out what became of a leg whose answer was lost.
//!
//! Owns what the provider's objects say, by id or in a list. Bytes are sent again only where
//! nothing is found: the provider keeps idempotency keys for a day, and after that the same bytes
//! under the same key would be a new payment.

use super::answer::{Answer, Raw, misfit, stands};
use super::call::CallBytes;
use super::object::{self, From};
use serde_json::Value;
use std::time::Duration;

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
