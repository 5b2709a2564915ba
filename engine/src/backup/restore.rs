//! The way back: a data directory from a backup, on this machine or another.
//!
//! All is put together in a folder of its own inside the new directory, audited there, and only
//! then moved to where an engine finds it. The engine that starts on it knows that it goes on from
//! a copy (`Noted`), and lets nothing leave before an operator has said so.

use super::archives::PutBack;
use super::files::{Pace, Scratch, check, copy, make_folder, sync};
use super::verify::{Auditing, audited, check_mark};
use super::{BackupError, LEDGER, Manifest, newest};
use crate::audit::{Directory, Report};
use crate::journal::rocks;
use crate::ledger::event::LedgerRestored;
use crate::secret;
use crate::sign::restore_key;
use crate::types::{Digest, Lsn};
use crate::vault::{ROOT_KEY_FILE, RootKey};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a directory is put together.
const RESTORING: &str = ".restoring";
/// Names the directory as a ledger's: the last file to be moved.
const LAST: &str = "CURRENT";

/// What is to be restored, and where.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// A backup, or the folder in which the newest one is wanted.
    pub from: &'a Path,
    /// The new data directory.
    pub data_dir: &'a Path,
    /// The file of the root key.
    pub root_key: &'a Path,
    /// Whether the root key is to lie in the data directory.
    pub keep_root_key: bool,
    /// Where its archives go, or where they are: the `archive_dir` of the engine that starts on it.
    pub archive_dir: Option<&'a Path>,
    /// How it is audited.
    pub auditing: Auditing,
}

/// A ledger that was restored.
#[derive(Debug)]
pub struct RestoredTo {
    /// Which backup it was.
    pub backup: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// What the audit of the new directory says.
    pub report: Report,
    /// Which copy the new ledger is.
    pub noted: Noted,
}

/// What the engine that starts on a restored directory must journal first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted(pub LedgerRestored);

impl Noted {
    const BYTES: usize = 32 + 32 + 8;

    fn bytes(self) -> [u8; Self::BYTES] {
        let LedgerRestored { instance, backup, position } = self.0;
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&instance.0);
        bytes[32..64].copy_from_slice(&backup.0);
        bytes[64..].copy_from_slice(&position.0.to_le_bytes());
        bytes
    }

    /// Reads what was noted in a directory.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (instance, rest) = bytes.split_first_chunk::<32>()?;
        let (backup, rest) = rest.split_first_chunk::<32>()?;
        let position = Lsn(u64::from_le_bytes(rest.try_into().ok()?));
        let (instance, backup) = (Digest(*instance), Digest(*backup));
        Some(Self(LedgerRestored { instance, backup, position }))
    }
}

/// Restores a backup into a new or empty folder.
///
/// # Errors
/// `BackupError`: then the folder is as it was.
pub fn restore(asked: &Asked<'_>) -> Result<RestoredTo, BackupError> {
    let backup = which(asked.from)?;
    let manifest = Manifest::read(&backup)?;
    let root_key = root_key(asked.root_key)?;
    check_mark(&manifest, &root_key)?;
    let other = || BackupError::OtherRootKey { path: asked.root_key.to_owned() };
    let unfit = |why| BackupError::Manifest { dir: backup.clone(), why };
    let key = manifest.key().map_err(unfit)?;
    let sealed = data_encoding::HEXLOWER.decode(manifest.engine_key_sealed.as_bytes());
    let secret = sealed.ok().and_then(|sealed| root_key.open_engine_key(key, &sealed));
    let secret = secret.ok_or_else(other)?;
    check_empty(asked.data_dir)?;
    let archived = manifest.archives.len();
    let archives = match asked.archive_dir {
        None if archived > 0 => return Err(BackupError::NoArchiveDir { archived }),
        None => None,
        Some(dir) => Some(PutBack::new(&backup, &manifest, dir)?),
    };
    make_folder(asked.data_dir)?;
    let place = Scratch(asked.data_dir.join(RESTORING));
    make_folder(&place.0)?;
    copy_ledger(&backup.join(LEDGER), &place.0, &manifest)?;
    let report = {
        let directory = Directory::open(&place.0, asked.archive_dir);
        let directory = directory.map_err(|error| BackupError::Differs(error.to_string()))?;
        audited(&directory, &manifest, asked.auditing)?
    };
    let instance = Digest(*secret::fresh()?);
    let position = Lsn(manifest.position.lsn);
    let noted = Noted(LedgerRestored { instance, backup: manifest.digest(), position });
    rocks::note_restored(&place.0, &noted.bytes())?;
    restore_key(&place.0, key, &secret).map_err(|error| BackupError::Differs(error.to_string()))?;
    if asked.keep_root_key {
        root_key.write(&place.0.join(ROOT_KEY_FILE))?;
    }
    move_up(&place.0, asked.data_dir)?;
    archives.into_iter().for_each(PutBack::keep);
    Ok(RestoredTo { backup, manifest, report, noted })
}

/// The root key in a file.
///
/// # Errors
/// When there is none.
pub fn root_key(path: &Path) -> Result<RootKey, BackupError> {
    RootKey::read(path)?.ok_or_else(|| BackupError::NoRootKey { path: path.to_owned() })
}

/// The backup that is meant: this folder, or the newest one in it.
///
/// # Errors
/// When there is none.
pub fn which(from: &Path) -> Result<PathBuf, BackupError> {
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    // Whole or not: it never got its name, or has lost it.
    if name.starts_with(super::PARTIAL) || name.starts_with(super::GONE) {
        return Err(BackupError::NoManifest { dir: from.to_owned() });
    }
    if from.join(super::MANIFEST).exists() || from.join(LEDGER).exists() {
        return Ok(from.to_owned());
    }
    let found = newest(from)?.ok_or_else(|| BackupError::None { dir: from.to_owned() });
    Ok(found?.folder)
}

fn check_empty(dir: &Path) -> Result<(), BackupError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            // A disk that was just mounted has this one.
            Some(Ok(entry)) if entry.file_name() == "lost+found" && entries.next().is_none() => {
                Ok(())
            }
            Some(_) => Err(BackupError::NotEmpty { dir: dir.to_owned() }),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BackupError::file(dir)(error)),
    }
}

fn copy_ledger(from: &Path, to: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let mut pace = Pace::free();
    for file in &manifest.files {
        let source = from.join(&file.name);
        check(&source, file, &copy(&source, &to.join(&file.name), &mut pace)?)?;
    }
    sync(to)
}

/// Moves all files to where an engine finds them. Cut off at any step, there is no `CURRENT`, and
/// no engine takes it for a ledger.
fn move_up(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(BackupError::file(from))? {
        names.push(entry.map_err(BackupError::file(from))?.file_name());
    }
    names.sort_by_key(|name| name == LAST);
    for name in names {
        if name == LAST {
            sync(to)?;
        }
        let path = to.join(&name);
        fs::rename(from.join(&name), &path).map_err(BackupError::file(&path))?;
    }
    sync(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back_and_nothing_else_is_taken_for_it() {
        let (instance, backup) = (Digest([1; 32]), Digest([2; 32]));
        let noted = Noted(LedgerRestored { instance, backup, position: Lsn(0x0102) });
        assert_eq!(Noted::read(&noted.bytes()), Some(noted));
        assert_eq!(Noted::read(&noted.bytes()[..71]), None);
        assert_eq!(Noted::read(&[&noted.bytes()[..], b"x"].concat()), None);
    }

    #[test]
    fn only_a_folder_in_which_nothing_is_lost_is_restored_into() {
        let dir = tempfile::tempdir().unwrap();
        check_empty(&dir.path().join("new")).unwrap();
        check_empty(dir.path()).unwrap();
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        check_empty(dir.path()).unwrap();
        fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
        assert!(matches!(check_empty(dir.path()), Err(BackupError::NotEmpty { .. })));
    }
}
