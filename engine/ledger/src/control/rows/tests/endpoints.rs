//! Endpoints among what happens while rows are copied.

use super::{World, party};
use crate::endpoint::Topic;
use crate::sealed::SealedText;
use crate::types::Lsn;
use crate::wish::Wish;
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum OfEndpoints {
    /// Of this party.
    Add(u8),
    /// One that there is.
    Remove(u8),
    Rotate(u8, bool),
}

pub(super) fn step() -> impl Strategy<Value = OfEndpoints> {
    prop_oneof![
        3 => (1u8..6).prop_map(OfEndpoints::Add),
        1 => any::<u8>().prop_map(OfEndpoints::Remove),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(n, keeps)| OfEndpoints::Rotate(n, keeps)),
    ]
}

impl World {
    pub(super) fn step_of_endpoints(&mut self, step: OfEndpoints) {
        let all = self.books.control.endpoints().all();
        let all: Vec<_> = all.map(|(lsn, of)| (lsn, of.party)).collect();
        let one = |n: u8| all.get(usize::from(n) % all.len().max(1)).copied();
        let one = |n: u8| one(n).unwrap_or((Lsn(1), party(1)));
        let sealed = |n: u8| SealedText::new(vec![n; 60]);
        let erasures = |of| self.books.control.erasures(of);
        let wish = match step {
            OfEndpoints::Add(n) => {
                let (party, url, secret) = (party(n), sealed(n), sealed(n));
                let (topics, erasures) = (Topic::ALL.to_vec(), erasures(party));
                Wish::AddEndpoint { party, url, secret, topics, erasures }
            }
            OfEndpoints::Remove(n) => {
                let (endpoint, party) = one(n);
                Wish::RemoveEndpoint { endpoint, party }
            }
            OfEndpoints::Rotate(n, keeps_former) => {
                let ((endpoint, party), secret) = (one(n), sealed(n));
                let erasures = erasures(party);
                Wish::RotateEndpoint { endpoint, party, secret, keeps_former, erasures }
            }
        };
        self.wish(wish);
    }
}
