//! Logging in and out, and who is.

use super::answers::{Told, json};
use super::asked::{OF_PAGE, is_by_a_person, of_page};
use super::sessions::Session;
use super::{Console, Inner};
use crate::api::access::{Entrant, Known};
use crate::api::door::{Asked, Peer};
use crate::api::trail;
use crate::ledger::{Call, Role};
use crate::limits::SESSION_LIFE;
use crate::pipeline;
use crate::types::Digest;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tonic::Code;
use zeroize::Zeroizing;

/// What everybody may call who is known, whatever their role: it is by this that they are let in.
const ANYTHING: Call = Call::ListIdentities;

/// What logins and what ends them are called in the audit log.
const LOGIN: &str = "ConsoleLogin";
const LOGOUT: &str = "ConsoleLogout";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: Option<String>,
    code: Option<String>,
}

#[derive(Serialize)]
struct Me<'a> {
    /// What its pages sent: it is never told to whoever has the cookie alone.
    login: &'a str,
    name: &'a str,
    role: &'a str,
    parties: Vec<String>,
    network: String,
    version: &'a str,
    /// Milliseconds since 1970.
    expires: i64,
}

/// Somebody who is logged in, as they are let in now.
pub(super) struct Guest {
    pub id: Digest,
    pub session: Session,
    pub entrant: Entrant,
}

impl Console {
    /// Who sends a request: by the cookie, and by what their pages send beside it.
    ///
    /// # Errors
    /// UNAUTHENTICATED: nobody who is logged in, or whose key counts no more. The same, or
    /// PERMISSION_DENIED of a call: no page of theirs. ABORTED: a page of another login.
    pub(super) async fn guest(&self, asked: &Asked) -> Result<Guest, Told> {
        let (Inner { sessions, setup, .. }, began) = (&*self.0, Instant::now());
        let (id, session) = self.session(asked)?.ok_or_else(|| {
            let why = "you are not logged in, or not any more: log in again";
            Told::of(Code::Unauthenticated, why)
        })?;
        if of_page(&asked.head).is_none() {
            let why = format!(
                "the cookie alone does nothing: log in again, and send {OF_PAGE} as that answers"
            );
            let code = match asked.head.method == Method::POST {
                true => Code::PermissionDenied,
                false => Code::Unauthenticated,
            };
            return Err(Told::of(code, why));
        }
        match setup.access.admit_known(ANYTHING, &session.known) {
            Ok(entrant) => {
                if is_by_a_person(&asked.head) {
                    sessions.asks(&id, pipeline::now());
                }
                Ok(Guest { id, session, entrant })
            }
            Err(denied) => {
                // It never counts again.
                self.ends(&id, &asked.peer, Code::Unauthenticated, began).await;
                Err(denied.into())
            }
        }
    }

    /// The login whose cookie came along: that of the page that sends it, where there is one.
    ///
    /// # Errors
    /// ABORTED, where a page sends another one's.
    fn session(&self, asked: &Asked) -> Result<Option<(Digest, Session)>, Told> {
        let (Inner { place, sessions, .. }, now) = (&*self.0, pipeline::now());
        let cookies = place.cookies(&asked.head.headers);
        let mut found = cookies.filter_map(|cookie| sessions.find(cookie, now)).peekable();
        let Some(page) = of_page(&asked.head) else { return Ok(found.next()) };
        if found.peek().is_none() {
            return Ok(None);
        }
        let own = found.find(|(_, session)| session.is_of(page));
        own.map(Some).ok_or_else(|| {
            let why = "somebody else is logged in here now: look who it is before you go on";
            Told::of(Code::Aborted, why)
        })
    }

    /// Ends a login, and says so once.
    pub(super) async fn ends(&self, id: &Digest, peer: &Peer, code: Code, began: Instant) {
        if let Some(ended) = self.0.sessions.end(id, pipeline::now()) {
            self.has_ended(&ended, peer, code, began).await;
        }
    }

    async fn has_ended(&self, ended: &Session, peer: &Peer, code: Code, began: Instant) {
        let who = (ended.name.as_str(), ended.role.as_str());
        trail::says(&self.0.setup.audit_log, peer, LOGOUT, who, code, began).await;
    }

    /// Logs somebody in.
    ///
    /// # Errors
    /// UNAUTHENTICATED, or RESOURCE_EXHAUSTED with when to come again.
    pub(super) async fn login(&self, asked: &Asked) -> Result<Response, Told> {
        let (Inner { setup, place, sessions, .. }, began) = (&*self.0, Instant::now());
        let entered = self.enters(asked, began).await;
        let who = entered
            .as_ref()
            .map_or(("", ""), |entrant| (entrant.caller.name.as_str(), entrant.caller.role.name()));
        let code = entered.as_ref().map_or_else(Told::code, |_| Code::Ok);
        trail::says(&setup.audit_log, &asked.peer, LOGIN, who, code, began).await;
        let entrant = entered?;
        let who = (entrant.caller.name.as_str(), entrant.caller.role.name());
        // Nobody is left logged in whom this browser cannot show any more.
        for cookie in place.cookies(&asked.head.headers) {
            if let Some((id, _)) = sessions.find(cookie, pipeline::now()) {
                self.ends(&id, &asked.peer, Code::Ok, began).await;
            }
        }
        let begun = sessions.begin(entrant.known(), who, pipeline::now()).map_err(|why| {
            Told::of(Code::Internal, format!("the system gives no session: {why}"))
        })?;
        for ended in &begun.ended {
            self.has_ended(ended, &asked.peer, Code::ResourceExhausted, began).await;
        }
        let seconds = i64::try_from(SESSION_LIFE.as_secs()).expect("some hours");
        let mut answer = json(&serde_json::json!({ "login": begun.page.as_str() }));
        let cookie = Zeroizing::new(place.set_cookie(&begun.cookie, seconds));
        let mut cookie = HeaderValue::from_str(&cookie).expect("hexadecimal digits are a header");
        cookie.set_sensitive(true);
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(answer)
    }

    /// Who comes, at the pace at which they may.
    async fn enters(&self, asked: &Asked, began: Instant) -> Result<Entrant, Told> {
        let (origins, from) = (&self.0.setup.origins, asked.peer.address.ip());
        let login: Result<Login, Told> = serde_json::from_slice(&asked.body).map_err(|_| {
            // What is wrong with it is not said: it may be a key.
            let why =
                "expected {\"token\":\"...\"}, or {\"code\":\"...\"} of `tallystick console login`";
            Told::of(Code::InvalidArgument, why)
        });
        // Nobody guesses a code, and no certificate is guessed: whoever mistypes a key holds up
        // nobody who has one of these.
        let is_guess = login.as_ref().is_ok_and(|login| login.token.is_some());
        if let Err(after) = origins.login(from, began, is_guess) {
            let why = format!(
                "from your address come more logins than are looked at; come again in {}",
                crate::api::limited::seconds(after)
            );
            origins.login_put_off(from, began).await;
            return Err(Told::too_often(why, after));
        }
        let entered = self.known_by(&login?, asked);
        entered.inspect_err(|_| {
            if is_guess {
                origins.login_failed(from, began);
            }
        })
    }

    /// Who comes with a token, a code, or a certificate.
    fn known_by(&self, login: &Login, asked: &Asked) -> Result<Entrant, Told> {
        let Inner { setup, .. } = &*self.0;
        let access = &setup.access;
        match (&login.token, &login.code) {
            (Some(_), Some(_)) => {
                Err(Told::of(Code::InvalidArgument, "send a token or a code, not both"))
            }
            (Some(token), None) => {
                let mut headers = HeaderMap::new();
                let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
                // What is no header is no token.
                let bearer = HeaderValue::from_str(&bearer);
                let bearer = bearer.unwrap_or(HeaderValue::from_static("Bearer"));
                headers.insert(header::AUTHORIZATION, bearer);
                Ok(access.admit_to(ANYTHING, &headers, Some(&asked.peer))?)
            }
            (None, Some(code)) => match setup.codes.redeem(code.trim(), Instant::now()) {
                Some(known) => Ok(access.admit_known(ANYTHING, &known)?),
                None => Err(Told::of(
                    Code::Unauthenticated,
                    "this login link counts no more, or never did: it is good once, for five minutes; have \
                     `tallystick console login` print another one",
                )),
            },
            (None, None) => {
                let entrant = access.admit_to(ANYTHING, &HeaderMap::new(), Some(&asked.peer))?;
                match entrant.known() {
                    // Whatever page a browser shows could do as much.
                    Known::Nobody => Err(Told::of(
                        Code::Unauthenticated,
                        "nobody is known here by name: open the link that `tallystick console login` prints",
                    )),
                    Known::Token(_) | Known::By(_) => Ok(entrant),
                }
            }
        }
    }

    /// Ends a login, if there is one.
    ///
    /// # Errors
    /// ABORTED, where it is that of another page.
    pub(super) async fn logout(&self, asked: &Asked) -> Result<Response, Told> {
        let (place, began) = (&self.0.place, Instant::now());
        if let Some((id, _)) = self.session(asked)? {
            self.ends(&id, &asked.peer, Code::Ok, began).await;
        }
        let mut answer = json(&serde_json::json!({}));
        let cookie = HeaderValue::from_str(&place.set_cookie("", 0)).expect("plain text");
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(answer)
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// As for `guest`.
    pub(super) async fn me(&self, asked: &Asked) -> Result<Response, Told> {
        let Guest { session, entrant, .. } = self.guest(asked).await?;
        let caller = &entrant.caller;
        let of_parties = [Role::Facilitator, Role::Party].contains(&caller.role);
        let parties = entrant.parties().iter().filter(|_| of_parties);
        Ok(json(&Me {
            login: of_page(&asked.head).unwrap_or_default(),
            name: &caller.name,
            role: caller.role.name(),
            parties: parties.map(ToString::to_string).collect(),
            network: self.0.setup.engine.network().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            expires: session.ends().0 / 1_000,
        }))
    }
}
