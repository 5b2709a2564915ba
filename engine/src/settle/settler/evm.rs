//! The rail `evm`: one submission a chunk of legs, one attempt a signed transaction of it. A transaction is
//! kept and journaled before it is sent; after that the chain is asked, round by round, what became of it,
//! and what the chain says now is what counts: a start needs nothing but the journaled transactions.

use super::answers::{Outcome, Said};
use super::step::to;
use super::{Run, Stuck};
use crate::faults;
use crate::journal::kept::{self, CallsOf};
use crate::ledger::event::LegsSubmitted;
use crate::ledger::{BatchPlan, Event, LegState, Legs, Mover, runs};
use crate::limits::{EVM_CHUNK_ITEMS, EVM_IN_FLIGHT_MAX, MOVES_MAX};
use crate::rails::Part;
use crate::rails::evm::{self, Act, Chunk, ChunkState, Desk, Nonces, SignedTx, View};
use crate::settle::archive::NotLoaded;
use crate::types::{BatchId, Digest, FileHasher};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A chain, the key, and what is known of the chunks under way.
pub struct EvmDesk {
    desk: Desk,
    /// Time between two looks at the chain.
    every: Duration,
    nonces: Nonces,
    chunks: HashMap<(BatchId, u32), Watched>,
    /// What is deployed was compared with what is configured.
    checked: bool,
    /// When each batch is looked at next.
    next_round: HashMap<BatchId, Instant>,
}

/// A chunk that has not ended.
struct Watched {
    part: Part,
    chunk: Chunk,
    book: Vec<SignedTx>,
    state: ChunkState,
}

impl EvmDesk {
    /// A desk that looks at the chain this often.
    #[must_use]
    pub fn new(desk: Desk, every: Duration) -> Self {
        let (nonces, chunks, next_round) = Default::default();
        Self { desk, every, nonces, chunks, checked: false, next_round }
    }
}

impl Run {
    /// One round: every chunk under way is looked at, and READY legs become new ones.
    pub(super) fn step_evm(
        &mut self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        ready: &[u32],
    ) -> Result<(), Stuck> {
        let (now, batch) = (Instant::now(), plan.content().head.id);
        if desk.next_round.get(&batch).is_some_and(|next| now < *next) {
            return Ok(());
        }
        desk.next_round.insert(batch, now + desk.every);
        let (legs, _) = self.legs(batch)?;
        self.watch(desk, plan, &legs)?;
        if !desk.checked {
            desk.desk.check_deployment(&desk.nonces).map_err(other)?;
            desk.checked = true;
        }
        let view = desk.desk.view().map_err(other)?;
        let mut numbers: Vec<u32> =
            desk.chunks.keys().filter(|(of, _)| *of == batch).map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        let mut stuck = None;
        for number in numbers {
            // One chunk that is blocked does not keep the others.
            if let Err(why) = self.look(desk, plan, &view, number) {
                if why.is_stop() {
                    return Err(why);
                }
                stuck = stuck.or(Some(why));
            }
        }
        let number = u32::try_from(legs.submissions().len()).expect("limited by legs");
        for (number, some) in (number..).zip(ready.chunks(EVM_CHUNK_ITEMS)) {
            if desk.nonces.waiting(view.used) >= EVM_IN_FLIGHT_MAX {
                break;
            }
            let part = Part::new(plan.content(), some, number);
            let chunk = evm::chunk_of(part.content(), number).map_err(other)?;
            let (book, state) = (Vec::new(), ChunkState::New);
            desk.chunks.insert((batch, number), Watched { part, chunk, book, state });
            let looked = self.look(desk, plan, &view, number);
            // Nothing of it is journaled unless something was signed: then it is no chunk yet.
            if desk.chunks.get(&(batch, number)).is_some_and(|watched| watched.book.is_empty()) {
                desk.chunks.remove(&(batch, number));
                looked?;
                break;
            }
            looked?;
        }
        stuck.map_or(Ok(()), Err)
    }

    /// Takes up the chunks of a batch that the journal holds and that have not ended.
    fn watch(&self, desk: &mut EvmDesk, plan: &BatchPlan, legs: &Legs) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let store = &**self.intake.store();
        for (number, submission) in (0..).zip(legs.submissions()) {
            let places: Vec<u32> = submission.legs().collect();
            let first = plan.content().legs[places[0] as usize].payment;
            let open = places.iter().any(|leg| legs.state(*leg).is_in_flight());
            if first.is_pay_in() || !open || desk.chunks.contains_key(&(batch, number)) {
                continue;
            }
            let part = Part::new(plan.content(), &places, number);
            let chunk = evm::chunk_of(part.content(), number).map_err(other)?;
            let mut book = Vec::new();
            for attempt in 0..submission.attempts.len() {
                let attempt = u32::try_from(attempt).expect("attempts are limited");
                let of = CallsOf { batch, submission: number, attempt };
                let kept = kept::load_call(store, of, 0).map_err(NotLoaded::from)?;
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

    /// Looks at one chunk, does the one thing that there is to do, and moves its legs.
    fn look(
        &self,
        desk: &mut EvmDesk,
        plan: &BatchPlan,
        view: &View,
        number: u32,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let EvmDesk { desk: chain, nonces, chunks, .. } = desk;
        let watched = chunks.get_mut(&(batch, number)).expect("it is watched");
        let look = chain
            .look(view, &watched.chunk, &watched.book, nonces, &watched.state)
            .map_err(other)?;
        watched.state = look.state;
        self.tell(plan, watched, number)?;
        match look.act {
            Act::Wait => {}
            Act::Send(place) => {
                chain.send(&watched.book[place]).map_err(other)?;
            }
            Act::Sign(terms) => {
                let tx = chain.sign(view, &watched.chunk, &terms);
                self.journal_tx(plan, watched, number, &tx)?;
                nonces.signed(tx.terms().nonce);
                watched.book.push(tx);
                let tx = watched.book.last().expect("it was just put there");
                chain.send(tx).map_err(other)?;
                faults::point(|| "submit-left");
            }
            Act::Blocked(why) => return Err(other(why)),
            Act::Done => {
                let paid_by = match &watched.state {
                    ChunkState::Final(mined) => {
                        let paid = watched.book.iter().find(|tx| tx.hash() == mined.tx);
                        paid.map(|tx| tx.terms().nonce)
                    }
                    ChunkState::New
                    | ChunkState::Signed
                    | ChunkState::Sent
                    | ChunkState::Mined(_)
                    | ChunkState::Safe(_)
                    | ChunkState::Gone { .. }
                    | ChunkState::Void => None,
                };
                let signed: Vec<u64> = watched.book.iter().map(|tx| tx.terms().nonce).collect();
                nonces.ended(paid_by, signed);
                chunks.remove(&(batch, number));
            }
        }
        Ok(())
    }

    /// Makes a signed transaction durable: it leaves next.
    fn journal_tx(
        &self,
        plan: &BatchPlan,
        watched: &Watched,
        number: u32,
        tx: &SignedTx,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let attempt = u32::try_from(watched.book.len()).expect("attempts are limited");
        let of = CallsOf { batch, submission: number, attempt };
        let mut kept = tx.at_block().to_le_bytes().to_vec();
        kept.extend_from_slice(tx.raw());
        kept::put_calls(&**self.intake.store(), of, std::iter::once(kept.as_slice()))
            .map_err(NotLoaded::from)?;
        faults::point(|| "submit-staged");
        let mut hasher = FileHasher::default();
        hasher.update(tx.raw());
        let keys = watched.part.content().legs.iter().map(|leg| leg.key.as_str());
        let places = keys.map(|key| plan.leg(key).expect("a part's legs are the batch's"));
        let places: Vec<u32> = places.collect();
        self.record(Event::LegsSubmitted(LegsSubmitted {
            batch,
            submission: number,
            attempt,
            paid_out: plan.paid_out(&places),
            legs: runs(places.into_iter()),
            digest: hasher.finish(),
            bytes: u64::try_from(tx.raw().len()).expect("a length fits 64 bits"),
            name: format!("nonce {} {}", tx.terms().nonce, tx.hash()),
        }))?;
        faults::point(|| "submit-journaled");
        Ok(())
    }

    /// Moves the legs of a chunk to where the chain has it.
    fn tell(&self, plan: &BatchPlan, watched: &Watched, number: u32) -> Result<(), Stuck> {
        let Watched { part, chunk, state, .. } = watched;
        let (legs, _) = self.legs(plan.content().head.id)?;
        let mut said = Said::new();
        for report in evm::reports(part.content(), chunk, state) {
            let leg = plan.leg(&report.key).expect("a part's legs are the batch's");
            said.insert(leg, report);
        }
        let mut outcome = Outcome::default();
        self.hear_batch(plan, &said, Digest::ZERO, &mut outcome)?;
        for note in outcome.notes {
            tracing::error!(batch = %plan.content().head.id, chunk = number, "{note}");
        }
        match state {
            ChunkState::Gone { .. } | ChunkState::Void | ChunkState::Sent | ChunkState::Signed => {
                // Mined before, and not any more.
                let keys = part.content().legs.iter().filter_map(|leg| plan.leg(&leg.key));
                let undone = keys.filter(|leg| legs.state(*leg) == LegState::Accepted);
                let why = "the chain has left the block that held it";
                let moves: Vec<_> =
                    undone.map(|leg| to(plan, leg, LegState::Sent, "", why)).collect();
                for some in moves.chunks(MOVES_MAX) {
                    self.move_legs(plan, Mover::Engine, Digest::ZERO, some.to_vec())?;
                }
            }
            ChunkState::New | ChunkState::Mined(_) | ChunkState::Safe(_) | ChunkState::Final(_) => {
            }
        }
        Ok(())
    }
}

fn other(why: impl std::fmt::Display) -> Stuck {
    Stuck::Other(why.to_string())
}
