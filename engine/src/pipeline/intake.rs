//! The way in: what services hold to send frames, do commands, ask questions and wait for
//! durability.
//!
//! Owns the bounds on what is under way. Nothing it returns is not durable yet.

use super::fair::{Fair, Permit};
use super::frame::{Aim, Answer, Brought, Frame};
use super::group::{Ask, Done, Figures, Question, Reply, What};
use super::keep::Progress;
use super::look::{Vitals, Watch};
use super::meters::Meters;
use super::queues::Queues;
use super::share::{LineIndex, Source};
use super::space::{Room, Space};
use crate::canary::{Bug, planted};
use crate::journal::{Log, Tables};
use crate::ledger::control::Control;
use crate::ledger::{ChannelState, Command, Exposure, Gauge, Refusal};
use crate::limits::FRAME_VOUCHERS_MAX;
use crate::types::{AssetNumber, ChannelHasher, ChannelId, Lsn, PartyId};
use crate::verify::{self, Keys, Verifier};
use crossbeam::channel::TrySendError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// Why the pipeline does not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// A queue is full.
    #[error("the engine has more to do than it may hold; slow down and try again")]
    Full,
    /// The engine stops.
    #[error("the engine is stopping; try again when it is back")]
    Stopping,
    /// The disk is nearly full: no vouchers, but commands go on.
    #[error("the engine's disk is nearly full, so it takes no vouchers; try again later")]
    DiskFull,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The pipeline does not take it.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// The way in. Cheap to clone; the pipeline stops when the last clone is gone.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

pub(super) struct Inner {
    pub fair: Arc<Fair>,
    pub space: Space,
    pub queues: Queues,
    pub control: Arc<RwLock<Control>>,
    pub keys: Arc<Keys>,
    pub hasher: ChannelHasher,
    pub verifier: Arc<Verifier>,
    pub verify_threads: usize,
    pub shards: u16,
    pub meters: Arc<Meters>,
    pub log: Arc<dyn Log>,
    pub tables: Arc<dyn Tables>,
    pub progress: Arc<Progress>,
    pub tickets: AtomicU64,
    pub durable: watch::Receiver<Lsn>,
    pub changed: watch::Receiver<Lsn>,
}

impl Intake {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Begins a stream of frames, or a single one, from this source.
    #[must_use]
    pub fn feed(&self, source: Source) -> Feed {
        let line = self.0.fair.join(source);
        Feed { intake: self.clone(), line }
    }

    /// Does one command. When it returns, its record is durable and every shard was told.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Busy`.
    pub async fn command(&self, command: Command) -> Result<Done, NotDone> {
        let mut done = self.commands(vec![command]).await?;
        Ok(done.pop().expect("one answer a command")?)
    }

    /// Does commands in order, each on its own: one that is refused does not stop the next.
    ///
    /// # Errors
    /// `Busy`: then it is not known which of them were done.
    pub async fn commands(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Done, Refusal>>, Busy> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Commands(commands, reply))?;
        let done = answer.await.map_err(|_| Busy::Stopping)?;
        let last = done.iter().filter_map(|d| d.as_ref().ok()).map(|d| d.lsn()).max();
        self.durable(last.unwrap_or(Lsn(0))).await?;
        Ok(done)
    }

    /// Does one command for a thread of the engine's own: waits for room, not for durability.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Stopping`.
    pub(crate) fn command_here(&self, command: Command) -> Result<Done, NotDone> {
        let mut done = self.tell(command)?.blocking_recv().map_err(|_| Busy::Stopping)?;
        Ok(done.pop().expect("one answer a command")?)
    }

    /// Asks for one command of the engine's own, as soon as there is room, and says where its
    /// answer will arrive. That says what was decided, durable or not.
    ///
    /// # Errors
    /// `Stopping`.
    pub fn tell(
        &self,
        command: Command,
    ) -> Result<oneshot::Receiver<Vec<Result<Done, Refusal>>>, Busy> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Commands(vec![command], reply);
        self.0.queues.asks.send(ask).map_err(|_| Busy::Stopping)?;
        Ok(answer)
    }

    /// Reads the control state. Returns when everything that was read is durable.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn read<T>(&self, read: impl FnOnce(&Control) -> T) -> Result<T, Busy> {
        let (found, applied) = {
            let control = self.control();
            (read(&control), control.applied())
        };
        self.durable(applied).await?;
        Ok(found)
    }

    /// Reads the control state, as soon as `read` finds what it looks for, and it is durable.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn read_when<T>(
        &self,
        mut read: impl FnMut(&Control) -> Option<T>,
    ) -> Result<T, Busy> {
        let mut changes = self.watch(Lsn(0));
        loop {
            changes.next().await?;
            if let Some(found) = self.read(&mut read).await? {
                return Ok(found);
            }
        }
    }

    /// Every change of the control state behind the record `from`, as it becomes durable.
    #[must_use]
    pub fn watch(&self, from: Lsn) -> Watch {
        Watch::new(from, self.0.changed.clone(), self.0.durable.clone())
    }

    /// What the ledger holds for a channel of `payer`, durably.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn channel(&self, payer: PartyId, channel: ChannelId) -> Result<ChannelState, Busy> {
        match self.question(payer.shard(self.0.shards), What::Channel(channel)).await? {
            Reply::Channel(state) => Ok(state),
            reply @ (Reply::Newest(_)
            | Reply::Exposure(_)
            | Reply::ExposureAt(_)
            | Reply::Figures(_)
            | Reply::Gauges(_)
            | Reply::Budgets(_)
            | Reply::Headroom(_)
            | Reply::Leftover(_)
            | Reply::Exposures(..)) => {
                panic!("{reply:?} to a channel")
            }
        }
    }

    /// Asks for a checkpoint, as soon as one can be made.
    ///
    /// # Errors
    /// `Busy`.
    pub fn ask_checkpoint(&self) -> Result<(), Busy> {
        self.ask(Ask::Checkpoint)
    }

    /// A party's exposure now, durably.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn exposure(&self, party: PartyId, asset: AssetNumber) -> Result<Exposure, Busy> {
        match self.question(party.shard(self.0.shards), What::Exposure(party, asset)).await? {
            Reply::Exposure(exposure) => Ok(exposure),
            reply @ (Reply::Newest(_)
            | Reply::ExposureAt(_)
            | Reply::Channel(_)
            | Reply::Figures(_)
            | Reply::Gauges(_)
            | Reply::Budgets(_)
            | Reply::Headroom(_)
            | Reply::Leftover(_)
            | Reply::Exposures(..)) => {
                panic!("{reply:?} to an exposure")
            }
        }
    }

    /// The exposure that the limit or deposit of `party` at `lsn` gave; `None` once that is
    /// forgotten.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn exposure_at(&self, party: PartyId, lsn: Lsn) -> Result<Option<Exposure>, Busy> {
        match self.question(party.shard(self.0.shards), What::ExposureAt(lsn)).await? {
            Reply::ExposureAt(exposure) => Ok(exposure),
            reply @ (Reply::Newest(_)
            | Reply::Exposure(_)
            | Reply::Channel(_)
            | Reply::Figures(_)
            | Reply::Gauges(_)
            | Reply::Budgets(_)
            | Reply::Headroom(_)
            | Reply::Leftover(_)
            | Reply::Exposures(..)) => {
                panic!("{reply:?} to what a record gave")
            }
        }
    }

    /// Figures over all shards.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn figures(&self) -> Result<Figures, Busy> {
        let mut sum = Figures::default();
        for shard in 0..self.0.shards {
            match self.question(shard, What::Figures).await? {
                Reply::Figures(figures) => {
                    sum.channels += figures.channels;
                    sum.credited += figures.credited;
                }
                reply @ (Reply::Newest(_)
                | Reply::Exposure(_)
                | Reply::ExposureAt(_)
                | Reply::Channel(_)
                | Reply::Gauges(_)
                | Reply::Budgets(_)
                | Reply::Headroom(_)
                | Reply::Leftover(_)
                | Reply::Exposures(..)) => {
                    panic!("{reply:?} to figures")
                }
            }
        }
        Ok(sum)
    }

    /// What the open window holds over all shards, by asset: sums of what was credited, and the
    /// largest of the exposures.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn gauges(&self) -> Result<BTreeMap<AssetNumber, Gauge>, Busy> {
        let mut all: BTreeMap<AssetNumber, Gauge> = BTreeMap::new();
        for shard in 0..self.0.shards {
            match self.question(shard, What::Gauges).await? {
                Reply::Gauges(gauges) => {
                    for (asset, gauge) in gauges {
                        let held = all.entry(asset).or_default();
                        held.gross = held.gross.plus(gauge.gross);
                        held.exposure = held.exposure.max(gauge.exposure);
                    }
                }
                reply @ (Reply::Newest(_)
                | Reply::Exposure(_)
                | Reply::ExposureAt(_)
                | Reply::Channel(_)
                | Reply::Figures(_)
                | Reply::Budgets(_)
                | Reply::Headroom(_)
                | Reply::Leftover(_)
                | Reply::Exposures(..)) => {
                    panic!("{reply:?} to gauges")
                }
            }
        }
        Ok(all)
    }

    pub(super) async fn question(&self, shard: u16, what: What) -> Result<Reply, Busy> {
        let (question, answer) = Question::new(shard, what);
        self.ask(Ask::Question(question))?;
        let (reply, applied) = answer.await.map_err(|_| Busy::Stopping)?;
        self.durable(applied).await?;
        Ok(reply)
    }

    fn ask(&self, ask: Ask) -> Result<(), Busy> {
        self.0.queues.asks.try_send(ask).map_err(|error| match error {
            TrySendError::Full(_) => Busy::Full,
            TrySendError::Disconnected(_) => Busy::Stopping,
        })
    }

    async fn durable(&self, lsn: Lsn) -> Result<(), Busy> {
        if planted(Bug::ReadBeforeDurable) {
            return Ok(());
        }
        let mut durable = self.0.durable.clone();
        durable.wait_for(|reached| *reached >= lsn).await.map_err(|_| Busy::Stopping)?;
        Ok(())
    }

    /// The control state now, durable or not: for the engine's own threads, never for an answer.
    pub(crate) fn control(&self) -> std::sync::RwLockReadGuard<'_, Control> {
        self.0.control.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake {
    /// The control state for threads that may outlive the pipeline, and keep it from nothing.
    pub(crate) fn held_control(&self) -> &Arc<RwLock<Control>> {
        &self.0.control
    }
}

impl Drop for Inner {
    /// With the last clone of the way in: verify workers finish what is queued, and end.
    fn drop(&mut self) {
        self.fair.close();
    }
}

/// One stream of frames. Between sources the engine's work is shared fairly; the frames of one
/// source are taken in the order in which they came in, and so are those of one caller in the order
/// of its calls.
pub struct Feed {
    intake: Intake,
    line: LineIndex,
}

/// Room for one frame. Given back when it is dropped.
pub struct Entry<'a> {
    caller: &'a Feed,
    permit: Permit,
}

impl Feed {
    /// Takes a frame of 1..=4,096 vouchers and entries of bundles and says where its answer will
    /// arrive. Waits while too much is under way: of its source, or of all. Asks nobody when it
    /// may: see `Entry::when`.
    ///
    /// # Errors
    /// `Stopping`, `DiskFull`.
    pub async fn submit(
        &self,
        brought: impl Into<Brought>,
    ) -> Result<oneshot::Receiver<Answer>, Busy> {
        let brought = brought.into();
        Ok(self.enter(brought.all().len()).await?.submit(brought))
    }

    /// Waits for room for a frame of 1..=4,096 vouchers.
    ///
    /// # Errors
    /// `Stopping`, `DiskFull`.
    pub async fn enter(&self, vouchers: usize) -> Result<Entry<'_>, Busy> {
        let inner = &*self.intake.0;
        assert!((1..=FRAME_VOUCHERS_MAX).contains(&vouchers), "a frame of {vouchers} vouchers");
        if !inner.space.is_there_for(vouchers) {
            return Err(Busy::DiskFull);
        }
        let permit = inner.fair.admit(self.line, vouchers).await.ok_or(Busy::Stopping)?;
        Ok(Entry { caller: self, permit })
    }
}

impl Entry<'_> {
    /// When the frame may go on: `now`, but later for a source most of whose vouchers change
    /// nothing. Where it is later, give this room back until then: others of the source are under
    /// way meanwhile.
    #[must_use]
    pub fn when(&self, now: Instant) -> Instant {
        self.caller.intake.0.fair.when(self.permit.line(), now)
    }

    /// Takes the frame that the room is for, and says where its answer will arrive.
    pub fn submit(self, brought: impl Into<Brought>) -> oneshot::Receiver<Answer> {
        self.submit_as(brought.into(), Aim::Credit)
    }

    /// The same, with what is wanted of its vouchers.
    pub fn submit_as(self, brought: Brought, aim: Aim) -> oneshot::Receiver<Answer> {
        let inner = &*self.caller.intake.0;
        assert_eq!(brought.all().len(), self.permit.vouchers(), "the room is for it");
        // From here to the push nothing waits or fails, so that every number is used.
        let ticket = inner.tickets.fetch_add(1, Ordering::Relaxed);
        let stages = usize::from(inner.shards) + 1;
        let (frame, answer) = Frame::new(ticket, (brought, aim), stages, self.permit);
        inner.fair.push(Arc::new(frame));
        answer
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.intake.0.fair.leave(self.line);
    }
}

/// What can be said without waiting.
impl Intake {
    /// Derives the channel ids of this network.
    #[must_use]
    pub fn hasher(&self) -> &ChannelHasher {
        &self.0.hasher
    }

    /// For whom a key signs, if it is registered.
    #[must_use]
    pub fn payer_of(&self, signer: crate::types::SignerKey) -> Option<PartyId> {
        self.0.keys.view().get(&signer).map(verify::Key::party)
    }

    /// What is counted of the pipeline, which lasts as long as whoever holds it.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.0.meters
    }

    /// How the pipeline is.
    #[must_use]
    pub fn vitals(&self) -> Vitals<'_> {
        let inner = &*self.0;
        Vitals {
            durable: *inner.durable.borrow(),
            queues: inner.queues.depths(),
            inflight_vouchers: u64::try_from(inner.fair.vouchers()).expect("a count fits 64 bits"),
            meters: &inner.meters,
            verify: inner.verifier.status(),
            verify_threads: inner.verify_threads,
            shards: inner.shards,
            log: inner.log.vitals(),
        }
    }

    /// How much room there is on the disk, looked at now.
    #[must_use]
    pub fn room(&self) -> Room {
        self.0.space.look()
    }

    /// The records, to be read.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.0.log
    }

    /// What is kept beside them.
    #[must_use]
    pub fn tables(&self) -> &Arc<dyn Tables> {
        &self.0.tables
    }

    /// Where checkpoints stand.
    #[must_use]
    pub fn checkpoints(&self) -> &Progress {
        &self.0.progress
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.0.shards
    }
}
