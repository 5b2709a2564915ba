//! How a client comes to its engine: the address, the caller's token or key, TLS, and in plain
//! words what is wrong when the two sides do not fit.
//!
//! Owns what every client does before its first call; with the feature `cli` it is options of a
//! command line. Knows nothing of the engine's insides. TLS is always checked: there is no way to
//! trust whoever answers.
//!
//! **Of several addresses** (the nodes of one engine) calls go to the one that owns the journal.
//! Any of them says which (`GetNetwork`); when it dies or stands by, the next owner is looked for,
//! and a call is made once more if it surely did not arrive, or may arrive twice ([`Link`]).

mod address;
#[cfg(feature = "seller")]
mod http;
mod line;
mod link;
mod misfit;
mod node;
mod nodes;
mod repeat;
mod sending;
mod signed;
mod tls;
mod token;

pub use address::PORT_DEFAULT;
pub use link::Link;
pub use misfit::Misfit;
pub use token::Token;

#[cfg(feature = "seller")]
pub(crate) use http::{Answer, Http};

use address::Address;
use node::Node;
use nodes::{Nodes, OWNER_WAIT};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tls::{Speech, Trust};
use tokio::time::Instant;

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

    /// The token, if it may travel to all of these.
    fn load_token(&self, addresses: &[Address]) -> Result<Token, ConnectError> {
        let token = Token::load(self.token.as_deref(), self.token_file.as_deref())?;
        addresses.iter().try_for_each(|address| token.check_way(address))?;
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
    /// None of several addresses takes calls.
    #[error("none of the addresses takes calls: {said}")]
    NoOwner {
        /// What each of them said, and what to do.
        said: String,
        /// Whether that may change by itself: one of them stands by, or may come back.
        is_passing: bool,
    },
}

/// The way to an engine: one address, or those of several nodes, of which one owns the journal.
/// Cheap to clone; clones share what is known of the addresses.
#[derive(Clone)]
pub struct Way {
    nodes: Arc<Nodes>,
    url: Arc<str>,
    token: Token,
}

impl Way {
    /// The way to the engine at `server` (`HOST:PORT`, or a URL; of several nodes all of them, with
    /// commas between), by these credentials. Reads their files; asks nobody.
    ///
    /// # Errors
    /// `ConnectError` when they make no sense together, cannot be read, or a token would travel
    /// where others can read it.
    pub fn prepare(server: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let addresses = Address::read_all(server, credentials.has_tls_options())?;
        let urls: Vec<&str> = addresses.iter().map(Address::url).collect();
        let url = urls.join(", ").into();
        let token = credentials.load_token(&addresses)?;
        let nodes = addresses.into_iter().map(|address| Node::prepare(address, credentials));
        let nodes = Nodes::new(nodes.collect::<Result<_, _>>()?);
        Ok(Self { nodes: Arc::new(nodes), url, token })
    }

    /// The same for a list of addresses.
    ///
    /// # Errors
    /// As for `prepare`.
    pub fn prepare_all(
        servers: &[impl AsRef<str>],
        credentials: &Credentials,
    ) -> Result<Self, ConnectError> {
        let servers: Vec<&str> = servers.iter().map(AsRef::as_ref).collect();
        Self::prepare(&servers.join(","), credentials)
    }

    /// Connects; of several addresses to the one that owns the journal, which is looked for up to
    /// 20 s while others stand by.
    ///
    /// # Errors
    /// `Unreachable` when nobody answers, `Misfit` when who answers does not fit; of several
    /// `NoOwner`, with what each of them said.
    pub async fn connect(&self) -> Result<Link, ConnectError> {
        if let Some(alone) = self.nodes.alone() {
            return Ok(Link::to(alone.open().await?));
        }
        let open = self.nodes.owner(Instant::now() + OWNER_WAIT).await;
        let open = open.map_err(|not_found| not_found.why)?;
        Ok(Link::among(self.nodes.clone(), open))
    }

    /// Whether there are several addresses.
    #[must_use]
    pub fn has_several(&self) -> bool {
        self.nodes.alone().is_none()
    }

    /// Where the engine is, as a URL; of several with commas between.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What goes with every call.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token.clone()
    }

    /// What did not fit on the last connection that failed, and which option to give. A certificate
    /// that the engine refuses shows at the first call only. Of several addresses `connect` makes
    /// that call, and says it.
    #[must_use]
    pub fn misfit(&self) -> Option<String> {
        self.nodes.alone()?.misfit()
    }
}
