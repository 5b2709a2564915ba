//! The credit rule: what becomes of one voucher. Reads the shard's tables, changes them only when
//! nothing can refuse any more.

use super::channels::{ChannelIndex, Credit, Stream};
use super::{Checked, PartyIndex, Shard, SignerIndex, mark};
use crate::canary::{Bug, planted};
use crate::types::{Amount, AssetNumber, Lsn, Outcome, Timestamp, Total, Verdict};

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

/// What the rule allows: where it stands in the shard's tables, and by how much.
#[derive(Clone, Copy)]
struct Charge {
    signer: SignerIndex,
    payer: PartyIndex,
    payee: PartyIndex,
    gauge: usize,
    /// Among the payer's exposures.
    exposure: usize,
    /// `None`: it is to be opened.
    channel: Option<ChannelIndex>,
    delta: Amount,
    /// What the payer owes with it.
    unsettled: Total,
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

    /// What would become of these vouchers if each came alone, and now: the rule itself, and no
    /// effect.
    pub fn would(&self, at: Timestamp, vouchers: &[Checked<'_>], outcomes: &mut Vec<Outcome>) {
        outcomes.clear();
        let mut found = [NOTHING; BLOCK];
        for block in vouchers.chunks(BLOCK) {
            self.look_up(block, &mut found);
            for (checked, found) in block.iter().zip(&found) {
                let judged = self.judge(at, checked, *found);
                outcomes.push(judged.map_or_else(|refused| refused, |_| Outcome::Credited));
            }
        }
    }

    fn credit_one(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        checked: &Checked<'_>,
        found: Found,
    ) -> Outcome {
        match self.judge(at, checked, found) {
            Ok(charge) => {
                self.charge(lsn, at, checked, &charge);
                Outcome::Credited
            }
            Err(refused) => refused,
        }
    }

    /// The credit rule: what becomes of one voucher.
    ///
    /// # Errors
    /// Why it is not credited.
    #[inline]
    fn judge(&self, at: Timestamp, checked: &Checked<'_>, found: Found) -> Result<Charge, Outcome> {
        let voucher = checked.voucher;
        match checked.verdict {
            Verdict::Malformed => return Err(Outcome::Malformed),
            Verdict::UnknownKey => return Err(Outcome::UnknownSigner),
            Verdict::Valid | Verdict::BadSignature | Verdict::Stale => {}
        }
        let signer_index = found.signer.ok_or(Outcome::UnknownSigner)?;
        let signer = &self.signers[signer_index as usize];
        if signer.revoked {
            return Err(Outcome::RevokedSigner);
        }
        let payer = signer.payer;
        if self.parties[payer as usize].suspended {
            return Err(Outcome::SuspendedParty);
        }
        let payee = found.payee.ok_or(Outcome::UnknownPayee)?;
        if self.parties[payee as usize].suspended {
            return Err(Outcome::SuspendedParty);
        }
        let asset = voucher.asset();
        let gauge = self.assets.binary_search(&asset).map_err(|_| Outcome::UnknownAsset)?;
        if payer == payee {
            return Err(Outcome::SelfPayment);
        }
        let (expires_at, now) = (voucher.expires_at(), at.seconds());
        if expires_at <= now {
            return Err(Outcome::Expired);
        }
        if expires_at.saturating_sub(now) > self.lifetime_seconds_max {
            return Err(Outcome::LifetimeTooLong);
        }
        let cumulative = voucher.cumulative();
        // An earlier voucher of the block may have opened it.
        let channel = found.channel.or_else(|| self.channels.find(&checked.channel));
        let total = channel.map_or(Amount(0), |channel| self.channels.get(channel).total);
        let delta = cumulative.rise_above(total).ok_or(Outcome::Stale)?;
        if checked.verdict != Verdict::Valid {
            assert_ne!(checked.verdict, Verdict::Stale, "what is certainly stale raises no total");
            return Err(Outcome::BadSignature);
        }
        if checked.rise.is_some_and(|asked| asked != delta) {
            return Err(Outcome::WrongAmount);
        }
        if channel.is_none() && self.has_channels_enough(signer_index, at) {
            return Err(Outcome::TooManyChannels);
        }
        let again = planted(Bug::CreditTotal) && total > Amount(0);
        let delta = if again { cumulative } else { delta };
        // Most keys have no limit of their own: they ask no more than that.
        if let Some(limits) = &signer.limits
            && let Some(over) = limits.refusal((asset, voucher.payee()), at, delta)
        {
            return Err(over);
        }
        let (exposure, unsettled) = self.owing(payer, (asset, gauge), delta)?;
        Ok(Charge {
            signer: signer_index,
            payer,
            payee,
            gauge,
            exposure,
            channel,
            delta,
            unsettled,
        })
    }

    /// What a payer would owe with so much more, and where that stands among its exposures.
    ///
    /// # Errors
    /// More than it may.
    #[inline]
    fn owing(
        &self,
        payer: PartyIndex,
        (asset, gauge): (AssetNumber, usize),
        delta: Amount,
    ) -> Result<(usize, Total), Outcome> {
        let exposures = &self.parties[payer as usize].exposures;
        let place = exposures.iter().position(|(of, _)| *of == asset).ok_or(Outcome::OverLimit)?;
        let held = &exposures[place].1;
        let unsettled = held.unsettled.plus_amount(delta);
        if unsettled > held.limit.plus(held.prefund) || unsettled > self.unsettled_max[gauge] {
            return Err(Outcome::OverLimit);
        }
        Ok((place, unsettled))
    }

    /// Does what the rule allows. Nothing can refuse any more.
    #[inline]
    fn charge(&mut self, lsn: Lsn, at: Timestamp, checked: &Checked<'_>, charge: &Charge) {
        let Charge { signer, payer, payee, gauge, exposure, channel, delta, unsettled } = *charge;
        let voucher = checked.voucher;
        let asset = voucher.asset();
        self.parties[payer as usize].exposures[exposure].1.unsettled = unsettled;
        let gauge = &mut self.gauges[gauge];
        gauge.gross = gauge.gross.plus_amount(delta);
        gauge.exposure = gauge.exposure.max(unsettled);
        mark(&mut self.parties[payer as usize].changed, &mut self.parties_changed, payer);
        self.spend(signer, (asset, voucher.payee()), at, delta);
        let (total, signature) = (voucher.cumulative(), voucher.signature());
        let branch = voucher.seat().map(|seat| {
            checked.tree.expect("an entry that is credited comes with its tree").branch(seat)
        });
        let credit = Credit { total, lsn, signature, branch };
        match channel {
            Some(channel) => self.channels.raise(channel, &credit),
            None => {
                let (lane, expires_at) = (voucher.lane(), voucher.expires_at());
                let stream = Stream { lane, expires_at, signer, payee, asset };
                self.channels.open(checked.channel, &stream, &credit);
                self.count_channel(signer, expires_at);
            }
        }
        self.credited += 1;
    }
}

#[cfg(test)]
mod tests;
