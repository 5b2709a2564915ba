//! How much signers may still credit; and how much parties have left of what they may owe, told
//! without any of them.

use super::engine::Engine;
use crate::ledger::{Headroom, Leftover};
use crate::pipeline::Busy;
use crate::types::{AssetNumber, PartyId, SignerKey};
use std::collections::BTreeMap;

impl Engine {
    /// How much each of these signers may still credit in an asset, to this payee or to whomever.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn headroom(
        &self,
        signers: &[SignerKey],
        to: (AssetNumber, Option<PartyId>),
    ) -> Result<Vec<Headroom>, Busy> {
        self.intake().headroom(signers, to).await
    }

    /// What parties have left in each asset: of those that were looked at this time.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn leftover(&self) -> Result<BTreeMap<AssetNumber, Leftover>, Busy> {
        self.intake().leftover().await
    }
}
