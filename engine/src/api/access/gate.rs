//! The gate before a service: a call goes through it if its caller may make it, and its answer
//! ends when they may no more.

use super::{Access, Entrant, Known};
use crate::api::door::Peer;
use crate::api::trail;
use crate::ledger::Call;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::{Request, Response};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    access: Access,
}

impl<S> Gated<S> {
    /// This service, for those whom `access` lets in.
    #[must_use]
    pub fn new(inner: S, access: Access) -> Self {
        Self { inner, access }
    }
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answered {
        let (path, peer) = (request.uri().path(), request.extensions().get::<Peer>());
        let admitted = match request.extensions().get::<Known>() {
            Some(known) => self.access.admit_known_at(path, known),
            None => self.access.admit(path, request.headers(), peer),
        };
        let entrant = match admitted {
            Ok(entrant) => entrant,
            Err(denied) => {
                let refused = Status::from(denied).into_http();
                return Box::pin(std::future::ready(Ok(refused)));
            }
        };
        let may = entrant.allowance.as_ref();
        let at = match may.map_or_else(|| Ok(Instant::now()), |own| own.call(entrant.call)) {
            Ok(at) => at,
            Err(too_often) => {
                trail::is_too_often();
                return Box::pin(std::future::ready(Ok(too_often.into_http())));
            }
        };
        request.extensions_mut().insert(entrant.holder());
        request.extensions_mut().insert(entrant.clone());
        let (answer, access) = (self.inner.call(request), self.access.clone());
        Box::pin(async move {
            if let Err(told) = access.held(&entrant, at).await {
                return Ok(told.into_http());
            }
            let answer = answer.await?;
            Ok(match may_be_long(entrant.call) {
                true => answer.map(|body| Body::new(Ending::new(body, access, entrant))),
                false => answer,
            })
        })
    }
}

/// Whether an answer goes on while others do something: then it ends when its caller may not go on.
/// What was done is answered, whatever it was: also to who shut themselves out. A stream of
/// vouchers ends by itself, behind the acks that are owed.
fn may_be_long(call: Call) -> bool {
    let name = call.name();
    name.starts_with("List")
        || name.starts_with("Export")
        || matches!(call, Call::GetProof | Call::WatchNow)
}

/// The body of an answer that ends when its caller may not go on.
struct Ending {
    body: Body,
    ended: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl Ending {
    fn new(body: Body, access: Access, entrant: Entrant) -> Self {
        Self { body, ended: Some(Box::pin(access.ended(entrant))) }
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(ended) = &mut this.ended else { return Poll::Ready(None) };
        if let Poll::Ready(status) = ended.as_mut().poll(cx) {
            this.ended = None;
            this.body = Body::empty();
            let trailers = status.into_http::<()>().into_parts().0.headers;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
