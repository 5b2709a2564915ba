//! The rail `evm`: one submission a chunk of legs, one attempt a signed transaction of it. A
//! transaction is kept and journaled before it is sent; after that the chain is asked, round by
//! round, what became of it, and what the chain says now is what counts: a start needs nothing but
//! the journaled transactions.
//!
//! Owns what is journaled of chunks and when. Asks the node nothing itself: the line does, on a
//! thread of its own, one round at a time for all batches, since all of them share the key's
//! nonces.

mod line;
mod watched;

use super::desk::{Desk, Ready};
use super::step::{Bytes, refused, to};
use super::word::Statements;
use super::{Run, Stuck};
use crate::faults;
use crate::journal::kept::{self, CallsOf};
use crate::ledger::hearing::{Ground, Place, Side, Statement, Sum};
use crate::ledger::{BatchPlan, LegState, LegWord, Rail, Submission, Voice};
use crate::limits::{EVM_CHUNK_ITEMS, EVM_IN_FLIGHT_MAX};
use crate::rails::evm::{self, ChunkState, Nonces, SignedTx};
use crate::rails::{LegReport, Part};
use crate::settle::archive::NotLoaded;
use crate::settle::engine::Engine;
use crate::types::{BatchId, FileHasher};
use crate::vault::parties_of;
use line::{Done, Found, Leaving, Line, Round, Seen, Task, Todo};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watched::Watched;

/// A chain, the key, and what is known of the chunks under way.
pub struct EvmDesk {
    /// Reads transactions back; the line has one of its own.
    desk: Arc<evm::Desk>,
    line: Option<Line>,
    /// Time between two looks at the chain.
    every: Duration,
    nonces: Nonces,
    /// Nonces that the chain had used at the last look.
    used: u64,
    chunks: BTreeMap<(BatchId, u32), Watched>,
    /// Chunks that a round proposes, of which nothing is journaled.
    proposed: BTreeMap<u32, Part>,
    /// What is deployed was compared with what is configured.
    checked: bool,
    /// The batch whose round is under way.
    under_way: Option<BatchId>,
    rounds: HashMap<BatchId, Rounds>,
}

/// Rounds of one batch.
#[derive(Default)]
struct Rounds {
    /// When the next one begins; at once if absent.
    next: Option<Instant>,
    /// What the last one met with.
    stuck: Option<String>,
    /// The same of the one that is under way.
    meets: Option<String>,
}

impl EvmDesk {
    /// A desk that looks at the chain this often.
    #[must_use]
    pub fn new(desk: evm::Desk, every: Duration) -> Self {
        Self {
            desk: Arc::new(desk),
            line: None,
            every,
            nonces: Nonces::default(),
            used: 0,
            chunks: BTreeMap::new(),
            proposed: BTreeMap::new(),
            checked: false,
            under_way: None,
            rounds: HashMap::new(),
        }
    }

    fn line(&mut self) -> &mut Line {
        self.line.as_mut().expect("the settler has started it")
    }

    /// Takes note of what the round under way met with first.
    fn meet(&mut self, batch: BatchId, why: String) {
        self.rounds.entry(batch).or_default().meets.get_or_insert(why);
    }

    /// The round of `batch` is over.
    fn rest(&mut self, batch: BatchId) {
        let next = Some(Instant::now() + self.every);
        let rounds = self.rounds.entry(batch).or_default();
        *rounds = Rounds { next, stuck: rounds.meets.take(), meets: None };
        self.under_way = None;
        self.proposed.clear();
    }

    fn is_due(&self, batch: BatchId) -> bool {
        let next = self.rounds.get(&batch).and_then(|rounds| rounds.next);
        self.under_way.is_none() && next.is_none_or(|next| next <= Instant::now())
    }
}

impl Desk for EvmDesk {
    /// Starts the line, which nudges when it has something to say.
    fn at_start(&mut self, engine: &Engine) {
        self.line = Some(Line::start(self.desk.clone(), engine.nudges().clone()));
    }

    fn step(&mut self, run: &mut Run, plan: &BatchPlan, ready: Ready) -> Result<(), Stuck> {
        run.step_evm(self, plan, &ready.pay_outs)
    }

    fn asks(&self) -> bool {
        true
    }

    /// Forgets what is no longer settling: perhaps operators have said how it ended.
    fn retain(&mut self, batches: &[BatchId]) {
        let gone = |batch: &BatchId| !batches.contains(batch);
        self.rounds.retain(|batch, _| !gone(batch));
        let nonces = &mut self.nonces;
        self.chunks.retain(|(batch, _), watched| {
            if gone(batch) {
                nonces.ended(None, watched.book.iter().map(|tx| tx.terms().nonce));
            }
            !gone(batch)
        });
        // What it had signed for one of these is not durable, and never leaves.
        if self.under_way.as_ref().is_some_and(gone) && self.line().done().is_some() {
            self.under_way = None;
            self.proposed.clear();
        }
    }
}

impl Run {
    /// What there is to do for a batch without waiting for the node: what the line has seen is
    /// journaled, what is journaled is handed to it, and when the time comes, it is sent for
    /// another look.
    fn step_evm(
        &mut self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        ready: &[u32],
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        if desk.under_way == Some(batch) {
            match desk.line().done() {
                Some(Done::Looked(seen)) => self.looked(desk, plan, ready, seen)?,
                Some(Done::Sent(done)) => {
                    if let Err(why) = done {
                        desk.meet(batch, why);
                    }
                    desk.rest(batch);
                }
                None => {}
            }
        }
        if desk.is_due(batch) {
            self.begin(desk, plan, ready)?;
        }
        let stuck = desk.rounds.get(&batch).and_then(|rounds| rounds.stuck.clone());
        stuck.map_or(Ok(()), |why| Err(Stuck::Other(why)))
    }

    /// Begins a round, if there is anything to look at.
    fn begin(&mut self, desk: &mut EvmDesk, plan: &BatchPlan, ready: &[u32]) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        if !desk.checked {
            self.watch_all(desk)?;
        }
        let open = desk.chunks.range((batch, 0)..=(batch, u32::MAX));
        let open: Vec<Task> = open.map(|((_, number), watched)| watched.task(*number)).collect();
        let first = self.with_legs(batch, |legs| legs.submissions().len())?;
        let first = u32::try_from(first).expect("limited by legs");
        let room = EVM_IN_FLIGHT_MAX.saturating_sub(desk.nonces.waiting(desk.used));
        let mut new = Vec::new();
        for (number, some) in (first..).zip(ready.chunks(EVM_CHUNK_ITEMS)).take(room) {
            let open = self.engine.vault().open_legs(plan.content(), some);
            let part = Part::new(&open.map_err(NotLoaded::from)?, some, number);
            match evm::chunk_of(part.content(), number) {
                Ok(chunk) => {
                    let (chunk, book, was) = (Arc::new(chunk), Vec::new(), ChunkState::New);
                    new.push(Task { number, chunk, book, was });
                    desk.proposed.insert(number, part);
                }
                // What is under way goes on.
                Err(why) => {
                    desk.meet(batch, why.to_string());
                    break;
                }
            }
        }
        if open.is_empty() && new.is_empty() {
            desk.rest(batch);
            return Ok(());
        }
        let round = Round { check: !desk.checked, nonces: desk.nonces.clone(), open, new };
        desk.under_way = Some(batch);
        desk.line().look(round);
        Ok(())
    }

    /// Takes up the chunks of all batches that the journal holds and that have not ended: the first
    /// nonce that is chosen must be free of all of them.
    fn watch_all(&mut self, desk: &mut EvmDesk) -> Result<(), Stuck> {
        let batches = self.engine.control().settling_batches();
        for batch in batches {
            let held = {
                let control = self.engine.control();
                let entry = control.batch(batch).map_err(refused)?;
                (entry.head.policy.rail == Rail::Evm).then(|| entry.legs.submissions_under_way())
            };
            if let Some(held) = held {
                let plan = self.plan(batch)?;
                self.watch(desk, &plan, held)?;
            }
        }
        Ok(())
    }

    /// Takes up the chunks of one batch.
    fn watch(
        &self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        held: BTreeMap<u32, Arc<Submission>>,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let tables = self.engine.tables();
        for (number, submission) in held {
            let places: Vec<u32> = submission.legs().collect();
            let first = plan.content().legs[places[0] as usize].payment;
            if first.is_pay_in() || desk.chunks.contains_key(&(batch, number)) {
                continue;
            }
            let vault = self.engine.vault();
            let open = vault.open_legs(plan.content(), &places).map_err(NotLoaded::from)?;
            let part = Part::new(&open, &places, number);
            let parties = parties_of(part.content().legs.iter().map(|leg| leg.payment));
            let chunk = Arc::new(evm::chunk_of(part.content(), number).map_err(other)?);
            let mut book = Vec::new();
            for attempt in 0..submission.attempts.len() {
                let attempt = u32::try_from(attempt).expect("attempts are limited");
                let of = CallsOf { batch, submission: number, attempt };
                let sealed = kept::load_call(tables, of, 0).map_err(NotLoaded::from)?;
                let kept = vault.open_call(of, 0, &parties, &sealed).map_err(NotLoaded::from)?;
                let (at_block, raw) = kept.split_first_chunk::<8>().ok_or_else(|| {
                    Stuck::Other(format!("transaction {attempt} of chunk {number} is cut off"))
                })?;
                let at_block = u64::from_le_bytes(*at_block);
                let tx = desk.desk.read_back(&chunk, raw.to_vec(), at_block).map_err(other)?;
                desk.nonces.signed(tx.terms().nonce);
                book.push(tx);
            }
            let state = ChunkState::default();
            desk.chunks.insert((batch, number), Watched { part, chunk, book, state });
        }
        Ok(())
    }

    /// Journals what a round has seen and signed, and has what is to leave sent.
    fn looked(
        &self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        ready: &[u32],
        seen: Result<Seen, String>,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let mut leaving = Vec::new();
        match seen {
            Err(why) => desk.meet(batch, why),
            Ok(Seen { view, chunks }) => {
                (desk.used, desk.checked) = (view.used, true);
                for (number, found) in chunks {
                    if let Ok(found) = &found
                        && let Some(why) = desk.desk.waits_for_ever(&view, &found.state)
                    {
                        desk.meet(batch, why.to_owned());
                    }
                    let done = match found {
                        Ok(found) => self.act(desk, plan, ready, number, found, &mut leaving),
                        Err(failure) => Err(other(failure)),
                    };
                    match done {
                        Ok(()) => {}
                        // One chunk that is blocked does not keep the others.
                        Err(Stuck::Other(why)) => desk.meet(batch, why),
                        Err(full @ Stuck::TroublesFull) => desk.meet(batch, full.to_string()),
                        Err(stuck @ (Stuck::NotLoaded(_) | Stuck::Folder(_))) => {
                            desk.rest(batch);
                            return Err(stuck);
                        }
                    }
                }
            }
        }
        if leaving.is_empty() {
            desk.rest(batch);
        } else {
            desk.line().send(leaving);
        }
        Ok(())
    }

    /// Moves the legs of one chunk to where it was seen, and prepares what there is to do for it.
    fn act(
        &self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        ready: &[u32],
        number: u32,
        found: Found,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), Stuck> {
        let of = (plan.content().head.id, number);
        let Found { state, todo } = found;
        if let Some(part) = desk.proposed.remove(&number) {
            return self.take_up(desk, plan, ready, part, todo, leaving);
        }
        let watched = desk.chunks.get_mut(&of).expect("what was looked at is watched");
        if state != watched.state {
            self.tell(plan, watched, &state)?;
            watched.state = state;
        }
        match todo {
            Todo::Wait => {}
            Todo::Send(place) => {
                self.may_leave(plan, &watched.part)?;
                leaving.push(Leaving { tx: watched.book[place].clone(), first: false });
            }
            Todo::Journal(tx) => {
                self.may_leave(plan, &watched.part)?;
                self.journal_tx(plan, &watched.part, watched.book.len(), &tx)?;
                desk.nonces.signed(tx.terms().nonce);
                watched.book.push(tx.clone());
                leaving.push(Leaving { tx, first: true });
            }
            Todo::Blocked(why) => return Err(Stuck::Other(why)),
            Todo::Done => {
                let paid_by = watched.paid_by();
                let signed: Vec<u64> = watched.book.iter().map(|tx| tx.terms().nonce).collect();
                desk.nonces.ended(paid_by, signed);
                desk.chunks.remove(&of);
            }
        }
        Ok(())
    }

    /// Whether a transaction of a chunk may leave: the journal has all of its legs under way.
    /// Nobody but the settler moves a pay-out that is, so what holds here holds when it leaves.
    fn may_leave(&self, plan: &BatchPlan, part: &Part) -> Result<(), Stuck> {
        let ended = self.with_legs(plan.content().head.id, |legs| {
            places(plan, part)
                .find(|leg| !legs.state(*leg).is_in_flight())
                .map(|leg| (leg, legs.state(leg)))
        })?;
        let Some((leg, state)) = ended else { return Ok(()) };
        let key = &plan.content().legs[leg as usize].key;
        Err(Stuck::Other(format!(
            "leg {key} is {}, and the chain has not paid the transaction that pays it and others: nothing of it \
             is sent any more; find out who paid the leg",
            state.name()
        )))
    }

    /// Makes READY legs a chunk, if they still are and it still has its number.
    fn take_up(
        &self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        ready: &[u32],
        part: Part,
        todo: Todo,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), Stuck> {
        let (batch, number) = (plan.content().head.id, part.number());
        let tx = match todo {
            Todo::Journal(tx) => tx,
            Todo::Blocked(why) => return Err(Stuck::Other(why)),
            Todo::Wait | Todo::Send(_) | Todo::Done => return Ok(()),
        };
        let next = self.with_legs(batch, |legs| legs.submissions().len())?;
        let still = places(plan, &part).all(|leg| ready.binary_search(&leg).is_ok());
        if !still || usize::try_from(number).ok() != Some(next) {
            return Ok(());
        }
        self.journal_tx(plan, &part, 0, &tx)?;
        desk.nonces.signed(tx.terms().nonce);
        let chunk = Arc::new(evm::chunk_of(part.content(), number).map_err(other)?);
        let (book, state) = (vec![tx.clone()], ChunkState::New);
        desk.chunks.insert((batch, number), Watched { part, chunk, book, state });
        leaving.push(Leaving { tx, first: true });
        Ok(())
    }

    /// Makes a signed transaction durable: it leaves next.
    fn journal_tx(
        &self,
        plan: &BatchPlan,
        part: &Part,
        attempts: usize,
        tx: &SignedTx,
    ) -> Result<(), Stuck> {
        let (batch, number) = (plan.content().head.id, part.number());
        let attempt = u32::try_from(attempts).expect("attempts are limited");
        let of = CallsOf { batch, submission: number, attempt };
        let mut kept = tx.at_block().to_le_bytes().to_vec();
        kept.extend_from_slice(tx.raw());
        let parties = parties_of(part.content().legs.iter().map(|leg| leg.payment));
        let sealed = self.engine.vault().seal_call(of, 0, &parties, &kept);
        let sealed = sealed.map_err(NotLoaded::from)?;
        kept::put_calls(self.engine.tables(), of, std::iter::once(sealed.as_slice()))
            .map_err(NotLoaded::from)?;
        faults::point(|| "submit-staged");
        let mut hasher = FileHasher::default();
        hasher.update(tx.raw());
        let legs: Vec<u32> = places(plan, part).collect();
        let length = u64::try_from(tx.raw().len()).expect("a length fits 64 bits");
        let name = format!("nonce {} {}", tx.terms().nonce, tx.hash());
        let bytes = Bytes { digest: hasher.finish(), length, name };
        self.leave(plan, (number, attempt), &legs, bytes)?;
        faults::point(|| "submit-journaled");
        Ok(())
    }

    /// Moves the legs of a chunk to where the chain has it.
    fn tell(&self, plan: &BatchPlan, watched: &Watched, state: &ChunkState) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let Watched { part, chunk, .. } = watched;
        let mut said = Statements::new();
        for report in evm::reports(part.content(), chunk, state) {
            let leg = plan.leg(&report.key).expect("a part's legs are the batch's");
            let source = format!("transaction {}", report.reference);
            said.insert(leg, (vec![statement(plan.amount(leg), report)], source));
        }
        self.weigh(plan, &said)?;
        match state {
            ChunkState::Gone { .. } | ChunkState::Void | ChunkState::Sent | ChunkState::Signed => {
                // Mined before, and not any more.
                let why = "the chain has left the block that held it";
                let moves = self.with_legs(batch, |legs| {
                    let undone =
                        places(plan, part).filter(|leg| legs.state(*leg) == LegState::Accepted);
                    undone.map(|leg| to(leg, LegState::Sent, "", why)).collect()
                })?;
                self.journal(plan, Voice::Engine, moves)?;
            }
            ChunkState::New | ChunkState::Mined(_) | ChunkState::Safe(_) | ChunkState::Final(_) => {
            }
        }
        Ok(())
    }
}

/// The places of a part's legs in their batch.
fn places<'a>(plan: &'a BatchPlan, part: &'a Part) -> impl Iterator<Item = u32> + 'a {
    let keys = part.content().legs.iter().map(|leg| leg.key.as_str());
    keys.map(|key| plan.leg(key).expect("a part's legs are the batch's"))
}

/// What the chain says of a leg. Its books are the token's events: what moved is all there.
fn statement(amount: crate::types::Total, report: LegReport) -> Statement {
    let LegReport { word, reference, reason, .. } = report;
    let ground = match word {
        LegWord::Confirmed | LegWord::Returned => Ground::Money,
        LegWord::Accepted | LegWord::Rejected => Ground::Report,
    };
    Statement {
        word,
        ground,
        is_duplicate: false,
        side: Side::Out,
        sum: Sum::Units(amount),
        place: Place::Ours,
        reference,
        apart: 0,
        reason,
    }
}

fn other(why: impl std::fmt::Display) -> Stuck {
    Stuck::Other(why.to_string())
}
