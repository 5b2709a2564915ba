//! What a batch must be: what is owed is set off, split into payments that a bank can make, and the
//! rest is carried. By hand, with maps.

use super::{Pair, State, Window};
use crate::world::Asset;
use std::collections::BTreeMap;
use tallystick::ledger::Rail;
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
        let debts: Vec<(PartyId, PartyId, u128)> = match model {
            SettlementModel::Bilateral => {
                owing(&sum).into_iter().map(|((from, to), amount)| (from, to, amount)).collect()
            }
            SettlementModel::Multilateral => through_clearing(&positions(&sum)),
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
        if payments.is_empty() && carries.is_empty() {
            return Err("NothingToSettle");
        }
        let lacking = |party: &PartyId| *party != PartyId::CLEARING && !self.has_account(party);
        if payments.iter().any(|(from, to, ..): &Payment| {
            *to != PartyId::CLEARING && (lacking(from) || lacking(to))
        }) {
            return Err("AccountsMissing");
        }
        Ok(Batch { windows: windows.to_vec(), asset, payments, carries })
    }

    fn has_account(&self, party: &PartyId) -> bool {
        let accounts = self.parties.get(party).map_or(&[][..], |party| &party.accounts);
        accounts.iter().any(|account| account.rail == Rail::Iso20022.name())
    }
}

/// Debtors pay in, then creditors are paid; each against the clearing account, which itself has no leg.
fn through_clearing(positions: &BTreeMap<PartyId, Money>) -> Vec<(PartyId, PartyId, u128)> {
    let parties = || positions.iter().filter(|(party, _)| **party != PartyId::CLEARING);
    let ins = parties().filter(|(_, net)| **net < 0);
    let outs = parties().filter(|(_, net)| **net > 0);
    let ins = ins.map(|(party, net)| (*party, PartyId::CLEARING, net.unsigned_abs()));
    ins.chain(outs.map(|(party, net)| (PartyId::CLEARING, *party, net.unsigned_abs()))).collect()
}
