//! Sealing: the parts that the shards hand out at a cut become one immutable window with one root.
//!
//! Owns the order of obligations and the leaves' bytes. Knows nothing of shards but their parts.

use super::evidence::{self, EVIDENCE_BYTES, Evidence};
use super::hands::{Hands, OneHand};
use super::net;
use super::window::{
    AssetSeal, EvidenceDigest, Obligation, Position, SealedAsset, SealedWindow, WindowTotals,
};
use crate::types::{
    AssetNumber, Digest, EvidenceHasher, Lsn, MerkleTree, SUBTREE_LEAVES, Timestamp, Total,
    WindowNumber, window_root,
};
use std::collections::BTreeMap;

/// What one shard hands out at a cut: the evidence of its payers' obligations, in no order.
#[derive(Debug)]
pub struct SealedPart {
    window: WindowNumber,
    credited: u64,
    evidence: Vec<Evidence>,
}

impl SealedPart {
    /// The part of one shard.
    #[must_use]
    pub fn new(window: WindowNumber, credited: u64, evidence: Vec<Evidence>) -> Self {
        Self { window, credited, evidence }
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

/// A window with everything that proves it.
#[derive(Debug)]
pub struct Sealed {
    /// The window.
    pub window: SealedWindow,
    /// The evidence of its obligations, in their order.
    pub evidence: Vec<Evidence>,
}

/// Seals a window from the parts of all shards. The result does not depend on how many there were.
#[must_use]
pub fn seal(cut: Cut, parts: Vec<SealedPart>) -> Sealed {
    let gathered = Gathered::new(cut, parts);
    let window = gathered.close(&OneHand);
    Sealed { window, evidence: gathered.evidence }
}

/// Evidence that a job hashes, if it is not all of one pair.
const JOB_PIECES: usize = 4_096;

/// The evidence of a window, in order, before the window is closed over it.
#[derive(Debug)]
pub struct Gathered {
    cut: Cut,
    credited: u64,
    evidence: Vec<Evidence>,
}

impl Gathered {
    /// Puts the parts of all shards together, and into order.
    #[must_use]
    pub fn new(cut: Cut, parts: Vec<SealedPart>) -> Self {
        let (mut credited, mut evidence) = (0, Vec::new());
        for part in parts {
            assert_eq!(part.window, cut.number, "a shard cut another window");
            credited += part.credited;
            if evidence.is_empty() {
                evidence = part.evidence;
            } else {
                evidence.extend(part.evidence);
            }
        }
        evidence::sort(&mut evidence);
        Self { cut, credited, evidence }
    }

    /// The window's number.
    #[must_use]
    pub fn number(&self) -> WindowNumber {
        self.cut.number
    }

    /// All evidence: by asset, payer, payee, channel.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// Sums the evidence to obligations, nets them, and takes the roots.
    #[must_use]
    pub fn close(&self, hands: &impl Hands) -> SealedWindow {
        let mut owed: BTreeMap<AssetNumber, Owed> = BTreeMap::new();
        let hasher = EvidenceHasher::default();
        let jobs = jobs(&self.evidence);
        let summed = hands.map(jobs, |pieces| sum(&hasher, pieces));
        for (asset, obligations, evidence) in summed {
            let owed = owed.entry(asset).or_default();
            owed.obligations.extend(obligations);
            owed.evidence.extend(evidence);
        }
        for (asset, carry) in &self.cut.carried {
            owed.entry(*asset).or_default().carried.push(*carry);
        }
        let Cut { number, first_lsn, cut_lsn, cut_at, .. } = self.cut;
        let head = Head { number, first_lsn, cut_lsn, cut_at, credited: self.credited };
        close_by(head, owed, hands)
    }
}

/// Evidence in parts that can be summed each by itself: of one asset, and of whole pairs.
fn jobs(mut evidence: &[Evidence]) -> Vec<&[Evidence]> {
    let mut jobs = Vec::new();
    while let Some(first) = evidence.first() {
        let asset = first.pair().0;
        let mut end = evidence.len().min(JOB_PIECES);
        let ends_pair = |end: usize| evidence[end - 1].pair() != evidence[end].pair();
        while end < evidence.len() && !ends_pair(end) {
            end += 1;
        }
        let of_asset = evidence[..end].partition_point(|piece| piece.pair().0 == asset);
        let (job, rest) = evidence.split_at(of_asset);
        jobs.push(job);
        evidence = rest;
    }
    jobs
}

/// Obligations of evidence in order, which is of one asset.
fn sum(
    hasher: &EvidenceHasher,
    evidence: &[Evidence],
) -> (AssetNumber, Vec<Obligation>, Vec<EvidenceDigest>) {
    let (mut obligations, mut digests, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
    // Most pairs have one piece, and most pieces are vouchers: these are hashed side by side.
    let (mut alone, mut places) = (Vec::with_capacity(HASHED_AT_ONCE), Vec::new());
    for pair in evidence.chunk_by(|a, b| a.pair() == b.pair()) {
        let (_, payer, payee) = pair[0].pair();
        let rises = pair.iter().map(|piece| piece.owed().expect("what was credited is a rise"));
        let amount = rises.fold(Total::ZERO, Total::plus);
        obligations.push(Obligation { payer, payee, amount });
        pieces.clear();
        pair.iter().for_each(|piece| piece.encode(&mut pieces));
        let count = u32::try_from(pair.len()).expect("channels are limited by memory");
        let digest = match <[u8; EVIDENCE_BYTES]>::try_from(&pieces[..]) {
            Ok(piece) => {
                alone.push(piece);
                places.push(digests.len());
                Digest::ZERO
            }
            Err(_) => hasher.digest(std::iter::once(&pieces)),
        };
        digests.push(EvidenceDigest { count, digest });
        if alone.len() == HASHED_AT_ONCE {
            put_digests(hasher, &mut alone, &mut places, &mut digests);
        }
    }
    put_digests(hasher, &mut alone, &mut places, &mut digests);
    (AssetNumber(evidence[0].pair().0), obligations, digests)
}

/// Pieces that are written down before they are hashed: they stay in the first cache.
const HASHED_AT_ONCE: usize = 64;

/// Hashes pieces, and puts their digests where they belong.
fn put_digests(
    hasher: &EvidenceHasher,
    alone: &mut Vec<[u8; EVIDENCE_BYTES]>,
    places: &mut Vec<usize>,
    digests: &mut [EvidenceDigest],
) {
    for (place, digest) in places.drain(..).zip(hasher.digests(alone)) {
        digests[place].digest = digest;
    }
    alone.clear();
}

/// What is owed in one asset, before it is netted.
#[derive(Debug, Default)]
pub struct Owed {
    /// Gross per pair, ordered by (payer, payee).
    pub obligations: Vec<Obligation>,
    /// What proves each.
    pub evidence: Vec<EvidenceDigest>,
    /// What earlier batches left for this window, in any order.
    pub carried: Vec<Obligation>,
}

/// What is known of a window besides what is owed in it.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Its number.
    pub number: WindowNumber,
    /// Its first record.
    pub first_lsn: Lsn,
    /// The record that closed it.
    pub cut_lsn: Lsn,
    /// When.
    pub cut_at: Timestamp,
    /// Vouchers credited in it.
    pub credited: u64,
}

/// Nets what is owed and takes the roots: the same window again from the same obligations.
#[must_use]
pub fn close(head: Head, owed: BTreeMap<AssetNumber, Owed>) -> SealedWindow {
    close_by(head, owed, &OneHand)
}

fn close_by(head: Head, owed: BTreeMap<AssetNumber, Owed>, hands: &impl Hands) -> SealedWindow {
    let assets: BTreeMap<AssetNumber, SealedAsset> = owed
        .into_iter()
        .map(|(asset, owed)| (asset, close_asset(head.number, asset, owed, hands)))
        .collect();
    let roots = assets.values().map(|sealed| {
        (sealed.seal.asset, sealed.seal.obligations_root, sealed.seal.positions_root)
    });
    let root = window_root(head.number, &roots.collect::<Vec<_>>());
    let Head { number, first_lsn, cut_lsn, cut_at, credited } = head;
    SealedWindow { number, first_lsn, cut_lsn, cut_at, credited, assets, root }
}

fn close_asset(
    window: WindowNumber,
    asset: AssetNumber,
    owed: Owed,
    hands: &impl Hands,
) -> SealedAsset {
    let Owed { obligations, evidence, mut carried } = owed;
    carried.sort_unstable();
    assert_eq!(obligations.len(), evidence.len(), "every obligation has its evidence");
    let ((nets, positions), mut tree) = hands.both(
        || net::net(obligations.iter().chain(&carried)),
        || obligations_tree(window, asset, &obligations, &evidence, hands),
    );
    for carry in &carried {
        tree.push(&obligation_leaf(window, asset, 1, carry, Digest::ZERO));
    }
    let mut positions_tree = MerkleTree::default();
    positions.iter().for_each(|p| positions_tree.push(&position_leaf(window, asset, p)));
    let seal = AssetSeal {
        asset,
        obligations_root: tree.root(),
        positions_root: positions_tree.root(),
        carried_in: net::gross(&carried),
        totals: WindowTotals {
            pairs: count(obligations.len()),
            gross: net::gross(&obligations),
            net_pairs: count(nets.len()),
            net_bilateral: net::gross(&nets),
            positions: count(positions.len()),
            net_multilateral: net::value_moved(&positions),
        },
    };
    SealedAsset { obligations, evidence, carried, net: nets, positions, seal }
}

/// The tree over obligations, each with its evidence; carry comes behind them.
fn obligations_tree(
    window: WindowNumber,
    asset: AssetNumber,
    obligations: &[Obligation],
    evidence: &[EvidenceDigest],
    hands: &impl Hands,
) -> MerkleTree {
    let jobs = obligations.chunks(SUBTREE_LEAVES).zip(evidence.chunks(SUBTREE_LEAVES));
    let parts = hands.map(jobs.collect(), |(obligations, evidence): (&[_], &[EvidenceDigest])| {
        MerkleTree::over(
            obligations
                .iter()
                .zip(evidence)
                .map(|(o, evidence)| obligation_leaf(window, asset, 0, o, evidence.digest)),
        )
    });
    let mut tree = MerkleTree::default();
    parts.into_iter().for_each(|part| tree.append(part));
    tree
}

/// Leaf of an obligation: window u64, asset u32, kind u8 (0 obligation, 1 carry), payer, payee,
/// amount u128, digest of the evidence (zero for a carry); little endian.
#[must_use]
pub fn obligation_leaf(
    window: WindowNumber,
    asset: AssetNumber,
    kind: u8,
    o: &Obligation,
    evidence: Digest,
) -> [u8; 125] {
    let mut leaf = [0u8; 125];
    leaf[..8].copy_from_slice(&window.0.to_le_bytes());
    leaf[8..12].copy_from_slice(&asset.0.to_le_bytes());
    leaf[12] = kind;
    leaf[13..45].copy_from_slice(&o.payer.0);
    leaf[45..77].copy_from_slice(&o.payee.0);
    leaf[77..93].copy_from_slice(&o.amount.0.to_le_bytes());
    leaf[93..].copy_from_slice(&evidence.0);
    leaf
}

/// Leaf of a position: window u64, asset u32, kind u8 (2), party, net i128; little endian.
#[must_use]
pub fn position_leaf(window: WindowNumber, asset: AssetNumber, p: &Position) -> [u8; 61] {
    let mut leaf = [0u8; 61];
    leaf[..8].copy_from_slice(&window.0.to_le_bytes());
    leaf[8..12].copy_from_slice(&asset.0.to_le_bytes());
    leaf[12] = 2;
    leaf[13..45].copy_from_slice(&p.party.0);
    leaf[45..].copy_from_slice(&p.net.0.to_le_bytes());
    leaf
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests;
