//! A receiver of webhooks, for tests that have no engine: keeps what comes, as it came.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Runtime;

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The header `Stripe-Signature`.
    pub signature: String,
    /// The body.
    pub payload: Vec<u8>,
}

#[derive(Default)]
struct Kept {
    deliveries: Vec<Delivery>,
    refuse: usize,
}

/// A running receiver.
pub struct Inbox {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    runtime: Option<Runtime>,
}

impl Inbox {
    /// Starts one on any free loopback port. It answers the first `refuse` deliveries with 500.
    ///
    /// # Errors
    /// What the socket failed with.
    pub fn start(refuse: usize) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let address = listener.local_addr()?;
        let kept = Arc::new(Mutex::new(Kept { refuse, ..Kept::default() }));
        let router = Router::new().route("/", post(take)).with_state(kept.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, kept, runtime: Some(runtime) })
    }

    /// Where it takes deliveries.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What has come, in order of arrival.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.kept).deliveries.clone()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().expect("no task of the receiver panics")
}

async fn take(
    State(kept): State<Arc<Mutex<Kept>>>,
    headers: HeaderMap,
    payload: axum::body::Bytes,
) -> StatusCode {
    let mut kept = lock(&kept);
    if kept.refuse > 0 {
        kept.refuse -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default().to_owned();
    kept.deliveries.push(Delivery { signature, payload: payload.to_vec() });
    StatusCode::OK
}
