//! Webhooks: whether the provider sent one.
//!
//! Owns the check of the signature (`t=...,v1=hex(HMAC-SHA256(secret, t "." payload))`). Reads
//! nothing of a payload that is not signed, and reads no clock: the time comes in.

use super::config::Secret;
use super::event::Event;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;
use tallystick_ledger::limits::{WEBHOOK_BYTES_MAX, WEBHOOK_SIGNATURES_MAX};
use tallystick_ledger::types::Timestamp;

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum WebhookError {
    #[error("the webhook has {0} bytes, the most is {WEBHOOK_BYTES_MAX}")]
    TooLarge(usize),
    #[error("the Stripe-Signature header is missing or malformed")]
    Header,
    #[error(
        "no signature fits the webhook; the secret is another endpoint's, or somebody else sent it"
    )]
    Signature,
    #[error(
        "the webhook was signed {0} seconds from now, which is more than the tolerance; check the \
         clocks, or it is an old one sent again by somebody else"
    )]
    Time(i64),
    #[error("the webhook is signed and is no event")]
    Event,
}

/// Checks a webhook and reads its event. `payload` are the bytes of the body as they came, `header`
/// is `Stripe-Signature`.
///
/// # Errors
/// `WebhookError`: answer with 400, change nothing.
pub fn verify(
    payload: &[u8],
    header: &str,
    secret: &Secret,
    now: Timestamp,
    tolerance: Duration,
) -> Result<Event, WebhookError> {
    if payload.len() > WEBHOOK_BYTES_MAX {
        return Err(WebhookError::TooLarge(payload.len()));
    }
    let (signed_at, signatures) = parse(header).ok_or(WebhookError::Header)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(signed_at.as_bytes());
    mac.update(b".");
    mac.update(payload);
    // `verify_slice` compares in constant time.
    let fits = |signature: &Vec<u8>| mac.clone().verify_slice(signature).is_ok();
    if !signatures.iter().any(fits) {
        return Err(WebhookError::Signature);
    }
    let signed_at: i64 = signed_at.parse().map_err(|_| WebhookError::Header)?;
    let distance = now.seconds().saturating_sub(signed_at);
    if distance.unsigned_abs() > tolerance.as_secs() {
        return Err(WebhookError::Time(distance));
    }
    Event::read(payload).ok_or(WebhookError::Event)
}

/// The time, as it was signed, and the signatures of the scheme `v1`. Others are passed over: the
/// provider sends them with test events.
fn parse(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=')? {
            ("t", value) if time.is_none() => time = Some(value),
            ("t", _) => return None,
            ("v1", value) => {
                if signatures.len() == WEBHOOK_SIGNATURES_MAX {
                    return None;
                }
                signatures.push(data_encoding::HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok()?);
            }
            (_, _) => {}
        }
    }
    let digits = |time: &&str| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
    Some((time.filter(digits)?, signatures))
}
