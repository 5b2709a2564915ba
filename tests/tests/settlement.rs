//! From an approved batch to its end: what leaves, what operators say of it, who may, and what the
//! engine does by itself.

use std::path::Path;
use std::time::{Duration, Instant};
use tallystick_tests::Outcome::Credited;
use tallystick_tests::wire::{
    AbortBatchRequest, ApproveBatchRequest, Batch, BatchState, CreateBatchRequest,
    DisputeWindowRequest, EndDisputeRequest, GetBatchRequest, GetExposureRequest, GetStatusRequest,
    Leg, LegReport, LegState, LegWord, Reconciliation, ReportLegsRequest, ResolveLegRequest,
    Window, WindowState,
};
use tallystick_tests::{
    Client, Deployment, Launch, PartyId, World, check_money_sums, get_batch, legs_at, refused,
    request_id, run_cli, until_batch,
};
use tonic::Code::{
    AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unauthenticated,
};
use tonic::{Request, Status};

/// Bounds every wait; not an expectation.
const DEADLINE: Duration = Duration::from_secs(120);

fn approval(request_id: String, batch: &Batch) -> ApproveBatchRequest {
    let batch_id = batch.batch_id.clone();
    ApproveBatchRequest { request_id, batch_id, ..Default::default() }
}

async fn approve(client: &mut Client, batch: &Batch) -> Result<Batch, Status> {
    let request = approval(request_id("approve"), batch);
    Ok(client.operator.approve_batch(request).await?.into_inner())
}

async fn abort(client: &mut Client, batch: &Batch) -> Result<Batch, Status> {
    let (request_id, batch_id) = (request_id("abort"), batch.batch_id.clone());
    let request = AbortBatchRequest { request_id, batch_id, reason: "wrong day".into() };
    Ok(client.operator.abort_batch(request).await?.into_inner())
}

fn report(batch: &Batch, legs: &[&Leg], word: LegWord) -> ReportLegsRequest {
    let one = |leg: &&Leg| LegReport {
        key: leg.key.clone(),
        word: word.into(),
        rail_reference: "statement 41".into(),
        reason: if word == LegWord::Confirmed { String::new() } else { "no such account".into() },
    };
    let (request_id, batch_id) = (request_id("report"), batch.batch_id.clone());
    let (reports, evidence) = (legs.iter().map(one).collect(), vec![7; 32].into());
    ReportLegsRequest { request_id, batch_id, reports, evidence, ..Default::default() }
}

async fn say(client: &mut Client, batch: &Batch, legs: &[&Leg], word: LegWord) -> Batch {
    let request = report(batch, legs, word);
    client.operator.report_legs(request).await.unwrap().into_inner()
}

fn is_pay_in(leg: &Leg) -> bool {
    leg.to.as_ref() == [0; 32]
}

async fn owes(client: &mut Client, party: PartyId, asset: u32) -> String {
    let request = GetExposureRequest { party_id: party.0.to_vec().into(), asset };
    client.operator.get_exposure(request).await.unwrap().into_inner().unsettled
}

async fn reconcile(client: &mut Client, batch: &Batch) -> Reconciliation {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    client.operator.get_reconciliation(request).await.unwrap().into_inner()
}

/// Names of the files that wait for the bank.
fn outbox(data: &Path) -> Vec<String> {
    names(&data.join("outbox/iso20022"))
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let files = entries.map(|entry| entry.unwrap()).filter(|e| e.file_type().unwrap().is_file());
    let mut names: Vec<String> =
        files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Payer 0 owes payee 0, and payer 1 payee 1, in the asset that is settled through the clearing
/// account.
async fn cleared(d: &mut Deployment, first: u64, second: u64) -> Batch {
    let vouchers = [
        d.world.pay(0, d.world.payees[0], World::CLEARED, 0, first),
        d.world.pay(1, d.world.payees[1], World::CLEARED, 0, second),
    ];
    assert_eq!(d.client.pay(&vouchers).await, [Credited, Credited]);
    let window = d.client.close_window().await.number;
    d.client.create_batch(&[window], World::CLEARED).await.unwrap()
}

#[tokio::test]
async fn pay_ins_are_confirmed_before_pay_outs_leave_and_then_nobody_owes_anything() {
    let mut d = Deployment::new(2, 2).await;
    let batch = cleared(&mut d, 3_000_000, 2_000_000).await;
    let approved = approve(&mut d.client, &batch).await.unwrap();
    assert_eq!(approved.state(), BatchState::Submitting);
    assert_eq!((legs_at(&approved, LegState::Sent), legs_at(&approved, LegState::Ready)), (2, 2));
    assert!(outbox(&d.data()).is_empty(), "nothing is paid out yet");
    let lists = names(&d.data().join("pay-ins/iso20022"));
    let [list] = lists.as_slice() else { panic!("one list of who is to pay: {lists:?}") };
    let list = std::fs::read_to_string(d.data().join("pay-ins/iso20022").join(list)).unwrap();
    // Whoever asks for the money is told whom, and from where it comes.
    for (payer, name) in d.world.payers.iter().zip(["Party 1000 GmbH", "Party 1001 GmbH"]) {
        let line = list.lines().find(|line| line.contains(&payer.party.to_string()));
        assert!(line.expect("each payer has a line").contains(name), "{list}");
    }
    assert_eq!(list.matches(",DE").count(), 2 + 2, "both accounts of each: {list}");
    let payer = d.world.payers[0].party;
    assert_eq!(owes(&mut d.client, payer, World::CLEARED).await, "3000000");
    let told = reconcile(&mut d.client, &batch).await;
    assert_eq!((told.in_flight.as_str(), told.submissions.len()), ("5000000", 1));
    assert!(told.todo.iter().any(|text| text.contains("--pay-ins --word confirmed")), "{told:?}");

    let legs = d.client.legs(&batch).await;
    let pay_ins: Vec<&Leg> = legs.iter().filter(|leg| is_pay_in(leg)).collect();
    let request = report(&batch, &pay_ins, LegWord::Confirmed);
    d.client.operator.report_legs(request.clone()).await.unwrap();
    // The same again changes nothing; the id for something else is refused.
    d.client.operator.report_legs(request.clone()).await.unwrap();
    let other = ReportLegsRequest { evidence: Vec::new().into(), ..request };
    refused(d.client.operator.report_legs(other).await, AlreadyExists, "report");
    until_batch(&mut d.client, &batch, |b| legs_at(b, LegState::Sent) == 2).await;
    let files = outbox(&d.data());
    let [file] = files.as_slice() else { panic!("one file for the bank: {files:?}") };
    let told = reconcile(&mut d.client, &batch).await;
    let path = d.data().join("outbox/iso20022").join(file).display().to_string();
    let upload = format!("Upload {path} to the bank if nobody did, once");
    assert!(told.todo.iter().any(|text| text.contains(&upload)), "{told:?}");

    // A stop in between changes nothing.
    let before = (get_batch(&mut d.client, &batch).await, d.client.legs(&batch).await);
    let mut d = d.restart(&["--shards", "2"]).await;
    assert_eq!((get_batch(&mut d.client, &batch).await, d.client.legs(&batch).await), before);
    assert_eq!(outbox(&d.data()), files);
    let pay_outs: Vec<&Leg> = before.1.iter().filter(|leg| !is_pay_in(leg)).collect();
    let settled = say(&mut d.client, &batch, &pay_outs, LegWord::Confirmed).await;
    assert_eq!((settled.state(), &*settled.owed_again), (BatchState::Settled, "0"));
    assert!(settled.ended_at_us >= settled.approved_at_us && settled.approved_at_us > 0);
    assert_eq!(d.client.window(1).await.state(), WindowState::Settled);
    let deadline = Instant::now() + DEADLINE;
    while owes(&mut d.client, payer, World::CLEARED).await != "0" {
        assert!(Instant::now() < deadline, "the exposure does not fall");
    }
    let told = reconcile(&mut d.client, &batch).await;
    assert_eq!((told.parties, told.parties_released, &*told.in_flight), (2, 2, "0"));
    assert_eq!(told.todo, ["Nothing: every leg is confirmed."]);
    let legs = d.client.legs(&batch).await;
    assert!(legs.iter().all(|leg| leg.rail_reference == "statement 41"), "{legs:?}");
}

#[tokio::test]
async fn a_pay_in_that_fails_holds_back_only_the_largest_pay_outs_and_both_are_carried() {
    let mut d = Deployment::new(2, 2).await;
    let batch = cleared(&mut d, 5_000_000, 1_000_000).await;
    approve(&mut d.client, &batch).await.unwrap();
    let legs = d.client.legs(&batch).await;
    let of = |amount: &str| -> Vec<&Leg> {
        legs.iter().filter(|leg| is_pay_in(leg) && leg.amount == amount).collect()
    };
    say(&mut d.client, &batch, &of("5000000"), LegWord::Rejected).await;
    say(&mut d.client, &batch, &of("1000000"), LegWord::Confirmed).await;
    until_batch(&mut d.client, &batch, |b| legs_at(b, LegState::Sent) == 1).await;
    let legs = d.client.legs(&batch).await;
    let sent: Vec<&Leg> = legs.iter().filter(|leg| leg.state() == LegState::Sent).collect();
    assert_eq!(sent[0].amount, "1000000", "the small one is covered");
    say(&mut d.client, &batch, &sent, LegWord::Confirmed).await;
    let ended = until_batch(&mut d.client, &batch, |b| b.ended_at_us > 0).await;
    assert_eq!((ended.state(), &*ended.owed_again), (BatchState::SettledWithCarry, "10000000"));
    let told = reconcile(&mut d.client, &batch).await;
    assert_eq!((told.held_back_legs, &*told.held_back), (1, "5000000"));
    let (failed, paid) = (d.world.payers[0].party, d.world.payers[1].party);
    let deadline = Instant::now() + DEADLINE;
    while owes(&mut d.client, paid, World::CLEARED).await != "0" {
        assert!(Instant::now() < deadline, "the exposure does not fall");
    }
    assert_eq!(owes(&mut d.client, failed, World::CLEARED).await, "5000000");
    let next = d.client.close_window().await.number;
    check_money_sums(&mut d.client, next, World::CLEARED).await;
    let positions = d.client.net_positions(next, World::CLEARED).await;
    let position = |party: PartyId| {
        let mut found = positions.iter().filter(|p| p.party_id.as_ref() == party.0);
        found.next().map(|p| p.amount.clone())
    };
    assert_eq!(position(failed).as_deref(), Some("-5000000"));
    assert_eq!(position(d.world.payees[0]).as_deref(), Some("5000000"));
    assert_eq!(positions.len(), 2, "{positions:?}");
}

/// A batch of one leg from payer 0 to payee 0, which was approved.
async fn one_leg(d: &mut Deployment, total: u64) -> Batch {
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, total)]).await, [Credited]);
    let window = d.client.close_window().await.number;
    let batch = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    approve(&mut d.client, &batch).await.unwrap()
}

#[tokio::test]
async fn money_that_comes_back_is_owed_again() {
    let mut d = Deployment::new(1, 1).await;
    let batch = one_leg(&mut d, 2_000_000).await;
    let payer = d.world.payers[0].party;
    let legs = d.client.legs(&batch).await;
    let all: Vec<&Leg> = legs.iter().collect();
    let settled = say(&mut d.client, &batch, &all, LegWord::Confirmed).await;
    assert_eq!(settled.state(), BatchState::Settled);
    let deadline = Instant::now() + DEADLINE;
    while owes(&mut d.client, payer, World::PAIRS).await != "0" {
        assert!(Instant::now() < deadline, "the exposure does not fall");
    }
    let back = say(&mut d.client, &batch, &all, LegWord::Returned).await;
    assert_eq!((back.state(), &*back.owed_again), (BatchState::SettledWithCarry, "2000000"));
    assert_eq!(owes(&mut d.client, payer, World::PAIRS).await, "2000000");
    let legs = d.client.legs(&batch).await;
    assert_eq!((legs[0].state(), &*legs[0].reason), (LegState::Returned, "no such account"));
    assert_eq!(back.legs_moved, 1);
    // The same again is known; that it was paid, it was: who says so now must mean something else.
    let again = say(&mut d.client, &batch, &all, LegWord::Returned).await;
    assert_eq!(again, Batch { legs_moved: 0, ..back });
    for word in [LegWord::Accepted, LegWord::Confirmed, LegWord::Rejected] {
        let ask = report(&batch, &all, word);
        let said = d.client.operator.report_legs(ask).await;
        refused(said, FailedPrecondition, "is RETURNED and cannot be");
    }
    let next = d.client.close_window().await;
    assert_eq!(next.totals[0].carried_in, "2000000");
}

#[tokio::test]
async fn what_cannot_be_said_of_legs_is_refused_and_changes_nothing() {
    let mut d = Deployment::new(2, 2).await;
    let batch = cleared(&mut d, 3_000_000, 2_000_000).await;
    let legs = d.client.legs(&batch).await;
    let all: Vec<&Leg> = legs.iter().collect();
    let ask = report(&batch, &all[..1], LegWord::Confirmed);
    refused(d.client.operator.report_legs(ask).await, FailedPrecondition, "READY");
    approve(&mut d.client, &batch).await.unwrap();
    // One pay-out among them has not left: none moves.
    let ask = report(&batch, &all, LegWord::Confirmed);
    refused(d.client.operator.report_legs(ask).await, FailedPrecondition, "nothing was changed");
    let twice = report(&batch, &[all[0], all[0]], LegWord::Confirmed);
    refused(d.client.operator.report_legs(twice).await, InvalidArgument, "twice");
    let mut unknown = report(&batch, &all[..1], LegWord::Confirmed);
    unknown.reports[0].key = "nobody".into();
    refused(d.client.operator.report_legs(unknown).await, NotFound, "nobody");
    let nothing = report(&batch, &[], LegWord::Confirmed);
    refused(d.client.operator.report_legs(nothing).await, InvalidArgument, "1 to 1024");
    let wordless = report(&batch, &all[..1], LegWord::Unspecified);
    refused(d.client.operator.report_legs(wordless).await, InvalidArgument, "CONFIRMED");
    let resolve = ResolveLegRequest {
        request_id: request_id("resolve"),
        batch_id: batch.batch_id.clone(),
        key: all[0].key.clone(),
        word: LegWord::Confirmed.into(),
        rail_reference: String::new(),
        evidence: "a mail".into(),
        ..Default::default()
    };
    refused(d.client.operator.resolve_leg(resolve).await, FailedPrecondition, "ReportLegs");
    // What nobody has confirmed cannot have been sent back, and what failed needs a reason.
    let sent: Vec<&Leg> = legs.iter().filter(|leg| is_pay_in(leg)).collect();
    let returned = report(&batch, &sent, LegWord::Returned);
    refused(d.client.operator.report_legs(returned).await, FailedPrecondition, "say rejected");
    let mut silent = report(&batch, &sent, LegWord::Rejected);
    silent.reports[1].reason = String::new();
    refused(d.client.operator.report_legs(silent).await, InvalidArgument, "without a reason");
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Sent), 2);
    refused(abort(&mut d.client, &batch).await, FailedPrecondition, "nothing of it has left");
}

#[tokio::test]
async fn an_approval_that_is_asked_for_twice_is_one() {
    let mut d = Deployment::new(1, 1).await;
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 2_000_000)]).await, [Credited]);
    d.client.close_window().await;
    let batch = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
    let request = approval("once".into(), &batch);
    let first = d.client.operator.approve_batch(request.clone()).await.unwrap().into_inner();
    let mut d = d.restart(&[]).await;
    let again = d.client.operator.approve_batch(request).await.unwrap().into_inner();
    assert_eq!(again, first);
    assert_eq!(outbox(&d.data()).len(), 1);
}

async fn dispute(client: &mut Client, number: u64) -> Result<Window, Status> {
    let (request_id, reason) = (request_id("dispute"), "a stolen key".into());
    let request = DisputeWindowRequest { request_id, number, reason };
    Ok(client.operator.dispute_window(request).await?.into_inner())
}

async fn release(client: &mut Client, number: u64) -> Result<Window, Status> {
    let (request_id, reason) = (request_id("release"), "all agree".into());
    let request = EndDisputeRequest { request_id, number, reason };
    Ok(client.operator.end_dispute(request).await?.into_inner())
}

#[tokio::test]
async fn a_disputed_window_is_neither_batched_nor_approved() {
    let mut d = Deployment::new(1, 1).await;
    refused(dispute(&mut d.client, 1).await, FailedPrecondition, "open");
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 2_000_000)]).await, [Credited]);
    d.client.close_window().await;
    refused(release(&mut d.client, 1).await, FailedPrecondition, "DISPUTED");
    let disputed = dispute(&mut d.client, 1).await.unwrap();
    assert_eq!((disputed.state(), &*disputed.dispute), (WindowState::Disputed, "a stolen key"));
    refused(dispute(&mut d.client, 1).await, FailedPrecondition, "disputed");
    refused(d.client.create_batch(&[1], World::PAIRS).await, FailedPrecondition, "disputed");
    let mut d = d.restart(&[]).await;
    assert_eq!(d.client.window(1).await, disputed);
    let released = release(&mut d.client, 1).await.unwrap();
    assert_eq!((released.state(), &*released.dispute), (WindowState::Closed, ""));
    let batch = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
    dispute(&mut d.client, 1).await.unwrap();
    refused(approve(&mut d.client, &batch).await, FailedPrecondition, "disputed");
    let todo = reconcile(&mut d.client, &batch).await.todo;
    assert!(todo[0].contains("`tallystick window release 1"), "{todo:?}");
    release(&mut d.client, 1).await.unwrap();
    approve(&mut d.client, &batch).await.unwrap();
    refused(dispute(&mut d.client, 1).await, FailedPrecondition, "approved");
}

/// A call with an operator's token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("Bearer {token}").parse().expect("a token is plain text");
    request.metadata_mut().insert("authorization", header);
    request
}

#[tokio::test]
async fn four_eyes_are_those_of_two_operators() {
    let mut d = Deployment::new(1, 1).await;
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 2_000_000)]).await, [Credited]);
    d.client.close_window().await;
    let Deployment { client, world, engine, dir } = d;
    drop(client);
    engine.stop().await;
    let digest = |token: &str| blake3::hash(token.as_bytes()).to_hex().to_string();
    let config = format!(
        "four_eyes = true\n[operators]\nann = \"{}\"\nbob = \"{}\"\n",
        digest("a"),
        digest("b")
    );
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let mut client = Client::connect(&engine).await;
    refused(client.operator.get_status(GetStatusRequest {}).await, Unauthenticated, "Bearer TOKEN");
    let wrong = client.operator.get_status(with("c", GetStatusRequest {})).await;
    refused(wrong, Unauthenticated, "[operators]");
    let status = client.operator.get_status(with("a", GetStatusRequest {})).await.unwrap();
    assert_eq!((status.get_ref().operators, status.get_ref().four_eyes), (2, true));
    // Vouchers are no operator's business.
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 2_000_001)]).await, [Credited]);
    let create = CreateBatchRequest {
        request_id: "batch".into(),
        windows: vec![1],
        asset: World::PAIRS,
        rail: "iso20022".into(),
    };
    let batch = client.operator.create_batch(with("a", create.clone())).await.unwrap().into_inner();
    assert_eq!((&*batch.created_by, batch.four_eyes), ("ann", true));
    let ask = |id: &str| approval(id.into(), &batch);
    let own = client.operator.approve_batch(with("a", ask("own"))).await;
    refused(own, PermissionDenied, "another operator");
    // Whoever repeats another's call is told who made it, not their own name.
    let again = client.operator.create_batch(with("b", create.clone())).await;
    assert_eq!(again.unwrap().into_inner(), batch);
    let give_up = AbortBatchRequest {
        request_id: "abort".into(),
        batch_id: batch.batch_id.clone(),
        reason: "wrong day".into(),
    };
    let gone = client.operator.abort_batch(with("b", give_up.clone())).await.unwrap().into_inner();
    assert_eq!((&*gone.created_by, gone.four_eyes, &*gone.aborted_by), ("ann", true, "bob"));
    // The same content has the same id. Bob aborted the first batch, whoever asks again.
    let anew = CreateBatchRequest { request_id: "anew".into(), ..create.clone() };
    let made = client.operator.create_batch(with("b", anew)).await.unwrap().into_inner();
    assert_eq!((&made.batch_id, &*made.created_by), (&batch.batch_id, "bob"));
    // It was computed again since.
    let as_now = |b: Batch| Batch { computed_at_us: 0, computed_lsn: 0, ..b };
    let still = client.operator.abort_batch(with("a", give_up)).await.unwrap().into_inner();
    assert_eq!(still, as_now(gone));
    let still = client.operator.create_batch(with("b", create)).await.unwrap().into_inner();
    assert_eq!(still, as_now(batch.clone()));
    let approved = client.operator.approve_batch(with("a", ask("other"))).await.unwrap();
    assert_eq!((&*approved.get_ref().created_by, &*approved.get_ref().approved_by), ("bob", "ann"));
}

#[test]
fn four_eyes_need_two_operators_and_tokens_are_made_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("ann.token");
    let args = ["operator", "token", "--name", "ann", "--json", "--out", out.to_str().unwrap()];
    let made = run_cli(&args);
    assert!(made.status.success(), "{made:?}");
    let told: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = std::fs::read_to_string(&out).unwrap();
    let digest = blake3::hash(token.trim().as_bytes()).to_hex().to_string();
    assert_eq!(told["digest"], digest);
    assert!(!String::from_utf8(made.stdout).unwrap().contains(token.trim()));
    let config = format!("[operators]\n{}\n", told["config"].as_str().unwrap());
    let alone = format!("four_eyes = true\n{config}");
    let refusal = Launch::new(dir.path()).config(&alone).refusal();
    assert!(refusal.contains("at least two operators"), "{refusal}");
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let server = ["--server", engine.address(), "status", "--json"];
    let without = run_cli(&server);
    assert_eq!(without.status.code(), Some(1), "{without:?}");
    let mut args = server.to_vec();
    args.extend(["--token-file", out.to_str().unwrap()]);
    assert!(run_cli(&args).status.success());
    let again = run_cli(&["operator", "token", "--name", "ann", "--out", args[5]]);
    assert_eq!(again.status.code(), Some(1), "a token is never overwritten");
}

/// The first batch that there is.
async fn first_batch(client: &mut Client) -> Batch {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(batch) = client.batches().await.into_iter().next() {
            return batch;
        }
        assert!(Instant::now() < deadline, "no batch is made");
    }
}

#[tokio::test]
async fn the_schedule_closes_batches_and_approves_what_is_small() {
    let d = Deployment::new(1, 1).await;
    let Deployment { client, world, engine, dir } = d;
    drop(client);
    engine.stop().await;
    let config = format!(
        "[[schedule]]\nasset = {}\nclose = \"* * * * * *\"\nbatch_rail = \"iso20022\"\n\
         approve_below = \"3000000\"\n",
        World::PAIRS
    );
    let data = dir.path().join("data");
    let engine = Launch::new(&data).config(&config).start();
    let mut client = Client::connect(&engine).await;
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 2_000_000)]).await, [Credited]);
    let small = first_batch(&mut client).await;
    let small = until_batch(&mut client, &small, |b| b.state() == BatchState::Submitting).await;
    assert_eq!((&*small.created_by, &*small.approved_by), ("schedule", "schedule"));
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 5_000_000)]).await, [Credited]);
    let deadline = Instant::now() + DEADLINE;
    let large = loop {
        if let Some(batch) = client.batches().await.into_iter().nth(1) {
            break batch;
        }
        assert!(Instant::now() < deadline, "no second batch is made");
    };
    assert_eq!((large.state(), &*large.total), (BatchState::Computed, "3000000"));
    let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    let entry = &status.schedule[0];
    assert_eq!((&*entry.close, &*entry.trouble), ("* * * * * *", ""));
    assert!(entry.next_run_us > 0 && entry.last_run_us > 0, "{entry:?}");
    assert_eq!((status.legs_in_flight, status.legs_unknown), (1, 0));
    drop(client);
    engine.stop().await;
}

#[tokio::test]
async fn a_window_closes_when_it_holds_more_than_it_may_also_after_a_restart() {
    let d = Deployment::new(1, 1).await;
    let Deployment { mut client, world, engine, dir } = d;
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 600)]).await, [Credited]);
    drop(client);
    engine.stop().await;
    let config =
        format!("[[schedule]]\nasset = {}\nclose_when_gross_over = \"1000\"\n", World::PAIRS);
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let mut client = Client::connect(&engine).await;
    let deadline = Instant::now() + DEADLINE;
    let entry = loop {
        let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
        let entry = status.schedule[0].clone();
        if entry.gross != "0" {
            break entry;
        }
        assert!(Instant::now() < deadline, "the gross is not told");
    };
    assert_eq!((&*entry.gross, &*entry.exposure), ("600", "600"), "as before the restart");
    assert_eq!(client.pay(&[world.voucher(0, 0, 0, 1_001)]).await, [Credited]);
    while client.window(1).await.root.is_empty() {
        assert!(Instant::now() < deadline, "the window does not close");
    }
    assert_eq!(client.obligations(1, World::PAIRS).await[0].amount, "1001");
}

#[test]
fn the_command_line_says_what_to_do_and_does_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (d, batch) = runtime.block_on(async {
        let mut d = Deployment::new(1, 1).await;
        let batch = one_leg(&mut d, 2_000_000).await;
        (d, batch)
    });
    let id = data_encoding::HEXLOWER.encode(&batch.batch_id);
    let cli = |args: &[&str]| -> serde_json::Value {
        let mut all = vec!["--server", d.engine.address(), "--json"];
        all.extend(args);
        let out = run_cli(&all);
        assert!(out.status.success(), "{args:?}: {out:?}");
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let told = cli(&["batch", "report", &id]);
    assert_eq!((&told["state"], &told["in_flight"]), (&"submitting".into(), &"2000000".into()));
    assert_eq!(told["submissions"][0]["sum"], "2000000");
    let todo = told["todo"][0]["do"].as_str().unwrap();
    assert!(todo.contains("outbox/iso20022") && todo.contains("leg report"), "{todo}");
    let done = cli(&[
        "leg",
        "report",
        &id,
        "--pay-outs",
        "--word",
        "confirmed",
        "--reference",
        "statement 41",
    ]);
    assert_eq!(done["state"], "settled");
    assert_eq!(cli(&["window", "show", "1"])["state"], "settled");
    assert_eq!(cli(&["status"])["batches_by_state"][0]["state"], "settled");
}
