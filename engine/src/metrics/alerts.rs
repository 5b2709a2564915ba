//! The alert rules name what is in the table, each a runbook, and every runbook has one; each has a
//! test that makes it fire. That they are right is promtool's to say (`.ci/alerts`).

use super::table::ALL;
use std::collections::BTreeSet;
use std::path::Path;

/// Runbooks for what somebody asks for, and no metric shows.
const ASKED_FOR: [&str; 4] = [
    "the-months-end-comparing-with-the-account",
    "erasing-a-party",
    "a-party-asks-what-it-was-paid-and-for-what",
    "an-agents-vouchers-are-over-the-limit",
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// What stands behind a key, on every line that has it.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)).map(str::trim).collect()
}

/// A heading's name in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let begins = text.match_indices("tallystick_").map(|(at, _)| &text[at..]);
    begins.map(|rest| &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]).collect()
}

#[test]
fn alerts_and_their_tests_name_metrics_that_there_are() {
    for path in ["dist/alerts.yml", "dist/alerts.test.yml"] {
        let text = read(path);
        let names = named(&text);
        assert!(names.len() > 20, "{path}: {names:?}");
        for name in names {
            let is_one = |base: &str| ALL.iter().any(|metric| metric.name == base);
            let base = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(is_one(base), "{path} names {name}, which is not in the table");
        }
    }
}

#[test]
fn every_alert_has_a_runbook_and_a_test_and_every_runbook_an_alert() {
    let (rules, tests) = (read("dist/alerts.yml"), read("dist/alerts.test.yml"));
    let alerts = values(&rules, "alert:");
    assert_eq!(alerts.len(), values(&rules, "runbook:").len());
    for alert in &alerts {
        // Not yet, and then.
        let silent = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&silent), "no test says when {alert} is silent");
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "no test makes {alert} fire");
    }
    let manual = read("docs/OPERATIONS.md");
    let headings = |text: &str| -> BTreeSet<String> {
        text.lines().filter_map(|line| line.strip_prefix("### ")).map(anchor).collect()
    };
    let linked: BTreeSet<String> = values(&rules, "runbook:")
        .into_iter()
        .map(|link| link.strip_prefix("OPERATIONS.md#").unwrap_or(link).to_owned())
        .collect();
    let all = headings(&manual);
    let unknown: Vec<_> = linked.difference(&all).collect();
    assert!(unknown.is_empty(), "no such runbook: {unknown:?}");
    let (_, runbooks) = manual.split_once("\n## Runbooks\n").unwrap();
    let runbooks = headings(runbooks.split("\n## ").next().unwrap());
    let silent: BTreeSet<String> = runbooks.difference(&linked).cloned().collect();
    let asked: BTreeSet<String> = ASKED_FOR.map(str::to_owned).into();
    assert_eq!(silent, asked, "runbooks without an alert");
}
