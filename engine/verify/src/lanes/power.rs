//! Powers of elements, the same for all fields: inverses, and what decompression needs of roots.

use super::field::Field;
use super::vector::{Cpu, Mask};
use super::words::equal;

impl Field {
    /// 1 / a = a^(p - 2); 0 for 0.
    #[inline(always)]
    pub fn invert(self) -> Self {
        let (e250, a11) = power_2_250([self]);
        let [inverse] = multiply_each(square_each(e250, 5), a11);
        inverse
    }

    /// Each a^((p - 5) / 8).
    #[inline(always)]
    pub fn power_p58<const N: usize>(a: [Self; N]) -> [Self; N] {
        let (e250, _) = power_2_250(a);
        multiply_each(square_each(e250, 2), a)
    }
}

/// Each a^(2^n). One square waits for the one before it more than half of its time, so two chains
/// side by side take little longer than one.
#[inline(always)]
fn square_each<const N: usize>(mut a: [Field; N], n: usize) -> [Field; N] {
    for _ in 0..n {
        for a in &mut a {
            *a = a.square().carry();
        }
    }
    a
}

#[inline(always)]
fn multiply_each<const N: usize>(mut a: [Field; N], b: [Field; N]) -> [Field; N] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = a.mul_carry(b);
    }
    a
}

/// Each a^(2^250 - 1) and a^11: the addition chain of Bernstein's curve25519 (2006), 249 squarings.
#[inline(always)]
fn power_2_250<const N: usize>(a: [Field; N]) -> ([Field; N], [Field; N]) {
    let a2 = square_each(a, 1);
    let a9 = multiply_each(square_each(a2, 2), a);
    let a11 = multiply_each(a9, a2);
    let e5 = multiply_each(square_each(a11, 1), a9);
    let e10 = multiply_each(square_each(e5, 5), e5);
    let e20 = multiply_each(square_each(e10, 10), e10);
    let e40 = multiply_each(square_each(e20, 20), e20);
    let e50 = multiply_each(square_each(e40, 10), e10);
    let e100 = multiply_each(square_each(e50, 50), e50);
    let e200 = multiply_each(square_each(e100, 100), e100);
    (multiply_each(square_each(e200, 50), e50), a11)
}

/// The multiplicative inverses of all Z, in their place, by one inversion (Montgomery's trick). No
/// Z of points is 0; one from a damaged table may be, and gets 0, without harm to the others of its
/// lane.
#[inline(always)]
pub(super) fn invert_all(cpu: Cpu, zs: &mut [Field]) {
    let (zero, one) = (Field::zero(cpu), Field::one(cpu));
    let mut products = Vec::with_capacity(zs.len());
    let mut product = running_products(one, zs, &mut products);
    let mut damaged = Vec::new();
    if is_zero(product) != 0 {
        for z in zs.iter_mut() {
            damaged.push(is_zero(*z));
            *z = z.select(is_zero(*z), one);
        }
        product = running_products(one, zs, &mut products);
    }
    let mut inverse = product.invert();
    for (z, before) in zs.iter_mut().zip(products.iter()).rev() {
        let own = inverse.mul_carry(*before);
        inverse = inverse.mul_carry(*z);
        *z = own;
    }
    for (z, damaged) in zs.iter_mut().zip(damaged) {
        *z = z.select(damaged, zero);
    }
}

/// The product of all; `before` gets, for each, the product of those before it.
#[inline(always)]
fn running_products(one: Field, zs: &[Field], before: &mut Vec<Field>) -> Field {
    before.clear();
    let mut product = one;
    for z in zs {
        before.push(product);
        product = product.mul_carry(*z);
    }
    product
}

#[inline(always)]
fn is_zero(field: Field) -> Mask {
    equal(field.pack(), [field.cpu().splat(0); 4])
}

#[cfg(test)]
mod tests {
    use super::super::vector::{LANES, Vector};
    use super::super::words::from_lanes;
    use super::*;
    use crate::model;

    #[test]
    fn a_zero_gets_zero_and_does_not_spoil_the_others() {
        let Some(cpu) = Cpu::detect() else { return };
        let mut random = model::random(9);
        let mut rows = [(); 5].map(|()| [(); LANES].map(|()| [random(), random(), random(), 1]));
        (rows[1][3], rows[4][3], rows[2][6]) = ([0; 4], model::P, [0; 4]);
        let mut zs = rows.map(|rows| Field::unpack(from_lanes(cpu, rows)));
        invert_all(cpu, &mut zs);
        let inverse = [model::P[0] - 2, model::P[1], model::P[2], model::P[3]];
        for (row, z) in rows.into_iter().zip(zs) {
            let words = z.pack().map(Vector::lanes);
            for (lane, z) in row.into_iter().enumerate() {
                let expected = model::power(model::reduce(z), inverse);
                assert_eq!(words.map(|word| word[lane]), expected);
            }
        }
    }
}
