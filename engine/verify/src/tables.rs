//! Where the tables of keys live: three tiers of slots within a byte budget, read by every thread
//! without a lock. Owns who gets a slot and who loses it; never builds a table and never looks into
//! one.
//!
//! A key only remembers the slot where its table was put. The table says whose it is, so a slot can
//! be given away without telling its old owner, who finds another's name there and is a key without
//! a table again.
//!
//! Who loses a slot is found by a second-chance sweep: the hand passes over slots that were used
//! since it last came by. `verifier.rs` sells slots of a full tier so slowly that one round of the
//! hand outlasts many thousands of signatures: whoever signs more often than that keeps its table,
//! however many other keys come and go.

use crate::key::{KEY_BYTES, Key};
use crate::memory::Room;
use crate::table::{Table, Tier};
use crossbeam::epoch::{self, Atomic, Guard, Owned, Shared};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Slots that the hand passes in one round of building, and never more than half of a tier: whoever
/// is in use gets the time to show it before the hand comes by again.
const SWEEP_MAX: usize = 64;

/// All tiers, in the order of `Tier::ALL`.
#[derive(Debug)]
pub(crate) struct Tables([Slots; 3]);

/// What has happened in one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierStatus {
    /// Tables that fit.
    pub capacity: u64,
    /// Tables that are there.
    pub tables: u64,
    /// Tables built since the start.
    pub built: u64,
    /// Tables that had to go for others since the start.
    pub evicted: u64,
}

#[derive(Debug)]
struct Slots {
    slots: Box<[Slot]>,
    owners: Mutex<Owners>,
    /// How many are free, for those who only want to know that.
    room: AtomicUsize,
    built: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    table: Atomic<Table>,
    /// `IDLE`, `USED` or `RESERVED`.
    state: AtomicU8,
}

impl Slot {
    /// Whether there is a table in it; one that is not is among the free ones.
    fn is_taken(&self) -> bool {
        !self.table.load(Ordering::Relaxed, &epoch::pin()).is_null()
    }
}

/// Not used since the hand last came by.
const IDLE: u8 = 0;
/// Used since.
const USED: u8 = 1;
/// A table is being built for it: the hand passes over it.
const RESERVED: u8 = 2;

#[derive(Debug)]
struct Owners {
    free: Vec<u32>,
    hand: usize,
}

/// A slot that was taken for a table that is being built.
#[derive(Debug)]
pub(crate) struct Place {
    tier: Tier,
    slot: u32,
}

/// The tier stands above the slot.
const SLOT_BITS: u32 = 30;
const SLOTS_MAX: u32 = (1 << SLOT_BITS) - 1;

impl Place {
    /// Never 0, which is "nowhere".
    fn to_bits(&self) -> u32 {
        (self.tier as u32) << SLOT_BITS | (self.slot + 1)
    }

    fn from_bits(bits: u32) -> Option<Self> {
        let tier = Tier::ALL[(bits >> SLOT_BITS) as usize];
        Some(Self { tier, slot: (bits & SLOTS_MAX).checked_sub(1)? })
    }
}

impl Tables {
    /// Empty, within `bytes`: half for small tables, a quarter each for large and hot ones.
    pub fn new(bytes: usize) -> Self {
        let quarter = bytes / 4;
        Self([
            Slots::new(Tier::Small, bytes - 2 * quarter),
            Slots::new(Tier::Large, quarter),
            Slots::new(Tier::Hot, quarter),
        ])
    }

    fn tier(&self, tier: Tier) -> &Slots {
        &self.0[tier as usize]
    }

    /// The key's table, if it has one now.
    pub fn find<'g>(&self, key: &Key, guard: &'g Guard) -> Option<&'g Table> {
        let bits = key.place.load(Ordering::Acquire);
        let place = Place::from_bits(bits)?;
        let found = self.tier(place.tier).get(place.slot, guard);
        let own = found.filter(|table| table.owner == *key.bytes());
        if own.is_none() {
            // Not if another thread has put a new table somewhere else meanwhile.
            let _ = key.place.compare_exchange(bits, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        own
    }

    /// Remembers that the key's table was of use.
    pub fn used(&self, key: &Key) {
        if let Some(place) = Place::from_bits(key.place.load(Ordering::Relaxed)) {
            let state = &self.tier(place.tier).slots[place.slot as usize].state;
            // Mostly set already: reading leaves the line shared between cores.
            if state.load(Ordering::Relaxed) == IDLE {
                let _ = state.compare_exchange(IDLE, USED, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Whether a slot can be had without taking it from anyone.
    pub fn has_room(&self, tier: Tier) -> bool {
        self.tier(tier).room.load(Ordering::Relaxed) > 0
    }

    /// Takes up to `count` slots: free ones, then such as were not used of late. Each must be `put`
    /// to use.
    pub fn reserve(&self, tier: Tier, count: usize) -> Vec<Place> {
        let slots = self.tier(tier).reserve(count);
        slots.into_iter().map(|slot| Place { tier, slot }).collect()
    }

    /// Puts the key's table where room was taken for it. Its table of the other tier, if it had
    /// one, makes room for others.
    pub fn put(&self, place: &Place, key: &Key, entries: Room, guard: &Guard) {
        let table = Table::new(*key.bytes(), place.tier, entries);
        self.tier(place.tier).replace(place.slot, Some(table), guard);
        let before = key.place.swap(place.to_bits(), Ordering::AcqRel);
        if let Some(old) = Place::from_bits(before).filter(|old| old.tier != place.tier) {
            self.tier(old.tier).give_back(old.slot, key.bytes(), guard);
        }
        guard.flush();
    }

    /// What has happened in a tier since the start.
    pub fn status(&self, tier: Tier) -> TierStatus {
        self.tier(tier).status()
    }

    /// Flips one bit of the key's table: for the tests of the alarm.
    #[cfg(test)]
    pub fn corrupt(&self, key: &Key) {
        let guard = epoch::pin();
        let table = self.find(key, &guard).expect("the key has a table");
        let place = Place::from_bits(key.place.load(Ordering::Acquire)).unwrap();
        let damaged = table.damaged();
        self.tier(place.tier).replace(place.slot, Some(damaged), &guard);
    }
}

impl Slots {
    fn new(tier: Tier, bytes: usize) -> Self {
        let count = u32::try_from(bytes / tier.bytes()).unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
        let slot = |_| Slot { table: Atomic::null(), state: AtomicU8::new(IDLE) };
        Self {
            slots: (0..count).map(slot).collect(),
            owners: Mutex::new(Owners { free: (0..count).rev().collect(), hand: 0 }),
            room: AtomicUsize::new(count as usize),
            built: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        // Whole whenever the lock is free: no step under it panics half-way.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get<'g>(&self, slot: u32, guard: &'g Guard) -> Option<&'g Table> {
        let table = self.slots[slot as usize].table.load(Ordering::Acquire, guard);
        // SAFETY: what is in a slot was made by `Owned::new` and published by `replace` with
        // release ordering, which the acquire load above meets. It is destroyed only through
        // `defer_destroy` after it left the slot, so not before every guard that could have loaded
        // it is dropped; the reference cannot outlive `guard`.
        #[allow(unsafe_code)]
        unsafe {
            table.as_ref()
        }
    }

    /// Puts a table (or nothing) into a slot; whether there was one before.
    fn replace(&self, slot: u32, table: Option<Table>, guard: &Guard) -> bool {
        let slot = &self.slots[slot as usize];
        self.built.fetch_add(u64::from(table.is_some()), Ordering::Relaxed);
        slot.state.store(if table.is_some() { USED } else { IDLE }, Ordering::Relaxed);
        let new = table.map_or(Shared::null(), |table| Owned::new(table).into_shared(guard));
        let old = slot.table.swap(new, Ordering::AcqRel, guard);
        if old.is_null() {
            return false;
        }
        // SAFETY: the swap took `old` out of its only home, so it is handed to `defer_destroy` once
        // and no thread that pins from now on can reach it; those pinned already keep it alive.
        #[allow(unsafe_code)]
        unsafe {
            guard.defer_destroy(old);
        }
        true
    }

    fn reserve(&self, count: usize) -> Vec<u32> {
        let mut owners = self.owners();
        let left = owners.free.len().saturating_sub(count);
        let mut taken = owners.free.split_off(left);
        self.room.store(left, Ordering::Relaxed);
        for _ in 0..self.slots.len().div_ceil(2).min(SWEEP_MAX) {
            if taken.len() == count {
                break;
            }
            let slot = owners.hand;
            owners.hand = (slot + 1) % self.slots.len();
            let found = &self.slots[slot];
            let state = found.state.load(Ordering::Relaxed);
            if state == USED {
                found.state.store(IDLE, Ordering::Relaxed);
            } else if state == IDLE && found.is_taken() {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                taken.push(u32::try_from(slot).expect("slots are counted in 30 bits"));
            }
        }
        for slot in &taken {
            self.slots[*slot as usize].state.store(RESERVED, Ordering::Relaxed);
        }
        taken
    }

    /// Empties a slot if it still is this owner's.
    fn give_back(&self, slot: u32, owner: &[u8; KEY_BYTES], guard: &Guard) {
        let mut owners = self.owners();
        if self.get(slot, guard).is_some_and(|table| table.owner == *owner) {
            self.replace(slot, None, guard);
            owners.free.push(slot);
            self.room.store(owners.free.len(), Ordering::Relaxed);
        }
    }

    fn status(&self) -> TierStatus {
        let capacity = self.slots.len() as u64;
        TierStatus {
            capacity,
            tables: capacity - self.owners().free.len() as u64,
            built: self.built.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let guard = epoch::pin();
        for slot in 0..self.slots.len() {
            self.replace(u32::try_from(slot).expect("slots are counted in 30 bits"), None, &guard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Entry;

    fn key(number: u8) -> Key {
        Key::new([number; KEY_BYTES])
    }

    /// A table that says whose it is in each entry.
    fn entries(key: &Key, tier: Tier) -> Box<[Entry]> {
        let word = u64::from(key.bytes()[0]);
        vec![Entry::new([word; 4], [word; 4], [word; 4]); tier.shape().entries()].into()
    }

    fn give(tables: &Tables, tier: Tier, key: &Key, guard: &Guard) -> bool {
        let places = tables.reserve(tier, 1);
        for place in &places {
            tables.put(place, key, Room::of(&entries(key, tier)), guard);
        }
        !places.is_empty()
    }

    #[test]
    fn a_larger_table_gives_the_smaller_one_s_slot_back() {
        let tables = Tables::new(4 * Tier::Hot.bytes());
        let (key, guard) = (key(1), epoch::pin());
        let held = || Tier::ALL.map(|tier| tables.status(tier).tables);
        for (tier, expected) in Tier::ALL.into_iter().zip([[1, 0, 0], [0, 1, 0], [0, 0, 1]]) {
            assert!(give(&tables, tier, &key, &guard));
            assert_eq!(tables.find(&key, &guard).map(|table| table.tier), Some(tier));
            assert_eq!(held(), expected);
        }
        assert!(tables.has_room(Tier::Small) && !tables.has_room(Tier::Hot));
    }

    #[test]
    fn whoever_is_used_between_two_sweeps_stays() {
        let tables = Tables::new(8 * Tier::Small.bytes());
        let (keys, guard) = ([1, 2, 3, 4].map(key), epoch::pin());
        assert!(keys.iter().all(|key| give(&tables, Tier::Small, key, &guard)));
        for number in 5..60 {
            tables.used(&keys[2]);
            give(&tables, Tier::Small, &key(number), &guard);
            assert!(tables.find(&keys[2], &guard).is_some());
        }
        assert!(tables.status(Tier::Small).evicted > 10);
        assert!(tables.find(&keys[0], &guard).is_none());
    }

    /// Readers hold on to tables while writers replace them: what is read is whole and one's own.
    /// This is what miri is for.
    #[test]
    fn readers_see_whole_tables_of_their_own_while_others_replace_them() {
        let rounds = if cfg!(miri) { 12 } else { 3_000 };
        let tables = Tables::new(6 * Tier::Small.bytes());
        let keys: Vec<Key> = (1..=9).map(key).collect();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (tables, keys) = (&tables, &keys);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let guard = epoch::pin();
                        for key in keys {
                            let Some(table) = tables.find(key, &guard) else { continue };
                            assert_eq!(table.owner, *key.bytes());
                            let expected = [u64::from(key.bytes()[0]); 4];
                            assert_eq!(table.entries[round % 128].xy2d, expected);
                        }
                        give(tables, Tier::Small, &keys[(3 * round + thread) % 9], &guard);
                    }
                });
            }
        });
        assert!(tables.status(Tier::Small).built > tables.status(Tier::Small).capacity);
    }
}
