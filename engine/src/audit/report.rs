//! What an audit says when it is done.

use super::difference::{AuditError, Difference};
use serde::Serialize;

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records of events.
    pub events: u64,
    /// Windows whose evidence was there.
    pub windows: u64,
    /// Obligations.
    pub obligations: u64,
    /// Carries into windows.
    pub carried: u64,
    /// Positions.
    pub positions: u64,
    /// Signatures of vouchers, in evidence and frames.
    pub voucher_signatures: u64,
    /// Signatures of the engine: windows, batches, keys.
    pub engine_signatures: u64,
    /// Batches that were computed again.
    pub batches: u64,
    /// Legs of them.
    pub legs: u64,
    /// Frames that were still there.
    pub frames: u64,
    /// Approvals of batches.
    pub approvals: u64,
    /// Of these, with a valid signature of their operator's own key.
    pub approvals_signed: u64,
    /// Records in which operators say what became of legs.
    pub words: u64,
    /// Of these, with a valid signature of their operator's own key.
    pub words_signed: u64,
    /// Receipts whose vouchers are in the evidence.
    pub receipts: u64,
}

/// A key of an operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorKey {
    /// Whose.
    pub operator: String,
    /// The key.
    pub key: String,
    /// The record that put it in force.
    pub since_lsn: u64,
    /// The record that ended it; none while it is in force.
    pub until_lsn: Option<u64>,
}

/// The outcome of an audit.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether all agrees.
    pub ok: bool,
    /// The deployment.
    pub network_id: Option<String>,
    /// The engine's key in force at the end.
    pub engine_key: Option<String>,
    /// The first one: compare it with the key that you know, or give it to the audit.
    pub first_engine_key: Option<String>,
    /// Keys of operators, oldest first: compare the first of each with the one that you know from
    /// elsewhere, or give it to the audit.
    pub operator_keys: Vec<OperatorKey>,
    /// How much was checked, up to the first difference.
    #[serde(flatten)]
    pub counts: Counts,
    /// What could not be checked, and why.
    pub not_checked: Vec<String>,
    /// What stands, and would not be let stand now: the rule is younger than the record.
    pub notes: Vec<String>,
    /// The first difference, if there is one.
    pub first_difference: Option<Difference>,
    /// Why it could not be done to the end, if it could not.
    pub error: Option<String>,
}

impl Report {
    /// What came of it.
    #[must_use]
    pub fn new(counts: Counts, not_checked: Vec<String>, ended: Option<AuditError>) -> Self {
        let (first_difference, error) = match ended {
            None => (None, None),
            Some(AuditError::Difference(difference)) => (Some(*difference), None),
            Some(error @ AuditError::Unreadable(_)) => (None, Some(error.to_string())),
        };
        let ok = first_difference.is_none() && error.is_none();
        Self {
            ok,
            network_id: None,
            engine_key: None,
            first_engine_key: None,
            operator_keys: Vec::new(),
            counts,
            not_checked,
            notes: Vec::new(),
            first_difference,
            error,
        }
    }
}
