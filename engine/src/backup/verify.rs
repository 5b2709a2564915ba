//! Whether a backup is good: every file by its digest, then everything in it re-derived.

use super::files::{Pace, check, digest};
use super::{BackupError, LEDGER, Manifest, archives};
use crate::audit::{self, Directory, Report, Settings};
use crate::journal::rocks;
use crate::types::Lsn;
use crate::vault::RootKey;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A backup that was found good.
#[derive(Debug)]
pub struct Verified {
    /// Its manifest.
    pub manifest: Manifest,
    /// What the audit says.
    pub report: Report,
    /// Whether the manifest was compared with the root key, too.
    pub is_marked: bool,
}

/// How a backup is audited.
#[derive(Debug, Clone, Copy)]
pub struct Auditing {
    /// Threads that check signatures.
    pub threads: usize,
    /// See `Settings::own_keys_since`.
    pub own_keys_since: Option<Lsn>,
}

/// Verifies a backup, with its own archives, or those of another folder: nothing in it is changed.
///
/// # Errors
/// `Damaged` that names the file, `Audit`, or that it cannot be read.
pub fn verify(
    backup: &Path,
    root_key: Option<&RootKey>,
    other: Option<&Path>,
    auditing: Auditing,
) -> Result<Verified, BackupError> {
    let manifest = Manifest::read(backup)?;
    if let Some(root_key) = root_key {
        check_mark(&manifest, root_key)?;
    }
    let (ledger, mut pace) = (backup.join(LEDGER), Pace::free());
    check_names(&ledger, &manifest)?;
    for file in &manifest.files {
        let path = ledger.join(&file.name);
        check(&path, file, &digest(&path, &mut pace)?)?;
    }
    let own = archives::verify(backup, &manifest)?;
    let dir = other.or(own.as_deref());
    let journal = rocks::open_copy(&ledger)?;
    let directory =
        Directory::new(&journal, dir).map_err(|error| BackupError::Differs(error.to_string()));
    let report = audited(&directory?, &manifest, auditing)?;
    Ok(Verified { manifest, report, is_marked: root_key.is_some() })
}

/// The audit of what was backed up, and whether it is what the manifest says.
pub(super) fn audited(
    directory: &Directory,
    manifest: &Manifest,
    auditing: Auditing,
) -> Result<Report, BackupError> {
    let Auditing { threads, own_keys_since } = auditing;
    let settings = Settings {
        threads,
        first_key: None,
        operator_keys: &[],
        receipts: &[],
        own_keys_since,
        progress: &|_| {},
    };
    let report = audit::audit(directory, settings);
    if !report.ok {
        return Err(BackupError::Audit(Box::new(report)));
    }
    let found = directory.tail().map_err(|error| BackupError::Differs(error.to_string()))?;
    let wanted = manifest.tail().map_err(BackupError::Differs)?;
    if found != wanted {
        return Err(BackupError::Differs(format!(
            "the journal ends at record {} ({}), and the manifest says {} ({})",
            found.lsn, found.link, wanted.lsn, wanted.link
        )));
    }
    let same = |what: &str, found: Option<&String>, wanted: &str| match found {
        Some(found) if found == wanted => Ok(()),
        found => Err(BackupError::Differs(format!("the {what} is {found:?}, not {wanted}"))),
    };
    same("network", report.network_id.as_ref(), &manifest.network_id)?;
    same("engine's key", report.engine_key.as_ref(), &manifest.engine_key)?;
    Ok(report)
}

/// Whether whoever wrote the manifest had the root key.
pub(super) fn check_mark(manifest: &Manifest, root_key: &RootKey) -> Result<(), BackupError> {
    if root_key.mark(&manifest.marked()).to_string() == manifest.mark {
        return Ok(());
    }
    Err(BackupError::OtherRootKey { path: root_key.path().to_owned() })
}

/// No file is there that the manifest does not name.
fn check_names(ledger: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let wanted: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    for entry in fs::read_dir(ledger).map_err(BackupError::file(ledger))? {
        let entry = entry.map_err(BackupError::file(ledger))?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| wanted.contains(name)) {
            return Err(BackupError::damaged(&entry.path(), "the manifest does not name it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::eyes::by_an_older_engine;
    use crate::backup::{Asked, Ours, Shelved, create, link, restore};
    use crate::journal::Log as _;
    use crate::types::{NetworkId, Timestamp};
    use crate::vault::Vault;

    /// Only an audit could be told since when the engine asks for keys of one's own, so that no
    /// backup of a ledger with an older history was good.
    #[test]
    fn what_an_older_engine_let_stand_is_noted_where_a_backup_is_audited_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (records, key) = by_an_older_engine();
        let last = records.last().unwrap().lsn;
        let mut journal = rocks::open(&path("data")).unwrap();
        journal.log.append(&records).unwrap();
        let ours = Ours {
            data_dir: path("data"),
            log: journal.log.shared(),
            vault: Vault::open(journal.tables.clone(), &path("root"), true).unwrap(),
            network: NetworkId([9; 32]),
            at: Timestamp(1),
            archives: Shelved::default(),
        };
        let made = create(&ours, link(&ours, &key).unwrap(), &path("shelf")).unwrap();
        let told = |report: &Report| {
            let [note] = &report.notes[..] else { panic!("{:?}", report.notes) };
            assert!(note.starts_with(&format!("record {last} stands by an older rule")), "{note}");
        };
        let refused = |error: BackupError| {
            let BackupError::Audit(report) = error else { panic!("{error}") };
            let difference = report.first_difference.unwrap().to_string();
            assert!(difference.contains("the key of dora was made by ann"), "{difference}");
        };
        for (since, stands) in [(None, false), (Some(last), false), (Some(last.next()), true)] {
            let auditing = Auditing { threads: 1, own_keys_since: since };
            let found = verify(&made.folder, None, None, auditing);
            let asked = Asked {
                from: &path("shelf"),
                data_dir: &path("new"),
                root_key: &path("root"),
                keep_root_key: false,
                archive_dir: None,
                auditing,
            };
            let restored = restore(&asked);
            if stands {
                told(&found.unwrap().report);
                told(&restored.unwrap().report);
            } else {
                refused(found.unwrap_err());
                refused(restored.unwrap_err());
            }
        }
    }
}
