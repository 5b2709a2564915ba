//! The `Operator` service: each call, and where it is done.

mod service;
mod stands;
pub use service::OperatorApi;

use super::access::{caller, entrant, own};
use super::messages::id;
use super::now::Watching;
use super::read::{Streamed, batch_id, sealed, streamed, window, windows as windows_listed};
use super::{
    audit_lines, backups, batches, budgets, console, evidence, history, identities, legs, lists,
    operator_keys, parties, proposals, reconcile, registration, statement, troubles, windows,
};
use crate::types::{PartyId, WindowNumber};
use service::Answer;
use tallystick_proto::v1;
use tonic::{Request, Response, Streaming};

#[tonic::async_trait]
impl v1::operator_server::Operator for OperatorApi {
    async fn create_asset(&self, request: Request<v1::CreateAssetRequest>) -> Answer<v1::Asset> {
        let caller = caller(&request);
        self.new_asset(caller, request.into_inner()).await
    }

    async fn list_assets(
        &self,
        _: Request<v1::ListAssetsRequest>,
    ) -> Answer<v1::ListAssetsResponse> {
        lists::assets(&self.engine).await.map(Response::new)
    }

    async fn list_parties(
        &self,
        request: Request<v1::ListPartiesRequest>,
    ) -> Answer<v1::ListPartiesResponse> {
        let _place = self.lists.take(&request)?;
        lists::parties(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn list_signers(
        &self,
        request: Request<v1::ListSignersRequest>,
    ) -> Answer<v1::ListSignersResponse> {
        let _place = self.lists.take(&request)?;
        own(&request).of_party(&request.get_ref().party_id)?;
        lists::signers(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn find_ids(&self, request: Request<v1::FindIdsRequest>) -> Answer<v1::FindIdsResponse> {
        let _place = self.lists.take(&request)?;
        lists::ids(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn find_legs(
        &self,
        request: Request<v1::FindLegsRequest>,
    ) -> Answer<v1::FindLegsResponse> {
        let _place = self.lists.take(&request)?;
        own(&request).of_parties(&request.get_ref().party_ids)?;
        lists::legs(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn get_statement(
        &self,
        request: Request<v1::GetStatementRequest>,
    ) -> Answer<v1::GetStatementResponse> {
        let (_place, own) = (self.lists.take(&request)?, own(&request));
        statement::get(&self.engine, &own, request.into_inner()).await.map(Response::new)
    }

    async fn upsert_party(&self, request: Request<v1::UpsertPartyRequest>) -> Answer<v1::Party> {
        let (caller, message) = (caller(&request), request.into_inner());
        parties::upsert(&self.engine, caller, message).await.map(Response::new)
    }

    async fn erase_party(&self, request: Request<v1::ErasePartyRequest>) -> Answer<v1::Party> {
        let (caller, message) = (caller(&request), request.into_inner());
        let party = parties::erase(&self.engine, self.erasing.clone(), caller, message);
        party.await.map(Response::new)
    }

    async fn get_party(&self, request: Request<v1::GetPartyRequest>) -> Answer<v1::Party> {
        let party: PartyId = id(&request.get_ref().party_id, "party_id")?;
        own(&request).party(party)?;
        parties::get(&self.engine, party).await.map(Response::new)
    }

    async fn add_signer(&self, request: Request<v1::AddSignerRequest>) -> Answer<v1::Signer> {
        let (caller, own) = (caller(&request), own(&request));
        self.new_signer(caller, own, request.into_inner()).await
    }

    async fn revoke_signer(&self, request: Request<v1::RevokeSignerRequest>) -> Answer<v1::Signer> {
        let (caller, own) = (caller(&request), own(&request));
        self.no_signer(caller, own, request.into_inner()).await
    }

    async fn set_budgets(&self, request: Request<v1::SetBudgetsRequest>) -> Answer<v1::Budgets> {
        let (caller, own) = (caller(&request), own(&request));
        own.signer(&self.engine, id(&request.get_ref().signer, "signer")?)?;
        budgets::set(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_budgets(&self, request: Request<v1::GetBudgetsRequest>) -> Answer<v1::Budgets> {
        own(&request).signer(&self.engine, id(&request.get_ref().signer, "signer")?)?;
        budgets::get(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn set_credit_limit(
        &self,
        request: Request<v1::SetCreditLimitRequest>,
    ) -> Answer<v1::Exposure> {
        let caller = caller(&request);
        self.limit(caller, request.into_inner()).await
    }

    async fn record_deposit(
        &self,
        request: Request<v1::RecordDepositRequest>,
    ) -> Answer<v1::Exposure> {
        let caller = caller(&request);
        self.deposit(caller, request.into_inner()).await
    }

    async fn get_exposure(&self, request: Request<v1::GetExposureRequest>) -> Answer<v1::Exposure> {
        let own = own(&request);
        parties::exposure(&self.engine, &own, request.into_inner()).await.map(Response::new)
    }

    async fn list_exposures(
        &self,
        request: Request<v1::ListExposuresRequest>,
    ) -> Answer<v1::ListExposuresResponse> {
        let _place = self.lists.take(&request)?;
        lists::exposures(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Answer<v1::ImportResponse> {
        let (_place, caller) = (self.imports.take(&request)?, caller(&request));
        let items = request.into_inner();
        registration::import(&self.engine, caller, items).await.map(Response::new)
    }

    async fn close_window(&self, request: Request<v1::CloseWindowRequest>) -> Answer<v1::Window> {
        let caller = caller(&request);
        windows::close(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_window(&self, request: Request<v1::GetWindowRequest>) -> Answer<v1::Window> {
        let number = WindowNumber(request.into_inner().number);
        window(&self.engine, number).await.map(Response::new)
    }

    type ListWindowsStream = Streamed<v1::Window>;
    async fn list_windows(
        &self,
        request: Request<v1::ListWindowsRequest>,
    ) -> Answer<Self::ListWindowsStream> {
        let place = self.lists.take(&request)?;
        let found = windows_listed(&self.engine, request.into_inner()).await?;
        Ok(Response::new(streamed(place, found.into_iter())))
    }

    type ListObligationsStream = Streamed<v1::Obligation>;
    async fn list_obligations(
        &self,
        request: Request<v1::WindowAssetRequest>,
    ) -> Answer<Self::ListObligationsStream> {
        let place = self.lists.take(&request)?;
        let page = sealed(&self.engine, &request).await?;
        Ok(Response::new(page.obligations(place).await))
    }

    type ListNetObligationsStream = Streamed<v1::Obligation>;
    async fn list_net_obligations(
        &self,
        request: Request<v1::WindowAssetRequest>,
    ) -> Answer<Self::ListNetObligationsStream> {
        let place = self.lists.take(&request)?;
        let page = sealed(&self.engine, &request).await?;
        Ok(Response::new(page.net_obligations(place).await))
    }

    type ListNetPositionsStream = Streamed<v1::NetPosition>;
    async fn list_net_positions(
        &self,
        request: Request<v1::WindowAssetRequest>,
    ) -> Answer<Self::ListNetPositionsStream> {
        let place = self.lists.take(&request)?;
        let page = sealed(&self.engine, &request).await?;
        Ok(Response::new(page.net_positions(place).await))
    }

    async fn dispute_window(
        &self,
        request: Request<v1::DisputeWindowRequest>,
    ) -> Answer<v1::Window> {
        let caller = caller(&request);
        windows::dispute(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn end_dispute(&self, request: Request<v1::EndDisputeRequest>) -> Answer<v1::Window> {
        let caller = caller(&request);
        windows::end_dispute(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn create_batch(&self, request: Request<v1::CreateBatchRequest>) -> Answer<v1::Batch> {
        let caller = caller(&request);
        batches::create(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_batch(&self, request: Request<v1::GetBatchRequest>) -> Answer<v1::Batch> {
        let batch = batch_id(request.get_ref())?;
        batches::get(&self.engine, batch).await.map(Response::new)
    }

    type ListBatchesStream = Streamed<v1::Batch>;
    async fn list_batches(
        &self,
        request: Request<v1::ListBatchesRequest>,
    ) -> Answer<Self::ListBatchesStream> {
        let place = self.lists.take(&request)?;
        let found = batches::list(&self.engine, request.into_inner()).await?;
        Ok(Response::new(streamed(place, found.into_iter())))
    }

    type ListLegsStream = Streamed<v1::Leg>;
    async fn list_legs(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Answer<Self::ListLegsStream> {
        let place = self.lists.take(&request)?;
        let batch = batch_id(request.get_ref())?;
        legs::list(&self.engine, place, batch).await.map(Response::new)
    }

    async fn approve_batch(&self, request: Request<v1::ApproveBatchRequest>) -> Answer<v1::Batch> {
        let caller = caller(&request);
        batches::approve(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn abort_batch(&self, request: Request<v1::AbortBatchRequest>) -> Answer<v1::Batch> {
        let caller = caller(&request);
        batches::abort(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn report_legs(&self, request: Request<v1::ReportLegsRequest>) -> Answer<v1::Batch> {
        let caller = caller(&request);
        legs::report(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn resolve_leg(&self, request: Request<v1::ResolveLegRequest>) -> Answer<v1::Leg> {
        let caller = caller(&request);
        legs::resolve(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_reconciliation(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Answer<v1::Reconciliation> {
        let _place = self.lists.take(&request)?;
        let batch = batch_id(request.get_ref())?;
        let folders = &self.edge.folders;
        reconcile::report(&self.engine, folders, batch).await.map(Response::new)
    }

    type ListTroublesStream = Streamed<v1::Trouble>;
    async fn list_troubles(
        &self,
        request: Request<v1::ListTroublesRequest>,
    ) -> Answer<Self::ListTroublesStream> {
        let place = self.lists.take(&request)?;
        troubles::list(&self.engine, place, request.into_inner()).await.map(Response::new)
    }

    async fn ack_troubles(
        &self,
        request: Request<v1::AckTroublesRequest>,
    ) -> Answer<v1::AckTroublesResponse> {
        let caller = caller(&request);
        troubles::ack(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    type ListHistoryStream = Streamed<v1::HistoryEntry>;
    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Answer<Self::ListHistoryStream> {
        let place = self.lists.take(&request)?;
        own(&request).of_party(&request.get_ref().party_id)?;
        history::list(&self.engine, place, request.into_inner()).await.map(Response::new)
    }

    type ExportBatchStream = Streamed<v1::ExportChunk>;
    async fn export_batch(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Answer<Self::ExportBatchStream> {
        let place = self.exports.take(&request)?;
        let batch = batch_id(request.get_ref())?;
        batches::export(&self.engine, place, batch).await.map(Response::new)
    }

    type ExportEvidenceStream = Streamed<v1::DocumentChunk>;
    async fn export_evidence(
        &self,
        request: Request<v1::ExportEvidenceRequest>,
    ) -> Answer<Self::ExportEvidenceStream> {
        let place = self.exports.take(&request)?;
        evidence::export(&self.engine, place, request.into_inner()).await.map(Response::new)
    }

    type GetProofStream = Streamed<v1::DocumentChunk>;
    async fn get_proof(
        &self,
        request: Request<v1::GetProofRequest>,
    ) -> Answer<Self::GetProofStream> {
        let place = self.exports.take(&request)?;
        own(&request).one_of(&evidence::proved_of(request.get_ref())?)?;
        evidence::proof(&self.engine, place, request.into_inner()).await.map(Response::new)
    }

    async fn rotate_engine_key(
        &self,
        request: Request<v1::RotateEngineKeyRequest>,
    ) -> Answer<v1::EngineKey> {
        let caller = caller(&request);
        evidence::rotate(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn set_operator_key(
        &self,
        request: Request<v1::SetOperatorKeyRequest>,
    ) -> Answer<v1::OperatorKey> {
        let caller = caller(&request);
        operator_keys::set(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn add_webhook(&self, request: Request<v1::AddWebhookRequest>) -> Answer<v1::Webhook> {
        self.endpoints().add(request).await.map(Response::new)
    }

    async fn remove_webhook(
        &self,
        request: Request<v1::RemoveWebhookRequest>,
    ) -> Answer<v1::Webhook> {
        self.endpoints().remove(request).await.map(Response::new)
    }

    async fn rotate_webhook(
        &self,
        request: Request<v1::RotateWebhookRequest>,
    ) -> Answer<v1::Webhook> {
        self.endpoints().rotate(request).await.map(Response::new)
    }

    async fn list_webhooks(
        &self,
        request: Request<v1::ListWebhooksRequest>,
    ) -> Answer<v1::ListWebhooksResponse> {
        let _place = self.lists.take(&request)?;
        self.endpoints().list(&request).await.map(Response::new)
    }

    async fn replay_webhook(
        &self,
        request: Request<v1::ReplayWebhookRequest>,
    ) -> Answer<v1::Webhook> {
        self.endpoints().replay(&request).await.map(Response::new)
    }

    async fn test_webhook(
        &self,
        request: Request<v1::TestWebhookRequest>,
    ) -> Answer<v1::TestWebhookResponse> {
        self.endpoints().test(&request).await.map(Response::new)
    }

    async fn remove_operator_key(
        &self,
        request: Request<v1::RemoveOperatorKeyRequest>,
    ) -> Answer<v1::OperatorKey> {
        let caller = caller(&request);
        operator_keys::remove(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    type ListOperatorKeysStream = Streamed<v1::OperatorKey>;
    async fn list_operator_keys(
        &self,
        request: Request<v1::ListOperatorKeysRequest>,
    ) -> Answer<Self::ListOperatorKeysStream> {
        let place = self.lists.take(&request)?;
        Ok(Response::new(streamed(place, operator_keys::list(&self.engine).await?.into_iter())))
    }

    async fn add_identity(&self, request: Request<v1::AddIdentityRequest>) -> Answer<v1::Identity> {
        let caller = caller(&request);
        let added = identities::add(&self.engine, &self.edge, caller, request.into_inner());
        added.await.map(Response::new)
    }

    async fn revoke_identity(
        &self,
        request: Request<v1::RevokeIdentityRequest>,
    ) -> Answer<v1::Identity> {
        let caller = caller(&request);
        identities::revoke(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn rotate_identity(
        &self,
        request: Request<v1::RotateIdentityRequest>,
    ) -> Answer<v1::Identity> {
        let (caller, own) = (caller(&request), own(&request));
        own.named(&request.get_ref().name)?;
        identities::rotate(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    type ListIdentitiesStream = Streamed<v1::Identity>;
    async fn list_identities(
        &self,
        request: Request<v1::ListIdentitiesRequest>,
    ) -> Answer<Self::ListIdentitiesStream> {
        let (place, own) = (self.lists.take(&request)?, own(&request));
        let found = identities::list(&self.engine, &own).await?;
        Ok(Response::new(streamed(place, found.into_iter())))
    }

    type ListProposalsStream = Streamed<v1::Proposal>;
    async fn list_proposals(
        &self,
        request: Request<v1::ListProposalsRequest>,
    ) -> Answer<Self::ListProposalsStream> {
        let place = self.lists.take(&request)?;
        Ok(Response::new(streamed(place, proposals::list(&self.engine).await?.into_iter())))
    }

    async fn confirm_proposal(
        &self,
        request: Request<v1::ConfirmProposalRequest>,
    ) -> Answer<v1::Proposal> {
        let caller = caller(&request);
        proposals::confirm(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn withdraw_proposal(
        &self,
        request: Request<v1::WithdrawProposalRequest>,
    ) -> Answer<v1::Proposal> {
        let caller = caller(&request);
        proposals::withdraw(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn create_backup(&self, request: Request<v1::CreateBackupRequest>) -> Answer<v1::Backup> {
        // A key that is destroyed must not lie in a copy that is just being made here.
        let (turn, message) = (self.erasing.clone(), request.into_inner());
        backups::create(&self.engine, &self.edge, turn, message).await.map(Response::new)
    }

    async fn release_hold(&self, request: Request<v1::ReleaseHoldRequest>) -> Answer<v1::Hold> {
        let caller = caller(&request);
        backups::release(&self.engine, caller, request.into_inner()).await.map(Response::new)
    }

    async fn reveal_party(&self, request: Request<v1::GetPartyRequest>) -> Answer<v1::Party> {
        self.get_party(request).await
    }

    async fn create_console_login(
        &self,
        request: Request<v1::CreateConsoleLoginRequest>,
    ) -> Answer<v1::ConsoleLogin> {
        console::code(&self.edge.codes, entrant(&request)).map(Response::new)
    }

    async fn list_audit_log(
        &self,
        request: Request<v1::ListAuditLogRequest>,
    ) -> Answer<v1::ListAuditLogResponse> {
        let _place = self.lists.take(&request)?;
        audit_lines::list(&self.audit_log, request.into_inner()).await.map(Response::new)
    }

    type WatchNowStream = Watching;
    async fn watch_now(
        &self,
        request: Request<v1::WatchNowRequest>,
    ) -> Answer<Self::WatchNowStream> {
        self.now.watch(&request).map(Response::new)
    }

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Answer<v1::Status> {
        stands::status(self).await
    }
}
