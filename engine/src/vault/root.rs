//! The root key: what every party's key is kept under. It lies in a file of its own, which may be
//! anywhere; the data directory only knows whether it is the right one.

use super::seal::{Field, Seal, Secret};
use crate::journal::{JournalError, Table, Tables};
use crate::secret::{self, SecretError};
use crate::types::{Digest, SignerKey};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the file in the data directory, unless it is kept elsewhere.
pub const FILE: &str = "tallystick.root";
/// Tells whether a root key is the one of a data directory, and nothing else of it.
const CHECK_CONTEXT: &str = "tallystick 2026-11 root key check v1";
/// By what a directory knows which root key it has.
pub const META_CHECK: &[u8] = b"root";
const MARK_CONTEXT: &str = "tallystick 2026-11 backup mark key v1";
const WARN: &str = "others could have read every name and account of the ledger";

/// The root key of a ledger, and the file that it is from.
pub struct RootKey {
    path: PathBuf,
    secret: Secret,
    seal: Seal,
    marks: Secret,
}

impl RootKey {
    pub(super) fn new(path: &Path, secret: Secret) -> Self {
        let marks = Zeroizing::new(blake3::derive_key(MARK_CONTEXT, &*secret));
        Self { path: path.to_owned(), seal: Seal::new(&secret), secret, marks }
    }

    /// Reads one from its file, if there is one. Whose it is, only who compares it can tell.
    ///
    /// # Errors
    /// `SecretError`.
    pub fn read(path: &Path) -> Result<Option<Self>, SecretError> {
        Ok(secret::read(path, WARN)?.map(|secret| Self::new(path, secret)))
    }

    /// Writes it into another file.
    ///
    /// # Errors
    /// `SecretError`.
    pub fn write(&self, path: &Path) -> Result<(), SecretError> {
        secret::write(path, &self.secret)
    }

    /// The file that it is from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret half of an engine's key from a backup; `None` under another root key.
    #[must_use]
    pub fn open_engine_key(&self, key: SignerKey, sealed: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let opened = self.seal.open(Field::EngineKey(key), sealed)?;
        Some(Zeroizing::new(<[u8; 32]>::try_from(&**opened).ok()?))
    }

    /// See `Vault::mark`.
    #[must_use]
    pub fn mark(&self, bytes: &[u8]) -> Digest {
        Digest(*blake3::keyed_hash(&self.marks, bytes).as_bytes())
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.seal
    }
}

/// Why the root key cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RootKeyError {
    #[error(
        "the root key file {} is missing: without it no name and no account in this ledger can be read. Restore \
         the file from a copy, or say where it is (root_key_file); no other file can take its place",
        .path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "the root key file {} is that of another ledger: with it no name and no account in this one can be read. \
         Restore the file that belongs to this data directory, or say where it is (root_key_file)",
        .path.display()
    )]
    Other { path: PathBuf },
    #[error(
        "the data directory is damaged: it does not say which root key it has; restore it from a copy"
    )]
    Unknown,
    #[error(transparent)]
    File(#[from] SecretError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The root key of a data directory. In a `new` one a key is made, unless there is one already, and
/// the directory remembers which it is, before anything is sealed.
pub(super) fn open(tables: &dyn Tables, path: &Path, new: bool) -> Result<Secret, RootKeyError> {
    let found = secret::read(path, WARN)?;
    let known = tables.get(Table::Meta, META_CHECK)?;
    match (known, found) {
        (Some(known), Some(key)) if known == check(&key) => Ok(key),
        (Some(_), Some(_)) => Err(RootKeyError::Other { path: path.to_owned() }),
        (Some(_), None) => Err(RootKeyError::Missing { path: path.to_owned() }),
        (None, _) if !new => Err(RootKeyError::Unknown),
        (None, found) => {
            let key = match found {
                Some(key) => key,
                None => {
                    let key = secret::fresh()?;
                    secret::write(path, &key)?;
                    key
                }
            };
            tables.commit(META_CHECK, &check(&key))?;
            Ok(key)
        }
    }
}

fn check(key: &Secret) -> [u8; 32] {
    blake3::derive_key(CHECK_CONTEXT, &**key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::memory::Memory;

    #[test]
    fn a_root_key_is_made_once_and_no_other_is_taken() {
        let (dir, tables) = (tempfile::tempdir().unwrap(), Memory::journal().tables);
        let path = dir.path().join(FILE);
        assert!(Table::Meta.is_underived(META_CHECK), "each node of a ledger has it");
        let key = open(&*tables, &path, true).unwrap();
        assert_eq!(open(&*tables, &path, false).unwrap(), key);
        // A start that came no further than this begins anew with the same.
        assert_eq!(open(&*tables, &path, true).unwrap(), key);
        let kept = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for new in [true, false] {
            let missing = open(&*tables, &path, new).err().unwrap().to_string();
            assert!(missing.contains("is missing") && missing.contains("root_key_file"));
        }
        assert!(!path.exists(), "none is made in its place");
        secret::write(&path, &[7; 32]).unwrap();
        let other = open(&*tables, &path, false).err().unwrap().to_string();
        assert!(other.contains("another ledger"), "{other}");
        std::fs::write(&path, kept).unwrap();
        open(&*tables, &path, false).unwrap();
    }

    /// Two ledgers may have one key; a ledger that lost what it remembers of it may have none.
    #[test]
    fn a_new_ledger_takes_the_key_that_it_is_given() {
        let (dir, tables) = (tempfile::tempdir().unwrap(), Memory::journal().tables);
        let path = dir.path().join("elsewhere");
        secret::write(&path, &[7; 32]).unwrap();
        assert!(matches!(open(&*tables, &path, false), Err(RootKeyError::Unknown)));
        assert_eq!(*open(&*tables, &path, true).unwrap(), [7; 32]);
    }
}
