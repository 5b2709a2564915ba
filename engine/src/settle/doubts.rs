//! Doubts: parties that are neither charged nor paid until a person has looked, because a rail says of one of
//! their earlier payments what cannot be true of it.
//!
//! Owns who they are. Which troubles are such doubts is the ledger's rule.

use super::archive::{Archive, NotLoaded};
use crate::ledger::{BatchContent, Rail, Refusal};
use crate::pipeline::Intake;
use crate::types::{BatchId, PartyId};

/// The open doubts about payments on a rail: their numbers, batches and legs.
pub fn open(intake: &Intake, rail: Rail) -> Vec<(u64, BatchId, u32)> {
    let control = intake.control();
    let on_rail = control.troubles().open().filter(|trouble| trouble.of.rail == rail);
    on_rail.filter_map(|one| one.of.doubts().map(|(batch, leg)| (one.number, batch, leg))).collect()
}

/// The party of a leg.
///
/// # Errors
/// When the batch cannot be read.
pub fn party(
    intake: &Intake,
    archive: &Archive,
    batch: BatchId,
    leg: u32,
) -> Result<Option<PartyId>, NotLoaded> {
    let (head, windows) = {
        let control = intake.control();
        let head = control.batch(batch)?.head.clone();
        let windows = head.windows.iter().map(|&window| control.window(window)?.sealed_head());
        let windows = windows.collect::<Result<Vec<_>, Refusal>>()?;
        (head, windows)
    };
    let content = archive.batch(&head, &windows)?;
    let payment = content.legs.get(leg as usize).map(|leg| leg.payment);
    Ok(payment.map(|payment| if payment.is_pay_in() { payment.from } else { payment.to }))
}

/// Whether a batch may be made: nobody in it waits.
///
/// # Errors
/// `InDoubt` names the first who does.
pub fn check(intake: &Intake, archive: &Archive, content: &BatchContent) -> Result<(), NotLoaded> {
    let rail = content.head.policy.rail;
    for (trouble, batch, leg) in open(intake, rail) {
        let Some(party) = party(intake, archive, batch, leg)? else { continue };
        let takes_part =
            |of: &crate::ledger::Leg| of.payment.from == party || of.payment.to == party;
        if content.legs.iter().any(takes_part) {
            return Err(Refusal::InDoubt { party, trouble, rail: rail.name() }.into());
        }
    }
    Ok(())
}
