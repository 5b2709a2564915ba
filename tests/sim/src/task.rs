//! Calls under way: futures of the engine's way in, polled by hand. Owns how a call is made and
//! what its answer must be; never decides when it is polled.

use crate::model::{Decided, Exposure};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tallystick::ledger::{BatchHead, Command, Refusal};
use tallystick::pipeline::{Busy, Done, Intake};
use tallystick::settle::{Archive, Clearing, Computed, CreateBatch, Work, create_batch_by};
use tallystick::sign::EngineKey;
use tallystick::types::{AssetNumber, ChannelId, Lsn, PartyId, WindowNumber};

/// A call that is made, polled by hand.
pub type Calling<T> = Pin<Box<dyn Future<Output = T>>>;

/// A call that is under way.
pub struct Task {
    /// Tells it from others.
    pub id: u64,
    /// What it is.
    pub call: Call,
}

/// What was called.
pub enum Call {
    /// Commands, each on its own.
    Commands {
        /// What is asked for.
        commands: Vec<Command>,
        /// What the edge does around them.
        doing: Doing,
        /// What must be answered, once it is in the one order.
        wanted: Option<Vec<Decided>>,
        /// The call itself.
        calling: Calling<Result<Vec<Result<Done, Refusal>>, Busy>>,
    },
    /// A batch is to be computed.
    Batch {
        /// What is asked for.
        ask: CreateBatch,
        /// Why it could have been refused at any moment since.
        refusals: BTreeSet<&'static str>,
        /// How often accounts and deposits had changed when it was looked at first.
        began: Option<u64>,
        /// The call itself.
        calling: Calling<Result<Arc<BatchHead>, tallystick::settle::NotLoaded>>,
    },
    /// A question to a shard.
    Question {
        /// What is asked.
        question: Question,
        /// What must be answered, once it is in the one order.
        wanted: Option<Told>,
        /// The call itself.
        calling: Calling<Result<Told, Busy>>,
    },
    /// The control state is read: the last event, and how many windows there are.
    Read {
        /// What it was when it was read.
        wanted: (u64, usize),
        /// The call itself.
        calling: Calling<Result<(u64, usize), Busy>>,
    },
}

/// What the edge does around commands, besides asking for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing.
    Nothing,
    /// It puts a new key of the engine in force.
    Rotates,
    /// It destroys the key of a party that is erased.
    Erases(PartyId),
    /// It forgets the evidence of a window.
    Archives(WindowNumber),
}

/// What a shard can be asked.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Question {
    Channel(PartyId, crate::world::Channel, ChannelId),
    Newest(PartyId, crate::world::Channel, ChannelId),
    Exposure(PartyId, u32),
    ExposureAt(PartyId, u64),
}

/// What a shard answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A channel's total and record.
    Channel(u64, u64),
    /// The newest voucher, the total before its window, its record.
    Newest(Option<(Box<[u8; 160]>, u64, u64)>),
    /// An exposure.
    Exposure(Exposure),
    /// The exposure that a record gave, if that is remembered.
    Given(Option<Exposure>),
}

/// Polls a future once. Nobody is woken: whoever holds it tries again.
pub fn poll<T>(calling: &mut Calling<T>) -> Option<T> {
    match calling.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Polls what needs no second poll.
pub fn at_once<T>(calling: impl Future<Output = T> + 'static) -> T {
    poll(&mut (Box::pin(calling) as Calling<T>)).expect("there is nothing to wait for")
}

/// Commands, in order.
#[must_use]
pub fn commands(intake: &Intake, commands: Vec<Command>, doing: Doing) -> Call {
    let (intake, asked) = (intake.clone(), commands.clone());
    let calling = Box::pin(async move { intake.commands(asked).await });
    Call::Commands { commands, doing, wanted: None, calling }
}

/// A batch. Computing it takes as long as nobody polls.
#[must_use]
pub fn batch(
    intake: &Intake,
    archive: &Archive,
    key: &Arc<EngineKey>,
    clearing: &Clearing,
    ask: CreateBatch,
) -> Call {
    let (intake, archive, key) = (intake.clone(), archive.clone(), key.clone());
    let (clearing, asked) = (clearing.clone(), ask.clone());
    let calling = Box::pin(async move {
        create_batch_by(&intake, &archive, &key, &clearing, &asked, aside).await
    });
    Call::Batch { ask, refusals: BTreeSet::new(), began: None, calling }
}

/// Other things happen before a batch is computed, and after it.
async fn aside(work: Work) -> Computed {
    pause().await;
    let computed = work();
    if computed.is_ok() {
        // Where the process died in it, nothing happens any more.
        pause().await;
    }
    computed
}

/// Ready at the second poll.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A question.
#[must_use]
pub fn question(intake: &Intake, question: Question) -> Call {
    let intake = intake.clone();
    let calling = Box::pin(async move {
        Ok(match question {
            Question::Channel(payer, _, channel) => {
                let held = intake.channel(payer, channel).await?;
                Told::Channel(held.total.0, held.lsn.0)
            }
            Question::Newest(payer, _, channel) => {
                let newest = intake.newest(payer, channel).await?;
                Told::Newest(newest.map(|held| (Box::new(held.voucher), held.before.0, held.lsn.0)))
            }
            Question::Exposure(party, asset) => {
                let owes = intake.exposure(party, AssetNumber(asset)).await?;
                Told::Exposure(crate::check::exposure(owes))
            }
            Question::ExposureAt(party, lsn) => {
                let owes = intake.exposure_at(party, Lsn(lsn)).await?;
                Told::Given(owes.map(crate::check::exposure))
            }
        })
    });
    Call::Question { question, wanted: None, calling }
}

/// A read of the control state, which is now `wanted`.
#[must_use]
pub fn read(intake: &Intake, wanted: (u64, usize)) -> Call {
    let intake = intake.clone();
    let read =
        |control: &tallystick::ledger::Control| (control.applied().0, control.windows().len());
    let calling = Box::pin(async move { intake.read(read).await });
    Call::Read { wanted, calling }
}
