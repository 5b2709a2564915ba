//! What waits for somebody: closed windows that no batch has taken, batches that nobody has
//! approved; and how much the engine's own schedule has approved on the last day on which it did.
//! Follows the events, decides nothing. As large as what waits, never as history.

use super::{BatchEntry, Control};
use crate::envelope::{Caller, Via};
use crate::event::WindowSealed;
use crate::types::{AssetNumber, BatchId, Lsn, Timestamp, Total, WindowNumber};
use std::collections::BTreeMap;

/// What waits, kept beside the windows and batches themselves.
#[derive(Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Waiting {
    /// Sealed windows in which something is owed in an asset, and that are in no live batch of it;
    /// each with when a person last took it into their hands, by aborting its batch or ending its
    /// dispute.
    windows: BTreeMap<AssetNumber, BTreeMap<WindowNumber, Option<Timestamp>>>,
    /// Batches that were neither approved nor aborted, by the record that computed them.
    batches: BTreeMap<Lsn, BatchId>,
    /// What the schedule approved, by asset.
    scheduled: BTreeMap<AssetNumber, OfDay>,
}

/// What was approved on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OfDay {
    /// Days since 1970, UTC.
    day: i64,
    sum: Total,
}

impl Waiting {
    pub(super) fn sealed(&mut self, e: &WindowSealed) {
        for seal in &e.assets {
            self.windows.entry(seal.asset).or_default().insert(e.window, None);
        }
    }

    pub(super) fn computed(
        &mut self,
        (lsn, batch): (Lsn, BatchId),
        asset: AssetNumber,
        windows: &[WindowNumber],
    ) {
        self.batches.insert(lsn, batch);
        if let Some(waiting) = self.windows.get_mut(&asset) {
            for window in windows {
                waiting.remove(window);
            }
            if waiting.is_empty() {
                self.windows.remove(&asset);
            }
        }
    }

    /// `size` of it is what the bounds of the schedule are compared with.
    pub(super) fn approved(
        &mut self,
        computed: Lsn,
        at: Timestamp,
        caller: &Caller,
        (asset, size): (AssetNumber, Total),
    ) {
        self.batches.remove(&computed);
        if caller.via != Via::Schedule {
            return;
        }
        let held = self.scheduled.entry(asset).or_default();
        let day = at.day();
        *held = if held.day == day {
            OfDay { sum: held.sum.plus(size), ..*held }
        } else {
            OfDay { day, sum: size }
        };
    }

    /// `owed` are the batch's windows in which something is owed in its asset.
    pub(super) fn aborted(
        &mut self,
        (computed, at): (Lsn, Timestamp),
        asset: AssetNumber,
        owed: impl Iterator<Item = WindowNumber>,
    ) {
        self.batches.remove(&computed);
        for window in owed {
            self.windows.entry(asset).or_default().insert(window, Some(at));
        }
    }

    pub(super) fn dispute_ended(&mut self, window: WindowNumber, at: Timestamp) {
        for waiting in self.windows.values_mut() {
            if let Some(taken) = waiting.get_mut(&window) {
                *taken = Some(at);
            }
        }
    }
}

/// What rows hold of it, and how it comes back from them.
impl Waiting {
    /// The assets in which a window waits, each with since when a person has it in their hands.
    pub(super) fn of_window(
        &self,
        window: WindowNumber,
    ) -> impl Iterator<Item = (AssetNumber, Option<Timestamp>)> {
        let of = move |(asset, waiting): (&AssetNumber, &BTreeMap<_, _>)| {
            waiting.get(&window).map(|taken| (*asset, *taken))
        };
        self.windows.iter().filter_map(of)
    }

    /// What the schedule approved last in each asset: the day, and the sum.
    pub(super) fn scheduled(&self) -> impl Iterator<Item = (AssetNumber, i64, Total)> {
        self.scheduled.iter().map(|(asset, of)| (*asset, of.day, of.sum))
    }

    pub(super) fn restore_window(
        &mut self,
        window: WindowNumber,
        waits: &[(AssetNumber, Option<Timestamp>)],
    ) {
        for (asset, taken) in waits {
            self.windows.entry(*asset).or_default().insert(window, *taken);
        }
    }

    pub(super) fn restore_batch(&mut self, computed: Lsn, batch: BatchId) {
        self.batches.insert(computed, batch);
    }

    pub(super) fn restore_scheduled(&mut self, scheduled: &[(AssetNumber, i64, Total)]) {
        let of = scheduled.iter().map(|&(asset, day, sum)| (asset, OfDay { day, sum }));
        self.scheduled = of.collect();
    }
}

impl Control {
    /// The closed, sealed windows in which something is owed in an asset and that are in no live
    /// batch of it, oldest first; each with when a person last took it into their hands, by
    /// aborting its batch or ending its dispute. Some may be disputed.
    pub fn unbatched(
        &self,
        asset: AssetNumber,
    ) -> impl DoubleEndedIterator<Item = (WindowNumber, Option<Timestamp>)> + '_ {
        let waiting = self.waiting.windows.get(&asset).into_iter().flatten();
        waiting.map(|(window, taken)| (*window, *taken))
    }

    /// The batches that were neither approved nor aborted, in the order in which they were
    /// computed.
    pub fn unapproved(&self) -> impl Iterator<Item = &BatchEntry> {
        self.waiting.batches.values().filter_map(|batch| self.batch(*batch).ok())
    }

    /// What the engine's own schedule has approved in an asset on the day of `now` (since midnight
    /// UTC). If its last approval bears a later day, because a clock was ahead, what was approved
    /// on that day: no clock that is put right gives it another day's worth.
    #[must_use]
    pub fn approved_by_schedule(&self, asset: AssetNumber, now: Timestamp) -> Total {
        let held = self.waiting.scheduled.get(&asset).copied().unwrap_or_default();
        if held.day >= now.day() { held.sum } else { Total::ZERO }
    }
}
