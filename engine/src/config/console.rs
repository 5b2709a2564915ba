//! The console's listener: in the configuration file only, table `[console]`.

use super::listeners::TlsFiles;
use super::values::Listen;
use serde::{Deserialize, Serialize};

/// `[console]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Where it listens.
    pub listen: Listen,
    /// Its certificate; without one it speaks plain text, to this machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// What it is called by those who come from elsewhere, in links that are printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
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
        let has_port = name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { name.clone() } else { format!("{name}:{port}") }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        match !text.is_empty() && text.len() <= 260 && text.bytes().all(fits) {
            true => Ok(Self(text)),
            false => Err(format!(
                "[console] name: expected a host and perhaps a port, like clearing.example:7480, got {text:?}"
            )),
        }
    }
}

impl From<Name> for String {
    fn from(Name(text): Name) -> Self {
        text
    }
}
