//! The history: who did what, read from the journal's events.

use super::door::Place;
use super::messages::id;
use super::read::Streamed;
use super::status::invalid;
use crate::journal::{Entry, JournalError, Record};
use crate::ledger::event::{Change, Confirmation, EyesEvent, KeyEvent, RegistryEvent};
use crate::ledger::sealed::party_text;
use crate::ledger::{About, Caller, Envelope, Event, Fact, OperatorKeys};
use crate::limits::PAGE_MAX;
use crate::settle::{Engine, NotRead};
use crate::types::{Lsn, PartyId, Timestamp};
use crate::vault::{Shown, Vault};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use tallystick_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Entries that may wait for the client.
const ENTRIES: usize = 64;

/// Which events are asked for.
struct Wanted {
    by: Option<String>,
    party: Option<PartyId>,
    kinds: BTreeSet<String>,
    since_us: i64,
    request_id: Option<String>,
}

impl Wanted {
    fn new(asked: v1::ListHistoryRequest) -> Result<Self, Status> {
        let known = |kind: &&String| !Event::KIND_NAMES.contains(&kind.as_str());
        if let Some(kind) = asked.kinds.iter().find(known) {
            let names = Event::KIND_NAMES.join(", ");
            return Err(invalid(format!("kind {kind:?} is not known; known kinds: {names}")));
        }
        let party = match asked.party_id.as_ref() {
            [] => None,
            bytes => Some(id::<PartyId>(bytes, "party_id")?),
        };
        let (by, since_us, request_id) = (asked.by, asked.since_us, asked.request_id);
        Ok(Self { by, party, kinds: asked.kinds.into_iter().collect(), since_us, request_id })
    }

    fn has(&self, engine: &Engine, record: &Record<'_>, fact: &Fact) -> bool {
        let Fact { envelope, event, .. } = fact;
        let id = envelope.request.as_ref().map_or("", |request| &request.id);
        record.at.0 >= self.since_us
            && self.by.as_ref().is_none_or(|by| *by == envelope.caller.name)
            && self.request_id.as_ref().is_none_or(|wanted| wanted == id)
            && (self.kinds.is_empty() || self.kinds.contains(event.kind_name()))
            && self
                .party
                .is_none_or(|party| event.names(party, |key| engine.payer_of(key) == Some(party)))
    }
}

/// Streams the events that are asked for, as far as they are durable now. Read by a thread of its
/// own, as the client takes them.
pub(super) async fn list(
    engine: &Engine,
    place: Place,
    asked: v1::ListHistoryRequest,
) -> Result<Streamed<v1::HistoryEntry>, Status> {
    let (limit, newest_first, before) = (asked.limit, asked.newest_first, asked.before_lsn);
    let wanted = Wanted::new(asked)?;
    let found = engine.ask(|control| {
        let keys = control.operator_keys().clone();
        Ok((control.history().lsn, keys))
    });
    let (last, keys) = found.await?;
    let last = if before == 0 { last } else { last.min(Lsn(before - 1)) };
    let (engine, (entries_in, entries)) = (engine.clone(), mpsc::channel(ENTRIES));
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let reading = Reading { engine, wanted, last, keys };
        let send = |entry| entries_in.blocking_send(Ok(entry)).is_ok();
        let read = match newest_first {
            true => reading.newest(limit, send),
            false => reading.oldest(limit, send),
        };
        if let Err(error) = read {
            // Nobody to tell if the client is gone.
            let _ = entries_in.blocking_send(Err(error.into()));
        }
    });
    Ok(Box::pin(ReceiverStream::new(entries)))
}

/// One reading of the journal's events.
struct Reading {
    engine: Engine,
    wanted: Wanted,
    /// The last record that is looked at.
    last: Lsn,
    keys: OperatorKeys,
}

/// An event that is wanted.
type Found = (Lsn, Timestamp, Box<Fact>);

impl Reading {
    /// Looks at what is wanted, oldest first, until `look` has enough.
    fn each(
        &self,
        mut look: impl FnMut(Found) -> Result<bool, JournalError>,
    ) -> Result<(), NotRead> {
        let (engine, mut enough) = (&self.engine, false);
        let mut chain = engine.archive().past().chain_before(self.wanted.since_us)?;
        let from = chain.tail().lsn.next();
        let read = engine.archive().events_between(from, self.last, &mut |lsn, bytes| {
            let record = chain.follow_event(lsn, bytes)?;
            let Entry::Fact(fact) = record.entry()? else { return Ok(()) };
            if !self.wanted.has(engine, &record, &fact) {
                return Ok(());
            }
            enough = look((record.lsn, record.at, fact))?;
            if enough { Err(JournalError::Storage("that was enough".into())) } else { Ok(()) }
        });
        if enough { Ok(()) } else { read }
    }

    fn entry(&self, (lsn, at, fact): Found) -> Result<v1::HistoryEntry, JournalError> {
        entry((lsn, at), *fact, self.engine.vault(), &self.keys)
    }

    /// Sends them oldest first; so many, or all.
    fn oldest(&self, limit: u32, send: impl Fn(v1::HistoryEntry) -> bool) -> Result<(), NotRead> {
        let mut left = if limit == 0 { u64::MAX } else { limit.into() };
        self.each(|found| {
            let sent = send(self.entry(found)?);
            left -= 1;
            Ok(!sent || left == 0)
        })
    }

    /// Sends the newest, newest first. Names are opened for these only.
    fn newest(&self, limit: u32, send: impl Fn(v1::HistoryEntry) -> bool) -> Result<(), NotRead> {
        let limit = if limit == 0 { PAGE_MAX } else { PAGE_MAX.min(limit as usize) };
        let mut newest = VecDeque::new();
        self.each(|found| {
            if newest.len() == limit {
                newest.pop_front();
            }
            newest.push_back(found);
            Ok(false)
        })?;
        for found in newest.into_iter().rev() {
            if !send(self.entry(found)?) {
                break;
            }
        }
        Ok(())
    }
}

fn entry(
    (lsn, at): (Lsn, Timestamp),
    Fact { envelope, event, confirms }: Fact,
    vault: &Vault,
    keys: &OperatorKeys,
) -> Result<v1::HistoryEntry, JournalError> {
    let Envelope { caller: Caller { name, role, via }, request } = envelope;
    let About { party, mut signer, asset, window, batch, leg, mut text } = event.about();
    let own = |operator: &str| keys.in_force(operator, lsn);
    let confirmed = confirms.as_ref();
    let is_signed = confirmed.map_or_else(|| event.is_signed(), Confirmation::is_signed);
    let signed_with = own(&name).filter(|_| is_signed);
    if let Event::Key(KeyEvent::OperatorRemoved(e)) = &event {
        signer = own(&e.operator);
    }
    let party_of = if let Event::Registry(RegistryEvent::PartyUpserted(e)) = &event {
        Some((e, String::new()))
    } else if let Event::Eyes(EyesEvent::Proposed(of)) = &event
        && let Change::Party(e) = &of.change
    {
        Some((e, format!("{}: party_upserted ", of.proposal)))
    } else {
        None
    };
    if let Some((e, front)) = party_of {
        let Shown { name, accounts } = vault.show_party(e.party, Some(&e.name), &e.accounts)?;
        text = front + &party_text(&name, e.suspended, &accounts);
    }
    let bytes = |id: Option<[u8; 32]>| id.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default();
    Ok(v1::HistoryEntry {
        at_us: at.0,
        lsn: lsn.0,
        kind: event.kind_name().to_owned(),
        caller: name,
        role: role.name().to_owned(),
        via: via.name().to_owned(),
        request_id: request.map(|request| request.id).unwrap_or_default(),
        party_id: bytes(party.map(|party| party.0)),
        signer: bytes(signer.map(|signer| signer.0)),
        asset: asset.map(|asset| asset.0),
        window: window.map(|window| window.0),
        batch_id: bytes(batch.map(|batch| batch.0)),
        about: text,
        signed_with: bytes(signed_with.map(|key| key.0)),
        proposal: bytes(confirms.as_ref().map(|of| of.proposal.0)),
        proposer: confirms.map(|of| of.proposer).unwrap_or_default(),
        leg,
    })
}
