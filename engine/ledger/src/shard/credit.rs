//! The credit rule: what becomes of one voucher. Reads the shard's tables, changes them only when
//! nothing can refuse any more.

use super::channels::{ChannelIndex, Credit, Hash, Head, Stream};
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

/// Has all of it in the cache.
fn read_all(values: impl Iterator<Item = u64>) {
    std::hint::black_box(values.fold(0, |all, value| all ^ value));
}

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
    /// step is a cache miss, and misses that do not wait for each other's outcome overlap. So all
    /// vouchers take one step before any takes the next. A channel that is held names its signer
    /// and payee: its id is a hash over them.
    fn look_up(&self, block: &[Checked<'_>], found: &mut [Found; BLOCK]) {
        let mut hashes = [Hash::default(); BLOCK];
        let channels = &self.channels;
        hashes.iter_mut().zip(block).for_each(|(hash, of)| *hash = channels.hash(&of.channel));
        let hashes = &hashes[..block.len()];
        read_all(hashes.iter().map(|hash| channels.touch(*hash)));
        read_all(hashes.iter().map(|hash| channels.touch_head(*hash)));
        for ((found, checked), hash) in found.iter_mut().zip(block).zip(hashes) {
            *found = match checked.verdict {
                Verdict::Malformed | Verdict::UnknownKey => NOTHING,
                Verdict::Valid | Verdict::BadSignature | Verdict::Stale => {
                    match channels.find_hashed(*hash, &checked.channel) {
                        Some(channel) => {
                            let Head { signer, payee, .. } = *channels.head(channel);
                            let (signer, payee) = (Some(signer), Some(payee));
                            Found { channel: Some(channel), signer, payee }
                        }
                        None => Found {
                            channel: None,
                            signer: self.signer_index.get(&checked.voucher.signer()).copied(),
                            payee: self.party_index.get(&checked.voucher.payee()).copied(),
                        },
                    }
                }
            };
        }
        let found = &found[..block.len()];
        let signers = || found.iter().flat_map(|of| of.signer).map(|at| &self.signers[at as usize]);
        let parties = || signers().map(|of| of.payer).chain(found.iter().flat_map(|of| of.payee));
        let signed = found.iter().flat_map(|of| of.channel);
        read_all(signed.map(|channel| channels.touch_signature(channel)));
        read_all(signers().map(|signer| u64::from(signer.revoked)));
        read_all(parties().map(|party| u64::from(self.parties[party as usize].suspended)));
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
        let total = channel.map_or(Amount(0), |channel| self.channels.head(channel).total);
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
        let entry = voucher.seat().map(|seat| {
            (checked.tree.expect("an entry that is credited comes with its tree"), seat)
        });
        let credit = Credit { total, lsn, signature, entry };
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
