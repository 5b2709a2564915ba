//! Why somebody is not let in, or may not make a call, and how often that was.

use crate::ledger::{Call, IdentityMisfit};
use crate::limits::STRANGERS_NOTE_EVERY;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tonic::{Code, Status};

/// Why a call is not made. Says what to do; never what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::api) enum Denied {
    #[error(
        "this engine has operators: send your token or key as the metadata `authorization: Bearer TOKEN`; \
         `tallystick` takes it from --token-file or TALLYSTICK_TOKEN"
    )]
    NobodyOperates,
    #[error(
        "this engine takes vouchers of its facilitators alone: send your key as the metadata `authorization: Bearer \
         KEY`; `tallystick` takes it from --token-file or TALLYSTICK_TOKEN, and an operator makes one \
         (`tallystick access add --role facilitator`)"
    )]
    NobodyBrings,
    #[error(
        "unknown token: use the key that `tallystick access add` printed, or the token whose digest stands under \
         [operators] in the engine's configuration; if it is lost, have a new one made (`tallystick access rotate`)"
    )]
    Unknown,
    #[error(
        "this key is nobody's, or not any more: use the newest one, or have one made (`tallystick access rotate`, \
         `tallystick access add`)"
    )]
    UnknownKey,
    #[error("this key is cut off or mistyped: its last letters do not fit the rest; copy it anew")]
    Mistyped,
    #[error("the signed token is not taken: {0}")]
    Signed(&'static str),
    #[error("{0}")]
    Identity(#[from] IdentityMisfit),
    #[error(
        "this call goes on no more: it came without a key, and the engine has identities by now; send one (`tallystick \
         access add`)"
    )]
    Locked,
    #[error(
        "this operator's token counts no more: the configuration names another one, or nobody of this name"
    )]
    NoOperator,
    #[error("this engine has no such call; is the client newer than it?")]
    NoSuchCall,
}

impl Denied {
    /// That a role may not make a call.
    pub fn role(role: &'static str, call: Call) -> Self {
        IdentityMisfit::NotAllowed { role, call: call.name() }.into()
    }

    /// Whether it is known who asks, and they may not.
    pub fn is_for_want_of_a_right(&self) -> bool {
        self.code() == Code::PermissionDenied
    }

    fn code(&self) -> Code {
        match self {
            Self::NobodyOperates
            | Self::NobodyBrings
            | Self::Unknown
            | Self::UnknownKey
            | Self::Mistyped
            | Self::Signed(_)
            | Self::Locked
            | Self::NoOperator => Code::Unauthenticated,
            Self::Identity(IdentityMisfit::NotAllowed { .. } | IdentityMisfit::NotOwn { .. }) => {
                Code::PermissionDenied
            }
            Self::Identity(_) => Code::Unauthenticated,
            Self::NoSuchCall => Code::Unimplemented,
        }
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        Self::new(denied.code(), denied.to_string())
    }
}

/// Calls that were not let through. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicU64,
    without_right: AtomicU64,
    noted: Mutex<Option<Instant>>,
}

impl Refused {
    /// How many since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.all.load(Ordering::Relaxed)
    }

    /// How many of them came from somebody who is known and has no right to that call.
    #[must_use]
    pub fn without_right(&self) -> u64 {
        self.0.without_right.load(Ordering::Relaxed)
    }

    /// Counts one, and says so now and then. Whose credential it was is said, where it is known;
    /// what was sent, never.
    pub(super) fn note(&self, denied: &Denied) {
        let Counts { all, without_right, noted } = &*self.0;
        if denied.code() == Code::PermissionDenied {
            without_right.fetch_add(1, Ordering::Relaxed);
        }
        let count = all.fetch_add(1, Ordering::Relaxed) + 1;
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none_or(|at| at.elapsed() >= STRANGERS_NOTE_EVERY) {
            *noted = Some(Instant::now());
            tracing::warn!(since_start = count, why = %denied, "calls are refused");
        }
    }
}
