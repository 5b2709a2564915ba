//! The operators' service of a node, as far as it is called here.

use super::One;
use std::convert::Infallible;
use std::task::{Context, Poll};
use tallystick_client::wire::{
    CloseWindowRequest, ConsoleLogin, CreateConsoleLoginRequest, Window,
};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

#[derive(Clone)]
pub struct OperatorPart(pub One);

impl NamedService for OperatorPart {
    const NAME: &'static str = "tallystick.v1.Operator";
}

impl Service<Request<Body>> for OperatorPart {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let one = self.0.clone();
        Box::pin(async move {
            let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match &*call {
                "CloseWindow" => {
                    let codec = ProstCodec::<Window, CloseWindowRequest>::default();
                    Grpc::new(codec).unary(CloseWindow(one), request).await
                }
                "CreateConsoleLogin" => {
                    let codec = ProstCodec::<ConsoleLogin, CreateConsoleLoginRequest>::default();
                    Grpc::new(codec).unary(Login(one), request).await
                }
                _ => Status::new(Code::Unimplemented, call).into_http(),
            })
        })
    }
}

struct CloseWindow(One);

impl UnaryService<CloseWindowRequest> for CloseWindow {
    type Response = Window;
    type Future = BoxFuture<tonic::Response<Window>, Status>;

    fn call(&mut self, request: tonic::Request<CloseWindowRequest>) -> Self::Future {
        let one = self.0.clone();
        Box::pin(async move {
            let id = request.into_inner().request_id;
            let number = {
                let mut shared = one.called(&format!("CloseWindow {id}"))?;
                if let Some(word) = shared.word.clone() {
                    return Err(word);
                }
                let next = u64::try_from(shared.changes.len()).unwrap() + 1;
                *shared.changes.entry(id).or_insert(next)
            };
            one.answer().await;
            Ok(tonic::Response::new(Window { number, ..Window::default() }))
        })
    }
}

struct Login(One);

impl UnaryService<CreateConsoleLoginRequest> for Login {
    type Response = ConsoleLogin;
    type Future = BoxFuture<tonic::Response<ConsoleLogin>, Status>;

    fn call(&mut self, _: tonic::Request<CreateConsoleLoginRequest>) -> Self::Future {
        let one = self.0.clone();
        Box::pin(async move {
            drop(one.called("CreateConsoleLogin")?);
            one.answer().await;
            Ok(tonic::Response::new(ConsoleLogin { code: "c".into(), ..ConsoleLogin::default() }))
        })
    }
}
