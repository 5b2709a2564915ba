//! The servers, as a `Wire`.

use super::copy;
use super::error::StreamError;
use super::fold::Stand;
use super::link::{Link, Sent};
use super::wire::{VisitMessage, Wire};
use bytes::Bytes;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tallystick_journal::LogVitals;

/// When time began.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Wire for Link {
    fn stream(&self) -> &str {
        &self.settings().stream
    }

    fn append(&self, subject: &str, message: Bytes, expected: Option<u64>) -> Sent {
        self.append(subject, message, expected)
    }

    fn read(
        &self,
        stand: Stand,
        to: u64,
        patience: Duration,
        visit: &mut VisitMessage<'_>,
    ) -> Result<(), StreamError> {
        self.read(stand, to, patience, visit)
    }

    fn stored(&self) -> Option<u64> {
        // Where nobody describes the stream, nobody has called anything stored.
        self.try_info().ok().flatten().map(|info| info.state.last_sequence)
    }

    fn raise_epoch(&self, last: u64, name: &str) -> Result<u64, StreamError> {
        self.raise_epoch(last, name)
    }

    fn pause(&self, silent: bool) {
        self.pause(silent);
    }

    fn now(&self) -> Duration {
        BEGAN.elapsed()
    }

    fn drawn(&self) -> Result<String, StreamError> {
        copy::drawn()
    }

    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max()
    }

    fn check_takes(&self, bytes: usize) -> Result<(), StreamError> {
        self.check_takes(bytes)
    }

    fn vitals(&self) -> &LogVitals {
        &self.vitals
    }

    fn advice(&self) -> String {
        advice(self)
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
