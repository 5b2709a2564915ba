//! A route that is paid for: what stands around its handler.

use super::answers::{BODY_MAX, Due, Kept, Turn};
use super::desk::Verdict;
use super::price::{Price, address, encoded, no_store};
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The header in which a payment comes.
const PAYMENT: &str = "payment-signature";
/// The header that says what became of it.
const RESPONSE: &str = "payment-response";

impl<S> Layer<S> for Price {
    type Service = Paid<S>;

    fn layer(&self, inner: S) -> Paid<S> {
        Paid { price: self.clone(), inner }
    }
}

/// A handler behind its price.
#[derive(Clone)]
pub struct Paid<S> {
    price: Price,
    inner: S,
}

impl<S> Service<Request> for Paid<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let price = self.price.clone();
        // The one that is ready.
        let fresh = self.inner.clone();
        let inner = mem::replace(&mut self.inner, fresh);
        Box::pin(async move { Ok(answer(&price, inner, request).await) })
    }
}

/// A payment, as a request brought it.
struct Brought {
    payload: Value,
    /// What it is known by. A payment without one cannot be good.
    signature: Option<String>,
    is_identified: bool,
}

impl Brought {
    fn read(header: &HeaderValue) -> Option<Self> {
        let payload: Value =
            serde_json::from_slice(&BASE64.decode(header.as_bytes()).ok()?).ok()?;
        let signature = payload["payload"]["signature"].as_str().map(str::to_lowercase);
        let id = &payload["extensions"]["payment-identifier"]["info"]["id"];
        let is_identified = id.is_string();
        Some(Self { payload, signature, is_identified })
    }
}

async fn answer<S>(price: &Price, inner: S, request: Request) -> Response
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse,
{
    let (method, url) = address(&request);
    let Some(header) = request.headers().get(PAYMENT) else {
        return price.required(&url, "Payment required", None);
    };
    let Some(brought) = Brought::read(header) else {
        let why = "the header PAYMENT-SIGNATURE is no payment: base64 of a JSON object of x402, version 2";
        return price.required(&url, why, None);
    };
    if !price.is(&brought.payload["accepted"]) {
        return price.required(&url, "No matching payment requirements", None);
    }
    let asked = json!({
        "x402Version": brought.payload["x402Version"],
        "paymentPayload": brought.payload,
        "paymentRequirements": price.requirements(),
    });
    let asked = Bytes::from(asked.to_string());
    let turn = match brought.signature {
        Some(signature) => Some(price.seller.answers.turn(signature).await),
        None => None,
    };
    match price.seller.desk.verify(&asked).await {
        Ok(Verdict::Good) => {}
        Ok(Verdict::Bad { reason, said }) => return price.required(&url, &reason, Some(said)),
        Err(why) => return price.required(&url, &why, None),
    }
    let made = format!("{method} {url}");
    let (served, is_made) = match turn.as_ref().map_or(Due::Make, |turn| turn.due(&made)) {
        Due::Again(kept) => (kept.response(), false),
        Due::Make => (served(inner, request).await, true),
        Due::Other => {
            return price.required(
                &url,
                "invalid_payload: this payment was for another request",
                None,
            );
        }
        Due::Enough(times) => {
            let text =
                format!("its answer is made {times} times at most for one payment: pay anew");
            let said = Map::from_iter([("message".to_owned(), text.into())]);
            return price.required(&url, "already_answered", Some(said));
        }
    };
    if served.status().is_client_error() || served.status().is_server_error() {
        return served;
    }
    let (served, kept) = match to_keep(served).await {
        Ok(both) => both,
        Err(failed) => return failed.into_response(),
    };
    // To its end, though the buyer may have hung up: what is charged is kept, for when it asks
    // again.
    let turn = turn.filter(|_| is_made).map(|turn| (turn, made));
    let settling = tokio::spawn(settle(price.clone(), asked, brought.is_identified, turn, kept));
    let settled = settling.await.unwrap_or_else(|_| json!({"success": false}));
    match settled["success"] == true {
        true => with_receipt(served, &settled),
        false => {
            let head = [(RESPONSE, encoded(&settled)), ("cache-control", no_store())];
            let body = json!({"error": settled["errorReason"], "message": settled["errorMessage"]});
            (StatusCode::PAYMENT_REQUIRED, head, axum::Json(body)).into_response()
        }
    }
}

async fn served<S>(mut inner: S, request: Request) -> Response
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse,
{
    match inner.call(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

/// An answer, and the same to be kept if it is short enough. One whose length nobody knows is
/// passed on as it comes.
async fn to_keep(served: Response) -> Result<(Response, Option<Kept>), StatusCode> {
    let bytes = served.body().size_hint().upper();
    if bytes.is_none_or(|bytes| bytes > BODY_MAX as u64) {
        return Ok((served, None));
    }
    let (head, body) = served.into_parts();
    // What it cannot make to its end is not paid for.
    let body = to_bytes(body, BODY_MAX).await;
    let body = body.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (status, headers) = (head.status, head.headers.clone());
    let kept = Kept { status, headers, body: body.clone() };
    Ok((Response::from_parts(head, Body::from(body)), Some(kept)))
}

async fn settle(
    price: Price,
    asked: Bytes,
    is_identified: bool,
    turn: Option<(Turn, String)>,
    kept: Option<Kept>,
) -> Value {
    let seller = &price.seller;
    let settled = seller.desk.settle(&asked, is_identified, &seller.network).await;
    if let (true, Some((turn, request))) = (settled["success"] == true, turn) {
        turn.made(&request, kept);
    }
    settled
}

/// The answer with what became of the payment. No cache that others see may hold it.
fn with_receipt(mut served: Response, settled: &Value) -> Response {
    let headers = served.headers_mut();
    headers.insert(RESPONSE, encoded(settled));
    let private = match headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()) {
        None | Some("") => "private".to_owned(),
        Some(cached) if cached.to_ascii_lowercase().contains("private") => cached.to_owned(),
        Some(cached) => format!("{cached}, private"),
    };
    if let Ok(private) = HeaderValue::try_from(private) {
        headers.insert(header::CACHE_CONTROL, private);
    }
    served
}
