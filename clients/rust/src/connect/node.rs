//! One address of an engine: how a connection to it is opened, and what does not fit.

use super::address::Address;
use super::line::Connector;
use super::misfit;
use super::tls::Speech;
use super::{ConnectError, Credentials};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How often one of several is asked whether it is still there, while it owes an answer; and how
/// long it may be silent then. Together what a standby waits before it takes over.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_WAIT: Duration = Duration::from_secs(3);

/// An address, with what a connection to it needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Node {
    address: Address,
    endpoint: Endpoint,
    connector: Connector,
    has_own_ca: bool,
    has_certificate: bool,
}

impl Node {
    /// Reads the credentials' files; asks nobody. The certificate must have the address's name.
    pub fn prepare(address: Address, credentials: &Credentials) -> Result<Self, ConnectError> {
        let connector = Connector::new(&address, credentials.trust(&address, Speech::Grpc)?);
        let endpoint = address.endpoint()?;
        let (has_own_ca, has_certificate) =
            (credentials.tls_ca.is_some(), credentials.tls_cert.is_some());
        Ok(Self { address, endpoint, connector, has_own_ca, has_certificate })
    }

    /// The same as one of several: a machine that died without a word is noticed, since another one
    /// may have taken over.
    pub fn watched(mut self) -> Self {
        self.endpoint =
            self.endpoint.http2_keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_WAIT);
        self
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn url(&self) -> &str {
        self.address.url()
    }

    /// Connects.
    pub async fn open(&self) -> Result<Channel, ConnectError> {
        let connected = self.endpoint.connect_with_connector(self.connector.clone()).await;
        connected.map_err(|error| match self.misfit() {
            Some(why) => ConnectError::Misfit(why),
            None => ConnectError::Unreachable {
                url: self.url().to_owned(),
                cause: misfit::innermost(&error),
            },
        })
    }

    /// What did not fit on the last connection that failed, and what to do about it.
    pub fn misfit(&self) -> Option<String> {
        let misfit = self.connector.misfit()?;
        Some(misfit.say(&self.address, self.has_own_ca, self.has_certificate))
    }
}
