//! Planted bugs: what the simulator must catch, or it proves nothing.
//!
//! Compiled in only with the cargo feature `canary`, that is, into the programs
//! `tallystick-sim-canary` and `tallystick-stream-sim-canary`, never into `tallystick`: without the
//! feature `planted` is false where it is called, and its callers compile to what they would be
//! without it. Owns the list; each bug stands where it would be made.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether bugs can be planted.
const ON: bool = cfg!(feature = "canary");

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// A bug that can be planted. Each is one that a reviewer may well miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// From the second raise of a channel on, the whole total counts as owed and not its rise.
    CreditTotal = 1,
    /// A channel that is credited between a cut and its turn to leave goes into the closed window
    /// as it is afterwards.
    CutTakesNext = 2,
    /// A channel that is credited between a checkpoint's mark and its turn is not copied before.
    CheckpointMissesChannel = 3,
    /// A checkpoint forgets what signers used of their caps.
    CheckpointLosesCaps = 4,
    /// A checkpoint is committed before its pages are synced.
    CheckpointBeforeSync = 5,
    /// A group is acked before it is durable.
    AckBeforeSync = 6,
    /// A window is sealed before what is kept of it is synced.
    SealBeforeSync = 7,
    /// Frames are put in the order in which they were checked.
    OrderByArrival = 8,
    /// What is below the rail's unit is dropped where a payment is made for the rest.
    DustLost = 9,
    /// Whoever reads or commands is answered before what they are told is durable.
    ReadBeforeDurable = 10,
    /// A frame with a bad signature in its middle is journaled without what follows it.
    FrameCutShort = 11,
    /// A batch may pay out what other batches still need for their own pay-outs.
    FundShared = 12,
    /// Who computed a batch may approve it, four eyes or not.
    OwnApproval = 13,
    /// The total of a voucher that was over a limit counts as certain.
    KnownAhead = 14,
    /// Of all that one answer says of a leg, what is said last counts.
    LastWordCounts = 23,
    /// Money of any sum confirms a leg.
    AnySumConfirms = 15,
    /// A report that refuses un-pays what was confirmed.
    ReportUndoesMoney = 16,
    /// Pay-outs to suspended parties leave.
    SuspendedPaid = 17,
    /// A file that could not leave is forgotten, and leaves later whatever its legs have come to.
    HeldFileLeaves = 18,
    /// What was found absent is called for again, whatever operators have said of it meanwhile.
    ResolvedLeaves = 20,
    /// Money of another object, or of another account, confirms a leg.
    AnyPlaceConfirms = 21,
    /// What contradicts a leg that has ended is dropped.
    TooLateDropped = 22,
    /// A file whose legs are all rejected stays where it is handed in from.
    RejectedFileStays = 24,
    /// A checkpoint does not hold deposits that changed.
    ControlMissesMoney = 25,
    /// A part of the control state that changes between a checkpoint's mark and its turn goes into
    /// it as it is afterwards.
    ControlTakesNext = 26,
    /// A start goes by rows of which only some are those of the last checkpoint.
    RowsHalfApplied = 27,
    /// An operator who has a key may approve and say without signing.
    UnsignedApproval = 28,
    /// What comes back of a leg that went twice has it owed again.
    ReturnOfASecondPaysAgain = 29,
    /// What was used of a budget counts in the next period, too.
    BudgetHoldsOn = 30,
    /// A checkpoint forgets what signers used of their budgets.
    CheckpointLosesBudgets = 31,
    /// An identity that was revoked may do what it could before.
    RevokedIdentityStillActs = 32,
    /// Evidence of a window leaves for an archive before all that it proves is settled.
    EvidenceLeavesEarly = 35,
    /// What was owed in a window leaves while a start may still compute a batch of it.
    OwedLeavesEarly = 36,
    /// Events leave for an archive that a start would still read.
    EventsLeaveEarly = 37,
    /// Entries of a bundle are credited with the tree of the first bundle of their chunk.
    TreeOfTheFirst = 45,
    /// Who proposed a change may confirm it.
    ProposerConfirmsOwn = 40,
    /// Under four eyes a key that somebody else made does all that its owner could do with it.
    UnownedKeyCounts = 41,
    /// A start does not find out what became of payments that were under way: whoever brings the
    /// same voucher later is charged, and both are told that they were.
    ChargedTwice = 42,
    /// An owner of the journal's stream that has read another one's claim appends behind it.
    StreamUnfenced = 51,
    /// Who claims the journal's stream goes on without what came up to its claim.
    ClaimUnread = 52,
}

impl Bug {
    /// Every bug of one machine.
    pub const ALL: [Self; 38] = [
        Self::CreditTotal,
        Self::CutTakesNext,
        Self::CheckpointMissesChannel,
        Self::CheckpointLosesCaps,
        Self::CheckpointBeforeSync,
        Self::AckBeforeSync,
        Self::SealBeforeSync,
        Self::OrderByArrival,
        Self::DustLost,
        Self::ReadBeforeDurable,
        Self::FrameCutShort,
        Self::FundShared,
        Self::OwnApproval,
        Self::KnownAhead,
        Self::LastWordCounts,
        Self::AnySumConfirms,
        Self::ReportUndoesMoney,
        Self::SuspendedPaid,
        Self::HeldFileLeaves,
        Self::ResolvedLeaves,
        Self::AnyPlaceConfirms,
        Self::TooLateDropped,
        Self::RejectedFileStays,
        Self::ControlMissesMoney,
        Self::ControlTakesNext,
        Self::RowsHalfApplied,
        Self::UnsignedApproval,
        Self::ReturnOfASecondPaysAgain,
        Self::BudgetHoldsOn,
        Self::CheckpointLosesBudgets,
        Self::RevokedIdentityStillActs,
        Self::EvidenceLeavesEarly,
        Self::OwedLeavesEarly,
        Self::EventsLeaveEarly,
        Self::ProposerConfirmsOwn,
        Self::UnownedKeyCounts,
        Self::ChargedTwice,
        Self::TreeOfTheFirst,
    ];

    /// Those of the journal's stream: what catches them is the simulator of its protocol.
    pub const OF_STREAM: [Self; 2] = [Self::StreamUnfenced, Self::ClaimUnread];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreditTotal => "credit-total",
            Self::CutTakesNext => "cut-takes-next",
            Self::CheckpointMissesChannel => "checkpoint-misses-channel",
            Self::CheckpointLosesCaps => "checkpoint-loses-caps",
            Self::CheckpointBeforeSync => "checkpoint-before-sync",
            Self::AckBeforeSync => "ack-before-sync",
            Self::SealBeforeSync => "seal-before-sync",
            Self::OrderByArrival => "order-by-arrival",
            Self::DustLost => "dust-lost",
            Self::ReadBeforeDurable => "read-before-durable",
            Self::FrameCutShort => "frame-cut-short",
            Self::FundShared => "fund-shared",
            Self::OwnApproval => "own-approval",
            Self::KnownAhead => "known-ahead",
            Self::LastWordCounts => "last-word-counts",
            Self::AnySumConfirms => "any-sum-confirms",
            Self::ReportUndoesMoney => "report-undoes-money",
            Self::SuspendedPaid => "suspended-paid",
            Self::HeldFileLeaves => "held-file-leaves",
            Self::ResolvedLeaves => "resolved-leaves",
            Self::AnyPlaceConfirms => "any-place-confirms",
            Self::TooLateDropped => "too-late-dropped",
            Self::RejectedFileStays => "rejected-file-stays",
            Self::ControlMissesMoney => "control-misses-money",
            Self::ControlTakesNext => "control-takes-next",
            Self::RowsHalfApplied => "rows-half-applied",
            Self::UnsignedApproval => "unsigned-approval",
            Self::ReturnOfASecondPaysAgain => "return-of-a-second-pays-again",
            Self::BudgetHoldsOn => "budget-holds-on",
            Self::CheckpointLosesBudgets => "checkpoint-loses-budgets",
            Self::RevokedIdentityStillActs => "revoked-identity-still-acts",
            Self::EvidenceLeavesEarly => "evidence-leaves-early",
            Self::OwedLeavesEarly => "owed-leaves-early",
            Self::EventsLeaveEarly => "events-leave-early",
            Self::ProposerConfirmsOwn => "proposer-confirms-own",
            Self::UnownedKeyCounts => "unowned-key-counts",
            Self::ChargedTwice => "charged-twice",
            Self::TreeOfTheFirst => "tree-of-the-first",
            Self::StreamUnfenced => "stream-unfenced",
            Self::ClaimUnread => "claim-unread",
        }
    }
}

/// Plants a bug for the rest of the process's life, or takes the last one out. Without the feature
/// nothing is planted.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
}

/// Whether this bug is to show.
#[inline]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    ON && PLANTED.load(Ordering::Relaxed) == bug as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_no_bug_can_be_planted() {
        if !ON {
            plant(Some(Bug::CreditTotal));
            assert!(Bug::ALL.into_iter().all(|bug| !planted(bug)));
            plant(None);
        }
    }
}
