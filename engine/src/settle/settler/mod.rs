//! The settler: sees approved batches through to their end, on one thread beside the pipeline.
//!
//! Owns what is tried when. Decides nothing about money: which legs may leave is the ledger's plan, and
//! every transition is a command. What it holds in memory follows from the journal; a start resumes every
//! half-done thing: files that were staged leave, legs that a call was made for and that nobody answered
//! become UNKNOWN and are called for again under the same key with the same bytes.

mod answers;
mod card;
mod evm;
mod files;
mod hear;
mod hooks;
mod later;
mod step;
mod withdraw;
mod word;

use super::archive::{Archive, NotLoaded};
pub use card::CardDesk;
pub use evm::EvmDesk;
pub use files::Held;

use super::desk::FileDesk;
use crate::ledger::{BatchPlan, Marks, Rail};
use crate::limits::SETTLER_TICK;
use crate::pipeline::{self, Busy, Intake, NotDone};
use crate::rails::card as card_rail;
use crate::types::{BatchId, Lsn};
use crossbeam::channel::{Receiver, Sender, bounded, never};
use crossbeam::select;
use hooks::Read;
use later::Later;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use withdraw::Withdrawals;

/// How the engine reaches each rail. A rail that is not set up has no desk: its batches wait.
#[derive(Default)]
pub struct Desks {
    /// Rails that work with files, and the lists of pay-ins of those that cannot collect.
    pub files: BTreeMap<Rail, FileDesk>,
    /// The payment service provider.
    pub card: Option<CardDesk>,
    /// The chain.
    pub evm: Option<EvmDesk>,
}

/// The running settler.
pub struct Settler {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What keeps a batch from going on, for operators: the newest word about each. Cheap to clone.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

/// What the list of troubles is called among the troubles.
const LIST: &str = "list of troubles";

/// Nudges that wait for an answer.
const NUDGES: usize = 256;
/// Letters that wait for the settler: a provider sends again what was not taken.
const MAILBOX: usize = 1_024;

/// What others have heard of legs. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox(Sender<Letter>);

struct Letter {
    report: Box<card_rail::Report>,
    done: tokio::sync::oneshot::Sender<()>,
}

impl Mailbox {
    /// Hands on what the payment service provider says. What follows from it is durable when it returns.
    ///
    /// # Errors
    /// A text that says why it was not taken: it must be said again.
    pub async fn card(&self, report: Box<card_rail::Report>) -> Result<(), String> {
        let (done, heard) = tokio::sync::oneshot::channel();
        self.0.try_send(Letter { report, done }).map_err(|_| "too much waits; send it again")?;
        heard.await.map_err(|_| "it could not be taken; send it again".to_owned())
    }
}

/// Wakes the settler, and knows which of its files have not left. Cheap to clone.
#[derive(Clone)]
pub struct Nudge {
    wake: Sender<tokio::sync::oneshot::Sender<()>>,
    held: Held,
}

/// Why a step could not be made. The next turn tries again.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The pipeline or what is kept.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
    /// A folder of the rail.
    #[error("the rail's folder: {0}")]
    Folder(#[from] std::io::Error),
    /// A trouble about a leg does not fit the list: nothing is made of what it rests on.
    #[error(
        "the list of troubles is full, and what was said of a leg is not taken in before it can be put on it: \
         look at `tallystick trouble list`, and take away those that are settled"
    )]
    TroublesFull,
    /// Something else that an operator must see to.
    #[error("{0}")]
    Other(String),
}

impl From<NotDone> for Stuck {
    fn from(reason: NotDone) -> Self {
        Self::NotLoaded(reason.into())
    }
}

impl From<Busy> for Stuck {
    fn from(reason: Busy) -> Self {
        Self::NotLoaded(reason.into())
    }
}

impl Stuck {
    /// Whether the engine is stopping.
    fn is_stop(&self) -> bool {
        matches!(self, Self::NotLoaded(NotLoaded::NotDone(NotDone::Busy(Busy::Stopping))))
    }
}

impl Troubles {
    /// What is wrong now: with which batch or file, and what.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Batches that are done with, or aborted, are in no trouble any more.
    fn retain(&self, batches: &[BatchId]) {
        let settling: Vec<String> = batches.iter().map(|batch| format!("batch {batch}")).collect();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|of, _| {
            !of.starts_with("batch ") || settling.iter().any(|batch| of.starts_with(batch))
        });
    }

    fn set(&self, of: &str, trouble: Option<String>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            None => {
                held.remove(of);
            }
            // Said once, not at every turn.
            Some(text) if held.get(of) == Some(&text) => {}
            Some(text) => {
                // The rest goes on: other answers, other files.
                let rest = of.starts_with("inbox of ") || of == LIST;
                let what =
                    if rest { "an operator must see to it" } else { "settlement does not go on" };
                tracing::warn!(of, "{what}: {text}");
                held.insert(of.to_owned(), text);
            }
        }
    }
}

impl Nudge {
    /// There is something new to do.
    pub fn nudge(&self) {
        // Full: it is awake already. Gone: the engine stops. Nobody waits for the answer.
        let _ = self.wake.try_send(tokio::sync::oneshot::channel().0);
    }

    /// There is something new to do. Returns when everything that could be done at once was done, or at
    /// the latest after `patience`: a rail may be slow.
    pub async fn turn(&self, patience: Duration) {
        let (done, turned) = tokio::sync::oneshot::channel();
        if self.wake.try_send(done).is_ok() {
            // Too late, or the engine stops: whoever asked sees where things stand.
            let _ = tokio::time::timeout(patience, turned).await;
        }
    }
}

impl Nudge {
    /// Files that were journaled and have not left.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }
}

impl Settler {
    /// Starts it.
    #[must_use]
    pub fn start(
        intake: Intake,
        archive: Archive,
        mut desks: Desks,
        troubles: Troubles,
    ) -> (Self, Nudge, Mailbox) {
        let (stop, stopped) = bounded(0);
        let (nudge, nudged) = bounded(NUDGES);
        let (mailbox, letters) = bounded(MAILBOX);
        let held = Held::default();
        let nudge = Nudge { wake: nudge, held: held.clone() };
        if let Some(evm) = &mut desks.evm {
            evm.start(nudge.clone());
        }
        if let Some(card) = &mut desks.card {
            card.start(&intake);
        }
        let withdrawals = Withdrawals::start(desks.files.keys().copied());
        let run = Run {
            intake,
            archive,
            desks,
            troubles,
            plans: HashMap::new(),
            looked: HashMap::new(),
            unheard: BTreeMap::new(),
            held,
            later: Later::default(),
            withdrawals,
            suspensions: 0,
            seen: None,
            more: false,
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime without IO needs nothing of the system"),
        };
        let thread = std::thread::Builder::new().name("settler".to_owned());
        let thread = thread.spawn(move || run.run(&stopped, &nudged, &letters));
        let thread = thread.expect("the system can start a thread");
        (Self { stop, thread }, nudge, Mailbox(mailbox))
    }

    /// Stops it between two steps and gives back its way in.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

struct Run {
    intake: Intake,
    archive: Archive,
    desks: Desks,
    troubles: Troubles,
    plans: HashMap<BatchId, Arc<BatchPlan>>,
    /// The legs of each batch that had not ended when parties were last released.
    looked: HashMap<BatchId, Marks>,
    /// Why what came of calls could not be taken in, by batch: told with the batch's own troubles.
    unheard: BTreeMap<BatchId, String>,
    held: Held,
    later: Later,
    withdrawals: Withdrawals,
    /// How many suspensions were known when legs were last chosen.
    suspensions: u64,
    /// The record up to which everything was looked at, if nothing was left to try again.
    seen: Option<Lsn>,
    /// The last turn left something that could be done at once.
    more: bool,
    runtime: tokio::runtime::Runtime,
}

impl Run {
    fn run(
        mut self,
        stopped: &Receiver<()>,
        nudged: &Receiver<tokio::sync::oneshot::Sender<()>>,
        letters: &Receiver<Letter>,
    ) {
        if self.at_start().is_err_and(|stuck| stuck.is_stop()) {
            return;
        }
        let mut waiting = Vec::new();
        let mut letters = letters.clone();
        let calls = self.desks.card.as_ref().map_or_else(never, CardDesk::done);
        loop {
            match self.turn() {
                Ok(()) => {}
                Err(stuck) if stuck.is_stop() => return,
                Err(Stuck::NotLoaded(NotLoaded::Storage(error))) => pipeline::stop_at_once(&error),
                Err(stuck) => self.troubles.set("settler", Some(stuck.to_string())),
            }
            // Who nudged while the turn was under way waits for the next.
            waiting.drain(..).for_each(|turned: tokio::sync::oneshot::Sender<()>| {
                // Whoever asked may have gone away.
                let _ = turned.send(());
            });
            let tick = if self.more { Duration::ZERO } else { SETTLER_TICK };
            select! {
                recv(stopped) -> _ => return self.at_stop(),
                recv(calls) -> done => {
                    if let (Ok(done), Some(desk)) = (done, &mut self.desks.card) {
                        desk.arrived(done);
                    }
                }
                recv(nudged) -> one => waiting.extend(one.into_iter().chain(nudged.try_iter())),
                recv(letters) -> letter => match letter {
                    Ok(letter) => self.read_letters(letter, &letters),
                    // Nobody can write one any more: without webhooks from the start. A channel that has
                    // ended is always ready, and would keep this thread busy for ever.
                    Err(_) => letters = never(),
                },
                default(tick) => {}
            }
        }
    }

    /// Reads a letter and those behind it. What cannot be done now is not confirmed, and comes again.
    fn read_letters(&mut self, first: Letter, letters: &Receiver<Letter>) {
        let mut read = Read::default();
        for Letter { report, done } in
            std::iter::once(first).chain(letters.try_iter().take(MAILBOX))
        {
            match self.hear_card(&report, &mut read) {
                Ok(()) => read.confirm(done),
                Err(stuck) => tracing::warn!("a webhook was not taken: {stuck}"),
            }
        }
        if let Err(stuck) = self.weigh_read(&mut read) {
            tracing::warn!("webhooks were not taken: {stuck}");
        }
        read.confirmed();
    }

    /// What a stop does not leave to the next start.
    fn at_stop(&mut self) {
        if let Some(desk) = &mut self.desks.card {
            desk.rest();
        }
        if let Err(stuck) = self.hear_all_calls() {
            tracing::info!("what came of calls is looked up at the next start: {stuck}");
        }
    }

    /// Takes in what has come of calls, also of batches that operators have brought to their end meanwhile.
    fn hear_all_calls(&mut self) -> Result<(), Stuck> {
        let Some(mut desk) = self.desks.card.take() else { return Ok(()) };
        let mut heard = Ok(());
        for (batch, arrived) in desk.take_arrived() {
            let done = self.plan(batch).and_then(|plan| self.hear_calls(&mut desk, &plan, arrived));
            let storage = matches!(done, Err(Stuck::NotLoaded(NotLoaded::Storage(_))));
            match done {
                Ok(()) => {}
                Err(stuck) if storage || stuck.is_stop() => heard = Err(stuck),
                Err(stuck) => {
                    self.unheard.insert(batch, stuck.to_string());
                }
            }
        }
        self.desks.card = Some(desk);
        heard
    }

    /// What a crash may have left half done.
    fn at_start(&mut self) -> Result<(), Stuck> {
        self.lost_at_start()?;
        for (rail, desk) in self.desks.files.clone() {
            let done = self.hold_staged(rail, &desk);
            self.troubles.set(&format!("outbox of {}", rail.name()), trouble(&done));
            if let Err(stuck) = done
                && stuck.is_stop()
            {
                return Err(stuck);
            }
        }
        Ok(())
    }

    /// One look at everything.
    fn turn(&mut self) -> Result<(), Stuck> {
        self.more = false;
        self.unheard.clear();
        self.hear_all_calls()?;
        self.let_leave()?;
        self.withdraw();
        for (rail, desk) in self.desks.files.clone() {
            self.read_inbox(rail, &desk)?;
        }
        let (applied, batches) = {
            let control = self.intake.control();
            (control.applied(), control.settling_batches())
        };
        if self.seen == Some(applied) {
            return Ok(());
        }
        let mut all_well = true;
        for batch in &batches {
            let done = self.step(*batch);
            if let Err(stuck) = &done
                && (stuck.is_stop() || matches!(stuck, Stuck::NotLoaded(NotLoaded::Storage(_))))
            {
                return done;
            }
            all_well &= done.is_ok();
            let told = trouble(&done).or_else(|| self.unheard.remove(batch));
            self.troubles.set(&format!("batch {batch}"), told);
        }
        self.withdraw();
        self.withdrawals.retain(&batches);
        self.plans.retain(|batch, _| batches.contains(batch));
        self.looked.retain(|batch, _| batches.contains(batch));
        self.troubles.retain(&batches);
        if let Some(evm) = &mut self.desks.evm {
            evm.retain(&batches);
        }
        if let Some(card) = &mut self.desks.card {
            card.retain(&batches);
        }
        // Calls are asked about again when their time comes, whatever else happens.
        self.seen = (all_well && !self.has_calls_under_way(&batches)).then_some(applied);
        Ok(())
    }

    fn has_calls_under_way(&self, batches: &[BatchId]) -> bool {
        let control = self.intake.control();
        let mut entries = batches.iter().filter_map(|batch| control.batch(*batch).ok());
        entries.any(|entry| match entry.head.policy.rail {
            Rail::Card | Rail::Evm => !entry.legs.have_ended(),
            Rail::Iso20022 | Rail::Nacha => false,
        })
    }

    /// The plan of a batch, made anew when it is not held.
    fn plan(&mut self, batch: BatchId) -> Result<Arc<BatchPlan>, Stuck> {
        if let Some(plan) = self.plans.get(&batch) {
            return Ok(plan.clone());
        }
        let plan = self.archive.plan(&self.intake, batch)?;
        self.plans.insert(batch, plan.clone());
        Ok(plan)
    }
}

fn trouble(done: &Result<(), Stuck>) -> Option<String> {
    done.as_ref().err().map(ToString::to_string)
}
