//! The task that tells endpoints what happened: it reads, hands out, and keeps positions.

use super::line::{After, Line};
use super::page::{self, Found, Want};
use super::row::{self, Row};
use super::{All, Ask, Known, Shared, UnderWay, look, send, spawn};
use crate::ledger::Endpoint;
use crate::limits::{
    HOOK_GATHER, HOOK_KEEP_EVERY, HOOK_READY_MAX, HOOK_REMEMBER_EVERY, HOOK_UNREAD_MICROS,
    HOOKS_AT_ONCE, HOOKS_OF_PARTY_AT_ONCE,
};
use crate::pipeline::{self, Busy, NotDone};
use crate::rails::hook::{Message, Outcome};
use crate::settle::archive::NotLoaded;
use crate::settle::engine::Engine;
use crate::types::{Lsn, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// A delivery that has ended.
struct Ended {
    endpoint: Lsn,
    of: Arc<Endpoint>,
    turn: u64,
    outcome: Outcome,
}

/// Sends webhooks until the engine stops or the task is dropped.
pub struct Courier {
    shared: Arc<Shared>,
    asks: mpsc::Receiver<Ask>,
    ended: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
    lines: BTreeMap<Lsn, Line>,
    /// How often endpoints and identities had changed when they were looked at.
    changes: (u64, u64),
    looked: Instant,
    end: Lsn,
    under_way: UnderWay,
    /// Whose turn it is first.
    first: Lsn,
    kept: Instant,
    gone: Vec<Lsn>,
}

impl Courier {
    pub(super) fn new(shared: Arc<Shared>, asks: mpsc::Receiver<Ask>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            asks,
            ended: mpsc::channel(HOOKS_AT_ONCE),
            lines: BTreeMap::new(),
            changes: (u64::MAX, u64::MAX),
            looked: now,
            end: Lsn(0),
            under_way: UnderWay::new(),
            first: Lsn(0),
            kept: now,
            gone: Vec::new(),
        }
    }

    /// Runs it.
    pub async fn run(mut self, engine: Engine) {
        let tables = engine.intake().tables().clone();
        let loaded = tokio::task::spawn_blocking(move || row::load(&*tables)).await;
        let mut rows = match loaded.expect("reading does not panic") {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "how far webhooks were sent cannot be read: none is sent");
                return;
            }
        };
        let mut watch = engine.watch(Lsn(0));
        loop {
            match self.turn(&engine, &mut rows).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(Busy::Stopping) => return,
                Err(busy) => tracing::debug!(%busy, "webhooks wait"),
            }
            let next = self.next_time();
            tokio::select! {
                changed = watch.next() => match changed {
                    Ok(_) => tokio::time::sleep(HOOK_GATHER).await,
                    Err(_) => return,
                },
                Some(ended) = self.ended.1.recv() => self.take(ended),
                Some(ask) = self.asks.recv() => self.answer(&engine, ask).await,
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// One look at everything: whether there is more to do at once.
    async fn turn(&mut self, engine: &Engine, rows: &mut BTreeMap<Lsn, Row>) -> Result<bool, Busy> {
        while let Ok(ended) = self.ended.1.try_recv() {
            self.take(ended);
        }
        let again = self.looked.elapsed() >= HOOK_KEEP_EVERY;
        let seen = match look(engine, self.changes, again).await {
            Ok(seen) => seen,
            Err(NotDone::Busy(busy)) => return Err(busy),
            Err(NotDone::Refused(_)) => return Ok(false),
        };
        (self.end, self.changes) = (seen.end, seen.changes);
        if let Some(all) = seen.all {
            self.looked = Instant::now();
            self.known(all, rows);
        }
        let more = match self.read(engine).await {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(%error, "what webhooks tell cannot be read; it is tried again");
                false
            }
        };
        self.send(engine);
        self.keep(engine, false).await;
        self.show();
        Ok(more)
    }

    /// Which endpoints there are now.
    fn known(&mut self, all: All, rows: &mut BTreeMap<Lsn, Row>) {
        let mut before = std::mem::take(&mut self.lines);
        for Known { endpoint, of, in_force } in all {
            let line = match before.remove(&endpoint) {
                Some(line) => Line { of, in_force, ..line },
                None => {
                    let known = Known { endpoint, of, in_force };
                    Line::new(known, rows.remove(&endpoint), self.end)
                }
            };
            self.lines.insert(endpoint, line);
        }
        self.gone.extend(before.into_keys());
        // Of endpoints that were removed just before the engine stopped.
        self.gone.extend(std::mem::take(rows).into_keys());
    }

    /// Reads what is next for those that stand where the one stands that has waited longest.
    /// Whether others wait, or there is more behind it.
    async fn read(&mut self, engine: &Engine) -> Result<bool, NotLoaded> {
        let now = pipeline::now();
        let ready = self.lines.values().filter(|line| !line.waiting.is_empty()).count();
        let room = HOOK_READY_MAX.saturating_sub(ready);
        let end = self.end;
        let wants = |line: &Line| {
            line.is_ready(now)
                && line.waiting.is_empty()
                && line.scanned.lsn <= end
                && line.rests_until <= now
        };
        let from = self.lines.values().filter(|line| wants(line)).map(|line| line.scanned).min();
        let Some(from) = from.filter(|_| room > 0) else { return Ok(false) };
        let those = self.lines.iter().filter(|(_, line)| wants(line) && line.scanned == from);
        let want = |(endpoint, line): (&Lsn, &Line)| Want {
            endpoint: *endpoint,
            party: line.of.party,
            topics: line.of.topics.clone(),
        };
        let wanted: Vec<Want> = those.take(room).map(want).collect();
        let (here, who) = (engine.clone(), wanted.clone());
        let found = tokio::task::spawn_blocking(move || page::read(&here, from, end, &who));
        let found = match found.await.expect("reading does not panic") {
            Ok(found) => found,
            Err(error) => {
                let until = Timestamp(now.0.saturating_add(HOOK_UNREAD_MICROS));
                for want in &wanted {
                    if let Some(line) = self.lines.get_mut(&want.endpoint) {
                        line.rests_until = until;
                    }
                }
                return Err(error);
            }
        };
        for Found { endpoint, waiting, next } in found {
            let Some(line) = self.lines.get_mut(&endpoint) else { continue };
            line.take(waiting, next);
            let behind = line.row.next.lsn.0.saturating_sub(line.kept.0);
            line.dirty |= behind >= HOOK_REMEMBER_EVERY;
        }
        Ok(self.lines.values().any(wants))
    }

    /// Hands out what waits, in turn.
    fn send(&mut self, engine: &Engine) {
        let now = pipeline::now();
        let mut open = HOOKS_AT_ONCE.saturating_sub(self.under_way.values().sum());
        let order = self.lines.range(self.first..).chain(self.lines.range(..self.first));
        let ready = order.filter(|(_, line)| line.is_ready(now) && !line.waiting.is_empty());
        let ready: Vec<Lsn> = ready.map(|(endpoint, _)| *endpoint).collect();
        for endpoint in ready {
            if open == 0 {
                self.first = endpoint;
                return;
            }
            let Some(line) = self.lines.get_mut(&endpoint) else { continue };
            let under_way = self.under_way.entry(line.of.party).or_default();
            if *under_way == HOOKS_OF_PARTY_AT_ONCE {
                continue;
            }
            let Some(first) = line.waiting.front() else { continue };
            *under_way += 1;
            open -= 1;
            line.busy = true;
            let (of, turn, message) = (line.of.clone(), line.turn, first.message.clone());
            self.hand_out(engine, (endpoint, turn), of, message);
        }
    }

    fn hand_out(
        &self,
        engine: &Engine,
        (endpoint, turn): (Lsn, u64),
        of: Arc<Endpoint>,
        message: Message,
    ) {
        let (client, vault) = (self.shared.client.clone(), engine.vault().clone());
        let ended = self.ended.0.clone();
        spawn(move || {
            let outcome = send(&client, vault, &of, &message);
            crate::faults::point(|| "webhook-sent");
            // There is room for all that are under way; nobody listens when the engine stops.
            let _ = ended.blocking_send(Ended { endpoint, of, turn, outcome });
        });
    }

    /// A delivery has ended.
    fn take(&mut self, Ended { endpoint, of, turn, outcome }: Ended) {
        let delivered = matches!(outcome, Outcome::Delivered(_));
        let count = if delivered { &self.shared.delivered } else { &self.shared.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(under_way) = self.under_way.get_mut(&of.party) {
            *under_way -= 1;
            if *under_way == 0 {
                self.under_way.remove(&of.party);
            }
        }
        let Some(line) = self.lines.get_mut(&endpoint) else { return };
        line.busy = false;
        if line.turn != turn {
            return;
        }
        let now = pipeline::now();
        match line.ended(&outcome, now, &self.shared.settings.retries, chance()) {
            After::GoesOn => {}
            After::TriedAgain => {
                tracing::debug!(
                    webhook = endpoint.0,
                    reason = line.row.reason,
                    "a delivery failed"
                );
            }
            After::Paused => tracing::warn!(
                webhook = endpoint.0, party = %of.party, reason = line.row.reason,
                failures = line.row.failures,
                "a webhook is paused: too many deliveries failed; once its receiver works, \
                 `tallystick webhook replay {}` goes on", endpoint.0
            ),
        }
    }

    async fn answer(&mut self, engine: &Engine, ask: Ask) {
        let Ask::Replay(endpoint, from, done) = ask;
        if let Some(line) = self.lines.get_mut(&endpoint) {
            line.replay(from, self.end);
            self.keep(engine, true).await;
            self.show();
        }
        reply(done);
    }

    /// Writes positions that changed: at once where somebody waits for it or nothing else is to be
    /// done, else every second.
    async fn keep(&mut self, engine: &Engine, now: bool) {
        let idle = self.under_way.is_empty();
        if !(now || idle || self.kept.elapsed() >= HOOK_KEEP_EVERY) {
            return;
        }
        let mut rows: Vec<(Lsn, Option<Row>)> = Vec::new();
        for (endpoint, line) in self.lines.iter_mut().filter(|(_, line)| line.dirty) {
            (line.dirty, line.kept) = (false, line.row.next.lsn);
            rows.push((*endpoint, Some(line.row.clone())));
        }
        rows.extend(std::mem::take(&mut self.gone).into_iter().map(|endpoint| (endpoint, None)));
        if rows.is_empty() {
            return;
        }
        self.kept = Instant::now();
        let tables = engine.intake().tables().clone();
        let kept = tokio::task::spawn_blocking(move || row::keep(&*tables, &rows)).await;
        if let Err(error) = kept.expect("writing does not panic") {
            // After a start they are told again from where they were known to be.
            tracing::error!(%error, "how far webhooks were sent cannot be written");
        }
    }

    /// Shows others how they stand.
    fn show(&self) {
        let standings = self.lines.iter().map(|(endpoint, line)| (*endpoint, line.standing()));
        let standings = standings.collect();
        *self.shared.standings() = standings;
    }

    /// How long there is nothing to do by itself.
    fn next_time(&self) -> Duration {
        let now = pipeline::now();
        let tries = self.lines.values().filter(|line| line.in_force);
        let tries = tries.filter_map(|line| line.row.next_try).min();
        let wait = tries.map_or(u64::MAX, |Timestamp(at)| {
            u64::try_from(at.saturating_sub(now.0).max(0)).unwrap_or(0)
        });
        let dirty = self.lines.values().any(|line| line.dirty);
        let most = if dirty { HOOK_KEEP_EVERY } else { Duration::from_secs(60) };
        // What is due and does not leave waits for a place.
        Duration::from_micros(wait).clamp(HOOK_GATHER, most)
    }
}

fn reply(done: oneshot::Sender<()>) {
    // Nobody to tell if the caller went away.
    let _ = done.send(());
}

/// A number by chance; without chance none is spread.
fn chance() -> u8 {
    let mut byte = [0];
    match getrandom::fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 0,
    }
}
