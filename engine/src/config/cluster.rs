//! This node among those that stand by for each other: in the configuration file only, table
//! `[cluster]`.

use crate::limits::STREAM_NAME_MAX;
use serde::{Deserialize, Serialize};

/// `[cluster]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// What this node is called; a number of its directory unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where clients reach it over gRPC, as `HOST:PORT`; where it listens unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
}

impl ClusterSettings {
    /// Checks what the types do not: key, value, what is expected.
    pub(super) fn check(&self) -> Result<(), (String, String, String)> {
        let wrong = |key: &str, got: &str, expected: &str| {
            Err((format!("cluster.{key}"), got.to_owned(), expected.to_owned()))
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if let Some(name) = &self.name
            && (name.is_empty() || name.len() > STREAM_NAME_MAX || !name.bytes().all(plain))
        {
            return wrong("name", "not a name", "a name of 1 to 64 letters, digits, _ and -");
        }
        let address = |at: &String| {
            let (host, port) = at.rsplit_once(':')?;
            let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ', ',']);
            (plain && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(())
        };
        match &self.advertise {
            Some(at) if address(at).is_none() => {
                wrong("advertise", "not an address", "HOST:PORT, as clients are to use it")
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_are_told_is_looked_at() {
        let checked = |text: &str| {
            let settings: ClusterSettings = toml::from_str(text).unwrap();
            settings.check().map_err(|(key, _, expected)| format!("{key}: {expected}"))
        };
        checked("name = \"n1\"\nadvertise = \"n1.example:7450\"").unwrap();
        checked("advertise = \"[::1]:7450\"").unwrap();
        for (bad, why) in [
            ("name = \"a.b\"", "letters, digits"),
            ("name = \"\"", "letters, digits"),
            ("advertise = \"n1\"", "HOST:PORT"),
            ("advertise = \"https://n1:7450\"", "HOST:PORT"),
            ("advertise = \"n1:0\"", "HOST:PORT"),
        ] {
            let said = checked(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
