//! Has a line of the audit log written for each call of a service, whatever becomes of it.
//!
//! Owns what is noted while a call is under way: who it is, its request id, the ids that it names.
//! Those who read a message note as they read; nothing of a message is kept but that.

use super::door::Peer;
use crate::ledger::{Call, Role};
use crate::limits::{AUDIT_IDS_MAX, REQUEST_ID_BYTES_MAX};
use crate::trail::{AuditLog, Group, Line, Who};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::Code;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;

/// What has come by a page.
const CONSOLE: &str = "console";

tokio::task_local! {
    /// What is known of the call that this task answers.
    static NOTE: Note;
}

/// What is known of a call. Cheap to clone.
#[derive(Debug, Clone, Default)]
struct Note(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    who: Who,
    request_id: String,
    about: BTreeMap<String, String>,
    too_often: bool,
}

fn note(write: impl FnOnce(&mut Known)) {
    // Outside a call, as in a test, there is nothing to note.
    let _ = NOTE.try_with(|Note(known)| {
        write(&mut known.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

/// The call was let in as this.
pub(super) fn is_by(name: &str, role: &str) {
    note(|known| known.who = Who { name: name.to_owned(), role: role.to_owned() });
}

/// Whoever calls is known, and came more often than they may.
pub(super) fn is_too_often() {
    note(|known| known.too_often = true);
}

/// The call has this request id; of an import, its first item has.
pub(super) fn is_request(id: &str) {
    note(|known| {
        if known.request_id.is_empty() {
            id[..id.floor_char_boundary(REQUEST_ID_BYTES_MAX)].clone_into(&mut known.request_id);
        }
    });
}

/// The call names something by this id: the first few are kept.
pub(super) fn names(field: &str, id: impl FnOnce() -> String) {
    note(|known| {
        if known.about.len() < AUDIT_IDS_MAX && !known.about.contains_key(field) {
            known.about.insert(field.to_owned(), id());
        }
    });
}

/// Work of a call on a thread of its own, which may note, too.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let note = NOTE.try_with(Clone::clone).unwrap_or_default();
    let done = tokio::task::spawn_blocking(move || NOTE.sync_scope(note, work)).await;
    done.expect("reading a message does not panic")
}

/// A service whose calls have a line each.
#[derive(Debug, Clone)]
pub struct Trail<S> {
    inner: S,
    log: AuditLog,
}

impl<S> Trail<S> {
    /// Before this service.
    #[must_use]
    pub fn new(inner: S, log: AuditLog) -> Self {
        Self { inner, log }
    }
}

impl<S: NamedService> NamedService for Trail<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for Trail<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was ready is used up; its copy is made ready by whoever calls next.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let entry = Entry::begin(&request, self.log.clone());
        Box::pin(async move {
            let answer = NOTE.scope(entry.note.clone(), async move { inner.call(request).await });
            let Ok(answer) = answer.await;
            // What fails before an answer begins says so in its head.
            let status = answer.headers().get("grpc-status");
            let code = status.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
            entry.end(code).await;
            Ok(answer)
        })
    }
}

/// A call under way. Dropped before its end, the client went away.
struct Entry {
    began: Instant,
    line: Option<Line>,
    note: Note,
    log: AuditLog,
}

impl Entry {
    fn begin<B>(request: &Request<B>, log: AuditLog) -> Self {
        let path = request.uri().path();
        let peer = request.extensions().get::<Peer>();
        let line = Line {
            at: format!("{:.6}", jiff::Timestamp::now()),
            who: Who::default(),
            certificate: peer.and_then(|peer| peer.certificate.clone()),
            from: peer.map_or(String::new(), |peer| peer.address.to_string()),
            via: via(request.extensions().get()),
            // What is no call is whatever a stranger sends, of any length.
            call: Call::at(path).map_or("?", Call::name).to_owned(),
            request_id: String::new(),
            about: BTreeMap::new(),
            result: String::new(),
            took_us: 0,
        };
        Self { began: Instant::now(), line: Some(line), note: Note::default(), log }
    }

    fn finished(&mut self, result: String) -> Option<(Group, Line)> {
        let mut known = self.note.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { who, request_id, about, too_often } = std::mem::take(&mut *known);
        let took_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let line = self.line.take()?;
        let group = if too_often { Group::Refused } else { group(&who.role) };
        Some((group, Line { who, request_id, about, result, took_us, ..line }))
    }

    async fn end(mut self, code: Code) {
        if let Some((group, line)) = self.finished(code_name(code).to_owned()) {
            self.log.write(group, line).await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some((group, line)) = self.finished(code_name(Code::Cancelled).to_owned()) {
            self.log.write_now(group, line);
        }
    }
}

/// By what a call comes: a page's says beforehand as whom.
fn via(known: Option<&super::access::Known>) -> String {
    known.map_or(String::new(), |_| CONSOLE.to_owned())
}

/// Writes a line of what is no call of a service: a login, and what ends it. Who it was, by name
/// and role, is empty where nobody was let in.
pub(super) async fn says(
    log: &AuditLog,
    peer: &Peer,
    what: &str,
    (name, role): (&str, &str),
    code: Code,
    began: Instant,
) {
    let line = Line {
        at: format!("{:.6}", jiff::Timestamp::now()),
        who: Who { name: name.to_owned(), role: role.to_owned() },
        certificate: peer.certificate.clone(),
        from: peer.address.to_string(),
        via: CONSOLE.to_owned(),
        call: what.to_owned(),
        request_id: String::new(),
        about: BTreeMap::new(),
        result: code_name(code).to_owned(),
        took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    log.write(group(role), line).await;
}

/// In which files the calls of a role are; none: it was not let in.
fn group(role: &str) -> Group {
    if role.is_empty() {
        return Group::Refused;
    }
    let own = [Role::Facilitator, Role::Party].map(Role::name);
    if own.contains(&role) { Group::Own } else { Group::Desk }
}

/// The names of gRPC's status codes (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
