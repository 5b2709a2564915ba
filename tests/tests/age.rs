//! An engine does not die of age: windows, batches, starts and the people around it cost no open
//! file each, and nothing that only others do keeps it from its work.

use std::process::Command;
use tallystick_tests::wire::{CreateBatchRequest, GetStatusRequest, Party, UpsertPartyRequest};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, Voucher, World, frame, party_id, party_request, request_id,
};
use tokio_stream::StreamExt as _;

/// One file stayed open for each window that was ever closed, and one for each batch: with the
/// usual limit of 1,024 the engine stopped at window 996 and did not come back. `make age` runs
/// 5,000 windows.
#[test]
fn closed_windows_and_settled_batches_hold_no_files_open() {
    let mut age = Command::new(env!("CARGO_BIN_EXE_tallystick-age"));
    // As few files as it starts with at all; each window and each batch took one before.
    age.args(["--windows", "240", "--batches", "24", "--limit", "128", "--open", "100"]);
    // A checkpoint every few windows, and with it a write of all tables into files.
    let done = age.args(["--", "--checkpoint-bytes", "8KiB"]).output();
    let done = done.expect("the program was built with this test");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{err}\n{out}");
    let last: serde_json::Value = serde_json::from_str(out.trim()).expect("one line of JSON");
    assert_eq!((&last["windows"], &last["batches"]), (&240.into(), &24.into()), "{last}");
    assert!(last["tables_most"].as_u64().is_some_and(|tables| tables < 160), "{last}");
}

#[test]
fn too_few_open_files_are_refused_with_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(&dir.path().join("data"));
    let text = launch.under(&["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"]).refusal();
    assert!(text.contains("64 files") && text.contains("ulimit -Hn"), "{text}");
}

/// The soft limit is a default for others; only the hard one is meant.
#[test]
fn the_limit_on_open_files_is_raised_as_far_as_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(&dir.path().join("data"));
    let engine = launch.under(&["sh", "-c", "ulimit -Sn 64 && exec \"$@\"", "sh"]).start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", engine.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}

async fn vouchers(engine: &Engine, world: &World, life: u64, count: u64) {
    let mut client = Client::connect(engine).await;
    let frames = (0..count).collect::<Vec<_>>();
    for some in frames.chunks(500) {
        let voucher = |n: &u64| -> Voucher { world.voucher(0, 0, *n, life) };
        let all: Vec<Voucher> = some.iter().map(voucher).collect();
        let ack = client.vouchers.submit(frame(0, &all)).await.unwrap().into_inner();
        assert_eq!(usize::try_from(ack.credited).unwrap(), all.len());
    }
}

/// What a line of the log says of `name`.
fn figure(engine: &Engine, name: &str) -> u64 {
    let log = engine.stderr();
    let line = log.lines().find(|line| line.contains("recovered")).unwrap();
    let value = line.split_once(&format!("{name}=")).unwrap().1;
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// Bytes were counted from the start on, so an engine that was restarted before it had written
/// enough never made a checkpoint: it replayed everything since its first day, and no frame ever
/// went.
#[tokio::test]
async fn an_engine_that_is_restarted_often_makes_checkpoints_all_the_same() {
    let d = Deployment::new(1, 1).await;
    let (lives, each) = (8, 2_000);
    let mut replayed = Vec::new();
    let (data, Deployment { mut engine, world, client, dir }) = (d.data(), d);
    drop(client);
    for life in 1..=lives {
        engine.stop().await;
        // Two thirds of it a life.
        engine = Engine::start(&data, &["--checkpoint-bytes", "480KiB"]);
        replayed.push(figure(&engine, "replayed"));
        vouchers(&engine, &world, life, each).await;
    }
    assert!(replayed.iter().all(|count| *count <= 2 * each), "{replayed:?}");
    assert!(replayed.iter().any(|count| *count > 0), "{replayed:?}");
    engine.stop().await;
    drop(dir);
}

/// Any registration made a batch that was being computed stale, whoever was registered; after eight
/// attempts it was given up. A million legs take seconds: while a list was imported no batch could
/// be made.
#[tokio::test]
async fn a_batch_is_made_while_others_are_registered_without_a_pause() {
    let (payers, payees) = (60, 50);
    let mut d = Deployment::new(payers, payees).await;
    for payer in 0..payers {
        let owed: Vec<Voucher> =
            (0..payees).map(|payee| d.world.voucher(payer, payee, 0, 50_000)).collect();
        assert_eq!(usize::try_from(d.client.submit(&owed).await.credited).unwrap(), payees);
    }
    let window = d.client.close_window().await.number;
    d.client.operator.get_status(GetStatusRequest {}).await.unwrap();
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let mut other = d.client.clone();
    let noise = tokio::spawn(async move {
        let mut count = 0u64;
        while !*stopped.borrow_and_update() {
            let newcomer = party_request(party_id(&format!("newcomer {count}")), 50_000 + count);
            other.operator.upsert_party(newcomer).await.unwrap();
            count += 1;
        }
        count
    });
    for attempt in 0..3 {
        let request = CreateBatchRequest {
            request_id: request_id("batch"),
            windows: vec![window],
            asset: World::PAIRS,
            rail: "iso20022".into(),
        };
        let batch = loop {
            match d.client.operator.create_batch(request.clone()).await {
                Ok(batch) => break batch.into_inner(),
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{attempt}: {status}");
                }
            }
        };
        assert_eq!(batch.legs, 3_000);
        let abort = tallystick_tests::wire::AbortBatchRequest {
            request_id: request_id("abort"),
            batch_id: batch.batch_id,
            reason: "made again".into(),
        };
        d.client.operator.abort_batch(abort).await.unwrap();
    }
    stop.send(true).unwrap();
    assert!(noise.await.unwrap() > 0);
}

/// What a batch did use is another matter: the account of one of its parties.
#[tokio::test]
async fn a_batch_has_the_account_that_its_party_had_when_it_was_made() {
    let mut d = Deployment::new(1, 1).await;
    assert_eq!(d.client.submit(&[d.world.voucher(0, 0, 0, 50_000)]).await.credited, 1);
    let window = d.client.close_window().await.number;
    let mut batches = Vec::new();
    for place in [70_000, 70_001] {
        let party: UpsertPartyRequest = party_request(d.world.payees[0], place);
        let name = party.party.as_ref().map(|party: &Party| party.name.clone()).unwrap();
        d.client.operator.upsert_party(party).await.unwrap();
        let batch = loop {
            match d.client.create_batch(&[window], World::PAIRS).await {
                Ok(batch) => break batch,
                Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
            }
        };
        let files = d.client.export(&batch).await;
        let bytes: Vec<u8> = files.into_values().flatten().collect();
        assert!(String::from_utf8_lossy(&bytes).contains(&name), "{name}");
        let abort = tallystick_tests::wire::AbortBatchRequest {
            request_id: request_id("abort"),
            batch_id: batch.batch_id.clone(),
            reason: "made again".into(),
        };
        d.client.operator.abort_batch(abort).await.unwrap();
        batches.push(batch.batch_id);
    }
    assert_ne!(batches[0], batches[1]);
    let listed =
        d.client.operator.list_batches(tallystick_tests::wire::ListBatchesRequest::default());
    assert_eq!(listed.await.unwrap().into_inner().collect::<Vec<_>>().await.len(), 2);
}
