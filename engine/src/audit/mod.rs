//! The audit: re-derives every figure from the events and the evidence, and trusts no figure of the
//! engine.
//!
//! Owns what is checked, in which order, and what is said of it. Its own sums are as plain as can
//! be and share nothing with those of the ledger but the leaves' bytes; batches alone are computed
//! by the ledger's code, whose ids cover all of their content, and then summed up once more here.
//! Never writes anything.

mod batches;
mod budgets;
mod clearing;
mod difference;
mod directory;
mod events;
mod evidence;
mod files;
mod receipts;
mod registry;
mod report;
mod requests;
mod settlement;
mod source;
mod sums;
mod totals;
mod windows;

pub use difference::{AuditError, Difference};
pub use directory::Directory;
pub use files::Files;
pub use report::{Counts, OperatorKey, Report};
pub use source::Source;

use crate::proof::Receipt;
use crate::types::{Lsn, SignerKey};
use crate::verify::{Options, Verifier};
use events::Audit;

/// How an audit is done.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Threads that check signatures.
    pub threads: usize,
    /// The first key of the engine, where whoever audits knows it: a history under another is not
    /// its own.
    pub first_key: Option<SignerKey>,
    /// First keys of operators, by name, where whoever audits knows them.
    pub operator_keys: &'a [(String, SignerKey)],
    /// Receipts of vouchers, which must be in the evidence.
    pub receipts: &'a [Receipt],
    /// The record from which on the engine asked whether who acts has a key of their own, where
    /// whoever audits knows that an older one made the history up to there: what that one let
    /// stand is noted then. `None`: it always asked.
    pub own_keys_since: Option<Lsn>,
    /// Is told how many pieces of evidence were checked so far.
    pub progress: &'a dyn Fn(u64),
}

/// Audits all that a source holds, up to the first difference.
#[must_use]
pub fn audit(source: &dyn Source, settings: Settings<'_>) -> Report {
    let verifier = match Verifier::new(Options::default()) {
        Ok(verifier) => verifier,
        Err(unavailable) => unreachable!("the backend was detected: {unavailable}"),
    };
    let mut audit = Audit::new(source, &verifier, settings);
    let first_difference = audit.run().err();
    audit.report(first_difference)
}

#[cfg(test)]
pub(crate) mod tests;
