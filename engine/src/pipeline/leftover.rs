//! What the shards are asked about how far parties owe, and how much they have left of what they
//! may owe.

use super::group::{Reply, What};
use super::intake::{Busy, Intake};
use crate::ledger::{Exposure, Leftover};
use crate::types::{AssetNumber, PartyId};
use std::collections::BTreeMap;

impl Intake {
    /// What parties have left in each asset, over all shards: of those that were looked at this
    /// time.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn leftover(&self) -> Result<BTreeMap<AssetNumber, Leftover>, Busy> {
        let mut all: BTreeMap<AssetNumber, Leftover> = BTreeMap::new();
        for shard in 0..self.shards() {
            match self.question(shard, What::Leftover).await? {
                Reply::Leftover(found) => {
                    for (asset, leftover) in found {
                        all.entry(asset).or_default().add(&leftover);
                    }
                }
                reply @ (Reply::Newest(_)
                | Reply::Exposure(_)
                | Reply::ExposureAt(_)
                | Reply::Channel(_)
                | Reply::Figures(_)
                | Reply::Budgets(_)
                | Reply::Gauges(_)
                | Reply::Headroom(_)
                | Reply::Exposures(..)) => {
                    panic!("{reply:?} to leftover")
                }
            }
        }
        Ok(all)
    }

    /// How far parties owe and may owe in an asset, over all shards: of some at a time, each as it
    /// is then.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn exposures(
        &self,
        asset: AssetNumber,
        mut note: impl FnMut(Vec<(PartyId, Exposure)>),
    ) -> Result<(), Busy> {
        for shard in 0..self.shards() {
            let mut from = 0;
            loop {
                let (found, next) = self.exposures_from(shard, asset, from).await?;
                note(found);
                if next == 0 {
                    break;
                }
                from = next;
            }
        }
        Ok(())
    }

    async fn exposures_from(
        &self,
        shard: u16,
        asset: AssetNumber,
        from: usize,
    ) -> Result<(Vec<(PartyId, Exposure)>, usize), Busy> {
        match self.question(shard, What::Exposures(asset, from)).await? {
            Reply::Exposures(found, next) => Ok((found, next)),
            reply @ (Reply::Newest(_)
            | Reply::Exposure(_)
            | Reply::ExposureAt(_)
            | Reply::Channel(_)
            | Reply::Figures(_)
            | Reply::Budgets(_)
            | Reply::Gauges(_)
            | Reply::Headroom(_)
            | Reply::Leftover(_)) => {
                panic!("{reply:?} to exposures")
            }
        }
    }
}
