//! The schedule: what the engine does by itself at set times, or when the open window holds too
//! much: closes it, computes a batch, approves a small one.
//!
//! Owns when that is; what is to be done then is the diary's. Every step is a command under a
//! request id that follows from its cause, so that a crash between two of them is carried on from
//! and nothing is done twice. Closing never waits for a batch: windows close while one is computed,
//! and while one cannot be made.

mod diary;

use self::diary::{Diary, Making, Seen};
use super::archive::{Archive, NotLoaded};
use super::batches::{Clearing, CreateBatch, Created, create_batch};
use super::settler::Nudge;
use crate::config::ScheduleEntry;
use crate::ledger::envelope::SCHEDULE_PREFIX;
use crate::ledger::{Caller, Gauge, Rail, Refusal, Request, Wish};
use crate::limits::SCHEDULE_TICK;
use crate::pipeline::{self, Busy, Intake, NotDone};
use crate::sign::EngineKey;
use crate::types::{AssetNumber, Lsn, Timestamp, Total, WindowNumber, content_digest};
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
    /// The way in.
    pub intake: Intake,
    /// Sealed windows and batches.
    pub archive: Archive,
    /// Signs batches.
    pub engine_key: Arc<EngineKey>,
    /// The operator's own accounts.
    pub clearing: Arc<Clearing>,
    /// Wakes the settler.
    pub nudge: Nudge,
    /// Whether a person must approve every batch.
    pub four_eyes: bool,
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
                Err(Busy::Stopping) => return,
                // A full queue: at the next tick.
                Err(reason) => tracing::debug!(%reason, "the schedule could not look"),
            }
        }
    }

    /// Closes what is to be closed, approves what is small, and says where all stand.
    async fn turn(&self, diary: &mut Diary) -> Result<(), Busy> {
        let now = pipeline::now();
        // First, so that the rest is never taken for a later window's.
        let (open, carried) = self
            .intake
            .read(|control| {
                let open = control.open_window();
                (open.number, !open.carried.is_empty())
            })
            .await?;
        let gauges = self.intake.gauges().await?;
        let holds = carried || self.intake.figures().await?.credited > 0;
        let seen = Seen { now, open, holds, gauges: &gauges };
        for (place, entry) in self.board.entries.iter().enumerate() {
            let look = self.intake.read(|control| diary.look((place, entry), control, &seen));
            if let Some(cause) = look.await? {
                self.close(diary, (place, entry), cause, &seen).await?;
            }
        }
        for (place, entry) in self.board.entries.iter().enumerate() {
            if diary.may_approve(place, now) {
                self.approve(diary, (place, entry), now).await?;
            }
            let stands = |control: &_| diary.standing((place, entry), control, now);
            let standing = self.intake.read(stands).await?;
            self.board.set(place, standing);
        }
        Ok(())
    }

    async fn close(
        &self,
        diary: &mut Diary,
        (place, entry): (usize, &ScheduleEntry),
        cause: Cause,
        seen: &Seen<'_>,
    ) -> Result<(), Busy> {
        let (window, now) = (seen.open, seen.now);
        let request = entry.close_request(cause, window);
        match self.intake.command(Wish::CloseWindow.by(Caller::schedule(), request)).await {
            Ok(_) => {
                tracing::info!(%window, asset = %entry.asset, ?cause, "window closed on schedule");
                diary.closed((place, entry), cause, window, now);
            }
            Err(NotDone::Busy(busy)) => return Err(busy),
            Err(reason @ NotDone::Refused(_)) => diary.not_closed(place, reason.to_string(), now),
        }
        Ok(())
    }

    /// The next batch that is to be made, if one is: the entries take turns.
    async fn next_work(
        &self,
        diary: &mut Diary,
        last: &mut usize,
    ) -> Result<Option<Work<'_>>, Busy> {
        let (now, count) = (pipeline::now(), self.board.entries.len());
        for step in 1..=count {
            let place = (*last + step) % count;
            let entry = &self.board.entries[place];
            let next = self.intake.read(|control| diary.next_batch((place, entry), control, now));
            if let (Some(making), Some(rail)) = (next.await?, entry.batch_rail) {
                *last = place;
                return Ok(Some(Box::pin(self.make(place, entry.asset, rail, making))));
            }
        }
        Ok(None)
    }

    async fn make(
        &self,
        place: usize,
        asset: AssetNumber,
        rail: Rail,
        Making { request, windows }: Making,
    ) -> (usize, Vec<WindowNumber>, Created) {
        let (caller, four_eyes) = (Caller::schedule(), self.four_eyes);
        let ask = CreateBatch { caller, request, four_eyes, windows: windows.clone(), asset, rail };
        let Self { intake, archive, engine_key, clearing, .. } = self;
        (place, windows, create_batch(intake, archive, engine_key, clearing, &ask).await)
    }

    /// Approves the schedule's own batches that are small enough, as far as the day's bound goes.
    async fn approve(
        &self,
        diary: &mut Diary,
        (place, entry): (usize, &ScheduleEntry),
        now: Timestamp,
    ) -> Result<(), Busy> {
        let (mut after, mut stuck) = (Lsn(0), None);
        loop {
            let next = self.intake.read(|control| {
                let batch = entry.approvable(control, after, now);
                batch.map(|batch| (batch.computed_lsn, batch.head.id, batch.head.size()))
            });
            let Some((computed, batch, size)) = next.await? else { break };
            after = computed;
            // One that was aborted and computed again is another one.
            let request =
                own(&format!("{SCHEDULE_PREFIX}schedule/{}/approve/{computed}", entry.asset));
            let command = Wish::ApproveBatch { batch }.by(Caller::schedule(), request);
            match self.intake.command(command).await {
                Ok(_) => {
                    self.nudge.nudge();
                    tracing::info!(%batch, %size, "batch approved on schedule");
                }
                Err(NotDone::Busy(busy)) => return Err(busy),
                Err(reason @ NotDone::Refused(_)) => {
                    stuck.get_or_insert(format!("batch {batch} is not approved: {reason}"));
                }
            }
        }
        let waits = self.intake.read(|control| entry.waits(control, now)).await?;
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
) -> Result<(), Busy> {
    match made {
        Ok(head) => {
            let (batch, total, asset) = (head.id, head.size(), head.asset.number);
            tracing::info!(%batch, %total, %asset, "batch computed on schedule");
            diary.made(place);
        }
        Err(NotLoaded::NotDone(NotDone::Refused(Refusal::NothingToSettle(_)))) => {
            diary.nothing_in(place, windows);
        }
        Err(NotLoaded::NotDone(NotDone::Busy(busy))) => return Err(busy),
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
pub async fn close_every(intake: Intake, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await; // the first tick is immediate
    loop {
        ticks.tick().await;
        let id = |window| format!("{SCHEDULE_PREFIX}close/{window}");
        match close_unless_empty(&intake, id).await {
            Ok(Some(window)) => tracing::info!(%window, "window closed on schedule"),
            Ok(None) => {}
            Err(NotDone::Busy(Busy::Stopping)) => return,
            Err(reason) => tracing::warn!(%reason, "window not closed on schedule; trying again"),
        }
    }
}

async fn close_unless_empty(
    intake: &Intake,
    id: impl FnOnce(WindowNumber) -> String,
) -> Result<Option<WindowNumber>, NotDone> {
    let (window, carried) = intake
        .read(|control| {
            let open = control.open_window();
            (open.number, !open.carried.is_empty())
        })
        .await?;
    if !carried && intake.figures().await?.credited == 0 {
        return Ok(None);
    }
    intake.command(Wish::CloseWindow.by(Caller::schedule(), own(&id(window)))).await?;
    Ok(Some(window))
}
