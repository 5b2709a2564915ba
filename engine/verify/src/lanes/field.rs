//! Arithmetic modulo p = 2^255 - 19 on eight elements at once: 5 limbs of 51 bits, one vector a
//! limb.
//!
//! Owns the bounds that make the 52-bit multiply-add exact. There are two kinds of elements, and
//! only functions that keep the bounds make either:
//!
//! * `Field` is *carried*: limb 0 at most 2^52 - 38, the others at most 2^52 - 2. All 52 bits of
//!   each limb count in a multiplication, so it may be an operand.
//! * `Sum` is a raw result: limbs below 2^63, so that no addition wrapped. It must be carried
//!   before it is multiplied.
//!
//! Both are checked in debug builds, by assertions, at each construction. `docs/VERIFY.md` has the
//! sums.

use super::vector::{Cpu, Mask, Vector};
use super::words::{MASK, at_most, pack, unpack};

/// p in limbs: this one, then four times `MASK`.
const P0: u64 = MASK - 18;

/// Eight carried elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field([Vector; 5]);

/// Eight sums of products.
#[derive(Clone, Copy)]
pub(super) struct Sum([Vector; 5]);

/// Eight elements as right-hand operands: what a product needs of 19 b, so that it needs no
/// folding.
///
/// With 19 b_j = u_j + 2^51 v_j: a_i b_j at weight 51 (i + j) >= 255 is a_i u_j at weight
/// 51 (i + j - 5) plus a_i v_j at weight 51 (i + j - 4).
#[derive(Clone, Copy)]
pub(super) struct Prepared {
    b: [Vector; 5],
    /// b_0 + v_4.
    b0v4: Vector,
    /// u_1 to u_4.
    u: [Vector; 4],
    /// u_2 + v_1, u_3 + v_2, u_4 + v_3.
    w: [Vector; 3],
}

impl Sum {
    #[inline(always)]
    fn new(limbs: [Vector; 5]) -> Self {
        debug_assert!(at_most(&limbs, (1 << 63) - 1));
        Self(limbs)
    }

    /// The same elements, carried: each limb gives its bits from 51 up (fewer than 2^12 of them) to
    /// the next, the last one 19 times to the first. Limbs below 2^51 + 19 * 2^12.
    #[inline(always)]
    pub fn carry(self) -> Field {
        let [a, b, c, d, e] = self.0;
        let cpu = a.cpu();
        let mask = cpu.splat(MASK);
        Field::new([
            a.and(mask).add_low(e.shr::<51>(), cpu.splat(19)),
            b.and(mask).add(a.shr::<51>()),
            c.and(mask).add(b.shr::<51>()),
            d.and(mask).add(c.shr::<51>()),
            e.and(mask).add(d.shr::<51>()),
        ])
    }

    /// a + b.
    #[inline(always)]
    pub fn plus(self, b: Self) -> Self {
        let (a, b) = (self.0, b.0);
        Self::new([a[0].add(b[0]), a[1].add(b[1]), a[2].add(b[2]), a[3].add(b[3]), a[4].add(b[4])])
    }

    /// a - b, as a + 2^10 p - b: limbs of b at most 2^61 - 19456 (products are below 2^60.1, sums
    /// of two below 2^61.1 never stand here), those of a below 2^62.
    #[inline(always)]
    pub fn minus(self, b: Self) -> Self {
        let (a, b) = (self.0, b.0);
        debug_assert!(at_most(&b, P0 << 10));
        let cpu = a[0].cpu();
        let (first, other) = (cpu.splat(P0 << 10), cpu.splat(MASK << 10));
        Self::new([
            a[0].add(first).sub(b[0]),
            a[1].add(other).sub(b[1]),
            a[2].add(other).sub(b[2]),
            a[3].add(other).sub(b[3]),
            a[4].add(other).sub(b[4]),
        ])
    }

    /// 2 a.
    #[inline(always)]
    pub fn twice(self) -> Self {
        self.plus(self)
    }
}

/// 19 x, for x below 2^59.
#[inline(always)]
fn times_19(x: Vector) -> Vector {
    x.add(x.shl::<1>()).add(x.shl::<4>())
}

/// sum + the low halves of all a_i b_(k - i).
#[inline(always)]
fn low_column(mut sum: Vector, a: &[Vector; 5], b: &[Vector; 5], k: usize) -> Vector {
    for i in k.saturating_sub(4)..=k.min(4) {
        sum = sum.add_low(a[i], b[k - i]);
    }
    sum
}

/// The high halves of all a_i b_(k - i).
#[inline(always)]
fn high_column(a: &[Vector; 5], b: &[Vector; 5], k: usize) -> Vector {
    let mut sum = a[0].cpu().splat(0);
    for i in k.saturating_sub(4)..=k.min(4) {
        sum = sum.add_high(a[i], b[k - i]);
    }
    sum
}

/// What weighs 2^(51 k) in a b.
#[inline(always)]
fn column(a: &[Vector; 5], b: &[Vector; 5], k: usize) -> Vector {
    let above = if k > 0 { high_column(a, b, k - 1) } else { a[0].cpu().splat(0) };
    low_column(above.add(above), a, b, k)
}

/// sum + the low halves of a_0 b_0 + ... + a_4 b_4.
#[inline(always)]
fn low(sum: Vector, a: &[Vector; 5], b: [Vector; 5]) -> Vector {
    sum.add_low(a[0], b[0])
        .add_low(a[1], b[1])
        .add_low(a[2], b[2])
        .add_low(a[3], b[3])
        .add_low(a[4], b[4])
}

/// The high halves of a_0 b_0 + ... + a_4 b_4.
#[inline(always)]
fn high(a: &[Vector; 5], b: [Vector; 5]) -> Vector {
    let zero = a[0].cpu().splat(0);
    zero.add_high(a[0], b[0])
        .add_high(a[1], b[1])
        .add_high(a[2], b[2])
        .add_high(a[3], b[3])
        .add_high(a[4], b[4])
}

impl Field {
    #[inline(always)]
    fn new(limbs: [Vector; 5]) -> Self {
        debug_assert!(at_most(&limbs[..1], (1 << 52) - 38) && at_most(&limbs, (1 << 52) - 2));
        Self(limbs)
    }

    /// The same element in all lanes.
    #[inline(always)]
    pub fn splat(cpu: Cpu, limbs: [u64; 5]) -> Self {
        Self::new([
            cpu.splat(limbs[0]),
            cpu.splat(limbs[1]),
            cpu.splat(limbs[2]),
            cpu.splat(limbs[3]),
            cpu.splat(limbs[4]),
        ])
    }

    /// The CPU that made it.
    #[inline(always)]
    pub fn cpu(self) -> Cpu {
        self.0[0].cpu()
    }

    #[inline(always)]
    pub fn zero(cpu: Cpu) -> Self {
        Self::splat(cpu, [0; 5])
    }

    #[inline(always)]
    pub fn one(cpu: Cpu) -> Self {
        Self::splat(cpu, [1, 0, 0, 0, 0])
    }

    #[inline(always)]
    pub fn sum(self) -> Sum {
        Sum(self.0)
    }

    /// Ready to be multiplied by, more than once. v_j is at most 37, so b_0 + v_4 is below 2^52.
    #[inline(always)]
    pub fn prepare(self) -> Prepared {
        let b = self.0;
        let cpu = b[0].cpu();
        let (zero, mask, c19, c38) = (cpu.splat(0), cpu.splat(MASK), cpu.splat(19), cpu.splat(38));
        let u1 = zero.add_low(b[1], c19).and(mask);
        let u2 = zero.add_low(b[2], c19).and(mask);
        let u3 = zero.add_low(b[3], c19).and(mask);
        let u4 = zero.add_low(b[4], c19).and(mask);
        // v_j = floor(19 b_j / 2^51) = floor(38 b_j / 2^52).
        let prepared = Prepared {
            b,
            b0v4: b[0].add_high(b[4], c38),
            u: [u1, u2, u3, u4],
            w: [u2.add_high(b[1], c38), u3.add_high(b[2], c38), u4.add_high(b[3], c38)],
        };
        debug_assert!(at_most(&[prepared.b0v4], (1 << 52) - 1));
        prepared
    }

    /// a b. A product of limbs splits at bit 52, one above the radix, so high halves count twice in
    /// the next limb. Limbs below 195 * 2^52 < 2^59.7.
    #[inline(always)]
    pub fn times(self, b: &Prepared) -> Sum {
        let a = &self.0;
        let Prepared { b, b0v4, u: [u1, u2, u3, u4], w: [w2, w3, w4] } = *b;
        let c0 = [b[0], u4, u3, u2, u1];
        let c1 = [b[1], b0v4, w4, w3, w2];
        let c2 = [b[2], b[1], b0v4, w4, w3];
        let c3 = [b[3], b[2], b[1], b0v4, w4];
        let c4 = [b[4], b[3], b[2], b[1], b0v4];
        let (h0, h1, h2, h3) = (high(a, c0), high(a, c1), high(a, c2), high(a, c3));
        let h4 = times_19(high(a, c4));
        Sum::new([
            low(h4.add(h4), a, c0),
            low(h0.add(h0), a, c1),
            low(h1.add(h1), a, c2),
            low(h2.add(h2), a, c3),
            low(h3.add(h3), a, c4),
        ])
    }

    /// a b, where b is of no use for another product: columns 5 to 9 fold 19 times into 0 to 4.
    /// Nothing is prepared, and only ten vectors are kept for it. Limbs below 267 * 2^52 < 2^60.1.
    #[inline(always)]
    pub fn mul(self, b: Self) -> Sum {
        let (a, b) = (&self.0, &b.0);
        Sum::new([
            column(a, b, 0).add(times_19(column(a, b, 5))),
            column(a, b, 1).add(times_19(column(a, b, 6))),
            column(a, b, 2).add(times_19(column(a, b, 7))),
            column(a, b, 3).add(times_19(column(a, b, 8))),
            column(a, b, 4).add(times_19(column(a, b, 9))),
        ])
    }

    /// a b, carried.
    #[inline(always)]
    pub fn mul_carry(self, b: Self) -> Self {
        self.mul(b).carry()
    }

    /// a^2. Column k is diagonal products plus twice the sum of crossed ones; columns 5 to 9 fold
    /// 19 times into 0 to 4. Limbs below 267 * 2^52 < 2^60.1.
    #[inline(always)]
    pub fn square(self) -> Sum {
        let a = self.0;
        let zero = a[0].cpu().splat(0);
        let twice = |x: Vector| x.add(x);
        let h1 = zero.add_high(a[0], a[1]);
        let h2 = zero.add_high(a[0], a[2]);
        let h3 = zero.add_high(a[0], a[3]).add_high(a[1], a[2]);
        let h4 = zero.add_high(a[0], a[4]).add_high(a[1], a[3]);
        let h5 = zero.add_high(a[1], a[4]).add_high(a[2], a[3]);
        let h6 = zero.add_high(a[2], a[4]);
        let h7 = zero.add_high(a[3], a[4]);
        let z0 = zero.add_low(a[0], a[0]);
        let z1 = twice(zero.add_high(a[0], a[0]).add_low(a[0], a[1]));
        let z2 = twice(twice(h1).add_low(a[0], a[2])).add_low(a[1], a[1]);
        let z3 = twice(h2);
        let z3 = twice(z3.add_high(a[1], a[1]).add_low(a[0], a[3]).add_low(a[1], a[2]));
        let z4 = twice(twice(h3).add_low(a[0], a[4]).add_low(a[1], a[3])).add_low(a[2], a[2]);
        let z5 = twice(h4);
        let z5 = twice(z5.add_high(a[2], a[2]).add_low(a[1], a[4]).add_low(a[2], a[3]));
        let z6 = twice(twice(h5).add_low(a[2], a[4])).add_low(a[3], a[3]);
        let z7 = twice(twice(h6).add_high(a[3], a[3]).add_low(a[3], a[4]));
        let z8 = twice(twice(h7)).add_low(a[4], a[4]);
        let z9 = twice(zero.add_high(a[4], a[4]));
        Sum::new([
            z0.add(times_19(z5)),
            z1.add(times_19(z6)),
            z2.add(times_19(z7)),
            z3.add(times_19(z8)),
            z4.add(times_19(z9)),
        ])
    }

    #[inline(always)]
    pub fn plus(self, b: Self) -> Self {
        self.sum().plus(b.sum()).carry()
    }

    #[inline(always)]
    pub fn minus(self, b: Self) -> Self {
        self.sum().minus(b.sum()).carry()
    }

    #[inline(always)]
    pub fn negate(self) -> Self {
        Self::zero(self.0[0].cpu()).minus(self)
    }

    /// -a where the mask is set, for a canonical a: 2p - a needs no carry.
    #[inline(always)]
    pub fn negate_canonical(self, mask: Mask) -> Self {
        let a = self.0;
        let cpu = a[0].cpu();
        let (first, other) = (cpu.splat(2 * P0), cpu.splat(2 * MASK));
        Self::new([
            a[0].blend(mask, first.sub(a[0])),
            a[1].blend(mask, other.sub(a[1])),
            a[2].blend(mask, other.sub(a[2])),
            a[3].blend(mask, other.sub(a[3])),
            a[4].blend(mask, other.sub(a[4])),
        ])
    }

    /// b where the mask is set, else a.
    #[inline(always)]
    pub fn select(self, mask: Mask, b: Self) -> Self {
        let (a, b) = (self.0, b.0);
        Self::new([
            a[0].blend(mask, b[0]),
            a[1].blend(mask, b[1]),
            a[2].blend(mask, b[2]),
            a[3].blend(mask, b[3]),
            a[4].blend(mask, b[4]),
        ])
    }

    /// The canonical form, 255 bits in four words.
    #[inline(always)]
    pub fn pack(self) -> [Vector; 4] {
        pack(self.0)
    }

    /// Four words as an element; bit 255 is left out.
    #[inline(always)]
    pub fn unpack(words: [Vector; 4]) -> Self {
        Self::new(unpack(words))
    }
}

#[cfg(test)]
mod tests;
