//! For tests: the field modulo p = 2^255 - 19, slow and obvious. 256-bit numbers in four
//! little-endian words; a product is 256 doublings and additions.

/// p.
pub(crate) const P: [u64; 4] = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];

fn is_below(a: [u64; 4], b: [u64; 4]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// a - b, for b at most a.
fn minus(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let mut borrow = false;
    let difference = std::array::from_fn(|i| {
        let (word, first) = a[i].overflowing_sub(b[i]);
        let (word, second) = word.overflowing_sub(u64::from(borrow));
        borrow = first || second;
        word
    });
    assert!(!borrow, "b is at most a");
    difference
}

/// Any 256-bit number modulo p.
pub(crate) fn reduce(mut a: [u64; 4]) -> [u64; 4] {
    while !is_below(a, P) {
        a = minus(a, P);
    }
    a
}

/// a + b, for a and b below p (so that the sum is below 2^256).
pub(crate) fn add(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let mut carry = 0;
    let sum = std::array::from_fn(|i| {
        let wide = u128::from(a[i]) + u128::from(b[i]) + carry;
        carry = wide >> 64;
        crate::scalar::low(wide)
    });
    assert_eq!(carry, 0);
    reduce(sum)
}

/// -a.
pub(crate) fn negate(a: [u64; 4]) -> [u64; 4] {
    reduce(minus(P, a))
}

/// a b.
pub(crate) fn mul(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    (0..256).rev().fold([0; 4], |product, bit| {
        let product = add(product, product);
        if b[bit / 64] >> (bit % 64) & 1 == 1 { add(product, a) } else { product }
    })
}

/// a^e.
pub(crate) fn power(a: [u64; 4], e: [u64; 4]) -> [u64; 4] {
    (0..256).rev().fold([1, 0, 0, 0], |power, bit| {
        let power = mul(power, power);
        if e[bit / 64] >> (bit % 64) & 1 == 1 { mul(power, a) } else { power }
    })
}

/// What limbs of 51 bits (or more: carries that were not taken) stand for.
pub(crate) fn from_limbs(limbs: [u64; 5]) -> [u64; 4] {
    let radix = [1 << 51, 0, 0, 0];
    limbs.iter().rev().fold([0; 4], |sum, limb| add(mul(sum, radix), reduce([*limb, 0, 0, 0])))
}

/// Limbs that are likely to break something: every combination of these for each limb.
pub(crate) fn extreme_limbs(values: &[u64]) -> Vec<[u64; 5]> {
    let n = values.len();
    (0..n.pow(5)).map(|i| [0, 1, 2, 3, 4].map(|k| values[i / n.pow(k) % n])).collect()
}

/// Random words that are the same in each run (xorshift64*, Vigna 2016).
pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
