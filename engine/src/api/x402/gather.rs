//! Requests of one moment become one frame: what came while the two frames before were under way.
//! So the busier the engine, the larger its frames, and no request waits for company: with fewer
//! under way it goes on at once.
//!
//! Each caller has lines of their own, so that the shares are between callers: whoever sends what
//! changes nothing slows nobody else. What an identity brings here and by gRPC is one source.

use super::super::receipts::{self, Credited};
use crate::api::access::Entrant;
use crate::limits::{HTTP_CONNECTIONS_MAX, X402_FRAME_VOUCHERS, X402_FRAMES_UNDER_WAY};
use crate::pipeline::{Aim, Answer, Busy, Entry, Feed, Source};
use crate::proof::Receipt;
use crate::settle::{Charging, Claim, Engine};
use crate::types::{Amount, Lsn, Outcome, VOUCHER_BYTES};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// A voucher with the amount that it is for, and who waits for what becomes of it.
struct Wanted {
    voucher: [u8; VOUCHER_BYTES],
    amount: Amount,
    /// Held until it is answered.
    charging: Option<Charging>,
    reply: oneshot::Sender<Result<Got, Busy>>,
}

/// What became of it, or would.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub outcome: Outcome,
    /// The channel's total now.
    pub total: Amount,
    /// The record that holds it, if it was to be credited.
    pub lsn: Lsn,
    /// The engine's word that it was credited just now.
    pub receipt: Option<Box<Receipt>>,
    /// It was made by another request, before this one.
    pub is_known: bool,
}

/// Whether something is only asked, or to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Ask,
    Charge,
}

/// Who brings vouchers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct By {
    /// The caller's name.
    pub name: String,
    /// An identity's own, by whatever door it comes.
    pub source: Option<Source>,
}

impl By {
    /// Who was let in.
    pub fn of(entrant: &Entrant) -> Self {
        let source = entrant.allowance.as_ref().map(|own| own.source());
        Self { name: entrant.caller.name.clone(), source }
    }
}

struct Lines {
    asks: mpsc::Sender<Wanted>,
    charges: mpsc::Sender<Wanted>,
}

/// The lines of all callers.
pub(super) struct Gatherer {
    engine: Engine,
    lines: Mutex<HashMap<By, Arc<Lines>>>,
}

impl Gatherer {
    pub fn new(engine: Engine) -> Self {
        Self { engine, lines: Mutex::default() }
    }

    /// What becomes of a voucher that is to raise its channel's total by just `amount`: it is
    /// credited and durable, or it is not credited. Once it stands in a line, this happens whether
    /// or not somebody waits for it, and until then nobody else has the right of `charging`.
    ///
    /// # Errors
    /// `Busy`: it was not taken in. When the engine stops meanwhile, it may have been.
    pub async fn get(
        &self,
        by: &By,
        way: Way,
        Claim { voucher, amount }: &Claim,
        charging: Option<Charging>,
    ) -> Result<Got, Busy> {
        let (reply, answer) = oneshot::channel();
        let (voucher, amount) = (*voucher, *amount);
        let lines = self.lines_of(by);
        let line = match way {
            Way::Ask => &lines.asks,
            Way::Charge => &lines.charges,
        };
        // There is room for one request of every connection.
        let wanted = Wanted { voucher, amount, charging, reply };
        line.send(wanted).await.map_err(|_| Busy::Stopping)?;
        answer.await.map_err(|_| Busy::Stopping)?
    }

    fn lines_of(&self, by: &By) -> Arc<Lines> {
        let mut all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = all.get(by) {
            return lines.clone();
        }
        let here = || Source::Here(1 + u64::try_from(all.len()).expect("a length fits 64 bits"));
        let source = by.source.unwrap_or_else(here);
        let begin = |way| {
            let (line, wanted) = mpsc::channel(HTTP_CONNECTIONS_MAX);
            tokio::spawn(gather(self.engine.clone(), self.engine.feed(source), way, wanted));
            line
        };
        let lines = Arc::new(Lines { asks: begin(Way::Ask), charges: begin(Way::Charge) });
        all.insert(by.clone(), lines.clone());
        lines
    }
}

/// Makes frames of what comes, until nobody can come any more.
async fn gather(engine: Engine, feed: Feed, way: Way, mut line: mpsc::Receiver<Wanted>) {
    let under_way = Arc::new(Semaphore::new(X402_FRAMES_UNDER_WAY));
    while let Some(first) = line.recv().await {
        let mut hand = vec![first];
        let place = under_way.clone().acquire_owned().await.expect("nobody closes it");
        // Whoever is ready to say something by now says it first.
        tokio::task::yield_now().await;
        while hand.len() < X402_FRAME_VOUCHERS
            && let Ok(next) = line.try_recv()
        {
            hand.push(next);
        }
        match enter(&feed, hand.len()).await {
            Ok(entry) => {
                let mut vouchers = BytesMut::with_capacity(hand.len() * VOUCHER_BYTES);
                hand.iter().for_each(|one| vouchers.extend_from_slice(&one.voucher));
                let amounts: Box<[Amount]> = hand.iter().map(|one| one.amount).collect();
                let aim = match way {
                    Way::Ask => Aim::Ask(amounts),
                    Way::Charge => Aim::Charge(amounts),
                };
                let answer = entry.submit_as(vouchers.freeze().into(), aim);
                let engine = engine.clone();
                tokio::spawn(async move {
                    hand_out(engine, way, answer, hand).await;
                    drop(place);
                });
            }
            Err(busy) => hand.into_iter().for_each(|one| drop(one.reply.send(Err(busy.clone())))),
        }
    }
}

/// Waits for room, as long as it takes.
async fn enter(feed: &Feed, vouchers: usize) -> Result<Entry<'_>, Busy> {
    loop {
        let entry = feed.enter(vouchers).await?;
        let now = Instant::now();
        let at = entry.when(now);
        if at <= now {
            return Ok(entry);
        }
        // Whoever rests holds no room.
        drop(entry);
        tokio::time::sleep_until(at.into()).await;
    }
}

/// Tells everybody what became of theirs.
async fn hand_out(engine: Engine, way: Way, answer: oneshot::Receiver<Answer>, hand: Vec<Wanted>) {
    let Ok(Answer { lsn, outcomes, totals, .. }) = answer.await else { return };
    let known = |outcome| Outcome::from_byte(outcome).expect("the engine knows its own outcomes");
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(known).collect();
    let is_made = |outcome: &Outcome| way == Way::Charge && *outcome == Outcome::Credited;
    let made = hand.iter().zip(&outcomes).filter(|(_, outcome)| is_made(outcome));
    let made: Vec<_> =
        made.map(|(one, _)| Credited { voucher: one.voucher, branch: None, lsn }).collect();
    let receipts = match made.is_empty() {
        true => Ok(None),
        false => receipts::sign(&engine, &made).await,
    };
    // Without one it is charged all the same: whoever needs one asks for it.
    let mut receipts = receipts.ok().flatten().unwrap_or_default().into_iter();
    for ((one, outcome), total) in hand.into_iter().zip(outcomes).zip(totals) {
        let receipt = is_made(&outcome).then(|| receipts.next()).flatten().map(Box::new);
        drop(one.charging);
        // Who went away does not hear it; what was done stays.
        let _ = one.reply.send(Ok(Got { outcome, total, lsn, receipt, is_known: false }));
    }
}

/// One voucher as a frame of its own, for the scopes of callers.
pub(super) fn alone(voucher: &[u8; VOUCHER_BYTES]) -> Bytes {
    Bytes::copy_from_slice(voucher)
}
