//! What of a batch was handed to its rail: which legs at once, in which attempts. Plain data;
//! whether it may leave follows from where its legs stand.

use super::event::LegRun;
use crate::types::{Digest, Lsn, Timestamp};
use rkyv::{Archive, Deserialize, Serialize};

/// What was handed to the rail at once.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Submission {
    /// Its legs: runs of neighbours, ascending.
    pub legs: Vec<LegRun>,
    /// Attempts so far: what differs from one to the next is what the rail asks to be bid for the
    /// same legs (a chain's fee), never what is paid.
    pub attempts: Vec<Attempt>,
}

/// One set of bytes that may have left.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Attempt {
    /// The record that made it durable.
    pub lsn: Lsn,
    /// When.
    pub at: Timestamp,
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
    /// What the rail knows it by: a file's name, a transaction's nonce and hash.
    pub name: Box<str>,
}

/// Whether a file that was made may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayLeave {
    /// All its legs are in flight: it is what the journal says.
    Now,
    /// Some have ended: it may not leave as it is, and the others are not paid without it.
    Mixed,
    /// All have ended, or it was never journaled.
    Never,
}

/// Every leg of some runs.
pub(super) fn legs_of(runs: &[LegRun]) -> impl Iterator<Item = u32> + '_ {
    runs.iter().flat_map(|run| run.first..run.first + run.count)
}

impl Submission {
    /// Its legs, ascending.
    pub fn legs(&self) -> impl Iterator<Item = u32> + '_ {
        legs_of(&self.legs)
    }

    /// The attempt that was made last.
    #[must_use]
    pub fn newest(&self) -> &Attempt {
        self.attempts.last().expect("a submission begins with an attempt")
    }
}

/// The runs that hold these legs, which ascend.
#[must_use]
pub fn runs(legs: impl Iterator<Item = u32>) -> Vec<LegRun> {
    let mut runs: Vec<LegRun> = Vec::new();
    for leg in legs {
        match runs.last_mut() {
            Some(run) if run.first + run.count == leg => run.count += 1,
            Some(_) | None => runs.push(LegRun { first: leg, count: 1 }),
        }
    }
    runs
}
