//! The console's listener: in the configuration file only, table `[console]`.

use super::listeners::TlsFiles;
use super::values::Listen;
use serde::{Deserialize, Serialize};

/// `[console]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct ConsoleSettings {
    /// Where it listens.
    pub listen: Listen,
    /// Its certificate; without one it speaks plain text, to this machine only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// What it is called by those who come from elsewhere, in links that are printed: only with a
    /// certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    listen: Listen,
    tls: Option<TlsFiles>,
    name: Option<Name>,
}

impl TryFrom<Written> for ConsoleSettings {
    type Error = String;

    fn try_from(Written { listen, tls, name }: Written) -> Result<Self, String> {
        match &name {
            Some(Name(text)) if tls.is_none() => Err(format!(
                "[console] name: {text:?} needs a certificate: set tls, too. In plain text the console \
                 answers on this machine alone, as localhost"
            )),
            _ => Ok(Self { listen, tls, name }),
        }
    }
}

/// A host's name or address, perhaps with a port, as it stands in an address of a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// With this port, unless it has its own.
    #[must_use]
    pub fn with_port(&self, port: u16) -> String {
        let Self(name) = self;
        if Self::port(name).is_some() { name.clone() } else { format!("{name}:{port}") }
    }

    /// What stands behind the host; an address of IPv6 is in brackets.
    fn port(name: &str) -> Option<&str> {
        let (_, behind) = name.rsplit_once(']').unwrap_or(("", name));
        behind.split_once(':').map(|(_, port)| port)
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let port = Self::port(&text).is_none_or(|port| port.parse::<u16>().is_ok());
        match !text.is_empty() && text.len() <= 260 && text.bytes().all(fits) && port {
            true => Ok(Self(text)),
            false => Err(format!(
                "[console] name: expected a host and perhaps a port, like clearing.example:7480 or \
                 [2001:db8::1]:7480, got {text:?}"
            )),
        }
    }
}

impl From<Name> for String {
    fn from(Name(text): Name) -> Self {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_that_leads_here() {
        let read = |text: &str| toml::from_str::<ConsoleSettings>(text);
        let listen = "listen = \"127.0.0.1:7480\"\n";
        let tls = "tls = { cert = \"/a\", key = \"/b\" }\n";
        for (name, leads) in [
            ("desk.example", "desk.example:7480"),
            ("desk.example:443", "desk.example:443"),
            ("[::1]", "[::1]:7480"),
            ("[::1]:443", "[::1]:443"),
        ] {
            let named = read(&format!("{listen}{tls}name = \"{name}\"\n")).unwrap();
            assert_eq!(named.name.unwrap().with_port(7480), leads);
        }
        for wrong in ["", "::1", "a:b", "a:65536", "a b", "http://a"] {
            let said = read(&format!("{listen}{tls}name = {wrong:?}\n")).unwrap_err().to_string();
            assert!(said.contains("expected a host and perhaps a port"), "{said}");
        }
        // In plain text nobody from elsewhere is answered.
        let said = read(&format!("{listen}name = \"desk.example\"\n")).unwrap_err().to_string();
        assert!(said.contains("needs a certificate") && said.contains("localhost"), "{said}");
        assert_eq!(read(listen).unwrap().name, None);
        assert!(read(&format!("{listen}nam = 1\n")).is_err());
    }
}
