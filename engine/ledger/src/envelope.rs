//! Who tells the engine something, and by which request. Part of every event's record: the journal
//! alone says who set a limit, who approved a batch, who closed a window.

use crate::event::Event;
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
    /// A configured operator, known by a token.
    Operator = 1,
    /// Whoever reaches an engine for which no operators are configured.
    Anyone = 2,
}

/// The way by which a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Via {
    /// No call: the engine's own doing.
    Engine = 0,
    /// The configured times at which the engine closes windows, batches them and approves batches.
    Schedule = 1,
    /// gRPC.
    Grpc = 2,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Caller {
    /// The operator's name; `schedule` for the schedule; empty where nobody has one.
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
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Operator => "operator",
            Self::Anyone => "anyone",
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

    /// Whether it counts where two people must agree: who has no name may be the one who spoke
    /// before, and the engine, its schedule too, has looked at nothing.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == Role::Operator
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
        match self.caller.role {
            Role::Operator | Role::Anyone if reserved => Err(Refusal::RequestReserved),
            Role::Engine | Role::Operator | Role::Anyone => request.check(),
        }
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
