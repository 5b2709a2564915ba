//! Who may operate the engine, and what it does by itself: `[operators]`, `four_eyes`,
//! `[[schedule]]`. In the file only. Holds no secret: an operator's token is known by its digest.

use super::list::Setting;
use super::values::{CronText, Number, RailName, TokenDigest, Units};
use crate::ledger::{Caller, Rail};
use crate::limits::{OPERATOR_NAME_BYTES_MAX, OPERATORS_MAX, SCHEDULE_MAX};
use crate::types::{AssetNumber, Cron, Digest, Total, token_digest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Operators by name, each with the digest of its token.
pub type Operators = BTreeMap<String, Digest>;

/// When windows close by themselves for one asset, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Whose sums count, and what is batched.
    pub asset: AssetNumber,
    /// Close at these times.
    pub close: Option<Cron>,
    /// Close when more than this is owed in the open window.
    pub gross_over: Option<Total>,
    /// Close when somebody who pays in the open window owes more than this, unsettled.
    pub exposure_over: Option<Total>,
    /// Compute a batch on this rail after each such close.
    pub batch_rail: Option<Rail>,
    /// Unless it would move less than this: then its windows wait for the next close.
    pub batch_min_total: Option<Total>,
    /// Approve it when its total is below this.
    pub approve_below: Option<Total>,
    /// As long as what was approved so since midnight UTC stays below this, with it. With
    /// `approve_below` it is never absent: unless it is said, it is the same.
    pub approve_below_per_day: Option<Total>,
}

/// `[operators]`.
pub(super) type OperatorTable = BTreeMap<String, TokenDigest>;

/// `[[schedule]]`.
pub(super) type ScheduleTable = Vec<ScheduleSetting>;

/// An entry of the schedule as a file says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSetting {
    asset: Option<Number>,
    close: Option<CronText>,
    close_when_gross_over: Option<Units>,
    close_when_exposure_over: Option<Units>,
    batch_rail: Option<RailName>,
    batch_min_total: Option<Units>,
    approve_below: Option<Units>,
    approve_below_per_day: Option<Units>,
}

/// A key, what it is, and what is expected.
type Wrong = (String, String, String);

fn wrong(key: &str, got: impl Into<String>, expected: impl Into<String>) -> Wrong {
    (key.to_owned(), got.into(), expected.into())
}

/// What a script makes the digest of when there is no token.
const NO_TOKENS: [&str; 8] = ["", " ", "\n", "\r\n", "\t", "\r", " \n", "\n\n"];

/// Checks who may operate.
pub(super) fn check_operators(
    operators: &BTreeMap<String, TokenDigest>,
    four_eyes: bool,
) -> Result<(), Wrong> {
    let count = operators.len();
    if count > OPERATORS_MAX {
        let most = format!("at most {OPERATORS_MAX}");
        return Err(wrong("operators", format!("a table of {count}"), most));
    }
    let mut seen = BTreeSet::new();
    for (name, digest) in operators {
        let key = format!("operators.{name}");
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
        if name.is_empty() || name.len() > OPERATOR_NAME_BYTES_MAX || !name.bytes().all(plain) {
            let expected =
                format!("a name of 1 to {OPERATOR_NAME_BYTES_MAX} letters, digits and . _ - @");
            return Err(wrong(&key, "not a name", expected));
        }
        if name == Caller::SCHEDULE {
            return Err(wrong(&key, "the engine's own name", "another name"));
        }
        if NO_TOKENS.iter().any(|text| token_digest(text) == digest.0) {
            let expected = "the digest of a token (`tallystick operator token`)";
            return Err(wrong(&key, "the digest of an empty text or of blanks", expected));
        }
        if !seen.insert(digest.0) {
            let expected = "a token of its own for each operator (`tallystick operator token`)";
            return Err(wrong(&key, "the digest of another operator's token too", expected));
        }
    }
    // With none, operators and approvers are identities, which the journal knows.
    if four_eyes && count == 1 {
        let expected = "at least two operators in [operators], or none where they have identities \
                        (`tallystick access`)";
        return Err(wrong("four_eyes", "true with one operator", expected));
    }
    Ok(())
}

/// Checks the schedule.
pub(super) fn check_schedule(schedule: &[ScheduleSetting], four_eyes: bool) -> Result<(), Wrong> {
    if schedule.len() > SCHEDULE_MAX {
        let got = format!("a list of {}", schedule.len());
        return Err(wrong("schedule", got, format!("at most {SCHEDULE_MAX}")));
    }
    let mut seen = BTreeSet::new();
    for (index, entry) in schedule.iter().enumerate() {
        let key = |name: &str| format!("schedule[{index}].{name}");
        let Some(Number(asset)) = entry.asset else {
            return Err(wrong(&key("asset"), "missing", "the number of an asset"));
        };
        if !seen.insert(asset) {
            return Err(wrong(&key("asset"), asset.to_string(), "one entry for each asset"));
        }
        let closes = entry.close.is_some()
            || entry.close_when_gross_over.is_some()
            || entry.close_when_exposure_over.is_some();
        if !closes {
            let expected = "close, close_when_gross_over or close_when_exposure_over with it";
            return Err(wrong(&key("asset"), asset.to_string(), expected));
        }
        if entry.batch_min_total.is_some() && entry.batch_rail.is_none() {
            return Err(wrong(&key("batch_min_total"), "alone", "batch_rail with it"));
        }
        if entry.approve_below.is_some() && entry.batch_rail.is_none() {
            return Err(wrong(&key("approve_below"), "alone", "batch_rail with it"));
        }
        if entry.approve_below.is_some() && four_eyes {
            let expected = "four_eyes = false: approve_below approves without a person, so it cannot be used with four_eyes";
            return Err(wrong(&key("approve_below"), "set", expected));
        }
        check_per_day(entry)
            .map_err(|(got, expected)| wrong(&key("approve_below_per_day"), got, expected))?;
    }
    Ok(())
}

/// What is approved in a day is bounded by a sum of its own, which one batch alone must not exceed.
fn check_per_day(entry: &ScheduleSetting) -> Result<(), (String, String)> {
    match (&entry.approve_below, &entry.approve_below_per_day) {
        (None, Some(_)) => Err(("alone".into(), "approve_below with it".into())),
        (Some(one), Some(day)) if day.0 < one.0 => {
            let expected = format!("at least approve_below, which is {}", one.0);
            Err((day.0.to_string(), expected))
        }
        (None | Some(_), None) | (Some(_), Some(_)) => Ok(()),
    }
}

impl Setting for ScheduleTable {
    type Value = Vec<ScheduleEntry>;
    fn value(self) -> Vec<ScheduleEntry> {
        self.into_iter().map(ScheduleSetting::entry).collect()
    }
    fn of(schedule: &Vec<ScheduleEntry>) -> Self {
        schedule.iter().map(ScheduleSetting::of).collect()
    }
}

impl Setting for OperatorTable {
    type Value = Operators;
    fn value(self) -> Operators {
        self.into_iter().map(|(name, digest)| (name, digest.0)).collect()
    }
    fn of(operators: &Operators) -> Self {
        operators.iter().map(|(name, digest)| (name.clone(), TokenDigest(*digest))).collect()
    }
}

impl ScheduleSetting {
    /// The entry, checked before.
    fn entry(self) -> ScheduleEntry {
        let per_day = self.approve_below_per_day.as_ref().or(self.approve_below.as_ref());
        ScheduleEntry {
            approve_below_per_day: per_day.map(|below| below.0),
            asset: AssetNumber(self.asset.expect("it was checked").0),
            close: self.close.map(|close| close.0),
            gross_over: self.close_when_gross_over.map(|over| over.0),
            exposure_over: self.close_when_exposure_over.map(|over| over.0),
            batch_rail: self.batch_rail.map(|rail| rail.0),
            batch_min_total: self.batch_min_total.map(|least| least.0),
            approve_below: self.approve_below.map(|below| below.0),
        }
    }

    /// What gives the entry again.
    fn of(entry: &ScheduleEntry) -> Self {
        Self {
            asset: Some(Number(entry.asset.0)),
            close: entry.close.clone().map(CronText),
            close_when_gross_over: entry.gross_over.map(Units),
            close_when_exposure_over: entry.exposure_over.map(Units),
            batch_rail: entry.batch_rail.map(RailName),
            batch_min_total: entry.batch_min_total.map(Units),
            approve_below: entry.approve_below.map(Units),
            approve_below_per_day: entry.approve_below_per_day.map(Units),
        }
    }
}
