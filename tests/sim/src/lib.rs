//! The simulator: the real ledger, order, journal records, checkpoints, recovery, sealing and
//! batches of the engine, moved one step at a time by one seed, beside a model that says what must
//! come of it.
//!
//! | what | where |
//! |---|---|
//! | the engine without its threads | `tallystick::pipeline::Stepper` |
//! | a disk that loses what was not synced, and kills the process at any call | `disk` |
//! | what clients know and sign | `world`, `clients` |
//! | what must be | `model`, `clock` |
//! | what a rail does with legs | `settler` |
//! | what is looked up, sent again, heard | `calling` |
//! | what is paid under identifiers, and whom that is told | `paying` |
//! | what is, compared with it | `check`, `settled`, `finish` |
//! | what a start brings back, compared with all events | `fold` |
//! | what happens next | `run`, `lives` |
//!
//! The same seed gives the same bytes, on any machine. Never opens a socket, never reads a clock;
//! the only threads in a run are those that a start of the engine replays on, whose order changes
//! nothing.

#![forbid(unsafe_code)]

mod action;
mod answers;
mod approvals;
mod archiving;
mod budgets;
mod calling;
mod calls;
mod check;
mod clients;
mod clock;
mod dice;
mod disk;
mod endpoints;
mod erasing;
mod eyes;
mod finish;
mod fold;
mod identities;
mod life;
mod lives;
mod model;
mod operators;
mod outbox;
mod paying;
mod run;
mod sealer;
mod settled;
mod settler;
mod task;
mod world;

pub use disk::{Boundary, Call, Side};
pub use run::Figures;

use dice::Dice;
use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tallystick::verify::{Options, Verifier};

/// How a seed is run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Every step is told on standard error.
    pub trace: bool,
    /// Of so many seeds, one is audited from its exported evidence.
    pub audit_every: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { trace: false, audit_every: 16 }
    }
}

/// A run that went well.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What was done.
    pub figures: Figures,
    /// Over every durable byte and every answer.
    pub digest: String,
}

/// A run that did not.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The step in which it was found.
    pub step: u64,
    /// What is wrong.
    pub what: String,
}

/// A verifier for any number of runs. Tables of keys would only cost time: every run has keys of
/// its own.
///
/// # Panics
/// Never: some backend always runs.
#[must_use]
pub fn verifier() -> Arc<Verifier> {
    let options = Options { backend: None, table_bytes: 0 };
    Arc::new(Verifier::new(options).expect("some backend always runs"))
}

/// Runs one seed.
///
/// # Errors
/// `Failure` at the first thing that is not as it must be, also when the engine panics.
pub fn run_seed(seed: u64, verifier: &Arc<Verifier>, settings: Settings) -> Result<Ran, Failure> {
    let mut run = Run::new(seed, verifier, settings.trace);
    // How long it is, is not drawn from the run's own dice, so that a shorter run begins the same.
    let mut length = Dice::new(seed ^ u64::MAX);
    let most = *length.pick(&[300, 1_500, 4_000, 8_000]);
    let steps = length.between(100, most);
    let audited = settings.audit_every > 0 && length.below(settings.audit_every) == 0;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run.steps(steps)?;
        run.finish(audited)
    }));
    let what = match ended {
        Ok(Ok(())) => {
            let digest = run.digest().to_string();
            return Ok(Ran { figures: run.figures, digest });
        }
        Ok(Err(what)) => what,
        Err(panic) => format!("a panic: {}", text(&*panic)),
    };
    Err(Failure { seed, step: run.figures.steps, what })
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
