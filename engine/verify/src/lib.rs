//! Strict ed25519 for a clearing house: is a signature valid, exactly as
//! `ed25519_dalek::VerifyingKey::verify_strict` says, for keys that come back again and again?
//!
//! Owns the predicate, the backends that compute it, the tables that make known keys cheap, and the
//! alarm for the case that a backend is caught in a wrong reject. A verdict depends on nothing but
//! its own key, message and signature: not on neighbours, thread count, hardware or chance. Never
//! knows what a message means, whose key it is, or that there is a ledger. `docs/VERIFY.md` is the
//! paper that a reviewer reads beside this code.
//!
//! `unsafe` is allowed in few places only: the vector instructions in `lanes/` and `avx2/`, the
//! shared pointers of `tables.rs`, and the pages that `memory.rs` asks for.

#[cfg(target_arch = "x86_64")]
#[allow(clippy::duplicate_mod, reason = "one text, compiled for two kinds of vectors")]
mod avx2;
mod backend;
mod confirm;
mod key;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod memory;
#[cfg(test)]
mod model;
mod portable;
mod reference;
mod scalar;
mod table;
mod tables;
mod verifier;

pub use backend::{Backend, Unavailable};
pub use key::{KEY_BYTES, Key, KeyError, check_key};
pub use tables::TierStatus;
pub use verifier::{Check, Options, SIGNATURE_BYTES, Scratch, Status, Verdict, Verifier};
