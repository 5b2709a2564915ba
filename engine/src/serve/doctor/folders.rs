//! Folders beside the ledger into which the engine writes: archives, and the audit log.

use super::Finding;
use crate::config::Config;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Looks at both.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let archives = config.archive_dir.as_ref().map(|dir| archives(dir, &config.data_dir));
    archives.into_iter().chain([audit_log(config)]).collect()
}

fn archives(dir: &Path, data_dir: &Path) -> Finding {
    let what = "archives";
    let name = dir.display();
    if let Some(error) = unfit(dir) {
        let text =
            format!("nothing can be written into {name}, so evidence stays in the ledger: {error}");
        return Finding::critical(what, text);
    }
    if share_a_disk(dir, data_dir) {
        let text = format!(
            "{name} is on the disk of the ledger itself, and no backup holds it: copy its files"
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
