//! What the engine is told at its start: one `Config`, from flags, environment, file and defaults.
//!
//! Owns the names of the settings, their defaults, what each accepts and which source wins
//! (flag > `TALLYSTICK_*` > file > default). Never opens anything but the file that `--config`
//! names, and holds no secret.

use crate::limits;
use crate::types::NetworkId;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

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
    /// Time between two scheduled cuts; `None`: windows close by hand only.
    pub window_every: Option<Duration>,
    /// Longest life of a voucher; counts only when a directory is created.
    pub voucher_lifetime_max_seconds: Option<i64>,
    /// The operator's own settlement account per rail.
    pub clearing: Clearing,
    /// Which messages are logged.
    pub log: String,
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

    /// The settings that flags or environment give.
    #[command(flatten)]
    pub settings: Settings,
}

/// What one source says; what it leaves out, the next one decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of the journal; created if it does not exist [default: ./tallystick-data]
    #[arg(long, env = "TALLYSTICK_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Loopback address and port to serve; port 0 takes any free one [default: 127.0.0.1:7450]
    #[arg(long, env = "TALLYSTICK_LISTEN", hide_env_values = true, value_name = "IP:PORT")]
    listen: Option<Listen>,

    /// File that is written once the engine serves: JSON with the address, the network and the pid
    #[arg(long, env = "TALLYSTICK_READY_FILE", hide_env_values = true, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// Id of the deployment, 64 hexadecimal digits: must match an existing directory; a new one
    /// gets it instead of a random one
    #[arg(long, env = "TALLYSTICK_NETWORK_ID", hide_env_values = true, value_name = "HEX")]
    network_id: Option<Network>,

    /// Ledger threads [default: half of the cores]
    #[arg(long, env = "TALLYSTICK_SHARDS", hide_env_values = true, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::SHARDS_MAX)))]
    shards: Option<u16>,

    /// Threads that check signatures [default: the cores]
    #[arg(long, env = "TALLYSTICK_VERIFY_THREADS", hide_env_values = true, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::VERIFY_THREADS_MAX)))]
    verify_threads: Option<u16>,

    /// Close the open window this often: 500ms, 60s, 5m, 1h; "off": by hand only [default: off]
    #[arg(long, env = "TALLYSTICK_WINDOW_EVERY", hide_env_values = true, value_name = "TIME")]
    window_every: Option<Every>,

    /// Longest life of a voucher; counts only when the data directory is created [default: 5 years]
    #[arg(long, env = "TALLYSTICK_VOUCHER_LIFETIME_MAX_SECONDS", hide_env_values = true,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(i64).range(1..=limits::LIFETIME_SECONDS_MAX))]
    voucher_lifetime_max_seconds: Option<i64>,

    /// Which messages are logged to stderr, e.g. "warn" or "info,tallystick=debug" [default: info]
    #[arg(long, env = "TALLYSTICK_LOG", hide_env_values = true, value_name = "FILTER")]
    log: Option<LogFilter>,

    /// The operator's own accounts: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    clearing: Clearing,
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
    #[error("in the configuration file {}: {source}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
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
        Ok(args.settings.clone().or(file).resolve(cores()))
    }

    /// These settings as a TOML file that gives the same ones again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let threads = u16::try_from(self.verify_threads).expect("the range was checked");
        let settings = Settings {
            data_dir: Some(self.data_dir.clone()),
            listen: Some(Listen(self.listen)),
            ready_file: self.ready_file.clone(),
            network_id: self.network_id.map(Network),
            shards: Some(self.shards),
            verify_threads: Some(threads),
            window_every: Some(Every(self.window_every)),
            voucher_lifetime_max_seconds: self.voucher_lifetime_max_seconds,
            log: Some(LogFilter(self.log.clone())),
            clearing: self.clearing.clone(),
        };
        let text =
            toml::to_string(&settings).expect("settings are plain tables of text and numbers");
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

impl Settings {
    /// Reads a file's text; `path` only names it in errors.
    fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let settings: Self = toml::from_str(text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        settings.check().map_err(|(key, got, expected)| ConfigError::OutOfRange {
            path: path.to_owned(),
            key,
            got,
            expected,
        })?;
        Ok(settings)
    }

    /// Checks what the values' types do not: (key, value, what is expected). Flags are checked by
    /// clap, with the same limits.
    fn check(&self) -> Result<(), (String, String, String)> {
        let range = |key: &str, value: Option<i64>, most: i64| match value {
            Some(n) if !(1..=most).contains(&n) => {
                Err((key.to_owned(), n.to_string(), format!("1 to {most}")))
            }
            Some(_) | None => Ok(()),
        };
        range("shards", self.shards.map(i64::from), i64::from(limits::SHARDS_MAX))?;
        let threads = self.verify_threads.map(i64::from);
        range("verify_threads", threads, i64::from(limits::VERIFY_THREADS_MAX))?;
        let lifetime = self.voucher_lifetime_max_seconds;
        range("voucher_lifetime_max_seconds", lifetime, limits::LIFETIME_SECONDS_MAX)?;

        let at_most = |key: String, count: usize, most: usize, what: &str| match count {
            n if n > most => Err((key, format!("{n} {what}"), format!("at most {most}"))),
            _ => Ok(()),
        };
        at_most("clearing".into(), self.clearing.len(), limits::ACCOUNTS_MAX, "rails")?;
        for (rail, fields) in &self.clearing {
            let key = format!("clearing.{rail}");
            at_most(key.clone(), fields.len(), limits::ACCOUNT_FIELDS_MAX, "fields")?;
            for (field, value) in fields {
                let most = limits::TEXT_BYTES_MAX;
                at_most(format!("{key}.{field}"), value.len(), most, "bytes long")?;
            }
        }
        Ok(())
    }

    /// These settings, and those of `other` where these say nothing.
    fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            listen: self.listen.or(other.listen),
            ready_file: self.ready_file.or(other.ready_file),
            network_id: self.network_id.or(other.network_id),
            shards: self.shards.or(other.shards),
            verify_threads: self.verify_threads.or(other.verify_threads),
            window_every: self.window_every.or(other.window_every),
            voucher_lifetime_max_seconds: self
                .voucher_lifetime_max_seconds
                .or(other.voucher_lifetime_max_seconds),
            log: self.log.or(other.log),
            clearing: if self.clearing.is_empty() { other.clearing } else { self.clearing },
        }
    }

    /// These settings, and the defaults where they say nothing.
    fn resolve(self, cores: u16) -> Config {
        let listen = Listen(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)));
        Config {
            data_dir: self.data_dir.unwrap_or_else(|| "./tallystick-data".into()),
            listen: self.listen.unwrap_or(listen).0,
            ready_file: self.ready_file,
            network_id: self.network_id.map(|network| network.0),
            shards: self.shards.unwrap_or((cores / 2).clamp(1, limits::SHARDS_MAX)),
            verify_threads: usize::from(self.verify_threads.unwrap_or(cores)),
            window_every: self.window_every.and_then(|every| every.0),
            voucher_lifetime_max_seconds: self.voucher_lifetime_max_seconds,
            clearing: self.clearing,
            log: self.log.map_or_else(|| "info".into(), |filter| filter.0),
        }
    }
}

/// Why a text is no value of a setting: what is wrong and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

/// A setting written as text, the same in a flag and in the file.
macro_rules! text_setting {
    ($name:ident($inner:ty), $show:expr) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        struct $name($inner);

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
    };
}

text_setting!(Listen(SocketAddr), |address| address.to_string());
text_setting!(Network(NetworkId), |network| network.to_string());
text_setting!(Every(Option<Duration>), |every| every.map_or_else(|| "off".into(), show_duration));
text_setting!(LogFilter(String), |filter| filter);

impl FromStr for Listen {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let address: SocketAddr = text.parse().map_err(|_| {
            BadValue(format!("expected an IP address and a port like 127.0.0.1:7450, got {text:?}"))
        })?;
        if !address.ip().is_loopback() {
            return Err(BadValue(format!(
                "{address} can be reached from other machines, and the engine does not \
                 authenticate its callers yet; use a loopback address like 127.0.0.1:{}",
                address.port()
            )));
        }
        Ok(Self(address))
    }
}

impl FromStr for Network {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.parse().map(Self).map_err(|error: crate::types::HexError| BadValue(error.to_string()))
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
        EnvFilter::try_new(text).map_err(|error| bad(error.to_string()))?;
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
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let &(_, millis) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(bad)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Settings, String> {
        Settings::from_toml(text, Path::new("t.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_given_gives_the_defaults() {
        let config = Settings::default().resolve(8);
        assert_eq!(config.data_dir, Path::new("./tallystick-data"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:7450");
        assert_eq!((config.shards, config.verify_threads), (4, 8));
        assert_eq!((config.window_every, config.log.as_str()), (None, "info"));
        assert_eq!(Settings::default().resolve(1).shards, 1);
        assert_eq!(Settings::default().resolve(1_000).shards, limits::SHARDS_MAX);
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags =
            Settings { shards: Some(2), window_every: Some(Every(None)), ..Settings::default() };
        let text = "shards = 3\nlog = \"warn\"\nwindow_every = \"60s\"\nverify_threads = 5\n";
        let config = flags.or(file(text).unwrap()).resolve(8);
        assert_eq!((config.shards, config.verify_threads), (2, 5));
        assert_eq!((config.log.as_str(), config.window_every), ("warn", None));
    }

    #[test]
    fn errors_name_the_file_the_key_and_what_is_expected() {
        for (text, parts) in [
            ("shards = 65", &["t.toml", "shards", "1 to 64"][..]),
            ("shards = \"two\"", &["t.toml", "shards", "expected u16"]),
            ("verify_threads = 0", &["t.toml", "verify_threads", "1 to 1024"]),
            ("voucher_lifetime_max_seconds = -1", &["voucher_lifetime_max_seconds", "1 to"]),
            ("shard = 1", &["t.toml", "unknown field `shard`", "`shards`"]),
            ("listen = \"0.0.0.0:7450\"", &["t.toml", "listen", "use a loopback address"]),
            ("listen = \"localhost:7450\"", &["listen", "like 127.0.0.1:7450"]),
            ("network_id = \"ab\"", &["network_id", "expected 64 hexadecimal digits"]),
            ("window_every = \"1\"", &["window_every", "like 500ms, 60s, 5m or 1h"]),
            ("window_every = \"1ms\"", &["window_every", "between 100ms and 31d"]),
            ("log = \"loud,=\"", &["log", "expected a level"]),
            ("[clearing.iso20022]\niban = 7", &["iban", "expected a string"]),
            ("shards = ", &["t.toml", "line 1"]),
        ] {
            let error = file(text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{text:?} gives {error:?} without {part:?}");
            }
        }
        let long = format!("[clearing.iso20022]\nname = \"{}\"", "x".repeat(257));
        assert!(file(&long).unwrap_err().contains("clearing.iso20022.name is 257 bytes long"));
    }

    #[test]
    fn only_loopback_addresses_are_served() {
        for good in ["127.0.0.1:0", "127.8.8.8:1", "[::1]:7450"] {
            assert!(good.parse::<Listen>().is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.0.0.1", ":7450", ""] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn printed_settings_are_read_back_as_the_same() {
        let text = "data_dir = \"/d\"\nlisten = \"[::1]:0\"\nready_file = \"r\"\nshards = 7\n\
            verify_threads = 9\nwindow_every = \"90s\"\nvoucher_lifetime_max_seconds = 60\n\
            log = \"warn\"\n[clearing.iso20022]\nname = \"N\"\niban = \"I\"\n";
        let network = format!("network_id = \"{}\"\n", "ab".repeat(32));
        for text in [String::new(), network + text] {
            let config = file(&text).unwrap().resolve(4);
            let again = file(&config.to_toml()).unwrap().resolve(1);
            assert_eq!(again, config);
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
    fn the_example_file_is_valid_with_and_without_its_comments() {
        let example = include_str!("../../docs/tallystick.example.toml");
        file(example).unwrap();
        // Lines of the form `#key = value` are settings that are off by default.
        let all = example.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let all: Vec<&str> = all.filter(|line| !line.starts_with(' ')).collect();
        let settings = file(&all.join("\n")).unwrap();
        assert!(settings.network_id.is_some() && settings.clearing.contains_key("iso20022"));
    }
}
