//! The console: pages for people, at a listener of their own, and what these pages ask for.
//!
//! One more edge, which only translates: who logs in is found out at the gate, and each call of a
//! page goes through the gate to the services that gRPC has, so nothing is decided twice
//! ([ADR 46](../../../../docs/adr/0046-the-console-is-one-more-edge.md)). Owns how long a login
//! lasts, what a browser must send, and what it is told to keep others out with.

mod answers;
mod asked;
mod assets;
mod call;
mod codes;
mod kept;
mod live;
mod login;
mod mask;
mod once;
mod sessions;

pub use codes::Codes;

use super::access::{Access, Entrant};
use super::door::{Answering, Asked, Origins, Places, Site};
use super::now::Now;
use crate::config::ConsoleName;
use crate::limits::LOGIN_CODE_LIFE;
use crate::pipeline;
use crate::settle::Engine;
use crate::trail::AuditLog;
use answers::{Told, page, with_always};
use asked::{Place, check};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use call::Methods;
use live::Live;
use sessions::Sessions;
use std::future::ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tallystick_proto::v1;
use tonic::service::Routes;
use tonic::{Code, Status};

/// What a console is put together from.
pub struct Setup {
    /// The engine.
    pub engine: Engine,
    /// The services, behind the gate of this listener.
    pub services: Routes,
    /// Who is let in here.
    pub access: Access,
    /// What addresses may do at all doors.
    pub origins: Origins,
    /// Where logins are written down.
    pub audit_log: AuditLog,
    /// One-time codes.
    pub codes: Codes,
    /// Where it is written who is logged in.
    pub file: PathBuf,
    /// What goes on.
    pub now: Now,
    /// What those from elsewhere call it.
    pub name: Option<ConsoleName>,
}

/// The console. Cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    setup: Setup,
    place: Place,
    sessions: Sessions,
    methods: Methods,
    /// So many calls are made at once.
    calls: Places,
    live: Live,
}

impl Console {
    /// At this address, under TLS or in plain text.
    #[must_use]
    pub fn new(setup: Setup, address: SocketAddr, tls: bool) -> Self {
        let (place, sessions) = (Place::new(address, tls, setup.name.clone()), setup.file.clone());
        setup.codes.lead_to(place.address());
        let sessions = Sessions::load(sessions, pipeline::now());
        let (methods, calls) = (Methods::of_services(), call::places());
        let live = Live::start(&setup.engine, &setup.now);
        Self(Arc::new(Inner { setup, place, sessions, methods, calls, live }))
    }

    async fn answer(self, asked: Asked) -> Response {
        let path = asked.head.uri.path().to_owned();
        let Some(of) = path.strip_prefix("/api/") else {
            return assets::answer(&asked.head);
        };
        if let Err(told) = check(&asked.head, &self.0.place) {
            return told.answer();
        }
        let (get, post) = (asked.head.method == Method::GET, asked.head.method == Method::POST);
        let answered = match of {
            "login" if post => self.login(&asked).await,
            "logout" if post => self.logout(&asked).await,
            "me" if get => self.me(&asked).await,
            "live" if get => self.live(&asked).await,
            _ => match of.strip_prefix("call/") {
                Some(method) if post => self.call(method, asked).await,
                _ => Err(Told::of(Code::Unimplemented, "there is nothing here").status(404)),
            },
        };
        answered.unwrap_or_else(|told| told.answer())
    }
}

impl Site for Console {
    fn answer(&self, asked: Asked) -> Answering {
        // Most are pages, and there at once.
        if asked.head.uri.path().starts_with("/api/") {
            return Box::pin(page(self.clone().answer(asked)));
        }
        let answer = assets::answer(&asked.head);
        Box::pin(page(ready(answer)))
    }

    fn refuse(&self, status: StatusCode, why: String) -> Response {
        let code = match status {
            StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
            _ => Code::ResourceExhausted,
        };
        with_always(Told::of(code, why).status(status.as_u16()).answer())
    }
}

/// A code by which the caller logs in at the console.
pub(super) fn code(codes: &Codes, entrant: &Entrant) -> Result<v1::ConsoleLogin, Status> {
    let Some(address) = codes.address() else {
        return Err(Status::failed_precondition(
            "this engine has no console: give it one ([console] listen = \"127.0.0.1:7480\" in its configuration), \
             and start it anew",
        ));
    };
    let code = codes.make(entrant.known(), Instant::now());
    let code = code.map_err(|why| Status::internal(format!("the system gives no code: {why}")))?;
    let life = i64::try_from(LOGIN_CODE_LIFE.as_micros()).expect("some minutes");
    Ok(v1::ConsoleLogin {
        address: address.to_owned(),
        code: code.to_string(),
        expires_at_us: pipeline::now().0.saturating_add(life),
    })
}
