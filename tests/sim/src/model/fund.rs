//! What the clearing account has of each batch and may pay out, summed up anew from where all legs
//! stand.

use super::{Batch, BatchState, Money, State};
use tallystick::ledger::LegState::{Accepted, Confirmed, Ready, Sent, Unknown};
use tallystick::types::{BatchId, PartyId, SettlementModel};

fn signed(amount: u128) -> Money {
    i128::try_from(amount).expect("sums stay within 127 bits")
}

impl Batch {
    /// The dust that parties owe the clearing account once it has begun, less what it owes them.
    #[must_use]
    pub fn dust_left(&self) -> Money {
        let carries = self.carries.iter();
        let sign = |payee| if payee == PartyId::CLEARING { 1 } else { -1 };
        carries.map(|((_, payee), amount)| sign(*payee) * signed(*amount)).sum()
    }

    /// The sum of its pay-outs that stand so.
    fn pay_outs(&self, at: &[tallystick::ledger::LegState]) -> Money {
        let legs = self.payments.iter().zip(&self.progress.legs);
        let legs = legs.filter(|((from, ..), leg)| *from == PartyId::CLEARING && at.contains(leg));
        legs.map(|((_, _, amount, _), _)| signed(*amount)).sum()
    }

    /// What it brought in money, less what it sent.
    #[must_use]
    pub fn cash(&self) -> Money {
        let legs = self.payments.iter().zip(&self.progress.legs);
        let came = legs.filter(|((_, to, ..), leg)| *to == PartyId::CLEARING && **leg == Confirmed);
        let came: Money = came.map(|((_, _, amount, _), _)| signed(*amount)).sum();
        let deposits: Money = self.prefunded.values().map(|paid| signed(*paid)).sum();
        deposits + came - self.sent()
    }

    /// The pay-outs that have left and did not come back.
    #[must_use]
    pub fn sent(&self) -> Money {
        self.pay_outs(&[Sent, Accepted, Unknown, Confirmed])
    }
}

impl State {
    /// The dust of earlier batches in the windows of a batch.
    #[must_use]
    pub fn dust_before(&self, batch: &Batch) -> Money {
        let windows = batch.windows.iter().filter_map(|number| self.window(*number));
        windows.filter_map(|window| window.dust.get(&batch.asset)).sum()
    }

    fn left(&self, batch: &Batch) -> Money {
        // Dust is advanced once no pay-in is on its way any more.
        let mut legs = batch.payments.iter().zip(&batch.progress.legs);
        let open = [Ready, Sent, Accepted, Unknown];
        let comes = legs.any(|((_, to, ..), leg)| *to == PartyId::CLEARING && open.contains(leg));
        let dust = batch.dust_left();
        batch.cash() + if comes { dust.min(0) } else { dust } - self.dust_before(batch)
    }

    /// What other batches may take of it, or what it took of theirs.
    fn spare(&self, state: BatchState, batch: &Batch) -> Money {
        let left = self.left(batch);
        match state {
            BatchState::Computed | BatchState::Approved | BatchState::Aborted => 0,
            BatchState::Settled | BatchState::SettledWithCarry => left,
            BatchState::Submitting if left >= batch.pay_outs(&[Ready]) => {
                left - batch.pay_outs(&[Ready])
            }
            BatchState::Submitting => -(-left).clamp(0, batch.sent()),
        }
    }

    /// What may leave the clearing account for a batch now; `None` where nothing asks for it.
    #[must_use]
    pub fn free_to_pay(&self, id: BatchId) -> Option<u128> {
        let batch = &self.batches[&id].1;
        if self.assets[&batch.asset].model == SettlementModel::Bilateral {
            return None;
        }
        let others = self
            .batches
            .iter()
            .filter(|(other, (_, one, _))| **other != id && one.asset == batch.asset);
        let others: Money = others.map(|(_, (state, one, _))| self.spare(*state, one)).sum();
        let free = self.left(batch) + others.max(0);
        Some(free.max(0).unsigned_abs())
    }
}
