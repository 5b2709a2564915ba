//! A backup of a ledger at work: linked together in the data directory at one moment, then copied
//! file by file, and a backup only once all of it is durable and it has its name.

use super::archives::{self, Shelved};
use super::files::{Pace, Scratch, check, copy, digest, make_folder, remove, sync};
use super::shelf::{finished, newest};
use super::{BackupError, FORMAT, LEDGER, MANIFEST, Manifest, ManifestFile, PARTIAL, STAGING};
use crate::faults;
use crate::journal::{Log, Tail};
use crate::limits::BACKUP_FREE_BYTES_MIN;
use crate::sign::EngineKey;
use crate::types::{NetworkId, SignerKey, Timestamp};
use crate::vault::Vault;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The ledger that is backed up.
#[derive(Clone)]
pub struct Ours {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its journal.
    pub log: Arc<dyn Log>,
    /// What marks the manifest.
    pub vault: Vault,
    /// The deployment.
    pub network: NetworkId,
    /// The time.
    pub at: Timestamp,
    /// What has left it for archives.
    pub archives: Shelved,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Bytes that are its own; the others are the last backup's too.
    pub new_bytes: u64,
    /// Why archives are not in it that should be.
    pub missing: Vec<String>,
}

/// Removes what a backup that was cut off has left in the data directory: it would keep files that
/// are not needed any more, and keys that were destroyed.
///
/// # Errors
/// When it cannot be removed.
pub fn clear(data_dir: &Path) -> Result<(), BackupError> {
    remove(&data_dir.join(STAGING))?;
    remove(&data_dir.join(format!("{STAGING}.tmp")))
}

/// A ledger as it was at one moment, linked together in its data directory until this goes.
pub struct Linked {
    staging: Scratch,
    tail: Tail,
    key: SignerKey,
    sealed: Vec<u8>,
}

/// Links together what is to be backed up. No other key of the engine may come into force
/// meanwhile.
///
/// # Errors
/// When it cannot be copied.
pub fn link(of: &Ours, key: &EngineKey) -> Result<Linked, BackupError> {
    clear(&of.data_dir)?;
    let staging = Scratch(of.data_dir.join(STAGING));
    let tail = of.log.copy(&staging.0)?;
    let (key, sealed) = key.sealed(|key, secret| of.vault.seal_engine_key(key, secret));
    faults::point(|| "backup-linked");
    Ok(Linked { staging, tail, key, sealed })
}

/// Makes a backup in a new folder of `shelf`.
///
/// # Errors
/// `BackupError`: then there is no new backup, and what was begun is gone.
pub fn create(of: &Ours, linked: Linked, shelf: &Path) -> Result<Made, BackupError> {
    let Linked { staging, tail, key, sealed } = linked;
    make_folder(shelf)?;
    let before = newest(shelf)?;
    if let Some(before) = &before {
        let found = before.manifest.network().unwrap_or(of.network);
        if found != of.network {
            return Err(BackupError::OtherNetwork {
                dir: shelf.to_owned(),
                found,
                own: of.network,
            });
        }
    }
    clear_partial(shelf)?;
    let names = names(&staging.0)?;
    let last = before.as_ref().map(|found| (&found.manifest, found.folder.join(LEDGER)));
    let archived = archives::new_bytes(&of.archives, before.as_ref().map(|found| &found.manifest));
    check_room(shelf, (&staging.0, archived), &names, last.as_ref())?;
    let name = folder_name(of.at, tail);
    let partial = Scratch(shelf.join(format!("{PARTIAL}{name}")));
    let ledger = partial.0.join(LEDGER);
    make_folder(&ledger)?;
    let (mut files, mut new_bytes) = (Vec::new(), 0);
    let mut pace = Pace::beside_an_engine();
    for name in names {
        let (from, to) = (staging.0.join(&name), ledger.join(&name));
        let (file, is_new) = one_file((&from, &to), &name, last.as_ref(), &mut pace)?;
        new_bytes += if is_new { file.bytes } else { 0 };
        files.push(file);
        faults::point(|| "backup-file");
    }
    let held = before.as_ref().map(|found| (&found.manifest, found.folder.as_path()));
    let taken = archives::take(&of.archives, &partial.0, held, &mut pace)?;
    new_bytes += taken.new_bytes;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network_id: of.network.to_string(),
        created_at_us: of.at.0,
        position: tail.into(),
        engine_key: key.to_string(),
        engine_key_sealed: data_encoding::HEXLOWER.encode(&sealed),
        files,
        archives: taken.files,
        blake3: String::new(),
        mark: String::new(),
    }
    .summed();
    let mark = of.vault.mark(&manifest.marked()).to_string();
    let manifest = Manifest { mark, ..manifest };
    write(&partial.0.join(MANIFEST), &manifest.text())?;
    sync(&ledger)?;
    sync(&partial.0)?;
    faults::point(|| "backup-written");
    let folder = shelf.join(&name);
    fs::rename(&partial.0, &folder).map_err(BackupError::file(&folder))?;
    sync(shelf)?;
    Ok(Made { folder, manifest, new_bytes, missing: taken.missing })
}

/// The time and the last record: names of folders lie in the order in which backups were made.
fn folder_name(at: Timestamp, tail: Tail) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    format!("{}-{}", at.strftime("%Y%m%dT%H%M%S%.3fZ"), tail.lsn)
}

/// What of the copy belongs into a backup: all that RocksDB and the journal wrote.
fn names(staging: &Path) -> Result<Vec<String>, BackupError> {
    let failed = || BackupError::file(staging);
    let mut names = Vec::new();
    for entry in fs::read_dir(staging).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name().into_string();
        let name = name.map_err(|name| BackupError::damaged(Path::new(&name), "an odd name"))?;
        let is_chatter = name.starts_with("LOG") || name == "LOCK" || name == "tallystick.lock";
        if !is_chatter {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

type Last<'a> = (&'a Manifest, PathBuf);

/// Puts one file into the backup: linked to the last backup's if that holds the same bytes under
/// this name. Every file is read, so a file of the ledger that has rotted is not found later than
/// the next audit of a backup.
fn one_file(
    (from, to): (&Path, &Path),
    name: &str,
    last: Option<&Last<'_>>,
    pace: &mut Pace,
) -> Result<(ManifestFile, bool), BackupError> {
    let held = last.and_then(|(manifest, ledger)| Some((manifest.file(name)?, ledger.join(name))));
    let bytes = fs::metadata(from).map_err(BackupError::file(from))?.len();
    if let Some((held, at)) = held.filter(|(held, _)| held.bytes == bytes) {
        let found = digest(from, pace)?;
        let same = check(from, held, &found).is_ok();
        // What has rotted in the last backup does not go on into this one. A disk that links
        // nothing, or no more, gets a copy.
        let good = |at: &Path, pace: &mut Pace| {
            digest(at, pace).is_ok_and(|found| check(at, held, &found).is_ok())
        };
        if same && good(&at, pace) && fs::hard_link(at, to).is_ok() {
            return Ok((held.clone(), false));
        }
    }
    let (bytes, blake3) = copy(from, to, pace)?;
    Ok((ManifestFile { name: name.to_owned(), bytes, blake3 }, true))
}

fn check_room(
    shelf: &Path,
    (staging, archived): (&Path, u64),
    names: &[String],
    last: Option<&Last<'_>>,
) -> Result<(), BackupError> {
    let mut needed = BACKUP_FREE_BYTES_MIN + archived;
    for name in names {
        let path = staging.join(name);
        let bytes = fs::metadata(&path).map_err(BackupError::file(&path))?.len();
        let held = last.and_then(|(manifest, _)| manifest.file(name));
        if held.is_none_or(|held| held.bytes != bytes) {
            needed += bytes;
        }
    }
    // Where it cannot be told, the copy finds out.
    let Ok(disk) = rustix::fs::statvfs(shelf) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        return Err(BackupError::Full { dir: shelf.to_owned(), free, needed });
    }
    Ok(())
}

/// Removes what backups that were cut off have left. One engine makes one at a time.
fn clear_partial(shelf: &Path) -> Result<(), BackupError> {
    finished(shelf, false)?.iter().try_for_each(|folder| remove(folder))
}

fn write(path: &Path, text: &str) -> Result<(), BackupError> {
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(BackupError::file(path))
}
