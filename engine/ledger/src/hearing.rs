//! What rails say of one leg, weighed together: everything that one answer says of it, and where
//! the leg stands. Pure: the same statements give the same verdict, in whatever order they come.
//!
//! Owns which of them fit the leg, which of two that differ counts, and what a person must be told.
//! Knows a rail only by two kinds of word: a **report** on what was handed in, and **money** that
//! moved. A report may take a leg on or refuse it; what money did, it never undoes. Rails translate
//! into statements, and never decide; whoever asks has the move journaled and the findings told.
//!
//! | all that fits | leads to |
//! |---|---|
//! | a movement that is held, told again | nothing |
//! | money came back as often as it went | REJECTED, or RETURNED where it was CONFIRMED |
//! | money went more often than it came back | CONFIRMED; a report that refuses it is found |
//! | a second going, or a return too many | it is held, and found |
//! | reports that refuse, and others that do not | nothing: it contradicts itself |
//! | reports that refuse | REJECTED, but nothing that was CONFIRMED comes back by a report |
//! | reports that it was done, or taken on | CONFIRMED, ACCEPTED |
//! | a report that the same was handed in before | nothing, ever: it is about the second one |

mod finding;
mod money;

use super::leg::{LegState, LegWord, Way};
use super::legs::LegFacts;
use super::movements::Movements;
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
    /// What books showed of its money going.
    pub went: &'a Movements,
    /// What they showed of it coming back.
    pub came: &'a Movements,
}

impl<'a> Subject<'a> {
    /// The same with what is held of its bookings.
    #[must_use]
    pub fn with(self, facts: Option<&'a LegFacts>) -> Self {
        let went = facts.map_or(Movements::NONE, |facts| &facts.went);
        let came = facts.map_or(Movements::NONE, |facts| &facts.came);
        Self { went, came, ..self }
    }

    /// Whether books have shown any of its money.
    #[must_use]
    pub fn is_booked(&self) -> bool {
        !self.went.is_none() || !self.came.is_none()
    }
}

/// Which way money goes, seen from the clearing account (or, in a bilateral asset, from the
/// payer's).
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
    /// Money that moved: an entry of an account, a return, a charge, a receipt. It must say its
    /// sum. That something was taken on or rejected is a report all the same: no money moved.
    Money,
}

/// The sum that a statement names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    /// None.
    Unsaid,
    /// So many units of the leg's asset.
    Units(Total),
    /// Something that is no sum of the asset: another currency, or parts of a unit. As it was
    /// written.
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
    /// Tells movements of one answer apart that no reference of their own does; 0 where the
    /// reference does.
    pub apart: u64,
    /// Reason code and text; empty if it gave none.
    pub reason: String,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Where the leg moves, if it does.
    pub to: Option<Step>,
    /// Movements that are held from now on beside that; ordered.
    pub held: Vec<(Way, String)>,
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
    /// Of money that went several times some came back.
    CameBack {
        /// What came back.
        said: Said,
        /// How often it went, by all that is known.
        went: usize,
        /// How often it came back.
        came: usize,
    },
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
    // A set: order and repetition are gone, and everything below walks it from its least to its
    // greatest.
    let all: BTreeSet<&Statement> = statements.iter().collect();
    if let Some(bug) = last_word(subject, statements) {
        return bug;
    }
    if !subject.has_left || subject.state == LegState::Ready {
        let not_left = |said: &&Statement| Finding::NotLeft(said.told());
        let findings = all.iter().map(not_left).collect();
        return Verdict { findings, ..Verdict::default() };
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
    let mut held = Vec::new();
    let step = Weighing { subject, fits, found: &mut found, held: &mut held }.step();
    held.sort_unstable();
    let stands = step.as_ref().map_or(subject.state, |step| step.to);
    let findings = found.into_iter().map(|finding| beside(subject, stands, finding));
    let findings = findings.collect::<BTreeSet<_>>().into_iter().collect();
    Verdict { to: step, held, findings }
}

/// The planted bug: what is said last counts, whatever else is said.
fn last_word(subject: &Subject<'_>, statements: &[Statement]) -> Option<Verdict> {
    if !planted(Bug::LastWordCounts) {
        return None;
    }
    let mut fits = statements.iter().filter(|said| misfit(subject, said).is_none());
    let last = vec![fits.next_back()?];
    let (mut found, mut held) = (BTreeSet::new(), Vec::new());
    let to = Weighing { subject, fits: last, found: &mut found, held: &mut held }.step();
    Some(Verdict { to, held, findings: found.into_iter().collect() })
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
        | Finding::Surplus(_)
        | Finding::CameBack { .. }) => finding,
    }
}

/// The statements that fit, and what is found among them.
struct Weighing<'a> {
    subject: &'a Subject<'a>,
    fits: Vec<&'a Statement>,
    found: &'a mut BTreeSet<Finding>,
    held: &'a mut Vec<(Way, String)>,
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
        if out.is_empty() && back.is_empty() { self.by_reports() } else { self.by_money(out, back) }
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
            (Some(yes), _, LegState::Rejected) if !self.subject.is_booked() => {
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

impl Verdict {
    /// Whether what is held is held before the leg moves: of one that comes back the ledger must
    /// know by then that it came back as often as it went.
    #[must_use]
    pub fn holds_first(&self) -> bool {
        self.to.as_ref().is_some_and(|step| step.to == LegState::Returned)
    }
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
