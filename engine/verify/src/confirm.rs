//! How many rejects the reference confirms: all while they are few, a bounded share of the time
//! when a flood of bad signatures comes. Owns the clock that this needs; knows nothing of
//! signatures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Confirmations a second when rejects never end: 40 us each, 1 % of one core.
const PER_SECOND: u64 = 256;
/// Confirmations at once after a quiet time.
const BURST: u64 = 256;

const NANOS_EACH: u64 = 1_000_000_000 / PER_SECOND;

/// A generic cell rate limiter (ITU-T I.371): one number, the time until which it is paid.
#[derive(Debug)]
pub(crate) struct Allowance {
    started: Instant,
    paid_until: AtomicU64,
}

impl Allowance {
    pub fn new() -> Self {
        Self { started: Instant::now(), paid_until: AtomicU64::new(0) }
    }

    /// Whether one more may be confirmed now.
    pub fn take(&self) -> bool {
        self.take_at(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn take_at(&self, now: u64) -> bool {
        let next = |paid: u64| {
            let paid = paid.max(now) + NANOS_EACH;
            (paid - now <= BURST * NANOS_EACH).then_some(paid)
        };
        self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &Allowance, now: u64) -> u64 {
        (0..10 * BURST).map(|_| u64::from(allowance.take_at(now))).sum()
    }

    #[test]
    fn a_flood_gets_the_burst_and_then_its_rate() {
        let allowance = Allowance::new();
        assert_eq!(taken(&allowance, 0), BURST);
        assert_eq!(taken(&allowance, NANOS_EACH - 1), 0);
        assert_eq!(taken(&allowance, NANOS_EACH), 1);
        assert_eq!(taken(&allowance, 11 * NANOS_EACH), 10);
        assert_eq!(taken(&allowance, 1_000_000 * NANOS_EACH), BURST);
    }
}
