//! A sealed window: what was owed in it, proved by one root. Immutable once made.

use crate::types::{AssetNumber, Digest, Lsn, Net, PartyId, Timestamp, Total, WindowNumber};
use std::collections::BTreeMap;

/// What one payer owes one payee in one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obligation {
    /// Who owes.
    pub payer: PartyId,
    /// Who is owed.
    pub payee: PartyId,
    /// How much, never zero.
    pub amount: Total,
}

/// What one party received minus what it sent, in one asset; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Whose position.
    pub party: PartyId,
    /// Received minus sent.
    pub net: Net,
}

/// One asset of a sealed window, before and after netting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealedAsset {
    /// Gross per pair, ordered by (payer, payee): what the payers signed in this window.
    pub obligations: Vec<Obligation>,
    /// What earlier batches could not pay and left for this window, ordered by (payer, payee).
    pub carried: Vec<Obligation>,
    /// Obligations and carry set off per pair: one direction, one amount; ordered by (payer, payee).
    pub net: Vec<Obligation>,
    /// Per party, ordered; they sum to zero.
    pub positions: Vec<Position>,
    /// The figures of the above.
    pub totals: WindowTotals,
}

/// Counts and values before and after netting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowTotals {
    /// Pairs with an obligation.
    pub pairs: u64,
    /// Sum of the obligations.
    pub gross: Total,
    /// Pairs with a net obligation.
    pub net_pairs: u64,
    /// Sum of the net obligations.
    pub net_bilateral: Total,
    /// Parties with a position.
    pub positions: u64,
    /// Half the sum of the positions' sizes: what must move at the least.
    pub net_multilateral: Total,
}

/// A closed window with everything that was owed in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedWindow {
    /// Its number.
    pub number: WindowNumber,
    /// The first record that belongs to it.
    pub first_lsn: Lsn,
    /// The record that closed it.
    pub cut_lsn: Lsn,
    /// When it was closed.
    pub cut_at: Timestamp,
    /// Vouchers credited in it.
    pub credited: u64,
    /// What was owed, per asset.
    pub assets: BTreeMap<AssetNumber, SealedAsset>,
    /// Merkle root over obligations and carry.
    pub root: Digest,
}
