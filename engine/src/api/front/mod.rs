//! What the HTTP listener answers, from before the journal is read until the engine has stopped:
//! whether the process lives and is ready, what it measures of itself, and the provider's webhooks.
//!
//! Owns where the engine stands as others see it, and who may read the metrics. Webhooks are handed
//! on while the engine serves; before and after, their sender is told to come again.

mod browsers;
mod figures;
mod settling;
mod system;

use super::access::{Access, Refused};
use super::backups::Backups;
use super::door::{Answering, Asked, Keys, Peer, Site, Visits};
use super::held::Edge;
use super::standby::Standby;
use super::x402::X402;
use crate::limits::{METRICS_PAGES_MAX, METRICS_WAIT, WEBHOOK_RETRY_SECONDS};
use crate::metrics::{DURABLE, INFO, Page, READY, STANDBY, STARTED};
use crate::settle::{Board, Engine, Webhooks};
use crate::types::{Digest, Timestamp, same_digest, token_digest};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use browsers::Reading;
use std::future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
pub(in crate::api) use system::resident;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::codegen::Service as _;

const SCHEME: &str = "Bearer ";
/// What Prometheus's text format is called.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is in front of the engine on the HTTP listener. Cheap to clone.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    started_at: Timestamp,
    /// Whoever has this token may read the metrics; none: whoever is on this machine.
    token: RwLock<Option<Digest>>,
    stage: Mutex<Stage>,
    denied: Denied,
    /// So many pages may be made, or wait to be taken, at once.
    pages: Arc<Semaphore>,
}

/// Where the engine stands.
enum Stage {
    Starting,
    /// Another node owns the journal.
    Standby(Standby),
    Serving(Arc<Behind>),
    Stopping,
}

/// What is behind it while the engine serves.
pub struct Behind {
    /// The engine.
    pub engine: Engine,
    /// Answers what x402 asks.
    pub x402: Arc<X402>,
    /// Where webhooks are taken, if they are.
    pub hooks: Option<Router>,
    /// The schedule, and where it stands.
    pub board: Board,
    /// Where parties are told over HTTP.
    pub webhooks: Webhooks,
    /// Tokens of operators that were refused.
    pub refused: Refused,
    /// Where backups are made.
    pub backups: Backups,
    /// The listeners: what each is for, who is there, and its certificate.
    pub listeners: Vec<(&'static str, Visits, Option<Keys>)>,
}

impl Behind {
    /// What is behind it but for the listeners.
    pub async fn of(engine: &Engine, edge: &Edge, access: Access, hooks: Option<Router>) -> Self {
        let (board, refused) = (edge.board.clone(), edge.refused.clone());
        let (engine, backups) = (engine.clone(), edge.backups.clone());
        let webhooks = edge.webhooks.clone();
        let x402 = Arc::new(X402::new(engine.clone(), access).await);
        Self { engine, x402, hooks, board, webhooks, refused, backups, listeners: Vec::new() }
    }
}

/// A page, which has its place until its last byte was taken.
struct Made {
    text: String,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Made {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Requests that were refused here.
#[derive(Default)]
struct Denied {
    token: AtomicU64,
    elsewhere: AtomicU64,
    webhook: AtomicU64,
}

impl Front {
    /// In front of an engine that is only starting. With a token the metrics are for whoever has
    /// it, without one for this machine.
    #[must_use]
    pub fn new(started_at: Timestamp, token: Option<&str>) -> Self {
        Self(Arc::new(Inner {
            started_at,
            token: RwLock::new(token.map(token_digest)),
            stage: Mutex::new(Stage::Starting),
            denied: Denied::default(),
            pages: Arc::new(Semaphore::new(METRICS_PAGES_MAX)),
        }))
    }

    /// From now on the metrics are for whoever has this token; none: for this machine.
    pub fn set_token(&self, token: Option<&str>) {
        *self.0.token.write().unwrap_or_else(PoisonError::into_inner) = token.map(token_digest);
    }

    /// The engine stands by.
    pub fn standing_by(&self, standby: Standby) {
        *self.stage() = Stage::Standby(standby);
    }

    /// The engine serves.
    pub fn serving(&self, behind: Behind) {
        *self.stage() = Stage::Serving(Arc::new(behind));
    }

    /// The engine stops: nobody is handed on to it any more.
    pub fn stopping(&self) {
        let before = std::mem::replace(&mut *self.stage(), Stage::Stopping);
        // Not under the lock.
        drop(before);
    }

    /// All that is answered.
    #[must_use]
    pub fn site(&self) -> Answers {
        Answers { front: self.clone(), others: self.router() }
    }

    /// The routes of all but x402.
    fn router(&self) -> Router {
        Router::new()
            .route("/livez", get(|| async { "the process lives\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/webhooks/{of}", any(webhook))
            .fallback((StatusCode::NOT_FOUND, "there is nothing here\n"))
            .with_state(self.clone())
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behind(&self) -> Result<Arc<Behind>, String> {
        match &*self.stage() {
            Stage::Starting => Err("starting: the journal is read".to_owned()),
            Stage::Standby(standby) => Err(standby.words()),
            Stage::Serving(behind) => Ok(behind.clone()),
            Stage::Stopping => Err("stopping: what was taken in is finished".to_owned()),
        }
    }

    fn standby(&self) -> Option<Standby> {
        match &*self.stage() {
            Stage::Standby(standby) => Some(standby.clone()),
            Stage::Starting | Stage::Serving(_) | Stage::Stopping => None,
        }
    }

    /// Whether vouchers are taken; if not, why.
    fn readiness(&self) -> Result<(), String> {
        match self.behind()?.engine.room().low {
            false => Ok(()),
            true => {
                Err("the disk is nearly full: vouchers are refused until there is room".to_owned())
            }
        }
    }

    /// Whether somebody may read the metrics.
    fn may_read(&self, peer: Option<&Peer>, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let Inner { token, denied, .. } = &*self.0;
        let token = *token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(digest) = token else {
            if peer.is_some_and(|peer| peer.address.ip().is_loopback()) {
                return Ok(());
            }
            denied.elsewhere.fetch_add(1, Ordering::Relaxed);
            let why = "metrics are for this machine only: for others give the engine metrics_token_file\n";
            return Err(Box::new((StatusCode::FORBIDDEN, why).into_response()));
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix(SCHEME)).unwrap_or_default();
        if same_digest(&digest, &token_digest(given.trim())) {
            return Ok(());
        }
        denied.token.fetch_add(1, Ordering::Relaxed);
        let why =
            "metrics need the token in metrics_token_file, as `authorization: Bearer TOKEN`\n";
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        Err(Box::new((StatusCode::UNAUTHORIZED, challenge, why).into_response()))
    }

    /// The page, as full as it can be had in time.
    async fn page(&self) -> Page {
        let mut page = Page::default();
        page.put(&INFO, &[env!("CARGO_PKG_VERSION")], 1);
        page.put(&READY, &[], u8::from(self.readiness().is_ok()));
        page.put(&STARTED, &[], figures::unix(self.0.started_at.0));
        let standby = self.standby();
        page.put(&STANDBY, &[], u8::from(standby.is_some()));
        if let Some(standby) = standby {
            page.put(&DURABLE, &[], standby.told().position);
        }
        system::put(&mut page);
        let complete = match self.behind() {
            Ok(behind) => {
                figures::put(&mut page, &behind, &self.0.denied);
                let asked = settling::put(&mut page, &behind);
                matches!(tokio::time::timeout(METRICS_WAIT, asked).await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        page.put(&crate::metrics::COMPLETE, &[], u8::from(complete));
        page
    }
}

async fn ready(State(front): State<Front>) -> Response {
    match front.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => later(format!("not ready: {why}\n")),
    }
}

async fn metrics(State(front): State<Front>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>();
    if let Err(refused) = front.may_read(peer, request.headers()) {
        return *refused;
    }
    // Whoever is slow to take theirs goes some time; who asks is not kept for longer than they
    // wait.
    let place = tokio::time::timeout(METRICS_WAIT, front.0.pages.clone().acquire_owned()).await;
    let Ok(place) = place.map(|place| place.expect("nobody closes it")) else {
        let again = [(header::RETRY_AFTER, WEBHOOK_RETRY_SECONDS)];
        let why = format!("{METRICS_PAGES_MAX} pages are made or not yet taken; ask again later\n");
        return (StatusCode::TOO_MANY_REQUESTS, again, why).into_response();
    };
    let page = Bytes::from_owner(Made { text: front.page().await.text(), _place: place });
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], page).into_response()
}

async fn webhook(State(front): State<Front>, request: Request) -> Response {
    let behind = match front.behind() {
        Ok(behind) => behind,
        Err(why) => return later(format!("{why}; send this again\n")),
    };
    let Some(mut hooks) = behind.hooks.clone() else {
        return (StatusCode::NOT_FOUND, "no rail takes webhooks here: add [rail.card]\n")
            .into_response();
    };
    // What is handed on holds the engine itself.
    drop(behind);
    let Ok(answer) = hooks.call(request.map(Body::new)).await;
    if answer.status() == StatusCode::BAD_REQUEST {
        front.0.denied.webhook.fetch_add(1, Ordering::Relaxed);
    }
    answer
}

/// The first parts of the paths that x402 asks for.
const X402_PATHS: [&str; 6] = ["supported", "verify", "settle", "channel", "channels", "status"];

/// Everything that is answered over HTTP.
pub struct Answers {
    front: Front,
    others: Router,
}

impl Site for Answers {
    /// What x402 asks comes thousands of times a second, and goes by no route.
    fn answer(&self, asked: Asked) -> Answering {
        let first = asked.head.uri.path().trim_start_matches('/').split('/').next();
        let Some(first) = first.filter(|first| X402_PATHS.contains(first)) else {
            return self.others.answer(asked);
        };
        let reading = browsers::reading(first, &asked.head);
        // What is answered holds the engine itself, and the rest no longer.
        match (self.front.behind(), reading) {
            (_, Reading::Preflight) => Box::pin(future::ready(browsers::may_ask())),
            (Ok(behind), Reading::Closed) => Box::pin(behind.x402.clone().answer(asked)),
            (Ok(behind), Reading::Open) => {
                let answer = behind.x402.clone().answer(asked);
                Box::pin(async { browsers::readable(answer.await) })
            }
            (Err(why), Reading::Closed) => {
                Box::pin(future::ready(later(format!("{why}; ask again\n"))))
            }
            (Err(why), Reading::Open) => {
                Box::pin(future::ready(browsers::readable(later(format!("{why}; ask again\n")))))
            }
        }
    }
}

/// Not now: with when to ask again.
fn later(why: String) -> Response {
    let again = [(header::RETRY_AFTER, WEBHOOK_RETRY_SECONDS)];
    (StatusCode::SERVICE_UNAVAILABLE, again, why).into_response()
}

#[cfg(test)]
mod tests;
