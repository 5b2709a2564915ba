//! Reconciliation: where a batch stands, and what an operator must do now. Pure: from the batch,
//! where its legs stand, its windows and the time. Decides nothing, asks nobody.
//!
//! Owns the facts; `count` gathers them, `todo` says what follows from them.

mod count;
mod todo;

pub use count::reconcile;

use super::desk::Folders;
use crate::ledger::{Attempt, BatchState, By, LegState, Rail, WindowState};
use crate::types::{AssetDef, PartyId, Timestamp, Total, WindowNumber};
use std::collections::{BTreeMap, BTreeSet};

/// How many legs, and over how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub legs: u64,
    /// Over how much, in asset units.
    pub sum: Total,
}

/// Sums by state: those states in which there is a leg.
pub type ByState = BTreeMap<LegState, Sums>;

/// Since when legs have been UNKNOWN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// For less than an hour.
    pub under_an_hour: u64,
    /// For an hour or more, and less than a day.
    pub under_a_day: u64,
    /// For a day or longer.
    pub older: u64,
    /// Since when the oldest has been.
    pub oldest: Option<Timestamp>,
}

/// What was handed to the rail at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionSums {
    /// All its legs: the control sum.
    pub all: Sums,
    /// By state.
    pub by_state: ByState,
    /// Every set of bytes.
    pub attempts: Vec<Attempt>,
    /// Whether its legs are pay-ins.
    pub pay_in: bool,
    /// Whether it is a file that has not left.
    pub is_held: bool,
    /// Keys of its legs that are owed again; the first of them.
    pub failed: Vec<String>,
}

/// One operator's open word about an UNKNOWN leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenProposal {
    /// The leg's key.
    pub key: String,
    /// Who.
    pub operator: String,
    /// Where it stands, in the operator's word.
    pub to: LegState,
    /// The rail's own reference.
    pub reference: String,
    /// The evidence.
    pub evidence: String,
}

/// A window of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowFacts {
    /// Its number.
    pub number: WindowNumber,
    /// Where it stands.
    pub state: WindowState,
    /// Why it is disputed, if it is.
    pub dispute: Option<String>,
}

/// Everything about a batch that an operator acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// The batch, as it is named in sentences.
    pub batch: String,
    /// Where it stands.
    pub state: BatchState,
    /// Who computed it.
    pub by: By,
    /// Its rail.
    pub rail: Rail,
    /// Its asset.
    pub asset: AssetDef,
    /// Its windows.
    pub windows: Vec<WindowFacts>,
    /// Legs towards the clearing account.
    pub pay_ins: ByState,
    /// All others.
    pub pay_outs: ByState,
    /// What was handed to the rail, in order.
    pub submissions: Vec<SubmissionSums>,
    /// Since when legs have been UNKNOWN.
    pub unknown: Ages,
    /// Operators' words about UNKNOWN legs.
    pub proposals: Vec<OpenProposal>,
    /// The windows in which what failed is owed now.
    pub owed_in: BTreeSet<WindowNumber>,
    /// Legs that ended and never left.
    pub held_back: Sums,
    /// READY legs whose payee is suspended.
    pub suspended: Sums,
    /// Parties that owed something in its windows.
    pub parties: u64,
    /// Of these, whose exposure has fallen.
    pub released: u64,
    /// By how much it has fallen in all.
    pub released_sum: Total,
    /// What keeps it from going on.
    pub troubles: Vec<String>,
    /// What a person must see, until it is taken away.
    pub kept: Vec<String>,
    /// Troubles of earlier batches: what they say was paid, this batch pays again.
    pub again: Vec<String>,
    /// Where its rail's files lie, if it has any.
    pub folders: Folders,
}

/// What is wrong with a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrong {
    /// What keeps it from going on, until it is gone.
    pub standing: Vec<String>,
    /// What a person must see, until it is taken away.
    pub kept: Vec<String>,
    /// Troubles of earlier batches: what they say was paid, this batch pays again.
    pub again: Vec<String>,
}

/// What stands at the moment of the report, beside the batch itself.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// The time.
    pub at: Timestamp,
    /// Its submissions whose files have not left.
    pub held: BTreeSet<u32>,
    /// Parties that are suspended.
    pub suspended: BTreeSet<PartyId>,
}

impl Reconciliation {
    /// What is neither at rest nor ended.
    #[must_use]
    pub fn in_flight(&self) -> Total {
        let all = self.pay_ins.iter().chain(&self.pay_outs);
        let moving = all.filter(|(state, _)| state.is_in_flight());
        moving.fold(Total::ZERO, |sum, (_, of)| sum.plus(of.sum))
    }
}
