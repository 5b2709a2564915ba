//! Calls that anybody may make, as fast as they are answered.

use super::attack::{Attack, STREAMS, one};
use crate::error::Error;
use crate::x402::http::Connection;
use std::sync::atomic::{AtomicBool, Ordering};
use tallystick_proto::v1::GetNetworkRequest;
use tallystick_proto::v1::vouchers_client::VouchersClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

/// Questions on one call of reflection.
const QUESTIONS: usize = 64;
/// What is asked over HTTP, in turn.
const PATHS: [&str; 3] = ["/livez", "/readyz", "/supported"];

impl Attack {
    /// Asks on a connection over gRPC, so many at once, until it is told to go.
    pub(super) async fn ask(&self, stop: &AtomicBool) -> Result<(), Error> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address));
        let wrong = |error: &dyn std::fmt::Display| Error::Engine(error.to_string());
        let endpoint = endpoint.map_err(|error| wrong(&error))?;
        let channel = endpoint.connect().await.map_err(|error| wrong(&error))?;
        one(&self.connections);
        let (mut asking, mut count) = (JoinSet::new(), 0_usize);
        while !stop.load(Ordering::Relaxed) {
            while asking.len() < STREAMS {
                asking.spawn(ask_one(channel.clone(), count % 3));
                count += 1;
            }
            let answered = asking.join_next().await;
            one(&self.calls);
            if let Some(Ok(false)) = answered {
                one(&self.refused);
            }
        }
        Ok(())
    }

    /// Asks on a connection over HTTP, one question after the other, until it is told to go.
    pub(super) async fn ask_over_http(&self, stop: &AtomicBool) -> Result<(), Error> {
        let mut connection = Connection::open(&self.http).await?;
        one(&self.connections);
        for path in PATHS.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let status = connection.get(path).await?;
            one(&self.calls);
            if status != 200 {
                one(&self.refused);
            }
        }
        Ok(())
    }
}

/// Asks one thing. Says whether it was answered.
async fn ask_one(channel: Channel, what: usize) -> bool {
    match what {
        0 => VouchersClient::new(channel).get_network(GetNetworkRequest {}).await.is_ok(),
        1 => {
            let all = HealthCheckRequest { service: String::new() };
            HealthClient::new(channel).check(all).await.is_ok()
        }
        _ => {
            let question = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let questions = tokio_stream::iter(std::iter::repeat_n(question, QUESTIONS));
            let mut client = ServerReflectionClient::new(channel);
            let Ok(answer) = client.server_reflection_info(questions).await else { return false };
            let mut answers = answer.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        }
    }
}
