//! Budgets: how much a signer may credit in an hour, a day, a month, or at all; over all payees, or
//! to one. What a budget is, and which period a time lies in; how much of it is used, the shards
//! count (`shard`), and who may set it, the control state says (`control`).
//!
//! A period is a calendar hour, day or month of UTC, and which one it is follows from the
//! timestamp of a voucher's record alone: so a replay, whenever it is made, counts the same.

use crate::types::{Amount, AssetNumber, Outcome, PartyId, SignerKey, Timestamp};
use rkyv::{Archive, Deserialize, Serialize};

/// How long a budget holds until it begins anew. The longest first, in which order they refuse; the
/// discriminants are in the journal for ever.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Period {
    /// It never begins anew.
    Total = 1,
    /// A calendar month of UTC.
    Month = 2,
    /// A day of UTC.
    Day = 3,
    /// An hour.
    Hour = 4,
}

impl Period {
    /// Every period, the longest first.
    pub const ALL: [Self; 4] = [Self::Total, Self::Month, Self::Day, Self::Hour];

    /// Which one a time lies in: how many of them began since 1970. They never go back.
    #[must_use]
    pub fn number(self, at: Timestamp) -> i64 {
        match self {
            Self::Total => 0,
            Self::Month => at.month(),
            Self::Day => at.day(),
            Self::Hour => at.hour(),
        }
    }

    /// When the one in which a time lies began; 1970 for what never begins anew.
    #[must_use]
    pub fn begin(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Total => Timestamp(0),
            Self::Month => at.month_begin(),
            Self::Day => at.day_begin(),
            Self::Hour => at.hour_begin(),
        }
    }

    /// What a voucher is told that does not fit.
    #[must_use]
    pub fn refusal(self) -> Outcome {
        match self {
            Self::Total => Outcome::OverTotalBudget,
            Self::Month => Outcome::OverMonthBudget,
            Self::Day => Outcome::OverDayBudget,
            Self::Hour => Outcome::OverHourBudget,
        }
    }

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// Its byte in a checkpoint.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Reads its byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.byte() == byte)
    }
}

/// What a budget is for: a signer has one for each.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct BudgetKey {
    /// In which asset.
    pub asset: AssetNumber,
    /// In what time.
    pub period: Period,
    /// What goes to this payee only; `None`: all that the key pays.
    pub payee: Option<PartyId>,
}

/// Most that a signer may credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct Budget {
    /// In what, when, and to whom.
    pub key: BudgetKey,
    /// How much, in asset units.
    pub amount: Amount,
}

/// What a signer has credited of a budget in the period in which it did last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct BudgetUse {
    /// Whose budget.
    pub signer: SignerKey,
    /// The budget.
    pub budget: Budget,
    /// Which period.
    pub number: i64,
    /// How much of it.
    pub used: Amount,
}

impl BudgetUse {
    /// Whether so much is used that its owner should know: 80 %, to the unit.
    #[must_use]
    pub fn is_near(&self) -> bool {
        is_near(self.budget.amount, self.used)
    }
}

/// Whether of so much so much is used that somebody should know.
#[must_use]
pub fn is_near(amount: Amount, used: Amount) -> bool {
    used > Amount(0) && u128::from(used.0) * 5 >= u128::from(amount.0) * 4
}

/// A budget of a signer, as the control state has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BudgetEntry {
    /// The budget.
    pub budget: Budget,
    /// The last period in which its owner was warned.
    pub warned: Option<i64>,
}

/// The budgets of a signer once they are replaced by these: who was warned of one that stays as it
/// is, was warned.
#[must_use]
pub fn replaced(held: &[BudgetEntry], by: &[Budget]) -> Vec<BudgetEntry> {
    let entry = |&budget: &Budget| {
        let same = held.iter().find(|entry| entry.budget == budget);
        BudgetEntry { budget, warned: same.and_then(|entry| entry.warned) }
    };
    by.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_back_and_the_longest_refuses_first() {
        for period in Period::ALL {
            assert_eq!(Period::from_byte(period.byte()), Some(period));
        }
        assert_eq!((Period::from_byte(0), Period::from_byte(5)), (None, None));
        assert!(Period::ALL.is_sorted());
    }

    #[test]
    fn eighty_percent_is_near_and_one_unit_less_is_not() {
        let near = |amount, used| is_near(Amount(amount), Amount(used));
        assert_eq!((near(100, 79), near(100, 80), near(100, 100)), (false, true, true));
        assert_eq!((near(1, 0), near(1, 1), near(0, 0)), (false, true, false));
        assert!(near(u64::MAX, u64::MAX) && !near(u64::MAX, u64::MAX / 5 * 4 - 1));
        // Lowered below what is used.
        assert!(near(10, 50) && near(0, 1));
    }

    #[test]
    fn who_was_warned_of_a_budget_that_stays_was_warned() {
        let key = |period| BudgetKey { asset: AssetNumber(1), period, payee: None };
        let budget = |period, amount| Budget { key: key(period), amount: Amount(amount) };
        let warned =
            |period, amount| BudgetEntry { budget: budget(period, amount), warned: Some(7) };
        let held = [warned(Period::Day, 5), warned(Period::Hour, 5)];
        let by = [budget(Period::Total, 5), budget(Period::Day, 5), budget(Period::Hour, 6)];
        let now: Vec<Option<i64>> = replaced(&held, &by).iter().map(|one| one.warned).collect();
        assert_eq!(now, [None, Some(7), None]);
    }
}
