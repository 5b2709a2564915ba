use super::*;
use crate::rights::Call;

const DOCUMENT: &str = include_str!("../../../../docs/ACCESS.md");

#[test]
fn the_document_says_what_takes_two() {
    let row = |call: &Call| {
        let takes = match call.takes()? {
            Takes::One(why) => format!("one | {why}"),
            Takes::Two => "two | ".to_owned(),
            Takes::TwoBut(but) => format!("two | but one for {but}"),
        };
        Some(format!("| `{}` | {} |", call.name(), takes.trim_end()))
    };
    let rows: Vec<String> = Call::ALL.iter().filter_map(row).collect();
    let shown = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    let shown = shown.filter(|line| line.contains(" | one |") || line.contains(" | two |"));
    assert_eq!(shown.collect::<Vec<_>>(), rows);
}

/// Whatever changes something has a line, and nothing else.
#[test]
fn each_call_that_changes_something_says_who_it_takes() {
    for call in Call::ALL {
        let name = call.name();
        let reads = ["Get", "List", "Find", "Export", "Reveal", "Watch"];
        let reads = reads.iter().any(|of| name.starts_with(of));
        let changes = !reads && ![Call::CreateBackup, Call::CreateConsoleLogin].contains(call);
        assert_eq!(call.takes().is_some(), changes, "{name}");
    }
}
