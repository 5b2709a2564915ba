//! What an engine asks of its node, where other nodes could own its journal.

use super::engine::Engine;
use crate::sign::EngineKey;
use crate::types::SignerKey;

/// Names, by a key of the engine, those of other nodes that may follow it. With why it cannot be
/// done now.
pub type Names = Box<dyn Fn(&EngineKey, SignerKey) -> Result<(), String> + Send + Sync>;

/// A node.
pub struct Node {
    /// Names the others by a key that is to come into force.
    pub names: Names,
    /// Returns while the node owned the journal a moment ago, and waits where that is not known:
    /// asked before anything leaves. It ends the process where nobody says so for long.
    pub owns: Box<dyn Fn() + Send + Sync>,
}

impl Engine {
    /// Returns once it is sure that nobody else owned the journal a moment ago: before something
    /// leaves.
    pub(super) fn owns(&self) {
        self.node().iter().for_each(|node| (node.owns)());
    }
}
