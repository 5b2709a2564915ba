//! One connection over HTTP: one request after the other, each whole and in time, and its answer.

use super::grpc::size;
use super::lasting::{Beating, Lasting};
use super::open;
use super::table::Guest;
use super::wire::Wire;
use super::{Asked, Peer, Site};
use crate::limits::{
    HTTP_ANSWER_MAX, HTTP_BYTES_MAX, HTTP_WAIT, LEAVE_WAIT, METADATA_BYTES_MAX, REFUSAL_LARGE,
};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// What the answers of one connection need.
struct Served {
    site: Arc<dyn Site>,
    peer: Peer,
    guest: Guest,
    stopping: watch::Receiver<bool>,
    /// How many requests have come.
    heard: Arc<AtomicU64>,
}

/// Serves one connection until it ends.
pub(super) async fn serve(
    wire: Wire,
    peer: Peer,
    guest: Guest,
    site: Arc<dyn Site>,
    stopping: watch::Receiver<bool>,
) {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_WAIT)
        .keep_alive(true)
        .pipeline_flush(true)
        .max_buf_size(HTTP_BYTES_MAX);
    let served = Served {
        site,
        peer,
        guest: guest.clone(),
        stopping: stopping.clone(),
        heard: Arc::default(),
    };
    let served = Arc::new(served);
    let of = served.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        of.heard.fetch_add(1, Ordering::Relaxed);
        let of = of.clone();
        async move { Ok::<_, Infallible>(of.answer_at_its_pace(request).await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
    // On a task of its own, so that not every event of the connection has it looked at.
    let leaving = tokio::spawn(leaving(served, guest, stopping));
    let ends = leaving.abort_handle();
    tokio::select! {
        // Why it ended is the client's affair.
        _ = connection.as_mut() => {}
        _ = leaving => {}
    }
    ends.abort();
}

/// Comes when a connection is to end, whatever its client does.
async fn leaving(served: Arc<Served>, guest: Guest, mut stopping: watch::Receiver<bool>) {
    let stopped = async {
        // An error means that the sender is gone, and so is the engine.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        // Who is being answered is; nobody else is waited for.
        tokio::time::sleep(LEAVE_WAIT).await;
    };
    tokio::select! {
        () = guest.must_leave() => {}
        () = silent(&served.heard) => {}
        () = stopped => {}
    }
}

/// Comes when a request is not answered, or its answer not taken, or no other one comes.
async fn silent(heard: &AtomicU64) {
    let mut before = None;
    loop {
        let now = heard.load(Ordering::Relaxed);
        if before.replace(now) == Some(now) {
            return;
        }
        tokio::time::sleep(HTTP_ANSWER_MAX).await;
    }
}

impl Served {
    /// An answer, and later where it refuses something and much was refused of late. Who goes on
    /// and on is told that it was the last one.
    async fn answer_at_its_pace(&self, request: Request<Incoming>) -> Response<Body> {
        let guest = &self.guest;
        let is_open = open::is_request(request.uri().path());
        let too_many = is_open.then(|| open::request(guest).err()).flatten();
        let is_refused = too_many.is_some();
        let is_webhook = is_webhook(request.uri().path());
        let mut answer = match too_many {
            Some(too_many) => *too_many,
            None => self.answer(request).await,
        };
        match answer.status() {
            _ if is_refused => guest.refused(1, self.stopping.clone()).await,
            // Nobody is known by what the provider does not sign.
            StatusCode::BAD_REQUEST if is_webhook => {
                guest.refused(1, self.stopping.clone()).await;
            }
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED => guest.refused(1, self.stopping.clone()).await,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::PAYLOAD_TOO_LARGE => {
                guest.refused(REFUSAL_LARGE, self.stopping.clone()).await;
            }
            _ => {}
        }
        if answer.extensions().get::<Lasting>().is_some() {
            let heard = self.heard.clone();
            answer = answer.map(|body| Body::new(Beating::new(body, heard, self.stopping.clone())));
        }
        if guest.is_told_to_go() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.guest.spoke();
        let (head, body) = request.into_parts();
        let bytes = size(&head.headers);
        if bytes > METADATA_BYTES_MAX {
            let why = format!("the headers are {bytes} bytes; the limit is {METADATA_BYTES_MAX}\n");
            return self.site.refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why);
        }
        let body = match tokio::time::timeout(HTTP_WAIT, whole(body)).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let why = format!("the body is cut short, or larger than {HTTP_BYTES_MAX} bytes");
                return self.site.refuse(StatusCode::PAYLOAD_TOO_LARGE, why);
            }
            Err(_) => {
                let why = format!("the body has not come in {} s", HTTP_WAIT.as_secs());
                return self.site.refuse(StatusCode::REQUEST_TIMEOUT, why);
            }
        };
        self.guest.sent();
        self.site.answer(Asked { head, body, peer: self.peer.clone() }).await
    }
}

/// Whether a request brings something that a provider must have signed.
fn is_webhook(path: &str) -> bool {
    path.trim_start_matches('/').split('/').next() == Some("webhooks")
}

/// A body of as much as there may be. One in a single piece, as nearly all are, is not copied, and
/// not waited for once more to hear that it was the last.
async fn whole(mut body: Incoming) -> Option<Bytes> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(piece) = frame.ok()?.into_data() else { continue };
        if first.len().max(all.len()) + piece.len() > HTTP_BYTES_MAX {
            return None;
        }
        if first.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&piece);
    }
    Some(if all.is_empty() { first } else { all.freeze() })
}
