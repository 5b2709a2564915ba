//! Why the journal cannot be used. Every text says what is wrong and what to do.

use crate::types::{Lsn, NetworkId};
use std::path::PathBuf;

/// A journal that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum JournalError {
    #[error(
        "data directory {} is in use by another engine; stop that one, or give this one a directory \
         of its own",
        .dir.display()
    )]
    Locked { dir: PathBuf },
    #[error("data directory {} holds other files and no journal; give an empty or new one", .dir.display())]
    NotAJournal { dir: PathBuf },
    #[error(
        "data directory {} belongs to network {found}, not to {wanted}; give that network's directory",
        .dir.display()
    )]
    OtherNetwork { dir: PathBuf, found: NetworkId, wanted: NetworkId },
    #[error(
        "the journal has format {found}, this engine reads {wanted}; use the engine that wrote it"
    )]
    OtherFormat { found: String, wanted: u16 },
    #[error(
        "record {lsn} of the journal is damaged: {why}. The engine does not start. Restore the data \
         directory from a copy; do not delete records: what comes after would no longer be proved"
    )]
    Damaged { lsn: Lsn, why: String },
    #[error("the storage failed: {0}. The engine stops; what was acked is durable")]
    Storage(String),
}

impl JournalError {
    /// The journal ends with record `last` but was known to reach `known`.
    pub(super) fn ends_before(known: Lsn, last: Lsn) -> Self {
        let why = format!("the journal is known to reach record {known} but ends before");
        Self::Damaged { lsn: last.next(), why }
    }
}

impl From<rocksdb::Error> for JournalError {
    fn from(error: rocksdb::Error) -> Self {
        Self::Storage(error.into_string())
    }
}
