//! The file of who is logged in: rows of JSON that nobody but its owner may read, written whole.
//! Digests only.

use super::sessions::Session;
use crate::api::access::Known;
use crate::ledger::Credential;
use crate::types::{Digest, SignerKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// One login.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// Digest of what the browser sends, in hexadecimal digits.
    id: String,
    /// Digest of what its pages send, the same way.
    page: String,
    name: String,
    role: String,
    known: By,
    began_us: i64,
    seen_us: i64,
}

/// By what somebody is known. Keys and tokens are digests.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Nobody,
    Token(String),
    Key(String),
    Signed(String),
    Certificate(String),
}

impl Row {
    /// What is written of a login.
    pub fn of(id: &Digest, session: &Session) -> Self {
        let known = match &session.known {
            Known::Nobody => By::Nobody,
            Known::Token(digest) => By::Token(digest.to_string()),
            Known::By(Credential::Key(digest)) => By::Key(digest.to_string()),
            Known::By(Credential::Signed(key)) => By::Signed(key.to_string()),
            Known::By(Credential::Certificate(name)) => By::Certificate(name.clone()),
        };
        let (began_us, seen_us) = (session.began.0, session.seen.0);
        let (page, name, role) = (session.page.to_string(), session.name.clone(), &session.role);
        Self { id: id.to_string(), page, name, role: role.clone(), known, began_us, seen_us }
    }

    /// What was written, if it is a login.
    pub fn session(self) -> Option<(Digest, Session)> {
        let known = match self.known {
            By::Nobody => Known::Nobody,
            By::Token(digest) => Known::Token(digest.parse().ok()?),
            By::Key(digest) => Known::By(Credential::Key(digest.parse().ok()?)),
            By::Signed(key) => Known::By(Credential::Signed(key.parse::<SignerKey>().ok()?)),
            By::Certificate(name) => Known::By(Credential::Certificate(name)),
        };
        let (began, seen) = (Timestamp(self.began_us), Timestamp(self.seen_us));
        let (page, name, role) = (self.page.parse().ok()?, self.name, self.role);
        Some((self.id.parse().ok()?, Session { page, name, role, known, began, seen }))
    }
}

/// The rows of a file; none where there is no file.
///
/// # Errors
/// When it cannot be read, or is none of these.
pub(super) fn read(path: &Path) -> io::Result<Vec<Row>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes them, durably, under another name first.
///
/// # Errors
/// When the system refuses.
pub(super) fn write(path: &Path, rows: &[Row]) -> io::Result<()> {
    let mut unfinished = OsString::from(path);
    unfinished.push(".tmp");
    let unfinished = PathBuf::from(unfinished);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&serde_json::to_vec(rows)?)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
