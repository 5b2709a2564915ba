//! Legs of batches that have ended: they leave memory once a checkpoint holds them, and come back
//! before anything is decided about them, or happens to them.
//!
//! Owns which pages may go and which must come. Who reads them from where they are kept is known
//! elsewhere.

use super::rows::{RowUnfit, restore_page};
use super::{BatchEntry, Control};
use crate::event::{Event, LegEvent};
use crate::legs::{PageHeld, page_of};
use crate::row::RowKey;
use crate::types::{BatchId, WindowNumber};
use crate::wish::Wish;

impl Control {
    /// Lets go of the legs of batches that have ended and of which there is nothing to do any more,
    /// as far as the last checkpoint holds them as they are. Gives what was held, to be freed while
    /// nobody waits. To be called once a checkpoint counts, and before the next one begins: what is
    /// copied, and not committed, is held by none.
    #[must_use]
    pub fn let_go(&mut self) -> Vec<PageHeld> {
        let mut held = Vec::new();
        let Self { batches, ended, rows, .. } = self;
        ended.retain(|batch| {
            let Some(entry) = batches.get_mut(batch).filter(|entry| entry.is_over()) else {
                return false;
            };
            let pages: Vec<u32> = entry.legs.pages_here().collect();
            let (kept, changed): (Vec<u32>, Vec<u32>) =
                pages.into_iter().partition(|page| rows.is_kept(RowKey::Legs(*batch, *page)));
            held.extend(kept.into_iter().map(|page| entry.legs.let_go(page)));
            !changed.is_empty()
        });
        held
    }

    /// Whether no batch that settles a window needs what was owed in it any more.
    #[must_use]
    pub fn is_needless(&self, window: WindowNumber) -> bool {
        let is_over = |batch: &BatchId| self.batch(*batch).is_ok_and(BatchEntry::is_over);
        self.window(window).is_ok_and(|window| window.live.values().all(is_over))
    }

    /// The batches that settle these windows and are over.
    pub fn over_of<'a>(
        &'a self,
        windows: impl IntoIterator<Item = WindowNumber> + 'a,
    ) -> impl Iterator<Item = &'a BatchEntry> + 'a {
        let entries = windows.into_iter().filter_map(|window| self.window(window).ok());
        let batches = entries.flat_map(|window| window.live.values());
        batches.filter_map(|batch| self.batch(*batch).ok()).filter(|entry| entry.is_over())
    }

    /// The rows of legs that are not in memory and must be, before a wish is decided.
    #[must_use]
    pub fn away_of_wish(&self, wish: &Wish) -> Vec<RowKey> {
        match wish {
            Wish::SubmitLegs(submit) => {
                let runs = submit.legs.iter();
                let legs = runs.flat_map(|run| run.first..run.first.saturating_add(run.count));
                self.away(submit.content.head.id, legs)
            }
            Wish::MoveLegs { content, steps, .. } => {
                self.away(content.head.id, steps.iter().map(|step| step.leg))
            }
            Wish::MoveEnded { batch, moves, .. } => {
                self.away(*batch, moves.iter().map(|one| one.leg))
            }
            Wish::ReportLegs { content, words, .. } => {
                self.away(content.head.id, words.iter().map(|said| said.leg))
            }
            Wish::ResolveLeg { content, leg, .. } => {
                self.away(content.head.id, std::iter::once(*leg))
            }
            Wish::BookLegs { batch, bookings, .. } => {
                self.away(*batch, bookings.iter().map(|one| one.leg))
            }
            Wish::CreateAsset { .. }
            | Wish::UpsertParty(_)
            | Wish::EraseParty { .. }
            | Wish::AddSigner { .. }
            | Wish::RevokeSigner { .. }
            | Wish::SetBudgets { .. }
            | Wish::WarnBudgets(_)
            | Wish::SetEyes(_)
            | Wish::ConfirmProposal { .. }
            | Wish::WithdrawProposal { .. }
            | Wish::AddIdentity(_)
            | Wish::RevokeIdentity { .. }
            | Wish::RotateIdentity { .. }
            | Wish::AddEndpoint { .. }
            | Wish::RemoveEndpoint { .. }
            | Wish::RotateEndpoint { .. }
            | Wish::SetCreditLimit { .. }
            | Wish::RecordDeposit { .. }
            | Wish::SetEngineKey { .. }
            | Wish::SetOperatorKey { .. }
            | Wish::RemoveOperatorKey { .. }
            | Wish::CloseWindow
            | Wish::SealWindow(_)
            | Wish::ArchiveWindow(_)
            | Wish::DisputeWindow { .. }
            | Wish::EndDispute { .. }
            | Wish::CreateBatch(_)
            | Wish::ApproveBatch { .. }
            | Wish::AbortBatch { .. }
            | Wish::ReleaseExposure { .. }
            | Wish::RaiseTroubles(_)
            | Wish::AckTroubles { .. }
            | Wish::BeginHold(_)
            | Wish::ReleaseHold { .. } => Vec::new(),
        }
    }

    /// The rows of legs that are not in memory and must be, before an event is applied again.
    #[must_use]
    pub fn away_of_event(&self, event: &Event) -> Vec<RowKey> {
        let rows = rows_of_legs(event);
        rows.into_iter().filter(|(batch, page)| self.is_away(*batch, *page)).map(row).collect()
    }

    /// Brings a row of legs back into memory.
    ///
    /// # Errors
    /// `RowUnfit` when it is not the one that belongs there.
    pub fn bring(&mut self, row: RowKey, value: &[u8]) -> Result<(), RowUnfit> {
        restore_page(&mut self.batches, row, value)?;
        if let RowKey::Legs(batch, _) = row {
            self.ended.insert(batch);
        }
        Ok(())
    }

    fn is_away(&self, batch: BatchId, page: u32) -> bool {
        self.batches.get(&batch).is_some_and(|entry| entry.legs.is_away(page))
    }

    fn away(&self, batch: BatchId, legs: impl Iterator<Item = u32>) -> Vec<RowKey> {
        let Some(entry) = self.batches.get(&batch) else { return Vec::new() };
        // A leg that there is not lies on no page.
        let pages = entry.legs.pages_away(legs);
        pages.into_iter().map(|page| RowKey::Legs(batch, page)).collect()
    }
}

impl BatchEntry {
    /// Whether it has ended and nothing is left to do for it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state().has_ended() && !self.is_settling()
    }
}

/// The pages of legs that an event changes.
pub(super) fn rows_of_legs(event: &Event) -> Vec<(BatchId, u32)> {
    let of = |batch: BatchId, legs: &mut dyn Iterator<Item = u32>| {
        let mut pages: Vec<u32> = legs.map(page_of).collect();
        pages.dedup();
        pages.into_iter().map(|page| (batch, page)).collect()
    };
    match event {
        Event::Leg(LegEvent::Submitted(e)) => {
            let runs = e.legs.iter();
            of(e.batch, &mut runs.flat_map(|run| run.first..run.first.saturating_add(run.count)))
        }
        Event::Leg(LegEvent::Moved(e)) => of(e.batch, &mut e.moves.iter().map(|one| one.leg)),
        Event::Leg(LegEvent::Booked(e)) => of(e.batch, &mut e.bookings.iter().map(|one| one.leg)),
        Event::Leg(LegEvent::Proposed(e)) => vec![(e.batch, page_of(e.leg))],
        Event::Leg(LegEvent::Released(_))
        | Event::Registry(_)
        | Event::Budget(_)
        | Event::Access(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Key(_)
        | Event::Window(_)
        | Event::Batch(_)
        | Event::Trouble(_)
        | Event::Hold(_) => Vec::new(),
    }
}

fn row((batch, page): (BatchId, u32)) -> RowKey {
    RowKey::Legs(batch, page)
}
