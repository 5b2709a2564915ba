//! JSON-RPC over HTTP: one blocking call at a time, bounded in size and time.
//!
//! Owns what a call's failure means. The endpoint often contains an access key: no error shows it.
//! Never retries: whoever asks knows whether asking again is safe.

use super::config::EvmConfig;
use super::hex;
use serde_json::{Map, Value, json};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use tallystick_ledger::limits::{EVM_ANSWER_BYTES_MAX, EVM_ERROR_CHARS_MAX};
use ureq::Timeout;

/// What a call that gave no answer means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcFailure {
    /// The request never left this machine.
    #[error("the node cannot be reached: {why}")]
    NeverLeft {
        /// What stood in the way.
        why: String,
    },
    /// The request may have had its effect; what came back, if anything, says nothing.
    #[error("the node's answer to {method} is unknown: {why}")]
    Unknown {
        /// What was called.
        method: &'static str,
        /// What came back.
        why: String,
    },
    /// The node refused it.
    #[error("the node refuses {method}: {message} ({code})")]
    Refused {
        /// What was called.
        method: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words, printable and cut.
        message: String,
        /// What a reverted call answered, if that is what happened.
        data: Option<Vec<u8>>,
    },
}

/// A node's JSON-RPC endpoint.
pub struct Rpc {
    agent: ureq::Agent,
    url: String,
    next_id: AtomicU64,
}

impl Rpc {
    /// For the endpoint of these (checked) settings. Connects when it is first asked.
    #[must_use]
    pub fn new(config: &EvmConfig) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirect could lead anywhere.
            .max_redirects(0)
            .max_redirects_will_error(true)
            .proxy(None)
            .timeout_connect(Some(config.connect_timeout))
            .timeout_global(Some(config.call_timeout))
            .user_agent(concat!("tallystick/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, url: config.rpc_url.clone(), next_id: AtomicU64::new(1) }
    }

    /// Calls a method and returns its result, which may be `null`.
    ///
    /// # Errors
    /// `RpcFailure`: whether the request left, was refused, or nobody knows.
    pub fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let sent = self.agent.post(&self.url).content_type("application/json");
        let unknown = |why: String| RpcFailure::Unknown { method, why };
        let mut response = sent.send(body.to_string()).map_err(|error| failure(method, &error))?;
        let status = response.status().as_u16();
        let limit = u64::try_from(EVM_ANSWER_BYTES_MAX).expect("a size fits 64 bits");
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let body = body.map_err(|error| unknown(words(&error)))?;
        let answer: Map<String, Value> = serde_json::from_slice(&body)
            .map_err(|_| unknown(format!("no JSON-RPC answer, HTTP status {status}")))?;
        read(method, id, answer)
    }

    /// A failure for an answer that cannot be right.
    pub(super) fn nonsense(method: &'static str, what: &str) -> RpcFailure {
        RpcFailure::Unknown { method, why: what.into() }
    }
}

/// Reads an answer: exactly one of `result` and `error`, and the request's own id.
fn read(
    method: &'static str,
    id: u64,
    mut answer: Map<String, Value>,
) -> Result<Value, RpcFailure> {
    let unknown = |why: &str| RpcFailure::Unknown { method, why: why.into() };
    match (answer.remove("result"), answer.remove("error")) {
        // Some nodes write both members, the one that does not apply as null.
        (None | Some(Value::Null), Some(Value::Object(error))) => {
            Err(refused(method, &error)
                .ok_or_else(|| unknown("an error without code or message"))?)
        }
        (Some(result), None | Some(Value::Null)) => {
            if answer.get("id") == Some(&json!(id)) {
                Ok(result)
            } else {
                Err(unknown("the answer to another request"))
            }
        }
        (_, _) => Err(unknown("neither a result nor an error")),
    }
}

fn refused(method: &'static str, error: &Map<String, Value>) -> Option<RpcFailure> {
    let code = error.get("code")?.as_i64()?;
    let message = error.get("message")?.as_str()?;
    let shown = message.chars().take(EVM_ERROR_CHARS_MAX);
    let message = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Most nodes put the bytes of a revert into `data`, some into an object within it.
    let data = error.get("data").and_then(|data| {
        hex::bytes_of(data).or_else(|| hex::bytes_of(data.as_object()?.get("data")?))
    });
    Some(RpcFailure::Refused { method, code, message, data })
}

/// What a failure of the HTTP client means: only what fails before the first byte never left.
#[allow(clippy::wildcard_enum_match_arm, reason = "the client may learn new errors")]
fn failure(method: &'static str, error: &ureq::Error) -> RpcFailure {
    let early = match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    };
    let why = words(error);
    if early { RpcFailure::NeverLeft { why } } else { RpcFailure::Unknown { method, why } }
}

/// The failure in words, without the endpoint.
#[allow(clippy::wildcard_enum_match_arm, reason = "the client may learn new errors")]
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the host name is not found".into(),
        ureq::Error::ConnectionFailed => "no connection".into(),
        ureq::Error::Timeout(which) => format!("time is up ({which})"),
        ureq::Error::Io(error) => format!("connection: {}", error.kind()),
        ureq::Error::BodyExceedsLimit(_) => "the answer is too large".into(),
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => "a redirect".into(),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "TLS failed".into(),
        _ => "the HTTP exchange failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Value, RpcFailure> {
        read("eth_test", 7, serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_result_counts_only_as_the_answer_to_its_own_request() {
        assert_eq!(answer(r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#), Ok(json!("0x1")));
        assert_eq!(answer(r#"{"id":7,"result":null}"#), Ok(Value::Null));
        assert_eq!(answer(r#"{"id":7,"result":null,"error":null}"#), Ok(Value::Null));
        for bad in [
            r#"{"id":8,"result":"0x1"}"#,
            r#"{"id":"7","result":"0x1"}"#,
            r#"{"result":"0x1"}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"error":"no"}"#,
            r#"{"id":7,"result":"0x1","error":{"code":1,"message":"x"}}"#,
            r#"{"id":7,"error":{"message":"x"}}"#,
            r#"{"id":7,"error":{"code":1}}"#,
        ] {
            assert!(matches!(answer(bad), Err(RpcFailure::Unknown { .. })), "{bad}");
        }
    }

    #[test]
    fn a_refusal_keeps_code_words_and_revert_bytes() {
        let long = "x".repeat(1_000);
        let text = format!(r#"{{"id":7,"error":{{"code":-32000,"message":"a\nb{long}"}}}}"#);
        let Err(RpcFailure::Refused { code: -32000, message, data: None, .. }) = answer(&text)
        else {
            panic!("refused")
        };
        assert!(message.starts_with("a b") && message.chars().count() == EVM_ERROR_CHARS_MAX);
        for data in [r#""0x0102""#, r#"{"data":"0x0102"}"#] {
            let text =
                format!(r#"{{"id":7,"error":{{"code":3,"message":"reverted","data":{data}}}}}"#);
            let Err(RpcFailure::Refused { data, .. }) = answer(&text) else { panic!("refused") };
            assert_eq!(data, Some(vec![1, 2]));
        }
    }
}
