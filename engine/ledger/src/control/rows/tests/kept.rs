//! Rows as they are kept, and what comes back from them.

use super::super::*;
use super::World;
use crate::legs::Legs;
use crate::row::Section;
use std::collections::BTreeMap;

/// The rows as they are kept.
#[derive(Default)]
pub struct Kept(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Kept {
    pub fn change(&mut self, changes: Vec<RowChange>) {
        for change in changes {
            match change {
                RowChange::Put { key, value } => drop(self.0.insert(key, value)),
                RowChange::Remove { from, to } => self.0.retain(|key, _| *key < from || *key >= to),
            }
        }
    }

    /// The state that they are of; `heads` knows the batches.
    pub fn restore(&self, heads: &Control) -> Result<Control, RowUnfit> {
        let mut restoring = Control::restoring();
        let mut at_work = None;
        // As a start reads them: those of legs when all others were.
        let of = |key: &[u8]| RowKey::decode(key).is_some_and(|row| row.section() == Section::Legs);
        let others = self.0.iter().filter(|(key, _)| !of(key));
        for (key, value) in others.chain(self.0.iter().filter(|(key, _)| of(key))) {
            if let Some(RowKey::Legs(batch, _)) = RowKey::decode(key) {
                let at_work = match &at_work {
                    None => at_work.insert(restoring.batches_at_work()?),
                    Some(at_work) => at_work,
                };
                if !at_work.contains(&batch) {
                    continue;
                }
            }
            if let Restored::Batch(batch) = restoring.row(key, value)? {
                restoring.batch(heads.batch(batch).unwrap().head.clone())?;
            }
        }
        restoring.finish()
    }

    /// What differs between two states, with the legs that are here only.
    pub fn difference(&self, found: &Control, wanted: &Control) -> Option<&'static str> {
        let whole = |batch, legs: &Legs| {
            let mut legs = legs.clone();
            let all = 0..u32::try_from(legs.len()).unwrap();
            for page in legs.pages_away(all) {
                legs.restore_row(page, &self.0[&RowKey::Legs(batch, page).encode()]).unwrap();
            }
            legs
        };
        found.difference(wanted, &whole)
    }
}

/// Takes a picture, without anything in between.
pub(super) fn save(world: &mut World) {
    world.books.control.begin_save();
    while let Some((changes, last)) = world.books.control.save_some(3, usize::MAX) {
        world.kept.change(changes);
        if last {
            break;
        }
    }
}
