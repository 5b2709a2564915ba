//! Making a proof: one pass over an asset's rows and positions finds the leaves and their paths;
//! then the evidence is put in.

use super::document::{
    AssetRoots, Hex, HexPiece, PROOF_FORMAT, PROOF_FORMAT_3, PairProof, PositionProof, Proof,
    RowKind, SignerParty, WindowProof, write_path,
};
use crate::ledger::seal::{obligation_leaf, position_leaf};
use crate::ledger::{EvidenceDigest, Obligation, Position};
use crate::types::{
    AssetNumber, Digest, MerklePath, NetworkId, PartyId, PathTree, SignerKey, WindowNumber,
};
use std::ops::Range;

/// What is to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What one payer owes one payee.
    Pair {
        /// Who owes.
        payer: PartyId,
        /// Who is owed.
        payee: PartyId,
    },
    /// One party's position.
    Position {
        /// Whose.
        party: PartyId,
        /// With everything that makes it up.
        pairs: bool,
    },
}

impl Wanted {
    fn row(&self, owed: &Obligation) -> bool {
        match *self {
            Self::Pair { payer, payee } => owed.payer == payer && owed.payee == payee,
            Self::Position { party, pairs } => {
                pairs && (owed.payer == party || owed.payee == party)
            }
        }
    }

    fn position(&self, position: &Position) -> bool {
        match *self {
            Self::Pair { .. } => false,
            Self::Position { party, .. } => position.party == party,
        }
    }
}

/// Goes over one asset of a window: obligations, then carries, and positions, each in their order.
pub struct ProofMaker {
    window: WindowNumber,
    asset: AssetNumber,
    wanted: Wanted,
    tree: PathTree,
    rows: Vec<(RowKind, Obligation, Range<u64>)>,
    pieces: u64,
    positions: PathTree,
    position: Option<Position>,
}

/// What was found, with room for the evidence.
#[derive(Debug)]
pub struct PartialProof {
    asset: AssetNumber,
    position: Option<PositionProof>,
    pairs: Vec<PairProof>,
    /// Which pieces of the asset's evidence belong to each pair.
    pieces: Vec<Range<u64>>,
    /// Roots of what was gone over.
    pub roots: (Digest, Digest),
}

impl ProofMaker {
    /// For `wanted` in an asset of a window.
    #[must_use]
    pub fn new(window: WindowNumber, asset: AssetNumber, wanted: Wanted) -> Self {
        let (tree, positions) = (PathTree::default(), PathTree::default());
        let (rows, pieces, position) = (Vec::new(), 0, None);
        Self { window, asset, wanted, tree, rows, pieces, positions, position }
    }

    /// The next obligation.
    pub fn obligation(&mut self, owed: &Obligation, evidence: &EvidenceDigest) {
        let wanted = self.wanted.row(owed);
        let leaf = obligation_leaf(self.window, self.asset, 0, owed, evidence.digest);
        self.tree.push(&leaf, wanted);
        let first = self.pieces;
        self.pieces += u64::from(evidence.count);
        if wanted {
            self.rows.push((RowKind::Obligation, *owed, first..self.pieces));
        }
    }

    /// The next carry.
    pub fn carried(&mut self, carried: &Obligation) {
        let wanted = self.wanted.row(carried);
        let leaf = obligation_leaf(self.window, self.asset, 1, carried, Digest::ZERO);
        self.tree.push(&leaf, wanted);
        if wanted {
            self.rows.push((RowKind::Carried, *carried, 0..0));
        }
    }

    /// The next position.
    pub fn position(&mut self, position: &Position) {
        let wanted = self.wanted.position(position);
        self.positions.push(&position_leaf(self.window, self.asset, position), wanted);
        if wanted {
            self.position = Some(*position);
        }
    }

    /// What was found. `None` when the pair owes nothing, or the position is zero: there is no
    /// leaf.
    #[must_use]
    pub fn finish(self) -> Option<PartialProof> {
        let (obligations_root, paths) = self.tree.finish();
        let (positions_root, position_paths) = self.positions.finish();
        let found = match self.wanted {
            Wanted::Pair { .. } => !self.rows.is_empty(),
            Wanted::Position { .. } => self.position.is_some(),
        };
        if !found {
            return None;
        }
        let pieces = self.rows.iter().map(|(_, _, pieces)| pieces.clone()).collect();
        let pair = |((kind, owed, _), path): (&(RowKind, Obligation, Range<u64>), &MerklePath)| {
            PairProof {
                kind: *kind,
                payer: Hex(owed.payer.0),
                payee: Hex(owed.payee.0),
                amount: owed.amount.to_string(),
                path: write_path(path),
                evidence: Vec::new(),
            }
        };
        let position = |(position, path): (&Position, &MerklePath)| PositionProof {
            party_id: Hex(position.party.0),
            net: position.net.to_string(),
            path: write_path(path),
        };
        Some(PartialProof {
            asset: self.asset,
            position: self.position.iter().zip(&position_paths).map(position).next(),
            pairs: self.rows.iter().zip(&paths).map(pair).collect(),
            pieces,
            roots: (obligations_root, positions_root),
        })
    }
}

impl PartialProof {
    /// Which pieces of the asset's evidence are wanted, in the order of the pairs; numbers from 0.
    #[must_use]
    pub fn pieces(&self) -> &[Range<u64>] {
        &self.pieces
    }

    /// Puts in the evidence of the pair number `pair`.
    pub fn put(&mut self, pair: usize, evidence: impl Iterator<Item = Vec<u8>>) {
        self.pairs[pair].evidence = evidence.map(HexPiece).collect();
    }

    /// The proof, of a window that the engine signed.
    #[must_use]
    pub fn proof(
        self,
        network: NetworkId,
        engine_key: SignerKey,
        window: WindowProof,
        assets: Vec<AssetRoots>,
    ) -> Proof {
        let mut signers: Vec<SignerParty> = Vec::new();
        for pair in &self.pairs {
            let signer = |piece: &HexPiece| {
                Hex(*piece.0[16..].first_chunk().expect("a voucher begins with its signer"))
            };
            let party = |piece| SignerParty { signer: signer(piece), party_id: pair.payer };
            signers.extend(pair.evidence.iter().map(party));
        }
        let mut pieces = self.pairs.iter().flat_map(|pair| &pair.evidence);
        let format = if pieces.any(HexPiece::is_entry) { PROOF_FORMAT_3 } else { PROOF_FORMAT };
        signers.sort_unstable_by_key(|entry| entry.signer.0);
        signers.dedup();
        Proof {
            format: format.into(),
            network_id: Hex(network.0),
            engine_key: Hex(engine_key.0),
            window,
            assets,
            asset: self.asset.0,
            position: self.position,
            pairs: self.pairs,
            signers,
        }
    }
}
