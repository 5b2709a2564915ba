//! What came of calls and look-ups: weighed, journaled together, and what the provider does not
//! know is sent again.
//!
//! Owns the way from answers to records. Asks the provider nothing.

use super::line::{Came, Done, Task};
use super::{CardDesk, LegState};
use crate::faults;
use crate::ledger::hearing::{Ground, Place, Side, Statement, Sum};
use crate::ledger::{BatchPlan, LegWord, TroubleKind, Voice};
use crate::limits::CALL_AGAIN_MAX;
use crate::rails::LegReport;
use crate::rails::card::{Answer, CallBytes, Found};
use crate::settle::settler::step::to;
use crate::settle::settler::word::Statements;
use crate::settle::settler::{Run, Stuck};
use crate::types::BatchId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One leg's call and what came of it; without an answer it was not made.
struct Called {
    leg: u32,
    call: Arc<CallBytes>,
    answer: Option<Answer>,
}

impl Run {
    /// Journals what has come of calls and look-ups of one batch, whether it is settling still or
    /// not, and sends what the provider does not know.
    pub(super) fn hear_calls(
        &mut self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        mut arrived: Vec<Done>,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        arrived.sort_unstable_by_key(|done| done.leg);
        let accepted: Vec<bool> = self.with_legs(batch, |legs| {
            arrived.iter().map(|done| legs.state(done.leg) == LegState::Accepted).collect()
        })?;
        let (mut called, mut absent) = (Vec::new(), Vec::new());
        for (Done { leg, call, came, .. }, is_accepted) in arrived.into_iter().zip(accepted) {
            let answer = match came {
                Came::Called(answer) | Came::Found(Found::Leg(answer)) => Some(answer),
                Came::Found(Found::Absent) if is_accepted => {
                    let reason = "the provider does not know a payment that it had accepted";
                    Some(Answer::Unknown { reason: reason.to_owned(), alarm: true })
                }
                Came::Found(Found::Absent) => {
                    absent.push((leg, call));
                    continue;
                }
                Came::Found(Found::Again { after, reason }) => {
                    Some(Answer::Later { after, reason })
                }
                Came::Found(Found::Halt { reason }) => Some(Answer::Halt { reason }),
                Came::NotMade => None,
            };
            called.push(Called { leg, call, answer });
        }
        faults::point(|| "submit-left");
        self.answered(desk, plan, called)?;
        if desk.rests { Ok(()) } else { self.send_again(desk, plan, absent) }
    }

    /// Journals what calls and look-ups led to.
    fn answered(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        called: Vec<Called>,
    ) -> Result<(), Stuck> {
        if called.is_empty() {
            return Ok(());
        }
        let batch = plan.content().head.id;
        let answers = called.iter().filter(|one| one.answer.is_some()).count();
        let of: Vec<u32> = called.iter().map(|one| one.leg).collect();
        let stand: Vec<(LegState, String)> = self.with_facts(batch, &of, |legs| {
            let known = |leg| legs.facts(leg).map_or("", |facts| &facts.reference).to_owned();
            called.iter().map(|one| (legs.state(one.leg), known(one.leg))).collect()
        })?;
        let (mut said, mut lost, mut troubles) = (Statements::new(), Vec::new(), Vec::new());
        let (mut asked, mut halt) = (Vec::new(), None);
        for (Called { leg, call, answer }, (state, known)) in called.into_iter().zip(stand) {
            let key = call.leg_key();
            let report = answer.as_ref().and_then(|answer| answer.report(key));
            if let Some(report) = report {
                if state.is_owed_again() && report.word == LegWord::Accepted {
                    let text = format!(
                        "leg {key} is {}, and the provider is still at work on it: it may yet be paid",
                        state.name()
                    );
                    troubles.push(self.trouble(plan, leg, TroubleKind::Contradiction, key, text));
                }
                let one = statement(plan, leg, &call, &known, report);
                said.insert(leg, (vec![one], format!("answer about {key}")));
            }
            asked.push(leg);
            if let Some(Answer::Unknown { reason, alarm: true }) = &answer {
                let text = format!("leg {key} is {}: {reason}", state.name());
                troubles.push(self.trouble(plan, leg, TroubleKind::Misfit, key, text));
            }
            if let Some(Answer::Halt { reason }) = &answer {
                halt = Some(reason.clone());
            }
            if let Some(reason) = open(answer).filter(|_| state == LegState::Sent) {
                lost.push(to(leg, LegState::Unknown, "", &reason));
            }
        }
        if halt.is_some() || answers > 0 {
            desk.halted = halt.map(|why| (Instant::now() + CALL_AGAIN_MAX, why));
        }
        self.raise(troubles)?;
        self.weigh(plan, &said)?;
        self.journal(plan, Voice::Engine, lost)?;
        self.forget_ended(desk, batch, &asked)?;
        faults::point(|| "answers-journaled");
        Ok(())
    }

    /// Of legs that have ended nobody asks.
    fn forget_ended(
        &self,
        desk: &mut CardDesk,
        batch: BatchId,
        asked: &[u32],
    ) -> Result<(), Stuck> {
        let due = desk.due.entry(batch).or_default();
        self.with_legs(batch, |legs| {
            let ended = asked.iter().filter(|leg| legs.state(**leg).has_ended());
            ended.for_each(|leg| due.forget(*leg));
        })
    }

    /// Sends what the provider was found not to know. The look-up took its time: what operators
    /// have said of a leg meanwhile stands. What leaves is what this record makes SENT, and nothing
    /// else: if one of its legs has moved at this very moment, it is refused whole, and none leaves
    /// before the next look-up.
    fn send_again(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        mut absent: Vec<(u32, Arc<CallBytes>)>,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        absent.sort_unstable_by_key(|(leg, _)| *leg);
        let places: Vec<u32> = absent.iter().map(|(leg, _)| *leg).collect();
        let again = self.with_legs(batch, |legs| legs.to_send_again(&places))?;
        if again.is_empty() {
            return Ok(());
        }
        absent.retain(|(leg, _)| again.binary_search(leg).is_ok());
        let sent = again.iter().map(|&leg| to(leg, LegState::Sent, "", "sent again"));
        self.journal(plan, Voice::Engine, sent.collect())?;
        absent.into_iter().for_each(|(leg, call)| desk.order(batch, leg, call, Task::Call));
        Ok(())
    }
}

/// Why a leg is open after this answer; nothing if the answer says where it stands.
fn open(answer: Option<Answer>) -> Option<String> {
    match answer {
        // Of an open one the client has had it given up, or says that it could not.
        Some(Answer::Unknown { reason, .. } | Answer::Open { reason, .. }) => Some(reason),
        Some(Answer::Later { reason, .. } | Answer::Halt { reason }) => {
            Some(format!("put off: {reason}"))
        }
        Some(
            Answer::Accepted { .. }
            | Answer::Confirmed { .. }
            | Answer::Rejected { .. }
            | Answer::Returned { .. },
        ) => None,
        None => Some("put off: it was not sent".to_owned()),
    }
}

/// How long the provider wants to be left alone about a leg.
pub(super) fn least(came: &Came) -> Duration {
    match came {
        Came::Called(Answer::Later { after, .. }) | Came::Found(Found::Again { after, .. }) => {
            *after
        }
        Came::Called(_) | Came::Found(_) | Came::NotMade => Duration::ZERO,
    }
}

/// An answer as a statement about its leg. It was compared with the call when it was read.
fn statement(
    plan: &BatchPlan,
    leg: u32,
    call: &CallBytes,
    known: &str,
    report: LegReport,
) -> Statement {
    let payment = plan.content().legs[leg as usize].payment;
    let LegReport { word, reference, reason, .. } = report;
    // A payout that failed after it was paid has come back; so has what was given back.
    let is_back = word == LegWord::Rejected && call.is_payout();
    let (word, ground) = match word {
        LegWord::Rejected if is_back => (LegWord::Returned, Ground::Money),
        LegWord::Confirmed | LegWord::Returned => (word, Ground::Money),
        LegWord::Accepted | LegWord::Rejected => (word, Ground::Report),
    };
    let is_other = !known.is_empty() && !reference.is_empty() && known != reference;
    Statement {
        word,
        ground,
        is_duplicate: false,
        side: if payment.is_pay_in() { Side::In } else { Side::Out },
        sum: Sum::Units(payment.amount),
        place: if is_other { Place::Other(reference.clone()) } else { Place::Ours },
        reference,
        apart: 0,
        reason,
    }
}
