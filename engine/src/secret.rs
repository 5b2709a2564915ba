//! A secret in a file: 32 bytes as 64 hexadecimal digits and a line end, readable by its owner
//! only, written whole and durably before it has its name.
//!
//! Owns the form. Never says whose secret it is, or shows one.

use crate::files;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why a file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It has another form.
    #[error(
        "{} is no key file: expected 64 hexadecimal digits; name the right file, or restore it from a copy",
        .path.display()
    )]
    NotASecret {
        /// Which file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("the key file {}", files::why(path, why))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// There is no randomness.
    #[error("the system gives no randomness for a key: {0}")]
    Randomness(String),
}

/// A new secret.
///
/// # Errors
/// `Randomness`.
pub fn fresh() -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|e| SecretError::Randomness(e.to_string()))?;
    Ok(secret)
}

/// The secret in a file, if there is one. A file that others may read is closed, and `warn` said.
///
/// # Errors
/// `SecretError`.
pub fn read(path: &Path, warn: &str) -> Result<Option<Zeroizing<[u8; 32]>>, SecretError> {
    let failed = |why| SecretError::File { path: path.to_owned(), why };
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim_ascii()).ok();
    let bytes = bytes.map(Zeroizing::new).and_then(|bytes| <[u8; 32]>::try_from(&**bytes).ok());
    let bytes = bytes.ok_or_else(|| SecretError::NotASecret { path: path.to_owned() })?;
    let bytes = Zeroizing::new(bytes);
    // Only what is a secret is closed: another file was named by mistake.
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        tracing::warn!(
            path = %path.display(),
            "others could read this key until now; it is closed (chmod 600): {warn}"
        );
    }
    Ok(Some(bytes))
}

/// Writes a secret, under another name first, so that the name never stands for half of one.
///
/// # Errors
/// `File`.
pub fn write(path: &Path, secret: &[u8; 32]) -> Result<(), SecretError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let unfinished = PathBuf::from(unfinished);
    let write = || {
        // Left by a start that ended here; its mode may be anyone's.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let text = Zeroizing::new(data_encoding::HEXLOWER.encode(secret));
        writeln!(file, "{}", *text)?;
        file.sync_all()
    };
    write().map_err(|why| SecretError::File { path: unfinished.clone(), why })?;
    let named = || {
        fs::rename(&unfinished, path)?;
        sync_folder(path)
    };
    named().map_err(|why| SecretError::File { path: path.to_owned(), why })
}

/// Makes the names in a file's folder durable.
///
/// # Errors
/// Of the system.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_private_and_read_back_and_one_that_stood_open_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        assert!(read(&path, "").unwrap().is_none());
        let secret = fresh().unwrap();
        write(&path, &secret).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path, "").unwrap().unwrap(), secret);
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, "abc").unwrap();
        let error = read(&path, "").err().unwrap().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
