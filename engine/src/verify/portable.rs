//! The reference backend: `ed25519-dalek`'s `verify_strict`, one signature at a time.

use super::Check;
use crate::types::Verdict;
use ed25519_dalek::Signature;

pub(super) fn check(check: &Check<'_>) -> Verdict {
    let signature = Signature::from_bytes(check.signature);
    match check.key.verifying_key().verify_strict(&check.message, &signature) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::BadSignature,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, Check, Keys};
    use crate::types::{PartyId, SignerKey, Verdict};
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use ed25519_dalek::{Signer as _, SigningKey};

    /// The order of the base point, little endian (RFC 8032, section 5.1).
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    fn plus_l(s: &[u8]) -> [u8; 32] {
        let mut carry = 0u16;
        std::array::from_fn(|i| {
            let sum = u16::from(s[i]) + u16::from(L[i]) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
    }

    #[test]
    fn each_verdict_is_its_own_signature_s_whatever_its_neighbours() {
        let signing = SigningKey::from_bytes(&[7; 32]);
        let signer = SignerKey(signing.verifying_key().to_bytes());
        let keys = Keys::default();
        keys.insert(signer, PartyId([1; 32]));
        let message = [42; 50];
        let good = signing.sign(&message).to_bytes();
        let mut cases = vec![(good, true)];
        for bit in [0, 100, 255, 256, 300, 511] {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            cases.push((bad, false));
        }
        // Malleable: s + L signs the same; RFC 8032 demands s < L.
        let mut malleable = good;
        malleable[32..].copy_from_slice(&plus_l(&good[32..]));
        cases.push((malleable, false));
        for torsion in &EIGHT_TORSION {
            let r = CompressedEdwardsY(good[..32].try_into().unwrap()).decompress().unwrap();
            let mut shifted = good;
            shifted[..32].copy_from_slice((r + torsion).compress().as_bytes());
            cases.push((shifted, shifted == good));
            let mut small_order = good;
            small_order[..32].copy_from_slice(torsion.compress().as_bytes());
            cases.push((small_order, false));
        }
        let view = keys.view();
        let key = view.get(&signer).unwrap();
        let checks: Vec<Check<'_>> =
            cases.iter().map(|(signature, _)| Check { key, message, signature }).collect();
        let mut verdicts = Vec::new();
        Backend::detect().check(&checks, &mut verdicts);
        for (i, (_, valid)) in cases.iter().enumerate() {
            let expected = if *valid { Verdict::Valid } else { Verdict::BadSignature };
            assert_eq!(verdicts[i], expected, "case {i}");
        }
    }
}
