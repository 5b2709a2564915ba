//! From a closed window to the bank's file: states, netting, carry, idempotent ids, what is
//! refused.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tallystick_tests::Outcome::Credited;
use tallystick_tests::wire::{
    AbortBatchRequest, ApproveBatchRequest, Batch, BatchState, CloseWindowRequest,
    CreateBatchRequest, GetBatchRequest, GetStatusRequest, LegState, WindowAssetRequest,
    WindowState,
};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, Signer, Voucher, World, check_money_sums, limit_request,
    party_id, party_request, refused, request_id, signer_request,
};
use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument};
use tonic::Status;

async fn approve(client: &mut Client, batch: &Batch) -> Result<Batch, Status> {
    let (request_id, batch_id) = (request_id("approve"), batch.batch_id.clone());
    let request = ApproveBatchRequest { request_id, batch_id, ..Default::default() };
    Ok(client.operator.approve_batch(request).await?.into_inner())
}

async fn abort(client: &mut Client, batch: &Batch) -> Result<Batch, Status> {
    let (request_id, batch_id) = (request_id("abort"), batch.batch_id.clone());
    let request = AbortBatchRequest { request_id, batch_id, reason: "wrong day".into() };
    Ok(client.operator.abort_batch(request).await?.into_inner())
}

async fn get(client: &mut Client, batch: &Batch) -> Batch {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    client.operator.get_batch(request).await.unwrap().into_inner()
}

/// The only file for the bank, which a batch without pay-ins has as soon as it is approved. An
/// export holds none: two files with the same payments under different ids were once money paid
/// twice.
async fn bank_file(client: &mut Client, data: &Path, batch: &Batch) -> String {
    let records = client.export(batch).await;
    let names: Vec<&str> = records.keys().map(|name| name.split_once('.').unwrap().1).collect();
    assert_eq!(names, ["legs.csv", "legs.json"]);
    let outbox = std::fs::read_dir(data.join("outbox/iso20022")).unwrap();
    let files: Vec<PathBuf> = outbox.map(|entry| entry.unwrap().path()).collect();
    let files: Vec<&PathBuf> = files.iter().filter(|path| path.is_file()).collect();
    let [file] = files.as_slice() else { panic!("one file for the bank: {files:?}") };
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn a_window_holds_what_was_credited_before_its_cut_and_nothing_else() {
    let mut d = Deployment::new(2, 2).await;
    let open = d.client.window(1).await;
    assert_eq!((open.state(), open.cut_lsn, open.cut_at_us), (WindowState::Open, 0, 0));
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 30)]).await, [Credited]);
    let ask = WindowAssetRequest { window: 1, asset: World::PAIRS, ..Default::default() };
    refused(d.client.operator.list_obligations(ask.clone()).await, FailedPrecondition, "open");
    refused(d.client.operator.list_net_obligations(ask.clone()).await, FailedPrecondition, "open");
    refused(d.client.operator.list_net_positions(ask).await, FailedPrecondition, "open");

    let closed = d.client.close_window().await;
    assert_eq!((closed.number, closed.state()), (1, WindowState::Closed));
    assert_eq!((closed.vouchers_credited, closed.root.len()), (1, 32));
    assert!(closed.first_lsn <= closed.cut_lsn && closed.cut_at_us > 0);
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 50)]).await, [Credited]);
    let second = d.client.close_window().await;
    assert_eq!((second.number, second.first_lsn), (2, closed.cut_lsn + 1));
    for (window, amount) in [(1, "30"), (2, "20")] {
        let owed = d.client.obligations(window, World::PAIRS).await;
        assert_eq!(owed.len(), 1);
        assert_eq!((&*owed[0].amount, owed[0].asset), (amount, World::PAIRS));
        assert_eq!(d.client.obligations(window, World::CLEARED).await, []);
    }
    let empty = d.client.close_window().await;
    assert_eq!((empty.number, empty.vouchers_credited, empty.root.len()), (3, 0, 32));
    assert_eq!(d.client.obligations(3, World::PAIRS).await, []);
    let numbers: Vec<u64> = d.client.windows().await.iter().map(|window| window.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_close_that_is_asked_for_twice_closes_one_window() {
    let mut d = Deployment::new(0, 0).await;
    let request = CloseWindowRequest { request_id: "evening".into() };
    let first = d.client.operator.close_window(request.clone()).await.unwrap().into_inner();
    d.client.close_window().await;
    let mut d = d.restart(&[]).await;
    let again = d.client.operator.close_window(request).await.unwrap().into_inner();
    assert_eq!(again, first);
    assert_eq!(d.client.windows().await.len(), 3);
}

#[tokio::test]
async fn netting_follows_from_the_obligations() {
    let mut d = Deployment::new(5, 2).await;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let parties: Vec<_> =
        d.world.payers.iter().map(|payer| payer.party).chain(d.world.payees.clone()).collect();
    let mut totals: BTreeMap<(u32, usize, usize, u64), u64> = BTreeMap::new();
    let mut vouchers: Vec<Voucher> = Vec::new();
    for _ in 0..3_000 {
        let (payer, payee) = (rng.random_range(0..5), rng.random_range(0..7));
        if payer == payee {
            continue;
        }
        let asset = rng.random_range(1..=2);
        let lane = rng.random_range(0..3);
        let total = totals.entry((asset, payer, payee, lane)).or_default();
        *total += rng.random_range(1..100_000u64);
        vouchers.push(d.world.pay(payer, parties[payee], asset, lane, *total));
    }
    let ack = d.client.submit(&vouchers).await;
    assert_eq!(usize::try_from(ack.credited).unwrap(), vouchers.len());
    d.client.close_window().await;
    for asset in [World::PAIRS, World::CLEARED] {
        let mut owed: BTreeMap<(Vec<u8>, Vec<u8>), u64> = BTreeMap::new();
        for ((_, payer, payee, _), total) in totals.iter().filter(|((a, ..), _)| *a == asset) {
            let pair = (parties[*payer].0.to_vec(), parties[*payee].0.to_vec());
            *owed.entry(pair).or_default() += total;
        }
        let told = d.client.obligations(1, asset).await;
        let told: Vec<_> =
            told.into_iter().map(|o| ((o.payer.to_vec(), o.payee.to_vec()), o.amount)).collect();
        let wanted: Vec<_> =
            owed.iter().map(|(pair, sum)| (pair.clone(), sum.to_string())).collect();
        assert_eq!(told, wanted, "ordered by (payer, payee)");
        let nets = d.client.net_obligations(1, asset).await;
        let set_off = owed.iter().filter_map(|((payer, payee), sum)| {
            let back = owed.get(&(payee.clone(), payer.clone())).copied().unwrap_or(0);
            let net = sum.checked_sub(back).filter(|net| *net > 0)?;
            Some((payer.clone(), payee.clone(), net.to_string()))
        });
        let told = nets.into_iter().map(|o| (o.payer.to_vec(), o.payee.to_vec(), o.amount));
        assert_eq!(told.collect::<Vec<_>>(), set_off.collect::<Vec<_>>());
        check_money_sums(&mut d.client, 1, asset).await;
    }
    let batch = d.client.create_batch(&[1], World::CLEARED).await.unwrap();
    let legs = d.client.legs(&batch).await;
    let positions = d.client.net_positions(1, World::CLEARED).await;
    let sum = |wanted: bool| {
        let sides = legs.iter().filter(|leg| (leg.to.as_ref() == [0; 32]) == wanted);
        sides.map(|leg| leg.amount.parse::<u128>().unwrap()).sum::<u128>().to_string()
    };
    assert!(legs.iter().all(|leg| leg.from.as_ref() == [0; 32] || leg.to.as_ref() == [0; 32]));
    assert!(legs.len() <= positions.len() && usize::try_from(batch.legs).unwrap() == legs.len());
    assert_eq!((sum(true), sum(false)), (batch.pay_in_total.clone(), batch.total.clone()));
    let pay_ins = usize::try_from(batch.pay_in_legs).unwrap();
    assert!(legs[..pay_ins].iter().all(|leg| leg.to.as_ref() == [0; 32]), "pay-ins come first");
}

#[tokio::test]
async fn a_batch_goes_from_computed_to_approved_or_aborted() {
    let mut d = Deployment::new(2, 2).await;
    d.client.pay(&[d.world.voucher(0, 0, 0, 5_000_000), d.world.voucher(1, 1, 0, 70_000)]).await;
    let of = |cumulative| d.world.pay(0, d.world.payees[0], World::CLEARED, 0, cumulative);
    d.client.pay(&[of(90_000)]).await;
    d.client.close_window().await;
    let batch = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
    assert_eq!((batch.state(), batch.legs, &*batch.total), (BatchState::Computed, 2, "5070000"));
    assert_eq!((&*batch.carried, batch.pay_in_legs, batch.batch_id.len()), ("0", 0, 32));
    assert_eq!((&*batch.rail, batch.asset, &*batch.windows), ("iso20022", World::PAIRS, &[1][..]));
    assert_eq!(d.client.window(1).await.state(), WindowState::Batched);
    let legs = d.client.legs(&batch).await;
    let keys: std::collections::BTreeSet<&str> = legs.iter().map(|leg| &*leg.key).collect();
    assert_eq!(keys.len(), 2, "every leg has a key of its own");
    assert!(legs.iter().all(|leg| leg.state() == LegState::Ready && leg.key.len() <= 35));

    let second = d.client.create_batch(&[1], World::PAIRS).await;
    let id = data_encoding::HEXLOWER.encode(&batch.batch_id);
    refused(second, FailedPrecondition, &id);
    let other_asset = d.client.create_batch(&[1], World::CLEARED).await.unwrap();
    assert_ne!(other_asset.batch_id, batch.batch_id);

    let gone = abort(&mut d.client, &batch).await.unwrap();
    assert_eq!(gone.state(), BatchState::Aborted);
    refused(approve(&mut d.client, &batch).await, FailedPrecondition, "ABORTED");
    refused(abort(&mut d.client, &batch).await, FailedPrecondition, "ABORTED");
    assert_eq!(d.client.window(1).await.state(), WindowState::Batched, "by the other batch");
    abort(&mut d.client, &other_asset).await.unwrap();
    assert_eq!(d.client.window(1).await.state(), WindowState::Closed);

    let again = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
    let (computed_at_us, computed_lsn) = (again.computed_at_us, again.computed_lsn);
    assert!(computed_lsn > batch.computed_lsn, "another record");
    let same = Batch { computed_at_us, computed_lsn, ..batch.clone() };
    assert_eq!(again, same, "the same content has the same id");
    assert_eq!(d.client.legs(&again).await, legs, "and the same keys");
    let approved = approve(&mut d.client, &again).await.unwrap();
    assert_eq!(approved.state(), BatchState::Submitting, "its legs leave at once");
    refused(approve(&mut d.client, &again).await, FailedPrecondition, "SUBMITTING");
    let files = d.client.export(&again).await;
    assert_eq!(d.client.export(&again).await, files, "the same bytes each time");
    let mut d = d.restart(&["--shards", "3"]).await;
    assert_eq!(get(&mut d.client, &again).await, approved);
    assert_eq!(d.client.export(&again).await, files, "and after a restart");
    let sent = d.client.legs(&again).await;
    assert!(sent.iter().all(|leg| leg.state() == LegState::Sent));
    assert!(sent.iter().map(|leg| &leg.key).eq(legs.iter().map(|leg| &leg.key)));
    let data = d.data();
    let file = bank_file(&mut d.client, &data, &again).await;
    for leg in &legs {
        assert_eq!(file.matches(&format!(">{}<", leg.key)).count(), 1, "{}", leg.key);
    }
    assert!(file.contains("<CtrlSum>5.07</CtrlSum>") && file.contains("<NbOfTxs>2</NbOfTxs>"));
    refused(abort(&mut d.client, &again).await, FailedPrecondition, "nothing of it has left");
}

#[tokio::test]
async fn what_a_bank_cannot_pay_is_owed_in_the_next_window() {
    let mut d = Deployment::new(1, 2).await;
    // 1.234567: 1.23 can be paid. 0.004321: nothing can.
    let vouchers = [d.world.voucher(0, 0, 0, 1_234_567), d.world.voucher(0, 1, 0, 4_321)];
    assert_eq!(d.client.pay(&vouchers).await, [Credited, Credited]);
    d.client.close_window().await;
    let batch = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
    assert_eq!((batch.legs, &*batch.total, &*batch.carried), (1, "1230000", "8888"));
    approve(&mut d.client, &batch).await.unwrap();
    assert_eq!(d.client.pay(&[d.world.voucher(0, 1, 0, 14_321)]).await, [Credited]);
    d.client.close_window().await;
    let totals = d.client.window(2).await.totals;
    let told = (&*totals[0].gross, &*totals[0].carried_in, &*totals[0].net_bilateral);
    assert_eq!(told, ("10000", "8888", "18888"));
    check_money_sums(&mut d.client, 2, World::PAIRS).await;
    let batch = d.client.create_batch(&[2], World::PAIRS).await.unwrap();
    assert_eq!((batch.legs, &*batch.total, &*batch.carried), (1, "10000", "8888"));
    // Aborting leaves the dust in its own window: nothing is owed twice.
    abort(&mut d.client, &batch).await.unwrap();
    d.client.close_window().await;
    assert_eq!(d.client.net_obligations(3, World::PAIRS).await, []);
    let batch = d.client.create_batch(&[2, 3], World::PAIRS).await.unwrap();
    assert_eq!((&*batch.total, &*batch.carried), ("10000", "8888"));
}

#[tokio::test]
async fn several_windows_settle_in_one_batch_whatever_their_order() {
    let mut d = Deployment::new(1, 1).await;
    for total in [10_000, 30_000, 60_000] {
        assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, total)]).await, [Credited]);
        d.client.close_window().await;
    }
    let first = d.client.create_batch(&[1, 2], World::PAIRS).await.unwrap();
    assert_eq!((first.legs, &*first.total), (1, "30000"));
    abort(&mut d.client, &first).await.unwrap();
    let turned = d.client.create_batch(&[2, 1], World::PAIRS).await.unwrap();
    assert_eq!((turned.batch_id, turned.windows), (first.batch_id, vec![1, 2]));
    refused(d.client.create_batch(&[2, 3], World::PAIRS).await, FailedPrecondition, "window 2");
    refused(d.client.create_batch(&[3, 3], World::PAIRS).await, InvalidArgument, "twice");
    let rest = d.client.create_batch(&[3], World::PAIRS).await.unwrap();
    assert_eq!(rest.total, "30000");
    assert_eq!(d.client.batches().await.len(), 2);
}

#[tokio::test]
async fn batches_that_cannot_be_are_refused_with_the_reason() {
    let mut d = Deployment::new(1, 1).await;
    let homeless = party_id("homeless");
    let mut request = party_request(homeless, 1);
    request.party.as_mut().unwrap().accounts.clear();
    d.client.operator.upsert_party(request).await.unwrap();
    assert_eq!(
        d.client.pay(&[d.world.pay(0, homeless, World::PAIRS, 0, 50_000)]).await,
        [Credited]
    );
    refused(d.client.create_batch(&[1], World::PAIRS).await, FailedPrecondition, "open");
    d.client.close_window().await;
    let missing = d.client.create_batch(&[1], World::PAIRS).await;
    refused(missing, FailedPrecondition, &homeless.to_string());
    refused(d.client.create_batch(&[1], World::CLEARED).await, FailedPrecondition, "nothing");
    refused(d.client.create_batch(&[], World::PAIRS).await, InvalidArgument, "window");
    for rail in ["pigeon", ""] {
        let request = CreateBatchRequest {
            request_id: request_id("batch"),
            windows: vec![1],
            asset: World::PAIRS,
            rail: rail.into(),
        };
        refused(d.client.operator.create_batch(request).await, InvalidArgument, "iso20022");
    }
    d.client.operator.upsert_party(party_request(homeless, 1)).await.unwrap();
    let request = CreateBatchRequest {
        request_id: "the batch".into(),
        windows: vec![1],
        asset: World::PAIRS,
        rail: "iso20022".into(),
    };
    let made = d.client.operator.create_batch(request.clone()).await.unwrap().into_inner();
    let again = d.client.operator.create_batch(request.clone()).await.unwrap().into_inner();
    assert_eq!(again, made, "the same request gives the first result");
    let other = CreateBatchRequest { asset: World::CLEARED, ..request };
    refused(d.client.operator.create_batch(other).await, AlreadyExists, "the batch");
}

#[tokio::test]
async fn without_an_own_bank_account_the_file_says_that_it_is_for_trying_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Launch::new(dir.path()).without_clearing().start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    let voucher = world.pay(0, world.payees[0], World::PAIRS, 0, 50_000);
    assert_eq!(client.pay(&[voucher]).await, [Credited]);
    client.close_window().await;
    let batch = client.create_batch(&[1], World::PAIRS).await.unwrap();
    approve(&mut client, &batch).await.unwrap();
    assert!(bank_file(&mut client, dir.path(), &batch).await.contains("PLACEHOLDER"));
}

#[tokio::test]
async fn a_schedule_closes_windows_by_itself_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &["--window-every", "1s"]);
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 1, 1).await;
    let mut total = 0;
    // Bounded by the schedule itself: a window a second.
    loop {
        total += 1;
        assert_eq!(client.pay(&[world.voucher(0, 0, 0, total)]).await, [Credited]);
        let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.window_every_ms, 1_000);
        if status.open_window > 3 {
            break;
        }
        assert!(total < 1_000_000, "no window was closed");
    }
    let last = client.close_window().await.number;
    let mut sum = 0;
    for window in 1..=last {
        for owed in client.obligations(window, World::PAIRS).await {
            sum += owed.amount.parse::<u64>().unwrap();
        }
    }
    assert_eq!(sum, total);
}

#[tokio::test]
async fn a_signer_registered_mid_window_pays_into_that_window() {
    let mut d = Deployment::new(1, 1).await;
    let party = party_id("late");
    d.client.operator.upsert_party(party_request(party, 8)).await.unwrap();
    let signer = Signer::new("late", party);
    d.client.operator.add_signer(signer_request(&signer, &[])).await.unwrap();
    let voucher = signer.sign(d.world.network, d.world.unsigned(d.world.payees[0], 1, 0, 9));
    assert_eq!(
        d.client.pay(std::slice::from_ref(&voucher)).await,
        [tallystick_tests::Outcome::OverLimit],
        "without a limit nothing may be owed"
    );
    d.client.operator.set_credit_limit(limit_request(party, World::PAIRS, "9")).await.unwrap();
    assert_eq!(d.client.pay(&[voucher]).await, [Credited]);
    d.client.close_window().await;
    assert_eq!(d.client.obligations(1, World::PAIRS).await[0].payer.to_vec(), party.0);
}
