//! Backups: copies of a ledger, made while its engine runs, from which another machine goes on.
//!
//! A backup is a folder with the files of the journal as they were at one record, and a manifest
//! with the digest of each, that record, and the engine's key sealed under the root key. The root
//! key itself is never in one: who finds a backup can neither read a name nor sign anything. A file
//! that the last backup holds too is linked to that one's, so a backup costs what is new. What has
//! left the ledger for archives is in a backup, too.
//!
//! Owns what lies in a backup, how it is made, checked, and restored. Never decides what a restored
//! ledger may do: the ledger does (`control/hold`).

mod archives;
mod create;
mod error;
mod files;
mod manifest;
mod restore;
mod shelf;
mod verify;

pub use archives::Shelved;
pub use create::{Linked, Made, Ours, clear, create, link};
pub use error::BackupError;
pub use manifest::{FORMAT, Manifest, ManifestFile, Position};
pub use restore::{Asked, Noted, RestoredTo, restore, root_key, which};
pub use shelf::{Found, is_one, list, newest, prune};
pub use verify::{Auditing, Verified, verify};

/// The manifest's name in a backup.
const MANIFEST: &str = "manifest.json";
/// The folder of the journal's files in a backup.
const LEDGER: &str = "ledger";
/// How the names of folders begin that are not backups yet, or not any more.
const PARTIAL: &str = ".partial-";
const GONE: &str = ".gone-";
/// The folder of the archives in a backup.
const ARCHIVES: &str = "archives";
/// Where the files are linked together in the data directory, for as long as a backup is made.
const STAGING: &str = ".backup";
