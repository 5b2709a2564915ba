//! What leaves as a file.

use super::{Run, Stuck};
use crate::faults;
use crate::ledger::event::LegsSubmitted;
use crate::ledger::{Account, BatchPlan, Event, Rail, runs};
use crate::rails::Part;
use crate::settle::desk::FileDesk;
use crate::types::PartyId;
use std::collections::BTreeSet;

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
            let control = self.intake.control();
            let entry = control.batch(batch).map_err(|r| Stuck::NotLoaded(r.into()))?;
            u32::try_from(entry.legs.submissions().len()).expect("submissions are limited by legs")
        };
        let part = Part::new(content, legs, number).naming(|party| self.payer(party, rail));
        let name = part.file_name();
        let staged = desk.stage(&name, |out| part.write(out))?;
        faults::point(|| "submit-staged");
        self.record(Event::LegsSubmitted(LegsSubmitted {
            batch,
            submission: number,
            attempt: 0,
            legs: runs(legs.iter().copied()),
            paid_out: plan.paid_out(legs),
            digest: staged.digest,
            bytes: staged.bytes,
            name: name.clone(),
        }))?;
        faults::point(|| "submit-journaled");
        desk.release(&name)?;
        faults::point(|| "submit-left");
        let (legs, bytes) = (legs.len(), staged.bytes);
        tracing::info!(%batch, rail = rail.name(), file = name, legs, bytes, "file in the outbox");
        Ok(())
    }

    /// What is known now of a party that is to pay in: its name, and its account if it has one on the rail.
    fn payer(&self, party: PartyId, rail: Rail) -> Option<Account> {
        let control = self.intake.control();
        let name = || control.party(party).ok().map(|entry| entry.name.clone());
        control.account(party, rail).or_else(|| Some(Account { name: name()?, fields: Vec::new() }))
    }

    /// Files that were staged when the engine stopped: what is journaled leaves, the rest is discarded and
    /// made again.
    pub(super) fn leave_staged(&self, rail: Rail, desk: &FileDesk) -> Result<(), Stuck> {
        let staged = desk.staged()?;
        if staged.is_empty() {
            return Ok(());
        }
        let submitted: BTreeSet<String> = {
            let control = self.intake.control();
            let of_rail = control.batches().into_iter().filter(|b| b.head.policy.rail == rail);
            let attempts = of_rail.flat_map(|b| b.legs.submissions()).flat_map(|s| &s.attempts);
            attempts.map(|attempt| attempt.name.to_string()).collect()
        };
        for name in staged {
            if submitted.contains(&name) {
                tracing::info!(rail = rail.name(), file = name, "a file that was held up leaves");
                desk.release(&name)?;
            } else {
                desk.discard(&name)?;
            }
        }
        Ok(())
    }
}
