//! Both clocks of the simulated machine, and what the engine's timestamps must be by the rules of
//! `docs/ARCHITECTURE.md`, written once more. Never reads a clock of the system.

use tallystick::pipeline::Reading;
use tallystick::types::Timestamp;

/// One hour in microseconds.
pub const HOUR: i64 = 3_600_000_000;
/// One day.
pub const DAY: i64 = 24 * HOUR;

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// Microseconds since 1970, or whatever somebody set it to.
    pub wall: i64,
    /// Nanoseconds since the machine was started.
    pub monotonic: u64,
}

impl Clocks {
    /// Both, as the engine reads them.
    #[must_use]
    pub fn reading(self) -> Reading {
        Reading { wall: Timestamp(self.wall), monotonic: self.monotonic }
    }

    /// Time passes.
    pub fn pass(&mut self, micros: u64) {
        self.wall += i64::try_from(micros).expect("time passes in small steps");
        self.monotonic += micros * 1_000;
    }
}

/// What the timestamps of one life of the engine must be.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Where time was at the start, and the monotonic clock.
    origin: (i128, u64),
    /// When the wall clock was last followed.
    followed: (i128, u64),
    last: i128,
}

impl Times {
    /// Of a start; `None` where it must be refused. `last` is the last record's timestamp,
    /// `accepted` the operator's word that the clock is right.
    #[must_use]
    pub fn start(last: i64, clocks: Clocks, accepted: bool) -> Option<Self> {
        let ahead = i128::from(clocks.wall) - i128::from(last);
        let (day, year) = (i128::from(DAY), 366 * i128::from(DAY));
        if !accepted && (ahead < -day || ahead > year) {
            return None;
        }
        let at = i128::from(clocks.wall.max(last));
        let origin = (at, clocks.monotonic);
        Some(Self { origin, followed: origin, last: at })
    }

    /// The timestamp of a record: the wall clock, but at least half as fast as the monotonic clock
    /// since it was last followed, and at most an hour beyond what that has counted since the
    /// start.
    pub fn at(&mut self, clocks: Clocks) -> i64 {
        let passed = |since: u64| i128::from(clocks.monotonic.saturating_sub(since));
        let least = self.followed.0 + passed(self.followed.1) / 2_000;
        let most = self.origin.0 + passed(self.origin.1) / 1_000 + i128::from(HOUR);
        let wall = i128::from(clocks.wall);
        let at = if wall < least { least } else { wall.min(most) };
        if wall >= least {
            self.followed = (at, clocks.monotonic);
        }
        self.last = self.last.max(at);
        i64::try_from(self.last).expect("time stays within 64 bits")
    }
}
