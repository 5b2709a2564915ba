//! How the provider is reached: the engine's configuration, never part of a batch.
//!
//! Owns what is checked about it, and the secrets. Never shows one, and never sends one in the
//! clear.

use std::fmt;
use std::time::Duration;
use tallystick_ledger::limits::{CARD_SETTING_BYTES_MAX, CARD_TIMEOUT_MAX, CARD_TIMEOUT_MIN};
use zeroize::Zeroizing;

/// The version of the API that calls are written for, unless configured: the provider keeps
/// answering in it, whatever comes later.
pub const API_VERSION: &str = "2024-06-20";

/// A secret: never shown, and overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// How to reach the provider.
#[derive(Debug, Clone)]
pub struct CardConfig {
    /// Where the API is: `https://api.stripe.com`. Plain `http` only to this machine itself.
    pub base_url: String,
    /// The secret API key.
    pub secret_key: Secret,
    /// The secret with which the provider signs webhooks.
    pub webhook_secret: Secret,
    /// How long one call may take, from first to last byte.
    pub timeout: Duration,
    /// The version of the API that calls name.
    pub api_version: String,
}

/// Why a configuration is refused. No text ever shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConfigError {
    #[error("the base URL of the payment provider {why}; give it like https://api.stripe.com")]
    BaseUrl { why: &'static str },
    #[error(
        "the {what} of the payment provider is empty or holds something else than visible ASCII"
    )]
    Secret { what: &'static str },
    #[error("{0:?} is no version of the payment provider's API; give it like {API_VERSION}")]
    ApiVersion(String),
    #[error("a timeout of {0:?} is not between {CARD_TIMEOUT_MIN:?} and {CARD_TIMEOUT_MAX:?}")]
    Timeout(Duration),
}

impl CardConfig {
    /// Whether the key moves real money: then what is only a test moves nothing.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let key = self.secret_key.expose();
        ["sk_live_", "rk_live_"].iter().any(|prefix| key.starts_with(prefix))
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// `ConfigError` that says what is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.base()?;
        for (what, secret) in
            [("secret key", &self.secret_key), ("webhook secret", &self.webhook_secret)]
        {
            let secret = secret.expose();
            let visible = secret.bytes().all(|b| b.is_ascii_graphic());
            if secret.is_empty() || secret.len() > CARD_SETTING_BYTES_MAX || !visible {
                return Err(ConfigError::Secret { what });
            }
        }
        if !is_version(&self.api_version) {
            return Err(ConfigError::ApiVersion(self.api_version.chars().take(40).collect()));
        }
        if !(CARD_TIMEOUT_MIN..=CARD_TIMEOUT_MAX).contains(&self.timeout) {
            return Err(ConfigError::Timeout(self.timeout));
        }
        Ok(())
    }

    /// The base URL without its last slash.
    pub(super) fn base(&self) -> Result<&str, ConfigError> {
        let wrong = |why| Err(ConfigError::BaseUrl { why });
        let base = self.base_url.trim_end_matches('/');
        if base.len() > CARD_SETTING_BYTES_MAX {
            return wrong("is too long");
        }
        let Ok(uri) = base.parse::<ureq::http::Uri>() else { return wrong("is no URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return wrong("has no scheme or host");
        };
        if authority.as_str().contains('@') || uri.query().is_some() || base.contains('#') {
            return wrong("holds a user, a query or a fragment");
        }
        let own = matches!(authority.host(), "127.0.0.1" | "[::1]" | "localhost");
        match scheme {
            "https" => Ok(base),
            "http" if own => Ok(base),
            "http" => wrong("is not https, and is not on this machine"),
            _ => wrong("is neither https nor http"),
        }
    }
}

/// Whether a text can be a version: it goes into a header.
pub(super) fn is_version(text: &str) -> bool {
    let formed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    (1..=40).contains(&text.len()) && text.bytes().all(formed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str) -> CardConfig {
        CardConfig {
            base_url: base_url.into(),
            secret_key: Secret::new("sk_test_4eC39HqLyjWDarjtT1zdp7dc".into()),
            webhook_secret: Secret::new("whsec_abc".into()),
            timeout: Duration::from_secs(30),
            api_version: API_VERSION.into(),
        }
    }

    #[test]
    fn the_provider_is_reached_by_https_or_on_this_machine() {
        for good in [
            "https://api.stripe.com",
            "https://api.stripe.com/",
            "https://psp.example:8443/gate",
            "http://127.0.0.1:4242",
            "http://[::1]:4242",
            "http://localhost:1",
        ] {
            assert_eq!(config(good).check(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "api.stripe.com",
            "/v1",
            "ftp://api.stripe.com",
            "http://api.stripe.com",
            "http://127.0.0.1.example.com",
            "https://user:secret@api.stripe.com",
            "http://127.0.0.1@example.com",
            "https://api.stripe.com?x=1",
            "https://api.stripe.com#x",
            "https://api stripe.com",
        ] {
            assert!(matches!(config(bad).check(), Err(ConfigError::BaseUrl { .. })), "{bad}");
        }
    }

    #[test]
    fn secrets_are_checked_and_never_shown() {
        for bad in ["", "sk live", "sk_\n", "schlüssel"] {
            let mut config = config("https://api.stripe.com");
            config.secret_key = Secret::new(bad.into());
            assert_eq!(config.check(), Err(ConfigError::Secret { what: "secret key" }), "{bad}");
            config.secret_key = Secret::new("sk_1".into());
            config.webhook_secret = Secret::new(bad.into());
            assert!(config.check().is_err(), "{bad}");
        }
        let shown = format!("{:?}", config("https://api.stripe.com"));
        assert!(!shown.contains("4eC39") && !shown.contains("whsec"), "{shown}");
    }

    #[test]
    fn version_and_timeout_are_checked() {
        for bad in ["", "2024\r\nX: y", &"2".repeat(41)] {
            let mut config = config("https://api.stripe.com");
            config.api_version = bad.into();
            assert!(matches!(config.check(), Err(ConfigError::ApiVersion(_))), "{bad}");
        }
        for bad in [Duration::ZERO, Duration::from_secs(301)] {
            let mut config = config("https://api.stripe.com");
            config.timeout = bad;
            assert_eq!(config.check(), Err(ConfigError::Timeout(bad)));
        }
    }
}
