//! The journal thread: makes groups durable, one fsync each, and says how far it got.

use super::group::Item;
use super::order::Group;
use crate::canary::{Bug, planted};
use crate::faults;
use crate::journal::{Framed, Journal, JournalError, Tail};
use crate::types::Lsn;
use crossbeam::channel::Receiver;
use tokio::sync::watch;

/// Works until the sequencer is gone. A failed write is never retried: its fate is unknown, so the
/// process stops at once, and the next start finds out what is durable.
pub(super) fn run<J: Journal>(
    mut journal: J,
    groups: &Receiver<Group>,
    durable: &watch::Sender<Lsn>,
) -> J {
    for group in groups {
        commit(&mut journal, &group, durable).unwrap_or_else(|error| stop(&error));
    }
    journal
}

/// Makes one group durable, then says so to all who wait for it.
pub(super) fn commit(
    journal: &mut impl Journal,
    group: &Group,
    durable: &watch::Sender<Lsn>,
) -> Result<(), JournalError> {
    if !group.records.is_empty() && !planted(Bug::AckBeforeSync) {
        append(journal, &group.records)?;
    }
    assert!(group.last >= *durable.borrow(), "positions only rise");
    durable.send_replace(group.last);
    for item in group.items.iter() {
        match item {
            Item::Frame(frame) => frame.stage_done(),
            Item::Event(..) | Item::Question(_) | Item::Checkpoint(_) => {}
        }
    }
    if !group.records.is_empty() && planted(Bug::AckBeforeSync) {
        append(journal, &group.records)?;
    }
    Ok(())
}

/// Remembers where the journal ends, at a clean stop.
pub(super) fn close<J: Journal>(mut journal: J, tail: Tail) -> Result<J, JournalError> {
    journal.remember(tail)?;
    Ok(journal)
}

/// Makes the records durable, between two fail points for each of them.
pub(super) fn append(
    journal: &mut (impl Journal + ?Sized),
    records: &[Framed],
) -> Result<(), JournalError> {
    points(records, "before");
    journal.append(records)?;
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
    std::process::exit(1)
}
