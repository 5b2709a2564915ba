//! What one answer says, leg by leg: collected whole, weighed by the ledger, journaled. Owns how
//! the names of an answer lead to legs, and what is told of those that lead nowhere. Decides
//! nothing.

use super::answers::{Outcome, of_file};
use super::word::bookings;
use super::{Run, Stuck};
use crate::journal::names::{self, NamedLeg};
use crate::ledger::event::LegBooking;
use crate::ledger::hearing::{self, Place, Side, Statement, Step, Subject, Verdict, Weight};
use crate::ledger::{
    BatchHead, LegFacts, LegMove, LegState, Movements, NewTrouble, Rail, TroubleKind, Voice,
};
use crate::limits::{ANSWER_NAMES_SHOWN, MOVES_MAX};
use crate::rails::{About, Answer, Breadth, Name, Part, Sent, Shared, leg_name, sent};
use crate::settle::archive::NotLoaded;
use crate::types::{BatchId, PartyId, Total};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one answer says, by leg.
pub(super) struct Heard<'a> {
    rail: Rail,
    answer: &'a Answer,
    source: &'a str,
    legs: BTreeMap<(BatchId, u32), Spoken>,
    /// Entries whose sum is that of the legs that they list.
    shared_out: BTreeMap<usize, bool>,
    /// Whether it names a file of ours.
    knows_file: bool,
    /// What it names and nobody here knows.
    unknown: Vec<String>,
}

/// What is to be journaled of an answer, in one record.
pub(super) enum Told {
    Moves(BatchId, Voice, Vec<LegMove>),
    Bookings(BatchId, Vec<LegBooking>),
}

/// A leg, and the numbers of the narrowest reports that speak of it.
struct Spoken {
    leg: NamedLeg,
    /// The account that its money leaves, where it goes from party to party and that one was not
    /// erased; else empty.
    account: String,
    breadth: Breadth,
    reports: Vec<usize>,
}

/// A leg as the ledger has it now.
struct Stands {
    state: LegState,
    facts: LegFacts,
    has_left: bool,
}

impl<'a> Heard<'a> {
    /// Finds every leg of which an answer speaks.
    pub fn collect(
        run: &Run,
        rail: Rail,
        answer: &'a Answer,
        source: &'a str,
        outcome: &mut Outcome,
    ) -> Result<Self, Stuck> {
        let (legs, shared_out) = (BTreeMap::new(), BTreeMap::new());
        let (knows_file, unknown) = (false, Vec::new());
        let mut heard = Self { rail, answer, source, legs, shared_out, knows_file, unknown };
        for (number, (name, breadth)) in answer.names().into_iter().enumerate() {
            match name {
                Name::Leg(name) => match run.named(rail, name)? {
                    Some(leg) => {
                        heard.shares(run, number, &leg)?;
                        heard.add(run, leg, breadth, number)?;
                    }
                    None => {
                        heard.stranger(name);
                        outcome.note(format!("nothing is known of leg {name}"));
                    }
                },
                Name::File(id) => heard.file(run, id, breadth, number, outcome)?,
            }
        }
        heard.remarks(run, outcome)?;
        let (strangers, more) = answer.strangers();
        for name in strangers {
            heard.stranger(name);
            outcome.note(format!("nothing is known of {name:?}, which is no leg's key"));
        }
        outcome.more_notes += more;
        heard.about_nobody(outcome);
        Ok(heard)
    }

    fn stranger(&mut self, name: &str) {
        // What is told of it is journaled, and words may name people.
        let is_id = name.bytes().all(|byte| byte.is_ascii_graphic());
        if self.unknown.len() < ANSWER_NAMES_SHOWN {
            self.unknown.push(if is_id { format!("{name:?}") } else { "a name of words".into() });
        }
    }

    /// What a bank says of instructions, or what it sends back, is about what somebody has handed
    /// in under our name: if nothing of it is known here, it may be what this ledger does not know
    /// any more, since an old copy of it was restored. A statement names others' payments every
    /// day: of those there is a note at most.
    fn about_nobody(&self, outcome: &mut Outcome) {
        let is_known = self.knows_file || !self.legs.is_empty();
        if is_known || self.unknown.is_empty() || !self.answer.is_about_instructions() {
            return;
        }
        let text = format!(
            "the answer {} is about nothing that this ledger has handed in: {}. If another program did, let the \
             bank answer it elsewhere; if Tallystick did, this ledger is an old copy: stop, and see \"Restore\" in \
             docs/OPERATIONS.md before anything else leaves",
            self.source,
            self.unknown.join(", ")
        );
        outcome.trouble(of_file(TroubleKind::Other, self.rail, self.source, text));
    }

    fn add(
        &mut self,
        run: &Run,
        leg: NamedLeg,
        breadth: Breadth,
        report: usize,
    ) -> Result<(), Stuck> {
        let spoken = match self.legs.entry((leg.batch, leg.leg)) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                let vault = run.engine.vault();
                let account = vault.show_leaves(leg.payer, self.rail.name(), &leg.account);
                let account = account.map_err(NotLoaded::from)?.unwrap_or_default();
                place.insert(Spoken { leg, account, breadth, reports: Vec::new() })
            }
        };
        if breadth < spoken.breadth {
            spoken.breadth = breadth;
            spoken.reports.clear();
        }
        if breadth == spoken.breadth {
            spoken.reports.push(report);
        }
        Ok(())
    }

    /// A report on a whole file, or on one debtor's block of it.
    fn file(
        &mut self,
        run: &Run,
        id: &str,
        breadth: Breadth,
        report: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Stuck> {
        let (mut known, mut spoken) = (false, Vec::new());
        for (batch, file, places) in run.files_named(self.rail, id) {
            known = true;
            let content = run.engine.plan_here(batch)?.content().clone();
            // Which legs a file has says nothing about accounts.
            let part = Part::new(&content.with_accounts(BTreeMap::new()), &places, file);
            for place in self.answer.of_file(report, &part) {
                let name = leg_name(self.rail, &content.legs[places[place] as usize].key);
                spoken.extend(run.named(self.rail, &name)?);
            }
        }
        self.knows_file |= known;
        if !known {
            self.stranger(id);
            outcome.note(format!("nothing is known of {id:?}, which is no file of ours"));
        } else if let Some(status) = self.answer.silent(report) {
            outcome.note(format!("the bank says {status} of {id}: nothing moves by that"));
        }
        if let Some(words) = self.answer.words(report).filter(|_| known) {
            outcome.note(format!("of {id} {words}"));
        }
        spoken.into_iter().try_for_each(|leg| self.add(run, leg, breadth, report))
    }

    /// Looks once at each entry whose sum is shared out.
    fn shares(&mut self, run: &Run, report: usize, leg: &NamedLeg) -> Result<(), Stuck> {
        let Some(Shared { entry, legs }) = self.answer.shared(report) else { return Ok(()) };
        if self.shared_out.contains_key(&entry) {
            return Ok(());
        }
        let asset_of = |leg: &NamedLeg| {
            let control = run.engine.control();
            control.batch(leg.batch).map(|of| of.head.asset.clone()).ok()
        };
        let asset = asset_of(leg);
        let mut sums = Vec::new();
        for key in legs {
            let found = run.named(self.rail, key)?;
            // Units of two assets have no sum.
            sums.extend(found.filter(|leg| asset_of(leg) == asset).map(|leg| leg.amount));
        }
        let whole = asset.is_some_and(|asset| self.answer.is_shared_out(entry, &asset, &sums));
        self.shared_out.insert(entry, whole);
        Ok(())
    }

    fn remarks(&self, run: &Run, outcome: &mut Outcome) -> Result<(), Stuck> {
        for remark in self.answer.remarks() {
            let batch = match &remark.within {
                Some(id) => match run.files_named(self.rail, id).first() {
                    Some((batch, ..)) => Some(*batch),
                    // Somebody else's file.
                    None => continue,
                },
                None => None,
            };
            let leg = match &remark.leg {
                Some(name) => run.named(self.rail, name)?,
                None => None,
            };
            let of = leg.as_ref().map_or_else(String::new, |leg| {
                format!("leg {} with party {}: ", leg.key, party(leg))
            });
            let text = format!("{of}{}", remark.text);
            let Some(kind) = remark.trouble else {
                let between = if remark.aside.is_empty() { "" } else { "; " };
                outcome.note(format!("{text}{between}{}", remark.aside));
                continue;
            };
            let trouble = NewTrouble {
                kind,
                rail: self.rail,
                batch: leg.as_ref().map(|leg| leg.batch).or(batch),
                leg: leg.as_ref().map(|leg| leg.leg),
                party: leg.as_ref().map(party),
                source: self.source.to_owned(),
                text,
            };
            outcome.trouble_with(trouble, &remark.aside);
        }
        let more = self.answer.more_remarks();
        if more > 0 {
            let text = format!(
                "the answer {} has {more} more remarks on what is ours than are kept: look into the file",
                self.source
            );
            outcome.trouble(of_file(TroubleKind::Misfit, self.rail, self.source, text));
        }
        Ok(())
    }

    /// What is to be journaled of it; everything else is told.
    pub fn weigh(self, run: &Run, outcome: &mut Outcome) -> Result<Vec<Told>, Stuck> {
        let mut records = Vec::new();
        let all: Vec<(&(BatchId, u32), &Spoken)> = self.legs.iter().collect();
        for of_batch in all.chunk_by(|(a, _), (b, _)| a.0 == b.0) {
            let batch = of_batch[0].0.0;
            let legs: Vec<u32> = of_batch.iter().map(|((_, leg), _)| *leg).collect();
            let Some((head, stands)) = run.stand(batch, &legs)? else {
                of_batch.iter().for_each(|(_, spoken)| {
                    outcome.note(format!("nothing is known of leg {}", spoken.leg.key));
                });
                continue;
            };
            let (mut told, mut booked) = (Vec::new(), Vec::new());
            let (mut first, mut held) = (Vec::new(), Vec::new());
            for ((_, spoken), stands) in of_batch.iter().zip(&stands) {
                let verdict = self.one(spoken, &head, stands, outcome);
                let list = if verdict.holds_first() { &mut first } else { &mut held };
                list.extend(bookings(spoken.leg.leg, verdict.held));
                if let Some(step) = verdict.to {
                    let moves = if step.is_booked { &mut booked } else { &mut told };
                    moves.push(moved(&spoken.leg, step));
                }
            }
            let in_records = |held: Vec<LegBooking>| {
                let some = held.chunks(MOVES_MAX).map(<[LegBooking]>::to_vec);
                some.map(|some| Told::Bookings(batch, some)).collect::<Vec<_>>()
            };
            records.extend(in_records(first));
            for (voice, moves) in [(Voice::Rail, told), (Voice::Books, booked)] {
                for some in moves.chunks(MOVES_MAX) {
                    records.push(Told::Moves(batch, voice, some.to_vec()));
                    outcome.moved += u64::try_from(some.len()).expect("a length fits 64 bits");
                }
            }
            records.extend(in_records(held));
        }
        Ok(records)
    }

    /// Weighs what is said of one leg.
    fn one(
        &self,
        spoken: &Spoken,
        head: &BatchHead,
        stands: &Stands,
        outcome: &mut Outcome,
    ) -> Verdict {
        let leg = &spoken.leg;
        let side = if leg.payee == PartyId::CLEARING { Side::In } else { Side::Out };
        let mut statements: Vec<Statement> = Vec::new();
        let mut elsewhere: BTreeSet<&str> = BTreeSet::new();
        for &report in &spoken.reports {
            let shared = self.answer.shared(report);
            let whole = shared.and_then(|shared| self.shared_out.get(&shared.entry));
            let shared: Option<Total> = whole.and_then(|all| all.then_some(leg.amount));
            let about = About { head, account: &spoken.account, side, shared };
            let said = self.answer.statement(report, about);
            let is_elsewhere = said.iter().any(|said| matches!(said.place, Place::Other(_)));
            elsewhere.extend(self.answer.account(report).filter(|_| is_elsewhere));
            statements.extend(said);
            let silent = self.answer.silent(report).filter(|_| spoken.breadth == Breadth::Leg);
            if let Some(status) = silent {
                outcome.note(format!("the bank says {status} of leg {}: nothing moves", leg.key));
            }
            let words = self.answer.words(report).filter(|_| spoken.breadth == Breadth::Leg);
            if let Some(words) = words {
                outcome.note(format!("of leg {} {words}", leg.key));
            }
        }
        // A word for many that is said once so that it holds, and once so that it does not, may be
        // about any of them.
        if spoken.breadth != Breadth::Leg && statements.len() < spoken.reports.len() {
            statements.clear();
        }
        let Stands { state, ref facts, has_left } = *stands;
        let (amount, went, came) = (leg.amount, Movements::NONE, Movements::NONE);
        let subject = Subject { state, has_left, side, amount, went, came }.with(Some(facts));
        let verdict = hearing::weigh(&subject, &statements);
        let aside = match elsewhere.len() {
            0 => String::new(),
            _ => format!("in full: {}", Vec::from_iter(elsewhere).join(", ")),
        };
        for finding in &verdict.findings {
            let text = finding.text(&leg.key, state, amount, head.asset.scale);
            let kind = match finding.weight(state) {
                Weight::Remark => {
                    outcome.note(text);
                    continue;
                }
                Weight::Contradiction => TroubleKind::Contradiction,
                Weight::Misfit => TroubleKind::Misfit,
                Weight::Surplus => TroubleKind::Surplus,
            };
            let trouble = NewTrouble {
                kind,
                rail: self.rail,
                batch: Some(leg.batch),
                leg: Some(leg.leg),
                party: Some(party(leg)),
                source: self.source.to_owned(),
                text,
            };
            outcome.trouble_with(trouble, if kind == TroubleKind::Misfit { &aside } else { "" });
        }
        if verdict.to.is_none() && verdict.findings.is_empty() && !statements.is_empty() {
            outcome.known += 1;
        }
        verdict
    }
}

/// A batch, and where some of its legs stand.
type Stood = (Arc<BatchHead>, Vec<Stands>);

/// Who pays in by a leg, or is paid.
fn party(leg: &NamedLeg) -> PartyId {
    if leg.payee == PartyId::CLEARING { leg.payer } else { leg.payee }
}

fn moved(leg: &NamedLeg, step: Step) -> LegMove {
    let Step { to, reference, reason, .. } = step;
    let NamedLeg { leg, payer, payee, amount, .. } = *leg;
    LegMove { leg, to, payer, payee, amount, reference, reason }
}

impl Run {
    /// The leg with this name on a rail, whichever batch it is of.
    pub(super) fn named(&self, rail: Rail, name: &str) -> Result<Option<NamedLeg>, Stuck> {
        let found = names::load_leg(self.engine.tables(), rail, name);
        Ok(found.map_err(NotLoaded::from)?)
    }

    /// Digits after the point of the asset of a leg.
    pub(super) fn scale_of(&self, rail: Rail, name: &str) -> Result<Option<u32>, NotLoaded> {
        let found = names::load_leg(self.engine.tables(), rail, name)?;
        let control = self.engine.control();
        let entry = found.and_then(|leg| control.batch(leg.batch).ok());
        Ok(entry.map(|entry| entry.head.asset.scale))
    }

    /// The files of approved batches that an id may name: batch, number of the submission, places
    /// of its legs.
    fn files_named(&self, rail: Rail, id: &str) -> Vec<(BatchId, u32, Vec<u32>)> {
        let control = self.engine.control();
        let mut found = Vec::new();
        for named in sent(rail, id) {
            for entry in control.approved_named(&named.digits) {
                let submission = entry.legs.submissions().get(named.file as usize);
                if let Some(submission) = submission.filter(|_| entry.head.policy.rail == rail) {
                    found.push((entry.head.id, named.file, submission.legs().collect()));
                }
            }
        }
        found
    }

    /// Whether an id names a file of an approved batch.
    pub(super) fn is_file(&self, rail: Rail, id: &str) -> bool {
        let control = self.engine.control();
        let is_one = |named: Sent| {
            let mut entries = control.approved_named(&named.digits);
            entries.any(|entry| {
                let submissions = entry.legs.submissions();
                entry.head.policy.rail == rail && submissions.get(named.file as usize).is_some()
            })
        };
        sent(rail, id).into_iter().any(is_one)
    }

    /// Where these legs of a batch stand; `None` if there is no such batch.
    fn stand(&self, batch: BatchId, legs: &[u32]) -> Result<Option<Stood>, Stuck> {
        let head = self.engine.control().batch(batch).ok().map(|entry| entry.head.clone());
        let Some(head) = head else { return Ok(None) };
        let stands = self.with_facts(batch, legs, |of| {
            let one = |leg: &u32| {
                let submission = of.submission_of(*leg);
                Stands {
                    state: of.state(*leg),
                    facts: of.facts(*leg).cloned().unwrap_or_default(),
                    has_left: submission.is_some_and(|number| !self.held.holds(batch, number)),
                }
            };
            legs.iter().map(one).collect()
        })?;
        Ok(Some((head, stands)))
    }
}
