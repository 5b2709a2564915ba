//! A buyer over x402 on the Rust library's agent, and what may stand between a shop and its engine.

use crate::World;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tallystick_client::{Agent, AgentKey, AgentOptions, Payment};
use tokio::net::TcpListener;

/// Bounds every request. A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a shop answered.
#[derive(Debug, Clone)]
pub struct Told {
    /// The status of HTTP.
    pub status: u16,
    /// `PAYMENT-REQUIRED`, or null.
    pub required: Value,
    /// `PAYMENT-RESPONSE`, or null.
    pub settled: Value,
    /// `cache-control`.
    pub cache: String,
    /// The body.
    pub body: String,
}

impl Told {
    /// What must be paid.
    #[must_use]
    pub fn terms(&self) -> &Value {
        assert_eq!(self.status, 402, "{self:?}");
        &self.required["accepts"][0]
    }

    /// Why the payment was refused, before the handler or behind it.
    #[must_use]
    pub fn why(&self) -> &str {
        assert_eq!(self.status, 402, "{self:?}");
        let why = self.required["error"].as_str().or(self.settled["errorReason"].as_str());
        why.expect("a 402 says why")
    }
}

/// Pays for what it asks for. Cheap to clone.
#[derive(Clone)]
pub struct Buyer {
    /// Who signs.
    pub agent: Agent,
    http: ureq::Agent,
}

impl Buyer {
    /// A payer of this world, by its first key.
    #[must_use]
    pub fn of(world: &World, payer: usize) -> Self {
        let key = AgentKey::new(&world.payers[payer].secret.to_bytes());
        Self::with(AgentOptions::new(key, world.network.0))
    }

    /// An agent with these options.
    #[must_use]
    pub fn with(options: AgentOptions) -> Self {
        let settings = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .http_status_as_error(false);
        Self { agent: Agent::open(options).expect("lanes"), http: settings.build().into() }
    }

    /// Asks once; with a payment, if there is one.
    pub async fn ask(&self, url: &str, payment: Option<String>) -> Told {
        let (http, url) = (self.http.clone(), url.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut request = http.get(url);
            if let Some(payment) = payment {
                request = request.header("PAYMENT-SIGNATURE", payment);
            }
            let mut response = request.call().expect("the shop answers");
            let text = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            let json = |name| {
                let bytes = text(name).map(|text| BASE64.decode(text.as_bytes()).expect("base64"));
                bytes.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).expect("JSON"))
            };
            let (required, settled) = (json("payment-required"), json("payment-response"));
            let (status, cache) = (response.status().as_u16(), text("cache-control"));
            let cache = cache.unwrap_or_default().to_owned();
            let body = response.body_mut().read_to_string().expect("it is read to its end");
            Told { status, required, settled, cache, body }
        });
        asked.await.expect("it ends")
    }

    /// Signs what these terms ask for.
    pub async fn sign(&self, terms: &Value) -> Payment {
        let payee = HEXLOWER.decode(terms["payTo"].as_str().expect("a payee").as_bytes());
        let payee = payee.ok().and_then(|payee| payee.try_into().ok()).expect("a party's id");
        let asset = terms["extra"]["assetNumber"].as_u64().expect("an asset");
        let amount = terms["amount"].as_str().expect("an amount").parse().expect("digits");
        let paid = self.agent.pay(payee, asset.try_into().expect("32 bits"), amount).await;
        paid.expect("nothing stands against it")
    }

    /// Asks, pays, and says to its lanes what became of it.
    pub async fn buy(&self, url: &str) -> Told {
        let first = self.ask(url, None).await;
        let payment = self.sign(first.terms()).await;
        let told = self.ask(url, Some(payment.x402_header(first.terms()))).await;
        let charged = |said: &Value| said["charged"].as_str().map(|text| text.parse().unwrap());
        if told.settled["success"] == true {
            assert_eq!(told.settled["transaction"], payment.transaction());
            payment.confirm().expect("lanes are kept");
        } else if told.settled["extra"]["channel"].is_string() {
            payment.refused(charged(&told.settled["extra"])).expect("lanes are kept");
        } else if told.required.is_object() {
            let said = &told.terms()["extra"]["tallystick"];
            payment.refused(charged(said)).expect("lanes are kept");
        } else {
            payment.in_doubt();
        }
        told
    }
}

/// What happens to a call on its way to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lose {
    /// It does not get there.
    Call,
    /// It gets there, and the answer is another one.
    Answer,
    /// It gets there, and the connection breaks before the answer.
    Connection,
}

/// Between a shop and its engine: calls of a path are lost, as often as is said.
#[derive(Clone)]
pub struct Between {
    /// Where it listens, as a URL.
    pub url: String,
    lose: Arc<Mutex<VecDeque<(String, Lose)>>>,
}

#[derive(Clone)]
struct To {
    engine: String,
    lose: Arc<Mutex<VecDeque<(String, Lose)>>>,
}

impl Between {
    /// In front of an engine's HTTP.
    pub async fn new(engine: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let lose = Arc::default();
        let to = To { engine: format!("http://{engine}"), lose: Arc::clone(&lose) };
        let app = Router::new().fallback(pass).with_state(to);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, lose }
    }

    /// Has the next calls of a path lost.
    pub fn lose(&self, path: &str, how: Lose, times: usize) {
        let lost = std::iter::repeat_n((path.to_owned(), how), times);
        self.lose.lock().expect("nobody panics with it").extend(lost);
    }
}

async fn pass(State(to): State<To>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a call is short");
    let path = head.uri.path().to_owned();
    let what = {
        let mut lose = to.lose.lock().expect("nobody panics with it");
        let found = lose.iter().position(|(of, _)| *of == path);
        found.and_then(|at| lose.remove(at)).map(|(_, how)| how)
    };
    if what == Some(Lose::Call) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let url = format!("{}{path}", to.engine);
    let answer = tokio::task::spawn_blocking(move || carry(&url, &body)).await.expect("it ends");
    match what {
        None => answer.map_or_else(|| StatusCode::BAD_GATEWAY.into_response(), said),
        Some(Lose::Answer) => StatusCode::BAD_GATEWAY.into_response(),
        Some(Lose::Connection) => {
            // A body that breaks before its length is there closes the connection.
            let broken = tokio_stream::iter([Err::<Bytes, _>(std::io::Error::other("broken"))]);
            ([("content-length", "1000")], axum::body::Body::from_stream(broken)).into_response()
        }
        Some(Lose::Call) => unreachable!("it has not left"),
    }
}

fn said((status, body): (u16, String)) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/json")], body).into_response()
}

fn carry(url: &str, body: &Bytes) -> Option<(u16, String)> {
    let settings = ureq::Agent::config_builder().proxy(None).http_status_as_error(false);
    let agent: ureq::Agent = settings.build().into();
    let answer = match body.is_empty() {
        true => agent.get(url).call(),
        false => agent.post(url).header("content-type", "application/json").send(&body[..]),
    };
    let mut answer = answer.ok()?;
    Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
}
