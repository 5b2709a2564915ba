//! What each party owed in the windows of a batch, and how much of that is settled once its legs
//! have ended. Pure sums over sealed windows: the same batch gives the same dues.
//!
//! ```text
//! owed = carried on (dust) + paid by deposit + paid by its own legs + set off
//! ```
//!
//! What is set off was owed to it by others; it counts as settled with the rest.

use super::batch::BatchHead;
use super::event::Release;
use super::window::{Obligation, SealedWindow};
use crate::types::{PartyId, Total};
use std::sync::Arc;

/// One party's part in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The party.
    pub party: PartyId,
    /// What it owed as a payer, gross, in obligations and carries of the batch's windows.
    pub owed: Total,
    /// Of that, what the batch carries on.
    pub dust: Total,
    /// Of that, what its deposit pays.
    pub prefund: Total,
}

/// The dues of a batch, ordered by party: everyone who owed something, but the clearing account.
#[must_use]
pub fn dues(windows: &[Arc<SealedWindow>], head: &BatchHead) -> Vec<Due> {
    let sealed = windows.iter().filter_map(|window| window.assets.get(&head.asset.number));
    let mut owed: Vec<(PartyId, Total)> = sealed
        .flat_map(|sealed| sealed.obligations.iter().chain(&sealed.carried))
        .filter(|o| o.payer != PartyId::CLEARING)
        .map(|o: &Obligation| (o.payer, o.amount))
        .collect();
    owed.sort_unstable_by_key(|(party, _)| *party);
    let mut dues: Vec<Due> = owed
        .chunk_by(|a, b| a.0 == b.0)
        .map(|of| Due {
            party: of[0].0,
            owed: of.iter().fold(Total::ZERO, |sum, (_, amount)| sum.plus(*amount)),
            dust: Total::ZERO,
            prefund: Total::ZERO,
        })
        .collect();
    for carry in head.carries.iter().filter(|carry| carry.payer != PartyId::CLEARING) {
        let due = of(&mut dues, carry.payer);
        due.dust = due.dust.plus(carry.amount);
    }
    for (party, amount) in &head.prefunded {
        let due = of(&mut dues, *party);
        due.prefund = due.prefund.plus(*amount);
    }
    dues
}

fn of(dues: &mut [Due], party: PartyId) -> &mut Due {
    let place = dues.binary_search_by_key(&party, |due| due.party);
    &mut dues[place.expect("who pays in a batch owed something in its windows")]
}

impl Due {
    /// What is settled once every leg of the party has ended, of which those that it should have
    /// paid and did not sum to `rejected`.
    ///
    /// Panics when more was carried and rejected than was owed: then the batch contradicts itself.
    #[must_use]
    pub fn release(&self, place: usize, rejected: Total) -> Release {
        let left = self.dust.plus(rejected);
        let unsettled = self.owed.checked_minus(left).expect("nobody's legs exceed what it owed");
        assert!(self.prefund <= unsettled, "a deposit pays a part of what is settled");
        let place = u32::try_from(place).expect("parties are limited");
        Release { place, party: self.party, unsettled, prefund: self.prefund }
    }
}
