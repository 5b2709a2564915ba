//! How much of what they may owe parties have left: counted in hundredths, so that nothing of any
//! single one is told.

use super::{Exposure, Shard};
use crate::types::{AssetNumber, PartyId, Total};
use std::collections::BTreeMap;

/// How many parties have so many hundredths left, rounded down, of what they may owe: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftover(pub [u64; 101]);

impl Default for Leftover {
    fn default() -> Self {
        Self([0; 101])
    }
}

impl Leftover {
    /// Adds what others have counted.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }

    /// What `percent` of all parties have at most: the hundredths of the one at that place. `None`
    /// without any party.
    #[must_use]
    pub fn quantile(&self, percent: u64) -> Option<usize> {
        let all: u64 = self.0.iter().sum();
        let place = (all.checked_sub(1)? * percent).div_ceil(100);
        let mut before = 0;
        self.0.iter().position(|count| {
            before += count;
            before > place
        })
    }
}

impl Exposure {
    /// The millionths of what may be owed that are, and how much is left: who owes more than they
    /// may has all of them and more, and who may owe nothing and does the most.
    #[must_use]
    pub fn used(&self) -> (Total, Total) {
        const ALL: u128 = 1_000_000;
        let most = self.limit.0.saturating_add(self.prefund.0);
        let left = Total(most.saturating_sub(self.unsettled.0));
        let used = match self.unsettled.0.checked_mul(ALL) {
            Some(times) => times.checked_div(most),
            // Of sums that a millionfold would not fit, the millionth part is precise enough.
            None => self.unsettled.0.checked_div(most / ALL),
        };
        let nothing = if self.unsettled.0 == 0 { 0 } else { u128::MAX };
        (Total(used.unwrap_or(nothing)), left)
    }

    /// The hundredths that are left of what may be owed; `None` where nothing may be.
    fn left(&self) -> Option<usize> {
        let most = self.limit.0.saturating_add(self.prefund.0);
        let left = most.saturating_sub(self.unsettled.0);
        // Of sums that a hundredfold would not fit, the hundredth part is precise enough.
        let hundredths = match left.checked_mul(100) {
            Some(hundredfold) => hundredfold.checked_div(most)?,
            None => left / (most / 100),
        };
        usize::try_from(hundredths.min(100)).ok()
    }
}

impl Shard {
    /// What parties have left in each asset: of up to `limit` parties from place `from` on; and the
    /// place of the next, 0 after the last.
    #[must_use]
    pub fn leftover(&self, from: usize, limit: usize) -> (BTreeMap<AssetNumber, Leftover>, usize) {
        let mut found: BTreeMap<AssetNumber, Leftover> = BTreeMap::new();
        let until = self.parties.len().min(from.saturating_add(limit));
        let some = self.parties.get(from..until).unwrap_or_default();
        for (asset, exposure) in some.iter().flat_map(|party| &party.exposures) {
            if let Some(left) = exposure.left() {
                found.entry(*asset).or_default().0[left] += 1;
            }
        }
        (found, if until < self.parties.len() { until } else { 0 })
    }

    /// Parties that owe or may owe something in an asset, with how far: of up to `limit` parties
    /// from place `from` on; and the place of the next, 0 after the last.
    #[must_use]
    pub fn exposures(
        &self,
        asset: AssetNumber,
        from: usize,
        limit: usize,
    ) -> (Vec<(PartyId, Exposure)>, usize) {
        let until = self.parties.len().min(from.saturating_add(limit));
        let some = self.parties.get(from..until).unwrap_or_default().iter();
        let of = |party: &super::Party| {
            let found = party.exposures.iter().find(|(of, _)| *of == asset);
            found.filter(|(_, of)| *of != Exposure::default()).map(|(_, of)| (party.id, *of))
        };
        (some.filter_map(of).collect(), if until < self.parties.len() { until } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(limit: u128, prefund: u128, unsettled: u128) -> Option<usize> {
        let (limit, prefund, unsettled) = (Total(limit), Total(prefund), Total(unsettled));
        Exposure { limit, prefund, unsettled }.left()
    }

    #[test]
    fn what_is_left_is_rounded_down_and_never_overflows() {
        assert_eq!(left(0, 0, 0), None);
        assert_eq!(left(1_000, 0, 0), Some(100));
        assert_eq!(left(600, 400, 1), Some(99));
        assert_eq!(left(1_000, 0, 995), Some(0));
        assert_eq!(left(1_000, 0, 2_000), Some(0), "its limit was lowered");
        assert_eq!(left(u128::MAX, 5, u128::MAX / 2), Some(50));
        assert_eq!(left(u128::MAX, 0, 0), Some(100));
    }

    #[test]
    fn what_is_used_is_told_in_millionths_and_never_overflows() {
        let used = |limit: u128, prefund: u128, unsettled: u128| {
            let of = [limit, prefund, unsettled].map(Total);
            let (used, left) = Exposure { limit: of[0], prefund: of[1], unsettled: of[2] }.used();
            (used.0, left.0)
        };
        assert_eq!(used(0, 0, 0), (0, 0));
        assert_eq!(used(0, 0, 1), (u128::MAX, 0), "it may owe nothing, and does");
        assert_eq!(used(600, 400, 1), (1_000, 999));
        assert_eq!(used(1_000, 0, 2_500), (2_500_000, 0), "its limit was lowered");
        assert_eq!(used(u128::MAX, 5, u128::MAX / 2), (500_000, u128::MAX / 2 + 1));
        assert_eq!(used(5, 0, u128::MAX), (u128::MAX, 0));
    }

    #[test]
    fn a_quantile_is_that_of_the_sorted_list() {
        let mut leftover = Leftover::default();
        assert_eq!(leftover.quantile(0), None);
        let mut list: Vec<usize> = (0..21).map(|n| n * n % 101).collect();
        list.iter().for_each(|left| leftover.0[*left] += 1);
        list.sort_unstable();
        for (percent, place) in [(0, 0), (5, 1), (25, 5), (50, 10), (100, 20)] {
            assert_eq!(leftover.quantile(percent), Some(list[place]), "{percent}");
        }
    }
}
