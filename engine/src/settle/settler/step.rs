//! One batch's next steps: what is held back, what leaves, whose exposure falls.

use super::desk::Ready;
use super::{LIST, Run, Stuck};
use crate::ledger::{
    Admitted, BatchPlan, BatchState, Command, LegState, LegStep, Legs, NewTrouble, Next, Rail,
    Refusal, SubmitLegs, Voice, Wish, runs,
};
use crate::limits::{MOVES_MAX, RELEASES_MAX, TROUBLES_RECORD_MAX};
use crate::rails::{self, is_sent_in_calls};
use crate::settle::archive::NotLoaded;
use crate::types::{BatchId, Digest, Lsn, Total};
use std::collections::BTreeMap;
use std::sync::Arc;

const HELD_BACK: &str = "held back: not enough pay-ins have arrived";

impl Run {
    /// Which legs of a batch may leave now. What is to be held back is.
    pub(super) fn choose(&mut self, batch: BatchId, plan: &BatchPlan) -> Result<Ready, Stuck> {
        self.note_void(batch)?;
        let (standing, free, suspended, said) = {
            let control = self.engine.control();
            self.suspensions = control.suspensions();
            let entry = control.batch(batch).map_err(refused)?;
            let free = control.free_to_pay(batch).map_err(refused)?;
            let said: BTreeMap<u32, u64> = control.said_to_be_paid(batch).collect();
            (entry.legs.standing().clone(), free, control.suspended().clone(), said)
        };
        let mut next = plan.next(&standing, free, &suspended);
        // With what covers them, as those of suspended payees.
        next.pay_ins.retain(|leg| !said.contains_key(leg));
        next.pay_outs.retain(|leg| !said.contains_key(leg));
        self.troubles.set(&format!("batch {batch}, said to be paid"), said_text(&said));
        let waits = waiting_text(plan, &next.suspended);
        self.troubles.set(&format!("batch {batch}, suspended"), waits);
        let Next { pay_ins, pay_outs, held_back, .. } = next;
        for some in held_back.chunks(MOVES_MAX) {
            let moves = some.iter().map(|&leg| to(leg, LegState::Rejected, "", HELD_BACK));
            self.move_legs(plan, Voice::Engine, moves.collect())?;
        }
        Ok(Ready { pay_ins, pay_outs })
    }

    /// Hands legs to a rail as files, as many as it takes.
    pub(super) fn submit_files(
        &self,
        plan: &BatchPlan,
        rail: Rail,
        legs: &[u32],
    ) -> Result<(), Stuck> {
        if legs.is_empty() {
            return Ok(());
        }
        let desk = self.files.get(&rail).ok_or_else(|| not_set_up(rail))?;
        for some in rails::split(plan.content(), legs) {
            self.submit_file(plan, rail, desk, &some)?;
        }
        Ok(())
    }

    /// Has the exposure of parties fall whose legs have ended since the last look at them.
    pub(super) fn release(&mut self, batch: BatchId, plan: &Arc<BatchPlan>) -> Result<(), Stuck> {
        let (open, state, settling) = {
            let control = self.engine.control();
            let entry = control.batch(batch).map_err(refused)?;
            (entry.legs.standing().open().clone(), entry.state(), entry.is_settling())
        };
        // Nothing is released while the batch can still be aborted.
        let may = match state {
            BatchState::Submitting | BatchState::Settled | BatchState::SettledWithCarry => settling,
            BatchState::Computed | BatchState::Approved | BatchState::Aborted => false,
        };
        if !may {
            return Ok(());
        }
        let parties = plan.may_release(self.looked.get(&batch), &open);
        for some in parties.chunks(RELEASES_MAX) {
            let ended = |at: &u32, legs: &Legs| plan.release_of(*at, legs).is_some();
            let of = |legs: &Legs| some.iter().copied().filter(|at| ended(at, legs)).collect();
            let places: Vec<u32> = self.with_legs(batch, of)?;
            if !places.is_empty() {
                self.wish(Wish::ReleaseExposure { plan: plan.clone(), places })?;
            }
        }
        self.looked.insert(batch, open);
        // An empty one says that there is no more to come.
        if state.has_ended() {
            self.wish(Wish::ReleaseExposure { plan: plan.clone(), places: Vec::new() })?;
            self.looked.remove(&batch);
            tracing::info!(%batch, state = state.name(), "batch ended");
        }
        Ok(())
    }

    /// Legs that are SENT when the engine starts, where that means that a call is being made:
    /// nobody heard what became of them. Also on a rail that is not set up any more: people must be
    /// able to say it.
    pub(super) fn lost_at_start(&mut self) -> Result<(), Stuck> {
        let batches = self.engine.control().settling_batches();
        for batch in batches {
            let sent: Vec<u32> = {
                let control = self.engine.control();
                let entry = control.batch(batch).map_err(refused)?;
                let is_sent = |leg: &u32| entry.legs.state(*leg) == LegState::Sent;
                let open = entry.legs.standing().in_flight().filter(is_sent);
                if is_sent_in_calls(entry.head.policy.rail) { open.collect() } else { Vec::new() }
            };
            if sent.is_empty() {
                continue;
            }
            let plan = self.plan(batch)?;
            let why = "the engine stopped before an answer came";
            let lost = sent.into_iter().map(|leg| to(leg, LegState::Unknown, "", why));
            self.journal(&plan, Voice::Engine, lost.collect())?;
        }
        Ok(())
    }

    /// Reads where the legs of a batch stand, but not what else is known of them. Nothing that
    /// takes its time: the ledger waits meanwhile.
    pub(super) fn with_legs<T>(
        &self,
        batch: BatchId,
        read: impl FnOnce(&Legs) -> T,
    ) -> Result<T, Stuck> {
        self.with_facts(batch, &[], read)
    }

    /// The same with what is known of these legs.
    pub(super) fn with_facts<T>(
        &self,
        batch: BatchId,
        legs: &[u32],
        read: impl FnOnce(&Legs) -> T,
    ) -> Result<T, Stuck> {
        self.engine.intake().legs(batch, legs, read).map_err(NotLoaded::from)?.map_err(refused)
    }

    /// Journals moves of at most `MOVES_MAX` legs.
    pub(super) fn move_legs(
        &self,
        plan: &BatchPlan,
        voice: Voice,
        steps: Vec<LegStep>,
    ) -> Result<Lsn, Stuck> {
        let (content, evidence) = (plan.content().clone(), Digest::ZERO);
        self.wish(Wish::MoveLegs { content, voice, evidence, steps })
    }

    /// Has a person see these: each is journaled, and stays until an operator takes it away. What
    /// is open already, or was taken away not long ago, is not raised again.
    ///
    /// # Errors
    /// `TroublesFull` when one that says that money moved which should not have does not fit:
    /// whoever raises it must make nothing of what it rests on, and come again.
    pub(super) fn raise(&self, troubles: Vec<NewTrouble>) -> Result<(), Stuck> {
        let troubles = troubles.into_iter().map(NewTrouble::bounded);
        let Admitted { new, lost, lost_of_leg } = self.engine.control().troubles().admit(troubles);
        for one in new.iter().chain(&lost) {
            tracing::warn!(rail = one.rail.name(), source = one.source, "a trouble: {}", one.text);
        }
        let full = (!lost.is_empty()).then(|| {
            "so many are open that newer ones stand in the log and the trays only: look at `tallystick \
             trouble list`, and take away those that are settled"
                .to_owned()
        });
        self.troubles.set(LIST, full);
        for some in new.chunks(TROUBLES_RECORD_MAX) {
            self.wish(Wish::RaiseTroubles(some.to_vec()))?;
        }
        if lost_of_leg { Err(Stuck::TroublesFull) } else { Ok(()) }
    }

    /// Has legs leave as these bytes, which were chosen when so many suspensions were known.
    pub(super) fn leave(
        &self,
        plan: &BatchPlan,
        (submission, attempt): (u32, u32),
        legs: &[u32],
        bytes: Bytes,
    ) -> Result<Lsn, Stuck> {
        let Bytes { digest, length, name } = bytes;
        self.wish(Wish::SubmitLegs(SubmitLegs {
            content: plan.content().clone(),
            submission,
            attempt,
            legs: runs(legs.iter().copied()),
            digest,
            bytes: length,
            name,
            suspensions: self.suspensions,
        }))
    }

    /// Has a wish of the engine's own done; durable when it returns.
    pub(super) fn wish(&self, wish: Wish) -> Result<Lsn, Stuck> {
        let done = self.runtime.block_on(self.engine.tell(Command::own(wish)))?;
        Ok(done.lsn())
    }
}

/// What leaves, as the journal knows it.
pub(super) struct Bytes {
    pub digest: Digest,
    pub length: u64,
    /// What the rail knows it by.
    pub name: String,
}

/// A leg's step.
pub(super) fn to(leg: u32, to: LegState, reference: &str, reason: &str) -> LegStep {
    LegStep { leg, to, reference: reference.to_owned(), reason: reason.to_owned() }
}

/// What operators are told of legs that wait for their payee.
fn waiting_text(plan: &BatchPlan, legs: &[u32]) -> Option<String> {
    let first = plan.content().legs[*legs.first()? as usize].payment.to;
    let head = &plan.content().head;
    let sum = legs.iter().fold(Total::ZERO, |sum, leg| sum.plus(plan.amount(*leg)));
    let sum = format!("{} {}", sum.decimal(head.asset.scale), head.asset.code);
    Some(if legs.len() == 1 {
        format!(
            "1 pay-out of {sum} waits because its payee is suspended ({first}); it leaves when the payee is \
             resumed, or is owed again when you report it rejected"
        )
    } else {
        format!(
            "{} pay-outs of {sum} wait because their payees are suspended ({first} first); they leave when \
             those are resumed, or are owed again when you report them rejected",
            legs.len()
        )
    })
}

/// What operators are told of legs that are said to be paid, and that nobody has sent.
fn said_text(said: &BTreeMap<u32, u64>) -> Option<String> {
    let trouble = said.values().next()?;
    Some(match said.len() {
        1 => format!(
            "1 leg waits because a rail says that it was paid, and it has not left: see trouble {trouble}, and \
             take it away when it may leave"
        ),
        many => format!(
            "{many} legs wait because a rail says that they were paid, and they have not left: see trouble \
             {trouble} and others, and take them away when the legs may leave"
        ),
    })
}

/// A rail that is called takes no files.
pub(super) fn is_called(rail: Rail) -> Stuck {
    Stuck::Other(format!("rail {} is called, not sent files", rail.name()))
}

pub(super) fn not_set_up(rail: Rail) -> Stuck {
    let rail = rail.name();
    Stuck::Other(format!("rail {rail} is not set up: give [rail.{rail}] in the configuration"))
}

pub(super) fn refused(refusal: Refusal) -> Stuck {
    Stuck::NotLoaded(refusal.into())
}
