//! Sealing: the parts that the shards hand out at a cut become one immutable window with one root.
//!
//! Owns the order of obligations and the leaf's bytes. Knows nothing of shards but their parts.

use super::net;
use super::window::{Obligation, SealedAsset, SealedWindow, WindowTotals};
use crate::types::{AssetNumber, Digest, Lsn, MerkleTree, PartyId, Timestamp, Total, WindowNumber};
use std::collections::BTreeMap;

/// What one shard hands out at a cut: its payers' obligations, in no order.
#[derive(Debug)]
pub struct SealedPart {
    window: WindowNumber,
    credited: u64,
    obligations: Vec<(AssetNumber, PartyId, PartyId, Total)>,
}

impl SealedPart {
    pub(super) fn new(
        window: WindowNumber,
        credited: u64,
        obligations: Vec<(AssetNumber, PartyId, PartyId, Total)>,
    ) -> Self {
        Self { window, credited, obligations }
    }

    /// The window that was cut.
    #[must_use]
    pub fn window(&self) -> WindowNumber {
        self.window
    }
}

/// A window that was cut and is to be sealed.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The window.
    pub number: WindowNumber,
    /// Its first record.
    pub first_lsn: Lsn,
    /// The record that closed it.
    pub cut_lsn: Lsn,
    /// When.
    pub cut_at: Timestamp,
    /// What earlier batches left for it.
    pub carried: Vec<(AssetNumber, Obligation)>,
}

/// Seals a window from the parts of all shards. The result does not depend on how many there were.
#[must_use]
pub fn seal(cut: Cut, parts: Vec<SealedPart>) -> SealedWindow {
    let mut assets: BTreeMap<AssetNumber, SealedAsset> = BTreeMap::new();
    let mut credited = 0;
    for part in parts {
        assert_eq!(part.window, cut.number, "a shard cut another window");
        credited += part.credited;
        for (asset, payer, payee, amount) in part.obligations {
            let sealed = assets.entry(asset).or_default();
            sealed.obligations.push(Obligation { payer, payee, amount });
        }
    }
    for (asset, carry) in cut.carried {
        assets.entry(asset).or_default().carried.push(carry);
    }
    for sealed in assets.values_mut() {
        sealed.obligations.sort_unstable_by_key(|o| (o.payer, o.payee));
        sealed.carried.sort_unstable();
        let owed = || sealed.obligations.iter().chain(&sealed.carried);
        let nets = net::net_pairs(owed());
        let positions = net::positions(nets.iter());
        sealed.totals = WindowTotals {
            pairs: count(sealed.obligations.len()),
            gross: net::gross(&sealed.obligations),
            net_pairs: count(nets.len()),
            net_bilateral: net::gross(&nets),
            positions: count(positions.len()),
            net_multilateral: net::value_moved(&positions),
        };
        sealed.net = nets;
        sealed.positions = positions;
    }
    let root = root(cut.number, &assets);
    SealedWindow {
        number: cut.number,
        first_lsn: cut.first_lsn,
        cut_lsn: cut.cut_lsn,
        cut_at: cut.cut_at,
        credited,
        assets,
        root,
    }
}

/// Merkle root over all obligations in (asset, payer, payee) order, each asset's carry after its
/// obligations. Leaf: window u64, asset u32, kind u8 (0 obligation, 1 carry), payer, payee,
/// amount u128; little endian.
fn root(window: WindowNumber, assets: &BTreeMap<AssetNumber, SealedAsset>) -> Digest {
    let mut tree = MerkleTree::default();
    for (asset, sealed) in assets {
        let kinds = [(0u8, &sealed.obligations), (1u8, &sealed.carried)];
        for (kind, obligations) in kinds {
            for o in obligations {
                let mut leaf = [0u8; 93];
                leaf[..8].copy_from_slice(&window.0.to_le_bytes());
                leaf[8..12].copy_from_slice(&asset.0.to_le_bytes());
                leaf[12] = kind;
                leaf[13..45].copy_from_slice(&o.payer.0);
                leaf[45..77].copy_from_slice(&o.payee.0);
                leaf[77..].copy_from_slice(&o.amount.0.to_le_bytes());
                tree.push(&leaf);
            }
        }
    }
    tree.root()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}
