//! The events of all time, folded anew: the control state that a start brings back from a
//! checkpoint must be the same, in every part.

use crate::check::{Checked, ensure};
use crate::disk::Disk;
use std::path::Path;
use tallystick::journal::{Chain, Entry, JournalError, kept};
use tallystick::ledger::control::{Control, Made};
use tallystick::ledger::event::BatchEvent;
use tallystick::ledger::{Event, Legs};
use tallystick::past::{NotRead, Past};
use tallystick::pipeline::complete_legs;
use tallystick::types::{BatchId, Lsn};

/// Compares what a start brought back with what the events add up to, those on the shelf too.
///
/// # Errors
/// What differs first.
pub fn same(found: &Control, disk: &Disk, shelf: &Path) -> Checked {
    let wanted =
        control(disk, shelf).map_err(|error| format!("the events cannot be folded: {error}"))?;
    let wanted = wanted.ok_or("there is no genesis record")?;
    let differs = found.difference(&wanted, &|batch, legs| whole(disk, batch, legs));
    ensure(differs.is_none(), || {
        let what = differs.unwrap_or_default();
        format!("a start brought back other {what} than the events add up to")
    })
}

/// Legs with the pages that are not in memory.
#[must_use]
pub fn whole(disk: &Disk, batch: BatchId, legs: &Legs) -> Legs {
    let (mut whole, all) = (legs.clone(), 0..u32::try_from(legs.len()).expect("legs are few"));
    let complete = complete_legs(disk, batch, &mut whole, all).expect("pages are where they lie");
    assert!(complete, "the page of a leg is not as its batch says");
    whole
}

fn control(disk: &Disk, shelf: &Path) -> Result<Option<Control>, NotRead> {
    let (mut chain, mut state) = (Chain::start(), None::<Control>);
    let past = Past { log: disk, tables: disk, archives: Some(shelf) };
    past.events_between(Lsn(1), disk.last(), &mut |lsn, bytes| {
        let record = chain.follow_event(lsn, bytes)?;
        let history = record.history();
        match (record.entry()?, &mut state) {
            (Entry::Genesis(genesis), None) => state = Some(Control::new(genesis, history)),
            (Entry::Fact(fact), Some(control)) => {
                let made = if let Event::Batch(BatchEvent::Computed(e)) = &fact.event {
                    Made::Batch(kept::load_batch_head(disk, e.batch)?)
                } else {
                    Made::Nothing
                };
                control.apply(history, record.at, &fact, made);
            }
            (
                Entry::Genesis(_) | Entry::Frame(_) | Entry::Charges(..) | Entry::Bundles(_),
                Some(_),
            )
            | (Entry::Frame(_) | Entry::Charges(..) | Entry::Bundles(_) | Entry::Fact(_), None) => {
                let why = "only the first record is a genesis record, and none here a frame".into();
                return Err(JournalError::Damaged { lsn, why });
            }
        }
        Ok(())
    })?;
    Ok(state)
}
