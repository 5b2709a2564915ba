//! Payment identifiers: what was brought under which identifier, and what came of it, so that the
//! same one never leads to two payments.
//!
//! Owns the rows of table `payments` and the thread that writes them. A claim is durable **before**
//! its voucher is fed, so after a crash there is a claim for whatever may have been charged. What
//! came of it is written behind it, and durable with the next claim, or within a second: until then
//! it follows from the claim and the channel's total, for a later claim on that channel comes
//! behind it. A start says of every claim without an end what came of it, before anybody can charge
//! the same voucher for somebody else.
//!
//! Rows lie in periods of the records' time, and go with their whole period. Decides nothing about
//! money.

mod bring;
mod rows;
mod step;
mod writer;

pub use bring::{Charges, Found, NotBrought};
pub use step::ClaimStep;

use super::Engine;
use crate::canary::{Bug, planted};
use crate::faults;
use crate::journal::JournalError;
use crate::limits::CLAIMS_AT_ONCE;
use crate::pipeline::{Intake, stop_at_once};
use crate::types::{Amount, Digest, Lsn, Packed, SIGNATURE_BYTES, VOUCHER_BYTES};
use crossbeam::channel::{Receiver, Sender, unbounded};
use rows::{Row, Rows};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, oneshot, watch};
use writer::{Ask, Asked, Writer};

/// What is brought under an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The voucher.
    pub voucher: [u8; VOUCHER_BYTES],
    /// The amount that it is for.
    pub amount: Amount,
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was charged, by this record, and that was the channel's total then.
    Charged(Lsn, Amount),
    /// It was not, and never will be.
    Refused,
}

/// A claim that is under way, or whose end is not durable.
#[derive(Clone)]
struct Live {
    claim: Claim,
    ended: watch::Receiver<Option<Ended>>,
}

type All = Arc<Mutex<HashMap<Digest, Live>>>;

/// Every identifier.
pub struct Claims {
    asks: Option<Sender<Asked>>,
    /// For so many the thread has room at a time.
    room: Arc<Semaphore>,
    live: All,
    /// What the last process left without an end.
    left: Mutex<Vec<(Digest, Row)>>,
    /// How many have no end.
    open: Arc<AtomicUsize>,
    /// Signatures of the vouchers that are being charged.
    charging: Arc<Mutex<HashSet<[u8; SIGNATURE_BYTES]>>>,
    thread: Option<JoinHandle<()>>,
}

/// Whose turn it is with an identifier.
pub enum Turn<'a> {
    /// Another one is bringing the same: this comes of it.
    Joins(watch::Receiver<Option<Ended>>),
    /// Another one is bringing something else.
    Taken,
    /// Nobody else: this one does it.
    Mine(Mine<'a>),
}

/// The right to say what comes of an identifier, until it is dropped.
pub struct Mine<'a> {
    claims: &'a Claims,
    identifier: Digest,
    ended: watch::Sender<Option<Ended>>,
    told: bool,
}

fn locked(live: &All) -> MutexGuard<'_, HashMap<Digest, Live>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claims {
    /// Starts the thread.
    #[must_use]
    pub fn start(engine: &Engine) -> Self {
        let wired = Self::wired(engine.intake());
        let (mut claims, writer, asked) = wired.unwrap_or_else(|error| stop_at_once(&error));
        let thread = std::thread::Builder::new().name("claims".to_owned());
        let thread = thread.spawn(move || writer.run(&asked)).expect("the system starts a thread");
        claims.thread = Some(thread);
        claims
    }

    /// With what writes them, and what that is asked.
    fn wired(intake: &Intake) -> Result<(Self, Writer, Receiver<Asked>), JournalError> {
        let (tables, meters) = (intake.tables().clone(), intake.meters().clone());
        let (rows, left) = Rows::open(tables, rows::period(meters.time()))?;
        let ((asks, asked), room) = (unbounded(), Arc::new(Semaphore::new(CLAIMS_AT_ONCE)));
        let (live, open) = (All::default(), Arc::<AtomicUsize>::default());
        let writer = Writer::new(rows, live.clone(), open.clone(), meters);
        let (asks, left, charging, thread) = (Some(asks), Mutex::new(left), Arc::default(), None);
        Ok((Self { asks, room, live, left, open, charging, thread }, writer, asked))
    }

    /// Says, durably, what came of every claim that the last process left without an end. Nobody is
    /// served before.
    pub async fn resume<C: Charges>(&self, charges: &C) {
        let open = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        if planted(Bug::ChargedTwice) {
            return;
        }
        let mut ended = Vec::new();
        for (identifier, row) in open {
            let total = Packed(&row.claim.voucher).cumulative();
            let came_of_it = match bring::found(charges, &row.claim).await {
                Ok(Found::Charged(lsn)) => Ended::Charged(lsn, total),
                Ok(Found::Not) => Ended::Refused,
                // No later start can say it either.
                Ok(Found::Unknown) => {
                    self.ask(Ask::Leave(identifier)).await;
                    continue;
                }
                // The engine stops.
                Err(_) => return,
            };
            let (reply, answer) = oneshot::channel();
            let row = Row { ended: Some(came_of_it), ..row };
            self.ask(Ask::End(identifier, row, Some(reply))).await;
            ended.push(answer);
        }
        for answer in ended {
            // It is not answered only when the engine stops.
            let _ = answer.await;
        }
    }

    /// How many claims have no end: they are under way, or a start has them looked up.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The right to have a voucher charged, until it is dropped; `None` while another one has it:
    /// so what became of a claim can be told from what became of another with the same voucher.
    #[must_use]
    pub fn charging(&self, voucher: &[u8; VOUCHER_BYTES]) -> Option<Charging> {
        let signature = *Packed(voucher).signature();
        let mut all = self.charging.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(signature).then(|| Charging { signature, all: self.charging.clone() })
    }

    /// Whose turn it is to bring this under an identifier.
    pub fn turn(&self, identifier: Digest, claim: &Claim) -> Turn<'_> {
        let mut live = locked(&self.live);
        match live.get(&identifier) {
            // What was refused may be brought again, or something else in its place.
            Some(held) if *held.ended.borrow() == Some(Ended::Refused) => {}
            Some(held) if held.claim == *claim => return Turn::Joins(held.ended.clone()),
            Some(_) => return Turn::Taken,
            None => {}
        }
        let (ended, hears) = watch::channel(None);
        live.insert(identifier, Live { claim: claim.clone(), ended: hears });
        Turn::Mine(Mine { claims: self, identifier, ended, told: false })
    }

    /// What is brought under an identifier at the moment, and what comes of it.
    #[must_use]
    pub fn under_way(&self, identifier: Digest) -> Option<(Claim, watch::Receiver<Option<Ended>>)> {
        let live = locked(&self.live);
        live.get(&identifier).map(|held| (held.claim.clone(), held.ended.clone()))
    }

    /// The row of an identifier, if there is one that counts; `None` too while the engine stops.
    pub async fn row(&self, identifier: Digest) -> Option<Row> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Read(identifier, reply)).await;
        answer.await.ok().flatten()
    }

    /// Has the thread do something, once it has room. Who comes when the engine stops hears
    /// nothing.
    async fn ask(&self, ask: Ask) {
        let Some(asks) = &self.asks else { return };
        let Ok(room) = self.room.clone().acquire_owned().await else { return };
        // The thread ends behind this alone.
        let _ = asks.send(Asked { ask, room });
    }
}

impl Drop for Claims {
    /// What is written is durable when it returns.
    fn drop(&mut self) {
        self.asks = None;
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Mine<'_> {
    /// Writes the claim, durably. `None` when the engine stops.
    pub async fn write(&self, claim: Claim) -> Option<Row> {
        let (reply, answer) = oneshot::channel();
        self.claims.ask(Ask::Write(self.identifier, claim.clone(), reply)).await;
        let period = answer.await.ok()?;
        faults::point(|| "claim-written");
        Some(Row { claim, ended: None, period, marked: true })
    }

    /// Says what came of it, and has it written.
    pub async fn end(mut self, row: Row, ended: Ended) {
        faults::point(|| "claim-decided");
        self.told = true;
        let row = Row { ended: Some(ended), ..row };
        if ended == Ended::Refused {
            // Durable at once: else it would look like the charge of the same voucher by another,
            // should the engine be killed right behind that.
            let (reply, answer) = oneshot::channel();
            self.claims.ask(Ask::End(self.identifier, row, Some(reply))).await;
            let _ = answer.await;
            // At one moment: whoever hears that it was refused may be the next one at once.
            let mut live = locked(&self.claims.live);
            self.ended.send_replace(Some(ended));
            self.leave(&mut live);
            return;
        }
        self.ended.send_replace(Some(ended));
        // From here on others find it among the living, and then in its row.
        self.claims.ask(Ask::End(self.identifier, row, None)).await;
    }

    /// Says what had come of it before.
    pub fn known(self, ended: Ended) {
        self.ended.send_replace(Some(ended));
    }

    /// Has written what came of what was brought under the identifier before, which is something
    /// else: who waits for this one's hears nothing of it.
    pub async fn note(self, row: Row, ended: Ended) {
        let row = Row { ended: Some(ended), ..row };
        self.claims.ask(Ask::End(self.identifier, row, None)).await;
    }

    /// Takes it from among the living, unless somebody else is the one by now.
    fn leave(&self, live: &mut HashMap<Digest, Live>) {
        let own = self.ended.subscribe();
        if live.get(&self.identifier).is_some_and(|held| held.ended.same_channel(&own)) {
            live.remove(&self.identifier);
        }
    }
}

impl Drop for Mine<'_> {
    /// It was not brought, or nothing new came of it: the next one looks at its row.
    fn drop(&mut self) {
        if !self.told {
            self.leave(&mut locked(&self.claims.live));
        }
    }
}

/// See `Claims::charging`.
pub struct Charging {
    signature: [u8; SIGNATURE_BYTES],
    all: Arc<Mutex<HashSet<[u8; SIGNATURE_BYTES]>>>,
}

impl Drop for Charging {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.signature);
    }
}
