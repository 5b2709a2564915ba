//! What pages are told by themselves: figures once a second, made once for all of them, and that
//! something has changed. Server-sent events, as long as the login goes on.
//!
//! Owns how many pages there are. None of them is waited for: one that does not take what it is
//! told is told no more.

use super::answers::Told;
use super::login::Guest;
use super::{Console, Inner};
use crate::api::access::Entrant;
use crate::api::door::{Asked, Lasting, Peer};
use crate::api::now::{Moment, Now};
use crate::ledger::{Call, Right};
use crate::limits::{
    CONSOLE_EVENTS_MAX, CONSOLE_EVERY, CONSOLES_EACH_MAX, CONSOLES_MAX, CONSOLES_NAME_MAX,
    CONSOLES_OWN_MAX, RETRY_SOON,
};
use crate::pipeline;
use crate::settle::Engine;
use crate::types::Digest;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

/// How long a browser waits before it asks again: a restart takes longer.
const BEGIN: &[u8] = b"retry: 1000\n\n";

/// What all pages are told. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    now: watch::Receiver<Arc<Moment>>,
    changed: watch::Receiver<Bytes>,
    pages: Pages,
}

/// How many there are of each login.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<BTreeMap<By, usize>>>);

/// Whose a page is. The desk's pages are counted apart from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct By {
    is_desk: bool,
    name: String,
    login: Digest,
}

/// A page that is told; until it is dropped.
struct Page {
    of: Pages,
    by: By,
}

fn event(name: &str, data: &[u8]) -> Bytes {
    let (name, data) = (format!("event: {name}\ndata: "), [data, b"\n\n"].concat());
    [name.into_bytes(), data].concat().into()
}

/// The figures of a moment; whoever may not see them is told the time.
fn figures(of: &Moment, may: bool) -> Bytes {
    match may {
        true => event("now", of.json()),
        false => {
            let bare = format!("{{\"atMs\":{}}}", pipeline::now().0 / 1_000);
            event("now", bare.as_bytes())
        }
    }
}

impl Live {
    /// Of this engine: from now on, on this runtime.
    pub fn start(engine: &Engine, now: &Now) -> Self {
        let (notes, changed) = watch::channel(Bytes::new());
        tokio::spawn(changes(engine.clone(), notes));
        Self { now: now.moments(), changed, pages: Pages::default() }
    }
}

/// Says that something has changed, at most once a second.
async fn changes(engine: Engine, notes: watch::Sender<Bytes>) {
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
        notes.send_replace(event("changed", data.as_bytes()));
        tokio::time::sleep(CONSOLE_EVERY).await;
    }
}

impl Pages {
    /// A place for one more.
    ///
    /// # Errors
    /// Which of them are too many.
    fn take(&self, by: By) -> Result<Page, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |is: &dyn Fn(&By) -> bool| -> usize {
            all.iter().filter(|(of, _)| is(of)).map(|(_, count)| count).sum()
        };
        let most = if by.is_desk { CONSOLES_MAX } else { CONSOLES_OWN_MAX };
        if count(&|of| of.login == by.login) >= CONSOLES_EACH_MAX {
            return Err(format!("{CONSOLES_EACH_MAX} pages of yours are open here: close one"));
        }
        if count(&|of| of.is_desk == by.is_desk && of.name == by.name) >= CONSOLES_NAME_MAX {
            return Err(format!(
                "{CONSOLES_NAME_MAX} pages of yours are open, in other browsers, too: close some"
            ));
        }
        if count(&|of| of.is_desk == by.is_desk) >= most {
            return Err(format!("{most} pages of others are told what goes on: close some"));
        }
        *all.entry(by.clone()).or_default() += 1;
        Ok(Page { of: self.clone(), by })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(&self.by) {
            *own -= 1;
            if *own == 0 {
                all.remove(&self.by);
            }
        }
    }
}

impl Console {
    /// Tells a page, from now on.
    ///
    /// # Errors
    /// As for `guest`; RESOURCE_EXHAUSTED where there are too many.
    pub(super) async fn live(&self, asked: &Asked) -> Result<Response, Told> {
        let Guest { id, entrant, .. } = self.guest(asked).await?;
        let (is_desk, name) = (entrant.holder().is_desk, entrant.caller.name.clone());
        let page = self.0.live.pages.take(By { is_desk, name, login: id });
        let page = page.map_err(|why| Told::too_often(why, RETRY_SOON))?;
        let (events, taken) = mpsc::channel(CONSOLE_EVENTS_MAX);
        tokio::spawn(tell(self.clone(), (entrant, asked.peer.clone()), page, events));
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
async fn tell(
    console: Console,
    (entrant, peer): (Entrant, Peer),
    page: Page,
    events: mpsc::Sender<Bytes>,
) {
    let Inner { live, setup, sessions, .. } = &*console.0;
    let may = Call::GetStatus.right(entrant.caller.role) != Right::Refused;
    let (mut now, mut changed) = (live.now.clone(), live.changed.clone());
    // What has changed before is known; what goes on is told at once.
    changed.mark_unchanged();
    now.mark_changed();
    let ended = setup.access.clone().ended(entrant);
    tokio::pin!(ended);
    let mut said = Bytes::from_static(BEGIN);
    // A page that leaves so many unread is gone.
    while events.try_send(said).is_ok() {
        let told = tokio::select! {
            told = now.changed() => told.map(|()| figures(&now.borrow_and_update().clone(), may)),
            told = changed.changed() => told.map(|()| changed.borrow_and_update().clone()),
            why = &mut ended => {
                let (login, began) = (&page.by.login, Instant::now());
                // The login goes now, and whoever asks later is told only that there is none.
                let why = serde_json::json!({ "message": why.message() });
                let _ = events.try_send(event("ended", why.to_string().as_bytes()));
                return console.ends(login, &peer, Code::Unauthenticated, began).await;
            }
            () = events.closed() => return,
        };
        let (Ok(told), true) = (told, sessions.goes_on(&page.by.login, pipeline::now())) else {
            return;
        };
        said = told;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_pages_and_none_of_the_desks_who_is_not_of_it() {
        let pages = Pages::default();
        let take = |is_desk: bool, name: &str, login: u8| {
            let by = By { is_desk, name: name.to_owned(), login: Digest([login; 32]) };
            pages.take(by)
        };
        let mut held: Vec<Page> = (0..10).map(|n| take(true, "ann", n % 2).unwrap()).collect();
        assert!(take(true, "ann", 0).is_err_and(|why| why.starts_with("5 pages of yours")));
        assert!(take(true, "ann", 2).is_err_and(|why| why.starts_with("10 pages of yours")));
        let owner = |n: u8| take(false, &format!("owner {n}"), 100 + n);
        held.extend((0..16).map(|n| owner(n).unwrap()));
        assert!(owner(16).is_err_and(|why| why.starts_with("16 pages of others")));
        held.extend((3..41).map(|n| take(true, &format!("of the desk {n}"), n).unwrap()));
        assert!(take(true, "eve", 99).is_err_and(|why| why.starts_with("48 pages")));
        drop(held);
        assert!(pages.0.lock().unwrap().is_empty());
        assert!(owner(16).is_ok());
    }
}
