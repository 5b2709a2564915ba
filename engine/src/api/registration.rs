//! Registration: messages that become wishes, one by one or in bulk.
//!
//! Owns what is asked of their bytes: that keys are fit to sign. Every other rule is the ledger's,
//! or that of who seals parties (`parties`). The same message gives the same wish, whether
//! it came alone or in an Import, so that either can be retried as the other.

use super::messages::{asked, asks, id, model, money};
use super::parties::{PartyAsked, party_asked, seal};
use super::proposals;
use super::status::invalid;
use crate::ledger::event::Cap;
use crate::ledger::{Caller, Request, Wish};
use crate::limits::{IMPORT_CHUNK, IMPORT_CHUNK_BYTES, IMPORT_CHUNKS, IMPORT_FAILURES_MAX};
use crate::pipeline::Done;
use crate::settle::{Clearing, Engine};
use crate::types::{Amount, AssetDef, AssetNumber, Lsn, PartyId, SignerKey};
use crate::verify::fit_key;
use prost::Message as _;
use std::collections::VecDeque;
use tallystick_proto::v1;
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

asks! {
    CreateAssetRequest "CreateAsset",
    UpsertPartyRequest "UpsertParty",
    AddSignerRequest "AddSigner",
    RevokeSignerRequest "RevokeSigner",
    SetCreditLimitRequest "SetCreditLimit",
    RecordDepositRequest "RecordDeposit",
}

/// A wish, and the request that it comes with.
pub(super) type Asked = (Request, Wish);

pub(super) fn asset_wish(message: v1::CreateAssetRequest) -> Result<Asked, Status> {
    let (request, message) = asked(message)?;
    let model = model(message.model)?;
    let asset = message.asset.ok_or_else(|| invalid("asset is missing"))?;
    let (number, code, scale) = (AssetNumber(asset.number), asset.code, asset.scale);
    let asset = AssetDef { number, code, scale, model };
    Ok((request, Wish::CreateAsset { asset }))
}

pub(super) fn signer_wish(message: v1::AddSignerRequest) -> Result<Asked, Status> {
    let (request, message) = asked(message)?;
    let wanted = message.signer.ok_or_else(|| invalid("signer is missing"))?;
    let signer: SignerKey = id(&wanted.signer, "signer")?;
    let party: PartyId = id(&wanted.party_id, "party_id")?;
    if wanted.revoked {
        return Err(invalid("a signer cannot be added as revoked; add it, then call RevokeSigner"));
    }
    let fit = fit_key(signer).map_err(|error| invalid(format!("signer {signer}: {error}")))?;
    let cap = |cap: &v1::Cap| Cap { asset: AssetNumber(cap.asset), amount: Amount(cap.amount) };
    let mut caps: Vec<Cap> = wanted.caps.iter().map(cap).collect();
    caps.sort_unstable();
    Ok((request, Wish::AddSigner { signer: fit, party, caps }))
}

pub(super) fn revocation_wish(message: v1::RevokeSignerRequest) -> Result<Asked, Status> {
    let (request, message) = asked(message)?;
    let signer: SignerKey = id(&message.signer, "signer")?;
    Ok((request, Wish::RevokeSigner { signer }))
}

pub(super) fn limit_wish(message: v1::SetCreditLimitRequest) -> Result<Asked, Status> {
    let (request, message) = asked(message)?;
    let party: PartyId = id(&message.party_id, "party_id")?;
    let (asset, limit) = (AssetNumber(message.asset), money(&message.limit, "limit")?);
    Ok((request, Wish::SetCreditLimit { party, asset, limit }))
}

pub(super) fn deposit_wish(message: v1::RecordDepositRequest) -> Result<Asked, Status> {
    let (request, message) = asked(message)?;
    let party: PartyId = id(&message.party_id, "party_id")?;
    let (asset, amount) = (AssetNumber(message.asset), money(&message.amount, "amount")?);
    Ok((request, Wish::RecordDeposit { party, asset, amount, reference: message.reference }))
}

/// An item that was checked; a party is sealed next, with all those of its chunk.
enum Checked {
    Party(PartyAsked),
    Done(Result<Asked, Status>),
}

fn check_item(item: v1::ImportRequest, clearing: &Clearing) -> Checked {
    Checked::Done(match item.item {
        Some(v1::import_request::Item::Party(party)) => match party_asked(party, clearing) {
            Ok(asked) => return Checked::Party(asked),
            Err(status) => Err(status),
        },
        Some(v1::import_request::Item::Signer(signer)) => signer_wish(signer),
        Some(v1::import_request::Item::Limit(limit)) => limit_wish(limit),
        Some(v1::import_request::Item::Deposit(deposit)) => deposit_wish(deposit),
        None => Err(invalid("the item is empty, or of a kind that this engine does not know")),
    })
}

/// The items of one chunk as wishes, in order.
fn wishes(engine: &Engine, chunk: Vec<v1::ImportRequest>) -> Wishes {
    let (mut wishes, mut asked) = (Vec::new(), Vec::new());
    for item in chunk {
        wishes.push(match check_item(item, engine.clearing()) {
            Checked::Done(done) => Some(done),
            Checked::Party(party) => {
                asked.push(party);
                None
            }
        });
    }
    let mut sealed = seal(engine, asked).into_iter();
    let next = |done: Option<_>| done.or_else(|| sealed.next()).expect("each party was sealed");
    wishes.into_iter().map(next).collect()
}

/// Items of one chunk as wishes, or why they are none.
type Wishes = Vec<Result<Asked, Status>>;

/// An Import under way: chunks are checked side by side, and done in order.
struct Import<'a> {
    engine: &'a Engine,
    caller: Caller,
    checking: VecDeque<JoinHandle<Wishes>>,
    next_index: u64,
    /// Items that an earlier call did, with the record that did.
    before: Vec<(u64, Lsn)>,
    response: v1::ImportResponse,
}

/// Does an Import: every item on its own, in order.
pub(super) async fn import(
    engine: &Engine,
    caller: Caller,
    mut items: Streaming<v1::ImportRequest>,
) -> Result<v1::ImportResponse, Status> {
    let checking = VecDeque::with_capacity(IMPORT_CHUNKS);
    let response = v1::ImportResponse::default();
    let before = Vec::new();
    let mut import = Import { engine, caller, checking, next_index: 0, before, response };
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
    import.look_back().await?;
    Ok(import.response)
}

impl Import<'_> {
    fn check(&mut self, chunk: Vec<v1::ImportRequest>) {
        let engine = self.engine.clone();
        let check = move || wishes(&engine, chunk);
        self.checking.push_back(tokio::task::spawn_blocking(check));
    }

    async fn finish_one(&mut self) -> Result<(), Status> {
        let Some(checked) = self.checking.pop_front() else { return Ok(()) };
        let wishes = checked.await.expect("checking items does not panic");
        let first = self.next_index;
        let (mut indexes, mut commands) = (Vec::new(), Vec::new());
        let mut failures = Vec::new();
        for (index, wish) in (first..).zip(wishes) {
            self.next_index = index + 1;
            match wish {
                Ok((request, wish)) => {
                    indexes.push(index);
                    commands.push(wish.by(self.caller.clone(), request));
                }
                Err(status) => failures.push((index, status.message().to_owned())),
            }
        }
        let done = self.engine.tell_all(commands).await?;
        for (index, done) in indexes.into_iter().zip(done) {
            match done {
                Ok(Done::Now(lsn)) => {
                    self.response.applied += 1;
                    let proposal = proposals::made_by(self.engine, lsn);
                    self.response.proposals.extend(Some(proposal).filter(|of| !of.is_empty()));
                }
                Ok(Done::Before(lsn)) => {
                    self.response.applied += 1;
                    let proposal = proposals::made_by(self.engine, lsn);
                    match proposal.is_empty() {
                        true => self.before.push((index, lsn)),
                        // It still waits for another.
                        false => self.response.proposals.push(proposal),
                    }
                }
                Err(refusal) => failures.push((index, refusal.to_string())),
            }
        }
        self.fail(failures);
        Ok(())
    }

    /// What an earlier call did, was applied then; but not what it proposed, and nobody confirmed.
    async fn look_back(&mut self) -> Result<(), Status> {
        let before = std::mem::take(&mut self.before);
        let lsns = before.iter().map(|(_, lsn)| *lsn).collect();
        let gone = proposals::gone(self.engine, lsns).await?;
        let (over, before): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|(_, lsn)| gone.contains(lsn));
        let count = |list: &[_]| u64::try_from(list.len()).expect("a length fits 64 bits");
        self.response.applied -= count(&over);
        self.response.applied_before = count(&before);
        let why = "an earlier import proposed it, and that was withdrawn or has expired: nothing was applied; \
                   propose it anew (`tallystick import --again`; a deposit needs another request_id)";
        self.fail(over.into_iter().map(|(index, _)| (index, why.to_owned())).collect());
        Ok(())
    }

    fn fail(&mut self, mut failures: Vec<(u64, String)>) {
        failures.sort_unstable();
        let room = IMPORT_FAILURES_MAX - self.response.failures.len().min(IMPORT_FAILURES_MAX);
        let failures = failures.into_iter().take(room);
        let message = |(index, reason)| v1::ImportFailure { index, reason };
        self.response.failures.extend(failures.map(message));
    }
}
