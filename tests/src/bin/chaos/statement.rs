//! What an operator says of the pay-ins of a batch on the chain, which the engine cannot collect
//! itself: most have come, some will not. Said a portion at a time, some of it twice.
//!
//! Owns the statement, which is the rail's own book of pay-ins. Moves no money.

use crate::check::{Movement, Told};
use crate::people;
use std::time::{Duration, Instant};
use tallystick_tests::seed;
use tallystick_tests::wire::{Batch, LegReport, LegState, LegWord, ReportLegsRequest};

/// Into so many portions it is cut, and so much time is between two: pay-outs leave bit by bit, as
/// they are covered, and the engine dies in the middle of it.
const PORTIONS: usize = 30;
const PAUSE: Duration = Duration::from_millis(300);
/// Most lines that are said at once.
const PORTION_MAX: usize = 1_000;
/// Of so many portions, one is said once more.
const TWICE: usize = 3;
/// What stands beside the legs.
const REFERENCE: &str = "statement";

/// The statement about one batch.
pub struct Statement {
    lines: Vec<Line>,
    /// Legs of the batch that are none of its pay-ins.
    pay_outs: u64,
    /// Lines of a portion.
    portion: usize,
    said: usize,
    /// Nothing more is said before.
    after: Instant,
}

struct Line {
    leg: Told,
    came: bool,
}

impl Statement {
    /// About a batch of these legs. `place` tells the place of a payer by who it is on the rail.
    pub fn new(legs: Vec<Told>, place: impl Fn(&str) -> Option<usize>) -> Self {
        let all = legs.len();
        let pay_ins = legs.into_iter().filter(|leg| leg.pay_in);
        let lines: Vec<Line> = pay_ins
            .map(|leg| Line { came: place(&leg.whom).is_some_and(people::sends), leg })
            .collect();
        let pay_outs = u64::try_from(all - lines.len()).expect("a count fits 64 bits");
        let portion = lines.len().div_ceil(PORTIONS).clamp(1, PORTION_MAX);
        Self { lines, pay_outs, portion, said: 0, after: Instant::now() }
    }

    /// The next that is to be said, if there is any and the engine has asked for the money.
    pub fn next(&self, batch: &Batch) -> Vec<ReportLegsRequest> {
        let ready = batch.legs_by_state.iter().filter(|count| count.state() == LegState::Ready);
        let asked = ready.map(|count| count.legs).sum::<u64>() <= self.pay_outs;
        let portion: Vec<&Line> = self.lines.iter().skip(self.said).take(self.portion).collect();
        if portion.is_empty() || !asked || Instant::now() < self.after {
            return Vec::new();
        }
        let times = if (self.said / self.portion).is_multiple_of(TWICE) { 2 } else { 1 };
        (0..times).map(|time| self.request(batch, &portion, time)).collect()
    }

    fn request(&self, batch: &Batch, portion: &[&Line], time: usize) -> ReportLegsRequest {
        let report = |line: &&Line| LegReport {
            key: line.leg.key.clone(),
            word: if line.came { LegWord::Confirmed } else { LegWord::Rejected }.into(),
            rail_reference: REFERENCE.to_owned(),
            reason: if line.came { "" } else { "nothing came" }.to_owned(),
        };
        let said = self.said;
        ReportLegsRequest {
            request_id: format!("statement {said} {time} {:?}", &batch.batch_id[..8]),
            batch_id: batch.batch_id.clone(),
            reports: portion.iter().map(report).collect(),
            evidence: seed(&format!("statement {said}")).to_vec().into(),
            ..Default::default()
        }
    }

    /// The engine has taken it.
    pub fn taken(&mut self) {
        self.said += self.portion;
        self.after = Instant::now() + PAUSE;
    }

    /// What came in, by the statement.
    pub fn movements(&self) -> impl Iterator<Item = Movement> + '_ {
        let came = self.lines.iter().take(self.said).filter(|line| line.came);
        came.map(|line| Movement {
            leg_key: line.leg.key.clone(),
            reference: REFERENCE.to_owned(),
            pay_in: true,
            amount: line.leg.amount,
            whom: line.leg.whom.clone(),
            back: false,
        })
    }
}
