//! Money that moved, weighed: which booking counts, which is held already, which is one too many.
//!
//! A leg holds two references: under which its money went, and under which it came back. Who tells
//! either of them again tells nothing new; another one beside it is money that nothing stands for.
//! The first going that is told of what came back already is the one that came back, told late.

use super::{Finding, LegState, LegWord, Statement, Step, Subject, Weighing};
use crate::canary::{Bug, planted};
use crate::leg::Way;
use std::collections::BTreeSet;

/// The movements of one way in one answer, compared with the one that is held.
struct Counted<'a> {
    /// The one that counts, if the answer tells it.
    said: Option<&'a Statement>,
    /// Whether it was not held before.
    is_new: bool,
    /// Those beside it.
    more: Vec<&'a Statement>,
    /// The reference of the one that counts.
    counts: &'a str,
}

impl<'a> Counted<'a> {
    fn new(mut more: Vec<&'a Statement>, held: Option<&'a str>) -> Self {
        let at = match held {
            None => (!more.is_empty()).then_some(0),
            Some(held) => {
                let same = more.iter().position(|said| said.reference == held);
                // Where a rail gives no reference, it may be the same.
                let unsaid = |said: &&Statement| held.is_empty() || said.reference.is_empty();
                same.or_else(|| more.iter().position(unsaid))
            }
        };
        let said = at.map(|at| more.remove(at));
        let counts = held.or(said.map(|said| said.reference.as_str())).unwrap_or_default();
        Self { said, is_new: held.is_none(), more, counts }
    }

    /// The one that counts, if it was not held before.
    fn first(&self) -> Option<&'a Statement> {
        self.said.filter(|_| self.is_new)
    }
}

impl<'a> Weighing<'a> {
    /// Money has moved, or has come back.
    pub(super) fn by_money(
        mut self,
        out: Vec<&'a Statement>,
        back: Vec<&'a Statement>,
    ) -> Option<Step> {
        // In one answer each movement is listed once: what went more often than it came back is
        // out.
        let is_back = back.len() >= out.len();
        let went = Counted::new(out, self.subject.went);
        self.surplus(&went);
        if is_back {
            self.hold(Way::Went, went.first());
            return self.returned(back);
        }
        let came = Counted::new(back, self.subject.came);
        self.surplus(&came);
        self.hold(Way::Came, came.first());
        self.confirmed(&went)
    }

    /// The money has moved.
    fn confirmed(mut self, went: &Counted<'a>) -> Option<Step> {
        let refuses = self.say(&[LegWord::Rejected]);
        if let Some(said) = went.said.or(went.more.first().copied()).filter(|_| !refuses.is_empty())
        {
            let all = refuses.into_iter().chain([said]).map(Statement::told);
            self.found.insert(Finding::AtOdds(all.collect::<BTreeSet<_>>().into_iter().collect()));
        }
        let said = went.first()?;
        let Subject { state, came, .. } = *self.subject;
        match state {
            LegState::Sent | LegState::Accepted | LegState::Unknown => {
                Some(said.step(LegState::Confirmed))
            }
            // The first time that the account shows what was known by somebody's word: remembered,
            // so that a second time is noticed.
            LegState::Confirmed => Some(said.step(LegState::Confirmed)),
            LegState::Returned => {
                self.hold(Way::Went, Some(said));
                None
            }
            LegState::Rejected => {
                // What came back must have gone: its going is told late.
                if came.is_none() && !planted(Bug::TooLateDropped) {
                    self.found.insert(Finding::TooLate(said.told()));
                }
                self.hold(Way::Went, Some(said));
                None
            }
            LegState::Ready => None,
        }
    }

    /// The money has come back, as often as it went.
    fn returned(mut self, mut back: Vec<&'a Statement>) -> Option<Step> {
        let Subject { state, came, .. } = *self.subject;
        let to = match state {
            LegState::Sent | LegState::Accepted | LegState::Unknown => LegState::Rejected,
            LegState::Confirmed => LegState::Returned,
            LegState::Ready | LegState::Rejected | LegState::Returned => {
                let counted = Counted::new(back, came);
                self.surplus(&counted);
                self.hold(Way::Came, counted.first());
                return None;
            }
        };
        // What is held of one that is paid came back of a second payment: it is not this one's
        // return.
        if let Some(held) = came {
            back = Counted::new(back, Some(held)).more;
        }
        let counted = Counted::new(back, None);
        self.surplus(&counted);
        counted.said.map(|said| said.step(to))
    }

    /// A booking is held from now on.
    fn hold(&mut self, way: Way, said: Option<&Statement>) {
        self.held.extend(said.map(|said| (way, said.reference.clone())));
    }

    /// Money that moved once more, beside the movement that counts.
    fn surplus(&mut self, counted: &Counted<'_>) {
        for said in &counted.more {
            let mut told = said.told();
            if !counted.counts.is_empty() {
                told.reference = format!("{}, beside {}", told.reference, counted.counts);
            }
            self.found.insert(Finding::Surplus(told));
        }
    }
}
