//! Time as a value. Owns the unit and the calendar; never reads a clock (the sequencer does, and
//! hands it in).

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

    /// Whole hours since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub fn hour(self) -> i64 {
        self.seconds().div_euclid(3_600)
    }

    /// Calendar months of UTC since January 1970: that one is 0, December 1969 is -1.
    #[must_use]
    pub fn month(self) -> i64 {
        month_of(self.day())
    }
}

impl Timestamp {
    /// When the hour in which it lies began.
    #[must_use]
    pub fn hour_begin(self) -> Self {
        Self(self.hour().saturating_mul(3_600_000_000))
    }

    /// When the day in which it lies began.
    #[must_use]
    pub fn day_begin(self) -> Self {
        Self(self.day().saturating_mul(24 * 3_600_000_000))
    }

    /// When the calendar month in which it lies began.
    #[must_use]
    pub fn month_begin(self) -> Self {
        let (day, month) = (self.day(), self.month());
        let before = (1..31).take_while(|back| month_of(day - back) == month).count();
        let before = i64::try_from(before).expect("a month has 31 days at most");
        Self((day - before).saturating_mul(24 * 3_600_000_000))
    }
}

/// The month in which a day lies: `civil_from_days` of Howard Hinnant's "chrono-Compatible
/// Low-Level Date Algorithms". Years begin with March, so that the leap day is the last of one, and
/// come in eras of 400, each of as many days.
fn month_of(day: i64) -> i64 {
    let since_march = day + 719_468;
    let (era, day) = (since_march.div_euclid(146_097), since_march.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    // March of the year 0 is the month 2 of 1970 years ago.
    (era * 400 + year - 1_970) * 12 + month + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Date, date};

    /// Days since 1970 and months since January 1970, by another's calendar.
    fn by_jiff(date: Date) -> (i64, i64) {
        let days = date.since(jiff::civil::date(1970, 1, 1)).unwrap().get_days();
        (i64::from(days), (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1)
    }

    #[test]
    fn every_day_of_eight_centuries_lies_in_its_month() {
        let (mut day, end) = (date(1600, 1, 1), date(2400, 12, 31));
        while day <= end {
            let (days, month) = by_jiff(day);
            assert_eq!(month_of(days), month, "{day}");
            day = day.tomorrow().unwrap();
        }
    }

    #[test]
    fn an_hour_a_day_and_a_month_begin_with_their_first_microsecond() {
        let hours = |at: i64| (Timestamp(at - 1).hour(), Timestamp(at).hour());
        assert_eq!(hours(0), (-1, 0));
        assert_eq!(hours(3_600_000_000), (0, 1));
        let midnight = |date: Date| by_jiff(date).0 * 24 * 3_600_000_000;
        let days = midnight(date(2026, 11, 29));
        assert_eq!((Timestamp(days - 1).day() + 1, Timestamp(days).day()), (20_786, 20_786));
        for (year, month, last) in [
            (2026, 1, 31),
            (2026, 2, 28),
            (2028, 2, 29),
            (2000, 2, 29),
            (2100, 2, 28),
            (2026, 4, 30),
        ] {
            let first = midnight(date(year, month, last).tomorrow().unwrap());
            let before = by_jiff(date(year, month, last)).1;
            let months = (Timestamp(first - 1).month(), Timestamp(first).month());
            assert_eq!(months, (before, before + 1), "{year}-{month}");
            let begun = midnight(date(year, month, 1));
            assert_eq!(Timestamp(first - 1).month_begin(), Timestamp(begun), "{year}-{month}");
            assert_eq!(Timestamp(begun).month_begin(), Timestamp(begun), "{year}-{month}");
        }
        let noon = Timestamp(midnight(date(2026, 11, 29)) + 12 * 3_600_000_000 + 1);
        assert_eq!(noon.hour_begin().0, noon.0 - 1);
        assert_eq!(noon.day_begin().0, noon.0 - 1 - 12 * 3_600_000_000);
        let new_year = midnight(date(2027, 1, 1));
        assert_eq!(Timestamp(new_year).month() - Timestamp(new_year - 1).month(), 1);
        assert_eq!(Timestamp(0).month(), 0);
        assert_eq!(Timestamp(-1).month(), -1);
    }

    /// Nothing overflows, however wrong a clock is.
    #[test]
    fn every_timestamp_has_an_hour_a_day_and_a_month() {
        for at in [i64::MIN, i64::MAX].map(Timestamp) {
            assert_eq!(at.hour().signum(), at.0.signum());
            assert_eq!(at.day().signum(), at.0.signum());
            assert_eq!(at.month().signum(), at.0.signum());
            assert!(at.month_begin() <= at.day_begin() && at.day_begin() <= at.hour_begin());
        }
    }
}
