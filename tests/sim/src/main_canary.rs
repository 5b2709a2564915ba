//! `tallystick-sim-canary`: the simulator with an engine in which a bug is planted, one after the
//! other: each must be caught. `make sim-canary`. The last line is JSON; exit code 1 when any bug
//! was missed, or when a seed fails without one.

#![forbid(unsafe_code)]

use clap::Parser;
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tallystick::canary::{Bug, plant};
use tallystick::verify::Verifier;
use tallystick_sim::{Failure, Settings, run_seed, verifier};

#[derive(Debug, Parser)]
#[command(about = "Plants bugs in the engine, which the simulator must catch")]
struct Args {
    /// Seeds within which each bug must be caught, and which must all pass without one.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Only this bug.
    #[arg(long)]
    bug: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|_| ()));
    let verifier = verifier();
    let (mut caught, mut failures) = (Map::new(), 0u64);
    plant(None);
    if let Some(Failure { seed, what, .. }) = first_failure(args.seeds, &verifier) {
        eprintln!("seed {seed} FAILED without a planted bug: {what}");
        failures += 1;
    }
    for bug in Bug::ALL {
        if args.bug.as_ref().is_some_and(|name| name != bug.name()) {
            continue;
        }
        plant(Some(bug));
        match first_failure(args.seeds, &verifier) {
            Some(Failure { seed, step, what }) => {
                let what: String = what.chars().take(160).collect();
                eprintln!("{}: caught by seed {seed} at step {step}: {what}", bug.name());
                caught.insert(bug.name().to_owned(), Value::from(seed));
            }
            None => {
                eprintln!("{}: MISSED by {} seeds", bug.name(), args.seeds);
                failures += 1;
            }
        }
    }
    println!("{}", json!({ "seeds": args.seeds, "caught_by_seed": caught, "failures": failures }));
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first failure that all cores find among the seeds from 1 on.
fn first_failure(seeds: u64, verifier: &Arc<Verifier>) -> Option<Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, found) = (AtomicU64::new(1), AtomicBool::new(false));
    let first: Mutex<Option<Failure>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds || found.load(Ordering::Relaxed) {
                return;
            }
            if let Err(failure) = run_seed(seed, verifier, Settings::default()) {
                found.store(true, Ordering::Relaxed);
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|held| held.seed > failure.seed) {
                    *first = Some(failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}
