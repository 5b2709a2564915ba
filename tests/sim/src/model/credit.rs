//! The credit rule of DESIGN section 2, line by line.

use super::{Held, State};
use crate::world::Sent;
use std::rc::Rc;
use tallystick::types::{Outcome, PartyId};

pub use tallystick::types::Verdict;

/// A voucher, whether its signature is good, and the amount that it is to raise its total by.
pub type Brought = (Rc<Sent>, Verdict, Option<u64>);

/// What anybody may owe at most, in whole units.
const WHOLE_MAX: u128 = 100_000_000_000_000;

impl State {
    /// Credits a frame's vouchers, in order. Returns the bytes of the ack.
    pub fn credit(&mut self, lifetime: i64, lsn: u64, at: i64, vouchers: &[Brought]) -> Vec<u8> {
        let outcome = |(sent, verdict, amount): &Brought| {
            let outcome = match self.allowed(lifetime, at, sent, (*verdict, *amount)) {
                Err(outcome) => outcome,
                Ok((payer, rise)) => {
                    self.raise((lsn, at), payer, rise, sent);
                    Outcome::Credited
                }
            };
            outcome.byte()
        };
        vouchers.iter().map(outcome).collect()
    }

    /// Who owes what more by a voucher, or why nobody does.
    pub(super) fn allowed(
        &self,
        lifetime: i64,
        at: i64,
        sent: &Sent,
        (verdict, amount): (Verdict, Option<u64>),
    ) -> Result<(PartyId, u64), Outcome> {
        let channel = sent.channel;
        if verdict == Verdict::Malformed {
            return Err(Outcome::Malformed);
        }
        let signer = match self.signers.get(&channel.signer) {
            Some(signer) if verdict != Verdict::UnknownKey => signer,
            Some(_) | None => return Err(Outcome::UnknownSigner),
        };
        let payer = signer.party;
        let total = self.channels.get(&channel).map_or(0, |held| held.newest.cumulative);
        let rise = sent.cumulative.saturating_sub(total);
        let used = self.used.get(&(channel.signer, channel.asset)).copied().unwrap_or(0);
        let cap = signer.caps.iter().find(|cap| cap.asset.0 == channel.asset);
        let owes = self.exposure(payer, channel.asset);
        let scale = self.assets.get(&channel.asset).map_or(0, |asset| asset.scale);
        let most = (owes.limit + owes.prefund).min(WHOLE_MAX * 10u128.pow(scale));
        let now = at.div_euclid(1_000_000);
        let life = i128::from(channel.expires_at) - i128::from(now);
        let payee = self.parties.get(&channel.payee);
        let budget = self.over_budget(channel.signer, (channel.asset, channel.payee), at, rise);
        let refusals = [
            (signer.revoked, Outcome::RevokedSigner),
            (self.parties[&payer].suspended, Outcome::SuspendedParty),
            (payee.is_none(), Outcome::UnknownPayee),
            (payee.is_some_and(|payee| payee.suspended), Outcome::SuspendedParty),
            (!self.assets.contains_key(&channel.asset), Outcome::UnknownAsset),
            (payer == channel.payee, Outcome::SelfPayment),
            (life <= 0, Outcome::Expired),
            (life > i128::from(lifetime), Outcome::LifetimeTooLong),
            (rise == 0, Outcome::Stale),
            (verdict == Verdict::BadSignature, Outcome::BadSignature),
            (amount.is_some_and(|amount| amount != rise), Outcome::WrongAmount),
            (
                cap.is_some_and(|cap| {
                    u128::from(used) + u128::from(rise) > u128::from(cap.amount.0)
                }),
                Outcome::OverSignerCap,
            ),
            (budget.is_some(), budget.unwrap_or(Outcome::Credited)),
            (owes.unsettled + u128::from(rise) > most, Outcome::OverLimit),
        ];
        match refusals.into_iter().find(|(refused, _)| *refused) {
            Some((_, outcome)) => Err(outcome),
            None => Ok((payer, rise)),
        }
    }

    fn raise(&mut self, (lsn, at): (u64, i64), payer: PartyId, rise: u64, sent: &Rc<Sent>) {
        let (channel, open) = (sent.channel, self.open());
        let before = self.channels.get(&channel).map_or(0, |held| held.newest.cumulative);
        let newest = sent.clone();
        let held = Held { payer, window: open, before, lsn, newest };
        let entry = self.channels.entry(channel).or_insert_with(|| held.clone());
        // What was owed when the window opened stays, however often the total rises in it.
        let before = if entry.window == open { entry.before } else { before };
        *entry = Held { before, ..held };
        if self.signers[&channel.signer].caps.iter().any(|cap| cap.asset.0 == channel.asset) {
            *self.used.entry((channel.signer, channel.asset)).or_default() += rise;
        }
        self.spend(channel.signer, (channel.asset, channel.payee), at, rise);
        let owes = self.exposures.entry((payer, channel.asset)).or_default();
        owes.unsettled += u128::from(rise);
        let window = self.windows.last_mut().expect("one window is open");
        window.credited += 1;
        let pair = (channel.asset, payer, channel.payee);
        *window.owed.entry(pair).or_default() += u128::from(rise);
    }
}
