//! Tokens that an identity's owner signs: JSON Web Tokens of one form (RFC 7519, 8037), which lives
//! for minutes. What is not of this form is refused; there is no other algorithm to be talked into.

use super::Denied;
use crate::limits::{SIGNED_TOKEN_BYTES_MAX, SIGNED_TOKEN_SECONDS_MAX, SIGNED_TOKEN_SKEW_SECONDS};
use crate::types::{NetworkId, SIGNATURE_BYTES, SignerKey, Timestamp};
use crate::verify::is_signed;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// What is said of the signature. A name that comes twice is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// What is said by it.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    iat: i64,
    exp: i64,
}

/// Whether a token is meant to be one of these: a key of another kind has no dot.
pub(super) fn looks_like_one(token: &str) -> bool {
    token.contains('.')
}

/// The key that signed a token for this network, now. `key_of` is the key of an identity's name.
///
/// # Errors
/// `Denied::Signed`, with why.
pub(super) fn check(
    token: &str,
    network: NetworkId,
    now: Timestamp,
    key_of: impl Fn(&str) -> Option<SignerKey>,
) -> Result<SignerKey, Denied> {
    read(token, network, now, key_of).map_err(Denied::Signed)
}

fn read(
    token: &str,
    network: NetworkId,
    now: Timestamp,
    key_of: impl Fn(&str) -> Option<SignerKey>,
) -> Result<SignerKey, &'static str> {
    const FORM: &str =
        "it must be three parts of base64url without padding, with dots between them";
    if token.len() > SIGNED_TOKEN_BYTES_MAX {
        return Err("it is longer than 2,048 bytes");
    }
    let (said, signature) = token.rsplit_once('.').ok_or(FORM)?;
    let (header, claims) = said.split_once('.').ok_or(FORM)?;
    let Header { alg, typ, crit } = json(header).ok_or("its header is not what it must be")?;
    if alg != "EdDSA" || crit.is_some() || typ.is_some_and(|typ| typ != "JWT") {
        return Err("its header must say alg EdDSA, typ JWT or nothing, and nothing of crit");
    }
    let Claims { sub, aud, iat, exp } = json(claims)
        .ok_or("its claims must have sub and aud (texts), iat and exp (whole seconds)")?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| FORM)?;
    let signature: [u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| FORM)?;
    // The same words whether there is no such identity or another key: nobody learns names here.
    const NOT_SIGNED: &str = "it is not signed with the key of the identity in its sub";
    let key = key_of(&sub).ok_or(NOT_SIGNED)?;
    if !is_signed(key, said.as_bytes(), &signature) {
        return Err(NOT_SIGNED);
    }
    if aud != network.to_string() {
        return Err("its aud must be this engine's network id (`tallystick status`)");
    }
    let now = now.seconds();
    if exp <= iat || exp.saturating_sub(iat) > SIGNED_TOKEN_SECONDS_MAX {
        return Err("its exp must be after its iat, by 300 seconds at most");
    }
    if iat > now.saturating_add(SIGNED_TOKEN_SKEW_SECONDS) {
        return Err("its iat is in the future; is the clock right on both sides?");
    }
    if exp.saturating_add(SIGNED_TOKEN_SKEW_SECONDS) <= now {
        return Err("it has expired; sign a new one for each call");
    }
    Ok(key)
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests;
