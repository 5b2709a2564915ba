//! The one door: whoever wants something of the engine, however it comes, holds an `Engine`
//! and nothing else. Frames are submitted, commands told, questions asked, changes watched.
//!
//! Owns what calls need beside the pipeline: the archive, the engine's key, the operator's own
//! accounts, the settler's ear. Decides nothing, and makes no caller: who asks is known to whoever
//! came with it.

use super::archive::{Archive, NotLoaded};
use super::batches::{Clearing, CreateBatch, Created, create_batch_by};
use super::find::Orders;
use super::node::Node;
use super::refused::Refusals;
use super::settler::desks::Mailbox;
use super::settler::{Held, Nudge, Nudged, Troubles};
use crate::journal::{JournalError, Log, Tables};
use crate::ledger::{
    BatchContent, BatchEntry, BatchPlan, ChannelState, Command, Control, Envelope, Exposure, Gauge,
    Legs, Refusal, SealedHead, SealedWindow,
};
use crate::limits::SETTLER_PATIENCE;
use crate::metrics::Times;
use crate::pipeline::{
    Busy, Done, Feed, Figures, Intake, NotDone, Progress, Room, Source, Vitals, Watch,
};
use crate::rails::{self, card};
use crate::sign::EngineKey;
use crate::types::{
    AssetNumber, BatchId, ChannelHasher, ChannelId, Lsn, NetworkId, PartyId, SignerKey,
    WindowNumber,
};
use crate::vault::Vault;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, RwLockReadGuard};

/// The engine. Cheap to clone; the pipeline stops when the last clone is gone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// What an engine is put together from.
pub struct Setup {
    /// The way in to the pipeline.
    pub intake: Intake,
    /// Signs windows, batches, receipts and exports.
    pub key: Arc<EngineKey>,
    /// Seals and opens what is known of parties.
    pub vault: Vault,
    /// The operator's own accounts.
    pub clearing: Clearing,
    /// Whether another operator must approve a batch than the one who made it.
    pub four_eyes: bool,
    /// Where the archives of settled windows are, if their evidence leaves at all.
    pub archives: Option<PathBuf>,
    /// Where what a provider says by itself is handed in, if one is set up.
    pub mailbox: Option<Mailbox>,
    /// Its node, where others could own the journal.
    pub node: Option<Node>,
}

struct Inner {
    setup: Setup,
    archive: Archive,
    /// One key follows another at a time.
    rotating: tokio::sync::Mutex<()>,
    nudge: Nudge,
    troubles: Troubles,
    refusals: Refusals,
    seals: Times,
    orders: Orders,
}

impl Engine {
    /// On a running pipeline; with what wakes the settler.
    #[must_use]
    pub fn new(setup: Setup) -> (Self, Nudged) {
        let archive = Archive::new(&setup.intake, setup.vault.clone(), setup.archives.as_deref());
        let (nudge, nudged) = Nudge::new();
        let (rotating, troubles) = (tokio::sync::Mutex::default(), Troubles::default());
        let (refusals, seals) = (Refusals::default(), Times::default());
        let orders = Orders::default();
        let inner = Inner { setup, archive, rotating, nudge, troubles, refusals, seals, orders };
        (Self(Arc::new(inner)), nudged)
    }
}

/// What is submitted.
impl Engine {
    /// Begins a stream of frames, or a single one, from this source: see `Feed::submit`.
    #[must_use]
    pub fn feed(&self, source: Source) -> Feed {
        self.0.setup.intake.feed(source)
    }

    /// Hands on what the card's provider says by itself. What follows from it is durable when it
    /// returns.
    ///
    /// # Errors
    /// A text that says why it was not taken: it must be said again.
    pub async fn hear(&self, report: Box<card::Report>) -> Result<(), String> {
        match &self.0.setup.mailbox {
            Some(mailbox) => mailbox.card(report).await,
            None => Err("no provider is set up".to_owned()),
        }
    }
}

/// What is told.
impl Engine {
    /// Has one command done. When it returns, its record is durable and every shard was told. What
    /// is refused is in no record: the log tells who asked.
    ///
    /// # Errors
    /// `Refused` by a rule, or `Busy`.
    pub async fn tell(&self, command: Command) -> Result<Done, NotDone> {
        let (envelope, asked) = (command.envelope.clone(), command.wish.name());
        let done = self.0.setup.intake.command(command).await;
        if let Err(NotDone::Refused(refusal)) = &done {
            self.tell_refusal(&envelope, asked, refusal);
        }
        done
    }

    /// Has commands done in order, each on its own: one that is refused does not stop the next.
    ///
    /// # Errors
    /// `Busy`: then it is not known which of them were done.
    pub async fn tell_all(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Done, Refusal>>, NotDone> {
        let asked: Vec<(Envelope, &str)> =
            commands.iter().map(|one| (one.envelope.clone(), one.wish.name())).collect();
        let done = self.0.setup.intake.commands(commands).await?;
        for ((envelope, asked), done) in asked.iter().zip(&done) {
            if let Err(refusal) = done {
                self.tell_refusal(envelope, asked, refusal);
            }
        }
        Ok(done)
    }

    /// Computes a batch and has it journaled; the answer is that of the first time.
    ///
    /// # Errors
    /// `Refused` by a rule, `Busy`, or `Storage`.
    pub async fn create_batch(&self, ask: &CreateBatch) -> Created {
        let Setup { intake, key, clearing, .. } = &self.0.setup;
        let made = create_batch_by(intake, self.archive(), key, clearing, ask, aside).await;
        let placeholder = rails::placeholder(ask.rail);
        if made.is_ok() && !placeholder.is_empty() && clearing.get(&ask.rail) == Some(&placeholder)
        {
            tracing::warn!(
                rail = ask.rail.name(),
                "the batch has a placeholder for a clearing account, that no bank has: set [clearing.{}] and \
                 make it anew before you pay anyone",
                ask.rail.name()
            );
        }
        if let Err(NotLoaded::NotDone(NotDone::Refused(refusal))) = &made {
            let envelope = ask.caller.clone().asks(ask.request.clone());
            self.tell_refusal(&envelope, "create batch", refusal);
        }
        made
    }

    /// Says in the log who asked for what was refused.
    pub(super) fn tell_refusal(&self, envelope: &Envelope, asked: &str, refusal: &dyn Display) {
        self.0.refusals.tell(envelope, asked, refusal);
    }

    /// Wakes the settler: there is something new to do.
    pub fn nudge(&self) {
        self.0.nudge.nudge();
    }

    /// Wakes the settler, and waits a while for what it does first.
    pub async fn turn(&self) {
        self.0.nudge.turn(SETTLER_PATIENCE).await;
    }
}

/// What is asked. Every answer is durable, and no lock is held while anybody waits.
impl Engine {
    /// Asks the control state. Nothing that takes its time: the sequencer waits meanwhile.
    ///
    /// # Errors
    /// What `question` finds to refuse, or `Busy`.
    pub async fn ask<T>(
        &self,
        question: impl FnOnce(&Control) -> Result<T, Refusal>,
    ) -> Result<T, NotDone> {
        Ok(self.0.setup.intake.read(question).await??)
    }

    /// Asks the control state again with every change, until there is an answer.
    ///
    /// # Errors
    /// As for `ask`.
    pub async fn ask_until<T>(
        &self,
        mut question: impl FnMut(&Control) -> Result<Option<T>, Refusal>,
    ) -> Result<T, NotDone> {
        Ok(self.0.setup.intake.read_when(|control| question(control).transpose()).await??)
    }

    /// Every change of the control state behind a record, as it becomes durable.
    #[must_use]
    pub fn watch(&self, from: Lsn) -> Watch {
        self.0.setup.intake.watch(from)
    }

    /// What the ledger holds for a signer's channel.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn channel(
        &self,
        signer: SignerKey,
        channel: ChannelId,
    ) -> Result<ChannelState, Busy> {
        let intake = &self.0.setup.intake;
        // A key that is not registered has no channel with a total.
        let Some(payer) = intake.payer_of(signer) else { return Ok(ChannelState::NONE) };
        intake.channel(payer, channel).await
    }

    /// A party's exposure now.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn exposure(&self, party: PartyId, asset: AssetNumber) -> Result<Exposure, Busy> {
        self.0.setup.intake.exposure(party, asset).await
    }

    /// The exposure that the limit or deposit of `party` at `lsn` gave; `None` once that is
    /// forgotten.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn exposure_at(&self, party: PartyId, lsn: Lsn) -> Result<Option<Exposure>, Busy> {
        self.0.setup.intake.exposure_at(party, lsn).await
    }

    /// Figures over all shards.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn figures(&self) -> Result<Figures, Busy> {
        self.0.setup.intake.figures().await
    }

    /// What the open window holds over all shards, by asset.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn gauges(&self) -> Result<BTreeMap<AssetNumber, Gauge>, Busy> {
        self.0.setup.intake.gauges().await
    }

    /// A sealed window, loaded beside the network threads.
    ///
    /// # Errors
    /// `Storage` when it cannot be read.
    pub async fn window(&self, sealed: SealedHead) -> Result<Arc<SealedWindow>, NotLoaded> {
        let archive = self.archive().clone();
        Ok(aside(move || archive.window(&sealed)).await?)
    }

    /// A batch with its legs, if `allowed` does not refuse it.
    ///
    /// # Errors
    /// As for `ask`; `Storage` when it cannot be read.
    pub async fn batch(
        &self,
        batch: BatchId,
        allowed: fn(&BatchEntry) -> Result<(), Refusal>,
    ) -> Result<Arc<BatchContent>, NotLoaded> {
        let (head, windows) = self
            .ask(|control| {
                let entry = control.batch(batch)?;
                allowed(entry)?;
                let windows = entry.head.windows.iter();
                let windows = windows.map(|&window| control.window(window)?.sealed_head());
                Ok((entry.head.clone(), windows.collect::<Result<Vec<_>, Refusal>>()?))
            })
            .await?;
        let archive = self.archive().clone();
        Ok(aside(move || archive.batch(&head, &windows)).await?)
    }

    /// Looks at the legs of a batch as they stand, with what is known of these. Of a batch that has
    /// ended it lies on the disk.
    ///
    /// # Errors
    /// As for `batch`.
    pub async fn legs<T: Send + 'static>(
        &self,
        batch: BatchId,
        wanted: Vec<u32>,
        look: impl FnOnce(&Legs) -> T + Send + 'static,
    ) -> Result<T, NotLoaded> {
        let engine = self.clone();
        let found = aside(move || engine.0.setup.intake.legs(batch, &wanted, look)).await??;
        // What was seen is durable when what there is now is.
        self.ask(|_| Ok(())).await?;
        Ok(found)
    }

    /// A batch's plan.
    ///
    /// # Errors
    /// When there is no such batch, or something cannot be read.
    pub async fn plan(&self, batch: BatchId) -> Result<Arc<BatchPlan>, NotLoaded> {
        let engine = self.clone();
        aside(move || engine.plan_here(batch)).await
    }
}

/// Work that takes its time, beside the network threads.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("loading and computing do not panic")
}

/// What can be said without waiting.
impl Engine {
    /// Derives the channel ids of this network.
    #[must_use]
    pub fn hasher(&self) -> &ChannelHasher {
        self.0.setup.intake.hasher()
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.hasher().network()
    }

    /// For whom a key signs, if it is registered.
    #[must_use]
    pub fn payer_of(&self, signer: SignerKey) -> Option<PartyId> {
        self.0.setup.intake.payer_of(signer)
    }

    /// How the pipeline is.
    #[must_use]
    pub fn vitals(&self) -> Vitals<'_> {
        self.0.setup.intake.vitals()
    }

    /// How much room there is on the disk, looked at now.
    #[must_use]
    pub fn room(&self) -> Room {
        self.0.setup.intake.room()
    }

    /// Where checkpoints stand.
    #[must_use]
    pub fn checkpoints(&self) -> &Progress {
        self.0.setup.intake.checkpoints()
    }

    /// How long it took to seal windows.
    #[must_use]
    pub fn seals(&self) -> &Times {
        &self.0.seals
    }

    /// Every record, to be read beside the network threads.
    #[must_use]
    pub fn log(&self) -> &dyn Log {
        self.archive().log()
    }

    /// The same, for whoever keeps it longer than the engine.
    #[must_use]
    pub fn log_shared(&self) -> Arc<dyn Log> {
        self.intake().log().clone()
    }

    /// Sealed windows and batches, to be read beside the network threads.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.0.archive
    }

    /// The key that the engine signs with.
    #[must_use]
    pub fn key(&self) -> &Arc<EngineKey> {
        &self.0.setup.key
    }

    /// Seals and opens what is known of parties.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.0.setup.vault
    }

    /// The operator's own accounts.
    #[must_use]
    pub fn clearing(&self) -> &Clearing {
        &self.0.setup.clearing
    }

    /// Whether another operator must approve a batch than the one who made it.
    #[must_use]
    pub fn four_eyes(&self) -> bool {
        self.0.setup.four_eyes
    }

    /// Files that were journaled and have not left.
    #[must_use]
    pub fn held(&self) -> &Held {
        self.0.nudge.held()
    }

    /// What keeps settlement from going on.
    #[must_use]
    pub fn troubles(&self) -> &Troubles {
        &self.0.troubles
    }
}

/// For the engine's own threads, which see more and wait less.
impl Engine {
    /// The control state now, durable or not: never for an answer.
    pub(super) fn control(&self) -> RwLockReadGuard<'_, Control> {
        self.0.setup.intake.control()
    }

    /// How a party stands, durable or not: the sequencer decides on what was made of it.
    ///
    /// # Errors
    /// What `question` finds to refuse.
    pub(crate) fn standing<T>(
        &self,
        question: impl FnOnce(&Control) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        question(&self.control())
    }

    /// Whether there ever was an identity of an operator, durable or not.
    pub(crate) fn has_operators(&self) -> bool {
        self.control().identities().had_operator()
    }

    /// Whether there ever was any identity, durable or not: then nobody operates unnamed.
    pub(crate) fn has_identities(&self) -> bool {
        self.control().identities().had_any()
    }

    /// How often a party was erased, durable or not.
    pub(crate) fn erasures(&self, party: PartyId) -> u32 {
        self.control().erasures(party)
    }

    /// As `Archive::clear_of`, on this thread.
    pub(crate) fn clear_of(&self, party: PartyId) -> Result<Vec<WindowNumber>, JournalError> {
        self.archive().clear_of(self.intake(), party)
    }

    /// Has one command of the engine's own done: waits for room, not for durability.
    pub(super) fn tell_here(&self, command: Command) -> Result<Done, NotDone> {
        self.0.setup.intake.command_here(command)
    }

    /// What is kept beside the records.
    pub(super) fn tables(&self) -> &dyn Tables {
        self.0.archive.tables()
    }

    /// As `plan`, on this thread.
    pub(super) fn plan_here(&self, batch: BatchId) -> Result<Arc<BatchPlan>, NotLoaded> {
        self.0.archive.plan(&self.0.setup.intake, batch)
    }

    pub(super) fn intake(&self) -> &Intake {
        &self.0.setup.intake
    }

    pub(super) fn orders(&self) -> &Orders {
        &self.0.orders
    }

    pub(super) fn node(&self) -> Option<&Node> {
        self.0.setup.node.as_ref()
    }

    pub(super) fn nudges(&self) -> &Nudge {
        &self.0.nudge
    }

    pub(super) fn rotating(&self) -> &tokio::sync::Mutex<()> {
        &self.0.rotating
    }
}
