//! Letting in: connections are accepted, shake hands and say their first word on a thread of their
//! own that gives way to all others, at a pace; only then they are where established ones are
//! served.
//!
//! Owns that thread. So a flood of new connections has a bounded cost, and nobody who is served
//! waits for it: who comes beyond the pace waits in the system's queue.

use super::table::{Guest, Table};
use super::tls::{Entered, Keys};
use super::wire::{Socket, Wire};
use super::{Behind, Peer, grpc, http};
use crate::api::pace::Bucket;
use crate::limits::{
    ACCEPT_REST, ARRIVALS, GREETING_NICENESS, HANDSHAKE_WAIT, HTTP_WAIT, PREFACE_WAIT,
    STRANGERS_NOTE_EVERY,
};
use rustix::process::setpriority_process;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Whoever holds one is served, or lets in; all are gone when the last one is dropped.
pub(super) type Here = mpsc::Sender<Infallible>;

/// What the thread works with.
pub(super) struct Porch {
    pub listener: std::net::TcpListener,
    pub service: Behind,
    pub keys: Option<Keys>,
    pub table: Arc<Table>,
    /// Where those are served that have come in.
    pub inside: Handle,
    pub here: Here,
    pub stopping: watch::Receiver<bool>,
    /// Ends the thread when it is dropped.
    pub gone: oneshot::Receiver<Infallible>,
}

impl Porch {
    /// Lets in on a thread of its own until the engine stops.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<()> {
        let name = match self.service {
            Behind::Grpc(..) => "door-grpc",
            Behind::Http(_) => "door-http",
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            // Where it cannot, a flood only costs more.
            let _ = setpriority_process(None, GREETING_NICENESS);
            if let Err(error) = runtime.block_on(self.work()) {
                tracing::error!(%error, "the listener cannot be used");
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    async fn work(mut self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let (mut pace, mut noted, mut next) = (Bucket::new(ARRIVALS), None, Instant::now());
        // Here for as long as this works, and dropped with it.
        let here = self.here;
        loop {
            let accepting = async {
                if next > Instant::now() {
                    tokio::time::sleep_until(next.into()).await;
                }
                listener.accept().await
            };
            let accepted = tokio::select! {
                biased;
                // An error means that the sender is gone, and so is the engine.
                _ = self.stopping.wait_for(|stopping| *stopping) => return Ok(()),
                _ = &mut self.gone => return Ok(()),
                accepted = accepting => accepted,
            };
            match accepted {
                Ok((socket, address)) => {
                    // Who comes too often costs no more than that, and nobody else's turn.
                    let Some(guest) = self.table.admit(address.ip()) else { continue };
                    let now = Instant::now();
                    next = pace.take(now, 1, Duration::MAX).unwrap_or(now);
                    let arrival = Arrival { socket, address, guest, keys: self.keys.clone() };
                    let (service, inside) = (self.service.clone(), self.inside.clone());
                    let (stopping, here) = (self.stopping.clone(), here.clone());
                    tokio::spawn(arrival.welcome(service, inside, stopping, here));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    note(&mut noted, &error);
                    // What is missing (files, memory) does not come back by asking at once.
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

/// Somebody who has a place, and has not said a word.
struct Arrival {
    socket: TcpStream,
    address: SocketAddr,
    guest: Guest,
    keys: Option<Keys>,
}

impl Arrival {
    /// Hands it on to where it is served until it goes, once it has said its first word.
    async fn welcome(
        self,
        service: Behind,
        inside: Handle,
        mut stopping: watch::Receiver<bool>,
        here: Here,
    ) {
        let Self { socket, address, guest, keys } = self;
        // It is served all the same, only slower.
        let _ = socket.set_nodelay(true);
        // An IPv4 address is one, also where it came by a listener for both kinds.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let mut peer = Peer { address, certificate: None };
        let socket = Socket::new(socket);
        let greeting = async {
            let mut wire = match keys {
                None => Wire::Plain(socket),
                Some(keys) => {
                    // Until it is through it counts as who has not spoken.
                    let entering = keys.enter(socket, address);
                    let entered = timeout(HANDSHAKE_WAIT, entering).await;
                    let Ok(Some(Entered { stream, certificate })) = entered else { return None };
                    peer.certificate = certificate;
                    Wire::Tls(stream)
                }
            };
            let spoken = match service {
                Behind::Grpc(..) => timeout(PREFACE_WAIT, grpc::preface(&mut wire)).await,
                Behind::Http(_) => timeout(HTTP_WAIT, wire.first_byte()).await,
            };
            spoken.is_ok_and(|spoken| spoken.is_ok()).then_some(wire)
        };
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            () = guest.must_leave() => None,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let Some(mut wire) = greeted else { return };
        inside.spawn(async move {
            let _here = here;
            // From here on its events come to these threads.
            if wire.settle().is_err() {
                return;
            }
            match service {
                Behind::Grpc(routes, unfinished) => {
                    grpc::serve(wire, peer, guest, routes, unfinished, stopping).await;
                }
                Behind::Http(site) => http::serve(wire, peer, guest, site, stopping).await,
            }
        });
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
