//! What the `Operator` service reports beside the engine.

use super::access::{Operators, Refused};
use super::backups::Backups;
use super::console::Codes;
use super::door::Visits;
use crate::ledger::Rail;
use crate::settle::{Board, Folders, Webhooks};
use crate::types::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is only reported: how the process was set up, and who stands at the door.
pub struct Edge {
    /// When it was started.
    pub started_at: Timestamp,
    /// How often it closes windows, whatever the schedule says.
    pub window_every: Option<Duration>,
    /// Operators configured: no identity may have the name of one.
    pub operators: Operators,
    /// The schedule, and where it stands.
    pub board: Board,
    /// Where the files of each rail lie.
    pub folders: BTreeMap<Rail, Folders>,
    /// Where backups are made.
    pub backups: Backups,
    /// Where parties are told over HTTP.
    pub webhooks: Webhooks,
    /// Tokens that were refused.
    pub refused: Refused,
    /// One-time codes for the console.
    pub codes: Codes,
    /// Who is connected, once the door is open.
    pub visits: Arc<OnceLock<Visits>>,
}
