//! Why the journal cannot be used. Every text says what is wrong and what to do.

use std::path::PathBuf;
use tallystick_ledger::types::{Lsn, NetworkId};

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
    #[error("there is no ledger in {}: name an engine's data directory", .dir.display())]
    NoJournal { dir: PathBuf },
    #[error(
        "{} is a file, or stands behind one, and a data directory is a folder: name another with --data-dir \
         (data_dir in the configuration); one that does not exist is made",
        .dir.display()
    )]
    NotAFolder { dir: PathBuf },
    #[error(
        "data directory {} holds what is left of a ledger ({found}) and not the file CURRENT, without which it \
         cannot be read: something removed it, or a copy left it out. Nothing was changed. Restore the whole \
         directory from a copy; give no new one, which would know nothing of what was acked and paid",
        .dir.display()
    )]
    CurrentLost { dir: PathBuf, found: String },
    #[error(
        "data directory {} belongs to network {found}, not to {wanted}; give that network's directory",
        .dir.display()
    )]
    OtherNetwork { dir: PathBuf, found: NetworkId, wanted: NetworkId },
    #[error(
        "the journal has format {found}, this engine reads {wanted}; use the engine that wrote it, which is {}",
        age(found, *wanted)
    )]
    OtherFormat { found: String, wanted: u16 },
    #[error(
        "record {lsn} of the journal is damaged: {why}. The engine does not start. Restore the data \
         directory from a copy; do not delete records: what comes after would no longer be proved"
    )]
    Damaged { lsn: Lsn, why: String },
    #[error("the stream that the journal is kept in: {0}")]
    Stream(String),
    #[error("the stream that the journal is kept in: {0}")]
    Fenced(String),
    #[error(
        "record {lsn} says something else than follows from the records before it: {why}. Two nodes do not agree: \
         this one stops, and must not take over. Keep all directories as they are, and have them audited"
    )]
    Differs { lsn: Lsn, why: String },
    #[error("the storage failed: {0}. What was acked is durable. {advice}", advice = advice(.0))]
    Storage(String),
}

/// Whether what wrote another format is older or newer than this.
fn age(found: &str, wanted: u16) -> &'static str {
    match found.parse::<u16>() {
        Ok(found) if found > wanted => "a newer version",
        Ok(_) => "an older version",
        Err(_) => "another version",
    }
}

/// What to do about a failure of the storage, told by the words of the system's errors: those are
/// all that RocksDB passes on.
fn advice(text: &str) -> &'static str {
    let says = |words: &str| text.contains(words);
    if says("No space left") || says("quota exceeded") {
        "Make room on the disk of the data directory, then start the engine again"
    } else if says("Read-only file system") {
        "Make the file system writable again (a failing disk is often made read-only: see the \
         system's log), then start the engine again"
    } else if says("Input/output error") {
        "See the system's log for what the disk says; copy the data directory to a sound disk, then \
         start the engine on that"
    } else if says("File too large") {
        "Raise the limit on the size of files (ulimit -f), then start the engine again"
    } else if says("Too many open files") {
        "Raise the limit on open files (ulimit -n), then start the engine again"
    } else if says("Permission denied") {
        "Let the engine's user write the data directory and all in it, then start the engine again"
    } else {
        "Remove the cause, then start the engine again"
    }
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
