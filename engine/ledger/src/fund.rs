//! What passes through the clearing account of a multilateral asset, and how much of it a batch may
//! pay out: nothing that has not come in, over all batches of the asset.
//!
//! Owns these sums and the rule. Knows legs only as money that comes or goes; which of them leave
//! first is the plan's. Bilateral assets need no rule: their clearing account pays what deposits
//! paid, to the unit.
//!
//! A batch brings deposits and pay-ins, and takes pay-outs. Once its pay-ins have ended it also
//! advances **dust**: each creditor's cent is paid in full, each debtor's is carried, and comes
//! with a pay-in of a later batch, which therefore brings so much less of its own. Once a batch has
//! ended, what it has left over is there for what the clearing account still owes: a pay-out that
//! the bank sent back, or one that was held back because a pay-in failed and has come in since.
//! A live batch keeps what its own READY pay-outs need.

use super::batch::BatchHead;
use super::leg::{LegMove, LegState};
use super::window::Obligation;
use crate::canary::{Bug, planted};
use crate::types::{Net, PartyId, SettlementModel, Total};
use rkyv::{Archive, Deserialize, Serialize};

/// What one batch has brought to the clearing account and taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Cover {
    /// What deposits pay, less the dust of earlier batches that it brings back.
    base: Net,
    /// The dust that it advances, net.
    dust: Net,
    /// Pay-ins that have not ended.
    open: u64,
    /// Pay-ins that are confirmed.
    came: Total,
    /// Pay-outs that have left, but for those that came back.
    went: Total,
    /// Pay-outs that are READY.
    waits: Total,
}

impl Cover {
    /// Of a batch of which nothing has left. `dust_before` is what parties owe the clearing account
    /// in its windows as the dust of earlier batches, net. `None` for a bilateral asset.
    #[must_use]
    pub fn new(head: &BatchHead, dust_before: Net) -> Option<Self> {
        match head.asset.model {
            SettlementModel::Bilateral => None,
            SettlementModel::Multilateral => {
                let paid = head.prefunded.iter().map(|(_, paid)| *paid);
                let deposits = paid.fold(Total::ZERO, Total::plus).to_net();
                Some(Self {
                    base: deposits.minus(dust_before),
                    dust: dust(&head.carries),
                    open: head.pay_in_count,
                    came: Total::ZERO,
                    went: Total::ZERO,
                    waits: head.total,
                })
            }
        }
    }

    /// What is left of what it brought; below zero if it took more.
    #[must_use]
    pub fn left(&self) -> Net {
        let dust = if self.open > 0 { self.dust.min(Net::ZERO) } else { self.dust };
        self.base.plus(dust).plus(self.came.to_net()).minus(self.went.to_net())
    }

    /// What others may take of it, or, below zero, what it took of theirs. While it is live it
    /// keeps what its READY pay-outs need.
    #[must_use]
    pub fn spare(&self, has_ended: bool) -> Net {
        let left = self.left();
        if has_ended {
            return left;
        }
        let keeps = if planted(Bug::FundShared) { Total::ZERO } else { self.waits };
        let spare = left.minus(keeps.to_net());
        if spare >= Net::ZERO {
            return spare;
        }
        // What it owes others is at most what it sent: its own pay-ins may still be on their way.
        let taken = Net::ZERO.minus(left).surplus().min(self.went);
        Net::ZERO.minus(taken.to_net())
    }

    /// Pay-outs of this sum leave.
    ///
    /// Panics when fewer wait: then the record contradicts the batch.
    pub fn leaves(&mut self, paid_out: Total) {
        self.went = self.went.plus(paid_out);
        self.waits = less(self.waits, paid_out);
    }

    /// A leg moves from where it stands.
    pub fn moves(&mut self, from: LegState, one: &LegMove) {
        // It stays where it stands: what moved has been counted.
        if one.to == from {
            return;
        }
        let (pay_in, amount) = (one.payee == PartyId::CLEARING, one.amount);
        self.open -= u64::from(pay_in && one.to.has_ended() && !from.has_ended());
        match (one.to, pay_in) {
            (LegState::Confirmed, true) => self.came = self.came.plus(amount),
            (LegState::Returned, true) => self.came = less(self.came, amount),
            (LegState::Rejected, false) if from == LegState::Ready => {
                self.waits = less(self.waits, amount);
            }
            (LegState::Rejected | LegState::Returned, false) => self.went = less(self.went, amount),
            (LegState::Confirmed, false)
            | (LegState::Rejected, true)
            | (LegState::Ready | LegState::Sent | LegState::Accepted | LegState::Unknown, _) => {}
        }
    }
}

/// The dust that parties owe the clearing account by these carries, less what it owes them.
#[must_use]
pub fn dust(carries: &[Obligation]) -> Net {
    carries.iter().fold(Net::ZERO, |sum, carry| match (carry.payer, carry.payee) {
        (_, PartyId::CLEARING) => sum.plus(carry.amount.to_net()),
        (PartyId::CLEARING, _) => sum.minus(carry.amount.to_net()),
        _ => sum,
    })
}

fn less(sum: Total, amount: Total) -> Total {
    sum.checked_minus(amount).expect("legs move no more than the batch has")
}

#[cfg(test)]
pub(super) mod tests;
