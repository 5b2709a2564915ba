//! Tokens that an identity's owner signs, one for each call: the key stays where it is, and whoever
//! finds a token in a log can do nothing with it a few minutes later.

use super::ConnectError;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Deserialize;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a token lives, in seconds: an engine takes 300 at most.
const LIFE_SECONDS: u64 = 120;

/// What `access keygen` writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    identity: String,
    network_id: String,
    secret: String,
}

/// The key of an identity.
pub(crate) struct IdentityKey {
    identity: String,
    network_id: String,
    key: SigningKey,
}

impl IdentityKey {
    /// Whether a file's text is meant to be one.
    pub fn looks_like_one(text: &str) -> bool {
        text.trim_start().starts_with('{')
    }

    /// The key in a file's text.
    pub fn read(text: &str, path: &Path) -> Result<Self, ConnectError> {
        let bad = || {
            ConnectError::Input(format!(
                "{} is no identity's key file; `tallystick access keygen` makes one",
                path.display()
            ))
        };
        let File { identity, network_id, secret } =
            serde_json::from_str(text).map_err(|_| bad())?;
        let seed = HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok();
        let seed: [u8; 32] = seed.and_then(|seed| seed.try_into().ok()).ok_or_else(bad)?;
        Ok(Self { identity, network_id, key: SigningKey::from_bytes(&seed) })
    }

    /// A token for a call that is made now.
    pub fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.token_at(now.map_or(0, |now| now.as_secs()))
    }

    fn token_at(&self, now: u64) -> String {
        let header = serde_json::json!({ "alg": "EdDSA", "typ": "JWT" });
        let claims = serde_json::json!({
            "sub": self.identity,
            "aud": self.network_id,
            "iat": now,
            "exp": now.saturating_add(LIFE_SECONDS),
        });
        let part = |json: serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let said = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(said.as_bytes()).to_bytes();
        format!("{said}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_who_where_and_until_when_and_is_signed() {
        let secret = "07".repeat(32);
        let text = format!(r#"{{"identity":"fac-a","network_id":"ab","secret":"{secret}"}}"#);
        assert!(IdentityKey::looks_like_one(&text) && !IdentityKey::looks_like_one("tsk_ab"));
        let key = IdentityKey::read(&text, Path::new("f")).unwrap();
        let token = key.token_at(1_000);
        let parts: Vec<&str> = token.split('.').collect();
        let claims = BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        let wanted = serde_json::json!({ "sub": "fac-a", "aud": "ab", "iat": 1_000, "exp": 1_120 });
        assert_eq!(claims, wanted);
        let signature = BASE64URL_NOPAD.decode(parts[2].as_bytes()).unwrap();
        let said = format!("{}.{}", parts[0], parts[1]);
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        assert!(key.key.verifying_key().verify_strict(said.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn what_is_no_key_file_is_said() {
        for bad in ["{}", "{", r#"{"identity":"a","network_id":"b","secret":"zz"}"#] {
            let error = IdentityKey::read(bad, Path::new("f.json")).err().unwrap().to_string();
            assert!(error.contains("f.json") && error.contains("access keygen"), "{error}");
        }
    }
}
