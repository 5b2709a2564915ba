//! `status --check`: one line a trouble, for programs that watch. Owns what is a warning and what
//! is worse, and the exit codes.

use super::client::Session;
use super::output::{Cell, Record};
use super::{CliError, Target};
use crate::config::{parse_duration, show_duration};
use clap::Args;
use std::time::Duration;
use tallystick_proto::v1::{GetStatusRequest, Status};

/// Shown with `tallystick status --help`.
pub const HELP: &str = "\
Examples:
  tallystick status --json
  tallystick status --check --computed-older 4h

With --check one line for each trouble is printed, and the exit code says how bad the worst is:
0 all is well; 1 WARNING: something waits for a person; 2 CRITICAL: something is broken, money may
be lost or late, or no engine answers.";

/// What is watched for.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Print one line for each trouble, and end with 0, 1 or 2: for monitors
    #[arg(long)]
    pub check: bool,
    /// Warn when a batch has waited longer than this for approval
    #[arg(long, value_name = "AGE", value_parser = parse_duration, default_value = "1h")]
    computed_older: Duration,
    /// Warn when a batch was approved longer ago than this and its legs have not all ended
    #[arg(long, value_name = "AGE", value_parser = parse_duration, default_value = "4d")]
    settling_older: Duration,
    /// An UNKNOWN leg older than this is critical
    #[arg(long, value_name = "AGE", value_parser = parse_duration, default_value = "1h")]
    unknown_older: Duration,
    /// Warn when the newest backup is older than this, where the engine has a backup_dir
    #[arg(long, value_name = "AGE", value_parser = parse_duration, default_value = "26h")]
    backup_older: Duration,
}

/// How bad it is. The numbers are the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Level {
    Ok = 0,
    Warning = 1,
    Critical = 2,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

type Found = (Level, String);

/// Runs `tallystick status --check`.
///
/// # Errors
/// `Checked` when there is a trouble; when standard output cannot be written.
pub async fn run(target: &Target, args: &CheckArgs) -> Result<(), CliError> {
    let mut out = super::output::Output::new(target.json);
    let found = match status(target).await {
        Ok(status) => troubles(&status, args),
        // That it could not be asked is what a monitor must know first.
        Err(CliError::Input(why)) => return Err(CliError::Input(why)),
        Err(error) => vec![(Level::Critical, error.to_string())],
    };
    let worst = found.iter().map(|(level, _)| *level).max().unwrap_or(Level::Ok);
    for (level, text) in found {
        if target.json {
            let level = Cell::Text(level.name().to_lowercase());
            let record = Record(vec![("level", level), ("text", Cell::Text(text))]);
            out.record(&record, &Default::default())?;
        } else {
            out.line(&format!("{}: {text}", level.name()))?;
        }
    }
    out.finish()?;
    match worst {
        Level::Ok => Ok(()),
        Level::Warning | Level::Critical => Err(CliError::Checked(worst as u8)),
    }
}

async fn status(target: &Target) -> Result<Status, CliError> {
    let session = Session::connect(target).await?;
    let answer = session.operator().get_status(GetStatusRequest {}).await;
    Ok(answer.map_err(|status| session.failed(status))?.into_inner())
}

/// All that is wrong; that nothing is, if nothing is.
fn troubles(status: &Status, args: &CheckArgs) -> Vec<Found> {
    use Level::{Critical, Warning};
    let mut found = Vec::new();
    let mut say = |level: Level, text: String| found.push((level, text));
    if status.verify_alarms > 0 {
        let alarms = status.verify_alarms;
        say(Critical, format!("{alarms} valid signatures were rejected: this machine is broken"));
    }
    for why in &status.standing {
        say(Critical, format!("settlement is held up: {why}"));
    }
    let older = |since: i64, most: Duration| age(status.at_us, since).filter(|age| *age > most);
    if let Some(age) = older(status.oldest_unknown_us, args.unknown_older) {
        say(Critical, format!("a leg has been UNKNOWN for {}: `tallystick todo`", rough(age)));
    } else if status.legs_unknown > 0 {
        let legs = status.legs_unknown;
        say(Warning, format!("{legs} legs are UNKNOWN: their answer was lost"));
    }
    if status.troubles_open > 0 {
        let open = status.troubles_open;
        say(Warning, format!("{open} troubles are open: `tallystick trouble list`"));
    }
    for entry in status.schedule.iter().filter(|entry| !entry.trouble.is_empty()) {
        let text = format!("the schedule of asset {} is held up: {}", entry.asset, entry.trouble);
        say(Warning, text);
    }
    if let Some(age) = older(status.oldest_computed_us, args.computed_older) {
        say(Warning, format!("a batch has waited {} for approval: `tallystick todo`", rough(age)));
    }
    if let Some(age) = older(status.oldest_settling_us, args.settling_older) {
        say(Warning, format!("a batch was approved {} ago and has not ended", rough(age)));
    }
    // A tenth is left: a few days, if it fills up as it did.
    let (ids, most) = (status.request_ids, status.request_ids_max);
    if most > 0 && ids >= most - most / 10 {
        say(
            Warning,
            format!("{ids} of {most} request ids are remembered: soon nothing is registered"),
        );
    }
    if !status.backup_dir.is_empty() {
        let last = status.last_backup.as_ref().map_or(0, |last| last.created_at_us);
        match age(status.at_us, last) {
            None => say(Warning, "there is no backup: `tallystick backup create`".to_owned()),
            Some(age) if age > args.backup_older => {
                say(Warning, format!("the newest backup is {} old", rough(age)));
            }
            Some(_) => {}
        }
    }
    if status.log_lines_lost > 0 {
        let lost = status.log_lines_lost;
        say(Warning, format!("{lost} lines of the log could not be written since the start"));
    }
    if status.audit_lines_lost > 0 {
        let lost = status.audit_lines_lost;
        say(Warning, format!("{lost} lines of the audit log could not be written since the start"));
    }
    if found.is_empty() {
        let (window, lsn) = (status.open_window, status.durable_lsn);
        found.push((Level::Ok, format!("window {window} is open, record {lsn} is durable")));
    }
    found
}

/// How long ago that was; `None` if it never was.
fn age(now: i64, since: i64) -> Option<Duration> {
    let micros = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
    (since != 0).then(|| Duration::from_micros(micros))
}

/// An age in minutes, hours or days, as people say it.
fn rough(age: Duration) -> String {
    const UNITS: [u64; 3] = [24 * 3_600, 3_600, 60];
    let seconds = age.as_secs();
    let unit = UNITS.into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    show_duration(Duration::from_secs(seconds / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::{Backup, ScheduleStatus};

    const HOUR_US: i64 = 3_600_000_000;

    fn args() -> CheckArgs {
        let hours = Duration::from_hours;
        CheckArgs {
            check: true,
            computed_older: hours(1),
            settling_older: hours(96),
            unknown_older: hours(1),
            backup_older: hours(26),
        }
    }

    fn well() -> Status {
        Status {
            at_us: 1_000 * HOUR_US,
            open_window: 3,
            durable_lsn: 9,
            request_ids_max: 100,
            ..Default::default()
        }
    }

    #[test]
    fn every_trouble_has_its_line_and_its_level() {
        let now = well().at_us;
        let late =
            ScheduleStatus { asset: 978, trouble: "no account".into(), ..Default::default() };
        let backed_up = |created_at_us| Backup { created_at_us, ..Default::default() };
        let table: [(Status, &str); 12] = [
            (well(), "OK: window 3 is open, record 9 is durable"),
            (
                Status { verify_alarms: 2, ..well() },
                "CRITICAL: 2 valid signatures were rejected: this machine is broken",
            ),
            (
                Status { standing: vec!["inbox of iso20022: disk full".into()], ..well() },
                "CRITICAL: settlement is held up: inbox of iso20022: disk full",
            ),
            (
                Status { legs_unknown: 1, oldest_unknown_us: now - 50 * HOUR_US, ..well() },
                "CRITICAL: a leg has been UNKNOWN for 2d: `tallystick todo`",
            ),
            (
                Status { legs_unknown: 4, oldest_unknown_us: now - 1, ..well() },
                "WARNING: 4 legs are UNKNOWN: their answer was lost",
            ),
            (
                Status { troubles_open: 3, ..well() },
                "WARNING: 3 troubles are open: `tallystick trouble list`",
            ),
            (
                Status { schedule: vec![late], ..well() },
                "WARNING: the schedule of asset 978 is held up: no account",
            ),
            (
                Status { oldest_computed_us: now - 3 * HOUR_US, ..well() },
                "WARNING: a batch has waited 3h for approval: `tallystick todo`",
            ),
            (
                Status { oldest_settling_us: now - 121 * HOUR_US, ..well() },
                "WARNING: a batch was approved 5d ago and has not ended",
            ),
            (
                Status { request_ids: 90, ..well() },
                "WARNING: 90 of 100 request ids are remembered: soon nothing is registered",
            ),
            (
                Status { backup_dir: "/b".into(), ..well() },
                "WARNING: there is no backup: `tallystick backup create`",
            ),
            (
                Status {
                    backup_dir: "/b".into(),
                    last_backup: Some(backed_up(now - 49 * HOUR_US)),
                    ..well()
                },
                "WARNING: the newest backup is 2d old",
            ),
        ];
        for (status, wanted) in table {
            let found = troubles(&status, &args());
            let lines: Vec<String> =
                found.iter().map(|(level, text)| format!("{}: {text}", level.name())).collect();
            assert_eq!(lines, [wanted]);
        }
    }

    #[test]
    fn what_is_young_enough_is_no_trouble() {
        let now = well().at_us;
        let status = Status {
            oldest_computed_us: now - HOUR_US,
            oldest_settling_us: now - 96 * HOUR_US,
            ..well()
        };
        assert_eq!(troubles(&status, &args())[0].0, Level::Ok);
    }
}
