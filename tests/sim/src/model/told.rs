//! Troubles: what they keep from being approved, and which batch pays again what one of them says
//! was paid.

use super::{BatchState, State};
use std::collections::BTreeSet;
use tallystick::ledger::{LegState, NewTrouble, TroubleKind};
use tallystick::types::{BatchId, PartyId};

/// A trouble that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it says.
    pub text: String,
    /// The leg of which it says that it was paid, and whether that cannot be.
    about: Option<(BatchId, u32, bool)>,
}

impl Told {
    /// As it was raised.
    #[must_use]
    pub fn new(of: &NewTrouble) -> Self {
        let cannot_be = of.kind == TroubleKind::Contradiction;
        let about = match (of.batch, of.leg) {
            (Some(batch), Some(leg)) if cannot_be || of.kind == TroubleKind::Surplus => {
                Some((batch, leg, cannot_be))
            }
            _ => None,
        };
        Self { text: of.text.clone(), about }
    }
}

impl State {
    /// The legs of a batch that have not left and that are said to be paid.
    #[must_use]
    pub fn said_to_be_paid(&self, id: BatchId) -> BTreeSet<u32> {
        let told = self.troubles.values().filter_map(|told| told.about);
        let own = told.filter(|(batch, _, cannot_be)| *batch == id && *cannot_be);
        let legs = self.batches.get(&id).map(|(_, batch, _)| &batch.progress.legs);
        let ready = |leg: &u32| {
            let state = legs.and_then(|legs| legs.get(usize::try_from(*leg).expect("few")));
            state == Some(&LegState::Ready)
        };
        own.map(|(_, leg, _)| leg).filter(ready).collect()
    }

    /// The troubles that say that what a batch pays was paid.
    #[must_use]
    pub fn paid_again(&self, by: BatchId) -> Vec<u64> {
        let again = |told: &Told| {
            told.about.is_some_and(|(batch, leg, _)| batch != by && self.leads_to(batch, leg, by))
        };
        self.troubles.iter().filter(|(_, told)| again(told)).map(|(number, _)| *number).collect()
    }

    /// Whether what a leg owes again comes to a batch, perhaps by way of others that failed to pay
    /// it.
    fn leads_to(&self, batch: BatchId, leg: u32, by: BatchId) -> bool {
        let Some((_, of, _)) = self.batches.get(&batch) else { return false };
        let failed = |state| [LegState::Rejected, LegState::Returned].contains(&state);
        let place = usize::try_from(leg).expect("legs are few");
        if !of.progress.legs.get(place).is_some_and(|state| failed(*state)) {
            return false;
        }
        let party = |(from, to, ..): (PartyId, PartyId, u128, u32)| {
            if to == PartyId::CLEARING { from } else { to }
        };
        let (window, whom) = (of.progress.owed[&leg], party(of.payments[place]));
        let live = self.window(window).and_then(|window| window.live.get(&of.asset).copied());
        let Some(next) = live else { return false };
        if next == by {
            return true;
        }
        let (state, via, _) = &self.batches[&next];
        if *state == BatchState::Aborted {
            return false;
        }
        let mut own = via
            .progress
            .owed
            .keys()
            .filter(|leg| party(via.payments[usize::try_from(**leg).expect("few")]) == whom);
        own.any(|leg| self.leads_to(next, *leg, by))
    }
}
