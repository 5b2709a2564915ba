//! What is kept of batches by a node that follows the journal of another one: what that node keeps
//! when it makes them, so that whoever takes the journal over finds it.

use super::NotLoaded;
use super::batches::keep_names;
use super::settler::reference_name;
use crate::journal::names::{self, NamedLeg};
use crate::journal::{JournalError, Tables, accounts, kept};
use crate::ledger::control::Control;
use crate::ledger::event::LegsMoved;
use crate::ledger::{BatchContent, BatchHead, LegMove, Refusal};
use crate::pipeline::{Beside, NotDone};
use crate::rails::is_known_by_reference;
use crate::types::BatchId;
use crate::vault::Vault;
use std::cell::RefCell;
use std::sync::Arc;

/// Gives the vault, with all keys that the records so far need.
pub type Opener<'a> = dyn Fn() -> Result<Vault, JournalError> + 'a;

/// Keeps the batches of others.
pub struct OthersBatches<'a> {
    tables: Arc<dyn Tables>,
    vault: &'a Opener<'a>,
    /// The one that was kept or loaded last.
    newest: RefCell<Option<Arc<BatchContent>>>,
}

impl<'a> OthersBatches<'a> {
    /// Into these tables.
    #[must_use]
    pub fn new(tables: Arc<dyn Tables>, vault: &'a Opener<'a>) -> Self {
        Self { tables, vault, newest: RefCell::default() }
    }

    /// Whether something is here no more of which a batch would be computed again.
    fn is_gone(&self, control: &Control, id: BatchId) -> Result<bool, JournalError> {
        let unknown = |refusal: Refusal| JournalError::Storage(refusal.to_string());
        let head: &BatchHead = &control.batch(id).map_err(unknown)?.head;
        let mut gone = accounts::load(&*self.tables, id)?.is_empty();
        for &window in &head.windows {
            let sealed = control.window(window).and_then(|of| of.sealed_head()).map_err(unknown)?;
            let needed = sealed.owes(head.asset.number);
            gone |= needed && !kept::has_owed(&*self.tables, window)?;
        }
        Ok(gone)
    }

    /// A batch with its legs: computed again from what is kept.
    fn content(&self, control: &Control, id: BatchId) -> Result<Arc<BatchContent>, JournalError> {
        if let Some(newest) = self.newest.borrow().as_ref().filter(|of| of.head.id == id) {
            return Ok(newest.clone());
        }
        let unknown = |refusal: Refusal| JournalError::Storage(refusal.to_string());
        let head: &BatchHead = &control.batch(id).map_err(unknown)?.head;
        let load = |window| {
            let sealed = control.window(window).and_then(|of| of.sealed_head()).map_err(unknown)?;
            match sealed.owes(head.asset.number) {
                true => kept::load_window(&*self.tables, &sealed).map(Arc::new),
                false => Ok(Arc::new(sealed.without_assets())),
            }
        };
        let windows = head.windows.iter().map(|&window| load(window));
        let windows = windows.collect::<Result<Vec<_>, JournalError>>()?;
        let held = accounts::load(&*self.tables, id)?;
        let again = accounts::compute_again(head, &windows, |party| held.get(&party).cloned())?;
        let again = Arc::new(again);
        *self.newest.borrow_mut() = Some(again.clone());
        Ok(again)
    }
}

impl Beside for OthersBatches<'_> {
    fn batch(&self, content: BatchContent) -> Result<(), JournalError> {
        kept::put_batch(&*self.tables, &content)?;
        let vault = (self.vault)()?;
        // Of parties that were erased since there is nothing left to be said.
        let open = vault.show_batch(&content)?;
        keep_names(&vault, &*self.tables, &open).map_err(|error| match error {
            NotLoaded::Storage(error) => error,
            other @ (NotLoaded::NotDone(NotDone::Busy(_) | NotDone::Refused(_))
            | NotLoaded::Sealed(_)
            | NotLoaded::Away(_)) => JournalError::Storage(other.to_string()),
        })?;
        *self.newest.borrow_mut() = Some(Arc::new(content));
        Ok(())
    }

    fn moved(&self, control: &Control, moved: &LegsMoved) -> Result<(), JournalError> {
        let has_reference = |one: &&LegMove| !one.reference.is_empty();
        if !moved.moves.iter().any(|one| has_reference(&one)) {
            return Ok(());
        }
        let unknown = |refusal: Refusal| JournalError::Storage(refusal.to_string());
        let rail = control.batch(moved.batch).map_err(unknown)?.head.policy.rail;
        if !is_known_by_reference(rail) {
            return Ok(());
        }
        // What this node let go of when it owned the journal was kept before that.
        if self.is_gone(control, moved.batch)? {
            tracing::warn!(batch = %moved.batch, "references of its legs are not kept anew");
            return Ok(());
        }
        let content = self.content(control, moved.batch)?;
        let named = moved.moves.iter().filter(has_reference).map(|one| {
            let (leg, of) = (one.leg, &content.legs[one.leg as usize]);
            let (payer, payee, amount) = (of.payment.from, of.payment.to, of.payment.amount);
            let (batch, key, account) = (moved.batch, of.key.clone(), Vec::new());
            let named = NamedLeg { batch, leg, payer, payee, amount, key, account };
            (reference_name(&one.reference), named)
        });
        names::put_legs(&*self.tables, rail, named)
    }
}
