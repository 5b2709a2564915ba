//! The door: who may connect, and what a stranger on a connection can hold.
//!
//! Owns accepting, the places for connections, time limits on everything that waits for a client,
//! and how connections end when the engine stops. One listener serves gRPC, another one HTTP. Knows
//! no service and no message: what is allowed inside is for the services.

mod call;
mod grpc;
mod http;
mod kept;
mod large;
mod message;
mod places;
mod table;

pub use kept::Kept;
pub use large::Large;
pub use places::{Place, Places};
pub use table::Visits;

use crate::limits::{ACCEPT_REST, STRANGERS_NOTE_EVERY, connections};
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

/// The number of a connection, among the extensions of every request that came on it. None is used
/// twice in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

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
    table: Arc<Table>,
}

#[derive(Clone)]
enum Behind {
    Grpc(tonic::service::Routes, Arc<Unfinished>),
    Http(axum::Router),
}

impl Door {
    /// Listens; nobody is let in before `serve`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(address: SocketAddr, service: Service) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let (grpc, http) = connections(files);
        let (most, service) = match service {
            Service::Grpc(routes) => (grpc, Behind::Grpc(routes.prepare(), Arc::default())),
            Service::Http(router) => (http, Behind::Http(router)),
        };
        Ok(Self { listener, address, service, table: Arc::new(Table::new(most)) })
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
        let Self { listener, service, table, .. } = self;
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
                Ok((socket, _)) => {
                    if let Some(guest) = table.admit() {
                        let (service, stopping) = (service.clone(), stopping.clone());
                        guests.spawn(welcome(socket, guest, service, stopping));
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

async fn welcome(
    socket: TcpStream,
    guest: table::Guest,
    service: Behind,
    stopping: watch::Receiver<bool>,
) {
    match service {
        Behind::Grpc(routes, unfinished) => {
            grpc::serve(socket, guest, routes, unfinished, stopping).await;
        }
        Behind::Http(router) => http::serve(socket, guest, router, stopping).await,
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
