//! `tallystick-stream-sim`: runs seeds of the replicated journal's protocol. A part of `make sim
//! SEEDS=N SEED=S`. The last line is JSON; exit code 1 when any seed failed.

#![forbid(unsafe_code)]

use clap::Parser;
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;
use tallystick_stream_sim::{Figures, run_seed};

#[derive(Debug, Parser)]
#[command(
    about = "Runs the owners of a replicated journal under faults of its servers, against a model"
)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run each seed twice: both must end in the same bytes.
    #[arg(long)]
    twice: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic is a failure of its seed, told like the others.
    std::panic::set_hook(Box::new(|_| ()));
    let (begun, mut sum, mut failed) = (Instant::now(), Figures::default(), Vec::new());
    for seed in (0..args.seeds).map(|n| args.seed.wrapping_add(n)) {
        let mut ran = run_seed(seed);
        if args.twice && ran != run_seed(seed) {
            ran = Err("a second time it does not end in the same".into());
        }
        match ran {
            Ok(ran) => sum.add(&ran),
            Err(why) => {
                eprintln!("seed {seed} of the stream FAILED: {why}");
                eprintln!("  again: tallystick-stream-sim --seeds 1 --seed {seed}");
                failed.push(seed);
            }
        }
    }
    println!(
        "{}",
        json!({
            "seeds": args.seeds,
            "first_seed": args.seed,
            "opened": sum.opened,
            "acked": sum.acked,
            "messages": sum.messages,
            "void": sum.void,
            "calls": sum.calls,
            "twice": args.twice,
            "millis": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "failed_seeds": failed,
            "failures": failed.len(),
        })
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
