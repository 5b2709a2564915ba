//! Where an audit takes its evidence from.

use super::difference::AuditError;
use super::directory::Directory;
use crate::proof::{Part, SignedEnd};
use crate::types::{AssetNumber, Lsn, NetworkId, WindowNumber};

/// Takes the bytes of the record at a position.
pub type Visit<'a> = dyn FnMut(Lsn, &[u8]) -> Result<(), AuditError> + 'a;

/// Where the history of one export ends.
pub struct End {
    /// The export's name.
    pub name: String,
    /// What its engine signed.
    pub signed: SignedEnd,
}

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

    /// The signed ends of the exports: the first is that of the history that is visited, and the
    /// others' histories must be beginnings of it.
    fn ends(&self) -> &[End];

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
