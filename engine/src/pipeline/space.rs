//! Room on the disk: while less is free than a reserve, no vouchers are taken, so that what was
//! taken still finds its place and operators can still do what helps. Looks every so many vouchers,
//! and at each one while there is no room; knows no clock.

use crate::faults;
use crate::journal::Tables;
use crate::limits::DISK_LOOK_VOUCHERS;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Room on the disk.
pub(super) struct Space {
    tables: Arc<dyn Tables>,
    reserve: u64,
    /// Vouchers since the last look.
    since: AtomicU64,
    low: AtomicBool,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free bytes; `None` when the system does not say.
    pub free: Option<u64>,
    /// Below so many no vouchers are taken.
    pub reserve: u64,
    /// No vouchers are taken.
    pub low: bool,
}

impl Space {
    pub fn new(tables: Arc<dyn Tables>, reserve: u64) -> Self {
        let (since, low) = (AtomicU64::new(DISK_LOOK_VOUCHERS), AtomicBool::new(false));
        Self { tables, reserve, since, low }
    }

    /// Whether so many vouchers may be taken.
    pub fn is_there_for(&self, vouchers: usize) -> bool {
        if faults::disk_is_full() {
            return false;
        }
        let vouchers = u64::try_from(vouchers).expect("a count fits 64 bits");
        let since = self.since.fetch_add(vouchers, Ordering::Relaxed) + vouchers;
        let before = self.low.load(Ordering::Relaxed);
        if since < DISK_LOOK_VOUCHERS && !before {
            return true;
        }
        !self.look().low
    }

    /// Looks now. Says so in the log where it has changed.
    pub fn look(&self) -> Room {
        self.since.store(0, Ordering::Relaxed);
        let (free, reserve) = (self.tables.free_bytes(), self.reserve);
        // What cannot be told is no reason to refuse: the write itself will tell.
        let low = free.is_some_and(|free| free < reserve);
        if low != self.low.swap(low, Ordering::Relaxed) {
            match low {
                true => tracing::error!(
                    reserve,
                    "the disk is nearly full: no vouchers are taken until there is room again"
                ),
                false => tracing::warn!("the disk has room again: vouchers are taken"),
            }
        }
        Room { free, reserve, low }
    }
}
