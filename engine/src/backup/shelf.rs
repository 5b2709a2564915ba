//! The folder in which the backups of one ledger lie: which there are, and which go.

use super::files::{remove, sync};
use super::{BackupError, GONE, MANIFEST, Manifest, PARTIAL};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A backup.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// The backups of a shelf, oldest first; none where there is no such folder. What cannot be read as
/// one is left out.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(shelf: &Path) -> Result<Vec<Found>, BackupError> {
    let mut found = Vec::new();
    for folder in finished(shelf, true)? {
        match Manifest::read(&folder) {
            Ok(manifest) => found.push(Found { folder, manifest }),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), "not counted as a backup: {error}");
            }
        }
    }
    found.sort_by(|a, b| {
        let order = |of: &Found| (of.manifest.created_at_us, of.manifest.position.lsn);
        order(a).cmp(&order(b)).then_with(|| a.folder.cmp(&b.folder))
    });
    Ok(found)
}

/// The newest backup of a shelf, if there is one.
///
/// # Errors
/// As for `list`.
pub fn newest(shelf: &Path) -> Result<Option<Found>, BackupError> {
    Ok(list(shelf)?.pop())
}

/// Removes the oldest backups but `keep`; gives those that went. Files that later ones hold too
/// stay with those.
///
/// # Errors
/// When one cannot be removed.
pub fn prune(shelf: &Path, keep: usize) -> Result<Vec<Found>, BackupError> {
    let mut all = list(shelf)?;
    let kept = all.split_off(all.len().saturating_sub(keep));
    drop(kept);
    for found in &all {
        // Without its name first: what is removed half is no backup.
        let name = found.folder.file_name().unwrap_or_default().to_string_lossy();
        let gone = shelf.join(format!("{GONE}{name}"));
        fs::rename(&found.folder, &gone).map_err(BackupError::file(&gone))?;
        sync(shelf)?;
        remove(&gone)?;
    }
    Ok(all)
}

/// Whether this folder is a backup, or one that was begun or removed half.
#[must_use]
pub fn is_one(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    is_half(&name) || folder.join(MANIFEST).exists()
}

fn is_half(name: &str) -> bool {
    name.starts_with(PARTIAL) || name.starts_with(GONE)
}

/// The folders with a manifest, or, if not `wanted`, those that were begun or removed half.
pub(super) fn finished(shelf: &Path, wanted: bool) -> Result<Vec<PathBuf>, BackupError> {
    let entries = match fs::read_dir(shelf) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::file(shelf)(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(BackupError::file(shelf))?;
        let (name, path) = (entry.file_name(), entry.path());
        let is_half = is_half(&name.to_string_lossy());
        if is_half != wanted && (is_half || path.join(MANIFEST).is_file()) {
            folders.push(path);
        }
    }
    Ok(folders)
}
