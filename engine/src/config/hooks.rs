//! How parties are told over HTTP: in the configuration file only, table `[webhooks]`.

use super::rails::Time;
use crate::limits::{HOOK_RETRIES, HOOK_RETRIES_MAX, HOOK_RETRY_MAX, HOOK_TIMEOUT};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `[webhooks]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// Whether they may go to addresses that are not public, and to this machine without TLS.
    pub allow_private: bool,
    /// Authorities whose certificates receivers may show, beside those that browsers trust: PEM.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Time,
    /// When a delivery that failed is tried again; when all of them failed, the endpoint is paused.
    pub retries: Vec<Time>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        let retries = HOOK_RETRIES.map(Time).to_vec();
        Self { allow_private: false, ca_file: None, timeout: Time(HOOK_TIMEOUT), retries }
    }
}

impl WebhookSettings {
    /// Checks what the types do not: key, value, what is expected.
    pub(super) fn check(&self) -> Result<(), (String, String, String)> {
        let wrong = |key: &str, got: String, expected: String| {
            Err((format!("webhooks.{key}"), got, expected))
        };
        let shown = |time: Duration| super::show_duration(time);
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60));
        if !(least..=most).contains(&self.timeout.0) {
            let expected = format!("from {} to {}", shown(least), shown(most));
            return wrong("timeout", shown(self.timeout.0), expected);
        }
        if !(1..=HOOK_RETRIES_MAX).contains(&self.retries.len()) {
            let got = format!("a list of {}", self.retries.len());
            return wrong("retries", got, format!("1 to {HOOK_RETRIES_MAX} times"));
        }
        match self.retries.iter().find(|time| !(least..=HOOK_RETRY_MAX).contains(&time.0)) {
            Some(time) => {
                let expected = format!("times from {} to {}", shown(least), shown(HOOK_RETRY_MAX));
                wrong("retries", shown(time.0), expected)
            }
            None => Ok(()),
        }
    }
}
