//! The key's file: written whole, private and durable before anyone hears of the key.

use super::EngineKeyError;
use ed25519_dalek::SigningKey;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the file in the data directory: the secret as 64 hexadecimal digits and a line end.
const FILE: &str = "tallystick.key";
/// Where the key that is to follow waits until the journal holds it.
const NEXT: &str = "tallystick.key.next";
/// Where a file is written before it gets its name.
const UNFINISHED: &str = "tallystick.key.tmp";

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
        let path = self.dir.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(name)(error)),
        };
        let mode = fs::metadata(&path).map_err(self.failed(name))?.permissions().mode();
        if mode & 0o077 != 0 {
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, private).map_err(self.failed(name))?;
            tracing::warn!(
                path = %path.display(),
                "others could read the engine's key until now; it is closed (chmod 600): think about a \
                 new one (`tallystick key rotate`)"
            );
        }
        let secret = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim_ascii()).ok();
        let secret: Option<[u8; 32]> = secret.and_then(|secret| secret.try_into().ok());
        let secret = secret.ok_or(EngineKeyError::NotAKey { path })?;
        Ok(Some(SigningKey::from_bytes(&secret)))
    }

    /// Writes under another name first, so that the name never stands for half a key.
    fn write_named(&self, name: &str, key: &SigningKey) -> Result<(), EngineKeyError> {
        let unfinished = self.dir.join(UNFINISHED);
        let write = || {
            // Left by a start that ended here; its mode may be anyone's.
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
            let text = data_encoding::HEXLOWER.encode(key.as_bytes());
            writeln!(file, "{text}")?;
            file.sync_all()
        };
        write().map_err(self.failed(UNFINISHED))?;
        self.rename(UNFINISHED, name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), EngineKeyError> {
        fs::rename(self.dir.join(from), self.dir.join(to)).map_err(self.failed(to))?;
        self.sync_dir()
    }

    fn sync_dir(&self) -> Result<(), EngineKeyError> {
        let sync = || File::open(&self.dir)?.sync_all();
        sync().map_err(self.failed(FILE))
    }

    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> EngineKeyError {
        let path = self.dir.join(name);
        move |source| EngineKeyError::File { path, source }
    }
}
