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
//! Rows lie in periods, and go with their whole period. Decides nothing about money.

use super::Engine;
use crate::journal::{JournalError, Table, Tables};
use crate::limits::{CLAIM_PERIOD_SECONDS, CLAIMS_AT_ONCE, CLAIMS_SYNC_EVERY};
use crate::pipeline::{self, stop_at_once};
use crate::types::{Amount, Digest, Lsn, Packed, SIGNATURE_BYTES, VOUCHER_BYTES};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

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

/// A row: the claim, what came of it, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The claim.
    pub claim: Claim,
    /// `None`: the engine ended before that was written.
    pub ended: Option<Ended>,
    period: u64,
}

const OPEN: u8 = 1;
const CHARGED: u8 = 2;
const REFUSED: u8 = 3;
const ROW_BYTES: usize = 1 + VOUCHER_BYTES + 3 * 8;

impl Row {
    fn bytes(&self) -> [u8; ROW_BYTES] {
        let (state, lsn, total) = match self.ended {
            None => (OPEN, Lsn(0), Amount(0)),
            Some(Ended::Charged(lsn, total)) => (CHARGED, lsn, total),
            Some(Ended::Refused) => (REFUSED, Lsn(0), Amount(0)),
        };
        let mut out = [0; ROW_BYTES];
        out[0] = state;
        let (voucher, numbers) = out[1..].split_at_mut(VOUCHER_BYTES);
        voucher.copy_from_slice(&self.claim.voucher);
        for (place, number) in numbers.chunks_mut(8).zip([self.claim.amount.0, lsn.0, total.0]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    fn read(period: u64, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ROW_BYTES] = bytes.try_into().ok()?;
        let (voucher, numbers) = bytes[1..].split_first_chunk::<VOUCHER_BYTES>()?;
        let ([amount, lsn, total], []) = numbers.as_chunks::<8>() else { return None };
        let [amount, lsn, total] = [amount, lsn, total].map(|it| u64::from_le_bytes(*it));
        let ended = match bytes[0] {
            OPEN => None,
            CHARGED => Some(Ended::Charged(Lsn(lsn), Amount(total))),
            REFUSED => Some(Ended::Refused),
            _ => return None,
        };
        Some(Self { claim: Claim { voucher: *voucher, amount: Amount(amount) }, ended, period })
    }
}

/// What is asked of the thread.
enum Ask {
    /// The row of an identifier.
    Read(Digest, oneshot::Sender<Option<Row>>),
    /// To write a claim, durably. It is answered with its period.
    Write(Digest, Claim, oneshot::Sender<u64>),
    /// To write what came of one; durably where that is to be answered.
    End(Digest, Row, Option<oneshot::Sender<u64>>),
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
    asks: Option<Sender<Ask>>,
    live: All,
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
        let tables = engine.intake().tables().clone();
        let (asks, asked) = bounded(CLAIMS_AT_ONCE);
        let live = All::default();
        let writer = Writer { tables, live: live.clone(), dirty: HashMap::new(), swept: 0 };
        let thread = std::thread::Builder::new().name("claims".to_owned());
        let thread = thread.spawn(move || writer.run(&asked)).expect("the system starts a thread");
        Self { asks: Some(asks), live, charging: Arc::default(), thread: Some(thread) }
    }

    /// Says, durably, what came of every claim that the last process left without an end. Nobody is
    /// served before.
    pub async fn resume(&self, engine: &Engine) {
        let open = open_rows(&**engine.intake().tables()).unwrap_or_else(|e| stop_at_once(&e));
        let mut ended = Vec::new();
        for (identifier, row) in open {
            let Some(came_of_it) = came_of(engine, &row.claim).await else { continue };
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

    async fn ask(&self, ask: Ask) {
        // There is room for one of every request; who comes when the engine stops hears nothing.
        let Some(asks) = &self.asks else { return };
        let mut ask = Some(ask);
        while let Some(held) = ask.take() {
            if let Err(error) = asks.try_send(held)
                && let crossbeam::channel::TrySendError::Full(held) = error
            {
                ask = Some(held);
                tokio::task::yield_now().await;
            }
        }
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
        Some(Row { claim, ended: None, period })
    }

    /// Says what came of it, and has it written.
    pub async fn end(mut self, row: Row, ended: Ended) {
        self.told = true;
        let row = Row { ended: Some(ended), ..row };
        if ended == Ended::Refused {
            // Durable at once: else it would look like the charge of the same voucher by another,
            // should the engine be killed right behind that.
            let (reply, answer) = oneshot::channel();
            self.claims.ask(Ask::End(self.identifier, row, Some(reply))).await;
            let _ = answer.await;
            self.ended.send_replace(Some(ended));
            locked(&self.claims.live).remove(&self.identifier);
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
}

impl Drop for Mine<'_> {
    /// It was not brought, or nothing new came of it: the next one looks at its row.
    fn drop(&mut self) {
        if !self.told {
            locked(&self.claims.live).remove(&self.identifier);
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

/// The thread.
struct Writer {
    tables: Arc<dyn Tables>,
    live: All,
    /// What ended and is not durable.
    dirty: HashMap<Digest, Row>,
    /// Everything before this period is gone.
    swept: u64,
}

impl Writer {
    fn run(mut self, asks: &Receiver<Ask>) {
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
            self.turn(hand, idle).unwrap_or_else(|error| stop_at_once(&error));
        }
    }

    /// Does what is asked, all of it with one sync.
    fn turn(&mut self, hand: Vec<Ask>, idle: bool) -> Result<(), JournalError> {
        let period = period();
        self.sweep(period)?;
        let (mut written, mut answers) = (Vec::new(), Vec::new());
        for ask in hand {
            match ask {
                Ask::Read(identifier, reply) => answers.push((identifier, reply)),
                Ask::Write(identifier, claim, reply) => {
                    self.put(identifier, &Row { claim, ended: None, period })?;
                    written.push(reply);
                }
                Ask::End(identifier, row, reply) => {
                    self.put(identifier, &row)?;
                    self.dirty.insert(identifier, row);
                    written.extend(reply);
                }
            }
        }
        for (identifier, reply) in answers {
            // Who asked may be gone.
            let _ = reply.send(self.get(identifier, period)?);
        }
        if written.is_empty() && (!idle || self.dirty.is_empty()) {
            return Ok(());
        }
        self.tables.sync(Table::Payments)?;
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

    fn put(&self, identifier: Digest, row: &Row) -> Result<(), JournalError> {
        self.tables.put(Table::Payments, &key(row.period, identifier), &row.bytes())
    }

    fn get(&self, identifier: Digest, period: u64) -> Result<Option<Row>, JournalError> {
        if let Some(row) = self.dirty.get(&identifier) {
            return Ok(Some(row.clone()));
        }
        for period in [period, period.saturating_sub(1)] {
            if let Some(bytes) = self.tables.get(Table::Payments, &key(period, identifier))? {
                let row = Row::read(period, &bytes);
                let wrong = || JournalError::Storage("a payment's row is not of its form".into());
                return row.ok_or_else(wrong).map(Some);
            }
        }
        Ok(None)
    }

    /// Forgets what is older than the period before this one.
    fn sweep(&mut self, period: u64) -> Result<(), JournalError> {
        let keep = period.saturating_sub(1);
        if self.swept < keep {
            self.swept = keep;
            self.tables.remove(Table::Payments, &[], &keep.to_be_bytes())?;
        }
        Ok(())
    }
}

/// The claims without an end that still count.
fn open_rows(tables: &dyn Tables) -> Result<Vec<(Digest, Row)>, JournalError> {
    let (from, mut open) = (period().saturating_sub(1).to_be_bytes(), Vec::new());
    tables.scan(Table::Payments, &from, &[u8::MAX; 41], &mut |key, bytes| {
        let Some((period, identifier)) = key.split_first_chunk::<8>() else { return Ok(()) };
        let (period, identifier) = (u64::from_be_bytes(*period), identifier.try_into());
        if let (Ok(identifier), Some(row)) = (identifier, Row::read(period, bytes))
            && row.ended.is_none()
        {
            open.push((Digest(identifier), row));
        }
        Ok(())
    })?;
    Ok(open)
}

/// What the ledger says of a claim; `None` where its channel has gone on, or was forgotten.
async fn came_of(engine: &Engine, claim: &Claim) -> Option<Ended> {
    let voucher = Packed(&claim.voucher);
    let channel = engine.hasher().channel(voucher);
    let found = engine.newest_of_all(&[channel]).await.ok()?.pop()?;
    match found {
        Some(newest) if newest.voucher == claim.voucher => {
            Some(Ended::Charged(newest.lsn, voucher.cumulative()))
        }
        Some(newest) if newest.voucher().cumulative() >= voucher.cumulative() => None,
        None if voucher.expires_at() <= pipeline::now().seconds() => None,
        Some(_) | None => Some(Ended::Refused),
    }
}

fn period() -> u64 {
    u64::try_from(pipeline::now().seconds() / CLAIM_PERIOD_SECONDS).unwrap_or(0)
}

fn key(period: u64, Digest(identifier): Digest) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&period.to_be_bytes());
    key[8..].copy_from_slice(&identifier);
    key
}
