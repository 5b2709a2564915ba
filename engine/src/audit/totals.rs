//! What each channel was found to have credited, over the windows that are audited.

use crate::types::{Amount, ChannelId, WindowNumber};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Parts of the table, so that threads seldom wait for each other.
const PARTS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Held {
    total: Amount,
    window: WindowNumber,
    expires_at: i64,
}

type Part = Mutex<HashMap<ChannelId, Held, RandomState>>;

/// The totals of all channels. Shared by the threads of one window, in which a channel is seen
/// once.
pub(super) struct Totals {
    parts: Vec<Part>,
    unknown: AtomicU64,
}

/// One channel's rise in one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rise {
    pub before: Amount,
    pub total: Amount,
    pub expires_at: i64,
}

impl Totals {
    pub fn new() -> Self {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        Self { parts, unknown: AtomicU64::new(0) }
    }

    /// Takes a rise in `window`. `gap` is the last window before it whose evidence is not there (0:
    /// all are): what happened in it is not known.
    ///
    /// # Errors
    /// The total that the channel had before, where it is known and another.
    pub fn rise(
        &self,
        channel: ChannelId,
        rise: Rise,
        window: WindowNumber,
        gap: WindowNumber,
    ) -> Result<(), Amount> {
        let held = Held { total: rise.total, window, expires_at: rise.expires_at };
        let part = &self.parts[usize::from(channel.0[0]) % PARTS];
        let before = part.lock().unwrap_or_else(PoisonError::into_inner).insert(channel, held);
        match before {
            Some(seen) if seen.window > gap && seen.total == rise.before => Ok(()),
            Some(seen) if seen.window > gap => Err(seen.total),
            None if gap == WindowNumber(0) && rise.before == Amount(0) => Ok(()),
            None if gap == WindowNumber(0) => Err(Amount(0)),
            Some(seen) if seen.total > rise.before => Err(seen.total),
            Some(_) | None => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Forgets the channels that had expired when a window closed: they can never rise again.
    pub fn forget(&mut self, closed_at_seconds: i64) {
        for part in &mut self.parts {
            let part = part.get_mut().unwrap_or_else(PoisonError::into_inner);
            part.retain(|_, held| held.expires_at > closed_at_seconds);
        }
    }

    /// What a channel had credited at the end of the last window in which it rose.
    pub fn total(&self, channel: ChannelId) -> Option<(Amount, WindowNumber)> {
        let part = &self.parts[usize::from(channel.0[0]) % PARTS];
        let part = part.lock().unwrap_or_else(PoisonError::into_inner);
        part.get(&channel).map(|held| (held.total, held.window))
    }

    /// Rises whose total before lies in a window that is not there.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_goes_on_where_the_last_window_left_it() {
        let totals = Totals::new();
        let rise = |window, gap, before, total| {
            let rise = Rise { before: Amount(before), total: Amount(total), expires_at: 0 };
            totals.rise(ChannelId([7; 32]), rise, WindowNumber(window), WindowNumber(gap))
        };
        assert_eq!(rise(1, 0, 3, 5), Err(Amount(0)), "nothing was before the first window");
        assert_eq!(rise(2, 0, 4, 9), Err(Amount(5)), "5 was the total");
        assert_eq!(rise(3, 0, 9, 10), Ok(()));
        assert_eq!((rise(5, 4, 12, 13), totals.unknown()), (Ok(()), 1), "window 4 is not there");
        assert_eq!(rise(7, 6, 12, 20), Err(Amount(13)), "a total never falls");
    }

    #[test]
    fn what_expired_is_forgotten() {
        let mut totals = Totals::new();
        let rise = |expires_at| Rise { before: Amount(0), total: Amount(1), expires_at };
        for (channel, expires_at) in [(1, 10), (2, 11)] {
            let rise = rise(expires_at);
            totals.rise(ChannelId([channel; 32]), rise, WindowNumber(1), WindowNumber(0)).unwrap();
        }
        totals.forget(10);
        assert_eq!(totals.parts.iter().map(|part| part.lock().unwrap().len()).sum::<usize>(), 1);
    }
}
