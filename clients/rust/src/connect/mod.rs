//! How a client comes to its engine: the address, the caller's token or key, TLS, and in plain
//! words what is wrong when the two sides do not fit.
//!
//! Owns what every client does before its first call; with the feature `cli` it is options of a
//! command line. Knows no service and no message, and nothing of the engine's insides. TLS is
//! always checked: there is no way to trust whoever answers.

mod address;
#[cfg(feature = "seller")]
mod http;
mod line;
mod misfit;
mod signed;
mod tls;
mod token;

pub use address::PORT_DEFAULT;
pub use misfit::Misfit;
pub use token::Token;

#[cfg(feature = "seller")]
pub(crate) use http::{Answer, Http};

use address::Address;
use line::Connector;
use std::path::PathBuf;
use std::time::Duration;
use tls::{Speech, Trust};
use tonic::transport::{Channel, Endpoint};

/// The heading under which the options stand on a command line.
#[cfg(feature = "cli")]
const HEADING: &str = "Common options";

/// Longest wait for a connection: an engine that is there answers at once, so this is what tells a
/// wrong address from a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// By what a client is known, and whom it trusts.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Credentials {
    /// File with your operator's token, your API key, or your identity's key (`access keygen`),
    /// where the engine asks who calls; else TALLYSTICK_TOKEN is used
    #[cfg_attr(feature = "cli", arg(long, global = true, value_name = "FILE", help_heading = HEADING))]
    pub token_file: Option<PathBuf>,
    /// The token or API key itself, for programs that have it from elsewhere; counts before a file
    #[cfg_attr(feature = "cli", arg(skip))]
    pub token: Option<String>,
    /// File with the authority of the engine's certificate (PEM), for an engine that speaks TLS;
    /// else those that this system trusts
    #[cfg_attr(feature = "cli", arg(long, global = true, env = "TALLYSTICK_TLS_CA", hide_env_values = true,
        value_name = "FILE", help_heading = HEADING))]
    pub tls_ca: Option<PathBuf>,
    /// File with your own certificate (PEM), where the engine asks for one
    #[cfg_attr(feature = "cli", arg(long, global = true, env = "TALLYSTICK_TLS_CERT", hide_env_values = true,
        value_name = "FILE", help_heading = HEADING))]
    pub tls_cert: Option<PathBuf>,
    /// File with its key (PEM)
    #[cfg_attr(feature = "cli", arg(long, global = true, env = "TALLYSTICK_TLS_KEY", hide_env_values = true,
        value_name = "FILE", help_heading = HEADING))]
    pub tls_key: Option<PathBuf>,
}

impl Credentials {
    fn has_tls_options(&self) -> bool {
        [&self.tls_ca, &self.tls_cert, &self.tls_key].iter().any(|file| file.is_some())
    }

    /// The token, if it may travel to there.
    fn load_token(&self, address: &Address) -> Result<Token, ConnectError> {
        let token = Token::load(self.token.as_deref(), self.token_file.as_deref())?;
        token.check_way(address)?;
        Ok(token)
    }

    /// What a handshake needs, where the address is one of TLS.
    fn trust(&self, address: &Address, speech: Speech) -> Result<Option<Trust>, ConnectError> {
        if !address.is_tls() {
            return Ok(None);
        }
        let own = tls::own_files(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        Trust::load(address, self.tls_ca.as_deref(), own, speech).map(Some)
    }
}

/// Why a client does not come to its engine.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// What was typed makes no sense.
    #[error("{0}")]
    Input(String),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody answers.
    #[error("no engine at {url} ({cause})")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the system says.
        cause: String,
    },
    /// Somebody answers, and the two do not fit.
    #[error("{0}")]
    Misfit(String),
}

/// The way to an engine. Cheap to clone.
#[derive(Clone)]
pub struct Way {
    address: Address,
    endpoint: Endpoint,
    connector: Connector,
    token: Token,
    has_own_ca: bool,
    has_certificate: bool,
}

impl Way {
    /// The way to the engine at `server` (`HOST:PORT`, or a URL), by these credentials. Reads their
    /// files; asks nobody.
    ///
    /// # Errors
    /// `ConnectError` when they make no sense together, cannot be read, or a token would travel
    /// where others can read it.
    pub fn prepare(server: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let address = Address::read(server, credentials.has_tls_options())?;
        let token = credentials.load_token(&address)?;
        let connector = Connector::new(&address, credentials.trust(&address, Speech::Grpc)?);
        let endpoint = address.endpoint()?;
        let (has_own_ca, has_certificate) =
            (credentials.tls_ca.is_some(), credentials.tls_cert.is_some());
        Ok(Self { address, endpoint, connector, token, has_own_ca, has_certificate })
    }

    /// Connects.
    ///
    /// # Errors
    /// `Unreachable` when nobody answers, `Misfit` when who answers does not fit.
    pub async fn connect(&self) -> Result<Channel, ConnectError> {
        let connected = self.endpoint.connect_with_connector(self.connector.clone()).await;
        connected.map_err(|error| match self.misfit() {
            Some(why) => ConnectError::Misfit(why),
            None => ConnectError::Unreachable {
                url: self.url().to_owned(),
                cause: misfit::innermost(&error),
            },
        })
    }

    /// Where the engine is, as a URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.address.url()
    }

    /// What goes with every call.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token.clone()
    }

    /// What did not fit on the last connection that failed, and which option to give. A certificate
    /// that the engine refuses shows at the first call only.
    #[must_use]
    pub fn misfit(&self) -> Option<String> {
        let misfit = self.connector.misfit()?;
        Some(misfit.say(&self.address, self.has_own_ca, self.has_certificate))
    }
}
