//! What the engine is told at its start: one `Config`, from flags, environment, file and defaults.
//!
//! Owns the names of the settings, their defaults, what each accepts and which source wins
//! (flag > `TALLYSTICK_*` > file > default). Never opens anything but the file that `--config`
//! names, and that in which the first operator waits for a start; holds no secret.

mod bootstrap;
mod cluster;
mod console;
mod hooks;
mod journal;
mod list;
mod listeners;
mod operate;
mod rails;
mod settings;
mod values;

pub use bootstrap::Bootstrap;
pub use cluster::ClusterSettings;
pub use console::{ConsoleSettings, Name as ConsoleName};
pub use hooks::WebhookSettings;
pub use journal::{JournalKind, JournalSettings};
pub use listeners::TlsFiles;
pub use operate::{Operators, ScheduleEntry};
pub use rails::*;
pub use settings::{Config, Settings};
pub use values::{BadValue, parse_bytes, parse_duration, show_bytes, show_duration};

use crate::files;
use crate::limits;
use clap::Args;
use listeners::{ListenTls, why_not};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Port that the engine listens on, and clients look for it at, unless told otherwise.
pub const PORT_DEFAULT: u16 = 7_450;

/// Rail name to the fields of the operator's account there.
pub type Clearing = BTreeMap<String, BTreeMap<String, String>>;

/// `serve`'s arguments.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// TOML file with settings; flags and environment win over it
    #[arg(long, env = "TALLYSTICK_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the settings in force as TOML and exit
    #[arg(long)]
    pub print_config: bool,

    /// Start although the clock is more than a day before, or more than a year after, the last
    /// record: say so once, after you have made sure that the clock is right
    #[arg(long)]
    pub accept_clock: bool,

    /// Create a new, empty ledger although the settings name its network: for the first start.
    /// Without it a data directory that is missing or empty is refused, since it may not be mounted
    #[arg(long)]
    pub init: bool,

    /// The settings that flags or environment give.
    #[command(flatten)]
    pub settings: Settings,
}
/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {}", files::why(path, why))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The file is no TOML, has an unknown key, or a value of the wrong form.
    #[error("in the configuration file {}: {what}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        what: String,
    },
    /// A value is not in its range.
    #[error(
        "in the configuration file {}{}: {key} is {got}; expected {expected}",
        path.display(),
        line.map_or(String::new(), |line| format!(", line {line}"))
    )]
    OutOfRange {
        /// Which file.
        path: PathBuf,
        /// In which line.
        line: Option<usize>,
        /// Which key.
        key: String,
        /// Its value.
        got: String,
        /// What it should be.
        expected: String,
    },
    /// A listener would be reached by whom it must not.
    #[error("{0}")]
    Reachable(String),
    /// A copy would lie in what it is a copy of.
    #[error(
        "{setting} is {}, which lies in the data directory {}: what is kept there would be lost with the ledger; \
         name a folder outside of it, best on another disk",
        path.display(),
        data_dir.display()
    )]
    Inside {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        path: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
    },
}

impl Config {
    /// The settings in force: those of the flags and the environment (which clap has read), then
    /// the file's, then the defaults.
    ///
    /// # Errors
    /// `ConfigError` that names the file, the key and what is expected.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let file = match &args.config {
            None => Settings::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|why| ConfigError::Unreadable { path: path.clone(), why })?;
                Settings::from_toml(&text, path)?
            }
        };
        let config = args.settings.clone().or(file).resolve(cores());
        config.check_reach()?;
        config.check_places()?;
        Ok(Self { accept_clock: args.accept_clock, init: args.init, ..config })
    }

    /// Whether every listener may be reached by whom it can be reached.
    fn check_reach(&self) -> Result<(), ConfigError> {
        let ListenTls { grpc, http } = &self.listen_tls;
        let grpc = why_not(self.listen, grpc.as_ref());
        let http = self.listen_http.map(|at| why_not(at, http.as_ref()));
        let console = self.console.as_ref();
        let console = console.map(|of| why_not(of.listen.0, of.tls.as_ref()));
        grpc.or(http.flatten())
            .or(console.flatten())
            .map_or(Ok(()), |why| Err(ConfigError::Reachable(why)))
    }

    /// Whether what must outlive the ledger lies elsewhere.
    fn check_places(&self) -> Result<(), ConfigError> {
        let data_dir = &self.data_dir;
        for (setting, path) in
            [("backup_dir", &self.backup_dir), ("archive_dir", &self.archive_dir)]
        {
            if let Some(path) = path.as_ref().filter(|path| files::is_within(path, data_dir)) {
                let (path, data_dir) = (path.clone(), data_dir.clone());
                return Err(ConfigError::Inside { setting, path, data_dir });
            }
        }
        Ok(())
    }

    /// The settings in which `new` differs, by their names in a file.
    #[must_use]
    pub fn changed(&self, new: &Self) -> Vec<String> {
        let table = |of: &Self| of.to_toml().parse::<toml::Table>().unwrap_or_default();
        let (old, new) = (table(self), table(new));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
    }

    /// Where the audit log is.
    #[must_use]
    pub fn audit_log_dir(&self) -> PathBuf {
        self.audit_log.clone().unwrap_or_else(|| self.data_dir.join("audit-log"))
    }

    /// These settings as a TOML file that gives the same ones again; but an access key in an
    /// address is not shown.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let text = toml::to_string(&Settings::of(self).in_tables())
            .expect("settings are plain tables of text and numbers");
        format!("{}\n", text.trim_end())
    }
}

impl Default for Config {
    fn default() -> Self {
        Settings::default().resolve(cores())
    }
}

/// Cores that this process may use; 1 when the system does not say.
fn cores() -> u16 {
    std::thread::available_parallelism()
        .map_or(1, |n| u16::try_from(n.get()).unwrap_or(limits::VERIFY_THREADS_MAX))
        .min(limits::VERIFY_THREADS_MAX)
}
