//! Webhooks: signed, at least once, in no order.
//!
//! Owns their delivery: late by chance (which reorders them), twice by chance, and again until the
//! receiver takes them. What was not taken when the provider stopped is sent after its next start.

use super::{Shared, now};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;

/// Attempts at one delivery, and the longest pause between two: some minutes for a receiver that
/// restarts.
const ATTEMPTS: u32 = 200;
const PAUSE_MAX_MILLIS: u64 = 1_000;
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where webhooks go, and how.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookOptions {
    /// The receiver, a loopback URL; none are sent without one.
    pub url: Option<String>,
    /// What they are signed with.
    pub secret: String,
    /// Of a thousand, how many come twice.
    pub twice_per_mille: u16,
    /// Each is late by up to this, by chance.
    pub delay_millis: u64,
}

/// Sends what no receiver has taken.
pub fn resume(shared: &Arc<Shared>) {
    let waiting = shared.state().books.undelivered();
    send(shared, waiting);
}

/// Sends events; does not wait. On a runtime's thread only.
pub fn send(shared: &Arc<Shared>, events: Vec<Value>) {
    for event in events {
        let shared = shared.clone();
        tokio::spawn(deliver(shared, event));
    }
}

async fn deliver(shared: Arc<Shared>, event: Value) {
    let (id, payload) = (super::books::id_of(&event), event.to_string());
    for attempt in 1..=ATTEMPTS {
        // Read anew each time: the receiver may have moved.
        let options = shared.state().hooks.clone();
        let Some(url) = options.url.clone() else { return };
        let (delay, times) = chance(&options);
        tokio::time::sleep(delay).await;
        let signature = signature(&options.secret, &payload);
        let mut taken = false;
        for _ in 0..times {
            let (url, payload, signature) = (url.clone(), payload.clone(), signature.clone());
            let turn = shared.posts.acquire().await;
            let posted = tokio::task::spawn_blocking(move || post(&url, &payload, &signature));
            taken |= posted.await.unwrap_or(false);
            drop(turn);
        }
        if taken {
            shared.state().books.delivered(&id);
            return;
        }
        let pause = (20 * u64::from(attempt)).min(PAUSE_MAX_MILLIS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// How late, and how often.
fn chance(options: &HookOptions) -> (Duration, usize) {
    let mut chance = rand::rng();
    let delay = Duration::from_millis(chance.random_range(0..=options.delay_millis));
    let twice = chance.random_range(0..1_000u16) < options.twice_per_mille;
    (delay, if twice { 2 } else { 1 })
}

/// The header `Stripe-Signature`.
pub fn signature(secret: &str, payload: &str) -> String {
    let time = now();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(format!("{time}.{payload}").as_bytes());
    let v1 = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    format!("t={time},v1={v1}")
}

/// Whether the receiver took it.
fn post(url: &str, payload: &str, signature: &str) -> bool {
    let settings = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .http_status_as_error(false)
        .build();
    let sent = ureq::Agent::from(settings)
        .post(url)
        .header("content-type", "application/json")
        .header("stripe-signature", signature)
        .send(payload);
    sent.is_ok_and(|response| response.status().is_success())
}
