//! What the shards are asked about how much parties have left of what they may owe.

use super::group::{Reply, What};
use super::intake::{Busy, Intake};
use crate::ledger::Leftover;
use crate::types::AssetNumber;
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
                | Reply::Headroom(_)) => {
                    panic!("{reply:?} to leftover")
                }
            }
        }
        Ok(all)
    }
}
