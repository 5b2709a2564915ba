//! Looks at servers, stream and replicas, and changes nothing.

use super::beside;
use super::error::StreamError;
use super::fit;
use super::limits::{BEHIND_WAIT, PAUSE};
use super::link::Link;
use super::monitor::{self, NO_SYNC, Replica};
use super::settings::Settings;
use std::collections::BTreeMap;
use std::time::Instant;

/// One thing that was looked at: what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// As it should be.
    Good(String),
    /// Somebody should see to it.
    Doubtful(String),
    /// The engine does not start like this, or what was acked may be lost.
    Bad(String),
}

/// Looks at everything.
#[must_use]
pub fn examine(settings: &Settings) -> Vec<Seen> {
    let mut seen: Vec<Seen> = settings.monitors.iter().map(|of| server(of)).collect();
    if settings.monitors.is_empty() {
        seen.push(Seen::Doubtful(
            "no monitoring address is configured, so nobody sees whether the servers sync, and whether all replicas \
             hold the same: set journal.monitors"
                .into(),
        ));
    }
    seen.push(stream(settings).unwrap_or_else(|error| Seen::Bad(error.to_string())));
    seen.extend(replicas(settings));
    for name in beside::names(settings) {
        seen.extend(replicas_beside(settings, &name));
    }
    seen
}

/// Compares what every replica of a stream beside the journal's holds. Messages are missing there
/// by design: all must hold as many, up to the same one.
fn replicas_beside(settings: &Settings, stream: &str) -> Vec<Seen> {
    let deadline = Instant::now() + BEHIND_WAIT;
    loop {
        let look = |address: &String| monitor::replica(address, stream).ok().flatten();
        let found: Vec<Replica> = settings.monitors.iter().filter_map(look).collect();
        let Some(first) = found.first() else { return Vec::new() };
        if found.iter().all(|of| of == first) {
            let (count, messages) = (found.len(), first.messages);
            return vec![Seen::Good(format!(
                "{count} replicas of {stream} hold {messages} messages"
            ))];
        }
        // They differ for a moment while somebody writes.
        if Instant::now() > deadline {
            let each: Vec<String> = found
                .iter()
                .map(|of| format!("{} up to {}, {} missing", of.messages, of.range.1, of.deleted))
                .collect();
            return vec![Seen::Bad(format!(
                "the replicas of {stream} do not hold the same ({}): while nobody writes, and while both others run, \
                 are current and have a leader, stop the server that holds least, empty its store, start it again, so \
                 that it is filled from them; one server at a time",
                each.join("; ")
            ))];
        }
        std::thread::sleep(PAUSE);
    }
}

fn server(address: &str) -> Seen {
    match monitor::server(address) {
        Ok(of) if of.sync_always => Seen::Good(format!("server {} syncs every append", of.name)),
        Ok(of) => Seen::Bad(format!("server {}: {NO_SYNC}", of.name)),
        Err(why) => Seen::Bad(format!("{address} does not answer: {why}")),
    }
}

fn stream(settings: &Settings) -> Result<Seen, StreamError> {
    let (link, name) = (Link::connect(settings)?, &settings.stream);
    let Some(info) = link.info()? else {
        return Ok(Seen::Doubtful(format!(
            "there is no stream {name}; the first start with --init makes it"
        )));
    };
    if let Err(why) = fit::check(&info) {
        return Ok(Seen::Bad(format!("stream {name}: {why}")));
    }
    let last = info.state.last_sequence;
    let Some(of) = info.cluster else {
        return Ok(Seen::Bad(format!("stream {name} is in no cluster")));
    };
    let behind: Vec<String> =
        of.replicas.into_iter().filter(|of| !of.current || of.offline).map(|of| of.name).collect();
    Ok(match of.leader {
        None => {
            Seen::Bad(format!("stream {name} has no leader: start the servers that are missing"))
        }
        Some(_) if !behind.is_empty() => {
            Seen::Bad(format!("stream {name}: replicas are behind or gone: {}", behind.join(", ")))
        }
        Some(leader) => Seen::Good(format!(
            "stream {name} is fit, its leader is {leader}, all replicas follow it, its last message is {last}"
        )),
    })
}

/// Compares what every replica holds. The last message may differ for a moment while somebody
/// writes.
fn replicas(settings: &Settings) -> Vec<Seen> {
    // One that does not answer was named above.
    let look = |address: &str| monitor::replica(address, &settings.stream).ok().flatten();
    let mut found: BTreeMap<&str, Replica> = BTreeMap::new();
    for address in &settings.monitors {
        found.extend(look(address).map(|of| (&address[..], of)));
    }
    let most = found.values().map(|of| of.range.1).max().unwrap_or(0);
    let deadline = Instant::now() + BEHIND_WAIT;
    for (address, of) in &mut found {
        while of.range.1 < most && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
            *of = look(address).unwrap_or_else(|| of.clone());
        }
    }
    let mut seen = Vec::new();
    for (address, of) in &found {
        let (first, last) = of.range;
        if last < most {
            seen.push(Seen::Bad(format!(
                "the replica at {address} ends with message {last}, and another one with {most}: start its server \
                 again, and wait until it is current; touch no other server meanwhile"
            )));
        }
        let whole = last.checked_sub(first).map_or(0, |between| between + 1);
        if of.deleted > 0 || (last > 0 && (first != 1 || of.messages != whole)) {
            seen.push(Seen::Bad(format!(
                "the replica at {address} holds {} messages from {first} to {last}, {} are missing: while both \
                 others run, are current and have a leader, stop that server, empty its store, start it again, so that \
                 it is filled from them; one server at a time",
                of.messages, of.deleted
            )));
        }
    }
    if seen.is_empty() && !found.is_empty() {
        seen.push(Seen::Good(format!("{} replicas hold every message", found.len())));
    }
    seen
}
