//! x402 as a seller's server sees it: what `@x402/core` sends to a facilitator, and an engine that
//! answers it.

use crate::{Client, Engine, Launch, Voucher, World};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

/// The setting by which an engine serves HTTP.
pub const HTTP: &str = "listen_http = \"127.0.0.1:0\"\n";
/// What is paid in.
pub const ASSET: u32 = World::CLEARED;
/// Bounds every request. A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(120);

/// An engine with two payers and two payees that serves HTTP.
pub struct House {
    /// A client of it.
    pub client: Client,
    /// Who there is.
    pub world: World,
    /// The process.
    pub engine: Engine,
    /// Its folder.
    pub dir: TempDir,
}

impl House {
    /// A new one.
    pub async fn new() -> Self {
        Self::at(tempfile::tempdir().expect("a temporary folder"), |launch| launch).await
    }

    /// A new one in this folder, launched in some other way.
    pub async fn at(dir: TempDir, how: impl FnOnce(Launch) -> Launch) -> Self {
        let engine = how(launch(&dir)).start();
        let mut client = Client::connect(&engine).await;
        let world = World::register(&mut client, 2, 2).await;
        Self { client, world, engine, dir }
    }

    /// Kills the engine and starts it again.
    /// Also when it has ended by itself.
    pub async fn killed(self) -> Self {
        let Self { client, world, engine, dir } = self;
        drop(client);
        engine.kill9();
        let engine = launch(&dir).start();
        let client = Client::connect(&engine).await;
        Self { client, world, engine, dir }
    }

    /// Somebody who asks it, without a credential.
    #[must_use]
    pub fn facilitator(&self) -> Facilitator {
        Facilitator::of(&self.engine, &self.world)
    }

    /// What is owed in the window that is closed now.
    pub async fn owed(&mut self) -> u64 {
        let window = self.client.close_window().await;
        let owed = self.client.obligations(window.number, ASSET).await;
        owed.iter().map(|one| one.amount.parse::<u64>().expect("digits")).sum()
    }
}

/// An engine that serves HTTP, on the data directory in this folder.
#[must_use]
pub fn launch(dir: &TempDir) -> Launch {
    Launch::new(&dir.path().join("data")).config(HTTP)
}

/// A voucher of the first payer to the first payee.
#[must_use]
pub fn pay(world: &World, lane: u64, cumulative: u64) -> Voucher {
    world.pay(0, world.payees[0], ASSET, lane, cumulative)
}

/// A seller's server that asks an engine, as `@x402/core` does.
#[derive(Clone)]
pub struct Facilitator {
    agent: ureq::Agent,
    address: String,
    /// The network, as x402 calls it.
    pub network: String,
    /// What it is known by.
    pub token: Option<String>,
}

impl Facilitator {
    /// One that asks this engine.
    #[must_use]
    pub fn of(engine: &Engine, world: &World) -> Self {
        let settings = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .proxy(None)
            .http_status_as_error(false);
        let address = engine.http().expect("it serves HTTP").to_owned();
        let network = format!("tallystick:{}", &HEXLOWER.encode(&world.network.0)[..32]);
        Self { agent: settings.build().into(), address, network, token: None }
    }

    /// Asks for a path: status and answer.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let (this, path) = (self.clone(), path.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut request = this.agent.get(format!("http://{}{path}", this.address));
            if let Some(token) = &this.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            read(request.call())
        });
        asked.await.expect("it ends")
    }

    /// Posts a body to a path: status and answer.
    pub async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let (this, path) = (self.clone(), path.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let mut request = this.agent.post(format!("http://{}{path}", this.address));
            request = request.header("content-type", "application/json");
            if let Some(token) = &this.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            read(request.send(body))
        });
        asked.await.expect("it ends")
    }

    /// The same; `None` when nobody answers, or not to the end.
    pub async fn try_post(&self, path: &str, body: String) -> Option<(u16, Value)> {
        let (this, path) = (self.clone(), path.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let request = this.agent.post(format!("http://{}{path}", this.address));
            let mut response = request.send(body).ok()?;
            let text = response.body_mut().read_to_string().ok()?;
            Some((response.status().as_u16(), serde_json::from_str(&text).ok()?))
        });
        asked.await.expect("it ends")
    }

    /// The request about a voucher and the amount that is asked for.
    #[must_use]
    pub fn request(&self, voucher: &Voucher, amount: u64) -> Value {
        let payee = HEXLOWER.encode(&voucher.payee.0);
        let requirements = json!({
            "scheme": "batch-settlement", "network": self.network, "amount": amount.to_string(),
            "asset": "EUR", "payTo": payee, "maxTimeoutSeconds": 60,
            "extra": {"assetNumber": ASSET, "scale": 6},
        });
        let payload = json!({
            "signer": HEXLOWER.encode(&voucher.signer.0), "payee": payee, "asset": voucher.asset,
            "lane": voucher.lane.to_string(), "expiresAt": voucher.expires_at,
            "cumulative": voucher.cumulative.to_string(),
            "signature": HEXLOWER.encode(&voucher.signature),
        });
        json!({
            "x402Version": 2,
            "paymentPayload": {
                "x402Version": 2, "accepted": requirements, "payload": payload,
                "resource": {"url": "https://api.example/weather"},
            },
            "paymentRequirements": requirements,
        })
    }

    /// What `/verify` says.
    pub async fn verify(&self, voucher: &Voucher, amount: u64) -> Value {
        let (status, said) = self.post("/verify", self.request(voucher, amount).to_string()).await;
        assert_eq!(status, 200, "{said}");
        said
    }

    /// What `/settle` says.
    pub async fn settle(&self, voucher: &Voucher, amount: u64) -> Value {
        let (status, said) = self.post("/settle", self.request(voucher, amount).to_string()).await;
        assert_eq!(status, 200, "{said}");
        assert!(said["transaction"].is_string() && said["network"] == self.network.as_str());
        said
    }

    /// Both, which must agree, and the reason that they give.
    pub async fn refused(&self, voucher: &Voucher, amount: u64, reason: &str) -> Value {
        let verified = self.verify(voucher, amount).await;
        assert_eq!(
            (&verified["isValid"], &verified["invalidReason"]),
            (&json!(false), &json!(reason))
        );
        let settled = self.settle(voucher, amount).await;
        assert_eq!((&settled["success"], &settled["errorReason"]), (&json!(false), &json!(reason)));
        assert_eq!(settled["transaction"], "");
        assert!(settled["errorMessage"].as_str().is_some_and(|text| text.len() > 20));
        assert_eq!(verified["extra"], settled["extra"], "what is verified is what is settled");
        settled
    }

    /// Has a payment verified and made.
    pub async fn paid(&self, voucher: &Voucher, amount: u64) -> Value {
        let verified = self.verify(voucher, amount).await;
        assert_eq!(verified["isValid"], true, "{verified}");
        let settled = self.settle(voucher, amount).await;
        assert_eq!(settled["success"], true, "{settled}");
        settled
    }
}

fn read(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = sent.expect("somebody answers");
    let text = response.body_mut().read_to_string().expect("an answer is text");
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (response.status().as_u16(), value)
}
