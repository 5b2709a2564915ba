//! The checks of one call, and the building of tables, in groups of eight. Written once; each
//! module of vectors compiles it for its own instructions, and calls it from a function that has
//! them.
//!
//! Owns how checks are put into groups whose keys' tables have the same shape, and what groups
//! share: the tables of keys that have none, one inversion, the comparison with R. A group that is
//! not full repeats a check, so nothing waits for company. No result depends on another: lanes
//! never mix, and what a lane shares over several groups, the inversion, stands even a Z of 0.

use super::field::Field;
use super::group::{Buffers, Computed, Group};
use super::point::{Point, encode, entry_words, invert_all, multiples};
use super::vector::{Cpu, LANES, Mask, Vector};
use super::words::{equal, from_lanes};
use crate::Verdict;
use crate::key::Key;
use crate::table::{Entry, Shape, Tier};
use crate::verifier::Job;

/// What one thread keeps between its calls.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    buffers: Buffers,
}

/// The jobs of one tier, in groups; by table, so that what checks of one key read of it is read
/// together, while a cache has it.
fn groups_of<'j>(jobs: &'j [Job<'j>], tier: Option<Tier>) -> Vec<([usize; LANES], usize)> {
    let own = |(i, job): (usize, &Job<'_>)| {
        let place = job.table.map_or(0, |table| table.entries.as_ptr().addr());
        (job.table.map(|table| table.tier) == tier).then_some((place, i))
    };
    let mut members: Vec<(usize, usize)> = jobs.iter().enumerate().filter_map(own).collect();
    members.sort_unstable();
    let group = |chunk: &[(usize, usize)]| {
        (std::array::from_fn(|lane| chunk[lane.min(chunk.len() - 1)].1), chunk.len())
    };
    members.chunks(LANES).map(group).collect()
}

/// One verdict for each job, appended in order.
#[inline(always)]
pub(super) fn check(
    cpu: Cpu,
    scratch: &mut Scratch,
    jobs: &[Job<'_>],
    base: &[Entry],
    verdicts: &mut Vec<Verdict>,
) {
    let mut groups = groups_of(jobs, None);
    let (tiny, mut points) = tiny_tables(cpu, jobs, &groups);
    let cold = groups.len();
    let mut shapes = vec![Shape::TINY; cold];
    for tier in Tier::ALL {
        groups.extend(groups_of(jobs, Some(tier)));
        shapes.resize(groups.len(), tier.shape());
    }
    points.resize(groups.len(), !0);
    let mut computed: Vec<Computed> = Vec::with_capacity(groups.len());
    for (g, (members, _)) in groups.iter().enumerate() {
        let table = |lane: usize| match jobs[members[lane]].table {
            Some(table) => &table.entries[..],
            None => &tiny[g * LANES + lane][..],
        };
        let checks = members.map(|i| jobs[i].check);
        let group = Group { checks, tables: std::array::from_fn(table), shape: shapes[g] };
        computed.push(super::compute(cpu, &group, points[g], base, &mut scratch.buffers));
    }
    let mut inverses = Vec::with_capacity(groups.len());
    for group in &computed {
        inverses.push(group.z);
    }
    invert_all(cpu, &mut inverses);
    let first = verdicts.len();
    verdicts.resize(first + jobs.len(), Verdict::Bad);
    for ((group, inverse), (members, own)) in computed.iter().zip(inverses).zip(groups) {
        let encoded = encode(group.x, group.y, inverse);
        let valid = equal(encoded, group.r) & group.well_formed;
        for (lane, i) in members.into_iter().take(own).enumerate() {
            if valid >> lane & 1 == 1 {
                verdicts[first + i] = Verdict::Valid;
            }
        }
    }
}

/// Tables of the smallest shape for keys that have none, and which of them are points, group by
/// group.
#[inline(always)]
fn tiny_tables(
    cpu: Cpu,
    jobs: &[Job<'_>],
    cold: &[([usize; LANES], usize)],
) -> (Vec<Box<[Entry]>>, Vec<Mask>) {
    let mut points = Vec::with_capacity(cold.len() * Shape::TINY.entries());
    let mut masks = Vec::with_capacity(cold.len());
    for two in cold.chunks(2) {
        let keys = |nth: usize| two[nth.min(two.len() - 1)].0.map(|i| jobs[i].check.key);
        let keys = [key_words(cpu, keys(0)), key_words(cpu, keys(1))];
        for (key, is_point) in Point::decompress_two(keys).into_iter().take(two.len()) {
            multiples(key.negate(), Shape::TINY, &mut points);
            masks.push(is_point);
        }
    }
    let mut tables = Vec::with_capacity(cold.len() * LANES);
    if !points.is_empty() {
        let inverses = inverses_of(cpu, &points);
        let entries = Shape::TINY.entries();
        for (points, inverses) in points.chunks(entries).zip(inverses.chunks(entries)) {
            tables.extend(entries_of(points, inverses));
        }
    }
    (tables, masks)
}

/// The tables of the negatives of up to eight keys; `None` for a key that is no point.
#[inline(always)]
pub(super) fn build(cpu: Cpu, keys: &[&Key], shape: Shape) -> Vec<Option<Box<[Entry]>>> {
    let padded = std::array::from_fn(|lane| keys[lane.min(keys.len() - 1)]);
    let (key, is_point) = Point::decompress(key_words(cpu, padded));
    let mut points = Vec::with_capacity(shape.entries());
    multiples(key.negate(), shape, &mut points);
    let inverses = inverses_of(cpu, &points);
    let tables = entries_of(&points, &inverses).into_iter().take(keys.len()).enumerate();
    tables.map(|(lane, table)| (is_point >> lane & 1 == 1).then_some(table)).collect()
}

#[inline(always)]
fn key_words(cpu: Cpu, keys: [&Key; LANES]) -> [Vector; 4] {
    from_lanes(cpu, keys.map(|key| crate::scalar::words(key.bytes())))
}

#[inline(always)]
fn inverses_of(cpu: Cpu, points: &[Point]) -> Vec<Field> {
    let mut zs = Vec::with_capacity(points.len());
    for point in points {
        zs.push(point.coordinates().2);
    }
    invert_all(cpu, &mut zs);
    zs
}

/// The points as the entries of eight tables.
#[inline(always)]
fn entries_of(points: &[Point], inverses: &[Field]) -> [Box<[Entry]>; LANES] {
    let mut tables: [Box<[Entry]>; LANES] =
        std::array::from_fn(|_| vec![Entry::ZERO; points.len()].into_boxed_slice());
    for (i, (point, inverse)) in points.iter().zip(inverses).enumerate() {
        let mut words = [[0; LANES]; 12];
        for (word, vector) in words.iter_mut().zip(entry_words(point, *inverse).as_flattened()) {
            *word = vector.lanes();
        }
        for (lane, table) in tables.iter_mut().enumerate() {
            let four = |first: usize| [0, 1, 2, 3].map(|i| words[first + i][lane]);
            table[i] = Entry::new(four(0), four(4), four(8));
        }
    }
    tables
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
