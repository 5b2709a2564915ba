//! Where the engine is: what a person types, and the URL that it means.

use super::ConnectError;
use std::net::IpAddr;
use tonic::transport::{Endpoint, Uri};

/// The port at which an engine listens that was told nothing else.
pub const PORT_DEFAULT: u16 = 7_450;

const PLAIN: &str = "http://";
const TLS: &str = "https://";

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    url: String,
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads one address or several, with commas between them: those of the nodes of one engine.
    /// All speak TLS, or none. One that is named twice counts once.
    pub fn read_all(servers: &str, has_tls_options: bool) -> Result<Vec<Self>, ConnectError> {
        let texts: Vec<&str> = servers.split(',').map(str::trim).collect();
        let says = |scheme: &str| texts.iter().any(|text| text.starts_with(scheme));
        if says(TLS) && says(PLAIN) {
            return Err(ConnectError::Input(format!(
                "of the addresses {servers} some are https:// and some http://: the nodes of an engine all \
                 speak TLS, or none"
            )));
        }
        let has_tls = has_tls_options || says(TLS);
        let mut found: Vec<Self> = Vec::new();
        for text in texts {
            let address = Self::read(text, has_tls)?;
            if !found.iter().any(|one| one.is_same(&address)) {
                found.push(address);
            }
        }
        Ok(found)
    }

    /// Reads `HOST`, `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`. Who names an authority
    /// or a certificate means TLS.
    pub fn read(server: &str, has_tls_options: bool) -> Result<Self, ConnectError> {
        let bad = || {
            ConnectError::Input(format!(
                "--server expects HOST:PORT like 127.0.0.1:7450, or https://HOST:PORT for an engine that \
                 speaks TLS, got {server:?}; of several nodes, all of them with commas between"
            ))
        };
        let (tls, rest) = match (server.strip_prefix(TLS), server.strip_prefix(PLAIN)) {
            (Some(rest), _) => (true, rest),
            (None, Some(_)) if has_tls_options => {
                return Err(ConnectError::Input(format!(
                    "{server} is plain text, and --tls-ca, --tls-cert and --tls-key are for TLS: write \
                     https:// or leave them out (TALLYSTICK_TLS_CA, .._CERT and .._KEY too)"
                )));
            }
            (None, Some(rest)) => (false, rest),
            (None, None) => (has_tls_options, server),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let scheme = if tls { TLS } else { PLAIN };
        let url = match has_port || rest.is_empty() {
            true => format!("{scheme}{rest}"),
            false => format!("{scheme}{rest}:{PORT_DEFAULT}"),
        };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_alone = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { return Err(bad()) };
        if host.is_empty() || !is_alone || has_user {
            return Err(bad());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, tls, url })
    }

    /// Reads the base URL of an engine's HTTP, maybe with a path below which it stands.
    #[cfg(feature = "seller")]
    pub fn read_url(url: &str, has_tls_options: bool) -> Result<Self, ConnectError> {
        let wrong = |what: &str| {
            ConnectError::Input(format!(
                "the URL of an engine's HTTP is like http://127.0.0.1:7451 or https://clearing.example, \
                 got {url:?}{what}"
            ))
        };
        let (tls, rest, usual) = match (url.strip_prefix(TLS), url.strip_prefix(PLAIN)) {
            (Some(rest), _) => (true, rest, 443),
            (None, Some(_)) if has_tls_options => {
                return Err(wrong(
                    ": that is plain text, and a certificate or authority is for https",
                ));
            }
            (None, Some(rest)) => (false, rest, 80),
            (None, None) => return Err(wrong("")),
        };
        let scheme = if tls { TLS } else { PLAIN };
        let url = format!("{scheme}{}", rest.trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| wrong(""))?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong(""))?;
        if uri.query().is_some() || authority.host().is_empty() {
            return Err(wrong(""));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(usual);
        Ok(Self { host, port, tls, url })
    }

    /// Whether an engine means this address by what it says: `HOST:PORT`, in any case of letters.
    pub fn is_named(&self, place: &str) -> bool {
        let place = place.split_once("://").map_or(place, |(_, rest)| rest);
        Self::read(place, self.tls).is_ok_and(|other| self.is_same(&other))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is this machine, so that nobody else sees what goes there.
    pub fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    pub fn endpoint(&self) -> Result<Endpoint, ConnectError> {
        let endpoint = Endpoint::from_shared(self.url.clone());
        endpoint.map_err(|error| ConnectError::Input(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_named_with_or_without_a_scheme_and_a_port() {
        let url = |text| Address::read(text, false).unwrap().url;
        assert_eq!(url("h:1"), "http://h:1");
        assert_eq!(url("localhost"), "http://localhost:7450");
        assert_eq!(url("[::1]"), "http://[::1]:7450");
        assert_eq!(url("[::1]:9"), "http://[::1]:9");
        assert_eq!(url("http://h:1"), "http://h:1");
        assert_eq!(url("http://h:1/"), "http://h:1");
        assert_eq!(url("https://h"), "https://h:7450");
        for bad in ["", "h:", "h:x", "http://", "https://h:1/path", "ftp://h:1", "me@h:1", "a b:1"]
        {
            assert!(matches!(Address::read(bad, false), Err(ConnectError::Input(_))), "{bad:?}");
        }
        let address = Address::read("https://[::1]:9", false).unwrap();
        assert_eq!((address.host(), address.port(), address.is_here()), ("::1", 9, true));
    }

    #[test]
    fn several_are_the_nodes_of_one_engine() {
        let urls = |text, tls| {
            let all = Address::read_all(text, tls).map_err(|error| error.to_string())?;
            Ok::<_, String>(all.into_iter().map(|address| address.url).collect::<Vec<_>>())
        };
        assert_eq!(
            urls("a:1, b ,[::1]:3", false).unwrap(),
            ["http://a:1", "http://b:7450", "http://[::1]:3"]
        );
        assert_eq!(urls("a,A:7450", false).unwrap(), ["http://a:7450"]);
        // Who says TLS of one means it of all, and nothing travels in plain text by an oversight.
        assert_eq!(urls("https://a:1,b:2", false).unwrap(), ["https://a:1", "https://b:2"]);
        assert_eq!(urls("a:1,b:2", true).unwrap(), ["https://a:1", "https://b:2"]);
        assert!(urls("https://a:1,http://b:2", false).unwrap_err().contains("all speak TLS"));
        for bad in ["a,,b", "a,", ","] {
            assert!(urls(bad, false).unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn an_engine_names_an_address_in_its_own_letters() {
        let address = Address::read("https://A.example:7400", false).unwrap();
        for same in ["a.example:7400", "https://a.EXAMPLE:7400/", "http://a.example:7400"] {
            assert!(address.is_named(same), "{same}");
        }
        for other in ["", "a.example", "a.example:7401", "b.example:7400", "a.example:7400/x"] {
            assert!(!address.is_named(other), "{other}");
        }
        assert!(Address::read("[::1]:9", false).unwrap().is_named("[::1]:9"));
    }

    #[cfg(feature = "seller")]
    #[test]
    fn a_url_of_http_has_the_ports_of_the_web() {
        let read = |text| Address::read_url(text, false).map_err(|error| error.to_string());
        for (text, url, host, port) in [
            ("http://127.0.0.1:7451/", "http://127.0.0.1:7451", "127.0.0.1", 7451),
            ("http://h", "http://h", "h", 80),
            ("https://[::1]/x402/", "https://[::1]/x402", "::1", 443),
        ] {
            let of = read(text).unwrap();
            assert_eq!((of.url(), of.host(), of.port()), (url, host, port));
        }
        for bad in ["", "h:1", "ftp://h", "http://", "http://me@h", "http://h?q", "http://a b"] {
            assert!(read(bad).unwrap_err().contains("http://127.0.0.1:7451"), "{bad:?}");
        }
        let plain = Address::read_url("http://h", true).unwrap_err().to_string();
        assert!(plain.contains("plain text"), "{plain}");
    }

    #[test]
    fn who_names_an_authority_means_tls() {
        let of =
            |text| Address::read(text, true).map(|address| address.url).map_err(|e| e.to_string());
        assert_eq!(of("h:1").unwrap(), "https://h:1");
        assert_eq!(of("https://h:1").unwrap(), "https://h:1");
        assert!(of("http://h:1").unwrap_err().contains("plain text"));
    }
}
