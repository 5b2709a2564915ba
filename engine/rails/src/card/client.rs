//! Carries a call to the provider and its answer back.
//!
//! Owns the HTTP client: one connection a call, no redirects, no retries of its own, a bound on
//! time and on bytes. Never decides what an answer means, and never puts the secret key anywhere
//! but into the `Authorization` header of a request to the configured host.
//!
//! One connection a call, because an answer that is sent twice must never be taken for the next
//! leg's.

use super::answer::{self, Answer, Raw};
use super::call::CallBytes;
use super::config::{CardConfig, ConfigError};
use super::lookup::{self, Found, Matches, Page};
use super::text;
use std::cell::Cell;
use tallystick_ledger::limits::{CARD_ANSWER_BYTES_MAX, CARD_CONNECT_WAIT, CARD_PAGES_MAX};
use tallystick_ledger::types::Timestamp;
use ureq::config::AutoHeaderValue;
use ureq::http::{HeaderMap, HeaderValue, Request, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};
use ureq::{Agent, AsSendBody};
use zeroize::Zeroizing;

/// Talks to one provider. Any number of threads may share it.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    config: CardConfig,
}

/// Why there is no answer.
struct NoAnswer {
    /// Whether the request can have left.
    left: bool,
    reason: String,
}

impl Client {
    /// A client for what is configured. Connects to nothing yet.
    ///
    /// # Errors
    /// `ConfigError` when the configuration does not hold.
    pub fn new(config: CardConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let base = config.base()?.to_owned();
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(base.starts_with("https:"))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(AutoHeaderValue::Provided(user_agent().into()))
            .timeout_global(Some(config.timeout))
            .timeout_connect(Some(config.timeout.min(CARD_CONNECT_WAIT)))
            .build();
        let agent = Agent::with_parts(settings, Marking::default(), DefaultResolver::default());
        Ok(Self { agent, base, config })
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &CardConfig {
        &self.config
    }

    /// Whether the provider answers, and takes the key: reads one payment at most, and moves
    /// nothing.
    ///
    /// # Errors
    /// A text that says what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let uri = format!("{}/v1/payment_intents?limit=1", self.base);
        let request = Request::get(uri).header("stripe-version", &self.config.api_version);
        let raw = self.exchange(request, ()).map_err(|no_answer| {
            format!("the provider does not answer ({}): check base_url", no_answer.reason)
        })?;
        match raw.status {
            200 if raw.json().is_some() => Ok(()),
            401 | 403 => Err("the provider refuses the key: check secret_key_file".to_owned()),
            status => Err(format!("the provider answers {status} to a list: check base_url")),
        }
    }

    /// Sends a call once and reads its answer. The caller has journaled the bytes.
    #[must_use]
    pub fn send(&self, call: &CallBytes) -> Answer {
        let uri = format!("{}{}", self.base, call.kind().path());
        let request = call
            .headers()
            .into_iter()
            .fold(Request::post(uri), |request, (name, value)| request.header(name, value));
        let answer = match self.exchange(request, call.body()) {
            Ok(raw) => answer::read(call, &raw),
            Err(NoAnswer { left: true, reason }) => Answer::unknown(&reason),
            Err(NoAnswer { left: false, reason }) => Answer::later(&reason),
        };
        self.given_up(call, answer)
    }

    /// Has the provider give up what was declined and could still be paid. It moves no money, and
    /// done twice it is done once, so it needs no key: an error that was kept under one would stay
    /// for ever.
    fn given_up(&self, call: &CallBytes, answer: Answer) -> Answer {
        let Answer::Open { reference, reason } = answer else { return answer };
        if reference.is_empty() {
            return Answer::alarm(&format!("declined ({reason}), by a payment without an id"));
        }
        let uri = format!("{}{}/{reference}/cancel", self.base, call.kind().path());
        let headers = call.headers().into_iter().filter(|(name, _)| *name != "idempotency-key");
        let request =
            headers.fold(Request::post(uri), |request, (name, value)| request.header(name, value));
        match self.exchange(request, &b""[..]) {
            Ok(raw) => answer::given_up(call, &raw, &reason),
            Err(NoAnswer { reason: why, .. }) => {
                Answer::unknown(&format!("declined ({reason}), and not yet given up: {why}"))
            }
        }
    }

    /// Looks a leg up that was first sent at `first_sent`: by the provider's reference if one is
    /// known, else among all payments of the party since. What is found declined is given up.
    #[must_use]
    pub fn lookup(&self, call: &CallBytes, reference: &str, first_sent: Timestamp) -> Found {
        match self.find(call, reference, first_sent) {
            Found::Leg(answer) => Found::Leg(self.given_up(call, answer)),
            found @ (Found::Absent | Found::Again { .. } | Found::Halt { .. }) => found,
        }
    }

    fn find(&self, call: &CallBytes, reference: &str, first_sent: Timestamp) -> Found {
        if !text::reference(reference).is_empty() {
            return match self.get(call, &call.read_path(reference)) {
                Ok(raw) => lookup::read_one(call, &raw).unwrap_or_else(|| not_read(call, &raw)),
                Err(again) => again,
            };
        }
        let (mut matches, mut after) = (Matches::default(), None);
        for _ in 0..CARD_PAGES_MAX {
            let raw = match self.get(call, &call.list_path(first_sent, after.as_deref())) {
                Ok(raw) => raw,
                Err(again) => return again,
            };
            let page = match (raw.status, raw.json()) {
                (200, Some(page)) => matches.take(call, page),
                _ => return not_read(call, &raw),
            };
            match page {
                Page::More(last) => after = Some(last),
                Page::Last => return matches.verdict(call),
                Page::Broken => return again(&Answer::later("the list is broken")),
            }
        }
        Found::Leg(Answer::alarm("too many payments since to look through; look it up by hand"))
    }

    fn get(&self, call: &CallBytes, path: &str) -> Result<Raw, Found> {
        let uri = format!("{}{path}", self.base);
        let request = Request::get(uri).header("stripe-version", call.version());
        // Reading moves nothing: whatever went wrong, it can be asked again.
        self.exchange(request, ()).map_err(|no_answer| again(&Answer::later(&no_answer.reason)))
    }

    fn exchange(
        &self,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<Raw, NoAnswer> {
        let secret = self.config.secret_key.expose();
        let bearer = Zeroizing::new(format!("Bearer {secret}"));
        let mut bearer = HeaderValue::from_str(&bearer).expect("the key is visible ASCII");
        bearer.set_sensitive(true);
        let request = request.header("authorization", bearer);
        let request = request.body(body).expect("paths and headers were checked");
        LEFT.set(false);
        let no_answer = |error: ureq::Error| NoAnswer {
            left: LEFT.get(),
            reason: text::shown(&format!("no answer: {error}")),
        };
        let mut response = self.agent.run(request).map_err(no_answer)?;
        let header = |name| text_header(response.headers(), name);
        let mut raw = Raw {
            status: StatusCode::as_u16(&response.status()),
            retry_after: header("retry-after"),
            key: header("idempotency-key"),
            replayed: header("idempotent-replayed").as_deref() == Some("true"),
            body: Vec::new(),
        };
        let limited = response.body_mut().with_config().limit(CARD_ANSWER_BYTES_MAX);
        raw.body = limited.read_to_vec().map_err(no_answer)?;
        Ok(raw)
    }
}

/// An answer to a question that is no answer.
fn not_read(call: &CallBytes, raw: &Raw) -> Found {
    // The request's key is not repeated in answers to GET.
    let raw = Raw { key: None, ..raw.clone() };
    again(&answer::read(call, &raw))
}

/// What a failed question becomes: it proves nothing, and can be asked again.
fn again(answer: &Answer) -> Found {
    match answer {
        Answer::Halt { reason } => Found::Halt { reason: reason.clone() },
        Answer::Later { after, reason } => Found::Again { after: *after, reason: reason.clone() },
        Answer::Unknown { reason, .. }
        | Answer::Open { reason, .. }
        | Answer::Rejected { reason, .. }
        | Answer::Returned { reason, .. } => again(&Answer::later(reason)),
        Answer::Accepted { .. } | Answer::Confirmed { .. } => again(&Answer::later("no list")),
    }
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn user_agent() -> String {
    format!("tallystick/{}", env!("CARGO_PKG_VERSION"))
}

thread_local! {
    /// Whether the call that runs on this thread has a connection: from then on its bytes may have
    /// left.
    static LEFT: Cell<bool> = const { Cell::new(false) };
}

/// Connects as ureq does (names, TCP, TLS), and marks the moment from which the request can leave.
/// What fails before, down to a certificate that does not hold, provably never left.
#[derive(Debug, Default)]
struct Marking(DefaultConnector);

impl Connector for Marking {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let transport = self.0.connect(details, chained)?;
        LEFT.set(transport.is_some());
        Ok(transport)
    }
}
