//! The settings as one source gives them: their names, what is put together from several sources,
//! and the defaults.

use super::list::{Setting, form_of, in_force, plain_settings, settings, value_of};
use super::listeners::{ListenTls, Listeners};
use super::operate::{OperatorTable, ScheduleTable, check_operators, check_schedule};
use super::values::{
    self, AuditLogFiles, CheckpointBytes, Every, KeepWindows, LifetimeSeconds, Listen, LogFilter,
    Network, ReserveBytes, Shards, TableBytes, VerifyBackend, VerifyThreads,
};
use super::{Clearing, ConfigError, Operators, PORT_DEFAULT, RailSettings};
use crate::ledger::Rail;
use crate::limits;
use crate::rails;
use crate::verify::Options;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

plain_settings!(PathBuf, bool, Clearing, ListenTls);

settings! {
    (cores)

    /// Directory of the journal; created if it does not exist [default: ./tallystick-data]
    #[arg(long, env = "TALLYSTICK_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: PathBuf = "./tallystick-data".into();

    /// File of the root key, under which names and accounts are kept; made with a new directory
    /// [default: tallystick.root in the data directory]
    #[arg(long, env = "TALLYSTICK_ROOT_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    root_key_file: PathBuf;

    /// Address and port to serve; port 0 takes any free one. Beyond this machine only with TLS
    /// (file) [default: 127.0.0.1:7450]
    #[arg(long, env = "TALLYSTICK_LISTEN", hide_env_values = true, value_name = "IP:PORT")]
    listen: Listeners = (Ipv4Addr::LOCALHOST, PORT_DEFAULT).into();

    /// Address and port to serve webhooks on, over HTTP; port 0 takes any free one. Beyond this
    /// machine only with TLS (file) [default: nowhere]
    #[arg(long, env = "TALLYSTICK_LISTEN_HTTP", hide_env_values = true, value_name = "IP:PORT")]
    listen_http: Listen;

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

    /// What checks signatures: auto (the fastest that this machine can run), lanes, portable or
    /// reference [default: auto]
    #[arg(long, env = "TALLYSTICK_VERIFY_BACKEND", hide_env_values = true, value_name = "NAME")]
    verify_backend: VerifyBackend = None;

    /// Memory for the tables that make known keys cheap, e.g. 192MiB or 1GiB; 0: none
    /// [default: 192MiB]
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
        assert_eq!((config.verify_backend, config.verify_table_bytes), (None, 192 << 20));
        assert_eq!((config.window_every, config.log.as_str()), (None, "info"));
        assert_eq!(Settings::default().resolve(1).shards, 1);
        assert_eq!(Settings::default().resolve(1_000).shards, limits::SHARDS_MAX);
    }

    /// What an operator types at first, and what the answer says to do.
    #[test]
    fn what_is_mistyped_is_answered_with_what_to_type() {
        let entry = "[[schedule]]\nclose = \"0 17 * * *\"\n";
        for (text, wanted) in [
            (
                "[[schedule]]\nasset = \"EUR\"\n".to_owned(),
                "an asset is named by its number, without quotes (978 for EUR), got \"EUR\"; `tallystick asset list` \
                 shows the numbers",
            ),
            (
                "[[schedule]]\nasset = 978\nclose = \"hourly\"\n".into(),
                "expected a cron expression in UTC like \"0 17 * * MON-FRI\", or \"0 * * * *\" for every hour (minute, \
                 hour, day, month, weekday; perhaps a second before them), got \"hourly\"\n",
            ),
            (
                format!("{entry}asset = 978\nbatch_rail = \"sepa\"\n"),
                "there is no rail \"sepa\"; the rails are iso20022, nacha, card, evm; for sepa use iso20022",
            ),
            (
                format!("{entry}asset = 978\nclose_when_gross_over = \"1.50\"\n"),
                "expected a whole number of asset units, digits only, got \"1.50\"",
            ),
            (
                format!("four_eyes = false\n\n{entry}asset = 978\napprove_below = 5\n"),
                "in the configuration file t.toml, line 6: schedule[0].approve_below is alone; expected batch_rail \
                 with it",
            ),
            (
                "log = \"warn\"\n\n[clearing.iso20022]\nname = \"N\"\niban = \"DE00\"\n".into(),
                "in the configuration file t.toml, line 3: clearing.iso20022 is not usable; expected an account: ",
            ),
        ] {
            let said = file(&text).unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
        // An amount may be a number where it fits one.
        let of = |amount: &str| {
            let text = format!("{entry}asset = 978\nclose_when_gross_over = {amount}\n");
            file(&text).unwrap().resolve(1).schedule[0].gross_over
        };
        assert_eq!((of("100000000"), of("\"100000000\"")), (of("\"100000000\""), of("100000000")));
        assert_eq!(of("100000000").unwrap().to_string(), "100000000");
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = Settings {
            shards: "2".parse().ok(),
            window_every: Some(Every(None)),
            ..Settings::default()
        };
        let text = "shards = 3\nlog = \"warn\"\nwindow_every = \"60s\"\nverify_threads = 5\n";
        let config = flags.or(file(text).unwrap()).resolve(8);
        assert_eq!((config.shards, config.verify_threads), (2, 5));
        assert_eq!((config.log.as_str(), config.window_every), ("warn", None));
    }

    #[test]
    fn errors_name_the_file_the_key_and_what_is_expected() {
        for (text, parts) in [
            ("shards = 65", &["t.toml", "shards", "1 to 64"][..]),
            ("shards = \"two\"", &["t.toml", "shards", "expected a whole number, without quotes"]),
            ("verify_threads = 0", &["t.toml", "verify_threads", "1 to 1024"]),
            ("verify_backend = \"fast\"", &["verify_backend", "auto, lanes, portable, reference"]),
            ("verify_table_bytes = \"1 MB\"", &["verify_table_bytes", "like 192MiB"]),
            ("verify_table_bytes = \"65GiB\"", &["verify_table_bytes", "at most 64GiB"]),
            ("voucher_lifetime_max_seconds = -1", &["voucher_lifetime_max_seconds", "1 to"]),
            ("shard = 1", &["t.toml", "unknown field `shard`", "`shards`"]),
            ("listen = \"localhost:7450\"", &["listen", "like 127.0.0.1:7450"]),
            ("listen = 7450", &["listen", "[[listen]]"]),
            (
                "[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"grpc\"\ntls = { cert = \"c\" }",
                &["t.toml", "missing field `key`"],
            ),
            ("[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"ftp\"", &["grpc", "http"]),
            (
                "[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"http\"",
                &["listen", "one of kind \"grpc\""],
            ),
            (
                "listen_http = \"127.0.0.1:2\"\n[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"grpc\"\n\
                 [[listen]]\naddress = \"127.0.0.1:2\"\nkind = \"http\"",
                &["listen", "not both"],
            ),
            ("network_id = \"ab\"", &["network_id", "expected 64 hexadecimal digits"]),
            ("window_every = \"1\"", &["window_every", "like 500ms, 60s, 5m or 1h"]),
            ("window_every = \"1ms\"", &["window_every", "between 100ms and 31d"]),
            ("log = \"loud,=\"", &["log", "expected a level"]),
            ("[clearing.iso20022]\niban = 7", &["iban", "expected a string"]),
            (
                "four_eyes = true\n[operators]\nann = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
                &["t.toml", "four_eyes", "at least two operators"],
            ),
            ("[operators]\nann = \"secret\"", &["ann", "operator token"]),
            ("[[schedule]]\nasset = 1\nclose = \"17:00\"", &["close", "cron expression"]),
            ("[[schedule]]\nclose = \"0 17 * * *\"", &["schedule[0].asset", "number of an asset"]),
            ("[[schedule]]\nasset = 1", &["schedule[0].asset", "close_when_gross_over"]),
            (
                "[[schedule]]\nasset = 1\nclose_when_gross_over = \"1.5\"",
                &["close_when_gross_over", "whole number of asset units"],
            ),
            (
                "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\napprove_below = \"5\"",
                &["schedule[0].approve_below", "batch_rail"],
            ),
            (
                "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\napprove_below_per_day = \"5\"",
                &["schedule[0].approve_below_per_day", "approve_below with it"],
            ),
            (
                "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\nbatch_rail = \"nacha\"\n\
                 approve_below = \"5\"\napprove_below_per_day = \"4\"",
                &["schedule[0].approve_below_per_day", "at least approve_below, which is 5"],
            ),
            (
                "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\nbatch_rail = \"pigeon\"",
                &["batch_rail", "iso20022, nacha, card, evm"],
            ),
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

    /// A token that was pasted where its digest belongs ended in the log, with the whole line.
    #[test]
    fn what_stands_for_an_operator_is_never_shown() {
        for text in [
            "[operators]\nann = \"SECRET\"",
            "[operators]\nbob = \"SECRET\"\nann = 'SECRET'\n[rail.evm]\n",
            "[operators]\nann = \"SECRET",
            "[operators]\nann = SECRET",
            "[operators]\n\"SECRET\"",
            "operators.ann = \"SECRET\"",
            "operators = { ann = \"SECRET\" }",
            "[operators.ann]\ntoken = \"SECRET\"",
        ] {
            let error = file(text).unwrap_err();
            assert!(error.contains("BLAKE3") && error.contains("line "), "{error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        assert!(
            file("[operators]\nann = \"x\"").unwrap_err().contains("line 2, [operators]: ann is")
        );
    }

    #[test]
    fn operators_have_names_and_tokens_of_their_own() {
        let digest = |byte: &str| byte.repeat(32);
        let (a, b) = (digest("aa"), digest("bb"));
        let two = file(&format!("four_eyes = true\n[operators]\nann = \"{a}\"\nbob = \"{b}\""));
        let config = two.unwrap().resolve(1);
        assert!(config.four_eyes && config.operators.len() == 2);
        for (text, part) in [
            (format!("[operators]\nann = \"{a}\"\nbob = \"{a}\""), "token of its own"),
            (format!("[operators]\nschedule = \"{a}\""), "engine's own name"),
            (format!("[operators]\n\"a b\" = \"{a}\""), "not a name"),
            (format!("four_eyes = true\n[operators]\nann = \"{a}\""), "at least two"),
        ] {
            let error = file(&text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    /// A bound for one batch alone bounds nothing: without one for the day, it is the day's too.
    #[test]
    fn what_is_approved_by_itself_always_has_a_bound_for_the_day() {
        let entry = |per_day: &str| {
            let text = format!(
                "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\nbatch_rail = \"nacha\"\n\
                 approve_below = \"5\"\n{per_day}"
            );
            let schedule = file(&text).unwrap().resolve(1).schedule;
            schedule[0].approve_below_per_day.map(|below| below.0)
        };
        assert_eq!(entry(""), Some(5));
        assert_eq!(entry("approve_below_per_day = \"50\"\n"), Some(50));
    }

    #[test]
    fn printed_settings_are_read_back_as_the_same() {
        let text = "data_dir = \"/d\"\nroot_key_file = \"/k\"\nlisten = \"[::1]:0\"\n\
            ready_file = \"r\"\nshards = 7\nverify_threads = 9\nverify_backend = \"portable\"\nverify_table_bytes = \"0\"\n\
            checkpoint_bytes = \"64MiB\"\ndisk_reserve_bytes = \"1GiB\"\n\
            window_every = \"90s\"\nvoucher_lifetime_max_seconds = 60\n\
            log = \"warn\"\nfour_eyes = false\n[clearing.iso20022]\nname = \"N\"\niban = \"DE02120300000000202051\"\n\
            [[schedule]]\nasset = 978\nclose = \"0 17 * * *\"\nclose_when_gross_over = \"5\"\n\
            close_when_exposure_over = \"4\"\nbatch_rail = \"nacha\"\napprove_below = \"3\"\n";
        let network = format!("network_id = \"{}\"\n", "ab".repeat(32));
        let operators = format!("[operators]\nann = \"{}\"\n", "cd".repeat(32));
        for text in [String::new(), network + text + &operators] {
            let config = file(&text).unwrap().resolve(4);
            let http = Settings { listen_http: "127.0.0.1:9".parse().ok(), ..Settings::default() };
            let served = http.or(file(&text).unwrap()).resolve(4);
            assert_eq!(file(&served.to_toml()).unwrap().resolve(1), served);
            let again = file(&config.to_toml()).unwrap().resolve(1);
            assert_eq!(again, config);
        }
    }

    #[test]
    fn the_example_file_is_valid_with_and_without_its_comments() {
        let example = include_str!("../../../docs/tallystick.example.toml");
        file(example).unwrap();
        // Lines of the form `#key = value` are settings that are off by default.
        let all = example.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let all: Vec<&str> = all.filter(|line| !line.starts_with(' ')).collect();
        let settings = file(&all.join("\n")).unwrap();
        assert!(
            settings.network_id.is_some() && settings.clearing.unwrap().contains_key("iso20022")
        );
    }
}
