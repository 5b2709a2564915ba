//! Kills nodes and servers of a journal on a stream, again and again, under load, and compares what
//! the nodes hold with books of its own: `make cluster-chaos ROUNDS=N`. The last line is JSON.

use clap::Parser;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_tests::nats::{Cluster, SERVERS};
use tallystick_tests::nodes::{Nodes, until_owned, until_ready};
use tallystick_tests::onstream::{Key, Load, Owed, PAYEES, PAYERS, STREAM, held, owed};
use tallystick_tests::wire::Window;
use tallystick_tests::{Client, Engine, Launch, Signal, World, until};

/// How long a server, or an owner, that is stopped stands still.
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
const WAYS: [&str; 8] = ["owner", "leader", "both", "paused", "still", "wiped", "all", "two"];
/// The nodes.
const NAMES: [&str; 2] = ["a", "b"];

/// Everything that runs.
struct Chaos {
    cluster: Cluster,
    nodes: Nodes,
    engines: [Option<Engine>; 2],
    /// Which of them owns the journal.
    owner: usize,
    client: Client,
    load: Load,
    void: usize,
}

impl Chaos {
    fn engine(&self, n: usize) -> &Engine {
        self.engines[n].as_ref().expect("it runs")
    }

    /// Void messages that a node has told of.
    fn told_void(said: &str) -> usize {
        said.matches("of the journal's stream is void").count()
    }

    /// The other node takes over.
    async fn follows(&mut self) {
        self.owner = 1 - self.owner;
        until_owned(&[self.engine(self.owner)]);
        self.client = Client::connect(self.engine(self.owner)).await;
        self.load.goes_to(&self.client);
    }

    /// Starts a node that has ended; it stands by.
    fn start(&mut self, n: usize) {
        self.engines[n] = Some(self.nodes.launch(NAMES[n]).start());
    }

    async fn kill_owner(&mut self) {
        let killed = self.owner;
        let engine = self.engines[killed].take().expect("it runs");
        self.void += Self::told_void(&engine.stderr());
        engine.kill9();
        self.follows().await;
        self.start(killed);
    }

    /// The owner stands still, and must never ack again.
    async fn pause_owner(&mut self) {
        let paused = self.owner;
        let engine = self.engines[paused].take().expect("it runs");
        engine.signal(Signal::STOP);
        let since = Instant::now();
        self.follows().await;
        until("the owner stood still", || (since.elapsed() >= STILL).then_some(()));
        engine.signal(Signal::CONT);
        let ended = engine.ended();
        assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
        self.void += Self::told_void(&ended.stderr);
        self.start(paused);
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
            "owner" => self.kill_owner().await,
            "paused" => self.pause_owner().await,
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
                    self.kill_owner().await;
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

/// What each owes each, over all windows: they were closed at other moments than elsewhere.
fn by_pair(owed: &Owed) -> BTreeMap<(&[u8], &[u8]), u64> {
    let mut sums = BTreeMap::new();
    for (payer, payee, amount) in owed.values().flatten() {
        *sums.entry((&payer[..], &payee[..])).or_default() += amount;
    }
    sums
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::start();
    let more = ["--listen-http", "127.0.0.1:0", "--checkpoint-bytes", "1MiB"];
    let nodes = Nodes::new(&cluster).args(&more);
    let first = nodes.launch(NAMES[0]).start();
    let mut client = Client::connect(&first).await;
    let world = Arc::new(World::register(&mut client, PAYERS, PAYEES).await);
    let engines = [Some(first), Some(nodes.launch(NAMES[1]).start())];
    let load = Load::start(&client, &world);
    let mut chaos = Chaos { cluster, nodes, engines, owner: 0, client, load, void: 0 };
    let (mut rng, mut outages) = (ChaCha8Rng::seed_from_u64(args.seed), Vec::new());
    for round in 0..args.rounds {
        // Each once, then as the dice fall.
        let n = usize::try_from(round).ok().filter(|n| *n < WAYS.len());
        let way = WAYS[n.unwrap_or_else(|| rng.random_range(0..WAYS.len()))];
        chaos.load.until_acked(FRAMES);
        until_ready(&[chaos.engine(1 - chaos.owner)]);
        let _ = chaos.load.gap_ms();
        chaos.disturb(way).await;
        chaos.load.until_acked(FRAMES);
        let outage = chaos.load.gap_ms();
        eprintln!("round {round}: {way}, no ack for {outage} ms");
        outages.push(outage);
    }
    let last = chaos.client.close_window().await.number;
    chaos.load.until_acked(FRAMES);
    until_ready(&[chaos.engine(1 - chaos.owner)]);
    let (sealed, sums) = (chaos.client.windows().await, owed(&mut chaos.client, last).await);
    // The other node has sealed them too.
    chaos.engines[chaos.owner].take().expect("it runs").stop().await;
    chaos.follows().await;
    chaos.load.until_acked(FRAMES);
    let again = chaos.client.windows().await;
    let closed = |windows: &[Window]| -> Vec<(u64, Vec<u8>)> {
        let closed = windows.iter().filter(|window| window.number <= last);
        closed.map(|window| (window.number, window.root.to_vec())).collect()
    };
    let same = sums == owed(&mut chaos.client, last).await;
    let roots = closed(&sealed) == closed(&again) && same;
    for engine in chaos.engines.iter().flatten() {
        chaos.void += Chaos::told_void(&engine.stderr());
    }
    let Chaos { engines, mut client, load, cluster: _cluster, void, .. } = chaos;
    let frames = load.acked();
    let books = load.end().await;
    let totals = held(&mut client, &world, &books.sent).await;
    let lost = totals.iter().filter(|(key, held)| **held < books.acked[*key]).count();
    let doubled = totals.iter().filter(|(key, held)| **held > books.sent[*key]).count();
    let last = client.close_window().await.number;
    let sums = owed(&mut client, last).await;
    let same = by_pair(&sums)
        == by_pair(&embedded(&scratch.path().join("embedded"), &world, &totals).await);
    outages.sort_unstable();
    let line = serde_json::json!({
        "rounds": args.rounds, "acked": frames * u64::try_from(totals.len()).expect("few"), "lost": lost,
        "doubled": doubled, "void": void, "outage_p50_ms": outages.get(outages.len() / 2),
        "outage_max_ms": outages.last(), "roots_equal": roots, "owed_equal": same,
    });
    drop(engines);
    println!("{line}");
    assert!(lost == 0 && doubled == 0 && void == 0 && roots && same, "{line}");
}
