//! The engine's words as messages, and the fields of messages as the engine's words.

use super::status::{invalid, refused};
use super::trail;
use crate::ledger::control::SignerEntry;
use crate::ledger::{
    AssetSeal, BatchHead, Exposure, Leg, LegFacts, LegState, Legs, Obligation, Position, Proposal,
    RailAccount, Request, WindowEntry, WindowState,
};
use crate::settle::{Engine, Signature};
use crate::types::{
    AssetDef, AssetNumber, BatchId, ChannelId, Digest, Lsn, PartyId, SettlementModel, SignerKey,
    Total, content_digest,
};
use crate::vault::Shown;
use crate::verify::{self, TierStatus};
use bytes::Bytes;
use prost::Message;
use tallystick_proto::v1;
use tonic::Status;

/// An id of 32 bytes.
pub(super) trait Id32: Sized {
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! id32 {
    ($($name:ident),*) => {
        $(impl Id32 for $name {
            fn read(bytes: &[u8]) -> Option<Self> {
                Self::from_slice(bytes)
            }
        })*
    };
}
id32!(PartyId, SignerKey, BatchId, Digest);

/// Reads an id; INVALID_ARGUMENT names the field when it is not 32 bytes.
pub(super) fn id<T: Id32>(bytes: &[u8], field: &str) -> Result<T, Status> {
    let length = bytes.len();
    trail::names(field, || data_encoding::HEXLOWER.encode(&bytes[..length.min(32)]));
    T::read(bytes)
        .ok_or_else(|| invalid(format!("{field} has {length} bytes, it must have 32 bytes")))
}

/// Reads a limit or deposit.
pub(super) fn money(text: &str, field: &str) -> Result<Total, Status> {
    text.parse().map_err(|error| invalid(format!("{field}: {error}")))
}

/// The channel that a message names, and its signer.
pub(super) fn channel(
    engine: &Engine,
    message: &v1::GetChannelRequest,
) -> Result<(SignerKey, ChannelId), Status> {
    let signer: SignerKey = id(&message.signer, "signer")?;
    let payee: PartyId = id(&message.payee, "payee")?;
    let (asset, hasher) = (AssetNumber(message.asset), engine.hasher());
    Ok((signer, hasher.channel_of(signer, payee, asset, message.lane, message.expires_at)))
}

/// A message by which something is asked for under a request id.
pub(super) trait Asks: Message {
    /// What it asks for: part of what the request is compared by, so it is for ever.
    const CALL: &'static str;

    /// Takes the request id out of it.
    fn take_id(&mut self) -> String;

    /// Takes the caller's signature out of it: it is no part of what is asked for.
    fn take_signature(&mut self) -> Bytes {
        Bytes::new()
    }
}

/// Says so of messages, each beside what is done with it, and of those that are signed, in which
/// field.
macro_rules! asks {
    ($($message:ident $call:literal $($signature:ident)?),* $(,)?) => {
        $(impl $crate::api::messages::Asks for v1::$message {
            const CALL: &'static str = $call;

            fn take_id(&mut self) -> String {
                std::mem::take(&mut self.request_id)
            }

            $(fn take_signature(&mut self) -> bytes::Bytes {
                std::mem::take(&mut self.$signature)
            })?
        })*
    };
}
pub(super) use asks;

/// The request that a message comes with, and the message without its id.
pub(super) fn asked<M: Asks>(message: M) -> Result<(Request, M), Status> {
    let (request, message, _) = asked_signed(message)?;
    Ok((request, message))
}

/// The same of a message that may be signed, with the signature. Who repeats a call may have
/// another key by then, so that the content is without it.
pub(super) fn asked_signed<M: Asks>(
    mut message: M,
) -> Result<(Request, M, Option<Signature>), Status> {
    let (id, signature) = (message.take_id(), message.take_signature());
    trail::is_request(&id);
    let content = content_digest(M::CALL, &message.encode_to_vec());
    let request = Request { id, content };
    // Before anything is computed for it.
    request.check().map_err(|r| refused(&r))?;
    let signature = match signature.len() {
        0 => None,
        _ => Some(signature_of(&signature, "signature")?),
    };
    Ok((request, message, signature))
}

/// Reads a signature; INVALID_ARGUMENT names the field when it is not 64 bytes.
pub(super) fn signature_of(bytes: &[u8], field: &str) -> Result<Signature, Status> {
    let length = bytes.len();
    Signature::try_from(bytes)
        .map_err(|_| invalid(format!("{field} has {length} bytes, it must have 64 bytes")))
}

/// A place in the engine's logs, opaque to whoever gets it: which form this is, which log, and
/// where in it. Empty for no place.
pub(super) fn position(lsn: Lsn) -> Bytes {
    const FORM: u8 = 1;
    const LOG: u16 = 0;
    if lsn == Lsn(0) {
        return Bytes::new();
    }
    let (log, lsn) = (LOG.to_le_bytes(), lsn.0.to_le_bytes());
    Bytes::copy_from_slice(&[&[FORM][..], &log, &lsn].concat())
}

pub(super) fn bytes(id: &[u8; 32]) -> Bytes {
    Bytes::copy_from_slice(id)
}

pub(super) fn asset_message(asset: &AssetDef) -> v1::Asset {
    v1::Asset { number: asset.number.0, code: asset.code.clone(), scale: asset.scale }
}

/// An asset, and how it is settled.
pub(super) fn asset_listed(asset: &AssetDef) -> v1::AssetListed {
    let model = match asset.model {
        SettlementModel::Bilateral => v1::SettlementModel::Bilateral,
        SettlementModel::Multilateral => v1::SettlementModel::Multilateral,
    };
    v1::AssetListed { asset: Some(asset_message(asset)), model: model.into() }
}

pub(super) fn model(value: i32) -> Result<SettlementModel, Status> {
    match v1::SettlementModel::try_from(value) {
        Ok(v1::SettlementModel::Bilateral) => Ok(SettlementModel::Bilateral),
        Ok(v1::SettlementModel::Multilateral) => Ok(SettlementModel::Multilateral),
        Ok(v1::SettlementModel::Unspecified) | Err(_) => Err(invalid(format!(
            "model {value} is not known; say BILATERAL (1) or MULTILATERAL (2)"
        ))),
    }
}

pub(super) fn party_message(
    party: PartyId,
    shown: Shown,
    (suspended, erased): (bool, bool),
) -> v1::Party {
    let account = |on: RailAccount| {
        (on.rail, v1::SettlementAccount { fields: on.fields.into_iter().collect() })
    };
    let accounts = shown.accounts.into_iter().map(account).collect();
    v1::Party {
        party_id: bytes(&party.0),
        name: shown.name,
        suspended,
        accounts,
        erased,
        ..v1::Party::default()
    }
}

pub(super) fn signer_message(signer: SignerKey, entry: &SignerEntry) -> v1::Signer {
    let cap =
        |cap: &crate::ledger::event::Cap| v1::Cap { asset: cap.asset.0, amount: cap.amount.0 };
    v1::Signer {
        signer: bytes(&signer.0),
        party_id: bytes(&entry.party.0),
        revoked: entry.revoked,
        caps: entry.caps.iter().map(cap).collect(),
        proposal: Bytes::new(),
    }
}

pub(super) fn exposure_message(
    party: PartyId,
    asset: AssetNumber,
    exposure: Exposure,
) -> v1::Exposure {
    v1::Exposure {
        party_id: bytes(&party.0),
        asset: asset.0,
        credit_limit: exposure.limit.to_string(),
        prefund: exposure.prefund.to_string(),
        unsettled: exposure.unsettled.to_string(),
        proposal: Bytes::new(),
    }
}

pub(super) fn window_state(state: WindowState) -> v1::WindowState {
    match state {
        WindowState::Open => v1::WindowState::Open,
        WindowState::Closed => v1::WindowState::Closed,
        WindowState::Batched => v1::WindowState::Batched,
        WindowState::Disputed => v1::WindowState::Disputed,
        WindowState::Settled => v1::WindowState::Settled,
    }
}

/// A window as it stands. `credited` is only known to the shards while it is open.
pub(super) fn window_message(window: &WindowEntry, credited_if_open: u64) -> v1::Window {
    let state = window_state(window.state());
    let (cut_lsn, cut_at) = window.cut.map_or((0, 0), |(lsn, at)| (lsn.0, at.0));
    let sealed = window.sealed.as_deref();
    v1::Window {
        number: window.number.0,
        state: state.into(),
        first_lsn: window.first_lsn.0,
        cut_lsn,
        root: sealed.map_or(Bytes::new(), |sealed| bytes(&sealed.root.0)),
        vouchers_credited: sealed.map_or(credited_if_open, |sealed| sealed.credited),
        totals: sealed
            .map_or(Vec::new(), |sealed| sealed.assets.iter().map(totals_message).collect()),
        cut_at_us: cut_at,
        dispute: window.dispute.clone().unwrap_or_default(),
        archive_digest: window.archive.map_or(Bytes::new(), |archive| bytes(&archive.digest.0)),
        archive_bytes: window.archive.map_or(0, |archive| archive.bytes),
    }
}

fn totals_message(sealed: &AssetSeal) -> v1::WindowTotals {
    v1::WindowTotals {
        asset: sealed.asset.0,
        pairs: sealed.totals.pairs,
        gross: sealed.totals.gross.to_string(),
        net_pairs: sealed.totals.net_pairs,
        net_bilateral: sealed.totals.net_bilateral.to_string(),
        positions: sealed.totals.positions,
        net_multilateral: sealed.totals.net_multilateral.to_string(),
        carried_in: sealed.carried_in.to_string(),
    }
}

pub(super) fn obligation_message(asset: AssetNumber, owed: &Obligation) -> v1::Obligation {
    v1::Obligation {
        payer: bytes(&owed.payer.0),
        payee: bytes(&owed.payee.0),
        asset: asset.0,
        amount: owed.amount.to_string(),
    }
}

pub(super) fn position_message(asset: AssetNumber, position: &Position) -> v1::NetPosition {
    let party_id = bytes(&position.party.0);
    v1::NetPosition { party_id, asset: asset.0, amount: position.net.to_string() }
}

pub(super) fn batch_message(head: &BatchHead, state: v1::BatchState) -> v1::Batch {
    v1::Batch {
        batch_id: bytes(&head.id.0),
        state: state.into(),
        windows: head.windows.iter().map(|window| window.0).collect(),
        asset: head.asset.number.0,
        rail: head.policy.rail.name().to_owned(),
        legs: head.leg_count,
        total: head.total.to_string(),
        carried: head.carried.to_string(),
        pay_in_legs: head.pay_in_count,
        pay_in_total: head.pay_in_total.to_string(),
        advanced: head.advanced().to_string(),
        owed_again: Total::ZERO.to_string(),
        ..v1::Batch::default()
    }
}

pub(super) fn leg_state(state: LegState) -> v1::LegState {
    match state {
        LegState::Ready => v1::LegState::Ready,
        LegState::Sent => v1::LegState::Sent,
        LegState::Accepted => v1::LegState::Accepted,
        LegState::Unknown => v1::LegState::Unknown,
        LegState::Confirmed => v1::LegState::Confirmed,
        LegState::Rejected => v1::LegState::Rejected,
        LegState::Returned => v1::LegState::Returned,
    }
}

pub(super) fn proposal_message(key: &str, proposal: &Proposal) -> v1::LegProposal {
    v1::LegProposal {
        key: key.to_owned(),
        operator: proposal.operator.clone(),
        state: leg_state(proposal.to).into(),
        rail_reference: proposal.reference.clone(),
        evidence: proposal.evidence.clone(),
    }
}

/// A leg as it stands; `place` is its place among the batch's legs.
pub(super) fn leg_message(leg: &Leg, place: u32, legs: &Legs) -> v1::Leg {
    let facts = legs.facts(place).cloned().unwrap_or_default();
    leg_as_known(leg, legs.state(place), facts, legs.proposed().get(&place))
}

/// A leg, and what is known of it.
pub(super) fn leg_as_known(
    leg: &Leg,
    state: LegState,
    facts: LegFacts,
    proposal: Option<&Proposal>,
) -> v1::Leg {
    v1::Leg {
        key: leg.key.clone(),
        from: bytes(&leg.payment.from.0),
        to: bytes(&leg.payment.to.0),
        amount: leg.payment.amount.to_string(),
        state: leg_state(state).into(),
        rail_reference: facts.reference.into(),
        reason: facts.reason.into(),
        proposal: proposal.map(|p| proposal_message(&leg.key, p)),
    }
}

pub(super) fn key_tables_messages(status: &verify::Status) -> Vec<v1::KeyTables> {
    let tiers = [("small", status.small), ("large", status.large), ("hot", status.hot)];
    let message = |(tier, of): (&str, TierStatus)| {
        let TierStatus { capacity, tables, built, evicted } = of;
        v1::KeyTables { tier: tier.to_owned(), capacity, tables, built, evicted }
    };
    tiers.map(message).into()
}
