//! The journal: the totally ordered, durable log of everything that changed state.
//!
//! Owns the framing of records (`record`), how events become bytes (`codec`), where the bytes are
//! kept (`rocks`; `memory` for tests), and what is kept beside them (`store`). Never knows what an
//! event means, what a shard or a thread is.

#![forbid(unsafe_code)]

pub mod checkpoint;
mod codec;
mod error;
pub mod kept;
mod mark;
pub mod memory;
pub mod names;
mod record;
pub mod rocks;
pub mod store;
mod wal;

pub use codec::Entry;
pub use error::JournalError;
pub use record::{Chain, FORMAT_VERSION, Framed, HEADER_BYTES, Record};
pub use store::{Store, Table};

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

/// Takes the bytes of the record at a position.
pub type Visit<'a> = dyn FnMut(Lsn, &[u8]) -> Result<(), JournalError> + 'a;

/// Where records are kept. Framing, checks, grouping and meaning live above it, so that this
/// boundary can be met by an embedded store and by a replicated log alike.
pub trait Journal {
    /// Makes the records durable, in order, in one write. When it returns, they are; when it fails,
    /// their fate is unknown and the process must stop: it is never called again.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn append(&mut self, group: &[Framed]) -> Result<(), JournalError>;

    /// Visits the bytes of every record from `from` on, in order. What the bytes hold is for the
    /// caller to check. Stops at the first error of the visitor or of the storage.
    ///
    /// # Errors
    /// `JournalError` of the visitor, or `Damaged` with the position that could not be read.
    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError>;

    /// Visits the bytes of every event (record that is no frame) up to and with `to`, in order.
    /// Events are kept for ever.
    ///
    /// # Errors
    /// As for `read`.
    fn read_events(&self, to: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError>;

    /// The tables beside the journal.
    fn store(&self) -> Arc<dyn Store>;

    /// Remembers, durably and apart from the records, that the journal reached `tail`: a later
    /// start that finds less refuses.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn remember(&mut self, tail: Tail) -> Result<(), JournalError>;

    /// What `remember` was told last.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn remembered(&self) -> Result<Option<Tail>, JournalError>;
}

/// Reads and checks the journal from where `chain` stands: framing, order, links and digests. Then
/// `chain` stands at the journal's end. Hands each record to `visit`.
///
/// # Errors
/// `Damaged` names the record; the visitor's errors pass through.
pub fn replay(
    journal: &dyn Journal,
    chain: &mut Chain,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let known = journal.remembered()?;
    journal.read(chain.tail().lsn.next(), &mut |lsn, bytes| {
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
