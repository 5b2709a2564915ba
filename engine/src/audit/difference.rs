//! What an audit found to be other than it must be, and where.

use crate::journal::JournalError;
use crate::past::NotRead;
use crate::proof::ReadError;
use crate::types::{AssetNumber, BatchId, ChannelId, Lsn, PartyId, WindowNumber};
use serde::Serialize;
use std::fmt;

/// Where a difference is, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// In which window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// In which asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<u32>,
    /// Of which payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Towards which payee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payee: Option<String>,
    /// In which channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// At which record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// In which batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
}

/// One difference: where, of what, what was expected and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where it is.
    #[serde(flatten)]
    pub place: Box<Place>,
    /// Of what.
    pub what: String,
    /// What must be.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl Difference {
    /// A difference of which nothing is known but what it is.
    #[must_use]
    pub fn new(what: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self { what: what.into(), expected, found, ..Self::default() }
    }

    /// In this window.
    #[must_use]
    pub fn window(mut self, window: WindowNumber) -> Self {
        self.place.window = Some(window.0);
        self
    }

    /// In this asset.
    #[must_use]
    pub fn asset(mut self, asset: AssetNumber) -> Self {
        self.place.asset = Some(asset.0);
        self
    }

    /// Of this pair.
    #[must_use]
    pub fn pair(mut self, payer: PartyId, payee: PartyId) -> Self {
        self.place.payer = Some(payer.to_string());
        self.place.payee = Some(payee.to_string());
        self
    }

    /// In this channel.
    #[must_use]
    pub fn channel(mut self, channel: ChannelId) -> Self {
        self.place.channel_id = Some(channel.to_string());
        self
    }

    /// At this record.
    #[must_use]
    pub fn lsn(mut self, lsn: Lsn) -> Self {
        self.place.lsn = Some(lsn.0);
        self
    }

    /// In this batch.
    #[must_use]
    pub fn batch(mut self, batch: BatchId) -> Self {
        self.place.batch_id = Some(batch.to_string());
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &*self.place;
        let mut places = Vec::new();
        places.extend(place.window.map(|n| format!("window {n}")));
        places.extend(place.asset.map(|n| format!("asset {n}")));
        if let (Some(payer), Some(payee)) = (&place.payer, &place.payee) {
            places.push(format!("pair {payer} -> {payee}"));
        }
        places.extend(place.channel_id.as_ref().map(|id| format!("channel {id}")));
        places.extend(place.lsn.map(|n| format!("record {n}")));
        places.extend(place.batch_id.as_ref().map(|id| format!("batch {id}")));
        if !places.is_empty() {
            write!(f, "{}: ", places.join(", "))?;
        }
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// Why an audit ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Something is not as it must be.
    #[error("{0}")]
    Difference(Box<Difference>),
    /// A source cannot be read: which, and what to do.
    #[error("{0}")]
    Unreadable(String),
}

impl From<Difference> for AuditError {
    fn from(difference: Difference) -> Self {
        Self::Difference(Box::new(difference))
    }
}

impl From<NotRead> for AuditError {
    fn from(error: NotRead) -> Self {
        match error {
            NotRead::Storage(error) => error.into(),
            NotRead::Away(why) => Self::Unreadable(why),
        }
    }
}

impl From<ReadError> for AuditError {
    fn from(error: ReadError) -> Self {
        match error {
            other @ (ReadError::File { .. } | ReadError::Other { .. }) => {
                Self::Unreadable(other.to_string())
            }
            ReadError::Damaged { path, at, why } => {
                let what = format!("{} at byte {at}", path.display());
                Difference::new(&what, "an undamaged evidence export", why).into()
            }
        }
    }
}

impl From<JournalError> for AuditError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Damaged { lsn, why } => {
                Difference::new("the chain of records", "a record that follows", why)
                    .lsn(lsn)
                    .into()
            }
            other @ (JournalError::Stream(_)
            | JournalError::Fenced(_)
            | JournalError::Differs { .. }
            | JournalError::Locked { .. }
            | JournalError::NotAJournal { .. }
            | JournalError::NoJournal { .. }
            | JournalError::NotAFolder { .. }
            | JournalError::CurrentLost { .. }
            | JournalError::OtherNetwork { .. }
            | JournalError::OtherFormat { .. }
            | JournalError::Storage(_)) => Self::Unreadable(other.to_string()),
        }
    }
}
