//! Scalars as digits, for the portable code; the facts about the group's order that all backends
//! share.
//!
//! The digits of an odd scalar k < 2^n, n = window * digits, are all odd: with k' = (k >> 1) +
//! 2^(n-1) and d_i the i-th `window` bits of k', k = sum of (2 d_i - (2^window - 1)) 2^(window i).
//! An even k is made odd by adding L, which changes nothing for points of order L (Joye and
//! Tunstall, "Exponent recoding and regular exponentiation algorithms", AFRICACRYPT 2009, give the
//! odd digits).

use crate::table::Shape;
use curve25519_dalek::Scalar;

/// The order of the base point, 2^252 + 27742317777372353535851937790883648493 (RFC 8032, section
/// 5.1), as little-endian words.
pub(crate) const L: [u64; 4] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 1 << 60];

/// The canonical encodings of the eight points of small order, as little-endian words.
/// `verify_strict` refuses them as R. Their other encodings need no list: R is compared with a
/// canonical encoding.
pub(crate) const SMALL_ORDER: [[u64; 4]; 8] = [
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0xb027_b2c2_8f95_e826, 0xf098_eff2_89f4_c345, 0x3933_c6d3_05ac_dfd5, 0x05fc_536d_8802_38b1],
    [0x4fd8_4d3d_706a_17c7, 0x0f67_100d_760b_3cba, 0xc6cc_392c_fa53_202a, 0x7a03_ac92_77fd_c74e],
    [0xffff_ffff_ffff_ffec, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff],
    [0, 0, 0, 0x8000_0000_0000_0000],
    [0xb027_b2c2_8f95_e826, 0xf098_eff2_89f4_c345, 0x3933_c6d3_05ac_dfd5, 0x85fc_536d_8802_38b1],
    [0x4fd8_4d3d_706a_17c7, 0x0f67_100d_760b_3cba, 0xc6cc_392c_fa53_202a, 0xfa03_ac92_77fd_c74e],
];

/// 32 bytes as little-endian words.
pub(crate) fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (eights, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|i| u64::from_le_bytes(eights[i]))
}

/// The low word.
pub(crate) const fn low(wide: u128) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "the low word is what is asked for")]
    let low = wide as u64;
    low
}

/// Whether s < L, as RFC 8032 demands of the second half of a signature.
pub(crate) fn is_reduced(s: &[u64; 4]) -> bool {
    s.iter().rev().lt(L.iter().rev())
}

/// A 512-bit digest modulo L.
pub(crate) fn reduce(digest: &[u8; 64]) -> [u64; 4] {
    words(Scalar::from_bytes_mod_order_wide(digest).as_bytes())
}

/// A scalar as odd signed digits.
pub(crate) struct Digits {
    words: [u64; 5],
    window: usize,
}

impl Digits {
    /// The digits of k (below 2^253) for a table of this shape.
    pub fn new(k: &[u64; 4], shape: Shape) -> Self {
        let mut odd = *k;
        if k[0] & 1 == 0 {
            let mut carry = 0;
            for (word, order) in odd.iter_mut().zip(L) {
                let sum = u128::from(*word) + u128::from(order) + carry;
                *word = low(sum);
                carry = sum >> 64;
            }
            assert_eq!(carry, 0, "k + L is below 2^254");
        }
        let shifted = |i: usize| odd[i] >> 1 | odd.get(i + 1).map_or(0, |next| next << 63);
        let mut words = [shifted(0), shifted(1), shifted(2), shifted(3), 0];
        let top = shape.bits() - 1;
        words[top / 64] += 1 << (top % 64);
        Self { words, window: shape.window }
    }

    /// Digit i: which odd multiple (0 for 1, 1 for 3, ...), and whether it is taken away.
    pub fn get(&self, i: usize) -> (usize, bool) {
        let (word, shift) = (i * self.window / 64, i * self.window % 64);
        let this = u128::from(self.words[word]);
        let next = self.words.get(word + 1).map_or(0, |word| u128::from(*word) << 64);
        let half = 1_u64 << (self.window - 1);
        let digit = usize::try_from(low((this | next) >> shift) & (2 * half - 1)).expect("16 bits");
        let half = usize::try_from(half).expect("16 bits");
        if digit < half { (half - 1 - digit, true) } else { (digit - half, false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    #[test]
    fn the_constants_are_dalek_s() {
        assert_eq!(words((-Scalar::ONE).as_bytes()), [L[0] - 1, L[1], L[2], L[3]]);
        let mut dalek = EIGHT_TORSION.map(|point| words(&point.compress().0));
        let mut ours = SMALL_ORDER;
        dalek.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, dalek, "{ours:#x?} {dalek:#x?}");
    }

    #[test]
    fn s_is_reduced_only_below_l() {
        let near = |delta: i64| [L[0].wrapping_add_signed(delta), L[1], L[2], L[3]];
        for (s, expected) in [
            (near(-1), true),
            (near(0), false),
            (near(1), false),
            ([u64::MAX, 0, 0, L[3]], true),
            ([0, L[1] + 1, 0, L[3]], false),
            ([0, 0, 1, L[3]], false),
            ([0, 0, 0, L[3]], true),
            ([0; 4], true),
            ([u64::MAX; 4], false),
        ] {
            assert_eq!(is_reduced(&s), expected, "{s:x?}");
        }
    }

    fn value(digits: &Digits, shape: Shape) -> Scalar {
        let base = Scalar::from(1_u64 << shape.window);
        (0..shape.digits()).rev().fold(Scalar::ZERO, |sum, i| {
            let (multiple, negative) = digits.get(i);
            assert!(multiple < shape.block_entries());
            let digit = Scalar::from(2 * multiple as u64 + 1);
            sum * base + if negative { -digit } else { digit }
        })
    }

    proptest! {
        #[test]
        fn digits_add_up_to_their_scalar(bytes: [u8; 32]) {
            let edges = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(2_u8)];
            for k in [Scalar::from_bytes_mod_order(bytes)].into_iter().chain(edges) {
                for shape in [Shape::TINY, Shape::SMALL, Shape::LARGE, Shape::HOT, Shape::BASE] {
                    let digits = Digits::new(&words(k.as_bytes()), shape);
                    prop_assert_eq!(value(&digits, shape), k);
                }
            }
        }
    }
}
