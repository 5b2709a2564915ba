//! What still goes on when no more request ids fit: what closes and settles windows, and what keeps
//! harm away.
//!
//! The binary is `tallystick-faults`, which can be told to remember fewer of them than the engine
//! does.

use std::time::{Duration, Instant};
use tallystick_tests::Outcome::Credited;
use tallystick_tests::wire::{
    ApproveBatchRequest, BatchState, DisputeWindowRequest, EndDisputeRequest, GetExposureRequest,
    GetStatusRequest, LegReport, LegWord, RecordDepositRequest, ReportLegsRequest,
    RevokeSignerRequest, Status, WindowState,
};
use tallystick_tests::{
    Client, Launch, World, limit_request, party_id, party_request, refused, request_id, until_batch,
};
use tonic::Code::ResourceExhausted;

/// Bounds every wait; not an expectation.
const DEADLINE: Duration = Duration::from_secs(120);
/// As many as registering the world below takes.
const IDS: u64 = 12;

async fn status(client: &mut Client) -> Status {
    client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

/// Everything that would register more is refused.
async fn is_full(client: &mut Client, world: &World) {
    let payer = world.payers[0].party;
    let party = party_request(party_id("one more"), 77);
    refused(client.operator.upsert_party(party).await, ResourceExhausted, "request ids");
    let limit = limit_request(payer, World::PAIRS, "5");
    refused(client.operator.set_credit_limit(limit).await, ResourceExhausted, "request ids");
    let deposit = RecordDepositRequest {
        request_id: request_id("deposit"),
        party_id: payer.0.to_vec().into(),
        asset: World::PAIRS,
        amount: "5".into(),
        reference: "cash".into(),
    };
    refused(client.operator.record_deposit(deposit).await, ResourceExhausted, "request ids");
}

/// From a window with something owed in it to its end.
async fn settles(client: &mut Client, world: &World, cumulative: u64) {
    let voucher = world.voucher(0, 0, 0, cumulative);
    assert_eq!(client.pay(&[voucher]).await, [Credited]);
    let window = client.close_window().await.number;
    let (id, reason) = (request_id("dispute"), "whose is this?".to_owned());
    let dispute = DisputeWindowRequest { request_id: id, number: window, reason: reason.clone() };
    client.operator.dispute_window(dispute).await.unwrap();
    let end = EndDisputeRequest { request_id: request_id("end"), number: window, reason };
    client.operator.end_dispute(end).await.unwrap();
    let batch = client.create_batch(&[window], World::PAIRS).await.unwrap();
    let (id, batch_id) = (request_id("approve"), batch.batch_id.clone());
    let approve = ApproveBatchRequest { request_id: id, batch_id, ..Default::default() };
    client.operator.approve_batch(approve).await.unwrap();
    until_batch(client, &batch, |b| b.state() == BatchState::Submitting).await;
    let reports = client.legs(&batch).await.into_iter().map(|leg| LegReport {
        key: leg.key,
        word: LegWord::Confirmed.into(),
        rail_reference: "statement 41".into(),
        reason: String::new(),
    });
    let report = ReportLegsRequest {
        request_id: request_id("report"),
        batch_id: batch.batch_id.clone(),
        reports: reports.collect(),
        evidence: vec![7; 32].into(),
        ..Default::default()
    };
    client.operator.report_legs(report).await.unwrap();
    until_batch(client, &batch, |b| b.state() == BatchState::Settled).await;
    assert_eq!(client.window(window).await.state(), WindowState::Settled);
    let payer = world.payers[0].party.0.to_vec();
    let ask = GetExposureRequest { party_id: payer.into(), asset: World::PAIRS };
    let deadline = Instant::now() + DEADLINE;
    while client.operator.get_exposure(ask.clone()).await.unwrap().into_inner().unsettled != "0" {
        assert!(Instant::now() < deadline, "the exposure does not fall");
    }
}

/// A full table of request ids once refused every command, `CloseWindow` among them, also after a
/// restart: what was owed then could neither be closed nor settled, for ever. Later it was closed,
/// but no batch could be made.
#[tokio::test]
async fn windows_close_and_settle_when_no_more_request_ids_fit() {
    let dir = tempfile::tempdir().unwrap();
    let most = IDS.to_string();
    let launch = Launch::new(&dir.path().join("data"));
    let launch = launch.fault("TALLYSTICK_FAULT_REQUESTS_MAX", &most);
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, 2, 2).await;
    let found = status(&mut client).await;
    assert_eq!((found.request_ids, found.request_ids_max), (IDS, IDS));
    is_full(&mut client, &world).await;
    settles(&mut client, &world, 3_000_000).await;
    drop(client);
    engine.stop().await;

    // A restart finds it as full, and goes on as well.
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    is_full(&mut client, &world).await;
    settles(&mut client, &world, 7_000_000).await;
    let signer = world.payers[0].key().0.to_vec().into();
    let revoke = RevokeSignerRequest { request_id: request_id("revoke"), signer };
    client.operator.revoke_signer(revoke).await.unwrap();
    assert_eq!(status(&mut client).await.request_ids_max, IDS);
}
