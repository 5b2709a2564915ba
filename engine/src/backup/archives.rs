//! The archives in a backup: files that never change, so each is copied once, and linked to the
//! last backup's from then on without being read again.

use super::files::{Pace, check, copy, digest, make_folder, sync};
use super::{ARCHIVES, BackupError, Manifest, ManifestFile};
use crate::past::Filed;
use std::fs;
use std::path::{Path, PathBuf};

/// The archives of a ledger.
#[derive(Debug, Clone, Default)]
pub struct Shelved {
    /// Their folder.
    pub dir: PathBuf,
    /// Which must be there.
    pub filed: Vec<Filed>,
}

/// What of them is in a backup.
pub(super) struct Taken {
    /// By name.
    pub files: Vec<ManifestFile>,
    /// Bytes that are new.
    pub new_bytes: u64,
    /// Why others are not.
    pub missing: Vec<String>,
}

/// Bytes that they need beside the last backup.
pub(super) fn new_bytes(of: &Shelved, last: Option<&Manifest>) -> u64 {
    let is_new = |filed: &&Filed| !is_held(last, filed);
    of.filed.iter().filter(is_new).map(|filed| filed.id.bytes).sum()
}

fn is_held(last: Option<&Manifest>, filed: &Filed) -> bool {
    let held = last.and_then(|manifest| manifest.archive(&filed.name));
    held.is_some_and(|held| held.bytes == filed.id.bytes)
}

/// Puts the archives into a backup.
pub(super) fn take(
    of: &Shelved,
    backup: &Path,
    last: Option<(&Manifest, &Path)>,
    pace: &mut Pace,
) -> Result<Taken, BackupError> {
    let mut taken = Taken { files: Vec::new(), new_bytes: 0, missing: Vec::new() };
    if of.filed.is_empty() {
        return Ok(taken);
    }
    let folder = backup.join(ARCHIVES);
    make_folder(&folder)?;
    let mut filed: Vec<&Filed> = of.filed.iter().collect();
    filed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for filed in filed {
        let (name, to) = (&filed.name, folder.join(&filed.name));
        if let Some((manifest, last)) = last.filter(|(manifest, _)| is_held(Some(manifest), filed))
            && fs::hard_link(last.join(ARCHIVES).join(name), &to).is_ok()
        {
            taken.files.extend(manifest.archive(name).cloned());
            continue;
        }
        // A lost archive must not keep all else from being backed up.
        if let Some(why) = filed.lacks(&of.dir) {
            taken.missing.push(why);
            continue;
        }
        let (bytes, blake3) = copy(&of.dir.join(name), &to, pace)?;
        taken.new_bytes += bytes;
        taken.files.push(ManifestFile { name: name.clone(), bytes, blake3 });
    }
    sync(&folder)?;
    Ok(taken)
}

/// Checks the archives of a backup by their digests; where they are, if there are any.
pub(super) fn verify(backup: &Path, manifest: &Manifest) -> Result<Option<PathBuf>, BackupError> {
    let (folder, mut pace) = (backup.join(ARCHIVES), Pace::free());
    for file in &manifest.archives {
        let path = folder.join(&file.name);
        check(&path, file, &digest(&path, &mut pace)?)?;
    }
    Ok((!manifest.archives.is_empty()).then_some(folder))
}

/// Archives that were put back; what was copied goes again unless all is well in the end.
pub(super) struct PutBack(Vec<PathBuf>);

impl PutBack {
    /// Puts the archives of a backup where they are to be. One that lies there already must be the
    /// same.
    pub fn new(backup: &Path, manifest: &Manifest, dir: &Path) -> Result<Self, BackupError> {
        let (mut done, mut pace) = (Self(Vec::new()), Pace::free());
        make_folder(dir)?;
        for file in &manifest.archives {
            let (from, to) = (backup.join(ARCHIVES).join(&file.name), dir.join(&file.name));
            let found = if to.exists() {
                digest(&to, &mut pace)?
            } else {
                done.0.push(to.clone());
                copy(&from, &to, &mut pace)?
            };
            check(&to, file, &found)?;
        }
        sync(dir)?;
        Ok(done)
    }

    /// They stay.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for PutBack {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "what was copied cannot be removed: do it by hand");
            }
        }
    }
}
