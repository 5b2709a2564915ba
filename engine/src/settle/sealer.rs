//! The sealer: collects a cut window's parts from all shards, nets them, and has the root journaled.
//!
//! One thread, beside the pipeline, so that ingest does not wait for sorting and hashing.

use crate::ledger::control::Command;
use crate::ledger::{SealedPart, seal};
use crate::pipeline::{Busy, Intake, NotDone};
use crate::types::WindowNumber;
use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::select;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The running sealer.
pub struct Sealer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sealer {
    /// Starts it.
    #[must_use]
    pub fn start(intake: Intake, parts: Receiver<SealedPart>) -> Self {
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new().name("sealer".to_owned());
        let thread = thread.spawn(move || run(&intake, &parts, &stopped));
        Self { stop, thread: thread.expect("the system can start a thread") }
    }

    /// Stops it and gives back its way in. A window that is not sealed by then is sealed at the next
    /// start.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

fn run(intake: &Intake, parts: &Receiver<SealedPart>, stopped: &Receiver<()>) {
    let mut waiting: BTreeMap<WindowNumber, Vec<SealedPart>> = BTreeMap::new();
    loop {
        let part = select! {
            recv(parts) -> part => part,
            recv(stopped) -> _ => return,
        };
        let Ok(part) = part else { return };
        let window = part.window();
        let held = waiting.entry(window).or_default();
        held.push(part);
        if held.len() < usize::from(intake.shards()) {
            continue;
        }
        let parts = waiting.remove(&window).expect("it was just there");
        let cut = intake.control().cut(window).expect("a window is cut before its parts arrive");
        let sealed = Arc::new(seal(cut, parts));
        match intake.command_here(Command::SealWindow(sealed)) {
            Ok(_) => {}
            Err(NotDone::Busy(Busy::Stopping | Busy::Full)) => return,
            Err(NotDone::Refused(refusal)) => panic!("a cut window can be sealed: {refusal}"),
        }
    }
}
