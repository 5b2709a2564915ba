//! What the shards are asked about budgets.

use super::group::{Reply, What};
use super::intake::{Busy, Intake};
use crate::ledger::BudgetUse;
use crate::types::{PartyId, SignerKey};

impl Intake {
    /// What a signer of `payer` has used of its budgets, durably: of each in the period in which it
    /// did last.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn budgets(&self, payer: PartyId, signer: SignerKey) -> Result<Vec<BudgetUse>, Busy> {
        self.budgets_of(payer.shard(self.shards()), What::Budgets(signer)).await
    }

    /// Of which budgets so much is used, durably, that their owners should know and were not told:
    /// some of them, of each shard apart.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn budgets_near(&self) -> Result<Vec<Vec<BudgetUse>>, Busy> {
        let mut near = Vec::new();
        for shard in 0..self.shards() {
            near.push(self.budgets_of(shard, What::BudgetsNear).await?);
        }
        Ok(near)
    }

    async fn budgets_of(&self, shard: u16, what: What) -> Result<Vec<BudgetUse>, Busy> {
        match self.question(shard, what).await? {
            Reply::Budgets(uses) => Ok(uses),
            reply @ (Reply::Newest(_)
            | Reply::Exposure(_)
            | Reply::ExposureAt(_)
            | Reply::Channel(_)
            | Reply::Figures(_)
            | Reply::Gauges(_)
            | Reply::Headroom(_)
            | Reply::Leftover(_)
            | Reply::Exposures(..)) => {
                panic!("{reply:?} to budgets")
            }
        }
    }
}
