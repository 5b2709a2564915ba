//! What was given for each payment: the answers, so that a repeated request gets the same, and the
//! work is not done twice; and how often, since what is not kept is made again, and one payment
//! does not buy any number of that. In memory: after a restart it begins anew.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many answers are kept.
const KEPT_MAX: usize = 10_000;
/// Bytes of all of them.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of one; a longer one is not kept.
pub(super) const BODY_MAX: usize = 1 << 20;

/// Of so many payments it is known for which request they were.
const PAYMENTS_MAX: usize = 50_000;
/// How often an answer is made again: twice as often as our agents send a payment by themselves.
const REPEATS: u32 = 7;

/// What was answered to a paid request.
#[derive(Clone)]
pub(super) struct Kept {
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

/// What is to be done for a good payment.
pub(super) enum Due {
    /// This is its answer.
    Again(Kept),
    /// An answer is made.
    Make,
    /// It was for another request.
    Other,
    /// Its answer was made this often, which is as often as it may be.
    Enough(u32),
}

/// By the payment's signature.
pub(super) struct Answers {
    inner: Mutex<Inner>,
    /// A payment is under way no more.
    freed: Notify,
    /// How often an answer is made again.
    repeats: AtomicU32,
}

impl Default for Answers {
    fn default() -> Self {
        let (inner, freed, repeats) = (Mutex::default(), Notify::new(), AtomicU32::new(REPEATS));
        Self { inner, freed, repeats }
    }
}

#[derive(Default)]
struct Inner {
    kept: HashMap<String, Kept>,
    /// The oldest first.
    order: VecDeque<String>,
    bytes: usize,
    /// The payments that were made: for which request, and how often its answer was made.
    made: HashMap<String, (blake3::Hash, u32)>,
    /// The oldest first.
    made_order: VecDeque<String>,
    under_way: HashSet<String>,
}

/// A payment's turn: while one is held, the same payment waits elsewhere.
pub(super) struct Turn {
    answers: Arc<Answers>,
    payment: String,
}

impl Answers {
    /// Answers are made again so often.
    pub fn repeat(&self, most: u32) {
        self.repeats.store(most, Ordering::Relaxed);
    }

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
    /// What is to be done for this payment, which is good, where it comes with a `request`: a
    /// method and an address.
    pub fn due(&self, request: &str) -> Due {
        let inner = self.answers.inner();
        let Some((of, times)) = inner.made.get(&self.payment) else { return Due::Make };
        if *of != blake3::hash(request.as_bytes()) {
            return Due::Other;
        }
        match inner.kept.get(&self.payment) {
            Some(kept) => Due::Again(kept.clone()),
            None if *times > self.answers.repeats.load(Ordering::Relaxed) => Due::Enough(*times),
            None => Due::Make,
        }
    }

    /// The payment was made, for an answer that was made to this request; it is kept if it is
    /// given.
    pub fn made(&self, request: &str, kept: Option<Kept>) {
        let inner = &mut *self.answers.inner();
        let fresh = || (blake3::hash(request.as_bytes()), 0);
        let (_, times) = inner.made.entry(self.payment.clone()).or_insert_with(fresh);
        *times = times.saturating_add(1);
        if *times == 1 {
            inner.made_order.push_back(self.payment.clone());
        }
        if inner.made.len() > PAYMENTS_MAX
            && let Some(oldest) = inner.made_order.pop_front()
        {
            inner.made.remove(&oldest);
        }
        let Some(kept) = kept.filter(|_| !inner.kept.contains_key(&self.payment)) else { return };
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

    fn kept(bytes: usize) -> Option<Kept> {
        let (status, headers) = (StatusCode::OK, HeaderMap::new());
        Some(Kept { status, headers, body: vec![0; bytes].into() })
    }

    async fn is_kept(answers: &Arc<Answers>, payment: &str) -> bool {
        matches!(answers.turn(payment.into()).await.due("GET /"), Due::Again(_))
    }

    #[tokio::test]
    async fn the_oldest_answers_go_when_they_are_too_many_or_too_large() {
        let answers: Arc<Answers> = Arc::default();
        for number in 0..=KEPT_MAX {
            answers.turn(number.to_string()).await.made("GET /", kept(1));
        }
        assert!(!is_kept(&answers, "0").await && is_kept(&answers, "1").await);
        for number in 0..=BYTES_MAX / BODY_MAX {
            answers.turn(format!("large {number}")).await.made("GET /", kept(BODY_MAX));
        }
        assert!(!is_kept(&answers, "large 0").await && is_kept(&answers, "large 1").await);
        assert!(answers.inner().bytes <= BYTES_MAX && answers.inner().under_way.is_empty());
    }

    #[tokio::test]
    async fn what_is_not_kept_is_made_so_often_and_for_one_request_alone() {
        let answers: Arc<Answers> = Arc::default();
        answers.repeat(2);
        let turn = answers.turn("a".into()).await;
        for _ in 0..3 {
            // What was not made does not count.
            assert!(matches!(turn.due("GET /"), Due::Make));
            assert!(matches!(turn.due("GET /"), Due::Make));
            turn.made("GET /", None);
            assert!(matches!(turn.due("GET /other"), Due::Other));
        }
        assert!(matches!(turn.due("GET /"), Due::Enough(3)));
        answers.repeat(3);
        assert!(matches!(turn.due("GET /"), Due::Make));
        // Of the oldest nothing is known any more, and the others stand.
        for number in 0..PAYMENTS_MAX - 1 {
            answers.turn(number.to_string()).await.made("GET /", None);
        }
        assert!(matches!(turn.due("GET /other"), Due::Other));
        answers.turn("one more".into()).await.made("GET /", None);
        assert!(matches!(turn.due("GET /other"), Due::Make));
        let inner = answers.inner();
        assert_eq!((inner.made.len(), inner.made_order.len()), (PAYMENTS_MAX, PAYMENTS_MAX));
    }

    #[tokio::test]
    async fn the_same_payment_waits_for_its_turn_and_another_does_not() {
        let answers: Arc<Answers> = Arc::default();
        let first = answers.turn("a".into()).await;
        let second = tokio::spawn({
            let answers = answers.clone();
            async move {
                match answers.turn("a".into()).await.due("GET /") {
                    Due::Again(kept) => kept.body.len(),
                    Due::Make | Due::Other | Due::Enough(_) => 0,
                }
            }
        });
        answers.turn("b".into()).await;
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        first.made("GET /", kept(3));
        drop(first);
        assert_eq!(second.await.unwrap(), 3);
    }
}
