//! One connection over gRPC: from its first byte to its end.

use super::call::{Answer, Calls, Kind, here};
use super::kept::Kept;
use super::large::Large;
use super::message::{Messages, Unfinished};
use super::open;
use super::table::Guest;
use super::wire::{Said, Wire};
use super::{ConnectionId, Peer, Routing};
use crate::limits::{
    IDLE_MAX, KEEPALIVE_EVERY, KEEPALIVE_WAIT, LEAVE_WAIT, LOOK_EVERY, LOOK_LEAVING_EVERY,
    METADATA_BYTES_MAX, METADATA_BYTES_READ, REFUSAL_LARGE, STOP_WAIT_MILLIS,
};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Semaphore, watch};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};

/// What every HTTP/2 client sends first.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that a metadata entry counts for beside its text, as HTTP/2 counts them.
const ENTRY_BYTES: usize = 32;

/// Serves one connection, whose preface was read, until it ends.
pub(super) async fn serve(
    wire: Wire,
    peer: Peer,
    guest: Guest,
    routes: Routing,
    unfinished: Arc<Unfinished>,
    mut stopping: watch::Receiver<bool>,
) {
    guest.spoke();
    let wire = TokioIo::new(Said::new(&PREFACE, wire));
    let share = guest.share();
    let mut builder = Builder::new(Calls::new(guest.clone(), stopping.clone()));
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(share.stream_window)
        .initial_connection_window_size(share.connection_window)
        .max_concurrent_streams(share.streams)
        .max_send_buf_size(crate::limits::MESSAGE_BLOCK_BYTES)
        .max_header_list_size(METADATA_BYTES_READ)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WAIT)
        .auto_date_header(false);
    let (of, until) = (guest.clone(), stopping.clone());
    let places = usize::try_from(share.large).expect("a small number");
    let (places, kept) = (Arc::new(Semaphore::new(places)), Kept::default());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(Large::of(&places));
        request.extensions_mut().insert(kept.clone());
        answer(request, of.clone(), routes.clone(), unfinished.clone(), until.clone())
    });
    let mut connection = pin!(builder.serve_connection(wire, service));
    let mut leaving = Leaving::default();
    loop {
        let stop = *stopping.borrow();
        if leaving.look(&guest, stop) {
            connection.as_mut().graceful_shutdown();
        }
        if leaving.is_over(&guest) {
            return;
        }
        let look = if leaving.since.is_some() { LOOK_LEAVING_EVERY } else { LOOK_EVERY };
        tokio::select! {
            // Why it ended is the client's affair.
            _ = connection.as_mut() => return,
            () = guest.must_leave() => return,
            () = guest.told_to_go() => {}
            _ = stopping.wait_for(|stopping| *stopping), if !stop => {}
            () = tokio::time::sleep(look) => {}
        }
    }
}

/// Reads what every HTTP/2 client sends first, and gives up at the first byte that is another.
pub(super) async fn preface(wire: &mut Wire) -> io::Result<()> {
    let (mut read, mut length) = ([0; PREFACE.len()], 0);
    while length < PREFACE.len() {
        let more = wire.read(&mut read[length..]).await?;
        length += more;
        if more == 0 || read[..length] != PREFACE[..length] {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
}

/// How a connection comes to its end: told to go when it has been idle, too much of it was refused
/// or the engine stops, then given time for the calls that are still open, and for the client to
/// close it.
#[derive(Default)]
struct Leaving {
    /// Since when it has had no calls.
    idle: Option<Instant>,
    /// Since when it is to go.
    since: Option<Instant>,
}

impl Leaving {
    /// Whether it is to be told to go now.
    fn look(&mut self, guest: &Guest, stop: bool) -> bool {
        let now = Instant::now();
        match guest.calls() {
            0 => self.idle = self.idle.or(Some(now)),
            _ => self.idle = None,
        }
        let idle = self.idle.is_some_and(|since| since.elapsed() >= IDLE_MAX);
        let told = self.since.is_none() && (stop || idle || guest.is_told_to_go());
        if told {
            self.since = Some(now);
        }
        told
    }

    fn is_over(&self, guest: &Guest) -> bool {
        let Some(since) = self.since else { return false };
        let quiet = self.idle.is_some_and(|idle| idle.max(since).elapsed() >= LEAVE_WAIT);
        let late = since.elapsed() >= Duration::from_millis(STOP_WAIT_MILLIS);
        (guest.calls() == 0 && quiet) || late
    }
}

/// Answers one call.
async fn answer(
    request: Request<Incoming>,
    guest: Guest,
    routes: Routing,
    unfinished: Arc<Unfinished>,
    stopping: watch::Receiver<bool>,
) -> Result<Response<Answer>, Infallible> {
    let kind = Kind::of(request.uri().path());
    let refused = |status: Status| status.into_http().map(|body| Answer::whole(body, here()));
    let metadata = size(request.headers());
    if metadata > METADATA_BYTES_MAX {
        guest.refused(REFUSAL_LARGE, stopping).await;
        return Ok(refused(Status::resource_exhausted(format!(
            "the metadata of this call is {metadata} bytes; the limit is {METADATA_BYTES_MAX}"
        ))));
    }
    let is_open = open::is_call(request.uri().path());
    if is_open && let Err(too_many) = open::call(&guest) {
        // Told as what is refused is: saying it costs as much as answering.
        guest.refused(1, stopping).await;
        return Ok(refused(too_many));
    }
    let id: ConnectionId = guest.id();
    let of_guest = guest.clone();
    let large = match kind {
        Kind::Frames | Kind::Vouchers => request.extensions().get::<Large>().cloned(),
        Kind::Stream | Kind::Single => None,
    };
    let mut request = request.map(|body| {
        let messages = Messages::new(body, kind, of_guest, unfinished, stopping.clone());
        let messages =
            if is_open && kind == Kind::Stream { messages.at_the_pace_of_all() } else { messages };
        Body::new(messages.few(large))
    });
    request.extensions_mut().insert(id);
    let Ok(response) = routes.now().call(request).await;
    if is_refusal(response.headers()) {
        guest.refused(1, stopping.clone()).await;
    }
    Ok(response.map(|body| Answer::new(body, kind, here(), guest, stopping)))
}

/// Whether an answer says that nobody knows who asks, or for what.
fn is_refusal(answer: &HeaderMap) -> bool {
    let code = answer.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    matches!(code, Some(Code::Unauthenticated | Code::Unimplemented))
}

/// Bytes of headers, as HTTP/2 counts them.
pub(super) fn size(metadata: &HeaderMap) -> usize {
    metadata.iter().map(|(name, value)| name.as_str().len() + value.len() + ENTRY_BYTES).sum()
}
