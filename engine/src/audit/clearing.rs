//! The clearing account of each multilateral asset, summed up anew: at no submission may it have
//! sent what had not come in.
//!
//! Owns plain sums of what each batch brought and took. What leaves when, and which batch may use
//! what another has left over, is the ledger's; here only the whole must be covered.

use super::difference::Difference;
use crate::ledger::event::{LegsMoved, LegsSubmitted};
use crate::ledger::{BatchContent, LegState, Obligation};
use crate::types::{PartyId, SettlementModel};

/// What one batch brought to the clearing account and took from it.
pub(super) struct Passed {
    /// Deposits that pay in it.
    deposits: i128,
    /// The dust that debtors owe once it has begun, less what creditors are owed.
    pub dust: i128,
    /// The same of earlier batches, in its windows.
    dust_before: i128,
    came: i128,
    sent: i128,
    returned: i128,
    /// Legs that have not ended.
    open: usize,
    /// A pay-in did not come, or went back.
    failed: bool,
    begun: bool,
}

/// The dust among carries that parties owe the clearing account, less what it owes them.
fn dust(carries: &[Obligation]) -> Result<i128, Difference> {
    carries.iter().try_fold(0, |dust, carry| {
        let sign = if carry.payee == PartyId::CLEARING { 1 } else { -1 };
        sum(dust, sign, carry.amount.0)
    })
}

impl Passed {
    /// Of a batch that was computed again; `None` for a bilateral asset.
    pub fn new(content: &BatchContent, dust_before: i128) -> Result<Option<Self>, Difference> {
        let head = &content.head;
        match head.asset.model {
            SettlementModel::Bilateral => return Ok(None),
            SettlementModel::Multilateral => {}
        }
        let mut deposits = 0;
        for (_, paid) in &head.prefunded {
            deposits = sum(deposits, 1, paid.0)?;
        }
        Ok(Some(Self {
            deposits,
            dust: dust(&head.carries)?,
            dust_before,
            came: 0,
            sent: 0,
            returned: 0,
            open: content.legs.len(),
            failed: false,
            begun: false,
        }))
    }

    /// Its first legs leave.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Follows a first attempt.
    pub fn submitted(&mut self, e: &LegsSubmitted) -> Result<(), Difference> {
        self.sent = sum(self.sent, 1, e.paid_out.0)?;
        Ok(())
    }

    /// Follows moves; `before` is where each leg stood.
    pub fn moved(&mut self, e: &LegsMoved, before: &[LegState]) -> Result<(), Difference> {
        // What stays where it stands, and is only booked, has been counted.
        for (one, from) in e.moves.iter().zip(before).filter(|(one, from)| one.to != **from) {
            self.open -= usize::from(one.to.has_ended() && !from.has_ended());
            let amount = one.amount.0;
            if one.payee == PartyId::CLEARING {
                self.failed |= one.to.is_owed_again();
                if one.to == LegState::Confirmed {
                    self.came = sum(self.came, 1, amount)?;
                } else if one.to == LegState::Returned {
                    self.came = sum(self.came, -1, amount)?;
                    self.returned = sum(self.returned, 1, amount)?;
                }
            } else if one.to.is_owed_again() && *from != LegState::Ready {
                self.sent = sum(self.sent, -1, amount)?;
            }
        }
        Ok(())
    }
}

/// Checks that what all batches of an asset sent is covered: by what came in and what deposits pay,
/// and by the dust that is advanced until the debtors' next pay-in. What was returned to a debtor
/// after it had been paid out is lost, and nobody else's money may replace it.
pub(super) fn covered<'a>(batches: impl Iterator<Item = &'a Passed>) -> Result<(), Difference> {
    let mut held = 0i128;
    for one in batches.filter(|one| one.begun) {
        let is_back = one.open == 0 && !one.failed;
        let back = if is_back { one.dust_before } else { one.dust_before.min(0) };
        let parts = [one.deposits, one.came, -one.sent, one.dust, -back];
        let left = parts.into_iter().try_fold(0i128, i128::checked_add);
        // While its pay-ins are on their way, nothing is lacking that it did not send.
        let left = left.ok_or_else(too_large)?.max(-one.sent);
        let parts = [held, left, one.returned];
        held = parts.into_iter().try_fold(0i128, i128::checked_add).ok_or_else(too_large)?;
    }
    if held >= 0 {
        return Ok(());
    }
    let what = "what the clearing account has left, with the dust that it advances";
    Err(Difference::new(what, "nothing below zero", held))
}

fn sum(sum: i128, sign: i128, amount: u128) -> Result<i128, Difference> {
    let amount = i128::try_from(amount).ok().and_then(|amount| amount.checked_mul(sign));
    amount.and_then(|amount| sum.checked_add(amount)).ok_or_else(too_large)
}

fn too_large() -> Difference {
    Difference::new("sums of the clearing account", "sums of money", "more than there is")
}
