//! From events to what endpoints are told of them: a bounded number of events at a time, for all
//! endpoints that stand at the same place together.

use super::super::statement::{Did, did};
use super::message::{self, Of};
use super::row::Place;
use crate::journal::{Chain, Entry, JournalError, Record};
use crate::ledger::event::{
    BudgetEvent, BudgetsWarned, LegEvent, LegsMoved, WindowEvent, WindowSealed,
};
use crate::ledger::{Event, LegState, Refusal, Topic};
use crate::limits::{HOOK_PAGE_EVENTS, HOOK_WAITING_MAX};
use crate::rails::hook::Message;
use crate::settle::archive::NotLoaded;
use crate::settle::engine::Engine;
use crate::types::{AssetDef, AssetNumber, BatchId, Lsn, PartyId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An endpoint that wants to know.
#[derive(Debug, Clone)]
pub struct Want {
    pub endpoint: Lsn,
    pub party: PartyId,
    pub topics: Vec<Topic>,
}

/// A message, and where what it tells of stands.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub at: Place,
    pub message: Message,
}

/// What was found for an endpoint.
#[derive(Debug)]
pub struct Found {
    pub endpoint: Lsn,
    pub waiting: VecDeque<Waiting>,
    /// Where to look next.
    pub next: Place,
}

/// What happened to one party, not yet for any endpoint.
struct Told {
    index: u32,
    topic: Topic,
    party: PartyId,
    body: Vec<u8>,
}

/// What is to be told from this place on, up to the durable record `end`.
///
/// # Errors
/// Of the storage.
pub fn read(
    engine: &Engine,
    from: Place,
    end: Lsn,
    wants: &[Want],
) -> Result<Vec<Found>, NotLoaded> {
    let mut page = Page::new(engine, from, wants);
    let (mut seen, mut failed, mut last) = (0, None, end);
    let read = engine.archive().events_between(from.lsn, end, &mut |lsn, bytes| {
        let record = Chain::start().single(lsn, bytes)?;
        if let Err(error) = page.event(&record) {
            failed = Some(error);
            return Err(enough());
        }
        seen += 1;
        if seen == HOOK_PAGE_EVENTS || page.is_full() {
            last = lsn;
            return Err(enough());
        }
        Ok(())
    });
    if let Some(error) = failed {
        return Err(error);
    }
    match read {
        Err(error) if last == end && seen < HOOK_PAGE_EVENTS && !page.is_full() => {
            Err(error.into())
        }
        Ok(()) | Err(_) => Ok(page.found(Place::of(last.next()))),
    }
}

/// Stops the reading; what it says is never shown.
fn enough() -> JournalError {
    JournalError::Storage("enough was read".to_owned())
}

struct Page<'a> {
    engine: &'a Engine,
    from: Place,
    wants: Vec<(&'a Want, VecDeque<Waiting>, Option<Place>)>,
    /// Of each party that wants something, by topic.
    parties: BTreeMap<Topic, BTreeSet<PartyId>>,
}

impl<'a> Page<'a> {
    fn new(engine: &'a Engine, from: Place, wants: &'a [Want]) -> Self {
        let mut parties: BTreeMap<Topic, BTreeSet<PartyId>> = BTreeMap::new();
        for want in wants {
            for topic in &want.topics {
                parties.entry(*topic).or_default().insert(want.party);
            }
        }
        let wants = wants.iter().map(|want| (want, VecDeque::new(), None)).collect();
        Self { engine, from, wants, parties }
    }

    /// Nobody has room for more.
    fn is_full(&self) -> bool {
        self.wants.iter().all(|(_, _, stopped)| stopped.is_some())
    }

    fn wants(&self, topic: Topic, party: PartyId) -> bool {
        self.parties.get(&topic).is_some_and(|parties| parties.contains(&party))
    }

    fn found(self, end: Place) -> Vec<Found> {
        let found = |(want, waiting, stopped): (&Want, VecDeque<Waiting>, Option<Place>)| Found {
            endpoint: want.endpoint,
            waiting,
            next: stopped.unwrap_or(end),
        };
        self.wants.into_iter().map(found).collect()
    }

    fn event(&mut self, record: &Record<'_>) -> Result<(), NotLoaded> {
        let Entry::Fact(fact) = record.entry().map_err(NotLoaded::Storage)? else { return Ok(()) };
        let told = match &fact.event {
            Event::Window(WindowEvent::Sealed(e)) => self.window_closed(record, e)?,
            Event::Leg(LegEvent::Moved(e)) => self.legs(record, e)?,
            Event::Budget(BudgetEvent::Warned(e)) => self.budgets(record, e)?,
            Event::Registry(_)
            | Event::Budget(BudgetEvent::Set(_))
            | Event::Key(_)
            | Event::Access(_)
            | Event::Endpoint(_)
            | Event::Eyes(_)
            | Event::Window(_)
            | Event::Batch(_)
            | Event::Leg(_)
            | Event::Trouble(_)
            | Event::Hold(_) => return Ok(()),
        };
        for one in told {
            self.tell(record, &one);
        }
        Ok(())
    }

    /// Hands what happened to a party to its endpoints that want it.
    fn tell(&mut self, record: &Record<'_>, told: &Told) {
        let at = Place { lsn: record.lsn, index: told.index };
        if at < self.from {
            return;
        }
        let network = self.engine.network();
        for (want, waiting, stopped) in &mut self.wants {
            let wanted = want.party == told.party && want.topics.contains(&told.topic);
            if !wanted || stopped.is_some() {
                continue;
            }
            if waiting.len() == HOOK_WAITING_MAX {
                *stopped = Some(at);
                continue;
            }
            let id = message::id(network, want.endpoint, record.digest, told.index);
            waiting.push_back(Waiting { at, message: Message { id, body: told.body.clone() } });
        }
    }

    fn asset(&self, asset: AssetNumber) -> Result<AssetDef, NotLoaded> {
        Ok(self.engine.standing(|control| control.asset(asset).cloned())?)
    }

    fn window_closed(&self, record: &Record<'_>, e: &WindowSealed) -> Result<Vec<Told>, NotLoaded> {
        let Some(parties) = self.parties.get(&Topic::WindowClosed) else { return Ok(Vec::new()) };
        let sealed = self.engine.standing(|control| control.window(e.window)?.sealed_head())?;
        let window = self.engine.archive().window(&sealed)?;
        let assets = window.assets.iter().map(|(asset, rows)| Ok((self.asset(*asset)?, rows)));
        let assets = assets.collect::<Result<Vec<_>, NotLoaded>>()?;
        let mut shares: BTreeMap<PartyId, Vec<(&AssetDef, Did)>> = BTreeMap::new();
        for (asset, rows) in &assets {
            for (party, did) in did(parties, rows) {
                shares.entry(party).or_default().push((asset, did));
            }
        }
        let told = |(party, shares): (PartyId, Vec<(&AssetDef, Did)>)| {
            let topic = Topic::WindowClosed;
            let of = Of { topic, lsn: record.lsn, at: record.at, party };
            let closed = (e.window.0, sealed.head.cut_at, e.root);
            let body = message::window_closed(of, closed, &shares);
            Told { index: 0, topic, party, body }
        };
        Ok(shares.into_iter().map(told).collect())
    }

    fn legs(&self, record: &Record<'_>, e: &LegsMoved) -> Result<Vec<Told>, NotLoaded> {
        let (mut told, mut keys) = (Vec::new(), None);
        for (index, one) in (0..).zip(&e.moves) {
            let topic = match one.to {
                LegState::Confirmed => Topic::LegConfirmed,
                LegState::Returned => Topic::LegReturned,
                LegState::Ready
                | LegState::Sent
                | LegState::Accepted
                | LegState::Unknown
                | LegState::Rejected => continue,
            };
            for party in [one.payer, one.payee].into_iter().filter(|one| self.wants(topic, *one)) {
                if keys.is_none() {
                    keys = Some((self.batch_keys(e.batch)?, self.asset(e.asset)?));
                }
                let Some((keys, asset)) = &keys else { unreachable!("it was just looked up") };
                let key = keys(one.leg);
                let of = Of { topic, lsn: record.lsn, at: record.at, party };
                let body = message::leg(of, (e.batch, &key), asset, one);
                told.push(Told { index, topic, party, body });
            }
        }
        Ok(told)
    }

    /// What the rail knows each leg of a batch by.
    fn batch_keys(&self, batch: BatchId) -> Result<impl Fn(u32) -> String + use<>, NotLoaded> {
        let of = self.engine.standing(|control| {
            let head = control.batch(batch)?.head.clone();
            let windows = head.windows.iter().map(|&window| control.window(window)?.sealed_head());
            let windows = windows.collect::<Result<Vec<_>, Refusal>>()?;
            Ok((head, windows))
        });
        let (head, windows) = of?;
        let content = self.engine.archive().batch(&head, &windows)?;
        Ok(move |leg: u32| {
            content.legs.get(leg as usize).map_or_else(String::new, |l| l.key.clone())
        })
    }

    fn budgets(&self, record: &Record<'_>, e: &BudgetsWarned) -> Result<Vec<Told>, NotLoaded> {
        let (mut told, topic) = (Vec::new(), Topic::BudgetReached);
        for (index, used) in (0..).zip(&e.uses) {
            let Some(party) = self.engine.payer_of(used.signer) else { continue };
            if !self.wants(topic, party) {
                continue;
            }
            let asset = self.asset(used.budget.key.asset)?;
            let of = Of { topic, lsn: record.lsn, at: record.at, party };
            let body = message::budget(of, &asset, used);
            told.push(Told { index, topic, party, body });
        }
        Ok(told)
    }
}
