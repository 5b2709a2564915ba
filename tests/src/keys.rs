//! API keys and signed tokens, as docs/ACCESS.md says what they are: made here without a line of
//! the engine's.

use crate::{Client, request_id, until};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use ed25519_dalek::{Signer as _, SigningKey};
use std::time::{SystemTime, UNIX_EPOCH};
use tallystick_proto::v1::{AddIdentityRequest, ListAssetsRequest};
use tokio::runtime::Handle;
use tonic::{Code, Request, Status};

/// An API key of this secret.
#[must_use]
pub fn api_key(secret: [u8; 32]) -> String {
    let check = blake3::derive_key("tallystick 2026-11 api key check v1", &secret);
    let bytes = [&secret[..], &check[..4]].concat();
    format!("tsk_{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// A signed token with these claims.
#[must_use]
pub fn signed_token(key: &SigningKey, claims: &serde_json::Value) -> String {
    let part = |json: &serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let header = serde_json::json!({ "alg": "EdDSA", "typ": "JWT" });
    let said = format!("{}.{}", part(&header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&key.sign(said.as_bytes()).to_bytes());
    format!("{said}.{signature}")
}

/// A call that goes with this token.
///
/// # Panics
/// When the token is no plain text.
#[must_use]
pub fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("Bearer {token}").parse().expect("plain text");
    request.metadata_mut().insert("authorization", header);
    request
}

/// Adds an identity that expires within a second. On a slow machine that moment is over before it
/// is asked for: then the next one is tried.
///
/// # Panics
/// When it is refused for anything else.
pub async fn add_for_a_second(client: &mut Client, operator: &str, identity: AddIdentityRequest) {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let expires_at = i64::try_from(now.as_secs()).expect("it fits") + 1;
        let request_id = request_id("short");
        let asked = AddIdentityRequest { request_id, expires_at, ..identity.clone() };
        match client.operator.add_identity(with(operator, asked)).await {
            Err(late) if late.message().contains("expires_at is not after now") => {}
            added => return drop(added.expect("it is added")),
        }
    }
}

/// Waits until whoever has this token may not even ask which assets there are; gives what they are
/// told.
///
/// # Panics
/// When that never comes.
pub async fn until_refused(client: &Client, token: &str) -> Status {
    let (client, token, runtime) = (client.clone(), token.to_owned(), Handle::current());
    let refused = tokio::task::spawn_blocking(move || {
        until("they are refused", || {
            let mut api = client.operator.clone();
            let asked = with(&token, ListAssetsRequest {});
            // Who asks so often is told to wait, too: that is not what this waits for.
            let refused = runtime.block_on(async { api.list_assets(asked).await.err() });
            refused.filter(|status| status.code() != Code::ResourceExhausted)
        })
    });
    refused.await.expect("waiting does not panic")
}
