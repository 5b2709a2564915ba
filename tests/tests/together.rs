//! How vouchers arrive must not matter: in one frame or one by one, from one client or from many.

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_tests::{
    Client, Engine, Outcome, Signer, Voucher, World, check_money_sums, frame, limit_request,
    outcomes, signer_request,
};

const NETWORK: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";

/// An engine of the same network and the same world as every other of this test: tight limits, and
/// a second, capped signer of payer 0.
async fn engine(dir: &std::path::Path, shards: &str) -> (Engine, Client, World, Signer) {
    let engine = Engine::start(dir, &["--init", "--network-id", NETWORK, "--shards", shards]);
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 5, 4).await;
    for payer in &world.payers {
        let limit = limit_request(payer.party, World::PAIRS, "60000");
        client.operator.set_credit_limit(limit).await.unwrap();
    }
    let capped = Signer::new("capped", world.payers[0].party);
    client.operator.add_signer(signer_request(&capped, &[(World::PAIRS, 9_000)])).await.unwrap();
    (engine, client, world, capped)
}

/// Vouchers of all kinds in no order: rising, falling, repeated, forged, beyond limits and caps.
fn mixed(world: &World, capped: &Signer, count: usize, seed: u64) -> Vec<Voucher> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut vouchers = Vec::new();
    for _ in 0..count {
        let payee = world.payees[rng.random_range(0..4)];
        let unsigned = world.unsigned(
            payee,
            if rng.random_ratio(1, 50) { 99 } else { World::PAIRS },
            rng.random_range(0..3),
            rng.random_range(0..12_000),
        );
        let payer = rng.random_range(0..6);
        let signer = world.payers.get(payer).unwrap_or(capped);
        let mut voucher = signer.sign(world.network, unsigned);
        if rng.random_ratio(1, 6) {
            voucher.signature[rng.random_range(0..64)] ^= 1 << rng.random_range(0..8);
        }
        vouchers.push(voucher);
    }
    vouchers
}

#[tokio::test]
async fn outcomes_are_those_of_the_same_vouchers_sent_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, mut one, mut world, capped) = engine(&dir.path().join("one"), "1").await;
    let (_many, mut many, other, _) = engine(&dir.path().join("many"), "4").await;
    world.expires_at = world.expires_at.max(other.expires_at);
    let mut seen: BTreeSet<Outcome> = BTreeSet::new();
    for (round, size) in (0..).zip([400, 300, 200, 1, 7]) {
        let vouchers = mixed(&world, &capped, size, round);
        let together = many.pay(&vouchers).await;
        let frames = vouchers.iter().map(|voucher| frame(0, std::slice::from_ref(voucher)));
        let acks = one.stream(frames.collect()).await;
        let apart: Vec<Outcome> = acks.iter().flat_map(outcomes).collect();
        for (place, (together, apart)) in together.iter().zip(&apart).enumerate() {
            assert_eq!(together, apart, "round {round}, voucher {place}: {:?}", vouchers[place]);
        }
        seen.extend(together);
    }
    assert!(seen.len() >= 6, "the vouchers were too well behaved: {seen:?}");
    for client in [&mut one, &mut many] {
        client.close_window().await;
        check_money_sums(client, 1, World::PAIRS).await;
    }
    let owed = one.obligations(1, World::PAIRS).await;
    assert_eq!(many.obligations(1, World::PAIRS).await, owed);
    // The roots differ: a leaf binds the evidence, which names the record that credited it.
    let positions = one.net_positions(1, World::PAIRS).await;
    assert_eq!(many.net_positions(1, World::PAIRS).await, positions);
}

#[tokio::test]
async fn clients_that_send_the_same_vouchers_at_once_credit_each_rise_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, mut client, world, _) = engine(dir.path(), "3").await;
    // Payers' limits allow all of it, so that the order of arrival decides nothing.
    let mut totals: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    let mut vouchers = Vec::new();
    for payer in 0..5 {
        for payee in 0..4 {
            for step in 1..=60 {
                vouchers.push(world.voucher(payer, payee, 0, step * 100));
            }
            totals.insert((payer, payee), 6_000);
        }
    }
    let mut tasks = Vec::new();
    for seed in 0..6 {
        let (mut client, mut vouchers) = (client.clone(), vouchers.clone());
        tasks.push(tokio::spawn(async move {
            vouchers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let frames = vouchers.chunks(17).map(|chunk| frame(0, chunk)).collect();
            client.stream(frames).await.iter().flat_map(outcomes).collect::<Vec<_>>()
        }));
    }
    let mut credited = 0;
    for task in tasks {
        for outcome in task.await.unwrap() {
            assert!([Outcome::Credited, Outcome::Stale].contains(&outcome), "{outcome:?}");
            credited += u64::from(outcome == Outcome::Credited);
        }
    }
    let window = client.close_window().await;
    assert_eq!(window.vouchers_credited, credited);
    assert!(credited >= 20, "each channel rose at least once");
    check_money_sums(&mut client, 1, World::PAIRS).await;
    let owed = client.obligations(1, World::PAIRS).await;
    assert_eq!(owed.len(), totals.len());
    assert!(owed.iter().all(|o| o.amount == "6000"), "{owed:?}");
}

#[tokio::test]
async fn a_cut_in_the_middle_of_traffic_splits_it_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, mut client, world, _) = engine(dir.path(), "2").await;
    let mut sender = client.clone();
    let vouchers: Vec<Voucher> = (1..=600).map(|total| world.voucher(1, 1, 0, total)).collect();
    let traffic = tokio::spawn(async move {
        let mut lsns = Vec::new();
        for voucher in vouchers {
            let ack = sender.submit(&[voucher]).await;
            assert_eq!(ack.credited, 1);
            lsns.push(ack.lsn);
        }
        lsns
    });
    while !traffic.is_finished() {
        client.close_window().await;
    }
    let lsns = traffic.await.unwrap();
    client.close_window().await;
    let mut sum = 0;
    for window in client.windows().await.iter().filter(|window| window.cut_lsn > 0) {
        let inside = |lsn: &&u64| (window.first_lsn..window.cut_lsn).contains(*lsn);
        let count = u64::try_from(lsns.iter().filter(inside).count()).unwrap();
        // What a window holds is decided by position alone: each voucher here raises by one.
        assert_eq!(window.vouchers_credited, count, "window {}", window.number);
        let owed = client.obligations(window.number, World::PAIRS).await;
        let owed: u64 = owed.iter().map(|o| o.amount.parse::<u64>().unwrap()).sum();
        assert_eq!(owed, count);
        sum += owed;
    }
    assert_eq!(sum, 600);
}
