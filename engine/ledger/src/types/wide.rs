//! BLAKE3 of many short messages of one length, side by side: lane for lane the same words of
//! different messages, in registers of 512 or 256 bits.
//!
//! Owns nothing but speed: what comes out is what the crate `blake3` gives for each message by
//! itself, and where the CPU has no such registers, that crate is asked. It hashes the pieces of
//! one long message side by side, and has no way to do so with many short ones, which is what
//! channel ids, leaves and nodes are (`docs/adr/0048`). Names and numbers are those of the BLAKE3
//! paper, section 2.

use blake3::hazmat::{ContextKey, HasherExt as _};

/// Bytes of the longest message: one chunk of BLAKE3, which has no tree.
const MESSAGE_MAX: usize = 1_024;
const BLOCK: usize = 64;

const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 1 << 1;
const ROOT: u32 = 1 << 3;
const DERIVE_KEY_MATERIAL: u32 = 1 << 6;

const ROUNDS: usize = 7;
/// From one round to the next, which word of the message goes where.
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/// The four words that are mixed together: columns first, then diagonals.
const MIXED: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

/// Registers that hold one word of several messages.
trait Registers: Copy {
    /// One word of each message.
    type Words: Copy;
    /// How many messages.
    const LANES: usize;

    fn all(self, word: u32) -> Self::Words;
    fn load(self, words: &[u32]) -> Self::Words;
    fn store(self, from: Self::Words, words: &mut [u32]);
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Each word turned right by 16, 12, 8 and 7 bits.
    fn turn_16(self, a: Self::Words) -> Self::Words;
    fn turn_12(self, a: Self::Words) -> Self::Words;
    fn turn_8(self, a: Self::Words) -> Self::Words;
    fn turn_7(self, a: Self::Words) -> Self::Words;
}

/// The most lanes of any.
const LANES_MAX: usize = 16;

/// The function G of BLAKE3 on one column or diagonal.
#[inline(always)]
fn mix<R: Registers>(r: R, v: &mut [R::Words; 16], at: usize, x: R::Words, y: R::Words) {
    let [a, b, c, d] = MIXED[at];
    v[a] = r.add(r.add(v[a], v[b]), x);
    v[d] = r.turn_16(r.xor(v[d], v[a]));
    v[c] = r.add(v[c], v[d]);
    v[b] = r.turn_12(r.xor(v[b], v[c]));
    v[a] = r.add(r.add(v[a], v[b]), y);
    v[d] = r.turn_8(r.xor(v[d], v[a]));
    v[c] = r.add(v[c], v[d]);
    v[b] = r.turn_7(r.xor(v[b], v[c]));
}

#[inline(always)]
fn round<R: Registers>(r: R, v: &mut [R::Words; 16], m: &mut [R::Words; 16]) {
    mix(r, v, 0, m[0], m[1]);
    mix(r, v, 1, m[2], m[3]);
    mix(r, v, 2, m[4], m[5]);
    mix(r, v, 3, m[6], m[7]);
    mix(r, v, 4, m[8], m[9]);
    mix(r, v, 5, m[10], m[11]);
    mix(r, v, 6, m[12], m[13]);
    mix(r, v, 7, m[14], m[15]);
    // Only names move: the rounds are unrolled.
    let before = *m;
    *m = PERMUTATION.map(|from| before[from]);
}

/// The compression function, of which only the chaining value is wanted.
#[inline(always)]
fn compress<R: Registers>(
    r: R,
    h: &mut [R::Words; 8],
    mut m: [R::Words; 16],
    length: u32,
    flags: u32,
) {
    let [iv0, iv1, iv2, iv3, ..] = IV.map(|word| r.all(word));
    let [h0, h1, h2, h3, h4, h5, h6, h7] = *h;
    // The counter is that of the first chunk, of which there is one.
    let (zero, length, flags) = (r.all(0), r.all(length), r.all(flags));
    let mut v = [h0, h1, h2, h3, h4, h5, h6, h7, iv0, iv1, iv2, iv3, zero, zero, length, flags];
    const { assert!(ROUNDS == 7) };
    round(r, &mut v, &mut m);
    round(r, &mut v, &mut m);
    round(r, &mut v, &mut m);
    round(r, &mut v, &mut m);
    round(r, &mut v, &mut m);
    round(r, &mut v, &mut m);
    round(r, &mut v, &mut m);
    *h = std::array::from_fn(|word| r.xor(v[word], v[word + 8]));
}

/// Digests of as many messages as there are lanes.
#[inline(always)]
fn digests<R: Registers, const L: usize>(
    r: R,
    key: &[u32; 8],
    messages: &[[u8; L]],
    out: &mut Vec<[u8; 32]>,
) {
    const { assert!(0 < L && L <= MESSAGE_MAX, "a message is one chunk") };
    let mut h = key.map(|word| r.all(word));
    for start in (0..L).step_by(BLOCK) {
        let end = L.min(start + BLOCK);
        let mut words = [[0; LANES_MAX]; 16];
        for (lane, message) in messages.iter().enumerate() {
            let mut block = [0; BLOCK];
            block[..end - start].copy_from_slice(&message[start..end]);
            for (words, word) in words.iter_mut().zip(block.as_chunks().0) {
                words[lane] = u32::from_le_bytes(*word);
            }
        }
        let first = if start == 0 { CHUNK_START } else { 0 };
        let last = if end == L { CHUNK_END | ROOT } else { 0 };
        let length = u32::try_from(end - start).expect("a block is short");
        let m = std::array::from_fn(|word| r.load(&words[word]));
        compress(r, &mut h, m, length, DERIVE_KEY_MATERIAL | first | last);
    }
    let mut words = [[0; LANES_MAX]; 8];
    words.iter_mut().zip(h).for_each(|(words, from)| r.store(from, words));
    for lane in 0..messages.len() {
        let mut digest = [0; 32];
        for (bytes, words) in digest.as_chunks_mut().0.iter_mut().zip(&words) {
            *bytes = words[lane].to_le_bytes();
        }
        out.push(digest);
    }
}

/// Appends the digest of each message under a context's key.
pub(super) fn hash_all<const L: usize>(
    key: &ContextKey,
    messages: &[[u8; L]],
    out: &mut Vec<[u8; 32]>,
) {
    out.reserve(messages.len());
    let alone = machine::hash_wide(key, messages, out);
    for message in alone {
        let mut hasher = blake3::Hasher::new_from_context_key(key);
        out.push(*hasher.update(message).finalize().as_bytes());
    }
}

/// A key in words.
fn words_of(key: &ContextKey) -> [u32; 8] {
    let mut words = [0; 8];
    let bytes = key.as_chunks().0;
    words.iter_mut().zip(bytes).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
    words
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::{ContextKey, Registers, digests, words_of};
    use pulp::x86::{V3, V4};
    use pulp::{NullaryFnOnce, Simd};
    use std::arch::x86_64::{__m256i, __m512i};

    /// So few are hashed one by one in the same time.
    const WORTH_IT: usize = 3;

    impl Registers for V4 {
        type Words = __m512i;
        const LANES: usize = 16;

        #[inline(always)]
        fn all(self, word: u32) -> __m512i {
            pulp::cast([word; 16])
        }

        #[inline(always)]
        fn load(self, words: &[u32]) -> __m512i {
            let words: [u32; 16] = *words.first_chunk().expect("a word of each lane");
            pulp::cast(words)
        }

        #[inline(always)]
        fn store(self, from: __m512i, words: &mut [u32]) {
            let from: [u32; 16] = pulp::cast(from);
            words.copy_from_slice(&from);
        }

        #[inline(always)]
        fn add(self, a: __m512i, b: __m512i) -> __m512i {
            self.avx512f._mm512_add_epi32(a, b)
        }

        #[inline(always)]
        fn xor(self, a: __m512i, b: __m512i) -> __m512i {
            self.avx512f._mm512_xor_si512(a, b)
        }

        #[inline(always)]
        fn turn_16(self, a: __m512i) -> __m512i {
            self.avx512f._mm512_ror_epi32::<16>(a)
        }

        #[inline(always)]
        fn turn_12(self, a: __m512i) -> __m512i {
            self.avx512f._mm512_ror_epi32::<12>(a)
        }

        #[inline(always)]
        fn turn_8(self, a: __m512i) -> __m512i {
            self.avx512f._mm512_ror_epi32::<8>(a)
        }

        #[inline(always)]
        fn turn_7(self, a: __m512i) -> __m512i {
            self.avx512f._mm512_ror_epi32::<7>(a)
        }
    }

    impl Registers for V3 {
        type Words = __m256i;
        const LANES: usize = 8;

        #[inline(always)]
        fn all(self, word: u32) -> __m256i {
            pulp::cast([word; 8])
        }

        #[inline(always)]
        fn load(self, words: &[u32]) -> __m256i {
            let words: [u32; 8] = *words.first_chunk().expect("a word of each lane");
            pulp::cast(words)
        }

        #[inline(always)]
        fn store(self, from: __m256i, words: &mut [u32]) {
            let from: [u32; 8] = pulp::cast(from);
            words[..8].copy_from_slice(&from);
        }

        #[inline(always)]
        fn add(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_add_epi32(a, b)
        }

        #[inline(always)]
        fn xor(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_xor_si256(a, b)
        }

        #[inline(always)]
        fn turn_16(self, a: __m256i) -> __m256i {
            turn::<16, 16>(self, a)
        }

        #[inline(always)]
        fn turn_12(self, a: __m256i) -> __m256i {
            turn::<12, 20>(self, a)
        }

        #[inline(always)]
        fn turn_8(self, a: __m256i) -> __m256i {
            turn::<8, 24>(self, a)
        }

        #[inline(always)]
        fn turn_7(self, a: __m256i) -> __m256i {
            turn::<7, 25>(self, a)
        }
    }

    /// There is no such instruction with 256 bits.
    #[inline(always)]
    fn turn<const RIGHT: i32, const LEFT: i32>(v3: V3, a: __m256i) -> __m256i {
        let right = v3.avx2._mm256_srli_epi32::<RIGHT>(a);
        v3.avx2._mm256_or_si256(right, v3.avx2._mm256_slli_epi32::<LEFT>(a))
    }

    struct Job<'a, R, const L: usize> {
        registers: R,
        key: &'a [u32; 8],
        messages: &'a [[u8; L]],
        out: &'a mut Vec<[u8; 32]>,
    }

    impl<R: Registers, const L: usize> NullaryFnOnce for Job<'_, R, L> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            for messages in self.messages.chunks(R::LANES) {
                digests(self.registers, self.key, messages, self.out);
            }
        }
    }

    /// Hashes what is worth it side by side; gives back the rest.
    pub(super) fn hash_wide<'a, const L: usize>(
        key: &ContextKey,
        messages: &'a [[u8; L]],
        out: &mut Vec<[u8; 32]>,
    ) -> &'a [[u8; L]] {
        if let Some(v4) = V4::try_new() {
            hash_with(v4, key, messages, out)
        } else if let Some(v3) = V3::try_new() {
            hash_with(v3, key, messages, out)
        } else {
            messages
        }
    }

    pub(super) fn hash_with<'a, R: Registers + Simd, const L: usize>(
        registers: R,
        key: &ContextKey,
        messages: &'a [[u8; L]],
        out: &mut Vec<[u8; 32]>,
    ) -> &'a [[u8; L]] {
        let left = messages.len() % R::LANES;
        let side_by_side = messages.len() - if left < WORTH_IT { left } else { 0 };
        let (messages, rest) = messages.split_at(side_by_side);
        registers.vectorize(Job { registers, key: &words_of(key), messages, out });
        rest
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod machine {
    use super::ContextKey;

    /// Leaves all to the crate.
    pub(super) fn hash_wide<'a, const L: usize>(
        _key: &ContextKey,
        messages: &'a [[u8; L]],
        _out: &mut Vec<[u8; 32]>,
    ) -> &'a [[u8; L]] {
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blake3::hazmat::hash_derive_key_context;
    use proptest::prelude::*;

    /// One by one, by the crate.
    fn slow<const L: usize>(key: &ContextKey, messages: &[[u8; L]]) -> Vec<[u8; 32]> {
        let one = |message: &[u8; L]| {
            *blake3::Hasher::new_from_context_key(key).update(message).finalize().as_bytes()
        };
        messages.iter().map(one).collect()
    }

    /// With all registers that this machine has, and as it chooses.
    fn compare<const L: usize>(key: &ContextKey, bytes: &[u8], count: usize) {
        let mut bytes = bytes.iter().copied().cycle();
        let messages: Vec<[u8; L]> =
            (0..count).map(|_| std::array::from_fn(|_| bytes.next().unwrap())).collect();
        let wanted = slow(key, &messages);
        let mut found = vec![[9; 32]];
        hash_all(key, &messages, &mut found);
        assert_eq!(found[0], [9; 32], "what was there stays");
        assert_eq!(found[1..], wanted, "{count} of {L}");
        #[cfg(target_arch = "x86_64")]
        {
            use super::machine::hash_with;
            let mut with = |side_by_side: &mut dyn FnMut(&mut Vec<[u8; 32]>) -> usize| {
                found.clear();
                let rest = side_by_side(&mut found);
                assert_eq!(found, wanted[..count - rest], "{count} of {L}");
            };
            if let Some(v3) = pulp::x86::V3::try_new() {
                with(&mut |out| hash_with(v3, key, &messages, out).len());
            }
            if let Some(v4) = pulp::x86::V4::try_new() {
                with(&mut |out| hash_with(v4, key, &messages, out).len());
            }
        }
    }

    proptest! {
        /// Of less than a block, of whole blocks, of one byte more; of any number of messages.
        #[test]
        fn what_is_hashed_side_by_side_is_what_each_gives_alone(
            context in "[a-z]{1,9}",
            bytes in prop::collection::vec(any::<u8>(), 1..3_000),
            count in 0usize..70,
        ) {
            let key = hash_derive_key_context(&context);
            compare::<1>(&key, &bytes, count);
            compare::<40>(&key, &bytes, count);
            compare::<63>(&key, &bytes, count);
            compare::<64>(&key, &bytes, count);
            compare::<65>(&key, &bytes, count);
            compare::<116>(&key, &bytes, count);
            compare::<125>(&key, &bytes, count);
            compare::<128>(&key, &bytes, count);
            compare::<176>(&key, &bytes, count);
            compare::<1_024>(&key, &bytes, count);
        }
    }
}
