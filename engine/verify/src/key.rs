//! A key whose signatures are checked: its 32 bytes, and where its table is, if it has one. Owns
//! the test that a key must pass before its signatures mean anything.

use curve25519_dalek::edwards::CompressedEdwardsY;
use std::sync::atomic::{AtomicU32, Ordering};

/// Length of a public key.
pub const KEY_BYTES: usize = 32;

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

/// Whether a key is fit to be registered: canonical, not of small order, torsion-free.
/// `verify_strict` alone does not refuse a key with a torsion component, so it is refused here,
/// once; the backends rely on it (they may add the group's order to a scalar).
///
/// # Errors
/// `KeyError` that names the first rule it breaks.
pub fn check_key(key: [u8; KEY_BYTES]) -> Result<(), KeyError> {
    let compressed = CompressedEdwardsY(key);
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

/// A key that passed `check_key`, with what the verifier remembers about it. Shared by all threads;
/// its memory is 40 bytes until it has earned a table.
#[derive(Debug)]
pub struct Key {
    bytes: [u8; KEY_BYTES],
    /// Where its table was put; the table itself says whether it is still there.
    pub(crate) place: AtomicU32,
    /// Valid signatures since it last got or lost a table.
    pub(crate) heat: AtomicU32,
}

impl Key {
    /// A key that `check_key` passed, now or (a journal remembers) earlier. For any other bytes the
    /// backends need not agree with the reference.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self { bytes, place: AtomicU32::new(0), heat: AtomicU32::new(0) }
    }

    /// The public key, as in RFC 8032.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// One more valid signature; gives how many it has now. Counts no further than anyone asks.
    pub(crate) fn warm(&self) -> u32 {
        const ENOUGH: u32 = 1 << 16;
        let before = self.heat.load(Ordering::Relaxed);
        if before >= ENOUGH {
            return before;
        }
        self.heat.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    #[test]
    fn weak_keys_are_refused_by_the_rule_they_break() {
        let key = |point: curve25519_dalek::EdwardsPoint| point.compress().0;
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
        assert_eq!(check_key(wide), Err(KeyError::NotCanonical));
        let no_point =
            (0..).map(|y| [y; 32]).find(|key| CompressedEdwardsY(*key).decompress().is_none());
        assert_eq!(check_key(no_point.unwrap()), Err(KeyError::NotAPoint));
    }
}
