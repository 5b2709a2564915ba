//! HTTP: where the payment service provider sends what it has to say. Checks the signature, hands
//! the event to the settler, and says yes only once what it means is durable: else the provider
//! sends it again.

use crate::limits::WEBHOOK_AGE_MAX;
use crate::pipeline;
use crate::rails::card::{self, Meaning, Secret};
use crate::settle::Engine;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::sync::Arc;

struct Webhooks {
    secret: Secret,
    engine: Engine,
}

/// The routes of the provider's webhooks. The door bounds their bodies.
pub fn webhooks(secret: Secret, engine: Engine) -> Router {
    Router::new()
        .route("/webhooks/card", post(card))
        .with_state(Arc::new(Webhooks { secret, engine }))
}

async fn card(
    State(webhooks): State<Arc<Webhooks>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let now = pipeline::now();
    let event =
        card::verify(&body, header.unwrap_or_default(), &webhooks.secret, now, WEBHOOK_AGE_MAX);
    let event = match event {
        Ok(event) => event,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()),
    };
    match event.meaning {
        Meaning::Nothing => (StatusCode::OK, "nothing to do".into()),
        Meaning::Report(report) => match webhooks.engine.hear(report).await {
            Ok(()) => (StatusCode::OK, "done".into()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        },
    }
}
