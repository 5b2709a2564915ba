//! The control state as rows: what a checkpoint keeps of it, and how it comes back.
//!
//! Owns which rows have changed since the last checkpoint, and the
//! picture of one moment that is taken of them without stopping: at the mark the list of changed
//! rows is set aside, a few are copied at a time, and one that changes before its turn is copied
//! first. Which rows an event changes is in `touch`, what lies in a row in `body`, the way back in
//! `restore`. Knows nothing of where rows are kept.

mod body;
mod compare;
mod restore;
#[cfg(test)]
mod tests;
mod touch;

pub(super) use restore::restore_page;
pub use restore::{Restored, Restoring, RowUnfit, archived_in};

pub(super) use body::bytes;

use super::Control;
use super::requests::{self, Answered};
use crate::canary::{Bug, planted};
use crate::row::{RowChange, RowKey};
use crate::types::WindowNumber;
use std::collections::BTreeSet;

/// Entries of a row that holds many small ones: carries of a window, request ids.
pub(super) const ENTRIES: usize = 1_000;

/// Rows that changed, and those that are being copied.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Rows {
    changed: BTreeSet<RowKey>,
    saving: Option<Saving>,
}

/// The picture of one moment, as far as it was not handed out.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Saving {
    /// Rows that are still as they were at the mark, and were not copied.
    waiting: BTreeSet<RowKey>,
    /// Rows that were copied before they changed.
    copied: Vec<RowChange>,
    /// Requests that were answered since the last mark: they never change.
    requests: Vec<(i64, Vec<Answered>)>,
}

impl Rows {
    /// Of a state that no checkpoint holds: its first window is all there is.
    pub fn new() -> Self {
        let changed = BTreeSet::from([RowKey::Window(WindowNumber(1))]);
        Self { changed, saving: None }
    }

    /// Of a state that the last checkpoint holds.
    pub fn kept() -> Self {
        Self { changed: BTreeSet::new(), saving: None }
    }

    /// Whether the last checkpoint holds a row as it is. One that is being copied is not the last
    /// one yet.
    pub fn is_kept(&self, row: RowKey) -> bool {
        !self.changed.contains(&row)
            && self.saving.as_ref().is_none_or(|saving| !saving.waiting.contains(&row))
    }
}

impl Control {
    /// A row is about to change.
    pub(super) fn touch(&mut self, row: RowKey) {
        if planted(Bug::ControlMissesMoney) && matches!(row, RowKey::Money(..)) {
            return;
        }
        let waits = self.rows.saving.as_ref().is_some_and(|saving| saving.waiting.contains(&row));
        if waits && !planted(Bug::ControlTakesNext) {
            let copy = self.change(row);
            if let Some(saving) = &mut self.rows.saving {
                saving.waiting.remove(&row);
                saving.copied.push(copy);
            }
        }
        self.rows.changed.insert(row);
    }

    /// Begins a picture of the state as it is: of what changed since the last one began.
    ///
    /// Panics when the last one was not copied to its end.
    pub fn begin_save(&mut self) {
        assert!(self.rows.saving.is_none(), "one checkpoint at a time");
        // The head changes with each event, so it is copied now.
        let mut copied = vec![self.change(RowKey::Head)];
        let (requests, forgotten) = self.requests.take_new();
        if let Some(first) = forgotten {
            let (from, to) = (RowKey::Requests(i64::MIN, 0), RowKey::Requests(first, 0));
            copied.push(RowChange::Remove { from: from.encode(), to: to.encode() });
        }
        let waiting = std::mem::take(&mut self.rows.changed);
        self.rows.saving = Some(Saving { waiting, copied, requests });
    }

    /// Copies some more rows of the picture: until there are so many, or so many bytes of them; and
    /// whether these are the last. `None` when no picture is taken.
    pub fn save_some(&mut self, rows: usize, bytes: usize) -> Option<(Vec<RowChange>, bool)> {
        let mut saving = self.rows.saving.take()?;
        let (mut out, mut size) = (Vec::new(), 0);
        while out.len() < rows && size < bytes {
            let change = if let Some(copied) = saving.copied.pop() {
                copied
            } else if let Some(row) = saving.waiting.pop_first() {
                self.change(row)
            } else if let Some((span, mut answered)) = saving.requests.pop() {
                let some = answered.split_off(answered.len().saturating_sub(ENTRIES));
                if !answered.is_empty() {
                    saving.requests.push((span, answered));
                }
                requests::row(span, &some)
            } else {
                return Some((out, true));
            };
            size += change.bytes();
            out.push(change);
        }
        let last =
            saving.copied.is_empty() && saving.waiting.is_empty() && saving.requests.is_empty();
        if !last {
            self.rows.saving = Some(saving);
        }
        Some((out, last))
    }

    /// A row as it is.
    fn change(&self, row: RowKey) -> RowChange {
        let key = row.encode();
        match self.row(row) {
            Some(value) => RowChange::Put { key, value },
            None => {
                let mut to = key.clone();
                to.push(0);
                RowChange::Remove { from: key, to }
            }
        }
    }
}
