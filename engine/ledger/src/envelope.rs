//! Who tells the engine something, and by which request. Part of every event's record: the journal
//! alone says who set a limit, who approved a batch, who closed a window.

use crate::event::{Confirmation, Event};
use crate::identity::Identity;
use crate::limits::{OPERATOR_NAME_BYTES_MAX, REQUEST_ID_BYTES_MAX};
use crate::refusal::Refusal;
use crate::types::Digest;
use rkyv::{Archive, Deserialize, Serialize};

/// How request ids of the engine's own begin; nobody else's may.
pub const SCHEDULE_PREFIX: &str = "tallystick/";

/// What makes a call idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the caller.
    pub id: String,
    /// Digest of what the call asks for, without the id.
    pub content: Digest,
}

/// What a caller is to the engine: what it may ask for follows from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Role {
    /// The engine itself, its schedule too.
    Engine = 0,
    /// An operator: configured and known by a token, or an identity.
    Operator = 1,
    /// Whoever reaches an engine that has no operators.
    Anyone = 2,
    /// An identity that brings vouchers of others.
    Facilitator = 3,
    /// An identity of a party's owner.
    Party = 4,
    /// An identity that approves what operators have made, and makes nothing.
    Approver = 5,
    /// An identity that reads.
    Auditor = 6,
}

/// The way by which a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Via {
    /// No call: the engine's own doing.
    Engine = 0,
    /// The configured times at which the engine closes windows, batches them and approves batches.
    Schedule = 1,
    /// gRPC: a configured operator's token, or nothing.
    Grpc = 2,
    /// gRPC: an identity's API key.
    Key = 3,
    /// gRPC: a token that an identity's owner signed.
    Signed = 4,
    /// gRPC: the name in an identity's certificate.
    Certificate = 5,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Caller {
    /// The operator's name, or the identity's; `schedule` for the schedule; empty where nobody has
    /// one.
    pub name: String,
    /// What it is to the engine.
    pub role: Role,
    /// The way by which it came.
    pub via: Via,
}

/// Who asks for something, and by which request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Envelope {
    /// Who calls.
    pub caller: Caller,
    /// Its request; none for what the engine does on its own.
    pub request: Option<Request>,
}

/// What is journaled: an event, and who made it happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Who asked.
    pub envelope: Envelope,
    /// What happened.
    pub event: Event,
    /// Whose proposal it was, where who asked confirmed it.
    pub confirms: Option<Confirmation>,
}

impl Fact {
    /// What one caller made happen.
    #[must_use]
    pub fn new(envelope: Envelope, event: Event) -> Self {
        Self { envelope, event, confirms: None }
    }

    /// Who had the idea: who proposed it, or who asked.
    #[must_use]
    pub fn maker(&self) -> &str {
        self.confirms.as_ref().map_or(&self.envelope.caller.name, |by| &by.proposer)
    }
}

impl Role {
    /// Those that an identity can have.
    pub const OF_IDENTITIES: [Self; 5] =
        [Self::Facilitator, Self::Party, Self::Operator, Self::Approver, Self::Auditor];

    /// The one with this word, of those that an identity can have.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::OF_IDENTITIES.into_iter().find(|role| role.name() == word)
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Operator => "operator",
            Self::Anyone => "anyone",
            Self::Facilitator => "facilitator",
            Self::Party => "party",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

impl Via {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Schedule => "schedule",
            Self::Grpc => "grpc",
            Self::Key => "key",
            Self::Signed => "signed",
            Self::Certificate => "certificate",
        }
    }
}

impl Via {
    /// Whether it is an identity's way: what such a caller may do, the ledger decides.
    #[must_use]
    pub fn is_of_identities(self) -> bool {
        match self {
            Self::Key | Self::Signed | Self::Certificate => true,
            Self::Engine | Self::Schedule | Self::Grpc => false,
        }
    }
}

impl Caller {
    /// The schedule's name; no operator can be configured under it.
    pub const SCHEDULE: &str = "schedule";

    /// The engine on its own.
    #[must_use]
    pub fn engine() -> Self {
        Self { name: String::new(), role: Role::Engine, via: Via::Engine }
    }

    /// The engine's schedule.
    #[must_use]
    pub fn schedule() -> Self {
        Self { name: Self::SCHEDULE.to_owned(), role: Role::Engine, via: Via::Schedule }
    }

    /// Who came by gRPC: an operator's name, or an empty one where none are configured.
    #[must_use]
    pub fn grpc(name: String) -> Self {
        let role = if name.is_empty() { Role::Anyone } else { Role::Operator };
        Self { name, role, via: Via::Grpc }
    }

    /// Who came as this identity.
    #[must_use]
    pub fn identity(of: &Identity) -> Self {
        Self { name: of.name.clone(), role: of.role, via: of.credential.via() }
    }

    /// Whether it counts where two people must agree: who has no name may be the one who spoke
    /// before, and the engine, its schedule too, has looked at nothing.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self.role, Role::Operator | Role::Approver)
    }

    /// With what it asks for.
    #[must_use]
    pub fn asks(self, request: Request) -> Envelope {
        Envelope { caller: self, request: Some(request) }
    }
}

impl Envelope {
    /// Of what the engine does on its own.
    #[must_use]
    pub fn own() -> Self {
        Self { caller: Caller::engine(), request: None }
    }

    /// The operator's name; empty where none are configured.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.caller.name
    }

    /// Whether it can be recorded.
    ///
    /// # Errors
    /// `NoRequestId`, `RequestReserved`, or `TextTooLong`.
    pub fn check(&self) -> Result<(), Refusal> {
        let (length, limit) = (self.caller.name.len(), OPERATOR_NAME_BYTES_MAX);
        if length > limit {
            return Err(Refusal::TextTooLong { field: "operator", length, limit });
        }
        let Some(request) = &self.request else { return Ok(()) };
        let reserved = request.id.starts_with(SCHEDULE_PREFIX);
        if reserved && self.caller.role != Role::Engine {
            return Err(Refusal::RequestReserved);
        }
        request.check()
    }
}

impl Request {
    /// Whether its id can be remembered.
    ///
    /// # Errors
    /// `NoRequestId`, or `TextTooLong`.
    pub fn check(&self) -> Result<(), Refusal> {
        let length = self.id.len();
        if length == 0 {
            return Err(Refusal::NoRequestId);
        }
        if length > REQUEST_ID_BYTES_MAX {
            let (field, limit) = ("request_id", REQUEST_ID_BYTES_MAX);
            return Err(Refusal::TextTooLong { field, length, limit });
        }
        Ok(())
    }
}
