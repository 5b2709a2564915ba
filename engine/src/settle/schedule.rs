//! The schedule: what the engine does by itself at set times, or when the open window holds too much: closes
//! it, computes a batch, approves a small one.
//!
//! Owns when that is. Every step is a command under a request id that follows from its cause, so that a
//! crash between two of them is carried on from and nothing is done twice.

use super::archive::{Archive, NotLoaded};
use super::batches::{Clearing, CreateBatch, create_batch};
use super::settler::Nudge;
use crate::ledger::control::{Command, Control};
use crate::ledger::event::BatchApproved;
use crate::ledger::{BatchHead, BatchState, By, Event, Gauge, Rail, Refusal, Request, WindowEntry};
use crate::limits::{BATCH_WINDOWS_MAX, SCHEDULE_RETRY, SCHEDULE_TICK};
use crate::pipeline::{self, Busy, Intake, NotDone};
use crate::sign::EngineKey;
use crate::types::{AssetNumber, Cron, Timestamp, Total, WindowNumber, content_digest};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Request ids of the engine's own; callers may not use it.
pub const SCHEDULE_PREFIX: &str = "tallystick/";

/// When windows close by themselves for one asset, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Whose sums count, and what is batched.
    pub asset: AssetNumber,
    /// Close at these times.
    pub close: Option<Cron>,
    /// Close when more than this is owed in the open window.
    pub gross_over: Option<Total>,
    /// Close when somebody who pays in the open window owes more than this, unsettled.
    pub exposure_over: Option<Total>,
    /// Compute a batch on this rail after each such close.
    pub batch_rail: Option<Rail>,
    /// Approve it when its total is below this.
    pub approve_below: Option<Total>,
}

/// Where an entry stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The next time at which it closes.
    pub next: Option<Timestamp>,
    /// When it last ran through, since the start.
    pub last: Option<Timestamp>,
    /// What the open window holds.
    pub gauge: Gauge,
    /// Why the last run did not get through.
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

/// What is held of an entry between two looks.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The time up to which everything was seen to.
    handled: Option<Timestamp>,
    /// What is to be done, or to be tried again.
    pending: Option<Cause>,
    /// Not before.
    retry_at: Timestamp,
    /// Until when exposure closes nothing: closing lowers none by itself.
    rest_until: Timestamp,
    standing: Standing,
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

impl Schedule {
    /// Runs until the engine stops or the task is dropped.
    pub async fn run(self) {
        let entries = self.board.entries.clone();
        let mut all = vec![Progress::default(); entries.len()];
        let mut ticks = tokio::time::interval(SCHEDULE_TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut started = false;
        loop {
            ticks.tick().await;
            let looked = self.look(&entries, &mut all, started).await;
            match looked {
                Ok(()) => started = true,
                Err(NotLoaded::NotDone(NotDone::Busy(Busy::Stopping))) => return,
                // A full queue: at the next tick.
                Err(reason) => tracing::debug!(%reason, "the schedule could not look"),
            }
        }
    }

    async fn look(
        &self,
        entries: &[ScheduleEntry],
        all: &mut [Progress],
        started: bool,
    ) -> Result<(), NotLoaded> {
        let now = pipeline::now();
        let gauges = self.intake.gauges().await?;
        let open = self.intake.read(|control| control.open_window().number).await?;
        for (entry, progress) in entries.iter().zip(&mut *all) {
            let gauge = gauges.get(&entry.asset).copied().unwrap_or_default();
            progress.standing.gauge = gauge;
            if !started && self.is_done_before(entry, now).await? {
                progress.handled = entry.last_due(now);
            }
            progress.look(entry, gauge, open, now);
        }
        for (place, (entry, progress)) in entries.iter().zip(&mut *all).enumerate() {
            if let Some(cause) = progress.pending.filter(|_| now >= progress.retry_at) {
                match self.act(entry, cause).await {
                    Ok(()) => progress.done(cause, now),
                    Err(NotLoaded::NotDone(NotDone::Busy(busy))) => return Err(busy.into()),
                    Err(reason) => progress.failed(entry, &reason, now),
                }
            }
            progress.standing.next = entry.close.as_ref().and_then(|close| close.next(now));
            self.board.set(place, progress.standing.clone());
        }
        Ok(())
    }

    /// Whether nothing is left to do of the last time that has come, when the engine starts.
    async fn is_done_before(&self, entry: &ScheduleEntry, now: Timestamp) -> Result<bool, Busy> {
        let Some(due) = entry.last_due(now) else { return Ok(true) };
        let request = own(&entry.step(Cause::Due(due), "close"));
        let found = self.intake.read(|control: &Control| {
            // What was begun is gone through again: its steps that were done are not done twice.
            let begun = matches!(control.answered(&request), Ok(Some(_)));
            !begun && last_cut(control) >= Some(due)
        });
        found.await
    }

    /// Closes, batches and approves, as far as the entry says so and it was not done.
    async fn act(&self, entry: &ScheduleEntry, cause: Cause) -> Result<(), NotLoaded> {
        let wanted = self.intake.read(|control| match cause {
            Cause::Due(due) => last_cut(control) < Some(due),
            Cause::Over(window) => control.open_window().number == window,
        });
        if wanted.await? {
            let closed = close_unless_empty(&self.intake, |_| entry.step(cause, "close")).await?;
            if let Some(window) = closed {
                tracing::info!(%window, asset = %entry.asset, ?cause, "window closed on schedule");
            }
        }
        let Some(rail) = entry.batch_rail else { return Ok(()) };
        let sealed = |control: &Control| (!control.is_sealing()).then(|| entry.open_ends(control));
        let windows = self.intake.read_when(sealed).await?;
        let request = own(&entry.step(cause, "batch"));
        let again = self.intake.read(|control: &Control| control.answered(&request)).await??;
        if windows.is_empty() && again.is_none() {
            return Ok(());
        }
        let by = By { operator: By::SCHEDULE.to_owned(), four_eyes: self.four_eyes };
        let ask = CreateBatch { request, by, windows, asset: entry.asset, rail };
        let Self { intake, archive, engine_key, clearing, .. } = self;
        match create_batch(intake, archive, engine_key, clearing, &ask).await {
            Ok(head) => self.approve(entry, cause, &head).await,
            Err(NotLoaded::NotDone(NotDone::Refused(Refusal::NothingToSettle(_)))) => Ok(()),
            Err(reason) => Err(reason),
        }
    }

    async fn approve(
        &self,
        entry: &ScheduleEntry,
        cause: Cause,
        head: &BatchHead,
    ) -> Result<(), NotLoaded> {
        let (batch, total) = (head.id, head.total.max(head.pay_in_total));
        tracing::info!(%batch, %total, asset = %entry.asset, "batch computed on schedule");
        let small = entry.approve_below.is_some_and(|below| total < below);
        if !small || self.four_eyes {
            return Ok(());
        }
        let state = self.intake.read(|control| control.batch(batch).map(|b| b.state())).await??;
        if state != BatchState::Computed {
            return Ok(());
        }
        let request = own(&entry.step(cause, "approve"));
        let event = BatchApproved { request, operator: By::SCHEDULE.to_owned(), batch };
        self.intake.command(Command::Record(Event::BatchApproved(event))).await?;
        self.nudge.nudge();
        tracing::info!(%batch, "batch approved on schedule");
        Ok(())
    }
}

impl ScheduleEntry {
    /// The request id of one step of a run.
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

    /// The windows that a batch is to settle: closed, sealed, not disputed, in no live batch.
    fn open_ends(&self, control: &Control) -> Vec<WindowNumber> {
        let asset = self.asset;
        let fits = |window: &&WindowEntry| {
            let owed = |sealed: &Arc<crate::ledger::event::WindowSealed>| {
                sealed.assets.iter().any(|seal| seal.asset == asset)
            };
            window.dispute.is_none()
                && !window.live.contains_key(&asset)
                && window.sealed.as_ref().is_some_and(owed)
        };
        let windows = control.windows().iter().filter(fits).map(|window| window.number);
        windows.take(BATCH_WINDOWS_MAX).collect()
    }
}

impl Progress {
    /// Notes what is to be done, if nothing is under way.
    fn look(&mut self, entry: &ScheduleEntry, gauge: Gauge, open: WindowNumber, now: Timestamp) {
        let due = entry.last_due(now);
        if due != self.handled {
            self.handled = due;
            // A later time does what an earlier one did not get to.
            self.pending = due.map(Cause::Due);
            self.retry_at = now;
        } else if self.pending.is_none() && entry.is_over(gauge, now < self.rest_until) {
            self.pending = Some(Cause::Over(open));
            self.rest_until = after(now, SCHEDULE_RETRY);
        }
    }

    fn done(&mut self, cause: Cause, now: Timestamp) {
        if self.standing.trouble.take().is_some() {
            tracing::info!(?cause, "the schedule got through");
        }
        self.pending = None;
        self.standing.last = Some(now);
    }

    fn failed(&mut self, entry: &ScheduleEntry, reason: &NotLoaded, now: Timestamp) {
        let text = reason.to_string();
        if self.standing.trouble.as_ref() != Some(&text) {
            tracing::warn!(asset = %entry.asset, %reason, "the schedule did not get through");
        }
        self.standing.trouble = Some(text);
        self.retry_at = after(now, SCHEDULE_RETRY);
    }
}

fn after(at: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).expect("a setting of minutes fits 64 bits");
    Timestamp(at.0.saturating_add(by))
}

/// When a window was last cut.
fn last_cut(control: &Control) -> Option<Timestamp> {
    let last = control.windows().iter().rev().find_map(|window| window.cut);
    last.map(|(_, at)| at)
}

/// A request of the engine's own.
fn own(id: &str) -> Request {
    Request { id: id.to_owned(), content: content_digest("schedule", id.as_bytes()) }
}

/// Closes the open window every `interval`, if anything was credited in it or carried into it, until
/// the engine stops or the task is dropped. The interval is counted from the start of the engine.
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
    intake.command(Command::CloseWindow(own(&id(window)))).await?;
    Ok(Some(window))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> ScheduleEntry {
        ScheduleEntry {
            asset: AssetNumber(1),
            close: Some("0 * * * *".parse().unwrap()),
            gross_over: Some(Total(100)),
            exposure_over: Some(Total(50)),
            batch_rail: None,
            approve_below: None,
        }
    }

    const HOUR: Timestamp = Timestamp(3_600_000_000);
    const WINDOW: WindowNumber = WindowNumber(4);

    fn gauge(gross: u128, exposure: u128) -> Gauge {
        Gauge { gross: Total(gross), exposure: Total(exposure) }
    }

    fn at_rest() -> Progress {
        Progress { handled: Some(HOUR), ..Progress::default() }
    }

    #[test]
    fn a_time_runs_once_and_a_missed_one_too() {
        let mut progress = at_rest();
        let look = |progress: &mut Progress, at: i64| {
            progress.look(&entry(), Gauge::default(), WINDOW, Timestamp(at));
            progress.pending
        };
        assert_eq!(look(&mut progress, HOUR.0 + 5), None);
        let second = Timestamp(2 * HOUR.0);
        assert_eq!(look(&mut progress, second.0), Some(Cause::Due(second)));
        progress.done(Cause::Due(second), second);
        assert_eq!(look(&mut progress, second.0 + 1), None);
        // Down for hours: the last of the times that came meanwhile.
        let fifth = Timestamp(5 * HOUR.0);
        assert_eq!(look(&mut progress, fifth.0 + 7), Some(Cause::Due(fifth)));
    }

    #[test]
    fn thresholds_are_passed_when_they_are_exceeded() {
        for (held, over) in [(gauge(100, 50), false), (gauge(101, 0), true), (gauge(0, 51), true)] {
            let mut progress = at_rest();
            progress.look(&entry(), held, WINDOW, Timestamp(HOUR.0 + 1));
            assert_eq!(progress.pending.is_some(), over, "{held:?}");
        }
    }

    #[test]
    fn exposure_that_closing_does_not_lower_does_not_close_window_after_window() {
        let mut progress = at_rest();
        let now = Timestamp(HOUR.0 + 1);
        progress.look(&entry(), gauge(60, 60), WINDOW, now);
        progress.done(Cause::Over(WINDOW), now);
        progress.look(&entry(), gauge(10, 70), WINDOW.next(), Timestamp(now.0 + 1_000_000));
        assert_eq!(progress.pending, None);
        progress.look(&entry(), gauge(10, 70), WINDOW.next(), after(now, SCHEDULE_RETRY));
        assert_eq!(progress.pending, Some(Cause::Over(WINDOW.next())));
    }

    #[test]
    fn what_failed_rests_before_it_is_tried_again_and_is_told() {
        let mut progress = at_rest();
        progress.pending = Some(Cause::Over(WINDOW));
        let reason = NotLoaded::from(Refusal::UnknownAsset(AssetNumber(1)));
        progress.failed(&entry(), &reason, HOUR);
        assert_eq!(progress.pending, Some(Cause::Over(WINDOW)));
        assert_eq!(progress.retry_at, after(HOUR, SCHEDULE_RETRY));
        assert!(progress.standing.trouble.as_ref().unwrap().contains("not registered"));
        progress.done(Cause::Over(WINDOW), HOUR);
        assert_eq!((progress.standing.trouble, progress.pending), (None, None));
    }

    #[test]
    fn each_step_of_each_cause_has_a_request_of_its_own() {
        let entry = entry();
        let causes = [Cause::Due(HOUR), Cause::Due(Timestamp(2 * HOUR.0)), Cause::Over(WINDOW)];
        let ids: std::collections::BTreeSet<String> = causes
            .into_iter()
            .flat_map(|cause| ["close", "batch", "approve"].map(|step| entry.step(cause, step)))
            .collect();
        assert_eq!(ids.len(), 9);
        assert!(ids.iter().all(|id| id.starts_with(SCHEDULE_PREFIX)));
    }
}
