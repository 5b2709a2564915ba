//! Money: checked integers in asset units (10^-scale of an asset), added in this file only.
//!
//! No float, no rounding, no lossy cast. A sum that does not fit is an error or a panic, never a
//! wrap.

use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Largest limit or deposit that is accepted, in asset units. Far above any real sum (10^36), and
/// so far below `u128::MAX` and `i128::MAX` that limit + prefund, or 10^2 such sums, cannot
/// overflow.
pub const MONEY_MAX: u128 = 1_000_000_000_000_000_000_000_000_000_000_000_000;
const _: () = assert!(MONEY_MAX < (i128::MAX as u128) / 100);

/// Why a text is not a sum of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Something else than decimal digits.
    #[error("expected a whole number of asset units, digits only, got {0:?}")]
    NotANumber(String),
    /// Larger than `MONEY_MAX`.
    #[error("{0} is more than the largest sum accepted, 10^36 asset units")]
    TooLarge(String),
}

/// What one voucher carries: a running total or a rise of it. 64 bits, as on the wire.
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
pub struct Amount(pub u64);

/// A sum of many amounts, never negative.
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
pub struct Total(pub u128);

/// A signed sum: received minus sent.
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
pub struct Net(pub i128);

impl Amount {
    /// `self - lower`, or `None` when `lower` is not below `self`: the rise of a running total.
    #[must_use]
    pub fn rise_above(self, lower: Self) -> Option<Self> {
        match self.0.checked_sub(lower.0) {
            Some(0) | None => None,
            Some(rise) => Some(Self(rise)),
        }
    }

    /// `self + other`, or `None` beyond 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl Total {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self + other`. Panics beyond 128 bits, which no number of 64-bit vouchers can reach.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("a sum of money exceeds 128 bits"))
    }

    /// `self + rise`. Panics beyond 128 bits, which no number of 64-bit vouchers can reach.
    #[must_use]
    pub fn plus_amount(self, rise: Amount) -> Self {
        self.plus(Self(u128::from(rise.0)))
    }

    /// `self - other`, or `None` when `other` is larger.
    #[must_use]
    pub fn checked_minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Splits into what is a whole multiple of `unit` and the rest: (whole, rest), whole + rest =
    /// self.
    #[must_use]
    pub fn split(self, unit: Self) -> (Self, Self) {
        assert!(unit.0 > 0, "a rail's unit is never zero");
        let rest = self.0 % unit.0;
        (Self(self.0 - rest), Self(rest))
    }

    /// Reads a limit or deposit: decimal digits, at most `MONEY_MAX`.
    ///
    /// # Errors
    /// `MoneyError` when the text is no such number.
    pub fn parse_bounded(text: &str) -> Result<Self, MoneyError> {
        let shown = || text.chars().take(80).collect::<String>();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(MoneyError::NotANumber(shown()));
        }
        match text.parse::<u128>() {
            Ok(units) if units <= MONEY_MAX => Ok(Self(units)),
            Ok(_) | Err(_) => Err(MoneyError::TooLarge(shown())),
        }
    }

    /// This sum as a signed one. Panics beyond 127 bits.
    #[must_use]
    pub fn to_net(self) -> Net {
        Net(i128::try_from(self.0).expect("a sum of money exceeds 127 bits"))
    }

    /// As a decimal number of whole assets, e.g. 12345 at scale 2 is "123.45"; all `scale` digits
    /// are kept. Only for people and rails: the engine itself never reads it back.
    #[must_use]
    pub fn decimal(self, scale: u32) -> String {
        let mut digits = self.0.to_string();
        let scale = usize::try_from(scale).expect("a scale fits usize");
        if scale == 0 {
            return digits;
        }
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        digits.insert(digits.len() - scale, '.');
        digits
    }
}

impl Net {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self + other`. Panics beyond 127 bits.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("a net sum exceeds 127 bits"))
    }

    /// `self - other`. Panics beyond 127 bits.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).expect("a net sum exceeds 127 bits"))
    }

    /// What is above zero; nothing if it is not.
    #[must_use]
    pub fn surplus(self) -> Total {
        Total(u128::try_from(self.0).unwrap_or(0))
    }

    /// The size without the sign.
    #[must_use]
    pub fn size(self) -> Total {
        Total(self.0.unsigned_abs())
    }
}

impl FromStr for Total {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::parse_bounded(text)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_rises_only_by_what_is_above_it() {
        assert_eq!(Amount(7).rise_above(Amount(5)), Some(Amount(2)));
        assert_eq!(Amount(5).rise_above(Amount(5)), None);
        assert_eq!(Amount(4).rise_above(Amount(5)), None);
        assert_eq!(Amount(u64::MAX).rise_above(Amount(0)), Some(Amount(u64::MAX)));
    }

    #[test]
    fn splitting_by_a_unit_loses_nothing() {
        for (sum, unit) in [(0u128, 1u128), (12_345_678, 10_000), (9_999, 10_000), (u128::MAX, 7)] {
            let (whole, rest) = Total(sum).split(Total(unit));
            assert_eq!(whole.plus(rest), Total(sum));
            assert!(rest.0 < unit && whole.0 % unit == 0);
        }
    }

    #[test]
    fn limits_are_bounded_and_digits_only() {
        assert_eq!(Total::parse_bounded("18446744073709551616"), Ok(Total(1 << 64)));
        assert_eq!(Total::parse_bounded(&MONEY_MAX.to_string()), Ok(Total(MONEY_MAX)));
        for bad in ["", "-1", "+1", "1.5", "1e3", " 1", "١"] {
            assert!(matches!(Total::parse_bounded(bad), Err(MoneyError::NotANumber(_))), "{bad}");
        }
        let above = (MONEY_MAX + 1).to_string();
        for bad in [above.as_str(), &"9".repeat(60)] {
            assert!(matches!(Total::parse_bounded(bad), Err(MoneyError::TooLarge(_))), "{bad}");
        }
    }

    #[test]
    fn decimals_keep_every_digit_of_the_scale() {
        assert_eq!(Total(12_345).decimal(2), "123.45");
        assert_eq!(Total(5).decimal(6), "0.000005");
        assert_eq!(Total(0).decimal(2), "0.00");
        assert_eq!(Total(17).decimal(0), "17");
    }
}
