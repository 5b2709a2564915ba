//! Whose signatures are checked: the engine's side of the crate `tallystick_verify`, which says
//! what is true of a signature.
//!
//! Owns the registered keys, with the party that each signs for, and the one place where the crate
//! is named: the rest of the engine sees it through here. Holds no curve code and never knows what
//! a voucher means.

mod keys;
mod single;

pub use keys::{Key, Keys, KeysView, check_key, fit_key};
pub use single::is_signed;
pub use tallystick_verify::{
    Backend, Check, KeyError, Options, Scratch, Status, TierStatus, Unavailable, Verifier,
};

/// A key as the crate sees it, without whose it is.
pub type SignatureKey = tallystick_verify::Key;

/// What the crate says of a signature; `types::Verdict` is what is known of a voucher.
pub type SignatureVerdict = tallystick_verify::Verdict;

use crate::types::Verdict;

/// What is known of a voucher once its signature was checked.
#[must_use]
pub fn known(verdict: SignatureVerdict) -> Verdict {
    match verdict {
        SignatureVerdict::Valid => Verdict::Valid,
        SignatureVerdict::Bad => Verdict::BadSignature,
    }
}
