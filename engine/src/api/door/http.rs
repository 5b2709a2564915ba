//! One connection over HTTP: one request after the other, each whole and in time, and its answer.

use super::grpc::size;
use super::table::Guest;
use super::wire::Wire;
use super::{ConnectionId, Peer};
use crate::limits::{
    HTTP_ANSWER_MAX, HTTP_BYTES_MAX, HTTP_WAIT, LEAVE_WAIT, METADATA_BYTES_MAX, REFUSAL_LARGE,
};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tonic::codegen::Service as _;

/// How many requests have come.
type Heard = Arc<AtomicU64>;

/// Serves one connection until it ends.
pub(super) async fn serve(
    wire: Wire,
    peer: Peer,
    guest: Guest,
    router: axum::Router,
    mut stopping: watch::Receiver<bool>,
) {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_WAIT)
        .keep_alive(true)
        .pipeline_flush(true)
        .max_buf_size(HTTP_BYTES_MAX);
    let (of, heard) = (guest.clone(), Heard::default());
    let latest = heard.clone();
    let until = stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        latest.fetch_add(1, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        at_its_pace(answer(request, of.clone(), router.clone()), of.clone(), until.clone())
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
    let stopped = async {
        // An error means that the sender is gone, and so is the engine.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        // Who is being answered is; nobody else is waited for.
        tokio::time::sleep(LEAVE_WAIT).await;
    };
    tokio::select! {
        // Why it ended is the client's affair.
        _ = connection.as_mut() => {}
        () = guest.must_leave() => {}
        () = silent(&heard) => {}
        () = stopped => {}
    }
}

/// Comes when a request is not answered, or its answer not taken, or no other one comes.
async fn silent(heard: &Heard) {
    let mut before = None;
    loop {
        let now = heard.load(Ordering::Relaxed);
        if before.replace(now) == Some(now) {
            return;
        }
        tokio::time::sleep(HTTP_ANSWER_MAX).await;
    }
}

/// An answer, and later where it refuses something and much was refused of late. Who goes on and on
/// is told that it was the last one.
async fn at_its_pace(
    answer: impl Future<Output = Response<Body>>,
    guest: Guest,
    stopping: watch::Receiver<bool>,
) -> Result<Response<Body>, Infallible> {
    let mut answer = answer.await;
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => guest.refused(1, stopping).await,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::PAYLOAD_TOO_LARGE => {
            guest.refused(REFUSAL_LARGE, stopping).await;
        }
        _ => {}
    }
    if guest.is_told_to_go() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

async fn answer(
    request: Request<Incoming>,
    guest: Guest,
    mut router: axum::Router,
) -> Response<Body> {
    guest.spoke();
    let (mut head, body) = request.into_parts();
    let bytes = size(&head.headers);
    if bytes > METADATA_BYTES_MAX {
        let why = format!("the headers are {bytes} bytes; the limit is {METADATA_BYTES_MAX}\n");
        return (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why).into_response();
    }
    let body = axum::body::to_bytes(Body::new(body), HTTP_BYTES_MAX);
    let body = match tokio::time::timeout(HTTP_WAIT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let why = format!("the body is cut short, or larger than {HTTP_BYTES_MAX} bytes");
            return (StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
        }
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    guest.sent();
    head.extensions.insert(ConnectionId(guest.id().0));
    let Ok(answer) = router.call(Request::from_parts(head, Body::from(body))).await;
    answer
}
