//! What is tried until its fate is known: pauses, what is said meanwhile, and when it is given up.

use super::error::StreamError;
use super::limits::{OUTAGE_MAX, SAY_EVERY, TRIES_AT_ONE};
use super::link::Link;
use std::time::Instant;

/// How long something has been tried.
pub(super) struct Trying {
    since: Instant,
    said: Instant,
    /// How often it came to nothing.
    tries: u64,
}

impl Trying {
    pub fn new() -> Self {
        Self { since: Instant::now(), said: Instant::now(), tries: 0 }
    }

    /// Waits a little, says now and then for how long, and gives up after too long.
    ///
    /// # Errors
    /// `Outage`.
    pub fn wait(&mut self, link: &Link, why: &str, silent: bool) -> Result<(), StreamError> {
        let seconds = self.since.elapsed().as_secs();
        link.vitals.wait(seconds);
        if self.since.elapsed() > OUTAGE_MAX {
            return Err(StreamError::Outage { seconds, why: why.to_owned() });
        }
        if self.said.elapsed() > SAY_EVERY {
            self.said = Instant::now();
            let advice = advice(link);
            tracing::error!(seconds, %why, "no append is acknowledged, and nothing is acked: {advice}");
        }
        self.tries += 1;
        // One that refuses at once, each time, may be cut off from all others.
        link.pause(silent || self.tries.is_multiple_of(TRIES_AT_ONE));
        Ok(())
    }
}

/// What a person can do, by what the servers say of themselves.
fn advice(link: &Link) -> String {
    let Ok(Some(info)) = link.try_info() else {
        return "no server describes the stream: start them; a quorum is needed".into();
    };
    let Some(cluster) = info.cluster else { return "the stream is in no cluster".into() };
    let behind = cluster.replicas.iter().filter(|of| !of.current || of.offline);
    let behind: Vec<&str> = behind.map(|of| &of.name[..]).collect();
    match (cluster.leader, behind.is_empty()) {
        (None, _) => "the stream has no leader: start the servers that are missing".into(),
        (Some(_), false) => format!("replicas are behind or gone: {}", behind.join(", ")),
        (Some(leader), true) => format!(
            "the stream calls itself healthy; when this lasts for more than a minute, restart the server of its \
             leader, {leader}"
        ),
    }
}
