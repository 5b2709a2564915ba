//! What every turn of a bench sends: planned and signed once, for a network whose id is ours.

use crate::args::RunArgs;
use crate::books::Books;
use crate::crowd::Crowd;
use crate::engine::Engine;
use crate::error::Error;
use crate::plan::{self, Planned};
use crate::run::{sign_ahead, tomorrow};
use crate::setup::{Clients, connect};
use crate::sign::{Signed, Terms};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tallystick_client::voucher::Network;
use tallystick_client::{Credentials, Way};

/// The network of every engine here: what is signed once counts on all of them.
const NETWORK: [u8; 32] = [0xbe; 32];

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 10,000 payers and 1,000 payees by the Zipf law (exponent 1), 2 % stale, 1 % with bad
    /// signatures, 1 % over the limit.
    Agents,
    /// The same parties; every voucher opens a channel.
    NewChannels,
    /// As `agents`, with 10 % bad signatures and 10 % stale.
    Bad,
    /// 100,000 payers who all pay equally often.
    Uniform,
}

impl Scenario {
    /// Options of a run of it.
    #[must_use]
    pub fn options(self, vouchers: u64, seed: u64) -> RunArgs {
        let more: &[&str] = match self {
            Self::Agents | Self::NewChannels => &[],
            Self::Bad => &["--bad-signature", "10%", "--stale", "10%"],
            Self::Uniform => &["--payers", "100000", "--zipf", "0", "--both", "0"],
        };
        let own =
            ["--vouchers".to_owned(), vouchers.to_string(), "--seed".into(), seed.to_string()];
        RunArgs::of(own.into_iter().chain(more.iter().map(|&word| word.to_owned())))
    }

    fn plan(self, crowd: &Crowd, args: &RunArgs) -> Vec<Planned> {
        match self {
            Self::NewChannels => plan::grid(crowd, &args.traffic),
            Self::Agents | Self::Bad | Self::Uniform => plan::draw(crowd, &args.traffic),
        }
    }
}

/// Vouchers, ready to be sent, and what must come of them.
pub struct Pool {
    pub args: RunArgs,
    pub crowd: Arc<Crowd>,
    /// By stream.
    pub planned: Arc<Vec<Vec<Planned>>>,
    pub signed: Vec<Signed>,
}

impl Pool {
    /// Plans and signs them.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub async fn sign(scenario: Scenario, args: RunArgs) -> Result<Self, Error> {
        args.check().map_err(Error::Usage)?;
        let both = args.crowd.both().map_err(Error::Usage)?;
        let planning = args.clone();
        let work = move || {
            let crowd = Crowd::draw(&planning.crowd, both);
            let vouchers = scenario.plan(&crowd, &planning);
            let dealt = plan::deal(&vouchers, crowd.payers(), planning.streams());
            (Arc::new(crowd), Arc::new(dealt))
        };
        let planned = tokio::task::spawn_blocking(work).await;
        let (crowd, planned) = planned.expect("planning does not panic");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let terms = Terms {
            network: Network::new(NETWORK),
            asset: args.asset,
            expires_at: tomorrow(i64::try_from(now).unwrap_or(i64::MAX)),
            run: args.traffic.run,
            bundle: usize::from(args.traffic.bundle),
        };
        let signed = sign_ahead(crowd.clone(), terms, planned.clone()).await;
        Ok(Self { args, crowd, planned, signed })
    }

    /// What must be owed when so many vouchers of each stream were acked.
    #[must_use]
    pub fn books(&self, acked: &BTreeMap<usize, usize>) -> Books {
        let sent = |(stream, planned): (usize, &Vec<Planned>)| {
            planned[..acked.get(&stream).copied().unwrap_or(0)].to_vec()
        };
        let sent: Vec<Vec<Planned>> = self.planned.iter().enumerate().map(sent).collect();
        Books::of(&self.crowd, &sent)
    }

    /// A new engine with its data in `dir`, on which all parties are registered.
    ///
    /// # Errors
    /// When it cannot be started, or refuses one of them.
    pub async fn engine(&self, binary: &Path, dir: &Path) -> Result<(Engine, Clients), Error> {
        let failed = |source| Error::File { doing: "cannot make", path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let network = data_encoding::HEXLOWER.encode(&NETWORK);
        let options = ["--init", "--network-id", &network];
        let mut engine = Engine::start_with(binary, dir, None, &options).await?;
        let ready = self.register(&engine.grpc).await;
        let clients = ready.map_err(|error| engine.explain(error))?;
        Ok((engine, clients))
    }

    async fn register(&self, grpc: &str) -> Result<Clients, Error> {
        let mut clients = self.connect(grpc).await?;
        clients.create_asset(&self.args).await?;
        clients.import(&self.crowd, self.args.asset).await?;
        Ok(clients)
    }

    /// Connections of its own to an engine.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(&self, grpc: &str) -> Result<Clients, Error> {
        let way = Way::prepare(&format!("http://{grpc}"), &Credentials::default())?;
        connect(&way, usize::from(self.args.connections)).await
    }
}
