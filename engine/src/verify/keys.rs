//! The registered keys, ready for checking. Owns which keys are fit to be registered. A key is never
//! taken out: whether it was revoked is the ledger's business.

use crate::types::{PartyId, SignerKey};
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::VerifyingKey;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// Why a key cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No point of the curve has this encoding.
    #[error("it is no point on the curve; send the 32 bytes of an ed25519 public key")]
    NotAPoint,
    /// The point has another, canonical encoding.
    #[error("it is not in canonical form; send the encoding of RFC 8032")]
    NotCanonical,
    /// Anyone can sign for such a key.
    #[error("it is of small order, so anyone could sign for it; make a proper key")]
    SmallOrder,
    /// Such keys let single and batch verification disagree.
    #[error("it has a torsion component, so verifiers could disagree on it; make a proper key")]
    Torsion,
}

/// Whether a key is fit to be registered: canonical, not of small order, torsion-free. `verify_strict`
/// alone does not refuse a key with a torsion component, so it is refused here, once.
///
/// # Errors
/// `KeyError` that names the first rule it breaks.
pub fn check_key(key: SignerKey) -> Result<(), KeyError> {
    let compressed = CompressedEdwardsY(key.0);
    let point = compressed.decompress().ok_or(KeyError::NotAPoint)?;
    if point.compress() != compressed {
        return Err(KeyError::NotCanonical);
    }
    if point.is_small_order() {
        return Err(KeyError::SmallOrder);
    }
    if !point.is_torsion_free() {
        return Err(KeyError::Torsion);
    }
    Ok(())
}

/// A registered key.
pub struct Key {
    signer: SignerKey,
    party: PartyId,
    /// Decompressed at its first use, so that a start with a million keys is not held up.
    point: OnceLock<VerifyingKey>,
}

impl Key {
    /// For whom it signs.
    #[must_use]
    pub fn party(&self) -> PartyId {
        self.party
    }

    pub(super) fn verifying_key(&self) -> &VerifyingKey {
        self.point.get_or_init(|| {
            VerifyingKey::from_bytes(&self.signer.0).expect("the key was checked at registration")
        })
    }
}

type Map = HashMap<SignerKey, Key, RandomState>;

/// Every registered key. Read by all verify workers, written by the sequencer.
#[derive(Default)]
pub struct Keys(RwLock<Map>);

/// The keys at one moment; held for one chunk of vouchers.
pub struct KeysView<'a>(RwLockReadGuard<'a, Map>);

impl Keys {
    /// Adds a key that `check_key` passed. A key that is known stays as it is.
    pub fn insert(&self, signer: SignerKey, party: PartyId) {
        // The map is whole whenever the lock is free: no step below can panic half-way.
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.entry(signer).or_insert_with(|| Key { signer, party, point: OnceLock::new() });
    }

    /// The keys now.
    #[must_use]
    pub fn view(&self) -> KeysView<'_> {
        KeysView(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeysView<'_> {
    /// One key, if it is registered.
    #[must_use]
    pub fn get(&self, signer: &SignerKey) -> Option<&Key> {
        self.0.get(signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    #[test]
    fn weak_keys_are_refused_by_the_rule_they_break() {
        let key = |point: curve25519_dalek::EdwardsPoint| SignerKey(point.compress().0);
        assert_eq!(check_key(key(ED25519_BASEPOINT_POINT)), Ok(()));
        for torsion in &EIGHT_TORSION {
            assert_eq!(check_key(key(*torsion)), Err(KeyError::SmallOrder));
        }
        for torsion in &EIGHT_TORSION[1..] {
            assert_eq!(check_key(key(ED25519_BASEPOINT_POINT + torsion)), Err(KeyError::Torsion));
        }
        // y = p + 1 encodes the same point as y = 1.
        let mut wide = [0xff; 32];
        (wide[0], wide[31]) = (0xee, 0x7f);
        assert_eq!(check_key(SignerKey(wide)), Err(KeyError::NotCanonical));
        let no_point = (0..)
            .map(|y| SignerKey([y; 32]))
            .find(|key| CompressedEdwardsY(key.0).decompress().is_none());
        assert_eq!(check_key(no_point.unwrap()), Err(KeyError::NotAPoint));
    }
}
