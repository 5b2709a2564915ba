//! The thread that writes what is claimed, and what came of it.

use super::rows::{Row, Rows, period};
use super::{All, Claim, locked};
use crate::journal::JournalError;
use crate::limits::{CLAIMS_AT_ONCE, CLAIMS_SYNC_EVERY};
use crate::pipeline::{Meters, stop_at_once};
use crate::types::Digest;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What is asked of the thread.
pub(super) enum Ask {
    /// The row of an identifier.
    Read(Digest, oneshot::Sender<Option<Row>>),
    /// To write a claim, durably. It is answered with its period.
    Write(Digest, Claim, oneshot::Sender<u64>),
    /// To write what came of one; durably where that is to be answered.
    End(Digest, Row, Option<oneshot::Sender<u64>>),
    /// Not to look for the end of one any more.
    Leave(Digest),
}

/// The same, with the room that it takes until it is done.
pub(super) struct Asked {
    pub ask: Ask,
    pub room: OwnedSemaphorePermit,
}

/// The thread.
pub(super) struct Writer {
    rows: Rows,
    live: All,
    /// How many have no end.
    open: Arc<AtomicUsize>,
    /// What ended and is not durable.
    dirty: HashMap<Digest, Row>,
    /// When marks were last moved on.
    marked: Instant,
    /// Has the records' time, by which rows lie in periods.
    meters: Arc<Meters>,
}

impl Writer {
    pub fn new(rows: Rows, live: All, open: Arc<AtomicUsize>, meters: Arc<Meters>) -> Self {
        Self { rows, live, open, dirty: HashMap::new(), marked: Instant::now(), meters }
    }

    pub fn run(mut self, asks: &Receiver<Asked>) {
        let mut open = true;
        while open {
            let mut hand = Vec::new();
            match asks.recv_timeout(CLAIMS_SYNC_EVERY) {
                Ok(ask) => hand.push(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
            hand.extend(asks.try_iter().take(CLAIMS_AT_ONCE));
            let idle = hand.is_empty();
            let moves = self.marked.elapsed() >= CLAIMS_SYNC_EVERY;
            self.turn(hand, idle, moves).unwrap_or_else(|error| stop_at_once(&error));
        }
    }

    /// Does what is asked, all of it with one sync. `moves`: marks move on with it.
    pub fn turn(&mut self, hand: Vec<Asked>, idle: bool, moves: bool) -> Result<(), JournalError> {
        let period = period(self.meters.time());
        self.rows.sweep(period)?;
        let (mut written, mut answers) = (Vec::new(), Vec::new());
        for Asked { ask, room } in hand {
            drop(room);
            match ask {
                Ask::Read(identifier, reply) => answers.push((identifier, reply)),
                Ask::Write(identifier, claim, reply) => {
                    self.rows
                        .begin(identifier, &Row { claim, ended: None, period, marked: true })?;
                    written.push(reply);
                }
                Ask::End(identifier, row, reply) => {
                    self.rows.end(identifier, &row)?;
                    self.dirty.insert(identifier, row);
                    written.extend(reply);
                }
                Ask::Leave(identifier) => self.rows.leave(identifier),
            }
        }
        self.open.store(self.rows.open_count(), Ordering::Relaxed);
        for (identifier, reply) in answers {
            // Who asked may be gone.
            let _ = reply.send(self.get(identifier, period)?);
        }
        if written.is_empty() && (!idle || self.dirty.is_empty()) {
            return Ok(());
        }
        if moves {
            self.marked = Instant::now();
            self.rows.move_marks()?;
        }
        self.rows.sync()?;
        let mut live = locked(&self.live);
        for (identifier, _) in self.dirty.drain() {
            // Somebody may be bringing something new under it.
            if live.get(&identifier).is_some_and(|held| held.ended.borrow().is_some()) {
                live.remove(&identifier);
            }
        }
        drop(live);
        for reply in written {
            // Who asked may be gone; the claim stands.
            let _ = reply.send(period);
        }
        Ok(())
    }

    fn get(&self, identifier: Digest, period: u64) -> Result<Option<Row>, JournalError> {
        if let Some(row) = self.dirty.get(&identifier) {
            return Ok(Some(row.clone()));
        }
        self.rows.get(identifier, period)
    }
}
