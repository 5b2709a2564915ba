//! Makes signatures, proper and forged, with full control of the nonce, and the encodings that are
//! hard on arithmetic. Never asks the crate under test for anything.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};
use tallystick_verify::Verdict;

/// A signature to check, with all that belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    pub key: [u8; 32],
    pub message: Vec<u8>,
    pub signature: [u8; 64],
}

impl Case {
    pub fn new(key: [u8; 32], message: &[u8], r: [u8; 32], s: [u8; 32]) -> Self {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&s);
        Self { key, message: message.to_vec(), signature }
    }

    pub fn r(&self) -> [u8; 32] {
        self.signature[..32].try_into().expect("32 of 64 bytes")
    }

    pub fn s(&self) -> [u8; 32] {
        self.signature[32..].try_into().expect("32 of 64 bytes")
    }

    pub fn with_r(&self, r: [u8; 32]) -> Self {
        Self::new(self.key, &self.message, r, self.s())
    }

    pub fn with_s(&self, s: [u8; 32]) -> Self {
        Self::new(self.key, &self.message, self.r(), s)
    }

    /// What has to be typed to see it again.
    pub fn to_hex(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (key, message) = (hex(&self.key), hex(&self.message));
        format!("key={key} message={message} signature={}", hex(&self.signature))
    }

    /// The predicate itself: `verify_strict`, called here and not by the crate under test.
    pub fn dalek(&self) -> Verdict {
        let strict = VerifyingKey::from_bytes(&self.key).is_ok_and(|key| {
            key.verify_strict(&self.message, &Signature::from_bytes(&self.signature)).is_ok()
        });
        if strict { Verdict::Valid } else { Verdict::Bad }
    }
}

/// k of RFC 8032.
pub fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// A secret scalar and its key. Unlike a proper signer it signs with any nonce it is told.
#[derive(Clone)]
pub struct Signer {
    pub scalar: Scalar,
    pub key: [u8; 32],
}

impl Signer {
    pub fn from_scalar(scalar: Scalar) -> Self {
        Self { scalar, key: EdwardsPoint::mul_base(&scalar).compress().0 }
    }

    pub fn numbered(number: u64) -> Self {
        let hash = Sha512::new().chain_update(b"signer").chain_update(number.to_le_bytes());
        Self::from_scalar(Scalar::from_bytes_mod_order_wide(&hash.finalize().into()))
    }

    /// The nonce that `sign` takes for a message.
    pub fn nonce(&self, message: &[u8]) -> Scalar {
        let hash = Sha512::new().chain_update(self.scalar.as_bytes()).chain_update(message);
        Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
    }

    pub fn sign(&self, message: &[u8]) -> Case {
        self.sign_with(self.nonce(message), message)
    }

    /// R = rB: valid unless r is 0.
    pub fn sign_with(&self, r: Scalar, message: &[u8]) -> Case {
        self.answer(r, EdwardsPoint::mul_base(&r).compress().0, message)
    }

    /// The s that makes sB - kA = rB for any 32 bytes as R: valid only if they encode rB.
    pub fn answer(&self, r: Scalar, big_r: [u8; 32], message: &[u8]) -> Case {
        let s = r + challenge(&big_r, &self.key, message) * self.scalar;
        Case::new(self.key, message, big_r, s.to_bytes())
    }

    /// R = rB + T, with k to match: what a signer can do to split verifiers that clear the cofactor
    /// from those that do not.
    pub fn sign_mixed(&self, r: Scalar, torsion: &EdwardsPoint, message: &[u8]) -> Case {
        self.answer(r, (EdwardsPoint::mul_base(&r) + torsion).compress().0, message)
    }
}

/// Keys whose discrete logarithm is small, near the order, or a power of two: sums of multiples of
/// A and B then meet equal and opposite points, which incomplete formulas get wrong.
pub fn extreme_scalars() -> Vec<Scalar> {
    let mut scalars: Vec<Scalar> = (1_u64..=9)
        .chain([15, 16, 17, 31, 32, 33, 63, 64, 65, 511, 512])
        .map(Scalar::from)
        .collect();
    let two = Scalar::from(2_u64);
    let power = |n: u32| (0..n).fold(Scalar::ONE, |power, _| power * two);
    scalars.extend([16, 18, 26, 32, 51, 52, 64, 102, 104, 128, 192, 240, 250, 251].map(power));
    scalars.extend([3_u64, 5, 7].map(|n| Scalar::from(n).invert()));
    scalars.extend([1, 4, 6, 10, 12].map(|n| power(n).invert()));
    let negated: Vec<Scalar> = scalars.iter().map(|scalar| -scalar).collect();
    scalars.extend(negated);
    scalars
}

/// A 256-bit number as little-endian words; sums wrap.
type Words = [u64; 4];

pub const P: Words = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, u64::MAX >> 1];
pub const L: Words = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 1 << 60];

pub fn words(bytes: &[u8; 32]) -> Words {
    let mut words = [0; 4];
    for (word, eight) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*eight);
    }
    words
}

pub fn bytes(words: Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (word, eight) in words.iter().zip(bytes.as_chunks_mut().0) {
        *eight = word.to_le_bytes();
    }
    bytes
}

pub fn add(a: Words, b: Words) -> Words {
    let mut carry = false;
    let mut sum = [0; 4];
    for i in 0..4 {
        let (part, first) = a[i].overflowing_add(b[i]);
        let (word, second) = part.overflowing_add(u64::from(carry));
        sum[i] = word;
        carry = first || second;
    }
    sum
}

pub fn minus(a: Words, b: Words) -> Words {
    add(add(a, b.map(|word| !word)), [1, 0, 0, 0])
}

fn times(a: Words, n: u64) -> Words {
    (0..n).fold([0; 4], |sum, _| add(sum, a))
}

/// One bit alone.
fn bit(n: usize) -> Words {
    let mut words = [0; 4];
    words[n / 64] = 1 << (n % 64);
    words
}

/// 256-bit numbers on which carries, borrows and comparisons with p and L turn: near 0, p, 2p,
/// 2^255 and the multiples of L, and full or empty limbs of 51, 52 and 64 bits.
pub fn edges() -> Vec<[u8; 32]> {
    let mut edges = Vec::new();
    let mut near = |center: Words, reach: u64| {
        for n in 0..=reach {
            edges.push(bytes(add(center, [n, 0, 0, 0])));
            edges.push(bytes(minus(center, [n, 0, 0, 0])));
        }
    };
    near([0; 4], 20);
    near(P, 20);
    near(bit(255), 20);
    near(add(P, bit(255)), 20);
    (1..16).for_each(|n| near(times(L, n), 2));
    for limb in [26, 51, 52, 64] {
        (1..256_usize.div_ceil(limb)).for_each(|i| near(bit(limb * i), 1));
    }
    for top in [250, 251, 252, 253, 254] {
        near(bit(top), 1);
    }
    for limb in [51, 52, 64] {
        for i in 0..256_usize.div_ceil(limb) {
            let end = if limb * (i + 1) < 256 { bit(limb * (i + 1)) } else { [0; 4] };
            let full = minus(end, bit(limb * i));
            edges.extend([bytes(full), bytes(full.map(|word| !word))]);
        }
    }
    for byte in [0x55, 0xaa, 0x0f, 0xf0, 0x33, 0x88, 0x77] {
        edges.push([byte; 32]);
    }
    edges
}

/// All encodings of the eight points of small order that some decoder accepts: y or y + p, and with
/// the sign of x = 0 set.
pub fn small_order() -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    for point in &EIGHT_TORSION {
        let canonical = words(&point.compress().0);
        let y = [canonical[0], canonical[1], canonical[2], canonical[3] & !(1 << 63)];
        let mut ys = vec![y];
        if y[0] < 19 && y[1..] == [0, 0, 0] {
            ys.push(add(y, P));
        }
        for y in ys {
            found.extend([bytes(y), bytes(add(y, bit(255)))]);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// y from p to 2^255 - 1, with either sign: the encodings that RFC 8032 forbids.
pub fn non_canonical() -> Vec<[u8; 32]> {
    (0..19)
        .map(|n| add(P, [n, 0, 0, 0]))
        .flat_map(|y| [bytes(y), bytes(add(y, bit(255)))])
        .collect()
}

/// s + nL, wrapping.
pub fn plus_order(s: [u8; 32], n: u64) -> [u8; 32] {
    bytes(add(words(&s), times(L, n)))
}
