//! Reconciliation of a batch as a message.

use super::batches::as_it_stands;
use super::messages::leg_state;
use super::troubles::{again, sentences};
use crate::ledger::{Attempt, Rail, Refusal};
use crate::pipeline::now;
use crate::settle::{
    ByState, Engine, Folders, Moment, OpenProposal, RESTORED, SubmissionSums, Troubles,
    WindowFacts, Wrong, reconcile,
};
use crate::types::BatchId;
use bytes::Bytes;
use std::collections::BTreeMap;
use tallystick_proto::v1;
use tonic::Status;

/// Where a batch stands now, and what an operator must do.
pub(super) async fn report(
    engine: &Engine,
    folders: &BTreeMap<Rail, Folders>,
    batch: BatchId,
) -> Result<v1::Reconciliation, Status> {
    let content = engine.batch(batch, |_| Ok(())).await?;
    let parties = engine.parties_of(batch).await?;
    let found = engine.ask(|control| {
        let entry = control.batch(batch)?.clone();
        let window = |&number| {
            let window = control.window(number)?;
            Ok(WindowFacts { number, state: window.state(), dispute: window.dispute.clone() })
        };
        let windows = entry.head.windows.iter().map(window).collect::<Result<Vec<_>, Refusal>>()?;
        let kept = (sentences(control, Some(batch)), again(control, batch));
        Ok((entry, windows, kept, control.suspended().clone()))
    });
    let (entry, windows, (kept, again), suspended) = found.await?;
    let rail = entry.head.policy.rail;
    let settling = entry.is_settling();
    let (own, at) = (about(engine.troubles(), (batch, settling), rail.name()), now());
    let moment = Moment { at, held: engine.held().of(batch), suspended };
    let message = as_it_stands(&entry);
    let sums = tokio::task::spawn_blocking(move || {
        let wrong = Wrong { standing: own, kept, again };
        reconcile((&content, parties), &entry, windows, wrong, &moment)
    });
    let mut sums = sums.await.expect("reconciling does not panic");
    sums.folders = folders.get(&rail).cloned().unwrap_or_default();
    Ok(v1::Reconciliation {
        batch: Some(message),
        pay_ins: by_state(&sums.pay_ins),
        pay_outs: by_state(&sums.pay_outs),
        in_flight: sums.in_flight().to_string(),
        submissions: (0..).zip(&sums.submissions).map(submission).collect(),
        unknown: Some(v1::UnknownLegs {
            under_an_hour: sums.unknown.under_an_hour,
            under_a_day: sums.unknown.under_a_day,
            older: sums.unknown.older,
            oldest_us: sums.unknown.oldest.unwrap_or_default().0,
        }),
        proposals: sums.proposals.iter().map(proposal).collect(),
        held_back_legs: sums.held_back.legs,
        held_back: sums.held_back.sum.to_string(),
        parties: sums.parties,
        parties_released: sums.released,
        exposure_released: sums.released_sum.to_string(),
        troubles: sums.troubles.iter().chain(&sums.kept).chain(&sums.again).cloned().collect(),
        todo: sums.todo(),
        at_us: at.0,
        outbox: sums.folders.outbox.display().to_string(),
    })
}

/// The troubles that concern a batch: its own while it settles, those of its rail's folders, and
/// the settler's. The settler takes a batch's own away at the end of its turn, a moment after the
/// batch ended.
fn about(troubles: &Troubles, (batch, settling): (BatchId, bool), rail: &str) -> Vec<String> {
    let own = format!("batch {batch}");
    let of_rail = format!(" of {rail}");
    let all = troubles.list().into_iter();
    let concerns = |of: &str| {
        (settling && of.starts_with(&own))
            || ["settler", RESTORED].contains(&of)
            || of.ends_with(&of_rail)
    };
    let text = |(of, why): (String, String)| {
        if of.starts_with(&own) { why } else { format!("{of}: {why}") }
    };
    all.filter(|(of, _)| concerns(of)).map(text).collect()
}

fn by_state(sums: &ByState) -> Vec<v1::LegSum> {
    let one = |(&state, of): (&crate::ledger::LegState, &crate::settle::Sums)| v1::LegSum {
        state: leg_state(state).into(),
        legs: of.legs,
        sum: of.sum.to_string(),
    };
    sums.iter().map(one).collect()
}

fn submission((number, sums): (u32, &SubmissionSums)) -> v1::SubmissionSums {
    v1::SubmissionSums {
        number,
        legs: sums.all.legs,
        sum: sums.all.sum.to_string(),
        by_state: by_state(&sums.by_state),
        attempts: sums.attempts.iter().map(attempt).collect(),
    }
}

fn attempt(attempt: &Attempt) -> v1::SubmissionAttempt {
    v1::SubmissionAttempt {
        name: attempt.name.to_string(),
        digest: Bytes::copy_from_slice(&attempt.digest.0),
        bytes: attempt.bytes,
        lsn: attempt.lsn.0,
        at_us: attempt.at.0,
    }
}

fn proposal(proposal: &OpenProposal) -> v1::LegProposal {
    v1::LegProposal {
        key: proposal.key.clone(),
        operator: proposal.operator.clone(),
        state: leg_state(proposal.to).into(),
        rail_reference: proposal.reference.clone(),
        evidence: proposal.evidence.clone(),
    }
}
