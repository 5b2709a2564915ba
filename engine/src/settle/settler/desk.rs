//! How the settler reaches rails: one desk a rail, all of one form, so that its loop names none of
//! them.
//!
//! Owns which desks there are. Never knows what a rail is like: each desk's own file or folder
//! does.

use super::{Run, Stuck};
use crate::ledger::{BatchPlan, Rail};
use crate::settle::desk::{FileDesk, Folders};
use crate::settle::engine::Engine;
use crate::types::BatchId;
use crossbeam::channel::Select;
use std::collections::BTreeMap;

/// One rail, as the settler's loop sees it. Nothing here waits for the rail: whoever asks it does
/// so on threads of its own, and has the loop woken.
pub(crate) trait Desk: Send {
    /// Before anything else: starts the threads that it needs.
    fn at_start(&mut self, _engine: &Engine) {}

    /// Makes the loop wait for what wakes this desk, too.
    fn watch<'a>(&'a self, _select: &mut Select<'a>) {}

    /// Takes what has arrived. Called when something woke the loop, perhaps for another desk.
    fn arrived(&mut self, _run: &mut Run) {}

    /// Takes in what has come back, also of batches that operators have brought to their end
    /// meanwhile. Only what must stop the settler is an error.
    fn hear(&mut self, _run: &mut Run) -> Result<(), Stuck> {
        Ok(())
    }

    /// Everything that can be done for a batch now.
    fn step(&mut self, run: &mut Run, plan: &BatchPlan, ready: Ready) -> Result<(), Stuck>;

    /// Whether it asks the rail, again and again, what has become of what left.
    fn asks(&self) -> bool {
        false
    }

    /// Only these batches are settling still.
    fn retain(&mut self, _batches: &[BatchId]) {}

    /// What a stop does not leave to the next start.
    fn at_stop(&mut self) {}
}

/// Legs that may leave now. Pay-ins that the rail cannot collect are not among them: their list is
/// out already.
pub(crate) struct Ready {
    pub pay_ins: Vec<u32>,
    pub pay_outs: Vec<u32>,
}

/// How the engine reaches each rail. A rail that is not set up has no desk: its batches wait.
#[derive(Default)]
pub struct Desks {
    /// Where files lie: of rails that work with them, and the lists of pay-ins of those that cannot
    /// collect.
    pub(super) files: BTreeMap<Rail, FileDesk>,
    pub(super) rails: BTreeMap<Rail, Box<dyn Desk>>,
}

impl Desks {
    /// Gives a rail its folders.
    pub fn put_files(&mut self, rail: Rail, files: FileDesk) {
        self.files.insert(rail, files);
    }

    /// Sets a rail up.
    pub(crate) fn put(&mut self, rail: Rail, desk: impl Desk + 'static) {
        self.rails.insert(rail, Box::new(desk));
    }

    /// The folders of each rail that has some.
    pub fn folders(&self) -> impl Iterator<Item = (Rail, &Folders)> {
        self.files.iter().map(|(rail, files)| (*rail, files.folders()))
    }
}
