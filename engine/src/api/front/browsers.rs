//! What programs in browsers may ask: agents, which know the network and their own channels by it.
//!
//! A browser lets a page of elsewhere read an answer only if it says so. `/supported` is for
//! everybody. The others say so only to who brings a credential, and so is known by it or refused:
//! a page without one learns nothing of an engine on the machine of who looks at it. Nothing is
//! verified or settled from a page: shops do that, from their servers.

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// The first parts of the paths that agents ask for.
const ASKED: [&str; 4] = ["supported", "channel", "channels", "status"];

/// What a page of elsewhere may do with the answer.
pub(super) enum Reading {
    /// It asks whether it may ask.
    Preflight,
    /// It may read the answer.
    Open,
    /// It may not; programs elsewhere do not ask.
    Closed,
}

/// What a request is, that asks for a path with this first part.
pub(super) fn reading(first: &str, request: &Parts) -> Reading {
    if !ASKED.contains(&first) {
        return Reading::Closed;
    }
    if request.method == Method::OPTIONS {
        return Reading::Preflight;
    }
    match first == "supported" || request.headers.contains_key(header::AUTHORIZATION) {
        true => Reading::Open,
        false => Reading::Closed,
    }
}

/// A page of anywhere may ask.
pub(super) fn may_ask() -> Response {
    let head = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
    ];
    readable((StatusCode::NO_CONTENT, head).into_response())
}

/// The answer, which a page of anywhere may read.
pub(super) fn readable(mut answer: Response) -> Response {
    let anywhere = HeaderValue::from_static("*");
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anywhere);
    answer
}
