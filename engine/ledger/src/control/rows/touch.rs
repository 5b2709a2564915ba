//! Which rows an event is about to change. More than it changes does no harm; one that is missing
//! would be kept as it was before.

use super::ENTRIES;
use crate::control::ended::rows_of_legs;
use crate::control::{Control, Made};
use crate::envelope::Fact;
use crate::event::Event;
use crate::row::RowKey;
use crate::types::{BatchId, Lsn};

impl Control {
    /// Says of the rows that the fact in the record at `lsn` changes, that it does.
    pub(in crate::control) fn touch_all(&mut self, lsn: Lsn, fact: &Fact, made: &Made) {
        for row in self.rows_of(lsn, fact, made) {
            self.touch(row);
        }
        // After the batch itself, which says when its pages changed.
        for (batch, page) in rows_of_legs(&fact.event) {
            self.touch(RowKey::Legs(batch, page));
            if let Some(entry) = self.batches.get_mut(&batch) {
                entry.legs.page_changes(page, lsn);
            }
        }
    }

    /// Without those of legs.
    fn rows_of(&self, lsn: Lsn, fact: &Fact, made: &Made) -> Vec<RowKey> {
        match &fact.event {
            Event::AssetCreated(_) => vec![RowKey::Assets],
            Event::PartyUpserted(e) => vec![RowKey::Party(e.party)],
            Event::PartyErased(e) => vec![RowKey::Party(e.party)],
            Event::SignerAdded(e) => vec![RowKey::Signer(e.signer)],
            Event::SignerRevoked(e) => vec![RowKey::Signer(e.signer)],
            Event::DepositRecorded(e) => vec![RowKey::Money(e.party, e.asset)],
            // The head is in every checkpoint; limits are the shards'.
            Event::CreditLimitSet(_) | Event::EngineKeySet(_) => Vec::new(),
            Event::WindowCut(e) => {
                vec![RowKey::Window(e.window), RowKey::Window(e.window.next())]
            }
            Event::WindowSealed(e) => {
                let carried = self.window(e.window).map_or(0, |window| window.carried.len());
                let mut rows = vec![RowKey::Window(e.window)];
                rows.extend((0..=piece(carried)).map(|piece| RowKey::Carried(e.window, piece)));
                rows
            }
            Event::WindowDisputed(e) => vec![RowKey::Window(e.window)],
            Event::DisputeEnded(e) => vec![RowKey::Window(e.window)],
            Event::BatchComputed(e) => {
                let mut rows = vec![RowKey::Batch(e.batch), RowKey::Deed(lsn)];
                rows.extend(e.windows.iter().copied().map(RowKey::Window));
                match made {
                    Made::Nothing => {}
                    Made::Batch(head) => rows.extend(
                        head.prefunded.iter().map(|(party, _)| RowKey::Money(*party, e.asset)),
                    ),
                }
                rows
            }
            Event::BatchApproved(e) => self.rows_of_step(e.batch, 0),
            Event::BatchAborted(e) => {
                let mut rows = vec![RowKey::Batch(e.batch), RowKey::Deed(lsn)];
                if let Ok(entry) = self.batch(e.batch) {
                    let asset = entry.head.asset.number;
                    rows.extend(entry.head.windows.iter().copied().map(RowKey::Window));
                    let prefunded = entry.head.prefunded.iter();
                    rows.extend(prefunded.map(|(party, _)| RowKey::Money(*party, asset)));
                }
                rows
            }
            Event::LegsSubmitted(e) => self.rows_of_step(e.batch, 0),
            Event::LegsMoved(e) => self.rows_of_step(e.batch, e.moves.len()),
            Event::LegsBooked(e) => vec![RowKey::Batch(e.batch)],
            Event::LegProposed(e) => vec![RowKey::Batch(e.batch)],
            Event::ExposureReleased(e) => vec![RowKey::Batch(e.batch)],
            Event::TroublesRaised(e) => {
                let first = self.troubles.last() + 1;
                (first..).take(e.troubles.len()).map(RowKey::Trouble).collect()
            }
            Event::TroublesAcked(e) => {
                let open = e.troubles.iter().copied().map(RowKey::Trouble);
                open.chain([RowKey::Acked]).collect()
            }
        }
    }

    /// A batch goes on, and so much of it may be owed again in the open window. Its windows, which
    /// are settled when it ends, are many, and touched then.
    fn rows_of_step(&self, batch: BatchId, again: usize) -> Vec<RowKey> {
        let open = self.open_window();
        let mut rows = vec![RowKey::Batch(batch), RowKey::Window(open.number)];
        let Ok(entry) = self.batch(batch) else { return rows };
        let dust = if entry.dust_owed { 0 } else { entry.head.carries.len() };
        let held = open.carried.len();
        let pieces = piece(held)..=piece(held + dust + again);
        rows.extend(pieces.map(|piece| RowKey::Carried(open.number, piece)));
        rows
    }
}

/// The piece in which the carry at this place lies.
fn piece(place: usize) -> u32 {
    u32::try_from(place / ENTRIES).expect("carries are limited by legs and parties")
}
