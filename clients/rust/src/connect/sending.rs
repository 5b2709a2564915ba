//! What a call sends: all of it, if it is there at once, so that it can be sent once more.

use http_body_util::{BodyStream, Full, StreamBody};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::{Stream as _, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Bytes of several pieces that are held: a call of one message is one piece, of any size.
const HELD_MAX: usize = 1 << 20;

/// A call's body.
pub(super) enum Sending {
    /// All of it.
    Whole(Bytes),
    /// More is to come: it can be sent once. `None` once it was.
    Rest(Option<Body>),
}

impl Sending {
    /// Takes what is there, and waits for nothing.
    pub async fn read(body: Body) -> Self {
        let mut body = BodyStream::new(body);
        let (mut pieces, mut held) = (Vec::new(), Vec::new());
        loop {
            let polled = |cx: &mut Context<'_>| Poll::Ready(Pin::new(&mut body).poll_next(cx));
            match std::future::poll_fn(polled).await {
                Poll::Ready(None) => return Self::Whole(joined(&held)),
                Poll::Ready(Some(piece)) => {
                    let data = piece.as_ref().ok().and_then(|frame| frame.data_ref()).cloned();
                    pieces.push(piece);
                    // An error, or trailers: it goes on as it is.
                    let Some(data) = data else { break };
                    held.push(data);
                    let bytes: usize = held.iter().map(Bytes::len).sum();
                    if held.len() > 1 && bytes > HELD_MAX {
                        break;
                    }
                }
                Poll::Pending => break,
            }
        }
        Self::Rest(Some(Body::new(StreamBody::new(tokio_stream::iter(pieces).chain(body)))))
    }

    /// All of it, if it can be sent again.
    pub fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(whole) => Some(whole),
            Self::Rest(_) => None,
        }
    }

    /// What is sent now; `None` if it was sent and cannot be again.
    pub fn next(&mut self) -> Option<Body> {
        match self {
            Self::Whole(whole) => Some(Body::new(Full::new(whole.clone()))),
            Self::Rest(rest) => rest.take(),
        }
    }
}

/// Pieces as one.
fn joined(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [one] => one.clone(),
        some => some.concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    async fn bytes(body: Option<Body>) -> Bytes {
        body.unwrap().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn what_is_there_at_once_can_be_sent_again() {
        for text in ["", "one message"] {
            let mut sending = Sending::read(Body::new(Full::from(text))).await;
            assert_eq!(sending.whole().unwrap(), text);
            assert_eq!(bytes(sending.next()).await, text);
            assert_eq!(bytes(sending.next()).await, text);
        }
        let large = Bytes::from(vec![7; 2 * HELD_MAX]);
        let sending = Sending::read(Body::new(Full::new(large.clone()))).await;
        assert_eq!(sending.whole(), Some(&large));
    }

    #[tokio::test]
    async fn a_stream_is_sent_once_and_loses_nothing_of_its_beginning() {
        let (give, taken) = mpsc::channel::<Result<_, tonic::Status>>(8);
        give.send(Ok(piece("a"))).await.unwrap();
        give.send(Ok(piece("b"))).await.unwrap();
        let mut sending =
            Sending::read(Body::new(StreamBody::new(ReceiverStream::new(taken)))).await;
        assert!(sending.whole().is_none());
        give.send(Ok(piece("c"))).await.unwrap();
        drop(give);
        assert_eq!(bytes(sending.next()).await, "abc");
        assert!(sending.next().is_none());
        // One that is always ready, like an import out of memory, is not read to its end.
        let endless = std::iter::repeat_with(|| Ok::<_, tonic::Status>(piece("more")));
        let sending = Sending::read(Body::new(StreamBody::new(tokio_stream::iter(endless)))).await;
        assert!(sending.whole().is_none());
        // And an error stays one.
        let broken = vec![Ok(piece("a")), Err(tonic::Status::out_of_range("too long"))];
        let mut sending =
            Sending::read(Body::new(StreamBody::new(tokio_stream::iter(broken)))).await;
        let read = sending.next().unwrap().collect().await;
        assert_eq!(read.unwrap_err().message(), "too long");
    }

    /// A piece of a body, as the library makes them.
    fn piece(text: &'static str) -> http_body::Frame<Bytes> {
        http_body::Frame::data(Bytes::from_static(text.as_bytes()))
    }
}
