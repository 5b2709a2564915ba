//! Several nodes that stand by for each other: engines with one stream, each with a directory of
//! its own, and one root key.

use crate::nats::Cluster;
use crate::onstream::settings;
use crate::page::get;
use crate::wire::{GetNetworkRequest, Network};
use crate::{Client, Engine, Launch, until};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tonic::transport::Endpoint;

/// Their directories, and what they have in common.
pub struct Nodes {
    dir: TempDir,
    settings: String,
    more: Vec<String>,
}

impl Nodes {
    /// Nodes with their journal on these servers.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = dir.path().join("root");
        std::fs::write(&root, format!("{}\n", "5a".repeat(32))).expect("a temporary file");
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&root, closed).expect("a temporary file");
        let settings = format!("root_key_file = {root:?}\n{}", settings(cluster));
        Self { dir, settings, more: Vec::new() }
    }

    /// The same, with more arguments of `serve` for all.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.more.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Where a node has its data.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder of all.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A configuration file by which the stream is found, for the command line.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        let path = self.dir.path().join("cluster.toml");
        std::fs::write(&path, &self.settings).expect("a temporary file");
        path
    }

    /// How a node is started.
    #[must_use]
    pub fn launch(&self, name: &str) -> Launch {
        let config = format!("{}[cluster]\nname = \"{name}\"\n", self.settings);
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        Launch::new(&self.data(name)).config(&config).args(&more)
    }
}

/// What an engine says of the network, if it says anything.
pub async fn network(engine: &Engine) -> Option<Network> {
    let endpoint = Endpoint::from_shared(format!("http://{}", engine.address()));
    let channel = endpoint.expect("an address").connect().await.ok()?;
    let mut vouchers = Client::over(channel).vouchers;
    let answer = vouchers.get_network(GetNetworkRequest {}).await;
    answer.ok().map(tonic::Response::into_inner)
}

/// Waits until one of these engines owns the journal: its place.
pub fn until_owned(engines: &[&Engine]) -> usize {
    let owns = |engine: &&Engine| {
        let asked = || Handle::current().block_on(network(engine));
        tokio::task::block_in_place(asked).is_some_and(|of| !of.standby)
    };
    until("a node owns the journal", || engines.iter().position(owns))
}

/// Waits until an engine says that clients reach the owner there.
pub fn until_told(engine: &Engine, owner: &Engine) {
    until("a node knows where the owner is", || {
        let asked = || Handle::current().block_on(network(engine));
        tokio::task::block_in_place(asked).filter(|of| of.owner == owner.address()).map(drop)
    });
}

/// Waits until nodes that stand by could take over.
pub fn until_ready(standbys: &[&Engine]) {
    for standby in standbys {
        let http = standby.http().expect("it listens for HTTP");
        until("a node can take over", || {
            get(http, "/readyz", None).text.contains("it can take over").then_some(())
        });
    }
}

/// Waits until what an engine wrote to stderr holds this.
pub fn until_said(engine: &Engine, text: &str) {
    until(&format!("an engine says {text:?}"), || engine.stderr().contains(text).then_some(()));
}
