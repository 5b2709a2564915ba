//! The data directory: the same bytes after every restart, and no start on what was damaged.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use tallystick_tests::wire::{
    ApproveBatchRequest, GetExposureRequest, Obligation, RecordDepositRequest,
};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, Seen, Voucher, World, copy_dir, files, flip_bit, is_damage,
    request_id,
};

const SHARDS: [&str; 4] = ["1", "2", "4", "16"];

/// Two closed windows, approved batches in both models, and an open window with vouchers in it.
async fn history(d: &mut Deployment) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut totals: BTreeMap<(usize, usize, u32, u64), u64> = BTreeMap::new();
    for round in 0..3 {
        for _ in 0..6 {
            let mut vouchers: Vec<Voucher> = Vec::new();
            for _ in 0..25 {
                let (payer, payee) = (rng.random_range(0..5), rng.random_range(0..4));
                let (asset, lane) = (rng.random_range(1..=2), rng.random_range(0..2));
                let total = totals.entry((payer, payee, asset, lane)).or_default();
                *total += rng.random_range(1..500_000u64);
                vouchers.push(d.world.pay(payer, d.world.payees[payee], asset, lane, *total));
            }
            assert_eq!(d.client.submit(&vouchers).await.credited, 25);
        }
        if round < 2 {
            let window = d.client.close_window().await.number;
            for asset in [World::PAIRS, World::CLEARED] {
                let batch = d.client.create_batch(&[window], asset).await.unwrap();
                let (request_id, batch_id) = (request_id("approve"), batch.batch_id);
                let request = ApproveBatchRequest { request_id, batch_id, ..Default::default() };
                d.client.operator.approve_batch(request).await.unwrap();
            }
        }
    }
}

/// A stopped deployment with a history, part of it in table files and part in the log.
async fn stopped() -> (tempfile::TempDir, World, Seen) {
    let mut d = Deployment::new(5, 4).await;
    history(&mut d).await;
    // A start writes what the log held into table files.
    let mut d = d.restart(&[]).await;
    let more: Vec<Voucher> = (0..20).map(|lane| d.world.voucher(0, 0, 100 + lane, 7)).collect();
    assert_eq!(d.client.submit(&more).await.credited, 20);
    let seen = Seen::of(&mut d.client, &d.world).await;
    let Deployment { client, world, engine, dir } = d;
    drop(client);
    engine.stop().await;
    (dir, world, seen)
}

#[tokio::test]
async fn any_number_of_shards_gives_the_same_windows_batches_and_files() {
    let (dir, world, seen) = stopped().await;
    assert_eq!((seen.windows.len(), seen.batches.len()), (3, 4));
    for shards in SHARDS {
        let copy = dir.path().join(format!("copy-{shards}"));
        copy_dir(&dir.path().join("data"), &copy);
        for start in 0..2 {
            let engine = Engine::start(&copy, &["--shards", shards]);
            let mut client = Client::connect(&engine).await;
            let again = Seen::of(&mut client, &world).await;
            assert_eq!(again, seen, "{shards} shards, start {start}");
            engine.stop().await;
        }
    }
}

#[tokio::test]
async fn the_same_calls_give_the_same_obligations_on_any_number_of_shards() {
    let mut first: Option<Vec<Vec<Obligation>>> = None;
    for shards in SHARDS {
        let d = Deployment::new(5, 4).await;
        let mut d = d.restart(&["--shards", shards]).await;
        history(&mut d).await;
        let seen = Seen::of(&mut d.client, &d.world).await;
        let first = first.get_or_insert_with(|| seen.obligations.clone());
        assert_eq!(&seen.obligations, first, "{shards} shards");
    }
}

#[tokio::test]
async fn a_second_engine_on_the_directory_is_refused_and_the_first_goes_on() {
    let mut d = Deployment::new(1, 1).await;
    let text = Launch::new(&d.data()).refusal();
    assert!(text.contains("in use by another engine"), "{text}");
    assert_eq!(d.client.submit(&[d.world.voucher(0, 0, 0, 1)]).await.credited, 1);
    let mut d = d.restart(&[]).await;
    assert_eq!(d.client.window(1).await.number, 1);
}

#[tokio::test]
async fn another_networks_directory_is_refused() {
    let d = Deployment::new(1, 1).await;
    let network = d.world.network.to_string();
    let data = d.data();
    let Deployment { engine, dir, .. } = d;
    engine.stop().await;
    let other = "ab".repeat(32);
    let text = Launch::new(&data).args(&["--network-id", &other]).refusal();
    assert!(text.contains(&network) && text.contains(&other), "{text}");
    Engine::start(&data, &["--network-id", &network]).stop().await;
    drop(dir);
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
    let text = Launch::new(dir.path()).refusal();
    assert!(text.contains("other files"), "{text}");
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"], "nothing was added");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    // A file where the directory should be, and one on the way to it: refused whoever runs the
    // test.
    for place in [file.clone(), file.join("data")] {
        let text = Launch::new(&place).refusal();
        assert!(text.contains(&*file.to_string_lossy()), "{text}");
    }
    let locked = dir.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    let mut permissions = locked.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&locked, permissions).unwrap();
    // Permissions do not bind root, who may run this test.
    if std::fs::write(locked.join("probe"), "").is_err() {
        let text = Launch::new(&locked).refusal();
        assert!(text.contains("locked"), "{text}");
    }
}

/// Starts an engine on a damaged copy: it must refuse the start or a call with a text, or hold
/// exactly what was there. Returns whether it refused.
async fn refuses_or_holds_all(copy: &Path, world: &World, seen: &Seen, what: &str) -> bool {
    match Launch::new(copy).try_start() {
        Err(exit) => {
            assert!(exit.status.code().is_some_and(|code| code != 0), "{what}: {}", exit.status);
            let text = exit.stderr;
            assert!(!text.contains("panicked at"), "{what}: a panic is no text:\n{text}");
            let helps = ["record", "damaged", "orrupt", "manifest", "MANIFEST"];
            assert!(helps.iter().any(|word| text.contains(word)), "{what}: {text:?}");
            true
        }
        Ok(engine) => {
            let (engine, world) = (std::sync::Arc::new(engine), world.clone());
            let served = engine.clone();
            let look = tokio::spawn(async move {
                let mut client = Client::connect(&served).await;
                Seen::try_of(&mut client, &world).await
            });
            match look.await {
                // What is kept of the past is read, and checked, when it is asked for.
                Ok(Err(status)) if is_damage(&status) => true,
                Ok(Ok(now)) => {
                    assert_eq!(&now, seen, "{what}: started with another content");
                    false
                }
                // What is kept of a batch that is being settled is read after the start: the engine
                // that finds it damaged stops at once.
                Ok(Err(_)) | Err(_) => {
                    let engine = std::sync::Arc::into_inner(engine).expect("nobody else holds it");
                    let exit = engine.ended();
                    let text = exit.stderr;
                    assert!(!exit.status.success(), "{what}: {}", exit.status);
                    assert!(text.contains("stopping at once"), "{what}: {text}");
                    assert!(text.contains("orrupt") || text.contains("damaged"), "{what}: {text}");
                    true
                }
            }
        }
    }
}

fn is_log(name: &str) -> bool {
    name.ends_with(".log")
}

/// Damages copies of `data` with `damage` and counts, per kind of file, (tries, refusals).
async fn damaged(
    data: &Path,
    (world, seen): (&World, &Seen),
    samples: u64,
    mut damage: impl FnMut(&Path, u64) -> String,
) -> BTreeMap<String, (u32, u32)> {
    let copy = data.with_extension("copy");
    let mut found: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let kinds = |name: &str| {
        is_log(name) || name.ends_with(".sst") || name.starts_with("MANIFEST-") || name == "CURRENT"
    };
    for path in files(data, kinds) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = name.trim_matches(|c: char| c.is_ascii_digit() || ".-".contains(c)).to_owned();
        for sample in 0..samples {
            copy_dir(data, &copy);
            let what = format!("{name}: {}", damage(&copy.join(&name), sample));
            let refused = refuses_or_holds_all(&copy, world, seen, &what).await;
            let counts = found.entry(kind.clone()).or_default();
            *counts = (counts.0 + 1, counts.1 + u32::from(refused));
            std::fs::remove_dir_all(&copy).unwrap();
        }
    }
    found
}

#[tokio::test]
async fn a_flipped_bit_is_never_taken_for_the_truth() {
    let (dir, world, seen) = stopped().await;
    let data = dir.path().join("data");
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let found = damaged(&data, (&world, &seen), 12, |path, _| flip_somewhere(path, &mut rng));
    let found = found.await;
    assert!(found["sst"].1 > 0 && found["MANIFEST"].1 > 0, "too little was noticed: {found:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_of_a_killed_engine_is_refused() {
    let mut d = Deployment::new(5, 4).await;
    history(&mut d).await;
    let seen = Seen::of(&mut d.client, &d.world).await;
    let data = d.data();
    let Deployment { engine, dir, world, .. } = d;
    engine.kill9();
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let found = damaged(&data, (&world, &seen), 40, |path, _| flip_somewhere(path, &mut rng));
    let found = found.await;
    assert_eq!(found["log"].0, found["log"].1, "a flip was not noticed: {found:?}");
    drop(dir);
}

/// Flips a bit of a file.
fn flip_somewhere(path: &Path, rng: &mut ChaCha8Rng) -> String {
    let length = usize::try_from(path.metadata().unwrap().len()).unwrap();
    let (byte, bit) = (rng.random_range(0..length), rng.random_range(0..8));
    flip_bit(path, byte, bit);
    format!("bit {bit} of byte {byte} of {length} flipped")
}

#[tokio::test]
async fn a_cut_off_end_is_never_taken_for_the_truth_after_a_clean_stop() {
    let (dir, world, seen) = stopped().await;
    let data = dir.path().join("data");
    let found = damaged(&data, (&world, &seen), 8, |path, sample| {
        let length = path.metadata().unwrap().len();
        let cut =
            [1, 7, 40, 100, 400, length / 3, length / 2, length][usize::try_from(sample).unwrap()];
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length.saturating_sub(cut)).unwrap();
        format!("{cut} of {length} bytes cut off")
    });
    let found = found.await;
    assert_eq!(found["sst"].0, found["sst"].1, "every table file is needed: {found:?}");
}

#[tokio::test]
async fn an_unfinished_last_write_is_cut_off_and_can_be_sent_again() {
    let mut d = Deployment::new(1, 1).await;
    assert_eq!(d.client.submit(&[d.world.voucher(0, 0, 0, 41)]).await.credited, 1);
    let party_id: bytes::Bytes = d.world.payers[0].party.0.to_vec().into();
    let deposit = RecordDepositRequest {
        request_id: request_id("deposit"),
        party_id: party_id.clone(),
        asset: World::PAIRS,
        amount: "9".into(),
        reference: String::new(),
    };
    let data = d.data();
    let mark = data.join("tallystick.mark");
    let marked = std::fs::read(&mark).unwrap();
    d.client.operator.record_deposit(deposit.clone()).await.unwrap();
    let Deployment { engine, dir, world, .. } = d;
    engine.kill9();
    // As if the power had gone while the deposit, the last record, was being written: nothing was
    // acked yet, and nothing says that the journal reaches so far.
    std::fs::write(&mark, marked).unwrap();
    let log = files(&data, is_log).pop().expect("a killed engine leaves its log");
    let bytes = std::fs::read(&log).unwrap();
    // Room that was set aside for the log but not written is zero.
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("records were written") + 1;
    std::fs::write(&log, &bytes[..written - 5]).unwrap();

    let engine = Engine::start(&data, &[]);
    let mut client = Client::connect(&engine).await;
    let ask = GetExposureRequest { party_id, asset: World::PAIRS };
    let exposure = client.operator.get_exposure(ask.clone()).await.unwrap().into_inner();
    assert_eq!((&*exposure.prefund, &*exposure.unsettled), ("0", "41"));
    for _ in 0..2 {
        client.operator.record_deposit(deposit.clone()).await.unwrap();
    }
    let exposure = client.operator.get_exposure(ask).await.unwrap().into_inner();
    assert_eq!(exposure.prefund, "9");
    assert_eq!(client.submit(&[world.voucher(0, 0, 0, 42)]).await.credited, 1);
    engine.stop().await;
    drop(dir);
}

#[tokio::test]
async fn a_killed_engines_log_that_lost_acked_records_is_refused() {
    let mut d = Deployment::new(1, 1).await;
    let ack = d.client.submit(&[d.world.voucher(0, 0, 0, 41)]).await;
    let data = d.data();
    let Deployment { engine, dir, .. } = d;
    engine.kill9();
    // It ends like an unfinished write, but the mark says that the voucher's record was durable.
    let log = files(&data, is_log).pop().expect("a killed engine leaves its log");
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 5]).unwrap();
    let text = Launch::new(&data).refusal();
    assert!(text.contains(&format!("known to reach record {}", ack.lsn)), "{text}");
    assert_eq!(
        std::fs::read(&log).unwrap(),
        &bytes[..bytes.len() - 5],
        "what is left is left alone"
    );
    drop(dir);
}
