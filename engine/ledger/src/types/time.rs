//! Time as a value. Owns the unit; never reads a clock (the sequencer does, and hands it in).

use rkyv::{Archive, Deserialize, Serialize};

/// Microseconds since 1970-01-01 UTC.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since 1970-01-01 UTC, rounded down: the unit of a voucher's `expires_at`.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole days since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub fn day(self) -> i64 {
        self.seconds().div_euclid(24 * 3_600)
    }
}
