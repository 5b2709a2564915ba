//! `tallystick-large` finds in the files what its batch says, on every rail that works with files.
//! The figures are its own (`make bench-settle`); here it only must not fail.

use std::process::Command;

#[test]
fn the_files_of_a_settled_batch_pay_what_the_batch_says() {
    let small = ["--legs", "300", "--payers", "10", "--rounds", "2"];
    for more in [
        &["--rail", "iso20022", "--dust"][..],
        &["--rail", "iso20022", "--model", "bilateral"],
        &["--rail", "nacha"],
    ] {
        let mut large = Command::new(env!("CARGO_BIN_EXE_tallystick-large"));
        let ran =
            large.args(small).args(more).output().expect("the program was built with this test");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{more:?}: {said}{}", String::from_utf8_lossy(&ran.stderr));
        let last: serde_json::Value = serde_json::from_str(said.trim()).expect("one line of JSON");
        assert_eq!(last["legs"], 300, "{last}");
    }
}
