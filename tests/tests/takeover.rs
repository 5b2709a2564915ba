//! Clients that know the addresses of all nodes go on through takeovers: real engines on three NATS
//! servers, of which the owner is killed, and then the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tallystick_client::wire::GetChannelRequest;
use tallystick_client::{Credentials, Facilitator, Operator, Way};
use tallystick_tests::nats::Cluster;
use tallystick_tests::nodes::{Nodes, until_owned, until_ready};
use tallystick_tests::{Client, Engine, World, until};

const LANES: u64 = 4;
/// Payments that are made before and after a kill.
const PAYMENTS: u64 = 100;
/// Bounds what is waited for; nothing expects it to be reached.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_and_changes_go_on_at_the_node_that_takes_over_and_count_once() {
    let cluster = Cluster::start();
    let nodes = Nodes::new(&cluster).args(&["--listen-http", "127.0.0.1:0"]);
    let a = nodes.launch("a").start();
    let world = Arc::new(World::register(&mut Client::connect(&a).await, 1, 1).await);
    let mut engines: Vec<Engine> = vec![a];
    engines.extend(["b", "c"].map(|name| nodes.launch(name).start()));
    let servers: Vec<String> = engines.iter().map(|one| one.address().to_owned()).collect();
    let credentials = Credentials::default();
    let operator = Operator::connect(&servers.join(","), &credentials).await.unwrap();
    let way = Way::prepare_all(&servers, &credentials).unwrap();
    let facilitator = Facilitator::over(vec![way]);
    let (paid, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut payers = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        let (facilitator, world) = (facilitator.clone(), world.clone());
        let (paid, over) = (paid.clone(), over.clone());
        payers.spawn(async move {
            let mut total = 0;
            while !over.load(Ordering::Relaxed) {
                total += 1;
                let voucher = world.voucher(0, 0, lane, total).pack();
                let answer = facilitator.send_packed(voucher).await.unwrap().answer().await;
                // Nobody else pays on this lane.
                assert!(answer.unwrap().outcome.is_held());
                paid.fetch_add(1, Ordering::Relaxed);
            }
            (lane, total)
        });
    }
    let until_paid = |more: u64| {
        let wanted = paid.load(Ordering::Relaxed) + more;
        until("payments are made", || (paid.load(Ordering::Relaxed) >= wanted).then_some(()));
    };
    let mut windows = Vec::new();
    for _ in 0..2 {
        until_paid(PAYMENTS);
        let owner = engines.remove(until_owned(&engines.iter().collect::<Vec<_>>()));
        until_ready(&engines.iter().collect::<Vec<_>>());
        owner.kill9();
        // Asked for while nobody owns the journal.
        windows.push(operator.close_window().await.unwrap().number);
        until_paid(PAYMENTS);
    }
    over.store(true, Ordering::Relaxed);
    let totals = tokio::time::timeout(PATIENCE, payers.join_all()).await.unwrap();
    facilitator.stop(PATIENCE).await.unwrap();
    windows.push(operator.close_window().await.unwrap().number);
    assert_eq!(windows, [1, 2, 3], "each change happened once");
    let mut owed = 0;
    for window in windows {
        owed += operator.obligations(window, World::PAIRS).await.unwrap().values().sum::<u128>();
    }
    let sum: u64 = totals.iter().map(|(_, total)| total).sum();
    assert_eq!(owed, u128::from(sum), "nothing is lost, and nothing counted twice");
    for (lane, total) in totals {
        let of = world.voucher(0, 0, lane, total);
        let request = GetChannelRequest {
            signer: of.signer.0.to_vec().into(),
            payee: of.payee.0.to_vec().into(),
            asset: World::PAIRS,
            lane,
            expires_at: world.expires_at,
        };
        let found = facilitator.calls().await.unwrap().get_channel(request).await.unwrap();
        assert_eq!(found.into_inner().cumulative, total);
    }
}
