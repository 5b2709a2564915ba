//! The rows in which the control state is kept: their keys, and what changes of them. Plain data;
//! what lies in a row is known to `control` alone.
//!
//! The bytes of a key are kept, so sections and fields are for ever within a format of the
//! directory.

use crate::types::{AssetNumber, BatchId, Lsn, PartyId, SignerKey, WindowNumber};

/// A part of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Section {
    /// Sums and counters: one row.
    Head = 1,
    /// All assets: one row.
    Assets = 2,
    /// Troubles that were taken away and are still known: one row.
    Acked = 3,
    /// Parties.
    Parties = 4,
    /// Signers.
    Signers = 5,
    /// What was deposited, and what batches pay of it.
    Money = 6,
    /// Windows.
    Windows = 7,
    /// What earlier batches left for windows that are not sealed.
    Carried = 8,
    /// Batches, without their legs.
    Batches = 9,
    /// What records that computed and aborted batches did.
    Deeds = 10,
    /// Open troubles.
    Troubles = 11,
    /// Requests that were answered.
    Requests = 12,
    /// Keys that operators have, or had.
    OperatorKeys = 13,
    /// Legs of batches, by pages. The one section that is not read whole.
    Legs = 14,
    /// Budgets of signers.
    Budgets = 15,
    /// Identities.
    Identities = 16,
    /// Whether four eyes are on, and whether there ever were two: one row.
    Eyes = 20,
    /// What was proposed and waits for another.
    Proposals = 21,
    /// That the ledger was restored from a copy, last: one row.
    Hold = 24,
    /// Where parties are told over HTTP what happened to them.
    Endpoints = 40,
}

impl Section {
    /// Every section.
    pub const ALL: [Self; 20] = [
        Self::Head,
        Self::Assets,
        Self::Acked,
        Self::Parties,
        Self::Signers,
        Self::Money,
        Self::Windows,
        Self::Carried,
        Self::Batches,
        Self::Deeds,
        Self::Troubles,
        Self::Requests,
        Self::OperatorKeys,
        Self::Legs,
        Self::Budgets,
        Self::Identities,
        Self::Eyes,
        Self::Proposals,
        Self::Hold,
        Self::Endpoints,
    ];
}

/// A row of the control state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum RowKey {
    Head,
    Assets,
    Acked,
    Party(PartyId),
    Signer(SignerKey),
    Money(PartyId, AssetNumber),
    Window(WindowNumber),
    /// And which piece of them.
    Carried(WindowNumber, u32),
    Batch(BatchId),
    Deed(Lsn),
    Trouble(u64),
    /// The span of days, and the record of the first in the row.
    Requests(i64, u64),
    OperatorKey(SignerKey),
    /// And the page.
    Legs(BatchId, u32),
    /// Of a signer.
    Budgets(SignerKey),
    /// The one that this record added.
    Identity(Lsn),
    Eyes,
    /// The one that this record made.
    Proposal(Lsn),
    Hold,
    /// The one that this record added.
    Endpoint(Lsn),
}

impl RowKey {
    /// Its bytes: the section, then the fields, big endian, so that rows lie in this type's order.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = vec![self.section() as u8];
        match self {
            Self::Head | Self::Assets | Self::Acked | Self::Eyes | Self::Hold => {}
            Self::Party(party) => bytes.extend_from_slice(&party.0),
            Self::OperatorKey(key) => bytes.extend_from_slice(&key.0),
            Self::Signer(signer) | Self::Budgets(signer) => bytes.extend_from_slice(&signer.0),
            Self::Money(party, asset) => {
                bytes.extend_from_slice(&party.0);
                bytes.extend_from_slice(&asset.0.to_be_bytes());
            }
            Self::Window(window) => bytes.extend_from_slice(&window.0.to_be_bytes()),
            Self::Carried(window, piece) => {
                bytes.extend_from_slice(&window.0.to_be_bytes());
                bytes.extend_from_slice(&piece.to_be_bytes());
            }
            Self::Batch(batch) => bytes.extend_from_slice(&batch.0),
            Self::Deed(lsn) | Self::Identity(lsn) | Self::Proposal(lsn) | Self::Endpoint(lsn) => {
                bytes.extend_from_slice(&lsn.0.to_be_bytes());
            }
            Self::Trouble(number) => bytes.extend_from_slice(&number.to_be_bytes()),
            Self::Requests(span, first) => {
                bytes.extend_from_slice(&ordered(span).to_be_bytes());
                bytes.extend_from_slice(&first.to_be_bytes());
            }
            Self::Legs(batch, page) => {
                bytes.extend_from_slice(&batch.0);
                bytes.extend_from_slice(&page.to_be_bytes());
            }
        }
        bytes
    }

    /// The row with these bytes; `None` when there is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (section, mut fields) = bytes.split_first()?;
        let section = Section::ALL.into_iter().find(|of| *of as u8 == *section)?;
        let of = &mut fields;
        let row = match section {
            Section::Head => Self::Head,
            Section::Assets => Self::Assets,
            Section::Acked => Self::Acked,
            Section::Parties => Self::Party(PartyId(take(of)?)),
            Section::Signers => Self::Signer(SignerKey(take(of)?)),
            Section::Money => {
                Self::Money(PartyId(take(of)?), AssetNumber(u32::from_be_bytes(take(of)?)))
            }
            Section::Windows => Self::Window(WindowNumber(u64::from_be_bytes(take(of)?))),
            Section::Carried => {
                let window = WindowNumber(u64::from_be_bytes(take(of)?));
                Self::Carried(window, u32::from_be_bytes(take(of)?))
            }
            Section::Batches => Self::Batch(BatchId(take(of)?)),
            Section::Deeds => Self::Deed(Lsn(u64::from_be_bytes(take(of)?))),
            Section::Troubles => Self::Trouble(u64::from_be_bytes(take(of)?)),
            Section::Requests => {
                let span = unordered(u64::from_be_bytes(take(of)?));
                Self::Requests(span, u64::from_be_bytes(take(of)?))
            }
            Section::OperatorKeys => Self::OperatorKey(SignerKey(take(of)?)),
            Section::Legs => Self::Legs(BatchId(take(of)?), u32::from_be_bytes(take(of)?)),
            Section::Budgets => Self::Budgets(SignerKey(take(of)?)),
            Section::Identities => Self::Identity(Lsn(u64::from_be_bytes(take(of)?))),
            Section::Eyes => Self::Eyes,
            Section::Proposals => Self::Proposal(Lsn(u64::from_be_bytes(take(of)?))),
            Section::Hold => Self::Hold,
            Section::Endpoints => Self::Endpoint(Lsn(u64::from_be_bytes(take(of)?))),
        };
        fields.is_empty().then_some(row)
    }

    /// The first key of the legs of a batch, and the first behind them all.
    #[must_use]
    pub fn of_legs(batch: BatchId) -> (Vec<u8>, Vec<u8>) {
        (Self::Legs(batch, 0).encode(), Self::Legs(batch, u32::MAX).encode())
    }

    /// Where it lies.
    #[must_use]
    pub fn section(self) -> Section {
        match self {
            Self::Head => Section::Head,
            Self::Assets => Section::Assets,
            Self::Acked => Section::Acked,
            Self::Party(_) => Section::Parties,
            Self::Signer(_) => Section::Signers,
            Self::Money(..) => Section::Money,
            Self::Window(_) => Section::Windows,
            Self::Carried(..) => Section::Carried,
            Self::Batch(_) => Section::Batches,
            Self::Deed(_) => Section::Deeds,
            Self::Trouble(_) => Section::Troubles,
            Self::Requests(..) => Section::Requests,
            Self::OperatorKey(_) => Section::OperatorKeys,
            Self::Legs(..) => Section::Legs,
            Self::Budgets(_) => Section::Budgets,
            Self::Identity(_) => Section::Identities,
            Self::Eyes => Section::Eyes,
            Self::Proposal(_) => Section::Proposals,
            Self::Hold => Section::Hold,
            Self::Endpoint(_) => Section::Endpoints,
        }
    }
}

/// The first bytes of `from`, which goes on behind them.
fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*field)
}

/// A number such that bytes are ordered as the signed ones are.
fn ordered(signed: i64) -> u64 {
    signed.cast_unsigned() ^ (1 << 63)
}

fn unordered(number: u64) -> i64 {
    (number ^ (1 << 63)).cast_signed()
}

/// A change of the rows that are kept. Those of one checkpoint name no row twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// This row is so now.
    Put {
        /// Its key.
        key: Vec<u8>,
        /// What it holds.
        value: Vec<u8>,
    },
    /// The rows with keys from the first up to and without the second are gone.
    Remove {
        /// The first key.
        from: Vec<u8>,
        /// The first key that stays.
        to: Vec<u8>,
    },
}

impl RowChange {
    /// How large it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Remove { from, to } => from.len() + to.len(),
        }
    }
}
