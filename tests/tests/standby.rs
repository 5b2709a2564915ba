//! Nodes that stand by for each other, as processes, on three NATS servers: what their owner acked
//! survives its death, and the node that takes over has all that it needs to go on.

use std::sync::Arc;
use tallystick_tests::nats::Cluster;
use tallystick_tests::nodes::{Nodes, network, until_owned, until_ready, until_said, until_told};
use tallystick_tests::onstream::{Load, PAYEES, PAYERS, held, owed};
use tallystick_tests::page::Page;
use tallystick_tests::wire::ListWindowsRequest;
use tallystick_tests::{Client, Engine, Signal, World, check_money_sums, frame, run_cli, until};
use tonic::Code;

const HTTP: [&str; 4] = ["--listen-http", "127.0.0.1:0", "--checkpoint-bytes", "1MiB"];

/// Waits until a node that stands by has applied all that was durable at an owner a moment ago.
fn until_caught_up(standby: &Engine, owner: &Engine) {
    let position = |engine: &Engine| {
        Page::of(engine.http().expect("it listens for HTTP"))
            .count("tallystick_journal_durable_lsn")
    };
    let wanted = position(owner);
    until("it has caught up", || (position(standby) >= wanted).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_over_from_an_owner_that_was_killed_and_nothing_that_was_acked_is_lost() {
    let cluster = Cluster::start();
    let nodes = Nodes::new(&cluster).args(&HTTP);
    let a = nodes.launch("a").start();
    let mut client = Client::connect(&a).await;
    let world = Arc::new(World::register(&mut client, PAYERS, PAYEES).await);
    let load = Load::start(&client, &world);
    load.until_acked(30);
    let b = nodes.launch("b").start();
    until_told(&b, &a);
    assert!(network(&b).await.unwrap().standby);
    assert_eq!(network(&a).await.unwrap().owner, a.address());
    // Every other call is refused with the owner's address.
    let mut to_b = Client::connect(&b).await;
    let refused = to_b.vouchers.submit(frame(1, &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(refused.metadata().get("tallystick-owner").unwrap(), a.address());
    let refused = to_b.operator.list_windows(ListWindowsRequest::default()).await.unwrap_err();
    assert_eq!(refused.metadata().get("tallystick-owner").unwrap(), a.address());
    client.close_window().await;
    load.until_acked(30);
    until_ready(&[&b]);
    until_caught_up(&b, &a);
    until_said(&b, "checkpoint");
    a.kill9();
    until_owned(&[&b]);
    // Whoever was connected is served on the same connection.
    load.goes_to(&to_b);
    load.until_acked(30);
    let across = to_b.close_window().await.number;
    check_money_sums(&mut to_b, across, World::PAIRS).await;
    let a = nodes.launch("a").start();
    assert!(network(&a).await.unwrap().standby);
    load.until_acked(30);
    let books = load.end().await;
    let last = to_b.close_window().await.number;
    let totals = held(&mut to_b, &world, &books.sent).await;
    for (key, held) in &totals {
        let (sent, acked) = (books.sent[key], books.acked[key]);
        assert!(*held >= acked, "{key:?}: acked {acked}, held {held}: a credit was lost");
        assert!(*held <= sent, "{key:?}: sent {sent}, held {held}: a credit was invented");
    }
    let all = owed(&mut to_b, last).await;
    let total: u64 = totals.values().sum();
    assert_eq!(all.values().flatten().map(|(.., amount)| amount).sum::<u64>(), total);
    let windows: Vec<u64> = (1..=last).collect();
    let batch = to_b.create_batch(&windows, World::PAIRS).await.unwrap();
    let (legs, files) = (to_b.legs(&batch).await, to_b.export(&batch).await);
    let sealed = to_b.windows().await;
    until_ready(&[&a]);
    until_caught_up(&a, &b);
    // What is stopped lets the next one have the journal at once.
    b.stop().await;
    until_owned(&[&a]);
    let mut to_a = Client::connect(&a).await;
    assert_eq!(to_a.windows().await, sealed);
    assert_eq!(owed(&mut to_a, last).await, all);
    assert_eq!(held(&mut to_a, &world, &books.sent).await, totals);
    assert_eq!((to_a.legs(&batch).await, to_a.export(&batch).await), (legs, files));
    assert!(!a.stderr().contains("is void"), "{}", a.stderr());
    drop(to_a);
    a.stop().await;
    for name in ["a", "b"] {
        let audit = run_cli(&["audit", "--data-dir", nodes.data(name).to_str().unwrap()]);
        assert!(audit.status.success(), "{name}: {}", String::from_utf8_lossy(&audit.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_stood_still_acks_nothing_after_another_node_took_over() {
    let cluster = Cluster::start();
    let nodes = Nodes::new(&cluster).args(&HTTP);
    let a = nodes.launch("a").start();
    let mut client = Client::connect(&a).await;
    let world = Arc::new(World::register(&mut client, PAYERS, PAYEES).await);
    let [b, c] = ["b", "c"].map(|name| nodes.launch(name).start());
    let first = world.voucher(0, 0, 0, 5);
    client.pay(std::slice::from_ref(&first)).await;
    until_ready(&[&b, &c]);
    until_caught_up(&b, &a);
    a.signal(Signal::STOP);
    // It lies at the old owner, which reads it once it goes on.
    let late = world.voucher(0, 0, 0, 7);
    let late = tokio::spawn(async move { client.vouchers.submit(frame(1, &[late])).await });
    let owner = until_owned(&[&b, &c]);
    let [owner, other] = if owner == 0 { [b, c] } else { [c, b] };
    let mut to_owner = Client::connect(&owner).await;
    to_owner.pay(&[world.voucher(0, 0, 0, 6)]).await;
    a.signal(Signal::CONT);
    let ended = a.ended();
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("another engine has claimed it"), "{}", ended.stderr);
    assert!(late.await.unwrap().is_err(), "it was acked by an owner that is none");
    // One claimed; the other goes on standing by, for the new owner.
    let told = network(&other).await.unwrap();
    assert!(told.standby);
    until_told(&other, &owner);
    let a = nodes.launch("a").start();
    assert!(network(&a).await.unwrap().standby);
    let engines = [&owner, &other, &a];
    for engine in engines {
        assert!(
            !engine.stderr().contains("says something else than follows"),
            "{}",
            engine.stderr()
        );
    }
}

/// What `cluster` says, and its exit code.
fn told(nodes: &Nodes, args: &[&str]) -> (Option<i32>, String) {
    let config = nodes.config();
    let done = run_cli(&[&["cluster"], args, &["--config", config.to_str().unwrap()]].concat());
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_handed_over_to_a_node_that_is_named_and_no_frame_is_lost() {
    let cluster = Cluster::start();
    let nodes = Nodes::new(&cluster).args(&HTTP);
    let a = nodes.launch("a").start();
    let mut client = Client::connect(&a).await;
    let world = Arc::new(World::register(&mut client, PAYERS, PAYEES).await);
    let [b, c] = ["b", "c"].map(|name| nodes.launch(name).start());
    until_ready(&[&b, &c]);
    let owner = format!("a at {} owns the journal", a.address());
    until("the nodes are told of", || {
        let (code, said) = told(&nodes, &["status"]);
        (code == Some(0) && said.contains(&owner) && said.contains("OK: cluster: c at"))
            .then_some(())
    });
    let (code, said) = told(&nodes, &["transfer", "--to", "d"]);
    assert!(code == Some(2) && said.contains("nothing was done"), "{said}");
    let load = Load::start(&client, &world);
    load.until_acked(30);
    let (code, said) = told(&nodes, &["transfer", "--to", "c"]);
    assert!(code == Some(0) && said.contains("c owns the journal"), "{said}");
    until_owned(&[&c]);
    let mut to_c = Client::connect(&c).await;
    load.goes_to(&to_c);
    load.until_acked(30);
    let ended = a.ended();
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("was handed over as somebody asked for it, to c"));
    let books = load.end().await;
    for (key, held) in held(&mut to_c, &world, &books.sent).await {
        assert!((books.acked[&key]..=books.sent[&key]).contains(&held), "{key:?}: {held}");
    }
    assert!(network(&b).await.unwrap().standby);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_root_key_or_another_network_is_refused_by_name() {
    let cluster = Cluster::start();
    let nodes = Nodes::new(&cluster);
    let a = nodes.launch("a").start();
    let mut client = Client::connect(&a).await;
    World::register(&mut client, 1, 1).await;
    let wrong = nodes.dir().join("wrong");
    let said = nodes.launch("b").args(&["--root-key-file", wrong.to_str().unwrap()]).refusal();
    assert!(said.contains("the root key file") && said.contains("is missing"), "{said}");
    std::fs::write(&wrong, format!("{}\n", "7b".repeat(32))).unwrap();
    let said = nodes.launch("b").args(&["--root-key-file", wrong.to_str().unwrap()]).refusal();
    assert!(said.contains("is that of another ledger"), "{said}");
    let other = "77".repeat(32);
    let said = nodes.launch("c").args(&["--network-id", &other]).refusal();
    assert!(said.contains("belongs to network"), "{said}");
}
