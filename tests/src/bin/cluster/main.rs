//! Kills engine and servers of a journal on a stream, again and again, under load, and compares
//! what the engine holds with books of its own: `make cluster-chaos ROUNDS=N`. The last line is
//! JSON.

use clap::Parser;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_tests::nats::{Cluster, SERVERS};
use tallystick_tests::onstream::{Key, Load, Owed, PAYEES, PAYERS, STREAM, held, owed, settings};
use tallystick_tests::page::Page;
use tallystick_tests::{Client, Engine, Launch, Signal, World, until};

/// How long a server that is stopped stands still.
const STILL: Duration = Duration::from_secs(15);
/// Frames that must be acked before and after each disturbance.
const FRAMES: u64 = 20;

/// Kills engine and servers under load.
#[derive(Parser)]
struct Args {
    /// How many rounds.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// What is done in which order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is done to whom.
const WAYS: [&str; 7] = ["engine", "leader", "both", "still", "wiped", "all", "two"];

/// Everything that runs.
struct Chaos {
    cluster: Cluster,
    launch: Launch,
    engine: Option<Engine>,
    client: Client,
    load: Load,
    void: u64,
}

impl Chaos {
    fn void(&self) -> u64 {
        let engine = self.engine.as_ref().expect("one runs");
        let http = engine.http().expect("it listens for HTTP");
        self.void + Page::of(http).count("tallystick_journal_void_total")
    }

    async fn kill_engine(&mut self) {
        self.void = self.void();
        self.engine.take().expect("one runs").kill9();
        let engine = self.launch.start();
        self.client = Client::connect(&engine).await;
        self.load.goes_to(&self.client);
        self.engine = Some(engine);
    }

    fn kill_servers(&mut self, which: &[usize]) {
        which.iter().for_each(|n| self.cluster.kill9(*n));
    }

    fn start_servers(&mut self, which: &[usize]) {
        which.iter().for_each(|n| self.cluster.run(*n));
        which.iter().for_each(|n| self.cluster.until_healthy(*n));
    }

    async fn disturb(&mut self, way: &str) {
        let leader = self.cluster.leader(STREAM);
        let others: Vec<usize> = (0..SERVERS).filter(|n| *n != leader).collect();
        match way {
            "engine" => self.kill_engine().await,
            "still" => {
                self.cluster.signal(leader, Signal::STOP);
                let since = Instant::now();
                until("the server stood still", || (since.elapsed() >= STILL).then_some(()));
                self.cluster.signal(leader, Signal::CONT);
                self.cluster.until_healthy(leader);
            }
            "two" => {
                self.kill_servers(&others);
                self.start_servers(&others);
            }
            "all" => {
                self.kill_servers(&[0, 1, 2]);
                self.start_servers(&[0, 1, 2]);
            }
            one => {
                self.kill_servers(&[leader]);
                if one == "wiped" {
                    self.cluster.wipe(leader);
                }
                if one == "both" {
                    self.kill_engine().await;
                }
                self.load.until_acked(FRAMES);
                self.start_servers(&[leader]);
            }
        }
    }
}

/// What an engine with its journal in its own directory says is owed, fed with the same totals.
async fn embedded(dir: &Path, world: &World, totals: &BTreeMap<Key, u64>) -> Owed {
    let network: String = world.network.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let engine = Launch::new(dir).args(&["--network-id", &network, "--init"]).start();
    let mut client = Client::connect(&engine).await;
    World::register(&mut client, PAYERS, PAYEES).await;
    let vouchers: Vec<_> =
        totals.iter().map(|(key, total)| world.voucher(key.0, key.1, key.2, *total)).collect();
    client.pay(&vouchers).await;
    let last = client.close_window().await.number;
    owed(&mut client, last).await
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::start();
    let launch = Launch::new(&scratch.path().join("data")).config(&settings(&cluster));
    let launch = launch.args(&["--listen-http", "127.0.0.1:0", "--checkpoint-bytes", "1MiB"]);
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    let world = Arc::new(World::register(&mut client, PAYERS, PAYEES).await);
    let load = Load::start(&client, &world);
    let mut chaos = Chaos { cluster, launch, engine: Some(engine), client, load, void: 0 };
    let (mut rng, mut outages) = (ChaCha8Rng::seed_from_u64(args.seed), Vec::new());
    for round in 0..args.rounds {
        // Each once, then as the dice fall.
        let n = usize::try_from(round).ok().filter(|n| *n < WAYS.len());
        let way = WAYS[n.unwrap_or_else(|| rng.random_range(0..WAYS.len()))];
        chaos.load.until_acked(FRAMES);
        let _ = chaos.load.gap_ms();
        chaos.disturb(way).await;
        chaos.load.until_acked(FRAMES);
        let outage = chaos.load.gap_ms();
        eprintln!("round {round}: {way}, no ack for {outage} ms");
        outages.push(outage);
    }
    let void = chaos.void();
    let Chaos { engine, mut client, load, cluster: _cluster, .. } = chaos;
    let frames = load.acked();
    let books = load.end().await;
    let totals = held(&mut client, &world, &books.sent).await;
    let lost = totals.iter().filter(|(key, held)| **held < books.acked[*key]).count();
    let doubled = totals.iter().filter(|(key, held)| **held > books.sent[*key]).count();
    let last = client.close_window().await.number;
    let sums = owed(&mut client, last).await;
    let same = sums == embedded(&scratch.path().join("embedded"), &world, &totals).await;
    outages.sort_unstable();
    let line = serde_json::json!({
        "rounds": args.rounds, "acked": frames * u64::try_from(totals.len()).expect("few"), "lost": lost,
        "doubled": doubled, "void": void, "outage_p50_ms": outages.get(outages.len() / 2),
        "outage_max_ms": outages.last(), "owed_equal": same,
    });
    drop(engine);
    println!("{line}");
    assert!(lost == 0 && doubled == 0 && void == 0 && same, "{line}");
}
