//! Looks at the machine, the files and the rails of a configuration, as the engine's user, whether
//! an engine runs or not. Changes nothing: what it writes to measure a disk is gone when it ends,
//! and rails are only asked what they are asked every day.
//!
//! Owns what is looked at and how bad each finding is. Of the ledger's directory it reads how far
//! webhooks were sent and nothing else: `audit` does the rest.

mod disk;
mod folders;
mod hooks;
mod journal;
mod rails;

use crate::api::{Keys, Protocol};
use crate::backup;
use crate::config::{Config, TlsFiles};
use crate::limits::{
    CERTIFICATE_DAYS_LEAST, CERTIFICATE_DAYS_WARN, OPEN_FILES_ADVISED, OPEN_FILES_LEAST,
};
use crate::pipeline::now;
use crate::types::Timestamp;
use crate::vault::ROOT_KEY_FILE;
use crate::verify::{Backend, Options, Verifier};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DAY_SECONDS: i64 = 24 * 3_600;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Ok,
    /// Somebody should see to it.
    Warning,
    /// The engine does not start like this, or money may be lost or late.
    Critical,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub health: Health,
    /// What was looked at, in a word.
    pub what: &'static str,
    /// What was found, and what to do.
    pub text: String,
}

impl Finding {
    fn new(health: Health, what: &'static str, text: impl Into<String>) -> Self {
        Self { health, what, text: text.into() }
    }

    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(Health::Ok, what, text)
    }

    fn warning(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(Health::Warning, what, text)
    }

    fn critical(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(Health::Critical, what, text)
    }
}

/// Looks at everything. `backup_older`: a newest backup that is older is worth a warning;
/// `read_archives`: all archives are read, which takes its time.
#[must_use]
pub fn examine(config: &Config, backup_older: Duration, read_archives: bool) -> Vec<Finding> {
    let mut found = disk::examine(&config.data_dir, config.disk_reserve_bytes);
    found.push(limits());
    found.push(verifier(config));
    found.extend(permissions(config));
    found.extend(certificates(config));
    found.push(backups(config, now(), backup_older));
    found.extend(folders::examine(config, read_archives));
    found.extend(rails::examine(config));
    found.extend(hooks::examine(config));
    found.extend(journal::examine(config));
    found
}

fn limits() -> Finding {
    let what = "open files";
    // A start raises it to the highest that its user may set.
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < OPEN_FILES_LEAST => Finding::critical(
            what,
            format!(
                "{most} may be open, and an engine needs {OPEN_FILES_LEAST}: raise the limit (ulimit -Hn, or \
                 LimitNOFILE= of the service)"
            ),
        ),
        Some(most) if most < OPEN_FILES_ADVISED => Finding::warning(
            what,
            format!(
                "{most} may be open, {OPEN_FILES_ADVISED} are advised (ulimit -Hn, LimitNOFILE=)"
            ),
        ),
        Some(most) => Finding::ok(what, format!("{most} may be open")),
        None => Finding::ok(what, "any number may be open"),
    }
}

fn verifier(config: &Config) -> Finding {
    let what = "signatures";
    match Verifier::new(Options { backend: config.verify_backend, table_bytes: 0 }) {
        Err(error) => Finding::critical(what, error.to_string()),
        Ok(verifier) => {
            let backend = verifier.status().backend;
            let text = format!("checked by {}", backend.description());
            match (backend, config.verify_backend) {
                (Backend::Lanes, _) | (_, Some(_)) => Finding::ok(what, text),
                (Backend::Avx2 | Backend::Portable | Backend::Reference, None) => Finding::warning(
                    what,
                    format!("{text}: this machine has not what the fastest one needs"),
                ),
            }
        }
    }
}

/// Files that hold secrets, and the folder of the ledger.
fn permissions(config: &Config) -> Vec<Finding> {
    let what = "permissions";
    let mut secrets: Vec<PathBuf> = vec![config.data_dir.join("tallystick.key")];
    let beside = || config.data_dir.join(ROOT_KEY_FILE);
    secrets.push(config.root_key_file.clone().unwrap_or_else(beside));
    secrets.extend(config.journal.credentials_file.iter().chain(&config.journal.key_file).cloned());
    let tls = [&config.listen_tls.grpc, &config.listen_tls.http];
    let console = config.console.iter().filter_map(|of| of.tls.as_ref());
    secrets.extend(tls.into_iter().flatten().chain(console).map(|files| files.key.clone()));
    if let Some(card) = &config.rail.card {
        secrets.extend([card.secret_key_file.clone(), card.webhook_secret_file.clone()]);
    }
    if let Some(evm) = &config.rail.evm {
        secrets.push(evm.key_file.clone());
        secrets.extend(evm.rpc_url_file.clone());
    }
    let mut found = Vec::new();
    // Whether one must be there, a start says.
    for path in secrets.iter().filter(|path| is_open(path)) {
        let text = format!(
            "others may read {}, which holds a secret: chmod 600 it, and think about a new one",
            path.display()
        );
        found.push(Finding::critical(what, text));
    }
    let audit_log = config.audit_log_dir();
    let beside = config.backup_dir.iter().chain(&config.archive_dir).chain([&audit_log]);
    for dir in [&config.data_dir].into_iter().chain(beside).filter(|dir| is_open(dir)) {
        let text = format!("others may look into {}: chmod 700 it", dir.display());
        found.push(Finding::warning(what, text));
    }
    if found.is_empty() {
        found.push(Finding::ok(what, "nobody else can read what is secret"));
    }
    found
}

/// Whether anybody but its owner may read a file, or look into a folder.
fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|of| of.permissions().mode() & 0o077 != 0)
}

fn certificates(config: &Config) -> Vec<Finding> {
    let console = config.console.as_ref().and_then(|of| of.tls.as_ref());
    let (grpc, http) = (config.listen_tls.grpc.as_ref(), config.listen_tls.http.as_ref());
    let of = [("gRPC", grpc), ("HTTP", http), ("the console", console)];
    let listeners = of.into_iter().filter_map(|(kind, files)| Some((kind, files?)));
    listeners.map(|(kind, files)| certificate(kind, files, now())).collect()
}

fn certificate(kind: &str, files: &TlsFiles, at: Timestamp) -> Finding {
    let what = "certificates";
    let ends_at = match Keys::load(files, Protocol::Grpc).map(|keys| keys.ends_at()) {
        Ok(ends_at) => ends_at,
        Err(error) => return Finding::critical(what, format!("listener for {kind}: {error}")),
    };
    let days = ends_at.saturating_sub(at.seconds()).div_euclid(DAY_SECONDS);
    let text = format!("the first of the listener for {kind} ends in {days} days");
    if days < CERTIFICATE_DAYS_LEAST {
        return Finding::critical(what, format!("{text}: put a new one there"));
    }
    if days < CERTIFICATE_DAYS_WARN {
        return Finding::warning(what, format!("{text}: put a new one there"));
    }
    Finding::ok(what, text)
}

fn backups(config: &Config, at: Timestamp, older: Duration) -> Finding {
    let what = "backups";
    let Some(dir) = &config.backup_dir else {
        return Finding::warning(what, "none are made: set backup_dir, best to another disk");
    };
    let newest = match backup::newest(dir) {
        Ok(Some(newest)) => newest,
        Ok(None) => {
            let dir = dir.display();
            return Finding::warning(
                what,
                format!("there is none in {dir}: `tallystick backup create`"),
            );
        }
        Err(error) => return Finding::critical(what, error.to_string()),
    };
    let age = at.0.saturating_sub(newest.manifest.created_at_us);
    let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
    let hours = age.as_secs() / 3_600;
    let folder = newest.folder.display();
    if age > older {
        return Finding::warning(what, format!("the newest, {folder}, is {hours} hours old"));
    }
    if folders::share_a_disk(dir, &config.data_dir) {
        let dir = dir.display();
        return Finding::warning(
            what,
            format!(
                "{dir} is on the disk of the ledger itself, and is lost with it: use another disk"
            ),
        );
    }
    Finding::ok(what, format!("the newest, {folder}, is {hours} hours old"))
}

#[cfg(test)]
mod tests;
