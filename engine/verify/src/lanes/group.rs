//! One group: eight signatures whose keys' tables have the same shape, from bytes to the point R' =
//! sB - kA of each. Inversion and the comparison with R are left to `mod.rs`, which shares them.

use super::field::Field;
use super::places::{Pick, Places};
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
    /// What `hash_two` gave for it.
    pub digest: [Vector; 8],
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

/// What a group needs while it is computed.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    messages: [[Vec<u8>; LANES]; 2],
    common: sha512::Common,
}

/// Computes one group; `keys` says which lanes have a point as their key. What is in `picks` is of
/// no interest.
#[inline(always)]
pub(super) fn compute<'a>(
    cpu: Cpu,
    group: &Group<'a>,
    keys: Mask,
    base: &'a [Entry],
    picks: &mut Vec<Pick<'a>>,
) -> Computed {
    let signature = load_signatures(cpu, &group.checks);
    let r = [signature[0], signature[1], signature[2], signature[3]];
    let (s, is_reduced) =
        Scalar::from_words(&[signature[4], signature[5], signature[6], signature[7]]);
    let k = Scalar::reduce(&group.digest).digits(group.shape);
    let s = s.digits(Shape::BASE);
    picks.clear();
    pick_in_order(cpu, &k, group.shape, group.tables, picks);
    for i in 0..AHEAD {
        ask_for(cpu, picks, i);
    }
    pick_in_order(cpu, &s, Shape::BASE, [base; LANES], picks);
    let (x, y, z) = add_up(cpu, group.shape, picks).coordinates();
    Computed { x, y, z, r, well_formed: is_reduced & !is_small_order(cpu, &r) & keys }
}

/// The digests of R, A and the message, one after the other, of the checks of two groups.
#[inline(always)]
pub(super) fn hash_two(
    cpu: Cpu,
    checks: [[&Check<'_>; LANES]; 2],
    buffers: &mut Buffers,
) -> [[Vector; 8]; 2] {
    let Buffers { messages, common, .. } = buffers;
    for (buffer, check) in messages.as_flattened_mut().iter_mut().zip(checks.as_flattened()) {
        buffer.clear();
        buffer.extend_from_slice(&check.signature[..32]);
        buffer.extend_from_slice(check.key.bytes());
        buffer.extend_from_slice(check.message);
        sha512::pad(buffer);
    }
    sha512::digest_two(cpu, messages, common)
}

/// R and s as words.
#[inline(always)]
fn load_signatures(cpu: Cpu, checks: &[&Check<'_>; LANES]) -> [Vector; 8] {
    let mut rows = [cpu.splat(0); LANES];
    for (row, check) in rows.iter_mut().zip(checks) {
        *row = cpu.load_bytes(check.signature);
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
fn pick_in_order<'a>(
    cpu: Cpu,
    digits: &Digits,
    shape: Shape,
    tables: [&'a [Entry]; LANES],
    picks: &mut Vec<Pick<'a>>,
) {
    let places = Places::new(cpu, tables);
    for step in (0..shape.stride).rev() {
        for block in 0..shape.blocks() {
            let (index, negative) = digits.get(cpu, block * shape.stride + step);
            let first = cpu.splat((block * shape.block_entries()) as u64);
            picks.push(places.pick(first.add(index), negative));
        }
    }
}

/// Asks for the entries at one place.
#[inline(always)]
fn ask_for(cpu: Cpu, picks: &[Pick<'_>], i: usize) {
    if let Some(pick) = picks.get(i) {
        for entry in pick.entries() {
            prefetch(cpu, entry);
        }
    }
}

/// The entries at one place, and a word to the memory about one to come.
#[inline(always)]
fn load(cpu: Cpu, picks: &[Pick<'_>], i: usize) -> Niels {
    ask_for(cpu, picks, i + AHEAD);
    Niels::load(cpu, picks[i].entries(), picks[i].negative)
}

/// sB - kA: `window` doublings between the steps of the key's table, none for the base point.
#[inline(always)]
fn add_up(cpu: Cpu, shape: Shape, picks: &[Pick<'_>]) -> Point {
    let (of_key, blocks) = (shape.digits(), shape.blocks());
    let mut sum = Point::from_niels(&load(cpu, picks, 0));
    let mut until_doubling = blocks - 1;
    for i in 1..picks.len() - 1 {
        if until_doubling == 0 && i < of_key {
            sum = sum.double_times(shape.window);
            until_doubling = blocks;
        }
        until_doubling = until_doubling.saturating_sub(1);
        sum = sum.add_niels::<true>(&load(cpu, picks, i));
    }
    sum.add_niels::<false>(&load(cpu, picks, picks.len() - 1))
}
