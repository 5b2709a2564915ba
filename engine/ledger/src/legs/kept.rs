//! What is kept of legs in rows, and how they come back: by pages of neighbours, so that what ended
//! needs no memory, and what changes is written without the rest.
//!
//! The batch's own row says which record changed each page last. So a page that is missing, or is
//! not the one that belongs there, is noticed by whoever reads it.

use super::{LegFacts, Legs, Owed, Proposal, Submission};
use crate::leg::LegState;
use crate::pages::PAGE;
use crate::standing::Standing;
use crate::types::{Lsn, Timestamp, Total};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// All that is known of a batch's legs together.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegsHead {
    counts: [u64; 8],
    submissions: Vec<Submission>,
    released: Vec<u64>,
    released_count: u64,
    released_sum: Total,
    owed_again: Total,
    changed: Vec<Lsn>,
    failed: Vec<(u32, LegState, Owed)>,
}

/// All that is known of the legs of one page.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegsPage {
    changed: Lsn,
    states: Vec<LegState>,
    facts: Vec<(u32, LegFacts)>,
    unknown_since: Vec<(u32, Timestamp)>,
    proposed: Vec<(u32, Proposal)>,
}

/// What was held of a page.
#[derive(Debug)]
pub struct PageHeld {
    _states: Arc<Vec<LegState>>,
    _facts: Option<Arc<BTreeMap<u32, LegFacts>>>,
}

/// The page in which a leg lies.
#[must_use]
pub fn page_of(leg: u32) -> u32 {
    leg / PAGE
}

/// The pages of so many legs.
pub(super) fn pages_of(count: u32) -> Range<u32> {
    0..count.div_ceil(PAGE)
}

/// The legs of one page.
pub(super) fn legs_of_page(count: u32, page: u32) -> Range<u32> {
    let first = page * PAGE;
    first..count.min(first.saturating_add(PAGE))
}

impl Legs {
    /// Says that a record is about to change a page.
    pub fn page_changes(&mut self, page: u32, lsn: Lsn) {
        if let Some(changed) = self.changed.get_mut(page as usize) {
            *changed = lsn;
        }
    }

    /// What is kept of them together.
    #[must_use]
    pub fn head(&self) -> LegsHead {
        LegsHead {
            counts: self.counts,
            submissions: self.submissions.iter().map(|held| Submission::clone(held)).collect(),
            released: self.released.clone(),
            released_count: self.released_count,
            released_sum: self.released_sum,
            owed_again: self.owed_again,
            changed: self.changed.clone(),
            failed: {
                let failed = self.failed.iter();
                failed.map(|(leg, (state, owed))| (*leg, *state, *owed)).collect()
            },
        }
    }

    /// What is kept of a page; `None` when there is no such page, or it is READY as at first.
    ///
    /// Panics when it is not in memory.
    #[must_use]
    pub fn page(&self, page: u32) -> Option<LegsPage> {
        let changed = *self.changed.get(page as usize)?;
        assert!(!self.away.contains(&page), "page {page} of the legs is not here");
        (changed > Lsn(0)).then(|| LegsPage {
            changed,
            states: self.states[page as usize].to_vec(),
            facts: self.facts.page(page).map(|(leg, of)| (leg, of.clone())).collect(),
            unknown_since: self.unknown_since.page(page).map(|(leg, at)| (leg, *at)).collect(),
            proposed: {
                let legs = legs_of_page(self.count, page);
                let proposed = self.proposed.range(legs);
                proposed.map(|(leg, of)| (*leg, of.clone())).collect()
            },
        })
    }

    /// So many legs, as they were kept; the pages that changed are away. `None` when that does not
    /// fit.
    #[must_use]
    pub fn restored(count: u64, head: LegsHead) -> Option<Self> {
        let LegsHead {
            counts,
            submissions,
            released,
            released_count,
            released_sum,
            owed_again,
            changed,
            failed,
        } = head;
        let mut legs = Self::ready(count);
        let fit = |sub: &Submission| {
            let ends = sub.legs.iter().map(|run| run.first.checked_add(run.count));
            let mut ends = ends.into_iter();
            !sub.attempts.is_empty() && ends.all(|end| end.is_some_and(|end| end <= legs.count))
        };
        let sums = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        if changed.len() != legs.changed.len()
            || sums != Some(count)
            || !submissions.iter().all(fit)
        {
            return None;
        }
        for (number, submission) in (0..).zip(&submissions) {
            legs.homes.extend(submission.legs.iter().map(|run| (run.first, number)));
        }
        legs.submissions = submissions.into_iter().map(Arc::new).collect();
        (legs.counts, legs.released, legs.released_count) = (counts, released, released_count);
        (legs.released_sum, legs.owed_again) = (released_sum, owed_again);
        legs.away = (0..).zip(&changed).filter(|(_, lsn)| **lsn > Lsn(0)).map(|(n, _)| n).collect();
        legs.changed = changed;
        legs.failed = failed.into_iter().map(|(leg, state, owed)| (leg, (state, owed))).collect();
        for page in &legs.away {
            legs.states[*page as usize] = Arc::default();
        }
        if legs.have_ended() {
            legs.standing = Standing::default();
        }
        Some(legs)
    }

    /// Brings a page back from what is kept of it.
    ///
    /// # Errors
    /// A text that says why it is not the one that belongs there.
    pub fn restore_row(&mut self, number: u32, row: &[u8]) -> Result<(), String> {
        let page = rkyv::from_bytes::<LegsPage, rkyv::rancor::Error>(row);
        self.restore_page(number, page.map_err(|error| error.to_string())?)
    }

    /// Brings a page back.
    ///
    /// # Errors
    /// A text that says why it is not the one that belongs there.
    fn restore_page(&mut self, number: u32, page: LegsPage) -> Result<(), String> {
        let LegsPage { changed, states, facts, unknown_since, proposed } = page;
        let wanted = self.changed.get(number as usize).ok_or("there is no such page")?;
        if changed != *wanted {
            return Err(format!("it is as record {changed} left it, not as {wanted} did"));
        }
        if !self.away.contains(&number) {
            return Err("it is there twice".into());
        }
        let legs = legs_of_page(self.count, number);
        let named = facts.iter().map(|(leg, _)| leg);
        let mut named = named.chain(unknown_since.iter().map(|(leg, _)| leg));
        let all_within = named.all(|leg| legs.contains(leg))
            && proposed.iter().all(|(leg, _)| legs.contains(leg));
        if states.len() != legs.len() || !all_within {
            return Err("it holds other legs".into());
        }
        self.away.remove(&number);
        for (leg, state) in legs.zip(&states) {
            self.standing.set(leg, *state);
        }
        self.states[number as usize] = Arc::new(states);
        facts.into_iter().for_each(|(leg, of)| self.facts.insert(leg, of));
        unknown_since.into_iter().for_each(|(leg, at)| self.unknown_since.insert(leg, at));
        self.proposed.extend(proposed);
        Ok(())
    }

    /// Whether a page is away.
    #[must_use]
    pub fn is_away(&self, page: u32) -> bool {
        self.away.contains(&page)
    }

    /// The pages on which these legs lie that are away, ascending.
    pub fn pages_away(&self, legs: impl Iterator<Item = u32>) -> BTreeSet<u32> {
        if self.away.is_empty() {
            return BTreeSet::new();
        }
        legs.map(page_of).filter(|page| self.away.contains(page)).collect()
    }

    /// The pages that changed and are in memory.
    pub fn pages_here(&self) -> impl Iterator<Item = u32> + '_ {
        let changed = (0..).zip(&self.changed).filter(|(_, lsn)| **lsn > Lsn(0));
        changed.map(|(page, _)| page).filter(|page| !self.away.contains(page))
    }

    /// Lets a page go, of which every leg has ended and that is kept as it is; gives what was held
    /// of it, so that freeing it holds up nobody.
    ///
    /// Panics when a leg on it has not ended.
    #[must_use]
    pub fn let_go(&mut self, page: u32) -> PageHeld {
        let legs = legs_of_page(self.count, page);
        assert!(self.have_ended() && self.proposed.range(legs).next().is_none(), "it has ended");
        self.standing = Standing::default();
        self.away.insert(page);
        let states = std::mem::take(&mut self.states[page as usize]);
        drop(self.unknown_since.take(page));
        PageHeld { _states: states, _facts: self.facts.take(page) }
    }

    /// Whether all pages together say what the batch says of them. What has ended may be away.
    ///
    /// # Errors
    /// A text that says what is missing.
    pub fn check_whole(&self) -> Result<(), String> {
        if let Some(page) = self.away.first() {
            return Err(format!("page {page} of its legs is missing"));
        }
        let mut counts = [0u64; 8];
        self.states().for_each(|state| counts[state as usize] += 1);
        if counts == self.counts { Ok(()) } else { Err("its legs do not add up".into()) }
    }
}
