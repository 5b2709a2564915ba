//! Checking a proof or a receipt with nothing else at hand: every voucher's signature, sums,
//! leaves, paths, roots, and the engine's signature over it all.

use super::document::{
    Document, Hex, HexPiece, PROOF_FORMAT_3, PairProof, PositionProof, Proof, RECEIPT_FORMAT,
    RECEIPT_FORMAT_1, RECEIPT_FORMAT_3, Receipt, RowKind, read_path,
};
use crate::ledger::evidence::Evidence;
use crate::ledger::seal::{obligation_leaf, position_leaf};
use crate::ledger::{Obligation, Position};
use crate::types::{
    AssetNumber, Branch, BundleHasher, ChannelHasher, Digest, EvidenceHasher, History, Lsn, Net,
    NetworkId, Packed, PartyId, SignerKey, Timestamp, Total, WindowNumber, receipt_leaf,
    receipt_statement, receipts_statement, window_root, window_statement,
};
use crate::verify::is_signed;
use std::collections::BTreeSet;

/// What whoever checks knows already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust {
    /// The deployment that the document must be of.
    pub network: Option<NetworkId>,
    /// The key with which the engine must have signed.
    pub engine_key: Option<SignerKey>,
}

/// What a document that holds together says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The document.
    pub document: Document,
    /// Signatures of vouchers that were checked.
    pub signatures: usize,
}

/// Checks a document.
///
/// # Errors
/// A text that names the first thing that does not hold.
pub fn check_document(text: &str, trust: &Trust) -> Result<Checked, String> {
    let document = Document::parse(text)?;
    let signatures = match &document {
        Document::Proof(proof) => check_proof(proof, trust)?,
        Document::Receipt(receipt) => check_receipt(receipt, trust)?,
    };
    Ok(Checked { document, signatures })
}

fn check_trust(network: NetworkId, key: SignerKey, trust: &Trust) -> Result<(), String> {
    if let Some(wanted) = trust.network.filter(|wanted| *wanted != network) {
        return Err(format!("it is of network {network}, not of {wanted}"));
    }
    match trust.engine_key.filter(|wanted| *wanted != key) {
        Some(wanted) => Err(format!("it is signed with the engine key {key}, not with {wanted}")),
        None => Ok(()),
    }
}

fn check_receipt(receipt: &Receipt, trust: &Trust) -> Result<usize, String> {
    let (network, key) = (NetworkId(receipt.network_id.0), SignerKey(receipt.engine_key.0));
    check_trust(network, key, trust)?;
    let voucher = Packed(&receipt.voucher.0);
    let branch = receipt.bundle_path.as_ref().map(|path| {
        let digests: Vec<[u8; 32]> = path.iter().map(|digest| digest.0).collect();
        let branch = voucher.seat().and_then(|seat| Branch::new(seat, &digests));
        branch.ok_or("the voucher is no entry of a bundle with such a path")
    });
    let branch = branch.transpose()?;
    check_voucher(network, voucher, branch.as_ref())?;
    let (lsn, at) = (Lsn(receipt.lsn), Timestamp(receipt.at_us));
    let statement = match (receipt.format.as_str(), &receipt.path, branch) {
        (RECEIPT_FORMAT, Some(path), None) | (RECEIPT_FORMAT_3, Some(path), Some(_)) => {
            let leaf = receipt_leaf(&receipt.voucher.0, lsn, at);
            receipts_statement(network, read_path(path).root(&leaf))
        }
        (RECEIPT_FORMAT_1, None, None) => receipt_statement(network, &receipt.voucher.0, lsn, at),
        (RECEIPT_FORMAT_3, _, None) => {
            return Err(format!(
                "a {RECEIPT_FORMAT_3} is of an entry of a bundle, and has its path"
            ));
        }
        (RECEIPT_FORMAT | RECEIPT_FORMAT_3, None, _) => {
            return Err(format!("a {} has a path, which may be empty", receipt.format));
        }
        (other, _, Some(_)) => return Err(format!("a {other} is of no entry of a bundle")),
        (other, Some(_), None) => return Err(format!("a {other} has no path")),
        (other, None, None) => return Err(format!("a {other} is none that is known")),
    };
    if is_signed(key, statement.bytes(), &receipt.signature.0) {
        return Ok(1);
    }
    Err(format!("the engine key {key} did not sign this receipt"))
}

/// The rules of a voucher, or of an entry with its branch, that its own bytes can break.
fn check_voucher(
    network: NetworkId,
    voucher: Packed<'_>,
    branch: Option<&Branch>,
) -> Result<(), String> {
    let channel = ChannelHasher::new(network).channel(voucher);
    let Some(signed) = BundleHasher::new(network).signed(voucher, channel, branch) else {
        return Err(format!(
            "the voucher of channel {channel} has reserved bytes that are not zero"
        ));
    };
    if is_signed(voucher.signer(), signed.bytes(), voucher.signature()) {
        return Ok(());
    }
    Err(format!("the voucher of channel {channel} is not signed by {}", voucher.signer()))
}

fn check_proof(proof: &Proof, trust: &Trust) -> Result<usize, String> {
    let (network, key) = (NetworkId(proof.network_id.0), SignerKey(proof.engine_key.0));
    check_trust(network, key, trust)?;
    let roots = check_window(proof, network, key)?;
    if !proof.signers.is_sorted_by(|a, b| a.signer.0 < b.signer.0) {
        return Err("the signers are not in order, each once".into());
    }
    let mut pieces = proof.pairs.iter().flat_map(|pair| &pair.evidence);
    // One that holds an entry of a bundle has a format of its own, which says so.
    if (proof.format == PROOF_FORMAT_3) != pieces.any(HexPiece::is_entry) {
        return Err(format!("a {PROOF_FORMAT_3} is one with entries of bundles, and no other is"));
    }
    let what = Row { proof, network, obligations_root: roots.0 };
    let (mut signatures, mut used) = (0, BTreeSet::new());
    for pair in &proof.pairs {
        what.check(pair, &mut used)?;
        signatures += pair.evidence.len();
    }
    let places: Vec<_> = proof.pairs.iter().map(|pair| read_path(&pair.path).place()).collect();
    if !places.is_sorted_by(|a, b| a < b) {
        return Err("the pairs are not in the order of their leaves, each once".into());
    }
    if used.len() != proof.signers.len() {
        return Err("signers are named that signed nothing here".into());
    }
    match &proof.position {
        Some(position) => check_position(proof, position, roots.1)?,
        None => check_one_pair(&proof.pairs)?,
    }
    Ok(signatures)
}

/// The roots of the proof's asset, once they are known to be what the engine signed.
fn check_window(
    proof: &Proof,
    network: NetworkId,
    key: SignerKey,
) -> Result<(Digest, Digest), String> {
    let digest = |hex: Hex<32>| Digest(hex.0);
    if !proof.assets.is_sorted_by(|a, b| a.asset < b.asset) {
        return Err("the assets do not ascend".into());
    }
    let roots = proof.assets.iter();
    let roots =
        roots.map(|r| (AssetNumber(r.asset), digest(r.obligations_root), digest(r.positions_root)));
    let roots: Vec<_> = roots.collect();
    let window = &proof.window;
    let (number, root) = (WindowNumber(window.number), Digest(window.root.0));
    let found = window_root(number, &roots);
    if found != root {
        return Err(format!("the assets give the window root {found}, not {root}"));
    }
    let cut = History { lsn: Lsn(window.cut_lsn), digest: Digest(window.cut_digest.0) };
    let cut_at = Timestamp(window.cut_at_us);
    let statement = window_statement(network, number, root, cut, cut_at, window.credited);
    if !is_signed(key, statement.bytes(), &window.signature.0) {
        return Err(format!("the engine key {key} did not sign this window"));
    }
    let own = roots.iter().find(|(asset, _, _)| asset.0 == proof.asset);
    let (_, obligations, positions) =
        own.ok_or_else(|| format!("asset {} is not among the window's", proof.asset))?;
    Ok((*obligations, *positions))
}

/// Checks the rows of one proof.
struct Row<'a> {
    proof: &'a Proof,
    network: NetworkId,
    obligations_root: Digest,
}

impl Row<'_> {
    fn check(&self, pair: &PairProof, used: &mut BTreeSet<[u8; 32]>) -> Result<(), String> {
        let (payer, payee) = (PartyId(pair.payer.0), PartyId(pair.payee.0));
        let name = format!("the pair {payer} -> {payee}");
        let amount = decimal(&pair.amount).map(Total);
        let amount = amount.ok_or_else(|| format!("{name} owes {:?}, no sum", pair.amount))?;
        let (kind, digest) = match pair.kind {
            RowKind::Carried if pair.evidence.is_empty() => (1, Digest::ZERO),
            RowKind::Carried => return Err(format!("{name} has evidence for a carry")),
            RowKind::Obligation => {
                let sum = self.check_evidence(payer, payee, &pair.evidence, used)?;
                if sum != amount {
                    return Err(format!("{name} owes {amount}, but its vouchers give {sum}"));
                }
                (0, EvidenceHasher::default().digest(pair.evidence.iter().map(|piece| &piece.0)))
            }
        };
        let owed = Obligation { payer, payee, amount };
        let (window, asset) =
            (WindowNumber(self.proof.window.number), AssetNumber(self.proof.asset));
        let leaf = obligation_leaf(window, asset, kind, &owed, digest);
        if read_path(&pair.path).root(&leaf) == self.obligations_root {
            return Ok(());
        }
        Err(format!("the path of {name} does not lead to the root of the obligations"))
    }

    /// Checks every voucher of a pair; gives what they owe together.
    fn check_evidence(
        &self,
        payer: PartyId,
        payee: PartyId,
        pieces: &[HexPiece],
        used: &mut BTreeSet<[u8; 32]>,
    ) -> Result<Total, String> {
        let decoded = pieces.iter().map(|piece| Evidence::decode(&piece.0, payer));
        let pieces: Option<Vec<Evidence>> = decoded.collect();
        let pieces =
            pieces.ok_or_else(|| format!("the evidence of {payer} -> {payee} is not whole"))?;
        if !pieces.is_sorted_by(|a, b| a.channel_bytes() < b.channel_bytes()) {
            return Err(format!("the evidence of {payer} -> {payee} is not in order, each once"));
        }
        let mut sum = Total::ZERO;
        for piece in &pieces {
            let voucher = piece.voucher();
            let channel = ChannelHasher::new(self.network).channel(voucher);
            let wrong = |why: &str| Err(format!("the voucher of channel {channel} {why}"));
            let signer = voucher.signer();
            let mut signers = self.proof.signers.iter();
            match signers.find(|entry| entry.signer.0 == signer.0) {
                Some(entry) if entry.party_id.0 == payer.0 => {}
                Some(_) | None => {
                    return wrong("has a signer that is not said to sign for the payer");
                }
            }
            used.insert(signer.0);
            if voucher.payee() != payee || voucher.asset().0 != self.proof.asset || payer == payee {
                return wrong("is for another pair or asset");
            }
            if piece.lsn.0 >= self.proof.window.cut_lsn {
                return wrong("was credited after the window was closed");
            }
            match piece.owed() {
                Some(owed) => sum = sum.plus(owed),
                None => return wrong("is no rise over what the channel had before"),
            }
            check_voucher(self.network, voucher, piece.branch.as_deref())?;
        }
        Ok(sum)
    }
}

fn check_position(
    proof: &Proof,
    position: &PositionProof,
    positions_root: Digest,
) -> Result<(), String> {
    let party = PartyId(position.party_id.0);
    let net = match position.net.strip_prefix('-') {
        Some(digits) => decimal(digits).and_then(|n| i128::try_from(n).ok()).map(|n| -n),
        None => decimal(&position.net).and_then(|n| i128::try_from(n).ok()),
    };
    let net = net.filter(|net| *net != 0).map(Net);
    let net = net.ok_or_else(|| format!("the position {:?} is none", position.net))?;
    let (window, asset) = (WindowNumber(proof.window.number), AssetNumber(proof.asset));
    let leaf = position_leaf(window, asset, &Position { party, net });
    if read_path(&position.path).root(&leaf) != positions_root {
        return Err(format!("the path of {party} does not lead to the root of the positions"));
    }
    if proof.pairs.is_empty() {
        return Ok(());
    }
    let mut sum = 0i128;
    for pair in &proof.pairs {
        let amount = decimal(&pair.amount).and_then(|n| i128::try_from(n).ok());
        let amount = amount.ok_or("a pair owes more than there can be")?;
        sum = match (pair.payer.0 == party.0, pair.payee.0 == party.0) {
            (true, false) => sum.checked_sub(amount),
            (false, true) => sum.checked_add(amount),
            (true, true) | (false, false) => return Err(format!("a pair is not of {party}")),
        }
        .ok_or("the pairs owe more than there can be")?;
    }
    if Net(sum) == net {
        return Ok(());
    }
    Err(format!("the pairs of {party} sum to {sum}, its position is {net}"))
}

fn check_one_pair(pairs: &[PairProof]) -> Result<(), String> {
    let Some(first) = pairs.first() else { return Err("it proves nothing".into()) };
    let same = |pair: &PairProof| (pair.payer, pair.payee) == (first.payer, first.payee);
    if pairs.iter().all(same) { Ok(()) } else { Err("its rows are of several pairs".into()) }
}

/// A sum in decimal digits as the engine writes them: no sign, no leading zero.
fn decimal(text: &str) -> Option<u128> {
    let sum: u128 = text.parse().ok()?;
    (sum.to_string() == text).then_some(sum)
}
