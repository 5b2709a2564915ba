//! What is tried until its fate is known: pauses, what is said meanwhile, and when it is given up.

use super::error::StreamError;
use super::limits::{OUTAGE_MAX, SAY_EVERY, TRIES_AT_ONE};
use super::wire::Wire;
use std::time::Duration;

/// How long something has been tried.
pub(super) struct Trying {
    since: Duration,
    said: Duration,
    /// How often it came to nothing.
    tries: u64,
}

impl Trying {
    pub fn new(link: &dyn Wire) -> Self {
        Self { since: link.now(), said: link.now(), tries: 0 }
    }

    /// Waits a little, says now and then for how long, and gives up after too long.
    ///
    /// # Errors
    /// `Outage`.
    pub fn wait(&mut self, link: &dyn Wire, why: &str, silent: bool) -> Result<(), StreamError> {
        let now = link.now();
        let seconds = (now - self.since).as_secs();
        link.vitals().wait(seconds);
        if now - self.since > OUTAGE_MAX {
            return Err(StreamError::Outage { seconds, why: why.to_owned() });
        }
        if now - self.said > SAY_EVERY {
            self.said = now;
            let advice = link.advice();
            tracing::error!(seconds, %why, "no append is acknowledged, and nothing is acked: {advice}");
        }
        self.tries += 1;
        // One that refuses at once, each time, may be cut off from all others.
        link.pause(silent || self.tries.is_multiple_of(TRIES_AT_ONE));
        Ok(())
    }
}
