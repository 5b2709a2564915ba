//! What leaves as a file: durable, journaled, then in the outbox, and not one step earlier. A file
//! that was journaled and could not leave is **held**: it is tried again every turn, a trouble
//! until it is out, and nobody's word about its legs is taken meanwhile, but the one that withdraws
//! it.

use super::answers::of_file;
use super::step::{Bytes, is_called};
use super::{Run, Stuck};
use crate::faults;
use crate::ledger::{
    Account, BatchContent, BatchPlan, LegState, LegStep, MayLeave, Rail, TroubleKind,
};
use crate::limits::SETTLER_PATIENCE;
use crate::rails::Part;
use crate::settle::archive::NotLoaded;
use crate::settle::desk::FileDesk;
use crate::settle::engine::Engine;
use crate::types::{BatchId, PartyId};
use crate::vault::parties_of;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Files that were journaled and have not left. Cheap to clone.
#[derive(Clone, Default)]
pub struct Held {
    files: Arc<Mutex<BTreeMap<(BatchId, u32), HeldFile>>>,
    /// Whoever has it may have files leave, or say what became of their legs: never both at once.
    turn: Arc<Turn<()>>,
    /// Batches of whose legs an operator has said something since the settler looked. It looks by
    /// itself at those that are not done, and at no others.
    said: Arc<Mutex<BTreeSet<BatchId>>>,
}

/// A file that has not left.
#[derive(Clone)]
struct HeldFile {
    rail: Rail,
    desk: FileDesk,
    name: String,
}

impl Held {
    /// An operator has said something of legs of a batch.
    pub fn said(&self, batch: BatchId) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(batch);
    }

    /// Takes the batches of which something was said.
    pub(super) fn take_said(&self) -> BTreeSet<BatchId> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file of a submission has not left.
    pub(super) fn holds(&self, batch: BatchId, submission: u32) -> bool {
        self.all().contains_key(&(batch, submission))
    }

    /// The submissions of a batch whose files have not left.
    #[must_use]
    pub fn of(&self, batch: BatchId) -> BTreeSet<u32> {
        let all = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        all.keys().filter(|(of, _)| *of == batch).map(|(_, number)| *number).collect()
    }

    fn all(&self) -> BTreeMap<(BatchId, u32), HeldFile> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, of: (BatchId, u32), file: HeldFile) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(of, file);
    }

    fn take(&self, of: (BatchId, u32)) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
    }

    /// Before an operator's word about legs is journaled: nothing leaves while the guard is held.
    /// Files whose legs are all said to be rejected are withdrawn first, and never leave; about one
    /// leg alone of a file that has not left, or about what the rail did with it, there is nothing
    /// that could be true.
    ///
    /// # Errors
    /// A text that says why the word cannot be taken now.
    pub async fn before(
        &self,
        engine: &Engine,
        batch: BatchId,
        steps: &[LegStep],
    ) -> Result<OwnedMutexGuard<()>, String> {
        let turn = tokio::time::timeout(SETTLER_PATIENCE, self.turn.clone().lock_owned()).await;
        let turn = turn.map_err(|_| "a file is just leaving, which takes its time; try again")?;
        let mut withdrawn = Vec::new();
        for ((_, number), file) in self.all().into_iter().filter(|((of, _), _)| *of == batch) {
            let open: Vec<u32> = {
                let control = engine.control();
                let entry = control.batch(batch).map_err(|refusal| refusal.to_string())?;
                let held = entry.legs.submissions().get(number as usize);
                let legs = held.into_iter().flat_map(|one| one.legs());
                legs.filter(|leg| entry.legs.state(*leg).is_in_flight()).collect()
            };
            let own = |one: &&LegStep| open.binary_search(&one.leg).is_ok();
            let said = steps.iter().filter(own).count();
            let rejected = steps.iter().filter(own).filter(|one| one.to == LegState::Rejected);
            if said == 0 {
                continue;
            }
            if rejected.count() < open.len() {
                return Err(format!(
                    "the file {} of {} legs has not left: it stands in outbox/{}/.staging, and `batch report` \
                     says what keeps it. See to it that it can leave, or withdraw it: report all its legs \
                     rejected in one call, and they are owed again; nothing was changed",
                    file.name,
                    open.len(),
                    file.rail.name()
                ));
            }
            withdrawn.push((number, file));
        }
        for (number, file) in withdrawn {
            let HeldFile { desk, name, .. } = file;
            let done = tokio::task::spawn_blocking(move || desk.discard(&name)).await;
            let done = done.map_err(|error| error.to_string())?;
            done.map_err(|error| {
                format!("the file cannot be withdrawn: {error}; nothing was changed")
            })?;
            self.take((batch, number));
        }
        Ok(turn)
    }
}

impl Run {
    /// Hands legs to a rail as one file: durable, journaled, then in the outbox.
    pub(super) fn submit_file(
        &self,
        plan: &BatchPlan,
        rail: Rail,
        desk: &FileDesk,
        legs: &[u32],
    ) -> Result<(), Stuck> {
        let content = plan.content();
        let batch = content.head.id;
        let number = {
            let control = self.engine.control();
            let entry = control.batch(batch).map_err(|r| Stuck::NotLoaded(r.into()))?;
            u32::try_from(entry.legs.submissions().len()).expect("submissions are limited by legs")
        };
        let part = self.part(content, legs, number)?;
        let file = part.file().ok_or_else(|| is_called(rail))?;
        let name = file.name();
        let staged = desk.stage(&name, |out| file.write(out))?;
        faults::point(|| "submit-staged");
        // Held before it is journaled: what can be said of its legs waits until it is out.
        let of = (batch, number);
        self.held.put(of, HeldFile { rail, desk: desk.clone(), name: name.clone() });
        let (digest, length) = (staged.digest, staged.bytes);
        let bytes = Bytes { digest, length, name: name.clone() };
        let journaled = self.leave(plan, (number, 0), legs, bytes);
        if let Err(stuck) = journaled {
            self.held.take(of);
            return Err(stuck);
        }
        faults::point(|| "submit-journaled");
        let (legs, bytes) = (legs.len(), staged.bytes);
        tracing::info!(%batch, rail = rail.name(), file = name, legs, bytes, "file journaled");
        self.let_leave()
    }

    /// Has every held file leave that may. What keeps one is a trouble until it is out.
    pub(super) fn let_leave(&self) -> Result<(), Stuck> {
        let held = self.held.all();
        let mut kept: BTreeMap<Rail, Vec<String>> = BTreeMap::new();
        if !held.is_empty() {
            let turn = self.held.turn.clone();
            let _turn = self.runtime.block_on(turn.lock_owned());
            for (of, file) in self.held.all() {
                if let Some(why) = self.one_leaves(of, &file)? {
                    kept.entry(file.rail).or_default().push(why);
                }
            }
        }
        for rail in self.files.keys() {
            let why = kept.remove(rail).map(|why| why.join("; "));
            self.troubles.set(&format!("outbox of {}", rail.name()), why);
        }
        Ok(())
    }

    /// These legs with what their file needs of their parties; in a list of pay-ins, with what is
    /// known now of those who are to pay.
    fn part(&self, content: &BatchContent, legs: &[u32], number: u32) -> Result<Part, NotLoaded> {
        let (vault, rail) = (self.engine.vault(), content.head.policy.rail);
        let open = vault.open_legs(content, legs)?;
        let mut payers = BTreeMap::new();
        if Part::is_list_of(&open, legs) {
            for payer in parties_of(legs.iter().map(|leg| content.legs[*leg as usize].payment)) {
                payers.insert(payer, self.payer(payer, rail)?);
            }
        }
        Ok(Part::new(&open, legs, number).naming(|party| payers.get(&party).cloned().flatten()))
    }

    /// What is known now of a party that is to pay in: its name, and its account if it has one on
    /// the rail.
    fn payer(&self, party: PartyId, rail: Rail) -> Result<Option<Account>, NotLoaded> {
        let (account, name) = {
            let control = self.engine.control();
            let name = control.party(party).ok().and_then(|entry| entry.name.clone());
            (control.account(party, rail), name)
        };
        let vault = self.engine.vault();
        Ok(match (account, name) {
            (Some(account), _) => Some(vault.account(party, rail.name(), &account)?),
            (None, Some(name)) => {
                Some(Account { name: vault.name(party, &name)?, fields: Vec::new() })
            }
            (None, None) => None,
        })
    }

    /// One held file leaves, or stays; then why.
    fn one_leaves(&self, of: (BatchId, u32), file: &HeldFile) -> Result<Option<String>, Stuck> {
        let ((batch, number), HeldFile { rail, desk, name }) = (of, file);
        let may = self.engine.control().batch(batch).map(|entry| entry.legs.may_leave(number));
        match may.unwrap_or(MayLeave::Never) {
            MayLeave::Now => {}
            MayLeave::Mixed => {
                let why = format!(
                    "file {name} has not left, and some of its legs have ended: it stays in \
                     outbox/{}/.staging; report all its other legs rejected in one call, and it is withdrawn",
                    rail.name()
                );
                self.raise(vec![of_file(TroubleKind::Held, *rail, name, why.clone())])?;
                return Ok(Some(why));
            }
            MayLeave::Never => {
                let text = format!(
                    "file {name} never left, and all its legs have ended: it was discarded"
                );
                self.raise(vec![of_file(TroubleKind::Held, *rail, name, text)])?;
                return Ok(match desk.discard(name) {
                    Ok(()) => {
                        self.held.take(of);
                        None
                    }
                    Err(error) => Some(error.to_string()),
                });
            }
        }
        self.engine.owns();
        let mut done = desk.release(name);
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Somebody took it from where it stood: the same bytes are made again.
            done = self.stage_again(of, file).and_then(|()| desk.release(name));
        }
        match done {
            Ok(()) => {
                faults::point(|| "submit-left");
                self.held.take(of);
                tracing::info!(%batch, rail = rail.name(), file = name, "file in the outbox");
                Ok(None)
            }
            Err(error) => Ok(Some(format!(
                "file {name} cannot leave, and is tried again until it can: {error}"
            ))),
        }
    }

    /// Makes a journaled file anew: byte by byte what it was.
    fn stage_again(&self, (batch, number): (BatchId, u32), file: &HeldFile) -> io::Result<()> {
        let plan = self.engine.plan_here(batch).map_err(io::Error::other)?;
        let (legs, digest) = {
            let control = self.engine.control();
            let entry = control.batch(batch).map_err(io::Error::other)?;
            let held = &entry.legs.submissions()[number as usize];
            (held.legs().collect::<Vec<u32>>(), held.newest().digest)
        };
        let part = self.part(plan.content(), &legs, number).map_err(io::Error::other)?;
        let made = part.file().ok_or_else(|| io::Error::other(is_called(file.rail)))?;
        let staged = file.desk.stage(&file.name, |out| made.write(out))?;
        if staged.digest == digest {
            return Ok(());
        }
        file.desk.discard(&file.name)?;
        Err(io::Error::other(format!(
            "the file {} was taken from outbox/*/.staging and cannot be made again as it was",
            file.name
        )))
    }

    /// Files that were staged when the engine stopped: what is journaled is held, and leaves if it
    /// still may; the rest is discarded and made again.
    pub(super) fn hold_staged(&self, rail: Rail, desk: &FileDesk) -> Result<(), Stuck> {
        for name in desk.staged()? {
            match self.submission_named(rail, &name) {
                Some(of) => {
                    tracing::info!(rail = rail.name(), file = name, "a file was held up");
                    self.held.put(of, HeldFile { rail, desk: desk.clone(), name });
                }
                None => desk.discard(&name)?,
            }
        }
        Ok(())
    }

    /// The submission that a file of this name was journaled as.
    pub(super) fn submission_named(&self, rail: Rail, name: &str) -> Option<(BatchId, u32)> {
        let mut parts = name.split('.');
        let (digits, number) = (parts.next()?, parts.next()?.parse::<u32>().ok()?);
        let control = self.engine.control();
        let found = control.approved_named(digits).find(|entry| {
            let held = entry.legs.submissions().get(number as usize);
            let is_own =
                held.is_some_and(|held| held.attempts.iter().any(|one| *one.name == *name));
            is_own && entry.head.policy.rail == rail
        });
        found.map(|entry| (entry.head.id, number))
    }
}
