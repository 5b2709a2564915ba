//! What a setting's text may be: each kind of value, how it is read, checked and shown.

use super::list::Setting;
use crate::ledger::Rail;
use crate::limits;
use crate::types::{Cron, Digest, NetworkId, Total};
use crate::verify::Backend;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Why a text is no value of a setting: what is wrong and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

/// A setting written as text, the same in a flag and in the file.
macro_rules! text_setting {
    ($name:ident($inner:ty), $show:expr) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub $inner);

        impl TryFrom<String> for $name {
            type Error = BadValue;
            fn try_from(text: String) -> Result<Self, BadValue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                let show: fn($inner) -> Self = $show;
                show(value.0)
            }
        }

        value_setting!($name($inner));
    };
}

/// The value in force of a form is what is in it.
macro_rules! value_setting {
    ($name:ident($inner:ty)) => {
        impl Setting for $name {
            type Value = $inner;
            fn value(self) -> $inner {
                self.0
            }
            fn of(value: &$inner) -> Self {
                Self(value.clone())
            }
        }
    };
}

/// A setting that is a whole number from 1 to a limit, the same in a flag and in the file.
macro_rules! count_setting {
    ($name:ident($inner:ident), $most:expr) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(pub $inner);

        impl TryFrom<i64> for $name {
            type Error = BadValue;
            fn try_from(number: i64) -> Result<Self, BadValue> {
                let most = $most;
                let fits = $inner::try_from(number).ok().filter(|n| (1..=most).contains(n));
                fits.map(Self)
                    .ok_or_else(|| BadValue(format!("expected 1 to {most}, got {number}")))
            }
        }

        impl FromStr for $name {
            type Err = BadValue;
            fn from_str(text: &str) -> Result<Self, BadValue> {
                let most = $most;
                let bad = |_| BadValue(format!("expected a number from 1 to {most}, got {text:?}"));
                text.parse::<i64>().map_err(bad)?.try_into()
            }
        }

        impl From<$name> for i64 {
            fn from(value: $name) -> Self {
                Self::from(value.0)
            }
        }

        value_setting!($name($inner));
    };
}

count_setting!(Shards(u16), limits::SHARDS_MAX);
count_setting!(VerifyThreads(u16), limits::VERIFY_THREADS_MAX);
count_setting!(AuditLogFiles(u32), limits::AUDIT_FILES_MAX);
count_setting!(KeepWindows(u32), limits::KEEP_WINDOWS_MAX);
count_setting!(PerAddress(u32), limits::CONNECTIONS_PER_ADDRESS_MAX);
count_setting!(LifetimeSeconds(i64), limits::LIFETIME_SECONDS_MAX);

text_setting!(Listen(SocketAddr), |address| address.to_string());
text_setting!(Network(NetworkId), |network| network.to_string());
text_setting!(VerifyBackend(Option<Backend>), |backend| {
    backend.map_or("auto", Backend::name).to_owned()
});
text_setting!(CheckpointBytes(u64), |bytes| show_bytes(bytes));
text_setting!(ReserveBytes(u64), |bytes| show_bytes(bytes));
text_setting!(TableBytes(usize), |bytes| {
    show_bytes(u64::try_from(bytes).expect("a size fits 64 bits"))
});
text_setting!(Every(Option<Duration>), |every| every.map_or_else(|| "off".into(), show_duration));
text_setting!(LogFilter(String), |filter| filter);
text_setting!(TokenDigest(Digest), |digest| digest.to_string());
text_setting!(CronText(Cron), |cron| cron.to_string());
text_setting!(RailName(Rail), |rail| rail.name().to_owned());

impl FromStr for TokenDigest {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        // What was given may be the token itself: it is not shown.
        text.parse().map(Self).map_err(|_: crate::types::HexError| {
            BadValue(
                "expected the BLAKE3 digest of the operator's token, 64 hexadecimal digits, as \
                 `tallystick operator token` prints it"
                    .into(),
            )
        })
    }
}

impl FromStr for CronText {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.parse().map(Self).map_err(|e: crate::types::CronError| BadValue(e.to_string()))
    }
}

/// An amount in asset units: as text, since it may exceed what a number of TOML holds, or as a
/// number where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Units(pub Total);

impl From<Units> for String {
    fn from(units: Units) -> Self {
        units.0.to_string()
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Units;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in asset units, like \"100000000\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Units, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Units, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Either)
    }
}

value_setting!(Units(Total));

/// An asset's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Number(pub u32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Asset;
        impl Visitor<'_> for Asset {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of an asset, like 978")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Number, E> {
                let bad = |_| E::custom(format!("expected the number of an asset, got {number}"));
                u32::try_from(number).map(Number).map_err(bad)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                Err(E::custom(format!(
                    "an asset is named by its number, without quotes (978 for EUR), got {text:?}; `tallystick \
                     asset list` shows the numbers"
                )))
            }
        }
        from.deserialize_any(Asset)
    }
}

impl FromStr for Units {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        Total::parse_bounded(text).map(Self).map_err(|error| BadValue(error.to_string()))
    }
}

impl FromStr for RailName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        Rail::from_name(text).map(Self).ok_or_else(|| BadValue(Rail::unknown(text)))
    }
}

impl FromStr for Listen {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.parse().map(Self).map_err(|_| {
            BadValue(format!("expected an IP address and a port like 127.0.0.1:7450, got {text:?}"))
        })
    }
}

impl FromStr for Network {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.parse().map(Self).map_err(|error: crate::types::HexError| BadValue(error.to_string()))
    }
}

impl FromStr for VerifyBackend {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let names = || Backend::ALL.map(Backend::name).join(", ");
        let backend = text.parse().map_err(|_: String| {
            BadValue(format!("expected one of auto, {}, got {text:?}", names()))
        })?;
        Ok(Self(Some(backend)))
    }
}

impl FromStr for CheckpointBytes {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (bytes, least) = (parse_bytes(text)?, limits::CHECKPOINT_BYTES_MIN);
        let too_few = || BadValue(format!("{text} is too little; at least {}", show_bytes(least)));
        Some(Self(bytes)).filter(|_| bytes >= least).ok_or_else(too_few)
    }
}

impl FromStr for ReserveBytes {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        parse_bytes(text).map(Self)
    }
}

impl FromStr for TableBytes {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bytes = parse_bytes(text)?;
        let most = limits::VERIFY_TABLE_BYTES_MAX;
        let fits = usize::try_from(bytes).ok().filter(|_| bytes <= most);
        let too_many = || BadValue(format!("{text} is too much; at most {}", show_bytes(most)));
        fits.map(Self).ok_or_else(too_many)
    }
}

impl FromStr for Every {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "off" {
            return Ok(Self(None));
        }
        let every = parse_duration(text)
            .map_err(|error| BadValue(format!("{error}, or \"off\" for by hand only")))?;
        let (least, most) = (limits::WINDOW_EVERY_MIN, limits::WINDOW_EVERY_MAX);
        if !(least..=most).contains(&every) {
            let (least, most) = (show_duration(least), show_duration(most));
            return Err(BadValue(format!("{text} is not between {least} and {most}")));
        }
        Ok(Self(Some(every)))
    }
}

impl FromStr for LogFilter {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = |why: String| {
            BadValue(format!(
                "{why}; expected a level (error, warn, info, debug, trace, off) or \
                 target=level pairs with commas, like \"info,tallystick=debug\""
            ))
        };
        if text.trim().is_empty() {
            return Err(bad("the filter is empty".into()));
        }
        // A word alone is a level. The library takes any other for a target of which all is logged,
        // so that a mistyped level would silence everything else.
        let mut words = text.split(',').map(str::trim).filter(|part| !part.contains('='));
        if let Some(word) = words.find(|word| word.parse::<LevelFilter>().is_err()) {
            return Err(bad(format!("{word:?} is no level")));
        }
        text.parse::<Targets>().map_err(|error| bad(error.to_string()))?;
        Ok(Self(text.to_owned()))
    }
}

/// The units of a duration, in milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads "500ms", "60s", "5m", "1h" or "2d": a whole number and a unit.
///
/// # Errors
/// `BadValue` that says what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    let bad = || {
        BadValue(format!(
            "expected a whole number with a unit ms, s, m, h or d, like 500ms, 60s, 5m or 1h, \
             got {text:?}"
        ))
    };
    scaled(text, &DURATION_UNITS).map(Duration::from_millis).ok_or_else(bad)
}

/// A whole number, times what its unit stands for.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

/// The shortest text that `parse_duration` reads as `duration` (which has no part below 1 ms).
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, size) = DURATION_UNITS
        .iter()
        .find(|&&(_, size)| millis.is_multiple_of(u128::from(size)))
        .expect("every whole number is a multiple of one");
    format!("{}{unit}", millis / u128::from(*size))
}

/// The units of a size, in bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

/// Reads "192MiB", "1GiB", "512KiB" or "4096": a whole number and perhaps a unit.
///
/// # Errors
/// `BadValue` that says what is expected.
pub fn parse_bytes(text: &str) -> Result<u64, BadValue> {
    let bad = || {
        BadValue(format!(
            "expected a whole number of bytes, perhaps with a unit KiB, MiB or GiB, like 192MiB, \
             got {text:?}"
        ))
    };
    scaled(text, &SIZE_UNITS).ok_or_else(bad)
}

/// The shortest text that `parse_bytes` reads as `bytes`.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    let fits = |&&(_, size): &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(size);
    let (unit, size) = SIZE_UNITS.iter().find(fits).unwrap_or(&("", 1));
    format!("{}{unit}", bytes / size)
}

/// What the reader of TOML says of a value of another kind, as people say it.
pub(super) fn in_plain_words(text: String) -> String {
    const KINDS: [(&str, &str); 5] = [
        ("expected a boolean", "expected true or false, without quotes"),
        ("expected usize", "expected a whole number, without quotes"),
        ("expected u64", "expected a whole number, without quotes"),
        ("expected i64", "expected a whole number, without quotes"),
        ("expected a map", "expected a table, like [clearing.iso20022]"),
    ];
    KINDS.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mistyped level was taken for the name of a target, and nothing else was logged any more.
    #[test]
    fn a_log_filter_is_a_level_or_targets_with_levels() {
        for good in
            ["info", "OFF", "warn,tallystick::serve=debug", "tallystick=trace", "info, h2=off"]
        {
            assert!(good.parse::<LogFilter>().is_ok(), "{good}");
        }
        for bad in ["", " ", "inof", "loud,tallystick=debug", "tallystick=loud"] {
            let error = bad.parse::<LogFilter>().unwrap_err().to_string();
            assert!(error.contains("expected a level"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_address_is_an_ip_and_a_port() {
        for good in ["127.0.0.1:0", "127.8.8.8:1", "[::1]:7450", "0.0.0.0:1", "[::]:1"] {
            assert!(good.parse::<Listen>().is_ok(), "{good}");
        }
        for bad in ["127.0.0.1", ":7450", "localhost:1", ""] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in
            [("500ms", 500), ("60s", 60_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "-5s", "5 s", "1.5h", "1h30m", "5min", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for text in ["500ms", "61s", "5m", "25h", "2d"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_a_number_and_perhaps_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4097", 4_097),
            ("512KiB", 512 << 10),
            ("192MiB", 192 << 20),
            ("3GiB", 3 << 30),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
            assert_eq!(show_bytes(bytes), text);
        }
        for bad in ["", "MiB", "-1", "1 MiB", "1.5GiB", "1MB", "1mib", "99999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!("64GiB".parse(), Ok(TableBytes(64 << 30)));
        assert!("65GiB".parse::<TableBytes>().is_err());
    }

    #[test]
    fn every_backend_can_be_asked_for_by_its_name() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse(), Ok(VerifyBackend(Some(backend))));
        }
        assert_eq!("auto".parse(), Ok(VerifyBackend(None)));
    }
}
