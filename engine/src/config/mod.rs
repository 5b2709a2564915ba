//! What the engine is told at its start: one `Config`, from flags, environment, file and defaults.
//!
//! Owns the names of the settings, their defaults, what each accepts and which source wins
//! (flag > `TALLYSTICK_*` > file > default). Never opens anything but the file that `--config`
//! names, and holds no secret.

mod listeners;
mod operate;
mod rails;
mod settings;
mod values;

pub use operate::{Operators, Scheduled};
pub use rails::*;
pub use settings::Settings;
pub use values::{BadValue, parse_bytes, parse_duration, show_bytes, show_duration};

use crate::limits;
use crate::types::NetworkId;
use crate::verify::Backend;
use clap::Args;
use listeners::{Kind, Listener, Listeners};
use operate::ScheduleSetting;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use values::{
    CheckpointBytes, Every, Listen, LogFilter, Network, ReserveBytes, TableBytes, TokenDigest,
    VerifyBackend,
};

/// Port that the engine listens on, and clients look for it at, unless told otherwise.
pub const PORT_DEFAULT: u16 = 7_450;

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the journal lives.
    pub data_dir: PathBuf,
    /// Where clients connect; a loopback address. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// File that is written once the engine serves: JSON with the address, the network and the pid.
    pub ready_file: Option<PathBuf>,
    /// The deployment's id: must match an existing directory, is chosen for a new one.
    pub network_id: Option<NetworkId>,
    /// Ledger threads.
    pub shards: u16,
    /// Threads that check signatures.
    pub verify_threads: usize,
    /// What checks signatures; `None`: the fastest that the machine can run.
    pub verify_backend: Option<Backend>,
    /// Memory for the tables that make known keys cheap, in bytes; 0: none.
    pub verify_table_bytes: usize,
    /// Bytes of records after which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Free bytes on the disk below which no vouchers are taken.
    pub disk_reserve_bytes: u64,
    /// Time between two scheduled cuts; `None`: windows close by hand only.
    pub window_every: Option<Duration>,
    /// Longest life of a voucher; counts only when a directory is created.
    pub voucher_lifetime_max_seconds: Option<i64>,
    /// The operator's own settlement account per rail.
    pub clearing: Clearing,
    /// How each rail is reached.
    pub rail: RailSettings,
    /// Where webhooks and the like are served over HTTP; a loopback address. `None`: nowhere.
    pub listen_http: Option<SocketAddr>,
    /// Who may operate; empty: whoever reaches the engine.
    pub operators: Operators,
    /// Whether another operator than the one who computed a batch must approve it.
    pub four_eyes: bool,
    /// When windows close by themselves, by asset.
    pub schedule: Vec<Scheduled>,
    /// Which messages are logged.
    pub log: String,
    /// The operator says that the clock is right, however far it is from the last record.
    pub accept_clock: bool,
    /// A new, empty ledger may be created although the settings name its network.
    pub init: bool,
}

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
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
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
    #[error("in the configuration file {}: {key} is {got}; expected {expected}", path.display())]
    OutOfRange {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// Its value.
        got: String,
        /// What it should be.
        expected: String,
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
                    .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
                Settings::from_toml(&text, path)?
            }
        };
        let config = args.settings.clone().or(file).resolve(cores());
        Ok(Self { accept_clock: args.accept_clock, init: args.init, ..config })
    }

    /// These settings as a TOML file that gives the same ones again; but an access key in an
    /// address is not shown.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let threads = u16::try_from(self.verify_threads).expect("the range was checked");
        let settings = Settings {
            data_dir: Some(self.data_dir.clone()),
            listen: Some(self.listeners()),
            ready_file: self.ready_file.clone(),
            network_id: self.network_id.map(Network),
            shards: Some(self.shards),
            verify_threads: Some(threads),
            verify_backend: Some(VerifyBackend(self.verify_backend)),
            verify_table_bytes: Some(TableBytes(self.verify_table_bytes)),
            checkpoint_bytes: Some(CheckpointBytes(self.checkpoint_bytes)),
            disk_reserve_bytes: Some(ReserveBytes(self.disk_reserve_bytes)),
            window_every: Some(Every(self.window_every)),
            voucher_lifetime_max_seconds: self.voucher_lifetime_max_seconds,
            log: Some(LogFilter(self.log.clone())),
            listen_http: None,
            clearing: self.clearing.clone(),
            rail: self.rail.shown(),
            four_eyes: Some(self.four_eyes),
            operators: self.operators.iter().map(|(n, d)| (n.clone(), TokenDigest(*d))).collect(),
            schedule: self.schedule.iter().map(ScheduleSetting::of).collect(),
        };
        let text =
            toml::to_string(&settings).expect("settings are plain tables of text and numbers");
        format!("{}\n", text.trim_end())
    }
}

impl Config {
    /// The listeners as a file gives them: in the short form where that says all.
    fn listeners(&self) -> Listeners {
        let listener = |address, kind| Listener { address: Listen(address), kind };
        match self.listen_http {
            None => Listeners::Short(Listen(self.listen)),
            Some(http) => Listeners::Table(vec![
                listener(self.listen, Kind::Grpc),
                listener(http, Kind::Http),
            ]),
        }
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
