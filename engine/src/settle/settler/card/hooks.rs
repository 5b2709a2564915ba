//! Webhooks of the rail `card`: which leg an event is about, and what follows. What fits its leg
//! may move it; whatever does not is a trouble.
//!
//! Owns the way from an event to its leg. What it says is read by the rail and weighed by the
//! ledger.

use super::{CardDesk, Read};
use crate::journal::names::NamedLeg;
use crate::ledger::hearing::Place;
use crate::ledger::{BatchContent, BatchPlan, LegState, NewTrouble, Rail, TroubleKind};
use crate::rails::card::{self, CallBytes, Own, Says};
use crate::settle::archive::NotLoaded;
use crate::settle::settler::word::{Statements, reference_name};
use crate::settle::settler::{Run, Stuck};
use crate::types::BatchId;
use crate::vault::VaultError;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Run {
    /// Weighs what was read. If that fails, none of it is confirmed, and all of it comes again.
    pub(super) fn weigh_read(&self, read: &mut Read) -> Result<(), Stuck> {
        for (plan, said) in std::mem::take(&mut read.said).into_values() {
            self.weigh(&plan, &said).inspect_err(|_| read.waiting.clear())?;
        }
        read.confirmed();
        Ok(())
    }

    /// What an event of the provider says. What fits its leg may move it, once it is weighed; what
    /// does not moves nothing, and a person is told; whatever it is, the leg is looked up next.
    pub(super) fn hear_card(
        &mut self,
        desk: &mut CardDesk,
        report: &card::Report,
        read: &mut Read,
    ) -> Result<(), Stuck> {
        let Some((plan, leg)) = self.leg_of(report)? else {
            return self.hear_of_nobody(report);
        };
        let content = plan.content();
        let (batch, own) = (content.head.id, &content.legs[leg as usize]);
        self.read_before((batch, leg), report, read)?;
        let (state, reference) = self.with_facts(batch, &[leg], |legs| {
            let known = legs.facts(leg).map_or("", |facts| &facts.reference).to_owned();
            (legs.state(leg), known)
        })?;
        let call = self.call_of(content, leg, &desk.config().api_version)?;
        let clearing = card::Clearing::read(&content.head.policy.clearing);
        let facts = Own {
            call: &call,
            asset: &content.head.asset,
            reference: &reference,
            account: clearing.map_or("", |clearing| clearing.account),
            is_live: desk.config().is_live(),
        };
        let tell = |kind, what: &str| {
            let text = format!(
                "leg {} of {} is {}: {what}; look at payment {} at the provider",
                own.key,
                own.payment.amount.decimal(content.head.asset.scale),
                state.name(),
                report.payment
            );
            self.raise(vec![self.trouble(&plan, leg, kind, &report.source, text)])
        };
        match (&report.says, report.statement(&facts)) {
            (Says::Word { reason, .. }, Some(_)) if self.was_reinstated(batch, leg, report) => {
                let text = format!("{reason}, and its money was said to be given back");
                tell(TroubleKind::Contradiction, &text)?;
            }
            (Says::Word { .. }, Some(statement)) => {
                let said = (vec![statement], report.source.clone());
                let of =
                    read.said.entry(batch).or_insert_with(|| (plan.clone(), Statements::new()));
                of.1.insert(leg, said);
            }
            (Says::Kept(what), _) => {
                let kind = kept_kind(report, &report.place(&facts), state);
                let what = format!(
                    "{what}, so the provider holds this charge. What is owed again beside it would be \
                     charged twice: give the charge back, or record it as a deposit of the party"
                );
                tell(kind, &what)?;
            }
            (Says::Notice(what), _) => tell(TroubleKind::Other, what)?,
            (Says::Ask(what), _) => tracing::info!(source = report.source, "to look up: {what}"),
            (Says::Word { .. }, None) => unreachable!("a word is a statement"),
        }
        desk.ask_soon((batch, leg));
        self.seen = None;
        Ok(())
    }

    /// Weighs what was read before an event about this leg, where it matters in which order they
    /// are heard.
    fn read_before(
        &self,
        (batch, leg): (BatchId, u32),
        report: &card::Report,
        read: &mut Read,
    ) -> Result<(), Stuck> {
        let alone = match report.says {
            Says::Word { .. } => read.holds(batch, leg) || report.source.contains("dispute"),
            Says::Ask(_) => false,
            Says::Kept(_) | Says::Notice(_) => true,
        };
        if alone { self.weigh_read(read) } else { Ok(()) }
    }

    /// The call of a leg; of a party that was erased since, with a word in place of its tokens.
    fn call_of(&self, content: &BatchContent, leg: u32, version: &str) -> Result<CallBytes, Stuck> {
        let own = &content.legs[leg as usize];
        let open = match self.engine.vault().open_legs(content, &[leg]) {
            Ok(open) => open,
            Err(VaultError::NoKey(party) | VaultError::OtherKey(party)) => {
                content.with_accounts(BTreeMap::from([(party, card::erased())]))
            }
            Err(error) => return Err(NotLoaded::from(error).into()),
        };
        let call = card::request(own, &open, version);
        call.map_err(|why| Stuck::Other(why.to_string()))
    }

    /// Whether the money of a dispute that is told to be lost was told to be back before: events
    /// come in any order.
    fn was_reinstated(&self, batch: BatchId, leg: u32, report: &card::Report) -> bool {
        let Some((dispute, "charge.dispute.closed")) = report.source.split_once(' ') else {
            return false;
        };
        let control = self.engine.control();
        let back = format!("{dispute} charge.dispute.funds_reinstated");
        control.troubles().open().any(|trouble| {
            (trouble.of.batch, trouble.of.leg) == (Some(batch), Some(leg))
                && trouble.of.source == back
        })
    }

    /// An event that names no payment at all may be about one of ours: somebody must look. Other
    /// payments are others' own business.
    fn hear_of_nobody(&self, report: &card::Report) -> Result<(), Stuck> {
        let what = match &report.says {
            Says::Word { reason: what, .. }
            | Says::Ask(what)
            | Says::Kept(what)
            | Says::Notice(what) => what,
        };
        if !report.payment.is_empty() || report.key.is_some() {
            tracing::warn!(source = report.source, "a webhook is about no leg: {what}");
            return Ok(());
        }
        let text = format!("{what}, and it names no payment: find out at the provider which it is");
        let (kind, rail, source) = (TroubleKind::Other, Rail::Card, report.source.clone());
        let (batch, leg, party) = (None, None, None);
        self.raise(vec![NewTrouble { kind, rail, batch, leg, party, source, text }])
    }

    /// The leg that an event is about: by its key, or by the provider's id of its payment.
    fn leg_of(&mut self, report: &card::Report) -> Result<Option<(Arc<BatchPlan>, u32)>, Stuck> {
        let by_key = match &report.key {
            Some(key) => self.named(Rail::Card, key)?,
            None => None,
        };
        let found = match by_key {
            Some(found) => Some(found),
            None => self.named(Rail::Card, &reference_name(&report.payment))?,
        };
        let Some(found) = found else { return Ok(None) };
        // Also of a batch of which nothing may leave yet, or ever: then somebody must see it.
        if self.engine.control().batch(found.batch).is_err() {
            return Ok(None);
        }
        match self.plan(found.batch) {
            Ok(plan) => Ok(Some((plan, found.leg))),
            Err(Stuck::NotLoaded(NotLoaded::Away(why))) => {
                self.raise(vec![left_for_archive(&found, report, &why)])?;
                Err(Stuck::NotLoaded(NotLoaded::Away(why)))
            }
            Err(stuck) => Err(stuck),
        }
    }
}

/// An event about a leg whose batch cannot be computed again. It is not taken in, so the provider
/// sends it again for some days.
fn left_for_archive(found: &NamedLeg, report: &card::Report, why: &str) -> NewTrouble {
    let text = format!(
        "an event about leg {} of payment {} cannot be weighed, and waits at the provider, which sends it again \
         for some days: {why}. If it comes no more after that, look the payment up at the provider, and say what \
         became of the leg with `tallystick leg report`",
        found.key, report.payment
    );
    let (batch, leg) = (Some(found.batch), Some(found.leg));
    let (kind, rail, source) = (TroubleKind::Other, Rail::Card, report.source.clone());
    NewTrouble { kind, rail, batch, leg, party: Some(found.payer), source, text }
}

/// What kind of trouble it is that the provider holds a charge after all.
fn kept_kind(report: &card::Report, place: &Place, state: LegState) -> TroubleKind {
    match place {
        Place::Other(_) => TroubleKind::Misfit,
        Place::Unsaid | Place::Ours
            if report.source.contains("dispute") && !state.is_owed_again() =>
        {
            TroubleKind::Other
        }
        Place::Unsaid | Place::Ours => TroubleKind::Contradiction,
    }
}
