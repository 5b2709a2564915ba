//! Eight 64-bit words side by side in two AVX2 registers, one for each of eight signatures: what
//! `lanes/vector.rs` is, where registers have half the width.
//!
//! Owns every vector instruction of the backend, and the same argument why each may run: a `Vector`
//! can only be made with a `Cpu` in hand, or from another `Vector`, and a `Cpu` can only be had
//! where the instructions exist. What AVX2 lacks (signed shifts, rotations, functions of three
//! bits, masks, 52-bit products) is made of what it has.
//!
//! No closure handles vectors, here and in what is compiled against this: a closure is a function
//! without these instructions, so each of its instructions may end as a call.

#![allow(unsafe_code, reason = "a home of vector instructions; see the macro `instruction`")]

use crate::table::Entry;
use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_cvtsi64_si128, _mm_prefetch, _mm256_add_epi64, _mm256_and_si256,
    _mm256_blendv_epi8, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_loadu_si256,
    _mm256_movemask_pd, _mm256_mul_epu32, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi64x, _mm256_setr_epi64x, _mm256_shuffle_epi8, _mm256_sll_epi64,
    _mm256_sllv_epi64, _mm256_srl_epi64, _mm256_srlv_epi64, _mm256_storeu_si256, _mm256_sub_epi64,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

/// Proof that this CPU, and the operating system, have the instructions used here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu(());

impl Cpu {
    /// The proof, where it holds.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// The same word in all lanes.
    #[inline(always)]
    pub fn splat(self, word: u64) -> Vector {
        let half = instruction!(_mm256_set1_epi64x(word.cast_signed()));
        Vector([half, half])
    }

    /// 64 bytes as eight words, the first byte of each lowest.
    #[inline(always)]
    pub fn load_bytes(self, bytes: &[u8; 8 * LANES]) -> Vector {
        let (halves, _) = bytes.as_chunks::<32>();
        let low = instruction!(_mm256_loadu_si256(halves[0].as_ptr().cast()));
        Vector([low, instruction!(_mm256_loadu_si256(halves[1].as_ptr().cast()))])
    }

    /// A word for each lane.
    #[inline(always)]
    pub fn load(self, words: &[u64; LANES]) -> Vector {
        let [low, high] = halves(words);
        Vector([self.load_half(low), self.load_half(high)])
    }

    #[inline(always)]
    fn load_half(self, words: &[u64; 4]) -> Half {
        instruction!(_mm256_loadu_si256(words.as_ptr().cast()))
    }
}

/// How many signatures stand side by side.
pub(super) const LANES: usize = 8;

/// One bit for each lane, lane 0 lowest.
pub(super) type Mask = u8;

/// Four words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Half(__m256i);

/// Eight words: those of lanes 0 to 3, those of lanes 4 to 7.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector(pub [Half; 2]);

/// One instruction on halves of vectors.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: the instruction needs a CPU that has it. Each caller was given a `Cpu`, a `Half`
        // or a `Vector`, none of which can be had unless `Cpu::detect` found AVX2, to which (with
        // AVX and SSE2, which it includes) all instructions of this file belong. Where it takes a
        // pointer, the caller made it from a reference to at least as many bytes as are read or
        // written, with no demand on alignment.
        unsafe { Half($call) }
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

/// The same, with all of its bits, as far as the compiler knows. Of a product of 32 bits of which
/// only the low half counts it makes one of 64 bits, which takes five instructions.
#[target_feature(enable = "avx2")]
#[inline]
fn whole(mut product: __m256i) -> __m256i {
    plain_instruction!(std::arch::asm!(
        "/* {0} */",
        inout(ymm_reg) product,
        options(pure, nomem, nostack, preserves_flags)
    ));
    product
}

#[inline(always)]
fn halves<T>(eight: &[T; LANES]) -> [&[T; 4]; 2] {
    let (fours, _) = eight.as_chunks::<4>();
    [&fours[0], &fours[1]]
}

impl Half {
    /// Nothing but zeros.
    #[inline(always)]
    pub fn zero(self) -> Self {
        instruction!(_mm256_xor_si256(self.0, self.0))
    }

    /// The same word in all lanes, on the CPU that made this one.
    #[inline(always)]
    pub fn splat(self, word: u64) -> Self {
        instruction!(_mm256_set1_epi64x(word.cast_signed()))
    }

    /// a + b, modulo 2^64.
    #[inline(always)]
    pub fn add(self, b: Self) -> Self {
        instruction!(_mm256_add_epi64(self.0, b.0))
    }

    /// a - b, modulo 2^64.
    #[inline(always)]
    pub fn sub(self, b: Self) -> Self {
        instruction!(_mm256_sub_epi64(self.0, b.0))
    }

    /// a b; only the low 32 bits of each count.
    #[inline(always)]
    pub fn mul(self, b: Self) -> Self {
        instruction!(_mm256_mul_epu32(self.0, b.0))
    }

    /// 19 a; only the low 32 bits of a count.
    #[inline(always)]
    pub fn times_19(self) -> Self {
        instruction!(whole(self.mul(self.splat(19)).0))
    }

    /// Bits in both.
    #[inline(always)]
    pub fn and(self, b: Self) -> Self {
        instruction!(_mm256_and_si256(self.0, b.0))
    }

    #[inline(always)]
    fn or(self, b: Self) -> Self {
        instruction!(_mm256_or_si256(self.0, b.0))
    }

    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        instruction!(_mm256_xor_si256(self.0, b.0))
    }

    /// Shifted down, zeros from above. The count is known when this is compiled.
    #[inline(always)]
    pub fn shr(self, bits: i64) -> Self {
        instruction!(_mm256_srl_epi64(self.0, _mm_cvtsi64_si128(bits)))
    }

    /// Shifted up.
    #[inline(always)]
    pub fn shl(self, bits: i64) -> Self {
        instruction!(_mm256_sll_epi64(self.0, _mm_cvtsi64_si128(bits)))
    }

    /// The low word of (high, self) shifted down; lanes may differ. A shift by 64 leaves nothing.
    #[inline(always)]
    fn shr_by(self, high: Self, bits: Self) -> Self {
        let up = self.splat(64).sub(bits);
        let low = instruction!(_mm256_srlv_epi64(self.0, bits.0));
        low.or(instruction!(_mm256_sllv_epi64(high.0, up.0)))
    }

    /// The low and the high 52 bits of a b, of whose operands the low 52 bits count: in digits of
    /// 26 bits, a = a0 + 2^26 a1, and so for b. All sums are below 2^54.
    #[inline(always)]
    fn product_52(self, b: Self) -> (Self, Self) {
        let (mask_26, mask_52) = (self.splat((1 << 26) - 1), self.splat((1 << 52) - 1));
        let (a0, a1) = (self.and(mask_26), self.shr(26).and(mask_26));
        let (b0, b1) = (b.and(mask_26), b.shr(26).and(mask_26));
        let middle = a0.mul(b1).add(a1.mul(b0));
        let low = a0.mul(b0).add(middle.and(mask_26).shl(26));
        (low.and(mask_52), a1.mul(b1).add(middle.shr(26)).add(low.shr(52)))
    }

    /// The lanes of b where the four lowest bits of the mask are set, else those of self.
    #[inline(always)]
    fn blend(self, mask: Mask, b: Self) -> Self {
        let bits = instruction!(_mm256_setr_epi64x(1, 2, 4, 8));
        let chosen = self.splat(u64::from(mask)).and(bits);
        let chosen = instruction!(_mm256_cmpeq_epi64(chosen.0, bits.0));
        instruction!(_mm256_blendv_epi8(self.0, b.0, chosen.0))
    }

    /// Where the highest bit is set: four bits.
    #[inline(always)]
    fn negative(self) -> Mask {
        let signs = plain_instruction!(_mm256_movemask_pd(_mm256_castsi256_pd(self.0)));
        signs.to_le_bytes()[0]
    }

    #[inline(always)]
    fn unpack_low(self, b: Self) -> Self {
        instruction!(_mm256_unpacklo_epi64(self.0, b.0))
    }

    #[inline(always)]
    fn unpack_high(self, b: Self) -> Self {
        instruction!(_mm256_unpackhi_epi64(self.0, b.0))
    }

    /// The lower pairs of both, b's behind.
    #[inline(always)]
    fn low_pairs(self, b: Self) -> Self {
        instruction!(_mm256_permute2x128_si256::<0x20>(self.0, b.0))
    }

    /// The upper pairs of both.
    #[inline(always)]
    fn high_pairs(self, b: Self) -> Self {
        instruction!(_mm256_permute2x128_si256::<0x31>(self.0, b.0))
    }
}

/// Word i of row j becomes word j of row i.
#[inline(always)]
fn transpose_half(r: [Half; 4]) -> [Half; 4] {
    let (a0, a1) = (r[0].unpack_low(r[1]), r[0].unpack_high(r[1]));
    let (a2, a3) = (r[2].unpack_low(r[3]), r[2].unpack_high(r[3]));
    [a0.low_pairs(a2), a1.low_pairs(a3), a0.high_pairs(a2), a1.high_pairs(a3)]
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
        let mut words = [[0_u64; 4]; 2];
        for (four, half) in words.iter_mut().zip(self.0) {
            plain_instruction!(_mm256_storeu_si256(four.as_mut_ptr().cast(), half.0));
        }
        let [[a, b, c, d], [e, f, g, h]] = words;
        [a, b, c, d, e, f, g, h]
    }

    /// a + b, modulo 2^64.
    #[inline(always)]
    pub fn add(self, b: Self) -> Self {
        Self([self.0[0].add(b.0[0]), self.0[1].add(b.0[1])])
    }

    /// a - b, modulo 2^64.
    #[inline(always)]
    pub fn sub(self, b: Self) -> Self {
        Self([self.0[0].sub(b.0[0]), self.0[1].sub(b.0[1])])
    }

    /// Bits in both.
    #[inline(always)]
    pub fn and(self, b: Self) -> Self {
        Self([self.0[0].and(b.0[0]), self.0[1].and(b.0[1])])
    }

    /// Bits in either.
    #[inline(always)]
    pub fn or(self, b: Self) -> Self {
        Self([self.0[0].or(b.0[0]), self.0[1].or(b.0[1])])
    }

    /// Bits in one of both.
    #[inline(always)]
    pub fn xor(self, b: Self) -> Self {
        Self([self.0[0].xor(b.0[0]), self.0[1].xor(b.0[1])])
    }

    /// Those functions of three bits that are used; bit 4a + 2b + c of `TABLE` is the value.
    #[inline(always)]
    pub fn ternary<const TABLE: i32>(self, b: Self, c: Self) -> Self {
        match TABLE {
            0x96 => self.xor(b).xor(c),
            0xca => b.xor(c).and(self).xor(c),
            0xe8 => self.xor(b).and(c).or(self.and(b)),
            _ => unreachable!("parity, choice and majority"),
        }
    }

    /// Shifted down, zeros from above.
    #[inline(always)]
    pub fn shr<const BITS: u32>(self) -> Self {
        Self([self.0[0].shr(i64::from(BITS)), self.0[1].shr(i64::from(BITS))])
    }

    /// Shifted down, the sign from above.
    #[inline(always)]
    pub fn shr_signed<const BITS: u32>(self) -> Self {
        let sign = self.cpu().splat(1 << (63 - BITS));
        self.shr::<BITS>().xor(sign).sub(sign)
    }

    /// Shifted up.
    #[inline(always)]
    pub fn shl<const BITS: u32>(self) -> Self {
        Self([self.0[0].shl(i64::from(BITS)), self.0[1].shl(i64::from(BITS))])
    }

    /// Rotated down.
    #[inline(always)]
    pub fn rotate<const BITS: i32>(self) -> Self {
        self.shr_with::<BITS>(self)
    }

    /// The low word of (high, self) shifted down, by 1 to 63 bits.
    #[inline(always)]
    pub fn shr_with<const BITS: i32>(self, high: Self) -> Self {
        let (down, up) = (i64::from(BITS), i64::from(64 - BITS));
        let ([a, b], [c, d]) = (self.0, high.0);
        Self([a.shr(down).or(c.shl(up)), b.shr(down).or(d.shl(up))])
    }

    /// The same by a number of bits that is not known before; lanes may differ.
    #[inline(always)]
    pub fn shr_by(self, high: Self, bits: Self) -> Self {
        let ([a, b], [c, d], [e, f]) = (self.0, high.0, bits.0);
        Self([a.shr_by(c, e), b.shr_by(d, f)])
    }

    /// self + the low 52 bits of a * b; only the low 52 bits of a and b count.
    #[inline(always)]
    pub fn add_low(self, a: Self, b: Self) -> Self {
        let ([a, c], [b, d]) = (a.0, b.0);
        Self([self.0[0].add(a.product_52(b).0), self.0[1].add(c.product_52(d).0)])
    }

    /// self + the high 52 bits of the 104-bit a * b; only the low 52 bits of a and b count.
    #[inline(always)]
    pub fn add_high(self, a: Self, b: Self) -> Self {
        let ([a, c], [b, d]) = (a.0, b.0);
        Self([self.0[0].add(a.product_52(b).1), self.0[1].add(c.product_52(d).1)])
    }

    /// The lanes of b where the mask is set, else those of self.
    #[inline(always)]
    pub fn blend(self, mask: Mask, b: Self) -> Self {
        Self([self.0[0].blend(mask, b.0[0]), self.0[1].blend(mask >> 4, b.0[1])])
    }

    /// Where both are equal.
    #[inline(always)]
    pub fn equal(self, b: Self) -> Mask {
        let ([a, b], [c, d]) = (self.0, b.0);
        let low = instruction!(_mm256_cmpeq_epi64(a.0, c.0));
        low.negative() | instruction!(_mm256_cmpeq_epi64(b.0, d.0)).negative() << 4
    }

    /// Where the highest bit is set.
    #[inline(always)]
    pub fn negative(self) -> Mask {
        self.0[0].negative() | self.0[1].negative() << 4
    }

    /// The bytes of each word in reverse order.
    #[inline(always)]
    pub fn swap_bytes(self) -> Self {
        const UPPER: i64 = 0x0809_0a0b_0c0d_0e0f;
        const LOWER: i64 = 0x0001_0203_0405_0607;
        let order = instruction!(_mm256_setr_epi64x(LOWER, UPPER, LOWER, UPPER));
        let [a, b] = self.0;
        let low = instruction!(_mm256_shuffle_epi8(a.0, order.0));
        Self([low, instruction!(_mm256_shuffle_epi8(b.0, order.0))])
    }
}

/// Word i of row j becomes word j of row i: the lower halves of rows turn into the first four.
#[inline(always)]
pub(super) fn transpose(r: [Vector; 8]) -> [Vector; 8] {
    let a = transpose_half([r[0].0[0], r[1].0[0], r[2].0[0], r[3].0[0]]);
    let b = transpose_half([r[4].0[0], r[5].0[0], r[6].0[0], r[7].0[0]]);
    let c = transpose_half([r[0].0[1], r[1].0[1], r[2].0[1], r[3].0[1]]);
    let d = transpose_half([r[4].0[1], r[5].0[1], r[6].0[1], r[7].0[1]]);
    [
        Vector([a[0], b[0]]),
        Vector([a[1], b[1]]),
        Vector([a[2], b[2]]),
        Vector([a[3], b[3]]),
        Vector([c[0], d[0]]),
        Vector([c[1], d[1]]),
        Vector([c[2], d[2]]),
        Vector([c[3], d[3]]),
    ]
}

/// Eight entries, one a lane, as the words of (y + x, y - x, 2dxy) side by side.
#[inline(always)]
pub(super) fn load_entries(cpu: Cpu, entries: [&Entry; LANES]) -> [[Vector; 4]; 3] {
    let e = entries;
    [
        four_words(cpu, e.map(Entry::y_plus_x)),
        four_words(cpu, e.map(Entry::y_minus_x)),
        four_words(
            cpu,
            [
                &e[0].xy2d, &e[1].xy2d, &e[2].xy2d, &e[3].xy2d, &e[4].xy2d, &e[5].xy2d, &e[6].xy2d,
                &e[7].xy2d,
            ],
        ),
    ]
}

/// Four words of each lane, side by side.
#[inline(always)]
fn four_words(cpu: Cpu, rows: [&[u64; 4]; LANES]) -> [Vector; 4] {
    let r = rows;
    let a = transpose_half([
        cpu.load_half(r[0]),
        cpu.load_half(r[1]),
        cpu.load_half(r[2]),
        cpu.load_half(r[3]),
    ]);
    let b = transpose_half([
        cpu.load_half(r[4]),
        cpu.load_half(r[5]),
        cpu.load_half(r[6]),
        cpu.load_half(r[7]),
    ]);
    [Vector([a[0], b[0]]), Vector([a[1], b[1]]), Vector([a[2], b[2]]), Vector([a[3], b[3]])]
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
#[path = "../lanes/vector/tests.rs"]
mod tests;
