//! Numbers modulo p = 2^255 - 19 in plain 64-bit arithmetic. Owns how they are held and the bounds
//! that make it right; never knows what a point is. Not constant time: everything here is public.
//!
//! A number is five limbs of radix 2^51, so that a product of limbs and the sum of five such
//! products fit 128 bits. Between two multiplications limbs may grow: `Field` is carried, `Sum` is
//! not, and only a multiplication (which takes both) carries. All limb arithmetic wraps on overflow
//! to spare the checks; the bounds stated beside it say why nothing ever wraps.

use crate::scalar::low;
use std::ops::{Add, Mul, Sub};

/// Bits of a limb.
const BITS: u32 = 51;
const MASK: u64 = (1 << BITS) - 1;

/// What the limbs of a `Field` are below.
const CARRIED: u64 = (1 << 51) + (1 << 13);
/// What the limbs of a `Sum` are below.
const SUMMED: u64 = 1 << 54;

/// What goes out of the highest limb of a product at most: its sum has no folded term, so it is
/// below 5 * 2^108 + 2^64.
const HIGHEST_CARRY: u64 = (5 << 57) + (1 << 13);

/// 4p, limb by limb: more than any limb of a `Field` or of the sum of two.
const FOUR_P: [u64; 5] =
    [(1 << 53) - 76, (1 << 53) - 4, (1 << 53) - 4, (1 << 53) - 4, (1 << 53) - 4];

/// A number modulo p, carried: limbs below 2^51 + 2^13, so its value is below 2p.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field([u64; 5]);

/// A sum or difference of a few numbers modulo p that is not carried: limbs below 2^54.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum([u64; 5]);

/// What can be multiplied: limbs below 2^54.
pub(super) trait Limbs {
    fn limbs(self) -> [u64; 5];
}

impl Limbs for Field {
    #[inline(always)]
    fn limbs(self) -> [u64; 5] {
        self.0
    }
}

impl Limbs for Sum {
    #[inline(always)]
    fn limbs(self) -> [u64; 5] {
        self.0
    }
}

fn all_below(limbs: [u64; 5], bound: u64) -> bool {
    limbs.iter().all(|limb| *limb < bound)
}

#[inline(always)]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a).wrapping_mul(u128::from(b))
}

/// One limb of a product, before it is folded, and what goes on to the next: a carry and a sum of
/// products of limbs below 2^54, four of them folded (times 19) at most. With the carry, which is
/// below 2^64, that is below (1 + 4 * 19) * 2^108 + 2^64 < 2^115.
#[inline(always)]
fn dot<const N: usize>(carry: u64, a: [u64; N], b: [u64; N]) -> (u64, u64) {
    let mut sum = u128::from(carry);
    for i in 0..N {
        sum = sum.wrapping_add(wide(a[i], b[i]));
    }
    debug_assert!(sum >> 115 == 0, "{sum:x}");
    (low(sum) & MASK, low(sum >> BITS))
}

#[inline(always)]
fn each(a: [u64; 5], b: [u64; 5], f: impl Fn(u64, u64) -> u64) -> [u64; 5] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3]), f(a[4], b[4])]
}

impl Sum {
    #[inline(always)]
    fn new(limbs: [u64; 5]) -> Self {
        debug_assert!(all_below(limbs, SUMMED), "{limbs:x?}");
        Self(limbs)
    }

    /// The same number, carried.
    #[inline(always)]
    pub fn carry(self) -> Field {
        let mut carry = 0;
        let limbs = self.0.map(|limb| {
            let sum = limb.wrapping_add(carry);
            carry = sum >> BITS;
            sum & MASK
        });
        Field::fold(limbs, carry)
    }

    /// The square.
    #[inline(always)]
    pub fn square(self) -> Field {
        square(self.0)
    }
}

impl Field {
    pub const ZERO: Self = Self([0; 5]);
    pub const ONE: Self = Self([1, 0, 0, 0, 0]);

    #[inline(always)]
    fn new(limbs: [u64; 5]) -> Self {
        debug_assert!(all_below(limbs, CARRIED), "{limbs:x?}");
        Self(limbs)
    }

    /// The low 255 bits of four little-endian words, which need not be below p.
    #[inline(always)]
    pub const fn unpack(words: &[u64; 4]) -> Self {
        let [a, b, c, d] = *words;
        Self([
            a & MASK,
            (a >> 51 | b << 13) & MASK,
            (b >> 38 | c << 26) & MASK,
            (c >> 25 | d << 39) & MASK,
            d >> 12 & MASK,
        ])
    }

    /// The one representative below p as four little-endian words.
    pub fn pack(self) -> [u64; 4] {
        // The value v is below 2p: whether p has to go is the carry of v + 19 out of bit 254.
        let limbs = self.0;
        let over = limbs.iter().fold(19, |carry, limb| (limb + carry) >> BITS);
        let mut carry = 19 * over;
        let [a, b, c, d, e] = limbs.map(|limb| {
            let sum = limb + carry;
            carry = sum >> BITS;
            sum & MASK
        });
        [a | b << 51, b >> 13 | c << 38, c >> 26 | d << 25, d >> 39 | e << 12]
    }

    /// From five limbs below 2^51 and what is carried out of the highest: 2^255 = 19.
    #[inline(always)]
    fn fold([a, b, c, d, e]: [u64; 5], carry: u64) -> Self {
        debug_assert!(carry <= HIGHEST_CARRY, "{carry:x}");
        // 95 * 2^57 + 19 * 2^13 + 2^51 < 2^64, so less than 2^13 goes on.
        let a = a.wrapping_add(carry.wrapping_mul(19));
        Self::new([a & MASK, b.wrapping_add(a >> BITS), c, d, e])
    }

    pub fn is_zero(self) -> bool {
        self.pack() == [0; 4]
    }

    /// The lowest bit of the representative: the "sign" of RFC 8032, section 5.1.2.
    pub fn is_odd(self) -> bool {
        self.pack()[0] & 1 == 1
    }

    /// The square.
    #[inline(always)]
    pub fn square(self) -> Self {
        square(self.0)
    }

    /// The negative, if so asked; without a branch. Limbs are at most 2^53 - 4.
    #[inline(always)]
    pub fn negate_if(self, negative: bool) -> Sum {
        // Two's complement: !a + 1 is -a.
        let mask = u64::from(negative).wrapping_neg();
        let bias = FOUR_P.map(|limb| limb.wrapping_add(1) & mask);
        Sum::new(each(self.0, bias, |limb, bias| (limb ^ mask).wrapping_add(bias)))
    }

    pub fn negate(self) -> Self {
        (Self::ZERO - self).carry()
    }

    /// To the power 2^n.
    fn squared(self, n: usize) -> Self {
        (0..n).fold(self, |power, _| power.square())
    }

    /// To the powers 2^250 - 1 and 11. Each step's comment gives the exponent so far.
    fn power_chain(self) -> (Self, Self) {
        let two = self.square();
        let nine = two.squared(2) * self;
        let eleven = nine * two;
        let ones_5 = eleven.square() * nine; // 2^5 - 1 = 22 + 9
        let ones_10 = ones_5.squared(5) * ones_5; // 2^10 - 1
        let ones_20 = ones_10.squared(10) * ones_10;
        let ones_40 = ones_20.squared(20) * ones_20;
        let ones_50 = ones_40.squared(10) * ones_10;
        let ones_100 = ones_50.squared(50) * ones_50;
        let ones_200 = ones_100.squared(100) * ones_100;
        (ones_200.squared(50) * ones_50, eleven)
    }

    /// To the power p - 2 = 2^255 - 21 (Fermat): the inverse, or zero of zero.
    pub fn invert(self) -> Self {
        let (ones_250, eleven) = self.power_chain();
        ones_250.squared(5) * eleven
    }

    /// To the power (p - 5) / 8 = 2^252 - 3.
    pub fn power_p58(self) -> Self {
        self.power_chain().0.squared(2) * self
    }
}

/// The inverses of all values for the price of one and three multiplications each; zero for a zero,
/// which spoils nothing for the others (Montgomery, "Speeding the Pollard and elliptic curve
/// methods of factorization", Math. Comp. 48, 1987, section 10.3.1).
pub(super) fn invert_all(values: &[Field]) -> Vec<Field> {
    let mut product = Field::ONE;
    let mut inverses = Vec::with_capacity(values.len());
    for value in values {
        inverses.push(product);
        if !value.is_zero() {
            product = product * *value;
        }
    }
    let mut inverse = product.invert();
    for (value, before) in values.iter().zip(&mut inverses).rev() {
        if value.is_zero() {
            *before = Field::ZERO;
        } else {
            *before = inverse * *before;
            inverse = inverse * *value;
        }
    }
    inverses
}

/// Schoolbook, with 2^255 = 19.
#[inline(always)]
fn multiply(a: [u64; 5], b: [u64; 5]) -> Field {
    debug_assert!(all_below(a, SUMMED) && all_below(b, SUMMED), "{a:x?} {b:x?}");
    let [b0, b1, b2, b3, b4] = b;
    let [_, f1, f2, f3, f4] = b.map(|limb| limb.wrapping_mul(19)); // below 2^58.3
    let (r0, carry) = dot(0, a, [b0, f4, f3, f2, f1]);
    let (r1, carry) = dot(carry, a, [b1, b0, f4, f3, f2]);
    let (r2, carry) = dot(carry, a, [b2, b1, b0, f4, f3]);
    let (r3, carry) = dot(carry, a, [b3, b2, b1, b0, f4]);
    let (r4, carry) = dot(carry, a, [b4, b3, b2, b1, b0]);
    Field::fold([r0, r1, r2, r3, r4], carry)
}

/// As `multiply`, equal products taken once.
#[inline(always)]
fn square(a: [u64; 5]) -> Field {
    debug_assert!(all_below(a, SUMMED), "{a:x?}");
    let [a0, a1, a2, a3, a4] = a;
    let [d0, d1, d2, _, _] = a.map(|limb| limb.wrapping_mul(2)); // below 2^55
    let [_, _, _, f3, f4] = a.map(|limb| limb.wrapping_mul(19)); // below 2^58.3
    let (r0, carry) = dot(0, [a0, d1, d2], [a0, f4, f3]);
    let (r1, carry) = dot(carry, [d0, d2, a3], [a1, f4, f3]);
    let (r2, carry) = dot(carry, [d0, a1, f4], [a2, a1, a3.wrapping_mul(2)]);
    let (r3, carry) = dot(carry, [d0, d1, a4], [a3, a2, f4]);
    let (r4, carry) = dot(carry, [d0, d1, a2], [a4, a3, a2]);
    Field::fold([r0, r1, r2, r3, r4], carry)
}

impl<T: Limbs> Mul<T> for Field {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: T) -> Self {
        multiply(self.0, other.limbs())
    }
}

impl<T: Limbs> Mul<T> for Sum {
    type Output = Field;
    #[inline(always)]
    fn mul(self, other: T) -> Field {
        multiply(self.0, other.limbs())
    }
}

/// Limbs of the sum of two are below 2^52 + 2^14.
impl Add for Field {
    type Output = Sum;
    #[inline(always)]
    fn add(self, other: Self) -> Sum {
        Sum::new(each(self.0, other.0, u64::wrapping_add))
    }
}

/// A third summand keeps the limbs below 2^53.
impl Add<Field> for Sum {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Field) -> Self {
        Self::new(each(self.0, other.0, u64::wrapping_add))
    }
}

#[inline(always)]
fn subtract(a: [u64; 5], b: [u64; 5]) -> Sum {
    debug_assert!(all_below(b, FOUR_P[0]), "{b:x?}");
    Sum::new(each(each(a, FOUR_P, u64::wrapping_add), b, u64::wrapping_sub))
}

/// Limbs are below 2^53 + 2^51 + 2^13.
impl Sub for Field {
    type Output = Sum;
    #[inline(always)]
    fn sub(self, other: Self) -> Sum {
        subtract(self.0, other.0)
    }
}

/// The sum that is taken away may be one of two or three carried numbers: limbs below 2^53 - 76.
impl Sub<Sum> for Field {
    type Output = Sum;
    #[inline(always)]
    fn sub(self, other: Sum) -> Sum {
        subtract(self.0, other.0)
    }
}

/// From a sum of two or three carried numbers: limbs stay below 3 * (2^51 + 2^13) + 2^53 < 2^54.
impl Sub<Field> for Sum {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Field) -> Self {
        subtract(self.0, other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A number as base-256 digits, modulo p: the slow and obvious way.
    fn reduced(mut digits: Vec<u64>) -> [u8; 32] {
        loop {
            let mut carry = 0;
            for digit in &mut digits {
                carry += *digit;
                *digit = carry & 255;
                carry >>= 8;
            }
            while carry > 0 {
                digits.push(carry & 255);
                carry >>= 8;
            }
            digits.resize(digits.len().max(64), 0);
            // 2^255 = 19, in two parts: from byte 32 on, and the top bit of byte 31.
            let high = digits.split_off(32);
            let top = digits[31] >> 7;
            digits[31] &= 127;
            if top == 0 && high.iter().all(|digit| *digit == 0) {
                break;
            }
            digits.resize(64, 0);
            digits[0] += 19 * top;
            (0..high.len()).for_each(|i| digits[i] += 38 * high[i]);
        }
        let p = |i: usize| if i == 0 { 0xed } else { 0xff - u64::from(i == 31) * 0x80 };
        if (0..32).all(|i| digits[i] >= p(i)) {
            (0..32).for_each(|i| digits[i] -= p(i));
        }
        std::array::from_fn(|i| u8::try_from(digits[i]).unwrap())
    }

    /// What limbs stand for.
    fn value(limbs: [u64; 5]) -> [u8; 32] {
        let mut digits = vec![0; 40];
        (0..5).for_each(|i| digits[51 * i / 8] += limbs[i] << (51 * i % 8));
        reduced(digits)
    }

    fn product(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        let mut digits = vec![0; 64];
        for i in 0..32 {
            for j in 0..32 {
                digits[i + j] += u64::from(a[i]) * u64::from(b[j]);
            }
        }
        reduced(digits)
    }

    /// a + factor * b.
    fn sum(a: [u8; 32], b: [u8; 32], factor: u64) -> [u8; 32] {
        reduced((0..32).map(|i| u64::from(a[i]) + factor * u64::from(b[i])).collect())
    }

    fn minus(b: [u8; 32]) -> [u8; 32] {
        let mut p_less_1 = [0xff; 32];
        (p_less_1[0], p_less_1[31]) = (0xec, 0x7f);
        product(p_less_1, b)
    }

    fn bytes(field: Field) -> [u8; 32] {
        assert!(all_below(field.0, CARRIED), "{field:x?}");
        let words = field.pack().map(u64::to_le_bytes);
        std::array::from_fn(|i| words[i / 8][i % 8])
    }

    fn bytes_of_sum(sum: Sum) -> [u8; 32] {
        assert!(all_below(sum.0, SUMMED), "{sum:x?}");
        bytes(sum.carry())
    }

    /// Limbs at and about every edge, and any others below the bound.
    fn limbs(bound: u64) -> impl Strategy<Value = [u64; 5]> {
        let edges =
            vec![0, 1, 18, 19, MASK - 19, MASK - 18, MASK - 1, MASK, CARRIED - 1, bound - 1];
        proptest::array::uniform5(prop_oneof![proptest::sample::select(edges), 0..bound])
    }

    fn field() -> impl Strategy<Value = Field> {
        limbs(CARRIED).prop_map(Field::new)
    }

    /// All ways to set each limb to one of two values.
    fn corners(low: u64, high: u64) -> impl Iterator<Item = [u64; 5]> {
        (0..32).map(move |set| std::array::from_fn(|i| if set >> i & 1 == 1 { high } else { low }))
    }

    #[test]
    fn limbs_at_their_bounds_are_multiplied_and_squared_right() {
        for a in corners(0, SUMMED - 1).chain(corners(MASK, SUMMED - 19)) {
            for b in corners(0, SUMMED - 1) {
                assert_eq!(bytes(Sum(a) * Sum(b)), product(value(a), value(b)), "{a:x?} {b:x?}");
            }
            assert_eq!(bytes(Sum(a).square()), product(value(a), value(a)), "{a:x?}");
            assert_eq!(bytes_of_sum(Sum(a)), value(a));
        }
    }

    #[test]
    fn carried_limbs_at_their_bounds_are_added_and_taken_away_right() {
        let max = CARRIED - 1;
        for a in corners(0, max).map(Field).chain(corners(MASK, max).map(Field)) {
            for b in corners(0, max).map(Field) {
                let (x, y) = (value(a.0), value(b.0));
                assert_eq!(bytes_of_sum(a + b), sum(x, y, 1));
                assert_eq!(bytes_of_sum(a - b), sum(x, minus(y), 1));
                assert_eq!(bytes_of_sum(a + a + a - b), sum(minus(y), x, 3));
                assert_eq!(bytes_of_sum(a - (b + b + b)), sum(x, minus(y), 3));
            }
            assert_eq!(bytes(a), value(a.0));
            assert_eq!(bytes(a.negate()), minus(value(a.0)));
            assert_eq!(bytes_of_sum(a.negate_if(true)), minus(value(a.0)));
            assert_eq!(bytes_of_sum(a.negate_if(false)), value(a.0));
        }
    }

    #[test]
    fn every_number_next_to_p_or_2p_is_packed_as_its_rest() {
        let p = [MASK - 18, MASK, MASK, MASK, MASK];
        for delta in 0..40 {
            let above = Field([p[0] + delta, p[1], p[2], p[3], p[4]]);
            assert_eq!(bytes(above), value([delta, 0, 0, 0, 0]));
            let below = Field([p[0] - delta, p[1], p[2], p[3], p[4]]);
            assert_eq!(bytes(below), minus(value([delta, 0, 0, 0, 0])));
        }
        assert!(Field(p).is_zero() && !Field::ONE.is_zero());
        // Not below p, but 255 bits: 2^255 - 1 = 18. The bit above is ignored.
        assert_eq!(bytes(Field::unpack(&[u64::MAX; 4])), value([18, 0, 0, 0, 0]));
    }

    /// By one multiplication for each bit of the exponent.
    fn power(a: Field, exponent: [u64; 4]) -> Field {
        (0..256).rev().fold(Field::ONE, |power, bit| {
            let square = power.square();
            if exponent[bit / 64] >> (bit % 64) & 1 == 1 { square * a } else { square }
        })
    }

    proptest! {
        #[test]
        fn any_numbers_are_multiplied_and_squared_right(a in limbs(SUMMED), b in limbs(SUMMED)) {
            prop_assert_eq!(bytes(Sum(a) * Sum(b)), product(value(a), value(b)));
            prop_assert_eq!(bytes(Sum(a).square()), product(value(a), value(a)));
        }

        #[test]
        fn any_numbers_are_added_and_packed_right(a in field(), b in field()) {
            let (x, y) = (value(a.0), value(b.0));
            prop_assert_eq!(bytes_of_sum(a + b), sum(x, y, 1));
            prop_assert_eq!(bytes_of_sum(a - b), sum(x, minus(y), 1));
            prop_assert_eq!(bytes(a * b), product(x, y));
            prop_assert_eq!(bytes(a.square()), product(x, x));
            prop_assert_eq!(a.is_odd(), x[0] & 1 == 1);
            prop_assert_eq!(a.is_zero(), x == [0; 32]);
            prop_assert_eq!(bytes(Field::unpack(&a.pack())), x);
        }

        #[test]
        fn addition_chains_give_their_powers(a in field()) {
            let p = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];
            let inverse = power(a, [p[0] - 2, p[1], p[2], p[3]]);
            prop_assert_eq!(a.invert().pack(), inverse.pack());
            prop_assert_eq!(a.is_zero(), (a * inverse).pack() != Field::ONE.pack());
            let root = power(a, [u64::MAX - 2, u64::MAX, u64::MAX, u64::MAX >> 4]);
            prop_assert_eq!(a.power_p58().pack(), root.pack());
        }

        #[test]
        fn shared_inversion_is_inversion_whoever_else_is_zero(
            values in proptest::collection::vec(prop_oneof![field(), Just(Field::ZERO)], 0..12),
        ) {
            let inverses = invert_all(&values);
            prop_assert_eq!(inverses.len(), values.len());
            for (value, inverse) in values.iter().zip(inverses) {
                prop_assert_eq!(inverse.pack(), value.invert().pack());
            }
        }
    }
}
