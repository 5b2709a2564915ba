//! When banks work: the day on which a file asks to be executed.
//!
//! Owns weekends and, for euro, the closing days of TARGET. Knows no other country's holidays: a
//! bank moves such a day to its next one. Never asks what day it is.

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use tallystick_ledger::types::Timestamp;

/// An instant as a date and time in UTC, whole seconds: "2026-11-23T16:20:25Z".
pub fn instant_text(at: Timestamp) -> String {
    instant(at).to_string()
}

/// The business day after the (UTC) day of `at`; `euro` also keeps the closing days of TARGET.
pub fn execution_date(at: Timestamp, euro: bool) -> Date {
    let mut day = TimeZone::UTC.to_datetime(instant(at)).date();
    loop {
        day = day.tomorrow().expect("the clock of a record is before the year 9999");
        if is_business_day(day, euro) {
            return day;
        }
    }
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.seconds())
        .expect("the clock of a record is before the year 9999")
}

fn is_business_day(day: Date, euro: bool) -> bool {
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    !(weekend || euro && is_target_holiday(day))
}

/// Closing days of TARGET besides weekends: 1 January, Good Friday, Easter Monday, 1 May, 25 and 26
/// December. Source: ECB, "TARGET long-term calendar".
fn is_target_holiday(day: Date) -> bool {
    let fixed = matches!((day.month(), day.day()), (1, 1) | (5, 1) | (12, 25) | (12, 26));
    let days_after_easter = day.day_of_year() - easter_sunday(day.year()).day_of_year();
    fixed || matches!(days_after_easter, -2 | 1)
}

/// Easter Sunday of the Gregorian calendar, by the method of Meeus, Jones and Butcher.
fn easter_sunday(year: i16) -> Date {
    let y = i32::from(year);
    let (a, b, c) = (y.rem_euclid(19), y.div_euclid(100), y.rem_euclid(100));
    let g = (b - (b + 8) / 25 + 1) / 3;
    let h = (19 * a + b - b / 4 - g + 15).rem_euclid(30);
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4).rem_euclid(7);
    let m = (a + 11 * h + 22 * l) / 451;
    let days = h + l - 7 * m + 114;
    let small = |n: i32| i8::try_from(n).expect("a month or day is small");
    date(year, small(days / 31), small(days % 31 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, euro: bool) -> String {
        let at: jiff::Timestamp = text.parse().unwrap();
        execution_date(Timestamp(at.as_microsecond()), euro).to_string()
    }

    #[test]
    fn easter_falls_on_the_days_of_the_published_tables() {
        for (year, month, day) in [
            (1961, 4, 2),
            (2000, 4, 23),
            (2008, 3, 23),
            (2024, 3, 31),
            (2025, 4, 20),
            (2026, 4, 5),
            (2027, 3, 28),
            (2028, 4, 16),
            (2038, 4, 25),
            (2285, 3, 22),
        ] {
            assert_eq!(easter_sunday(year), date(year, month, day));
        }
    }

    #[test]
    fn execution_is_on_the_next_business_day() {
        for (cut, any, euro) in [
            ("2026-11-23T16:20:25Z", "2026-11-24", "2026-11-24"),
            ("2026-11-27T23:59:59Z", "2026-11-30", "2026-11-30"), // Friday
            ("2026-11-28T00:00:00Z", "2026-11-30", "2026-11-30"), // Saturday
            ("2026-04-02T12:00:00Z", "2026-04-03", "2026-04-07"), // Thursday before Easter
            ("2026-12-31T10:00:00Z", "2027-01-01", "2027-01-04"), // 1 January is a Friday
            ("2026-12-24T10:00:00Z", "2026-12-25", "2026-12-28"), // Christmas Eve, a Thursday
            ("2026-04-30T10:00:00Z", "2026-05-01", "2026-05-04"),
            ("2028-02-28T10:00:00Z", "2028-02-29", "2028-02-29"),
        ] {
            assert_eq!(
                (after(cut, false).as_str(), after(cut, true).as_str()),
                (any, euro),
                "{cut}"
            );
        }
    }

    #[test]
    fn the_instant_has_whole_seconds_of_utc() {
        assert_eq!(instant_text(Timestamp(1_795_450_825_999_999)), "2026-11-23T16:20:25Z");
    }
}
