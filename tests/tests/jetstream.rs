//! An engine whose journal is a stream on three NATS servers: what it acked survives kills of the
//! engine, of the stream's leader, and of all three servers at once.

use std::path::Path;
use std::sync::Arc;
use tallystick_tests::Outcome::{Credited, Stale};
use tallystick_tests::nats::{Cluster, SERVERS, Shape};
use tallystick_tests::onstream::{Load, PAYEES, PAYERS, STREAM, held, owed, settings};
use tallystick_tests::page::Page;
use tallystick_tests::{Client, Launch, World, check_money_sums, run_cli};

fn launch(cluster: &Cluster, dir: &Path) -> Launch {
    Launch::new(dir).config(&settings(cluster))
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
        load.goes_to(&client);
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
    let totals = held(&mut client, &world, &books.sent).await;
    for (key, held) in &totals {
        let (sent, acked) = (books.sent[key], books.acked[key]);
        assert!(*held >= acked, "{key:?}: acked {acked}, held {held}: a credit was lost");
        assert!(*held <= sent, "{key:?}: sent {sent}, held {held}: a credit was invented");
    }
    assert!(!engine.stderr().contains("is void"), "{}", engine.stderr());
    // All that is owed over all windows is what the channels hold, and a start finds the same.
    let last = client.close_window().await.number;
    let all = owed(&mut client, last).await;
    let total: u64 = totals.values().sum();
    assert_eq!(all.values().flatten().map(|(.., amount)| amount).sum::<u64>(), total);
    drop(client);
    engine.stop().await;
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    assert_eq!(owed(&mut client, last).await, all);
    assert_eq!(held(&mut client, &world, &books.sent).await, totals);
    drop(client);
    engine.stop().await;
    let audit = run_cli(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_without_the_root_key_and_a_copy_without_its_stream_are_refused() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    let engine = launch(&cluster, &data).args(&["--listen-http", "127.0.0.1:0"]).start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, PAYERS, PAYEES).await;
    let said = launch(&cluster, &other).refusal();
    assert!(said.contains("the root key file") && said.contains("is missing"), "{said}");
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
