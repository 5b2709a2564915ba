//! The reference: `ed25519-dalek`'s `verify_strict`, one signature at a time. It defines the
//! predicate; every other backend must say the same.

use crate::{Check, Verdict};
use ed25519_dalek::{Signature, VerifyingKey};

pub(crate) fn check(check: &Check<'_>) -> Verdict {
    let Ok(key) = VerifyingKey::from_bytes(check.key.bytes()) else { return Verdict::Bad };
    match key.verify_strict(check.message, &Signature::from_bytes(check.signature)) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::Bad,
    }
}
