//! How the engine reaches a chain: its own settings, never part of a batch.
//!
//! Owns their bounds. Holds the endpoint, which often contains an access key: it is never shown.

use super::fees::FeeRules;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tallystick_ledger::limits::{EVM_BLOCKS_MAX, EVM_FEE_CAP_MAX, EVM_TIMEOUT_MAX};

/// When a payment counts as safe, and when as final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// By the node's own word: its blocks `safe` and `finalized`. For every chain that has them.
    Tags,
    /// By depth, for chains without: so many blocks above the payment's.
    Depth {
        /// Blocks above it until it is safe.
        safe: u64,
        /// Blocks above it until it is final.
        last: u64,
    },
}

/// Settings of the rail.
#[derive(Clone, PartialEq, Eq)]
pub struct EvmConfig {
    /// JSON-RPC endpoint of a node: https, or http on this machine.
    pub rpc_url: String,
    /// File with the key that owns the contract.
    pub key_file: PathBuf,
    /// When a payment counts as safe and final.
    pub finality: Finality,
    /// Bounds of what is offered for gas.
    pub fees: FeeRules,
    /// Blocks that a transaction waits before its fee is raised.
    pub bump_after: u64,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one call may take, all of it.
    pub call_timeout: Duration,
}

impl fmt::Debug for EvmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmConfig")
            .field("rpc_url", &"(hidden)")
            .field("key_file", &self.key_file)
            .field("finality", &self.finality)
            .field("fees", &self.fees)
            .field("bump_after", &self.bump_after)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .finish()
    }
}

/// Which setting is wrong and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be {expected}")]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What it must be.
    pub expected: &'static str,
}

impl EvmConfig {
    /// Checks the settings' bounds.
    ///
    /// # Errors
    /// `ConfigError` that names the first setting that is wrong; it never shows the endpoint.
    pub fn check(&self) -> Result<(), ConfigError> {
        let must = |holds: bool, setting: &'static str, expected: &'static str| match holds {
            true => Ok(()),
            false => Err(ConfigError { setting, expected }),
        };
        must(
            is_endpoint(&self.rpc_url),
            "rpc_url",
            "an https:// address, or http:// on this machine (127.0.0.1, localhost, [::1])",
        )?;
        let fee = |fee: u128| (1..=EVM_FEE_CAP_MAX).contains(&fee);
        must(fee(self.fees.cap), "max_fee", "1 wei to 100,000 gwei")?;
        must(self.fees.tip_cap <= self.fees.cap, "max_tip", "at most max_fee")?;
        let blocks = |blocks: u64| (1..=EVM_BLOCKS_MAX).contains(&blocks);
        must(blocks(self.bump_after), "bump_after_blocks", "1 to 100,000 blocks")?;
        if let Finality::Depth { safe, last } = self.finality {
            let ordered = blocks(safe) && blocks(last) && safe <= last;
            must(ordered, "depth", "1 to 100,000 blocks, safe no more than final")?;
        }
        let time = |time: Duration| !time.is_zero() && time <= EVM_TIMEOUT_MAX;
        must(time(self.connect_timeout), "connect_timeout", "above zero, at most 300 s")?;
        must(time(self.call_timeout), "call_timeout", "above zero, at most 300 s")
    }
}

/// Whether nobody between can read or change what is said: the answers decide about money.
fn is_endpoint(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => !host.is_empty(),
        (Some("http"), Some(host)) => {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            let loopback = address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
            loopback || host == "localhost"
        }
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EvmConfig {
        EvmConfig {
            rpc_url: "https://node.example/key".into(),
            key_file: "evm.key".into(),
            finality: Finality::Tags,
            fees: FeeRules { cap: 1_000_000_000, tip_cap: 1_000_000 },
            bump_after: 10,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(20),
        }
    }

    #[test]
    fn an_endpoint_is_encrypted_or_on_this_machine() {
        for good in [
            "https://node.example/v2/key",
            "http://127.0.0.1:8545",
            "http://localhost:8545/",
            "http://[::1]:8545",
            "http://127.9.9.9",
        ] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "",
            "node.example",
            "http://node.example",
            "http://10.0.0.1:8545",
            "http://127.0.0.1.example:8545",
            "http://localhost.example",
            "ws://127.0.0.1:8545",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        assert_eq!(config().check(), Ok(()));
        let wrong = |change: fn(&mut EvmConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err().setting
        };
        assert_eq!(wrong(|c| c.rpc_url = "http://node.example".into()), "rpc_url");
        assert_eq!(wrong(|c| c.fees.cap = 0), "max_fee");
        assert_eq!(wrong(|c| c.fees.cap = EVM_FEE_CAP_MAX + 1), "max_fee");
        assert_eq!(wrong(|c| c.fees.tip_cap = c.fees.cap + 1), "max_tip");
        assert_eq!(wrong(|c| c.bump_after = 0), "bump_after_blocks");
        assert_eq!(wrong(|c| c.finality = Finality::Depth { safe: 5, last: 4 }), "depth");
        assert_eq!(wrong(|c| c.call_timeout = Duration::ZERO), "call_timeout");
    }

    #[test]
    fn the_endpoint_is_never_shown() {
        assert!(!format!("{:?}", config()).contains("node.example"));
    }
}
