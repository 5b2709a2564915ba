//! The load generator against the engine: two programs that share nothing but the contract agree.

use serde_json::Value;
use std::process::Output;
use tallystick_tests::{Engine, Launch, run_cli, run_loadgen};

#[track_caller]
fn report(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {error}\n{text}", output.status);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON object: {text}"))
}

#[track_caller]
fn agrees(report: &Value, vouchers: u64) {
    assert_eq!(report["books_match"], true, "{}", report["differences"]);
    assert_eq!(report["sums_to_zero"], true);
    assert_eq!(
        (&report["unexpected_outcomes"], &report["differences_count"]),
        (&0.into(), &0.into())
    );
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("vouchers_sent"), vouchers);
    assert_eq!(count("credited") + count("stale") + count("rejected"), vouchers);
}

#[test]
fn books_match_in_closed_and_open_loop_with_every_kind_of_voucher() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &[]);
    let common = [
        "run",
        "--json",
        "--target",
        engine.address(),
        "--vouchers",
        "20000",
        "--payers",
        "300",
        "--payees",
        "80",
        "--lanes",
        "2",
        "--seed",
        "7",
        "--stale",
        "5%",
        "--bad-signature",
        "3%",
        "--over-limit",
        "2%",
        "--frame",
        "100",
    ];
    let closed = report(&run_loadgen(&common));
    agrees(&closed, 20_000);
    assert_eq!(closed["loop"], "closed");
    for kind in ["stale", "rejected", "credited", "pairs", "positions"] {
        assert!(closed[kind].as_u64().unwrap() > 0, "{kind}: {closed}");
    }
    let open = ["--no-setup", "--run", "1", "--rate", "50000"];
    let open = report(&run_loadgen(&[&common[..], &open].concat()));
    agrees(&open, 20_000);
    assert_eq!(open["loop"], "open");
    let bilateral = [
        "--asset",
        "2",
        "--model",
        "bilateral",
        "--run",
        "2",
        "--frame",
        "1",
        "--vouchers",
        "2000",
    ];
    let args: Vec<&str> = common
        .iter()
        .filter(|arg| !["20000", "--vouchers", "--frame", "100"].contains(*arg))
        .copied()
        .collect();
    agrees(&report(&run_loadgen(&[&args[..], &bilateral].concat())), 2_000);
    engine.terminate();
}

/// The real configuration has operators, and no rehearsal of it was possible.
#[test]
fn an_engine_with_operators_is_loaded_with_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ann.token");
    let file = file.to_str().unwrap();
    let made = run_cli(&["operator", "token", "--name", "ann", "--out", file, "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let config = format!("[operators]\n{}\n", made["config"].as_str().unwrap());
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let run = ["run", "--json", "--server", engine.address(), "--vouchers", "1000"];
    let run = [&run[..], &["--payers", "30", "--payees", "2"]].concat();
    let refused = run_loadgen(&run);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("token"), "{said}");
    agrees(&report(&run_loadgen(&[&run[..], &["--token-file", file]].concat())), 1_000);
    let both = run_loadgen(&[&run[..], &["--token-file", file, "--both", "50%"]].concat());
    let said = String::from_utf8(both.stderr).unwrap();
    assert_eq!(both.status.code(), Some(2), "{said}");
    engine.terminate();
}

#[test]
fn the_demo_settles_what_it_sent() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let engine = tallystick_tests::binary("TALLYSTICK_BIN", "tallystick");
    let (demo_text, engine) = (demo.to_string_lossy(), engine.to_string_lossy());
    let args = ["demo", "--engine", &engine, "--dir", &demo_text, "--vouchers", "5000"];
    // A second demo takes the place of the first.
    for _ in 0..2 {
        let output = run_loadgen(&args);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}\n{told}", output.status);
        let text = std::fs::read_to_string(demo.join("report.json")).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        agrees(&report, 5_000);
        assert!(report["batch_legs"].as_u64().unwrap() > 0, "{report}");
        // It has played the bank, and says so.
        assert_eq!(report["batch_state"], "SETTLED", "{report}");
        assert!(!report["bank_answered"].as_array().unwrap().is_empty(), "{report}");
        assert!(told.contains("The bank, played by this demo"), "{told}");
    }
    // A folder that is not a demo's is left alone.
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "precious").unwrap();
    let other_text = other.to_string_lossy();
    let output =
        run_loadgen(&["demo", "--engine", &engine, "--dir", &other_text, "--vouchers", "9"]);
    assert!(!output.status.success() && other.join("thesis.txt").exists());
}

#[test]
fn payments_over_http_are_what_is_owed() {
    let dir = tempfile::tempdir().unwrap();
    let x402 = dir.path().join("x402");
    let engine = tallystick_tests::binary("TALLYSTICK_BIN", "tallystick");
    let (dir_text, engine) = (x402.to_string_lossy(), engine.to_string_lossy());
    let place = ["x402", "--engine", &engine, "--dir", &dir_text, "--rounds", "1"];
    let load = ["--buyers", "8", "--payments", "20", "--warm-up", "2"];
    let output = run_loadgen(&[&place[..], &load[..]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {error}\n{text}", output.status);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["books_match"], true, "{text}");
    assert!(last["pairs_per_second"].as_f64().unwrap() > 0.0, "{text}");
    assert!(last["p99_ms"].as_f64().unwrap() > 0.0, "{text}");
    assert!(!x402.exists(), "the engines' data is removed");
}
