//! What the `Operator` service holds of the rest of the engine.

use super::auth::Refused;
use super::door::Visits;
use crate::ledger::Rail;
use crate::settle::{Archive, Board, Clearing, Folders, Nudge, Troubles};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// What the service reports of the edge.
#[derive(Default)]
pub struct Edge {
    /// Who is connected, once the door is open.
    pub visits: Arc<OnceLock<Visits>>,
    /// Tokens that were refused.
    pub refused: Refused,
}

/// What the service needs of settlement.
pub struct Settlement {
    /// Sealed windows and batches.
    pub archive: Archive,
    /// The operator's own accounts.
    pub clearing: Arc<Clearing>,
    /// Wakes the settler.
    pub nudge: Nudge,
    /// What keeps it from going on.
    pub troubles: Troubles,
    /// Where the files of each rail lie.
    pub folders: BTreeMap<Rail, Folders>,
    /// The schedule, and where it stands.
    pub board: Board,
    /// Operators configured.
    pub operators: usize,
    /// Whether another operator must approve.
    pub four_eyes: bool,
}
