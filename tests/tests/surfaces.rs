//! What every gRPC tool expects of a server: health, reflection, and errors with the right codes.

use std::collections::BTreeSet;
use tallystick_tests::wire::{Frame, GetStatusRequest};
use tallystick_tests::{Client, Engine, refused, until};
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

const SERVICES: [&str; 2] = ["tallystick.v1.Operator", "tallystick.v1.Vouchers"];

async fn channel(engine: &Engine) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", engine.address())).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn health_is_told_for_the_server_and_for_each_service() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &[]);
    let mut health = HealthClient::new(channel(&engine).await);
    for service in ["", SERVICES[0], SERVICES[1]] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.get_ref().status(), ServingStatus::Serving, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nonsense".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
    drop(health);
    engine.stop().await;
}

async fn reflect(engine: &Engine, ask: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(channel(engine).await);
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let stream = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer: ServerReflectionResponse = stream.into_inner().message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

#[tokio::test]
async fn reflection_describes_both_services() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &[]);
    let MessageResponse::ListServicesResponse(list) =
        reflect(&engine, MessageRequest::ListServices(String::new())).await
    else {
        panic!("another kind of answer");
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(SERVICES.iter().all(|service| names.contains(*service)), "{names:?}");
    let ask = MessageRequest::FileContainingSymbol(SERVICES[0].into());
    let MessageResponse::FileDescriptorResponse(files) = reflect(&engine, ask).await else {
        panic!("another kind of answer");
    };
    // A descriptor holds its names as they are written.
    let text: Vec<_> =
        files.file_descriptor_proto.iter().map(|f| String::from_utf8_lossy(f)).collect();
    for name in ["CloseWindow", "GetStatus", "CreateBatch"] {
        assert!(text.iter().any(|file| file.contains(name)), "nothing of {name}");
    }
}

#[tokio::test]
async fn messages_beyond_the_limit_and_unknown_calls_are_refused_and_the_engine_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &[]);
    let mut client = Client::connect(&engine).await;
    let huge = Frame { frame_id: 1, packed: vec![0; 5 << 20].into(), ..Frame::default() };
    let answer = client.vouchers.submit(huge).await.unwrap_err();
    let codes =
        [tonic::Code::OutOfRange, tonic::Code::ResourceExhausted, tonic::Code::InvalidArgument];
    assert!(codes.contains(&answer.code()), "{answer:?}");
    let none = Frame { frame_id: 1, packed: vec![0; 161].into(), ..Frame::default() };
    refused(client.vouchers.submit(none).await, tonic::Code::InvalidArgument, "160");
    let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.inflight_vouchers, 0, "what was refused is not under way");
}

/// How often the engine's thread of that name has gone to sleep on its own; `None` while it has no
/// name.
fn rests(engine: &Engine, thread: &str) -> Option<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", engine.id())).expect("it runs");
    let named = |path: &std::path::Path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == thread)
    };
    let task = tasks.flatten().map(|task| task.path()).find(|path| named(path))?;
    let status = std::fs::read_to_string(task.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Some(line.and_then(|count| count.trim().parse().ok()).expect("the system counts them"))
}

#[test]
fn the_settler_rests_when_there_is_nothing_to_do_and_no_webhooks_come() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&dir.path().join("data"), &[]);
    // Ten times a second. A thread that looks again and again without a pause is put to sleep by
    // others, and goes on its own only when a lock is taken: a few times in the minutes that
    // `until` waits.
    until("the settler has rested often", || rests(&engine, "settler").filter(|n| *n >= 20));
    engine.terminate();
}
