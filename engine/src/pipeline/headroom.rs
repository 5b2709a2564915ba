//! What the shards are asked before a voucher comes: how much its signer may still credit.

use super::group::{Ahead, Reply, What};
use super::intake::{Busy, Intake};
use super::now;
use crate::ledger::Headroom;
use crate::types::{AssetNumber, Outcome, PartyId, SignerKey};
use std::collections::BTreeMap;

impl Intake {
    /// How much each of these signers may still credit now, in their order: of what is durable.
    /// Each shard is asked once, whatever the number of its signers.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn headroom(
        &self,
        signers: &[SignerKey],
        (asset, payee): (AssetNumber, Option<PartyId>),
    ) -> Result<Vec<Headroom>, Busy> {
        let mut by_shard: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (place, signer) in signers.iter().enumerate() {
            if let Some(payer) = self.payer_of(*signer) {
                by_shard.entry(payer.shard(self.shards())).or_default().push(place);
            }
        }
        let mut all = vec![Headroom::none(Outcome::UnknownSigner); signers.len()];
        for (shard, places) in by_shard {
            let own = places.iter().map(|place| signers[*place]).collect();
            let ahead = Ahead { signers: own, asset, payee, at: now() };
            for (place, found) in places.iter().zip(self.ahead(shard, ahead).await?) {
                all[*place] = found;
            }
        }
        Ok(all)
    }

    async fn ahead(&self, shard: u16, ahead: Ahead) -> Result<Vec<Headroom>, Busy> {
        match self.question(shard, What::Headroom(ahead)).await? {
            Reply::Headroom(found) => Ok(found),
            reply @ (Reply::Newest(_)
            | Reply::Exposure(_)
            | Reply::ExposureAt(_)
            | Reply::Channel(_)
            | Reply::Figures(_)
            | Reply::Gauges(_)
            | Reply::Budgets(_)
            | Reply::Leftover(_)
            | Reply::Exposures(..)) => {
                panic!("{reply:?} to headroom")
            }
        }
    }
}
