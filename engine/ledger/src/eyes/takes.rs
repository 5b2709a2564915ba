//! What takes two: the table as it is shown, and the rule itself.

use crate::envelope::{Caller, Role};
use crate::event::{
    AccessEvent, BatchEvent, Event, HoldEvent, KeyEvent, RegistryEvent, WindowEvent,
};
use crate::identity::Identities;
use crate::rights::Call;
use crate::sealed::{SealedOnRail, SealedText};
use crate::types::Total;
use Takes::{One, Two, TwoBut};

/// Whether one person may do what a call asks for, while four eyes are on. `needs_two` is the rule
/// itself; this says it to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One, and why that does.
    One(&'static str),
    /// Two: one proposes, another confirms.
    Two,
    /// Two, but for what is said here.
    TwoBut(&'static str),
}

/// Why it takes one.
const WRITTEN: &str = "it moves no money, and the journal says who did it";

impl Call {
    /// Who it takes while four eyes are on; `None` of calls that change nothing of the ledger.
    #[must_use]
    pub fn takes(self) -> Option<Takes> {
        Some(match self {
            Self::UpsertParty => TwoBut("a party that is new, and suspending one"),
            Self::AddSigner => TwoBut("the party's owner"),
            Self::SetCreditLimit => TwoBut("a limit of 0"),
            Self::RecordDeposit | Self::RemoveOperatorKey | Self::ReleaseHold => Two,
            Self::AddIdentity => TwoBut("facilitators and auditors"),
            Self::RotateIdentity => TwoBut("one's own key, and those of facilitators and auditors"),
            Self::CreateAsset => One("an asset moves nothing"),
            Self::EraseParty => One("nothing is owed by then, and nobody is paid by it"),
            Self::RevokeSigner | Self::RevokeIdentity => One("it shuts somebody out, at once"),
            Self::SetBudgets => One("what a key may spend stays below its party's limit"),
            Self::Import => One("each item as if it came alone"),
            Self::CloseWindow => One("it pays nobody"),
            Self::DisputeWindow => One("it keeps a window from being paid"),
            Self::EndDispute => One("its batch takes another to approve it"),
            Self::CreateBatch => One("another approves it"),
            Self::ApproveBatch => One("another than who made the batch"),
            Self::AbortBatch => One("nothing has left"),
            Self::ReportLegs => One("what failed is batched anew, which another approves"),
            Self::ResolveLeg => One("another must say the same"),
            Self::AckTroubles => One("what leaves then was approved by two"),
            Self::RotateEngineKey => One("the engine makes the key, and nobody sees it"),
            Self::SetOperatorKey => One("it is one's own"),
            Self::AddWebhook | Self::RotateWebhook => One(WRITTEN),
            Self::RemoveWebhook => One("it moves no money"),
            Self::ReplayWebhook | Self::TestWebhook => One("it changes nothing of the ledger"),
            Self::ConfirmProposal => One("another than who proposed it"),
            Self::WithdrawProposal => One("it changes nothing"),
            Self::Stream | Self::Submit => One("the payer has signed it"),
            Self::GetChannel
            | Self::GetReceipt
            | Self::GetHeadroom
            | Self::GetNetwork
            | Self::ListAssets
            | Self::GetParty
            | Self::ListParties
            | Self::GetStatement
            | Self::GetBudgets
            | Self::ListSigners
            | Self::FindIds
            | Self::GetExposure
            | Self::ListExposures
            | Self::GetWindow
            | Self::ListWindows
            | Self::ListObligations
            | Self::ListNetObligations
            | Self::ListNetPositions
            | Self::GetBatch
            | Self::ListBatches
            | Self::ListLegs
            | Self::FindLegs
            | Self::GetReconciliation
            | Self::ListTroubles
            | Self::ListHistory
            | Self::ExportBatch
            | Self::ExportEvidence
            | Self::GetProof
            | Self::ListOperatorKeys
            | Self::ListIdentities
            | Self::ListProposals
            | Self::ListWebhooks
            | Self::CreateBackup
            | Self::GetStatus
            | Self::WatchNow
            | Self::RevealParty
            | Self::CreateConsoleLogin
            | Self::ListAuditLog => return None,
        })
    }
}

/// What an event changes: who is asked to look at it must know what was there before.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The party that it registers anew, if there is one.
    pub party: Option<PartyBefore<'a>>,
    /// Who there is.
    pub identities: &'a Identities,
}

/// A party that there is, or was.
#[derive(Debug, Clone, Copy)]
pub struct PartyBefore<'a> {
    /// Its name; `None` once it was erased.
    pub name: Option<&'a SealedText>,
    /// Whether it may neither pay nor be paid.
    pub suspended: bool,
    /// Its accounts.
    pub accounts: &'a [SealedOnRail],
}

/// Whether an event does nothing but keep harm away, or gives who asks another key: that much is
/// done with a key that somebody else made, too.
#[must_use]
pub fn only_protects(caller: &Caller, event: &Event, before: Before<'_>) -> bool {
    match event {
        Event::Registry(RegistryEvent::PartyUpserted(e)) => {
            e.suspended && before.party.is_some() && !needs_two(caller, event, before)
        }
        Event::Registry(RegistryEvent::LimitSet(e)) => e.limit == Total::ZERO,
        Event::Access(AccessEvent::Rotated(e)) => caller.name == e.name,
        Event::Registry(RegistryEvent::SignerRevoked(_))
        | Event::Access(AccessEvent::Revoked(_))
        | Event::Window(WindowEvent::Disputed(_))
        | Event::Batch(BatchEvent::Aborted(_)) => true,
        Event::Registry(
            RegistryEvent::AssetCreated(_)
            | RegistryEvent::PartyErased(_)
            | RegistryEvent::SignerAdded(_)
            | RegistryEvent::Deposited(_),
        )
        | Event::Access(AccessEvent::Added(_))
        | Event::Window(
            WindowEvent::Cut(_)
            | WindowEvent::Sealed(_)
            | WindowEvent::Archived(_)
            | WindowEvent::DisputeEnded(_),
        )
        | Event::Batch(BatchEvent::Computed(_) | BatchEvent::Approved(_))
        | Event::Key(_)
        | Event::Hold(_)
        | Event::Budget(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Leg(_)
        | Event::Trouble(_) => false,
    }
}

/// Whether one person is not enough for this, while four eyes are on and there were two.
#[must_use]
pub fn needs_two(caller: &Caller, event: &Event, before: Before<'_>) -> bool {
    match event {
        Event::Registry(RegistryEvent::PartyUpserted(e)) => before.party.is_some_and(|held| {
            let same = held.name == Some(&e.name) && held.accounts == e.accounts;
            !same || (held.suspended && !e.suspended)
        }),
        Event::Registry(RegistryEvent::SignerAdded(_)) => caller.role != Role::Party,
        Event::Registry(RegistryEvent::LimitSet(e)) => e.limit != Total::ZERO,
        Event::Registry(RegistryEvent::Deposited(_))
        | Event::Key(KeyEvent::OperatorRemoved(_))
        | Event::Hold(HoldEvent::Released(_)) => true,
        Event::Access(AccessEvent::Added(e)) => acts_alone(e.role),
        Event::Access(AccessEvent::Rotated(e)) => {
            let is_own = caller.via.is_of_identities() && caller.name == e.name;
            !is_own && before.identities.named(&e.name).is_ok_and(|of| acts_alone(of.role))
        }
        Event::Registry(
            RegistryEvent::AssetCreated(_)
            | RegistryEvent::PartyErased(_)
            | RegistryEvent::SignerRevoked(_),
        )
        | Event::Access(AccessEvent::Revoked(_))
        | Event::Key(KeyEvent::EngineSet(_) | KeyEvent::OperatorSet(_))
        | Event::Hold(HoldEvent::Begun(_))
        | Event::Budget(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Window(_)
        | Event::Batch(_)
        | Event::Leg(_)
        | Event::Trouble(_) => false,
    }
}

/// Whether who has this role moves money, or makes up another pair of eyes.
fn acts_alone(role: Role) -> bool {
    match role {
        Role::Operator | Role::Approver | Role::Party => true,
        Role::Facilitator | Role::Auditor | Role::Engine | Role::Anyone => false,
    }
}

/// Whether an event makes somebody who counts where two must agree.
pub(super) fn makes_another(event: &Event) -> bool {
    let Event::Access(AccessEvent::Added(e)) = event else { return false };
    matches!(e.role, Role::Operator | Role::Approver)
}
