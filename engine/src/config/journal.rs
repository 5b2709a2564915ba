//! Where the journal is: in the configuration file only, table `[journal]`. Holds no secret: the
//! file of the credentials is named.

use crate::limits::{JOURNAL_SERVERS_MAX, STREAM_NAME_MAX};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// What keeps the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JournalKind {
    /// The data directory.
    #[default]
    Embedded,
    /// A stream on NATS JetStream; the data directory has a copy.
    Jetstream,
}

/// `[journal]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// What keeps it.
    pub kind: JournalKind,
    /// The servers, as `nats://HOST:PORT` or `tls://HOST:PORT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// The stream's name; `tallystick` unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// File of the credentials for the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Authorities that the servers' certificates come from: PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The engine's own certificate for the servers, and its key: PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// See `cert_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The servers' monitoring addresses, as `http://HOST:PORT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<String>,
}

impl JournalSettings {
    /// Whether the servers are reached by TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        let by_tls = |server: &String| server.starts_with("tls://");
        self.ca_file.is_some() || self.cert_file.is_some() || self.servers.iter().any(by_tls)
    }

    /// Checks what the types do not: key, value, what is expected.
    pub(super) fn check(&self) -> Result<(), (String, String, String)> {
        let wrong = |key: &str, got: &str, expected: &str| {
            Err((format!("journal.{key}"), got.to_owned(), expected.to_owned()))
        };
        if self.kind == JournalKind::Embedded {
            let rest = Self { kind: self.kind, ..Self::default() };
            return match *self == rest {
                true => Ok(()),
                false => {
                    wrong("kind", "embedded", "\"jetstream\" where servers and the rest are set")
                }
            };
        }
        if !(1..=JOURNAL_SERVERS_MAX).contains(&self.servers.len()) {
            let got = format!("a list of {}", self.servers.len());
            return wrong("servers", &got, "1 to 16 servers, best all of the cluster");
        }
        if self.monitors.len() > JOURNAL_SERVERS_MAX {
            return wrong("monitors", "too long a list", "at most 16 addresses");
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return wrong("cert_file", "alone", "cert_file and key_file together");
        }
        let by_tls = self.servers.iter().filter(|server| server.starts_with("tls://")).count();
        if by_tls > 0 && by_tls < self.servers.len() {
            return wrong("servers", "nats:// beside tls://", "one of the two for all servers");
        }
        for server in &self.servers {
            let (got, expected) =
                ("not a server", "nats://HOST:PORT or tls://HOST:PORT, without a user's name");
            let Some((scheme @ ("nats" | "tls"), rest)) = server.split_once("://") else {
                return wrong("servers", got, expected);
            };
            let Some(host) = host_of(rest) else { return wrong("servers", got, expected) };
            if scheme == "nats" && !self.has_tls() && !is_here(host) {
                let expected = "tls://HOST:PORT, or a ca_file: what is journaled says who pays whom, and leaves this \
                                machine";
                return wrong("servers", &format!("plain text to {host}"), expected);
            }
        }
        for address in &self.monitors {
            let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
            if rest.and_then(host_of).is_none() {
                return wrong("monitors", "not an address", "http://HOST:PORT");
            }
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        match &self.stream {
            Some(name)
                if name.is_empty() || name.len() > STREAM_NAME_MAX || !name.bytes().all(plain) =>
            {
                wrong("stream", "not a name", "a name of 1 to 64 letters, digits, _ and -")
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The host of HOST:PORT, and nothing more than that.
fn host_of(rest: &str) -> Option<&str> {
    let (host, port) = rest.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    (plain && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(host)
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        let settings: JournalSettings = toml::from_str(text).unwrap();
        settings.check().map_err(|(key, got, expected)| format!("{key}: {got}; {expected}"))
    }

    #[test]
    fn servers_beyond_this_machine_are_reached_by_tls() {
        let with = |servers: &str, more: &str| {
            checked(&format!("kind = \"jetstream\"\nservers = {servers}\n{more}"))
        };
        for good in [
            "[\"nats://127.0.0.1:4222\", \"nats://[::1]:4222\", \"nats://localhost:4222\"]",
            "[\"tls://n1.example:4222\"]",
        ] {
            with(good, "").unwrap();
        }
        with("[\"nats://n1.example:4222\"]", "ca_file = \"ca.pem\"").unwrap();
        for (bad, more, why) in [
            ("[]", "", "1 to 16 servers"),
            ("[\"nats://n1.example:4222\"]", "", "plain text to n1.example"),
            ("[\"127.0.0.1:4222\"]", "", "nats://HOST:PORT"),
            ("[\"nats://127.0.0.1\"]", "", "nats://HOST:PORT"),
            ("[\"nats://me:secret@127.0.0.1:4222\"]", "", "without a user"),
            ("[\"tls://n1:4222\", \"nats://127.0.0.1:4222\"]", "", "one of the two"),
            ("[\"tls://n1:4222\"]", "cert_file = \"c\"", "together"),
            ("[\"tls://n1:4222\"]", "stream = \"a.b\"", "not a name"),
            ("[\"tls://n1:4222\"]", "monitors = [\"n1:8222\"]", "http://HOST:PORT"),
        ] {
            let said = with(bad, more).unwrap_err();
            assert!(said.contains(why) && !said.contains("secret"), "{bad}: {said}");
        }
    }

    #[test]
    fn what_is_set_without_a_kind_is_not_passed_over() {
        assert!(checked("servers = [\"nats://127.0.0.1:4222\"]").unwrap_err().contains("embedded"));
        checked("").unwrap();
        checked("kind = \"embedded\"").unwrap();
    }
}
