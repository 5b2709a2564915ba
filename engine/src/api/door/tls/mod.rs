//! TLS of a listener: its certificate and key as their files last gave them, and the handshake with
//! whoever comes.
//!
//! Owns which files are taken, when new ones are, and how a handshake that fails ends. Checking
//! certificates and all cryptography are rustls's, on ring (`docs/adr/0020`). TLS 1.3 only, and no
//! session is ever resumed: who comes again shows its certificate again.

mod certificate;
mod files;

use super::wire::Socket;
use crate::config::TlsFiles;
use crate::limits::{
    HTTP_BYTES_MAX, LEAVE_WAIT, STRANGERS_NOTE_EVERY, TLS_CHAIN_BYTES_MAX, TLS_ENDS_NOTE_EVERY,
    TLS_ENDS_SOON, TLS_READ_BYTES, TLS_WRITE_BYTES,
};
use files::{InForce, Stamps};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use files::TlsError;

/// What a listener's clients must speak behind the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Http,
}

impl Protocol {
    /// Its name in a handshake (ALPN).
    fn name(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            Self::Http => b"http/1.1",
        }
    }
}

/// A listener's certificate and key. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    protocol: Protocol,
    in_force: Mutex<Arc<InForce>>,
    looks: Mutex<Looks>,
    failed: AtomicU64,
    failure_noted: Mutex<Option<Instant>>,
}

/// What was seen of the files.
struct Looks {
    /// As they were when they were last tried, whether they were taken or not.
    tried: Stamps,
    /// As they were at the last look.
    seen: Stamps,
    /// When it was last said that a certificate ends soon.
    ends_noted: Option<Instant>,
}

/// A client that has come in.
pub(super) struct Entered {
    pub stream: Box<TlsStream<BufReader<Socket>>>,
    /// The name in its certificate.
    pub certificate: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl Keys {
    /// From the files.
    ///
    /// # Errors
    /// `TlsError` when they are not there, do not fit each other, or others may read the key.
    pub fn load(files: &TlsFiles, protocol: Protocol) -> Result<Self, TlsError> {
        let stamps = Stamps::of(files);
        let in_force = Mutex::new(Arc::new(InForce::read(files, protocol.name())?));
        let looks = Looks { tried: stamps.clone(), seen: stamps, ends_noted: None };
        Ok(Self(Arc::new(Inner {
            files: files.clone(),
            protocol,
            in_force,
            looks: Mutex::new(looks),
            failed: AtomicU64::new(0),
            failure_noted: Mutex::default(),
        })))
    }

    /// When the first of its certificates ends, in unix seconds: its own, one between it and its
    /// authority, or an authority of clients.
    #[must_use]
    pub fn ends_at(&self) -> i64 {
        self.in_force().ends_at
    }

    /// Handshakes that failed since the start.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Looks at the files, and takes them when they have changed and come to rest. Says what came
    /// of it; files that cannot be used change nothing. Reads files: not for a task.
    pub fn look(&self) {
        let stamps = Stamps::of(&self.0.files);
        let mut looks = lock(&self.0.looks);
        let at_rest = looks.seen == stamps;
        looks.seen = stamps;
        if at_rest && looks.seen != looks.tried {
            self.take(&mut looks);
        }
        self.say_what_ends(&mut looks);
    }

    /// Takes the files as they are now, changed or not, as somebody wishes. Reads files.
    pub fn reload(&self) {
        let mut looks = lock(&self.0.looks);
        looks.seen = Stamps::of(&self.0.files);
        self.take(&mut looks);
        self.say_what_ends(&mut looks);
    }

    fn take(&self, looks: &mut Looks) {
        looks.tried = looks.seen.clone();
        let cert = self.0.files.cert.display();
        match InForce::read(&self.0.files, self.0.protocol.name()) {
            Ok(new) => {
                let until = files::day(new.ends_at);
                *lock(&self.0.in_force) = Arc::new(new);
                looks.ends_noted = None;
                tracing::info!(%cert, %until, "took the TLS certificate anew; connections that stand go on");
            }
            Err(error) => tracing::error!(
                "the new TLS files cannot be used, so the old certificate stays in force: {error}"
            ),
        }
    }

    /// Says once a day which certificate ends soon or has ended. It is served all the same, as
    /// other servers do: clients refuse it, and what needs no client goes on.
    fn say_what_ends(&self, looks: &mut Looks) {
        let (in_force, now) = (self.in_force(), now());
        let left = in_force.ends_at.saturating_sub(now);
        let soon = i64::try_from(TLS_ENDS_SOON.as_secs()).unwrap_or(i64::MAX);
        let not_yet = in_force.begins_at > now;
        let said = looks.ends_noted.is_some_and(|at| at.elapsed() < TLS_ENDS_NOTE_EVERY);
        if said || (left > soon && !not_yet) {
            return;
        }
        looks.ends_noted = Some(Instant::now());
        let (of, until) = (in_force.ends_first.display(), files::day(in_force.ends_at));
        if left <= 0 {
            tracing::error!(
                "a TLS certificate in {of} ended on {until}, so clients refuse to connect: put a new one in \
                 its place; it is taken without a restart"
            );
        } else if not_yet {
            let from = files::day(in_force.begins_at);
            tracing::error!(
                "the TLS certificate in {} is valid from {from} on, so clients refuse to connect until then: \
                 is the clock right?",
                self.0.files.cert.display()
            );
        } else {
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).as_secs() / 86_400;
            tracing::warn!(
                "a TLS certificate in {of} ends on {until}, in {left} days: put a new one in its place; it \
                 is taken without a restart"
            );
        }
    }

    fn in_force(&self) -> Arc<InForce> {
        lock(&self.0.in_force).clone()
    }

    /// The handshake with who has come. `None` when it failed, which was said. Its time limit is
    /// the caller's.
    pub(super) async fn enter(&self, socket: Socket, address: SocketAddr) -> Option<Entered> {
        let acceptor = TlsAcceptor::from(self.in_force().server.clone());
        let socket = BufReader::with_capacity(TLS_READ_BYTES, socket);
        let accept =
            acceptor.accept_with(socket, |session| session.set_buffer_limit(Some(TLS_WRITE_BYTES)));
        let (stream, error) = match accept.into_fallible().await {
            Ok(stream) => match client(&stream) {
                Ok(certificate) => return Some(Entered { stream: Box::new(stream), certificate }),
                Err(why) => (stream.into_inner().0, io::Error::other(why)),
            },
            Err((error, socket)) => (socket, error),
        };
        self.note_failure(&error, address);
        farewell(stream).await;
        None
    }

    /// Counts a handshake that failed, and says so now and then. Who went away without a word is a
    /// monitor or a scanner.
    fn note_failure(&self, error: &io::Error, address: SocketAddr) {
        let since_start = self.0.failed.fetch_add(1, Ordering::Relaxed) + 1;
        if error.kind() == io::ErrorKind::UnexpectedEof || error.get_ref().is_none() {
            return;
        }
        let mut noted = lock(&self.0.failure_noted);
        if noted.is_none_or(|at| at.elapsed() >= STRANGERS_NOTE_EVERY) {
            *noted = Some(Instant::now());
            tracing::warn!(since_start, from = %address, last = %error, "TLS handshakes fail");
        }
    }
}

/// The name of a client whose certificate was checked; `None` where it needs none.
fn client(stream: &TlsStream<BufReader<Socket>>) -> Result<Option<String>, &'static str> {
    let Some(chain) = stream.get_ref().1.peer_certificates() else { return Ok(None) };
    let bytes: usize = chain.iter().map(|certificate| certificate.len()).sum();
    if bytes > TLS_CHAIN_BYTES_MAX {
        return Err("the client's certificates are too large");
    }
    let own = chain.first().ok_or("the client has no certificate")?;
    let known = certificate::read(own).ok_or("the client's certificate cannot be read")?;
    known.name.map(Some).ok_or("the client's certificate holds no name")
}

/// Why it ends is on its way to the client. What it still sends is read for a moment: a connection
/// that is closed over unread bytes takes the answer away with it.
async fn farewell(mut socket: BufReader<Socket>) {
    let mut unread = [0; 4_096];
    let mut left = HTTP_BYTES_MAX;
    let end = async {
        let _ = socket.shutdown().await;
        while left > 0 {
            match socket.read(&mut unread).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    };
    // Whether the client was there to hear it is its affair.
    let _ = tokio::time::timeout(LEAVE_WAIT, end).await;
}

#[cfg(test)]
mod tests;
