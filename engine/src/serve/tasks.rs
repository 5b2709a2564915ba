//! What the engine does by itself at the edge: tasks that run until it stops.

use crate::api::{Access, Edge};
use crate::config::Config;
use crate::settle::{Engine, Retention, Schedule, archive_windows, close_every, warn_of_budgets};
use tokio::task::JoinHandle;

/// Starts those that the settings ask for.
pub(super) fn start(
    config: &Config,
    engine: &Engine,
    edge: &Edge,
    access: &Access,
) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![tokio::spawn(warn_of_budgets(engine.clone()))];
    tasks.push(tokio::spawn(access.clone().watch()));
    let courier = edge.webhooks.courier();
    tasks.extend(courier.map(|courier| tokio::spawn(courier.run(engine.clone()))));
    if let Some(every) = config.window_every {
        tasks.push(tokio::spawn(close_every(engine.clone(), every)));
    }
    if let Some(dir) = config.archive_dir.clone() {
        let retention = Retention { dir, keep: config.keep_windows.into() };
        tasks.push(tokio::spawn(archive_windows(engine.clone(), retention)));
    }
    if !config.schedule.is_empty() {
        let schedule = Schedule { engine: engine.clone(), board: edge.board.clone() };
        tasks.push(tokio::spawn(schedule.run()));
    }
    tasks
}
