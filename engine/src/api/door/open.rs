//! Calls that anybody may make, known or not: which network this is, whether it is well, what it
//! understands. Owns which they are, and what those are told who make more of them than are
//! answered.

use super::table::Guest;
use crate::api::limited::{Limit, refused, seconds};
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::Response;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;

/// Over gRPC: a call, or all of a service.
const CALLS: [&str; 4] = [
    "/tallystick.v1.Vouchers/GetNetwork",
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];
/// Over HTTP. Not `/supported`: a seller's server that gets no answer from it ends at its start.
const PATHS: [&str; 2] = ["livez", "readyz"];

/// Whether anybody may make the call with this path.
pub(super) fn is_call(path: &str) -> bool {
    CALLS.iter().any(|call| path.starts_with(call))
}

/// The same of a request over HTTP.
pub(super) fn is_request(path: &str) -> bool {
    PATHS.contains(&path.trim_matches('/'))
}

/// Whether one more is answered now; else what is told.
pub(super) fn call(guest: &Guest) -> Result<(), Status> {
    guest.open_call().map_err(too_many)
}

/// Comes when so many messages of such a call may be read; or with what it ends by, where that
/// would take too long.
pub(super) async fn messages(
    guest: &Guest,
    count: usize,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Status> {
    let at = guest.open_messages(count).map_err(too_many)?;
    if at > Instant::now() {
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            // Its sender is as old as the engine.
            Ok(_) = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
    Ok(())
}

/// The same over HTTP.
pub(super) fn request(guest: &Guest) -> Result<(), Box<Response<Body>>> {
    guest.open_call().map_err(|after| {
        let text = format!("{}\n", too_many(after).message());
        let after = after.as_nanos().div_ceil(1_000_000_000).max(1).to_string();
        let answer = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, after)], text);
        Box::new(answer.into_response())
    })
}

fn too_many(after: Duration) -> Status {
    let text = format!(
        "from your address come more calls that need no key than are answered; come again in {}",
        seconds(after)
    );
    refused(Limit::Open, text, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anybody_may_ask_is_known_and_nothing_else_is() {
        for path in [
            "/tallystick.v1.Vouchers/GetNetwork",
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(is_call(path), "{path}");
        }
        for path in [
            "/tallystick.v1.Vouchers/Submit",
            "/tallystick.v1.Vouchers/Stream",
            "/tallystick.v1.Operator/GetStatus",
            "/",
        ] {
            assert!(!is_call(path), "{path}");
        }
        assert!(["/livez", "/readyz", "//readyz/"].into_iter().all(is_request));
        let others = ["/metrics", "/supported", "/verify", "/settle", "/livez/x"];
        assert!(!others.into_iter().any(is_request));
    }
}
