//! The archive: sealed windows and batches, loaded from what is kept of them. A few windows stay in
//! memory, and one batch, since what is read or computed once is mostly read again; so do the plans
//! that somebody works with, for everybody else.

use super::accounts;
use super::pieces::{self, NotRead};
use crate::journal::{JournalError, Log, Tables, Visit, kept};
use crate::ledger::{
    BatchContent, BatchHead, BatchPlan, Control, Rail, Refusal, SealedAccount, SealedHead,
    SealedWindow,
};
use crate::limits::{ARCHIVE_WENT, ARCHIVE_WINDOWS};
use crate::past::Past;
use crate::pipeline::{Busy, Intake, NotDone};
use crate::types::{AssetNumber, BatchId, Lsn, PartyId, WindowNumber};
use crate::vault::{Vault, VaultError};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

/// Why something of the past cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotLoaded {
    /// The rules refuse it, or the pipeline does not take it.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// What is kept cannot be read.
    #[error(transparent)]
    Storage(#[from] JournalError),
    /// What is sealed cannot be opened.
    #[error(transparent)]
    Sealed(VaultError),
    /// It has left for an archive, which is not where it should be.
    #[error("{0}")]
    Away(String),
}

impl From<NotRead> for NotLoaded {
    fn from(error: NotRead) -> Self {
        match error {
            NotRead::Storage(error) => Self::Storage(error),
            NotRead::Away(why) => Self::Away(why),
        }
    }
}

impl From<VaultError> for NotLoaded {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Storage(error) => Self::Storage(error),
            VaultError::Refused(refusal) => refusal.into(),
            other @ (VaultError::Secret(_)
            | VaultError::BeingErased(_)
            | VaultError::NoKey(_)
            | VaultError::OtherKey(_)) => Self::Sealed(other),
        }
    }
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
    log: Arc<dyn Log>,
    tables: Arc<dyn Tables>,
    vault: Vault,
    /// Where the evidence of settled windows goes, if it leaves at all.
    archives: Option<Arc<Path>>,
    /// Held while something is read that may leave: it does not leave meanwhile.
    stays: Arc<RwLock<()>>,
    /// The windows of which something was forgotten last: whoever asked before may look for it.
    went: Arc<Mutex<VecDeque<WindowNumber>>>,
    /// What is known of parties.
    control: Arc<RwLock<Control>>,
    recent: Arc<Mutex<VecDeque<Arc<SealedWindow>>>>,
    batches: Arc<Mutex<Batches>>,
}

/// Batches in memory. What has an id is the content of that id for ever, so none of them grows old.
#[derive(Default)]
struct Batches {
    /// The one that was computed or loaded last.
    newest: Option<Arc<BatchContent>>,
    /// Those that somebody works with.
    plans: Vec<Weak<BatchPlan>>,
}

impl Batches {
    fn plan(&self, id: BatchId) -> Option<Arc<BatchPlan>> {
        let mut plans = self.plans.iter().filter_map(Weak::upgrade);
        plans.find(|plan| plan.content().head.id == id)
    }

    fn content(&self, id: BatchId) -> Option<Arc<BatchContent>> {
        let newest = self.newest.as_ref().filter(|content| content.head.id == id);
        newest.cloned().or_else(|| self.plan(id).map(|plan| plan.content().clone()))
    }
}

impl Archive {
    /// Of what the pipeline keeps. `vault` opens what of it is sealed; `archives` is where the
    /// evidence of settled windows goes.
    #[must_use]
    pub fn new(intake: &Intake, vault: Vault, archives: Option<&Path>) -> Self {
        let (log, tables) = (intake.log().clone(), intake.tables().clone());
        let (archives, stays) = (archives.map(Arc::from), Arc::default());
        Self {
            log,
            tables,
            vault,
            archives,
            stays,
            went: Arc::default(),
            control: intake.held_control().clone(),
            recent: Arc::default(),
            batches: Arc::default(),
        }
    }

    /// Where the archives of settled windows are.
    #[must_use]
    pub fn archives(&self) -> Option<&Path> {
        self.archives.as_deref()
    }

    /// Keeps evidence from leaving as long as the guard is held.
    pub(super) fn stay(&self) -> RwLockReadGuard<'_, ()> {
        self.stays.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the evidence of a window, which lies in an archive, unless somebody is reading any.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn forget_evidence(&self, window: WindowNumber) -> Result<bool, JournalError> {
        let Ok(_alone) = self.stays.try_write() else { return Ok(false) };
        self.goes(window);
        kept::forget_evidence(&*self.tables, window)?;
        Ok(true)
    }

    /// Forgets all of a window, which lies in an archive, unless somebody is reading any. Only what
    /// no start needs: the last checkpoint is at or behind the record that says that it lies there.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn forget_window(&self, window: WindowNumber) -> Result<bool, JournalError> {
        let Ok(_alone) = self.stays.try_write() else { return Ok(false) };
        self.goes(window);
        kept::forget_window(&*self.tables, window)?;
        Ok(true)
    }

    fn goes(&self, window: WindowNumber) {
        let mut went = self.went.lock().unwrap_or_else(PoisonError::into_inner);
        went.push_front(window);
        went.truncate(ARCHIVE_WENT);
    }

    /// Whether something of a window was forgotten since this start, and lately.
    pub(super) fn went(&self, window: WindowNumber) -> bool {
        self.went.lock().unwrap_or_else(PoisonError::into_inner).contains(&window)
    }

    /// Lets go of events that lie in archives, unless somebody is reading any.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn let_events_go(&self, to: Lsn) -> Result<bool, JournalError> {
        // That they lie there was noted before: who begins to read from here on reads it there.
        let alone = self.stays.try_write().is_ok();
        if alone {
            self.log.let_go(to)?;
        }
        Ok(alone)
    }

    /// Visits the bytes of every event from `from` up to and with `to`, in order, wherever they
    /// are. None of them leaves meanwhile.
    ///
    /// # Errors
    /// Of the visitor; `Away` when an archive that holds some of them cannot be read.
    pub fn events_between(&self, from: Lsn, to: Lsn, visit: &mut Visit<'_>) -> Result<(), NotRead> {
        let _stays = self.stay();
        self.past().events_between(from, to, visit)
    }

    /// The account that a party has now on a rail, durable or not.
    pub(super) fn account_now(&self, party: PartyId, rail: Rail) -> Option<SealedAccount> {
        self.control.read().unwrap_or_else(PoisonError::into_inner).account(party, rail)
    }

    /// The events of all time.
    #[must_use]
    pub fn past(&self) -> Past<'_> {
        Past { log: &*self.log, tables: &*self.tables, archives: self.archives() }
    }

    /// Opens what is sealed.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// A sealed window, from here or from its archive.
    ///
    /// # Errors
    /// `Storage` when it cannot be read, or does not have the root that was journaled; `Away` when
    /// it has left, and its archive is not where it should be.
    pub fn window(&self, sealed: &SealedHead) -> Result<Arc<SealedWindow>, NotRead> {
        if let Some(window) = self.find(sealed.head.number) {
            return Ok(window);
        }
        let window = {
            let _stays = self.stay();
            Arc::new(if pieces::has_left(self, sealed)? {
                pieces::load_window(self, sealed)?
            } else {
                kept::load_window(&*self.tables, sealed)?
            })
        };
        // One in which nothing is owed costs nothing to load, and takes no other's place.
        if !window.assets.is_empty() {
            self.hold_window(window.clone());
        }
        Ok(window)
    }

    /// Holds a window that was just sealed or loaded: it will be asked for.
    pub fn hold_window(&self, window: Arc<SealedWindow>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front(window);
        recent.truncate(ARCHIVE_WINDOWS);
    }

    fn find(&self, number: WindowNumber) -> Option<Arc<SealedWindow>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|window| window.number == number).cloned()
    }

    /// A batch with its legs. `windows` are those that it settles, in its order.
    ///
    /// # Errors
    /// When something cannot be read, or does not give the batch again.
    pub fn batch(
        &self,
        head: &BatchHead,
        windows: &[SealedHead],
    ) -> Result<Arc<BatchContent>, NotRead> {
        if let Some(content) = self.batches().content(head.id) {
            return Ok(content);
        }
        let windows = self.windows(windows, head.asset.number)?;
        let content = Arc::new(accounts::load_batch(self, head, &windows)?);
        self.hold(content.clone());
        Ok(content)
    }

    /// Holds a batch that was just computed: it will be asked for.
    pub fn hold(&self, content: Arc<BatchContent>) {
        self.batches().newest = Some(content);
    }

    /// What is to be done for a batch, with its legs.
    ///
    /// # Errors
    /// When there is no such batch, or something cannot be read.
    pub fn plan(&self, intake: &Intake, batch: BatchId) -> Result<Arc<BatchPlan>, NotLoaded> {
        if let Some(plan) = self.batches().plan(batch) {
            return Ok(plan);
        }
        let (head, sealed) = {
            let control = intake.control();
            let head = control.batch(batch)?.head.clone();
            let windows = head.windows.iter().map(|&window| control.window(window)?.sealed_head());
            let windows = windows.collect::<Result<Vec<_>, Refusal>>()?;
            (head, windows)
        };
        let content = self.batch(&head, &sealed)?;
        let windows = self.windows(&sealed, head.asset.number)?;
        let plan = Arc::new(BatchPlan::new(&windows, content));
        let mut batches = self.batches();
        batches.plans.retain(|plan| plan.strong_count() > 0);
        batches.plans.push(Arc::downgrade(&plan));
        Ok(plan)
    }

    /// Windows as a batch in this asset needs them: of one in which nothing of it is owed, nothing
    /// is loaded, since it may have left.
    ///
    /// # Errors
    /// As for `window`.
    pub fn windows(
        &self,
        sealed: &[SealedHead],
        asset: AssetNumber,
    ) -> Result<Vec<Arc<SealedWindow>>, NotRead> {
        let load = |sealed: &SealedHead| match sealed.owes(asset) {
            true => self.window(sealed),
            false => Ok(Arc::new(sealed.without_assets())),
        };
        sealed.iter().map(load).collect()
    }

    fn batches(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sealed windows in which nothing of a suspended party stands, of those that might need
    /// it: up to the first in which something does.
    ///
    /// # Errors
    /// `JournalError` when one cannot be read.
    pub fn clear_of(
        &self,
        intake: &Intake,
        party: PartyId,
    ) -> Result<Vec<WindowNumber>, JournalError> {
        let (may_need, mut clear) = (intake.control().may_need(party), Vec::new());
        for (window, assets) in may_need {
            for asset in assets {
                if kept::is_owed(&*self.tables, window, asset, party)? {
                    return Ok(clear);
                }
            }
            clear.push(window);
        }
        Ok(clear)
    }

    /// Every record.
    #[must_use]
    pub fn log(&self) -> &dyn Log {
        &*self.log
    }

    /// What is kept beside them.
    #[must_use]
    pub fn tables(&self) -> &dyn Tables {
        &*self.tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::seal::{Head, Owed, close};
    use crate::ledger::{EvidenceDigest, Obligation, Policy, SealedText};
    use crate::types::{
        AssetDef, AssetNumber, Digest, Lsn, PartyId, SettlementModel, Timestamp, Total,
    };
    use std::collections::BTreeMap;

    /// A batch with one leg of that amount, and what it settles.
    fn batch(amount: u128) -> (Arc<SealedWindow>, Arc<BatchContent>) {
        let asset = AssetNumber(978);
        let (payer, payee) = (PartyId([1; 32]), PartyId([2; 32]));
        let obligations = vec![Obligation { payer, payee, amount: Total(amount) }];
        let evidence = vec![EvidenceDigest { count: 1, digest: Digest::ZERO }];
        let owed = Owed { obligations, evidence, carried: Vec::new() };
        let (number, cut_at) = (WindowNumber(1), Timestamp(0));
        let head = Head { number, first_lsn: Lsn(2), cut_lsn: Lsn(9), cut_at, credited: 1 };
        let window = Arc::new(close(head, BTreeMap::from([(asset, owed)])));
        let model = SettlementModel::Bilateral;
        let asset = AssetDef { number: asset, code: "EUR".into(), scale: 2, model };
        let policy = Policy {
            rail: Rail::Iso20022,
            unit: Total(1),
            least: Total(1),
            most: Total(1_000),
            clearing: Vec::new(),
        };
        let nothing = || SealedText::new(Vec::new());
        let account = |_| Some(SealedAccount { name: nothing(), fields: nothing() });
        let windows = [window.clone()];
        let content =
            BatchContent::compute(&windows, &asset, &policy, account, |_| Total::ZERO).unwrap();
        (window, Arc::new(content))
    }

    #[test]
    fn in_memory_are_the_newest_batch_and_those_that_somebody_works_with_and_no_others() {
        let [(window, first), (_, second), (_, third)] = [batch(10), batch(20), batch(30)];
        let ids = [&first, &second, &third].map(|content| content.head.id);
        let mut held = Batches { newest: Some(first.clone()), plans: Vec::new() };
        let plan = Arc::new(BatchPlan::new(&[window], first));
        held.plans.push(Arc::downgrade(&plan));
        held.newest = Some(second.clone());
        let found = |held: &Batches| ids.map(|id| held.content(id).map(|of| of.head.id));
        assert_eq!(found(&held), [Some(ids[0]), Some(ids[1]), None]);
        held.newest = Some(third);
        assert_eq!(found(&held), [Some(ids[0]), None, Some(ids[2])]);
        drop(plan);
        assert_eq!(found(&held), [None, None, Some(ids[2])]);
        assert_eq!(Arc::strong_count(&second), 1, "nobody else holds what was forgotten");
    }
}
