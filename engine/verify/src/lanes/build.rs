//! Builds tables, those of eight keys side by side: the odd multiples of a point, divided by their
//! Z, as entries. Owns the order in which that is done, so that what is needed again is still in
//! the second cache: points in pieces, from the last block to the first, one inversion for each
//! piece, and the entries of a piece from the last to the first, straight to where they stay.

use super::field::Field;
use super::point::{Multiple, Point};
use super::vector::{Cpu, LANES, Vector, transpose};
use super::words::from_lanes;
use crate::key::Key;
use crate::memory::{Draft, Room};
use crate::table::{Entry, Shape};

/// Points whose Z are inverted together: with the products of their Z they take 0.75 MB, and the
/// inversion costs less than a fortieth of the rest.
const TOGETHER: usize = 480;

/// What one piece needs, kept between calls. Of both lists only the first `count` are in use: what
/// is written where something stands already is not put together elsewhere and copied.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    multiples: Vec<Multiple>,
    products: Vec<Field>,
    count: usize,
}

impl Buffers {
    /// Empty, with room for so many points.
    #[inline(always)]
    pub fn clear(&mut self, cpu: Cpu, room: usize) {
        self.count = 0;
        if self.multiples.len() < room {
            self.multiples.resize(room, Multiple::zero(cpu));
            self.products.resize(room, Field::zero(cpu));
        }
    }

    /// Appends the first `count` odd multiples of p.
    #[inline(always)]
    pub fn push_odd_multiples(&mut self, p: Point, count: usize) {
        let step = p.double_times(1).projective();
        let mut multiple = p;
        for place in &mut self.multiples[self.count..][..count] {
            *place = multiple.multiple();
            multiple = multiple.add(&step);
        }
        self.count += count;
    }

    /// The entries of each point there is, one a lane, from the last point to the first, by one
    /// inversion (Montgomery's trick). No Z of points is 0.
    #[inline(always)]
    pub fn each_entry(&mut self, cpu: Cpu, mut each: impl FnMut(usize, &[Entry; LANES])) {
        let multiples = &self.multiples[..self.count];
        let mut product = Field::one(cpu);
        for (multiple, before) in multiples.iter().zip(&mut self.products) {
            *before = product;
            product = product.mul_carry(multiple.z());
        }
        let mut inverse = product.invert();
        for (i, (multiple, before)) in multiples.iter().zip(&self.products).enumerate().rev() {
            let words = multiple.entry_words(inverse.mul_carry(*before));
            inverse = inverse.mul_carry(multiple.z());
            each(i, &entries_of(words));
        }
    }
}

/// The tables of the negatives of up to eight keys; `None` for a key that is no point.
#[inline(always)]
pub(super) fn build(
    cpu: Cpu,
    buffers: &mut Buffers,
    keys: &[&Key],
    shape: Shape,
) -> Vec<Option<Room>> {
    let padded = std::array::from_fn(|lane| keys[lane.min(keys.len() - 1)]);
    let (key, is_point) = Point::decompress(key_words(cpu, padded));
    let mut base = key.negate();
    let mut bases = Vec::with_capacity(shape.blocks());
    bases.push(base);
    for _ in 1..shape.blocks() {
        base = base.double_times(shape.window * shape.stride);
        bases.push(base);
    }
    let mut drafts: Vec<Draft> = keys.iter().map(|_| Draft::new(shape.entries())).collect();
    for bases in bases.rchunks((TOGETHER / shape.block_entries()).max(1)) {
        buffers.clear(cpu, bases.len() * shape.block_entries());
        for base in bases {
            buffers.push_odd_multiples(*base, shape.block_entries());
        }
        buffers.each_entry(cpu, |_, entries| {
            for (draft, entry) in drafts.iter_mut().zip(entries) {
                draft.push(entry);
            }
        });
    }
    let rooms = drafts.into_iter().map(Draft::finish).enumerate();
    rooms.map(|(lane, room)| (is_point >> lane & 1 == 1).then_some(room)).collect()
}

/// Keys as the words of their bytes.
#[inline(always)]
pub(super) fn key_words(cpu: Cpu, keys: [&Key; LANES]) -> [Vector; 4] {
    from_lanes(cpu, keys.map(|key| crate::scalar::words(key.bytes())))
}

/// The words of (y + x, y - x, 2dxy) of eight points, as entries: what `load_entries` undoes.
#[inline(always)]
fn entries_of(words: [[Vector; 4]; 3]) -> [Entry; LANES] {
    let [p, m, t] = words;
    let sums = transpose([p[0], p[1], p[2], p[3], m[0], m[1], m[2], m[3]]);
    let xy2d = transpose([t[0], t[1], t[2], t[3], t[0], t[1], t[2], t[3]]);
    let mut entries = [Entry::ZERO; LANES];
    for lane in 0..LANES {
        let [p0, p1, p2, p3, m0, m1, m2, m3] = sums[lane].lanes();
        let [t0, t1, t2, t3, ..] = xy2d[lane].lanes();
        entries[lane] = Entry::new([p0, p1, p2, p3], [m0, m1, m2, m3], [t0, t1, t2, t3]);
    }
    entries
}
