//! A clock that cannot be right is refused at the start, unless the operator says that it is.
//!
//! The binary with faults is told what its clock says; nobody's clock is set.

use std::time::SystemTime;
use tallystick_tests::{Client, Deployment, Launch};

const HOUR: i64 = 3_600 * 1_000_000;
const DAY: i64 = 24 * HOUR;

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before the year 294,000")
}

#[tokio::test]
async fn a_clock_that_cannot_be_right_is_refused_unless_the_operator_accepts_it() {
    let Deployment { mut client, world, engine, dir } = Deployment::new(1, 1).await;
    assert_eq!(client.submit(&[world.voucher(0, 0, 0, 1)]).await.credited, 1);
    drop(client);
    engine.stop().await;
    let data = dir.path().join("data");
    let at = |clock: i64| Launch::new(&data).fault("TALLYSTICK_FAULT_CLOCK", &clock.to_string());
    for (clock, words) in
        [(now() - 2 * DAY, "days"), (0, "1970-01-01"), (now() + 400 * DAY, "days")]
    {
        let text = at(clock).refusal();
        let helps = text.contains(words) && text.contains("--accept-clock");
        assert!(helps && text.contains("Set the clock"), "{text}");
    }
    // Nothing was written, so the right clock is still right. Then an hour back, which is believed:
    // the records' time goes on, so a window is never cut before the one before it.
    let mut cut = 0;
    for (clock, accepted) in [(now(), false), (now() - HOUR, false), (now() - 2 * DAY, true)] {
        let launch = if accepted { at(clock).args(&["--accept-clock"]) } else { at(clock) };
        let engine = launch.start();
        let mut client = Client::connect(&engine).await;
        let window = client.close_window().await;
        assert!(window.cut_at_us >= cut, "{window:?} after {cut}");
        cut = window.cut_at_us;
        drop(client);
        engine.stop().await;
    }
    // A year ahead, accepted: the voucher of today has expired. That is why it is not taken for
    // granted.
    let engine = at(now() + 400 * DAY).args(&["--accept-clock"]).start();
    let mut client = Client::connect(&engine).await;
    assert_eq!(client.submit(&[world.voucher(0, 0, 0, 2)]).await.rejected, 1);
    engine.kill9();
}
