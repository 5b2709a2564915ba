//! Says who asked for what was refused: no record does. Bounded, since whoever may ask may ask for
//! a million things that are refused.

use crate::ledger::Envelope;
use crate::limits::{REFUSALS_TOLD_MAX, STRANGERS_NOTE_EVERY};
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The log's lines about refused calls.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Told>);

/// What was told since the last count began.
#[derive(Debug, Default)]
struct Told {
    since: Option<Instant>,
    told: usize,
    untold: u64,
}

impl Refusals {
    /// Tells of one, or counts it.
    pub fn tell(&self, envelope: &Envelope, asked: &str, refusal: &dyn Display) {
        // The engine on its own has no request, and knows what to do about it.
        let Some(request) = &envelope.request else { return };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_told, untold) = told.next(Instant::now());
        drop(told);
        if untold > 0 {
            tracing::warn!(untold, "more calls were refused than are told one by one");
        }
        if is_told {
            let caller = &envelope.caller;
            let (role, via) = (caller.role.name(), caller.via.name());
            let request_id = request.id.as_str();
            tracing::info!(caller = ?caller.name, role, via, request_id, %refusal, "refused: {asked}");
        }
    }
}

impl Told {
    /// Whether the next one is told, and how many before it were not, if that is to be said now.
    fn next(&mut self, now: Instant) -> (bool, u64) {
        let is_over = |since| now.saturating_duration_since(since) >= STRANGERS_NOTE_EVERY;
        let mut untold = 0;
        if self.since.is_none_or(is_over) {
            untold = self.untold;
            *self = Self { since: Some(now), ..Self::default() };
        }
        let is_told = self.told < REFUSALS_TOLD_MAX;
        if is_told {
            self.told += 1;
        } else {
            self.untold += 1;
        }
        (is_told, untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each refused item of an import was a line of the log, and an import may have millions.
    #[test]
    fn so_many_are_told_and_the_others_are_counted() {
        let (mut told, start) = (Told::default(), Instant::now());
        for _ in 0..REFUSALS_TOLD_MAX {
            assert_eq!(told.next(start), (true, 0));
        }
        for _ in 0..7 {
            assert_eq!(told.next(start), (false, 0));
        }
        let later = start + STRANGERS_NOTE_EVERY;
        assert_eq!(told.next(later), (true, 7), "what was not told is told once");
        assert_eq!(told.next(later), (true, 0));
    }
}
