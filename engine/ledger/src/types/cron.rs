//! Times of day that come again and again: a cron expression in UTC. Owns how it is read and which
//! time is next; reads no clock.

use super::Timestamp;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// Longest expression: far more than anybody writes, little for who parses it.
const CRON_BYTES_MAX: usize = 128;

/// A cron expression: minute, hour, day of the month, month, day of the week, perhaps with a second
/// before them; in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    cron: croner::Cron,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a cron expression in UTC like \"0 17 * * MON-FRI\", or \"0 * * * *\" for every hour (minute, \
     hour, day, month, weekday; perhaps a second before them), got {text:?}{why}"
)]
pub struct CronError {
    text: String,
    /// More than that it is none; empty if there is nothing more to say.
    why: String,
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let bad = |why: String| CronError { text: text.chars().take(80).collect(), why };
        if text.len() > CRON_BYTES_MAX {
            return Err(bad(format!(": it has more than {CRON_BYTES_MAX} bytes")));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(text).map_err(|_| bad(String::new()))?;
        let cron = Self { text: text.to_owned(), cron };
        match cron.next(Timestamp(0)) {
            Some(_) => Ok(cron),
            None => Err(bad(": no day is ever like that".into())),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cron {
    /// The first time after `at`.
    #[must_use]
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let at = jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned(TimeZone::UTC);
        let found = self.cron.find_next_occurrence(&at, false).ok()?;
        Some(Timestamp(found.timestamp().as_microsecond()))
    }

    /// The last time before `at`, or `at` itself.
    #[must_use]
    pub fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let at = jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned(TimeZone::UTC);
        let found = self.cron.find_previous_occurrence(&at, true).ok()?;
        Some(Timestamp(found.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn times_are_found_in_both_directions_in_utc() {
        let cron: Cron = "0 17 * * MON-FRI".parse().unwrap();
        // A Friday.
        let friday = at("2026-11-27T17:00:00Z");
        assert_eq!(cron.next(at("2026-11-27T16:59:59.5Z")), Some(friday));
        assert_eq!(cron.next(friday), Some(at("2026-11-30T17:00:00Z")));
        assert_eq!(cron.last(friday), Some(friday));
        assert_eq!(cron.last(at("2026-11-29T03:00:00Z")), Some(friday));
        assert_eq!(cron.last(at("2026-11-27T16:59:59.999999Z")), Some(at("2026-11-26T17:00:00Z")));
        let seconds: Cron = "*/2 * * * * *".parse().unwrap();
        assert_eq!(seconds.next(friday), Some(at("2026-11-27T17:00:02Z")));
        assert_eq!(seconds.last(at("2026-11-27T17:00:01.2Z")), Some(friday));
    }

    #[test]
    fn what_never_comes_and_what_is_no_expression_is_refused() {
        for bad in ["", "17:00", "0 25 * * *", "0 0 30 2 *", "* * * *", &"*".repeat(200)] {
            let error = bad.parse::<Cron>().unwrap_err().to_string();
            assert!(error.contains("0 17 * * MON-FRI"), "{error}");
        }
    }

    #[test]
    fn an_expression_is_shown_as_it_was_written() {
        assert_eq!("0 17 * * mon-fri".parse::<Cron>().unwrap().to_string(), "0 17 * * mon-fri");
    }
}
