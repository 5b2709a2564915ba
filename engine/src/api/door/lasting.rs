//! An answer over HTTP that goes on for as long as its client takes it: each piece that is taken
//! counts as if something was asked. It ends by itself when the engine stops.

use super::call::stopped;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::watch;

/// Among the extensions of an answer: it lasts.
#[derive(Debug, Clone, Copy)]
pub struct Lasting;

/// The body of one.
pub(super) struct Beating {
    body: Body,
    heard: Arc<AtomicU64>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Beating {
    pub fn new(body: Body, heard: Arc<AtomicU64>, stopping: watch::Receiver<bool>) -> Self {
        Self { body, heard, stopped: stopped(stopping) }
    }
}

impl HttpBody for Beating {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.stopped.as_mut().poll(cx).is_ready() {
            // Not to be asked again.
            this.stopped = Box::pin(std::future::ready(()));
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_ready() {
            this.heard.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}
