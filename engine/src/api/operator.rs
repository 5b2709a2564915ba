//! The `Operator` service: each call, and where it is done.

use super::auth::caller;
use super::door::{Places, Visits};
use super::held::{Edge, Settlement};
use super::messages::{
    asset_message, exposure_message, id, key_tables_message, party_message, request,
    signer_message, window_message,
};
use super::read::{Streamed, batch_id, sealed, streamed, window, windows};
use super::registration::Asked;
use super::status::{busy, not_done, refused};
use super::{
    batches, evidence, history, legs, reconcile, registration, settlement, troubles,
    windows as disputes,
};
use crate::ledger::control::{PartyEntry, SignerEntry};
use crate::ledger::{Caller, Exposure, Refusal, Wish};
use crate::limits::{EXPORTS_MAX, IMPORTS_MAX, LISTS_MAX};
use crate::log;
use crate::pipeline::{Done, Intake};
use crate::sign::EngineKey;
use crate::types::{AssetNumber, PartyId, Timestamp, WindowNumber};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tallystick_proto::v1;
use tonic::{Request, Response, Status, Streaming};

/// The service.
pub struct OperatorApi {
    intake: Intake,
    engine_key: Arc<EngineKey>,
    /// One key follows another at a time.
    rotating: tokio::sync::Mutex<()>,
    settlement: Settlement,
    started_at: Timestamp,
    window_every: Option<Duration>,
    exports: Places,
    lists: Places,
    imports: Places,
    edge: Edge,
}

type Answer<T> = Result<Response<T>, Status>;

impl OperatorApi {
    /// The service on this pipeline. `started_at` and `window_every` are only reported.
    #[must_use]
    pub fn new(
        intake: Intake,
        engine_key: Arc<EngineKey>,
        settlement: Settlement,
        started_at: Timestamp,
        window_every: Option<Duration>,
        edge: Edge,
    ) -> Self {
        Self {
            intake,
            engine_key,
            rotating: tokio::sync::Mutex::default(),
            settlement,
            started_at,
            window_every,
            exports: Places::new("exports", EXPORTS_MAX),
            lists: Places::new("lists", LISTS_MAX),
            imports: Places::new("imports", IMPORTS_MAX),
            edge,
        }
    }

    async fn wish(&self, caller: Caller, (request, wish): Asked) -> Result<Done, Status> {
        self.intake.command(wish.by(caller, request)).await.map_err(|r| not_done(&r))
    }

    async fn read<T>(
        &self,
        read: impl FnOnce(&crate::ledger::Control) -> Result<T, Refusal>,
    ) -> Result<T, Status> {
        let found = self.intake.read(read).await.map_err(|b| busy(&b))?;
        found.map_err(|r| refused(&r))
    }

    /// Does what changes an exposure; answers with the exposure that it gave, also to a retry.
    async fn expose(
        &self,
        caller: Caller,
        asked: Asked,
        (party, asset): (PartyId, AssetNumber),
    ) -> Answer<v1::Exposure> {
        let lsn = self.wish(caller, asked).await?.lsn();
        let exposure = self.intake.exposure_at(party, lsn).await.map_err(|b| busy(&b))?;
        Ok(Response::new(exposure_message(party, asset, exposure)))
    }
}

#[tonic::async_trait]
impl v1::operator_server::Operator for OperatorApi {
    async fn create_asset(&self, request: Request<v1::CreateAssetRequest>) -> Answer<v1::Asset> {
        let caller = caller(&request);
        let asked = registration::asset_wish(request.into_inner())?;
        let Wish::CreateAsset { asset, .. } = &asked.1 else { unreachable!("an asset is created") };
        let message = asset_message(asset);
        self.wish(caller, asked).await?;
        Ok(Response::new(message))
    }

    async fn upsert_party(&self, request: Request<v1::UpsertPartyRequest>) -> Answer<v1::Party> {
        let caller = caller(&request);
        let asked = registration::party_wish(request.into_inner(), &self.settlement.clearing)?;
        let Wish::UpsertParty { party, name, suspended, accounts, .. } = &asked.1 else {
            unreachable!("a party is registered")
        };
        let (name, accounts) = (name.clone(), accounts.clone());
        let entry = PartyEntry { name, suspended: *suspended, accounts };
        let message = party_message(*party, &entry);
        self.wish(caller, asked).await?;
        Ok(Response::new(message))
    }

    async fn get_party(&self, request: Request<v1::GetPartyRequest>) -> Answer<v1::Party> {
        let party: PartyId = id(&request.into_inner().party_id, "party_id")?;
        let read = self.read(|control| Ok(party_message(party, control.party(party)?)));
        read.await.map(Response::new)
    }

    async fn add_signer(&self, request: Request<v1::AddSignerRequest>) -> Answer<v1::Signer> {
        let caller = caller(&request);
        let message = request.into_inner();
        // Checking a key takes tens of microseconds: not on a network thread.
        let check = tokio::task::spawn_blocking(move || registration::signer_wish(message));
        let asked = check.await.expect("checking a key does not panic")?;
        let Wish::AddSigner { signer, party, caps, .. } = &asked.1 else {
            unreachable!("a signer is added")
        };
        let entry = SignerEntry { party: *party, revoked: false, caps: caps.clone() };
        let message = signer_message(*signer, &entry);
        self.wish(caller, asked).await?;
        Ok(Response::new(message))
    }

    async fn revoke_signer(&self, request: Request<v1::RevokeSignerRequest>) -> Answer<v1::Signer> {
        let caller = caller(&request);
        let asked = registration::revocation_wish(request.into_inner())?;
        let Wish::RevokeSigner { signer, .. } = &asked.1 else {
            unreachable!("a signer is revoked")
        };
        let signer = *signer;
        self.wish(caller, asked).await?;
        let read = self.read(|control| Ok(signer_message(signer, control.signer(signer)?)));
        read.await.map(Response::new)
    }

    async fn set_credit_limit(
        &self,
        request: Request<v1::SetCreditLimitRequest>,
    ) -> Answer<v1::Exposure> {
        let caller = caller(&request);
        let asked = registration::limit_wish(request.into_inner())?;
        let Wish::SetCreditLimit { party, asset, .. } = &asked.1 else {
            unreachable!("a limit is set")
        };
        let (party, asset) = (*party, *asset);
        self.expose(caller, asked, (party, asset)).await
    }

    async fn record_deposit(
        &self,
        request: Request<v1::RecordDepositRequest>,
    ) -> Answer<v1::Exposure> {
        let caller = caller(&request);
        let asked = registration::deposit_wish(request.into_inner())?;
        let Wish::RecordDeposit { party, asset, .. } = &asked.1 else {
            unreachable!("a deposit is recorded")
        };
        let (party, asset) = (*party, *asset);
        self.expose(caller, asked, (party, asset)).await
    }

    async fn get_exposure(&self, request: Request<v1::GetExposureRequest>) -> Answer<v1::Exposure> {
        let asked = request.into_inner();
        let (party, asset) =
            (id::<PartyId>(&asked.party_id, "party_id")?, AssetNumber(asked.asset));
        self.read(|control| {
            control.party(party)?;
            control.asset(asset).map(|_| ())
        })
        .await?;
        let exposure: Exposure = self.intake.exposure(party, asset).await.map_err(|b| busy(&b))?;
        Ok(Response::new(exposure_message(party, asset, exposure)))
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Answer<v1::ImportResponse> {
        let (_place, caller) = (self.imports.take(&request)?, caller(&request));
        let (clearing, items) = (&self.settlement.clearing, request.into_inner());
        registration::import(&self.intake, caller, clearing, items).await.map(Response::new)
    }

    async fn close_window(&self, message: Request<v1::CloseWindowRequest>) -> Answer<v1::Window> {
        let (caller, mut message) = (caller(&message), message.into_inner());
        let request_id = std::mem::take(&mut message.request_id);
        let request = request(request_id, "CloseWindow", &message)?;
        let cut = self.wish(caller, (request, Wish::CloseWindow)).await?.lsn();
        // The root is part of the answer, so the answer waits for the seal.
        let sealed = self.intake.read_when(|control| {
            let window = control.window_cut_by(cut).expect("the record closed a window");
            window.sealed.as_ref().map(|_| window_message(window, 0))
        });
        let mut window = sealed.await.map_err(|b| busy(&b))?;
        window.state = v1::WindowState::Closed.into();
        Ok(Response::new(window))
    }

    async fn get_window(&self, request: Request<v1::GetWindowRequest>) -> Answer<v1::Window> {
        let number = WindowNumber(request.into_inner().number);
        window(&self.intake, number).await.map(Response::new)
    }

    type ListWindowsStream = Streamed<v1::Window>;
    async fn list_windows(
        &self,
        request: Request<v1::ListWindowsRequest>,
    ) -> Answer<Self::ListWindowsStream> {
        let place = self.lists.take(&request)?;
        Ok(Response::new(streamed(place, windows(&self.intake).await?.into_iter())))
    }

    type ListObligationsStream = Streamed<v1::Obligation>;
    async fn list_obligations(
        &self,
        request: Request<v1::WindowAssetRequest>,
    ) -> Answer<Self::ListObligationsStream> {
        let place = self.lists.take(&request)?;
        let page = sealed(&self.intake, &self.settlement.archive, request.get_ref()).await?;
        Ok(Response::new(page.obligations(place)))
    }

    type ListNetObligationsStream = Streamed<v1::Obligation>;
    async fn list_net_obligations(
        &self,
        request: Request<v1::WindowAssetRequest>,
    ) -> Answer<Self::ListNetObligationsStream> {
        let place = self.lists.take(&request)?;
        let page = sealed(&self.intake, &self.settlement.archive, request.get_ref()).await?;
        Ok(Response::new(page.net_obligations(place)))
    }

    type ListNetPositionsStream = Streamed<v1::NetPosition>;
    async fn list_net_positions(
        &self,
        request: Request<v1::WindowAssetRequest>,
    ) -> Answer<Self::ListNetPositionsStream> {
        let place = self.lists.take(&request)?;
        let page = sealed(&self.intake, &self.settlement.archive, request.get_ref()).await?;
        Ok(Response::new(page.net_positions(place)))
    }

    async fn dispute_window(
        &self,
        request: Request<v1::DisputeWindowRequest>,
    ) -> Answer<v1::Window> {
        let caller = caller(&request);
        let window = disputes::dispute(&self.intake, caller, request.into_inner());
        window.await.map(Response::new)
    }

    async fn end_dispute(&self, request: Request<v1::EndDisputeRequest>) -> Answer<v1::Window> {
        let caller = caller(&request);
        let window = disputes::end_dispute(&self.intake, caller, request.into_inner());
        window.await.map(Response::new)
    }

    async fn create_batch(&self, request: Request<v1::CreateBatchRequest>) -> Answer<v1::Batch> {
        let (caller, four_eyes) = (caller(&request), self.settlement.four_eyes);
        let batch = batches::create(
            &self.intake,
            &self.settlement.archive,
            &self.engine_key,
            &self.settlement.clearing,
            (caller, four_eyes),
            request.into_inner(),
        );
        batch.await.map(Response::new)
    }

    async fn get_batch(&self, request: Request<v1::GetBatchRequest>) -> Answer<v1::Batch> {
        let batch = batch_id(request.get_ref())?;
        batches::get(&self.intake, batch).await.map(Response::new)
    }

    type ListBatchesStream = Streamed<v1::Batch>;
    async fn list_batches(
        &self,
        request: Request<v1::ListBatchesRequest>,
    ) -> Answer<Self::ListBatchesStream> {
        let place = self.lists.take(&request)?;
        Ok(Response::new(streamed(place, batches::list(&self.intake).await?.into_iter())))
    }

    type ListLegsStream = Streamed<v1::Leg>;
    async fn list_legs(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Answer<Self::ListLegsStream> {
        let place = self.lists.take(&request)?;
        let batch = batch_id(request.get_ref())?;
        let archive = &self.settlement.archive;
        legs::list(&self.intake, archive, place, batch).await.map(Response::new)
    }

    async fn approve_batch(&self, request: Request<v1::ApproveBatchRequest>) -> Answer<v1::Batch> {
        let nudge = &self.settlement.nudge;
        let caller = caller(&request);
        let batch = batches::approve(&self.intake, nudge, caller, request.into_inner());
        batch.await.map(Response::new)
    }

    async fn abort_batch(&self, request: Request<v1::AbortBatchRequest>) -> Answer<v1::Batch> {
        let caller = caller(&request);
        batches::abort(&self.intake, caller, request.into_inner()).await.map(Response::new)
    }

    async fn report_legs(&self, request: Request<v1::ReportLegsRequest>) -> Answer<v1::Batch> {
        let Settlement { archive, nudge, .. } = &self.settlement;
        let caller = caller(&request);
        let legs::Reported { batch, moved } =
            legs::report(&self.intake, archive, nudge, caller, request.into_inner()).await?;
        let batch = batches::get(&self.intake, batch).await?;
        Ok(Response::new(v1::Batch { legs_moved: moved, ..batch }))
    }

    async fn resolve_leg(&self, request: Request<v1::ResolveLegRequest>) -> Answer<v1::Leg> {
        let Settlement { archive, nudge, .. } = &self.settlement;
        let caller = caller(&request);
        let leg = legs::resolve(&self.intake, archive, nudge, caller, request.into_inner());
        leg.await.map(Response::new)
    }

    async fn get_reconciliation(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Answer<v1::Reconciliation> {
        let _place = self.lists.take(&request)?;
        let batch = batch_id(request.get_ref())?;
        let Settlement { archive, troubles, folders, nudge, .. } = &self.settlement;
        let wrong = (troubles, folders, nudge.held());
        let report = reconcile::report(&self.intake, archive, wrong, batch);
        report.await.map(Response::new)
    }

    type ListTroublesStream = Streamed<v1::Trouble>;
    async fn list_troubles(
        &self,
        request: Request<v1::ListTroublesRequest>,
    ) -> Answer<Self::ListTroublesStream> {
        let place = self.lists.take(&request)?;
        troubles::list(&self.intake, place, request.into_inner()).await.map(Response::new)
    }

    async fn ack_troubles(
        &self,
        request: Request<v1::AckTroublesRequest>,
    ) -> Answer<v1::AckTroublesResponse> {
        let caller = caller(&request);
        troubles::ack(&self.intake, caller, request.into_inner()).await.map(Response::new)
    }

    type ListHistoryStream = Streamed<v1::HistoryEntry>;
    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Answer<Self::ListHistoryStream> {
        let place = self.lists.take(&request)?;
        history::list(&self.intake, place, request.into_inner()).await.map(Response::new)
    }

    type ExportBatchStream = Streamed<v1::ExportChunk>;
    async fn export_batch(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Answer<Self::ExportBatchStream> {
        let place = self.exports.take(&request)?;
        let batch = batch_id(request.get_ref())?;
        let archive = &self.settlement.archive;
        batches::export(&self.intake, archive, place, batch).await.map(Response::new)
    }

    type ExportEvidenceStream = Streamed<v1::DocumentChunk>;
    async fn export_evidence(
        &self,
        request: Request<v1::ExportEvidenceRequest>,
    ) -> Answer<Self::ExportEvidenceStream> {
        let (place, archive) = (self.exports.take(&request)?, &self.settlement.archive);
        let export =
            evidence::export(&self.intake, archive, &self.engine_key, place, request.into_inner());
        export.await.map(Response::new)
    }

    type GetProofStream = Streamed<v1::DocumentChunk>;
    async fn get_proof(
        &self,
        request: Request<v1::GetProofRequest>,
    ) -> Answer<Self::GetProofStream> {
        let (place, archive) = (self.exports.take(&request)?, &self.settlement.archive);
        let proof = evidence::proof(&self.intake, archive, place, request.into_inner());
        proof.await.map(Response::new)
    }

    async fn rotate_engine_key(
        &self,
        request: Request<v1::RotateEngineKeyRequest>,
    ) -> Answer<v1::EngineKey> {
        let _alone = self.rotating.lock().await;
        let (caller, message) = (caller(&request), request.into_inner());
        let rotated = evidence::rotate(&self.intake, &self.engine_key, caller, message);
        rotated.await.map(Response::new)
    }

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Answer<v1::Status> {
        let count = |n: usize| u64::try_from(n).expect("a count fits 64 bits");
        let figures = self.intake.figures().await.map_err(|b| busy(&b))?;
        let (network, window, (parties, signers), batches, (engine_key, ids, ids_max)) = self
            .read(|control| {
                let (network, window) = (control.genesis().network, control.open_window().number);
                let ids = control.request_count();
                let own = (control.engine_key(), ids, control.requests_max());
                Ok((network, window, control.counts(), control.batch_count(), own))
            })
            .await?;
        let (verify, threads) = self.intake.verifying();
        let meters = self.intake.meters();
        let every = self.window_every.map_or(0, |every| every.as_millis());
        let (settling, open, kept) = self
            .read(|control| {
                let open = count(control.troubles().count());
                Ok((settlement::batches(control), open, troubles::sentences(control, None)))
            })
            .await?;
        let standing = settlement::troubles(&self.settlement.troubles);
        Ok(Response::new(v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network_id: Bytes::copy_from_slice(&network.0),
            durable_lsn: self.intake.durable_lsn().0,
            open_window: window.0,
            window_vouchers: figures.credited,
            verify_backend: verify.backend.name().to_owned(),
            verify_threads: u32::try_from(threads).expect("threads are few"),
            shards: u32::from(self.intake.shards()),
            parties: count(parties),
            signers: count(signers),
            channels: figures.channels,
            batches: count(batches),
            started_at_us: self.started_at.0,
            inflight_vouchers: self.intake.inflight_vouchers(),
            vouchers_verified: meters.verified(),
            cpu_total_us: meters.cpu_total_us(),
            cpu_verify_us: meters.cpu_verify_us(),
            window_every_ms: u64::try_from(every).unwrap_or(u64::MAX),
            verify_backend_text: verify.backend.description().to_owned(),
            verify_tables: vec![
                key_tables_message("small", verify.small),
                key_tables_message("large", verify.large),
            ],
            verify_rejects_confirmed: verify.confirmed,
            verify_alarms: verify.alarms,
            engine_key: engine_key.map_or(Bytes::new(), |key| Bytes::copy_from_slice(&key.0)),
            schedule: settlement::schedule(&self.settlement.board),
            batches_by_state: settling.by_state,
            legs_in_flight: settling.in_flight,
            legs_unknown: settling.unknown,
            troubles: standing.into_iter().chain(kept).collect(),
            troubles_open: open,
            operators: u32::try_from(self.settlement.operators).expect("operators are few"),
            four_eyes: self.settlement.four_eyes,
            request_ids: count(ids),
            request_ids_max: count(ids_max),
            log_lines_lost: log::lost(),
            connections: count(self.edge.visits.get().map_or(0, Visits::here)),
            connections_turned_away: self.edge.visits.get().map_or(0, Visits::turned_away),
            tokens_refused: self.edge.refused.count(),
        }))
    }
}
