//! What the pipeline counts about itself: signatures checked and the CPU time that took, with what
//! the verifier learnt from them; what became of vouchers, and how long each part of the way took.
//!
//! Reads the clocks of threads and process; nothing it measures ever decides anything. No lock, and
//! what is counted for each voucher is counted once a frame.

use super::clock::Clock;
use crate::limits::{METERED_ONE_IN, METERED_SIGNATURES};
use crate::metrics::{Taken, Times};
use crate::types::{Outcome, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

/// More than any outcome's byte.
pub const OUTCOME_BYTES: usize = 64;

/// Counters since the start.
#[derive(Default)]
pub struct Meters {
    verified: AtomicU64,
    verify_nanos: AtomicU64,
    /// Batches of few signatures.
    small: AtomicU64,
    outcomes: Tally,
    ack: Times,
    /// See `Way`.
    stages: [Times; 3],
    sync: Times,
    /// The records' time less the wall clock's, in microseconds.
    skew: AtomicI64,
    /// See `time`.
    time: AtomicI64,
}

/// Vouchers by the byte of their outcome.
struct Tally([AtomicU64; OUTCOME_BYTES]);

impl Default for Tally {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// A batch of signatures whose CPU time is counted. Two looks at a thread's clock cost half a
/// microsecond, as much as a hundredth of one signature that came alone; so of small batches one in
/// `METERED_ONE_IN` is looked at, and counts for all of them.
pub struct Lap<'a> {
    meters: &'a Meters,
    counts: u64,
}

impl Lap<'_> {
    /// Does `work`, which checks the batch's signatures or prepares for further ones.
    pub fn time(&self, work: impl FnOnce()) {
        if self.counts == 0 {
            return work();
        }
        let start = cpu_nanos(ClockId::ThreadCPUTime);
        work();
        let spent = cpu_nanos(ClockId::ThreadCPUTime).saturating_sub(start);
        let counted = spent.saturating_mul(self.counts);
        self.meters.verify_nanos.fetch_add(counted, Ordering::Relaxed);
    }
}

/// When a frame was where on its way.
pub struct Way {
    /// It came in.
    pub born: Instant,
    /// All of it was checked.
    pub checked: Instant,
    /// It was handed on to journal and shards.
    pub ordered: Instant,
}

/// The parts of a frame's way, in order, as they are called.
pub const STAGES: [&str; 3] = ["check", "order", "settle"];

impl Meters {
    /// Nothing is counted, and the records' time is where this clock starts.
    pub(super) fn of(clock: &Clock) -> Self {
        Self { time: AtomicI64::new(clock.last().0), ..Self::default() }
    }

    /// Counts a batch of so many signatures. What is done for it is to be done by `Lap::time`.
    pub fn batch(&self, signatures: usize) -> Lap<'_> {
        let few = signatures < METERED_SIGNATURES;
        let signatures = u64::try_from(signatures).expect("a count fits 64 bits");
        self.verified.fetch_add(signatures, Ordering::Relaxed);
        let counts = match few {
            false => 1,
            true if self.small.fetch_add(1, Ordering::Relaxed).is_multiple_of(METERED_ONE_IN) => {
                METERED_ONE_IN
            }
            true => 0,
        };
        Lap { meters: self, counts }
    }

    /// A frame is answered: so many vouchers of each outcome, on this way.
    pub fn answered(&self, by_byte: &[u32; OUTCOME_BYTES], way: Option<Way>) {
        for (counter, count) in self.outcomes.0.iter().zip(by_byte) {
            if *count > 0 {
                counter.fetch_add(u64::from(*count), Ordering::Relaxed);
            }
        }
        let Some(Way { born, checked, ordered }) = way else { return };
        let now = Instant::now();
        self.ack.note(now.saturating_duration_since(born));
        for (times, (from, to)) in
            self.stages.iter().zip([(born, checked), (checked, ordered), (ordered, now)])
        {
            times.note(to.saturating_duration_since(from));
        }
    }

    /// Makes records durable, and counts how long that takes.
    pub fn syncing<T>(&self, work: impl FnOnce() -> T) -> T {
        self.sync.time(work)
    }

    /// Notes how far the records' time is from the wall clock's.
    pub(super) fn clocks(&self, record: Timestamp, wall: Timestamp) {
        self.time.store(record.0, Ordering::Relaxed);
        self.skew.store(record.0.saturating_sub(wall.0), Ordering::Relaxed);
    }

    /// Vouchers with this outcome.
    #[must_use]
    pub fn with_outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.0[usize::from(outcome.byte())].load(Ordering::Relaxed)
    }

    /// How long frames took from coming in to their answers.
    #[must_use]
    pub fn acks(&self) -> Taken {
        self.ack.read()
    }

    /// How long each part of that took.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, Taken)> + '_ {
        STAGES.into_iter().zip(self.stages.iter().map(Times::read))
    }

    /// How long it took to make records durable.
    #[must_use]
    pub fn syncs(&self) -> Taken {
        self.sync.read()
    }

    /// How far the records' time was ahead of the wall clock's when the last one was asked for, in
    /// microseconds; below 0: behind.
    #[must_use]
    pub fn skew_us(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }

    /// The records' time when the last thing was put in order; before that, at which it starts. It
    /// never goes back. Whoever was answered by a shard reads no earlier one than that by which the
    /// shard has forgotten what expired.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp(self.time.load(Ordering::Relaxed))
    }

    /// Signatures checked.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// CPU time of checking signatures and of building tables for it, in microseconds.
    #[must_use]
    pub fn cpu_verify_us(&self) -> u64 {
        self.verify_nanos.load(Ordering::Relaxed) / 1_000
    }

    /// CPU time of the whole process since it started, in microseconds.
    #[must_use]
    pub fn cpu_total_us(&self) -> u64 {
        cpu_nanos(ClockId::ProcessCPUTime) / 1_000
    }
}

fn cpu_nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let part = |value: i64| u64::try_from(value).expect("CPU clocks start at zero");
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a microsecond for each signature that came alone was most of what metrics cost it.
    #[test]
    fn of_small_batches_some_are_looked_at_and_count_for_all() {
        let meters = Meters::default();
        let looked = |signatures| {
            let all = (0..8 * METERED_ONE_IN).map(|_| meters.batch(signatures).counts);
            all.fold((0, 0), |(looked, counted), counts| {
                (looked + u64::from(counts > 0), counted + counts)
            })
        };
        assert_eq!(looked(1), (8, 8 * METERED_ONE_IN));
        assert_eq!(looked(METERED_SIGNATURES), (8 * METERED_ONE_IN, 8 * METERED_ONE_IN));
        let signatures = (1 + u64::try_from(METERED_SIGNATURES).unwrap()) * 8 * METERED_ONE_IN;
        assert_eq!(meters.verified(), signatures, "signatures are all counted");
        assert_eq!(meters.cpu_verify_us(), 0, "nothing was done");
        let mut done = 0;
        (0..METERED_ONE_IN).for_each(|_| meters.batch(1).time(|| done += 1));
        assert_eq!(done, METERED_ONE_IN, "all of it is done");
    }
}
