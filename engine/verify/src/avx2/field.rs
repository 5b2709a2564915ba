//! Arithmetic modulo p = 2^255 - 19 on eight elements at once, with products of 32 bits: 10 limbs,
//! of 26 and 25 bits in turn (limb i weighs 2^ceil(25.5 i)), one vector a limb. What
//! `lanes/field.rs` is, for CPUs without 52-bit products.
//!
//! Owns the bounds that make it exact, E = 2^27 for even limbs and O = 2^26 for odd ones:
//!
//! * `Field` is *carried*: limbs below E and O, so 19 times a limb, and 38 times an odd one, is
//!   below 2^32 and may be an operand.
//! * `Sum` is a raw result: limbs below 2^63, so that no addition wrapped. It must be carried
//!   before it is multiplied.
//!
//! Both are checked in debug builds, by assertions, at each construction. `docs/VERIFY.md` has the
//! sums.

use super::vector::{Cpu, Half, Mask, Vector};
use super::words::{MASK, at_most, pack, unpack};

/// Limbs of 26 and of 25 bits.
const EVEN: u64 = (1 << 26) - 1;
const ODD: u64 = (1 << 25) - 1;
/// p in limbs: this one, then `ODD` and `EVEN` in turn.
const P0: u64 = EVEN - 18;
/// What limbs of a `Field` are at most.
const EVEN_MOST: u64 = (1 << 27) - 1;
const ODD_MOST: u64 = (1 << 26) - 1;
/// What limbs of products and squares are below: E^2 + 4 * 19 E^2 + 5 * 38 O^2, and
/// (2 + 8 * 19) E O.
const EVEN_PRODUCT: u64 = 249 << 53;
const ODD_PRODUCT: u64 = 154 << 53;
/// 2^36 p: more than any product, square or element has.
const BIAS: u32 = 36;

/// Eight carried elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field([Vector; 10]);

/// Eight sums of products.
#[derive(Clone, Copy)]
pub(super) struct Sum([Vector; 10]);

/// Eight elements as right-hand operands. Nothing is gained by keeping 19 times each limb: reading
/// it takes as long as multiplying.
#[derive(Clone, Copy)]
pub(super) struct Prepared(Field);

/// One half of the limbs.
#[inline(always)]
fn half(limbs: &[Vector; 10], h: usize) -> [Half; 10] {
    let [a, b, c, d, e, f, g, i, j, k] = limbs;
    [a.0[h], b.0[h], c.0[h], d.0[h], e.0[h], f.0[h], g.0[h], i.0[h], j.0[h], k.0[h]]
}

/// What is done to each half, one after the other: what one needs just fits the registers.
macro_rules! by_halves {
    (|$h:ident| $result:expr) => {{
        let [a, b, c, d, e, f, g, i, j, k] = {
            let $h = 0;
            $result
        };
        let $h = 1;
        let [l, m, n, o, p, q, r, s, t, u] = $result;
        [
            Vector([a, l]),
            Vector([b, m]),
            Vector([c, n]),
            Vector([d, o]),
            Vector([e, p]),
            Vector([f, q]),
            Vector([g, r]),
            Vector([i, s]),
            Vector([j, t]),
            Vector([k, u]),
        ]
    }};
}

/// a_0 b_0 + a_1 b_1 + ...
#[inline(always)]
fn dot<const N: usize>(a: [Half; N], b: [Half; N]) -> Half {
    let mut sum = a[0].mul(b[0]);
    for i in 1..N {
        sum = sum.add(a[i].mul(b[i]));
    }
    sum
}

#[inline(always)]
fn twice(x: Half) -> Half {
    x.add(x)
}

/// Two odd limbs weigh twice what the limb of their sum does; from limb 10 on all weighs 19 times
/// what it does ten limbs below.
#[inline(always)]
fn multiply(a: [Half; 10], b: [Half; 10], b19: [Half; 10]) -> [Half; 10] {
    let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9] = a;
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9] = b;
    let [_, n1, n2, n3, n4, n5, n6, n7, n8, n9] = b19;
    let [d1, d3, d5, d7, d9] = [twice(a1), twice(a3), twice(a5), twice(a7), twice(a9)];
    [
        dot([a0, d1, a2, d3, a4, d5, a6, d7, a8, d9], [b0, n9, n8, n7, n6, n5, n4, n3, n2, n1]),
        dot([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9], [b1, b0, n9, n8, n7, n6, n5, n4, n3, n2]),
        dot([a0, d1, a2, d3, a4, d5, a6, d7, a8, d9], [b2, b1, b0, n9, n8, n7, n6, n5, n4, n3]),
        dot([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9], [b3, b2, b1, b0, n9, n8, n7, n6, n5, n4]),
        dot([a0, d1, a2, d3, a4, d5, a6, d7, a8, d9], [b4, b3, b2, b1, b0, n9, n8, n7, n6, n5]),
        dot([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9], [b5, b4, b3, b2, b1, b0, n9, n8, n7, n6]),
        dot([a0, d1, a2, d3, a4, d5, a6, d7, a8, d9], [b6, b5, b4, b3, b2, b1, b0, n9, n8, n7]),
        dot([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9], [b7, b6, b5, b4, b3, b2, b1, b0, n9, n8]),
        dot([a0, d1, a2, d3, a4, d5, a6, d7, a8, d9], [b8, b7, b6, b5, b4, b3, b2, b1, b0, n9]),
        dot([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9], [b9, b8, b7, b6, b5, b4, b3, b2, b1, b0]),
    ]
}

#[inline(always)]
fn nineteen_times(b: [Half; 10]) -> [Half; 10] {
    let [_, b1, b2, b3, b4, b5, b6, b7, b8, b9] = b;
    [
        b1.zero(),
        b1.times_19(),
        b2.times_19(),
        b3.times_19(),
        b4.times_19(),
        b5.times_19(),
        b6.times_19(),
        b7.times_19(),
        b8.times_19(),
        b9.times_19(),
    ]
}

/// As `multiply`, equal products taken once; d is 2 a, n is 19 a for even limbs, 38 a for odd ones.
#[inline(always)]
fn square(a: [Half; 10]) -> [Half; 10] {
    let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9] = a;
    let [d0, d1, d2, d3, d4] = [twice(a0), twice(a1), twice(a2), twice(a3), twice(a4)];
    let [d5, d6, d7] = [twice(a5), twice(a6), twice(a7)];
    let [n5, n6, n7] = [d5.times_19(), a6.times_19(), d7.times_19()];
    let [n8, n9] = [a8.times_19(), twice(a9).times_19()];
    [
        dot([a0, d1, d2, d3, d4, a5], [a0, n9, n8, n7, n6, n5]),
        dot([d0, a2, d3, a4, d5], [a1, n9, n8, n7, n6]),
        dot([d0, d1, d3, d4, d5, a6], [a2, a1, n9, n8, n7, n6]),
        dot([d0, d1, a4, d5, a6], [a3, a2, n9, n8, n7]),
        dot([d0, d1, a2, d5, d6, a7], [a4, d3, a2, n9, n8, n7]),
        dot([d0, d1, d2, a6, d7], [a5, a4, a3, n9, n8]),
        dot([d0, d1, d2, d3, d7, a8], [a6, d5, a4, a3, n9, n8]),
        dot([d0, d1, d2, d3, a8], [a7, a6, a5, a4, n9]),
        dot([d0, d1, d2, d3, a4, a9], [a8, d7, a6, d5, a4, n9]),
        dot([d0, d1, d2, d3, d4], [a9, a8, a7, a6, a5]),
    ]
}

/// What is above 26 or 25 bits goes to the next limb, from the last one 19 times to the first, in
/// two chains side by side; limbs below 2^63. Carries are below 2^38, 19 times the last one below
/// 2^43, so limb 0 gives less than 2^17 to limb 1 in the end, and limb 5 less than 2^13 to limb 6:
/// limb 1 ends below 2^25 + 2^17, limb 6 below 2^26 + 2^13, all others within their bits.
#[inline(always)]
fn carry(a: [Half; 10]) -> [Half; 10] {
    let [mut a0, mut a1, mut a2, mut a3, mut a4, mut a5, mut a6, mut a7, mut a8, mut a9] = a;
    let (even, odd) = (a0.splat(EVEN), a0.splat(ODD));
    macro_rules! from {
        ($limb:ident, $bits:literal, $mask:ident, $next:ident) => {
            $next = $next.add($limb.shr($bits));
            $limb = $limb.and($mask);
        };
    }
    from!(a0, 26, even, a1);
    from!(a5, 25, odd, a6);
    from!(a1, 25, odd, a2);
    from!(a6, 26, even, a7);
    from!(a2, 26, even, a3);
    from!(a7, 25, odd, a8);
    from!(a3, 25, odd, a4);
    from!(a8, 26, even, a9);
    from!(a4, 26, even, a5);
    let over = a9.shr(25);
    a9 = a9.and(odd);
    a0 = a0.add(over).add(over.shl(1)).add(over.shl(4));
    from!(a5, 25, odd, a6);
    from!(a0, 26, even, a1);
    [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9]
}

/// The functions above on both halves. They are called, not inlined: operands lie in memory in any
/// case, and copies at all places that multiply took minutes to compile.
#[target_feature(enable = "avx2")]
#[inline(never)]
fn multiply_both(a: &[Vector; 10], b: &[Vector; 10]) -> [Vector; 10] {
    by_halves!(|h| {
        let b = half(b, h);
        multiply(half(a, h), b, nineteen_times(b))
    })
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn square_both(a: &[Vector; 10]) -> [Vector; 10] {
    by_halves!(|h| square(half(a, h)))
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn carry_both(a: &[Vector; 10]) -> [Vector; 10] {
    by_halves!(|h| carry(half(a, h)))
}

/// Calls one of them.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: a `Vector`, which each takes, exists only where the instructions do.
        #[allow(unsafe_code)]
        unsafe {
            $call
        }
    };
}

/// Whether no lane of any limb is more than its kind may be.
#[inline(always)]
fn within(limbs: &[Vector; 10], even: u64, odd: u64) -> bool {
    (0..10).all(|i| at_most(&limbs[i..=i], if i % 2 == 0 { even } else { odd }))
}

impl Sum {
    #[inline(always)]
    fn new(limbs: [Vector; 10]) -> Self {
        debug_assert!(at_most(&limbs, (1 << 63) - 1));
        Self(limbs)
    }

    /// The same elements, carried.
    #[inline(always)]
    pub fn carry(self) -> Field {
        Field::new(call!(carry_both(&self.0)))
    }

    /// a + b.
    #[inline(always)]
    pub fn plus(self, b: Self) -> Self {
        let mut limbs = self.0;
        for (limb, b) in limbs.iter_mut().zip(b.0) {
            *limb = limb.add(b);
        }
        Self::new(limbs)
    }

    /// a - b, as a + 2^36 p - b: b is a product, a square or an element; limbs of a are below
    /// 2 * 249 * 2^53, so those of the result are below 2^63.
    #[inline(always)]
    pub fn minus(self, b: Self) -> Self {
        debug_assert!(within(&b.0, EVEN_PRODUCT, ODD_PRODUCT));
        let cpu = self.0[0].cpu();
        let bias = [cpu.splat(P0 << BIAS), cpu.splat(ODD << BIAS), cpu.splat(EVEN << BIAS)];
        let mut limbs = self.0;
        for (i, (limb, b)) in limbs.iter_mut().zip(b.0).enumerate() {
            *limb = limb.add(bias[if i == 0 { 0 } else { 2 - i % 2 }]).sub(b);
        }
        Self::new(limbs)
    }

    /// 2 a.
    #[inline(always)]
    pub fn twice(self) -> Self {
        self.plus(self)
    }
}

impl Field {
    #[inline(always)]
    fn new(limbs: [Vector; 10]) -> Self {
        debug_assert!(within(&limbs, EVEN_MOST, ODD_MOST));
        Self(limbs)
    }

    /// From limbs of 51 bits.
    #[inline(always)]
    fn split(limbs: [Vector; 5]) -> Self {
        let mask = limbs[0].cpu().splat(EVEN);
        let [a, b, c, d, e] = limbs;
        Self::new([
            a.and(mask),
            a.shr::<26>(),
            b.and(mask),
            b.shr::<26>(),
            c.and(mask),
            c.shr::<26>(),
            d.and(mask),
            d.shr::<26>(),
            e.and(mask),
            e.shr::<26>(),
        ])
    }

    /// The same element in all lanes, given in limbs of 51 bits.
    #[inline(always)]
    pub fn splat(cpu: Cpu, limbs: [u64; 5]) -> Self {
        debug_assert!(limbs.iter().all(|limb| *limb <= MASK));
        let [a, b, c, d, e] = limbs;
        Self::split([cpu.splat(a), cpu.splat(b), cpu.splat(c), cpu.splat(d), cpu.splat(e)])
    }

    /// The CPU that made it.
    #[inline(always)]
    pub fn cpu(self) -> Cpu {
        self.0[0].cpu()
    }

    #[inline(always)]
    pub fn zero(cpu: Cpu) -> Self {
        Self::new([cpu.splat(0); 10])
    }

    #[inline(always)]
    pub fn one(cpu: Cpu) -> Self {
        Self::splat(cpu, [1, 0, 0, 0, 0])
    }

    #[inline(always)]
    pub fn sum(self) -> Sum {
        Sum(self.0)
    }

    /// As a right-hand operand of several products.
    #[inline(always)]
    pub fn prepare(self) -> Prepared {
        Prepared(self)
    }

    /// a b. Limbs below 249 * 2^53 and 154 * 2^53.
    #[inline(always)]
    pub fn times(self, b: &Prepared) -> Sum {
        self.mul(b.0)
    }

    /// a b, with the same bounds.
    #[inline(always)]
    pub fn mul(self, b: Self) -> Sum {
        Sum::new(call!(multiply_both(&self.0, &b.0)))
    }

    /// a b, carried.
    #[inline(always)]
    pub fn mul_carry(self, b: Self) -> Self {
        self.mul(b).carry()
    }

    /// a^2, with the bounds of a product.
    #[inline(always)]
    pub fn square(self) -> Sum {
        Sum::new(call!(square_both(&self.0)))
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
        Self::zero(self.cpu()).minus(self)
    }

    /// -a where the mask is set, for a canonical a: 2p - a needs no carry.
    #[inline(always)]
    pub fn negate_canonical(self, mask: Mask) -> Self {
        let cpu = self.cpu();
        let twice_p = [cpu.splat(2 * P0), cpu.splat(2 * ODD), cpu.splat(2 * EVEN)];
        let mut limbs = self.0;
        for (i, limb) in limbs.iter_mut().enumerate() {
            let twice_p = twice_p[if i == 0 { 0 } else { 2 - i % 2 }];
            *limb = limb.blend(mask, twice_p.sub(*limb));
        }
        Self::new(limbs)
    }

    /// b where the mask is set, else a.
    #[inline(always)]
    pub fn select(self, mask: Mask, b: Self) -> Self {
        let mut limbs = self.0;
        for (limb, b) in limbs.iter_mut().zip(b.0) {
            *limb = limb.blend(mask, b);
        }
        Self::new(limbs)
    }

    /// The canonical form, 255 bits in four words. Two limbs make one of 51 bits, at most
    /// 2^52 + 2^26 - 1 (after a carry 2^51 + 2^44); of the first, 2^52 - 38 must be the most.
    #[inline(always)]
    pub fn pack(self) -> [Vector; 4] {
        let [a, b, c, d, e, f, g, h, i, j] = self.0;
        let limbs = [
            a.add(b.shl::<26>()),
            c.add(d.shl::<26>()),
            e.add(f.shl::<26>()),
            g.add(h.shl::<26>()),
            i.add(j.shl::<26>()),
        ];
        debug_assert!(at_most(&limbs[..1], (1 << 52) - 38) && at_most(&limbs, (1 << 52) - 2));
        pack(limbs)
    }

    /// Four words as an element; bit 255 is left out.
    #[inline(always)]
    pub fn unpack(words: [Vector; 4]) -> Self {
        Self::split(unpack(words))
    }
}

#[cfg(test)]
mod tests;
