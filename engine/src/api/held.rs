//! What the `Operator` service reports beside the engine.

use super::access::Refused;
use super::backups::Backups;
use super::door::Visits;
use crate::ledger::Rail;
use crate::settle::{Board, Folders};
use crate::types::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is only reported: how the process was set up, and who stands at the door.
pub struct Edge {
    /// When it was started.
    pub started_at: Timestamp,
    /// How often it closes windows, whatever the schedule says.
    pub window_every: Option<Duration>,
    /// Operators configured.
    pub operators: usize,
    /// Their names: no identity may have one of them.
    pub operator_names: BTreeSet<String>,
    /// The schedule, and where it stands.
    pub board: Board,
    /// Where the files of each rail lie.
    pub folders: BTreeMap<Rail, Folders>,
    /// Where backups are made.
    pub backups: Backups,
    /// Tokens that were refused.
    pub refused: Refused,
    /// Who is connected, once the door is open.
    pub visits: Arc<OnceLock<Visits>>,
}
