//! The ledger as one would write it on a page: maps, one voucher at a time, nothing clever.

use std::collections::{BTreeMap, BTreeSet};
use tallystick::types::{AssetNumber, Outcome, PartyId, SignerKey, Voucher};

#[derive(Default)]
pub struct ModelLedger {
    pub lifetime: i64,
    pub parties: BTreeMap<PartyId, bool>,
    pub signers: BTreeMap<SignerKey, PartyId>,
    pub revoked: BTreeSet<SignerKey>,
    pub caps: BTreeMap<(SignerKey, AssetNumber), u128>,
    pub assets: BTreeSet<AssetNumber>,
    pub room: BTreeMap<(PartyId, AssetNumber), u128>,
    pub used: BTreeMap<(SignerKey, AssetNumber), u128>,
    pub unsettled: BTreeMap<(PartyId, AssetNumber), u128>,
    pub totals: BTreeMap<(SignerKey, PartyId, AssetNumber, u64, i64), u64>,
    pub owed: BTreeMap<(AssetNumber, PartyId, PartyId), u128>,
}

impl ModelLedger {
    /// `malformed` and `good`: what is known of the bytes and the signature.
    pub fn credit(&mut self, v: &Voucher, malformed: bool, good: bool, now: i64) -> Outcome {
        let channel = (v.signer, v.payee, v.asset, v.lane, v.expires_at);
        let Some(&payer) = self.signers.get(&v.signer).filter(|_| !malformed) else {
            return if malformed { Outcome::Malformed } else { Outcome::UnknownSigner };
        };
        let total = self.totals.get(&channel).copied().unwrap_or(0);
        let rise = u128::from(v.cumulative.0.saturating_sub(total));
        let used = self.used.get(&(v.signer, v.asset)).copied().unwrap_or(0) + rise;
        let unsettled = self.unsettled.get(&(payer, v.asset)).copied().unwrap_or(0) + rise;
        match () {
            () if self.revoked.contains(&v.signer) => Outcome::RevokedSigner,
            () if self.parties[&payer] => Outcome::SuspendedParty,
            () if !self.parties.contains_key(&v.payee) => Outcome::UnknownPayee,
            () if self.parties[&v.payee] => Outcome::SuspendedParty,
            () if !self.assets.contains(&v.asset) => Outcome::UnknownAsset,
            () if payer == v.payee => Outcome::SelfPayment,
            () if v.expires_at <= now => Outcome::Expired,
            () if v.expires_at.saturating_sub(now) > self.lifetime => Outcome::LifetimeTooLong,
            () if v.cumulative.0 <= total => Outcome::Stale,
            () if !good => Outcome::BadSignature,
            () if self.caps.get(&(v.signer, v.asset)).is_some_and(|cap| used > *cap) => {
                Outcome::OverSignerCap
            }
            () if unsettled > self.room.get(&(payer, v.asset)).copied().unwrap_or(0) => {
                Outcome::OverLimit
            }
            () => {
                self.totals.insert(channel, v.cumulative.0);
                self.used.insert((v.signer, v.asset), used);
                self.unsettled.insert((payer, v.asset), unsettled);
                *self.owed.entry((v.asset, payer, v.payee)).or_default() += rise;
                Outcome::Credited
            }
        }
    }
}
