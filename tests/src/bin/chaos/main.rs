//! `chaos`: settles batches over a payment provider and over a chain, both of which fail in every
//! way, while engine, provider and node are killed again and again, and compares the books at the
//! end. `make chaos LEGS=N SEED=S`. The last line is JSON; exit code 1 unless nothing was paid
//! twice, nothing lost, nothing left unresolved, and what the engine's ledger says is what the
//! rails executed.
//!
//! Owns the processes and the moments of the kills. What operators do is in `desk`, the provider in
//! `provider`, the chain in `chain`, the comparison in `check`. Kills happen in real time, so a
//! seed repeats who pays what and the draws, not the moments. Ends only processes that it started.
//! The provider is a test double (`tests/src/psp/README.md`); the node is a real one.

#![forbid(unsafe_code)]

mod chain;
mod check;
mod desk;
mod people;
mod people_at_work;
mod provider;
mod statement;

use chain::ChainSide;
use check::{Movement, Sums, Told, Verdict};
use clap::Parser;
use desk::{Address, Book, Desk};
use people::Rail;
use people_at_work::Shared;
use provider::{Port, Provider, SECRET_KEY, WEBHOOK_SECRET};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tallystick_tests::{Engine, Launch};

/// How long a batch may take before the run gives up: what the longest waits of the rail need, and
/// a bound on each leg that is many times what it takes.
const TIME_BASE: Duration = Duration::from_secs(300);
const TIME_PER_LEG: Duration = Duration::from_millis(20);
/// An engine lives so long at most before it is killed: with few legs, and with many.
const ALIVE_LEAST: Duration = Duration::from_millis(600);
const ALIVE_MOST: Duration = Duration::from_secs(10);
const ALIVE_PER_LEG: Duration = Duration::from_micros(100);
/// So many kills of a round may come before its batches are approved; the others wait for that.
const EARLY: u64 = 4;
/// Of so many kills of the engine, one is of the provider as well.
const PROVIDER_KILLED: u32 = 4;
/// Of so many kills of the engine, one is followed by a start of the node.
const NODE_STARTED: u32 = 5;

/// In a line that an engine wrote: something that must not come about.
const WORDS: [&str; 2] = ["ERROR", "panicked"];
/// Of so many moments, one breaks the folder of the lists of pay-ins, until the next.
const FOLDER_BROKEN: u32 = 3;

#[derive(Debug, Parser)]
#[command(
    about = "Kills the engine while it settles over rails that fail, and compares the books of all"
)]
struct Args {
    /// Legs to settle, pay-ins and pay-outs, over all rails together.
    #[arg(long, default_value_t = 2_000)]
    legs: u64,
    /// Settle over this rail alone; else half of the legs over each.
    #[arg(long)]
    rail: Option<Rail>,
    /// Where random numbers start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most legs in one batch of a rail; more are settled in several, one after the other.
    #[arg(long, default_value_t = 20_000)]
    batch_legs: u64,
    /// Kills of the engine for each round of batches.
    #[arg(long, default_value_t = 20)]
    kills: u64,
}

/// What runs.
struct Chaos {
    engine: Option<Engine>,
    launch: Launch,
    address: Address,
    provider: Option<Provider>,
    /// Where each engine listens for webhooks.
    _hooks: Option<Port>,
    chain: Option<ChainSide>,
    rng: ChaCha8Rng,
    kills: u64,
    /// Records of the engine's journal.
    records: u64,
    /// How long a start took at most.
    longest_start: Duration,
    /// Alarms and errors that the engines wrote.
    errors: Vec<String>,
    /// Where lists of pay-ins are left, and whether it is broken now.
    outbox: PathBuf,
    broken: bool,
    /// How often it was.
    breaks: u64,
    /// What operators and the provider did on purpose.
    planted: Shared,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let mut dir = tempfile::tempdir().expect("a temporary folder");
    // Kept until all is well, also when somebody panics.
    dir.disable_cleanup(true);
    let rails = args.rail.map_or(Rail::ALL.to_vec(), |rail| vec![rail]);
    let mut chaos = Chaos::new(dir.path(), &args, &rails);
    let legs = u32::try_from(args.legs).unwrap_or(u32::MAX);
    let deadline = began + TIME_BASE + TIME_PER_LEG * legs;
    let mut desk = Desk::new(chaos.address.clone(), rails.clone(), deadline);
    let mut failures = Vec::new();
    let settled = chaos.settle_all(&args, &mut desk, &rails, deadline).await;
    failures.extend(settled.err());
    // Also when it failed: the engine is to start once more.
    if chaos.broken {
        chaos.toggle_folder();
    }
    let verdicts = chaos.verdicts(&mut desk, &rails, &mut failures).await;
    let mut all = Verdict::default();
    for (rail, verdict) in &verdicts {
        failures.extend(verdict.texts.iter().map(|text| format!("{}: {text}", rail.name())));
        all.add(verdict);
    }
    // What was not even looked at is not resolved.
    all.unresolved += args.legs.saturating_sub(all.legs);
    failures.extend(chaos.errors.iter().take(20).map(|line| format!("an engine wrote: {line}")));
    for text in &failures {
        eprintln!("chaos: {text}");
    }
    let equal = failures.is_empty() && verdicts.values().all(Verdict::equal);
    println!("{}", chaos.line(&args, &verdicts, &all, equal, began.elapsed()));
    let wrong = all.paid_twice + all.lost + all.unresolved;
    if wrong == 0 && equal {
        dir.disable_cleanup(false);
        return ExitCode::SUCCESS;
    }
    eprintln!("chaos: everything is kept in {}", dir.path().display());
    ExitCode::FAILURE
}

/// Payers (and payees) of the largest batch of a rail.
fn most_pairs(args: &Args, rails: &[Rail]) -> usize {
    let of_rail = legs_of(args, rails);
    usize::try_from(args.batch_legs.min(of_rail).div_ceil(2)).expect("legs in memory fit usize")
}

/// Legs of each rail.
fn legs_of(args: &Args, rails: &[Rail]) -> u64 {
    args.legs.div_ceil(u64::try_from(rails.len()).expect("few rails"))
}

impl Chaos {
    fn new(dir: &Path, args: &Args, rails: &[Rail]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
        let (mut config, mut provider, mut hooks, mut chain) = (String::new(), None, None, None);
        let mut operators = String::from("[operators]\n");
        for (name, token) in [("ann", desk::ANN), ("bob", desk::BOB)] {
            operators.push_str(&format!("{name} = \"{}\"\n", blake3::hash(token.as_bytes())));
        }
        if rails.contains(&Rail::Card) {
            let (started, port, text) = start_provider(dir, rng.random());
            (provider, hooks, config) = (Some(started), Some(port), text);
        }
        if rails.contains(&Rail::Evm) {
            let refused = people::refused(most_pairs(args, rails));
            let started = ChainSide::start(dir, rng.random(), &refused);
            config.push_str(&started.config(dir));
            chain = Some(started);
        }
        let launch = Launch::new(&dir.join("data")).config(&config).config(&operators);
        // Small tables: a start is to be short.
        let launch = launch.args(&["--log", "warn", "--verify-table-bytes", "4MiB"]);
        let engine = launch.start();
        let address = Arc::new(Mutex::new(engine.address().to_owned()));
        Self {
            engine: Some(engine),
            launch,
            address,
            provider,
            _hooks: hooks,
            chain,
            rng,
            kills: 0,
            records: 0,
            longest_start: Duration::ZERO,
            errors: Vec::new(),
            outbox: dir.join("data/outbox/evm"),
            broken: false,
            breaks: 0,
            planted: Shared::default(),
        }
    }

    async fn settle_all(
        &mut self,
        args: &Args,
        desk: &mut Desk,
        rails: &[Rail],
        deadline: Instant,
    ) -> Result<(), String> {
        let most = most_pairs(args, rails);
        let token = self.chain.as_ref().map(ChainSide::asset_code).unwrap_or_default();
        desk.register(most, &token).await?;
        let mut left = usize::try_from(legs_of(args, rails)).map_err(|error| error.to_string())?;
        while left > 0 {
            let pairs = most.min(left.div_ceil(2));
            left = left.saturating_sub(2 * pairs);
            for rail in rails {
                desk.pay(*rail, pairs, &mut self.rng).await?;
            }
            let legs = u32::try_from(2 * pairs).unwrap_or(u32::MAX);
            let alive = (ALIVE_PER_LEG * legs).clamp(ALIVE_LEAST, ALIVE_MOST);
            let (mut killed, began) = (0, Instant::now());
            let approved = desk.approved.clone();
            let stop = Arc::new(AtomicBool::new(false));
            let (mut people, mut at_work) = (std::pin::pin!(self.people(desk, &stop)), true);
            let mut settled = std::pin::pin!(desk.settle(rails));
            let batches = loop {
                let moment = alive.mul_f64(self.rng.random());
                let kills = killed < args.kills && Instant::now() < deadline;
                tokio::select! {
                    batches = &mut settled => break batches?,
                    done = &mut people, if at_work => {
                        at_work = false;
                        done?;
                    }
                    () = tokio::time::sleep(moment), if kills => {
                        if killed >= EARLY && !approved.load(Ordering::Relaxed) {
                            continue;
                        }
                        // Not killed meanwhile: that an engine does not start without its folders
                        // is another matter.
                        if self.toggle_folder() {
                            continue;
                        }
                        self.kill_some();
                        killed += 1;
                        if killed == args.kills {
                            eprintln!("chaos: the last kill, after {:?}", began.elapsed());
                        }
                    }
                }
            };
            if self.broken {
                self.toggle_folder();
            }
            stop.store(true, Ordering::Relaxed);
            if at_work {
                people.await?;
            }
            let legs: u64 = batches.iter().map(|batch| batch.legs).sum();
            eprintln!(
                "chaos: {legs} legs ended after {:?} and {killed} kills; {left} left on each rail",
                began.elapsed()
            );
        }
        Ok(())
    }

    /// Operators and a provider who do what they should not, until `stop`.
    fn people(
        &self,
        desk: &Desk,
        stop: &Arc<AtomicBool>,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let url = self.provider.as_ref().map(Provider::url);
        people_at_work::work(desk.another(), url, self.planted.clone(), stop.clone())
    }

    /// Breaks the folder of the lists of pay-ins now and then, and repairs it at the next moment.
    /// Whether it did one of both.
    fn toggle_folder(&mut self) -> bool {
        let aside = self.outbox.with_file_name("evm-away");
        if self.broken {
            std::fs::remove_file(&self.outbox).expect("it was put there");
            std::fs::rename(&aside, &self.outbox).expect("it was put aside");
            self.broken = false;
            return true;
        }
        let breaks = self.chain.is_some() && self.rng.random_range(0..FOLDER_BROKEN) == 0;
        if !breaks || std::fs::rename(&self.outbox, &aside).is_err() {
            return false;
        }
        std::fs::write(&self.outbox, "no folder").expect("a file in the way");
        (self.broken, self.breaks) = (true, self.breaks + 1);
        true
    }

    fn kill_some(&mut self) {
        let provider = self.rng.random_range(0..PROVIDER_KILLED) == 0;
        let node = self.rng.random_range(0..NODE_STARTED) == 0;
        let first = self.rng.random();
        tokio::task::block_in_place(|| {
            if first {
                self.restart_rails(provider, node);
            }
            self.kill();
            if !first {
                self.restart_rails(provider, node);
            }
            self.start();
        });
    }

    fn restart_rails(&mut self, provider: bool, node: bool) {
        if let Some(running) = self.provider.as_mut().filter(|_| provider) {
            running.restart();
        }
        if let Some(running) = self.chain.as_mut().filter(|_| node) {
            running.restart();
        }
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

    /// What all books say in the end, by rail, the engine's after one more kill.
    async fn verdicts(
        &mut self,
        desk: &mut Desk,
        rails: &[Rail],
        failures: &mut Vec<String>,
    ) -> BTreeMap<Rail, Verdict> {
        let deadline = Instant::now() + TIME_BASE;
        tokio::task::block_in_place(|| {
            if self.provider.as_ref().is_some_and(|provider| !provider.quiet(deadline)) {
                failures.push("the provider did not come to rest".into());
            }
            if let Some(chain) = &mut self.chain {
                chain.rest();
            }
            self.kill();
            self.start();
        });
        failures.extend(desk.look_at_troubles(&self.planted).await.err());
        {
            let planted = people_at_work::held(&self.planted);
            let unseen = planted.unseen().into_iter();
            failures.extend(unseen.map(|key| format!("said of {key}, and nobody was told")));
            let taken = planted.taken.iter();
            failures.extend(taken.map(|key| format!("one operator's word moved {key}")));
            let left = planted.left.iter();
            failures.extend(left.map(|key| format!("{key} left for a suspended payee")));
        }
        let books = desk.books().await.unwrap_or_else(|text| {
            failures.push(text);
            Vec::new()
        });
        self.records = desk.records().await.unwrap_or_default();
        let mut verdicts = BTreeMap::new();
        for rail in rails {
            let (legs, own) = of_rail(&books, *rail);
            let movements = tokio::task::block_in_place(|| self.movements(*rail, &legs, desk));
            let movements = movements.unwrap_or_else(|text| {
                failures.push(text);
                Vec::new()
            });
            let shared = self.planted.clone();
            let is_told = |key: &str| people_at_work::held(&shared).is_told(key);
            let verdict = check::compare(&legs, &movements, &is_told);
            if own != verdict.sums {
                failures.push(format!("reconciliation says {own:?}, its legs {:?}", verdict.sums));
            }
            verdicts.insert(*rail, verdict);
        }
        self.kill();
        verdicts
    }

    /// The rail's own books.
    fn movements(&self, rail: Rail, legs: &[Told], desk: &Desk) -> Result<Vec<Movement>, String> {
        match rail {
            Rail::Card => Ok(self.provider.as_ref().map(Provider::movements).unwrap_or_default()),
            Rail::Evm => {
                let mut movements = desk.came_in();
                if let Some(chain) = &self.chain {
                    movements.extend(chain.movements(legs)?);
                }
                Ok(movements)
            }
        }
    }

    /// The last line.
    fn line(
        &self,
        args: &Args,
        verdicts: &BTreeMap<Rail, Verdict>,
        all: &Verdict,
        equal: bool,
        took: Duration,
    ) -> serde_json::Value {
        let names: Vec<&str> = verdicts.keys().map(|rail| rail.name()).collect();
        let mut line = serde_json::json!({
            "test": "chaos", "rails": names, "seed": args.seed, "legs": all.legs,
            "paid_twice": all.paid_twice, "lost": all.lost, "unresolved": all.unresolved,
            "ledger_equals_rail": equal, "doubts": all.doubts, "confirmed": all.confirmed, "rejected": all.rejected,
            "engine_kills": self.kills, "records": self.records,
            "longest_start_seconds": self.longest_start.as_secs(),
            "errors": self.errors.len(), "seconds": took.as_secs(),
        });
        let planted = people_at_work::held(&self.planted);
        line["planted"] = serde_json::json!({
            "contradictions": planted.contradicted.len(), "misfits": planted.misfit.len(),
            "unseen": planted.unseen().len(), "resolved": planted.resolved,
            "refused_words": planted.refused, "troubles": planted.told.len(),
            "folders_broken": self.breaks, "suspended": planted.suspended,
        });
        for (rail, verdict) in verdicts {
            let mut of_rail = serde_json::json!({
                "legs": verdict.legs, "paid_twice": verdict.paid_twice, "lost": verdict.lost,
                "unresolved": verdict.unresolved, "confirmed": verdict.confirmed,
                "rejected": verdict.rejected, "pay_ins": verdict.sums.pay_ins.to_string(),
                "pay_outs": verdict.sums.pay_outs.to_string(),
            });
            let (more, counters) = match (rail, &self.provider, &self.chain) {
                (Rail::Card, Some(provider), _) => {
                    ("kills", (provider.kills.into(), serde_json::json!(provider.counters())))
                }
                (Rail::Evm, _, Some(chain)) => {
                    ("node_starts", (chain.restarts.into(), serde_json::json!(chain.counters())))
                }
                (Rail::Card | Rail::Evm, _, _) => continue,
            };
            of_rail[more] = counters.0;
            of_rail["calls"] = counters.1;
            line[rail.name()] = of_rail;
        }
        line
    }
}

/// A provider, and the engine's settings for it.
fn start_provider(dir: &Path, seed: u64) -> (Provider, Port, String) {
    let (own, hooks) = (Port::take(), Port::take());
    let webhooks = format!("http://127.0.0.1:{}/webhooks/card", hooks.number);
    let provider = Provider::start(&dir.join("provider"), own, &webhooks, seed);
    let secret = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    };
    let key = secret("card.key", SECRET_KEY);
    let hook = secret("card.webhook", WEBHOOK_SECRET);
    // The provider sends webhooks to one address for good, so the engine always listens there.
    let config = format!(
        "listen_http = \"127.0.0.1:{}\"\n[clearing.card]\naccount = \"acct_clearing\"\n\
         [rail.card]\nbase_url = \"{}\"\nsecret_key_file = {key:?}\n\
         webhook_secret_file = {hook:?}\ntimeout = \"1s\"\nthreads = 16\n",
        hooks.number,
        provider.url()
    );
    (provider, hooks, config)
}

/// The legs of a rail, and what the engine itself sums them to.
fn of_rail(books: &[Book], rail: Rail) -> (Vec<Told>, Sums) {
    let (mut legs, mut own) = (Vec::new(), Sums::default());
    for book in books.iter().filter(|book| book.rail == rail) {
        let (pay_ins, pay_outs) = desk::confirmed(&book.sums);
        (own.pay_ins, own.pay_outs) = (own.pay_ins + pay_ins, own.pay_outs + pay_outs);
        legs.extend(book.legs.iter().cloned());
    }
    (legs, own)
}
