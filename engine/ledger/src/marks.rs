//! Sets of places of legs, so that who looks for some of them does not walk all the others: one bit
//! a leg, and above them one bit for 64 legs of which any is in the set.
//!
//! Owns the bits. Knows nothing of legs.

/// A set of places below a fixed count.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    words: Vec<u64>,
    /// Which words are not zero.
    filled: Vec<u64>,
}

/// The same places, however many there could be.
impl PartialEq for Marks {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Marks {}

const BITS: usize = 64;

impl Marks {
    /// All of the first `count` places.
    #[must_use]
    pub fn all(count: usize) -> Self {
        let full = |count: usize| {
            let mut words = vec![u64::MAX; count.div_ceil(BITS)];
            if let Some(last) = words.last_mut()
                && !count.is_multiple_of(BITS)
            {
                *last = (1 << (count % BITS)) - 1;
            }
            words
        };
        let words = full(count);
        Self { filled: full(words.len()), words }
    }

    /// Puts a place in.
    ///
    /// Panics when it is not below the count.
    pub fn insert(&mut self, place: u32) {
        let (word, bit) = split(place);
        self.words[word] |= bit;
        self.filled[word / BITS] |= 1 << (word % BITS);
    }

    /// Takes a place out. One that is not below the count is in no set.
    pub fn remove(&mut self, place: u32) {
        let (word, bit) = split(place);
        let Some(held) = self.words.get_mut(word) else { return };
        *held &= !bit;
        if *held == 0 {
            self.filled[word / BITS] &= !(1 << (word % BITS));
        }
    }

    /// Whether a place is in it.
    #[must_use]
    pub fn contains(&self, place: u32) -> bool {
        let (word, bit) = split(place);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The places in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.filled_words().flat_map(|at| places(at, self.words[at]))
    }

    /// The places in it that are not in `other`, ascending.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let left = |at: usize| self.words[at] & !other.words.get(at).copied().unwrap_or(0);
        self.filled_words().flat_map(move |at| places(at, left(at)))
    }

    fn filled_words(&self) -> impl Iterator<Item = usize> + '_ {
        (0..).zip(&self.filled).flat_map(|(at, bits)| {
            places(at, *bits).map(|word| usize::try_from(word).expect("a place fits memory"))
        })
    }
}

fn split(place: u32) -> (usize, u64) {
    let place = place as usize;
    (place / BITS, 1 << (place % BITS))
}

/// The places that a word stands for.
fn places(at: usize, mut word: u64) -> impl Iterator<Item = u32> {
    let first = u32::try_from(at * BITS).expect("places are limited");
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(first + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn marks_are_a_set_of_places(
            count in 1usize..20_000,
            steps in proptest::collection::vec((any::<u32>(), any::<bool>()), 0..300),
            others in proptest::collection::vec(any::<u32>(), 0..300),
        ) {
            let place = |any: u32| any % u32::try_from(count).unwrap();
            let mut marks = Marks::all(count);
            let mut set: BTreeSet<u32> = (0..u32::try_from(count).unwrap()).collect();
            prop_assert!(marks.iter().eq(set.iter().copied()));
            // Most are done, as in a batch that is nearly settled.
            for gone in 0..place(u32::MAX) {
                marks.remove(gone);
                set.remove(&gone);
            }
            for (any, put) in steps {
                if put {
                    marks.insert(place(any));
                    set.insert(place(any));
                } else {
                    marks.remove(place(any));
                    set.remove(&place(any));
                }
                prop_assert_eq!(marks.contains(place(any)), put);
            }
            prop_assert!(marks.iter().eq(set.iter().copied()));
            let (mut other, mut of) = (Marks::all(count), BTreeSet::new());
            (0..u32::try_from(count).unwrap()).for_each(|gone| other.remove(gone));
            for any in others {
                other.insert(place(any));
                of.insert(place(any));
            }
            prop_assert!(marks.without(&other).eq(set.difference(&of).copied()));
        }
    }

    #[test]
    fn what_is_looked_at_does_not_grow_with_what_was_taken_out() {
        let count = 1_000_000;
        let mut marks = Marks::all(count);
        for gone in (0..u32::try_from(count).unwrap()).filter(|place| *place != 777_777) {
            marks.remove(gone);
        }
        assert_eq!(marks.filled_words().count(), 1);
        assert_eq!(marks.iter().collect::<Vec<_>>(), [777_777]);
    }
}
