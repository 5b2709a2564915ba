//! Webhooks to parties: those that are paused, and whose certificates receivers may show.

use super::Finding;
use crate::config::Config;
use crate::journal::JournalError;
use crate::serve::services;
use crate::settle::paused_hooks;
use std::path::Path;

/// How many are named.
const NAMED: usize = 5;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let roots = config.webhooks.ca_file.as_deref().map(roots);
    roots.into_iter().chain(paused(&config.data_dir)).collect()
}

fn roots(path: &Path) -> Finding {
    let what = "webhooks";
    match services::roots(path) {
        Ok(roots) => {
            let (count, name) = (roots.count(), path.display());
            Finding::ok(what, format!("{count} more authorities of receivers in {name}"))
        }
        Err(why) => Finding::critical(what, format!("ca_file: {why}")),
    }
}

fn paused(data_dir: &Path) -> Option<Finding> {
    let what = "webhooks";
    let paused = match paused_hooks(data_dir) {
        Ok(paused) => paused,
        // Nobody has been told anything yet.
        Err(JournalError::NotAJournal { .. }) => return None,
        Err(error) => {
            let text = format!("how far they were sent cannot be read now: {error}");
            return Some(Finding::warning(what, text));
        }
    };
    if paused.is_empty() {
        return Some(Finding::ok(what, "none is paused"));
    }
    let named = paused.iter().take(NAMED).map(|(endpoint, why)| format!("{} ({why})", endpoint.0));
    let named: Vec<String> = named.collect();
    let more = if paused.len() > NAMED { " and others" } else { "" };
    let text = format!(
        "{} paused, and nothing is told there: {}{more}. Once a receiver works: `tallystick webhook replay \
         NUMBER`",
        paused.len(),
        named.join(", ")
    );
    Some(Finding::warning(what, text))
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn authorities_that_cannot_be_read_are_critical_and_no_ledger_has_no_webhooks() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: dir.path().into(), ..Config::default() };
        assert_eq!(examine(&config), []);
        let file = dir.path().join("ca.pem");
        config.webhooks.ca_file = Some(file.clone());
        let look = |config: &Config| examine(config).remove(0);
        assert!(look(&config).text.contains("does not exist"), "{:?}", look(&config));
        std::fs::write(file, "none").unwrap();
        let found = look(&config);
        assert!(found.health == Health::Critical && found.text.contains("no certificate"));
    }
}
