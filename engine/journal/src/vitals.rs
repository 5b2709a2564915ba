//! What a log on other machines counts, for metrics and alarms.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since the start, and how it stands now.
#[derive(Debug, Default)]
pub struct LogVitals {
    void: AtomicU64,
    unsettled: AtomicU64,
    waiting: AtomicU64,
}

impl LogVitals {
    /// Messages that did not count: above 0 somebody else writes into the stream.
    #[must_use]
    pub fn void(&self) -> u64 {
        self.void.load(Relaxed)
    }

    /// Appends whose fate was not known at first, and was found out.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.unsettled.load(Relaxed)
    }

    /// Seconds for which the append under way has waited so far.
    #[must_use]
    pub fn waiting_seconds(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Counts one.
    pub fn count_void(&self) {
        self.void.fetch_add(1, Relaxed);
    }

    /// Counts one.
    pub fn count_unsettled(&self) {
        self.unsettled.fetch_add(1, Relaxed);
    }

    /// Says for how long the append under way has waited; 0 when it is done.
    pub fn wait(&self, seconds: u64) {
        self.waiting.store(seconds, Relaxed);
    }
}
