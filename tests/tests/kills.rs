//! A share of `make crash`: a few rounds of the program that kills the engine under load.

use std::process::Command;

#[test]
fn what_was_acked_survives_kills_under_load_and_of_starts_and_a_stop() {
    let mut crash = Command::new(env!("CARGO_BIN_EXE_tallystick-crash"));
    crash.args(["--rounds", "25", "--life", "13", "--seed", "7", "--stop-seconds", "1"]);
    let done = crash.output().expect("the program was built with this test");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{err}\n{out}");
    let last = out.lines().last().expect("the last line holds the counts");
    let counts: serde_json::Value = serde_json::from_str(last).expect("it is JSON");
    for (name, least) in [("rounds", 25), ("stops", 1), ("acked", 1_000), ("acked_calls", 100)] {
        assert!(counts[name].as_u64().is_some_and(|count| count >= least), "{name}: {last}");
    }
    for name in ["lost", "doubled", "changed", "failures"] {
        assert_eq!(counts[name], 0, "{err}\n{last}");
    }
}
