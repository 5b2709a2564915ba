//! The checks of one call, in groups of eight. Written once; each module of vectors compiles it for
//! its own instructions, and calls it from a function that has them.
//!
//! Owns how checks are put into groups whose keys' tables have the same shape, and what groups
//! share: the tables of keys that have none, one inversion, the comparison with R. A group that is
//! not full repeats a check, so nothing waits for company. No result depends on another: lanes
//! never mix, and what a lane shares over several groups, the inversion, stands even a Z of 0.

use super::build::{self, key_words};
use super::group::{self, Buffers, Computed, Group};
use super::point::{Point, encode};
use super::power::invert_all;
use super::vector::{Cpu, LANES, Mask};
use super::words::equal;
use crate::Verdict;
use crate::table::{Entry, Shape, Tier};
use crate::verifier::Job;

/// What one thread keeps between its calls.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    buffers: Buffers,
    pub(super) building: build::Buffers,
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
    let (tiny, mut points) = tiny_tables(cpu, &mut scratch.building, jobs, &groups);
    let cold = groups.len();
    let mut shapes = vec![Shape::TINY; cold];
    for tier in Tier::ALL {
        groups.extend(groups_of(jobs, Some(tier)));
        shapes.resize(groups.len(), tier.shape());
    }
    points.resize(groups.len(), !0);
    let mut digests = Vec::with_capacity(groups.len() + 1);
    for two in groups.chunks(2) {
        let checks = |nth: usize| two[nth.min(two.len() - 1)].0.map(|i| jobs[i].check);
        digests.extend(group::hash_two(cpu, [checks(0), checks(1)], &mut scratch.buffers));
    }
    let mut computed: Vec<Computed> = Vec::with_capacity(groups.len());
    let mut picks = Vec::new();
    for (g, (members, _)) in groups.iter().enumerate() {
        let table = |lane: usize| match jobs[members[lane]].table {
            Some(table) => &table.entries[..],
            None => &tiny[(g * LANES + lane) * Shape::TINY.entries()..][..Shape::TINY.entries()],
        };
        let checks = members.map(|i| jobs[i].check);
        let (tables, digest) = (std::array::from_fn(table), digests[g]);
        let group = Group { checks, tables, shape: shapes[g], digest };
        computed.push(super::compute(cpu, &group, points[g], base, &mut picks));
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

/// Tables of the smallest shape for keys that have none, table after table, and which of them are
/// points, group by group.
#[inline(always)]
fn tiny_tables(
    cpu: Cpu,
    buffers: &mut build::Buffers,
    jobs: &[Job<'_>],
    cold: &[([usize; LANES], usize)],
) -> (Vec<Entry>, Vec<Mask>) {
    const ENTRIES: usize = Shape::TINY.entries();
    let mut tables = vec![Entry::ZERO; cold.len() * LANES * ENTRIES];
    let mut masks = Vec::with_capacity(cold.len());
    buffers.clear(cpu, cold.len() * ENTRIES);
    for two in cold.chunks(2) {
        let keys = |nth: usize| two[nth.min(two.len() - 1)].0.map(|i| jobs[i].check.key);
        let keys = [key_words(cpu, keys(0)), key_words(cpu, keys(1))];
        for (key, is_point) in Point::decompress_two(keys).into_iter().take(two.len()) {
            buffers.push_odd_multiples(key.negate(), ENTRIES);
            masks.push(is_point);
        }
    }
    if !cold.is_empty() {
        buffers.each_entry(cpu, |i, entries| {
            let group = &mut tables[i / ENTRIES * LANES * ENTRIES..][..LANES * ENTRIES];
            for (table, entry) in group.chunks_exact_mut(ENTRIES).zip(entries) {
                table[i % ENTRIES] = *entry;
            }
        });
    }
    (tables, masks)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
