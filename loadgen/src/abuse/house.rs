//! Who there is: an operator of the configuration, a facilitator that is honest, and one that is
//! not, each with a payer whose vouchers it brings.

use crate::args::Model;
use crate::crowd::Crowd;
use crate::engine::Engine;
use crate::error::Error;
use crate::flood::{HONEST_PER_SECOND, Maker, crowd_args};
use crate::setup::{Clients, connect};
use bytes::Bytes;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_client::voucher::Network;
use tallystick_client::{Credentials, Way};
use tallystick_proto::v1::credential::Kind;
use tallystick_proto::v1::{AddIdentityRequest, Credential, Role};

const ASSET: u32 = 978;
/// How long what is under way may take to end.
const CALM_MAX: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// All of them, and the ways by which they come.
pub struct House {
    desk: Way,
    /// The honest facilitator's.
    pub honest: Way,
    /// The other one's.
    pub greedy: Way,
    /// And its key.
    pub greedy_key: String,
    /// Where the engine listens for gRPC, and for HTTP.
    pub address: String,
    pub http: String,
    pub maker: Arc<Maker>,
}

/// A key of this form, which follows from a name.
pub fn api_key(name: &str) -> String {
    let secret = *blake3::hash(name.as_bytes()).as_bytes();
    let check = blake3::derive_key("tallystick 2026-11 api key check v1", &secret);
    let bytes = [&secret[..], &check[..4]].concat();
    format!("tsk_{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// Writes the engine's configuration into a folder.
///
/// # Errors
/// When it cannot be written.
pub fn configuration(dir: &Path) -> Result<PathBuf, Error> {
    let path = dir.join("tallystick.toml");
    let digest = blake3::hash(api_key("desk").as_bytes()).to_hex();
    let configured = format!("listen_http = \"127.0.0.1:0\"\n[operators]\ndesk = \"{digest}\"\n");
    let written = std::fs::write(&path, configured);
    let at = path.clone();
    written.map_err(|source| Error::File { doing: "cannot write", path: at, source })?;
    Ok(path)
}

/// The way of who has the key of this name.
fn way(address: &str, dir: &Path, name: &str) -> Result<Way, Error> {
    let path = dir.join(format!("{name}.key"));
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    let written = file.open(&path).and_then(|mut file| {
        use std::io::Write as _;
        file.write_all(api_key(name).as_bytes())
    });
    let at = path.clone();
    written.map_err(|source| Error::File { doing: "cannot write", path: at, source })?;
    let credentials = Credentials { token_file: Some(path), ..Credentials::default() };
    Ok(Way::prepare(address, &credentials)?)
}

impl House {
    /// Registers all of them with an engine.
    ///
    /// # Errors
    /// When the engine refuses it, or cannot be reached.
    pub async fn prepare(engine: &Engine, dir: &Path) -> Result<Self, Error> {
        let address = engine.grpc.clone();
        let desk = way(&address, dir, "desk")?;
        let mut clients = connect(&desk, 1).await?;
        let crowd = Arc::new(Crowd::draw(&crowd_args(), 0));
        clients.create_asset_of(ASSET, "EUR", 6, Model::Multilateral).await?;
        clients.import(&crowd, ASSET).await?;
        for name in ["honest", "greedy"] {
            add(&mut clients, name).await?;
        }
        let network = clients.network().await?.network_id;
        let network = <[u8; 32]>::try_from(&network[..])
            .map_err(|_| Error::Engine("the network id has not 32 bytes".into()))?;
        Ok(Self {
            honest: way(&address, dir, "honest")?,
            greedy: way(&address, dir, "greedy")?,
            greedy_key: api_key("greedy"),
            maker: Arc::new(Maker::new(ASSET, crowd, Network::new(network))),
            desk,
            address,
            http: engine.http.clone(),
        })
    }

    /// How many vouchers the honest client has for one measurement.
    pub fn vouchers_of(&self, seconds: u64) -> usize {
        usize::try_from(seconds.saturating_add(1) * HONEST_PER_SECOND).unwrap_or(usize::MAX)
    }

    /// Its vouchers for all rounds.
    pub fn honest_vouchers(&self, rounds: u64, seconds: u64) -> Vec<Bytes> {
        self.maker.honest(2 * rounds * seconds.saturating_add(1) * HONEST_PER_SECOND)
    }

    /// Waits until the engine has nothing under way.
    ///
    /// # Errors
    /// When that takes too long, or the engine cannot be reached.
    pub async fn calm(&self) -> Result<(), Error> {
        let (since, mut clients) = (Instant::now(), connect(&self.desk, 0).await?);
        while clients.status().await?.inflight_vouchers > 0 {
            if since.elapsed() > CALM_MAX {
                return Err(Error::Engine("the abuse is over and still under way".into()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

async fn add(clients: &mut Clients, name: &str) -> Result<(), Error> {
    let digest = Bytes::copy_from_slice(blake3::hash(api_key(name).as_bytes()).as_bytes());
    let request = AddIdentityRequest {
        request_id: format!("loadgen-identity-{name}"),
        name: name.to_owned(),
        role: Role::Facilitator.into(),
        credential: Some(Credential { kind: Some(Kind::KeyDigest(digest)) }),
        ..AddIdentityRequest::default()
    };
    let added = clients.operator.add_identity(request).await;
    added.map(drop).map_err(|status| Error::call("AddIdentity", &status))
}
