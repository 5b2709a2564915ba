//! What is counted of a batch: legs by state, what was handed to the rail, ages, what was held
//! back, whose exposure has fallen. Sums what stands in the ledger; never says what to do about it.

use super::{
    Ages, ByState, Moment, OpenProposal, Reconciliation, SubmissionSums, Sums, WindowFacts, Wrong,
};
use crate::ledger::{BatchContent, BatchEntry, LegState, Legs, Submission};
use crate::limits::LEGS_SHOWN;
use crate::settle::desk::Folders;
use crate::types::{Timestamp, Total};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Digits of a batch's id in a sentence: enough for every command.
const BATCH_DIGITS: usize = 16;

impl Sums {
    fn add(&mut self, amount: Total) {
        self.legs += 1;
        self.sum = self.sum.plus(amount);
    }
}

/// Where a batch stands at a time; so many parties owed something in its windows.
#[must_use]
pub fn reconcile(
    (content, parties): (&BatchContent, u64),
    entry: &BatchEntry,
    windows: Vec<WindowFacts>,
    wrong: Wrong,
    moment: &Moment,
) -> Reconciliation {
    let legs = &entry.legs;
    let (mut pay_ins, mut pay_outs) = (ByState::new(), ByState::new());
    let (mut held_back, mut suspended) = (Sums::default(), Sums::default());
    let mut left = vec![false; content.legs.len()];
    let submissions = (0..).zip(legs.submissions()).map(|(number, submission)| {
        submission.legs().for_each(|leg| left[leg as usize] = true);
        submission_sums(content, legs, submission, moment.held.contains(&number))
    });
    let submissions: Vec<SubmissionSums> = submissions.collect();
    for (leg, state) in (0u32..).zip(legs.states()) {
        let payment = &content.legs[leg as usize].payment;
        let side = if payment.is_pay_in() { &mut pay_ins } else { &mut pay_outs };
        side.entry(state).or_default().add(payment.amount);
        if state.has_ended() && !left[leg as usize] {
            held_back.add(payment.amount);
        }
        if state == LegState::Ready && moment.suspended.contains(&payment.to) {
            suspended.add(payment.amount);
        }
    }
    let key = |leg: u32| content.legs[leg as usize].key.clone();
    let proposals = legs.proposed().iter().map(|(leg, p)| OpenProposal {
        key: key(*leg),
        operator: p.operator.clone(),
        to: p.to,
        reference: p.reference.clone(),
        evidence: p.evidence.clone(),
    });
    let mut batch = content.head.id.to_string();
    batch.truncate(BATCH_DIGITS);
    Reconciliation {
        batch,
        state: entry.state(),
        by: entry.by.clone(),
        rail: content.head.policy.rail,
        asset: content.head.asset.clone(),
        windows,
        pay_ins,
        pay_outs,
        submissions,
        unknown: ages(legs.unknown_since().iter().map(|(_, since)| *since), moment.at),
        proposals: proposals.collect(),
        owed_in: legs.owed().map(|(_, owed)| owed.window).collect(),
        held_back,
        suspended,
        parties,
        released: legs.released(),
        released_sum: legs.released_sum(),
        troubles: wrong.standing,
        kept: wrong.kept,
        again: wrong.again,
        folders: Folders::default(),
    }
}

fn submission_sums(
    content: &BatchContent,
    legs: &Legs,
    of: &Submission,
    is_held: bool,
) -> SubmissionSums {
    let (mut all, mut by_state) = (Sums::default(), ByState::new());
    let (mut pay_in, mut failed) = (false, Vec::new());
    for leg in of.legs() {
        let (own, state) = (&content.legs[leg as usize], legs.state(leg));
        pay_in |= own.payment.is_pay_in();
        all.add(own.payment.amount);
        by_state.entry(state).or_default().add(own.payment.amount);
        if state.is_owed_again() && failed.len() < LEGS_SHOWN {
            failed.push(own.key.clone());
        }
    }
    SubmissionSums { all, by_state, attempts: of.attempts.clone(), pay_in, is_held, failed }
}

fn ages(since: impl Iterator<Item = Timestamp>, at: Timestamp) -> Ages {
    let mut ages = Ages::default();
    for since in since {
        match at.0.saturating_sub(since.0) {
            age if age < HOUR_US => ages.under_an_hour += 1,
            age if age < DAY_US => ages.under_a_day += 1,
            _older => ages.older += 1,
        }
        ages.oldest = Some(ages.oldest.map_or(since, |oldest| oldest.min(since)));
    }
    ages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_exact_bounds() {
        let now = Timestamp(10 * DAY_US);
        let before = |age: i64| Timestamp(now.0 - age);
        let since = [0, HOUR_US - 1, HOUR_US, DAY_US - 1, DAY_US, 3 * DAY_US].map(before);
        let wanted =
            Ages { under_an_hour: 2, under_a_day: 2, older: 2, oldest: Some(before(3 * DAY_US)) };
        assert_eq!(ages(since.into_iter(), now), wanted);
        assert_eq!(ages(std::iter::empty(), now), Ages::default());
    }
}
