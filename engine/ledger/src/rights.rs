//! Who may make which call: one table, for the edge, for what is journaled, and for whoever audits
//! it. `docs/ACCESS.md` shows the same one, and a test compares them.

use crate::envelope::Role;
use crate::event::{
    AccessEvent, BatchEvent, BudgetEvent, EndpointEvent, Event, EyesEvent, HoldEvent, KeyEvent,
    LegEvent, RegistryEvent, TroubleEvent, WindowEvent,
};
use crate::identity::Identity;
use crate::leg::Mover;
use crate::types::{PartyId, SignerKey};
use crate::wish::Wish;

/// What a role may do of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// All of it.
    Allowed,
    /// What is in its scope, or about itself.
    Own,
    /// Nothing.
    Refused,
}

impl Right {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "yes",
            Self::Own => "own",
            Self::Refused => "-",
        }
    }
}

macro_rules! calls {
    ($($call:ident $service:literal $facilitator:ident $party:ident $operator:ident $approver:ident
       $auditor:ident;)*) => {
        /// A call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Call {
            $($call,)*
        }

        impl Call {
            /// Every call of the engine's services.
            pub const ALL: &[Self] = &[$(Self::$call,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$call => stringify!($call),)*
                }
            }

            /// Its path.
            #[must_use]
            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$call => concat!("/tallystick.v1.", $service, "/", stringify!($call)),)*
                }
            }

            /// Whether it is one of those by which vouchers come.
            #[must_use]
            pub fn is_of_vouchers(self) -> bool {
                match self {
                    $(Self::$call => matches!($service.as_bytes(), b"Vouchers"),)*
                }
            }

            /// What a role may do of it.
            #[must_use]
            pub fn right(self, role: Role) -> Right {
                #[allow(non_upper_case_globals)]
                const yes: Right = Right::Allowed;
                #[allow(non_upper_case_globals)]
                const own: Right = Right::Own;
                #[allow(non_upper_case_globals)]
                const no: Right = Right::Refused;
                let row = match self {
                    $(Self::$call => [$facilitator, $party, $operator, $approver, $auditor],)*
                };
                match role {
                    Role::Engine | Role::Anyone => yes,
                    Role::Facilitator => row[0],
                    Role::Party => row[1],
                    Role::Operator => row[2],
                    Role::Approver => row[3],
                    Role::Auditor => row[4],
                }
            }
        }
    };
}

calls! {
//  call                service    facilitator party operator approver auditor
    Stream              "Vouchers" own no  yes no  no;
    Submit              "Vouchers" own no  yes no  no;
    GetChannel          "Vouchers" own own yes yes yes;
    GetReceipt          "Vouchers" own own yes yes yes;
    GetHeadroom         "Vouchers" own own yes yes yes;
    GetNetwork          "Vouchers" yes yes yes yes yes;
    CreateAsset         "Operator" no  no  yes no  no;
    ListAssets          "Operator" yes yes yes yes yes;
    UpsertParty         "Operator" no  no  yes no  no;
    GetParty            "Operator" no  own yes yes yes;
    ListParties         "Operator" no  no  yes yes yes;
    GetStatement        "Operator" no  own yes yes yes;
    EraseParty          "Operator" no  no  yes no  no;
    AddSigner           "Operator" no  own yes no  no;
    RevokeSigner        "Operator" no  own yes no  no;
    SetBudgets          "Operator" no  own yes no  no;
    GetBudgets          "Operator" no  own yes yes yes;
    ListSigners         "Operator" no  own yes yes yes;
    FindIds             "Operator" no  no  yes yes yes;
    SetCreditLimit      "Operator" no  no  yes no  no;
    RecordDeposit       "Operator" no  no  yes no  no;
    GetExposure         "Operator" own own yes yes yes;
    ListExposures       "Operator" no  no  yes yes yes;
    Import              "Operator" no  no  yes no  no;
    CloseWindow         "Operator" no  no  yes no  no;
    GetWindow           "Operator" no  no  yes yes yes;
    ListWindows         "Operator" no  no  yes yes yes;
    DisputeWindow       "Operator" no  no  yes yes no;
    EndDispute          "Operator" no  no  yes yes no;
    ListObligations     "Operator" no  own yes yes yes;
    ListNetObligations  "Operator" no  own yes yes yes;
    ListNetPositions    "Operator" no  no  yes yes yes;
    CreateBatch         "Operator" no  no  yes no  no;
    GetBatch            "Operator" no  no  yes yes yes;
    ListBatches         "Operator" no  no  yes yes yes;
    ListLegs            "Operator" no  no  yes yes yes;
    FindLegs            "Operator" no  own yes yes yes;
    ApproveBatch        "Operator" no  no  yes yes no;
    AbortBatch          "Operator" no  no  yes yes no;
    ReportLegs          "Operator" no  no  yes no  no;
    ResolveLeg          "Operator" no  no  yes yes no;
    GetReconciliation   "Operator" no  no  yes yes yes;
    ListTroubles        "Operator" no  no  yes yes yes;
    AckTroubles         "Operator" no  no  yes no  no;
    ListHistory         "Operator" no  own yes yes yes;
    ExportBatch         "Operator" no  no  yes yes yes;
    ExportEvidence      "Operator" no  no  yes yes yes;
    GetProof            "Operator" no  own yes yes yes;
    RotateEngineKey     "Operator" no  no  yes no  no;
    SetOperatorKey      "Operator" no  no  yes yes no;
    RemoveOperatorKey   "Operator" no  no  yes yes no;
    ListOperatorKeys    "Operator" no  no  yes yes yes;
    AddIdentity         "Operator" no  no  yes no  no;
    RevokeIdentity      "Operator" no  no  yes no  no;
    RotateIdentity      "Operator" own own yes own own;
    ListIdentities      "Operator" own own yes yes yes;
    AddWebhook          "Operator" no  own yes no  no;
    RemoveWebhook       "Operator" no  own yes no  no;
    RotateWebhook       "Operator" no  own yes no  no;
    ListWebhooks        "Operator" no  own yes yes yes;
    ReplayWebhook       "Operator" no  own yes no  no;
    TestWebhook         "Operator" no  own yes no  no;
    ListProposals       "Operator" no  no  yes yes yes;
    ConfirmProposal     "Operator" no  no  yes yes no;
    WithdrawProposal    "Operator" no  no  yes yes no;
    CreateBackup        "Operator" no  no  yes no  no;
    ReleaseHold         "Operator" no  no  yes yes no;
    GetStatus           "Operator" no  no  yes yes yes;
    WatchNow            "Operator" no  no  yes yes yes;
    RevealParty         "Operator" no  own yes yes yes;
    CreateConsoleLogin  "Operator" own own yes own own;
    ListAuditLog        "Operator" no  no  yes yes yes;
}

impl Call {
    /// The call with this path.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.path() == path)
    }
}

/// What can be asked over HTTP, and of which call each has the right: it is that call in other
/// words.
pub const ROUTES: [(&str, &str, Call); 6] = [
    ("GET", "/supported", Call::GetNetwork),
    ("POST", "/verify", Call::Submit),
    ("POST", "/settle", Call::Submit),
    ("GET", "/status/{payment}", Call::GetReceipt),
    ("GET", "/channel/{channel}", Call::GetChannel),
    ("POST", "/channels", Call::GetChannel),
];

impl Wish {
    /// The call by which people want it; `None` of what is the engine's alone.
    #[must_use]
    pub fn call(&self) -> Option<Call> {
        Some(match self {
            Self::CreateAsset { .. } => Call::CreateAsset,
            Self::UpsertParty(_) => Call::UpsertParty,
            Self::EraseParty { .. } => Call::EraseParty,
            Self::AddSigner { .. } => Call::AddSigner,
            Self::RevokeSigner { .. } => Call::RevokeSigner,
            Self::SetBudgets { .. } => Call::SetBudgets,
            Self::SetCreditLimit { .. } => Call::SetCreditLimit,
            Self::RecordDeposit { .. } => Call::RecordDeposit,
            Self::SetEngineKey { .. } => Call::RotateEngineKey,
            Self::SetOperatorKey { .. } => Call::SetOperatorKey,
            Self::RemoveOperatorKey { .. } => Call::RemoveOperatorKey,
            Self::AddIdentity(_) => Call::AddIdentity,
            Self::RevokeIdentity { .. } => Call::RevokeIdentity,
            Self::RotateIdentity { .. } => Call::RotateIdentity,
            Self::AddEndpoint { .. } => Call::AddWebhook,
            Self::RemoveEndpoint { .. } => Call::RemoveWebhook,
            Self::RotateEndpoint { .. } => Call::RotateWebhook,
            Self::ConfirmProposal { .. } => Call::ConfirmProposal,
            Self::WithdrawProposal { .. } => Call::WithdrawProposal,
            Self::CloseWindow => Call::CloseWindow,
            Self::DisputeWindow { .. } => Call::DisputeWindow,
            Self::EndDispute { .. } => Call::EndDispute,
            Self::CreateBatch(_) => Call::CreateBatch,
            Self::ApproveBatch { .. } => Call::ApproveBatch,
            Self::AbortBatch { .. } => Call::AbortBatch,
            Self::ReportLegs { .. } => Call::ReportLegs,
            Self::ResolveLeg { .. } => Call::ResolveLeg,
            Self::AckTroubles { .. } => Call::AckTroubles,
            Self::ReleaseHold { .. } => Call::ReleaseHold,
            Self::WarnBudgets(_)
            | Self::SetEyes(_)
            | Self::SealWindow(_)
            | Self::ArchiveWindow(_)
            | Self::SubmitLegs(_)
            | Self::MoveLegs { .. }
            | Self::MoveEnded { .. }
            | Self::BookLegs { .. }
            | Self::ReleaseExposure { .. }
            | Self::RaiseTroubles(_)
            | Self::BeginHold(_) => return None,
        })
    }
}

impl Event {
    /// The call by which people make it happen; `None` of what is the engine's alone.
    #[must_use]
    pub fn call(&self) -> Option<Call> {
        Some(match self {
            Self::Registry(e) => match e {
                RegistryEvent::AssetCreated(_) => Call::CreateAsset,
                RegistryEvent::PartyUpserted(_) => Call::UpsertParty,
                RegistryEvent::PartyErased(_) => Call::EraseParty,
                RegistryEvent::SignerAdded(_) => Call::AddSigner,
                RegistryEvent::SignerRevoked(_) => Call::RevokeSigner,
                RegistryEvent::LimitSet(_) => Call::SetCreditLimit,
                RegistryEvent::Deposited(_) => Call::RecordDeposit,
            },
            Self::Budget(BudgetEvent::Set(_)) => Call::SetBudgets,
            Self::Key(KeyEvent::EngineSet(_)) => Call::RotateEngineKey,
            Self::Key(KeyEvent::OperatorSet(_)) => Call::SetOperatorKey,
            Self::Key(KeyEvent::OperatorRemoved(_)) => Call::RemoveOperatorKey,
            Self::Access(AccessEvent::Added(_)) => Call::AddIdentity,
            Self::Access(AccessEvent::Revoked(_)) => Call::RevokeIdentity,
            Self::Access(AccessEvent::Rotated(_)) => Call::RotateIdentity,
            Self::Endpoint(EndpointEvent::Added(_)) => Call::AddWebhook,
            Self::Endpoint(EndpointEvent::Removed(_)) => Call::RemoveWebhook,
            Self::Endpoint(EndpointEvent::Rotated(_)) => Call::RotateWebhook,
            Self::Eyes(EyesEvent::Proposed(e)) => return e.change.event().call(),
            Self::Eyes(EyesEvent::Withdrawn(_)) => Call::WithdrawProposal,
            Self::Window(WindowEvent::Cut(_)) => Call::CloseWindow,
            Self::Window(WindowEvent::Disputed(_)) => Call::DisputeWindow,
            Self::Window(WindowEvent::DisputeEnded(_)) => Call::EndDispute,
            Self::Batch(BatchEvent::Computed(_)) => Call::CreateBatch,
            Self::Batch(BatchEvent::Approved(_)) => Call::ApproveBatch,
            Self::Batch(BatchEvent::Aborted(_)) => Call::AbortBatch,
            // The second word about an UNKNOWN leg moves it. A report of one leg looks the same:
            // who may want which is decided on the wish; the audit looks where the leg stood.
            Self::Leg(LegEvent::Moved(e)) if e.mover == Mover::Operator => match e.moves.len() {
                1 => Call::ResolveLeg,
                _ => Call::ReportLegs,
            },
            Self::Leg(LegEvent::Proposed(_)) => Call::ResolveLeg,
            Self::Trouble(TroubleEvent::Acked(_)) => Call::AckTroubles,
            Self::Hold(HoldEvent::Released(_)) => Call::ReleaseHold,
            Self::Budget(BudgetEvent::Warned(_))
            | Self::Eyes(EyesEvent::Set(_))
            | Self::Window(WindowEvent::Sealed(_) | WindowEvent::Archived(_))
            | Self::Leg(
                LegEvent::Moved(_)
                | LegEvent::Submitted(_)
                | LegEvent::Booked(_)
                | LegEvent::Released(_),
            )
            | Self::Trouble(TroubleEvent::Raised(_))
            | Self::Hold(HoldEvent::Begun(_)) => return None,
        })
    }
}

/// Whether what happens is an identity's own affair: of a party's owner, what is about the party's
/// signers and where it is told; of anybody, what is about the identity itself.
pub fn is_own(
    identity: &Identity,
    event: &Event,
    party_of: impl Fn(SignerKey) -> Option<PartyId>,
) -> bool {
    let owns = |party: PartyId| identity.role == Role::Party && identity.scope.owns(party);
    let signs_for_own = |signer: SignerKey| party_of(signer).is_some_and(owns);
    if let Event::Registry(RegistryEvent::SignerAdded(e)) = event {
        owns(e.party)
    } else if let Event::Registry(RegistryEvent::SignerRevoked(e)) = event {
        signs_for_own(e.signer)
    } else if let Event::Budget(BudgetEvent::Set(e)) = event {
        signs_for_own(e.signer)
    } else if let Event::Access(AccessEvent::Rotated(e)) = event {
        e.name == identity.name
    } else if let Event::Endpoint(e) = event {
        owns(e.party())
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/ACCESS.md");

    #[test]
    fn the_document_shows_the_table() {
        let row = |call: &Call| {
            let rights = Role::OF_IDENTITIES.map(|role| call.right(role).name());
            format!("| `{}` | {} |", call.name(), rights.join(" | "))
        };
        let rows: Vec<String> = Call::ALL.iter().map(row).collect();
        let shown = DOCUMENT.lines().filter(|line| line.starts_with("| `") && line.ends_with(" |"));
        let shown = shown.filter(|line| line.split('|').count() == 8);
        assert_eq!(shown.collect::<Vec<_>>(), rows);
    }

    #[test]
    fn the_document_shows_the_routes() {
        let row = |(method, path, call): &(&str, &str, Call)| {
            format!("| `{method} {path}` | `{}` |", call.name())
        };
        let rows: Vec<String> = ROUTES.iter().map(row).collect();
        let shown = DOCUMENT
            .lines()
            .filter(|line| line.starts_with("| `GET /") || line.starts_with("| `POST /"));
        assert_eq!(shown.collect::<Vec<_>>(), rows);
    }

    #[test]
    fn who_reads_changes_nothing_and_nobody_but_operators_lets_anybody_in() {
        let lets_in = [Call::AddIdentity, Call::RevokeIdentity];
        for role in Role::OF_IDENTITIES.into_iter().filter(|role| *role != Role::Operator) {
            assert!(lets_in.iter().all(|call| call.right(role) == Right::Refused), "{role:?}");
        }
        for call in Call::ALL {
            assert_eq!(call.right(Role::Operator), Right::Allowed, "{call:?}");
            let reads = ["Get", "List", "Find", "Export", "Reveal", "Watch"];
            let reads = reads.iter().any(|of| call.name().starts_with(of));
            let may = call.right(Role::Auditor) != Right::Refused;
            let own = [Call::RotateIdentity, Call::CreateConsoleLogin].contains(call);
            assert!(reads || !may || own, "{call:?}");
        }
    }
}
