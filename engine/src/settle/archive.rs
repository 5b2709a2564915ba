//! The archive: sealed windows and batches, loaded from what is kept of them. A few windows stay in
//! memory, since what is read once is mostly read again.

use crate::journal::{JournalError, Store, kept};
use crate::ledger::{BatchContent, BatchHead, BatchPlan, Refusal, SealedHead, SealedWindow};
use crate::limits::ARCHIVE_WINDOWS;
use crate::pipeline::{Busy, Intake, NotDone};
use crate::types::{BatchId, WindowNumber};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Why something of the past cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotLoaded {
    /// The rules refuse it, or the pipeline does not take it.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// What is kept cannot be read.
    #[error(transparent)]
    Storage(#[from] JournalError),
}

impl From<Refusal> for NotLoaded {
    fn from(refusal: Refusal) -> Self {
        Self::NotDone(refusal.into())
    }
}

impl From<Busy> for NotLoaded {
    fn from(busy: Busy) -> Self {
        Self::NotDone(busy.into())
    }
}

/// Loads windows and batches. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn Store>,
    recent: Arc<Mutex<VecDeque<Arc<SealedWindow>>>>,
}

impl Archive {
    /// Of what the pipeline keeps.
    #[must_use]
    pub fn new(intake: &Intake) -> Self {
        Self { store: intake.store().clone(), recent: Arc::default() }
    }

    /// A sealed window.
    ///
    /// # Errors
    /// `JournalError` when it cannot be read, or does not have the root that was journaled.
    pub fn window(&self, sealed: &SealedHead) -> Result<Arc<SealedWindow>, JournalError> {
        if let Some(window) = self.find(sealed.head.number) {
            return Ok(window);
        }
        let window = Arc::new(kept::load_window(&*self.store, sealed)?);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front(window.clone());
        recent.truncate(ARCHIVE_WINDOWS);
        Ok(window)
    }

    fn find(&self, number: WindowNumber) -> Option<Arc<SealedWindow>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|window| window.number == number).cloned()
    }

    /// A batch with its legs. `windows` are those that it settles, in its order.
    ///
    /// # Errors
    /// `JournalError` when something cannot be read, or does not give the batch again.
    pub fn batch(
        &self,
        head: &BatchHead,
        windows: &[SealedHead],
    ) -> Result<BatchContent, JournalError> {
        let load = |sealed| self.window(sealed);
        let windows = windows.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        kept::load_batch(&*self.store, head, &windows)
    }

    /// What is to be done for a batch, with its legs.
    ///
    /// # Errors
    /// When there is no such batch, or something cannot be read.
    pub fn plan(&self, intake: &Intake, batch: BatchId) -> Result<BatchPlan, NotLoaded> {
        let (head, sealed) = {
            let control = intake.control();
            let head = control.batch(batch)?.head.clone();
            let windows = head.windows.iter().map(|&window| control.window(window)?.sealed_head());
            let windows = windows.collect::<Result<Vec<_>, Refusal>>()?;
            (head, windows)
        };
        let windows = sealed.iter().map(|sealed| self.window(sealed));
        let windows = windows.collect::<Result<Vec<_>, _>>()?;
        let content = kept::load_batch(&*self.store, &head, &windows)?;
        Ok(BatchPlan::new(&windows, Arc::new(content)))
    }

    /// What is kept.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }
}
