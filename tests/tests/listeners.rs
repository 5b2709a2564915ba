//! A listener that ends by itself takes the engine with it, which says which one it was and why;
//! a listener without webhooks serves monitors.

use tallystick_tests::Launch;
use tallystick_tests::house::{House, done};
use tallystick_tests::page::{get, post};

const FAULT: &str = "TALLYSTICK_FAULT_LISTENER_ENDS";

/// A listener whose task had ended left an engine that looked well and served nobody.
#[test]
fn a_listener_that_ends_stops_the_engine_with_its_reason_and_loses_nothing() {
    let mut house = House::new(&["ann"]);
    let before = done(&house.cli("ann", &["history"]));
    let engine = house.engine.take().expect("it runs");
    engine.terminate();
    for kind in ["gRPC", "HTTP"] {
        // Ready or not when it ended, it says why.
        let exit = match house.launch.clone().fault(FAULT, kind).try_start() {
            Ok(engine) => engine.ended(),
            Err(exit) => exit,
        };
        assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
        let why = format!("a listener ended by itself (that for {kind}: nothing told it to stop)");
        assert!(exit.stderr.contains(&why), "{}", exit.stderr);
        assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    }
    // The journal was closed as by any stop.
    house.engine = Some(house.launch.start());
    let log = house.engine.as_ref().expect("it runs").stderr();
    assert!(!log.contains("cutting off"), "{log}");
    assert_eq!(done(&house.cli("ann", &["history"])), before);
}

/// In every form in which a listener can be given.
#[test]
fn a_listener_without_webhooks_serves_monitors_however_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let short = "listen_http = \"127.0.0.1:0\"\n";
    let table = "[[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"grpc\"\n\
                 [[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n";
    for config in [short, table] {
        let launch = Launch::new(&data).config(config);
        let engine = launch.start();
        let http = engine.http().unwrap();
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(get(http, path, None).status, 200, "{path}");
        }
        let webhook = post(http, "/webhooks/card", "{}");
        assert!(webhook.status == 404 && webhook.text.contains("[rail.card]"), "{webhook:?}");
        assert_eq!(get(http, "/", None).status, 404);
        engine.terminate();
    }
}
