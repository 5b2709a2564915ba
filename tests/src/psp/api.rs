//! The provider's HTTP API: who may call, what a key remembers, how a call fails.
//!
//! Owns the order: authorisation, faults that strike before, the idempotency key, execution, faults
//! that strike after. A call goes on when its caller has gone: only then is a lost answer a real
//! one.

use super::books::{Books, Entry, Kept, is_waiting};
use super::faults::{Fault, FaultOptions};
use super::hooks;
use super::make::{self, DisputeEnd, Form, Outcome};
use super::serve::Fate;
use super::{Shared, State, now, read};
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State as Of};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

type On = Of<Arc<Shared>>;

/// All routes. Those of `/admin` and `/books` are for tests and ask for no key.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/{collection}", post(call).get(list))
        .route("/v1/{collection}/{id}/cancel", post(cancel))
        .route("/v1/{collection}/search", get(search))
        .route("/v1/{collection}/{id}", get(one))
        .route(
            "/books",
            get(|Of(shared): On| async move { Json(read::books(&shared.state().books)) }),
        )
        .route("/admin/counters", get(counters))
        .route("/admin/faults", post(set_faults))
        .route("/admin/next", post(fail_next))
        .route("/admin/webhooks", post(set_hooks))
        .route("/admin/settle", post(|Of(shared): On| async move { settle(&shared) }))
        .route(
            "/admin/forget-keys",
            post(|Of(shared): On| async move { shared.state().books.forget_keys() }),
        )
        .route("/admin/dispute", post(admin_dispute))
        .route("/admin/complete", post(admin_complete))
        .route("/admin/fail-refund", post(admin_fail_refund))
        .route("/admin/say", post(admin_say))
        .fallback(|| async { error(404, "invalid_request_error", "", "Unrecognized request URL") })
        .with_state(shared)
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Response {
    let error = json!({"type": kind, "code": code, "message": message});
    answer(status, &json!({"error": error}))
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status of this file");
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], body.to_string()).into_response()
}

fn with_fate(mut response: Response, fate: Fate) -> Response {
    response.extensions_mut().insert(fate);
    response
}

fn unauthorized(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let expected = format!("Bearer {}", shared.options.secret_key);
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let refused = || error(401, "invalid_request_error", "", "Invalid API Key provided: sk_****");
    (given != Some(expected.as_str())).then(refused)
}

/// The answer of a fault that strikes before anything is executed.
fn before(fault: Option<Fault>, options: &FaultOptions) -> Option<Response> {
    match fault? {
        Fault::DropBefore => Some(with_fate(Response::new(Body::empty()), Fate::Drop)),
        Fault::RateLimit => {
            let mut limited = error(429, "rate_limit_error", "rate_limit", "Too many requests");
            limited.headers_mut().insert(RETRY_AFTER, HeaderValue::from(options.retry_after));
            Some(limited)
        }
        Fault::Unavailable => Some(error(503, "api_error", "", "Service unavailable")),
        Fault::SlowBefore
        | Fault::DropAfter
        | Fault::SlowAfter
        | Fault::ErrorAfter
        | Fault::GatewayAfter
        | Fault::BreakAfter
        | Fault::Twice => None,
    }
}

/// A call that makes something.
async fn call(
    Of(shared): On,
    Path(collection): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    made(shared, format!("/v1/{collection}"), headers, body).await
}

/// A call that has a payment given up.
async fn cancel(
    Of(shared): On,
    Path((collection, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    made(shared, format!("/v1/{collection}/{id}/cancel"), headers, body).await
}

async fn made(shared: Arc<Shared>, path: String, headers: HeaderMap, body: String) -> Response {
    if let Some(refused) = unauthorized(&shared, &headers) {
        return refused;
    }
    let (fault, options) = {
        let State { faults, .. } = &mut *shared.state();
        (faults.of_call(), faults.options().clone())
    };
    if let Some(response) = before(fault, &options) {
        return response;
    }
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    let key = key.unwrap_or_default().to_owned();
    let call = Call { path, key, body, fault, options };
    // On its own: the caller may hang up meanwhile.
    let running = tokio::spawn(call.run(shared));
    running.await.unwrap_or_else(|_| error(500, "api_error", "", "a bug of the double"))
}

struct Call {
    path: String,
    key: String,
    body: String,
    fault: Option<Fault>,
    options: FaultOptions,
}

impl Call {
    async fn run(self, shared: Arc<Shared>) -> Response {
        let form: Form = match serde_form(&self.body) {
            Some(form) => form,
            None => return error(400, "invalid_request_error", "", "The body is no form"),
        };
        let said = format!("{} {form:?}", self.path);
        if let Some(response) = self.remembered(&shared, &said) {
            return self.echo(response);
        }
        if self.fault == Some(Fault::SlowBefore) {
            self.slow(&shared).await;
        }
        let (status, body) = self.execute(&shared, &form, said);
        if self.fault == Some(Fault::SlowAfter) {
            self.slow(&shared).await;
        }
        let response = self.echo(answer(status, &body));
        match self.fault {
            Some(Fault::DropAfter) => with_fate(response, Fate::Drop),
            Some(Fault::BreakAfter) => with_fate(response, Fate::Break),
            Some(Fault::Twice) => with_fate(response, Fate::Twice),
            Some(Fault::GatewayAfter) => {
                let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
                (StatusCode::BAD_GATEWAY, page).into_response()
            }
            Some(
                Fault::DropBefore
                | Fault::RateLimit
                | Fault::Unavailable
                | Fault::SlowBefore
                | Fault::SlowAfter
                | Fault::ErrorAfter,
            )
            | None => response,
        }
    }

    async fn slow(&self, shared: &Shared) {
        let _ = tokio::time::timeout(self.options.slow(), shared.hurry.notified()).await;
    }

    /// What the key remembers: an answer, that the call is running, or that it was another call.
    /// Without any of these the call is marked as running.
    fn remembered(&self, shared: &Shared, said: &str) -> Option<Response> {
        let books = &mut shared.state().books;
        if self.key.is_empty() {
            return None;
        }
        if let Some(kept) = books.kept(&self.key) {
            if kept.call != said {
                let message =
                    "Keys for idempotent requests can only be used with the same parameters";
                return Some(error(400, "idempotency_error", "", message));
            }
            let mut response = answer(kept.status, &kept.body);
            let replayed = HeaderValue::from_static("true");
            response.headers_mut().insert("idempotent-replayed", replayed);
            return Some(response);
        }
        let in_use = || {
            let message = "There is currently another in-progress request using this key";
            error(409, "idempotency_error", "idempotency_key_in_use", message)
        };
        (!books.start(&self.key)).then(in_use)
    }

    fn execute(&self, shared: &Arc<Shared>, form: &Form, said: String) -> (u16, Value) {
        let books = &mut shared.state().books;
        let outcome = make::execute(books, &self.path, form, &self.key, now());
        let Outcome { mut status, mut body, entry } = outcome;
        let Some(mut entry) = entry else {
            // Nothing began: nothing is kept.
            books.end(&self.key);
            return (status, body);
        };
        if self.fault == Some(Fault::ErrorAfter) {
            status = 500;
            body = json!({"error": {"type": "api_error", "message": "An unknown error occurred"}});
        }
        if !self.key.is_empty() {
            let (key, body) = (self.key.clone(), body.clone());
            entry.kept = Some(Kept { key, call: said, status, body });
        }
        let (events, waits) = (entry.events.clone(), waits(&entry));
        books.commit(entry);
        hooks::send(shared, events);
        if waits {
            settle_later(shared);
        }
        (status, body)
    }

    fn echo(&self, mut response: Response) -> Response {
        if let Ok(key) = HeaderValue::from_str(&self.key)
            && !self.key.is_empty()
        {
            response.headers_mut().insert("idempotency-key", key);
        }
        response
    }
}

/// Whether something that was made has yet to come to rest.
fn waits(entry: &Entry) -> bool {
    entry.objects.iter().any(is_waiting)
}

fn settle_later(shared: &Arc<Shared>) {
    if let Some(after) = shared.options.settle_after {
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            settle(&shared);
        });
    }
}

/// Ends what is `processing` or `pending`.
pub fn settle(shared: &Arc<Shared>) {
    let events = make::settle(&mut shared.state().books, now());
    hooks::send(shared, events);
}

/// Goes on with what a stop interrupted.
pub fn resume(shared: &Arc<Shared>) {
    settle_later(shared);
}

/// A chargeback; whether there is such a payment.
pub fn dispute(
    shared: &Arc<Shared>,
    payment_intent: &str,
    end: DisputeEnd,
    amount: Option<u64>,
) -> bool {
    tell(shared, |books| make::dispute(books, payment_intent, end, amount, now()))
}

/// The customer pays a declined payment after all; whether it can still be paid.
pub fn complete(shared: &Arc<Shared>, payment_intent: &str) -> bool {
    tell(shared, |books| make::complete(books, payment_intent, now()))
}

/// A refund does not arrive; whether there is one.
pub fn fail_refund(shared: &Arc<Shared>, refund: &str) -> bool {
    tell(shared, |books| make::fail_refund(books, refund, now()))
}

/// An event that nothing here led to.
pub fn say(shared: &Arc<Shared>, kind: &str, object: &Value, more: &Value) {
    tell(shared, |books| Some(make::say(books, kind, object, more, now())));
}

/// Makes a change and sends its events; whether it was made.
fn tell(shared: &Arc<Shared>, change: impl FnOnce(&mut Books) -> Option<Vec<Value>>) -> bool {
    let events = change(&mut shared.state().books);
    let found = events.is_some();
    hooks::send(shared, events.unwrap_or_default());
    found
}

fn serde_form(body: &str) -> Option<Form> {
    let uri: axum::http::Uri = format!("/?{body}").parse().ok()?;
    Query::<Form>::try_from_uri(&uri).ok().map(|Query(form)| form)
}

/// A read that takes its time: until the test says `hurry`, or as long as slow reads take.
async fn slow_read(shared: &Shared) {
    let millis = shared.state().faults.options().slow_reads_millis;
    if millis > 0 {
        shared.state().reading += 1;
        let slow = std::time::Duration::from_millis(millis);
        let _ = tokio::time::timeout(slow, shared.hurry.notified()).await;
        shared.state().reading -= 1;
    }
}

/// Runs a read: authorisation and the faults that strike reads come first.
fn reading(
    shared: &Shared,
    headers: &HeaderMap,
    found: impl FnOnce(&State) -> Option<Value>,
) -> Response {
    if let Some(refused) = unauthorized(shared, headers) {
        return refused;
    }
    let state = &mut *shared.state();
    let fault = state.faults.of_read();
    if let Some(response) = before(fault, state.faults.options()) {
        return response;
    }
    match found(state) {
        Some(found) => answer(200, &found),
        None => error(404, "invalid_request_error", "resource_missing", "No such object"),
    }
}

async fn one(
    Of(shared): On,
    Path((collection, id)): Path<(String, String)>,
    Query(query): Query<Form>,
    headers: HeaderMap,
) -> Response {
    slow_read(&shared).await;
    reading(&shared, &headers, |state| read::one(&state.books, &collection, &id, &query))
}

async fn list(
    Of(shared): On,
    Path(collection): Path<String>,
    Query(query): Query<Form>,
    headers: HeaderMap,
) -> Response {
    slow_read(&shared).await;
    reading(&shared, &headers, |state| read::list(&state.books, &collection, &query))
}

async fn search(
    Of(shared): On,
    Path(collection): Path<String>,
    Query(query): Query<Form>,
    headers: HeaderMap,
) -> Response {
    slow_read(&shared).await;
    reading(&shared, &headers, |state| read::search(&state.books, &collection, &query))
}

async fn counters(Of(shared): On) -> Json<Value> {
    let State { books, faults, .. } = &*shared.state();
    let counts: serde_json::Map<String, Value> = faults
        .counts()
        .into_iter()
        .map(|(fault, count)| (format!("{fault:?}"), json!(count)))
        .collect();
    let (calls, reads) = (faults.calls(), faults.reads());
    let undelivered = books.undelivered_count();
    Json(json!({"calls": calls, "reads": reads, "faults": counts, "undelivered": undelivered}))
}

async fn set_faults(Of(shared): On, Json(options): Json<FaultOptions>) {
    shared.state().faults.set(options);
}

async fn fail_next(Of(shared): On, Json(faults): Json<Vec<Fault>>) {
    shared.state().faults.queue(&faults);
}

async fn set_hooks(Of(shared): On, Json(options): Json<hooks::HookOptions>) {
    shared.state().hooks = options;
    hooks::resume(&shared);
}

#[derive(Deserialize)]
struct Dispute {
    payment_intent: String,
    end: DisputeEnd,
    #[serde(default)]
    amount: Option<u64>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
    #[serde(default)]
    more: Value,
}

fn found(found: bool) -> Response {
    match found {
        true => answer(200, &json!({})),
        false => error(404, "invalid_request_error", "resource_missing", "No such thing"),
    }
}

async fn admin_dispute(Of(shared): On, Json(asked): Json<Dispute>) -> Response {
    found(dispute(&shared, &asked.payment_intent, asked.end, asked.amount))
}

async fn admin_complete(Of(shared): On, Json(asked): Json<Named>) -> Response {
    found(complete(&shared, &asked.id))
}

async fn admin_fail_refund(Of(shared): On, Json(asked): Json<Named>) -> Response {
    found(fail_refund(&shared, &asked.id))
}

async fn admin_say(Of(shared): On, Json(asked): Json<Said>) -> Response {
    say(&shared, &asked.kind, &asked.object, &asked.more);
    found(true)
}
