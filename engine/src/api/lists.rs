//! Lists by the page, and what people look for: parties by name, ids by their first digits, legs by
//! what is known of them. One call costs a bounded amount of work and says where to go on.

use super::batches::batch_state;
use super::messages::{
    asset_listed, exposure_message, id, leg_as_known, leg_state, money, party_message,
    signer_message,
};
use super::status::{invalid, storage};
use crate::journal::JournalError;
use crate::ledger::control::{PartyEntry, SignerEntry};
use crate::ledger::{LegState, Legs};
use crate::limits::{CANDIDATES_MAX, FIND_PARTIES, LOOK_MAX, NAMES_MAX, PAGE_MAX};
use crate::settle::{Engine, FindLegs, FindNext, FoundLeg};
use crate::types::{AssetNumber, BatchId, Lsn, PartyId, SignerKey, Timestamp, ids_named};
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Status;

/// All assets.
pub(super) async fn assets(engine: &Engine) -> Result<v1::ListAssetsResponse, Status> {
    let assets = engine.ask(|control| Ok(control.assets().map(asset_listed).collect())).await?;
    Ok(v1::ListAssetsResponse { assets })
}

/// How many entries a page may have.
fn page(limit: u32) -> usize {
    match limit as usize {
        0 => PAGE_MAX,
        some => some.min(PAGE_MAX),
    }
}

/// An id that may be left out.
pub(super) fn optional<T: super::messages::Id32>(
    bytes: &[u8],
    field: &str,
) -> Result<Option<T>, Status> {
    if bytes.is_empty() { Ok(None) } else { id(bytes, field).map(Some) }
}

/// A page of parties: those that come next, those that are named, or those whose name holds a text.
pub(super) async fn parties(
    engine: &Engine,
    asked: v1::ListPartiesRequest,
) -> Result<v1::ListPartiesResponse, Status> {
    let v1::ListPartiesRequest { after, limit, name, party_ids } = asked;
    if !party_ids.is_empty() {
        return parties_of(engine, &party_ids).await;
    }
    let (after, limit) = (optional::<PartyId>(&after, "after")?, page(limit));
    let looked = if name.is_empty() { limit } else { LOOK_MAX };
    let (found, last) = engine
        .ask(|control| {
            let mut all = control.parties_after(after);
            let some = all.by_ref().take(looked).map(|(id, entry)| (id, entry.clone()));
            let some: Vec<(PartyId, PartyEntry)> = some.collect();
            Ok((some, all.next().is_none()))
        })
        .await?;
    let (vault, name) = (engine.vault().clone(), name.to_lowercase());
    let shown = tokio::task::spawn_blocking(move || {
        let (mut parties, mut next) = (Vec::new(), None);
        for (party, entry) in found {
            if parties.len() == limit {
                return Ok((parties, next));
            }
            next = Some(party);
            let holds = || -> Result<bool, JournalError> {
                let own = vault.show_name(party, entry.name.as_ref())?;
                Ok(own.to_lowercase().contains(&name))
            };
            if name.is_empty() || holds()? {
                let shown = vault.show_party(party, entry.name.as_ref(), &entry.accounts)?;
                parties.push(party_message(party, shown, (entry.suspended, entry.is_erased())));
            }
        }
        Ok::<_, JournalError>((parties, next.filter(|_| !last)))
    });
    let shown = shown.await.expect("opening does not panic");
    let (parties, next) = shown.map_err(|error| storage(&error))?;
    Ok(v1::ListPartiesResponse { parties, next: bytes(next.map(|party| party.0)) })
}

/// These parties, as far as they are registered.
async fn parties_of(engine: &Engine, ids: &[Bytes]) -> Result<v1::ListPartiesResponse, Status> {
    if ids.len() > NAMES_MAX {
        return Err(invalid(format!("party_ids has {}, the limit is {NAMES_MAX}", ids.len())));
    }
    let ids = ids.iter().map(|bytes| id::<PartyId>(bytes, "party_ids"));
    let ids = ids.collect::<Result<Vec<_>, Status>>()?;
    let found = engine.ask(|control| {
        let entry = |party: PartyId| control.party(party).ok().map(|of| (party, of.clone()));
        Ok(ids.into_iter().filter_map(entry).collect::<Vec<_>>())
    });
    let (found, vault) = (found.await?, engine.vault().clone());
    let shown = tokio::task::spawn_blocking(move || {
        let one = |(party, entry): (PartyId, PartyEntry)| {
            let shown = vault.show_party(party, entry.name.as_ref(), &entry.accounts)?;
            Ok(party_message(party, shown, (entry.suspended, entry.is_erased())))
        };
        found.into_iter().map(one).collect::<Result<Vec<_>, _>>()
    });
    let parties = shown.await.expect("opening does not panic").map_err(|error| storage(&error))?;
    Ok(v1::ListPartiesResponse { parties, next: Bytes::new() })
}

fn bytes(id: Option<[u8; 32]>) -> Bytes {
    id.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default()
}

/// A page of signers.
pub(super) async fn signers(
    engine: &Engine,
    asked: v1::ListSignersRequest,
) -> Result<v1::ListSignersResponse, Status> {
    let v1::ListSignersRequest { after, limit, party_id } = asked;
    let (after, limit) = (optional::<SignerKey>(&after, "after")?, page(limit));
    let party = optional::<PartyId>(&party_id, "party_id")?;
    let answer = engine.ask(|control| {
        party.map_or(Ok(()), |party| control.party(party).map(|_| ()))?;
        let mut all = control.signers_after(after).peekable();
        let (mut signers, mut last): (Vec<v1::Signer>, Option<SignerKey>) = Default::default();
        let own = |entry: &SignerEntry| party.is_none_or(|party| entry.party == party);
        for (key, entry) in all.by_ref().take(LOOK_MAX) {
            if own(entry) {
                signers.push(signer_message(key, entry));
            }
            last = Some(key);
            if signers.len() == limit {
                break;
            }
        }
        let next = last.filter(|_| all.peek().is_some());
        Ok(v1::ListSignersResponse { signers, next: bytes(next.map(|key| key.0)) })
    });
    Ok(answer.await?)
}

/// What the first digits of an id stand for, the first of them.
pub(super) async fn ids(
    engine: &Engine,
    asked: v1::FindIdsRequest,
) -> Result<v1::FindIdsResponse, Status> {
    let (kind, prefix) = (asked.kind(), asked.prefix);
    if kind != v1::IdKind::Leg && (prefix.is_empty() || ids_named(&prefix).is_none()) {
        return Err(invalid(format!("prefix {prefix:?} is no 1 to 64 hexadecimal digits")));
    }
    let found = |id: [u8; 32], about: String| {
        let (id, key) = (Bytes::copy_from_slice(&id), String::new());
        v1::FoundId { id, key, about }
    };
    let most = CANDIDATES_MAX + 1;
    let mut all: Vec<v1::FoundId> = match kind {
        v1::IdKind::Party => {
            let named = engine.ask(|control| {
                let some = control.parties_named(&prefix).take(most);
                Ok(some.map(|(id, entry)| (id, entry.name.clone())).collect::<Vec<_>>())
            });
            let (named, vault) = (named.await?, engine.vault().clone());
            let shown = tokio::task::spawn_blocking(move || {
                let one = |(id, name): (PartyId, Option<_>)| {
                    vault.show_name(id, name.as_ref()).map(|name| (id, name))
                };
                named.into_iter().map(one).collect::<Result<Vec<_>, _>>()
            });
            let shown = shown.await.expect("opening does not panic");
            let shown = shown.map_err(|error| storage(&error))?;
            shown.into_iter().map(|(id, name)| found(id.0, name)).collect()
        }
        v1::IdKind::Signer => {
            let all = engine.ask(|control| {
                let some = control.signers_named(&prefix).take(most);
                Ok(some.map(|(key, of)| found(key.0, format!("of party {}", of.party))).collect())
            });
            all.await?
        }
        v1::IdKind::Batch => {
            let all = engine.ask(|control| {
                let some = control.batches_named(&prefix).take(most);
                Ok(some.map(|(id, of)| found(id.0, of.state().name().to_lowercase())).collect())
            });
            all.await?
        }
        v1::IdKind::Leg => {
            let batch: BatchId = id(&asked.batch_id, "batch_id")?;
            legs_named(engine, batch, &prefix, most).await?
        }
        v1::IdKind::Unspecified => {
            return Err(invalid(
                "kind is missing; say PARTY (1), SIGNER (2), BATCH (3) or LEG (4)",
            ));
        }
    };
    let more = all.len() > CANDIDATES_MAX;
    all.truncate(CANDIDATES_MAX);
    Ok(v1::FindIdsResponse { found: all, more })
}

/// Legs of a batch whose key begins so, whether in capitals or small letters.
async fn legs_named(
    engine: &Engine,
    batch: BatchId,
    prefix: &str,
    most: usize,
) -> Result<Vec<v1::FoundId>, Status> {
    let (content, prefix) = (engine.batch(batch, |_| Ok(())).await?, prefix.to_uppercase());
    let own = (0..).zip(content.legs.iter()).filter(|(_, leg)| leg.key.starts_with(&prefix));
    let own: Vec<(u32, String)> = own.take(most).map(|(at, leg)| (at, leg.key.clone())).collect();
    let look = |legs: &Legs| {
        let found = |(place, key): (u32, String)| {
            let about = legs.state(place).name().to_lowercase();
            v1::FoundId { id: Bytes::new(), key, about }
        };
        own.into_iter().map(found).collect()
    };
    Ok(engine.legs(batch, Vec::new(), look).await?)
}

/// A page of parties, the nearest to their limit first.
pub(super) async fn exposures(
    engine: &Engine,
    asked: v1::ListExposuresRequest,
) -> Result<v1::ListExposuresResponse, Status> {
    let asset = AssetNumber(asked.asset);
    engine.ask(|control| control.asset(asset).map(|_| ())).await?;
    let nearest = engine.nearest(asset).await?;
    let (all, skip) = (&nearest.first, usize::try_from(asked.skip).unwrap_or(usize::MAX));
    let some = all.iter().skip(skip).take(page(asked.limit));
    Ok(v1::ListExposuresResponse {
        exposures: some.map(|(party, of)| exposure_message(*party, asset, *of)).collect(),
        total: nearest.total,
        sorted: u64::try_from(all.len()).expect("a length fits 64 bits"),
        at_us: nearest.at.0,
    })
}

/// Legs by what is known of them.
pub(super) async fn legs(
    engine: &Engine,
    asked: v1::FindLegsRequest,
) -> Result<v1::FindLegsResponse, Status> {
    let wanted = wanted(asked)?;
    let found = engine.find_legs(wanted).await?;
    Ok(v1::FindLegsResponse {
        legs: found.legs.into_iter().map(found_leg).collect(),
        next: found.next.map(next_bytes).unwrap_or_default(),
        batches_seen: found.batches_seen,
        legs_seen: found.legs_seen,
    })
}

fn wanted(asked: v1::FindLegsRequest) -> Result<FindLegs, Status> {
    if asked.party_ids.len() > FIND_PARTIES {
        let given = asked.party_ids.len();
        return Err(invalid(format!("party_ids has {given}, the limit is {FIND_PARTIES}")));
    }
    let parties = asked.party_ids.iter().map(|bytes| id::<PartyId>(bytes, "party_ids"));
    let mut parties = parties.collect::<Result<Vec<_>, Status>>()?;
    parties.sort_unstable();
    let amount = match asked.amount.as_str() {
        "" => None,
        amount => Some(money(amount, "amount")?),
    };
    let time = |us: i64| (us != 0).then_some(Timestamp(us));
    if asked.largest_first && asked.batch_id.is_empty() {
        return Err(invalid("largest_first is for the legs of one batch: name it in batch_id"));
    }
    let states = asked.states.iter().map(|state| leg_state_asked(*state));
    Ok(FindLegs {
        states: states.collect::<Result<Vec<_>, Status>>()?,
        largest_first: asked.largest_first,
        parties,
        amount,
        asset: asked.asset.map(AssetNumber),
        from: time(asked.from_us),
        to: time(asked.to_us),
        reference: asked.reference.to_lowercase(),
        key: asked.key.to_uppercase(),
        batch: optional(&asked.batch_id, "batch_id")?,
        next: next(&asked.next)?,
        limit: page(asked.limit),
    })
}

fn leg_state_asked(state: i32) -> Result<LegState, Status> {
    let named = LegState::ALL.into_iter().find(|of| i32::from(leg_state(*of)) == state);
    named.ok_or_else(|| invalid("states names none that a leg may be in"))
}

fn found_leg(found: FoundLeg) -> v1::FoundLeg {
    let FoundLeg { leg, state, facts, proposal, of, index, sent } = found;
    let (sent_at, file) = sent.unwrap_or_default();
    v1::FoundLeg {
        leg: Some(leg_as_known(&leg, state, facts, proposal.as_ref())),
        batch_id: Bytes::copy_from_slice(&of.id.0),
        batch_state: batch_state(of.state).into(),
        asset: of.asset.0,
        rail: of.rail.to_owned(),
        sent_at_us: sent_at.0,
        batch_at_us: of.computed_at.0,
        file,
        index,
    }
}

/// Where a search goes on, opaque to whoever gets it.
fn next_bytes(next: FindNext) -> Bytes {
    let FindNext { computed, leg } = next;
    Bytes::copy_from_slice(&[&computed.0.to_le_bytes()[..], &leg.to_le_bytes()].concat())
}

fn next(bytes: &[u8]) -> Result<Option<FindNext>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (computed, leg) = bytes.split_first_chunk::<8>()?;
        let (computed, leg) = (u64::from_le_bytes(*computed), leg.try_into().ok()?);
        Some(FindNext { computed: Lsn(computed), leg: u32::from_le_bytes(leg) })
    };
    read().map(Some).ok_or_else(|| invalid("next is not what an answer of FindLegs held"))
}
