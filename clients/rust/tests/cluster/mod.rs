//! Small gRPC servers that play the nodes of one engine: one owns the journal, which all of them
//! share, and the others stand by. A node is killed with all its connections, and comes back at the
//! same address.

mod operator;
pub mod tls;

use bytes::Bytes;
use operator::OperatorPart;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tallystick_client::voucher::{VOUCHER_BYTES, outcome};
use tallystick_client::wire::vouchers_server::{Vouchers, VouchersServer};
use tallystick_client::wire::{
    Ack, Channel, Frame, GetChannelRequest, GetHeadroomRequest, GetHeadroomResponse,
    GetNetworkRequest, Network, Receipt,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Bounds what a test waits for; nothing expects it to be reached.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let from = Instant::now();
    while !is_so() {
        assert!(from.elapsed() < PATIENCE, "waited for too long: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What all nodes share, and what they saw.
#[derive(Default)]
pub struct Shared {
    /// The node that owns the journal.
    pub owner: Option<usize>,
    /// Whom the others name, where that is not the owner's address.
    pub names: Option<String>,
    /// Nodes that do what they are told, and never answer.
    pub silent: BTreeSet<usize>,
    /// Standbys do not know their network yet.
    pub young: bool,
    /// What the owner says to an operator's call, in place of an answer.
    pub word: Option<Status>,
    /// How often each voucher was credited.
    pub credited: BTreeMap<Vec<u8>, u32>,
    /// Changes that happened, by their request id.
    pub changes: BTreeMap<String, u64>,
    /// Calls that arrived: the node, and the call's name with its request id.
    pub calls: Vec<(usize, String)>,
    /// Channels' totals, and the position of each.
    totals: BTreeMap<Vec<u8>, (u64, u64)>,
    lsn: u64,
    addresses: Vec<SocketAddr>,
}

impl Shared {
    /// How often a call arrived at a node.
    pub fn count(&self, node: usize, call: &str) -> usize {
        self.calls.iter().filter(|(at, what)| *at == node && what.starts_with(call)).count()
    }

    fn take(&mut self, frame: &Frame) -> Ack {
        let before = self.lsn;
        let outcomes: Vec<u8> = frame
            .packed
            .chunks(VOUCHER_BYTES)
            .map(|voucher| {
                let cumulative = u64::from_le_bytes(voucher[88..96].try_into().unwrap());
                let lsn = before + 1;
                let total = self.totals.entry(voucher[..88].to_vec()).or_default();
                if cumulative <= total.0 {
                    return outcome::STALE;
                }
                (*total, self.lsn) = ((cumulative, lsn), lsn);
                *self.credited.entry(voucher.to_vec()).or_default() += 1;
                outcome::CREDITED
            })
            .collect();
        let lsn = if self.lsn > before { self.lsn } else { 0 };
        let credited = outcomes.iter().filter(|one| **one == outcome::CREDITED).count();
        let stale = outcomes.len() - credited;
        let count = |number: usize| u32::try_from(number).unwrap();
        let (credited, stale) = (count(credited), count(stale));
        let outcomes = outcomes.into();
        Ack { frame_id: frame.frame_id, lsn, outcomes, credited, stale, ..Ack::default() }
    }
}

/// The nodes.
pub struct Cluster {
    shared: Arc<Mutex<Shared>>,
    nodes: Vec<Option<Runtime>>,
}

impl Cluster {
    /// So many nodes, all of which stand by.
    pub fn start(count: usize) -> Self {
        let mut cluster =
            Self { shared: Arc::default(), nodes: (0..count).map(|_| None).collect() };
        for node in 0..count {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            cluster.shared().addresses.push(free.local_addr().unwrap());
            cluster.serve(node, free);
        }
        cluster
    }

    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn address(&self, node: usize) -> SocketAddr {
        self.shared().addresses[node]
    }

    /// All addresses, as a person types them.
    pub fn list(&self) -> String {
        let all: Vec<String> = self.shared().addresses.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    pub fn own(&self, node: usize) {
        self.shared().owner = Some(node);
    }

    /// Ends a node as SIGKILL does: nobody hears anything more of it.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").shutdown_background();
    }

    pub fn start_again(&mut self, node: usize) {
        let listener = self.listen(node);
        self.serve(node, listener);
    }

    /// What listens at the address of a node that was killed, and never answers.
    pub fn hole(&self, node: usize) -> std::net::TcpListener {
        let listener = self.listen(node);
        listener.set_nonblocking(true).unwrap();
        listener
    }

    fn listen(&self, node: usize) -> std::net::TcpListener {
        let (address, from) = (self.address(node), Instant::now());
        // The one that was killed may still be about to let go of it.
        loop {
            match std::net::TcpListener::bind(address) {
                Ok(listener) => return listener,
                Err(error) => assert!(from.elapsed() < PATIENCE, "{address}: {error}"),
            }
            std::thread::yield_now();
        }
    }

    fn serve(&mut self, node: usize, listener: std::net::TcpListener) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let one = One { node, shared: self.shared.clone() };
        runtime.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            Server::builder()
                .add_service(VouchersServer::new(one.clone()))
                .add_service(OperatorPart(one))
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        self.nodes[node] = Some(runtime);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.shutdown_background();
        }
    }
}

/// One node.
#[derive(Clone)]
pub struct One {
    node: usize,
    shared: Arc<Mutex<Shared>>,
}

impl One {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    fn named(shared: &Shared) -> String {
        let owner = shared.owner.map(|owner| shared.addresses[owner].to_string());
        shared.names.clone().or(owner).unwrap_or_default()
    }

    /// Notes a call, and refuses it as a standby does.
    fn called(&self, call: &str) -> Result<MutexGuard<'_, Shared>, Status> {
        let mut shared = self.shared();
        shared.calls.push((self.node, call.to_owned()));
        if shared.owner == Some(self.node) {
            return Ok(shared);
        }
        let owner = Self::named(&shared);
        let mut status = Status::unavailable("this engine stands by");
        if !owner.is_empty() {
            status.metadata_mut().insert("tallystick-owner", owner.parse().unwrap());
        }
        Err(status)
    }

    /// Never comes where a node does not answer.
    fn answer(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.shared().silent.contains(&self.node) {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(())),
        }
    }
}

#[tonic::async_trait]
impl Vouchers for One {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<Ack, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        drop(self.called("Stream")?);
        let (give, acks) = mpsc::channel(64);
        let (one, mut frames) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(frame)) = frames.message().await {
                let ack = one.called("Frame").map(|mut shared| shared.take(&frame));
                let is_over = ack.is_err();
                one.answer().await;
                if give.send(ack).await.is_err() || is_over {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(acks))))
    }

    async fn submit(&self, request: Request<Frame>) -> Result<Response<Ack>, Status> {
        let ack = self.called("Submit")?.take(request.get_ref());
        self.answer().await;
        Ok(Response::new(ack))
    }

    async fn get_channel(
        &self,
        request: Request<GetChannelRequest>,
    ) -> Result<Response<Channel>, Status> {
        let of = request.into_inner();
        let mut name = [of.signer.as_ref(), of.payee.as_ref()].concat();
        name.extend(of.asset.to_le_bytes());
        name.extend([0; 4]);
        name.extend(of.lane.to_le_bytes());
        name.extend(of.expires_at.to_le_bytes());
        let found = self.called("GetChannel")?.totals.get(&name).copied();
        self.answer().await;
        let (cumulative, lsn) = found.unwrap_or_default();
        Ok(Response::new(Channel { cumulative, lsn, known: lsn > 0, ..Channel::default() }))
    }

    async fn get_receipt(
        &self,
        _: Request<GetChannelRequest>,
    ) -> Result<Response<Receipt>, Status> {
        drop(self.called("GetReceipt")?);
        Ok(Response::new(Receipt::default()))
    }

    async fn get_headroom(
        &self,
        _: Request<GetHeadroomRequest>,
    ) -> Result<Response<GetHeadroomResponse>, Status> {
        drop(self.called("GetHeadroom")?);
        Ok(Response::new(GetHeadroomResponse::default()))
    }

    async fn get_network(
        &self,
        _: Request<GetNetworkRequest>,
    ) -> Result<Response<Network>, Status> {
        let is_young = self.shared().young;
        let mut shared = match is_young {
            true => self.called("GetNetwork")?,
            false => self.shared(),
        };
        if !is_young {
            shared.calls.push((self.node, "GetNetwork".into()));
        }
        let (owner, standby) = (Self::named(&shared), shared.owner != Some(self.node));
        let network_id = Bytes::from_static(&[7; 32]);
        Ok(Response::new(Network { network_id, owner, standby, ..Network::default() }))
    }
}
