//! Lines to the node that break, nodes that never answer, accounts that nobody can be paid at.

use crate::world::{
    OFTEN, Setting, approve, batch, came_in, fund, is_pay_in, reconcile, until_waiting,
};
use std::net::TcpListener;
use std::time::Duration;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::chain::{Fault, Proxy, party_request};
use tallystick_tests::wire::{
    ApproveBatchRequest, Asset, BatchState, CreateAssetRequest, ImportRequest, LegState,
    SettlementModel, import_request::Item,
};
use tallystick_tests::{
    Client, World, legs_at, limit_request, party_id, refused, request_id, until_batch,
};
use tonic::Code::InvalidArgument;

/// Dies once the first record that moves legs (63: docs/FORMATS.md) is durable.
const MOVED: &str = "append-63-after:1";

#[tokio::test]
async fn lost_requests_and_answers_pay_nobody_twice() {
    let (setting, engine, client) = Setting::new("PlainToken", 1, 450).await;
    drop(client);
    engine.stop().await;
    let proxy = Proxy::start(&setting.chain.anvil.address);
    let engine = setting.launch_over(&proxy.url, OFTEN).start();
    let mut client = Client::connect(&engine).await;
    let amounts = vec![1_000_000; 450];
    setting.pay(&mut client, 0, 0, &amounts).await;
    let batch = batch(&mut client).await;
    proxy.set("eth_sendRawTransaction", Fault::LoseAnswer);
    fund(&mut client, &batch).await;
    until_waiting(&setting.chain, 2);
    // The node acts on half of all calls from now on, and half of its answers arrive.
    let bad = Fault::Answer(502, "<html>Bad Gateway</html>".into());
    let late = Fault::Late(Duration::from_millis(5));
    proxy.chance(
        7,
        vec![
            ("request lost", 100, Fault::LoseRequest),
            ("answer lost", 100, Fault::LoseAnswer),
            ("cut", 50, Fault::CutAnswer(60)),
            ("gateway", 50, bad),
            ("late", 100, late),
        ],
    );
    let used = setting.chain.anvil.used();
    setting.chain.anvil.mine(3);
    let ended = until_batch(&mut client, &batch, |b| b.ended_at_us > 0).await;
    assert_eq!(ended.state(), BatchState::Settled);
    assert_eq!(setting.chain.anvil.used(), used + 2);
    setting.assert_paid(&amounts);
    let counted = proxy.counted();
    assert!(counted["answer lost"] > 0 && counted["calls"] > 20, "{counted:?}");
}

/// A node that takes connections and never says a word, with as long a timeout as there may be:
/// other rails settle meanwhile, and the engine stops when it is told to.
#[tokio::test]
async fn a_node_that_never_answers_holds_up_neither_other_rails_nor_a_stop() {
    let (setting, engine, client) = Setting::new("PlainToken", 1, 1).await;
    drop(client);
    engine.stop().await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let engine = setting.launch_over(&url, "every = \"20ms\"\ntimeout = \"300s\"").start();
    let mut client = Client::connect(&engine).await;
    setting.pay(&mut client, 0, 0, &[1_000_000]).await;
    let waiting = batch(&mut client).await;
    fund(&mut client, &waiting).await;
    // The engine hangs on the line.
    let (_line, _) = silent.accept().expect("the engine asks the node");

    let asset = CreateAssetRequest {
        request_id: request_id("asset"),
        asset: Some(Asset { number: World::PAIRS, code: "EUR".into(), scale: 6 }),
        model: SettlementModel::Bilateral.into(),
    };
    client.operator.create_asset(asset).await.unwrap();
    let (payer, payee) = (setting.world.payers[0].party, setting.world.payees[0]);
    for (place, party) in [(1, payer), (2, payee)] {
        let request = tallystick_tests::party_request(party, place);
        let mut both = party_request(party, &tallystick_tests::chain::address(party));
        let accounts = request.party.unwrap().accounts;
        both.party.as_mut().unwrap().accounts.extend(accounts);
        client.operator.upsert_party(both).await.unwrap();
    }
    let limit = limit_request(payer, World::PAIRS, &World::LIMIT.to_string());
    client.operator.set_credit_limit(limit).await.unwrap();
    assert_eq!(client.pay(&[setting.world.voucher(0, 0, 0, 2_000_000)]).await, [Credited]);
    let window = client.close_window().await.number;
    let other = client.create_batch(&[window], World::PAIRS).await.unwrap();
    let request = ApproveBatchRequest {
        request_id: request_id("approve"),
        batch_id: other.batch_id.clone(),
        ..Default::default()
    };
    client.operator.approve_batch(request).await.unwrap();
    until_batch(&mut client, &other, |b| legs_at(b, LegState::Sent) == 1).await;
    drop(client);
    engine.stop().await;
}

#[tokio::test]
async fn nobody_is_registered_at_the_contract_or_the_token() {
    let (setting, _engine, mut client) = Setting::new("PlainToken", 1, 0).await;
    let own = [&setting.chain.contract, &setting.chain.token];
    for (place, address) in own.into_iter().enumerate() {
        let request = party_request(party_id(&format!("own {place}")), address);
        let answer = client.operator.upsert_party(request.clone()).await;
        refused(answer, InvalidArgument, "must be another address");
        let items = vec![ImportRequest { item: Some(Item::Party(request)) }];
        let done = client.operator.import(tokio_stream::iter(items)).await.unwrap().into_inner();
        assert_eq!((done.applied, done.failures.len()), (0, 1));
        assert!(done.failures[0].reason.contains("must be another address"), "{done:?}");
    }
    // Whoever holds the key may be paid.
    let request = party_request(party_id("own key"), tallystick_tests::chain::OWNER);
    client.operator.upsert_party(request).await.unwrap();
}

/// Two batches under way when the engine dies: the first one to go on must know the nonces of the
/// other.
#[tokio::test]
async fn a_start_takes_no_nonce_that_another_batch_has_signed_for() {
    let (setting, engine, mut client) = Setting::new("PlainToken", 2, 4).await;
    let anvil = &setting.chain.anvil;
    // Of the first batch only what the first pay-in covers leaves.
    setting.pay(&mut client, 0, 0, &[1_000_000, 0, 0, 0]).await;
    setting.pay(&mut client, 1, 0, &[0, 3_000_000, 0, 0]).await;
    let first = batch(&mut client).await;
    approve(&mut client, &first).await;
    let legs = client.legs(&first).await;
    let of = |amount: &str| -> Vec<_> {
        legs.iter().filter(|leg| is_pay_in(leg) && leg.amount == amount).cloned().collect()
    };
    client.operator.report_legs(came_in(&first, &of("1000000"))).await.unwrap();
    until_waiting(&setting.chain, 1);
    setting.pay(&mut client, 0, 1, &[0, 0, 2_000_000, 0]).await;
    let second = batch(&mut client).await;
    fund(&mut client, &second).await;
    until_waiting(&setting.chain, 2);
    drop(client);
    engine.kill9();

    // The node loses its pool, and the second pay-in of the first batch is the last word before the
    // next crash: the start after it has a pay-out to sign before anything else.
    anvil.ask("anvil_dropAllTransactions", serde_json::json!([]));
    let over = setting.launch_over("http://127.0.0.1:1", OFTEN);
    let engine = over.fault("TALLYSTICK_FAULT", MOVED).start();
    let mut client = Client::connect(&engine).await;
    let mut report = came_in(&first, &of("3000000"));
    report.request_id = request_id("rest");
    assert!(client.operator.report_legs(report).await.is_err(), "the engine dies");
    let _ = engine.ended();
    let engine = setting.launch().start();
    let mut client = Client::connect(&engine).await;
    until_waiting(&setting.chain, 3);
    anvil.mine(3);
    for batch in [&first, &second] {
        let ended = until_batch(&mut client, batch, |b| b.ended_at_us > 0).await;
        assert_eq!(ended.state(), BatchState::Settled);
        let told = reconcile(&mut client, batch).await;
        assert!(told.submissions.iter().all(|s| s.attempts.len() == 1), "{told:?}");
    }
    setting.assert_paid(&[1_000_000, 3_000_000, 2_000_000, 0]);
}

/// A node that knows no final blocks, and no `depth` in the configuration: what was paid stayed
/// ACCEPTED for ever, exposure never fell, and nothing was said.
#[tokio::test]
async fn a_node_that_names_no_final_block_is_told_and_what_to_set() {
    let (setting, engine, client) = Setting::new("PlainToken", 1, 1).await;
    drop(client);
    engine.stop().await;
    let proxy = Proxy::start(&setting.chain.anvil.address);
    // Whatever asks for the block of this name.
    proxy.set("finalized", Fault::Nothing);
    let engine = setting.launch_over(&proxy.url, "every = \"20ms\"\ntimeout = \"20s\"").start();
    let mut client = Client::connect(&engine).await;
    setting.pay(&mut client, 0, 0, &[1_000_000]).await;
    let batch = batch(&mut client).await;
    fund(&mut client, &batch).await;
    until_waiting(&setting.chain, 1);
    setting.chain.anvil.mine(1);
    until_batch(&mut client, &batch, |b| legs_at(b, LegState::Accepted) == 1).await;
    let deadline = std::time::Instant::now() + crate::world::DEADLINE;
    loop {
        let told = reconcile(&mut client, &batch).await;
        let says = |texts: &[String]| texts.iter().any(|text| text.contains("depth"));
        if says(&told.troubles) && says(&told.todo) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "nothing is said: {told:?}");
    }
    // A node that names them again.
    proxy.pass();
    setting.chain.anvil.mine(80);
    let ended = until_batch(&mut client, &batch, |b| b.ended_at_us > 0).await;
    assert_eq!(ended.state(), BatchState::Settled);
    // It is taken away once what is final was released, a moment after the last leg ended.
    while !reconcile(&mut client, &batch).await.troubles.is_empty() {
        assert!(std::time::Instant::now() < deadline, "it is said for ever");
    }
}
