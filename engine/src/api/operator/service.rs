//! What the calls of the service share: the engine, places for what takes long, and how a wish is
//! done.

use crate::api::access::Own;
use crate::api::door::Places;
use crate::api::endpoints::Endpoints;
use crate::api::held::Edge;
use crate::api::messages::{asset_message, exposure_message, signer_message};
use crate::api::now::Now;
use crate::api::registration::{self, Asked};
use crate::api::{proposals, trail};
use crate::ledger::control::SignerEntry;
use crate::ledger::{Caller, Wish};
use crate::limits::{EXPORTS_MAX, EXPORTS_OWN_MAX, IMPORTS_MAX, LISTS_MAX, LISTS_OWN_MAX};
use crate::pipeline::Done;
use crate::settle::Engine;
use crate::trail::AuditLog;
use crate::types::{AssetNumber, PartyId};
use std::sync::Arc;
use tallystick_proto::v1;
use tonic::{Response, Status};

/// The service.
pub struct OperatorApi {
    pub(super) engine: Engine,
    pub(super) edge: Edge,
    pub(super) now: Now,
    pub(super) audit_log: AuditLog,
    /// One party is erased at a time.
    pub(super) erasing: Arc<tokio::sync::Mutex<()>>,
    pub(super) exports: Places,
    pub(super) lists: Places,
    pub(super) imports: Places,
}

pub(super) type Answer<T> = Result<Response<T>, Status>;

impl OperatorApi {
    /// Where parties are told over HTTP.
    pub(super) fn endpoints(&self) -> Endpoints<'_> {
        Endpoints { engine: &self.engine, webhooks: &self.edge.webhooks }
    }

    /// The service of this engine.
    #[must_use]
    pub fn new(engine: Engine, (edge, now): (Edge, Now), audit_log: AuditLog) -> Self {
        Self {
            engine,
            edge,
            now,
            audit_log,
            erasing: Arc::default(),
            exports: Places::new("exports", EXPORTS_MAX, EXPORTS_OWN_MAX),
            lists: Places::new("lists", LISTS_MAX, LISTS_OWN_MAX),
            imports: Places::new("imports", IMPORTS_MAX, 0),
        }
    }

    /// Creates an asset.
    pub(super) async fn new_asset(
        &self,
        caller: Caller,
        message: v1::CreateAssetRequest,
    ) -> Answer<v1::Asset> {
        let asked = registration::asset_wish(message)?;
        let Wish::CreateAsset { asset, .. } = &asked.1 else { unreachable!("an asset is created") };
        let message = asset_message(asset);
        self.wish(caller, asked).await?;
        Ok(Response::new(message))
    }

    /// Sets how far a party may owe.
    pub(super) async fn limit(
        &self,
        caller: Caller,
        message: v1::SetCreditLimitRequest,
    ) -> Answer<v1::Exposure> {
        let asked = registration::limit_wish(message)?;
        let Wish::SetCreditLimit { party, asset, .. } = &asked.1 else {
            unreachable!("a limit is set")
        };
        let of = (*party, *asset);
        self.expose(caller, asked, of).await
    }

    /// Records a deposit.
    pub(super) async fn deposit(
        &self,
        caller: Caller,
        message: v1::RecordDepositRequest,
    ) -> Answer<v1::Exposure> {
        let asked = registration::deposit_wish(message)?;
        let Wish::RecordDeposit { party, asset, .. } = &asked.1 else {
            unreachable!("a deposit is recorded")
        };
        let of = (*party, *asset);
        self.expose(caller, asked, of).await
    }

    /// Adds a signer whose key is fit.
    pub(super) async fn new_signer(
        &self,
        caller: Caller,
        own: Own,
        message: v1::AddSignerRequest,
    ) -> Answer<v1::Signer> {
        // Checking a key takes tens of microseconds: not on a network thread.
        let asked = trail::aside(move || registration::signer_wish(message)).await?;
        let Wish::AddSigner { signer, party, caps, .. } = &asked.1 else {
            unreachable!("a signer is added")
        };
        own.party(*party)?;
        let entry = SignerEntry { party: *party, revoked: false, caps: caps.clone() };
        let message = signer_message(signer.key(), &entry);
        let done = self.wish(caller, asked).await?;
        let proposal = proposals::of(&self.engine, &done);
        Ok(Response::new(v1::Signer { proposal, ..message }))
    }

    /// Revokes a signer.
    pub(super) async fn no_signer(
        &self,
        caller: Caller,
        own: Own,
        message: v1::RevokeSignerRequest,
    ) -> Answer<v1::Signer> {
        let asked = registration::revocation_wish(message)?;
        let Wish::RevokeSigner { signer, .. } = &asked.1 else {
            unreachable!("a signer is revoked")
        };
        let signer = *signer;
        own.signer(&self.engine, signer)?;
        self.wish(caller, asked).await?;
        let signer = self.engine.ask(|control| Ok(signer_message(signer, control.signer(signer)?)));
        Ok(Response::new(signer.await?))
    }

    pub(super) async fn wish(
        &self,
        caller: Caller,
        (request, wish): Asked,
    ) -> Result<Done, Status> {
        Ok(self.engine.tell(wish.by(caller, request)).await?)
    }

    /// Does what changes an exposure; answers with the exposure that it gave, also to a retry.
    pub(super) async fn expose(
        &self,
        caller: Caller,
        asked: Asked,
        (party, asset): (PartyId, AssetNumber),
    ) -> Answer<v1::Exposure> {
        let lsn = self.wish(caller, asked).await?.lsn();
        let proposal = proposals::made_by(&self.engine, lsn);
        if !proposal.is_empty() {
            let exposure = self.engine.exposure(party, asset).await?;
            let message = exposure_message(party, asset, exposure);
            return Ok(Response::new(v1::Exposure { proposal, ..message }));
        }
        // It can be forgotten between being found and being asked for.
        let exposure = self.engine.exposure_at(party, lsn).await?.ok_or_else(|| {
            Status::aborted(
                "this request was answered so long ago that what it gave is not remembered any \
                 more, or it proposed something, and that is over; nothing has changed. Ask for the party's exposure",
            )
        })?;
        Ok(Response::new(exposure_message(party, asset, exposure)))
    }
}
