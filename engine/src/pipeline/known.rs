//! Totals that are certain: what one shard has credited of late, for verify workers to look at. A
//! voucher at or below such a total changes nothing, whatever its signature, now and at every
//! replay.
//!
//! Owns a table of fixed size with one place for each channel; of two channels with the same place
//! the later one stays. What is not in it costs a signature check and a record, never more. What is
//! in it was credited by the shard: totals only rise, and whatever is sequenced after a look at it
//! comes after that.

use crate::types::{Amount, ChannelId};
use std::sync::atomic::{AtomicU64, Ordering};

/// One channel's total. All of it is read, or none: its version is odd while it is written, and
/// another one afterwards.
#[derive(Default)]
#[repr(align(32))]
struct Place {
    version: AtomicU64,
    total: AtomicU64,
    /// Half of the channel's id. The places that an id may have are drawn from the other half.
    id: [AtomicU64; 2],
}

/// The certain totals of one shard.
pub(super) struct Known {
    places: Box<[Place]>,
}

/// An id, in words: what is compared, and what gives the place.
fn words(id: &ChannelId) -> ([u64; 2], u64) {
    let word = |at: usize| {
        let bytes = id.0[at..at + 8].try_into().expect("an id has 32 bytes");
        u64::from_le_bytes(bytes)
    };
    ([word(0), word(8)], word(16))
}

impl Known {
    /// An empty table with at least one place.
    pub fn new(places: usize) -> Self {
        Self { places: (0..places.max(1)).map(|_| Place::default()).collect() }
    }

    /// Tables for so many shards, of so many places together.
    pub fn of_shards(shards: usize, places: usize) -> std::sync::Arc<[Self]> {
        (0..shards).map(|_| Self::new(places / shards)).collect()
    }

    fn place(&self, word: u64) -> &Place {
        let count = u64::try_from(self.places.len()).expect("a length fits 64 bits");
        let index = usize::try_from(word % count).expect("it is below a length");
        &self.places[index]
    }

    /// Whether a voucher with this total certainly changes nothing.
    pub fn is_stale(&self, channel: &ChannelId, cumulative: Amount) -> bool {
        // No total is below zero.
        cumulative == Amount(0)
            || self.total(channel).is_some_and(|total| cumulative.rise_above(total).is_none())
    }

    /// The channel's total, or one that it had; `None` where nothing is certain.
    fn total(&self, channel: &ChannelId) -> Option<Amount> {
        let (id, word) = words(channel);
        let place = self.place(word);
        let version = place.version.load(Ordering::Acquire);
        let total = place.total.load(Ordering::Acquire);
        let same = place.id[0].load(Ordering::Acquire) == id[0]
            && place.id[1].load(Ordering::Acquire) == id[1];
        let whole = version.is_multiple_of(2) && place.version.load(Ordering::Acquire) == version;
        (same && whole && version > 0).then_some(Amount(total))
    }

    /// Reads where a channel's total would be, so that it is in the cache when it is written.
    pub fn touch(&self, channel: &ChannelId) -> u64 {
        self.place(words(channel).1).version.load(Ordering::Relaxed)
    }

    /// The channel's total is at least this. Only its shard may say so: there is one writer.
    pub fn at_least(&self, channel: &ChannelId, total: Amount) {
        if self.is_stale(channel, total) {
            return;
        }
        let (id, word) = words(channel);
        let place = self.place(word);
        let version = place.version.load(Ordering::Relaxed);
        place.version.store(version + 1, Ordering::Relaxed);
        // Each of these stores makes the odd version visible before itself.
        place.total.store(total.0, Ordering::Release);
        place.id[0].store(id[0], Ordering::Release);
        place.id[1].store(id[1], Ordering::Release);
        place.version.store(version + 2, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn id(number: u64) -> ChannelId {
        ChannelId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    proptest! {
        #[test]
        fn only_what_was_said_is_certain_and_the_last_said_is(
            places in 1usize..20,
            said in prop::collection::vec((0u64..30, 1u64..1_000), 1..300),
        ) {
            let known = Known::new(places);
            let mut totals: BTreeMap<u64, u64> = BTreeMap::new();
            for (channel, rise) in said {
                let total = totals.entry(channel).or_default();
                *total += rise;
                known.at_least(&id(channel), Amount(*total));
                prop_assert!(known.is_stale(&id(channel), Amount(*total)));
                prop_assert!(!known.is_stale(&id(channel), Amount(*total + 1)));
                for (channel, total) in &totals {
                    prop_assert!(!known.is_stale(&id(*channel), Amount(*total + 1)));
                }
                prop_assert!(!known.is_stale(&id(99), Amount(1)));
            }
        }
    }

    #[test]
    fn a_total_of_nothing_is_stale_in_every_channel() {
        assert!(Known::new(4).is_stale(&id(1), Amount(0)));
        assert!(!Known::new(4).is_stale(&id(1), Amount(1)));
    }

    #[test]
    fn a_lower_total_takes_nothing_back() {
        let known = Known::new(1);
        known.at_least(&id(1), Amount(10));
        known.at_least(&id(1), Amount(4));
        assert!(known.is_stale(&id(1), Amount(10)));
    }

    /// Two channels share the one place, and are written in turn while others read: a total of one
    /// is never seen with the id of the other.
    #[test]
    fn a_place_that_changes_hands_is_read_whole_or_not_at_all() {
        let known = Known::new(1);
        let (low, high) = (id(1), id(2));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 1..200_000 {
                    known.at_least(&low, Amount(n));
                    known.at_least(&high, Amount((1 << 40) + n));
                }
            });
            while !writer.is_finished() {
                assert!(!known.is_stale(&low, Amount(1 << 40)));
            }
        });
        assert!(known.is_stale(&high, Amount(1 << 40)));
    }
}
