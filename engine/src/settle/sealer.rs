//! The sealer: collects a cut window's parts from all shards, nets them, keeps what was owed with
//! its evidence, and then has the root journaled.
//!
//! One thread, beside the pipeline, so that ingest does not wait for sorting and hashing; while it
//! does these, it has others help. All of them give way to the pipeline's.

use super::archive::NotLoaded;
use super::engine::Engine;
use super::signing::signed;
use super::threads::Threads;
use crate::journal::{JournalError, kept};
use crate::ledger::event::WindowSealed;
use crate::ledger::{AssetSeal, Gathered, Hands, Refusal, SealedPart, SealedWindow};
use crate::ledger::{Command, Wish};
use crate::pipeline::{self, Busy, Intake, NotDone};
use crate::sign::{EngineKey, Signed};
use crate::types::{History, WindowNumber, window_statement};
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
    pub fn start(engine: Engine, parts: Receiver<SealedPart>) -> Self {
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new().name("sealer".to_owned());
        let thread = thread.spawn(move || run(&engine, &parts, &stopped));
        Self { stop, thread: thread.expect("the system can start a thread") }
    }

    /// Stops it and gives back its way in. A window that is not sealed by then is sealed at the
    /// next start.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

/// The parts of cut windows, until every shard has handed out its own.
#[derive(Default)]
pub struct Parts(BTreeMap<WindowNumber, Vec<SealedPart>>);

impl Parts {
    /// Adds a part. With the last one of its window returns all of them.
    pub fn add(
        &mut self,
        part: SealedPart,
        shards: u16,
    ) -> Option<(WindowNumber, Vec<SealedPart>)> {
        let window = part.window();
        let held = self.0.entry(window).or_default();
        held.push(part);
        if held.len() < usize::from(shards) {
            return None;
        }
        self.0.remove_entry(&window)
    }
}

fn run(engine: &Engine, parts: &Receiver<SealedPart>, stopped: &Receiver<()>) {
    let (mut waiting, threads) = (Parts::default(), Threads::giving_way());
    loop {
        let part = select! {
            recv(parts) -> part => part,
            recv(stopped) -> _ => return,
        };
        let Ok(part) = part else { return };
        let Some((window, parts)) = waiting.add(part, engine.intake().shards()) else { continue };
        match engine.seals().time(|| seal_window(engine, window, parts, &threads)) {
            Ok(()) => {}
            Err(NotLoaded::NotDone(NotDone::Busy(
                Busy::Stopping | Busy::Full | Busy::DiskFull,
            ))) => return,
            Err(NotLoaded::NotDone(NotDone::Refused(refusal))) => {
                panic!("a cut window can be sealed: {refusal}")
            }
            Err(NotLoaded::Storage(error)) => pipeline::stop_at_once(&error),
            Err(NotLoaded::Sealed(error)) => panic!("a window holds nothing sealed: {error}"),
            Err(NotLoaded::Away(error)) => panic!("a window is sealed before it leaves: {error}"),
        }
    }
}

fn seal_window(
    engine: &Engine,
    window: WindowNumber,
    parts: Vec<SealedPart>,
    threads: &Threads,
) -> Result<(), NotLoaded> {
    let intake = engine.intake();
    let window = Arc::new(keep_window(intake, window, parts, threads)?);
    // Whoever waits for its root makes a batch of it, or looks at it.
    engine.archive().hold_window(window.clone());
    loop {
        match engine.tell_here(seal_command(intake, engine.key(), &window)) {
            // The engine's key was rotated at this very moment: once more, with the new one.
            Err(NotDone::Refused(Refusal::EngineKeyMoved)) => {}
            done => return Ok(done.map(|_| ())?),
        }
    }
}

/// Nets a cut window from all its parts and keeps it: evidence is durable before the record that
/// speaks of it. `hands` do the work.
///
/// # Errors
/// `JournalError` of the storage.
pub fn keep_window(
    intake: &Intake,
    window: WindowNumber,
    parts: Vec<SealedPart>,
    hands: &impl Hands,
) -> Result<SealedWindow, JournalError> {
    let cut = intake.control().cut(window).expect("a window is cut before its parts arrive");
    kept::put_window(&**intake.tables(), Gathered::new(cut, parts), hands)
}

/// The command that journals the root of a window that is kept, signed with the key in force.
#[must_use]
pub fn seal_command(intake: &Intake, engine_key: &EngineKey, window: &SealedWindow) -> Command {
    let network = intake.hasher().network();
    let SealedWindow { number, root, cut_lsn, cut_at, credited, .. } = *window;
    let digest = intake.control().cut_digest(number).expect("a window is cut before it is sealed");
    let cut = History { lsn: cut_lsn, digest };
    let statement = window_statement(network, number, root, cut, cut_at, credited);
    let Signed { key, signature } = signed(intake, engine_key, &statement);
    let assets: Vec<AssetSeal> = window.seals().copied().collect();
    let sealed = WindowSealed { window: number, root, credited, assets, key, signature };
    Command::own(Wish::SealWindow(sealed))
}
