//! What rails say of one leg, weighed together: everything that one answer says of it, and where the leg
//! stands. Pure: the same statements give the same verdict, in whatever order they come.
//!
//! Owns which of them fit the leg, which of two that differ counts, and what a person must be told. Knows a
//! rail only by two kinds of word: a **report** on what was handed in, and **money** that moved. A report
//! may take a leg on or refuse it; what money did, it never undoes. Rails translate into statements, and
//! never decide; whoever asks has the move journaled and the findings told.
//!
//! | all that fits | leads to |
//! |---|---|
//! | money came back | REJECTED, or RETURNED where it was CONFIRMED: it beats every other word |
//! | money moved more often than it came back, in one answer | CONFIRMED, and the surplus is found |
//! | money moved | CONFIRMED; a report that refuses it is found |
//! | reports that refuse, and others that do not | nothing: it contradicts itself |
//! | reports that refuse | REJECTED, but nothing that was CONFIRMED comes back by a report |
//! | reports that it was done, or taken on | CONFIRMED, ACCEPTED |
//! | a report that the same was handed in before | nothing, ever: it is about the second one |

mod finding;

use super::leg::{LegState, LegWord};
use crate::canary::{Bug, planted};
use crate::types::Total;
use std::collections::BTreeSet;

/// One leg, as it stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Where it stands.
    pub state: LegState,
    /// Whether its bytes have left for the rail; a list of pay-ins counts as such.
    pub has_left: bool,
    /// Which way its money goes.
    pub side: Side,
    /// How much, in asset units.
    pub amount: Total,
    /// The rail's own reference that is held of it; empty if none is.
    pub reference: &'a str,
    /// Whether that is the reference of money that moved: of what it has come to.
    pub is_booked: bool,
}

/// Which way money goes, seen from the clearing account (or, in a bilateral asset, from the payer's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It comes in.
    In,
    /// It goes out.
    Out,
}

/// What a statement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// What the rail thinks of what was handed in. It may leave the sum unsaid.
    Report,
    /// Money that moved: an entry of an account, a return, a charge, a receipt. It must say its sum. That
    /// something was taken on or rejected is a report all the same: no money moved.
    Money,
}

/// The sum that a statement names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    /// None.
    Unsaid,
    /// So many units of the leg's asset.
    Units(Total),
    /// Something that is no sum of the asset: another currency, or parts of a unit. As it was written.
    Alien(String),
}

/// Where the money moved, or by what object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It is not said, or cannot be compared.
    Unsaid,
    /// Where the leg's money moves.
    Ours,
    /// Elsewhere: another account, another object. As it was written.
    Other(String),
}

/// What a rail says of a leg.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    /// What became of it.
    pub word: LegWord,
    /// What that rests on.
    pub ground: Ground,
    /// A refusal because the same was handed in before.
    pub is_duplicate: bool,
    /// Which way the money goes. For money that came back, which way it had gone.
    pub side: Side,
    /// The sum.
    pub sum: Sum,
    /// Where.
    pub place: Place,
    /// The rail's own reference; empty if it gave none.
    pub reference: String,
    /// Tells movements of one answer apart that no reference of their own does; 0 where the reference does.
    pub apart: u64,
    /// Reason code and text; empty if it gave none.
    pub reason: String,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Where the leg moves, if it does.
    pub to: Option<Step>,
    /// What a person must be told; ordered, each once.
    pub findings: Vec<Finding>,
}

/// A leg's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it stands from now on.
    pub to: LegState,
    /// Whether money that moved says so.
    pub is_booked: bool,
    /// The rail's own reference.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// What does not fit a leg, and why a person must look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// It says no sum, and money without a sum proves nothing.
    NoSum(Said),
    /// Another sum than the leg's, or another currency.
    OtherSum(Said),
    /// The same beside what fits: mostly a fee that quotes the payment.
    Beside(Said),
    /// The opposite movement.
    OtherSide(Said),
    /// Another account or object.
    OtherPlace(Said),
    /// It was refused because the same was handed in before.
    Duplicate(Said),
    /// Nothing of the leg has left, and the rail speaks of it.
    NotLeft(Said),
    /// Statements of one answer that cannot both be true. Each with its word, in order.
    AtOdds(Vec<Said>),
    /// It cannot be true of a leg that has ended, or it undoes what is done.
    TooLate(Said),
    /// Money moved once more.
    Surplus(Said),
}

/// A statement, as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    word: LegWord,
    sum: Sum,
    place: Place,
    reference: String,
    reason: String,
}

/// What kind of trouble a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// A remark beside the answer.
    Remark,
    /// It contradicts what is held to be true.
    Contradiction,
    /// It does not fit the leg.
    Misfit,
    /// Money that nothing stands for.
    Surplus,
}

/// Weighs all that one answer says of a leg.
#[must_use]
pub fn weigh(subject: &Subject<'_>, statements: &[Statement]) -> Verdict {
    // A set: order and repetition are gone, and everything below walks it from its least to its greatest.
    let all: BTreeSet<&Statement> = statements.iter().collect();
    if let Some(bug) = last_word(subject, statements) {
        return bug;
    }
    if !subject.has_left || subject.state == LegState::Ready {
        let not_left = |said: &&Statement| Finding::NotLeft(said.told());
        return Verdict { to: None, findings: all.iter().map(not_left).collect() };
    }
    let (mut fits, mut found) = (Vec::new(), BTreeSet::new());
    for said in all {
        match misfit(subject, said) {
            None => fits.push(said),
            Some(finding) => {
                found.insert(finding);
            }
        }
    }
    let step = Weighing { subject, fits, found: &mut found }.step();
    let stands = step.as_ref().map_or(subject.state, |step| step.to);
    let findings = found.into_iter().map(|finding| beside(subject, stands, finding));
    Verdict { to: step, findings: findings.collect::<BTreeSet<_>>().into_iter().collect() }
}

/// The planted bug: what is said last counts, whatever else is said.
fn last_word(subject: &Subject<'_>, statements: &[Statement]) -> Option<Verdict> {
    if !planted(Bug::LastWordCounts) {
        return None;
    }
    let mut fits = statements.iter().filter(|said| misfit(subject, said).is_none());
    let last = vec![fits.next_back()?];
    let mut found = BTreeSet::new();
    let to = Weighing { subject, fits: last, found: &mut found }.step();
    Some(Verdict { to, findings: found.into_iter().collect() })
}

/// Why a statement is not about this leg's money.
fn misfit(subject: &Subject<'_>, said: &Statement) -> Option<Finding> {
    match &said.place {
        Place::Unsaid | Place::Ours => {}
        Place::Other(_) if planted(Bug::AnyPlaceConfirms) => {}
        Place::Other(_) => return Some(Finding::OtherPlace(said.told())),
    }
    if said.side != subject.side {
        return Some(Finding::OtherSide(said.told()));
    }
    match (&said.sum, said.ground) {
        (Sum::Units(units), _) if *units == subject.amount => None,
        (Sum::Units(_), _) if planted(Bug::AnySumConfirms) => None,
        (Sum::Units(_) | Sum::Alien(_), _) => Some(Finding::OtherSum(said.told())),
        (Sum::Unsaid, Ground::Report) => None,
        (Sum::Unsaid, Ground::Money) => Some(Finding::NoSum(said.told())),
    }
}

/// Another, smaller sum that left beside the leg's own is mostly a fee.
fn beside(subject: &Subject<'_>, stands: LegState, finding: Finding) -> Finding {
    let is_fee = |said: &Said| {
        stands == LegState::Confirmed
            && subject.side == Side::Out
            && said.word == LegWord::Confirmed
            && matches!(said.sum, Sum::Units(units) if units < subject.amount)
    };
    match finding {
        Finding::OtherSum(said) if is_fee(&said) => Finding::Beside(said),
        finding @ (Finding::OtherSum(_)
        | Finding::NoSum(_)
        | Finding::Beside(_)
        | Finding::OtherSide(_)
        | Finding::OtherPlace(_)
        | Finding::Duplicate(_)
        | Finding::NotLeft(_)
        | Finding::AtOdds(_)
        | Finding::TooLate(_)
        | Finding::Surplus(_)) => finding,
    }
}

/// The statements that fit, and what is found among them.
struct Weighing<'a> {
    subject: &'a Subject<'a>,
    fits: Vec<&'a Statement>,
    found: &'a mut BTreeSet<Finding>,
}

impl<'a> Weighing<'a> {
    /// What fits and says one of these words, but for what is about a second copy.
    fn say(&self, words: &[LegWord]) -> Vec<&'a Statement> {
        let own = |said: &&&Statement| words.contains(&said.word) && !said.is_duplicate;
        self.fits.iter().filter(own).copied().collect()
    }

    /// The movements of money with this word, each once.
    fn moved(&self, word: LegWord) -> Vec<&'a Statement> {
        let mut moved = self.say(&[word]);
        moved.retain(|said| said.ground == Ground::Money);
        let mut seen = BTreeSet::new();
        moved.retain(|said| seen.insert((said.reference.as_str(), said.apart)));
        moved
    }

    fn step(self) -> Option<Step> {
        for said in self.fits.iter().filter(|said| said.is_duplicate) {
            self.found.insert(Finding::Duplicate(said.told()));
        }
        let (out, back) = (self.moved(LegWord::Confirmed), self.moved(LegWord::Returned));
        if out.is_empty() && back.is_empty() {
            self.by_reports()
        } else {
            self.by_money(out, &back)
        }
    }

    /// Money has moved, or has come back.
    fn by_money(self, mut out: Vec<&'a Statement>, back: &[&'a Statement]) -> Option<Step> {
        if back.len() >= out.len() {
            return returned(self.subject, back, self.found);
        }
        // In one answer each movement is listed once: this money is out, and what came back is of another
        // time that it went. What is known already stands for itself.
        let known =
            |said: &&Statement| self.subject.is_booked && said.reference == self.subject.reference;
        let first = out.remove(out.iter().position(known).unwrap_or(0));
        for said in out {
            self.found.insert(surplus(said, &first.reference));
        }
        let refuses = self.say(&[LegWord::Rejected]);
        if !refuses.is_empty() {
            let all = refuses.into_iter().chain([first]).map(Statement::told);
            self.found.insert(Finding::AtOdds(all.collect::<BTreeSet<_>>().into_iter().collect()));
        }
        confirmed(self.subject, first, self.found)
    }

    /// Only reports speak.
    fn by_reports(self) -> Option<Step> {
        let refuses = self.say(&[LegWord::Rejected, LegWord::Returned]);
        let (done, taken) = (self.say(&[LegWord::Confirmed]), self.say(&[LegWord::Accepted]));
        let agrees = done.is_empty() && taken.is_empty();
        if !refuses.is_empty() && !agrees {
            let all = refuses.iter().chain(&done).chain(&taken).map(|said| said.told());
            self.found.insert(Finding::AtOdds(all.collect::<BTreeSet<_>>().into_iter().collect()));
            return None;
        }
        if let Some(no) = refuses.first() {
            return self.refused(no);
        }
        match (done.first(), taken.first(), self.subject.state) {
            (Some(yes), _, LegState::Sent | LegState::Accepted | LegState::Unknown) => {
                Some(yes.step(LegState::Confirmed))
            }
            (Some(yes), _, LegState::Rejected) if !self.subject.is_booked => {
                self.found.insert(Finding::TooLate(yes.told()));
                None
            }
            (None, Some(taken), LegState::Sent | LegState::Unknown) => {
                Some(taken.step(LegState::Accepted))
            }
            (
                _,
                _,
                LegState::Ready
                | LegState::Sent
                | LegState::Accepted
                | LegState::Unknown
                | LegState::Confirmed
                | LegState::Rejected
                | LegState::Returned,
            ) => None,
        }
    }

    /// A report refuses it, and nothing else speaks.
    fn refused(self, no: &Statement) -> Option<Step> {
        match self.subject.state {
            LegState::Sent | LegState::Accepted | LegState::Unknown => {
                Some(no.step(LegState::Rejected))
            }
            LegState::Confirmed if planted(Bug::ReportUndoesMoney) => {
                Some(no.step(LegState::Returned))
            }
            LegState::Confirmed => {
                self.found.insert(Finding::TooLate(no.told()));
                None
            }
            LegState::Ready | LegState::Rejected | LegState::Returned => None,
        }
    }
}

/// The money has moved.
fn confirmed(
    subject: &Subject<'_>,
    said: &Statement,
    found: &mut BTreeSet<Finding>,
) -> Option<Step> {
    let is_same = said.reference == subject.reference || said.reference.is_empty();
    match subject.state {
        LegState::Sent | LegState::Accepted | LegState::Unknown => {
            Some(said.step(LegState::Confirmed))
        }
        // The first time that the account shows what was known by somebody's word: remembered, so that a
        // second time is noticed.
        LegState::Confirmed if !subject.is_booked => Some(said.step(LegState::Confirmed)),
        LegState::Confirmed if is_same || subject.reference.is_empty() => None,
        LegState::Confirmed => {
            found.insert(surplus(said, subject.reference));
            None
        }
        // It came back by a movement that the books showed. What goes under another reference may be a second
        // payment, and a person must compare; else its going is told late.
        LegState::Returned | LegState::Rejected if subject.is_booked && !is_same => {
            found.insert(surplus(said, subject.reference));
            None
        }
        LegState::Returned => None,
        LegState::Rejected if subject.is_booked => None,
        LegState::Rejected if planted(Bug::TooLateDropped) => None,
        LegState::Rejected | LegState::Ready => {
            found.insert(Finding::TooLate(said.told()));
            None
        }
    }
}

/// Money that moved once more, beside the movement that counts.
fn surplus(said: &Statement, counted: &str) -> Finding {
    let mut told = said.told();
    if !counted.is_empty() {
        told.reference = format!("{}, beside {counted}", told.reference);
    }
    Finding::Surplus(told)
}

/// The money has come back, as often as it went.
fn returned(
    subject: &Subject<'_>,
    back: &[&Statement],
    found: &mut BTreeSet<Finding>,
) -> Option<Step> {
    let to = match subject.state {
        LegState::Sent | LegState::Accepted | LegState::Unknown => Some(LegState::Rejected),
        LegState::Confirmed => Some(LegState::Returned),
        LegState::Ready | LegState::Rejected | LegState::Returned => None,
    };
    // Of one that has come back already, what is held is this return, unless its reference is another.
    let known = |said: &&&Statement| {
        to.is_some()
            || !subject.is_booked
            || said.reference.is_empty()
            || subject.reference.is_empty()
            || said.reference == subject.reference
    };
    let first = back.iter().find(known);
    let counted = first.map_or(subject.reference, |first| first.reference.as_str());
    for said in back.iter().filter(|said| first.is_none_or(|first| !std::ptr::eq(**said, *first))) {
        found.insert(surplus(said, counted));
    }
    to.and_then(|to| first.map(|said| said.step(to)))
}

impl LegWord {
    /// The word for it, in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "taken on",
            Self::Confirmed => "paid",
            Self::Rejected => "rejected",
            Self::Returned => "sent back",
        }
    }
}

impl Statement {
    fn told(&self) -> Said {
        Said {
            word: self.word,
            sum: self.sum.clone(),
            place: self.place.clone(),
            reference: self.reference.clone(),
            reason: self.reason.clone(),
        }
    }

    fn step(&self, to: LegState) -> Step {
        let is_booked = match self.ground {
            Ground::Money => true,
            Ground::Report => false,
        };
        Step { to, is_booked, reference: self.reference.clone(), reason: self.reason.clone() }
    }
}

#[cfg(test)]
mod tests;
