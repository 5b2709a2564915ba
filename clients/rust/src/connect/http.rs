//! The way to an engine's HTTP, by the same credentials, with the same TLS, as to its gRPC.

use super::address::Address;
use super::line::Connector;
use super::misfit::{self, Misfit};
use super::tls::Speech;
use super::{ConnectError, Credentials, Token};
use axum::http::{HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// Bytes of the longest answer that is read: an engine's are of 64 KiB, but for the list of its
/// assets.
const ANSWER_MAX: usize = 1 << 20;
/// Connections that are not used for so long are closed.
const IDLE: Duration = Duration::from_secs(60);

/// What the engine answered.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// The beginning of it, as a person reads it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

/// The way. Keeps connections open between calls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    address: Address,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    token: Token,
    has_own_ca: bool,
    has_certificate: bool,
}

impl Http {
    /// Reads the credentials' files; asks nobody.
    pub fn prepare(url: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let address = Address::read_url(url, credentials.has_tls_options())?;
        let token = credentials.load_token(std::slice::from_ref(&address))?;
        let connector = Connector::new(&address, credentials.trust(&address, Speech::Http)?);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector.clone());
        let (has_own_ca, has_certificate) =
            (credentials.tls_ca.is_some(), credentials.tls_cert.is_some());
        Ok(Self { address, connector, client, token, has_own_ca, has_certificate })
    }

    /// The base URL.
    pub fn url(&self) -> &str {
        self.address.url()
    }

    /// Whether anything is said of who calls.
    pub fn has_token(&self) -> bool {
        self.token.now().is_some()
    }

    /// Asks for a path; posts a body, if there is one. The answer may be of any status.
    ///
    /// # Errors
    /// When nobody answers within the time, or what answers does not fit.
    pub async fn send(
        &self,
        path: &str,
        body: Option<Bytes>,
        within: Duration,
    ) -> Result<Answer, ConnectError> {
        let asked = tokio::time::timeout(within, self.ask(path, body)).await;
        let seconds = within.as_secs();
        asked.unwrap_or_else(|_| Err(self.unreachable(format!("no answer in {seconds} s"))))
    }

    async fn ask(&self, path: &str, body: Option<Bytes>) -> Result<Answer, ConnectError> {
        let mut request = match &body {
            Some(_) => Request::post(format!("{}{path}", self.url()))
                .header(header::CONTENT_TYPE, "application/json"),
            None => Request::get(format!("{}{path}", self.url())),
        };
        if let Some(token) = self.token.now() {
            let mut token = HeaderValue::from_bytes(token.as_encoded_bytes())
                .map_err(|error| ConnectError::Input(error.to_string()))?;
            token.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request.body(Full::from(body.unwrap_or_default()));
        let request = request.map_err(|error| ConnectError::Input(error.to_string()))?;
        let answer = self.client.request(request).await.map_err(|error| self.failed(&error))?;
        let (head, body) = answer.into_parts();
        let read = Limited::new(body, ANSWER_MAX).collect().await;
        let body = read.map_err(|error| self.failed(&*error))?.to_bytes();
        self.connector.forget();
        Ok(Answer { status: head.status, body })
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> ConnectError {
        match self.connector.misfit() {
            // The library speaks of gRPC where any protocol is meant.
            Some(Misfit::NoGrpc) => ConnectError::Misfit(format!(
                "{} speaks TLS, but is no engine's listener for HTTP: is the port right?",
                self.url()
            )),
            Some(misfit) => {
                let said = misfit.say(&self.address, self.has_own_ca, self.has_certificate);
                ConnectError::Misfit(said)
            }
            None => self.unreachable(misfit::innermost(error)),
        }
    }

    fn unreachable(&self, cause: String) -> ConnectError {
        ConnectError::Unreachable { url: self.url().to_owned(), cause }
    }
}
