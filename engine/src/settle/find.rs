//! Looking for legs: through all batches, the newest first, until enough are found or enough was
//! looked through. Whoever asks goes on where the last call stopped. Decides nothing.
//!
//! What is looked at, of each leg: who pays and is paid, the amount, the key, and what its rail or
//! the books called it, as all of that is kept with its batch.

use super::archive::NotLoaded;
use super::engine::{Engine, aside};
use super::leftover::Kept;
use crate::ledger::{
    BatchContent, BatchEntry, BatchState, Control, Leg, LegFacts, LegState, Legs, Proposal,
};
use crate::limits::{FIND_BATCHES, FIND_FACTS, FIND_FACTS_FIRST, FIND_LEGS, PARTIES_KNOWN};
use crate::types::{AssetNumber, BatchId, Lsn, PartyId, Timestamp, Total};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Which legs are wanted: those of which all of it is true.
#[derive(Debug, Clone, Default)]
pub struct FindLegs {
    /// From or to one of these, ascending; none: whoever.
    pub parties: Vec<PartyId>,
    /// Exactly this amount.
    pub amount: Option<Total>,
    /// In this asset.
    pub asset: Option<AssetNumber>,
    /// Left then or later; for one that has not left, its batch was computed then or later.
    pub from: Option<Timestamp>,
    /// The same, before then.
    pub to: Option<Timestamp>,
    /// What its rail or the books called it holds this, in small letters; empty: whatever.
    pub reference: String,
    /// Its key begins so, in capitals; empty: whatever.
    pub key: String,
    /// Of this batch.
    pub batch: Option<BatchId>,
    /// In one of these; none: in any.
    pub states: Vec<LegState>,
    /// Of one batch, which is named, the largest amounts first.
    pub largest_first: bool,
    /// Where to go on.
    pub next: Option<FindNext>,
    /// Stop when so many are found.
    pub limit: usize,
}

/// Where to go on: behind these legs of the batch that this record computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindNext {
    /// The record.
    pub computed: Lsn,
    /// The first leg that was not looked at: its place, or its rank where the largest come first.
    pub leg: u32,
}

/// What one call found.
#[derive(Debug, Default)]
pub struct FoundLegs {
    /// The legs.
    pub legs: Vec<FoundLeg>,
    /// Where to go on; `None`: everything was looked at.
    pub next: Option<FindNext>,
    /// Batches that were looked at.
    pub batches_seen: u64,
    /// Legs that were looked at.
    pub legs_seen: u64,
}

/// One leg, as it stands.
#[derive(Debug, Clone)]
pub struct FoundLeg {
    /// The leg.
    pub leg: Leg,
    /// Where it stands.
    pub state: LegState,
    /// What is known of it.
    pub facts: LegFacts,
    /// One operator's word about it.
    pub proposal: Option<Proposal>,
    /// Its batch.
    pub of: FoundBatch,
    /// Its place there.
    pub index: u32,
    /// When it left, and in which file or transaction; `None` if it has not.
    pub sent: Option<(Timestamp, String)>,
}

/// The batch of a leg.
#[derive(Debug, Clone, Copy)]
pub struct FoundBatch {
    /// Its id.
    pub id: BatchId,
    /// Where it stands.
    pub state: BatchState,
    /// Its asset.
    pub asset: AssetNumber,
    /// Its rail.
    pub rail: &'static str,
    /// When it was computed.
    pub computed_at: Timestamp,
    computed: Lsn,
}

impl FindLegs {
    /// Whether a batch may hold such a leg, by what is known of it without its legs.
    fn may_be_in(&self, entry: &BatchEntry) -> bool {
        let head = &entry.head;
        // Nothing of it leaves before it is computed, or after its last leg has ended.
        let late = self.to.is_some_and(|to| entry.computed_at >= to);
        let early = match (self.from, entry.state()) {
            (Some(from), BatchState::Aborted) => entry.computed_at < from,
            (Some(from), BatchState::Settled | BatchState::SettledWithCarry) => {
                entry.ended_at.is_some_and(|ended| ended < from)
            }
            (Some(_), BatchState::Computed | BatchState::Approved | BatchState::Submitting)
            | (None, _) => false,
        };
        !late
            && !early
            && self.asset.is_none_or(|asset| asset == head.asset.number)
            && self.amount.is_none_or(|amount| amount <= head.total.max(head.pay_in_total))
    }

    /// Whether a leg is one of these, by what never changes of it.
    fn fits(&self, leg: &Leg) -> bool {
        let of = |party: PartyId| self.parties.binary_search(&party).is_ok();
        let payment = &leg.payment;
        (self.parties.is_empty() || of(payment.from) || of(payment.to))
            && self.amount.is_none_or(|amount| amount == payment.amount)
            && leg.key.starts_with(&self.key)
    }

    /// Whether one in this state is wanted.
    fn fits_state(&self, state: LegState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// Whether it is, by what is known of it by now.
    fn fits_now(&self, found: &FoundLeg) -> bool {
        let at = found.sent.as_ref().map_or(found.of.computed_at, |(at, _)| *at);
        self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at < to)
            && (self.reference.is_empty() || self.is_called_so(&found.facts))
    }

    fn is_called_so(&self, facts: &LegFacts) -> bool {
        let LegFacts { reference, reason: _, went, came } = facts;
        let booked = went.references().iter().chain(came.references());
        std::iter::once(reference)
            .chain(booked)
            .any(|name| name.to_lowercase().contains(&self.reference))
    }
}

impl Engine {
    /// How many parties owed something in the windows of a batch.
    ///
    /// # Errors
    /// As for `plan`.
    pub async fn parties_of(&self, batch: BatchId) -> Result<u64, NotLoaded> {
        let known = || self.orders().parties.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parties) = known().get(&batch) {
            return Ok(*parties);
        }
        let parties = self.plan(batch).await?.parties();
        let parties = u64::try_from(parties).expect("parties are limited");
        let mut known = known();
        if known.len() >= PARTIES_KNOWN {
            known.clear();
        }
        known.insert(batch, parties);
        Ok(parties)
    }
}

/// The batches to look at now, the newest first, and behind which to go on.
fn batches(control: &Control, wanted: &FindLegs) -> (Vec<FoundBatch>, Option<Lsn>, u64) {
    let from = wanted.next.map(|next| next.computed.next());
    if let Some(batch) = wanted.batch {
        let own = control.batch(batch).ok().filter(|entry| {
            from.is_none_or(|from| entry.computed_lsn < from) && wanted.may_be_in(entry)
        });
        return (own.map(found_batch).into_iter().collect(), None, 1);
    }
    let mut all = control.batches_before(from);
    let (mut found, mut last, mut seen) = (Vec::new(), None, 0);
    for entry in all.by_ref().take(FIND_BATCHES) {
        (last, seen) = (Some(entry.computed_lsn), seen + 1);
        if wanted.may_be_in(entry) {
            found.push(found_batch(entry));
        }
    }
    (found, last.filter(|_| all.next().is_some()), seen)
}

fn found_batch(entry: &BatchEntry) -> FoundBatch {
    FoundBatch {
        id: entry.head.id,
        state: entry.state(),
        asset: entry.head.asset.number,
        rail: entry.head.policy.rail.name(),
        computed_at: entry.computed_at,
        computed: entry.computed_lsn,
    }
}

fn found_leg(content: &BatchContent, of: FoundBatch, place: u32, legs: &Legs) -> FoundLeg {
    let sent = legs.home(place).map(|home| {
        let submission = &legs.submissions()[home.submission as usize];
        (home.at, submission.newest().name.to_string())
    });
    FoundLeg {
        leg: content.legs[place as usize].clone(),
        state: legs.state(place),
        facts: legs.facts(place).cloned().unwrap_or_default(),
        proposal: legs.proposed().get(&place).cloned(),
        of,
        index: place,
        sent,
    }
}

impl Engine {
    /// Looks for legs, as far as one call may.
    ///
    /// # Errors
    /// `Busy`, or `Storage` when a batch cannot be read.
    pub async fn find_legs(&self, wanted: FindLegs) -> Result<FoundLegs, NotLoaded> {
        let looked = self.ask(|control| {
            wanted.batch.map_or(Ok(()), |batch| control.batch(batch).map(|_| ()))?;
            Ok(batches(control, &wanted))
        });
        let (found, behind, batches_seen) = looked.await?;
        let (wanted, mut all) =
            (Arc::new(wanted), FoundLegs { batches_seen, ..Default::default() });
        for of in found {
            let enough = u64::try_from(FIND_LEGS).expect("a limit fits 64 bits");
            if all.legs_seen >= enough || all.legs.len() >= wanted.limit {
                all.next = Some(FindNext { computed: of.computed, leg: 0 });
                return Ok(all);
            }
            let next = match self.find_in(&wanted, of, &mut all).await {
                // Those that were found are shown first; who goes on is told which file is missing.
                Err(NotLoaded::Away(_)) if !all.legs.is_empty() => {
                    Some(FindNext { computed: of.computed, leg: 0 })
                }
                looked => looked?,
            };
            if next.is_some() {
                all.next = next;
                return Ok(all);
            }
        }
        // Batches older than the last one that was looked at.
        all.next = behind.map(|last| FindNext { computed: before(last), leg: 0 });
        Ok(all)
    }

    /// Looks through one batch; where to go on in it when enough are found.
    async fn find_in(
        &self,
        wanted: &Arc<FindLegs>,
        of: FoundBatch,
        all: &mut FoundLegs,
    ) -> Result<Option<FindNext>, NotLoaded> {
        let content = self.batch(of.id, |_| Ok(())).await?;
        let begun = wanted.next.filter(|next| next.computed == of.computed);
        let mut rank = begun.map_or(0, |next| next.leg);
        // Few at first: most that fit are wanted. Where few are, more at once.
        let mut some = wanted.limit.saturating_add(1).clamp(FIND_FACTS_FIRST, FIND_FACTS);
        loop {
            let (asks, of_all, engine) = (wanted.clone(), content.clone(), self.clone());
            // Beside the network threads: there may be a million.
            let fit = aside(move || {
                let by_size = || engine.orders().by_size.of(of.id, &of_all.legs);
                let order = asks.largest_first.then(by_size);
                ranked(&asks, &of_all, order.as_deref(), rank, some)
            });
            let ranked = fit.await;
            let behind = ranked.last().filter(|_| ranked.len() == some).map(|(last, _)| last + 1);
            let (asks, shown) = (wanted.clone(), content.clone());
            let places = ranked.iter().map(|(_, place)| *place).collect();
            let left = wanted.limit - all.legs.len();
            let look = move |legs: &Legs| {
                let in_state = |(_, place): &(u32, u32)| asks.fits_state(legs.state(*place));
                let one = |(rank, place)| (rank, found_leg(&shown, of, place, legs));
                let fit = ranked.into_iter().filter(in_state).map(one);
                let fit = fit.filter(|(_, found)| asks.fits_now(found));
                fit.take(left + 1).collect::<Vec<_>>()
            };
            let mut found = self.legs(of.id, places, look).await?;
            let more = found.get(left).map(|(rank, _)| *rank);
            found.truncate(left);
            all.legs.extend(found.into_iter().map(|(_, leg)| leg));
            let end = u32::try_from(content.legs.len()).expect("legs are counted in 32 bits");
            all.legs_seen += u64::from(more.or(behind).unwrap_or(end).saturating_sub(rank));
            match (more, behind) {
                (Some(leg), _) => return Ok(Some(FindNext { computed: of.computed, leg })),
                (None, None) => return Ok(None),
                (None, Some(next)) => rank = next,
            }
            some = some.saturating_mul(4).min(FIND_FACTS);
        }
    }
}

/// The legs of a batch that fit, by what never changes of them, each with its rank in this order,
/// from this rank on, and so many at most; the order is that of their places, unless it is given.
fn ranked(
    wanted: &FindLegs,
    content: &BatchContent,
    order: Option<&[u32]>,
    first: u32,
    most: usize,
) -> Vec<(u32, u32)> {
    let fits = |(_, place): &(u32, u32)| wanted.fits(&content.legs[*place as usize]);
    let count = u32::try_from(content.legs.len()).expect("legs are counted in 32 bits");
    let at = |rank: u32| (rank, order.map_or(rank, |order| order[rank as usize]));
    (first.min(count)..count).map(at).filter(fits).take(most).collect()
}

/// Orders of long lists that were asked for last: whoever asks for a page asks for the next one.
#[derive(Default)]
pub(super) struct Orders {
    /// The legs of a batch by their amounts.
    pub by_size: BySize,
    /// Parties by how near their limit they are.
    pub nearest: Kept,
    /// Of batches: how many parties owed something in their windows. It takes the windows to know.
    pub parties: Mutex<BTreeMap<BatchId, u64>>,
}

/// The legs of the batch that was looked through last by size: their places, the largest first.
/// What is computed never changes, and whoever turns a page asks for the next one.
#[derive(Default)]
pub(super) struct BySize(Mutex<Option<(BatchId, Arc<[u32]>)>>);

impl BySize {
    fn of(&self, batch: BatchId, legs: &[Leg]) -> Arc<[u32]> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, order)) = held.filter(|(of, _)| *of == batch) {
            return order;
        }
        let count = u32::try_from(legs.len()).expect("legs are counted in 32 bits");
        let mut all: Vec<u32> = (0..count).collect();
        // Of the same amount in their own order, so that no page has one twice.
        all.sort_unstable_by_key(|place| (Reverse(legs[*place as usize].payment.amount), *place));
        let order: Arc<[u32]> = all.into();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((batch, order.clone()));
        order
    }
}

/// The position before one.
fn before(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}
