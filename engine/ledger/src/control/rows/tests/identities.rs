//! Identities among what happens while rows are copied.

use super::{World, party};
use crate::event::IdentityAdded;
use crate::types::{Digest, SignerKey, Timestamp};
use crate::{Credential, Role, Scope, Wish};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum OfIdentities {
    /// Of this number, known by this.
    Add(u8, u8),
    Revoke(u8),
    Rotate(u8, u8),
}

pub(super) fn step() -> impl Strategy<Value = OfIdentities> {
    prop_oneof![
        3 => (0u8..6, 0u8..20).prop_map(|(n, by)| OfIdentities::Add(n, by)),
        1 => (0u8..6).prop_map(OfIdentities::Revoke),
        1 => (0u8..6, 0u8..20).prop_map(|(n, by)| OfIdentities::Rotate(n, by)),
    ]
}

fn credential(by: u8) -> Credential {
    match by % 3 {
        0 => Credential::Key(Digest([by; 32])),
        1 => Credential::Signed(SignerKey([by; 32])),
        _ => Credential::Certificate(format!("host {by}")),
    }
}

impl World {
    pub(super) fn step_of_identities(&mut self, step: OfIdentities) {
        let name = |n: u8| format!("id-{n}");
        self.wish(match step {
            OfIdentities::Add(n, by) => Wish::AddIdentity(IdentityAdded {
                name: name(n),
                role: Role::Facilitator,
                credential: credential(by),
                scope: Scope { parties: vec![party(1 + n % 5)], payees: Vec::new() },
                expires_at: (by > 10).then_some(Timestamp(i64::MAX)),
                rate: u32::from(by),
            }),
            OfIdentities::Revoke(n) => Wish::RevokeIdentity { name: name(n) },
            OfIdentities::Rotate(n, by) => {
                Wish::RotateIdentity { name: name(n), credential: credential(by) }
            }
        });
    }
}
