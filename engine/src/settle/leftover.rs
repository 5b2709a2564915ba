//! How much parties have left of what they may owe, told without any of them.

use super::engine::Engine;
use crate::ledger::Leftover;
use crate::pipeline::Busy;
use crate::types::AssetNumber;
use std::collections::BTreeMap;

impl Engine {
    /// What parties have left in each asset: of those that were looked at this time.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn leftover(&self) -> Result<BTreeMap<AssetNumber, Leftover>, Busy> {
        self.intake().leftover().await
    }
}
