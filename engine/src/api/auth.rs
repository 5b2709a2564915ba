//! Who calls: operators are known by their tokens. Owns which name a call gets; decides nothing
//! about what an operator may do (the ledger does). Tokens are known by their digests only.

use super::trail;
use crate::ledger::Caller;
use crate::limits::STRANGERS_NOTE_EVERY;
use crate::types::{Digest, same_digest, token_digest};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tonic::service::Interceptor;
use tonic::{Request, Status};

const SCHEME: &str = "Bearer ";

/// The operator whose token a call carried; empty where none are configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator(pub String);

/// Calls that were refused because their token is no operator's. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<(AtomicU64, Mutex<Option<Instant>>)>);

impl Refused {
    /// How many since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Counts one, and says so now and then.
    fn note(&self) {
        let (count, noted) = &*self.0;
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none_or(|at| at.elapsed() >= STRANGERS_NOTE_EVERY) {
            *noted = Some(Instant::now());
            tracing::warn!(
                since_start = count,
                "operators' calls are refused: no token, or a wrong one"
            );
        }
    }
}

/// Lets calls through that carry an operator's token, or all of them where none are configured.
#[derive(Debug, Clone)]
pub struct Auth {
    operators: Arc<BTreeMap<String, Digest>>,
    refused: Refused,
}

impl Auth {
    /// For these operators: name and digest of the token. What is refused is counted.
    #[must_use]
    pub fn new(operators: BTreeMap<String, Digest>, refused: Refused) -> Self {
        Self { operators: Arc::new(operators), refused }
    }

    fn name(&self, header: Option<&str>) -> Result<Operator, Status> {
        if self.operators.is_empty() {
            return Ok(Operator::default());
        }
        let Some(header) = header else {
            return Err(Status::unauthenticated(
                "this engine has operators: send your token as the metadata `authorization: Bearer \
                 TOKEN`; `tallystick` takes it from --token-file or TALLYSTICK_TOKEN",
            ));
        };
        let token = header.get(..SCHEME.len()).filter(|s| s.eq_ignore_ascii_case(SCHEME));
        let token = token.and_then(|_| header.get(SCHEME.len()..)).map(str::trim);
        let digest = token_digest(token.unwrap_or_default());
        // Every operator is compared with, so that the time tells nothing.
        let mut found = None;
        for (name, held) in &*self.operators {
            if same_digest(held, &digest) {
                found = Some(name);
            }
        }
        found.map(|name| Operator(name.clone())).ok_or_else(|| {
            Status::unauthenticated(
                "unknown token: use the one whose digest stands under [operators] in the engine's \
                 configuration, or have a new one entered there (`tallystick operator token` makes one)",
            )
        })
    }
}

impl Interceptor for Auth {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // A header that is no text is no token.
        let header = request.metadata().get("authorization");
        let operator = self.name(header.map(|header| header.to_str().unwrap_or_default()));
        let operator = operator.inspect_err(|_| self.refused.note())?;
        trail::is_by(&operator.0, Caller::grpc(operator.0.clone()).role.name());
        request.extensions_mut().insert(operator);
        Ok(request)
    }
}

/// Who makes a call that went through `Auth`. The only place where a caller by gRPC is made.
pub(super) fn caller<T>(request: &Request<T>) -> Caller {
    let Operator(name) = request.extensions().get().cloned().unwrap_or_default();
    Caller::grpc(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        let of = |name: &str| (name.to_owned(), token_digest(&format!("token of {name}")));
        Auth::new([of("ann"), of("bob")].into(), Refused::default())
    }

    #[test]
    fn a_call_gets_the_name_of_its_token() {
        for name in ["ann", "bob"] {
            let header = format!("Bearer token of {name}");
            assert_eq!(auth().name(Some(&header)).unwrap().0, name);
            let lower = format!("bearer token of {name}");
            assert_eq!(auth().name(Some(&lower)).unwrap().0, name);
        }
    }

    #[test]
    fn without_a_token_that_is_known_nobody_is_let_through() {
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer token of eve"),
            Some("Basic token of ann"),
            Some("token of ann"),
            Some("Bearértoken of ann"),
        ] {
            let status = auth().name(header).unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{header:?}");
            assert!(status.message().contains("token"), "{}", status.message());
        }
    }

    #[test]
    fn a_refused_token_is_counted_and_a_good_one_is_not() {
        let mut auth = auth();
        let refused = auth.refused.clone();
        for (header, counts) in [("Bearer token of ann", 0), ("Bearer x", 1), ("Bearer y", 2)] {
            let mut request = Request::new(());
            request.metadata_mut().insert("authorization", header.parse().unwrap());
            assert_eq!(auth.call(request).is_err(), counts > 0, "{header}");
            assert_eq!(refused.count(), counts);
        }
    }

    #[test]
    fn without_operators_everybody_is_nobody_in_particular() {
        let auth = Auth::new(BTreeMap::new(), Refused::default());
        assert_eq!(auth.name(None).unwrap(), Operator::default());
        assert_eq!(auth.name(Some("Bearer x")).unwrap(), Operator::default());
    }
}
