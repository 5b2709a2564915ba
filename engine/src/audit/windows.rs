//! One sealed window: its rows, its evidence, and what its seal says of them.

use super::difference::{AuditError, Difference};
use super::events::Audit;
use super::evidence::{self, Place, Row};
use super::receipts;
use super::source::Source;
use super::sums::{Sums, sums};
use crate::ledger::event::WindowSealed;
use crate::ledger::seal::{obligation_leaf, position_leaf};
use crate::ledger::{AssetSeal, Obligation};
use crate::proof::Part;
use crate::proof::rows::{read_carried, read_obligation};
use crate::types::{
    AssetNumber, Digest, Lsn, MerkleTree, PartyId, Timestamp, WindowNumber, window_root,
};
use std::collections::BTreeMap;

/// A window that was cut, as the events say.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub first_lsn: Lsn,
    pub cut_lsn: Lsn,
    /// Digest of that record.
    pub digest: Digest,
    pub cut_at: Timestamp,
    /// What batches left for it; `None` once a batch did that could not be computed again.
    pub carried: Option<Vec<(AssetNumber, Obligation)>>,
}

/// The root that a seal's own figures give.
pub(super) fn sealed_root(seal: &WindowSealed) -> Digest {
    let roots = seal.assets.iter().map(|s| (s.asset, s.obligations_root, s.positions_root));
    window_root(seal.window, &roots.collect::<Vec<_>>())
}

/// What a window comes to in each asset: what is owed net, and by whom gross.
pub(super) type Owing = BTreeMap<AssetNumber, OwingAsset>;
type OwingAsset = (Vec<Obligation>, Vec<(PartyId, u128)>);

/// Checks the evidence of a window against its seal; gives what it comes to.
pub(super) fn check(
    audit: &mut Audit<'_>,
    seal: &WindowSealed,
    cut: &Cut,
) -> Result<Owing, AuditError> {
    let window = seal.window;
    let sealed: Vec<AssetNumber> = seal.assets.iter().map(|seal| seal.asset).collect();
    let there = audit.source.assets(window);
    if sealed != there {
        let (expected, found) = (format!("{sealed:?}"), format!("{there:?}"));
        return Err(Difference::new("the window's assets", expected, found).window(window).into());
    }
    if let Some(carried) = &cut.carried {
        let other = carried.iter().find(|(asset, _)| !sealed.contains(asset));
        if let Some((asset, _)) = other {
            let difference =
                Difference::new("what was carried in", "sealed with the window", "not");
            return Err(difference.window(window).asset(*asset).into());
        }
    }
    let mut nets = BTreeMap::new();
    for seal in &seal.assets {
        nets.insert(seal.asset, check_asset(audit, window, seal, cut)?);
    }
    audit.counts.windows += 1;
    receipts::check_window(audit, window, cut)?;
    audit.totals.forget(cut.cut_at.seconds());
    Ok(nets)
}

fn check_asset(
    audit: &mut Audit<'_>,
    window: WindowNumber,
    seal: &AssetSeal,
    cut: &Cut,
) -> Result<OwingAsset, AuditError> {
    let asset = seal.asset;
    let differs = |what, expected: &dyn ToString, found: &dyn ToString| {
        let (expected, found) = (expected.to_string(), found.to_string());
        Difference::new(what, expected, found).window(window).asset(asset)
    };
    let obligations = obligations(audit.source, window, asset)?;
    let carried = carried(audit.source, window, asset)?;
    let pairs: Vec<Obligation> = obligations.iter().map(|(owed, _)| *owed).collect();
    let ascend = pairs.is_sorted_by(|a, b| (a.payer, a.payee) < (b.payer, b.payee));
    if !ascend || !carried.is_sorted() {
        return Err(differs("the order of the rows", &"by payer and payee", &"another").into());
    }
    if obligations.iter().any(|(owed, evidence)| owed.amount.0 == 0 || evidence.count == 0) {
        return Err(differs("an obligation", &"an amount with evidence", &"none").into());
    }
    match &cut.carried {
        None => audit.unknown_carries += 1,
        Some(all) => {
            let own = all.iter().filter(|(of, _)| *of == asset).map(|(_, carry)| *carry);
            let mut expected: Vec<Obligation> = own.collect();
            expected.sort_unstable();
            if expected != carried {
                let (expected, found) = (format!("{expected:?}"), format!("{carried:?}"));
                return Err(differs("what batches left for it", &expected, &found).into());
            }
        }
    }
    check_evidence(audit, window, asset, cut, &obligations)?;
    let sums = sums(&pairs, &carried);
    let sums = sums.ok_or_else(|| differs("the sums", &"sums of money", &"more than there is"))?;
    check_seal(window, seal, &obligations, &carried, &sums)?;
    let count = |n: usize| u64::try_from(n).expect("a length fits 64 bits");
    audit.counts.obligations += count(obligations.len());
    audit.counts.carried += count(carried.len());
    audit.counts.positions += count(sums.positions.len());
    Ok((sums.net, sums.owed))
}

fn check_evidence(
    audit: &mut Audit<'_>,
    window: WindowNumber,
    asset: AssetNumber,
    cut: &Cut,
    rows: &[Row],
) -> Result<(), AuditError> {
    let genesis = audit.registry.genesis.as_ref().expect("the first record is genesis");
    let known = audit.registry.assets.get(&asset);
    let known = known
        .ok_or_else(|| Difference::new("the asset", "a registered one", asset).window(window))?;
    let place = Place {
        registry: &audit.registry,
        totals: &audit.totals,
        hasher: audit.hasher.as_ref().expect("the first record is genesis"),
        verifier: audit.verifier,
        lifetime_seconds_max: genesis.lifetime_seconds_max,
        window,
        gap: audit.gap,
        first_lsn: cut.first_lsn,
        cut_lsn: cut.cut_lsn,
        cut_at: cut.cut_at,
        asset,
        asset_since: known.since,
    };
    let mut piece = 0;
    let mut read = || {
        piece += 1;
        audit.source.rows(window, asset, Part::Evidence, piece - 1)
    };
    let before = audit.counts.voucher_signatures;
    let mut progress = |done| (audit.settings.progress)(before + done);
    let checked = evidence::check(&place, rows, &mut read, audit.settings.threads, &mut progress)?;
    audit.counts.voucher_signatures += checked;
    Ok(())
}

fn check_seal(
    window: WindowNumber,
    seal: &AssetSeal,
    obligations: &[Row],
    carried: &[Obligation],
    sums: &Sums,
) -> Result<(), Difference> {
    let asset = seal.asset;
    let mut tree = MerkleTree::default();
    for (owed, evidence) in obligations {
        tree.push(&obligation_leaf(window, asset, 0, owed, evidence.digest));
    }
    for carry in carried {
        tree.push(&obligation_leaf(window, asset, 1, carry, Digest::ZERO));
    }
    let mut positions = MerkleTree::default();
    sums.positions.iter().for_each(|p| positions.push(&position_leaf(window, asset, p)));
    let (own, said) = (&sums.totals, &seal.totals);
    let same: [(&str, &dyn ToString, &dyn ToString); 9] = [
        ("the number of pairs", &own.pairs, &said.pairs),
        ("the gross sum", &own.gross, &said.gross),
        ("the sum carried in", &sums.carried_in, &seal.carried_in),
        ("the number of net pairs", &own.net_pairs, &said.net_pairs),
        ("the net sum", &own.net_bilateral, &said.net_bilateral),
        ("the number of positions", &own.positions, &said.positions),
        ("the sum of the positions", &own.net_multilateral, &said.net_multilateral),
        ("the root of the obligations", &tree.root(), &seal.obligations_root),
        ("the root of the positions", &positions.root(), &seal.positions_root),
    ];
    for (what, expected, found) in same {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            return Err(Difference::new(what, expected, found).window(window).asset(asset));
        }
    }
    Ok(())
}

fn obligations(
    source: &dyn Source,
    window: WindowNumber,
    asset: AssetNumber,
) -> Result<Vec<Row>, AuditError> {
    let mut rows = Vec::new();
    for piece in 0.. {
        let Some(bytes) = source.rows(window, asset, Part::Obligations, piece)? else { break };
        rows.extend(bytes.as_chunks().0.iter().map(read_obligation));
    }
    Ok(rows)
}

fn carried(
    source: &dyn Source,
    window: WindowNumber,
    asset: AssetNumber,
) -> Result<Vec<Obligation>, AuditError> {
    let mut rows = Vec::new();
    for piece in 0.. {
        let Some(bytes) = source.rows(window, asset, Part::Carried, piece)? else { break };
        rows.extend(bytes.as_chunks().0.iter().map(read_carried));
    }
    Ok(rows)
}
