//! What is counted of payments: what they were answered, how long that took, and who waits for
//! another's. Nothing is decided by it.

use super::gather::{Got, Way};
use super::reasons::{ALL, Reason, Refused};
use crate::metrics::{CLAIMS, JOINS, PAYMENT_SECONDS, PAYMENTS, Page, Times};
use crate::settle::Claims;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Of both calls.
#[derive(Default)]
pub(super) struct Counted {
    verify: Of,
    settle: Of,
    joins: AtomicUsize,
}

/// Of one call.
#[derive(Default)]
struct Of {
    /// As many as there are reasons.
    refused: [AtomicU64; ALL.len()],
    done: AtomicU64,
    repeated: AtomicU64,
    took: Times,
}

/// One more who waits for another's, until it is dropped.
pub(super) struct Joining<'a>(&'a AtomicUsize);

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counted {
    fn of(&self, way: Way) -> &Of {
        match way {
            Way::Ask => &self.verify,
            Way::Charge => &self.settle,
        }
    }

    /// Counts how long an answer took.
    pub fn times(&self, way: Way) -> &Times {
        &self.of(way).took
    }

    /// Counts what came of a payment.
    pub fn note(&self, way: Way, found: &Result<Got, Refused>) {
        let of = self.of(way);
        let refused = match found {
            Ok(got) => Reason::of(got.outcome),
            Err(refused) => Some(refused.reason),
        };
        let is_known = found.as_ref().is_ok_and(|got| got.is_known);
        let of_reason = |reason: Reason| {
            let mut reasons = ALL.iter().zip(&of.refused);
            reasons.find(|(one, _)| **one == reason).map(|(_, counter)| counter)
        };
        let counter = match refused {
            Some(reason) => of_reason(reason),
            None if is_known => Some(&of.repeated),
            None => Some(&of.done),
        };
        counter.expect("every reason is in ALL").fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody waits for what comes of another's.
    pub fn joins(&self) -> Joining<'_> {
        self.joins.fetch_add(1, Ordering::Relaxed);
        Joining(&self.joins)
    }

    /// Puts it on the page.
    pub fn put(&self, page: &mut Page, claims: &Claims) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (call, of, done) in [("verify", &self.verify, "good"), ("settle", &self.settle, "made")]
        {
            page.put(&PAYMENTS, &[call, done], count(&of.done));
            page.put(&PAYMENTS, &[call, "repeated"], count(&of.repeated));
            for (reason, counter) in ALL.iter().zip(&of.refused) {
                page.put(&PAYMENTS, &[call, reason.word], count(counter));
            }
            page.times(&PAYMENT_SECONDS, &[call], &of.took.read());
        }
        page.count(&CLAIMS, &[], claims.open());
        page.count(&JOINS, &[], self.joins.load(Ordering::Relaxed));
    }
}
