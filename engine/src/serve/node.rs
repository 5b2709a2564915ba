//! A node: one of several engines that may own one journal, one at a time. The others stand by:
//! the same process in an earlier phase of its start (`standby`), with an edge that says so
//! (`waiting`). The owner says that it lives (`holding`), and names those who may follow it
//! (`peers`).

mod holding;
mod peers;
mod standby;
mod status;
mod waiting;

pub(super) use holding::{Holding, Wanted};
pub(super) use standby::{Taken, take_part};
pub use status::{status, transfer};
pub(super) use waiting::{Parts, Waiting};

use super::ServeError;
use crate::config::Config;
use crate::jetstream::Link;
use crate::journal::JournalError;
use crate::pipeline::Recovered;
use crate::settle::Node;
use crate::sign::EngineKey;
use crate::types::{NetworkId, SIGNATURE_BYTES, SignerKey};
use crate::vault::Vault;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a node has that owns the journal.
pub(super) struct Owned {
    /// What it is called.
    pub name: String,
    /// The way to the other nodes.
    pub link: Arc<Link>,
    /// The lease, which is refreshed.
    pub holding: Holding,
    /// The edge, where this node stood by.
    pub waiting: Option<Waiting>,
}

/// The key of a node that has taken the journal over, and that the one before named it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Follows {
    /// The key.
    pub key: SignerKey,
    /// The proof.
    pub proof: [u8; SIGNATURE_BYTES],
}

impl Owned {
    /// What the engine asks of it.
    pub fn node(&self, vault: &Vault, network: NetworkId) -> Node {
        let (link, name, vault) = (self.link.clone(), self.name.clone(), vault.clone());
        let names = move |held: &EngineKey, key| {
            let named = peers::name_others(&link, (&vault, network), &name, (held, key));
            named.map_err(|error| error.to_string())
        };
        Node { names: Box::new(names), owns: self.holding.owns_still() }
    }

    /// The engine's key of this node, and how it follows that of the node before. All other nodes
    /// are named by it before it is in force.
    ///
    /// # Errors
    /// `NotNamed` when it may not follow; `ServeError` when its file cannot be used.
    pub fn engine_key(
        &self,
        config: &Config,
        recovered: &Recovered,
        vault: &Vault,
    ) -> Result<(EngineKey, Option<Follows>), ServeError> {
        let (current, network) = (recovered.engine_key(), recovered.genesis().network);
        let (key, next) = EngineKey::of_node(&config.data_dir, current)?;
        let (Some(current), Some(next)) = (current, next) else { return Ok((key, None)) };
        let proof = peers::proof(&self.link, network, &self.name, (current, next));
        let proof = proof.map_err(JournalError::from)?;
        let Some(proof) = proof else {
            return Err(ServeError::NotNamed { dir: config.data_dir.clone() });
        };
        let named = peers::name_others(&self.link, (vault, network), &self.name, (&key, next));
        named.map_err(JournalError::from)?;
        Ok((key, Some(Follows { key: next, proof })))
    }
}

/// Where clients reach this node: what is configured, else where it listens, if that can be told to
/// others.
pub(super) fn advertised(config: &Config, listens: Option<SocketAddr>) -> Option<String> {
    let at = listens.unwrap_or(config.listen);
    let own = || (!at.ip().is_unspecified() && at.port() > 0).then(|| at.to_string());
    config.cluster.advertise.clone().or_else(own)
}
