//! Evidence leaves the engine and is checked without it: exports, proofs, receipts, audits.

use std::fs;
use std::path::Path;
use tallystick_tests::wire::{ApproveBatchRequest, RotateEngineKeyRequest};
use tallystick_tests::{Deployment, World, flip_bit, request_id, run_cli};

fn cli(server: &str, args: &[&str]) -> (bool, String, String) {
    let args: Vec<&str> = ["--server", server].into_iter().chain(args.iter().copied()).collect();
    let done = run_cli(&args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.success(), text(&done.stdout), text(&done.stderr))
}

fn ok(server: &str, args: &[&str]) -> String {
    let (success, out, err) = cli(server, args);
    assert!(success, "{args:?}: {out}{err}");
    out
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

/// Two windows with a batch and a rotation of the key between them.
async fn two_windows() -> Deployment {
    let mut d = Deployment::new(2, 2).await;
    let first: Vec<_> = (0..2).flat_map(|p| (0..2).map(move |q| (p, q))).collect();
    let vouchers: Vec<_> =
        first.iter().map(|&(payer, payee)| d.world.voucher(payer, payee, 0, 1_234_567)).collect();
    d.client.submit(&vouchers).await;
    d.client.close_window().await;
    let batch = d.client.create_batch(&[1], World::PAIRS).await.unwrap();
    let approve = ApproveBatchRequest {
        request_id: request_id("approve"),
        batch_id: batch.batch_id,
        ..Default::default()
    };
    d.client.operator.approve_batch(approve).await.unwrap();
    let rotate = RotateEngineKeyRequest { request_id: request_id("rotate") };
    let set = d.client.operator.rotate_engine_key(rotate.clone()).await.unwrap().into_inner();
    let again = d.client.operator.rotate_engine_key(rotate).await.unwrap().into_inner();
    assert_eq!(set, again, "a retry makes no other key");
    let voucher = d.world.voucher(0, 0, 0, 2_000_000);
    d.client.submit(&[voucher]).await;
    d.client.close_window().await;
    d
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_proofs_and_receipts_are_checked_without_the_engine() {
    let d = two_windows().await;
    let (server, dir) = (d.engine.address().to_owned(), d.dir.path().to_owned());
    let file = |name: &str| dir.join(name);
    let (export, pair) = (file("e.tallyexp"), file("pair.json"));
    let (position, receipt) = (file("position.json"), file("receipt.json"));
    let (payer, payee) = (d.world.payers[0].party.to_string(), d.world.payees[0].to_string());
    ok(&server, &["evidence", "export", "1", "2", "--out", path(&export)]);
    let asset = World::PAIRS.to_string();
    let of = ["--asset", &asset, "--payer", &payer, "--payee", &payee, "--out", path(&pair)];
    ok(&server, &[&["proof", "pair", "2"][..], &of].concat());
    let of = ["--asset", &asset, "--party", &payee, "--pairs", "--out", path(&position)];
    ok(&server, &[&["proof", "position", "1"][..], &of].concat());
    let (signer, expires) = (d.world.payers[0].key().to_string(), d.world.expires_at.to_string());
    let of = ["--signer", &signer, "--payee", &payee, "--asset", &asset, "--expires-at", &expires];
    ok(&server, &[&["receipt", "--out", path(&receipt)][..], &of].concat());
    let network = d.world.network.to_string();
    let Deployment { client, engine, .. } = d;
    drop(client);
    engine.stop().await;

    let report = json(&ok(&server, &["audit", path(&export), "--json"]));
    assert_eq!(
        (&report["ok"], &report["windows"], &report["batches"]),
        (&true.into(), &2.into(), &1.into())
    );
    assert_eq!(report["network_id"], network);
    // Who knows the first key, and holds a receipt, sees that the history is the engine's and is
    // whole.
    let first = report["first_engine_key"].as_str().unwrap().to_owned();
    assert_ne!(report["engine_key"], first, "it was rotated");
    let known = ["--engine-key", &first, "--receipt", path(&receipt), "--json"];
    let checked = json(&ok(&server, &[&["audit", path(&export)][..], &known].concat()));
    assert_eq!((&checked["ok"], &checked["receipts"]), (&true.into(), &1.into()));
    let (success, _, err) = cli(&server, &["audit", path(&export), "--engine-key", &signer]);
    assert!(!success && err.contains("the engine's first key"), "{err}");
    for document in [&pair, &position, &receipt] {
        let checked = json(&ok(&server, &["proof", "check", path(document), "--json"]));
        assert_eq!(
            (&checked["ok"], &checked["network_id"]),
            (&true.into(), &network.as_str().into())
        );
        let text = fs::read_to_string(document).unwrap();
        fs::write(document, text.replacen('7', "8", 1)).unwrap();
        let (success, _, err) = cli(&server, &["proof", "check", path(document)]);
        assert!(!success && err.contains("proves nothing"), "{err}");
    }
    let length = fs::read(&export).unwrap().len();
    for at in (0..length).step_by(97) {
        flip_bit(&export, at, 3);
        let (success, out, _) = cli(&server, &["audit", path(&export), "--json"]);
        assert!(!success, "byte {at}");
        // Where a bit of its first bytes is another one, it is no export at all.
        let told = json(&out);
        let is_none = at < 16 && told["error"].is_string();
        assert!(told["first_difference"].is_object() || is_none, "{out}");
        flip_bit(&export, at, 3);
    }
    ok(&server, &["audit", path(&export)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_is_audited_when_no_engine_runs_on_it() {
    let d = two_windows().await;
    let (server, data) = (d.engine.address().to_owned(), d.data());
    let (success, _, err) = cli(&server, &["audit", "--data-dir", path(&data)]);
    assert!(!success && err.contains("in use by another engine"), "{err}");
    let Deployment { client, engine, dir, .. } = d;
    drop(client);
    engine.stop().await;
    let report = json(&ok(&server, &["audit", "--data-dir", path(&data), "--json"]));
    assert_eq!((&report["ok"], &report["windows"]), (&true.into(), &2.into()));
    assert!(report["frames"].as_u64().unwrap() > 0, "{report}");
    drop(dir);
}
