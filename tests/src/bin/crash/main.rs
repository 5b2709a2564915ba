//! `crash`: kills the real engine under load, again and again, and compares what it then says with
//! books of its own. `make crash ROUNDS=N SEED=S`. The last line is JSON; exit code 1 when anything
//! was wrong.
//!
//! A round: streams of signed vouchers and two operators keep an engine busy; at a random moment it
//! gets SIGKILL; sometimes the next starts are killed on their way too; another start, with another
//! number of shards, must then hold what was acked, and nothing that was not sent. One data
//! directory lives for `--life` rounds. Once, the engine is stopped (SIGSTOP) for `--stop-seconds`
//! instead of killed.
//!
//! Owns the rounds. What may follow from what is in `books`, how calls are made in `load`, what is
//! compared in `check`. The moment of a kill is real time, so a seed repeats the load, not the
//! moment.

#![forbid(unsafe_code)]

mod books;
mod check;
mod load;
mod pool;

use books::Books;
use clap::Parser;
use load::{Shared, with};
use pool::{PAYEES, PAYERS, Pool};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tallystick_tests::{
    Client, Engine, Launch, Signal, World, party_request, signer_request, until,
};
use tokio::task::JoinHandle;

const STREAMS: u64 = 4;
const OPERATORS: u64 = 2;
/// An engine is killed within this time from the beginning of the load.
const ALIVE_MAX: Duration = Duration::from_millis(200);
/// Of a hundred rounds, those in which starts are killed as well.
const START_KILLS: u32 = 35;

#[derive(Debug, Parser)]
#[command(about = "Kills the engine under load and checks what it holds afterwards")]
struct Args {
    /// Kills under load.
    #[arg(long, default_value_t = 1_000)]
    rounds: u64,
    /// Where random numbers start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds that one data directory lives.
    #[arg(long, default_value_t = 100)]
    life: u64,
    /// How long the engine is stopped, once; 0: never.
    #[arg(long, default_value_t = 30)]
    stop_seconds: u64,
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    rounds: u64,
    start_kills: u64,
    stops: u64,
    acked: u64,
    calls: u64,
    windows: u64,
    batches: u64,
    lost: u64,
    doubled: u64,
    changed: u64,
    failures: u64,
}

/// One data directory and the engine on it.
struct Life {
    dir: tempfile::TempDir,
    pool: Arc<Pool>,
    books: Shared,
    rng: ChaCha8Rng,
    /// How long a start takes, as last seen.
    start_time: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let (mut done, mut lives) = (Done::default(), 0);
    let pool = Arc::new(Pool::sign(args.seed));
    while done.rounds < args.rounds {
        let rounds = args.life.min(args.rounds - done.rounds);
        let seed = args.seed.wrapping_mul(1_000_003).wrapping_add(lives);
        let stop = if lives == 0 { args.stop_seconds } else { 0 };
        lives += 1;
        live(&pool, seed, rounds, Duration::from_secs(stop), &mut done).await;
        eprintln!("crash: {} rounds, {:?}: {done:?}", done.rounds, began.elapsed());
    }
    let seconds = began.elapsed().as_secs();
    println!(
        "{}",
        serde_json::json!({
            "test": "crash", "seed": args.seed, "rounds": done.rounds,
            "start_kills": done.start_kills, "stops": done.stops, "directories": lives,
            "acked": done.acked, "acked_calls": done.calls, "windows": done.windows,
            "batches": done.batches, "lost": done.lost, "doubled": done.doubled,
            "changed": done.changed, "failures": done.failures, "seconds": seconds,
        })
    );
    let wrong = done.lost + done.doubled + done.changed + done.failures;
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One directory, from its creation to its last round, or to the first thing that is wrong.
async fn live(pool: &Arc<Pool>, seed: u64, rounds: u64, stop: Duration, done: &mut Done) {
    let mut dir = tempfile::tempdir().expect("a temporary folder");
    // Kept until all is well, also when somebody panics.
    dir.disable_cleanup(true);
    let life = Life {
        dir,
        pool: pool.clone(),
        books: Arc::new(Mutex::new(Books::new(pool))),
        rng: ChaCha8Rng::seed_from_u64(seed),
        start_time: Duration::from_millis(100),
    };
    let (books, dir) = (life.books.clone(), life.dir.path().to_owned());
    let counts = Arc::new(Mutex::new((0, 0, 0)));
    let counted = counts.clone();
    // A task of its own, so that a panic (an engine that does not start) is counted and not the
    // end.
    let lived: JoinHandle<Life> = tokio::spawn(life.run(rounds, stop, counted));
    let ended = lived.await;
    let (rounds_done, start_kills, stops) = *counts.lock().unwrap_or_else(|e| e.into_inner());
    with(&books, |books| {
        if let Err(panic) = &ended {
            books.found.failure(format!("{panic}"));
        }
        done.rounds += if ended.is_ok() { rounds_done } else { rounds_done + 1 };
        done.start_kills += start_kills;
        done.stops += stops;
        done.acked += books.acked_vouchers;
        done.calls += books.acked_calls;
        done.windows += books.windows.len() as u64;
        done.batches += books.batches.len() as u64;
        let found = &books.found;
        done.lost += found.lost;
        done.doubled += found.doubled;
        done.changed += found.changed;
        done.failures += found.failures;
        for text in &found.texts {
            eprintln!("crash: seed {seed}, round {rounds_done}, {}: {text}", dir.display());
        }
    });
}

type Counts = Arc<Mutex<(u64, u64, u64)>>;

impl Life {
    async fn run(mut self, rounds: u64, stop: Duration, counts: Counts) -> Self {
        let mut engine = self.start();
        self.register(&engine).await;
        for round in 0..rounds {
            let stop = (round == rounds / 2 && !stop.is_zero()).then_some(stop);
            self.load(engine, stop).await;
            let killed = self.kill_starts();
            engine = self.start();
            let mut client = Client::connect(&engine).await;
            self.check(&mut client, round + 1 == rounds).await;
            let mut counts = counts.lock().unwrap_or_else(|e| e.into_inner());
            counts.0 += 1;
            counts.1 += killed;
            counts.2 += u64::from(stop.is_some());
            drop(counts);
            if with(&self.books, |books| books.found.any()) {
                // What is wrong stays wrong; the directory is kept, and the next life begins anew.
                engine.kill9();
                return self;
            }
        }
        // A polite end leaves the same as a kill.
        engine.stop().await;
        let engine = self.start();
        let mut client = Client::connect(&engine).await;
        self.check(&mut client, true).await;
        engine.kill9();
        let clean = with(&self.books, |books| !books.found.any());
        self.dir.disable_cleanup(!clean);
        self
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn launch(&mut self, dir: &Path) -> Launch {
        let shards = [1, 2, 3, 4, 8, 16][self.rng.random_range(0..6)].to_string();
        let network = self.pool.world.network.to_string();
        let args = ["--init", "--network-id", &network, "--shards", &shards, "--log", "warn"];
        // Small tables: a start is to be short.
        Launch::new(dir).args(&args).args(&["--verify-table-bytes", "4MiB"])
    }

    fn start(&mut self) -> Engine {
        let launch = self.launch(&self.data());
        let began = Instant::now();
        let engine = tokio::task::block_in_place(|| launch.start());
        self.start_time = began.elapsed();
        engine
    }

    async fn register(&self, engine: &Engine) {
        let mut client = Client::connect(engine).await;
        let world = World::register(&mut client, PAYERS, PAYEES).await;
        assert_eq!(world.network, self.pool.world.network, "the engine takes the network's id");
        let extra = load::extra(0);
        let party = client.operator.upsert_party(party_request(extra.party, 5_000)).await;
        party.expect("the party is new");
        let signer = client.operator.add_signer(signer_request(&extra, &[])).await;
        signer.expect("the signer is new");
    }

    /// Streams and operators, until the engine is killed.
    async fn load(&mut self, engine: Engine, stop: Option<Duration>) {
        let mut tasks = Vec::new();
        for _ in 0..STREAMS {
            let (client, seed) = (Client::connect(&engine).await, self.rng.random());
            let stream = load::stream(client, self.pool.clone(), self.books.clone(), seed);
            tasks.push(tokio::spawn(stream));
        }
        let seed = self.rng.random();
        for number in 0..OPERATORS {
            let (client, pool) = (Client::connect(&engine).await, self.pool.clone());
            let own = (number, OPERATORS);
            tasks.push(tokio::spawn(load::operate(client, pool, self.books.clone(), seed, own)));
        }
        let alive = ALIVE_MAX.mul_f64(self.rng.random());
        tokio::time::sleep(alive).await;
        if let Some(stop) = stop {
            self.stop(&engine, stop, &tasks).await;
        }
        tokio::task::block_in_place(|| engine.kill9());
        for task in tasks {
            task.await.expect("a client does not panic");
        }
    }

    /// Stopped and continued, the engine goes on as if nothing had been.
    async fn stop(&self, engine: &Engine, stop: Duration, tasks: &[JoinHandle<()>]) {
        let acked = || with(&self.books, |books| books.acked_vouchers);
        engine.signal(Signal::STOP);
        tokio::time::sleep(stop).await;
        let before = acked();
        engine.signal(Signal::CONT);
        tokio::task::block_in_place(|| {
            until("a stopped engine acks again", || (acked() > before).then_some(()));
        });
        if tasks.iter().any(JoinHandle::is_finished) {
            let text = format!("a client was cut off when the engine was stopped for {stop:?}");
            with(&self.books, |books| books.found.failure(text));
        }
    }

    /// Kills a few starts somewhere on their way. Returns how many.
    fn kill_starts(&mut self) -> u64 {
        let mut killed = 0;
        while self.rng.random_range(0..100) < START_KILLS {
            let starting = self.launch(&self.data()).spawn();
            let alive = (self.start_time * 6 / 5).mul_f64(self.rng.random());
            std::thread::sleep(alive);
            starting.kill9();
            killed += 1;
        }
        killed
    }

    async fn check(&mut self, client: &mut Client, all: bool) {
        // Nobody else touches the books now; they are taken out, since checking takes its time.
        let mut books = with(&self.books, std::mem::take);
        check::check(client, &self.pool, &mut books, &mut self.rng, all).await;
        with(&self.books, |own| *own = books);
    }
}
