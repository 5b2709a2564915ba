//! Files that must not be handed in any more: all their legs came to be owed again, by the rail's
//! word or an operator's, and whoever uploads what lies in the outbox would have the same money
//! paid twice. They are taken out of it, after the record that says so; a start does it again.
//!
//! Owns which files are still to be taken. Which they are is the ledger's rule, how it is done the
//! desk's.

use super::step::refused;
use super::{Run, Stuck};
use crate::ledger::Rail;
use crate::rails::is_file;
use crate::settle::desk::FileDesk;
use crate::types::{BatchId, Total};
use std::collections::{BTreeMap, BTreeSet};

/// A submission of a batch.
type Of = (BatchId, u32);

/// Files that are to be taken, and those that were, of batches that are not done.
#[derive(Default)]
pub(super) struct Withdrawals {
    todo: BTreeMap<Of, (Rail, String)>,
    done: BTreeSet<Of>,
    /// Rails whose folders were not looked through yet since the start.
    unseen: BTreeSet<Rail>,
}

impl Withdrawals {
    /// A start: what a crash left is looked for.
    pub fn start(rails: impl Iterator<Item = Rail>) -> Self {
        Self { unseen: rails.collect(), ..Self::default() }
    }

    /// Nothing more comes of other batches than these.
    pub fn retain(&mut self, batches: &[BatchId]) {
        self.done.retain(|(batch, _)| batches.contains(batch));
    }
}

impl Run {
    /// Notes the files of a batch that must not be handed in any more. What it costs grows with
    /// what failed.
    pub(super) fn note_void(&mut self, batch: BatchId) -> Result<(), Stuck> {
        let found: Vec<(u32, Rail, String)> = {
            let control = self.engine.control();
            let entry = control.batch(batch).map_err(refused)?;
            let (rail, legs) = (entry.head.policy.rail, &entry.legs);
            if legs.owed_again() == Total::ZERO || !self.files.contains_key(&rail) {
                return Ok(());
            }
            let all = (0..).zip(legs.submissions());
            let named = all.map(|(number, of)| (number, &of.newest().name));
            let void = named.filter(|(number, name)| {
                let was_done = self.withdrawals.done.contains(&(batch, *number));
                !was_done && is_file(rail, name) && legs.is_void(*number)
            });
            void.map(|(number, name)| (number, rail, name.to_string())).collect()
        };
        for (number, rail, name) in found {
            // One that has not left is discarded where it stands.
            if !self.held.holds(batch, number) {
                self.withdrawals.todo.insert((batch, number), (rail, name));
            }
        }
        Ok(())
    }

    /// Takes all that was noted. What cannot be taken is a trouble that names it, and tried again.
    pub(super) fn withdraw(&mut self) {
        let mut kept: BTreeMap<Rail, Vec<String>> = BTreeMap::new();
        for rail in self.withdrawals.unseen.clone() {
            match self.note_left(rail) {
                Ok(()) => {
                    self.withdrawals.unseen.remove(&rail);
                }
                Err(error) => kept.entry(rail).or_default().push(format!(
                    "what lies where files are handed in from cannot be looked through for those that must not \
                     be any more: {error}"
                )),
            }
        }
        for (of, (rail, name)) in std::mem::take(&mut self.withdrawals.todo) {
            let Some(desk) = self.files.get(&rail) else { continue };
            match desk.withdraw(&name) {
                Ok(was_there) => {
                    if was_there {
                        let (batch, file) = (of.0, &name);
                        tracing::info!(%batch, rail = rail.name(), file, "file withdrawn: all its legs failed");
                    }
                    self.withdrawals.done.insert(of);
                }
                Err(error) => {
                    kept.entry(rail).or_default().push(format!(
                        "the file {name} must not be handed in any more, for all its legs are owed again, and it \
                         cannot be taken away ({error}): take it away yourself"
                    ));
                    self.withdrawals.todo.insert(of, (rail, name));
                }
            }
        }
        for rail in self.files.keys() {
            let why = kept.remove(rail).map(|why| why.join("; "));
            self.troubles.set(&format!("withdrawal of {}", rail.name()), why);
        }
    }

    /// What a crash may have left where it is handed in from.
    fn note_left(&mut self, rail: Rail) -> std::io::Result<()> {
        let left = self.files.get(&rail).map_or(Ok(Vec::new()), FileDesk::left)?;
        for name in left {
            let Some(of) = self.submission_named(rail, &name) else { continue };
            let is_void = {
                let control = self.engine.control();
                control.batch(of.0).is_ok_and(|entry| entry.legs.is_void(of.1))
            };
            if is_void {
                self.withdrawals.todo.insert(of, (rail, name));
            }
        }
        Ok(())
    }
}
