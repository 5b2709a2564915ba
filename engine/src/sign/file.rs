//! The key's files, by what they are for. How a secret lies in a file is not known here.

use super::EngineKeyError;
use crate::secret::{self, SecretError};
use ed25519_dalek::SigningKey;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Name of the file in the data directory: the secret as 64 hexadecimal digits and a line end.
const FILE: &str = "tallystick.key";
/// Where the key that is to follow waits until the journal holds it.
const NEXT: &str = "tallystick.key.next";

/// The key's files in one data directory.
pub(super) struct KeyFile {
    dir: PathBuf,
}

impl KeyFile {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The key in force, if there is a file.
    pub fn read(&self) -> Result<Option<SigningKey>, EngineKeyError> {
        self.read_named(FILE)
    }

    /// The key that was to follow, if there is a file.
    pub fn read_next(&self) -> Result<Option<SigningKey>, EngineKeyError> {
        self.read_named(NEXT)
    }

    pub fn write(&self, key: &SigningKey) -> Result<(), EngineKeyError> {
        self.write_named(FILE, key)
    }

    pub fn write_next(&self, key: &SigningKey) -> Result<(), EngineKeyError> {
        self.write_named(NEXT, key)
    }

    /// The key that was to follow takes the place of the one before it.
    pub fn adopt_next(&self) -> Result<(), EngineKeyError> {
        self.rename(NEXT, FILE)
    }

    /// Removes the key that was to follow, if there is one.
    pub fn remove_next(&self) -> Result<(), EngineKeyError> {
        match fs::remove_file(self.dir.join(NEXT)) {
            Ok(()) => self.sync_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(NEXT)(error)),
        }
    }

    fn read_named(&self, name: &str) -> Result<Option<SigningKey>, EngineKeyError> {
        let warn = "think about a new one (`tallystick key rotate`)";
        let found = secret::read(&self.dir.join(name), warn)?;
        Ok(found.map(|secret| SigningKey::from_bytes(&secret)))
    }

    fn write_named(&self, name: &str, key: &SigningKey) -> Result<(), EngineKeyError> {
        Ok(secret::write(&self.dir.join(name), key.as_bytes())?)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), EngineKeyError> {
        fs::rename(self.dir.join(from), self.dir.join(to)).map_err(self.failed(to))?;
        self.sync_dir()
    }

    fn sync_dir(&self) -> Result<(), EngineKeyError> {
        secret::sync_folder(&self.path()).map_err(self.failed(FILE))
    }

    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> EngineKeyError {
        let path = self.dir.join(name);
        move |why| SecretError::File { path, why }.into()
    }
}
