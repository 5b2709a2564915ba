//! A connection that can say everything twice.
//!
//! Owns the bytes of one answer while it is being sent a second time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream; while `twice` is set, what was written is written again at the next flush.
pub struct Wire {
    stream: TcpStream,
    twice: Arc<AtomicBool>,
    said: Vec<u8>,
    again: usize,
}

impl Wire {
    pub fn new(stream: TcpStream, twice: Arc<AtomicBool>) -> Self {
        Self { stream, twice, said: Vec::new(), again: 0 }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if self.twice.load(Ordering::Relaxed) {
            self.said.extend_from_slice(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.again < this.said.len() {
            let rest = &this.said[this.again..];
            this.again += ready!(Pin::new(&mut this.stream).poll_write(cx, rest))?;
        }
        if this.again > 0 {
            this.twice.store(false, Ordering::Relaxed);
            this.said.clear();
            this.again = 0;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
