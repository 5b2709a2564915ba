//! Registration: messages that become events, one by one or in bulk.
//!
//! Owns the checks that need nothing but the message itself and the configuration. The same message gives the same event,
//! whether it came alone or in an Import, so that either can be retried as the other.

use super::messages::{id, model, money, request, text};
use super::status::{busy, invalid};
use crate::ledger::Event;
use crate::ledger::control::Command;
use crate::ledger::event::{
    AssetCreated, Cap, CreditLimitSet, DepositRecorded, PartyUpserted, SignerAdded, SignerRevoked,
};
use crate::limits::{
    ACCOUNTS_MAX, CAPS_MAX, IMPORT_CHUNK, IMPORT_CHUNK_BYTES, IMPORT_CHUNKS, IMPORT_FAILURES_MAX,
};
use crate::pipeline::Intake;
use crate::rails;
use crate::settle::Clearing;
use crate::types::{Amount, AssetDef, AssetNumber, PartyId, SignerKey};
use crate::verify::check_key;
use prost::Message as _;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tallystick_proto::v1;
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

pub(super) fn asset_event(mut message: v1::CreateAssetRequest) -> Result<Event, Status> {
    let id = std::mem::take(&mut message.request_id);
    let request = request(id, "CreateAsset", &message)?;
    let model = model(message.model)?;
    let asset = message.asset.ok_or_else(|| invalid("asset is missing"))?;
    let (number, code, scale) = (AssetNumber(asset.number), asset.code, asset.scale);
    let asset = AssetDef { number, code, scale, model };
    asset.check().map_err(|error| invalid(error.to_string()))?;
    Ok(Event::AssetCreated(AssetCreated { request, asset }))
}

/// `clearing` has the operator's own accounts: no party's may be one of them.
pub(super) fn party_event(
    mut message: v1::UpsertPartyRequest,
    clearing: &Clearing,
) -> Result<Event, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "UpsertParty", &message)?;
    let v1::Party { party_id, name, suspended, accounts } =
        message.party.ok_or_else(|| invalid("party is missing"))?;
    let party: PartyId = id(&party_id, "party_id")?;
    if party == PartyId::CLEARING {
        return Err(invalid("party_id is all zero, which stands for the clearing account"));
    }
    if accounts.len() > ACCOUNTS_MAX {
        return Err(invalid(format!("a party may have accounts on {ACCOUNTS_MAX} rails at most")));
    }
    let account = |(rail, account): (String, v1::SettlementAccount)| {
        let checked = rails::check_account(&rail, &account.fields)
            .and_then(|account| rails::check_apart(&account, clearing).map(|()| account));
        checked.map_err(|error| invalid(format!("account on rail {rail:?}: {error}")))
    };
    let accounts = accounts.into_iter().map(account).collect::<Result<_, _>>()?;
    let name = text(name, "name")?;
    Ok(Event::PartyUpserted(PartyUpserted { request, party, name, suspended, accounts }))
}

pub(super) fn signer_event(mut message: v1::AddSignerRequest) -> Result<Event, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "AddSigner", &message)?;
    let asked = message.signer.ok_or_else(|| invalid("signer is missing"))?;
    let signer: SignerKey = id(&asked.signer, "signer")?;
    let party: PartyId = id(&asked.party_id, "party_id")?;
    if asked.revoked {
        return Err(invalid("a signer cannot be added as revoked; add it, then call RevokeSigner"));
    }
    check_key(signer).map_err(|error| invalid(format!("signer {signer}: {error}")))?;
    let caps = caps(&asked.caps)?;
    Ok(Event::SignerAdded(SignerAdded { request, signer, party, caps }))
}

/// Caps, ordered by asset.
fn caps(asked: &[v1::Cap]) -> Result<Vec<Cap>, Status> {
    if asked.len() > CAPS_MAX {
        return Err(invalid(format!("a signer may have {CAPS_MAX} caps at most")));
    }
    let cap = |cap: &v1::Cap| Cap { asset: AssetNumber(cap.asset), amount: Amount(cap.amount) };
    let mut caps: Vec<Cap> = asked.iter().map(cap).collect();
    caps.sort_unstable();
    let assets: BTreeSet<AssetNumber> = caps.iter().map(|cap| cap.asset).collect();
    if assets.len() < caps.len() {
        return Err(invalid("a signer may have one cap an asset; an asset is named twice"));
    }
    Ok(caps)
}

pub(super) fn revocation_event(mut message: v1::RevokeSignerRequest) -> Result<Event, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "RevokeSigner", &message)?;
    let signer: SignerKey = id(&message.signer, "signer")?;
    Ok(Event::SignerRevoked(SignerRevoked { request, signer }))
}

pub(super) fn limit_event(mut message: v1::SetCreditLimitRequest) -> Result<Event, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "SetCreditLimit", &message)?;
    let party: PartyId = id(&message.party_id, "party_id")?;
    let (asset, limit) = (AssetNumber(message.asset), money(&message.limit, "limit")?);
    Ok(Event::CreditLimitSet(CreditLimitSet { request, party, asset, limit }))
}

pub(super) fn deposit_event(mut message: v1::RecordDepositRequest) -> Result<Event, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "RecordDeposit", &message)?;
    let party: PartyId = id(&message.party_id, "party_id")?;
    let (asset, amount) = (AssetNumber(message.asset), money(&message.amount, "amount")?);
    if amount == crate::types::Total::ZERO {
        return Err(invalid("amount is 0; a deposit moves money"));
    }
    let reference = text(message.reference, "reference")?;
    Ok(Event::DepositRecorded(DepositRecorded { request, party, asset, amount, reference }))
}

fn import_event(item: v1::ImportRequest, clearing: &Clearing) -> Result<Event, Status> {
    match item.item {
        Some(v1::import_request::Item::Party(party)) => party_event(party, clearing),
        Some(v1::import_request::Item::Signer(signer)) => signer_event(signer),
        Some(v1::import_request::Item::Limit(limit)) => limit_event(limit),
        Some(v1::import_request::Item::Deposit(deposit)) => deposit_event(deposit),
        None => Err(invalid("the item is empty, or of a kind that this engine does not know")),
    }
}

/// Items of one chunk as events, or why they are none.
type Events = Vec<Result<Event, Status>>;

/// An Import under way: chunks are checked side by side, and done in order.
struct Import<'a> {
    intake: &'a Intake,
    clearing: &'a Arc<Clearing>,
    checking: VecDeque<JoinHandle<Events>>,
    next_index: u64,
    response: v1::ImportResponse,
}

/// Does an Import: every item on its own, in order.
pub(super) async fn import(
    intake: &Intake,
    clearing: &Arc<Clearing>,
    mut items: Streaming<v1::ImportRequest>,
) -> Result<v1::ImportResponse, Status> {
    let checking = VecDeque::with_capacity(IMPORT_CHUNKS);
    let response = v1::ImportResponse::default();
    let mut import = Import { intake, clearing, checking, next_index: 0, response };
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while let Some(item) = items.message().await? {
        bytes += item.encoded_len();
        chunk.push(item);
        if chunk.len() == IMPORT_CHUNK || bytes >= IMPORT_CHUNK_BYTES {
            bytes = 0;
            import.check(std::mem::take(&mut chunk));
        }
        if import.checking.len() == IMPORT_CHUNKS {
            import.finish_one().await?;
        }
    }
    import.check(chunk);
    while !import.checking.is_empty() {
        import.finish_one().await?;
    }
    Ok(import.response)
}

impl Import<'_> {
    fn check(&mut self, chunk: Vec<v1::ImportRequest>) {
        let clearing = self.clearing.clone();
        let check = move || chunk.into_iter().map(|item| import_event(item, &clearing)).collect();
        self.checking.push_back(tokio::task::spawn_blocking(check));
    }

    async fn finish_one(&mut self) -> Result<(), Status> {
        let Some(checked) = self.checking.pop_front() else { return Ok(()) };
        let events = checked.await.expect("checking items does not panic");
        let first = self.next_index;
        let (mut indexes, mut commands) = (Vec::new(), Vec::new());
        let mut failures = Vec::new();
        for (index, event) in (first..).zip(events) {
            self.next_index = index + 1;
            match event {
                Ok(event) => {
                    indexes.push(index);
                    commands.push(Command::Record(event));
                }
                Err(status) => failures.push((index, status.message().to_owned())),
            }
        }
        let done = self.intake.commands(commands).await.map_err(|b| busy(&b))?;
        for (index, done) in indexes.into_iter().zip(done) {
            match done {
                Ok(_) => self.response.applied += 1,
                Err(refusal) => failures.push((index, refusal.to_string())),
            }
        }
        failures.sort_unstable();
        let room = IMPORT_FAILURES_MAX - self.response.failures.len().min(IMPORT_FAILURES_MAX);
        let failures = failures.into_iter().take(room);
        let message = |(index, reason)| v1::ImportFailure { index, reason };
        self.response.failures.extend(failures.map(message));
        Ok(())
    }
}
