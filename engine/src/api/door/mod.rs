//! The door: who may connect, and what a stranger on a connection can hold.
//!
//! Owns accepting, TLS, the places for connections, time limits on everything that waits for a
//! client, and how connections end when the engine stops. One listener serves gRPC, another one
//! HTTP. Knows no service and no message: what is allowed inside is for the services.

mod call;
mod grpc;
mod http;
mod kept;
mod large;
mod message;
mod origin;
mod places;
mod table;
mod tls;
mod wire;

pub use kept::Kept;
pub use large::Large;
pub use origin::PerOrigin;
pub use places::{Holder, Place, Places};
pub use table::Visits;
pub use tls::{Keys, Protocol, TlsError};

use crate::limits::{ACCEPT_REST, HANDSHAKE_WAIT, STRANGERS_NOTE_EVERY, connections};
use message::Unfinished;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use table::Table;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::Wire;

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
    Grpc(tonic::service::Routes),
    /// HTTP/1 with small bodies.
    Http(axum::Router),
}

/// A listener and the places for who comes.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    service: Behind,
    keys: Option<Keys>,
    table: Arc<Table>,
}

#[derive(Clone)]
enum Behind {
    Grpc(tonic::service::Routes, Arc<Unfinished>),
    Http(axum::Router),
}

impl Door {
    /// Listens, under TLS where there are keys; nobody is let in before `serve`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(
        address: SocketAddr,
        service: Service,
        keys: Option<Keys>,
        per_origin: PerOrigin,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let (grpc, http) = connections(files);
        let (most, service) = match service {
            Service::Grpc(routes) => (grpc, Behind::Grpc(routes.prepare(), Arc::default())),
            Service::Http(router) => (http, Behind::Http(router)),
        };
        Ok(Self { listener, address, service, keys, table: Arc::new(Table::new(most, per_origin)) })
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

    /// Serves until `stopping` turns true and everybody has gone.
    pub async fn serve(self, mut stopping: watch::Receiver<bool>) {
        let Self { listener, service, keys, table, .. } = self;
        let mut guests = JoinSet::new();
        let mut noted = None;
        loop {
            let accepted = tokio::select! {
                biased;
                // An error means that the sender is gone, and so is the engine.
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(_) = guests.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => {
                    if let Some(guest) = table.admit(address.ip()) {
                        let arrival = Arrival { socket, address, guest, keys: keys.clone() };
                        guests.spawn(arrival.welcome(service.clone(), stopping.clone()));
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    note(&mut noted, &error);
                    // What is missing (files, memory) does not come back by asking at once.
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        // Who comes now is refused by the system.
        drop(listener);
        while guests.join_next().await.is_some() {}
    }
}

/// Somebody who has a place, and has not said a word.
struct Arrival {
    socket: TcpStream,
    address: SocketAddr,
    guest: table::Guest,
    keys: Option<Keys>,
}

impl Arrival {
    /// Serves it until it goes.
    async fn welcome(self, service: Behind, mut stopping: watch::Receiver<bool>) {
        let Self { socket, address, guest, keys } = self;
        // It is served all the same, only slower.
        let _ = socket.set_nodelay(true);
        // An IPv4 address is one, also where it came by a listener for both kinds.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let mut peer = Peer { address, certificate: None };
        let wire = match keys {
            None => Wire::Plain(socket),
            Some(keys) => {
                // Until it is through it counts as who has not spoken.
                let entering = tokio::time::timeout(HANDSHAKE_WAIT, keys.enter(socket, address));
                let entered = tokio::select! {
                    entered = entering => entered,
                    () = guest.must_leave() => return,
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                };
                let Ok(Some(tls::Entered { stream, certificate })) = entered else { return };
                peer.certificate = certificate;
                Wire::Tls(stream)
            }
        };
        match service {
            Behind::Grpc(routes, unfinished) => {
                grpc::serve(wire, peer, guest, routes, unfinished, stopping).await;
            }
            Behind::Http(router) => http::serve(wire, peer, guest, router, stopping).await,
        }
    }
}

/// Whether accepting failed for one connection only, which is gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn note(noted: &mut Option<Instant>, error: &io::Error) {
    if noted.is_none_or(|at: Instant| at.elapsed() >= STRANGERS_NOTE_EVERY) {
        *noted = Some(Instant::now());
        tracing::error!(%error, "no connection can be accepted for the moment; is `ulimit -n` too low?");
    }
}
