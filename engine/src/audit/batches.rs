//! Batches: computed again from the audit's own nets, and summed up once more.

use super::difference::Difference;
use super::sums::added;
use crate::ledger::event::BatchComputed;
use crate::ledger::{
    AssetSeal, BatchContent, Obligation, Policy, Rail, SealedAsset, SealedWindow, WindowTotals,
};
use crate::types::{
    AssetDef, AssetNumber, Digest, Lsn, PartyId, SettlementModel, Timestamp, Total, WindowNumber,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Computed,
    Approved,
    Aborted,
}

/// A batch, as the events say.
pub(super) struct Seen {
    pub state: State,
    pub windows: Vec<WindowNumber>,
    pub asset: AssetNumber,
    /// What the rail cannot pay; `None` if it could not be computed again.
    pub carries: Option<Vec<Obligation>>,
}

/// A window whose evidence was audited, as a batch needs it: what is owed net in each asset.
pub(super) fn window(
    number: WindowNumber,
    lsns: (Lsn, Lsn),
    cut_at: Timestamp,
    root: Digest,
    nets: BTreeMap<AssetNumber, Vec<Obligation>>,
) -> Arc<SealedWindow> {
    let asset = |(asset, net)| (asset, of_net(asset, net));
    Arc::new(SealedWindow {
        number,
        first_lsn: lsns.0,
        cut_lsn: lsns.1,
        cut_at,
        credited: 0,
        assets: nets.into_iter().map(asset).collect(),
        root,
    })
}

/// A batch looks at nothing but the nets.
fn of_net(asset: AssetNumber, net: Vec<Obligation>) -> SealedAsset {
    let (obligations_root, positions_root) = (Digest::ZERO, Digest::ZERO);
    let (carried_in, totals) = (Total::ZERO, WindowTotals::default());
    let seal = AssetSeal { asset, obligations_root, positions_root, carried_in, totals };
    SealedAsset {
        obligations: Vec::new(),
        evidence: Vec::new(),
        carried: Vec::new(),
        net,
        positions: Vec::new(),
        seal,
    }
}

/// Computes a batch again and checks what it comes to.
pub(super) fn recompute(
    event: &BatchComputed,
    windows: &[Arc<SealedWindow>],
    asset: &AssetDef,
    account: impl Fn(PartyId, Rail) -> Option<crate::ledger::Account>,
) -> Result<BatchContent, Difference> {
    let rail = Rail::from_byte(event.rail)
        .ok_or_else(|| Difference::new("the batch's rail", "a known one", event.rail))?;
    let policy = Policy {
        rail,
        unit: event.unit,
        least: event.least,
        most: event.most,
        clearing: event.clearing.clone(),
    };
    let content = BatchContent::compute(windows, asset, &policy, |party| account(party, rail))
        .map_err(|refusal| Difference::new("the batch", "one that can be computed", refusal))?;
    if content.head.id != event.batch {
        return Err(Difference::new("the batch's id", content.head.id, event.batch));
    }
    check_sums(&content, windows)?;
    Ok(content)
}

/// What is paid and what is carried together must be what the windows owe: for each pair, or for
/// each party towards the clearing account; and the control sums must be the sums.
fn check_sums(content: &BatchContent, windows: &[Arc<SealedWindow>]) -> Result<(), Difference> {
    let too_large = || Difference::new("the batch's sums", "sums of money", "more than there is");
    let signed = |amount: u128| i128::try_from(amount).map_err(|_| too_large());
    let owed = || {
        let assets =
            windows.iter().filter_map(|window| window.assets.get(&content.head.asset.number));
        assets.flat_map(|asset| &asset.net)
    };
    let mut flows: Vec<((PartyId, PartyId), i128)> = Vec::new();
    match content.head.asset.model {
        SettlementModel::Bilateral => {
            for o in super::sums::net(owed()).ok_or_else(too_large)? {
                flows.push(((o.payer, o.payee), signed(o.amount.0)?));
            }
        }
        SettlementModel::Multilateral => {
            let mut positions = Vec::new();
            for o in owed() {
                positions.push((o.payer, -signed(o.amount.0)?));
                positions.push((o.payee, signed(o.amount.0)?));
            }
            for (party, net) in added(positions).ok_or_else(too_large)? {
                if party == PartyId::CLEARING {
                    continue;
                }
                let (from, to) =
                    if net < 0 { (party, PartyId::CLEARING) } else { (PartyId::CLEARING, party) };
                flows.push(((from, to), signed(net.unsigned_abs())?));
            }
        }
    }
    let (mut total, mut carried) = (0i128, 0i128);
    for leg in &content.legs {
        let (from, to, amount) = (leg.payment.from, leg.payment.to, signed(leg.payment.amount.0)?);
        flows.push(((from, to), -amount));
        if to != PartyId::CLEARING {
            total = total.checked_add(amount).ok_or_else(too_large)?;
        }
    }
    for carry in &content.head.carries {
        let amount = signed(carry.amount.0)?;
        flows.push(((carry.payer, carry.payee), -amount));
        if carry.payee != PartyId::CLEARING {
            carried = carried.checked_add(amount).ok_or_else(too_large)?;
        }
    }
    if let Some(((from, to), rest)) = added(flows).ok_or_else(too_large)?.first() {
        let difference = Difference::new("what legs and carries leave unpaid", 0, rest);
        return Err(difference.pair(*from, *to));
    }
    for (what, expected, found) in [
        ("the batch's total", total, content.head.total),
        ("its carry", carried, content.head.carried),
    ] {
        if signed(found.0)? != expected {
            return Err(Difference::new(what, expected, found));
        }
    }
    Ok(())
}
