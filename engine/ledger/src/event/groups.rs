//! The one list of all kinds of events, in groups by what they are about. Who only cares for some
//! of them names the others by their groups.

use super::{
    AssetCreated, BatchAborted, BatchApproved, BatchComputed, BudgetsSet, BudgetsWarned,
    ChangeProposed, CreditLimitSet, DepositRecorded, DisputeEnded, EndpointAdded, EndpointRemoved,
    EndpointRotated, EngineKeySet, ExposureReleased, EyesSet, HoldReleased, IdentityAdded,
    IdentityRevoked, IdentityRotated, LedgerRestored, LegProposed, LegsBooked, LegsMoved,
    LegsSubmitted, OperatorKeyRemoved, OperatorKeySet, PartyErased, PartyUpserted,
    ProposalWithdrawn, SignerAdded, SignerRevoked, TroublesAcked, TroublesRaised, WindowArchived,
    WindowCut, WindowDisputed, WindowSealed,
};

macro_rules! groups {
    ($($(#[$doc:meta])* $group:ident($inner:ident) {
        $($variant:ident($event:ident) = $name:literal,)*
    })*) => {
        /// Everything but frames that changes state.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $group($inner),)*
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            #[allow(missing_docs)]
            pub enum $inner {
                $($variant($event),)*
            }

            impl From<$inner> for Event {
                fn from(event: $inner) -> Self {
                    Self::$group(event)
                }
            }

            $(impl From<$event> for Event {
                fn from(event: $event) -> Self {
                    Self::$group($inner::$variant(event))
                }
            })*
        )*

        impl Event {
            /// The words for all kinds.
            pub const KIND_NAMES: &[&str] = &[$($($name,)*)*];

            /// The word for its kind; never changed.
            #[must_use]
            pub fn kind_name(&self) -> &'static str {
                match self {
                    $($(Self::$group($inner::$variant(_)) => $name,)*)*
                }
            }
        }
    };
}

groups! {
    /// Who and what is known: assets, parties, their keys, limits and deposits.
    Registry(RegistryEvent) {
        AssetCreated(AssetCreated) = "asset_created",
        PartyUpserted(PartyUpserted) = "party_upserted",
        PartyErased(PartyErased) = "party_erased",
        SignerAdded(SignerAdded) = "signer_added",
        SignerRevoked(SignerRevoked) = "signer_revoked",
        LimitSet(CreditLimitSet) = "limit_set",
        Deposited(DepositRecorded) = "deposit_recorded",
    }
    /// What signers may credit in an hour, a day, a month, at all.
    Budget(BudgetEvent) {
        Set(BudgetsSet) = "budgets_set",
        Warned(BudgetsWarned) = "budgets_warned",
    }
    /// Keys that sign for the engine, and operators' own.
    Key(KeyEvent) {
        EngineSet(EngineKeySet) = "engine_key_set",
        OperatorSet(OperatorKeySet) = "operator_key_set",
        OperatorRemoved(OperatorKeyRemoved) = "operator_key_removed",
    }
    /// Who may come to the engine, and as what.
    Access(AccessEvent) {
        Added(IdentityAdded) = "identity_added",
        Revoked(IdentityRevoked) = "identity_revoked",
        Rotated(IdentityRotated) = "identity_rotated",
    }
    /// Where parties are told over HTTP what happened to them.
    Endpoint(EndpointEvent) {
        Added(EndpointAdded) = "webhook_added",
        Removed(EndpointRemoved) = "webhook_removed",
        Rotated(EndpointRotated) = "webhook_rotated",
    }
    /// What one proposes and another confirms. The confirmation is the event itself.
    Eyes(EyesEvent) {
        Set(EyesSet) = "four_eyes_set",
        Proposed(ChangeProposed) = "change_proposed",
        Withdrawn(ProposalWithdrawn) = "proposal_withdrawn",
    }
    /// Windows.
    Window(WindowEvent) {
        Cut(WindowCut) = "window_closed",
        Sealed(WindowSealed) = "window_sealed",
        Disputed(WindowDisputed) = "window_disputed",
        DisputeEnded(DisputeEnded) = "dispute_ended",
        Archived(WindowArchived) = "window_archived",
    }
    /// Batches, until their legs leave.
    Batch(BatchEvent) {
        Computed(BatchComputed) = "batch_created",
        Approved(BatchApproved) = "batch_approved",
        Aborted(BatchAborted) = "batch_aborted",
    }
    /// Legs of a batch, and what is owed no more because they have ended.
    Leg(LegEvent) {
        Submitted(LegsSubmitted) = "legs_submitted",
        Moved(LegsMoved) = "legs_moved",
        Booked(LegsBooked) = "legs_booked",
        Proposed(LegProposed) = "leg_proposed",
        Released(ExposureReleased) = "exposure_released",
    }
    /// What a person must see.
    Trouble(TroubleEvent) {
        Raised(TroublesRaised) = "troubles_raised",
        Acked(TroublesAcked) = "troubles_acked",
    }
    /// The ledger was restored from an older copy, and what follows from that.
    Hold(HoldEvent) {
        Begun(LedgerRestored) = "ledger_restored",
        Released(HoldReleased) = "hold_released",
    }
}
