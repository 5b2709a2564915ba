//! Who are to be the first operators, as whoever has the machine says it: a file in the data
//! directory, which the next start journals and takes away. It holds no secret: the key is known
//! by its digest.

use crate::types::Digest;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file's name.
const FILE: &str = "bootstrap.json";

/// The first operator, or one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Its name.
    pub name: String,
    /// Digest of its key, in hexadecimal digits.
    pub key_digest: String,
}

impl Bootstrap {
    /// Where it stands.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// Those that wait for a start.
    ///
    /// # Errors
    /// A text that says what is wrong with the file.
    pub fn read(data_dir: &Path) -> Result<Vec<(String, Digest)>, String> {
        let one = |Self { name, key_digest }: Self| match key_digest.parse() {
            Ok(digest) => Ok((name, digest)),
            Err(_) => {
                Err(format!("key_digest {key_digest:?} is no digest of 64 hexadecimal digits"))
            }
        };
        Self::all(data_dir)?.into_iter().map(one).collect()
    }

    /// The same as they are written: one, or a list of them.
    ///
    /// # Errors
    /// As for `read`.
    pub fn all(data_dir: &Path) -> Result<Vec<Self>, String> {
        let text = match fs::read(Self::path(data_dir)) {
            Ok(text) => text,
            // What is wrong with the folder itself, whoever opens it says.
            Err(error) if is_not_there(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.to_string()),
        };
        if text.trim_ascii_start().starts_with(b"[") {
            return serde_json::from_slice(&text).map_err(|error| error.to_string());
        }
        let one = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok(vec![one])
    }

    /// Takes it away: it is journaled.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        fs::remove_file(Self::path(data_dir))
    }
}

fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
