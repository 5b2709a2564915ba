//! One batch as the control state knows it: what was decided about it, and how far its legs are.
//! Rules about what may be done with it are above.

use crate::batch::{BatchHead, By};
use crate::fund::Cover;
use crate::legs::Legs;
use crate::types::{BatchId, Lsn, Net, SignerKey, Timestamp, Total};
use crate::window::Obligation;
use rkyv::{Archive, Deserialize, Serialize};
use std::sync::Arc;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// Computed; waits for approval.
    Computed,
    /// Approved; nothing has left.
    Approved,
    /// Legs have left, and not all have ended.
    Submitting,
    /// Every leg has ended, all of them confirmed.
    Settled,
    /// Every leg has ended, and what some should have moved is owed in a later window.
    SettledWithCarry,
    /// Aborted; its windows can be batched anew.
    Aborted,
}

impl BatchState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Computed,
        Self::Approved,
        Self::Submitting,
        Self::Settled,
        Self::SettledWithCarry,
        Self::Aborted,
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Computed => "COMPUTED",
            Self::Approved => "APPROVED",
            Self::Submitting => "SUBMITTING",
            Self::Settled => "SETTLED",
            Self::SettledWithCarry => "SETTLED_WITH_CARRY",
            Self::Aborted => "ABORTED",
        }
    }

    /// Whether every leg has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Settled | Self::SettledWithCarry => true,
            Self::Computed | Self::Approved | Self::Submitting | Self::Aborted => false,
        }
    }
}

/// What was decided about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(super) enum Fate {
    Computed,
    Approved,
    Aborted,
}

/// How a batch was approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Approval {
    /// By whom.
    pub operator: String,
    /// When.
    pub at: Timestamp,
    /// With which own key it was signed; `None` if it was not.
    pub key: Option<SignerKey>,
}

/// What a record that computed or aborted a batch did. The batch may have been aborted and computed
/// again since, under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Deed {
    /// The batch.
    pub batch: BatchId,
    /// Who had computed it, and whether another had to approve.
    pub by: By,
    /// Who aborted it and why; `None` if the record computed it.
    pub aborted: Option<(String, String)>,
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEntry {
    pub(super) fate: Fate,
    /// What it is, without its legs.
    pub head: Arc<BatchHead>,
    /// The record that computed it; orders the batches.
    pub computed_lsn: Lsn,
    /// When it was computed.
    pub computed_at: Timestamp,
    /// Who computed it, and whether another must approve.
    pub by: By,
    /// Who approved it, and how; `None` before.
    pub approved: Option<Approval>,
    /// Where its legs stand.
    pub legs: Legs,
    /// When the last of its legs ended; `None` before.
    pub ended_at: Option<Timestamp>,
    /// Who aborted it and why; `None` unless somebody did.
    pub aborted: Option<(String, String)>,
    /// What it brings to the clearing account and takes from it; `None` in a bilateral asset.
    pub(super) cover: Option<Cover>,
    /// Its dust is owed in a later window: it has begun.
    pub(super) dust_owed: bool,
    /// Every party's exposure was released.
    pub(super) released: bool,
}

impl BatchEntry {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> BatchState {
        match self.fate {
            Fate::Computed => BatchState::Computed,
            Fate::Aborted => BatchState::Aborted,
            Fate::Approved if self.legs.have_ended() => {
                if self.legs.owed_again() > Total::ZERO {
                    BatchState::SettledWithCarry
                } else {
                    BatchState::Settled
                }
            }
            Fate::Approved if self.legs.is_untouched() => BatchState::Approved,
            Fate::Approved => BatchState::Submitting,
        }
    }

    /// The dust, the first time that it is asked for: it is owed once, in the window that is open
    /// when the first leg moves.
    pub(super) fn dust(&mut self) -> Vec<Obligation> {
        if std::mem::replace(&mut self.dust_owed, true) {
            Vec::new()
        } else {
            self.head.carries.clone()
        }
    }

    /// What others may take of what it brought, or, below zero, what it took of theirs. Nothing
    /// before it has begun: it may still be aborted.
    pub(super) fn spare(&self) -> Net {
        match &self.cover {
            Some(cover) if self.dust_owed => cover.spare(self.legs.have_ended()),
            Some(_) | None => Net::ZERO,
        }
    }

    /// Whether the engine has anything to do for it: legs that have not ended, or exposure to
    /// release.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.fate == Fate::Approved && !(self.legs.have_ended() && self.released)
    }
}
