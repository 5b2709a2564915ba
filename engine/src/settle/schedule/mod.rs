//! The schedule: what the engine does by itself at set times, or when the open window holds too
//! much: closes it, computes a batch, approves a small one.
//!
//! Owns when that is; what is to be done then is the diary's. Every step is a command under a
//! request id that follows from its cause, so that a crash between two of them is carried on from
//! and nothing is done twice. Closing never waits for a batch: windows close while one is computed,
//! and while one cannot be made.

mod diary;

use self::diary::{Diary, Making, Seen};
use super::archive::NotLoaded;
use super::batches::{CreateBatch, Created};
use super::engine::Engine;
use crate::config::ScheduleEntry;
use crate::ledger::envelope::SCHEDULE_PREFIX;
use crate::ledger::{Caller, Gauge, Rail, Refusal, Request, Wish};
use crate::limits::{BATCH_WINDOWS_MAX, SCHEDULE_TICK};
use crate::pipeline::{self, Busy, NotDone};
use crate::types::{Lsn, Timestamp, Total, WindowNumber, content_digest};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where an entry stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The next time at which it closes.
    pub next: Option<Timestamp>,
    /// When it last ran through, since the start.
    pub last: Option<Timestamp>,
    /// What the open window holds.
    pub gauge: Gauge,
    /// What it has approved since midnight UTC.
    pub approved_today: Total,
    /// Since when a window should be closed, or a batch be made, that is not.
    pub late_since: Option<Timestamp>,
    /// What it could not do, or not yet.
    pub trouble: Option<String>,
}

/// The entries of the schedule and where each stands, for operators. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Board {
    entries: Arc<[ScheduleEntry]>,
    standing: Arc<Mutex<Vec<Standing>>>,
}

impl Board {
    /// Of these entries.
    #[must_use]
    pub fn new(entries: Vec<ScheduleEntry>) -> Self {
        let standing = vec![Standing::default(); entries.len()];
        Self { entries: entries.into(), standing: Arc::new(Mutex::new(standing)) }
    }

    /// Every entry with where it stands.
    #[must_use]
    pub fn list(&self) -> Vec<(ScheduleEntry, Standing)> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        self.entries.iter().cloned().zip(standing.iter().cloned()).collect()
    }

    fn set(&self, place: usize, standing: Standing) {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)[place] = standing;
    }
}

/// Why an entry runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Its time has come.
    Due(Timestamp),
    /// This window holds too much.
    Over(WindowNumber),
}

/// The engine's own operator.
pub struct Schedule {
    /// The engine that it operates.
    pub engine: Engine,
    /// What is to be done when.
    pub board: Board,
}

/// The one batch that is being made, while windows go on closing: the entry's place, the windows,
/// what came of it.
type Work<'a> = Pin<Box<dyn Future<Output = (usize, Vec<WindowNumber>, Created)> + Send + 'a>>;

impl Schedule {
    /// Runs until the engine stops or the task is dropped.
    pub async fn run(self) {
        let mut diary = Diary::new(self.board.entries.len());
        let mut ticks = tokio::time::interval(SCHEDULE_TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut work, mut last): (Option<Work<'_>>, usize) = (None, 0);
        loop {
            let turned = tokio::select! {
                _ = ticks.tick() => self.turn(&mut diary).await,
                (place, windows, made) = making(&mut work) => {
                    work = None;
                    note(&mut diary, place, &windows, made)
                }
            };
            let turned = match turned {
                Ok(()) if work.is_none() => {
                    self.next_work(&mut diary, &mut last).await.map(|next| {
                        work = next;
                    })
                }
                turned => turned,
            };
            match turned {
                Ok(()) => {}
                Err(NotDone::Busy(Busy::Stopping)) => return,
                // A full queue: at the next tick.
                Err(reason) => tracing::debug!(%reason, "the schedule could not look"),
            }
        }
    }

    /// Closes what is to be closed, approves what is small, and says where all stand.
    async fn turn(&self, diary: &mut Diary) -> Result<(), NotDone> {
        let now = pipeline::now();
        // First, so that the rest is never taken for a later window's.
        let (open, carried) = self
            .engine
            .ask(|control| {
                let open = control.open_window();
                Ok((open.number, !open.carried.is_empty()))
            })
            .await?;
        let gauges = self.engine.gauges().await?;
        let holds = carried || self.engine.figures().await?.credited > 0;
        let seen = Seen { now, open, holds, gauges: &gauges };
        for (place, entry) in self.board.entries.iter().enumerate() {
            let look = self.engine.ask(|control| Ok(diary.look((place, entry), control, &seen)));
            if let Some(cause) = look.await? {
                self.close(diary, (place, entry), cause, &seen).await?;
            }
        }
        for (place, entry) in self.board.entries.iter().enumerate() {
            if diary.may_approve(place, now) {
                self.approve(diary, (place, entry), now).await?;
            }
            let standing =
                self.engine.ask(|control| Ok(diary.standing((place, entry), control, now)));
            self.board.set(place, standing.await?);
        }
        Ok(())
    }

    async fn close(
        &self,
        diary: &mut Diary,
        (place, entry): (usize, &ScheduleEntry),
        cause: Cause,
        seen: &Seen<'_>,
    ) -> Result<(), NotDone> {
        let (window, now) = (seen.open, seen.now);
        let request = entry.close_request(cause, window);
        match self.engine.tell(Wish::CloseWindow.by(Caller::schedule(), request)).await {
            Ok(_) => {
                tracing::info!(%window, asset = %entry.asset, ?cause, "window closed on schedule");
                diary.closed((place, entry), cause, window, now);
            }
            Err(busy @ NotDone::Busy(_)) => return Err(busy),
            Err(reason @ NotDone::Refused(_)) => diary.not_closed(place, reason.to_string(), now),
        }
        Ok(())
    }

    /// The next batch that is to be made, if one is: the entries take turns.
    async fn next_work(
        &self,
        diary: &mut Diary,
        last: &mut usize,
    ) -> Result<Option<Work<'_>>, NotDone> {
        let (now, count) = (pipeline::now(), self.board.entries.len());
        for step in 1..=count {
            let place = (*last + step) % count;
            let entry = &self.board.entries[place];
            let next =
                self.engine.ask(|control| Ok(diary.next_batch((place, entry), control, now)));
            if let (Some(making), Some(rail)) = (next.await?, entry.batch_rail) {
                *last = place;
                return Ok(Some(Box::pin(self.make((place, entry), rail, making))));
            }
        }
        Ok(None)
    }

    async fn make(
        &self,
        (place, entry): (usize, &ScheduleEntry),
        rail: Rail,
        Making { request, windows }: Making,
    ) -> (usize, Vec<WindowNumber>, Created) {
        let (caller, four_eyes, asset) = (Caller::schedule(), self.engine.four_eyes(), entry.asset);
        // Windows that fill a batch wait no longer, however little they owe: no later one takes
        // more of them.
        let is_full = windows.len() >= BATCH_WINDOWS_MAX;
        let least = entry.batch_min_total.filter(|_| !is_full).unwrap_or_default();
        let of = windows.clone();
        let ask = CreateBatch { caller, request, four_eyes, windows: of, asset, rail, least };
        (place, windows, self.engine.create_batch(&ask).await)
    }

    /// Approves the schedule's own batches that are small enough, as far as the day's bound goes.
    async fn approve(
        &self,
        diary: &mut Diary,
        (place, entry): (usize, &ScheduleEntry),
        now: Timestamp,
    ) -> Result<(), NotDone> {
        let (mut after, mut stuck) = (Lsn(0), None);
        loop {
            let next = self.engine.ask(|control| {
                let batch = entry.approvable(control, after, now);
                Ok(batch.map(|batch| (batch.computed_lsn, batch.head.id, batch.head.size())))
            });
            let Some((computed, batch, size)) = next.await? else { break };
            after = computed;
            // One that was aborted and computed again is another one.
            let request =
                own(&format!("{SCHEDULE_PREFIX}schedule/{}/approve/{computed}", entry.asset));
            let command =
                Wish::ApproveBatch { batch, signed: None }.by(Caller::schedule(), request);
            match self.engine.tell(command).await {
                Ok(_) => {
                    self.engine.nudge();
                    tracing::info!(%batch, %size, "batch approved on schedule");
                }
                Err(busy @ NotDone::Busy(_)) => return Err(busy),
                Err(reason @ NotDone::Refused(_)) => {
                    stuck.get_or_insert(format!("batch {batch} is not approved: {reason}"));
                }
            }
        }
        let waits = self.engine.ask(|control| Ok(entry.waits(control, now))).await?;
        let again = stuck.is_some();
        diary.approved(place, stuck.or(waits), again, now);
        Ok(())
    }
}

/// Waits for the batch that is being made; for ever if none is.
async fn making(work: &mut Option<Work<'_>>) -> (usize, Vec<WindowNumber>, Created) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Notes what came of a batch.
fn note(
    diary: &mut Diary,
    place: usize,
    windows: &[WindowNumber],
    made: Created,
) -> Result<(), NotDone> {
    match made {
        Ok(head) => {
            let (batch, total, asset) = (head.id, head.size(), head.asset.number);
            tracing::info!(%batch, %total, %asset, "batch computed on schedule");
            diary.made(place);
        }
        Err(NotLoaded::NotDone(NotDone::Refused(Refusal::NothingToSettle(_)))) => {
            diary.nothing_in(place, windows);
        }
        // They are looked at again with the next close.
        Err(NotLoaded::NotDone(NotDone::Refused(why @ Refusal::BelowLeast { .. }))) => {
            tracing::info!(windows = windows.len(), "{why}");
            diary.nothing_in(place, windows);
        }
        Err(NotLoaded::NotDone(busy @ NotDone::Busy(_))) => return Err(busy),
        Err(reason) => diary.not_made(place, reason.to_string(), pipeline::now()),
    }
    Ok(())
}

impl ScheduleEntry {
    /// The request id of one step of what has this cause.
    fn step(&self, cause: Cause, step: &str) -> String {
        let asset = self.asset;
        match cause {
            Cause::Due(due) => format!("{SCHEDULE_PREFIX}schedule/{asset}/{}/{step}", due.0),
            Cause::Over(window) => format!("{SCHEDULE_PREFIX}schedule/{asset}/w{window}/{step}"),
        }
    }

    fn last_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.close.as_ref().and_then(|close| close.last(now))
    }

    fn is_over(&self, gauge: Gauge, rests: bool) -> bool {
        self.gross_over.is_some_and(|over| gauge.gross > over)
            || !rests && self.exposure_over.is_some_and(|over| gauge.exposure > over)
    }
}

/// A request of the engine's own.
fn own(id: &str) -> Request {
    Request { id: id.to_owned(), content: content_digest("schedule", id.as_bytes()) }
}

/// Closes the open window every `interval`, if anything was credited in it or carried into it,
/// until the engine stops or the task is dropped. The interval is counted from the start of the
/// engine.
pub async fn close_every(engine: Engine, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await; // the first tick is immediate
    loop {
        ticks.tick().await;
        let id = |window| format!("{SCHEDULE_PREFIX}close/{window}");
        match close_unless_empty(&engine, id).await {
            Ok(Some(window)) => tracing::info!(%window, "window closed on schedule"),
            Ok(None) => {}
            Err(NotDone::Busy(Busy::Stopping)) => return,
            Err(reason) => tracing::warn!(%reason, "window not closed on schedule; trying again"),
        }
    }
}

async fn close_unless_empty(
    engine: &Engine,
    id: impl FnOnce(WindowNumber) -> String,
) -> Result<Option<WindowNumber>, NotDone> {
    let (window, carried) = engine
        .ask(|control| {
            let open = control.open_window();
            Ok((open.number, !open.carried.is_empty()))
        })
        .await?;
    if !carried && engine.figures().await?.credited == 0 {
        return Ok(None);
    }
    engine.tell(Wish::CloseWindow.by(Caller::schedule(), own(&id(window)))).await?;
    Ok(Some(window))
}
