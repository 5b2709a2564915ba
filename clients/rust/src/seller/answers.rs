//! The answers that were given to paid requests, so that a repeated one gets the same, and the work
//! is not done twice. In memory: after a restart a repeated request is served once more, for the
//! one payment.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many answers are kept.
const KEPT_MAX: usize = 10_000;
/// Bytes of all of them.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of one; a longer one is not kept.
pub(super) const BODY_MAX: usize = 1 << 20;

/// What was answered to a paid request.
#[derive(Clone)]
pub(super) struct Kept {
    /// Method and address of the request.
    pub request: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Kept {
    /// The answer again.
    pub fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// By the payment's signature.
#[derive(Default)]
pub(super) struct Answers {
    inner: Mutex<Inner>,
    /// A payment is under way no more.
    freed: Notify,
}

#[derive(Default)]
struct Inner {
    kept: HashMap<String, Kept>,
    /// The oldest first.
    order: VecDeque<String>,
    bytes: usize,
    under_way: HashSet<String>,
}

/// A payment's turn: while one is held, the same payment waits elsewhere.
pub(super) struct Turn {
    answers: Arc<Answers>,
    payment: String,
}

impl Answers {
    /// Waits until the same payment is not under way elsewhere.
    pub async fn turn(self: &Arc<Self>, payment: String) -> Turn {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.inner().under_way.insert(payment.clone()) {
                return Turn { answers: self.clone(), payment };
            }
            freed.await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// What was answered to this payment before.
    pub fn kept(&self) -> Option<Kept> {
        self.answers.inner().kept.get(&self.payment).cloned()
    }

    /// Keeps what is answered to it.
    pub fn keep(&self, kept: Kept) {
        let inner = &mut *self.answers.inner();
        if inner.kept.contains_key(&self.payment) {
            return;
        }
        inner.bytes += kept.body.len();
        inner.order.push_back(self.payment.clone());
        inner.kept.insert(self.payment.clone(), kept);
        while inner.kept.len() > KEPT_MAX || inner.bytes > BYTES_MAX {
            let Some(oldest) = inner.order.pop_front() else { return };
            inner.bytes -= inner.kept.remove(&oldest).map_or(0, |kept| kept.body.len());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.answers.inner().under_way.remove(&self.payment);
        self.answers.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize) -> Kept {
        let (request, status) = ("GET /".to_owned(), StatusCode::OK);
        Kept { request, status, headers: HeaderMap::new(), body: vec![0; bytes].into() }
    }

    #[tokio::test]
    async fn the_oldest_answers_go_when_they_are_too_many_or_too_large() {
        let answers: Arc<Answers> = Arc::default();
        for number in 0..=KEPT_MAX {
            answers.turn(number.to_string()).await.keep(kept(1));
        }
        assert!(answers.turn("0".into()).await.kept().is_none());
        assert!(answers.turn("1".into()).await.kept().is_some());
        for number in 0..=BYTES_MAX / BODY_MAX {
            answers.turn(format!("large {number}")).await.keep(kept(BODY_MAX));
        }
        assert!(answers.turn("large 0".into()).await.kept().is_none());
        assert!(answers.turn("large 1".into()).await.kept().is_some());
        assert!(answers.inner().bytes <= BYTES_MAX && answers.inner().under_way.is_empty());
    }

    #[tokio::test]
    async fn the_same_payment_waits_for_its_turn_and_another_does_not() {
        let answers: Arc<Answers> = Arc::default();
        let first = answers.turn("a".into()).await;
        let second = tokio::spawn({
            let answers = answers.clone();
            async move { answers.turn("a".into()).await.kept().map(|kept| kept.body.len()) }
        });
        answers.turn("b".into()).await;
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        first.keep(kept(3));
        drop(first);
        assert_eq!(second.await.unwrap(), Some(3));
    }
}
