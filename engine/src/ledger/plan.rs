//! What is to be done next for a batch that is being settled: which legs may leave, which are held back,
//! whose exposure falls. Pure: from the batch and where its legs stand.
//!
//! **Pay-ins before pay-outs.** The clearing account pays out no more than it holds for the batch: what
//! pay-ins are confirmed, what parties' deposits pay, and the dust that it advances (each creditor's cent
//! is paid in full, each debtor's is carried). Pay-outs leave in the order of their amounts, smallest first,
//! so that as many creditors as possible are paid by what is there. A pay-in that failed therefore holds back
//! only the largest pay-outs, no more of them than its amount asks for, and only once every pay-in has
//! ended: they are rejected, and owed in the open window like the failed pay-in itself.

use super::batch::BatchContent;
use super::dues::{Due, dues};
use super::event::Release;
use super::leg::LegState;
use super::legs::Legs;
use super::window::SealedWindow;
use crate::types::{PartyId, SettlementModel, Total};
use std::sync::{Arc, OnceLock};

/// A batch with what its steps are computed from.
pub struct BatchPlan {
    content: Arc<BatchContent>,
    dues: Vec<Due>,
    /// Each party with each of its legs, ordered.
    legs_of: Vec<(PartyId, u32)>,
    /// The pay-outs of the clearing account, by amount.
    pay_outs: Vec<u32>,
    /// What the clearing account may pay out beyond what comes in.
    advance: Total,
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
}

impl BatchPlan {
    /// Of a batch, from the windows that it settles.
    #[must_use]
    pub fn new(windows: &[Arc<SealedWindow>], content: Arc<BatchContent>) -> Self {
        let head = &content.head;
        let dues = dues(windows, head);
        let (mut legs_of, mut pay_outs) = (Vec::new(), Vec::new());
        let mut paid_out = Total::ZERO;
        for (leg, of) in content.legs.iter().enumerate() {
            let leg = place(leg);
            for party in [of.payment.from, of.payment.to] {
                if party != PartyId::CLEARING {
                    legs_of.push((party, leg));
                }
            }
            if of.payment.from == PartyId::CLEARING {
                paid_out = paid_out.plus(of.payment.amount);
                pay_outs.push(leg);
            }
        }
        legs_of.sort_unstable();
        pay_outs.sort_by_key(|leg| content.legs[*leg as usize].payment.amount);
        let deposits = head.prefunded.iter().fold(Total::ZERO, |sum, (_, paid)| sum.plus(*paid));
        let comes_in = head.pay_in_total.plus(deposits);
        let advance = paid_out.checked_minus(comes_in).unwrap_or_default();
        let (advance, by_key) = (advance.plus(deposits), OnceLock::new());
        Self { dues, legs_of, pay_outs, advance, by_key, content }
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

    /// What may leave now, and what never will.
    #[must_use]
    pub fn next(&self, legs: &Legs) -> Next {
        let all = &self.content.legs;
        let ready = |leg: &u32| legs.state(*leg) == LegState::Ready;
        let every = || (0..all.len()).map(place);
        let is_pay_in = |leg: &u32| all[*leg as usize].payment.is_pay_in();
        let pay_ins: Vec<u32> = every().filter(is_pay_in).filter(ready).collect();
        let direct = |leg: &u32| {
            let payment = all[*leg as usize].payment;
            payment.from != PartyId::CLEARING && payment.to != PartyId::CLEARING
        };
        let mut pay_outs: Vec<u32> = every().filter(direct).filter(ready).collect();
        let mut held_back = Vec::new();
        match self.content.head.asset.model {
            // What the clearing account pays here are deposits, which it holds.
            SettlementModel::Bilateral => {
                pay_outs.extend(self.pay_outs.iter().filter(|l| ready(l)))
            }
            SettlementModel::Multilateral => {
                let mut left = self.uncommitted(legs);
                for leg in self.pay_outs.iter().copied().filter(ready) {
                    match left.checked_minus(self.amount(leg)) {
                        Some(rest) => {
                            left = rest;
                            pay_outs.push(leg);
                        }
                        // They are ordered by amount: no later one is covered either.
                        None => held_back.push(leg),
                    }
                }
                let open = every().filter(is_pay_in).any(|leg| !legs.state(leg).has_ended());
                if open {
                    held_back.clear();
                }
            }
        }
        pay_outs.sort_unstable();
        held_back.sort_unstable();
        Next { pay_ins, pay_outs, held_back }
    }

    /// What the clearing account holds for the batch and has not sent.
    fn uncommitted(&self, legs: &Legs) -> Total {
        let mut held = self.advance;
        let mut sent = Total::ZERO;
        for (leg, of) in self.content.legs.iter().enumerate() {
            let state = legs.state(place(leg));
            if of.payment.is_pay_in() && state == LegState::Confirmed {
                held = held.plus(of.payment.amount);
            } else if of.payment.from == PartyId::CLEARING && state != LegState::Ready {
                // Also what was rejected: it stays its creditor's, and is paid with a later batch.
                sent = sent.plus(of.payment.amount);
            }
        }
        // A pay-in can be returned after what it covered was paid out.
        held.checked_minus(sent).unwrap_or_default()
    }

    /// The parties whose legs have all ended and whose exposure was not released, at most `limit` of them.
    #[must_use]
    pub fn releases(&self, legs: &Legs, limit: usize) -> Vec<Release> {
        let mut found = Vec::new();
        for (at, due) in self.dues.iter().enumerate() {
            if found.len() == limit {
                break;
            }
            if legs.is_released(place(at)) {
                continue;
            }
            let mut rejected = Total::ZERO;
            let mut ended = true;
            for leg in self.legs_of(due.party) {
                let state = legs.state(leg);
                ended &= state.has_ended();
                let payment = self.content.legs[leg as usize].payment;
                if state == LegState::Rejected && payment.from == due.party {
                    rejected = rejected.plus(payment.amount);
                }
            }
            if ended {
                found.push(due.release(at, rejected));
            }
        }
        found
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
