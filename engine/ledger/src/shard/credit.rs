//! The credit rule: what becomes of one voucher. Reads the shard's tables, changes them only when
//! nothing can refuse any more.

use super::channels::{ChannelIndex, Credit, Stream};
use super::{Checked, PartyIndex, Shard, SignerIndex, mark};
use crate::canary::{Bug, planted};
use crate::types::{Amount, Lsn, Outcome, Timestamp, Verdict};

/// Vouchers that are looked up together: enough misses in flight, few enough to stay in the first
/// cache.
const BLOCK: usize = 64;

/// Where a voucher's channel, signer and payee stand in the shard's tables.
#[derive(Clone, Copy)]
struct Found {
    channel: Option<ChannelIndex>,
    signer: Option<SignerIndex>,
    payee: Option<PartyIndex>,
}

const NOTHING: Found = Found { channel: None, signer: None, payee: None };

impl Shard {
    /// Credits the vouchers of one record, in order: `outcomes[i]` answers `vouchers[i]`.
    pub fn credit(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        vouchers: &[Checked<'_>],
        outcomes: &mut Vec<Outcome>,
    ) {
        outcomes.clear();
        // Only at records, so that a replay counts the same: without one nothing is credited
        // anyway.
        if lsn > Lsn(0) {
            self.uncount_expired(at);
        }
        let mut found = [NOTHING; BLOCK];
        for block in vouchers.chunks(BLOCK) {
            self.look_up(block, &mut found);
            for (checked, found) in block.iter().zip(&found) {
                outcomes.push(self.credit_one(lsn, at, checked, *found));
            }
        }
    }

    /// Looks up what a block of vouchers will need. What is found stays true while they are
    /// credited, for no event comes between them. Changes nothing, but it is most of the speed: a
    /// lookup is a cache miss, and misses that do not wait for each other's outcome overlap. A
    /// channel that is held names its signer and payee: its id is a hash over them.
    fn look_up(&self, block: &[Checked<'_>], found: &mut [Found; BLOCK]) {
        for (found, checked) in found.iter_mut().zip(block) {
            *found = match checked.verdict {
                Verdict::Malformed | Verdict::UnknownKey => NOTHING,
                Verdict::Valid | Verdict::BadSignature | Verdict::Stale => {
                    Found { channel: self.channels.find(&checked.channel), ..NOTHING }
                }
            };
        }
        for (found, checked) in found.iter_mut().zip(block) {
            (found.signer, found.payee) = match (checked.verdict, found.channel) {
                (Verdict::Malformed | Verdict::UnknownKey, _) => (None, None),
                (Verdict::Valid | Verdict::BadSignature | Verdict::Stale, Some(channel)) => {
                    let channel = self.channels.get(channel);
                    (Some(channel.signer), Some(channel.payee))
                }
                (Verdict::Valid | Verdict::BadSignature | Verdict::Stale, None) => (
                    self.signer_index.get(&checked.voucher.signer()).copied(),
                    self.party_index.get(&checked.voucher.payee()).copied(),
                ),
            };
        }
        let touch = |touched: u64, (checked, found): (&Checked<'_>, &Found)| {
            let (Some(signer), Some(payee)) = (found.signer, found.payee) else { return touched };
            let payer = self.signers[signer as usize].payer;
            let asset = checked.voucher.asset();
            let mut exposures = self.parties[payer as usize].exposures.iter();
            touched
                + u64::from(exposures.any(|(of, _)| *of == asset))
                + u64::from(self.parties[payee as usize].suspended)
        };
        std::hint::black_box(block.iter().zip(&*found).fold(0, touch));
    }

    /// The credit rule: what becomes of one voucher.
    fn credit_one(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        checked: &Checked<'_>,
        found: Found,
    ) -> Outcome {
        let voucher = checked.voucher;
        let valid = match checked.verdict {
            Verdict::Malformed => return Outcome::Malformed,
            Verdict::UnknownKey => return Outcome::UnknownSigner,
            Verdict::Valid => true,
            Verdict::BadSignature | Verdict::Stale => false,
        };
        let Some(signer_index) = found.signer else {
            return Outcome::UnknownSigner;
        };
        let signer = &mut self.signers[signer_index as usize];
        if signer.revoked {
            return Outcome::RevokedSigner;
        }
        let payer = signer.payer;
        if self.parties[payer as usize].suspended {
            return Outcome::SuspendedParty;
        }
        let Some(payee) = found.payee else {
            return Outcome::UnknownPayee;
        };
        if self.parties[payee as usize].suspended {
            return Outcome::SuspendedParty;
        }
        let asset = voucher.asset();
        let Ok(gauge) = self.assets.binary_search(&asset) else {
            return Outcome::UnknownAsset;
        };
        if payer == payee {
            return Outcome::SelfPayment;
        }
        let (expires_at, now) = (voucher.expires_at(), at.seconds());
        if expires_at <= now {
            return Outcome::Expired;
        }
        if expires_at.saturating_sub(now) > self.lifetime_seconds_max {
            return Outcome::LifetimeTooLong;
        }
        let cumulative = voucher.cumulative();
        // An earlier voucher of the block may have opened it.
        let channel = found.channel.or_else(|| self.channels.find(&checked.channel));
        let total = channel.map_or(Amount(0), |channel| self.channels.get(channel).total);
        let Some(delta) = cumulative.rise_above(total) else {
            return Outcome::Stale;
        };
        if !valid {
            assert_ne!(checked.verdict, Verdict::Stale, "what is certainly stale raises no total");
            return Outcome::BadSignature;
        }
        if channel.is_none()
            && (signer.channels >= self.channels_max.of_signer
                || self.parties[payer as usize].channels >= self.channels_max.of_party)
        {
            return Outcome::TooManyChannels;
        }
        let again = planted(Bug::CreditTotal) && total > Amount(0);
        let delta = if again { cumulative } else { delta };
        // Most keys have no limit of their own: they ask no more than that.
        if let Some(limits) = &signer.limits
            && let Some(over) = limits.refusal((asset, voucher.payee()), at, delta)
        {
            return over;
        }
        let mut exposures = self.parties[payer as usize].exposures.iter_mut();
        let Some((_, exposure)) = exposures.find(|(of, _)| *of == asset) else {
            return Outcome::OverLimit;
        };
        let unsettled = exposure.unsettled.plus_amount(delta);
        if unsettled > exposure.limit.plus(exposure.prefund)
            || unsettled > self.unsettled_max[gauge]
        {
            return Outcome::OverLimit;
        }
        // From here on nothing can refuse: every change happens, or none did.
        exposure.unsettled = unsettled;
        let gauge = &mut self.gauges[gauge];
        gauge.gross = gauge.gross.plus_amount(delta);
        gauge.exposure = gauge.exposure.max(unsettled);
        mark(&mut self.parties[payer as usize].changed, &mut self.parties_changed, payer);
        self.spend(signer_index, (asset, voucher.payee()), at, delta);
        let credit = Credit { total: cumulative, lsn, signature: voucher.signature() };
        match channel {
            Some(channel) => self.channels.raise(channel, &credit),
            None => {
                let (lane, signer) = (voucher.lane(), signer_index);
                let stream = Stream { lane, expires_at, signer, payee, asset };
                self.channels.open(checked.channel, &stream, &credit);
                self.count_channel(signer_index, expires_at);
            }
        }
        self.credited += 1;
        Outcome::Credited
    }
}

#[cfg(test)]
mod tests;
