//! One call: who runs it, and how long its answer may lie unread.
//!
//! hyper hands every call to `Calls`, which runs it as a task of its own. A call whose client takes
//! no more of its answer is dropped, and HTTP/2 tells the client so.

use super::table::Guest;
use crate::limits::{
    ANSWER_WAIT, ANSWER_WAIT_STOPPING, MESSAGE_BYTES_MAX, VOUCHERS_MESSAGE_BYTES_MAX,
};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

/// What a call is to the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A stream of frames of vouchers: may pause as long as it likes, and ends by itself when the
    /// engine stops, so that what was taken in is acked.
    Frames,
    /// Another call of the facilitators' service: one message.
    Vouchers,
    /// Another stream of messages.
    Stream,
    /// Any other call: one message.
    Single,
}

impl Kind {
    /// The kind of the call with this path.
    pub fn of(path: &str) -> Self {
        match path {
            "/tallystick.v1.Vouchers/Stream" => Self::Frames,
            "/tallystick.v1.Operator/Import"
            | "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Self::Stream,
            path if path.starts_with("/tallystick.v1.Vouchers/") => Self::Vouchers,
            _ => Self::Single,
        }
    }

    /// Bytes of one of its messages.
    pub fn message_bytes_max(self) -> usize {
        match self {
            Self::Frames | Self::Vouchers => VOUCHERS_MESSAGE_BYTES_MAX,
            Self::Stream | Self::Single => MESSAGE_BYTES_MAX,
        }
    }
}

tokio::task_local! {
    /// The call that a task runs.
    static CALL: Arc<Unread>;
}

/// The call that is run here.
pub(super) fn here() -> Arc<Unread> {
    CALL.with(Clone::clone)
}

/// Since when a piece of a call's answer has been waiting for its client: milliseconds, 0 when none
/// is.
#[derive(Default)]
pub(super) struct Unread(AtomicU64);

/// When this was first asked: what the time below counts from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds of this process, never 0.
fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

impl Unread {
    fn given_out(&self) {
        self.0.store(now(), Ordering::Relaxed);
    }

    fn waits_for_us(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn is_longer_than(&self, wait: Duration) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != 0 && u128::from(now().saturating_sub(since)) >= wait.as_millis()
    }

    /// Comes when the client has left the answer unread for too long.
    async fn too_long(&self, mut stopping: watch::Receiver<bool>) {
        loop {
            let stop = *stopping.borrow_and_update();
            let wait = if stop { ANSWER_WAIT_STOPPING } else { ANSWER_WAIT };
            if self.is_longer_than(wait) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait / 4) => {}
                // The sender is as old as the engine: when it is gone, so is this runtime.
                Ok(()) = stopping.changed(), if !stop => {}
            }
        }
    }
}

/// Runs the calls of one connection.
#[derive(Clone)]
pub(super) struct Calls {
    guest: Guest,
    stopping: watch::Receiver<bool>,
}

impl Calls {
    pub fn new(guest: Guest, stopping: watch::Receiver<bool>) -> Self {
        Self { guest, stopping }
    }
}

impl<F> hyper::rt::Executor<F> for Calls
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, call: F) {
        let (open, stopping) = (self.guest.begin_call(), self.stopping.clone());
        let unread = Arc::new(Unread::default());
        tokio::spawn(CALL.scope(unread.clone(), async move {
            let _open = open;
            tokio::select! {
                _ = call => {}
                () = unread.too_long(stopping) => {}
            }
        }));
    }
}

/// A future that nobody waits for by name.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The body of an answer. Notes when a piece is with the client, and ends what waits when the
/// engine stops.
pub(super) struct Answer {
    body: Body,
    unread: Arc<Unread>,
    guest: Option<Guest>,
    /// Ends the answer when the engine stops; `None` where that is left to the service.
    stopping: Option<watch::Receiver<bool>>,
    stopped: Option<Boxed<()>>,
    ended: bool,
}

impl Answer {
    pub fn new(
        body: Body,
        kind: Kind,
        unread: Arc<Unread>,
        guest: Guest,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        // The head of the answer is given out.
        unread.given_out();
        let stopping = match kind {
            Kind::Frames => None,
            Kind::Vouchers | Kind::Stream | Kind::Single => Some(stopping),
        };
        Self { body, unread, guest: Some(guest), stopping, stopped: None, ended: false }
    }

    /// An answer that is there as a whole.
    pub fn whole(body: Body, unread: Arc<Unread>) -> Self {
        unread.given_out();
        Self { body, unread, guest: None, stopping: None, stopped: None, ended: false }
    }

    /// Whether the engine stops; else wakes the task when it does.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let stopped = self.stopped.get_or_insert_with(|| stopped(stopping.clone()));
        stopped.as_mut().poll(cx).is_ready()
    }
}

/// Comes when the engine stops.
pub(super) fn stopped(mut stopping: watch::Receiver<bool>) -> Boxed<()> {
    Box::pin(async move {
        // An error means that the sender is gone, and so is the engine.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    })
}

/// What a call is told that the engine ends because it stops.
pub(super) fn engine_stops() -> Status {
    Status::unavailable("the engine is stopping; try again when it is back")
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_ready() {
            this.unread.given_out();
            if let Some(guest) = &this.guest {
                guest.stir();
            }
            return polled;
        }
        this.unread.waits_for_us();
        if !this.poll_stopped(cx) {
            return Poll::Pending;
        }
        this.ended = true;
        this.body = Body::empty();
        let trailers = engine_stops().into_http::<()>().into_parts().0.headers;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_is_with_the_client_is_unread() {
        let unread = Unread::default();
        assert!(!unread.is_longer_than(Duration::ZERO));
        unread.given_out();
        assert!(unread.is_longer_than(Duration::ZERO));
        assert!(!unread.is_longer_than(ANSWER_WAIT));
        unread.waits_for_us();
        assert!(!unread.is_longer_than(Duration::ZERO));
    }

    #[test]
    fn every_stream_of_messages_is_known_as_one() {
        assert_eq!(Kind::of("/tallystick.v1.Vouchers/Stream"), Kind::Frames);
        assert_eq!(Kind::of("/tallystick.v1.Vouchers/Submit"), Kind::Vouchers);
        assert_eq!(Kind::of("/tallystick.v1.Operator/Import"), Kind::Stream);
        assert_eq!(Kind::of("/tallystick.v1.Operator/ListLegs"), Kind::Single);
        assert_eq!(Kind::of("/grpc.health.v1.Health/Watch"), Kind::Single);
    }
}
