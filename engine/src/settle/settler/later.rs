//! Files that could not be dealt with, and when each is tried again. Bounded by what lies in the
//! folders.

use crate::ledger::Rail;
use crate::limits::{FILE_AGAIN_MAX, FILE_AGAIN_MIN};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What is tried again later, by rail and name.
#[derive(Default)]
pub(super) struct Later(BTreeMap<(Rail, String), Put>);

struct Put {
    at: Instant,
    wait: Duration,
    why: String,
}

impl Later {
    /// Whether a file may be tried now.
    pub fn is_due(&self, rail: Rail, name: &str) -> bool {
        let put = self.0.get(&(rail, name.to_owned()));
        put.is_none_or(|put| put.at <= Instant::now())
    }

    /// A file failed: each wait is twice the one before.
    pub fn put_off(&mut self, rail: Rail, name: &str, why: &str) {
        let of = (rail, name.to_owned());
        let wait = self.0.get(&of).map_or(FILE_AGAIN_MIN, |put| put.wait * 2).min(FILE_AGAIN_MAX);
        self.0.insert(of, Put { at: Instant::now() + wait, wait, why: why.to_owned() });
    }

    /// A file is done with.
    pub fn forget(&mut self, rail: Rail, name: &str) {
        self.0.remove(&(rail, name.to_owned()));
    }

    /// Only these are still there.
    pub fn retain(&mut self, rail: Rail, names: &[String]) {
        let there: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        self.0.retain(|(of, name), _| *of != rail || there.contains(name.as_str()));
    }

    /// Why each is not dealt with.
    pub fn reasons(&self, rail: Rail) -> impl Iterator<Item = String> + '_ {
        let own = self.0.iter().filter(move |((of, _), _)| *of == rail);
        own.map(|(_, put)| put.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_failed_waits_longer_each_time_and_others_do_not_wait_for_it() {
        let mut later = Later::default();
        let rail = Rail::Iso20022;
        later.put_off(rail, "a", "no permission");
        assert!(!later.is_due(rail, "a") && later.is_due(rail, "b"));
        assert!(later.is_due(Rail::Nacha, "a"));
        let wait = |later: &Later| later.0.values().next().unwrap().wait;
        assert_eq!(wait(&later), FILE_AGAIN_MIN);
        later.put_off(rail, "a", "no permission");
        assert_eq!(wait(&later), FILE_AGAIN_MIN * 2);
        (0..40).for_each(|_| later.put_off(rail, "a", "no permission"));
        assert_eq!(wait(&later), FILE_AGAIN_MAX);
        assert_eq!(later.reasons(rail).collect::<Vec<_>>(), ["no permission"]);
        later.retain(rail, &[]);
        assert!(later.is_due(rail, "a") && later.0.is_empty());
    }
}
