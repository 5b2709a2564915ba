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

/// Lines, a power of two of them. A word is in the line that its hash gives, or in the next one
/// that had room.
struct Lines {
    /// The words of all lines, and before them what is skipped so that each line is one of the
    /// cache. They are zero without being written, so that a large table is there at once.
    words: Vec<u64>,
    skipped: usize,
    count: usize,
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
        let count = words.div_ceil(WORDS).next_power_of_two();
        let words = vec![0; (count + 1) * WORDS];
        // Where it cannot be told, lines lie across those of the cache, and work all the same.
        let skipped = words.as_ptr().align_offset(WORDS * size_of::<u64>()).min(WORDS);
        Self { words, skipped, count, used: 0 }
    }

    fn lines(&self) -> &[[u64; WORDS]] {
        self.words[self.skipped..][..self.count * WORDS].as_chunks().0
    }

    fn line_mut(&mut self, line: usize) -> &mut [u64] {
        &mut self.words[self.skipped + line * WORDS..][..WORDS]
    }

    /// Three quarters are used: from here on lines overflow.
    fn is_full(&self) -> bool {
        self.used >= self.count * WORDS / 4 * 3
    }

    fn home(&self, hash: Hash) -> usize {
        let mask = u64::try_from(self.count - 1).expect("a length fits 64 bits");
        usize::try_from(hash.0 & mask).expect("it is below a length")
    }

    fn next(&self, line: usize) -> usize {
        (line + 1) & (self.count - 1)
    }

    /// The line and word that `is` it.
    #[inline]
    fn find(&self, hash: Hash, is: impl Fn(ChannelIndex) -> bool) -> Option<(usize, usize)> {
        let (lines, mut at) = (self.lines(), self.home(hash));
        loop {
            let words = &lines[at];
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
        // Without an empty word a search for what is not there would not end.
        assert!(self.used < self.count * WORDS - 1, "an index has room");
        let mut at = self.home(hash);
        loop {
            let line = self.line_mut(at);
            if let Some(word) = line.iter_mut().find(|word| matches!(**word, 0 | GONE)) {
                let was_empty = *word == 0;
                *word = word_of(hash, index);
                self.used += usize::from(was_empty);
                return;
            }
            at = self.next(at);
        }
    }

    fn remove(&mut self, (line, place): (usize, usize)) {
        let words = self.line_mut(line);
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
        self.lines.lines()[self.lines.home(hash)][0]
    }

    /// A place that looks like it, where it stands in the line that its hash gives.
    pub fn likely(&self, hash: Hash) -> Option<ChannelIndex> {
        let words = &self.lines.lines()[self.lines.home(hash)];
        let alike = |word: &u64| word >> PLACE_BITS == hash.tag() && *word != 0 && *word != GONE;
        words.iter().copied().find(alike).map(index)
    }

    /// The place that `is` it.
    #[inline]
    pub fn find(&self, hash: Hash, is: impl Fn(ChannelIndex) -> bool) -> Option<ChannelIndex> {
        if let Some((line, place)) = self.lines.find(hash, &is) {
            return Some(index(self.lines.lines()[line][place]));
        }
        let (before, _) = self.before.as_ref()?;
        let (line, place) = before.find(hash, is)?;
        Some(index(before.lines()[line][place]))
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
            // Half of the new words are used at most when all are copied, and there are half as
            // many lines as before at least. So until all are, one with each channel that is added,
            // three quarters are used at most.
            assert!(self.before.is_none(), "all is copied before it grows again");
            let words = (2 * (self.count + 1)).max(self.lines.count * WORDS / 2);
            let lines = Lines::of_words(words);
            self.before = Some((std::mem::replace(&mut self.lines, lines), 0));
        }
        self.lines.insert(hash, index);
        self.count += 1;
    }

    /// Takes out the place that `is` it.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove(&mut self, hash: Hash, is: impl Fn(ChannelIndex) -> bool) {
        let mut found = false;
        // Also where it was copied from: whoever is found there is held.
        let before = self.before.iter_mut().map(|(before, _)| before);
        for lines in before.chain([&mut self.lines]) {
            if let Some(place) = lines.find(hash, &is) {
                lines.remove(place);
                found = true;
            }
        }
        assert!(found, "what is taken out is there");
        self.count -= 1;
    }

    /// Room for so many more, at once.
    pub fn reserve(&mut self, more: usize, hash_at: impl Fn(&Self, ChannelIndex) -> Hash) {
        self.copy(usize::MAX, &hash_at);
        let lines = Lines::of_words((self.count + more).div_ceil(3) * 4);
        if lines.count > self.lines.count {
            self.before = Some((std::mem::replace(&mut self.lines, lines), 0));
            self.copy(usize::MAX, &hash_at);
        }
    }

    /// Copies up to so many more lines of those before.
    fn copy(&mut self, limit: usize, hash_at: &impl Fn(&Self, ChannelIndex) -> Hash) {
        let Some((before, from)) = self.before.take() else { return };
        let to = before.count.min(from.saturating_add(limit));
        for line in &before.lines()[from..to] {
            for word in line.iter().filter(|word| **word != 0 && **word != GONE) {
                let hash = hash_at(self, index(*word));
                self.lines.insert(hash, index(*word));
            }
        }
        if to < before.count {
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
            let (hash, ids) = (self.hash(&id), &self.ids);
            self.index.remove(hash, |at| ids[at] == id);
        }

        fn is_within_bounds(&self) -> bool {
            self.index.lines.used <= self.index.lines.count * WORDS / 4 * 3 + 1
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
            60 => (0u16..900).prop_map(Step::Insert),
            30 => (0u16..900).prop_map(Step::Remove),
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
                        if model.remove(&number).is_some() {
                            held.remove(id(number));
                        }
                        prop_assert_eq!(held.find(id(number)), None);
                    }
                    Step::Reserve(more) => held.reserve(more),
                }
                prop_assert_eq!(held.index.len(), model.len());
                prop_assert!(held.is_within_bounds());
            }
            for number in 0..900 {
                prop_assert_eq!(held.find(id(number)), model.get(&number).copied());
            }
        }
    }

    /// Many come, all of them go, and so again with fewer: words that were gone counted as used, so
    /// the table that came after was too small for what was still to be copied, had not one empty
    /// word any more, and the next search did not end.
    #[test]
    fn waves_that_come_and_go_leave_room() {
        for bits in [u64::MAX, !0xff, (1 << 40) - 1] {
            let mut held = Held { index: Index::new(), ids: Vec::new(), bits };
            let (mut next, mut wave) = (0u16, 6_000u16);
            while wave > 4 {
                let first = next;
                for _ in 0..wave {
                    held.insert(id(next));
                    next += 1;
                    assert!(held.is_within_bounds(), "{wave}");
                }
                (first..next).for_each(|number| held.remove(id(number)));
                assert_eq!((held.index.len(), held.find(id(first))), (0, None));
                wave = wave / 2 + wave / 5;
            }
            for _ in 0..2_000 {
                held.insert(id(next));
                next += 1;
                assert!(held.is_within_bounds());
            }
        }
    }

    /// What comes and goes for ever takes the room of what is held.
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
        assert!(held.index.lines.count * WORDS <= 512, "{}", held.index.lines.count);
    }
}
