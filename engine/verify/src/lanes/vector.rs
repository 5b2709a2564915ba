//! Eight 64-bit words side by side in one AVX-512 register, one for each of eight signatures.
//!
//! Owns every vector instruction of the crate, and the argument why each may run: a `Vector` can
//! only be made with a `Cpu` in hand, or from another `Vector`, and a `Cpu` can only be had where
//! the instructions exist. So the functions here are safe to call, and nothing outside needs to
//! know. Knows nothing of fields, curves or hashes.
//!
//! All functions are inlined into callers that are compiled for these instructions
//! (`#[target_feature]` cannot be combined with `#[inline(always)]`); compiled for a plain CPU they
//! would be right, but slow.

#![allow(unsafe_code, reason = "the one home of vector instructions; see the macro `instruction`")]

use crate::table::Entry;
use std::arch::x86_64::{
    __m512i, __mmask8, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_epi64,
    _mm512_and_si512, _mm512_castsi256_si512, _mm512_cmpeq_epi64_mask, _mm512_inserti64x4,
    _mm512_loadu_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_blend_epi64,
    _mm512_movepi64_mask, _mm512_or_si512, _mm512_ror_epi64, _mm512_set1_epi64, _mm512_setr_epi64,
    _mm512_shrdi_epi64, _mm512_shrdv_epi64, _mm512_shuffle_epi8, _mm512_shuffle_i64x2,
    _mm512_slli_epi64, _mm512_srai_epi64, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi64,
    _mm512_ternarylogic_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

/// Proof that this CPU, and the operating system, have the instructions used here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu(());

impl Cpu {
    /// The proof, where it holds.
    pub fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vbmi2");
        all.then_some(Self(()))
    }

    /// The same word in all lanes.
    #[inline(always)]
    pub fn splat(self, word: u64) -> Vector {
        instruction!(_mm512_set1_epi64(word.cast_signed()))
    }

    /// 64 bytes as eight words, the first byte of each lowest.
    #[inline(always)]
    pub fn load_bytes(self, bytes: &[u8; 8 * LANES]) -> Vector {
        instruction!(_mm512_loadu_si512(bytes.as_ptr().cast()))
    }

    /// A word for each lane.
    #[inline(always)]
    pub fn load(self, words: &[u64; LANES]) -> Vector {
        instruction!(_mm512_loadu_si512(words.as_ptr().cast()))
    }
}

/// How many signatures stand side by side.
pub(super) const LANES: usize = 8;

/// One bit for each lane, lane 0 lowest.
pub(super) type Mask = __mmask8;

/// Eight words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector(__m512i);

/// One instruction on vectors.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: the instruction needs a CPU that has it. Each caller was given a `Cpu` or a
        // `Vector`, neither of which can be had unless `Cpu::detect` found AVX-512 F, BW, DQ, IFMA
        // and VBMI2, to which all instructions of this file belong. Where it takes a pointer, the
        // caller made it from a reference to at least as many bytes as are read or written, with no
        // demand on alignment.
        unsafe { Vector($call) }
    };
}
use instruction;

/// The same for instructions whose result is no vector.
macro_rules! plain_instruction {
    ($call:expr) => {
        // SAFETY: as for `instruction`.
        unsafe { $call }
    };
}

impl Vector {
    /// A vector is proof of the CPU that made it.
    #[inline(always)]
    pub fn cpu(self) -> Cpu {
        Cpu(())
    }

    /// The word of each lane.
    #[inline(always)]
    pub fn lanes(self) -> [u64; LANES] {
        let mut words = [0; LANES];
        plain_instruction!(_mm512_storeu_si512(words.as_mut_ptr().cast(), self.0));
        words
    }

    /// a + b, modulo 2^64.
    #[inline(always)]
    pub fn add(self, b: Self) -> Self {
        instruction!(_mm512_add_epi64(self.0, b.0))
    }

    /// a - b, modulo 2^64.
    #[inline(always)]
    pub fn sub(self, b: Self) -> Self {
        instruction!(_mm512_sub_epi64(self.0, b.0))
    }

    /// Bits in both.
    #[inline(always)]
    pub fn and(self, b: Self) -> Self {
        instruction!(_mm512_and_si512(self.0, b.0))
    }

    /// Bits in either.
    #[inline(always)]
    pub fn or(self, b: Self) -> Self {
        instruction!(_mm512_or_si512(self.0, b.0))
    }

    /// Bits in one of both.
    #[inline(always)]
    pub fn xor(self, b: Self) -> Self {
        instruction!(_mm512_xor_si512(self.0, b.0))
    }

    /// Any function of three bits; bit 4a + 2b + c of `TABLE` is its value.
    #[inline(always)]
    pub fn ternary<const TABLE: i32>(self, b: Self, c: Self) -> Self {
        instruction!(_mm512_ternarylogic_epi64::<TABLE>(self.0, b.0, c.0))
    }

    /// Shifted down, zeros from above.
    #[inline(always)]
    pub fn shr<const BITS: u32>(self) -> Self {
        instruction!(_mm512_srli_epi64::<BITS>(self.0))
    }

    /// Shifted down, the sign from above.
    #[inline(always)]
    pub fn shr_signed<const BITS: u32>(self) -> Self {
        instruction!(_mm512_srai_epi64::<BITS>(self.0))
    }

    /// Shifted up.
    #[inline(always)]
    pub fn shl<const BITS: u32>(self) -> Self {
        instruction!(_mm512_slli_epi64::<BITS>(self.0))
    }

    /// Rotated down.
    #[inline(always)]
    pub fn rotate<const BITS: i32>(self) -> Self {
        instruction!(_mm512_ror_epi64::<BITS>(self.0))
    }

    /// The low word of (high, self) shifted down, by fewer than 64 bits.
    #[inline(always)]
    pub fn shr_with<const BITS: i32>(self, high: Self) -> Self {
        instruction!(_mm512_shrdi_epi64::<BITS>(self.0, high.0))
    }

    /// The same by a number of bits that is not known before; lanes may differ.
    #[inline(always)]
    pub fn shr_by(self, high: Self, bits: Self) -> Self {
        instruction!(_mm512_shrdv_epi64(self.0, high.0, bits.0))
    }

    /// self + the low 52 bits of a * b; only the low 52 bits of a and b count.
    #[inline(always)]
    pub fn add_low(self, a: Self, b: Self) -> Self {
        instruction!(_mm512_madd52lo_epu64(self.0, a.0, b.0))
    }

    /// self + the high 52 bits of the 104-bit a * b; only the low 52 bits of a and b count.
    #[inline(always)]
    pub fn add_high(self, a: Self, b: Self) -> Self {
        instruction!(_mm512_madd52hi_epu64(self.0, a.0, b.0))
    }

    /// The lanes of b where the mask is set, else those of self.
    #[inline(always)]
    pub fn blend(self, mask: Mask, b: Self) -> Self {
        instruction!(_mm512_mask_blend_epi64(mask, self.0, b.0))
    }

    /// Where both are equal.
    #[inline(always)]
    pub fn equal(self, b: Self) -> Mask {
        plain_instruction!(_mm512_cmpeq_epi64_mask(self.0, b.0))
    }

    /// Where the highest bit is set.
    #[inline(always)]
    pub fn negative(self) -> Mask {
        plain_instruction!(_mm512_movepi64_mask(self.0))
    }

    /// The bytes of each word in reverse order.
    #[inline(always)]
    pub fn swap_bytes(self) -> Self {
        const UPPER: i64 = 0x0809_0a0b_0c0d_0e0f;
        const LOWER: i64 = 0x0001_0203_0405_0607;
        let order =
            instruction!(_mm512_setr_epi64(LOWER, UPPER, LOWER, UPPER, LOWER, UPPER, LOWER, UPPER));
        instruction!(_mm512_shuffle_epi8(self.0, order.0))
    }

    #[inline(always)]
    fn unpack_low(self, b: Self) -> Self {
        instruction!(_mm512_unpacklo_epi64(self.0, b.0))
    }

    #[inline(always)]
    fn unpack_high(self, b: Self) -> Self {
        instruction!(_mm512_unpackhi_epi64(self.0, b.0))
    }

    /// Pairs of words 0 and 2 of both, b's behind.
    #[inline(always)]
    fn even_pairs(self, b: Self) -> Self {
        instruction!(_mm512_shuffle_i64x2::<0x88>(self.0, b.0))
    }

    /// Pairs of words 1 and 3 of both.
    #[inline(always)]
    fn odd_pairs(self, b: Self) -> Self {
        instruction!(_mm512_shuffle_i64x2::<0xdd>(self.0, b.0))
    }
}

/// Word i of row j becomes word j of row i.
#[inline(always)]
pub(super) fn transpose(r: [Vector; 8]) -> [Vector; 8] {
    let (a0, a1) = (r[0].unpack_low(r[1]), r[0].unpack_high(r[1]));
    let (a2, a3) = (r[2].unpack_low(r[3]), r[2].unpack_high(r[3]));
    let (a4, a5) = (r[4].unpack_low(r[5]), r[4].unpack_high(r[5]));
    let (a6, a7) = (r[6].unpack_low(r[7]), r[6].unpack_high(r[7]));
    // Even pairs of the first words are their pairs 0 and 2, of which the even ones again are 0.
    let (b0, b4) = (a0.even_pairs(a2), a4.even_pairs(a6));
    let (b2, b6) = (a0.odd_pairs(a2), a4.odd_pairs(a6));
    let (b1, b5) = (a1.even_pairs(a3), a5.even_pairs(a7));
    let (b3, b7) = (a1.odd_pairs(a3), a5.odd_pairs(a7));
    [
        b0.even_pairs(b4),
        b1.even_pairs(b5),
        b2.even_pairs(b6),
        b3.even_pairs(b7),
        b0.odd_pairs(b4),
        b1.odd_pairs(b5),
        b2.odd_pairs(b6),
        b3.odd_pairs(b7),
    ]
}

/// Eight entries, one a lane, as the words of (y + x, y - x, 2dxy) side by side.
#[inline(always)]
pub(super) fn load_entries(cpu: Cpu, entries: [&Entry; LANES]) -> [[Vector; 4]; 3] {
    let e = entries;
    let sums = transpose([
        cpu.load(e[0].sums()),
        cpu.load(e[1].sums()),
        cpu.load(e[2].sums()),
        cpu.load(e[3].sums()),
        cpu.load(e[4].sums()),
        cpu.load(e[5].sums()),
        cpu.load(e[6].sums()),
        cpu.load(e[7].sums()),
    ]);
    let (r0, r1) = (two_rows(cpu, e[0], e[2]), two_rows(cpu, e[1], e[3]));
    let (r2, r3) = (two_rows(cpu, e[4], e[6]), two_rows(cpu, e[5], e[7]));
    let (a0, a1) = (r0.unpack_low(r1), r0.unpack_high(r1));
    let (a2, a3) = (r2.unpack_low(r3), r2.unpack_high(r3));
    [
        [sums[0], sums[1], sums[2], sums[3]],
        [sums[4], sums[5], sums[6], sums[7]],
        [a0.even_pairs(a2), a1.even_pairs(a3), a0.odd_pairs(a2), a1.odd_pairs(a3)],
    ]
}

/// The four words of 2dxy of two entries, one after the other.
#[inline(always)]
fn two_rows(_: Cpu, low: &Entry, high: &Entry) -> Vector {
    let (low, high) = (low.xy2d.as_ptr().cast(), high.xy2d.as_ptr().cast());
    instruction!(_mm512_inserti64x4::<1>(
        _mm512_castsi256_si512(_mm256_loadu_si256(low)),
        _mm256_loadu_si256(high)
    ))
}

/// Asks for an entry that will be needed soon; it lies in two cache lines.
#[inline(always)]
pub(super) fn prefetch(_: Cpu, entry: &Entry) {
    let first = entry.sums().as_ptr().cast();
    let last = entry.xy2d.last().expect("four words");
    plain_instruction!({
        _mm_prefetch::<_MM_HINT_T0>(first);
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(last).cast());
    });
}

#[cfg(test)]
mod tests;
