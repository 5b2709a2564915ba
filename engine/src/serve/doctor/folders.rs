//! Folders beside the ledger into which the engine writes: archives, and the audit log.

use super::Finding;
use crate::config::Config;
use crate::journal::{JournalError, rocks};
use crate::past;
use crate::proof::ExportFile;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Looks at both.
pub(super) fn examine(config: &Config, read_archives: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(dir) = &config.archive_dir {
        let has_backups = config.backup_dir.is_some();
        found.push(archives(dir, &config.data_dir, has_backups));
        found.extend(filed(dir, &config.data_dir, read_archives));
    }
    found.push(audit_log(config));
    found
}

/// Whether all archives are in their folder that the ledger knows of. While an engine runs it looks
/// itself.
fn filed(dir: &Path, data_dir: &Path, read: bool) -> Vec<Finding> {
    let what = "archives";
    let filed = match rocks::open_read_only(data_dir).map(|journal| past::filed(&*journal.tables)) {
        Ok(Ok(filed)) => Some(filed),
        Err(JournalError::Locked { .. }) => None,
        Err(JournalError::NoJournal { .. }) => return Vec::new(),
        Ok(Err(error)) | Err(error) => {
            let text = format!("it is not known which must be there: {error}");
            return vec![Finding::warning(what, text)];
        }
    };
    let name = dir.display();
    let (bad, count) = match (&filed, read) {
        (Some(filed), false) => {
            (filed.iter().filter_map(|of| of.lacks(dir)).collect::<Vec<_>>(), filed.len())
        }
        (Some(filed), true) => {
            (filed.iter().filter_map(|of| of.differs(dir)).collect(), filed.len())
        }
        (None, false) => {
            let text =
                "an engine runs, and looks itself: `tallystick status` names what is missing";
            return vec![Finding::ok(what, text)];
        }
        (None, true) => {
            let all = all_in(dir);
            let why = |path: &PathBuf| ExportFile::open(path).err().map(|error| error.to_string());
            (all.iter().filter_map(why).collect(), all.len())
        }
    };
    let how = if read { "whole" } else { "there" };
    vec![match bad.first() {
        None => Finding::ok(what, format!("all {count} in {name} are {how}")),
        Some(first) => {
            let (bad, first) = (bad.len(), format!("the first: {first}"));
            let text = format!("{bad} of {count} in {name} are not {how}, {first}; put them back");
            Finding::critical(what, text)
        }
    }]
}

/// The archives in a folder, by name.
fn all_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_one = |path: &PathBuf| path.extension().is_some_and(|of| of == "tallyexp");
    let mut all: Vec<PathBuf> = paths.filter(is_one).collect();
    all.sort();
    all
}

fn archives(dir: &Path, data_dir: &Path, has_backups: bool) -> Finding {
    let what = "archives";
    let name = dir.display();
    if let Some(error) = unfit(dir) {
        let text =
            format!("nothing can be written into {name}, so evidence stays in the ledger: {error}");
        return Finding::critical(what, text);
    }
    if share_a_disk(dir, data_dir) && !has_backups {
        let text = format!(
            "{name} is on the disk of the ledger itself, and there are no backups to hold it: copy its files"
        );
        return Finding::warning(what, text);
    }
    Finding::ok(what, format!("{name} can be written"))
}

fn audit_log(config: &Config) -> Finding {
    let (what, dir) = ("audit log", config.audit_log_dir());
    let name = dir.display();
    match unfit(&dir) {
        Some(error) => {
            Finding::critical(what, format!("nothing can be written into {name}: {error}"))
        }
        None => Finding::ok(what, format!("{name} can be written")),
    }
}

/// Whether two folders go with one disk, as far as it can be told.
pub(super) fn share_a_disk(one: &Path, other: &Path) -> bool {
    let disk = |path: &Path| fs::metadata(path).map(|of| of.dev()).ok();
    disk(one).is_some() && disk(one) == disk(other)
}

/// Why a folder cannot be written into. One that is missing is made by a start.
pub(super) fn unfit(folder: &Path) -> Option<std::io::Error> {
    let write = || {
        // Names with a dot are nobody's file: neither the bank's nor the engine's.
        let path = folder.join(format!(".doctor-{}", std::process::id()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)
    };
    if folder.exists() { write().err() } else { None }
}
