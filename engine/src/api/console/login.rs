//! Logging in and out, and who is.

use super::answers::{Told, json};
use super::asked::is_by_a_person;
use super::sessions::Session;
use super::{Console, Inner};
use crate::api::access::{Entrant, Known};
use crate::api::door::Asked;
use crate::api::trail;
use crate::ledger::{Call, Role};
use crate::limits::SESSION_LIFE;
use crate::pipeline;
use crate::types::Digest;
use axum::http::{HeaderMap, HeaderValue, header};
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
    /// Who sends a request.
    ///
    /// # Errors
    /// UNAUTHENTICATED: nobody who is logged in, or whose key counts no more.
    pub(super) fn guest(&self, asked: &Asked) -> Result<Guest, Told> {
        let Inner { place, sessions, setup, .. } = &*self.0;
        let (headers, now) = (&asked.head.headers, pipeline::now());
        let text = place.cookie(headers);
        let found = text.and_then(|text| sessions.find(text, is_by_a_person(headers), now));
        let Some((id, session)) = found else {
            let why = "you are not logged in, or not any more: log in again";
            return Err(Told::of(Code::Unauthenticated, why));
        };
        match setup.access.admit_known(ANYTHING, &session.known) {
            Ok(entrant) => Ok(Guest { id, session, entrant }),
            Err(denied) => {
                // It never counts again.
                sessions.end(&id, now);
                Err(denied.into())
            }
        }
    }

    /// Logs somebody in.
    ///
    /// # Errors
    /// UNAUTHENTICATED, or RESOURCE_EXHAUSTED with when to come again.
    pub(super) async fn login(&self, asked: &Asked) -> Result<Response, Told> {
        let (Inner { setup, place, sessions, .. }, began) = (&*self.0, Instant::now());
        let from = asked.peer.address.ip();
        if let Err(after) = setup.origins.login(from, began) {
            let why = format!(
                "from your address come more logins than are looked at; come again in {}",
                crate::api::limited::seconds(after)
            );
            return Err(Told::too_often(why, after));
        }
        let login: Login = serde_json::from_slice(&asked.body).map_err(|_| {
            // What is wrong with it is not said: it may be a key.
            let why =
                "expected {\"token\":\"...\"}, or {\"code\":\"...\"} of `tallystick console login`";
            Told::of(Code::InvalidArgument, why)
        })?;
        let entrant = self.enters(&login, asked);
        let who = entrant
            .as_ref()
            .map_or(("", ""), |entrant| (entrant.caller.name.as_str(), entrant.caller.role.name()));
        let code = entrant.as_ref().map_or_else(|told| told.code(), |_| Code::Ok);
        trail::says(&setup.audit_log, &asked.peer, LOGIN, who, code, began).await;
        let entrant = entrant.inspect_err(|_| setup.origins.login_failed(from, began))?;
        let text = sessions.begin(entrant.known(), pipeline::now()).map_err(|why| {
            Told::of(Code::Internal, format!("the system gives no session: {why}"))
        })?;
        let seconds = i64::try_from(SESSION_LIFE.as_secs()).expect("some hours");
        let mut answer = json(&serde_json::json!({}));
        let cookie = Zeroizing::new(place.set_cookie(&text, seconds));
        let mut cookie = HeaderValue::from_str(&cookie).expect("hexadecimal digits are a header");
        cookie.set_sensitive(true);
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(answer)
    }

    /// Who comes with a token, a code, or a certificate.
    fn enters(&self, login: &Login, asked: &Asked) -> Result<Entrant, Told> {
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
    pub(super) async fn logout(&self, asked: &Asked) -> Response {
        let (Inner { setup, place, sessions, .. }, began) = (&*self.0, Instant::now());
        let text = place.cookie(&asked.head.headers);
        let now = pipeline::now();
        if let Some((id, session)) = text.and_then(|text| sessions.find(text, false, now)) {
            sessions.end(&id, now);
            let entrant = setup.access.admit_known(ANYTHING, &session.known);
            let who = entrant.as_ref().map_or(("", ""), |entrant| {
                (entrant.caller.name.as_str(), entrant.caller.role.name())
            });
            trail::says(&setup.audit_log, &asked.peer, LOGOUT, who, Code::Ok, began).await;
        }
        let mut answer = json(&serde_json::json!({}));
        let cookie = HeaderValue::from_str(&place.set_cookie("", 0)).expect("plain text");
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        answer
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// As for `guest`.
    pub(super) fn me(&self, asked: &Asked) -> Result<Response, Told> {
        let Guest { session, entrant, .. } = self.guest(asked)?;
        let caller = &entrant.caller;
        let of_parties = [Role::Facilitator, Role::Party].contains(&caller.role);
        let parties = entrant.parties().iter().filter(|_| of_parties);
        Ok(json(&Me {
            name: &caller.name,
            role: caller.role.name(),
            parties: parties.map(ToString::to_string).collect(),
            network: self.0.setup.engine.network().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            expires: session.ends().0 / 1_000,
        }))
    }
}
