//! Clients of several addresses, on the real engine, which is killed and comes back at another one
//! of them.

use serde_json::Value;
use std::net::TcpListener;
use tallystick_tests::bank::until;
use tallystick_tests::wire::GetStatusRequest;
use tallystick_tests::{Client, Launch, run_cli, run_loadgen};

/// Vouchers that are sent in all, and when the engine is killed.
const VOUCHERS: u64 = 12_000;
const KILLED_AT: [u64; 2] = [2_000, 6_000];

#[tokio::test(flavor = "multi_thread")]
async fn the_load_generator_goes_on_where_the_engine_is_and_its_books_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, second) = (free(), free());
    let addresses = [&first, &second].map(|free| free.local_addr().unwrap().to_string());
    drop((first, second));
    let start = async |at: usize| {
        let launch = Launch::new(dir.path()).args(&["--listen", &addresses[at]]);
        tokio::task::spawn_blocking(move || launch.start()).await.unwrap()
    };
    let mut engine = start(0).await;
    let servers = addresses.join(",");
    // Small frames, so that some are always under way.
    let (rate, vouchers) = ("3000", VOUCHERS.to_string());
    let args = ["run", "--json", "--server", &servers, "--rate", rate, "--vouchers", &vouchers];
    let args: Vec<String> = args
        .into_iter()
        .chain(["--payers", "200", "--payees", "50", "--frame", "2", "--over-limit", "2%"])
        .map(str::to_owned)
        .collect();
    let run = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run_loadgen(&args)
    });
    for (kill, at) in KILLED_AT.into_iter().enumerate() {
        let mut client = Client::connect(&engine).await;
        until("vouchers are credited", async || {
            assert!(!run.is_finished(), "it ended before it was disturbed");
            let status = client.operator.get_status(GetStatusRequest {}).await.unwrap();
            (status.into_inner().window_vouchers >= at).then_some(())
        })
        .await;
        engine.kill9();
        engine = start((kill + 1) % 2).await;
    }
    let output = run.await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["books_match"], &report["sums_to_zero"]), (&true.into(), &true.into()));
    assert!(report["connections_broken"].as_u64() >= Some(2), "{report}");
    assert!(report["vouchers_sent_again"].as_u64() > Some(0), "no kill met a frame: {report}");
    // A command finds it, too.
    let status = run_cli(&["status", "--json", "--server", &servers]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    drop(engine);
}
