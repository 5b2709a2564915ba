//! Scalars modulo the group's order L, eight at once: reduction of digests, and odd signed digits
//! (`crate::scalar` explains them).

use super::vector::{Cpu, Mask, Vector};
use super::words::at_most;
use crate::scalar::L;
use crate::table::Shape;

/// The low 52 bits.
const MASK: u64 = (1 << 52) - 1;

/// L in limbs of 52 bits. 2^252 is bit 44 of the last; the rest, c = L - 2^252, fits the first
/// three.
const LIMBS: [u64; 5] = [
    L[0] & MASK,
    (L[0] >> 52 | L[1] << 12) & MASK,
    (L[1] >> 40 | L[2] << 24) & MASK,
    (L[2] >> 28 | L[3] << 36) & MASK,
    L[3] >> 16,
];
/// Bits of limb 4 below 2^252.
const TOP_MASK: u64 = (1 << 44) - 1;

const _: () = assert!(LIMBS[3] == 0 && LIMBS[4] == 1 << 44 && LIMBS[2] < 1 << 21);

/// Eight scalars below 2^255 in limbs of 52 bits.
#[derive(Clone, Copy)]
pub(super) struct Scalar([Vector; 5]);

/// Bits `at` to `at + 51` of words.
#[inline(always)]
fn limb<const AT: usize>(words: &[Vector]) -> Vector {
    let cpu = words[0].cpu();
    let (word, shift) = (AT / 64, (AT % 64) as u64);
    let high = if word + 1 < words.len() { words[word + 1] } else { cpu.splat(0) };
    words[word].shr_by(high, cpu.splat(shift)).and(cpu.splat(MASK))
}

/// x c for c = L - 2^252, in carried limbs. A column adds at most six halves below 2^52.
#[inline(always)]
fn times_c<const N: usize>(x: [Vector; N]) -> [Vector; 8] {
    let cpu = x[0].cpu();
    let c = [cpu.splat(LIMBS[0]), cpu.splat(LIMBS[1]), cpu.splat(LIMBS[2])];
    let mut columns = [cpu.splat(0); 9];
    for i in 0..N {
        for j in 0..3 {
            columns[i + j] = columns[i + j].add_low(x[i], c[j]);
            columns[i + j + 1] = columns[i + j + 1].add_high(x[i], c[j]);
        }
    }
    let mask = cpu.splat(MASK);
    for i in 0..8 {
        columns[i + 1] = columns[i + 1].add(columns[i].shr::<52>());
        columns[i] = columns[i].and(mask);
    }
    debug_assert!(at_most(&columns[8..], 0), "below 2^385");
    let [c0, c1, c2, c3, c4, c5, c6, c7, _] = columns;
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Limb j of what is above 2^252: from bit 44 of limb 4 + j.
#[inline(always)]
fn above(x: &[Vector; 8], j: usize) -> Vector {
    x[4 + j].shr::<44>().or(x[5 + j].shl::<8>()).and(x[0].cpu().splat(MASK))
}

impl Scalar {
    /// 512-bit numbers modulo L; not canonical, but above 0 and below 5 * 2^252.
    ///
    /// With 2^252 = -c (mod L), c < 2^125: x = low - c high, where c high < 2^385; its part above
    /// 2^252 folds again to c (that), below 2^258; and once more. low - p_low + q_low - r + 2 L,
    /// where r < 2^131, lies between 2^252 and 4 * 2^252 + 2^126.
    #[inline(always)]
    pub fn reduce(words: &[Vector; 8]) -> Self {
        let cpu = words[0].cpu();
        let (mask, top_mask) = (cpu.splat(MASK), cpu.splat(TOP_MASK));
        let low = [
            limb::<0>(words),
            limb::<52>(words),
            limb::<104>(words),
            limb::<156>(words),
            limb::<208>(words).and(top_mask),
        ];
        let p = times_c([
            limb::<252>(words),
            limb::<304>(words),
            limb::<356>(words),
            limb::<408>(words),
            limb::<460>(words),
        ]);
        let q = times_c([above(&p, 0), above(&p, 1), above(&p, 2)]);
        let r = times_c([above(&q, 0)]);
        let (mut p, mut q) = (p, q);
        (p[4], q[4]) = (p[4].and(top_mask), q[4].and(top_mask));
        let mut limbs = [cpu.splat(0); 5];
        for i in 0..5 {
            let sum = low[i].add(q[i]).add(cpu.splat(2 * LIMBS[i]));
            limbs[i] = sum.sub(p[i]).sub(r[i]);
        }
        for i in 0..4 {
            limbs[i + 1] = limbs[i + 1].add(limbs[i].shr_signed::<52>());
            limbs[i] = limbs[i].and(mask);
        }
        Self::new(limbs)
    }

    #[inline(always)]
    fn new(limbs: [Vector; 5]) -> Self {
        debug_assert!(at_most(&limbs[..4], MASK) && at_most(&limbs[4..], 5 << 44));
        Self(limbs)
    }

    /// The numbers s of four words, and where s < L; elsewhere 0 stands.
    #[inline(always)]
    pub fn from_words(words: &[Vector; 4]) -> (Self, Mask) {
        let cpu = words[0].cpu();
        let mut limbs = [
            limb::<0>(words),
            limb::<52>(words),
            limb::<104>(words),
            limb::<156>(words),
            words[3].shr::<16>(),
        ];
        // The sign of s - L, limb by limb.
        let mut borrow = cpu.splat(0);
        for (limb, order) in limbs.iter().zip(LIMBS) {
            borrow = limb.sub(cpu.splat(order)).add(borrow).shr_signed::<52>();
        }
        let is_reduced = borrow.negative();
        for limb in &mut limbs {
            *limb = cpu.splat(0).blend(is_reduced, *limb);
        }
        (Self::new(limbs), is_reduced)
    }

    /// The odd signed digits for tables of this shape. An even scalar gets L added.
    #[inline(always)]
    pub fn digits(self, shape: Shape) -> Digits {
        let mut limbs = self.0;
        let cpu = limbs[0].cpu();
        let (zero, mask) = (cpu.splat(0), cpu.splat(MASK));
        let odd = limbs[0].shl::<63>().negative();
        for (limb, order) in limbs.iter_mut().zip(LIMBS) {
            *limb = limb.add(cpu.splat(order).blend(odd, zero));
        }
        for i in 0..4 {
            limbs[i + 1] = limbs[i + 1].add(limbs[i].shr::<52>());
            limbs[i] = limbs[i].and(mask);
        }
        let [a, b, c, d, e] = limbs;
        let words = [
            a.or(b.shl::<52>()),
            b.shr::<12>().or(c.shl::<40>()),
            c.shr::<24>().or(d.shl::<28>()),
            d.shr::<36>().or(e.shl::<16>()),
            e.shr::<48>(),
        ];
        debug_assert!(at_most(&words[4..], 0), "below 2^255");
        let mut halved = [
            words[0].shr_with::<1>(words[1]),
            words[1].shr_with::<1>(words[2]),
            words[2].shr_with::<1>(words[3]),
            words[3].shr_with::<1>(words[4]),
            words[4].shr::<1>(),
        ];
        let top = shape.bits() - 1;
        halved[top / 64] = halved[top / 64].add(cpu.splat(1 << (top % 64)));
        Digits { words: halved, window: shape.window }
    }
}

/// Eight scalars as odd signed digits.
pub(super) struct Digits {
    words: [Vector; 5],
    window: usize,
}

impl Digits {
    /// Digit i: which odd multiple in each lane (0 for 1, 1 for 3, ...), and where it is taken
    /// away.
    #[inline(always)]
    pub fn get(&self, cpu: Cpu, i: usize) -> (Vector, Mask) {
        let (word, shift) = (i * self.window / 64, i * self.window % 64);
        let high = if word < 4 { self.words[word + 1] } else { cpu.splat(0) };
        let half = 1_u64 << (self.window - 1);
        let digit = self.words[word].shr_by(high, cpu.splat(shift as u64));
        let digit = digit.and(cpu.splat(2 * half - 1));
        // Below half: negative, and the complement says which.
        let negative = digit.sub(cpu.splat(half)).negative();
        let within = cpu.splat(half - 1);
        let index = digit.blend(negative, digit.xor(within)).and(within);
        (index, negative)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector::LANES;
    use super::*;
    use crate::{model, scalar};
    use curve25519_dalek::Scalar as Dalek;

    fn words_of(bytes: &[u8; 64]) -> [u64; 8] {
        let (eights, _) = bytes.as_chunks::<8>();
        std::array::from_fn(|i| u64::from_le_bytes(eights[i]))
    }

    fn load<const N: usize>(cpu: Cpu, rows: &[[u64; N]]) -> [Vector; N] {
        std::array::from_fn(|i| cpu.load(&std::array::from_fn(|lane| rows[lane][i])))
    }

    /// What the digits of one lane add up to, modulo L.
    fn value(cpu: Cpu, digits: &Digits, shape: Shape, lane: usize) -> Dalek {
        let base = Dalek::from(1_u64 << shape.window);
        (0..shape.digits()).rev().fold(Dalek::ZERO, |sum, i| {
            let (indices, negative) = digits.get(cpu, i);
            let indices = indices.lanes();
            assert!(indices[lane] < shape.block_entries() as u64);
            let digit = Dalek::from(2 * indices[lane] + 1);
            sum * base + if negative >> lane & 1 == 1 { -digit } else { digit }
        })
    }

    const SHAPES: [Shape; 5] = [Shape::TINY, Shape::SMALL, Shape::LARGE, Shape::HOT, Shape::BASE];

    #[test]
    fn digests_are_reduced_as_dalek_does() {
        let Some(cpu) = Cpu::detect() else { return };
        let mut random = model::random(512);
        let mut digests: Vec<[u8; 64]> = vec![[0; 64], [0xff; 64]];
        // One bit, all bits but one, all bits from one on: around every boundary of limbs and
        // words.
        for bit in 0..512 {
            let mut one = [0; 64];
            one[bit / 8] = 1 << (bit % 8);
            digests.extend([one, one.map(|byte| !byte)]);
            let from = |i: usize| match (8 * i).cmp(&(bit / 8 * 8)) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => 0xff << (bit % 8),
                std::cmp::Ordering::Greater => 0xff,
            };
            digests.push(std::array::from_fn(from));
        }
        digests.extend((0..2_000).map(|_| [(); 64].map(|()| random().to_le_bytes()[7])));
        digests.resize(digests.len().next_multiple_of(LANES), [1; 64]);
        for eight in digests.chunks(LANES) {
            let rows: Vec<_> = eight.iter().map(words_of).collect();
            let k = Scalar::reduce(&load(cpu, &rows));
            for shape in SHAPES {
                let digits = k.digits(shape);
                for (lane, digest) in eight.iter().enumerate() {
                    let expected = Dalek::from_bytes_mod_order_wide(digest);
                    assert_eq!(value(cpu, &digits, shape, lane), expected, "{digest:x?}");
                }
            }
        }
    }

    #[test]
    fn s_counts_only_below_l() {
        let Some(cpu) = Cpu::detect() else { return };
        let mut random = model::random(8032);
        let near = |delta: i64| [L[0].wrapping_add_signed(delta), L[1], L[2], L[3]];
        let mut all =
            vec![near(-2), near(-1), near(0), near(1), [0; 4], [u64::MAX; 4], [1, 0, 0, 0]];
        for bit in 0..256 {
            let mut flipped = L;
            flipped[bit / 64] ^= 1 << (bit % 64);
            let mut one = [0; 4];
            one[bit / 64] = 1 << (bit % 64);
            all.extend([flipped, one]);
        }
        all.extend((0..500).map(|_| [random(), random(), random(), random() >> 3]));
        all.resize(all.len().next_multiple_of(LANES), [0; 4]);
        for eight in all.chunks(LANES) {
            let (s, is_reduced) = Scalar::from_words(&load(cpu, eight));
            let digits = s.digits(Shape::BASE);
            for (lane, words) in eight.iter().enumerate() {
                let expected = scalar::is_reduced(words);
                assert_eq!(is_reduced >> lane & 1 == 1, expected, "{words:x?}");
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                let counted = if expected {
                    Dalek::from_canonical_bytes(bytes.try_into().unwrap()).unwrap()
                } else {
                    Dalek::ZERO
                };
                assert_eq!(value(cpu, &digits, Shape::BASE, lane), counted);
            }
        }
    }
}
