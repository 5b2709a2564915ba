//! The clock of the records: turns what the system's clocks say into timestamps that never go back
//! and that no clock, however wrong, can carry away.
//!
//! Two clocks are heard. The wall clock says what time it is and may be set at any moment, to
//! anything. The monotonic clock cannot be set; it only says how much time has passed. So:
//!
//! - Time follows the wall clock as long as that stays between two bounds.
//! - **Never less than half as fast as the monotonic clock.** When the wall clock is set back, time
//!   goes on at half speed until the wall clock has caught up. It neither goes back nor stands
//!   still, so vouchers go on expiring.
//! - **Never more than `CLOCK_AHEAD_MAX` beyond what the monotonic clock has counted since the
//!   start.** A wall clock that is set ahead is followed that far and no further, so that a jump of
//!   years does not expire every channel for ever. A clock that was wrong and is now right needs a
//!   restart.
//! - **A start** may come any time after the last record, since nobody knows how long the engine
//!   was stopped, but not more than `CLOCK_START_AHEAD_MAX`, nor more than `CLOCK_START_BEHIND_MAX`
//!   before it, unless the operator says that the clock is right (`--accept-clock`).
//!
//! Reads no clock and logs nothing: times come in as values, and what is to be said goes out as a
//! `Note`.

use crate::limits::{
    CLOCK_AHEAD_MAX, CLOCK_NOTE_EVERY, CLOCK_REMINDER_EVERY, CLOCK_START_AHEAD_MAX,
    CLOCK_START_BEHIND_MAX, CLOCK_STEP_TOLD,
};
use crate::types::Timestamp;
use std::fmt;
use std::time::Duration;

/// Both of the system's clocks, read one right after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the wall clock says.
    pub wall: Timestamp,
    /// What the monotonic clock says, in nanoseconds since an unknown moment. It should count the
    /// time in which the machine slept.
    pub monotonic: u64,
}

/// Gives every record its timestamp.
#[derive(Debug, Clone)]
pub struct Clock {
    /// At the start.
    origin: Anchor,
    /// When the wall clock was last followed, or held at its upper bound.
    anchor: Anchor,
    last: Timestamp,
    /// What was last said, and when by the monotonic clock.
    told: Option<(Pace, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    at: Timestamp,
    monotonic: u64,
}

/// What time follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Wall,
    /// The upper bound: the wall clock is beyond it.
    Held,
    /// The lower bound: the wall clock is behind it.
    Slow,
}

/// Something about the clocks that people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The wall clock was set ahead, and time follows it.
    Ahead {
        /// By so much.
        by: Duration,
    },
    /// The wall clock is further ahead than it is followed.
    Held {
        /// So far beyond the timestamps.
        by: Duration,
    },
    /// The wall clock was set back, and time goes on at half speed until it has caught up.
    Slow {
        /// So far behind the timestamps.
        by: Duration,
    },
    /// Time follows the wall clock again.
    Agrees,
}

/// The wall clock cannot be right, judged by the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockRefused {
    /// It is before the last record.
    #[error(
        "the clock says {now}, but the last record was written at {last}, which is {} later. Set the \
         clock; if it is right and was wrong before, start once with --accept-clock: timestamps then \
         go on from the last record at half speed until the clock has caught up",
        Span(*.by)
    )]
    Behind {
        /// What the clock says.
        now: At,
        /// The last record's timestamp.
        last: At,
        /// How far it is behind.
        by: Duration,
    },
    /// It is long after the last record.
    #[error(
        "the clock says {now}, but the last record was written at {last}, {} before. A wrong clock would \
         end every channel that expires until then, for ever. Set the clock; if it is right, start once \
         with --accept-clock",
        Span(*.by)
    )]
    Ahead {
        /// What the clock says.
        now: At,
        /// The last record's timestamp.
        last: At,
        /// How far it is ahead.
        by: Duration,
    },
}

/// A timestamp as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub Timestamp);

impl Clock {
    /// The clock of a start at `reading`, when the last record was written at `last`. `accepted`:
    /// the operator says that the wall clock is right.
    ///
    /// # Errors
    /// `ClockRefused` when the wall clock is too far from the last record, on either side.
    pub fn start(
        last: Timestamp,
        reading: Reading,
        accepted: bool,
    ) -> Result<(Self, Option<Note>), ClockRefused> {
        let Reading { wall, monotonic } = reading;
        let (behind, ahead) = (between(wall, last), between(last, wall));
        if !accepted && behind > CLOCK_START_BEHIND_MAX {
            return Err(ClockRefused::Behind { now: At(wall), last: At(last), by: behind });
        }
        if !accepted && ahead > CLOCK_START_AHEAD_MAX {
            return Err(ClockRefused::Ahead { now: At(wall), last: At(last), by: ahead });
        }
        let origin = Anchor { at: wall.max(last), monotonic };
        let slow = behind > CLOCK_STEP_TOLD;
        let told = slow.then_some((Pace::Slow, monotonic));
        let clock = Self { origin, anchor: origin, last: origin.at, told };
        Ok((clock, slow.then_some(Note::Slow { by: behind })))
    }

    /// The timestamp that was given last; before that, the one to start at.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// The timestamp of the next record, never before the last, and what is to be said of the
    /// clocks.
    pub fn read(&mut self, reading: Reading) -> (Timestamp, Option<Note>) {
        let Reading { wall, monotonic } = reading;
        let floor = later(self.anchor.at, elapsed(self.anchor, monotonic) / 2);
        let ceiling = later(self.origin.at, elapsed(self.origin, monotonic) + CLOCK_AHEAD_MAX);
        let (pace, at) = match wall {
            wall if wall < floor => (Pace::Slow, floor),
            wall if wall > ceiling => (Pace::Held, ceiling),
            wall => (Pace::Wall, wall),
        };
        let note = self.note(pace, at, reading);
        if pace != Pace::Slow {
            // Only here: half of a few nanoseconds at a time would round to nothing.
            self.anchor = Anchor { at, monotonic };
        }
        // The monotonic clock does what its name says; if it did not, this still holds.
        self.last = self.last.max(at);
        (self.last, note)
    }

    /// What there is to say. A clock that is set there and back in no time is said nothing of, and
    /// nobody can fill the disk with words by setting it over and over.
    fn note(&mut self, pace: Pace, at: Timestamp, reading: Reading) -> Option<Note> {
        let expected = later(self.anchor.at, elapsed(self.anchor, reading.monotonic));
        let since =
            self.told.map(|(_, told)| Duration::from_nanos(reading.monotonic.saturating_sub(told)));
        let before = self.told.map_or(Pace::Wall, |(pace, _)| pace);
        let due = match since {
            None => true,
            Some(since) if pace == before && pace != Pace::Wall => since >= CLOCK_REMINDER_EVERY,
            Some(since) => since >= CLOCK_NOTE_EVERY,
        };
        let note = match pace {
            Pace::Held => Note::Held { by: between(at, reading.wall) },
            Pace::Slow => Note::Slow { by: between(reading.wall, at) },
            Pace::Wall if before != Pace::Wall => Note::Agrees,
            Pace::Wall => Note::Ahead { by: between(expected, reading.wall) },
        };
        let small = match note {
            Note::Ahead { by } | Note::Slow { by } => by <= CLOCK_STEP_TOLD,
            Note::Held { .. } | Note::Agrees => false,
        };
        if !due || small {
            return None;
        }
        self.told = Some((pace, reading.monotonic));
        Some(note)
    }
}

/// How much later `to` is than `from`; nothing when it is not.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    let micros = i128::from(to.0) - i128::from(from.0);
    Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

fn elapsed(since: Anchor, monotonic: u64) -> Duration {
    Duration::from_nanos(monotonic.saturating_sub(since.monotonic))
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp(at.0.saturating_add(micros))
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { by } => {
                write!(f, "the wall clock was set ahead by {}; timestamps follow it", Span(*by))
            }
            Self::Held { by } => write!(
                f,
                "the wall clock is {} ahead of the timestamps: it was set ahead by more than is \
                 believed, so they go on with the monotonic clock. If the clock is wrong, set it; if \
                 it is right, restart the engine",
                Span(*by)
            ),
            Self::Slow { by } => write!(
                f,
                "the wall clock is {} behind the timestamps: they never go back, so they go on at \
                 half speed until it has caught up. If the clock is wrong, set it",
                Span(*by)
            ),
            Self::Agrees => f.write_str("timestamps follow the wall clock again"),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.0) {
            Ok(at) => write!(f, "{at:.0}"),
            Err(_) => write!(f, "{} microseconds since 1970", self.0.0),
        }
    }
}

/// A length of time in the two largest units.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} days {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    /// Some time in 2026.
    const BEGIN: i64 = 1_790_000_000 * SECOND;
    /// What the monotonic clock says then.
    const BOOT: u64 = 77;

    /// Wall clock and monotonic clock, in microseconds after `BEGIN`.
    fn reading(wall: i64, passed: i64) -> Reading {
        let passed = u64::try_from(passed).unwrap() * 1_000;
        Reading { wall: Timestamp(BEGIN + wall), monotonic: BOOT + passed }
    }

    fn started() -> Clock {
        let (clock, note) = Clock::start(Timestamp(BEGIN - DAY), reading(0, 0), false).unwrap();
        assert_eq!(note, None);
        clock
    }

    /// Timestamp after `BEGIN`, and the note.
    fn read(clock: &mut Clock, wall: i64, passed: i64) -> (i64, Option<Note>) {
        let (at, note) = clock.read(reading(wall, passed));
        (at.0 - BEGIN, note)
    }

    fn micros(by: i64) -> Duration {
        Duration::from_micros(u64::try_from(by).unwrap())
    }

    #[test]
    fn time_is_the_wall_clocks_as_long_as_nobody_sets_it() {
        let mut clock = started();
        for passed in [0, 1, 2, 900, SECOND, DAY, 400 * DAY] {
            assert_eq!(read(&mut clock, passed, passed), (passed, None));
        }
    }

    #[test]
    fn a_clock_set_back_makes_time_go_on_at_half_speed_until_it_has_caught_up() {
        let mut clock = started();
        assert_eq!(read(&mut clock, 10 * HOUR, 10 * HOUR).0, 10 * HOUR);
        // Set back by an hour.
        let back = |passed| 9 * HOUR + passed;
        let slow = Some(Note::Slow { by: micros(HOUR) });
        assert_eq!(read(&mut clock, back(0), 10 * HOUR), (10 * HOUR, slow));
        for passed in 1..100 {
            let expected = 10 * HOUR + passed / 2;
            assert_eq!(read(&mut clock, back(passed), 10 * HOUR + passed), (expected, None));
        }
        let (at, reminder) = read(&mut clock, back(HOUR), 11 * HOUR);
        assert_eq!(
            (at, reminder),
            (10 * HOUR + HOUR / 2, Some(Note::Slow { by: micros(HOUR / 2) }))
        );
        let caught_up = read(&mut clock, back(2 * HOUR), 12 * HOUR);
        assert_eq!(caught_up, (11 * HOUR, Some(Note::Agrees)));
        assert_eq!(read(&mut clock, back(3 * HOUR), 13 * HOUR), (12 * HOUR, None));
    }

    #[test]
    fn a_clock_set_ahead_a_little_is_followed_and_said() {
        let mut clock = started();
        let note = Some(Note::Ahead { by: micros(HOUR / 2) });
        assert_eq!(read(&mut clock, HOUR / 2 + SECOND, SECOND), (HOUR / 2 + SECOND, note));
        assert_eq!(read(&mut clock, HOUR / 2 + DAY, DAY), (HOUR / 2 + DAY, None));
    }

    #[test]
    fn a_clock_set_ahead_by_years_carries_time_no_further_than_the_bound() {
        let mut clock = started();
        let years = 3_650 * DAY;
        let (at, note) = read(&mut clock, years, SECOND);
        assert_eq!(at, HOUR + SECOND);
        assert!(matches!(note, Some(Note::Held { by }) if by > Duration::from_hours(24 * 3_640)));
        // However often it is set, and however long it stays wrong.
        for passed in 1..100 {
            let (at, note) = read(&mut clock, years + passed * HOUR, SECOND + passed * SECOND);
            assert_eq!((at, note), (HOUR + SECOND + passed * SECOND, None));
        }
        // Set right again: half speed until it has caught up with the hour that it was ahead.
        let (at, note) = read(&mut clock, 200 * SECOND, 200 * SECOND);
        assert!((HOUR + 100 * SECOND..HOUR + 200 * SECOND).contains(&at), "{at}");
        assert!(matches!(note, Some(Note::Slow { .. })));
        assert_eq!(read(&mut clock, 3 * HOUR, 3 * HOUR), (3 * HOUR, Some(Note::Agrees)));
    }

    #[test]
    fn a_clock_set_to_and_fro_does_not_fill_the_disk_with_words() {
        let mut clock = started();
        let notes = (0..10_000).filter(|i| {
            let wall = if i % 2 == 0 { 0 } else { 900 * DAY };
            read(&mut clock, wall, *i * 1_000).1.is_some()
        });
        assert!(notes.count() <= 2, "ten seconds");
    }

    #[test]
    fn a_start_after_any_sensible_pause_is_accepted_and_continues_from_the_wall_clock() {
        for pause in [0, 1, DAY, 300 * DAY] {
            let last = Timestamp(BEGIN - pause);
            let (mut clock, note) = Clock::start(last, reading(0, 0), false).unwrap();
            assert_eq!(note, None);
            assert_eq!(read(&mut clock, 5, 5), (5, None));
        }
    }

    #[test]
    fn a_start_a_little_before_the_last_record_goes_on_from_it() {
        let last = Timestamp(BEGIN + HOUR);
        let (mut clock, note) = Clock::start(last, reading(0, 0), false).unwrap();
        assert_eq!(note, Some(Note::Slow { by: micros(HOUR) }));
        assert_eq!(read(&mut clock, 0, 0), (HOUR, None));
        assert_eq!(read(&mut clock, HOUR / 2, HOUR / 2), (HOUR + HOUR / 4, None));
    }

    #[test]
    fn a_start_with_a_clock_that_cannot_be_right_is_refused_unless_it_is_accepted() {
        let early = Timestamp(BEGIN + 2 * DAY);
        let text = Clock::start(early, reading(0, 0), false).unwrap_err().to_string();
        assert!(text.contains("2 days 0 h") && text.contains("--accept-clock"), "{text}");
        assert!(text.contains("2026-09-21T"), "{text}");
        let (mut clock, _) = Clock::start(early, reading(0, 0), true).unwrap();
        assert_eq!(read(&mut clock, 0, 0).0, 2 * DAY);

        let late = Timestamp(BEGIN - 400 * DAY);
        let text = Clock::start(late, reading(0, 0), false).unwrap_err().to_string();
        assert!(text.contains("400 days") && text.contains("--accept-clock"), "{text}");
        let (mut clock, _) = Clock::start(late, reading(0, 0), true).unwrap();
        assert_eq!(read(&mut clock, 0, 0).0, 0);
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        for last in [i64::MIN, 0, i64::MAX].map(Timestamp) {
            for wall in [i64::MIN, 0, i64::MAX].map(Timestamp) {
                let (mut clock, _) =
                    Clock::start(last, Reading { wall, monotonic: u64::MAX }, true).unwrap();
                for (wall, monotonic) in [(i64::MAX, u64::MAX), (i64::MIN, 0), (0, u64::MAX)] {
                    let (at, note) = clock.read(Reading { wall: Timestamp(wall), monotonic });
                    assert!(at >= last);
                    note.map(|note| note.to_string());
                }
            }
        }
    }

    proptest! {
        /// Whatever the wall clock does: time never goes back, is never more than the bound ahead
        /// of the monotonic clock, never falls behind half its speed, and is the wall clock between
        /// the bounds.
        #[test]
        fn no_wall_clock_breaks_the_bounds(
            steps in prop::collection::vec((0..3 * HOUR, -2 * DAY..2 * DAY, 0u8..4), 1..200),
            before in -DAY..=300 * DAY,
        ) {
            let (mut clock, _) =
                Clock::start(Timestamp(BEGIN - before), reading(0, 0), false).unwrap();
            let origin = (-before).max(0);
            let (mut passed, mut offset, mut last, mut anchor) = (0, 0, origin, (origin, 0));
            for (by, step, kind) in steps {
                passed += by;
                // Mostly it just runs.
                offset += if kind == 0 { step } else { 0 };
                let wall = passed + offset;
                let (at, _) = read(&mut clock, wall, passed);
                let (floor, ceiling) = (anchor.0 + (passed - anchor.1) / 2, origin + passed + HOUR);
                prop_assert!(at >= last);
                prop_assert!(at <= ceiling);
                prop_assert!(at >= floor);
                prop_assert_eq!(at, wall.clamp(floor, ceiling));
                if wall >= floor {
                    anchor = (at, passed);
                }
                last = at;
            }
        }
    }
}
