//! `tallystick-stream-sim-canary`: the same with a protocol in which a bug is planted, one after
//! the other: each must be caught. A part of `make sim-canary`. The last line is JSON; exit code 1
//! when any bug was missed, or when a seed fails without one.

#![forbid(unsafe_code)]

use clap::Parser;
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use tallystick_ledger::canary::{Bug, plant};
use tallystick_stream_sim::run_seed;

#[derive(Debug, Parser)]
#[command(about = "Plants bugs in the protocol of the replicated journal, which must be caught")]
struct Args {
    /// Seeds within which each bug must be caught, and which must all pass without one.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|_| ()));
    let first = || (1..=args.seeds).find_map(|seed| run_seed(seed).err().map(|why| (seed, why)));
    let (mut caught, mut failures) = (Map::new(), 0u64);
    plant(None);
    if let Some((seed, why)) = first() {
        eprintln!("seed {seed} FAILED without a planted bug: {why}");
        failures += 1;
    }
    for bug in Bug::OF_STREAM {
        plant(Some(bug));
        match first() {
            Some((seed, why)) => {
                eprintln!("{}: caught by seed {seed}: {why}", bug.name());
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
