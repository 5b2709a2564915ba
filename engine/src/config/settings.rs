//! The settings as one source gives them: their names, what is put together from several sources,
//! and the defaults.

use super::list::{Setting, form_of, in_force, plain_settings, settings, value_of};
use super::listeners::{ListenTls, Listeners};
use super::operate::{OperatorTable, ScheduleTable, check_operators, check_schedule};
use super::values::{
    self, AuditLogFiles, CheckpointBytes, Every, KeepWindows, LifetimeSeconds, Listen, LogFilter,
    Network, PerAddress, ReserveBytes, Shards, TableBytes, VerifyBackend, VerifyThreads,
};
use super::{
    Clearing, ClusterSettings, ConfigError, ConsoleSettings, JournalSettings, Operators,
    PORT_DEFAULT, RailSettings, WebhookSettings,
};
use crate::ledger::Rail;
use crate::limits;
use crate::rails;
use crate::verify::Options;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

plain_settings!(
    PathBuf,
    bool,
    Clearing,
    ClusterSettings,
    ConsoleSettings,
    JournalSettings,
    ListenTls,
    WebhookSettings
);

settings! {
    (cores)

    /// Directory of the journal; created if it does not exist [default: ./tallystick-data]
    #[arg(long, env = "TALLYSTICK_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: PathBuf = "./tallystick-data".into();

    /// File of the root key, under which names and accounts are kept; made with a new directory
    /// [default: tallystick.root in the data directory]
    #[arg(long, env = "TALLYSTICK_ROOT_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    root_key_file: PathBuf;

    /// Folder in which backups may be made, here or below: on another disk than the data directory
    /// [default: nowhere]
    #[arg(long, env = "TALLYSTICK_BACKUP_DIR", hide_env_values = true, value_name = "DIR")]
    backup_dir: PathBuf;

    /// Address and port to serve; port 0 takes any free one. Beyond this machine only with TLS
    /// (file) [default: 127.0.0.1:7450]
    #[arg(long, env = "TALLYSTICK_LISTEN", hide_env_values = true, value_name = "IP:PORT")]
    listen: Listeners = (Ipv4Addr::LOCALHOST, PORT_DEFAULT).into();

    /// Address and port to serve metrics, health, webhooks and x402 on, over HTTP; port 0 takes any
    /// free one. Beyond this machine only with TLS (file) [default: nowhere]
    #[arg(long, env = "TALLYSTICK_LISTEN_HTTP", hide_env_values = true, value_name = "IP:PORT")]
    listen_http: Listen;

    /// File of a token: whoever sends it may read the metrics, from wherever the HTTP listener can
    /// be reached [default: none; the metrics are for this machine]
    #[arg(long, env = "TALLYSTICK_METRICS_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    metrics_token_file: PathBuf;

    /// The listeners' certificates: in the file only, in its tables `[[listen]]`.
    #[arg(skip)]
    #[serde(skip)]
    listen_tls: ListenTls = ListenTls::default();

    /// File that is written once the engine serves: JSON with the address, the network and the pid
    #[arg(long, env = "TALLYSTICK_READY_FILE", hide_env_values = true, value_name = "FILE")]
    ready_file: PathBuf;

    /// Id of the deployment, 64 hexadecimal digits: must match the data directory. A new one
    /// (--init) gets it instead of a random one
    #[arg(long, env = "TALLYSTICK_NETWORK_ID", hide_env_values = true, value_name = "HEX")]
    network_id: Network;

    /// Ledger threads [default: half of the cores]
    #[arg(long, env = "TALLYSTICK_SHARDS", hide_env_values = true, value_name = "N")]
    shards: Shards = (cores / 2).clamp(1, limits::SHARDS_MAX);

    /// Threads that check signatures [default: the cores]
    #[arg(long, env = "TALLYSTICK_VERIFY_THREADS", hide_env_values = true, value_name = "N")]
    verify_threads: VerifyThreads = cores;

    /// What checks signatures: auto (the fastest that this machine can run), lanes, avx2, portable
    /// or reference [default: auto]
    #[arg(long, env = "TALLYSTICK_VERIFY_BACKEND", hide_env_values = true, value_name = "NAME")]
    verify_backend: VerifyBackend = None;

    /// Memory for the tables that make known keys cheap, e.g. 192MiB or 1GiB; 0: none
    /// [default: 256MiB]
    #[arg(
        long,
        env = "TALLYSTICK_VERIFY_TABLE_BYTES",
        hide_env_values = true,
        value_name = "SIZE"
    )]
    verify_table_bytes: TableBytes = Options::TABLE_BYTES_DEFAULT;

    /// Make a checkpoint whenever the journal has grown by so much; what is behind the last one is
    /// replayed at a start [default: 256MiB]
    #[arg(long, env = "TALLYSTICK_CHECKPOINT_BYTES", hide_env_values = true, value_name = "SIZE")]
    checkpoint_bytes: CheckpointBytes = limits::CHECKPOINT_BYTES_DEFAULT;

    /// Take no vouchers while less than this is free on the disk of the data directory; commands go
    /// on [default: 128MiB]
    #[arg(
        long,
        env = "TALLYSTICK_DISK_RESERVE_BYTES",
        hide_env_values = true,
        value_name = "SIZE"
    )]
    disk_reserve_bytes: ReserveBytes = limits::DISK_RESERVE_BYTES_DEFAULT;

    /// Folder into which the evidence of settled windows goes, a file for each [default: none, it
    /// is kept in the data directory for ever]
    #[arg(long, env = "TALLYSTICK_ARCHIVE_DIR", hide_env_values = true, value_name = "DIR")]
    archive_dir: PathBuf;

    /// How many of the newest closed windows keep their evidence in the data directory, where there
    /// is an archive_dir [default: 100]
    #[arg(long, env = "TALLYSTICK_KEEP_WINDOWS", hide_env_values = true, value_name = "N")]
    keep_windows: KeepWindows = limits::KEEP_WINDOWS_DEFAULT;

    /// Folder of the audit log, which has a line for each call of operators
    /// [default: audit-log in the data directory]
    #[arg(long, env = "TALLYSTICK_AUDIT_LOG", hide_env_values = true, value_name = "DIR")]
    audit_log: PathBuf;

    /// How many files of the audit log are kept, of 64 MiB each [default: 64]
    #[arg(long, env = "TALLYSTICK_AUDIT_LOG_FILES", hide_env_values = true, value_name = "N")]
    audit_log_files: AuditLogFiles = limits::AUDIT_FILES_DEFAULT;

    /// Connections that one address (of IPv6 a /64) may have to a listener, this machine's
    /// included; more for a proxy in front [default: an eighth of all, and this machine's are not
    /// counted]
    #[arg(
        long,
        env = "TALLYSTICK_CONNECTIONS_PER_ADDRESS",
        hide_env_values = true,
        value_name = "N"
    )]
    connections_per_address: PerAddress;

    /// Close the open window this often: 500ms, 60s, 5m, 1h; "off": by hand only [default: off]
    #[arg(long, env = "TALLYSTICK_WINDOW_EVERY", hide_env_values = true, value_name = "TIME")]
    window_every: Every = None;

    /// Longest life of a voucher; counts only when the data directory is created [default: 5 years]
    #[arg(long, env = "TALLYSTICK_VOUCHER_LIFETIME_MAX_SECONDS", hide_env_values = true,
        value_name = "SECONDS")]
    voucher_lifetime_max_seconds: LifetimeSeconds;

    /// Which messages are logged to stderr, e.g. "warn" or "info,tallystick=debug" [default: info]
    #[arg(long, env = "TALLYSTICK_LOG", hide_env_values = true, value_name = "FILTER")]
    log: LogFilter = "info".into();

    /// Whether another operator must approve a batch than computed it: in the file only.
    #[arg(skip)]
    four_eyes: bool = false;

    /// Who may operate, by the digest of the token; none: whoever reaches the engine. In the file
    /// only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    operators: OperatorTable = Operators::new();

    /// When windows close by themselves, by asset: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    schedule: ScheduleTable = Vec::new();

    /// The operator's own account on each rail: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    clearing: Clearing = Clearing::new();

    /// Where the journal is: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    journal: JournalSettings = JournalSettings::default();

    /// This node among those that stand by for each other: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    cluster: ClusterSettings = ClusterSettings::default();

    /// How parties are told over HTTP: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    webhooks: WebhookSettings = WebhookSettings::default();

    /// The pages for people, at a listener of their own: in the file only.
    #[arg(skip)]
    console: ConsoleSettings;

    /// How each rail is reached: in the file only.
    #[arg(skip)]
    #[serde(skip_serializing_if = "is_nothing")]
    rail: RailSettings = RailSettings::default();
}

/// Whether a table need not be written.
fn is_nothing<T: Default + PartialEq>(table: &Option<T>) -> bool {
    table.as_ref().is_none_or(|table| *table == T::default())
}

/// What is wrong with a file's text, and where. A line about operators is not shown: what stands
/// there may be a token, pasted where its digest belongs.
fn what_is_wrong(text: &str, error: &toml::de::Error) -> String {
    let is_one_word = text.split_whitespace().nth(1).is_none();
    if is_one_word && !text.contains('=') || text.contains("-----BEGIN") {
        return "it holds no settings, but perhaps a key or a token: is it the right file?".into();
    }
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or_default();
    let rest_of_line = text.get(at..).unwrap_or_default().lines().next().unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default().to_owned() + rest_of_line;
    let table = before.lines().rev().chain([""]).find(|line| line.trim_start().starts_with('['));
    let is_secret =
        [table.unwrap_or_default(), &line].iter().any(|text| text.contains("operators"));
    if !is_secret {
        return values::in_plain_words(error.to_string());
    }
    let (number, key) = (before.matches('\n').count() + 1, line.split('=').next().unwrap_or(""));
    format!(
        "line {number}, [operators]: {} is not an operator with its digest: expected NAME = \"the BLAKE3 \
         digest of the operator's token, 64 hexadecimal digits, as `tallystick operator token` prints \
         it\"; the line is not shown, since it may hold a token",
        if line.contains('=') && !key.contains('"') { key.trim() } else { "this" }
    )
}

/// The line in which a key stands, or its table: `schedule[1].close`, `clearing.iso20022.iban`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let lines = || (1..).zip(text.lines().map(str::trim));
    let (table, field) = key.rsplit_once('.').unwrap_or(("", key));
    let header = |name: &str| {
        let (name, index) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((name, index)) => (format!("[[{name}]]"), index.parse().ok()?),
            None => (format!("[{name}]"), 0),
        };
        let mut found = lines().filter(|(_, line)| line.starts_with(&name));
        found.nth(index).map(|(number, _)| number)
    };
    let begins = header(key).or_else(|| header(table));
    let is_field = |line: &str| {
        line.strip_prefix(field).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let first: usize = begins.unwrap_or(1);
    let mut own = lines().skip(first.saturating_sub(usize::from(begins.is_none())));
    let named = own.by_ref().take_while(|(_, line)| !line.starts_with('['));
    named.into_iter().find(|(_, line)| is_field(line)).map(|(number, _)| number).or(begins)
}

impl Settings {
    /// Reads a file's text; `path` only names it in errors.
    pub(super) fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let settings: Self = toml::from_str(text).map_err(|error| ConfigError::Malformed {
            path: path.to_owned(),
            what: what_is_wrong(text, &error),
        })?;
        settings.check().map_err(|(key, got, expected)| ConfigError::OutOfRange {
            path: path.to_owned(),
            line: line_of(text, &key),
            key,
            got,
            expected,
        })?;
        Ok(settings.with_short_listeners())
    }

    /// Checks what the values' types do not: (key, value, what is expected).
    fn check(&self) -> Result<(), (String, String, String)> {
        if let Some(listen) = &self.listen {
            let wrong = |(got, expected)| ("listen".to_owned(), got, expected);
            listen.check(self.listen_http.is_some()).map_err(wrong)?;
        }
        let four_eyes = self.four_eyes.unwrap_or(false);
        check_operators(self.operators.as_ref().unwrap_or(&BTreeMap::new()), four_eyes)?;
        self.webhooks.as_ref().map_or(Ok(()), WebhookSettings::check)?;
        self.journal.as_ref().map_or(Ok(()), JournalSettings::check)?;
        self.cluster.as_ref().map_or(Ok(()), ClusterSettings::check)?;
        check_schedule(self.schedule.as_deref().unwrap_or_default(), four_eyes)?;

        let at_most = |key: String, count: usize, most: usize, what: &str| match count {
            n if n > most => Err((key, format!("{n} {what}"), format!("at most {most}"))),
            _ => Ok(()),
        };
        let clearing = self.clearing.as_ref().unwrap_or(const { &BTreeMap::new() });
        at_most("clearing".into(), clearing.len(), limits::ACCOUNTS_MAX, "rails")?;
        for (rail, fields) in clearing {
            let key = format!("clearing.{rail}");
            at_most(key.clone(), fields.len(), limits::ACCOUNT_FIELDS_MAX, "fields")?;
            for (field, value) in fields {
                let most = limits::TEXT_BYTES_MAX;
                at_most(format!("{key}.{field}"), value.len(), most, "bytes long")?;
            }
            let Some(named) = Rail::from_name(rail) else {
                return Err((
                    key,
                    "no rail's".into(),
                    format!("a rail's name: {}", Rail::unknown(rail)),
                ));
            };
            rails::check_clearing(named, fields)
                .map_err(|why| (key, "not usable".to_owned(), format!("an account: {why}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
