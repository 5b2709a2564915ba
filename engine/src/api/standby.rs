//! What an engine answers that stands by: which network this is, and who owns its journal. Every
//! other call is refused with that, so that whoever calls goes there.

use crate::limits::FRAME_VOUCHERS_MAX;
use crate::types::{BUNDLE_ENTRIES_MAX, NetworkId};
use axum::body::Body;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tallystick_proto::v1;
use tallystick_proto::v1::vouchers_server::VouchersServer;
use tokio_stream::Stream;
use tonic::metadata::MetadataValue;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// Under which name a refusal says where the owner is.
const OWNER: &str = "tallystick-owner";

/// What is known of the network and of its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Of the journal: its network, and the longest life of a voucher in seconds.
    pub network: Option<(NetworkId, i64)>,
    /// What the owner is called.
    pub owner: Option<String>,
    /// Where clients reach it, as `HOST:PORT`.
    pub address: Option<String>,
    /// The last record that is applied here.
    pub position: u64,
    /// Why this node could not take over now; none: it could.
    pub cannot: Option<String>,
}

/// Answers for an engine that stands by. Cheap to clone.
#[derive(Clone, Default)]
pub struct Standby(Arc<Mutex<Told>>);

impl Standby {
    /// From here on this is known.
    pub fn tell(&self, told: Told) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    /// What is known.
    #[must_use]
    pub fn told(&self) -> Told {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In words: that it stands by, and for whom.
    #[must_use]
    pub fn words(&self) -> String {
        let Told { owner, address, position, cannot, .. } = self.told();
        let owner = match (owner, address) {
            (Some(owner), Some(address)) => format!("{owner} at {address} owns the journal"),
            (Some(owner), None) => format!("{owner} owns the journal"),
            (None, _) => "nobody is known to own the journal at the moment".to_owned(),
        };
        let can = cannot.map_or_else(
            || "it can take over".to_owned(),
            |why| format!("it cannot take over: {why}"),
        );
        format!("standby: {owner}; this node has applied record {position}, and {can}")
    }

    fn refusal(&self) -> Status {
        let mut status = Status::unavailable(format!("this node is a {}", self.words()));
        let address = self.told().address;
        if let Some(address) = address.and_then(|of| MetadataValue::try_from(of).ok()) {
            status.metadata_mut().insert(OWNER, address);
        }
        status
    }

    /// With what is served beside it (health, what it understands).
    #[must_use]
    pub fn behind(&self, beside: Routes) -> Routes {
        let routes = beside.add_service(VouchersServer::new(self.clone()));
        let of = self.clone();
        // Whatever else is called.
        let refuse = move || {
            let refusal = of.refusal().into_http::<Body>();
            async { refusal }
        };
        Routes::from(routes.into_axum_router().fallback(refuse))
    }
}

#[tonic::async_trait]
impl v1::vouchers_server::Vouchers for Standby {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<v1::Ack, Status>> + Send>>;

    async fn stream(
        &self,
        _: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        Err(self.refusal())
    }

    async fn submit(&self, _: Request<v1::Frame>) -> Result<Response<v1::Ack>, Status> {
        Err(self.refusal())
    }

    async fn get_channel(
        &self,
        _: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        Err(self.refusal())
    }

    async fn get_receipt(
        &self,
        _: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Receipt>, Status> {
        Err(self.refusal())
    }

    async fn get_headroom(
        &self,
        _: Request<v1::GetHeadroomRequest>,
    ) -> Result<Response<v1::GetHeadroomResponse>, Status> {
        Err(self.refusal())
    }

    async fn get_network(
        &self,
        _: Request<v1::GetNetworkRequest>,
    ) -> Result<Response<v1::Network>, Status> {
        let Told { network, address, .. } = self.told();
        let Some((network, lifetime)) = network else { return Err(self.refusal()) };
        Ok(Response::new(v1::Network {
            network_id: Bytes::copy_from_slice(&network.0),
            frame_vouchers_max: u32::try_from(FRAME_VOUCHERS_MAX).expect("a small number"),
            voucher_lifetime_seconds_max: lifetime,
            assets: Vec::new(),
            bundle_entries_max: u32::try_from(BUNDLE_ENTRIES_MAX).expect("a small number"),
            owner: address.unwrap_or_default(),
            standby: true,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_where_the_owner_is_where_that_is_known() {
        let standby = Standby::default();
        let said = standby.refusal();
        assert!(said.message().contains("nobody is known to own"), "{said}");
        assert!(said.metadata().get(OWNER).is_none());
        let (owner, address) = (Some("a".to_owned()), Some("n1:7450".to_owned()));
        standby.tell(Told { owner, address, position: 7, ..Told::default() });
        let said = standby.refusal();
        assert!(said.message().contains("a at n1:7450 owns the journal"), "{said}");
        assert_eq!(said.metadata().get(OWNER).unwrap(), "n1:7450");
        assert_eq!(said.code(), tonic::Code::Unavailable);
    }
}
