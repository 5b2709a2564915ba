//! Strict ed25519: is a signature valid, exactly as `ed25519_dalek::VerifyingKey::verify_strict` says?
//!
//! Owns the registered keys in the form that checking needs, the test that a key must pass to be
//! registered, and the one interface behind which backends stand: a batch of (key, message, signature)
//! goes in, one verdict each comes out. A verdict depends on nothing but its own three inputs: not on
//! neighbours, thread count, hardware or chance. Never knows what a voucher means.

mod keys;
mod portable;

pub use keys::{Key, KeyError, Keys, KeysView, check_key};

use crate::types::{MESSAGE_BYTES, SIGNATURE_BYTES, Verdict};

/// One signature to check.
pub struct Check<'a> {
    /// Whose signature it should be.
    pub key: &'a Key,
    /// What was signed.
    pub message: [u8; MESSAGE_BYTES],
    /// R then S.
    pub signature: &'a [u8; SIGNATURE_BYTES],
}

/// How signatures are checked. Chosen once, at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `ed25519-dalek`, one signature after the other.
    Portable,
}

impl Backend {
    /// The best backend for this machine.
    #[must_use]
    pub fn detect() -> Self {
        Self::Portable
    }

    /// Its name in logs, status and benchmarks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable (ed25519-dalek verify_strict)",
        }
    }

    /// Checks each signature on its own: `verdicts[i]`, `Valid` or `BadSignature`, answers `checks[i]`.
    pub fn check(self, checks: &[Check<'_>], verdicts: &mut Vec<Verdict>) {
        verdicts.clear();
        match self {
            Self::Portable => verdicts.extend(checks.iter().map(portable::check)),
        }
        assert_eq!(verdicts.len(), checks.len(), "one verdict each");
    }
}
