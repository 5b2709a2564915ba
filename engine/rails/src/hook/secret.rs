//! What signs a webhook: HMAC-SHA256 over `id.timestamp.body`, under a secret that the receiver
//! has, too.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use tallystick_ledger::limits::HOOK_SECRET_BYTES;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";

/// A secret. Never shown by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}...")
    }
}

/// What is no secret. What was given is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "secret is none of a webhook: expected whsec_ and 24 to 64 random bytes in base64, as `tallystick webhook add` \
     makes them"
)]
pub struct SecretMisfit;

impl Secret {
    /// Of these bytes.
    ///
    /// # Errors
    /// `SecretMisfit` when they are too few, or too many.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, SecretMisfit> {
        if HOOK_SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretMisfit) }
    }

    /// Reads `whsec_...`.
    ///
    /// # Errors
    /// `SecretMisfit`.
    pub fn read(text: &str) -> Result<Self, SecretMisfit> {
        let base64 = text.strip_prefix(PREFIX).ok_or(SecretMisfit)?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| SecretMisfit)?;
        Self::new(Zeroizing::new(bytes))
    }

    /// As its owner has it.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", BASE64.encode(&self.0)))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn signature(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: a signature by each secret, the one in force first.
#[must_use]
pub fn signatures(secrets: &[Secret], id: &str, seconds: i64, body: &[u8]) -> String {
    let all: Vec<String> = secrets.iter().map(|of| of.signature(id, seconds, body)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_published_example_is_signed_just_so() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        assert_eq!(
            signatures(std::slice::from_ref(&secret), id, 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(*secret.text(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(format!("{secret:?}"), "whsec_...");
        let other = Secret::new(Zeroizing::new(vec![7; 32])).unwrap();
        let both = signatures(&[other, secret], id, 1_614_265_330, body);
        let parts: Vec<&str> = both.split(' ').collect();
        assert_eq!((parts.len(), &parts[1][..7]), (2, "v1,g0hM"));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        let of = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![1; bytes]));
        for text in
            ["", "whsec_", "whsec_???", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &of(23), &of(65)]
        {
            assert_eq!(Secret::read(text), Err(SecretMisfit), "{text}");
        }
        assert!(Secret::read(&of(24)).is_ok() && Secret::read(&of(64)).is_ok());
    }
}
