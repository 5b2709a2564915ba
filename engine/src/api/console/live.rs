//! What pages are told by themselves: figures once a second, made once for all of them, and that
//! something has changed. Server-sent events, as long as the login goes on.
//!
//! Owns how many pages there are. None of them is waited for: one that does not take what it is
//! told is told no more.

use super::answers::Told;
use super::login::Guest;
use super::now::Counted;
use super::{Console, Inner};
use crate::api::access::Entrant;
use crate::api::door::{Asked, Lasting};
use crate::ledger::{Call, Right};
use crate::limits::{
    CONSOLE_EVENTS_MAX, CONSOLE_EVERY, CONSOLES_EACH_MAX, CONSOLES_MAX, RETRY_SOON,
};
use crate::pipeline;
use crate::settle::Engine;
use crate::types::{Digest, Timestamp};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// How long a browser waits before it asks again: a restart takes longer.
const BEGIN: &[u8] = b"retry: 1000\n\n";

/// What all pages are told. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    now: watch::Receiver<Event>,
    changed: watch::Receiver<Event>,
    pages: Pages,
}

/// One event, as it is sent, and the same for whoever may not see the engine's figures.
#[derive(Clone, Default)]
struct Event {
    full: Bytes,
    bare: Bytes,
}

/// How many there are of each login.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<BTreeMap<Digest, usize>>>);

/// A page that is told; until it is dropped.
struct Page {
    of: Pages,
    login: Digest,
}

fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

impl Live {
    /// Of this engine: from now on, on this runtime.
    pub fn start(engine: &Engine, started_at: Timestamp) -> Self {
        let (says, now) = watch::channel(Event::default());
        let (notes, changed) = watch::channel(Event::default());
        tokio::spawn(figures(engine.clone(), started_at, says));
        tokio::spawn(changes(engine.clone(), notes));
        Self { now, changed, pages: Pages::default() }
    }
}

/// Makes the figures, once a second, while somebody looks.
async fn figures(engine: Engine, started_at: Timestamp, says: watch::Sender<Event>) {
    let mut every = tokio::time::interval(CONSOLE_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Counted::of(&engine);
    loop {
        every.tick().await;
        if says.is_closed() {
            return;
        }
        let counted = Counted::of(&engine);
        // One receiver is kept for those to come.
        if says.receiver_count() > 1 {
            let now = counted.since(&before, &engine, started_at);
            let full = serde_json::to_string(&now).expect("plain data has a JSON form");
            let bare = format!("{{\"atMs\":{}}}", pipeline::now().0 / 1_000);
            says.send_replace(Event { full: event("now", &full), bare: event("now", &bare) });
        }
        before = counted;
    }
}

/// Says that something has changed, at most once a second.
async fn changes(engine: Engine, notes: watch::Sender<Event>) {
    let access = |engine: &Engine| {
        let found = engine.standing(|control| {
            Ok((control.identities().changes(), control.eyes().open(pipeline::now()).count()))
        });
        found.unwrap_or_default()
    };
    let mut watched = engine.watch(engine.vitals().durable);
    let mut before = access(&engine);
    while watched.next().await.is_ok() && !notes.is_closed() {
        let now = access(&engine);
        // What of the others has changed would cost more to find out than to look.
        let mut what = vec!["windows", "batches", "legs", "parties"];
        if std::mem::replace(&mut before, now) != now {
            what.push("access");
        }
        let data = serde_json::json!({ "what": what }).to_string();
        let full = event("changed", &data);
        notes.send_replace(Event { bare: full.clone(), full });
        tokio::time::sleep(CONSOLE_EVERY).await;
    }
}

impl Pages {
    fn take(&self, login: Digest) -> Option<Page> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(&login).copied().unwrap_or(0);
        if own >= CONSOLES_EACH_MAX || all.values().sum::<usize>() >= CONSOLES_MAX {
            return None;
        }
        all.insert(login, own + 1);
        Some(Page { of: self.clone(), login })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(&self.login) {
            *own -= 1;
            if *own == 0 {
                all.remove(&self.login);
            }
        }
    }
}

impl Console {
    /// Tells a page, from now on.
    ///
    /// # Errors
    /// UNAUTHENTICATED; RESOURCE_EXHAUSTED where there are too many.
    pub(super) fn live(&self, asked: &Asked) -> Result<Response, Told> {
        let Guest { id, entrant, .. } = self.guest(asked)?;
        let Inner { live, .. } = &*self.0;
        let Some(page) = live.pages.take(id) else {
            let why = format!(
                "{CONSOLES_EACH_MAX} pages of one login are told what goes on, and {CONSOLES_MAX} in all; close \
                 some"
            );
            return Err(Told::too_often(why, RETRY_SOON));
        };
        let (events, taken) = mpsc::channel(CONSOLE_EVENTS_MAX);
        tokio::spawn(tell(self.clone(), entrant, page, events));
        let body = ReceiverStream::new(taken).map(Ok::<_, Infallible>);
        let mut answer = Response::new(Body::from_stream(body));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.extensions_mut().insert(Lasting);
        Ok(answer)
    }
}

/// Tells one page until it goes, its login ends, or it takes nothing any more.
async fn tell(console: Console, entrant: Entrant, page: Page, events: mpsc::Sender<Bytes>) {
    let Inner { live, setup, sessions, .. } = &*console.0;
    let may = Call::GetStatus.right(entrant.caller.role) != Right::Refused;
    let (mut now, mut changed) = (live.now.clone(), live.changed.clone());
    // What was said before is old.
    now.mark_unchanged();
    changed.mark_unchanged();
    let ended = setup.access.clone().ended(entrant);
    tokio::pin!(ended);
    let mut said = Bytes::from_static(BEGIN);
    // A page that leaves so many unread is gone.
    while events.try_send(said).is_ok() {
        let told = tokio::select! {
            told = now.changed() => told.map(|()| now.borrow_and_update().clone()),
            told = changed.changed() => told.map(|()| changed.borrow_and_update().clone()),
            _ = &mut ended => return,
            () = events.closed() => return,
        };
        let (Ok(event), true) = (told, sessions.goes_on(&page.login, pipeline::now())) else {
            return;
        };
        said = if may { event.full } else { event.bare };
    }
}
