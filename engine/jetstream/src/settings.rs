//! Which stream on which servers, and how they are reached.

use std::path::PathBuf;

/// Certificates for the connections to the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that the servers' certificates must come from: PEM; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The engine's own certificate and key: PEM.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Where the journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The servers, as `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub servers: Vec<String>,
    /// The stream's name. The epoch is in the bucket `NAME-owner`.
    pub stream: String,
    /// File of credentials (JWT and seed), as `nsc` makes it.
    pub credentials: Option<PathBuf>,
    /// TLS, where it is asked for.
    pub tls: Option<Tls>,
    /// The servers' monitoring addresses, as `http://HOST:PORT`: by them it is checked that they
    /// sync.
    pub monitors: Vec<String>,
}

impl Settings {
    /// The bucket in which the epoch is.
    #[must_use]
    pub fn bucket(&self) -> String {
        format!("{}-owner", self.stream)
    }

    /// The stream's one subject, where the engine makes the stream.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}.journal", self.stream)
    }
}
