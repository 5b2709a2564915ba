//! Finds a channel's place by its id: one word for each channel, eight words in a line of the
//! cache.
//!
//! Owns the words alone: ids are where the channels are, and whoever asks says whether the id at a
//! place is the one that is meant. It grows a little with each channel that is added, never all at
//! once: who pays would wait for that.

use super::ChannelIndex;
use crate::types::ChannelId;
use foldhash::fast::RandomState;
use std::hash::BuildHasher as _;

/// Words of one line.
const WORDS: usize = 8;
/// Bits of a word that are the place, and 1 more than it; the others are of the id's hash.
const PLACE_BITS: u32 = 40;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// A word that was taken out of a full line: what was put behind it is still to be found.
const GONE: u64 = PLACE_MASK;

/// Words of one line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; WORDS]);

const EMPTY: Line = Line([0; WORDS]);

/// Lines, a power of two of them. A word is in the line that its hash gives, or in the next one
/// that had room.
struct Lines {
    lines: Vec<Line>,
    /// Words that are not empty.
    used: usize,
}

/// Where an id is looked for.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::shard) struct Hash(u64);

impl Hash {
    /// What a word holds of it.
    fn tag(self) -> u64 {
        self.0 >> PLACE_BITS
    }
}

impl Lines {
    /// With so many words at least.
    fn of_words(words: usize) -> Self {
        Self { lines: vec![EMPTY; words.div_ceil(WORDS).next_power_of_two()], used: 0 }
    }

    /// Three quarters are used: from here on lines overflow.
    fn is_full(&self) -> bool {
        self.used >= self.lines.len() * WORDS / 4 * 3
    }

    fn home(&self, hash: Hash) -> usize {
        let mask = u64::try_from(self.lines.len() - 1).expect("a length fits 64 bits");
        usize::try_from(hash.0 & mask).expect("it is below a length")
    }

    fn next(&self, line: usize) -> usize {
        (line + 1) & (self.lines.len() - 1)
    }

    /// The line and word that `is` it.
    #[inline]
    fn find(&self, hash: Hash, is: impl Fn(ChannelIndex) -> bool) -> Option<(usize, usize)> {
        let mut at = self.home(hash);
        loop {
            let words = &self.lines[at].0;
            let (mut alike, mut empty) = (0u32, false);
            for (place, word) in words.iter().enumerate() {
                alike |= u32::from(word >> PLACE_BITS == hash.tag() && *word != 0) << place;
                empty |= *word == 0;
            }
            while alike != 0 {
                let place = alike.trailing_zeros() as usize;
                if words[place] != GONE && is(index(words[place])) {
                    return Some((at, place));
                }
                alike &= alike - 1;
            }
            if empty {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Puts in a word that is not there.
    fn insert(&mut self, hash: Hash, index: ChannelIndex) {
        let mut at = self.home(hash);
        loop {
            if let Some(word) = self.lines[at].0.iter_mut().find(|word| **word == 0) {
                *word = word_of(hash, index);
                self.used += 1;
                return;
            }
            at = self.next(at);
        }
    }

    fn remove(&mut self, (line, place): (usize, usize)) {
        let words = &mut self.lines[line].0;
        // Nothing was put behind a line that has room.
        let has_room = words.contains(&0);
        words[place] = if has_room { 0 } else { GONE };
        self.used -= usize::from(has_room);
    }
}

fn word_of(hash: Hash, index: ChannelIndex) -> u64 {
    let place = u64::try_from(index).expect("an index fits 64 bits") + 1;
    assert!(place < GONE, "channels are limited by memory");
    hash.tag() << PLACE_BITS | place
}

fn index(word: u64) -> ChannelIndex {
    ChannelIndex::try_from((word & PLACE_MASK) - 1).expect("it was an index")
}

/// Where every channel is.
pub(super) struct Index {
    hasher: RandomState,
    lines: Lines,
    /// What was there before it grew, and how many of those lines were copied. They stay as they
    /// were until all are.
    before: Option<(Lines, usize)>,
    count: usize,
}

impl Index {
    pub fn new() -> Self {
        let (hasher, lines) = (RandomState::default(), Lines::of_words(WORDS));
        Self { hasher, lines, before: None, count: 0 }
    }

    /// How many channels it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Where an id is looked for.
    pub fn hash(&self, id: &ChannelId) -> Hash {
        Hash(self.hasher.hash_one(id))
    }

    /// Reads where an id would be, so that it is in the cache when it is looked for.
    pub fn touch(&self, hash: Hash) -> u64 {
        self.lines.lines[self.lines.home(hash)].0[0]
    }

    /// A place that looks like it, where it stands in the line that its hash gives.
    pub fn likely(&self, hash: Hash) -> Option<ChannelIndex> {
        let words = &self.lines.lines[self.lines.home(hash)].0;
        let alike = |word: &u64| word >> PLACE_BITS == hash.tag() && *word != 0 && *word != GONE;
        words.iter().copied().find(alike).map(index)
    }

    /// The place that `is` it.
    #[inline]
    pub fn find(&self, hash: Hash, is: impl Fn(ChannelIndex) -> bool) -> Option<ChannelIndex> {
        if let Some((line, place)) = self.lines.find(hash, &is) {
            return Some(index(self.lines.lines[line].0[place]));
        }
        let (before, _) = self.before.as_ref()?;
        let (line, place) = before.find(hash, is)?;
        Some(index(before.lines[line].0[place]))
    }

    /// Adds a place whose id is not there. `hash_at` gives the hash of what is at a place.
    pub fn insert(
        &mut self,
        hash: Hash,
        index: ChannelIndex,
        hash_at: impl Fn(&Self, ChannelIndex) -> Hash,
    ) {
        self.copy(1, &hash_at);
        if self.lines.is_full() {
            // Half of the new words are used at most: long before these are full, the lines of
            // before are copied.
            self.copy(usize::MAX, &hash_at);
            let lines = Lines::of_words(2 * (self.count + 1));
            self.before = Some((std::mem::replace(&mut self.lines, lines), 0));
        }
        self.lines.insert(hash, index);
        self.count += 1;
    }

    /// Takes out the place that `is` it, if it is there.
    pub fn remove(
        &mut self,
        hash: Hash,
        is: impl Fn(ChannelIndex) -> bool,
        hash_at: impl Fn(&Self, ChannelIndex) -> Hash,
    ) {
        self.copy(usize::MAX, &hash_at);
        if let Some(found) = self.lines.find(hash, is) {
            self.lines.remove(found);
            self.count -= 1;
        }
    }

    /// Room for so many more, at once.
    pub fn reserve(&mut self, more: usize, hash_at: impl Fn(&Self, ChannelIndex) -> Hash) {
        self.copy(usize::MAX, &hash_at);
        let lines = Lines::of_words((self.count + more).div_ceil(3) * 4);
        if lines.lines.len() > self.lines.lines.len() {
            self.before = Some((std::mem::replace(&mut self.lines, lines), 0));
            self.copy(usize::MAX, &hash_at);
        }
    }

    /// Copies up to so many more lines of those before.
    fn copy(&mut self, limit: usize, hash_at: &impl Fn(&Self, ChannelIndex) -> Hash) {
        let Some((before, from)) = self.before.take() else { return };
        let to = before.lines.len().min(from.saturating_add(limit));
        for line in &before.lines[from..to] {
            for word in line.0.iter().filter(|word| **word != 0 && **word != GONE) {
                let hash = hash_at(self, index(*word));
                self.lines.insert(hash, index(*word));
            }
        }
        if to < before.lines.len() {
            self.before = Some((before, to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn id(number: u16) -> ChannelId {
        ChannelId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    /// The index and, in the place of channels, their ids.
    struct Held {
        index: Index,
        ids: Vec<ChannelId>,
        /// Bits of the hash that count: with few of them all collide.
        bits: u64,
    }

    impl Held {
        fn hash(&self, id: &ChannelId) -> Hash {
            Hash(self.index.hash(id).0 & self.bits)
        }

        fn find(&self, id: ChannelId) -> Option<ChannelIndex> {
            self.index.find(self.hash(&id), |at| self.ids[at] == id)
        }

        fn insert(&mut self, id: ChannelId) -> ChannelIndex {
            let (hash, place, bits) = (self.hash(&id), self.ids.len(), self.bits);
            self.ids.push(id);
            let ids = &self.ids;
            self.index.insert(hash, place, |index, at| Hash(index.hash(&ids[at]).0 & bits));
            place
        }

        fn remove(&mut self, id: ChannelId) {
            let (hash, ids, bits) = (self.hash(&id), &self.ids, self.bits);
            let hash_at = |index: &Index, at: usize| Hash(index.hash(&ids[at]).0 & bits);
            self.index.remove(hash, |at| ids[at] == id, hash_at);
        }

        fn reserve(&mut self, more: usize) {
            let (ids, bits) = (&self.ids, self.bits);
            self.index.reserve(more, |index, at| Hash(index.hash(&ids[at]).0 & bits));
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16),
        Remove(u16),
        Reserve(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            20 => (0u16..900).prop_map(Step::Insert),
            6 => (0u16..900).prop_map(Step::Remove),
            1 => (0usize..300).prop_map(Step::Reserve),
        ];
        prop::collection::vec(step, 1..1_500)
    }

    proptest! {
        /// While it grows, while some leave, with hashes that are good, and with some that are not.
        #[test]
        fn it_finds_what_a_map_holds(steps in steps(), bits in prop::sample::select(vec![
            u64::MAX, 0, 0xff, 0x3 << 62, (0x1 << 62) | 0xf,
        ])) {
            let mut held = Held { index: Index::new(), ids: Vec::new(), bits };
            let mut model: HashMap<u16, ChannelIndex> = HashMap::new();
            for step in steps {
                match step {
                    Step::Insert(number) => {
                        prop_assert_eq!(held.find(id(number)), model.get(&number).copied());
                        model.entry(number).or_insert_with(|| held.insert(id(number)));
                    }
                    Step::Remove(number) => {
                        held.remove(id(number));
                        model.remove(&number);
                        prop_assert_eq!(held.find(id(number)), None);
                    }
                    Step::Reserve(more) => held.reserve(more),
                }
                prop_assert_eq!(held.index.len(), model.len());
            }
            for number in 0..900 {
                prop_assert_eq!(held.find(id(number)), model.get(&number).copied());
            }
        }
    }

    /// What came and went for ever is not kept for ever.
    #[test]
    fn what_has_left_makes_room() {
        let mut held = Held { index: Index::new(), ids: Vec::new(), bits: u64::MAX };
        for number in 0..60_000 {
            held.insert(id(number));
            if let Some(old) = number.checked_sub(100) {
                held.remove(id(old));
            }
        }
        assert_eq!(held.index.len(), 100);
        assert!(held.index.lines.lines.len() <= 128, "{}", held.index.lines.lines.len());
    }
}
