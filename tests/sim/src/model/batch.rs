//! What a batch must be: what is owed is set off, split into payments that a bank can make, and the
//! rest is carried. By hand, with maps.

use super::{Pair, Progress, State, Window};
use crate::world::Asset;
use std::collections::BTreeMap;
use tallystick::ledger::{LegState, Rail};
use tallystick::types::{PartyId, SettlementModel};

/// A sum that flows from one party to another, or back.
pub type Money = i128;

/// From, to, how much, which part.
pub type Payment = (PartyId, PartyId, u128, u32);

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The windows it settles.
    pub windows: Vec<u64>,
    /// In which asset.
    pub asset: u32,
    /// The money that moves, in the order of its legs.
    pub payments: Vec<Payment>,
    /// What is left, by payer and payee.
    pub carries: BTreeMap<(PartyId, PartyId), u128>,
    /// What deposits pay.
    pub prefunded: BTreeMap<PartyId, u128>,
    /// What each party owes in the windows, gross; the clearing account aside.
    pub owed: BTreeMap<PartyId, u128>,
    /// Who computed it.
    pub creator: String,
    /// Whether another one must approve it.
    pub four_eyes: bool,
    /// Who did.
    pub approver: Option<String>,
    /// How far it is.
    pub progress: Progress,
}

/// What flows between each two parties of a window in one asset, set off: from the lower id to the
/// higher, below zero the other way.
fn flows(window: &Window, asset: u32) -> BTreeMap<(PartyId, PartyId), Money> {
    let mut flows: BTreeMap<(PartyId, PartyId), Money> = BTreeMap::new();
    let owed = window.owed.iter().map(|(pair, amount)| (*pair, *amount));
    for ((of, payer, payee), amount) in owed.chain(window.carried.iter().copied()) {
        if of == asset {
            let amount = i128::try_from(amount).expect("sums stay within 127 bits");
            let (pair, flow) =
                if payer < payee { ((payer, payee), amount) } else { ((payee, payer), -amount) };
            *flows.entry(pair).or_default() += flow;
        }
    }
    flows
}

/// Who owes whom, net, ordered by payer and payee.
fn owing(flows: &BTreeMap<(PartyId, PartyId), Money>) -> BTreeMap<(PartyId, PartyId), u128> {
    let owing = flows.iter().filter(|(_, flow)| **flow != 0).map(|(&(low, high), flow)| {
        (if *flow > 0 { (low, high) } else { (high, low) }, flow.unsigned_abs())
    });
    owing.collect()
}

impl Window {
    /// Net obligations in one asset.
    #[must_use]
    pub fn net(&self, asset: u32) -> BTreeMap<(PartyId, PartyId), u128> {
        owing(&flows(self, asset))
    }

    /// Net positions in one asset, zeros left out.
    #[must_use]
    pub fn positions(&self, asset: u32) -> BTreeMap<PartyId, Money> {
        positions(&flows(self, asset))
    }

    /// The assets in which anything is owed.
    #[must_use]
    pub fn assets(&self) -> Vec<u32> {
        let pairs = self.owed.keys().chain(self.carried.iter().map(|(pair, _)| pair));
        let mut assets: Vec<u32> = pairs.map(|&(asset, ..): &Pair| asset).collect();
        assets.sort_unstable();
        assets.dedup();
        assets
    }
}

fn positions(flows: &BTreeMap<(PartyId, PartyId), Money>) -> BTreeMap<PartyId, Money> {
    let mut positions: BTreeMap<PartyId, Money> = BTreeMap::new();
    for (&(low, high), flow) in flows {
        *positions.entry(low).or_default() -= flow;
        *positions.entry(high).or_default() += flow;
    }
    positions.retain(|_, position| *position != 0);
    positions
}

impl State {
    /// Whether these windows can be settled in this asset.
    ///
    /// # Errors
    /// The word of the refusal.
    pub fn settleable(&self, windows: &[u64], asset: u32) -> Result<(), &'static str> {
        if !self.assets.contains_key(&asset) {
            return Err("UnknownAsset");
        }
        for &number in windows {
            let window = self.window(number).ok_or("UnknownWindow")?;
            if window.live.contains_key(&asset) {
                return Err("WindowInBatch");
            }
            if window.disputed {
                return Err("WindowDisputed");
            }
            if window.cut.is_none() {
                return Err("WindowOpen");
            }
            if !window.sealed {
                return Err("WindowUnsealed");
            }
        }
        Ok(())
    }

    /// The batch of these windows, wherever they stand, or why there is none.
    ///
    /// # Errors
    /// The word of the refusal.
    pub(super) fn compute(
        &self,
        assets: &[Asset],
        windows: &[u64],
        asset: u32,
    ) -> Result<Batch, &'static str> {
        let model = self.assets.get(&asset).ok_or("UnknownAsset")?.model;
        let found = assets.iter().find(|held| held.def.number.0 == asset);
        let found = found.expect("only assets of the world are created");
        let (unit, most) = found.bank.ok_or("RailUnfit")?;
        let mut sum: BTreeMap<(PartyId, PartyId), Money> = BTreeMap::new();
        for window in windows.iter().filter_map(|&number| self.window(number)) {
            for (pair, flow) in flows(window, asset) {
                *sum.entry(pair).or_default() += flow;
            }
        }
        let free = |party| self.free(party, asset);
        let (debts, prefunded) = match model {
            SettlementModel::Bilateral => in_pairs(&owing(&sum), unit, free),
            SettlementModel::Multilateral => through_clearing(&positions(&sum), free),
        };
        let (mut payments, mut carries) = (Vec::new(), BTreeMap::new());
        for (from, to, amount) in debts {
            let (mut left, mut part) = (amount - amount % unit, 0);
            while left > 0 {
                payments.push((from, to, left.min(most), part));
                left -= left.min(most);
                part += 1;
            }
            if amount % unit > 0 {
                carries.insert((from, to), amount % unit);
            }
        }
        if payments.is_empty() && carries.is_empty() && prefunded.is_empty() {
            return Err("NothingToSettle");
        }
        let lacking = |party: &PartyId| *party != PartyId::CLEARING && !self.has_account(party);
        if payments.iter().any(|(from, to, ..): &Payment| {
            *to != PartyId::CLEARING && (lacking(from) || lacking(to))
        }) {
            return Err("AccountsMissing");
        }
        let legs = vec![LegState::Ready; payments.len()];
        let progress = Progress { legs, ..Progress::default() };
        let (owed, windows) = (self.gross(windows, asset), windows.to_vec());
        let (creator, four_eyes, approver) = (String::new(), false, None);
        Ok(Batch {
            windows,
            asset,
            payments,
            carries,
            prefunded,
            owed,
            creator,
            four_eyes,
            approver,
            progress,
        })
    }

    /// What each party owes in these windows, nothing set off.
    fn gross(&self, windows: &[u64], asset: u32) -> BTreeMap<PartyId, u128> {
        let mut gross = BTreeMap::new();
        for window in windows.iter().filter_map(|&number| self.window(number)) {
            let owed = window.owed.iter().map(|(pair, amount)| (*pair, *amount));
            for ((of, payer, _), amount) in owed.chain(window.carried.iter().copied()) {
                if of == asset && payer != PartyId::CLEARING {
                    *gross.entry(payer).or_default() += amount;
                }
            }
        }
        gross
    }

    fn has_account(&self, party: &PartyId) -> bool {
        let accounts = self.parties.get(party).map_or(&[][..], |party| &party.accounts);
        accounts.iter().any(|account| account.rail == Rail::Iso20022.name())
    }
}

/// Who pays whom how much, and whose deposit pays how much before.
type Debts = (Vec<(PartyId, PartyId, u128)>, BTreeMap<PartyId, u128>);

/// Debtors pay in what their deposits do not pay, then creditors are paid; each against the
/// clearing account, which itself has no leg.
fn through_clearing(positions: &BTreeMap<PartyId, Money>, free: impl Fn(PartyId) -> u128) -> Debts {
    let (mut ins, mut outs, mut prefunded) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (&party, net) in positions.iter().filter(|(party, _)| **party != PartyId::CLEARING) {
        if *net > 0 {
            outs.push((PartyId::CLEARING, party, net.unsigned_abs()));
            continue;
        }
        let paid = free(party).min(net.unsigned_abs());
        if paid > 0 {
            prefunded.insert(party, paid);
        }
        ins.push((party, PartyId::CLEARING, net.unsigned_abs() - paid));
    }
    ins.append(&mut outs);
    (ins, prefunded)
}

/// Each pair for itself. What a debtor's deposit pays, in whole units, the clearing account pays,
/// on which the deposit lies.
fn in_pairs(
    owing: &BTreeMap<(PartyId, PartyId), u128>,
    unit: u128,
    free: impl Fn(PartyId) -> u128,
) -> Debts {
    let (mut ins, mut direct) = (Vec::new(), Vec::new());
    let mut clearing: BTreeMap<PartyId, u128> = BTreeMap::new();
    let mut prefunded: BTreeMap<PartyId, u128> = BTreeMap::new();
    for (&(payer, payee), &amount) in owing {
        if payer == PartyId::CLEARING {
            *clearing.entry(payee).or_default() += amount;
            continue;
        }
        let left = free(payer) - prefunded.get(&payer).copied().unwrap_or(0);
        let most = left.min(amount);
        let paid = if payee == PartyId::CLEARING { most } else { most - most % unit };
        if paid > 0 {
            *prefunded.entry(payer).or_default() += paid;
        }
        if payee == PartyId::CLEARING {
            ins.push((payer, payee, amount - paid));
            continue;
        }
        *clearing.entry(payee).or_default() += paid;
        direct.push((payer, payee, amount - paid));
    }
    ins.extend(clearing.into_iter().map(|(payee, amount)| (PartyId::CLEARING, payee, amount)));
    ins.append(&mut direct);
    (ins, prefunded)
}
