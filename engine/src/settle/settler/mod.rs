//! The settler: sees approved batches through to their end, on one thread beside the pipeline.
//!
//! Owns what is tried when. Decides nothing about money: which legs may leave is the ledger's plan,
//! and every transition is a command. What it holds in memory follows from the journal; a start
//! resumes every half-done thing: files that were staged leave, legs that a call was made for and
//! that nobody answered become UNKNOWN and are called for again under the same key with the same
//! bytes.

mod answers;
mod bank;
mod card;
mod desk;
mod evm;
mod files;
mod hear;
mod later;
mod step;
mod unpack;
mod withdraw;
mod word;

use super::archive::NotLoaded;
use super::engine::Engine;
pub use desk::Desks;
pub use files::Held;
pub(super) use word::reference_name;

/// The desks of all rails.
pub mod desks {
    pub use super::bank::BankDesk;
    pub use super::card::{CardDesk, Mailbox};
    pub use super::evm::EvmDesk;
}

use super::desk::FileDesk;
use crate::ledger::{BatchPlan, Marks, Rail};
use crate::limits::{NUDGES_MAX, SETTLER_TICK};
use crate::pipeline::{self, Busy, NotDone};
use crate::types::{BatchId, Lsn};
use crossbeam::channel::{Receiver, Select, Sender, bounded};
use desk::{Desk, Ready};
use later::Later;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use withdraw::Withdrawals;

/// The running settler.
pub struct Settler {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What keeps a batch from going on, for operators: the newest word about each. Cheap to clone.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

/// What is said of a ledger that was restored from a copy, among the troubles.
pub const RESTORED: &str = "restore";
/// What the list of troubles is called among the troubles.
const LIST: &str = "list of troubles";
/// What the folder of archives is called among them.
pub(in crate::settle) const ARCHIVES: &str = "archive_dir";
/// The same, if archives are not where they were put.
pub(in crate::settle) const MISSING: &str = "archives";

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

    pub(in crate::settle) fn set(&self, of: &str, trouble: Option<String>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            None => {
                held.remove(of);
            }
            // Said once, not at every turn.
            Some(text) if held.get(of) == Some(&text) => {}
            Some(text) => {
                // The rest goes on: other answers, other files.
                let rest = of.starts_with("inbox of ") || [LIST, ARCHIVES, MISSING].contains(&of);
                let what =
                    if rest { "an operator must see to it" } else { "settlement does not go on" };
                tracing::warn!(of, "{what}: {text}");
                held.insert(of.to_owned(), text);
            }
        }
    }
}

/// What wakes the settler, on its way there.
pub struct Nudged {
    woken: Receiver<tokio::sync::oneshot::Sender<()>>,
    held: Held,
}

impl Nudge {
    /// With the end that the settler gets.
    pub(super) fn new() -> (Self, Nudged) {
        let (wake, woken) = bounded(NUDGES_MAX);
        let held = Held::default();
        (Self { wake, held: held.clone() }, Nudged { woken, held })
    }

    /// There is something new to do.
    pub fn nudge(&self) {
        // Full: it is awake already. Gone: the engine stops. Nobody waits for the answer.
        let _ = self.wake.try_send(tokio::sync::oneshot::channel().0);
    }

    /// There is something new to do. Returns when everything that could be done at once was done,
    /// or at the latest after `patience`: a rail may be slow.
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
    pub fn start(engine: Engine, nudged: Nudged, mut desks: Desks) -> Self {
        let (stop, stopped) = bounded(0);
        let Nudged { woken, held } = nudged;
        desks.rails.values_mut().for_each(|desk| desk.at_start(&engine));
        let Desks { files, rails } = desks;
        let withdrawals = Withdrawals::start(files.keys().copied());
        let run = Run {
            troubles: engine.troubles().clone(),
            engine,
            files,
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
        let thread = thread.spawn(move || Turns { run, desks: rails }.run(&stopped, &woken));
        let thread = thread.expect("the system can start a thread");
        Self { stop, thread }
    }

    /// Stops it between two steps and gives back its way in.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

/// The settler's loop: what is looked at in which order, whatever rails there are.
struct Turns {
    run: Run,
    desks: BTreeMap<Rail, Box<dyn Desk>>,
}

/// What the loop and all desks work with.
pub(crate) struct Run {
    engine: Engine,
    files: BTreeMap<Rail, FileDesk>,
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

impl Turns {
    fn run(mut self, stopped: &Receiver<()>, nudged: &Receiver<tokio::sync::oneshot::Sender<()>>) {
        if self.at_start().is_err_and(|stuck| stuck.is_stop()) {
            return;
        }
        let mut waiting = Vec::new();
        loop {
            match self.turn() {
                Ok(()) => {}
                Err(stuck) if stuck.is_stop() => return,
                Err(Stuck::NotLoaded(NotLoaded::Storage(error))) => pipeline::stop_at_once(&error),
                Err(stuck) => self.run.troubles.set("settler", Some(stuck.to_string())),
            }
            // Who nudged while the turn was under way waits for the next.
            waiting.drain(..).for_each(|turned: tokio::sync::oneshot::Sender<()>| {
                // The caller may have disconnected.
                let _ = turned.send(());
            });
            let tick = if self.run.more { Duration::ZERO } else { SETTLER_TICK };
            let mut select = Select::new();
            let (stop, nudge) = (select.recv(stopped), select.recv(nudged));
            self.desks.values().for_each(|desk| desk.watch(&mut select));
            match select.ready_timeout(tick) {
                Ok(ready) if ready == stop => return self.at_stop(),
                Ok(ready) if ready == nudge => waiting.extend(nudged.try_iter()),
                Ok(_) => {
                    for desk in self.desks.values_mut() {
                        desk.arrived(&mut self.run);
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// What a stop does not leave to the next start.
    fn at_stop(&mut self) {
        self.desks.values_mut().for_each(|desk| desk.at_stop());
        if let Err(stuck) = self.hear() {
            tracing::info!("what came of calls is looked up at the next start: {stuck}");
        }
    }

    /// Takes in what has come back from every rail.
    fn hear(&mut self) -> Result<(), Stuck> {
        let mut heard = Ok(());
        for desk in self.desks.values_mut() {
            heard = heard.and(desk.hear(&mut self.run));
        }
        heard
    }

    /// What a crash may have left half done.
    fn at_start(&mut self) -> Result<(), Stuck> {
        self.run.lost_at_start()?;
        let Run { files, troubles, .. } = &self.run;
        for (rail, desk) in files {
            let done = self.run.hold_staged(*rail, desk);
            troubles.set(&format!("outbox of {}", rail.name()), trouble(&done));
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
        self.run.more = false;
        self.run.unheard.clear();
        self.hear()?;
        let on_hold = self.run.on_hold();
        if !on_hold {
            self.run.let_leave()?;
        }
        for batch in self.run.held.take_said() {
            self.run.note_void(batch)?;
        }
        self.run.withdraw();
        self.run.read_inboxes()?;
        let (applied, batches) = {
            let control = self.run.engine.control();
            (control.applied(), control.settling_batches())
        };
        if self.run.seen == Some(applied) {
            return Ok(());
        }
        let mut all_well = true;
        for batch in &batches {
            // What has come back counts; nothing leaves, and no rail is asked to do anything.
            let done = if on_hold { self.run.let_go(*batch) } else { self.step(*batch) };
            if let Err(stuck) = &done
                && (stuck.is_stop() || matches!(stuck, Stuck::NotLoaded(NotLoaded::Storage(_))))
            {
                return done;
            }
            all_well &= done.is_ok();
            let told = trouble(&done).or_else(|| self.run.unheard.remove(batch));
            self.run.troubles.set(&format!("batch {batch}"), told);
        }
        self.run.withdraw();
        self.run.retain(&batches);
        self.desks.values_mut().for_each(|desk| desk.retain(&batches));
        // Rails are asked again when their time comes, whatever else happens.
        self.run.seen = (all_well && !self.asks(&batches)).then_some(applied);
        Ok(())
    }

    /// Everything that can be done for a batch now.
    fn step(&mut self, batch: BatchId) -> Result<(), Stuck> {
        let plan = self.run.plan(batch)?;
        let rail = plan.content().head.policy.rail;
        let ready = self.run.choose(batch, &plan)?;
        let done = self.send(rail, &plan, ready);
        // What keeps some legs does not keep the exposure of those who are done.
        self.run.release(batch, &plan)?;
        done
    }

    /// Has legs leave. Pay-ins that the rail cannot collect are listed, for whoever asks for them.
    fn send(&mut self, rail: Rail, plan: &BatchPlan, mut ready: Ready) -> Result<(), Stuck> {
        if !rail.collects() {
            self.run.submit_files(plan, rail, &std::mem::take(&mut ready.pay_ins))?;
        }
        let desk = self.desks.get_mut(&rail).ok_or_else(|| step::not_set_up(rail))?;
        self.run.engine.owns();
        desk.step(&mut self.run, plan, ready)
    }

    /// Whether a rail is to be asked about some of these.
    fn asks(&self, batches: &[BatchId]) -> bool {
        let control = self.run.engine.control();
        let mut entries = batches.iter().filter_map(|batch| control.batch(*batch).ok());
        entries.any(|entry| {
            let desk = self.desks.get(&entry.head.policy.rail);
            desk.is_some_and(|desk| desk.asks()) && !entry.legs.have_ended()
        })
    }
}

impl Run {
    /// Nothing is kept of other batches than these.
    fn retain(&mut self, batches: &[BatchId]) {
        self.withdrawals.retain(batches);
        self.plans.retain(|batch, _| batches.contains(batch));
        self.looked.retain(|batch, _| batches.contains(batch));
        self.troubles.retain(batches);
    }

    /// Whether nothing may leave, since the ledger was restored from a copy.
    fn on_hold(&self) -> bool {
        let position = self.engine.control().on_hold().map(|hold| hold.of.position);
        let text = position.map(|position| {
            format!(
                "this ledger was restored from a copy that ends at record {position}: nothing is approved and \
                 nothing leaves. Find out what left since (docs/OPERATIONS.md, \"Restore\"), then \
                 `tallystick restore release --reason TEXT`"
            )
        });
        self.troubles.set(RESTORED, text);
        position.is_some()
    }

    /// Has the exposure of those fall who are done with a batch, and nothing else.
    fn let_go(&mut self, batch: BatchId) -> Result<(), Stuck> {
        let plan = self.plan(batch)?;
        self.release(batch, &plan)
    }

    /// The plan of a batch, made anew when it is not held.
    fn plan(&mut self, batch: BatchId) -> Result<Arc<BatchPlan>, Stuck> {
        if let Some(plan) = self.plans.get(&batch) {
            return Ok(plan.clone());
        }
        let plan = self.engine.plan_here(batch)?;
        self.plans.insert(batch, plan.clone());
        Ok(plan)
    }
}

fn trouble(done: &Result<(), Stuck>) -> Option<String> {
    done.as_ref().err().map(ToString::to_string)
}
