//! The schedule: closes the open window at a fixed interval.

use crate::ledger::Request;
use crate::ledger::control::Command;
use crate::pipeline::{Busy, Intake, NotDone};
use crate::types::{WindowNumber, content_digest};
use std::time::Duration;

/// Request ids of the engine's own; callers may not use it.
pub const SCHEDULE_PREFIX: &str = "tallystick/";

/// Closes the open window every `interval`, if anything was credited in it or carried into it, until
/// the engine stops or the task is dropped. The interval is counted from the start of the engine.
pub async fn close_every(intake: Intake, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await; // the first tick is immediate
    loop {
        ticks.tick().await;
        match close_unless_empty(&intake).await {
            Ok(Some(window)) => tracing::info!(%window, "window closed on schedule"),
            Ok(None) => {}
            Err(NotDone::Busy(Busy::Stopping)) => return,
            Err(reason) => tracing::warn!(%reason, "window not closed on schedule; trying again"),
        }
    }
}

async fn close_unless_empty(intake: &Intake) -> Result<Option<WindowNumber>, NotDone> {
    let (window, carried) = intake
        .read(|control| {
            let open = control.open_window();
            (open.number, !open.carried.is_empty())
        })
        .await?;
    if !carried && intake.figures().await?.credited == 0 {
        return Ok(None);
    }
    // Naming the window makes this idempotent against whoever else closes it meanwhile.
    let id = format!("{SCHEDULE_PREFIX}close/{window}");
    let content = content_digest("schedule", id.as_bytes());
    intake.command(Command::CloseWindow(Request { id, content })).await?;
    Ok(Some(window))
}
