//! One connection, in plain text or under TLS, that remembers what did not fit: what HTTP/2 makes
//! of a broken connection says nothing any more.

use super::CONNECT_TIMEOUT;
use super::address::Address;
use super::misfit::Misfit;
use super::tls::Trust;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

/// Bytes that are read from the system at once; the TLS library alone asks for 4 KiB at a time.
const READ_BYTES: usize = 32 << 10;

/// The first byte of what a listener with TLS says to who speaks plain text: an alert. HTTP/2
/// begins with a small length, so never with this.
const ALERT: u8 = 0x15;

/// What did not fit.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Option<Misfit>>>);

impl Memory {
    fn note(&self, misfit: Option<Misfit>) {
        if let Some(misfit) = misfit {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(misfit);
        }
    }
}

/// Makes connections to one engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    host: Arc<str>,
    port: u16,
    trust: Option<Trust>,
    memory: Memory,
}

impl Connector {
    pub fn new(address: &Address, trust: Option<Trust>) -> Self {
        let (host, port) = (address.host().into(), address.port());
        Self { host, port, trust, memory: Memory::default() }
    }

    /// What did not fit on the last connection that failed.
    pub fn misfit(&self) -> Option<Misfit> {
        self.memory.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets it: a connection was made since.
    #[cfg(feature = "seller")]
    pub fn forget(&self) {
        *self.memory.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn connect(self) -> io::Result<Line> {
        let Self { host, port, trust, memory } = self;
        let socket = TcpStream::connect((&*host, port)).await?;
        socket.set_nodelay(true)?;
        let Some(Trust { connector, name, speech }) = trust else {
            return Ok(Line { wire: Wire::Plain { socket, heard: false }, memory });
        };
        let socket = BufReader::with_capacity(READ_BYTES, socket);
        match connector.connect(name, socket).await {
            Ok(stream) if stream.get_ref().1.alpn_protocol() != Some(speech.protocol()) => {
                memory.note(Some(Misfit::NoGrpc));
                Err(io::Error::other("it speaks TLS, and another protocol behind it"))
            }
            Ok(stream) => Ok(Line { wire: Wire::Tls(Box::new(stream)), memory }),
            Err(error) => {
                memory.note(Misfit::of_handshake(&error));
                Err(error)
            }
        }
    }
}

/// There is no connection: whatever was to be sent on it was not.
#[derive(Debug, thiserror::Error)]
#[error("no connection")]
pub(crate) struct NotConnected(#[source] io::Error);

impl NotConnected {
    /// Whether this is at the bottom of an error.
    pub fn is_below(error: &(dyn Error + 'static)) -> bool {
        let mut below = Some(error);
        while let Some(error) = below {
            if error.is::<Self>() {
                return true;
            }
            below = error.source();
        }
        false
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Line>;
    type Error = NotConnected;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Line>, NotConnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.clone().connect());
        Box::pin(async move {
            let elapsed = || Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
            let connected = connected.await.unwrap_or_else(|_| elapsed());
            connected.map(TokioIo::new).map_err(NotConnected)
        })
    }
}

/// A connection.
pub(crate) struct Line {
    wire: Wire,
    memory: Memory,
}

#[cfg(feature = "seller")]
impl hyper_util::client::legacy::connect::Connection for Line {
    fn connected(&self) -> hyper_util::client::legacy::connect::Connected {
        hyper_util::client::legacy::connect::Connected::new()
    }
}

enum Wire {
    Plain {
        socket: TcpStream,
        /// Whether anything was heard.
        heard: bool,
    },
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { wire, memory } = self.get_mut();
        match wire {
            Wire::Plain { socket, heard } => {
                let before = into.filled().len();
                ready!(Pin::new(socket).poll_read(cx, into))?;
                let first = into.filled().get(before).copied();
                if !*heard && first == Some(ALERT) {
                    memory.note(Some(Misfit::SpeaksTls));
                    return Poll::Ready(Err(io::Error::other("it speaks TLS")));
                }
                *heard = true;
                Poll::Ready(Ok(()))
            }
            Wire::Tls(stream) => {
                let read = ready!(Pin::new(stream).poll_read(cx, into));
                Poll::Ready(read.inspect_err(|error| memory.note(Misfit::of_tls(error))))
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Plain { socket, .. } => Pin::new(socket).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Plain { socket, .. } => Pin::new(socket).poll_write_vectored(cx, pieces),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain { socket, .. } => socket.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain { socket, .. } => Pin::new(socket).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain { socket, .. } => Pin::new(socket).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
