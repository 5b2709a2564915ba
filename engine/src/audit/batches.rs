//! Batches: computed again from the audit's own nets, and summed up once more.

use super::clearing::Passed;
use super::difference::Difference;
use super::settlement::Legs;
use super::sums::added;
use super::windows::Owing;
use crate::ledger::event::BatchComputed;
use crate::ledger::{
    AssetSeal, BatchContent, By, Obligation, Policy, Rail, SealedAsset, SealedWindow, WindowTotals,
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
    /// What passes through the clearing account; `None` for a bilateral asset, or if it is not
    /// known.
    pub passed: Option<Passed>,
    pub state: State,
    /// The record that computed it.
    pub computed: Lsn,
    pub windows: Vec<WindowNumber>,
    pub asset: AssetNumber,
    /// What each party owed gross in its windows; `None` if it could not be computed again.
    pub owed: Option<Vec<(PartyId, u128)>>,
    /// What the rail cannot pay; `None` if it could not be computed again.
    pub carries: Option<Vec<Obligation>>,
    /// What deposits pay.
    pub prefunded: Vec<(PartyId, Total)>,
    /// Who computed it, and whether another must approve.
    pub by: By,
    pub legs: Legs,
}

/// A window whose evidence was audited, as a batch needs it: what is owed net in each asset, and by
/// whom gross.
pub(super) struct Sealed {
    pub window: Arc<SealedWindow>,
    pub owed: BTreeMap<AssetNumber, Vec<(PartyId, u128)>>,
}

/// A window whose evidence was audited.
pub(super) fn window(
    number: WindowNumber,
    lsns: (Lsn, Lsn),
    cut_at: Timestamp,
    root: Digest,
    owing: Owing,
) -> Arc<Sealed> {
    let (mut assets, mut owed) = (BTreeMap::new(), BTreeMap::new());
    for (asset, (net, gross)) in owing {
        assets.insert(asset, of_net(asset, net));
        owed.insert(asset, gross);
    }
    let window = Arc::new(SealedWindow {
        number,
        first_lsn: lsns.0,
        cut_lsn: lsns.1,
        cut_at,
        credited: 0,
        assets,
        root,
    });
    Arc::new(Sealed { window, owed })
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
    account: impl Fn(PartyId, Rail) -> Option<crate::ledger::SealedAccount>,
    prefund: impl Fn(PartyId) -> Total,
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
    let account = |party| account(party, rail);
    let content = BatchContent::compute(windows, asset, &policy, account, prefund)
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
    for leg in content.legs.iter() {
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
    // Deposits pay on the clearing account, which pays the creditors in the debtors' stead: then it
    // is not each pair that must come out, but each party.
    for (party, amount) in &content.head.prefunded {
        flows.push(((*party, PartyId::CLEARING), -signed(amount.0)?));
    }
    if !content.head.prefunded.is_empty() {
        let ends = |((from, to), amount): ((PartyId, PartyId), i128)| {
            [((from, PartyId::CLEARING), amount), ((to, PartyId::CLEARING), -amount)]
        };
        flows = flows.into_iter().flat_map(ends).collect();
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
