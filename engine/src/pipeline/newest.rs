//! What the shards are asked of single channels: the newest voucher that was credited on each.

use super::group::{Reply, What};
use super::intake::{Busy, Intake};
use crate::ledger::Evidence;
use crate::types::{ChannelId, PartyId};

impl Intake {
    /// The newest voucher that was credited on a channel of `payer`, durably.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn newest(
        &self,
        payer: PartyId,
        channel: ChannelId,
    ) -> Result<Option<Evidence>, Busy> {
        let mut found = self.newest_in(payer.shard(self.shards()), vec![channel]).await?;
        Ok(found.pop().flatten())
    }

    /// The same of several channels, whosever they are: each shard is asked once.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn newest_of_all(
        &self,
        channels: &[ChannelId],
    ) -> Result<Vec<Option<Evidence>>, Busy> {
        let mut all = vec![None; channels.len()];
        for shard in 0..self.shards() {
            let found = self.newest_in(shard, channels.to_vec()).await?;
            for (place, found) in all.iter_mut().zip(found) {
                *place = place.take().or(found);
            }
        }
        Ok(all)
    }

    async fn newest_in(
        &self,
        shard: u16,
        channels: Vec<ChannelId>,
    ) -> Result<Vec<Option<Evidence>>, Busy> {
        match self.question(shard, What::Newest(channels)).await? {
            Reply::Newest(found) => Ok(found),
            reply @ (Reply::Channel(_)
            | Reply::Exposure(_)
            | Reply::ExposureAt(_)
            | Reply::Figures(_)
            | Reply::Gauges(_)
            | Reply::Budgets(_)
            | Reply::Headroom(_)
            | Reply::Leftover(_)
            | Reply::Exposures(..)) => {
                panic!("{reply:?} to the newest vouchers")
            }
        }
    }
}
