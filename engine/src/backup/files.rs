//! Files of a backup: copied at a pace, durable, with their digests.

use super::{BackupError, ManifestFile};
use crate::limits::{BACKUP_BYTES_A_SECOND, BACKUP_PIECE_BYTES, BACKUP_SYNC_BYTES};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Holds reading and writing to so many bytes a second, if it is to.
pub(super) struct Pace {
    begun: Instant,
    bytes: u64,
    a_second: Option<u64>,
}

impl Pace {
    /// Beside an engine that is at work.
    pub fn beside_an_engine() -> Self {
        Self { begun: Instant::now(), bytes: 0, a_second: Some(BACKUP_BYTES_A_SECOND) }
    }

    /// As fast as it goes.
    pub fn free() -> Self {
        Self { begun: Instant::now(), bytes: 0, a_second: None }
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes += u64::try_from(bytes).expect("a length fits 64 bits");
        let Some(a_second) = self.a_second else { return };
        let due = Duration::from_micros(self.bytes.saturating_mul(1_000_000) / a_second);
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }
}

/// The digest of a file, and how long it is.
pub(super) fn digest(path: &Path, pace: &mut Pace) -> Result<(u64, String), BackupError> {
    let mut read = || {
        let mut hasher = blake3::Hasher::new();
        let bytes = pieces(File::open(path)?, pace, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        Ok((bytes, hasher.finalize().to_string()))
    };
    read().map_err(BackupError::file(path))
}

/// Copies a file, durably; gives what was read, not what it should be.
pub(super) fn copy(from: &Path, to: &Path, pace: &mut Pace) -> Result<(u64, String), BackupError> {
    let source = File::open(from).map_err(BackupError::file(from))?;
    let write = || {
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(to)?;
        let (mut hasher, mut unsynced) = (blake3::Hasher::new(), 0);
        let bytes = pieces(source, pace, |piece| {
            hasher.update(piece);
            out.write_all(piece)?;
            unsynced += piece.len();
            if unsynced >= BACKUP_SYNC_BYTES {
                unsynced = 0;
                out.sync_data()?;
            }
            Ok(())
        })?;
        out.sync_all()?;
        Ok((bytes, hasher.finalize().to_string()))
    };
    write().map_err(BackupError::file(to))
}

fn pieces(
    mut from: impl Read,
    pace: &mut Pace,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut piece, mut bytes) = (vec![0; BACKUP_PIECE_BYTES], 0);
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(bytes);
        }
        take(&piece[..length])?;
        bytes += u64::try_from(length).expect("a length fits 64 bits");
        pace.spend(length);
    }
}

/// Whether a file is the one that the manifest names.
pub(super) fn check(
    path: &Path,
    wanted: &ManifestFile,
    (bytes, digest): &(u64, String),
) -> Result<(), BackupError> {
    if *bytes != wanted.bytes {
        let why = format!("it has {bytes} bytes, not {}", wanted.bytes);
        return Err(BackupError::damaged(path, why));
    }
    if *digest != wanted.blake3 {
        return Err(BackupError::damaged(path, "its digest is another"));
    }
    Ok(())
}

/// Makes a folder that only its owner may look into.
pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(BackupError::file(path))
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|of| of.sync_all()).map_err(BackupError::file(folder))
}

/// Removes a folder with all in it, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::file(folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A folder that goes when this does, unless it was given another name by then.
pub(super) struct Scratch(pub PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "what a backup left cannot be removed: do it by hand");
        }
    }
}
