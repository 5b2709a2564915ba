//! How long something takes, counted by many threads and read by none that hurries: buckets of
//! counters, without a lock, apart for groups of threads, and added up when they are read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The upper bounds of the buckets in microseconds. What takes longer is in one beyond them.
pub const BOUNDS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Groups of threads: as many as seldom count the same thing at the same moment.
const STRIPES: usize = 8;

/// Counts how long something takes.
#[derive(Default)]
pub struct Times {
    stripes: [Stripe; STRIPES],
}

/// What one group of threads has counted; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many took up to each bound and longer than the one before; the last: longer than all.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// What all of them took together.
    pub sum: Duration,
}

/// Which group this thread is in.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    OWN.with(|own| *own)
}

impl Times {
    /// Counts one.
    pub fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        let stripe = &self.stripes[stripe()];
        stripe.buckets[place].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        stripe.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Does `work` and counts how long that takes.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.note(begun.elapsed());
        done
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Taken {
        let mut taken = Taken::default();
        for stripe in &self.stripes {
            for (sum, bucket) in taken.buckets.iter_mut().zip(&stripe.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            taken.sum += Duration::from_nanos(stripe.nanos.load(Ordering::Relaxed));
        }
        taken
    }
}

impl Taken {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn each_is_in_the_first_bucket_that_holds_it_whichever_thread_counts() {
        let times = Arc::new(Times::default());
        let micros = [0, 100, 101, 1_000, 59_999_999, 60_000_001];
        let threads: Vec<_> = micros
            .into_iter()
            .map(|micros| {
                let times = times.clone();
                std::thread::spawn(move || times.note(Duration::from_micros(micros)))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let taken = times.read();
        let places: Vec<usize> = (0..=BOUNDS.len()).filter(|at| taken.buckets[*at] > 0).collect();
        assert_eq!(places, [0, 1, 3, 17, 18]);
        assert_eq!((taken.buckets[0], taken.count()), (2, 6));
        assert_eq!(taken.sum, Duration::from_micros(micros.iter().sum()));
    }
}
