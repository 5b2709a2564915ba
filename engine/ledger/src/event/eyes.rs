//! What one proposes and another confirms, as it lies in the journal.

use super::{
    CreditLimitSet, DepositRecorded, Event, HoldEvent, HoldReleased, IdentityAdded,
    IdentityRotated, KeyEvent, OperatorKeyRemoved, PartyUpserted, RegistryEvent, SignerAdded,
};
use crate::event::AccessEvent;
use crate::types::Digest;
use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};

/// What the configuration says of four eyes, from this start on.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EyesSet {
    /// Whether what one proposes must be confirmed by another.
    pub on: bool,
    /// The operators of the configuration, ascending; none while it is off.
    pub operators: Vec<String>,
}

/// An event that stands only once another has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Change {
    Party(PartyUpserted),
    Signer(SignerAdded),
    Limit(CreditLimitSet),
    Deposit(DepositRecorded),
    Identity(IdentityAdded),
    Credential(IdentityRotated),
    OperatorKey(OperatorKeyRemoved),
    Hold(HoldReleased),
}

/// Somebody proposed a change. Nothing has changed yet.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ChangeProposed {
    /// Names it: a digest over what it would do, who proposed it, when, and by which request.
    pub proposal: Digest,
    /// What happens once it is confirmed, to the byte.
    pub change: Change,
    /// Digest of what it would replace: if that is another by then, it is not confirmed.
    pub before: Digest,
}

/// A proposal ends without anything having changed.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ProposalWithdrawn {
    /// Which.
    pub proposal: Digest,
    /// Why; may be empty.
    pub reason: String,
}

/// That an event was proposed by one and confirmed by another, who is its caller. It ends the
/// proposal.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Confirmation {
    /// Which proposal.
    pub proposal: Digest,
    /// Who proposed it.
    pub proposer: String,
    /// Signature of who confirmed it over the statement of it; zero: they have no own key.
    pub signature: [u8; 64],
}

impl Change {
    /// What an event would change; `None` of kinds that nobody proposes.
    #[must_use]
    pub fn of(event: Event) -> Option<Self> {
        Some(match event {
            Event::Registry(RegistryEvent::PartyUpserted(e)) => Self::Party(e),
            Event::Registry(RegistryEvent::SignerAdded(e)) => Self::Signer(e),
            Event::Registry(RegistryEvent::LimitSet(e)) => Self::Limit(e),
            Event::Registry(RegistryEvent::Deposited(e)) => Self::Deposit(e),
            Event::Access(AccessEvent::Added(e)) => Self::Identity(e),
            Event::Access(AccessEvent::Rotated(e)) => Self::Credential(e),
            Event::Key(KeyEvent::OperatorRemoved(e)) => Self::OperatorKey(e),
            Event::Hold(HoldEvent::Released(e)) => Self::Hold(e),
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
            | Event::Trouble(_) => return None,
        })
    }

    /// The event that it becomes.
    #[must_use]
    pub fn event(&self) -> Event {
        match self.clone() {
            Self::Party(e) => Event::from(e),
            Self::Signer(e) => Event::from(e),
            Self::Limit(e) => Event::from(e),
            Self::Deposit(e) => Event::from(e),
            Self::Identity(e) => Event::from(e),
            Self::Credential(e) => Event::from(e),
            Self::OperatorKey(e) => Event::from(e),
            Self::Hold(e) => Event::from(e),
        }
    }

    /// Its bytes, as its digest covers them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        rkyv::to_bytes::<Error>(self).expect("plain data can be archived").into_vec()
    }
}
