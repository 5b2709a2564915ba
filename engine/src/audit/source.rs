//! Where an audit takes its evidence from.

use super::difference::AuditError;
use super::directory::Directory;
use crate::proof::Part;
use crate::types::{AssetNumber, Digest, Lsn, NetworkId, WindowNumber};

/// Takes the bytes of the record at a position.
pub type Visit<'a> = dyn FnMut(Lsn, &[u8]) -> Result<(), AuditError> + 'a;

/// Events and evidence: export files, or a data directory.
pub trait Source {
    /// The windows whose evidence is there, ascending.
    fn windows(&self) -> Vec<WindowNumber>;

    /// Pieces of evidence in all of them.
    fn evidence(&self) -> u64;

    /// Visits every record of an event, from the first one on.
    ///
    /// # Errors
    /// Of the visitor, or when it cannot be read.
    fn events(&self, visit: &mut Visit<'_>) -> Result<(), AuditError>;

    /// Other histories that must be beginnings of this one: where each ends, and the digest there.
    fn beginnings(&self) -> &[(String, Lsn, Digest)];

    /// The assets of a window, ascending.
    fn assets(&self, window: WindowNumber) -> Vec<AssetNumber>;

    /// The rows of a part of an asset: its piece number `piece`, from 0. `None` after the last one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn rows(
        &self,
        window: WindowNumber,
        asset: AssetNumber,
        part: Part,
        piece: usize,
    ) -> Result<Option<Vec<u8>>, AuditError>;

    /// The network that it says it is of; `None` where only the first record says so.
    fn network(&self) -> Option<NetworkId>;

    /// The data directory, where it is one: then its frames and checkpoint are audited too.
    fn directory(&self) -> Option<&Directory>;
}
