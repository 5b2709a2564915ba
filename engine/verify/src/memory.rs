//! Where the entries of tables lie: in pages of 2 MiB where the system gives such, for a check
//! reads a hundred lines of memory, nearly each in another page, and looking up small pages took
//! longer than reading them (docs/BENCHMARKS.md). Owns that memory for the whole process and hands
//! it out table by table; what comes back is used again, and is never given back to the system.
//! Never knows whose a table is.

use crate::table::Entry;
use std::alloc::{Layout, alloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::mem::{MaybeUninit, take};
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A huge page of x86-64, and the usual one of others.
const HUGE_PAGE: usize = 2 << 20;
/// Memory is asked for in such pieces: three huge pages hold 512, 136 or 16 tables of keys, and
/// leave less than half a per cent empty.
const CHUNK: usize = 3 * HUGE_PAGE;

/// The entries of one table, all written. Dropped, the memory serves the next table of its size.
#[derive(Debug)]
pub(crate) struct Room(&'static mut [MaybeUninit<Entry>]);

/// A table that is being written, from its last entry to its first.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Not written below `left` yet, so not for anyone to see.
    room: Room,
    left: usize,
}

/// Memory for tables of one size.
#[derive(Default)]
struct Shelf {
    /// Of tables that are gone.
    free: Vec<&'static mut [MaybeUninit<Entry>]>,
    /// Not used yet.
    fresh: &'static mut [MaybeUninit<Entry>],
}

/// By the entries of a table.
static SHELVES: Mutex<BTreeMap<usize, Shelf>> = Mutex::new(BTreeMap::new());

fn shelves() -> MutexGuard<'static, BTreeMap<usize, Shelf>> {
    // Whole whenever the lock is free: no step under it panics half-way.
    SHELVES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory for so many entries that nobody else has.
fn take_memory(entries: usize) -> &'static mut [MaybeUninit<Entry>] {
    let mut shelves = shelves();
    let shelf = shelves.entry(entries).or_default();
    if let Some(room) = shelf.free.pop() {
        return room;
    }
    if shelf.fresh.len() < entries {
        shelf.fresh = chunk(entries);
    }
    let (first, rest) = take(&mut shelf.fresh).split_at_mut(entries);
    shelf.fresh = rest;
    first
}

impl Room {
    /// A copy of these entries.
    pub fn of(entries: &[Entry]) -> Self {
        let memory = take_memory(entries.len());
        memory.write_copy_of_slice(entries);
        Self(memory)
    }
}

impl Draft {
    /// Of a table of so many entries.
    pub fn new(entries: usize) -> Self {
        Self { room: Room(take_memory(entries)), left: entries }
    }

    /// Puts an entry before those that are there.
    #[inline]
    pub fn push(&mut self, entry: &Entry) {
        self.left -= 1;
        self.room.0[self.left].write(*entry);
    }

    /// The table, all entries of which have been pushed.
    pub fn finish(self) -> Room {
        assert_eq!(self.left, 0, "a table is written whole");
        self.room
    }
}

impl Deref for Room {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        // SAFETY: `of` has written each entry; `finish` hands a room out only after as many pushes
        // as it has entries, each of which wrote the entry below the one before it. Nobody sees the
        // room of a draft.
        #[allow(unsafe_code)]
        unsafe {
            self.0.assume_init_ref()
        }
    }
}

#[cfg(test)]
impl std::ops::DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [Entry] {
        // SAFETY: as for `deref`.
        #[allow(unsafe_code)]
        unsafe {
            self.0.assume_init_mut()
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let room = take(&mut self.0);
        shelves().entry(room.len()).or_default().free.push(room);
    }
}

/// Memory for at least one table of so many entries, in huge pages if the system likes: it is asked
/// for before anything is written, so pages are made as they are first used.
fn chunk(entries: usize) -> &'static mut [MaybeUninit<Entry>] {
    let bytes = (entries * size_of::<Entry>()).next_multiple_of(HUGE_PAGE).max(CHUNK);
    let layout = Layout::from_size_align(bytes, HUGE_PAGE).expect("a few MiB");
    // SAFETY: the layout is not of size 0. What is allocated is never given back, so it may be
    // borrowed for ever, and this is the only borrow; it is as long as the slice says, aligned for
    // any entry, and `MaybeUninit` may hold anything. The advice is about whole pages that are
    // ours, and changes nothing of what they hold.
    #[allow(unsafe_code)]
    unsafe {
        let start = alloc(layout);
        if start.is_null() {
            handle_alloc_error(layout);
        }
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            use rustix::mm::{Advice, madvise};
            // Without huge pages all is slower and nothing else.
            let _ = madvise(start.cast(), bytes, Advice::LinuxHugepage);
        }
        std::slice::from_raw_parts_mut(start.cast(), bytes / size_of::<Entry>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, word: u64) -> Vec<Entry> {
        (0..count as u64).map(|i| Entry::new([word; 4], [i; 4], [word + i; 4])).collect()
    }

    #[test]
    fn rooms_hold_what_was_put_there_and_do_not_overlap() {
        // A size of its own, so that no other test takes from its shelf; a chunk has five.
        let count = 13_001;
        let made: Vec<Vec<Entry>> = (0..7).map(|word| entries(count, 100 * word)).collect();
        let mut rooms: Vec<Room> = made.iter().map(|entries| Room::of(entries)).collect();
        assert!(rooms.iter().zip(&made).all(|(room, made)| room[..] == made[..]));
        let start = rooms[3].as_ptr();
        drop(rooms.remove(3));
        let next = entries(count, 7);
        let again = Room::of(&next);
        assert_eq!(again.as_ptr(), start, "what came back is used first");
        assert!(again[..] == next[..]);
        let others = made.iter().enumerate().filter(|(i, _)| *i != 3).map(|(_, made)| made);
        assert!(rooms.iter().zip(others).all(|(room, made)| room[..] == made[..]));
    }

    #[test]
    fn a_table_larger_than_a_chunk_has_room() {
        let large = entries(CHUNK / size_of::<Entry>() + 1, 5);
        assert!(Room::of(&large)[..] == large[..]);
    }

    #[test]
    fn a_draft_is_written_from_the_end() {
        // A size of its own.
        let made = entries(13_002, 9);
        let mut draft = Draft::new(made.len());
        made.iter().rev().for_each(|entry| draft.push(entry));
        assert!(draft.finish()[..] == made[..]);
        let begun = Draft::new(made.len());
        let start = begun.room.0.as_ptr();
        drop(begun);
        assert_eq!(
            Draft::new(made.len()).room.0.as_ptr(),
            start,
            "what was given up is used again"
        );
    }

    #[test]
    #[should_panic(expected = "a table is written whole")]
    fn a_draft_that_is_not_whole_is_no_table() {
        let mut draft = Draft::new(13_003);
        draft.push(&Entry::ZERO);
        draft.finish();
    }

    /// So that each entry lies in two lines, and chunks are whole pages.
    #[test]
    fn chunks_begin_at_a_huge_page() {
        let chunk = chunk(17);
        assert!(chunk.as_ptr().addr().is_multiple_of(HUGE_PAGE));
        assert_eq!(size_of_val(chunk), CHUNK);
    }
}
