//! What `GetStatus` says of settlement.

use super::batches::batch_state;
use crate::config::ScheduleEntry;
use crate::ledger::{BatchEntry, BatchState, Control, LegState};
use crate::settle::{Board, Engine, Standing, Troubles};
use crate::types::{Timestamp, Total};
use std::collections::BTreeMap;
use tallystick_proto::v1;

/// All batches and their legs, counted.
pub(super) struct Settling {
    pub by_state: Vec<v1::BatchCount>,
    pub in_flight: u64,
    pub unknown: u64,
    /// Since when the oldest of each has waited.
    oldest_computed: Option<Timestamp>,
    oldest_settling: Option<Timestamp>,
    oldest_unknown: Option<Timestamp>,
}

impl Settling {
    /// How long what waits has waited, and nothing else.
    pub fn ages(&self, now: Timestamp) -> v1::Status {
        let since = |oldest: Option<Timestamp>| oldest.unwrap_or_default().0;
        v1::Status {
            oldest_computed_us: since(self.oldest_computed),
            oldest_settling_us: since(self.oldest_settling),
            oldest_unknown_us: since(self.oldest_unknown),
            at_us: now.0,
            ..v1::Status::default()
        }
    }
}

/// Counts the batches and their legs.
pub(super) fn batches(control: &Control) -> Settling {
    let mut by_state: BTreeMap<i32, u64> = BTreeMap::new();
    let (mut in_flight, mut unknown) = (0, 0);
    let (mut settling, mut unknown_since) = (Vec::new(), Vec::new());
    for entry in control.batches() {
        let state = entry.state();
        *by_state.entry(batch_state(state).into()).or_default() += 1;
        if state == BatchState::Submitting {
            in_flight += moving(entry);
            unknown += entry.legs.count(LegState::Unknown);
            unknown_since.extend(entry.legs.unknown_since().iter().map(|(_, at)| *at).min());
            settling.extend(entry.approved.as_ref().map(|approval| approval.at));
        }
    }
    let count = |(state, batches)| v1::BatchCount { state, batches };
    Settling {
        by_state: by_state.into_iter().map(count).collect(),
        in_flight,
        unknown,
        oldest_computed: control.unapproved().map(|entry| entry.computed_at).min(),
        oldest_settling: settling.into_iter().min(),
        oldest_unknown: unknown_since.into_iter().min(),
    }
}

fn moving(entry: &BatchEntry) -> u64 {
    let moving = LegState::ALL.into_iter().filter(|state| state.is_in_flight());
    moving.map(|state| entry.legs.count(state)).sum()
}

/// What keeps settlement from going on.
pub(super) fn troubles(troubles: &Troubles) -> Vec<String> {
    troubles.list().into_iter().map(|(of, why)| format!("{of}: {why}")).collect()
}

/// The schedule and where it stands.
pub(super) fn schedule(board: &Board) -> Vec<v1::ScheduleStatus> {
    board.list().into_iter().map(entry).collect()
}

fn entry((entry, standing): (ScheduleEntry, Standing)) -> v1::ScheduleStatus {
    let sum = |sum: Option<Total>| sum.map(|sum| sum.to_string()).unwrap_or_default();
    let time = |at: Option<Timestamp>| at.unwrap_or_default().0;
    v1::ScheduleStatus {
        asset: entry.asset.0,
        close: entry.close.map(|close| close.to_string()).unwrap_or_default(),
        next_run_us: time(standing.next),
        last_run_us: time(standing.last),
        close_when_gross_over: sum(entry.gross_over),
        gross: standing.gauge.gross.to_string(),
        close_when_exposure_over: sum(entry.exposure_over),
        exposure: standing.gauge.exposure.to_string(),
        batch_rail: entry.batch_rail.map(|rail| rail.name().to_owned()).unwrap_or_default(),
        batch_min_total: sum(entry.batch_min_total),
        approve_below: sum(entry.approve_below),
        approve_below_per_day: sum(entry.approve_below_per_day),
        approved_today: standing.approved_today.to_string(),
        trouble: standing.trouble.unwrap_or_default(),
    }
}

/// What of settlement stands where, the sentences of its troubles, and whether it is held.
pub(super) async fn stands(
    engine: &Engine,
) -> Result<(Settling, u64, Vec<String>, (Option<v1::Hold>, usize)), tonic::Status> {
    let found = engine.ask(|control| {
        let open = u64::try_from(control.troubles().count()).expect("troubles are limited");
        let kept = super::troubles::sentences(control, None);
        let hold = control.restored().map(super::backups::hold);
        let named = control.identities().operators(crate::pipeline::now());
        Ok((batches(control), open, kept, (hold, named)))
    });
    Ok(found.await?)
}
