//! Legs of batches that have ended, from where they are kept: into memory before something is
//! decided about them or happens to them, or beside it for whoever only reads.

use super::Intake;
use crate::journal::{JournalError, Tables, rows};
use crate::ledger::control::Control;
use crate::ledger::row::RowKey;
use crate::ledger::{Legs, Refusal};
use crate::limits::LEGS_COPIES_MAX;
use crate::types::BatchId;

/// Brings these rows of legs back into memory.
pub(super) fn bring(
    control: &mut Control,
    tables: &dyn Tables,
    wanted: Vec<RowKey>,
) -> Result<(), JournalError> {
    for row in wanted {
        let value = load(tables, row)?;
        control.bring(row, &value).map_err(|unfit| rows::changed(&unfit.to_string()))?;
    }
    Ok(())
}

/// Completes a copy of the legs of a batch by the pages on which these legs lie. False when the
/// copy is old: something has happened to them since.
///
/// # Errors
/// `Storage` when a page is lost or was changed.
pub fn complete(
    tables: &dyn Tables,
    batch: BatchId,
    legs: &mut Legs,
    wanted: impl Iterator<Item = u32>,
) -> Result<bool, JournalError> {
    for page in legs.pages_away(wanted) {
        let value = load(tables, RowKey::Legs(batch, page))?;
        if legs.restore_row(page, &value).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn load(tables: &dyn Tables, row: RowKey) -> Result<Vec<u8>, JournalError> {
    let lost = || rows::changed(&format!("{row:?}, which is lost,"));
    rows::get(tables, &row.encode())?.ok_or_else(lost)
}

impl Intake {
    /// Reads the legs of a batch as they stand, with what is known of these, whether it is in
    /// memory or not. The ledger waits only where all of it is, so `read` must not take its time.
    ///
    /// # Errors
    /// `Storage` when what is kept cannot be read; within, `Refusal` when there is no such batch.
    pub fn legs<T>(
        &self,
        batch: BatchId,
        wanted: &[u32],
        read: impl FnOnce(&Legs) -> T,
    ) -> Result<Result<T, Refusal>, JournalError> {
        for _ in 0..LEGS_COPIES_MAX {
            let mut copy = {
                let control = self.control();
                let legs = match control.batch(batch) {
                    Ok(entry) => &entry.legs,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                if legs.pages_away(wanted.iter().copied()).is_empty() {
                    return Ok(Ok(read(legs)));
                }
                legs.clone()
            };
            if complete(&**self.tables(), batch, &mut copy, wanted.iter().copied())? {
                return Ok(Ok(read(&copy)));
            }
        }
        Err(rows::changed(&format!("what is kept of legs of batch {batch}")))
    }
}
