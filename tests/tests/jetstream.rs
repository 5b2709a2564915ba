//! An engine whose journal is a stream on three NATS servers: what it acked survives kills of the
//! engine, of the stream's leader, and of all three servers at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tallystick_tests::Outcome::{Credited, Stale};
use tallystick_tests::nats::{Cluster, SERVERS, Shape};
use tallystick_tests::page::Page;
use tallystick_tests::wire::GetChannelRequest;
use tallystick_tests::{Client, Launch, World, check_money_sums, frame, outcomes, run_cli, until};
use tokio::sync::watch;

const STREAM: &str = "books";
const PAYERS: usize = 3;
const PAYEES: usize = 2;
const LANES: u64 = 4;

/// The settings that name these servers.
fn settings(cluster: &Cluster) -> String {
    let list = |of: Vec<String>| format!("{of:?}");
    format!(
        "[journal]\nkind = \"jetstream\"\nstream = \"{STREAM}\"\nservers = {}\nmonitors = {}\n",
        list(cluster.urls()),
        list(cluster.monitors())
    )
}

fn launch(cluster: &Cluster, dir: &Path) -> Launch {
    Launch::new(dir).config(&settings(cluster))
}

type Key = (usize, usize, u64);

/// This test's own books: of each channel what was sent last, and what was acked last.
#[derive(Default)]
struct Books {
    sent: BTreeMap<Key, u64>,
    acked: BTreeMap<Key, u64>,
}

/// Somebody who pays on every channel in turn, over and over, whoever answers.
struct Load {
    books: Arc<Mutex<Books>>,
    frames: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    clients: watch::Sender<Client>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(client: &Client, world: &Arc<World>) -> Self {
        let (clients, client) = watch::channel(client.clone());
        let books = Arc::<Mutex<Books>>::default();
        let (frames, ends) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let of = (books.clone(), frames.clone(), ends.clone());
        let task = tokio::spawn(pay(of, client, world.clone()));
        Self { books, frames, ends, clients, task }
    }

    /// Waits until so many more frames were acked.
    fn until_acked(&self, more: u64) {
        let from = self.frames.load(Ordering::Relaxed);
        until("frames are acked", || {
            (self.frames.load(Ordering::Relaxed) >= from + more).then_some(())
        });
    }

    async fn end(self) -> Books {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.expect("it pays until it is told to end");
        Arc::into_inner(self.books).expect("nobody else pays").into_inner().expect("nobody failed")
    }
}

async fn pay(
    (books, frames, ends): (Arc<Mutex<Books>>, Arc<AtomicU64>, Arc<AtomicBool>),
    mut clients: watch::Receiver<Client>,
    world: Arc<World>,
) {
    let keys = (0..PAYERS).flat_map(|payer| {
        (0..PAYEES).flat_map(move |payee| (0..LANES).map(move |lane| (payer, payee, lane)))
    });
    let keys: Vec<Key> = keys.collect();
    while !ends.load(Ordering::Relaxed) {
        let vouchers: Vec<_> = {
            let mut books = books.lock().expect("nobody failed");
            let next = |&key: &Key| {
                let total = books.sent.entry(key).or_default();
                *total += 1 + key.2;
                world.voucher(key.0, key.1, key.2, *total)
            };
            keys.iter().map(next).collect()
        };
        let mut client = clients.borrow().clone();
        match client.vouchers.submit(frame(1, &vouchers)).await {
            Ok(ack) => {
                let outcomes = outcomes(&ack.into_inner());
                let mut books = books.lock().expect("nobody failed");
                for ((key, voucher), outcome) in keys.iter().zip(&vouchers).zip(outcomes) {
                    assert!([Credited, Stale].contains(&outcome), "{outcome:?}");
                    books.acked.insert(*key, voucher.cumulative);
                }
                frames.fetch_add(1, Ordering::Relaxed);
            }
            // Its fate is unknown; the next one has higher totals.
            Err(_) => clients.changed().await.expect("another engine follows"),
        }
    }
}

/// What the engine holds of every channel.
async fn held(client: &mut Client, world: &World, keys: &BTreeMap<Key, u64>) -> BTreeMap<Key, u64> {
    let mut held = BTreeMap::new();
    for key in keys.keys() {
        let request = GetChannelRequest {
            signer: world.payers[key.0].key().0.to_vec().into(),
            payee: world.payees[key.1].0.to_vec().into(),
            asset: World::PAIRS,
            lane: key.2,
            expires_at: world.expires_at,
        };
        let answer = client.vouchers.get_channel(request).await.expect("the engine answers");
        held.insert(*key, answer.into_inner().cumulative);
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acked_survives_kills_of_the_engine_the_leader_and_all_servers() {
    let mut cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let launch = launch(&cluster, &data).args(&["--checkpoint-bytes", "1MiB"]);
    let mut engine = launch.start();
    let mut client = Client::connect(&engine).await;
    let world = Arc::new(World::register(&mut client, PAYERS, PAYEES).await);
    let load = Load::start(&client, &world);
    for round in 0..2 {
        load.until_acked(30);
        engine.kill9();
        engine = launch.start();
        client = Client::connect(&engine).await;
        load.clients.send_replace(client.clone());
        load.until_acked(30);
        let leader = cluster.leader(STREAM);
        cluster.kill9(leader);
        load.until_acked(30);
        if round == 1 {
            cluster.wipe(leader);
        }
        cluster.run(leader);
        cluster.until_healthy(leader);
        load.until_acked(30);
        let window = client.close_window().await;
        (0..SERVERS).for_each(|n| cluster.kill9(n));
        (0..SERVERS).for_each(|n| cluster.run(n));
        load.until_acked(30);
        (0..SERVERS).for_each(|n| cluster.until_healthy(n));
        check_money_sums(&mut client, window.number, World::PAIRS).await;
    }
    let books = load.end().await;
    let held = held(&mut client, &world, &books.sent).await;
    for (key, held) in &held {
        let (sent, acked) = (books.sent[key], books.acked[key]);
        assert!(*held >= acked, "{key:?}: acked {acked}, held {held}: a credit was lost");
        assert!(*held <= sent, "{key:?}: sent {sent}, held {held}: a credit was invented");
    }
    assert!(!engine.stderr().contains("is void"), "{}", engine.stderr());
    // All that is owed over all windows is what the channels hold, and a start finds the same.
    let last = client.close_window().await.number;
    let owed = owed(&mut client, last).await;
    let total: u64 = held.values().sum();
    assert_eq!(owed.values().flatten().map(|(.., amount)| amount).sum::<u64>(), total);
    drop(client);
    engine.stop().await;
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    assert_eq!(self::owed(&mut client, last).await, owed);
    assert_eq!(self::held(&mut client, &world, &books.sent).await, held);
    drop(client);
    engine.stop().await;
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stderr));
}

/// Obligations of every window up to `last`: payer, payee, amount.
async fn owed(client: &mut Client, last: u64) -> BTreeMap<u64, Vec<(Vec<u8>, Vec<u8>, u64)>> {
    let mut owed = BTreeMap::new();
    for window in 1..=last {
        let mut all = Vec::new();
        for of in client.obligations(window, World::PAIRS).await {
            all.push((of.payer.to_vec(), of.payee.to_vec(), of.amount.parse().unwrap()));
        }
        owed.insert(window, all);
    }
    owed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_directory_and_a_copy_without_its_stream_are_refused() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    let engine = launch(&cluster, &data).args(&["--listen-http", "127.0.0.1:0"]).start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, PAYERS, PAYEES).await;
    let said = launch(&cluster, &other).refusal();
    assert!(said.contains("was last written by another engine"), "{said}");
    // It was not disturbed.
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 5)]).await, [Credited]);
    let metrics = Page::of(engine.http().unwrap());
    for series in ["tallystick_journal_void_total", "tallystick_journal_waiting_seconds"] {
        assert_eq!(metrics.value(series), "0", "{series}");
    }
    drop(client);
    engine.stop().await;
    let said = Launch::new(&data).refusal();
    assert!(said.contains("is the copy of a journal that is kept in a stream"), "{said}");
    // And what was acked is there again.
    let engine = launch(&cluster, &data).start();
    let mut client = Client::connect(&engine).await;
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 5)]).await, [Stale]);
}

#[test]
fn servers_that_do_not_sync_are_refused_and_the_doctor_says_why() {
    let cluster = Cluster::of(Shape { sync_always: false, ..Shape::default() });
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let said = launch(&cluster, &data).refusal();
    assert!(said.contains("sync_interval: always"), "{said}");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, settings(&cluster)).unwrap();
    let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
    let told = run_cli(&["doctor", "--config", config, "--data-dir", data]);
    let out = String::from_utf8_lossy(&told.stdout);
    assert!(!told.status.success() && out.contains("sync_interval: always"), "{out}");
}
