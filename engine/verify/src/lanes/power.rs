//! Powers of elements, the same for all fields: inverses, and what decompression needs of roots.

use super::field::Field;

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
