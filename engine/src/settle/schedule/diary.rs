//! What the schedule has to do next, entry by entry. Pure: from the control state, what the open
//! window holds, and the time. Does nothing, asks nobody, reads no clock.
//!
//! **What was done is known from the journal.** A time is done when no window that was closed for
//! it waits for a batch any more. So a start looks at the windows, not at what a life before it
//! remembered, and goes on with what is missing; a batch that is there, or that an operator has
//! given up since, is not made again. What a page holds besides only saves looking twice within one
//! life: to lose it costs at most a window that is closed once more.
//!
//! **No time of the past is believed that lies in the future.** Windows bear the time of the
//! records, which a clock that was ahead leaves ahead; times in the schedule are those of the wall
//! clock. When a window was closed is therefore what this life saw, and of an earlier life only
//! what is not later than now.

use super::{Cause, Standing};
use crate::config::ScheduleEntry;
use crate::ledger::{BatchEntry, Caller, Control, Gauge, Request};
use crate::limits::{BATCH_WINDOWS_MAX, SCHEDULE_RETRY};
use crate::types::{AssetNumber, Lsn, Timestamp, WindowNumber};
use std::collections::BTreeMap;
use std::time::Duration;

/// What was seen at one moment.
pub struct Seen<'a> {
    /// The wall clock.
    pub now: Timestamp,
    /// The window that was open before the rest was asked for.
    pub open: WindowNumber,
    /// Whether anything was credited in it, or carried into it.
    pub holds: bool,
    /// What is owed in it.
    pub gauges: &'a BTreeMap<AssetNumber, Gauge>,
}

/// All entries, and what this life knows of the cuts.
#[derive(Debug, Default)]
pub struct Diary {
    pages: Vec<Page>,
    /// The open window, and when the one before it was closed, if that is known.
    cut: Option<(WindowNumber, Option<Timestamp>)>,
}

/// One entry's page.
#[derive(Debug, Default)]
struct Page {
    /// It was looked at in this life.
    started: bool,
    /// The time up to which windows were closed, or needed no closing.
    handled: Option<Timestamp>,
    /// Batches that are to be made.
    work: Option<Work>,
    /// No window is closed before.
    close_at: Timestamp,
    /// No batch is made before.
    batch_at: Timestamp,
    /// Nothing is approved before.
    approve_at: Timestamp,
    /// Until when exposure closes nothing: closing lowers none by itself.
    rest_until: Timestamp,
    last: Option<Timestamp>,
    gauge: Gauge,
    close_trouble: Option<String>,
    batch_trouble: Option<String>,
    approve_trouble: Option<String>,
}

/// A batch of every window up to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    cause: Cause,
    /// The last window that was closed for it.
    upto: WindowNumber,
    /// Up to here there was nothing to settle.
    passed: WindowNumber,
}

/// A batch that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// Under this request.
    pub request: Request,
    /// Of these windows.
    pub windows: Vec<WindowNumber>,
}

impl Work {
    /// When its cause came: its time, or when its window was closed.
    fn began(&self, control: &Control) -> Option<Timestamp> {
        match self.cause {
            Cause::Due(due) => Some(due),
            Cause::Over(window) => control.window(window).ok()?.cut.map(|(_, at)| at),
        }
    }
}

impl Diary {
    /// Of so many entries.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self { pages: (0..entries).map(|_| Page::default()).collect(), cut: None }
    }

    /// Looks at an entry: whether the open window is to be closed for it, and why.
    pub fn look(
        &mut self,
        (place, entry): (usize, &ScheduleEntry),
        control: &Control,
        seen: &Seen<'_>,
    ) -> Option<Cause> {
        let (now, open) = (seen.now, control.open_window().number);
        let closed_at = self.follow(control, now);
        let page = &mut self.pages[place];
        page.gauge = seen.gauges.get(&entry.asset).copied().unwrap_or_default();
        page.not_too_long(now);
        if !std::mem::replace(&mut page.started, true) {
            page.at_start(entry, control, now, closed_at);
        }
        if open != seen.open {
            // What was seen of a window that has been closed since says nothing of the one that is
            // open.
            return None;
        }
        let holds = seen.holds && now >= page.close_at;
        if let Some(due) = entry.last_due(now).filter(|due| page.is_new(*due, now)) {
            let cause = Cause::Due(due);
            if closed_at < Some(due) && seen.holds {
                return holds.then_some(cause);
            }
            page.handled = Some(due);
            page.closed(entry, cause, before(open), now);
        }
        let over = entry.is_over(page.gauge, now < page.rest_until);
        (holds && over).then_some(Cause::Over(open))
    }

    /// Follows the cuts of others; gives when the last window was closed, if that is known.
    fn follow(&mut self, control: &Control, now: Timestamp) -> Option<Timestamp> {
        let (open, cut_at) = (control.open_window().number, last_cut(control));
        let closed_at = match self.cut {
            None => cut_at,
            Some((known, at)) if known == open => at,
            Some(_) => Some(cut_at.map_or(now, |at| at.min(now))),
        };
        let closed_at = closed_at.filter(|at| !is_ahead(*at, now));
        self.cut = Some((open, closed_at));
        closed_at
    }

    /// A window was closed for an entry.
    pub fn closed(
        &mut self,
        (place, entry): (usize, &ScheduleEntry),
        cause: Cause,
        window: WindowNumber,
        now: Timestamp,
    ) {
        self.cut = Some((window.next(), Some(now)));
        let page = &mut self.pages[place];
        page.close_trouble = None;
        match cause {
            Cause::Due(due) => page.handled = Some(due),
            Cause::Over(_) => page.rest_until = after(now, SCHEDULE_RETRY),
        }
        page.closed(entry, cause, window, now);
    }

    /// A window could not be closed for an entry.
    pub fn not_closed(&mut self, place: usize, why: String, now: Timestamp) {
        let page = &mut self.pages[place];
        tell(&mut page.close_trouble, Some(why));
        page.close_at = after(now, SCHEDULE_RETRY);
    }

    /// The batch that is to be made next for an entry, if one is.
    pub fn next_batch(
        &mut self,
        (place, entry): (usize, &ScheduleEntry),
        control: &Control,
        now: Timestamp,
    ) -> Option<Making> {
        let page = &mut self.pages[place];
        let work = page.work.filter(|_| now >= page.batch_at)?;
        // Its windows must be sealed, all up to the last: they are sealed in their order.
        control.window(work.upto).ok().filter(|window| window.sealed.is_some())?;
        let began = work.began(control);
        // What a person took into their hands since is theirs until the next time.
        let is_his = |taken: Option<Timestamp>| {
            taken.is_some_and(|at| Some(at) >= began && !is_ahead(at, now))
        };
        let until = |(number, _): &(WindowNumber, Option<Timestamp>)| *number <= work.upto;
        let waits = |(number, taken): &(WindowNumber, Option<Timestamp>)| {
            *number > work.passed && !is_his(*taken) && !control.is_disputed(*number)
        };
        let mut open = control.unbatched(entry.asset).take_while(until).filter(waits);
        let windows = open.by_ref().take(BATCH_WINDOWS_MAX).map(|(number, _)| number);
        let windows: Vec<WindowNumber> = windows.collect();
        if windows.is_empty() {
            page.through(now);
            return None;
        }
        let behind = open.count();
        page.batch_trouble = (behind > 0).then(|| {
            format!(
                "behind: {behind} more closed windows wait for a batch; one takes up to \
                 {BATCH_WINDOWS_MAX}, and the next is made at once"
            )
        });
        Some(Making { request: entry.unanswered(control, work.cause), windows })
    }

    /// A batch was made for an entry.
    pub fn made(&mut self, place: usize) {
        self.pages[place].batch_at = Timestamp::default();
    }

    /// In the windows of a batch for an entry there is nothing to settle.
    pub fn nothing_in(&mut self, place: usize, windows: &[WindowNumber]) {
        if let (Some(work), Some(last)) = (&mut self.pages[place].work, windows.last()) {
            work.passed = work.passed.max(*last);
        }
    }

    /// A batch could not be made for an entry.
    pub fn not_made(&mut self, place: usize, why: String, now: Timestamp) {
        let page = &mut self.pages[place];
        tell(&mut page.batch_trouble, Some(why));
        page.batch_at = after(now, SCHEDULE_RETRY);
    }

    /// Whether it is time to approve what is small enough.
    #[must_use]
    pub fn may_approve(&self, place: usize, now: Timestamp) -> bool {
        now >= self.pages[place].approve_at
    }

    /// All that could be approved for an entry was; this is what keeps the rest, and it can be
    /// approved by trying again.
    pub fn approved(&mut self, place: usize, waits: Option<String>, again: bool, now: Timestamp) {
        let page = &mut self.pages[place];
        tell(&mut page.approve_trouble, waits);
        page.approve_at = if again { after(now, SCHEDULE_RETRY) } else { Timestamp::default() };
    }

    /// Where an entry stands.
    #[must_use]
    pub fn standing(
        &self,
        (place, entry): (usize, &ScheduleEntry),
        control: &Control,
        now: Timestamp,
    ) -> Standing {
        let page = &self.pages[place];
        let troubles = [&page.close_trouble, &page.batch_trouble, &page.approve_trouble];
        let troubles: Vec<&str> = troubles.into_iter().flatten().map(String::as_str).collect();
        let unclosed = entry.last_due(now);
        let unclosed = unclosed.filter(|due| page.started && page.is_new(*due, now));
        let unbatched = page.work.and_then(|work| work.began(control));
        Standing {
            late_since: unclosed.or(unbatched),
            next: entry.close.as_ref().and_then(|close| close.next(now)),
            last: page.last,
            gauge: page.gauge,
            approved_today: control.approved_by_schedule(entry.asset, now),
            trouble: (!troubles.is_empty()).then(|| troubles.join("; ")),
        }
    }
}

impl Page {
    /// Whether nobody has closed for this time yet. One that was just handled is not new because a
    /// clock was put back a little; one that lies far ahead was handled by a clock that was wrong,
    /// and counts for nothing.
    fn is_new(&self, due: Timestamp, now: Timestamp) -> bool {
        self.handled.is_none_or(|handled| due > handled || is_ahead(handled, now))
    }

    /// What an earlier life did not come to, as the journal shows it.
    fn at_start(
        &mut self,
        entry: &ScheduleEntry,
        control: &Control,
        now: Timestamp,
        closed_at: Option<Timestamp>,
    ) {
        if let Some(due) = entry.last_due(now)
            && closed_at >= Some(due)
        {
            self.handled = Some(due);
            self.closed(entry, Cause::Due(due), first_cut_since(control, due, now), now);
        }
        if entry.gross_over.is_none() && entry.exposure_over.is_none() {
            return;
        }
        // The newest window that was closed because it held too much, and that no batch has taken.
        let unsealed = control.windows().rev().skip(1).take_while(|w| w.sealed.is_none());
        let closed = unsealed.map(|window| window.number);
        let waiting = control.unbatched(entry.asset).rev().map(|(window, _)| window);
        let mut closed = closed.chain(waiting);
        let by_us = |window: &WindowNumber| {
            let request = entry.request(Cause::Over(*window), "close");
            matches!(control.answered(&request), Ok(Some(_)))
        };
        let over = closed.find(by_us);
        if let Some(window) = over.filter(|w| self.work.is_none_or(|work| *w > work.upto)) {
            self.closed(entry, Cause::Over(window), window, now);
        }
    }

    /// Everything up to `upto` is closed for `cause`: a later one does what an earlier did not come
    /// to.
    fn closed(&mut self, entry: &ScheduleEntry, cause: Cause, upto: WindowNumber, now: Timestamp) {
        if entry.batch_rail.is_none() || upto < WindowNumber(1) {
            self.last = Some(now);
            return;
        }
        self.work = Some(Work { cause, upto, passed: WindowNumber(0) });
        // What keeps a batch from being made is seldom gone with the next window, but it may be.
        self.batch_at = Timestamp::default();
    }

    fn through(&mut self, now: Timestamp) {
        tell(&mut self.batch_trouble, None);
        self.work = None;
        self.last = Some(now);
    }

    /// A clock that was ahead and is put right must not make anything rest for longer than it
    /// should.
    fn not_too_long(&mut self, now: Timestamp) {
        let most = after(now, SCHEDULE_RETRY);
        let Self { close_at, batch_at, approve_at, rest_until, .. } = self;
        for at in [close_at, batch_at, approve_at, rest_until] {
            *at = (*at).min(most);
        }
    }
}

impl ScheduleEntry {
    /// The request of one step of what has this cause.
    pub(super) fn request(&self, cause: Cause, step: &str) -> Request {
        super::own(&self.step(cause, step))
    }

    /// The request of closing a window. It names the window: a time that comes twice, because a
    /// clock was put right, closes another one the second time.
    pub(super) fn close_request(&self, cause: Cause, window: WindowNumber) -> Request {
        match cause {
            Cause::Due(_) => self.request(cause, &format!("close/w{window}")),
            Cause::Over(_) => self.request(cause, "close"),
        }
    }

    /// The first request for a batch of this cause that the journal does not hold.
    fn unanswered(&self, control: &Control, cause: Cause) -> Request {
        let request = |part: u64| match part {
            0 => self.request(cause, "batch"),
            later => self.request(cause, &format!("batch/{later}")),
        };
        let is_new = |request: &Request| !matches!(control.answered(request), Ok(Some(_)));
        let mut requests = (0..).map(request);
        requests.find(is_new).expect("the journal holds fewer batches than there are numbers")
    }

    /// The first batch after `after` that the schedule approves by itself.
    pub(super) fn approvable<'a>(
        &self,
        control: &'a Control,
        after: Lsn,
        now: Timestamp,
    ) -> Option<&'a BatchEntry> {
        let room = |batch: &&BatchEntry| {
            // One of an earlier day was left to a person then.
            let today = batch.computed_at.day() >= now.day();
            let sum = control.approved_by_schedule(self.asset, now).plus(batch.head.size());
            today && self.approve_below_per_day.is_some_and(|most| sum < most)
        };
        self.small(control).filter(|batch| batch.computed_lsn > after).find(room)
    }

    /// What keeps batches that are small enough from being approved by the schedule.
    pub(super) fn waits(&self, control: &Control, now: Timestamp) -> Option<String> {
        let count = self.small(control).count();
        let sum = control.approved_by_schedule(self.asset, now);
        let most = self.approve_below_per_day.unwrap_or_default();
        (count > 0).then(|| {
            format!(
                "{count} batch{} below approve_below wait{} for an operator's approval: what would bring a \
                 day's own approvals to {most} asset units (approve_below_per_day) is left to a person; \
                 since midnight UTC the schedule has approved {sum}",
                if count == 1 { "" } else { "es" },
                if count == 1 { "s" } else { "" }
            )
        })
    }

    /// The schedule's own batches that wait for approval and are small enough.
    fn small<'a>(&self, control: &'a Control) -> impl Iterator<Item = &'a BatchEntry> {
        let (asset, below) = (self.asset, self.approve_below);
        control.unapproved().filter(move |batch| {
            batch.head.asset.number == asset
                && batch.by.operator == Caller::SCHEDULE
                && !batch.by.four_eyes
                && below.is_some_and(|below| batch.head.size() < below)
                && !batch.head.windows.iter().any(|window| control.is_disputed(*window))
        })
    }
}

/// When a window was last closed, by its record.
fn last_cut(control: &Control) -> Option<Timestamp> {
    let last = control.windows().rev().find_map(|window| window.cut);
    last.map(|(_, at)| at)
}

/// The first window that was closed at `due` or later: those after it are the next time's. The last
/// one that was closed if that cannot be told, because a clock was ahead.
fn first_cut_since(control: &Control, due: Timestamp, now: Timestamp) -> WindowNumber {
    let last = before(control.open_window().number);
    if last_cut(control).is_some_and(|at| is_ahead(at, now)) {
        return last;
    }
    // From the newest back: what it costs does not grow with the windows that were closed before.
    let closed = control.windows().rev().skip(1);
    let since = closed.take_while(|window| window.cut.is_some_and(|(_, at)| at >= due));
    since.last().map_or(last, |window| window.number)
}

/// Whether a time lies in the future: further than clocks are corrected all the time.
fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at > after(now, SCHEDULE_RETRY)
}

/// The window before; 0 before the first.
fn before(window: WindowNumber) -> WindowNumber {
    WindowNumber(window.0.saturating_sub(1))
}

/// Notes a trouble, and says it once, not at every look.
fn tell(held: &mut Option<String>, trouble: Option<String>) {
    match &trouble {
        Some(text) if held.as_ref() != Some(text) => {
            tracing::warn!("the schedule does not get through: {text}");
        }
        None if held.is_some() => tracing::info!("the schedule got through"),
        Some(_) | None => {}
    }
    *held = trouble;
}

fn after(at: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).expect("a setting of minutes fits 64 bits");
    Timestamp(at.0.saturating_add(by))
}

#[cfg(test)]
mod tests;
