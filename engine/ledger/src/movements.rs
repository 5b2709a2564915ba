//! What books showed of a leg's money, one way: the references under which it moved, and how many
//! movements these are.
//!
//! Owns the count, and when what came back is as much as went. A list is short and bounded: what is
//! beyond it counts nowhere, so a leg of which it is full is never taken for one that came back.

use super::limits::BOOKINGS_MAX;
use rkyv::{Archive, Deserialize, Serialize};

/// The references of the movements of one way, in the order in which they were held. Mostly one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Movements {
    /// None was shown.
    #[default]
    None,
    /// One; its reference may be empty.
    One(Box<str>),
    /// Several.
    More(Vec<Box<str>>),
}

/// How many movements were shown one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    named: u8,
    /// So many were told at once, of which some had no reference.
    unnamed: u8,
}

const _: () = assert!(BOOKINGS_MAX <= u8::MAX as usize);

impl Movements {
    /// No movement at all.
    pub const NONE: &'static Self = &Self::None;

    /// The references that are held.
    #[must_use]
    pub fn references(&self) -> &[Box<str>] {
        match self {
            Self::None => &[],
            Self::One(reference) => std::slice::from_ref(reference),
            Self::More(references) => references,
        }
    }

    /// Whether none was shown.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.references().is_empty()
    }

    /// Holds one more. The bound is whoever's who allowed it.
    pub fn hold(&mut self, reference: &str) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(reference.into()),
            Self::One(first) => Self::More(vec![first, reference.into()]),
            Self::More(mut references) => {
                references.push(reference.into());
                Self::More(references)
            }
        };
    }

    /// How many they are.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.references().iter().for_each(|reference| tally.hold(reference));
        tally
    }
}

impl Tally {
    /// One more is held.
    pub fn hold(&mut self, reference: &str) {
        let held = if reference.is_empty() { &mut self.unnamed } else { &mut self.named };
        *held = held.saturating_add(1);
    }

    /// How many movements they are at least. One without a reference may be any of those that have
    /// one.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.named.max(self.unnamed))
    }

    /// How many references are held.
    #[must_use]
    pub fn held(self) -> usize {
        usize::from(self.named) + usize::from(self.unnamed)
    }

    /// Whether no more can be held: then they are so many at least, and nobody knows how many.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.held() >= BOOKINGS_MAX
    }

    /// Whether money that went so often is back with all of these returns.
    #[must_use]
    pub fn is_back(self, returns: usize) -> bool {
        !self.is_full() && returns >= self.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movements(references: &[&str]) -> Movements {
        let mut held = Movements::None;
        references.iter().for_each(|reference| held.hold(reference));
        held
    }

    #[test]
    fn what_is_held_comes_back_in_its_order() {
        for references in [&[][..], &["A"], &[""], &["B", "A"], &["A", "A", ""]] {
            let held = movements(references);
            assert!(held.references().iter().map(|of| &**of).eq(references.iter().copied()));
            assert_eq!(held.is_none(), references.is_empty());
        }
    }

    #[test]
    fn a_movement_without_a_reference_may_be_any_of_those_that_have_one() {
        let table: [(&[&str], usize); 7] = [
            (&[], 0),
            (&[""], 1),
            (&["A"], 1),
            (&["", "A"], 1),
            (&["A", "B", ""], 2),
            (&["A", "", ""], 2),
            (&["SUM", "SUM"], 2),
        ];
        for (references, count) in table {
            assert_eq!(movements(references).tally().count(), count, "{references:?}");
        }
    }

    #[test]
    fn it_is_back_when_it_came_as_often_as_it_went_and_never_when_nobody_can_count_it() {
        let twice = movements(&["A", "B"]).tally();
        assert!(!twice.is_back(1) && twice.is_back(2) && twice.is_back(3));
        let full = movements(&["A"; BOOKINGS_MAX]).tally();
        assert!(full.is_full() && !full.is_back(BOOKINGS_MAX) && !full.is_back(usize::MAX));
        let last = movements(&["A"; BOOKINGS_MAX - 1]).tally();
        assert!(!last.is_full() && last.is_back(BOOKINGS_MAX - 1));
    }
}
