//! How much a signer may still credit: what the credit rule would say, asked before a voucher
//! comes.
//!
//! Decides nothing and changes nothing: the rule (`credit`) is asked again for every voucher.

use super::Shard;
use crate::types::{Amount, AssetNumber, Outcome, PartyId, SignerKey, Timestamp};

/// How much a signer's totals may still rise, and what a voucher is told that would raise one by
/// more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// So much, in asset units.
    pub left: Amount,
    /// This.
    pub beyond: Outcome,
}

impl Headroom {
    /// Of whom nothing is credited.
    #[must_use]
    pub const fn none(beyond: Outcome) -> Self {
        Self { left: Amount(0), beyond }
    }
}

impl Shard {
    /// How much a signer of this shard may still credit in an asset, to this payee, or to whomever
    /// it may pay. What stands against a voucher of its own (its signature, its expiry, a channel
    /// too many) is not looked at.
    #[must_use]
    pub fn headroom(
        &self,
        signer: SignerKey,
        (asset, payee): (AssetNumber, Option<PartyId>),
        at: Timestamp,
    ) -> Headroom {
        // In the order of the rule.
        let Some(&index) = self.signer_index.get(&signer) else {
            return Headroom::none(Outcome::UnknownSigner);
        };
        let signer = &self.signers[index as usize];
        if signer.revoked {
            return Headroom::none(Outcome::RevokedSigner);
        }
        let payer = &self.parties[signer.payer as usize];
        if payer.suspended {
            return Headroom::none(Outcome::SuspendedParty);
        }
        if let Some(payee) = payee {
            let Some(&payee) = self.party_index.get(&payee) else {
                return Headroom::none(Outcome::UnknownPayee);
            };
            if self.parties[payee as usize].suspended {
                return Headroom::none(Outcome::SuspendedParty);
            }
        }
        let Ok(place) = self.assets.binary_search(&asset) else {
            return Headroom::none(Outcome::UnknownAsset);
        };
        if payee == Some(payer.id) {
            return Headroom::none(Outcome::SelfPayment);
        }
        let of_key = signer.left((asset, payee), at);
        let held = payer.exposures.iter().find(|(of, _)| *of == asset).map(|(_, held)| held);
        let of_party = held.map_or(0, |held| {
            let most = held.limit.plus(held.prefund).min(self.unsettled_max[place]);
            most.checked_minus(held.unsettled).unwrap_or_default().0
        });
        let of_party = Amount(u64::try_from(of_party).unwrap_or(u64::MAX));
        let all = of_key.chain([Headroom { left: of_party, beyond: Outcome::OverLimit }]);
        // Of several that allow as little the rule names the first.
        all.min_by_key(|one| one.left).expect("the party's limit is one")
    }
}
