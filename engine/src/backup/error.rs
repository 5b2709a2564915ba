//! Why a backup cannot be made, used or restored. Every text says what to do.

use crate::audit::Report;
use crate::journal::JournalError;
use crate::secret::SecretError;
use crate::types::NetworkId;
use std::io;
use std::path::{Path, PathBuf};

/// Why not.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BackupError {
    #[error(
        "{} is no backup: it has no manifest.json, or was never finished (its name begins with a dot); name the folder \
         of one backup, as `tallystick backup list` shows them",
        .dir.display()
    )]
    NoManifest { dir: PathBuf },
    #[error("there is no backup in {}", .dir.display())]
    None { dir: PathBuf },
    #[error("the manifest of {} cannot be used: {why}; take another backup", .dir.display())]
    Manifest { dir: PathBuf, why: String },
    #[error(
        "backup {} has format {found:?}, this program reads {wanted:?}: use the version that made it ({version})",
        .dir.display()
    )]
    Format { dir: PathBuf, found: String, wanted: &'static str, version: String },
    #[error(
        "the file {} of the backup is damaged: {why}. Nothing was restored; take another backup",
        .file.display()
    )]
    Damaged { file: PathBuf, why: String },
    #[error(
        "{} holds backups of network {found}, and this is {own}: give each ledger a folder of its own",
        .dir.display()
    )]
    OtherNetwork { dir: PathBuf, found: NetworkId, own: NetworkId },
    #[error(
        "the disk of {} has {free} bytes free, and the backup needs {needed}: make room, or `tallystick backup \
         prune`",
        .dir.display()
    )]
    Full { dir: PathBuf, free: u64, needed: u64 },
    #[error(
        "the root key {} is not the one of this backup: with it neither the engine's key nor any name could be \
         read. Give the file that belongs to the ledger",
        .path.display()
    )]
    OtherRootKey { path: PathBuf },
    #[error("there is no root key file {}: it is in no backup, so give the copy that you keep apart", .path.display())]
    NoRootKey { path: PathBuf },
    #[error(
        "{} is not empty: a backup is restored into a new or empty folder, so that nothing is lost that is there",
        .dir.display()
    )]
    NotEmpty { dir: PathBuf },
    #[error(
        "the backup holds {archived} archives of the ledger: say with --archive-dir where they go, best the \
         archive_dir of the configuration"
    )]
    NoArchiveDir { archived: usize },
    #[error(
        "what was restored is not what was backed up: {0}. Nothing was left in the folder; take another backup"
    )]
    Differs(String),
    #[error("the audit of the backup failed: {}. Take another backup", audit_text(.0))]
    Audit(Box<Report>),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
}

impl BackupError {
    /// A file that cannot be read or written.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// A file of a backup that is not what its manifest says.
    pub(super) fn damaged(file: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), why: why.into() }
    }
}

fn audit_text(report: &Report) -> String {
    match (&report.first_difference, &report.error) {
        (Some(difference), _) => format!("the first difference is: {difference}"),
        (None, Some(error)) => error.clone(),
        (None, None) => "it does not say why".to_owned(),
    }
}
