//! Tables of multiples of one point: the format that every backend reads and writes.
//!
//! A scalar is written as odd signed digits of `window` bits (`scalar.rs`). Every `stride` digits
//! share a block of the table; block q holds the odd multiples 1, 3, 5, ... of 2^(window*stride*q)
//! P. So a multiplication takes one addition a digit, and `window` doublings for each step of the
//! stride. A larger table has a smaller stride: fewer doublings, or a wider window: fewer
//! additions.

use crate::memory::Room;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bits of a digit.
    pub window: usize,
    /// Digits that share a block.
    pub stride: usize,
}

/// Bits that digits must cover: scalars are below 2^255 after L was added to an even one.
const SCALAR_BITS: usize = 255;

impl Shape {
    /// For a key without a place of its own: one block of 8 entries, 0.75 KB, 252 doublings.
    pub const TINY: Self = Self { window: 4, stride: 64 };
    /// For a key that came back: 16 blocks of 8 entries, 12 KB, 12 doublings.
    pub const SMALL: Self = Self { window: 4, stride: 4 };
    /// For a key that comes often: 15 blocks of 32 entries, 45 KB, 12 doublings, fewer additions.
    pub const LARGE: Self = Self { window: 6, stride: 3 };
    /// For the hottest keys: 32 blocks of 128 entries, 384 KB, no doubling.
    pub const HOT: Self = Self { window: 8, stride: 1 };
    /// For the base point, once for all: 22 blocks of 2,048 entries, 4.1 MB, no doubling.
    pub const BASE: Self = Self { window: 12, stride: 1 };

    /// Digits of a scalar.
    pub const fn digits(self) -> usize {
        SCALAR_BITS.div_ceil(self.window).next_multiple_of(self.stride)
    }

    /// Blocks of a table.
    pub const fn blocks(self) -> usize {
        self.digits() / self.stride
    }

    /// Entries of a block: the odd multiples below 2^window.
    pub const fn block_entries(self) -> usize {
        1 << (self.window - 1)
    }

    /// Entries of a table.
    pub const fn entries(self) -> usize {
        self.blocks() * self.block_entries()
    }

    /// Bytes of a table's entries.
    pub const fn bytes(self) -> usize {
        self.entries() * size_of::<Entry>()
    }

    /// Bits that the digits cover.
    pub const fn bits(self) -> usize {
        self.digits() * self.window
    }
}

// Digits are cut from five 64-bit words; an offset within a table fits 32 bits.
const _: () = {
    let shapes = [Shape::TINY, Shape::SMALL, Shape::LARGE, Shape::HOT, Shape::BASE];
    let mut i = 0;
    while i < shapes.len() {
        assert!(shapes[i].bits() >= SCALAR_BITS && shapes[i].bits() <= 5 * 64);
        assert!(shapes[i].bytes() < 1 << 31);
        i += 1;
    }
};

/// One affine point (x, y) as (y + x, y - x, 2dxy), each canonical, four little-endian words. 96
/// bytes: at a multiple of 32 it always lies in two cache lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub(crate) struct Entry {
    /// y + x, then y - x.
    sums: [[u64; 4]; 2],
    pub xy2d: [u64; 4],
}

const _: () = assert!(size_of::<Entry>() == 96);

impl Entry {
    /// Room for an entry that is yet to be computed.
    pub const ZERO: Self = Self { sums: [[0; 4]; 2], xy2d: [0; 4] };

    pub const fn new(y_plus_x: [u64; 4], y_minus_x: [u64; 4], xy2d: [u64; 4]) -> Self {
        Self { sums: [y_plus_x, y_minus_x], xy2d }
    }

    pub const fn y_plus_x(&self) -> &[u64; 4] {
        &self.sums[0]
    }

    pub const fn y_minus_x(&self) -> &[u64; 4] {
        &self.sums[1]
    }

    /// y + x and y - x as one row of eight words.
    #[inline(always)]
    pub fn sums(&self) -> &[u64; 8] {
        self.sums.as_flattened().try_into().expect("2 times 4 words")
    }
}

/// How much a key has earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Tier {
    Small = 0,
    Large = 1,
    Hot = 2,
}

impl Tier {
    /// Every tier, as keys go through them.
    pub const ALL: [Self; 3] = [Self::Small, Self::Large, Self::Hot];

    pub const fn shape(self) -> Shape {
        match self {
            Self::Small => Shape::SMALL,
            Self::Large => Shape::LARGE,
            Self::Hot => Shape::HOT,
        }
    }

    /// What a table of this tier costs of the budget: its entries and what is kept beside them.
    pub const fn bytes(self) -> usize {
        self.shape().bytes() + size_of::<Table>()
    }
}

/// The multiples of the negative of one key.
#[derive(Debug)]
pub(crate) struct Table {
    pub owner: [u8; 32],
    pub tier: Tier,
    pub entries: Room,
    checksum: [u64; 2],
}

impl Table {
    pub fn new(owner: [u8; 32], tier: Tier, entries: Room) -> Self {
        assert_eq!(entries.len(), tier.shape().entries(), "a table has the entries of its shape");
        let checksum = checksum(&entries);
        Self { owner, tier, entries, checksum }
    }

    /// Whether it still is what was built.
    pub fn is_intact(&self) -> bool {
        checksum(&self.entries) == self.checksum
    }

    /// A copy with one bit of each entry flipped, under the old checksum: a failing memory.
    #[cfg(test)]
    pub fn damaged(&self) -> Self {
        let mut entries = Room::of(&self.entries);
        entries.iter_mut().for_each(|entry| entry.xy2d[1] ^= 1 << 17);
        Self { owner: self.owner, tier: self.tier, entries, checksum: self.checksum }
    }
}

/// The sum of all entries, word by word, and the sum of all such sums on the way there, each folded
/// into one word. One changed word changes one sum for certain, and with it the first of both; the
/// sums of sums see what cancels out. They do not wait for each other, as the steps of `fold` do.
fn checksum(entries: &[Entry]) -> [u64; 2] {
    let (mut sums, mut sums_of_sums) = ([0_u64; 12], [0_u64; 12]);
    for entry in entries {
        let words = entry.sums().iter().chain(&entry.xy2d);
        for ((sum, sum_of_sums), word) in sums.iter_mut().zip(&mut sums_of_sums).zip(words) {
            *sum = sum.wrapping_add(*word);
            *sum_of_sums = sum_of_sums.wrapping_add(*sum);
        }
    }
    [fold(sums), fold(sums_of_sums)]
}

/// Each step is one-to-one in the sum and in the word, so one changed word always changes the
/// result.
fn fold(words: [u64; 12]) -> u64 {
    words.iter().fold(0x7461_6c6c_7973_7469, |sum, word| {
        (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_sizes_that_the_documents_give() {
        let size = |shape: Shape| (shape.digits(), shape.blocks(), shape.entries(), shape.bytes());
        assert_eq!(size(Shape::TINY), (64, 1, 8, 768));
        assert_eq!(size(Shape::SMALL), (64, 16, 128, 12_288));
        assert_eq!(size(Shape::LARGE), (45, 15, 480, 46_080));
        assert_eq!(size(Shape::HOT), (32, 32, 4_096, 393_216));
        assert_eq!(size(Shape::BASE), (22, 22, 45_056, 4_325_376));
    }

    #[test]
    fn every_flipped_bit_of_a_table_is_seen() {
        let entries = vec![Entry::ZERO; Shape::SMALL.entries()];
        let mut table = Table::new([0; 32], Tier::Small, Room::of(&entries));
        assert!(table.is_intact());
        for entry in 0..table.entries.len() {
            for bit in 0..256 {
                table.entries[entry].xy2d[bit / 64] ^= 1 << (bit % 64);
                assert!(!table.is_intact(), "entry {entry}, bit {bit}");
                table.entries[entry].xy2d[bit / 64] ^= 1 << (bit % 64);
            }
        }
    }
}
