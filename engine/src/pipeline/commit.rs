//! The journal thread: makes groups durable, one fsync each, and says how far it got.

use super::group::Item;
use super::meters::Meters;
use super::order::Group;
use crate::canary::{Bug, planted};
use crate::faults;
use crate::journal::{Framed, JournalError, Log, Tail};
use crate::types::Lsn;
use crossbeam::channel::Receiver;
use tokio::sync::watch;

/// The exit code when another node owns the journal from here on: started again, it stands by.
pub const EXIT_ELSEWHERE: u8 = 4;

/// Works until the sequencer is gone. A failed write is never retried: its fate is unknown, so the
/// process stops at once, and the next start finds out what is durable.
pub(super) fn run<L: Log>(
    mut log: L,
    groups: &Receiver<Group>,
    durable: &watch::Sender<Lsn>,
    meters: &Meters,
) -> L {
    for group in groups {
        commit(&mut log, &group, durable, meters).unwrap_or_else(|error| stop(&error));
    }
    log
}

/// Makes one group durable, then says so to all who wait for it.
pub(super) fn commit(
    log: &mut impl Log,
    group: &Group,
    durable: &watch::Sender<Lsn>,
    meters: &Meters,
) -> Result<(), JournalError> {
    if !group.records.is_empty() && !planted(Bug::AckBeforeSync) {
        meters.syncing(|| append(log, &group.records))?;
    }
    assert!(group.last >= *durable.borrow(), "positions only rise");
    durable.send_replace(group.last);
    for item in group.items.iter() {
        match item {
            Item::Frame(frame) => frame.stage_done(meters),
            Item::Event(..) | Item::Question(_) | Item::Checkpoint(_) => {}
        }
    }
    if !group.records.is_empty() && planted(Bug::AckBeforeSync) {
        append(log, &group.records)?;
    }
    Ok(())
}

/// Remembers where the log ends, at a clean stop.
pub(super) fn close<L: Log>(mut log: L, tail: Tail) -> Result<L, JournalError> {
    log.remember(tail)?;
    Ok(log)
}

/// Makes the records durable, between two fail points for each of them.
pub(super) fn append(log: &mut impl Log, records: &[Framed]) -> Result<(), JournalError> {
    points(records, "before");
    let reached = log.append(records)?;
    assert!(records.last().is_some_and(|last| last.lsn == reached), "they stand where they belong");
    points(records, "after");
    Ok(())
}

/// A fail point for each record, named by its kind.
fn points(records: &[Framed], when: &str) {
    for record in records {
        faults::point(|| format!("append-{}-{when}", record.kind()));
    }
}

/// Ends the process at once: what is durable is found out by the next start.
pub(super) fn stop(error: &JournalError) -> ! {
    tracing::error!("stopping at once, nothing more is acked: {error}");
    let fenced = matches!(error, JournalError::Fenced(_));
    std::process::exit(if fenced { EXIT_ELSEWHERE.into() } else { 1 })
}
