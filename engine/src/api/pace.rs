//! How often somebody may do something: a bucket of tokens, told as the time when all that was
//! taken is paid for. Knows no clock.

use crate::limits::Pace;
use std::time::{Duration, Instant};

/// One bucket.
#[derive(Debug)]
pub(in crate::api) struct Bucket {
    pace: Pace,
    /// When all that was taken is paid for, if anything was.
    paid: Option<Instant>,
}

impl Bucket {
    pub fn new(pace: Pace) -> Self {
        Self { pace, paid: None }
    }

    /// Takes so many, and says from when on they may be used: `now`, or later, but not later than
    /// `patience` allows. Whoever comes next waits behind them.
    ///
    /// # Errors
    /// How long it would take until they may be used: nothing was taken.
    pub fn take(
        &mut self,
        now: Instant,
        count: usize,
        patience: Duration,
    ) -> Result<Instant, Duration> {
        let (paid, wait) = (self.paid.filter(|paid| *paid > now).unwrap_or(now), self.wait(now));
        if wait > patience {
            return Err(wait);
        }
        let cost = self.time(u64::try_from(count).unwrap_or(u64::MAX));
        self.paid = Some(paid.checked_add(cost).unwrap_or(paid));
        Ok(now + wait)
    }

    /// How long it takes until one more may be used.
    pub fn wait(&self, now: Instant) -> Duration {
        let owed = self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        owed.saturating_sub(self.time(u64::from(self.pace.burst)))
    }

    /// Whether all that was taken is paid for: it is as if new.
    pub fn is_paid(&self, now: Instant) -> bool {
        self.paid.is_none_or(|paid| paid <= now)
    }

    /// How long so many take.
    fn time(&self, count: u64) -> Duration {
        let nanos = self.pace.per.as_nanos() * u128::from(count);
        let nanos = nanos / u128::from(self.pace.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn after_a_pause_a_burst_comes_in_and_then_the_pace_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Pace { count: 10, per: SECOND, burst: 3 });
        for _ in 0..4 {
            assert_eq!(bucket.take(start, 1, Duration::ZERO), Ok(start));
        }
        let tenth = SECOND / 10;
        assert_eq!(bucket.take(start, 1, Duration::ZERO), Err(tenth));
        assert_eq!(bucket.take(start, 1, tenth), Ok(start + tenth), "it waits its time");
        assert_eq!(bucket.take(start, 1, tenth), Err(2 * tenth), "behind the other one");
        // A frame that is larger than the burst comes in whole, and is paid for before the next.
        let later = start + 100 * SECOND;
        assert_eq!(bucket.take(later, 1_000, Duration::ZERO), Ok(later));
        assert_eq!(bucket.take(later, 1, SECOND), Err(100 * SECOND - 3 * tenth));
    }

    #[test]
    fn a_pace_beyond_all_clocks_holds_nobody_up() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Pace { count: u32::MAX, per: SECOND, burst: u32::MAX });
        for _ in 0..1_000 {
            assert_eq!(bucket.take(start, 4_096, Duration::ZERO), Ok(start));
        }
    }

    proptest! {
        /// Whatever is asked for and when: in no stretch of time are more used than the pace
        /// allows, the burst and the last of them aside; and nobody is refused without need.
        #[test]
        fn no_stretch_of_time_has_more_than_the_pace(
            (count, burst) in (1u32..50, 0u32..20),
            asked in prop::collection::vec((0u64..500, 1usize..30, 0u64..2_000), 1..60),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(Pace { count, per: SECOND, burst });
            let (mut now, mut used) = (start, Vec::new());
            for (pause, asks, patience) in asked {
                now += Duration::from_millis(pause);
                let patience = Duration::from_millis(patience);
                match bucket.take(now, asks, patience) {
                    Ok(at) => {
                        prop_assert!(at >= now && at <= now + patience);
                        used.push((at, asks));
                    }
                    Err(wait) => prop_assert!(wait > patience && !used.is_empty()),
                }
            }
            for (place, (from, _)) in used.iter().enumerate() {
                let mut sum = 0;
                for (until, asks) in &used[place..] {
                    // All before the last one.
                    let most = u128::from(count) * (*until - *from).as_nanos() / 1_000_000_000;
                    prop_assert!(sum <= most + u128::from(burst) + 1, "{sum} > {most}");
                    sum += u128::try_from(*asks).unwrap();
                }
            }
        }
    }
}
