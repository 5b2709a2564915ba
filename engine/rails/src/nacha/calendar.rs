//! When banks of the United States settle: the days for which files ask, and when returns are over.
//!
//! Owns weekends and the holidays of the Federal Reserve Banks. Never asks what day it is.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use tallystick_ledger::types::Timestamp;

/// Banking days after the effective date by which a return has arrived: a receiving bank sends one
/// so that it reaches the originating bank by the opening of business on the second banking day
/// after settlement (Nacha Operating Rules, Article Three, section 3.8). Later ones are exceptions.
pub const SETTLED_AFTER_BANKING_DAYS: u32 = 2;

/// The day on which a leg with that effective date counts as confirmed, once the bank's return file
/// of that morning was read and does not name it: the second banking day after it.
#[must_use]
pub fn settled_on(effective: Date) -> Date {
    (0..SETTLED_AFTER_BANKING_DAYS).fold(effective, |day, _| next_banking_day(day))
}

/// An instant in UTC.
pub fn utc(at: Timestamp) -> DateTime {
    let instant = jiff::Timestamp::from_second(at.seconds());
    TimeZone::UTC.to_datetime(instant.expect("the clock of a record is before the year 9999"))
}

/// The first banking day after `day`.
pub fn next_banking_day(day: Date) -> Date {
    let mut day = day;
    loop {
        day = day.tomorrow().expect("the clock of a record is before the year 9999");
        if is_banking_day(day) {
            return day;
        }
    }
}

/// Whether the Federal Reserve Banks settle on that day.
pub fn is_banking_day(day: Date) -> bool {
    let sunday_before = || {
        let before = day.yesterday().expect("no record is from the first day of all");
        day.weekday() == Weekday::Monday && is_holiday(before)
    };
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    // A holiday on a Sunday closes the Monday after it; one on a Saturday closes no other day.
    !(weekend || is_holiday(day) || sunday_before())
}

/// Holidays of the Federal Reserve Banks (schedule K.8): five fixed dates, six Mondays
/// or Thursdays.
fn is_holiday(day: Date) -> bool {
    let is_nth =
        |nth: i8, weekday| day.nth_weekday_of_month(nth, weekday).is_ok_and(|nth| nth == day);
    match day.month() {
        1 => day.day() == 1 || is_nth(3, Weekday::Monday),
        2 => is_nth(3, Weekday::Monday),
        5 => is_nth(-1, Weekday::Monday),
        6 => day.day() == 19,
        7 => day.day() == 4,
        9 => is_nth(1, Weekday::Monday),
        10 => is_nth(2, Weekday::Monday),
        11 => day.day() == 11 || is_nth(4, Weekday::Thursday),
        12 => day.day() == 25,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    /// Weekdays on which the Federal Reserve Banks are closed by the rules of their schedule K.8:
    /// five years, with holidays on Saturdays and on Sundays.
    const CLOSED: [(i16, &[(i8, i8)]); 5] = [
        // Independence Day 2026 is a Saturday: no weekday is closed for it.
        (
            2026,
            &[
                (1, 1),
                (1, 19),
                (2, 16),
                (5, 25),
                (6, 19),
                (9, 7),
                (10, 12),
                (11, 11),
                (11, 26),
                (12, 25),
            ],
        ),
        // Juneteenth and Christmas on Saturdays, Independence Day on a Sunday.
        (2027, &[(1, 1), (1, 18), (2, 15), (5, 31), (7, 5), (9, 6), (10, 11), (11, 11), (11, 25)]),
        // New Year's Day and Veterans Day on Saturdays.
        (2028, &[(1, 17), (2, 21), (5, 29), (6, 19), (7, 4), (9, 4), (10, 9), (11, 23), (12, 25)]),
        // Veterans Day on a Sunday.
        (
            2029,
            &[
                (1, 1),
                (1, 15),
                (2, 19),
                (5, 28),
                (6, 19),
                (7, 4),
                (9, 3),
                (10, 8),
                (11, 12),
                (11, 22),
                (12, 25),
            ],
        ),
        // New Year's Day 2033 is a Saturday, Christmas 2033 a Sunday, Juneteenth 2033 a Sunday.
        (
            2033,
            &[
                (1, 17),
                (2, 21),
                (5, 30),
                (6, 20),
                (7, 4),
                (9, 5),
                (10, 10),
                (11, 11),
                (11, 24),
                (12, 26),
            ],
        ),
    ];

    #[test]
    fn banking_days_are_those_of_the_schedule() {
        for (year, closed) in CLOSED {
            let mut day = date(year, 1, 1);
            while day.year() == year {
                let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
                let holiday = closed.contains(&(day.month(), day.day()));
                assert_eq!(is_banking_day(day), !weekend && !holiday, "{day}");
                assert!(!(weekend && holiday), "{day}");
                day = day.tomorrow().unwrap();
            }
        }
    }

    #[test]
    fn a_leg_is_settled_on_the_second_banking_day_after_its_date() {
        for (effective, settled) in [
            (date(2026, 11, 23), date(2026, 11, 25)),
            // Wednesday before Thanksgiving: Friday and Monday.
            (date(2026, 11, 25), date(2026, 11, 30)),
            (date(2026, 12, 24), date(2026, 12, 29)),
            (date(2027, 7, 2), date(2027, 7, 7)),
            (date(2028, 12, 29), date(2029, 1, 3)),
        ] {
            assert_eq!(settled_on(effective), settled, "{effective}");
        }
    }

    #[test]
    fn an_instant_is_read_in_utc() {
        let at = utc(Timestamp(1_795_822_245_123_456));
        assert_eq!(at.to_string(), "2026-11-27T23:30:45");
    }
}
