//! Whether request ids are new: none may stand in two records of one span of memory, which is what
//! the engine promises (`REQUEST_DAYS`). By sums of the audit's own.

use crate::limits::{REQUEST_SPAN_DAYS, REQUEST_SPANS};
use crate::types::{Timestamp, content_digest};
use std::collections::{BTreeMap, HashSet};

const SPAN_MICROS: i64 = REQUEST_SPAN_DAYS * 24 * 3_600 * 1_000_000;

/// The ids that are remembered, by the span of days in which they were used.
#[derive(Default)]
pub(super) struct Requests(BTreeMap<i64, HashSet<[u8; 16]>>);

impl Requests {
    /// Whether an id is new at this time. From then on it is not.
    pub fn is_new(&mut self, at: Timestamp, id: &str) -> bool {
        let span = at.0.div_euclid(SPAN_MICROS);
        self.0.retain(|of, _| span - of <= REQUEST_SPANS);
        let digest = content_digest("request id", id.as_bytes());
        let (half, _) = digest.0.split_first_chunk().expect("32 bytes");
        let known = self.0.values().any(|ids| ids.contains(half));
        !known && self.0.entry(span).or_default().insert(*half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_come_again_when_it_is_forgotten_and_not_before() {
        let (mut requests, at) = (Requests::default(), |span: i64| Timestamp(span * SPAN_MICROS));
        assert!(requests.is_new(at(100), "a") && requests.is_new(at(100), "b"));
        assert!(!requests.is_new(at(100), "a") && !requests.is_new(at(106), "b"));
        assert!(requests.is_new(at(107), "a") && !requests.is_new(at(107), "a"));
    }
}
