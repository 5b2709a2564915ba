//! What can go wrong, and what to do then.

use crate::ConnectError;
use tonic::{Code, Status};

/// Why a call has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The engine refused, or the connection broke while it worked.
    #[error("{}: {}", .0.code().description(), .0.message())]
    Refused(Box<Status>),
    /// What answers does not keep the contract.
    #[error("what answers is no engine of this network: {0}")]
    Foreign(String),
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl CallError {
    /// Whether another try may help: the connection broke, or the engine is starting, stopping or
    /// full. A change may then have happened all the same.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => match error {
                ConnectError::Unreachable { .. } => true,
                ConnectError::NoOwner { is_passing, .. } => *is_passing,
                ConnectError::Input(_) | ConnectError::File { .. } | ConnectError::Misfit(_) => {
                    false
                }
            },
            Self::Refused(status) => is_passing(status),
            Self::Foreign(_) => false,
        }
    }
}

/// Whether the connection broke, or the engine is starting, stopping or full.
pub(crate) fn is_passing(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
        || match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Aborted => true,
            Code::Ok
            | Code::DataLoss
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_and_a_lost_answer_is_not() {
        for (code, wanted) in [
            (Code::Unavailable, true),
            (Code::ResourceExhausted, true),
            (Code::Unauthenticated, false),
            (Code::FailedPrecondition, false),
        ] {
            assert_eq!(CallError::from(Status::new(code, "")).is_passing(), wanted, "{code:?}");
        }
        assert!(CallError::from(Status::from_error("reset".into())).is_passing());
        assert!(!CallError::Foreign("odd".into()).is_passing());
    }
}
