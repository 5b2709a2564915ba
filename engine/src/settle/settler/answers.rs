//! What comes back: answers in the inbox become moves of legs. Late, twice and out of order are harmless;
//! what cannot be true is left alone, noted beside the answer, and named for a person to look into.

use super::step::to;
use super::{Run, Stuck};
use crate::ledger::{BatchPlan, Heard, LegMove, Mover, Rail};
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_NOTES_MAX, MOVES_MAX};
use crate::rails::{Answer, LegReport, Part};
use crate::settle::desk::{FileDesk, Tray};
use crate::types::{BatchId, Digest, FileHasher};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

/// What one answer led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub moved: u64,
    pub known: u64,
    pub notes: Vec<String>,
    pub more_notes: u64,
}

/// What is said of the legs of one batch, by leg.
pub(super) type Said = BTreeMap<u32, LegReport>;

impl Outcome {
    pub fn note(&mut self, note: String) {
        if self.notes.len() < ANSWER_NOTES_MAX {
            self.notes.push(note);
        } else {
            self.more_notes += 1;
        }
    }

    fn text(&self) -> String {
        let mut text: String = self.notes.iter().flat_map(|note| [note, "\n"]).collect();
        if self.more_notes > 0 {
            text.push_str(&format!("and {} more\n", self.more_notes));
        }
        text
    }
}

impl Run {
    /// Reads every answer that waits.
    pub(super) fn read_inbox(&mut self, rail: Rail, desk: &FileDesk) -> Result<(), Stuck> {
        let place = format!("inbox of {}", rail.name());
        let read = |run: &mut Self| {
            for name in desk.waiting()? {
                run.read_answer(rail, desk, &name)?;
            }
            Ok(())
        };
        let done: Result<(), Stuck> = read(self);
        self.troubles.set(&place, super::trouble(&done));
        match done {
            // A person must look at the folder; batches go on meanwhile.
            Err(Stuck::Folder(_)) => Ok(()),
            done => done,
        }
    }

    fn read_answer(&mut self, rail: Rail, desk: &FileDesk, name: &str) -> Result<(), Stuck> {
        let mut bytes = Vec::new();
        let most = u64::try_from(ANSWER_BYTES_MAX).expect("a limit fits 64 bits");
        desk.answer(name)?.take(most + 1).read_to_end(&mut bytes)?;
        let plans = self.plans_on(rail)?;
        let scales = plans.iter().map(|plan| plan.content());
        let read = if bytes.len() > ANSWER_BYTES_MAX {
            Err(format!("it has more than {ANSWER_BYTES_MAX} bytes; ask for smaller files"))
        } else {
            Answer::read(rail, &bytes, scales)
        };
        let mut answer = match read {
            Ok(answer) => answer,
            Err(text) => {
                tracing::warn!(rail = rail.name(), file = name, "an answer is refused: {text}");
                desk.put_away(name, Tray::Refused, &format!("{text}\n"))?;
                return Ok(());
            }
        };
        let mut hasher = FileHasher::default();
        hasher.update(&bytes);
        let outcome = self.hear(&plans, &mut answer, hasher.finish())?;
        outcome.notes.iter().for_each(|n| tracing::warn!(rail = rail.name(), file = name, "{n}"));
        desk.put_away(name, Tray::Done, &outcome.text())?;
        let Outcome { moved, known, notes, .. } = outcome;
        let notes = notes.len();
        tracing::info!(rail = rail.name(), file = name, moved, known, notes, "answer read");
        Ok(())
    }

    /// Moves legs as an answer says.
    fn hear(
        &self,
        plans: &[Arc<BatchPlan>],
        answer: &mut Answer,
        evidence: Digest,
    ) -> Result<Outcome, Stuck> {
        let mut outcome = Outcome::default();
        for plan in plans {
            let (legs, _) = self.legs(plan.content().head.id)?;
            let mut said = Said::new();
            for (number, submission) in (0..).zip(legs.submissions()) {
                let places: Vec<u32> = submission.legs().collect();
                let part = Part::new(plan.content(), &places, number);
                answer.about(&part, &mut |place, report| {
                    said.insert(places[place], report);
                });
            }
            self.hear_batch(plan, &said, evidence, &mut outcome)?;
        }
        answer.notes().for_each(|note| outcome.note(note));
        Ok(outcome)
    }

    /// Moves the legs of one batch as a rail says.
    pub(super) fn hear_batch(
        &self,
        plan: &BatchPlan,
        said: &Said,
        evidence: Digest,
        outcome: &mut Outcome,
    ) -> Result<(), Stuck> {
        let (legs, _) = self.legs(plan.content().head.id)?;
        let mut moves: Vec<LegMove> = Vec::new();
        for (&leg, report) in said {
            let own = &plan.content().legs[leg as usize];
            let (key, amount, state) = (&own.key, own.payment.amount, legs.state(leg));
            if let Some(said) = report.amount.filter(|said| *said != amount) {
                outcome.note(format!(
                    "leg {key} is of {amount} asset units, and the rail says {said}: left alone, find \
                     out what happened"
                ));
                continue;
            }
            match state.hear(report.word) {
                Heard::Known => outcome.known += 1,
                Heard::Move(state) => {
                    moves.push(to(plan, leg, state, &report.reference, &report.reason));
                }
                Heard::Conflict => outcome.note(format!(
                    "leg {key} is {} and cannot be {:?}: left alone, find out what happened",
                    state.name(),
                    report.word
                )),
            }
        }
        for some in moves.chunks(MOVES_MAX) {
            self.move_legs(plan, Mover::Rail, evidence, some.to_vec())?;
            outcome.moved += u64::try_from(some.len()).expect("a length fits 64 bits");
        }
        Ok(())
    }

    /// The plans of all batches on a rail that were approved, the newest first.
    pub(super) fn plans_on(&mut self, rail: Rail) -> Result<Vec<Arc<BatchPlan>>, Stuck> {
        let batches: Vec<BatchId> = {
            let control = self.intake.control();
            let batches = control.batches().into_iter().rev();
            let on_rail = batches.filter(|b| b.head.policy.rail == rail && b.approved.is_some());
            on_rail.map(|entry| entry.head.id).collect()
        };
        batches.into_iter().map(|batch| self.plan(batch)).collect()
    }
}
