//! Large messages to the facilitators' service: of each connection only some are read at once, or
//! read and waiting to come in. All others stay where flow control holds them. Without this every
//! stream held one full frame for as long as its source had to wait.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One call's way to its connection's places for large messages, among the extensions of its
/// request.
#[derive(Clone)]
pub struct Large {
    places: Arc<Semaphore>,
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

/// Waiting for a place.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

impl Large {
    /// Of a connection with these places.
    pub(super) fn of(places: &Arc<Semaphore>) -> Self {
        Self { places: places.clone(), place: Arc::default() }
    }

    /// What was read has come in, or nobody waits for it any more.
    pub fn done(&self) {
        *self.place() = None;
    }

    fn place(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the call has a place.
    pub(super) fn has_place(&self) -> bool {
        self.place().is_some()
    }

    /// Waits for a place, in turn with the connection's other calls.
    pub(super) fn poll_place(
        &self,
        waiting: &mut Option<Waiting>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.has_place() {
            return Poll::Ready(());
        }
        let places = &self.places;
        let future = waiting.get_or_insert_with(|| {
            let places = places.clone();
            Box::pin(async move { places.acquire_owned().await.ok() })
        });
        let place = ready!(future.as_mut().poll(cx));
        *waiting = None;
        *self.place() = place;
        Poll::Ready(())
    }
}
