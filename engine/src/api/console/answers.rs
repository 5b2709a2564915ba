//! What the console answers: JSON, refusals in the words of the services, and with each answer what
//! keeps others out of the page.

use crate::api::access::Denied;
use crate::api::limited;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::time::Duration;
use tonic::{Code, Status};

/// What a page may do: load what is here, and ask here; nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// With every answer.
const ALWAYS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// A refusal.
#[derive(Debug)]
pub(super) struct Told {
    code: Code,
    message: String,
    after: Option<Duration>,
    status: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Told {
    /// With this code and text.
    pub fn of(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message, after: None, status: over_http(code) }
    }

    /// That it was too often, and when to come again.
    pub fn too_often(message: impl Into<String>, after: Duration) -> Self {
        Self { after: Some(after), ..Self::of(Code::ResourceExhausted, message) }
    }

    /// The same with another status of HTTP.
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// As it is answered.
    pub fn answer(&self) -> Response {
        let millis = self.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let (code, message) = (crate::api::trail::code_name(self.code), self.message.as_str());
        let mut answer = json(&Refusal { code, message, retry_after_ms: millis });
        *answer.status_mut() = StatusCode::from_u16(self.status).expect("a status of HTTP");
        if let Some(after) = self.after {
            let seconds = after.as_nanos().div_ceil(1_000_000_000).max(1).to_string();
            let seconds = HeaderValue::from_str(&seconds).expect("a number is a header");
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        answer
    }
}

impl From<Status> for Told {
    fn from(status: Status) -> Self {
        let after = limited::after(&status);
        let told = Self::of(status.code(), status.message());
        Self { after: (after > Duration::ZERO).then_some(after), ..told }
    }
}

impl From<Denied> for Told {
    fn from(denied: Denied) -> Self {
        Status::from(denied).into()
    }
}

/// The status of HTTP for a status of gRPC, as `google.rpc.Code` names it.
fn over_http(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    }
}

/// As JSON that nobody keeps.
pub(super) fn json(message: &impl Serialize) -> Response {
    let text = serde_json::to_vec(message).expect("plain data has a JSON form");
    let mut answer = Response::new(Body::from(text));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer with what each answer has.
pub(super) async fn page(answer: impl Future<Output = Response>) -> Response {
    with_always(answer.await)
}

/// The same of one that is there.
pub(super) fn with_always(mut answer: Response) -> Response {
    for (name, value) in ALWAYS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
