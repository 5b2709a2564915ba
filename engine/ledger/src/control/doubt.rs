//! What open troubles forbid, and which batch pays what one of them says was paid. Rules alone: who
//! finds a trouble, and who takes it away, is known elsewhere.

use super::{BatchState, Control, Used};
use crate::batch::BatchHead;
use crate::event::LegsSubmitted;
use crate::legs::Owed;
use crate::limits::TROUBLES_MAX;
use crate::rail::Rail;
use crate::refusal::Refusal;
use crate::trouble::{Trouble, TroubleKind};
use crate::types::{BatchId, PartyId, Total, WindowNumber};
use std::collections::{BTreeMap, BTreeSet};

/// Whose payments are in doubt, and by which troubles.
type Doubted = BTreeMap<PartyId, BTreeSet<u64>>;

impl Control {
    /// Who is neither charged nor paid on a rail until somebody has looked, each with the trouble
    /// that says why.
    pub fn doubted(&self, rail: Rail) -> impl Iterator<Item = (u64, PartyId)> + '_ {
        let on_rail = self.troubles.open().filter(move |trouble| trouble.of.rail == rail);
        on_rail.filter_map(|trouble| Some((trouble.number, trouble.of.doubts()?)))
    }

    /// Whether a batch may be made: the list of troubles holds all that was found, and nobody who
    /// takes part in it waits.
    ///
    /// # Errors
    /// `TroublesFull`, or `InDoubt` that names the first who waits.
    pub fn check_doubts(&self, used: &Used) -> Result<(), Refusal> {
        self.check_troubles_fit()?;
        let rail = used.head.policy.rail;
        let mut doubted = self.doubted(rail);
        let waits = doubted.find(|(_, party)| used.accounts.contains_key(party));
        match waits {
            Some((trouble, party)) => Err(Refusal::InDoubt { party, trouble, rail: rail.name() }),
            None => Ok(()),
        }
    }

    /// Whether money may be sent on its way: of what could not be put on the list nobody knows whom
    /// it holds.
    pub(super) fn check_troubles_fit(&self) -> Result<(), Refusal> {
        match self.troubles.room() {
            0 => Err(Refusal::TroublesFull(TROUBLES_MAX)),
            _ => Ok(()),
        }
    }

    /// The legs of a batch that nobody has sent and that are said to be paid, each with the trouble
    /// that says so. They wait until somebody has looked.
    pub fn said_to_be_paid(&self, batch: BatchId) -> impl Iterator<Item = (u32, u64)> + '_ {
        let legs = self.batch(batch).ok().map(|entry| &entry.legs);
        self.troubles.open().filter_map(move |trouble| {
            let leg = trouble.of.leg.filter(|_| trouble.of.batch == Some(batch))?;
            let legs = legs?;
            let is_ready = (leg as usize) < legs.len() && legs.standing().is_ready(leg);
            let says_so = trouble.of.kind == TroubleKind::Contradiction && is_ready;
            says_so.then_some((leg, trouble.number))
        })
    }

    /// Whether no leg of a batch of which nothing has left is said to be paid.
    pub(super) fn check_unsent(&self, batch: BatchId) -> Result<(), Refusal> {
        match self.said_to_be_paid(batch).next() {
            Some((_, trouble)) => Err(Refusal::SaidToBePaid { batch, trouble }),
            None => Ok(()),
        }
    }

    /// Whether none of the legs that leave is said to be paid.
    pub(super) fn check_leaving(&self, e: &LegsSubmitted) -> Result<(), Refusal> {
        let leaves =
            |leg: u32| e.legs.iter().any(|run| run.first <= leg && leg - run.first < run.count);
        match self.said_to_be_paid(e.batch).find(|(leg, _)| leaves(*leg)) {
            Some((_, trouble)) => Err(Refusal::SaidToBePaid { batch: e.batch, trouble }),
            None => Ok(()),
        }
    }

    /// The open troubles that say of legs of earlier batches that they were paid, although they are
    /// owed again, in windows that this batch settles; an aborted one pays nothing. Every window on
    /// the way is looked at once, whatever there are of them.
    #[must_use]
    pub fn paid_again(&self, batch: BatchId) -> Vec<&Trouble> {
        let pays = self.batch(batch).ok().filter(|of| of.state() != BatchState::Aborted);
        let Some(by) = pays else { return Vec::new() };
        let (head, mut found) = (&by.head, BTreeSet::new());
        let mut owed: BTreeMap<WindowNumber, Doubted> = BTreeMap::new();
        for trouble in self.troubles.open() {
            if let Some(again) = self.owed_again(head, trouble) {
                let doubted = owed.entry(again.window).or_default();
                doubted.entry(again.party).or_default().insert(trouble.number);
            }
        }
        let last = head.windows.last().copied();
        while let Some((window, doubted)) = owed.pop_first().filter(|(of, _)| Some(*of) <= last) {
            if head.windows.contains(&window) {
                found.extend(doubted.into_values().flatten());
                continue;
            }
            // What failed once more on its way is owed in a later window yet.
            let live = self.window(window).ok().and_then(|of| of.live.get(&head.asset.number));
            let via = live.and_then(|via| self.batches.get(via));
            let Some(via) = via.filter(|via| via.legs.owed_again() > Total::ZERO) else { continue };
            for (_, again) in via.legs.owed() {
                if let Some(troubles) = doubted.get(&again.party) {
                    let later = owed.entry(again.window).or_default();
                    later.entry(again.party).or_default().extend(troubles);
                }
            }
        }
        self.troubles.open().filter(|trouble| found.contains(&trouble.number)).collect()
    }

    /// Where the leg of a trouble is owed again, if it is one of another batch in the same asset.
    fn owed_again(&self, head: &BatchHead, trouble: &Trouble) -> Option<Owed> {
        let (batch, leg) = trouble.of.holds()?;
        let of = self.batches.get(&batch).filter(|_| batch != head.id)?;
        let owed = of.legs.owed_in(leg);
        owed.filter(|_| of.head.asset.number == head.asset.number)
    }
}

#[cfg(test)]
mod tests;
