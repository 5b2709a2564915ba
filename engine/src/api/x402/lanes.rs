//! How channels stand, and what became of a payment: for agents that take their lanes up again, and
//! for whoever lost an answer.

use super::super::receipts::Credited;
use super::messages::{AskedChannels, Channel, Channels, Status};
use super::read::decimal;
use super::receipt;
use crate::api::access::Own;
use crate::ledger::Evidence;
use crate::limits::X402_CHANNELS_MAX;
use crate::pipeline::{Busy, NotDone};
use crate::proof::Hex;
use crate::settle::Engine;
use crate::types::{Amount, ChannelId, SignerKey};

/// Who asks about channels.
pub(super) enum Asker {
    /// Who makes a call of this right.
    Caller(Own),
    /// The agent with this key, about channels of its own.
    Agent(SignerKey),
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The question is wrong.
    Wrong(String),
    /// Another time.
    Later(String),
}

impl From<Busy> for NoAnswer {
    fn from(busy: Busy) -> Self {
        Self::Later(busy.to_string())
    }
}

impl From<NotDone> for NoAnswer {
    fn from(why: NotDone) -> Self {
        Self::Later(why.to_string())
    }
}

impl Asker {
    fn may_see(&self, engine: &Engine, found: &Evidence) -> bool {
        let voucher = found.voucher();
        match self {
            Self::Caller(own) => own.channel(engine, voucher.signer(), voucher.payee()).is_ok(),
            Self::Agent(key) => *key == voucher.signer(),
        }
    }

    /// What is known of these channels. One that is somebody else's is told from none by nothing.
    async fn find(
        &self,
        engine: &Engine,
        channels: &[ChannelId],
    ) -> Result<Vec<Option<Evidence>>, NoAnswer> {
        let found = engine.newest_of_all(channels).await?;
        let own = |found: &Evidence| self.may_see(engine, found);
        Ok(found.into_iter().map(|found| found.filter(own)).collect())
    }
}

/// How one channel stands.
pub(super) async fn one(
    engine: &Engine,
    asker: &Asker,
    channel: &str,
) -> Result<Channel, NoAnswer> {
    let channel = channel_id(channel)?;
    let found = asker.find(engine, &[channel]).await?;
    Ok(shown(None, found.first().and_then(Option::as_ref)))
}

/// How several do, in their order.
pub(super) async fn several(
    engine: &Engine,
    asker: &Asker,
    body: &[u8],
) -> Result<Channels, NoAnswer> {
    let asked: AskedChannels<'_> =
        serde_json::from_slice(body).map_err(|why| NoAnswer::Wrong(why.to_string()))?;
    if asked.channels.len() > X402_CHANNELS_MAX {
        let why = format!("ask for {X402_CHANNELS_MAX} channels at most");
        return Err(NoAnswer::Wrong(why));
    }
    let channels = asked.channels.iter().map(|id| channel_id(id));
    let channels = channels.collect::<Result<Vec<_>, NoAnswer>>()?;
    let found = asker.find(engine, &channels).await?;
    let shown =
        |(id, found): (&ChannelId, Option<Evidence>)| shown(Some(Hex(id.0)), found.as_ref());
    Ok(Channels { channels: channels.iter().zip(found).map(shown).collect() })
}

/// What became of the payment with this commitment.
pub(super) async fn commitment(
    engine: &Engine,
    asker: &Asker,
    (channel, cumulative): (&str, &str),
) -> Result<Status, NoAnswer> {
    let channel = channel_id(channel)?;
    let cumulative = decimal(cumulative).filter(|total| *total > 0).ok_or_else(|| {
        NoAnswer::Wrong("behind the colon stands the voucher's cumulative, in digits".to_owned())
    })?;
    let mut found = asker.find(engine, &[channel]).await?;
    let Some(newest) = found.pop().flatten() else { return Ok(Status::of("not_seen")) };
    let total = newest.voucher().cumulative();
    let charged = Some(total.0.to_string());
    if total < Amount(cumulative) {
        return Ok(Status { charged, ..Status::of("not_seen") });
    }
    if total > Amount(cumulative) {
        return Ok(Status { charged, ..Status::of("unknown") });
    }
    let transaction = Some(super::commitment(channel, total));
    let Evidence { voucher, branch, lsn, .. } = newest;
    let receipt = Some(receipt(engine, Credited { voucher, branch, lsn }).await?);
    Ok(Status { state: "settled", transaction, charged, receipt })
}

impl Status {
    pub fn of(state: &'static str) -> Self {
        Self { state, transaction: None, charged: None, receipt: None }
    }
}

fn shown(channel: Option<Hex<32>>, found: Option<&Evidence>) -> Channel {
    let charged = found.map_or(Amount(0), |found| found.voucher().cumulative());
    Channel { channel, known: found.is_some(), charged: charged.0.to_string() }
}

fn channel_id(text: &str) -> Result<ChannelId, NoAnswer> {
    text.parse().map_err(|_| NoAnswer::Wrong("a channel id is 64 hexadecimal digits".to_owned()))
}
