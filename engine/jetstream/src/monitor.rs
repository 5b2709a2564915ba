//! What the servers' monitoring ports say: whether they sync, and what each replica holds. The
//! connection itself says neither.

use super::error::StreamError;
use super::limits::{MONITOR_BYTES_MAX, MONITOR_WAIT};
use super::settings::Settings;
use serde_json::Value;

/// What one server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Its name.
    pub name: String,
    /// Whether every append is on disk before it is acked.
    pub sync_always: bool,
}

/// What one replica of the stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replica {
    /// Messages.
    pub messages: u64,
    /// The first and the last of them.
    pub range: (u64, u64),
    /// How many between them are missing.
    pub deleted: u64,
}

/// Asks a monitoring port.
fn get(address: &str, path: &str) -> Result<Value, String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(MONITOR_WAIT)).build().into();
    let url = format!("{}/{path}", address.trim_end_matches('/'));
    let mut answer = agent.get(&url).call().map_err(|error| error.to_string())?;
    let body = answer.body_mut().with_config().limit(MONITOR_BYTES_MAX).read_to_string();
    let body = body.map_err(|error| error.to_string())?;
    serde_json::from_str(&body).map_err(|error| format!("its answer is no JSON: {error}"))
}

/// What the server at a monitoring address says of itself.
pub(super) fn server(address: &str) -> Result<Server, String> {
    let of = get(address, "varz")?;
    let name = of["server_name"].as_str().unwrap_or(address).to_owned();
    let config = &of["jetstream"]["config"];
    if !config.is_object() {
        return Err(format!("server {name} has no JetStream"));
    }
    Ok(Server { name, sync_always: config["sync_always"].as_bool().unwrap_or(false) })
}

/// What the server at a monitoring address holds of a stream, if anything.
pub(super) fn replica(address: &str, stream: &str) -> Result<Option<Replica>, String> {
    let of = get(address, "jsz?streams=1")?;
    let accounts = of["account_details"].as_array().map_or(&[][..], Vec::as_slice);
    let mut streams = accounts.iter().filter_map(|of| of["stream_detail"].as_array()).flatten();
    let Some(found) = streams.find(|of| of["name"].as_str() == Some(stream)) else {
        return Ok(None);
    };
    let count = |name: &str| found["state"][name].as_u64().unwrap_or(0);
    Ok(Some(Replica {
        messages: count("messages"),
        range: (count("first_seq"), count("last_seq")),
        deleted: count("num_deleted"),
    }))
}

/// What is wrong with a server that does not sync.
pub(super) const NO_SYNC: &str = "it does not sync every append to disk, so that a power cut takes what was acked: \
                                  set sync_interval: always in its jetstream {} and restart it";

/// Refuses servers that do not sync, as far as it is known where to ask.
///
/// # Errors
/// `UnfitServer`.
pub(super) fn check(settings: &Settings) -> Result<(), StreamError> {
    if settings.monitors.is_empty() {
        tracing::warn!(
            "no monitoring address of the journal's servers is configured, so nobody looks whether they sync what \
             they ack: set journal.monitors"
        );
    }
    for address in &settings.monitors {
        match server(address) {
            Ok(Server { sync_always: true, .. }) => {}
            Ok(Server { name, .. }) => {
                return Err(StreamError::UnfitServer { server: name, why: NO_SYNC.into() });
            }
            // One that is down cannot be asked, and is not needed.
            Err(why) => {
                tracing::warn!(%address, %why, "a server of the journal's stream cannot be asked whether it syncs")
            }
        }
    }
    Ok(())
}
