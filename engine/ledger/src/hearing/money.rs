//! Money that moved, weighed: how often it went and came back, whatever answers told which of it.
//!
//! A leg holds the references under which books showed its money go and come back. Who tells one of
//! them again tells nothing new. A leg is paid as long as its money went more often than it came
//! back; that it went a second time, or came back more often than it went, is money that nothing
//! stands for.

use super::{Finding, LegState, LegWord, Statement, Step, Subject, Weighing};
use crate::canary::{Bug, planted};
use crate::leg::Way;
use crate::movements::{Movements, Tally};

/// The movements of one way in one answer, beside those that are held.
struct Counted<'a> {
    /// How many were held.
    before: usize,
    /// What is held with them, as far as there is room.
    after: Tally,
    /// How many there are by now, whether there is room for them or not.
    all: usize,
    /// Those that were not known, in their order.
    new: Vec<&'a Statement>,
    /// The references to hold.
    hold: Vec<&'a str>,
    /// The reference beside which another movement is one more.
    counts: &'a str,
}

impl<'a> Counted<'a> {
    fn new(told: &[&'a Statement], held: &'a Movements) -> Self {
        let mut known: Vec<&str> = held.references().iter().map(|of| &**of).collect();
        known.retain(|reference| !reference.is_empty());
        let (mut new, mut unnamed) = (Vec::new(), Vec::new());
        for &said in told {
            match known.iter().position(|reference| *reference == said.reference) {
                Some(at) => drop(known.swap_remove(at)),
                None if said.reference.is_empty() => unnamed.push(said),
                None => new.push(said),
            }
        }
        let (before, mut all) = (held.tally().count(), held.tally());
        let mut hold: Vec<&str> = new.iter().map(|said| said.reference.as_str()).collect();
        hold.iter().for_each(|reference| all.hold(reference));
        // In one answer each movement is listed once: they are at least so many.
        while !unnamed.is_empty() && all.count() < told.len() && !all.is_full() {
            all.hold("");
            hold.push("");
        }
        // Those that only give a name to what was known without one are not new.
        new.append(&mut unnamed);
        drop(new.drain(..new.len().saturating_sub(all.count().saturating_sub(before))));
        let mut after = held.tally();
        hold.retain(|reference| {
            let fits = !after.is_full();
            if fits {
                after.hold(reference);
            }
            fits
        });
        let first = new.first().map(|said| said.reference.as_str());
        let counts = held.references().first().map(|of| &**of).or(first).unwrap_or_default();
        Self { before, after, all: all.count(), new, hold, counts }
    }

    /// The first that was not known.
    fn first(&self) -> Option<&'a Statement> {
        self.new.first().copied()
    }
}

impl<'a> Weighing<'a> {
    /// Money has moved, or has come back.
    pub(super) fn by_money(
        mut self,
        out: Vec<&'a Statement>,
        back: Vec<&'a Statement>,
    ) -> Option<Step> {
        let subject = self.subject;
        let went = Counted::new(&out, subject.went);
        let came = Counted::new(&back, subject.came);
        if out.len() > back.len() {
            self.at_odds(&out);
        }
        let said = self.moving(&went, &came).or_else(|| {
            let open = subject.state == LegState::Confirmed && out.len() <= back.len();
            let said = came.first().filter(|_| open && planted(Bug::ReturnOfASecondPaysAgain));
            said.map(|said| (said, LegState::Returned))
        });
        self.went(&went, &came);
        self.came(&went, &came, said.map(|(said, _)| said));
        let (mut went, mut came) = (went.hold, came.hold);
        let step = said.map(|(said, to)| said.step(to));
        // A move holds its own.
        if let Some(Step { to, reference, .. }) = &step {
            let own = if to.is_owed_again() { &mut came } else { &mut went };
            if let Some(at) = own.iter().position(|held| held == reference) {
                own.remove(at);
            }
        }
        for (way, hold) in [(Way::Went, went), (Way::Came, came)] {
            self.held.extend(hold.into_iter().map(|reference| (way, reference.to_owned())));
        }
        step
    }

    /// Which movement moves the leg where.
    fn moving(&self, went: &Counted<'a>, came: &Counted<'a>) -> Option<(&'a Statement, LegState)> {
        // What came back must have gone, also where nobody showed it.
        let is_back = came.after.count() > 0 && went.after.is_back(came.after.count());
        let (said, to) = match self.subject.state {
            LegState::Sent | LegState::Accepted | LegState::Unknown if is_back => {
                (came.first(), LegState::Rejected)
            }
            LegState::Sent | LegState::Accepted | LegState::Unknown => {
                (went.first(), LegState::Confirmed)
            }
            LegState::Confirmed if is_back => (came.first(), LegState::Returned),
            // The first time that the account shows what was known by somebody's word: remembered,
            // so that a second time is noticed.
            LegState::Confirmed if went.before == 0 => (went.first(), LegState::Confirmed),
            LegState::Confirmed | LegState::Ready | LegState::Rejected | LegState::Returned => {
                return None;
            }
        };
        said.map(|said| (said, to))
    }

    /// Money that went, and a report that it did not.
    fn at_odds(&mut self, out: &[&'a Statement]) {
        let refuses = self.say(&[LegWord::Rejected]);
        if refuses.is_empty() {
            return;
        }
        let all = refuses.into_iter().chain(out.first().copied()).map(Statement::told);
        let all: std::collections::BTreeSet<_> = all.collect();
        self.found.insert(Finding::AtOdds(all.into_iter().collect()));
    }

    /// Finds what went once more, and what went of a leg that never should have.
    fn went(&mut self, went: &Counted<'a>, came: &Counted<'a>) {
        let first = went.first().filter(|_| went.before == 0);
        if let Some(said) = first {
            let Subject { state, .. } = *self.subject;
            // What came back must have gone: its going is told late.
            let is_late = state == LegState::Rejected && came.all == 0;
            if is_late && !planted(Bug::TooLateDropped) {
                self.found.insert(Finding::TooLate(said.told()));
            }
        }
        self.surplus(&went.new[usize::from(first.is_some())..], went.counts);
    }

    /// Finds what came back more often than it went, and tells what came back of several.
    fn came(&mut self, went: &Counted<'a>, came: &Counted<'a>, moves: Option<&'a Statement>) {
        let goings = went.all.max(1);
        let more = came.all.saturating_sub(goings).max(came.all - came.after.count());
        // Of what nobody counts any more a person must look at each.
        let more = if went.after.is_full() { came.new.len() } else { more.min(came.new.len()) };
        let (fits, more) = came.new.split_at(came.new.len() - more);
        self.surplus(more, came.counts);
        let silent = |said: &&Statement| moves.is_some_and(|moves| std::ptr::eq(*said, moves));
        for said in fits.iter().filter(|said| goings > 1 && !silent(said)) {
            let (went, came) = (goings, came.all);
            self.found.insert(Finding::CameBack { said: said.told(), went, came });
        }
    }

    /// Money that moved once more, beside the movement that counts.
    fn surplus(&mut self, more: &[&'a Statement], counts: &str) {
        for said in more {
            let mut told = said.told();
            if !counts.is_empty() && counts != told.reference {
                told.reference = format!("{}, beside {counts}", told.reference);
            }
            self.found.insert(Finding::Surplus(told));
        }
    }
}
