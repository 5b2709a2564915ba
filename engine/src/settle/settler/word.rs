//! What rails say that are called: answers, webhooks, the chain. Weighed by the ledger, journaled,
//! told.
//!
//! Owns the way from statements to records. Decides nothing: `ledger::hearing` does.

use super::step::to;
use super::{Run, Stuck};
use crate::journal::names::{self, NamedLeg};
use crate::ledger::event::LegBooking;
use crate::ledger::hearing::{Side, Statement, Subject, Weight, weigh};
use crate::ledger::{
    BatchPlan, LegFacts, LegState, LegStep, Legs, Movements, NewTrouble, TroubleKind, Voice, Way,
    Wish,
};
use crate::limits::MOVES_MAX;
use crate::rails::is_known_by_reference;
use crate::settle::archive::NotLoaded;
use crate::types::{BatchId, Digest};
use std::collections::BTreeMap;

/// What is said of the legs of one batch, and by which object or answer.
pub(super) type Statements = BTreeMap<u32, (Vec<Statement>, String)>;

impl Run {
    /// Moves the legs of one batch as their statements weigh, and has a person see what does not
    /// fit.
    pub(super) fn weigh(&self, plan: &BatchPlan, said: &Statements) -> Result<(), Stuck> {
        let content = plan.content();
        let spoken: Vec<u32> = said.keys().copied().collect();
        let stands = |legs: &Legs| {
            let one = |leg: &u32| (legs.state(*leg), legs.facts(*leg).cloned().unwrap_or_default());
            spoken.iter().map(one).collect()
        };
        let stands: Vec<(LegState, LegFacts)> =
            self.with_facts(content.head.id, &spoken, stands)?;
        let (mut reported, mut booked, mut troubles) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first, mut held) = (Vec::new(), Vec::new());
        for ((&leg, (statements, source)), (state, facts)) in said.iter().zip(stands) {
            let own = &content.legs[leg as usize];
            let subject = Subject {
                state,
                has_left: state != LegState::Ready,
                side: if own.payment.is_pay_in() { Side::In } else { Side::Out },
                amount: own.payment.amount,
                went: Movements::NONE,
                came: Movements::NONE,
            };
            let subject = subject.with(Some(&facts));
            let verdict = weigh(&subject, statements);
            let list = if verdict.holds_first() { &mut first } else { &mut held };
            list.extend(bookings(leg, verdict.held));
            if let Some(step) = verdict.to {
                let one = to(leg, step.to, &step.reference, &step.reason);
                if step.is_booked { booked.push(one) } else { reported.push(one) }
            }
            for finding in verdict.findings {
                let scale = content.head.asset.scale;
                let text = finding.text(&own.key, state, own.payment.amount, scale);
                match kind(finding.weight(state)) {
                    Some(kind) => troubles.push(self.trouble(plan, leg, kind, source, text)),
                    None => tracing::info!(source, "{text}"),
                }
            }
        }
        self.remember(plan, reported.iter().chain(&booked))?;
        // Troubles first: of a leg that has moved nobody asks again.
        self.raise(troubles)?;
        self.hold(content.head.id, &first)?;
        self.journal(plan, Voice::Rail, reported)?;
        self.journal(plan, Voice::Books, booked)?;
        self.hold(content.head.id, &held)
    }

    /// Journals what is held of legs beside what they do.
    fn hold(&self, batch: BatchId, held: &[LegBooking]) -> Result<(), Stuck> {
        for some in held.chunks(MOVES_MAX) {
            let (evidence, bookings) = (Digest::ZERO, some.to_vec());
            self.wish(Wish::BookLegs { batch, evidence, bookings })?;
        }
        Ok(())
    }

    /// Has the references of a rail lead to their legs, where it may name nothing else later.
    fn remember<'a>(
        &self,
        plan: &BatchPlan,
        moves: impl Iterator<Item = &'a LegStep>,
    ) -> Result<(), Stuck> {
        let content = plan.content();
        let (batch, rail) = (content.head.id, content.head.policy.rail);
        if !is_known_by_reference(rail) {
            return Ok(());
        }
        let named = |one: &LegStep| {
            let (leg, of) = (one.leg, &content.legs[one.leg as usize]);
            let (payer, payee, amount) = (of.payment.from, of.payment.to, of.payment.amount);
            let (key, account) = (of.key.clone(), Vec::new());
            let named = NamedLeg { batch, leg, payer, payee, amount, key, account };
            (reference_name(&one.reference), named)
        };
        let mut named = moves.filter(|one| !one.reference.is_empty()).map(named).peekable();
        if named.peek().is_none() {
            return Ok(());
        }
        let kept = names::put_legs(self.engine.tables(), rail, named);
        Ok(kept.map_err(NotLoaded::from)?)
    }

    /// A trouble about a leg.
    pub(super) fn trouble(
        &self,
        plan: &BatchPlan,
        leg: u32,
        kind: TroubleKind,
        source: &str,
        text: String,
    ) -> NewTrouble {
        let head = &plan.content().head;
        let (rail, batch, source) = (head.policy.rail, Some(head.id), source.to_owned());
        let payment = plan.content().legs[leg as usize].payment;
        let party = Some(if payment.is_pay_in() { payment.from } else { payment.to });
        NewTrouble { kind, rail, batch, leg: Some(leg), party, source, text }
    }

    /// Journals moves, ordered by leg.
    pub(super) fn journal(
        &self,
        plan: &BatchPlan,
        voice: Voice,
        mut moves: Vec<LegStep>,
    ) -> Result<(), Stuck> {
        moves.sort_unstable_by_key(|one| one.leg);
        for some in moves.chunks(MOVES_MAX) {
            self.move_legs(plan, voice, some.to_vec())?;
        }
        Ok(())
    }
}

/// What is held of a leg from now on.
pub(super) fn bookings(leg: u32, held: Vec<(Way, String)>) -> impl Iterator<Item = LegBooking> {
    held.into_iter().map(move |(way, reference)| LegBooking { leg, way, reference })
}

/// What a leg is kept under by its provider's reference, beside its key: no reference can be taken
/// for a key.
pub(in crate::settle) fn reference_name(reference: &str) -> String {
    format!("ref {reference}")
}

fn kind(weight: Weight) -> Option<TroubleKind> {
    match weight {
        Weight::Remark => None,
        Weight::Contradiction => Some(TroubleKind::Contradiction),
        Weight::Misfit => Some(TroubleKind::Misfit),
        Weight::Surplus => Some(TroubleKind::Surplus),
    }
}
