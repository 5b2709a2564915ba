//! `chaos`: settles batches over a payment provider that fails in every way, while engine and provider are
//! killed again and again, and compares both books at the end. `make chaos LEGS=N SEED=S`. The last line
//! is JSON; exit code 1 unless nothing was paid twice, nothing lost, nothing left unresolved, and what the
//! engine's ledger says is what the provider executed.
//!
//! Owns the processes and the moments of the kills. What operators do is in `desk`, the provider in
//! `provider`, the comparison in `check`. Kills happen in real time, so a seed repeats who pays what and
//! the draws, not the moments. Ends only processes that it started. The provider is a test double
//! (`tests/src/psp/README.md`).

#![forbid(unsafe_code)]

mod check;
mod desk;
mod provider;

use check::{Sums, Verdict};
use clap::Parser;
use desk::{Address, Desk};
use provider::{Provider, SECRET_KEY, WEBHOOK_SECRET};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tallystick_tests::{Engine, Launch};

/// How long a batch may take before the run gives up: what the longest waits of the rail need, and a
/// bound on each leg that is many times what it takes.
const TIME_BASE: Duration = Duration::from_secs(300);
const TIME_PER_LEG: Duration = Duration::from_millis(20);
/// An engine lives so long at most before it is killed: with few legs, and with many.
const ALIVE_LEAST: Duration = Duration::from_millis(600);
const ALIVE_MOST: Duration = Duration::from_secs(10);
const ALIVE_PER_LEG: Duration = Duration::from_micros(250);
/// Of so many kills of the engine, one is of the provider as well.
const PROVIDER_KILLED: u32 = 4;

/// In a line that an engine wrote: something that must not come about.
const WORDS: [&str; 3] = ["ERROR", "panicked", "find out what happened"];

#[derive(Debug, Parser)]
#[command(
    about = "Kills the engine while it settles over a provider that fails, and compares books"
)]
struct Args {
    /// Legs to settle, pay-ins and pay-outs.
    #[arg(long, default_value_t = 2_000)]
    legs: u64,
    /// Where random numbers start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most legs in one batch; more are settled in several, one after the other.
    #[arg(long, default_value_t = 20_000)]
    batch_legs: u64,
    /// Kills of the engine for each batch.
    #[arg(long, default_value_t = 20)]
    kills: u64,
}

/// What runs.
struct Chaos {
    engine: Option<Engine>,
    launch: Launch,
    address: Address,
    provider: Provider,
    rng: ChaCha8Rng,
    kills: u64,
    /// How long a start took at most.
    longest_start: Duration,
    /// Alarms and errors that the engines wrote.
    errors: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let mut dir = tempfile::tempdir().expect("a temporary folder");
    // Kept until all is well, also when somebody panics.
    dir.disable_cleanup(true);
    let mut chaos = Chaos::new(dir.path(), args.seed);
    let legs = u32::try_from(args.legs).unwrap_or(u32::MAX);
    let deadline = began + TIME_BASE + TIME_PER_LEG * legs;
    let mut desk = Desk::new(chaos.address.clone(), deadline);
    let mut failures = Vec::new();
    let settled = chaos.settle_all(&args, &mut desk, deadline).await;
    failures.extend(settled.err());
    let verdict = chaos.verdict(&args, &mut desk, &mut failures).await;
    failures.extend(verdict.texts.iter().cloned());
    let errors = chaos.errors.len();
    failures.extend(chaos.errors.iter().take(20).map(|line| format!("an engine wrote: {line}")));
    for text in &failures {
        eprintln!("chaos: {text}");
    }
    let equal = verdict.equal() && verdict.legs >= args.legs && failures.is_empty();
    println!(
        "{}",
        serde_json::json!({
            "test": "chaos", "rails": ["card"], "seed": args.seed, "legs": verdict.legs,
            "paid_twice": verdict.paid_twice, "lost": verdict.lost,
            "unresolved": verdict.unresolved, "ledger_equals_rail": equal,
            "confirmed": verdict.confirmed, "rejected": verdict.rejected,
            "pay_ins": verdict.sums.pay_ins.to_string(),
            "pay_outs": verdict.sums.pay_outs.to_string(),
            "engine_kills": chaos.kills, "provider_kills": chaos.provider.kills,
            "longest_start_seconds": chaos.longest_start.as_secs(),
            "provider_calls": chaos.provider.counters(), "errors": errors,
            "seconds": began.elapsed().as_secs(),
        })
    );
    let wrong = verdict.paid_twice + verdict.lost + verdict.unresolved;
    if wrong == 0 && equal {
        dir.disable_cleanup(false);
        return ExitCode::SUCCESS;
    }
    eprintln!("chaos: everything is kept in {}", dir.path().display());
    ExitCode::FAILURE
}

impl Chaos {
    fn new(dir: &Path, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Not from the seed: two runs side by side need different ports.
        let start = u64::from(std::process::id());
        let own = provider::port(start);
        let hooks = provider::port(start + 1);
        assert_ne!(own, hooks, "two ports next to each other are two ports");
        let webhooks = format!("http://127.0.0.1:{hooks}/webhooks/card");
        let provider = Provider::start(&dir.join("provider"), own, &webhooks, rng.random());
        let secret = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).expect("a temporary file");
            path
        };
        let key = secret("card.key", SECRET_KEY);
        let hook = secret("card.webhook", WEBHOOK_SECRET);
        // The provider sends webhooks to one address for good, so the engine always listens there.
        let config = format!(
            "listen_http = \"127.0.0.1:{hooks}\"\n[clearing.card]\naccount = \"acct_clearing\"\n\
             [rail.card]\nbase_url = \"{}\"\nsecret_key_file = {key:?}\n\
             webhook_secret_file = {hook:?}\ntimeout = \"1s\"\nthreads = 16\n",
            provider.url()
        );
        let launch = Launch::new(&dir.join("data")).config(&config);
        // Small tables: a start is to be short.
        let launch = launch.args(&["--log", "warn", "--verify-table-bytes", "4MiB"]);
        let engine = launch.start();
        let address = Arc::new(Mutex::new(engine.address().to_owned()));
        let (engine, errors, longest_start) = (Some(engine), Vec::new(), Duration::ZERO);
        Self { engine, launch, address, provider, rng, kills: 0, longest_start, errors }
    }

    async fn settle_all(
        &mut self,
        args: &Args,
        desk: &mut Desk,
        deadline: Instant,
    ) -> Result<(), String> {
        let most = args.batch_legs.min(args.legs).div_ceil(2);
        let most = usize::try_from(most).map_err(|error| error.to_string())?;
        desk.register(most).await?;
        let mut left = usize::try_from(args.legs).map_err(|error| error.to_string())?;
        while left > 0 {
            let pairs = most.min(left.div_ceil(2));
            left = left.saturating_sub(2 * pairs);
            desk.pay(pairs, &mut self.rng).await?;
            let legs = u32::try_from(2 * pairs).unwrap_or(u32::MAX);
            let alive = (ALIVE_PER_LEG * legs).clamp(ALIVE_LEAST, ALIVE_MOST);
            let (mut killed, began) = (0, Instant::now());
            let mut settled = std::pin::pin!(desk.settle());
            let batch = loop {
                let moment = alive.mul_f64(self.rng.random());
                let kills = killed < args.kills && Instant::now() < deadline;
                tokio::select! {
                    batch = &mut settled => break batch?,
                    () = tokio::time::sleep(moment), if kills => {
                        self.kill_some();
                        killed += 1;
                        if killed == args.kills {
                            eprintln!("chaos: the last kill, after {:?}", began.elapsed());
                        }
                    }
                }
            };
            eprintln!(
                "chaos: batch of {} legs ended as {:?} after {:?} and {killed} kills; {left} left",
                batch.legs,
                batch.state(),
                began.elapsed()
            );
        }
        Ok(())
    }

    fn kill_some(&mut self) {
        let provider = self.rng.random_range(0..PROVIDER_KILLED) == 0;
        let first = self.rng.random();
        tokio::task::block_in_place(|| {
            if provider && first {
                self.provider.restart();
            }
            self.kill();
            if provider && !first {
                self.provider.restart();
            }
            self.start();
        });
    }

    fn kill(&mut self) {
        if let Some(engine) = self.engine.take() {
            let said = engine.stderr();
            let is_error = |line: &&str| WORDS.iter().any(|word| line.contains(word));
            self.errors.extend(said.lines().filter(is_error).map(str::to_owned));
            engine.kill9();
            self.kills += 1;
        }
    }

    fn start(&mut self) {
        let began = Instant::now();
        let engine = self.launch.start();
        self.longest_start = self.longest_start.max(began.elapsed());
        let address = engine.address().to_owned();
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
        self.engine = Some(engine);
    }

    /// What both books say in the end, the engine's after one more kill.
    async fn verdict(
        &mut self,
        args: &Args,
        desk: &mut Desk,
        failures: &mut Vec<String>,
    ) -> Verdict {
        let deadline = Instant::now() + TIME_BASE;
        if !tokio::task::block_in_place(|| self.provider.quiet(deadline)) {
            failures.push("the provider did not come to rest".into());
        }
        tokio::task::block_in_place(|| {
            self.kill();
            self.start();
        });
        let books = match desk.books().await {
            Ok(books) => books,
            Err(text) => {
                failures.push(text);
                return Verdict { unresolved: args.legs, ..Verdict::default() };
            }
        };
        let movements = tokio::task::block_in_place(|| self.provider.movements());
        let mut own = Sums::default();
        let mut legs = Vec::new();
        for (told, sums) in books {
            let (pay_ins, pay_outs) = desk::confirmed(&sums);
            (own.pay_ins, own.pay_outs) = (own.pay_ins + pay_ins, own.pay_outs + pay_outs);
            legs.extend(told);
        }
        let verdict = check::compare(&legs, &movements);
        if own != verdict.sums {
            failures.push(format!("reconciliation says {own:?}, its legs {:?}", verdict.sums));
        }
        self.kill();
        verdict
    }
}
