//! What the sequencer hands on: the records of one fsync, and what the shards do with each.

use super::frame::Frame;
use crate::journal::checkpoint::Mark;
use crate::ledger::{
    BudgetUse, ChannelState, Command, Event, Evidence, Exposure, Gauge, Headroom, Leftover, Refusal,
};
use crate::types::{AssetNumber, ChannelId, Lsn, PartyId, SignerKey, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// One entry of a group, in order. The shards and the journal all walk the same list.
pub(super) enum Item {
    /// A frame: the shards credit its vouchers.
    Frame(Arc<Frame>),
    /// An event: every shard applies it.
    Event(Lsn, Arc<Event>),
    /// A question to one shard, answered from the state at this point of the order.
    Question(Question),
    /// A checkpoint of the state at this point of the order.
    Checkpoint(Mark),
}

/// A question to the shard that owns a party or channel.
pub(super) struct Question {
    /// Which shard.
    pub shard: u16,
    /// What is asked.
    pub what: What,
    reply: Mutex<Option<oneshot::Sender<(Reply, Lsn)>>>,
}

/// What a shard can be asked.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// What it holds for a channel.
    Channel(ChannelId),
    /// The newest voucher credited on each of these channels.
    Newest(Vec<ChannelId>),
    /// A party's exposure now.
    Exposure(PartyId, AssetNumber),
    /// The exposure that the limit or deposit at this record gave.
    ExposureAt(Lsn),
    /// Its figures.
    Figures,
    /// What the open window holds, by asset.
    Gauges,
    /// What a signer has used of its budgets.
    Budgets(SignerKey),
    /// Of which budgets so much is used that their owners should know: some of them.
    BudgetsNear,
    /// How much parties have left of what they may owe: of some of them at a time.
    Leftover,
    /// How far parties owe and may owe in an asset: of some of them, from this place on.
    Exposures(AssetNumber, usize),
    /// How much these signers may still credit.
    Headroom(Ahead),
}

/// How much may still be credited: of whom, in what, to whom, and when.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    /// Signers of one shard.
    pub signers: Vec<SignerKey>,
    /// In which asset.
    pub asset: AssetNumber,
    /// To this payee; `None`: to whomever they may pay.
    pub payee: Option<PartyId>,
    /// In the periods of budgets in which this lies.
    pub at: Timestamp,
}

/// A shard's answer.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Channel(ChannelState),
    Newest(Vec<Option<Evidence>>),
    Exposure(Exposure),
    ExposureAt(Option<Exposure>),
    Figures(Figures),
    Gauges(Vec<(AssetNumber, Gauge)>),
    Budgets(Vec<BudgetUse>),
    Headroom(Vec<Headroom>),
    Leftover(BTreeMap<AssetNumber, Leftover>),
    /// And the place of the next; 0 after the last.
    Exposures(Vec<(PartyId, Exposure)>, usize),
}

/// Figures of one shard, or the sum over all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Channels held.
    pub channels: u64,
    /// Vouchers credited in the open window.
    pub credited: u64,
}

impl Question {
    pub fn new(shard: u16, what: What) -> (Self, oneshot::Receiver<(Reply, Lsn)>) {
        let (reply, answer) = oneshot::channel();
        (Self { shard, what, reply: Mutex::new(Some(reply)) }, answer)
    }

    /// Answers from the state after the record `applied`.
    pub fn answer(&self, reply: Reply, applied: Lsn) {
        let sender = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The caller may have disconnected.
        let _ = sender.expect("a question is answered once").send((reply, applied));
    }
}

/// What the sequencer is asked besides frames.
pub(super) enum Ask {
    /// Do these, in order; each is decided on its own.
    Commands(Vec<Command>, oneshot::Sender<Vec<Result<Done, Refusal>>>),
    /// Put this question to its shard.
    Question(Question),
    /// Begin a checkpoint as soon as one can be made.
    Checkpoint,
}

/// What became of a command that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is this record.
    Now(Lsn),
    /// The same request was answered before, by this record.
    Before(Lsn),
}

impl Done {
    /// The record that did it.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        match self {
            Self::Now(lsn) | Self::Before(lsn) => lsn,
        }
    }
}
