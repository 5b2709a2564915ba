//! `doctor`: what was found by looking at a machine, one line each. What is looked at is the
//! engine's to say (`serve/doctor`).

use super::CliError;
use super::output::{Cell, Output, Record, printable};
use crate::config::{Config, ConfigError, ServeArgs, Settings, parse_duration};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Shown with `tallystick doctor --help`.
pub const HELP: &str = "\
Examples:
  tallystick doctor --config /etc/tallystick/tallystick.toml
  tallystick doctor --data-dir ./data --json

Looks, as the user that it runs as (take the engine's): at room on the disk and how long a durable
write takes; the clock; open files; what checks signatures; who may read secrets; certificates; the
newest backup; archives and the audit log; webhooks that are paused; and every rail that is
configured, which is asked and told nothing. Changes nothing, and may run beside the engine. One
line for each; the exit code is that of the worst: 0 all is well; 1 WARNING: see to it; 2 CRITICAL:
the engine does not start like this, or money may be late.";

/// `tallystick doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// TOML file with settings, as the engine has it
    #[arg(long, env = "TALLYSTICK_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Warn when the newest backup is older than this
    #[arg(long, value_name = "AGE", value_parser = parse_duration, default_value = "26h")]
    backup_older: Duration,
    /// Read all archives, and compare their digests: takes its time
    #[arg(long)]
    read_archives: bool,
    /// The settings that flags or environment give.
    #[command(flatten)]
    settings: Settings,
}

impl DoctorArgs {
    /// The configuration that is looked at.
    ///
    /// # Errors
    /// As for `serve`.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let (config, settings) = (self.config.clone(), self.settings.clone());
        Config::load(&ServeArgs { config, settings, ..ServeArgs::default() })
    }

    /// Whether all archives are read.
    #[must_use]
    pub fn read_archives(&self) -> bool {
        self.read_archives
    }

    /// From when on a backup is old.
    #[must_use]
    pub fn backup_older(&self) -> Duration {
        self.backup_older
    }
}

/// One line: how bad it is (0, 1 or 2), what was looked at, and what was found.
#[derive(Debug, Clone)]
pub struct Line {
    /// 0 well, 1 a warning, 2 critical.
    pub level: u8,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

/// Prints what was found.
///
/// # Errors
/// `Checked` with the worst level; when standard output cannot be written.
pub fn print(lines: &[Line], json: bool) -> Result<(), CliError> {
    let mut out = Output::new(json);
    let name = |level: u8| ["OK", "WARNING", "CRITICAL"][usize::from(level.min(2))];
    for Line { level, what, text } in lines {
        let (level, text) = (name(*level), printable(text));
        if json {
            let record = Record(vec![
                ("level", Cell::Text(level.to_lowercase())),
                ("what", Cell::Text((*what).to_owned())),
                ("text", Cell::Text(text)),
            ]);
            out.record(&record, &Default::default())?;
        } else {
            out.line(&format!("{level}: {what}: {text}"))?;
        }
    }
    out.finish()?;
    match lines.iter().map(|line| line.level).max().unwrap_or(0) {
        0 => Ok(()),
        worst => Err(CliError::Checked(worst)),
    }
}
