//! What answers over HTTP, as far as the door knows it.

use super::Peer;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use std::pin::Pin;
use tonic::codegen::Service as _;

/// A request: whole, and in its time.
pub struct Asked {
    /// All but the body.
    pub head: Parts,
    /// The body.
    pub body: Bytes,
    /// Who asks.
    pub peer: Peer,
}

/// An answer under way.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What answers requests.
pub trait Site: Send + Sync + 'static {
    /// Answers one. Where nobody listens any more, the answer is dropped, wherever it is.
    fn answer(&self, asked: Asked) -> Answering;

    /// What is told to whoever sends no whole request, in its time and its bounds.
    fn refuse(&self, status: StatusCode, why: String) -> Response {
        (status, why).into_response()
    }
}

/// With `Peer` among the extensions of each request.
impl Site for axum::Router {
    fn answer(&self, asked: Asked) -> Answering {
        let Asked { mut head, body, peer } = asked;
        head.extensions.insert(peer);
        let answer = self.clone().call(Request::from_parts(head, Body::from(body)));
        Box::pin(async move {
            let Ok(answer) = answer.await;
            answer
        })
    }
}
