//! Whether request ids are new: none may stand in two records of one span of memory, which is what
//! the engine promises (`REQUEST_DAYS`); facilitators and owners of parties have ids of their own.
//! By sums of the audit's own.

use crate::ledger::{Caller, Role};
use crate::limits::{REQUEST_SPAN_DAYS, REQUEST_SPANS};
use crate::types::{Timestamp, content_digest};
use std::collections::{BTreeMap, HashSet};

const SPAN_MICROS: i64 = REQUEST_SPAN_DAYS * 24 * 3_600 * 1_000_000;

/// The ids that are remembered, by the span of days in which they were used.
#[derive(Default)]
pub(super) struct Requests(BTreeMap<i64, HashSet<[u8; 16]>>);

impl Requests {
    /// Whether an id is new at this time. From then on it is not.
    pub fn is_new(&mut self, at: Timestamp, caller: &Caller, id: &str) -> bool {
        let span = at.0.div_euclid(SPAN_MICROS);
        self.0.retain(|of, _| span - of <= REQUEST_SPANS);
        let digest = match caller.role {
            Role::Facilitator | Role::Party => {
                let own = format!("{}\0{id}", caller.name);
                content_digest("request id of an identity", own.as_bytes())
            }
            Role::Engine | Role::Anyone | Role::Operator | Role::Approver | Role::Auditor => {
                content_digest("request id", id.as_bytes())
            }
        };
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
        let (ann, own) = (Caller::grpc("ann".into()), own("acme"));
        let mut is_new = |span, caller: &Caller, id| requests.is_new(at(span), caller, id);
        assert!(is_new(100, &ann, "a") && is_new(100, &ann, "b"));
        assert!(!is_new(100, &ann, "a") && !is_new(106, &ann, "b"));
        assert!(is_new(106, &own, "b") && !is_new(106, &own, "b"), "its own");
        assert!(is_new(107, &ann, "a") && !is_new(107, &ann, "a"));
    }

    fn own(name: &str) -> Caller {
        Caller { role: Role::Party, ..Caller::grpc(name.into()) }
    }
}
