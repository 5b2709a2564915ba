//! A map by leg that is cheap to copy: pages of neighbours, each shared by all copies until one
//! changes it. So whoever reads a batch of a million legs takes a copy of it in no time, and
//! whoever changes a leg meanwhile copies one page.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Legs of a page: what a change copies at most while somebody reads.
pub(super) const PAGE: u32 = 1_024;

/// What is known of some legs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages<T>(BTreeMap<u32, Arc<BTreeMap<u32, T>>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Pages<T> {
    /// What is known of a leg.
    #[must_use]
    pub fn get(&self, leg: u32) -> Option<&T> {
        self.0.get(&(leg / PAGE))?.get(&leg)
    }

    /// All of it, by leg.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.0.values().flat_map(|page| page.iter().map(|(leg, of)| (*leg, of)))
    }

    /// All of one page, by leg.
    pub fn page(&self, page: u32) -> impl Iterator<Item = (u32, &T)> {
        self.0.get(&page).into_iter().flat_map(|page| page.iter().map(|(leg, of)| (*leg, of)))
    }

    /// Takes a page out, and knows nothing of its legs any more.
    pub fn take(&mut self, page: u32) -> Option<Arc<BTreeMap<u32, T>>> {
        self.0.remove(&page)
    }

    /// Whether nothing is known of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Clone> Pages<T> {
    /// Has something known of a leg.
    pub fn insert(&mut self, leg: u32, of: T) {
        Arc::make_mut(self.0.entry(leg / PAGE).or_default()).insert(leg, of);
    }

    /// Has nothing known of a leg any more.
    pub fn remove(&mut self, leg: u32) {
        let Some(page) = self.0.get_mut(&(leg / PAGE)) else { return };
        if page.contains_key(&leg) {
            Arc::make_mut(page).remove(&leg);
        }
        if page.is_empty() {
            self.0.remove(&(leg / PAGE));
        }
    }
}

impl<T: Clone + Default> Pages<T> {
    /// What is known of a leg, to be changed.
    pub fn entry(&mut self, leg: u32) -> &mut T {
        Arc::make_mut(self.0.entry(leg / PAGE).or_default()).entry(leg).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report on a batch of a million legs once copied all that is known of them while nobody
    /// could pay.
    #[test]
    fn a_copy_shares_every_page_but_the_one_that_changes() {
        let mut pages = Pages::default();
        (0..4 * PAGE).for_each(|leg| pages.insert(leg, leg));
        let copy = pages.clone();
        *pages.entry(PAGE) = 7;
        let shared = |at: &u32| Arc::ptr_eq(&pages.0[at], &copy.0[at]);
        assert_eq!([0, 1, 2, 3].map(|at| shared(&at)), [true, false, true, true]);
        assert_eq!((pages.get(PAGE), copy.get(PAGE)), (Some(&7), Some(&PAGE)));
    }

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut pages, mut map) = (Pages::default(), BTreeMap::new());
        for step in 0..5_000u32 {
            let leg = step.wrapping_mul(2_654_435_761) % (3 * PAGE);
            if step % 3 == 0 {
                pages.remove(leg);
                map.remove(&leg);
            } else {
                pages.insert(leg, step);
                map.insert(leg, step);
            }
        }
        assert!(pages.iter().map(|(leg, of)| (leg, *of)).eq(map.iter().map(|(l, o)| (*l, *o))));
        map.keys().for_each(|leg| pages.remove(*leg));
        assert!(pages.is_empty() && pages.0.is_empty());
    }
}
