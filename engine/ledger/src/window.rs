//! A sealed window: what was owed in it, proved by one root. Immutable once made.

use crate::types::{AssetNumber, Digest, Lsn, Net, PartyId, Timestamp, Total, WindowNumber};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one payer owes one payee in one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAsset {
    /// Gross per pair, ordered by (payer, payee): what the payers signed in this window.
    pub obligations: Vec<Obligation>,
    /// Digest of each obligation's evidence.
    pub evidence: Vec<EvidenceDigest>,
    /// What earlier batches could not pay and left for this window, ordered by (payer, payee).
    pub carried: Vec<Obligation>,
    /// Obligations and carry set off per pair: one direction, one amount; ordered by (payer,
    /// payee).
    pub net: Vec<Obligation>,
    /// Per party, ordered; they sum to zero.
    pub positions: Vec<Position>,
    /// What is sealed and journaled of the above.
    pub seal: AssetSeal,
}

/// What proves one obligation: how many vouchers, and the digest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceDigest {
    /// Channels that were credited.
    pub count: u32,
    /// Digest of their evidence, in order.
    pub digest: Digest,
}

/// What the seal of a window says of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AssetSeal {
    /// Which asset.
    pub asset: AssetNumber,
    /// Merkle root over obligations, each with its evidence, and carry.
    pub obligations_root: Digest,
    /// Merkle root over positions.
    pub positions_root: Digest,
    /// What was carried in: the sum of the carry.
    pub carried_in: Total,
    /// Counts and values.
    pub totals: WindowTotals,
}

/// Counts and values before and after netting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
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
    /// Digest over the roots of all assets.
    pub root: Digest,
}

impl SealedWindow {
    /// What is sealed and journaled of each asset, by asset.
    pub fn seals(&self) -> impl Iterator<Item = &AssetSeal> {
        self.assets.values().map(|sealed| &sealed.seal)
    }
}
