//! What is to be done next for a batch that is being settled: which legs may leave, which are held
//! back, whose exposure falls. Pure: from the batch and where its legs stand.
//!
//! **Pay-ins before pay-outs.** The clearing account pays out no more than is there for the batch
//! (`fund` says how much). Pay-outs leave in the order of their amounts, smallest first, so that as
//! many creditors as possible are paid by what is there. A pay-in that failed therefore holds back
//! only the largest pay-outs, no more of them than its amount asks for, and only once every pay-in
//! has ended: they are rejected, and owed in the open window like the failed pay-in itself.
//!
//! **Nothing leaves for a suspended payee.** Its legs stay READY, with what covers them, and leave
//! when it is suspended no more. So that a batch can end without that, an operator may say that
//! they are rejected: then they are owed in the open window.

use super::batch::BatchContent;
use super::dues::{Due, dues};
use super::event::Release;
use super::leg::LegState;
use super::legs::Legs;
use super::marks::Marks;
use super::standing::Standing;
use super::window::SealedWindow;
use crate::canary::{Bug, planted};
use crate::types::{PartyId, SettlementModel, Total};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// While more than one in so many pay-outs is READY, walking all of them costs less than sorting
/// those.
const SORTED_SHARE: usize = 8;

/// A batch with what its steps are computed from.
pub struct BatchPlan {
    content: Arc<BatchContent>,
    dues: Vec<Due>,
    /// Each party with each of its legs, ordered.
    legs_of: Vec<(PartyId, u32)>,
    /// The pay-outs of the clearing account, by amount.
    pay_outs: Vec<u32>,
    /// The legs ordered by key; made when it is first asked for.
    by_key: OnceLock<Vec<u32>>,
}

/// Legs that may leave, and legs that never will.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Next {
    /// READY pay-ins.
    pub pay_ins: Vec<u32>,
    /// READY legs that pay out, or from party to party, and are covered; ascending.
    pub pay_outs: Vec<u32>,
    /// READY pay-outs that nothing will cover any more; ascending.
    pub held_back: Vec<u32>,
    /// READY legs that are covered and whose payee is suspended: they wait until it is not, and
    /// what covers them waits with them; ascending.
    pub suspended: Vec<u32>,
}

impl fmt::Debug for BatchPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plan of batch {}", self.content.head.id)
    }
}

impl BatchPlan {
    /// Of a batch, from the windows that it settles.
    #[must_use]
    pub fn new(windows: &[Arc<SealedWindow>], content: Arc<BatchContent>) -> Self {
        let head = &content.head;
        let dues = dues(windows, head);
        let (mut legs_of, mut pay_outs) = (Vec::new(), Vec::new());
        for (leg, of) in content.legs.iter().enumerate() {
            let leg = place(leg);
            for party in [of.payment.from, of.payment.to] {
                if party != PartyId::CLEARING {
                    legs_of.push((party, leg));
                }
            }
            if of.payment.from == PartyId::CLEARING {
                pay_outs.push(leg);
            }
        }
        legs_of.sort_unstable();
        pay_outs.sort_by_key(|leg| content.legs[*leg as usize].payment.amount);
        let by_key = OnceLock::new();
        Self { dues, legs_of, pay_outs, by_key, content }
    }

    /// The batch.
    #[must_use]
    pub fn content(&self) -> &Arc<BatchContent> {
        &self.content
    }

    /// What a leg moves.
    #[must_use]
    pub fn amount(&self, leg: u32) -> Total {
        self.content.legs[leg as usize].payment.amount
    }

    /// The place of the leg with this key.
    #[must_use]
    pub fn leg(&self, key: &str) -> Option<u32> {
        let all = &self.content.legs;
        let by_key = self.by_key.get_or_init(|| {
            let mut by_key: Vec<u32> = (0..all.len()).map(place).collect();
            by_key.sort_unstable_by(|a, b| all[*a as usize].key.cmp(&all[*b as usize].key));
            by_key
        });
        let found = by_key.binary_search_by(|leg| all[*leg as usize].key.as_str().cmp(key));
        found.ok().map(|at| by_key[at])
    }

    /// What the clearing account pays of these legs.
    #[must_use]
    pub fn paid_out(&self, legs: &[u32]) -> Total {
        let payments = legs.iter().map(|leg| self.content.legs[*leg as usize].payment);
        let own = payments.filter(|payment| payment.from == PartyId::CLEARING);
        own.fold(Total::ZERO, |sum, payment| sum.plus(payment.amount))
    }

    /// What may leave now, and what never will, if the clearing account may pay out `free` and
    /// these parties are suspended. Costs nothing for legs that have ended.
    #[must_use]
    pub fn next(&self, legs: &Standing, free: Total, suspended: &BTreeSet<PartyId>) -> Next {
        let all = &self.content.legs;
        let (mut pay_ins, mut pay_outs, mut cleared) = (Vec::new(), Vec::new(), Vec::new());
        for leg in legs.ready() {
            let payment = all[leg as usize].payment;
            if payment.is_pay_in() {
                pay_ins.push(leg);
            } else if payment.from == PartyId::CLEARING {
                cleared.push(leg);
            } else {
                pay_outs.push(leg);
            }
        }
        let mut held_back = Vec::new();
        match self.content.head.asset.model {
            // What the clearing account pays here are deposits, which it holds.
            SettlementModel::Bilateral => pay_outs.extend(cleared),
            SettlementModel::Multilateral => {
                let mut left = free;
                for leg in self.by_amount(cleared, legs) {
                    match left.checked_minus(self.amount(leg)) {
                        Some(rest) => {
                            left = rest;
                            pay_outs.push(leg);
                        }
                        // They are ordered by amount: no later one is covered either.
                        None => held_back.push(leg),
                    }
                }
                let is_pay_in = |leg: u32| all[leg as usize].payment.is_pay_in();
                let waits = |held: &[u32]| !held.is_empty() && legs.in_flight().any(is_pay_in);
                if !pay_ins.is_empty() || waits(&held_back) {
                    held_back.clear();
                }
            }
        }
        pay_outs.sort_unstable();
        held_back.sort_unstable();
        let waits = |leg: &u32| {
            suspended.contains(&all[*leg as usize].payment.to) && !planted(Bug::SuspendedPaid)
        };
        let (suspended, pay_outs) = pay_outs.into_iter().partition(waits);
        Next { pay_ins, pay_outs, held_back, suspended }
    }

    /// READY pay-outs of the clearing account, ordered by amount: all are in that order already,
    /// and few are sorted for themselves.
    fn by_amount(&self, mut ready: Vec<u32>, legs: &Standing) -> Vec<u32> {
        if ready.len() >= self.pay_outs.len() / SORTED_SHARE {
            return self.pay_outs.iter().copied().filter(|leg| legs.is_ready(*leg)).collect();
        }
        ready.sort_unstable_by_key(|leg| (self.amount(*leg), *leg));
        ready
    }

    /// The parties whose legs have all ended and whose exposure was not released, at most `limit`
    /// of them.
    #[must_use]
    pub fn releases(&self, legs: &Legs, limit: usize) -> Vec<Release> {
        let places = 0..place(self.dues.len());
        places.filter_map(|at| self.release_of(at, legs)).take(limit).collect()
    }

    /// The release of the party at this place of the dues, if all its legs have ended and it is not
    /// released.
    #[must_use]
    pub fn release_of(&self, at: u32, legs: &Legs) -> Option<Release> {
        let due = &self.dues[at as usize];
        if legs.is_released(at) {
            return None;
        }
        let mut rejected = Total::ZERO;
        for leg in self.legs_of(due.party) {
            let state = legs.state(leg);
            if !state.has_ended() {
                return None;
            }
            let payment = self.content.legs[leg as usize].payment;
            if state == LegState::Rejected && payment.from == due.party {
                rejected = rejected.plus(payment.amount);
            }
        }
        Some(due.release(at as usize, rejected))
    }

    /// The places, among the dues, of the parties that may be released since the last look, at
    /// which legs `then` had not ended, as `open` have not now. At the first look, everybody of
    /// whom no leg is open.
    #[must_use]
    pub fn may_release(&self, then: Option<&Marks>, open: &Marks) -> Vec<u32> {
        let mut found = BTreeSet::new();
        if let Some(then) = then {
            found.extend(then.without(open).flat_map(|leg| self.dues_of(leg)));
        } else {
            let waits = |at: &u32| {
                self.legs_of(self.dues[*at as usize].party).any(|leg| open.contains(leg))
            };
            found.extend((0..place(self.dues.len())).filter(|at| !waits(at)));
        }
        found.into_iter().collect()
    }

    fn dues_of(&self, leg: u32) -> impl Iterator<Item = u32> + '_ {
        let payment = self.content.legs[leg as usize].payment;
        let find = |party: PartyId| self.dues.binary_search_by_key(&party, |due| due.party).ok();
        [payment.from, payment.to].into_iter().filter_map(find).map(place)
    }

    /// The party at this place of the dues.
    #[must_use]
    pub fn party(&self, at: u32) -> Option<PartyId> {
        self.dues.get(at as usize).map(|due| due.party)
    }

    /// How many parties owed something.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.dues.len()
    }

    fn legs_of(&self, party: PartyId) -> impl Iterator<Item = u32> + '_ {
        let from = self.legs_of.partition_point(|(of, _)| *of < party);
        self.legs_of[from..].iter().take_while(move |(of, _)| *of == party).map(|(_, leg)| *leg)
    }
}

fn place(index: usize) -> u32 {
    u32::try_from(index).expect("legs and parties are limited")
}

#[cfg(test)]
mod tests;
