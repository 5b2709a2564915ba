//! The servers of the journal's stream, where it is kept in one.

use super::super::store;
use super::Finding;
use crate::config::Config;
use crate::jetstream::{self, Seen};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let what = "journal";
    let Some(settings) = store::stream(config) else { return Vec::new() };
    let found = |seen| match seen {
        Seen::Good(text) => Finding::ok(what, text),
        Seen::Doubtful(text) => Finding::warning(what, text),
        Seen::Bad(text) => Finding::critical(what, text),
    };
    jetstream::examine(&settings).into_iter().map(found).collect()
}
