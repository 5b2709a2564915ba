//! One group: eight signatures whose keys' tables have the same shape, from bytes to the point R' =
//! sB - kA of each. Inversion and the comparison with R are left to `mod.rs`, which shares them.

use super::field::Field;
use super::point::{Niels, Point};
use super::scalar::{Digits, Scalar};
use super::sha512;
use super::vector::{Cpu, LANES, Mask, Vector, prefetch, transpose};
use crate::Check;
use crate::scalar::SMALL_ORDER;
use crate::table::{Entry, Shape};

/// Entries that are asked for before they are needed: about 0.6 us of additions.
const AHEAD: usize = 6;

/// A group as `mod.rs` forms it.
pub(super) struct Group<'a> {
    /// What each lane checks; lanes without a check of their own repeat another's.
    pub checks: [&'a Check<'a>; LANES],
    /// Multiples of the negated keys.
    pub tables: [&'a [Entry]; LANES],
    pub shape: Shape,
}

/// What is left to compare.
pub(super) struct Computed {
    /// X and Y of R'; Z is kept apart, to be inverted.
    pub x: Field,
    pub y: Field,
    pub z: Field,
    /// The words of R as the signature has it.
    pub r: [Vector; 4],
    /// Where s < L, R is of no small order and the key is a point.
    pub well_formed: Mask,
}

/// Which entry each lane adds next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    entries: [u64; LANES],
    negative: Mask,
}

/// What a group needs while it is computed.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    messages: [Vec<u8>; LANES],
    picks: Vec<Pick>,
}

/// Computes one group; `keys` says which lanes have a point as their key.
#[inline(always)]
pub(super) fn compute(
    cpu: Cpu,
    group: &Group<'_>,
    keys: Mask,
    base: &[Entry],
    buffers: &mut Buffers,
) -> Computed {
    let hash = hash(cpu, &group.checks, &mut buffers.messages);
    let signature = load_signatures(cpu, &group.checks);
    let r = [signature[0], signature[1], signature[2], signature[3]];
    let (s, is_reduced) =
        Scalar::from_words(&[signature[4], signature[5], signature[6], signature[7]]);
    let k = Scalar::reduce(&hash).digits(group.shape);
    let s = s.digits(Shape::BASE);
    let picks = &mut buffers.picks;
    picks.clear();
    pick_in_order(cpu, &k, group.shape, picks);
    pick_in_order(cpu, &s, Shape::BASE, picks);
    let (x, y, z) = add_up(cpu, group, base, picks).coordinates();
    Computed { x, y, z, r, well_formed: is_reduced & !is_small_order(cpu, &r) & keys }
}

/// The digests of R, A and the message, one after the other.
#[inline(always)]
fn hash(cpu: Cpu, checks: &[&Check<'_>; LANES], messages: &mut [Vec<u8>; LANES]) -> [Vector; 8] {
    for (buffer, check) in messages.iter_mut().zip(checks) {
        buffer.clear();
        buffer.extend_from_slice(&check.signature[..32]);
        buffer.extend_from_slice(check.key.bytes());
        buffer.extend_from_slice(check.message);
        sha512::pad(buffer);
    }
    sha512::digest(cpu, messages)
}

/// R and s as words.
#[inline(always)]
fn load_signatures(cpu: Cpu, checks: &[&Check<'_>; LANES]) -> [Vector; 8] {
    let mut rows = [cpu.splat(0); LANES];
    for (row, check) in rows.iter_mut().zip(checks) {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(check.signature.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        *row = cpu.load(&words);
    }
    transpose(rows)
}

/// Where R is one of the eight canonical encodings of small order.
#[inline(always)]
fn is_small_order(cpu: Cpu, r: &[Vector; 4]) -> Mask {
    let mut found = 0;
    for point in SMALL_ORDER {
        let mut same = !0;
        for (word, expected) in r.iter().zip(point) {
            same &= word.equal(cpu.splat(expected));
        }
        found |= same;
    }
    found
}

/// Appends the picks in the order in which they are added: the highest digit of each stride first.
#[inline(always)]
fn pick_in_order(cpu: Cpu, digits: &Digits, shape: Shape, picks: &mut Vec<Pick>) {
    for step in (0..shape.stride).rev() {
        for block in 0..shape.blocks() {
            let (mut entries, negative) = digits.get(cpu, block * shape.stride + step);
            let first = (block * shape.block_entries()) as u64;
            for entry in &mut entries {
                *entry += first;
            }
            picks.push(Pick { entries, negative });
        }
    }
}

/// The entries that are added at one place of the order: of the keys' tables, then of the base
/// point's.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "indices of entries are far below 2^31")]
fn entries_at<'a>(
    group: &Group<'a>,
    base: &'a [Entry],
    picks: &[Pick],
    i: usize,
) -> [&'a Entry; LANES] {
    let p = &picks[i].entries;
    let t = if i < group.shape.digits() { group.tables } else { [base; LANES] };
    [
        &t[0][p[0] as usize],
        &t[1][p[1] as usize],
        &t[2][p[2] as usize],
        &t[3][p[3] as usize],
        &t[4][p[4] as usize],
        &t[5][p[5] as usize],
        &t[6][p[6] as usize],
        &t[7][p[7] as usize],
    ]
}

#[inline(always)]
fn ask_for(cpu: Cpu, group: &Group<'_>, base: &[Entry], picks: &[Pick], i: usize) {
    if i < picks.len() {
        for entry in entries_at(group, base, picks, i) {
            prefetch(cpu, entry);
        }
    }
}

/// The entries at one place, and a word to the memory about one to come.
#[inline(always)]
fn load(cpu: Cpu, group: &Group<'_>, base: &[Entry], picks: &[Pick], i: usize) -> Niels {
    ask_for(cpu, group, base, picks, i + AHEAD);
    Niels::load(cpu, entries_at(group, base, picks, i), picks[i].negative)
}

/// sB - kA: `window` doublings between the steps of the key's table, none for the base point.
#[inline(always)]
fn add_up(cpu: Cpu, group: &Group<'_>, base: &[Entry], picks: &[Pick]) -> Point {
    let shape = group.shape;
    let (of_key, blocks) = (shape.digits(), shape.blocks());
    for i in 0..AHEAD {
        ask_for(cpu, group, base, picks, i);
    }
    let mut sum = Point::from_niels(&load(cpu, group, base, picks, 0));
    let mut until_doubling = blocks - 1;
    for i in 1..picks.len() - 1 {
        if until_doubling == 0 && i < of_key {
            sum = sum.double_times(shape.window);
            until_doubling = blocks;
        }
        until_doubling = until_doubling.saturating_sub(1);
        sum = sum.add_niels::<true>(&load(cpu, group, base, picks, i));
    }
    sum.add_niels::<false>(&load(cpu, group, base, picks, picks.len() - 1))
}
