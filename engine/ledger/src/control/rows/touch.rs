//! Which rows an event is about to change. More than it changes does no harm; one that is missing
//! would be kept as it was before.

use super::ENTRIES;
use crate::control::ended::rows_of_legs;
use crate::control::{Control, Made};
use crate::envelope::Fact;
use crate::event::{
    BatchEvent, BudgetEvent, DisputeEnded, Event, ExposureReleased, EyesEvent, HoldEvent, KeyEvent,
    LegEvent, LegProposed, LegsBooked, RegistryEvent, TroubleEvent, WindowArchived, WindowDisputed,
    WindowEvent,
};
use crate::row::RowKey;
use crate::types::{BatchId, Lsn, Timestamp};

impl Control {
    /// Says of the rows that the fact in the record at `lsn` changes, that it does.
    pub(in crate::control) fn touch_all(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        fact: &Fact,
        made: &Made,
    ) {
        for row in self.rows_of((lsn, at), fact, made) {
            self.touch(row);
        }
        let confirmed = fact.confirms.as_ref();
        if let Some(row) = confirmed.and_then(|of| self.row_of_proposal(of.proposal)) {
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
    fn rows_of(&self, (lsn, at): (Lsn, Timestamp), fact: &Fact, made: &Made) -> Vec<RowKey> {
        match &fact.event {
            // Limits are the shards': of them proposals alone stand here.
            Event::Registry(RegistryEvent::LimitSet(e)) => {
                self.eyes.of_limit(e.party, e.asset).map(RowKey::Proposal).collect()
            }
            Event::Registry(RegistryEvent::PartyErased(e)) => self.rows_of_erased(e),
            Event::Registry(e) => rows_of_registry(e),
            Event::Budget(BudgetEvent::Set(e)) => vec![RowKey::Budgets(e.signer)],
            Event::Budget(BudgetEvent::Warned(e)) => {
                e.uses.iter().map(|of| RowKey::Budgets(of.signer)).collect()
            }
            // The head is in every checkpoint.
            Event::Key(KeyEvent::EngineSet(_)) => Vec::new(),
            Event::Key(KeyEvent::OperatorSet(e)) => {
                let before = self.operator_keys.current(&e.operator);
                before.into_iter().chain([e.key]).map(RowKey::OperatorKey).collect()
            }
            Event::Key(KeyEvent::OperatorRemoved(e)) => {
                let key = self.operator_keys.current(&e.operator);
                key.into_iter().map(RowKey::OperatorKey).collect()
            }
            Event::Access(e) => self.rows_of_access(lsn, e),
            Event::Endpoint(e) => Self::rows_of_endpoints(lsn, e),
            Event::Eyes(EyesEvent::Set(_)) => vec![RowKey::Eyes],
            Event::Eyes(EyesEvent::Proposed(_)) => self.rows_of_proposed(lsn, at),
            Event::Eyes(EyesEvent::Withdrawn(e)) => {
                self.row_of_proposal(e.proposal).into_iter().collect()
            }
            Event::Window(e) => self.rows_of_window(e),
            Event::Batch(BatchEvent::Computed(e)) => {
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
            Event::Batch(BatchEvent::Approved(e)) => self.rows_of_step(e.batch, 0),
            Event::Batch(BatchEvent::Aborted(e)) => {
                let mut rows = vec![RowKey::Batch(e.batch), RowKey::Deed(lsn)];
                if let Ok(entry) = self.batch(e.batch) {
                    let asset = entry.head.asset.number;
                    rows.extend(entry.head.windows.iter().copied().map(RowKey::Window));
                    let prefunded = entry.head.prefunded.iter();
                    rows.extend(prefunded.map(|(party, _)| RowKey::Money(*party, asset)));
                }
                rows
            }
            Event::Leg(LegEvent::Submitted(e)) => self.rows_of_step(e.batch, 0),
            Event::Leg(LegEvent::Moved(e)) => self.rows_of_step(e.batch, e.moves.len()),
            Event::Leg(
                LegEvent::Booked(LegsBooked { batch, .. })
                | LegEvent::Proposed(LegProposed { batch, .. })
                | LegEvent::Released(ExposureReleased { batch, .. }),
            ) => vec![RowKey::Batch(*batch)],
            Event::Trouble(TroubleEvent::Raised(e)) => {
                let first = self.troubles.last() + 1;
                (first..).take(e.troubles.len()).map(RowKey::Trouble).collect()
            }
            Event::Trouble(TroubleEvent::Acked(e)) => {
                let open = e.troubles.iter().copied().map(RowKey::Trouble);
                open.chain([RowKey::Acked]).collect()
            }
            Event::Hold(HoldEvent::Begun(_) | HoldEvent::Released(_)) => vec![RowKey::Hold],
        }
    }

    fn rows_of_window(&self, event: &WindowEvent) -> Vec<RowKey> {
        match event {
            WindowEvent::Cut(e) => vec![RowKey::Window(e.window), RowKey::Window(e.window.next())],
            WindowEvent::Sealed(e) => {
                let carried = self.window(e.window).map_or(0, |window| window.carried.len());
                let mut rows = vec![RowKey::Window(e.window)];
                rows.extend((0..=piece(carried)).map(|piece| RowKey::Carried(e.window, piece)));
                rows
            }
            WindowEvent::Disputed(WindowDisputed { window, .. })
            | WindowEvent::DisputeEnded(DisputeEnded { window, .. })
            | WindowEvent::Archived(WindowArchived { window, .. }) => {
                vec![RowKey::Window(*window)]
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

/// What is known of one party, key or asset is one row.
fn rows_of_registry(event: &RegistryEvent) -> Vec<RowKey> {
    match event {
        RegistryEvent::AssetCreated(_) => vec![RowKey::Assets],
        RegistryEvent::PartyUpserted(e) => vec![RowKey::Party(e.party)],
        RegistryEvent::PartyErased(e) => vec![RowKey::Party(e.party)],
        RegistryEvent::SignerAdded(e) => vec![RowKey::Signer(e.signer)],
        RegistryEvent::SignerRevoked(e) => vec![RowKey::Signer(e.signer)],
        RegistryEvent::Deposited(e) => vec![RowKey::Money(e.party, e.asset)],
        RegistryEvent::LimitSet(_) => Vec::new(),
    }
}

/// The piece in which the carry at this place lies.
fn piece(place: usize) -> u32 {
    u32::try_from(place / ENTRIES).expect("carries are limited by legs and parties")
}
