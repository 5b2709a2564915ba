//! SHA-512 (FIPS 180-4) of two times eight messages at once, each of its own length.

use super::vector::{Cpu, LANES, Mask, Vector, transpose};

/// Bytes of a block.
const BLOCK: usize = 128;

/// The first 64 bits of the fractional parts of the cube roots of the first 80 primes (section
/// 4.2.3).
const K: [u64; 80] = [
    0x428a_2f98_d728_ae22,
    0x7137_4491_23ef_65cd,
    0xb5c0_fbcf_ec4d_3b2f,
    0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538,
    0x59f1_11f1_b605_d019,
    0x923f_82a4_af19_4f9b,
    0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242,
    0x1283_5b01_4570_6fbe,
    0x2431_85be_4ee4_b28c,
    0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f,
    0x80de_b1fe_3b16_96b1,
    0x9bdc_06a7_25c7_1235,
    0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2,
    0xefbe_4786_384f_25e3,
    0x0fc1_9dc6_8b8c_d5b5,
    0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275,
    0x4a74_84aa_6ea6_e483,
    0x5cb0_a9dc_bd41_fbd4,
    0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab,
    0xa831_c66d_2db4_3210,
    0xb003_27c8_98fb_213f,
    0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2,
    0xd5a7_9147_930a_a725,
    0x06ca_6351_e003_826f,
    0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc,
    0x2e1b_2138_5c26_c926,
    0x4d2c_6dfc_5ac4_2aed,
    0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de,
    0x766a_0abb_3c77_b2a8,
    0x81c2_c92e_47ed_aee6,
    0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364,
    0xa81a_664b_bc42_3001,
    0xc24b_8b70_d0f8_9791,
    0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218,
    0xd699_0624_5565_a910,
    0xf40e_3585_5771_202a,
    0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8,
    0x1e37_6c08_5141_ab53,
    0x2748_774c_df8e_eb99,
    0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63,
    0x4ed8_aa4a_e341_8acb,
    0x5b9c_ca4f_7763_e373,
    0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc,
    0x78a5_636f_4317_2f60,
    0x84c8_7814_a1f0_ab72,
    0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28,
    0xa450_6ceb_de82_bde9,
    0xbef9_a3f7_b2c6_7915,
    0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];

/// The same of the square roots of the first 8 primes (section 5.3.5).
const START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Appends the padding of section 5.1.2 to a message: a one bit, zeros, the length in bits.
pub(super) fn pad(message: &mut Vec<u8>) {
    let bits = 8 * message.len() as u128;
    message.push(0x80);
    message.resize((message.len() + 16).next_multiple_of(BLOCK) - 16, 0);
    message.extend_from_slice(&bits.to_be_bytes());
}

#[inline(always)]
fn big_sigma_0(a: Vector) -> Vector {
    a.rotate::<28>().ternary::<XOR>(a.rotate::<34>(), a.rotate::<39>())
}

#[inline(always)]
fn big_sigma_1(e: Vector) -> Vector {
    e.rotate::<14>().ternary::<XOR>(e.rotate::<18>(), e.rotate::<41>())
}

#[inline(always)]
fn small_sigma_0(w: Vector) -> Vector {
    w.rotate::<1>().ternary::<XOR>(w.rotate::<8>(), w.shr::<7>())
}

#[inline(always)]
fn small_sigma_1(w: Vector) -> Vector {
    w.rotate::<19>().ternary::<XOR>(w.rotate::<61>(), w.shr::<6>())
}

/// Truth tables for `ternary`: a ^ b ^ c; b where a is set, else c; the majority.
const XOR: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// A block that all messages of a call had in common, and what is added in each of its rounds: K
/// and the schedule. Of vouchers, whose lengths are all the same, the second block is such: zeros
/// and the length.
#[derive(Debug)]
pub(super) struct Common {
    block: [u8; BLOCK],
    added: [u64; 80],
}

impl Default for Common {
    fn default() -> Self {
        Self::of(&[0; BLOCK])
    }
}

impl Common {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut w = [0_u64; 80];
        for (word, bytes) in w.iter_mut().zip(block.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        for i in 16..80 {
            let (x, y) = (w[i - 15], w[i - 2]);
            let small_sigma_0 = x.rotate_right(1) ^ x.rotate_right(8) ^ (x >> 7);
            let small_sigma_1 = y.rotate_right(19) ^ y.rotate_right(61) ^ (y >> 6);
            let sum = w[i - 16].wrapping_add(small_sigma_0);
            w[i] = sum.wrapping_add(w[i - 7]).wrapping_add(small_sigma_1);
        }
        Self { block: *block, added: std::array::from_fn(|i| K[i].wrapping_add(w[i])) }
    }

    /// Whether this block of all messages is the same; it is the one remembered then.
    #[inline(always)]
    fn is_in_all(&mut self, messages: &[[Vec<u8>; LANES]; 2], block: usize) -> bool {
        let Some(first) = messages[0][0].as_chunks::<BLOCK>().0.get(block) else { return false };
        for message in messages.as_flattened() {
            if message.as_chunks::<BLOCK>().0.get(block) != Some(first) {
                return false;
            }
        }
        if self.block != *first {
            *self = Self::of(first);
        }
        true
    }
}

/// The digests of two times eight padded messages, as the little-endian words of their bytes. One
/// round waits for the one before it most of its time, so two eights take little longer than one.
#[inline(always)]
pub(super) fn digest_two(
    cpu: Cpu,
    messages: &[[Vec<u8>; LANES]; 2],
    common: &mut Common,
) -> [[Vector; 8]; 2] {
    let all = messages.as_flattened();
    let blocks = all.iter().map(|message| message.len() / BLOCK).max().unwrap_or(0);
    let mut states = [[cpu.splat(0); 8]; 2];
    for state in &mut states {
        for (word, start) in state.iter_mut().zip(START) {
            *word = cpu.splat(start);
        }
    }
    for block in 0..blocks {
        if common.is_in_all(messages, block) {
            states = compress_common(cpu, states, &common.added);
            continue;
        }
        let mut going: [Mask; 2] = [0; 2];
        let mut halves = [[&[0; BLOCK / 2]; 2 * LANES]; 2];
        for (eight, messages) in messages.iter().enumerate() {
            for (lane, message) in messages.iter().enumerate() {
                if let Some([first, second]) = message.as_chunks().0.get(2 * block..2 * block + 2) {
                    going[eight] |= 1 << lane;
                    (halves[eight][lane], halves[eight][LANES + lane]) = (first, second);
                }
            }
        }
        let next = compress(cpu, states, halves);
        for (eight, going) in going.into_iter().enumerate() {
            for (word, new) in states[eight].iter_mut().zip(next[eight]) {
                *word = word.blend(going, new);
            }
        }
    }
    for word in states.as_flattened_mut() {
        *word = word.swap_bytes();
    }
    states
}

/// One round (section 6.4.2), given K and the word of the schedule. What comes last of all, the
/// sums of e and of a, is added last: a round takes three instructions of time from e to e and from
/// a to a, not six.
#[inline(always)]
fn round(state: [Vector; 8], added: Vector) -> [Vector; 8] {
    let [a, b, c, d, e, f, g, h] = state;
    let early = h.add(added).add(e.ternary::<CHOOSE>(f, g));
    let sum = big_sigma_1(e);
    let next_a = early.add(a.ternary::<MAJORITY>(b, c)).add(sum).add(big_sigma_0(a));
    [next_a, a, b, c, d.add(early).add(sum), e, f, g]
}

#[inline(always)]
fn plus(state: [Vector; 8], old: [Vector; 8]) -> [Vector; 8] {
    let [a, b, c, d, e, f, g, h] = state;
    let [s0, s1, s2, s3, s4, s5, s6, s7] = old;
    [s0.add(a), s1.add(b), s2.add(c), s3.add(d), s4.add(e), s5.add(f), s6.add(g), s7.add(h)]
}

/// The words of eight blocks: of the first half of each, then of the second.
#[inline(always)]
fn words_of(cpu: Cpu, halves: [&[u8; BLOCK / 2]; 2 * LANES]) -> [Vector; 16] {
    let mut w = [cpu.splat(0); 16];
    for half in 0..2 {
        let mut row = [cpu.splat(0); LANES];
        for (row, bytes) in row.iter_mut().zip(&halves[half * LANES..]) {
            *row = cpu.load_bytes(bytes);
        }
        for (word, row) in w[half * 8..].iter_mut().zip(transpose(row)) {
            *word = row.swap_bytes();
        }
    }
    w
}

/// The next word of a schedule in the place of the one sixteen before it.
#[inline(always)]
fn extended(w: &[Vector; 16], i: usize) -> Vector {
    let (s0, s1) = (small_sigma_0(w[(i + 1) % 16]), small_sigma_1(w[(i + 14) % 16]));
    w[i].add(s0).add(w[(i + 9) % 16].add(s1))
}

/// One block of each message.
#[inline(always)]
fn compress(
    cpu: Cpu,
    states: [[Vector; 8]; 2],
    halves: [[&[u8; BLOCK / 2]; 2 * LANES]; 2],
) -> [[Vector; 8]; 2] {
    let (mut v, mut w) = (words_of(cpu, halves[0]), words_of(cpu, halves[1]));
    let [mut first, mut second] = states;
    // The first sixteen rounds take the words as they are.
    for (sixteen, k) in K.as_chunks::<16>().0.iter().enumerate() {
        macro_rules! rounds {
            ($($i:literal)*) => {$(
                if sixteen > 0 {
                    v[$i] = extended(&v, $i);
                    w[$i] = extended(&w, $i);
                }
                let constant = cpu.splat(k[$i]);
                first = round(first, constant.add(v[$i]));
                second = round(second, constant.add(w[$i]));
            )*};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    [plus(first, states[0]), plus(second, states[1])]
}

/// The same block of all messages.
#[inline(always)]
fn compress_common(cpu: Cpu, states: [[Vector; 8]; 2], added: &[u64; 80]) -> [[Vector; 8]; 2] {
    let [mut first, mut second] = states;
    for eight in added.as_chunks::<8>().0 {
        macro_rules! rounds {
            ($($i:literal)*) => {$(
                let added = cpu.splat(eight[$i]);
                first = round(first, added);
                second = round(second, added);
            )*};
        }
        rounds!(0 1 2 3 4 5 6 7);
    }
    [plus(first, states[0]), plus(second, states[1])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use sha2::{Digest as _, Sha512};

    fn assert_digests(cpu: Cpu, messages: &[[Vec<u8>; LANES]; 2], common: &mut Common) {
        let mut padded = messages.clone();
        padded.as_flattened_mut().iter_mut().for_each(pad);
        let digests = digest_two(cpu, &padded, common).map(|digest| digest.map(Vector::lanes));
        for (digest, messages) in digests.iter().zip(messages) {
            for (lane, message) in messages.iter().enumerate() {
                let got: Vec<u8> =
                    digest.iter().flat_map(|word| word[lane].to_le_bytes()).collect();
                assert_eq!(got[..], Sha512::digest(message)[..], "length {}", message.len());
            }
        }
    }

    #[test]
    fn digests_are_sha2_s_at_every_length_and_in_mixed_company() {
        let Some(cpu) = Cpu::detect() else { return };
        let (mut random, mut common) = (model::random(180), Common::default());
        let mut message =
            |length: usize| (0..length).map(|_| random().to_le_bytes()[7]).collect::<Vec<u8>>();
        for first in 0..300 {
            // Lengths around each other, one short and one long: lanes end after different blocks.
            let lengths = [first, first + 1, 0, first + 128, 64, 2 * first, 111, 1_024];
            let others = [first, 3 * first, 127, 1, first + 64, 239, 240, 112];
            let messages = [lengths.map(&mut message), others.map(&mut message)];
            assert_digests(cpu, &messages, &mut common);
        }
    }

    #[test]
    fn a_block_that_all_have_in_common_counts_only_if_all_have_it() {
        let Some(cpu) = Cpu::detect() else { return };
        let (mut random, mut common) = (model::random(512), Common::default());
        for length in [0, 1, 111, 112, 113, 114, 127, 128, 239, 240, 241, 300] {
            let mut message =
                || (0..length).map(|_| random().to_le_bytes()[7]).collect::<Vec<u8>>();
            let own = [(); 2].map(|()| [(); LANES].map(|()| message()));
            assert_digests(cpu, &own, &mut common);
            // All the same, then one that differs in each place, by a bit and by its length.
            let same = [(); 2].map(|()| [(); LANES].map(|()| own[0][0].clone()));
            assert_digests(cpu, &same, &mut common);
            for place in 0..2 * LANES {
                let mut other = same.clone();
                other[place / LANES][place % LANES].push(7);
                assert_digests(cpu, &other, &mut common);
                if length > 0 {
                    let mut other = same.clone();
                    other[place / LANES][place % LANES][length - 1] ^= 4;
                    assert_digests(cpu, &other, &mut common);
                }
            }
        }
    }
}
