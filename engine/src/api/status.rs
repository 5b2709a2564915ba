//! Which refusal gets which gRPC status code.

use super::limited::{self, Limit};
use crate::journal::JournalError;
use crate::ledger::Refusal::{
    self, AccountsMoved, EngineKeyMoved, ErasedMeanwhile, NoSuchLeg, RequestReused, SignerDiffers,
    SuspensionsMoved, UnknownAsset, UnknownBatch, UnknownParty, UnknownSigner, UnknownTrouble,
    UnknownWindow,
};
use crate::ledger::{BudgetMisfit, EndpointMisfit, EyesMisfit, IdentityMisfit, OperatorKeyMisfit};
use crate::limits::{HOOK_TEST_EVERY, RETRY_LATER, RETRY_SOON};
use crate::pipeline::{Busy, NotDone};
use crate::settle::{NotLoaded, NotRead, NotRotated, NotSaid, NotTested};
use crate::vault::VaultError;
use tonic::{Code, Status};

/// The status of a refusal: its text says what is wrong and what to do.
pub(super) fn refused(refusal: &Refusal) -> Status {
    Status::new(code(refusal), refusal.to_string())
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        RequestReused(_) | Refusal::AssetDiffers { .. } | SignerDiffers(_) => Code::AlreadyExists,
        UnknownParty(_) | UnknownSigner(_) | UnknownAsset(_) | UnknownBatch(_) => Code::NotFound,
        UnknownTrouble(_) | UnknownWindow { .. } | NoSuchLeg { .. } => Code::NotFound,
        Refusal::SameOperator(_) | Refusal::EnginesOwn { .. } => Code::PermissionDenied,
        Refusal::Eyes(misfit) => of_eyes(misfit),
        Refusal::OperatorKey(misfit) => of_key(misfit),
        Refusal::Budgets(misfit) => of_budgets(misfit),
        Refusal::Identity(misfit) => of_identity(misfit),
        Refusal::RequestsFull(_)
        | Refusal::TableFull { .. }
        | Refusal::TooManyLegs(_)
        | Refusal::TroublesFull(_)
        | Refusal::SealingBehind(_) => Code::ResourceExhausted,
        Refusal::SignerRevoked(_)
        | Refusal::WindowOpen(_)
        | Refusal::WindowInBatch { .. }
        | Refusal::NothingToSettle(_)
        | Refusal::BelowLeast { .. }
        | Refusal::BatchState { .. }
        | Refusal::EngineKey(_)
        | Refusal::WindowDisputed(_)
        | Refusal::WindowState { .. }
        | Refusal::Submission { .. }
        | Refusal::NotCovered { .. }
        | Refusal::LegState { .. }
        | Refusal::NeedsTwo { .. }
        | Refusal::InHand { .. }
        | Refusal::LegWord { .. }
        | Refusal::NotUnknown { .. }
        | Refusal::SaidBefore { .. }
        | Refusal::InDoubt { .. }
        | Refusal::SaidToBePaid { .. }
        | Refusal::ReleasedBefore { .. }
        | Refusal::NotEnded { .. }
        | Refusal::StillPaid { .. }
        | Refusal::PartyErased(_)
        | Refusal::NotSuspended(_)
        | Refusal::StillNeeded { .. }
        | Refusal::DepositsLeft { .. }
        | Refusal::OnHold { .. }
        | Refusal::NotOnHold
        | Refusal::AccountsMissing { .. } => Code::FailedPrecondition,
        Refusal::DepositsTooLarge(..)
        | Refusal::RailUnfit { .. }
        | Refusal::NoRequestId
        | Refusal::RequestReserved
        | Refusal::TextTooLong { .. }
        | Refusal::AssetUnfit(_)
        | Refusal::PartyUnfit(_)
        | Refusal::TooManyCaps(_)
        | Refusal::CapsRepeat
        | Refusal::NoDeposit
        | Refusal::BatchWindows { .. }
        | Refusal::WindowTwice(_)
        | Refusal::AckNumbers(_)
        | Refusal::NoReason
        | Refusal::NoReasonOfLeg { .. }
        | Refusal::LegTwice { .. }
        | Refusal::ReportCount { .. }
        | Refusal::NotSealed { .. }
        | Refusal::NoEvidence => Code::InvalidArgument,
        Refusal::Endpoint(misfit) => of_endpoint(misfit),
        Refusal::WindowUnsealed(_) => Code::Unavailable,
        AccountsMoved | SuspensionsMoved | EngineKeyMoved | ErasedMeanwhile(_) => Code::Aborted,
    }
}

/// Who may not, for want of the right signature, and what does not go as things are.
fn of_key(misfit: &OperatorKeyMisfit) -> Code {
    match misfit {
        OperatorKeyMisfit::MustSign { .. } | OperatorKeyMisfit::SignatureUnfit { .. } => {
            Code::PermissionDenied
        }
        OperatorKeyMisfit::TooMany => Code::ResourceExhausted,
        OperatorKeyMisfit::Reused(_)
        | OperatorKeyMisfit::Engines(_)
        | OperatorKeyMisfit::NoKey { .. }
        | OperatorKeyMisfit::Nameless
        | OperatorKeyMisfit::NotHis { .. }
        | OperatorKeyMisfit::Idle { .. } => Code::FailedPrecondition,
    }
}

fn of_eyes(misfit: &EyesMisfit) -> Code {
    match misfit {
        EyesMisfit::NobodyProposes
        | EyesMisfit::SameConfirmer { .. }
        | EyesMisfit::KeyOfAnother { .. } => Code::PermissionDenied,
        EyesMisfit::NoProposal(_) => Code::NotFound,
        EyesMisfit::ProposalsFull { .. } => Code::ResourceExhausted,
        EyesMisfit::NobodyMade(_)
        | EyesMisfit::FirstTwo
        | EyesMisfit::ProposalOver(_)
        | EyesMisfit::ProposerGone { .. }
        | EyesMisfit::MadeWithOldKey { .. }
        | EyesMisfit::ChangedMeanwhile(_) => Code::FailedPrecondition,
    }
}

fn of_identity(misfit: &IdentityMisfit) -> Code {
    match misfit {
        IdentityMisfit::Name(_)
        | IdentityMisfit::CertificateName { .. }
        | IdentityMisfit::Role { .. }
        | IdentityMisfit::NoParty
        | IdentityMisfit::NoScope { .. }
        | IdentityMisfit::Scope
        | IdentityMisfit::Over => Code::InvalidArgument,
        IdentityMisfit::NameTaken(_) | IdentityMisfit::CredentialTaken(_) => Code::AlreadyExists,
        IdentityMisfit::TooMany | IdentityMisfit::TooOften(_) => Code::ResourceExhausted,
        IdentityMisfit::Unknown(_) => Code::NotFound,
        IdentityMisfit::Revoked(_)
        | IdentityMisfit::Expired(_)
        | IdentityMisfit::Rotated(_)
        | IdentityMisfit::OtherKind(_) => Code::FailedPrecondition,
        IdentityMisfit::NotAllowed { .. } | IdentityMisfit::NotOwn { .. } => Code::PermissionDenied,
    }
}

fn of_endpoint(misfit: &EndpointMisfit) -> Code {
    match misfit {
        EndpointMisfit::Unknown(_) => Code::NotFound,
        EndpointMisfit::NotOf { .. } => Code::FailedPrecondition,
        EndpointMisfit::TooMany(_) | EndpointMisfit::Full(_) => Code::ResourceExhausted,
        EndpointMisfit::Topics => Code::InvalidArgument,
    }
}

fn of_budgets(misfit: &BudgetMisfit) -> Code {
    match misfit {
        BudgetMisfit::TooMany(_) | BudgetMisfit::Repeat | BudgetMisfit::ForSelf => {
            Code::InvalidArgument
        }
        BudgetMisfit::Moved => Code::Aborted,
    }
}

impl From<Busy> for Status {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Full => limited::refused(Limit::Full, busy.to_string(), RETRY_SOON),
            Busy::DiskFull => limited::refused(Limit::Disk, busy.to_string(), RETRY_LATER),
            Busy::Stopping => Self::unavailable(busy.to_string()),
        }
    }
}

impl From<NotDone> for Status {
    fn from(reason: NotDone) -> Self {
        match reason {
            NotDone::Refused(refusal) => refused(&refusal),
            NotDone::Busy(busy) => busy.into(),
        }
    }
}

impl From<NotLoaded> for Status {
    fn from(reason: NotLoaded) -> Self {
        match reason {
            NotLoaded::NotDone(reason) => reason.into(),
            NotLoaded::Storage(error) => storage(&error),
            NotLoaded::Sealed(error) => (&error).into(),
            NotLoaded::Away(why) => Self::failed_precondition(why),
        }
    }
}

impl From<NotRead> for Status {
    fn from(reason: NotRead) -> Self {
        match reason {
            NotRead::Storage(error) => storage(&error),
            NotRead::Away(why) => Self::failed_precondition(why),
        }
    }
}

impl From<&VaultError> for Status {
    fn from(error: &VaultError) -> Self {
        match error {
            VaultError::Storage(error) => storage(error),
            VaultError::Refused(refusal) => refused(refusal),
            VaultError::BeingErased(_) => Self::unavailable(error.to_string()),
            VaultError::Secret(_) => Self::internal(error.to_string()),
            VaultError::NoKey(_) | VaultError::OtherKey(_) => {
                tracing::error!(%error, "what is sealed cannot be opened");
                Self::data_loss(error.to_string())
            }
        }
    }
}

impl From<VaultError> for Status {
    fn from(error: VaultError) -> Self {
        (&error).into()
    }
}

impl From<NotSaid> for Status {
    fn from(reason: NotSaid) -> Self {
        match reason {
            NotSaid::NotLoaded(reason) => reason.into(),
            NotSaid::NoLeg(_) => Self::not_found(reason.to_string()),
            NotSaid::Held(why) => Self::failed_precondition(why),
        }
    }
}

impl From<NotTested> for Status {
    fn from(reason: NotTested) -> Self {
        match reason {
            NotTested::NotDone(reason) => reason.into(),
            NotTested::TooSoon => {
                limited::refused(Limit::Places, reason.to_string(), HOOK_TEST_EVERY)
            }
        }
    }
}

impl From<NotRotated> for Status {
    fn from(reason: NotRotated) -> Self {
        match reason {
            NotRotated::NotDone(reason) => reason.into(),
            NotRotated::Key(error) => Self::internal(error.to_string()),
            named @ NotRotated::NotNamed(_) => Self::unavailable(named.to_string()),
        }
    }
}

/// What is kept cannot be read: an operator must look at the disk.
pub(super) fn storage(error: &JournalError) -> Status {
    tracing::error!(%error, "what is kept cannot be read");
    Status::data_loss(error.to_string())
}

/// INVALID_ARGUMENT with a text.
pub(super) fn invalid(text: impl Into<String>) -> Status {
    Status::invalid_argument(text)
}
