//! Entries of eight tables, found by a vector of indices.

use super::vector::{Cpu, LANES, Mask, Vector};
use crate::table::Entry;
use std::marker::PhantomData;

/// Where eight tables begin, and how many entries they have.
pub(super) struct Places<'a> {
    starts: Vector,
    lengths: Vector,
    tables: PhantomData<&'a [Entry]>,
}

/// The entry that each lane adds next. Found, and its place looked at, once: it is asked for long
/// before it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick<'a> {
    /// Addresses of entries.
    places: [u64; LANES],
    /// Where the entry is taken away.
    pub negative: Mask,
    tables: PhantomData<&'a [Entry]>,
}

impl<'a> Places<'a> {
    #[inline(always)]
    pub fn new(cpu: Cpu, tables: [&'a [Entry]; LANES]) -> Self {
        let starts = tables.map(|table| table.as_ptr().expose_provenance() as u64);
        let lengths = tables.map(|table| table.len() as u64);
        Self { starts: cpu.load(&starts), lengths: cpu.load(&lengths), tables: PhantomData }
    }

    /// The entry with that index in each table. Eight indices are compared with the tables' lengths
    /// at once, and eight places are computed at once: one by one it took a twelfth of all time.
    ///
    /// # Panics
    /// If a table has no such entry.
    #[inline(always)]
    pub fn pick(&self, indices: Vector, negative: Mask) -> Pick<'a> {
        // Below 2^63, as lengths are, so the difference has the sign of what it stands for.
        let outside = indices.negative() | !indices.sub(self.lengths).negative();
        assert_eq!(outside, 0, "an index is outside its table");
        const { assert!(size_of::<Entry>() == 64 + 32) };
        let places = self.starts.add(indices.shl::<6>()).add(indices.shl::<5>());
        Pick { places: places.lanes(), negative, tables: PhantomData }
    }
}

impl<'a> Pick<'a> {
    /// The entry of each lane.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "it was a `usize`")]
    pub fn entries(&self) -> [&'a Entry; LANES] {
        self.places.map(|place| {
            let entry = std::ptr::with_exposed_provenance::<Entry>(place as usize);
            // SAFETY: only `Places::pick` makes a `Pick`. Each index was below the length of its
            // table there, so that many entries after its start is an entry of it; the tables are
            // borrowed for 'a, and their provenance was exposed.
            #[allow(unsafe_code)]
            unsafe {
                &*entry
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> [Vec<Entry>; LANES] {
        std::array::from_fn(|lane| {
            (0..5 + lane as u64)
                .map(|i| Entry::new([i; 4], [lane as u64; 4], [7; 4]))
                .collect::<Vec<_>>()
        })
    }

    #[test]
    fn each_lane_finds_the_entry_of_its_own_table() {
        let Some(cpu) = Cpu::detect() else { return };
        let tables = tables();
        let places = Places::new(cpu, tables.each_ref().map(|table| &table[..]));
        for indices in [[0; LANES], [4, 5, 6, 7, 8, 9, 10, 11], [3, 1, 4, 1, 5, 2, 6, 5]] {
            let found = places.pick(cpu.load(&indices), 0).entries();
            for (lane, entry) in found.into_iter().enumerate() {
                let index = usize::try_from(indices[lane]).unwrap();
                assert!(std::ptr::eq(entry, &raw const tables[lane][index]));
            }
        }
    }

    #[test]
    fn an_index_outside_its_table_is_refused_in_every_lane() {
        let Some(cpu) = Cpu::detect() else { return };
        let tables = tables();
        for lane in 0..LANES {
            let length = tables[lane].len() as u64;
            let beyond = [length + 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX];
            for outside in beyond.into_iter().chain([length]) {
                let mut indices = [0; LANES];
                indices[lane] = outside;
                let found = std::panic::catch_unwind(|| {
                    let places = Places::new(cpu, tables.each_ref().map(|table| &table[..]));
                    places.pick(cpu.load(&indices), 0).negative
                });
                assert!(found.is_err(), "{outside} in lane {lane}");
            }
        }
    }
}
