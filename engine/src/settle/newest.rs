//! What was credited last on single channels.

use super::Engine;
use crate::ledger::Evidence;
use crate::pipeline::Busy;
use crate::types::{ChannelId, SignerKey};

impl Engine {
    /// The newest voucher that was credited on a signer's channel.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn newest(
        &self,
        signer: SignerKey,
        channel: ChannelId,
    ) -> Result<Option<Evidence>, Busy> {
        let intake = self.intake();
        let Some(payer) = intake.payer_of(signer) else { return Ok(None) };
        intake.newest(payer, channel).await
    }

    /// The same of several channels, whosever they are.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn newest_of_all(
        &self,
        channels: &[ChannelId],
    ) -> Result<Vec<Option<Evidence>>, Busy> {
        self.intake().newest_of_all(channels).await
    }
}
