//! Why a run ends early: what was wrong, and what to do about it.
//!
//! A difference between the books is never an error: it is a result, and the report holds it.

use std::path::PathBuf;
use tallystick_client::ConnectError;

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("cannot reach an engine at {server}: {why}; is `tallystick serve` running there?")]
    Unreachable { server: String, why: String },
    #[error("{call} failed: {status}")]
    Call { call: &'static str, status: String },
    #[error(
        "stream {stream} lost its connection after {acked} of {frames} frames were acked: {why}; \
         what was acked is durable, what was not is unknown, so the books cannot be compared"
    )]
    Lost { stream: usize, acked: usize, frames: usize, why: String },
    #[error("stream {stream}: the engine broke the contract: {what}")]
    Contract { stream: usize, what: String },
    #[error("Import refused {count} items; the first (item {index}): {reason}")]
    Import { count: usize, index: u64, reason: String },
    #[error("{doing} {path}: {source}")]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Engine(String),
    #[error("the demo's check failed: {0}")]
    Check(String),
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// A call that the engine refused or that did not get through.
    #[must_use]
    pub fn call(call: &'static str, status: &tonic::Status) -> Self {
        Self::Call { call, status: status_text(status) }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Input(why) => Self::Usage(why),
            ConnectError::File { path, source } => {
                Self::File { doing: "cannot read", path, source }
            }
            ConnectError::Unreachable { url, cause } => {
                Self::Unreachable { server: url, why: cause }
            }
            ConnectError::Misfit(why) => Self::Engine(why),
            ConnectError::NoOwner { .. } => Self::Engine(error.to_string()),
        }
    }
}

/// A status for people: its code and what the engine said.
#[must_use]
pub fn status_text(status: &tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
