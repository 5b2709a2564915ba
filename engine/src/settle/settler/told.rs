//! What calls and webhooks say of legs, one word a leg.

use super::answers::Outcome;
use super::step::to;
use super::{Run, Stuck};
use crate::ledger::{BatchPlan, Heard, LegMove, Mover, Rail};
use crate::limits::MOVES_MAX;
use crate::rails::LegReport;
use crate::types::{BatchId, Digest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is said of the legs of one batch, by leg.
pub(super) type Said = BTreeMap<u32, LegReport>;

impl Run {
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
