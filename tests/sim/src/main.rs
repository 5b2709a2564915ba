//! `tallystick-sim`: runs seeds of the simulator on all cores. `make sim SEEDS=N SEED=S`. The last
//! line is JSON; exit code 1 when any seed failed.

#![forbid(unsafe_code)]

use clap::Parser;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tallystick_sim::{Failure, Figures, Settings, run_seed, verifier};

#[derive(Debug, Parser)]
#[command(about = "Runs the engine's core, single-threaded, under crashes and against a model")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds that run at once; 0: one on each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Tell every step of the seeds on standard error.
    #[arg(long)]
    trace: bool,
    /// Run each seed twice: both must end in the same bytes.
    #[arg(long)]
    twice: bool,
    /// One of so many seeds is audited from its exported evidence; 0: none.
    #[arg(long, default_value_t = 16)]
    audit_every: u64,
    /// Failures after which no further seed is begun.
    #[arg(long, default_value_t = 10)]
    failures: u64,
}

/// What all seeds did together.
#[derive(Default)]
struct Sum {
    seeds: u64,
    figures: Figures,
    failures: Vec<Failure>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of the engine is a failure of its seed, told like the others.
    if !args.trace {
        std::panic::set_hook(Box::new(|_| ()));
    }
    let begun = Instant::now();
    let sum = run(&args);
    report(&args, &sum, begun.elapsed().as_millis())
}

fn run(args: &Args) -> Sum {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if args.threads == 0 { cores } else { args.threads };
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let verifier = verifier();
    let settings = Settings { trace: args.trace, audit_every: args.audit_every };
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let failed = sum.lock().expect("nobody panics here").failures.len();
            if number >= args.seeds || u64::try_from(failed).is_ok_and(|n| n >= args.failures) {
                return;
            }
            let seed = args.seed.wrapping_add(number);
            let mut ran = run_seed(seed, &verifier, settings);
            if let (true, Ok(first)) = (args.twice, &ran) {
                let again = run_seed(seed, &verifier, settings);
                if again.as_ref().map(|again| &again.digest).ok() != Some(&first.digest) {
                    let what = format!("a second time it does not end in {}", first.digest);
                    ran = Err(Failure { seed, step: 0, what });
                }
            }
            add(&mut sum.lock().expect("nobody panics here"), ran.map(|ran| ran.figures));
        }
    };
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    sum.into_inner().expect("nobody panics here")
}

fn add(sum: &mut Sum, ran: Result<Figures, Failure>) {
    sum.seeds += 1;
    match ran {
        Err(failure) => {
            tell(&failure);
            sum.failures.push(failure);
        }
        Ok(figures) => sum.figures.add(&figures),
    }
}

fn tell(Failure { seed, step, what }: &Failure) {
    eprintln!("seed {seed} FAILED at step {step}: {what}");
    eprintln!("  again: make sim SEEDS=1 SEED={seed} TRACE=1");
}

fn report(args: &Args, sum: &Sum, millis: u128) -> ExitCode {
    let figures = &sum.figures;
    let per_minute = u128::from(sum.seeds) * 60_000 / millis.max(1);
    let failed: Vec<u64> = sum.failures.iter().map(|failure| failure.seed).collect();
    let boundaries: Vec<String> = figures
        .boundaries
        .iter()
        .map(|(call, side)| format!("{side:?} {call:?}").to_lowercase())
        .collect();
    println!(
        "{}",
        json!({
            "seeds": sum.seeds,
            "first_seed": args.seed,
            "operations": figures.operations,
            "steps": figures.steps,
            "vouchers": figures.vouchers,
            "starts": figures.starts,
            "crashes": figures.crashes,
            "crashed_at": boundaries,
            "windows": figures.windows,
            "batches": figures.batches,
            "checkpoints": figures.checkpoints,
            "answers": figures.words,
            "twice": args.twice,
            "millis": u64::try_from(millis).unwrap_or(u64::MAX),
            "seeds_per_minute": u64::try_from(per_minute).unwrap_or(u64::MAX),
            "failed_seeds": failed,
            "failures": sum.failures.len(),
        })
    );
    if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
