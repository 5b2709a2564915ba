//! The journal: the totally ordered, durable log of everything that changed state, and the tables
//! beside it.
//!
//! Owns the framing of records (`record`), how events become bytes (`codec`), what keeps them
//! (`Log`, `Tables`; in RocksDB: `rocks`; for tests: `memory`), and what lies in the tables. Never
//! knows what an event means, what a shard or a thread is.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod checkpoint;
mod codec;
pub mod conformance;
mod error;
pub mod kept;
pub mod left;
mod log;
mod mark;
pub mod memory;
pub mod names;
mod record;
pub mod rocks;
pub mod rows;
mod tables;
mod vitals;
mod wal;

pub use codec::{Entry, RISE_BYTES};
pub use error::JournalError;
pub use log::{Log, Visit};
pub use record::{Chain, FORMAT_VERSION, Framed, HEADER_BYTES, Record, split};
pub use tables::{META_OF_LEDGER, Table, Tables, VisitPage};
pub use vitals::LogVitals;

use std::sync::Arc;
use tallystick_ledger::types::{Digest, History, LINK_START, Lsn};

/// The end of a journal: the last record's position and digest, to which the next one links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Position of the last record; 0 in an empty journal.
    pub lsn: Lsn,
    /// Its digest; `LINK_START` in an empty journal.
    pub link: Digest,
    /// The digest of the last record that is no frame.
    pub event_link: Digest,
}

impl Tail {
    /// Before the first record.
    pub const START: Self = Self { lsn: Lsn(0), link: LINK_START, event_link: LINK_START };

    /// The last record, if it is an event: it covers all events up to it.
    #[must_use]
    pub fn history(&self) -> History {
        History { lsn: self.lsn, digest: self.link }
    }
}

/// What an engine keeps: the log, and the tables beside it. They may lie in one place or in two.
pub struct Journal<L> {
    /// Every record, in its place.
    pub log: L,
    /// What is kept beside them.
    pub tables: Arc<dyn Tables>,
}

/// Reads and checks the log from where `chain` stands: framing, order, links and digests. Then
/// `chain` stands at the log's end. Hands each record to `visit`.
///
/// # Errors
/// `Damaged` names the record; the visitor's errors pass through.
pub fn replay(
    log: &dyn Log,
    chain: &mut Chain,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let known = log.remembered()?;
    log.read(chain.tail().lsn.next(), &mut |lsn, bytes| {
        let record = chain.follow(lsn, bytes)?;
        match known {
            Some(known) if known.lsn == lsn && known.link != chain.tail().link => {
                let why = "it is not the record that was written there".into();
                Err(JournalError::Damaged { lsn, why })
            }
            Some(_) | None => visit(record),
        }
    })?;
    let tail = chain.tail();
    match known {
        Some(known) if known.lsn > tail.lsn => Err(JournalError::ends_before(known.lsn, tail.lsn)),
        Some(_) | None => Ok(()),
    }
}
