//! What the engine is asked over HTTP: which network it is, whether a payment is good, and to have
//! it made.

use super::{NETWORK_DIGITS, SCHEME, SellerError};
use crate::connect::{Answer, ConnectError, Http};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long a payment may take: an engine holds it while it has no room.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long anything else may take.
const SHORT: Duration = Duration::from_secs(30);
/// How long an engine that is starting is waited for, and how often it is asked.
const START: Duration = Duration::from_secs(20);
const START_AGAIN: Duration = Duration::from_millis(100);

/// An asset, as the engine tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Asset {
    /// `EUR`, or a CAIP-19 name.
    pub code: String,
    pub number: u32,
    /// One unit is 10^-scale.
    pub scale: u32,
}

/// The network that an engine clears.
pub(crate) struct Network {
    /// As x402 calls it.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    pub assets: Vec<Asset>,
}

/// What the engine says of a payment.
pub(crate) enum Verdict {
    /// It can be made.
    Good,
    /// It cannot, for this reason; and what the buyer must know to do better.
    Bad { reason: String, said: Map<String, Value> },
}

pub(crate) struct Desk(Http);

impl Desk {
    pub fn new(http: Http) -> Self {
        Self(http)
    }

    /// Which network this is. Waits while the engine starts.
    pub async fn network(&self) -> Result<Network, SellerError> {
        let until = Instant::now() + START;
        let answer = loop {
            let answer = self.0.send("/supported", None, SHORT).await?;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE || Instant::now() > until {
                break answer;
            }
            tokio::time::sleep(START_AGAIN).await;
        };
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let kinds = said["kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
        kinds.iter().find_map(read_network).ok_or_else(|| {
            SellerError::Engine(format!(
                "{} is no Tallystick engine: /supported names no network of its kind ({}: {})",
                self.0.url(),
                answer.status,
                answer.text()
            ))
        })
    }

    /// Whether the engine takes who calls: it is asked to verify nothing.
    pub async fn check_credential(&self) -> Result<(), SellerError> {
        let answer = self.0.send("/verify", Some(Bytes::from_static(b"{}")), SHORT).await?;
        if !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(());
        }
        let who = match self.0.has_token() {
            true => "does not take the credential",
            false => "asks who calls, and no credential is set",
        };
        let (url, text) = (self.0.url(), answer.text());
        Err(SellerError::Engine(format!("the engine at {url} {who} ({}): {text}", answer.status)))
    }

    /// Whether a payment is good. Changes nothing, so it is asked once more where the answer is
    /// lost.
    ///
    /// # Errors
    /// Why nobody knows. Nothing is charged.
    pub async fn verify(&self, asked: &Bytes) -> Result<Verdict, String> {
        let answer = match self.0.send("/verify", Some(asked.clone()), PATIENCE).await {
            Err(error) if may_be_lost(&error) => {
                self.0.send("/verify", Some(asked.clone()), PATIENCE).await
            }
            answer => answer,
        };
        let answer = answer.map_err(|error| format!("Facilitator verify failed: {error}"))?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match said["isValid"].as_bool() {
            Some(true) => Ok(Verdict::Good),
            Some(false) => Ok(bad(&said)),
            None => Err(unexpected("verify", &answer)),
        }
    }

    /// Has a payment made. What it says stands in `PAYMENT-RESPONSE`; the payment was made if
    /// `success` is true. Where an answer is lost, the very same payment is sent once more, which
    /// under its identifier is charged once.
    pub async fn settle(&self, asked: &Bytes, is_identified: bool, network: &str) -> Value {
        let mut settled = self.settle_once(asked).await;
        if settled.is_err() && is_identified {
            settled = self.settle_once(asked).await;
        }
        settled.unwrap_or_else(|why| {
            json!({"success": false, "errorReason": why, "errorMessage": why, "network": network, "transaction": ""})
        })
    }

    async fn settle_once(&self, asked: &Bytes) -> Result<Value, String> {
        let answer = self.0.send("/settle", Some(asked.clone()), PATIENCE).await;
        let answer = answer.map_err(|error| format!("Facilitator settle failed: {error}"))?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match said["success"].is_boolean() {
            true => Ok(said),
            false => Err(unexpected("settle", &answer)),
        }
    }
}

/// Whether the call may have come to nothing on the way.
fn may_be_lost(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Unreachable { .. })
}

fn unexpected(what: &str, answer: &Answer) -> String {
    format!("Facilitator {what} failed ({}): {}", answer.status.as_u16(), answer.text())
}

/// A refusal, with what the engine said of the channel: a buyer takes up its lane from that.
fn bad(said: &Value) -> Verdict {
    let reason = said["invalidReason"].as_str().unwrap_or("invalid_payment").to_owned();
    let mut told = Map::new();
    for name in ["channel", "charged", "expected"] {
        if let Some(value) = said["extra"].get(name) {
            told.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(message) = said.get("invalidMessage").filter(|message| message.is_string()) {
        told.insert("message".to_owned(), message.clone());
    }
    Verdict::Bad { reason, said: told }
}

/// A network from what a kind of `/supported` says, if it is one of ours and whole.
fn read_network(kind: &Value) -> Option<Network> {
    let id = kind["extra"]["networkId"].as_str()?.to_owned();
    let name = format!("tallystick:{}", id.get(..NETWORK_DIGITS)?);
    let is_ours = kind["scheme"] == SCHEME && kind["network"] == *name && id.len() == 64;
    let assets = Vec::deserialize(&kind["extra"]["assets"]).ok().filter(|_| is_ours)?;
    Some(Network { name, id, assets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_taken_whole_or_not_at_all() {
        let id = "ab".repeat(32);
        let good = json!({
            "x402Version": 2, "scheme": "batch-settlement", "network": format!("tallystick:{}", &id[..32]),
            "extra": {"networkId": id, "assets": [{"code": "EUR", "number": 978, "scale": 6}]},
        });
        let found = read_network(&good).unwrap();
        assert_eq!((&found.id, found.assets[0].number, found.assets[0].scale), (&id, 978, 6));
        for (path, value) in [
            ("/scheme", json!("exact")),
            ("/network", json!("eip155:1")),
            ("/extra/networkId", json!("cd".repeat(32))),
            ("/extra/networkId", json!("é".repeat(32))),
            ("/extra/assets/0/scale", json!(-1)),
            ("/extra/assets", json!({})),
        ] {
            let mut other = good.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert!(read_network(&other).is_none(), "{path}");
        }
    }

    #[test]
    fn of_a_refusal_the_buyer_is_told_how_its_channel_stands_and_no_more() {
        let said = json!({"isValid": false, "invalidReason": "wrong_amount", "invalidMessage": "sign 12",
            "payer": "secret", "extra": {"channel": "c", "charged": "5", "expected": "12", "more": 1}});
        let Verdict::Bad { reason, said } = bad(&said) else { panic!("it is bad") };
        assert_eq!(reason, "wrong_amount");
        let wanted =
            json!({"channel": "c", "charged": "5", "expected": "12", "message": "sign 12"});
        assert_eq!(Value::Object(said), wanted);
    }
}
