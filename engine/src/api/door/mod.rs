//! The door: who may connect, and what a stranger on a connection can hold.
//!
//! Owns letting in (`greeting`), TLS, the places for connections, time limits on everything that
//! waits for a client, how fast refusals are told, how often calls are answered that
//! anybody may make, and how connections end when the engine stops.
//! One listener serves gRPC, another one HTTP. Knows no service and no message: what is allowed
//! inside is for the services.

mod call;
mod greeting;
mod grpc;
mod http;
mod kept;
mod large;
mod lasting;
mod message;
mod open;
mod origin;
mod places;
mod site;
mod table;
mod tls;
mod wire;

pub use kept::Kept;
pub use large::Large;
pub use lasting::Lasting;
pub use origin::Origins;
pub use places::{Holder, Place, Places};
pub use site::{Answering, Asked, Site};
pub use table::Visits;
pub use tls::{Keys, Protocol, TlsError};

use crate::limits::{ARRIVALS_WAITING, connections};
use greeting::Porch;
use message::Unfinished;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use table::Table;
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::service::Routes;

/// The number of a connection, among the extensions of every request that came on it. None is used
/// twice in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Who is at the other end of a connection, among the extensions of every request that came on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it calls from.
    pub address: SocketAddr,
    /// The name in its certificate, where clients must have one: the first URI among the
    /// alternative names, else the first DNS name, else the common name. It was checked.
    pub certificate: Option<String>,
}

/// What is served behind a door.
pub enum Service {
    /// gRPC services.
    Grpc(Routing),
    /// HTTP/1 with small bodies.
    Http(Arc<dyn Site>),
}

/// A listener and the places for who comes.
pub struct Door {
    listener: std::net::TcpListener,
    address: SocketAddr,
    service: Behind,
    keys: Option<Keys>,
    table: Arc<Table>,
}

#[derive(Clone)]
enum Behind {
    Grpc(Routing, Arc<Unfinished>),
    Http(Arc<dyn Site>),
}

/// gRPC services that may be others from one call to the next, while connections stay. Cheap to
/// clone.
#[derive(Clone)]
pub struct Routing(Arc<RwLock<Routes>>);

impl Routing {
    /// These services.
    #[must_use]
    pub fn new(routes: Routes) -> Self {
        Self(Arc::new(RwLock::new(routes.prepare())))
    }

    /// Others, for every call that begins from here on.
    pub fn set(&self, routes: Routes) {
        let routes = routes.prepare();
        let before =
            std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), routes);
        // Not under the lock.
        drop(before);
    }

    fn now(&self) -> Routes {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Door {
    /// Listens, under TLS where there are keys; nobody is let in before `serve`. Of `origins` the
    /// doors of one engine have one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn open(
        address: SocketAddr,
        service: Service,
        keys: Option<Keys>,
        origins: Origins,
    ) -> io::Result<Self> {
        Self::open_for(address, keys, origins, |_| service)
    }

    /// The same with a service that must know where it is.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_for(
        address: SocketAddr,
        keys: Option<Keys>,
        origins: Origins,
        service: impl FnOnce(SocketAddr) -> Service,
    ) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(ARRIVALS_WAITING)?.into_std()?;
        let address = listener.local_addr()?;
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let (grpc, http) = connections(files);
        let (most, service) = match service(address) {
            Service::Grpc(routes) => (grpc, Behind::Grpc(routes, Arc::default())),
            Service::Http(site) => (http, Behind::Http(site)),
        };
        Ok(Self { listener, address, service, keys, table: Arc::new(Table::new(most, origins)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is here and who was not let in.
    #[must_use]
    pub fn visits(&self) -> Visits {
        Visits::of(self.table.clone())
    }

    /// Serves until `stopping` turns true and everybody has gone; connections where it is called.
    pub async fn serve(self, stopping: watch::Receiver<bool>) {
        let Self { listener, service, keys, table, .. } = self;
        let (here, mut all) = mpsc::channel(1);
        // Dropped with this, so that the thread ends whatever happens here.
        let (_alive, gone) = oneshot::channel();
        let inside = Handle::current();
        let porch = Porch { listener, service, keys, table, inside, here, stopping, gone };
        if let Err(error) = porch.start() {
            tracing::error!(%error, "the system gives no thread for a listener");
        }
        // Who comes once it stops is refused by the system.
        let None = all.recv().await;
    }
}
