//! Accepts connections and speaks HTTP on them; does to an answer what a fault says.
//!
//! Owns the connections. A framework gives no answer up on purpose, so the loop is written out
//! here.

use super::wire::Wire;
use super::{Shared, api};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// What happens to an answer on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not sent; the connection is closed.
    Drop,
    /// Half of its body is sent, then the connection is closed.
    Break,
    /// It is sent twice.
    Twice,
}

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Serves until the runtime is shut down.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = api::router(shared);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let router = router.clone();
        tokio::spawn(async move {
            let twice = Arc::new(AtomicBool::new(false));
            let io = TokioIo::new(Wire::new(stream, twice.clone()));
            let service = service_fn(|request| handle(router.clone(), request, twice.clone()));
            // A connection that ends badly is what half of the faults are for.
            let _ = http1::Builder::new().serve_connection(io, service).await;
        });
    }
}

async fn handle(
    router: Router,
    request: Request<Incoming>,
    twice: Arc<AtomicBool>,
) -> Result<Answer, io::Error> {
    let Ok(response) = router.oneshot(request.map(Body::new)).await;
    let fate = response.extensions().get::<Fate>().copied();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let length = body.len();
    let body = match fate {
        None => whole(body),
        // An error instead of an answer: the connection is closed without a byte.
        Some(Fate::Drop) => return Err(io::Error::other("the connection is dropped")),
        Some(Fate::Break) => half(body),
        Some(Fate::Twice) => {
            twice.store(true, Ordering::Relaxed);
            whole(body)
        }
    };
    let mut response = Response::from_parts(parts, body);
    // Also for the half: that more was promised is what makes it a broken answer.
    response.headers_mut().insert("content-length", length.into());
    Ok(response)
}

fn whole(body: Bytes) -> UnsyncBoxBody<Bytes, io::Error> {
    http_body_util::Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn half(body: Bytes) -> UnsyncBoxBody<Bytes, io::Error> {
    let pieces = [
        Ok(Frame::data(body.slice(..body.len() / 2))),
        Err(io::Error::other("the connection is cut")),
    ];
    StreamBody::new(tokio_stream::iter(pieces)).boxed_unsync()
}
