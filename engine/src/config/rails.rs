//! How the engine reaches each rail: in the configuration file only, one table a rail. Secrets are
//! never here, but the files that hold them are named.

use super::list::Setting;
use super::values::{BadValue, parse_duration};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// `[rail.NAME]`, whichever are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RailSettings {
    /// Bank files.
    #[serde(skip_serializing_if = "FolderSettings::is_default")]
    pub iso20022: FolderSettings,
    /// ACH files.
    #[serde(skip_serializing_if = "FolderSettings::is_default")]
    pub nacha: FolderSettings,
    /// The payment service provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<CardSettings>,
    /// The chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evm: Option<EvmSettings>,
}

/// Where a rail's files lie; beside the journal unless named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FolderSettings {
    /// What leaves; `.staging` in it is the engine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbox: Option<PathBuf>,
    /// Lists of who is to pay in, which are not for the bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pay_ins: Option<PathBuf>,
    /// What comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox: Option<PathBuf>,
}

impl Setting for RailSettings {
    type Value = Self;

    fn value(self) -> Self {
        self
    }

    /// The same, with nothing that opens a door: what follows a node's host is often an access key.
    fn of(settings: &Self) -> Self {
        let mut shown = settings.clone();
        if let Some(evm) = &mut shown.evm {
            evm.rpc_url = without_secrets(&evm.rpc_url);
        }
        shown
    }
}

/// An address with its scheme, host and port only.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(u, h)| (u, h));
    let user = if user.is_empty() { "" } else { "***@" };
    let path = if path.len() > 1 { "/***" } else { path };
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{user}{host}{path}")
}

impl FolderSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A time such as `30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub Duration);

impl TryFrom<String> for Time {
    type Error = BadValue;
    fn try_from(text: String) -> Result<Self, BadValue> {
        text.parse()
    }
}

impl FromStr for Time {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        parse_duration(text).map(Self)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        super::values::show_duration(time.0)
    }
}

/// `[rail.card]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardSettings {
    /// Where the provider's API is, e.g. `https://api.stripe.com`.
    pub base_url: String,
    /// File that holds the secret API key.
    pub secret_key_file: PathBuf,
    /// File that holds the secret with which webhooks are signed.
    pub webhook_secret_file: PathBuf,
    /// How long one call may take.
    #[serde(default = "CardSettings::timeout")]
    pub timeout: Time,
    /// Calls that are made side by side.
    #[serde(default = "CardSettings::threads")]
    pub threads: u16,
}

impl CardSettings {
    fn timeout() -> Time {
        Time(Duration::from_secs(30))
    }

    fn threads() -> u16 {
        8
    }
}

/// `[rail.evm]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvmSettings {
    /// JSON-RPC endpoint of a node: https, or http on this machine. Often holds an access key: then
    /// name `rpc_url_file` instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rpc_url: String,
    /// File that holds the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_url_file: Option<PathBuf>,
    /// File with the key that owns the contract.
    pub key_file: PathBuf,
    /// Blocks above a payment until it is safe and until it is final, for chains whose nodes do not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// Never offer more for a unit of gas.
    #[serde(default = "EvmSettings::max_fee_gwei")]
    pub max_fee_gwei: u32,
    /// Never begin with a larger tip.
    #[serde(default = "EvmSettings::max_tip_gwei")]
    pub max_tip_gwei: u32,
    /// Blocks that a transaction waits before its fee is raised.
    #[serde(default = "EvmSettings::bump_after_blocks")]
    pub bump_after_blocks: u64,
    /// Time between two looks at the chain.
    #[serde(default = "EvmSettings::every")]
    pub every: Time,
    /// How long one call may take.
    #[serde(default = "EvmSettings::timeout")]
    pub timeout: Time,
    /// Where lists of pay-ins lie, and what comes back.
    #[serde(default, skip_serializing_if = "FolderSettings::is_default")]
    pub folders: FolderSettings,
}

/// Blocks above a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// Until it is safe.
    pub safe: u64,
    /// Until it is final.
    pub last: u64,
}

impl EvmSettings {
    fn max_fee_gwei() -> u32 {
        100
    }

    fn max_tip_gwei() -> u32 {
        3
    }

    fn bump_after_blocks() -> u64 {
        10
    }

    fn every() -> Time {
        Time(Duration::from_secs(2))
    }

    fn timeout() -> Time {
        Time(Duration::from_secs(20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `--print-config`, which people paste into tickets, showed the access key of the node.
    #[test]
    fn an_access_key_in_an_address_is_not_shown() {
        for (url, shown) in [
            ("https://node.example/v2/KEY", "https://node.example/***"),
            ("https://node.example?key=KEY", "https://node.example/***"),
            ("https://user:KEY@node.example:8545/", "https://***@node.example:8545/"),
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
            ("KEY@host/KEY", "***@host/***"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
        let text = "[evm]\nrpc_url = 'https://n.example/KEY'\nkey_file = 'e'\n";
        let settings: RailSettings = toml::from_str(text).unwrap();
        assert!(!toml::to_string(&RailSettings::of(&settings)).unwrap().contains("KEY"));
    }

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_unknown_is_refused() {
        let text = "[card]\nbase_url = 'https://api.example'\nsecret_key_file = 'k'\n\
                    webhook_secret_file = 'w'\n[evm]\nrpc_url = 'http://127.0.0.1:1'\nkey_file = 'e'\n\
                    every = '500ms'\n";
        let settings: RailSettings = toml::from_str(text).unwrap();
        let card = settings.card.unwrap();
        assert_eq!((card.threads, card.timeout), (8, Time(Duration::from_secs(30))));
        let evm = settings.evm.unwrap();
        assert_eq!((evm.max_fee_gwei, evm.every), (100, Time(Duration::from_millis(500))));
        assert!(settings.iso20022.is_default());
        assert!(toml::from_str::<RailSettings>("[evm]\nkey = 'secret'\n").is_err());
    }
}
