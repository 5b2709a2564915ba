//! What the pipeline counts about itself: signatures checked and the CPU time that took, with what
//! the verifier learnt from them.
//!
//! Reads the CPU clocks of threads and process; nothing it measures ever decides anything.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Default)]
pub struct Meters {
    verified: AtomicU64,
    verify_nanos: AtomicU64,
}

impl Meters {
    /// Runs `work`, which checks `signatures`, and counts its CPU time.
    pub(super) fn verifying(&self, signatures: usize, work: impl FnOnce()) {
        self.learning(work);
        let signatures = u64::try_from(signatures).expect("a count fits 64 bits");
        self.verified.fetch_add(signatures, Ordering::Relaxed);
    }

    /// Runs `work`, which prepares for further signatures, and counts its CPU time with theirs.
    pub(super) fn learning(&self, work: impl FnOnce()) {
        let start = cpu_nanos(ClockId::ThreadCPUTime);
        work();
        let spent = cpu_nanos(ClockId::ThreadCPUTime).saturating_sub(start);
        self.verify_nanos.fetch_add(spent, Ordering::Relaxed);
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
