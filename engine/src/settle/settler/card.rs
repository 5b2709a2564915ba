//! The rail `card`: one call a leg. The bytes of a chunk of calls are durable and journaled, then all of
//! them are made, then what came of them is journaled. Whatever may have been executed is UNKNOWN, and is
//! looked up, or sent again with the same bytes, until the provider says what became of it.

use super::answers::Outcome;
use super::step::to;
use super::{Run, Stuck};
use crate::faults;
use crate::journal::kept::{self, CallsOf};
use crate::ledger::event::LegsSubmitted;
use crate::ledger::{BatchPlan, Event, Heard, LegMove, LegState, Legs, Mover, Rail, runs};
use crate::limits::{CALL_AGAIN_MAX, CALL_AGAIN_MIN, CALL_LEGS_MAX, MOVES_MAX};
use crate::rails::LegReport;
use crate::rails::card::{self, Answer, CallBytes, Client, Found};
use crate::types::{BatchId, Digest, FileHasher, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How the provider is reached, and what is under way there.
pub struct CardDesk {
    client: Client,
    /// Calls that are made side by side.
    threads: usize,
    /// When each leg that has not ended is asked for next, and after which wait.
    again: HashMap<(BatchId, u32), Again>,
    /// No call is made before: the provider refuses our key or URL.
    halted: Option<(Instant, String)>,
}

#[derive(Clone, Copy)]
struct Again {
    at: Instant,
    wait: Duration,
}

/// One leg's call and what came of it.
struct Called {
    leg: u32,
    call: Arc<CallBytes>,
    answer: Answer,
}

impl CardDesk {
    /// A desk that makes up to `threads` calls side by side.
    #[must_use]
    pub fn new(client: Client, threads: usize) -> Self {
        Self { client, threads, again: HashMap::new(), halted: None }
    }

    /// The secret with which the provider signs webhooks.
    #[must_use]
    pub fn webhook_secret(&self) -> card::Secret {
        self.client.config().webhook_secret.clone()
    }

    /// Sends calls side by side; the answers come in the order of the calls.
    fn send(&self, calls: &[(u32, Arc<CallBytes>)]) -> Vec<Called> {
        self.each(calls, |_, call| self.client.send(call))
            .into_iter()
            .zip(calls)
            .map(|(answer, (leg, call))| Called { leg: *leg, call: call.clone(), answer })
            .collect()
    }

    fn each<T: Send>(
        &self,
        calls: &[(u32, Arc<CallBytes>)],
        ask: impl Fn(u32, &CallBytes) -> T + Sync,
    ) -> Vec<T> {
        let answers: Mutex<Vec<(usize, T)>> = Mutex::default();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.min(calls.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some((leg, call)) = calls.get(at) else { return };
                        let answer = ask(*leg, call);
                        answers.lock().unwrap_or_else(PoisonError::into_inner).push((at, answer));
                    }
                });
            }
        });
        let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        answers.sort_unstable_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn later(&mut self, of: (BatchId, u32), least: Duration) {
        let wait = self.again.get(&of).map_or(CALL_AGAIN_MIN, |again| again.wait * 2);
        let wait = wait.clamp(CALL_AGAIN_MIN, CALL_AGAIN_MAX);
        self.again.insert(of, Again { at: Instant::now() + wait.max(least), wait });
    }

    fn is_due(&self, of: (BatchId, u32), now: Instant) -> bool {
        self.again.get(&of).is_none_or(|again| again.at <= now)
    }

    /// Whether calls may be made now.
    fn may_call(&self) -> Result<(), Stuck> {
        match &self.halted {
            Some((until, why)) if Instant::now() < *until => {
                Err(Stuck::Other(format!("the provider refuses all calls: {why}")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Run {
    /// What a batch on this rail needs: legs that are READY leave, and those under way are asked for.
    pub(super) fn step_card(
        &mut self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        ready: &[u32],
    ) -> Result<(), Stuck> {
        self.more |= self.ask_again(desk, plan)?;
        // One chunk a turn: a stop, webhooks and other batches wait for no more than its slowest call.
        if let Some(some) = ready.chunks(CALL_LEGS_MAX).next() {
            desk.may_call()?;
            self.submit_calls(desk, plan, some)?;
            self.more |= ready.len() > some.len();
        }
        Ok(())
    }

    fn submit_calls(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        legs: &[u32],
    ) -> Result<(), Stuck> {
        let content = plan.content();
        let batch = content.head.id;
        let version = &desk.client.config().api_version;
        let (mut calls, mut cannot) = (Vec::new(), Vec::new());
        for &leg in legs {
            match card::request(&content.legs[leg as usize], content, version) {
                Ok(call) => calls.push((leg, Arc::new(call))),
                Err(why) => {
                    cannot.push(to(plan, leg, LegState::Rejected, "", &why.to_string()));
                }
            }
        }
        if !cannot.is_empty() {
            self.move_legs(plan, Mover::Engine, Digest::ZERO, cannot)?;
        }
        if calls.is_empty() {
            return Ok(());
        }
        let (held, _) = self.legs(batch)?;
        let number = u32::try_from(held.submissions().len()).expect("limited by legs");
        let of = CallsOf { batch, submission: number, attempt: 0 };
        let store = &**self.intake.store();
        let bytes = || calls.iter().map(|(_, call)| call.as_bytes());
        kept::put_calls(store, of, bytes()).map_err(super::super::archive::NotLoaded::from)?;
        let mut hasher = FileHasher::default();
        bytes().for_each(|bytes| hasher.update(bytes));
        let length = bytes().map(<[u8]>::len).sum::<usize>();
        let legs: Vec<u32> = calls.iter().map(|(leg, _)| *leg).collect();
        faults::point(|| "submit-staged");
        self.record(Event::LegsSubmitted(LegsSubmitted {
            batch,
            submission: number,
            attempt: 0,
            paid_out: plan.paid_out(&legs),
            legs: runs(legs.into_iter()),
            digest: hasher.finish(),
            bytes: u64::try_from(length).expect("a length fits 64 bits"),
            name: format!("{} calls", calls.len()),
        }))?;
        faults::point(|| "submit-journaled");
        let called = desk.send(&calls);
        faults::point(|| "submit-left");
        self.answered(desk, plan, called)
    }

    /// Journals what calls led to.
    fn answered(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        called: Vec<Called>,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let (legs, _) = self.legs(batch)?;
        let (mut said, mut lost) = (Vec::new(), Vec::new());
        let mut halt = None;
        for Called { leg, call, answer } in called {
            let state = legs.state(leg);
            if let Some(report) = answer.report(call.leg_key())
                && let Heard::Move(state) = state.hear(report.word)
            {
                said.push(to(plan, leg, state, &report.reference, &report.reason));
                if state.has_ended() {
                    desk.again.remove(&(batch, leg));
                    continue;
                }
            }
            let mut least = Duration::ZERO;
            match answer {
                Answer::Unknown { reason, alarm } => {
                    if alarm {
                        tracing::error!(%batch, key = call.leg_key(), "a person must look: {reason}");
                    }
                    if state == LegState::Sent {
                        lost.push(to(plan, leg, LegState::Unknown, "", &reason));
                    }
                }
                Answer::Later { after, .. } => least = after,
                Answer::Halt { reason } => halt = Some(reason),
                Answer::Accepted { .. }
                | Answer::Confirmed { .. }
                | Answer::Rejected { .. }
                | Answer::Returned { .. } => {}
            }
            desk.later((batch, leg), least);
        }
        desk.halted = halt.map(|why| (Instant::now() + CALL_AGAIN_MAX, why));
        self.journal(plan, Mover::Rail, said)?;
        self.journal(plan, Mover::Engine, lost)?;
        faults::point(|| "answers-journaled");
        Ok(())
    }

    fn journal(
        &self,
        plan: &BatchPlan,
        mover: Mover,
        mut moves: Vec<LegMove>,
    ) -> Result<(), Stuck> {
        moves.sort_unstable_by_key(|one| one.leg);
        for some in moves.chunks(MOVES_MAX) {
            self.move_legs(plan, mover, Digest::ZERO, some.to_vec())?;
        }
        Ok(())
    }

    /// Finds out about legs that are under way and due, a chunk of them. Whether there may be more.
    fn ask_again(&self, desk: &mut CardDesk, plan: &BatchPlan) -> Result<bool, Stuck> {
        let batch = plan.content().head.id;
        let (legs, _) = self.legs(batch)?;
        let now = Instant::now();
        let mut due: Vec<(u32, Arc<CallBytes>)> = Vec::new();
        let mut first_sent: HashMap<u32, Timestamp> = HashMap::new();
        for (number, submission) in (0..).zip(legs.submissions()) {
            let of = CallsOf { batch, submission: number, attempt: 0 };
            for (piece, leg) in (0..).zip(submission.legs()) {
                if due.len() == CALL_LEGS_MAX {
                    break;
                }
                if !legs.state(leg).is_in_flight() || !desk.is_due((batch, leg), now) {
                    continue;
                }
                let bytes = kept::load_call(&**self.intake.store(), of, piece);
                let bytes = bytes.map_err(super::super::archive::NotLoaded::from)?;
                let call = CallBytes::from_bytes(bytes);
                let call = call.map_err(|error| Stuck::Other(error.to_string()))?;
                due.push((leg, Arc::new(call)));
                first_sent.insert(leg, submission.newest().at);
            }
        }
        if due.is_empty() {
            return Ok(false);
        }
        let more = due.len() == CALL_LEGS_MAX;
        desk.may_call()?;
        let resend = self.look_up(desk, plan, &legs, due, &first_sent)?;
        if resend.is_empty() {
            return Ok(more);
        }
        // UNKNOWN legs that the provider has never seen, or whose key it still holds: SENT once more.
        let (legs, _) = self.legs(batch)?;
        let unknown = resend.iter().filter(|(leg, _)| legs.state(*leg) == LegState::Unknown);
        let sent = unknown.map(|(leg, _)| to(plan, *leg, LegState::Sent, "", "sent again"));
        self.journal(plan, Mover::Engine, sent.collect())?;
        let called = desk.send(&resend);
        self.answered(desk, plan, called)?;
        Ok(more)
    }

    /// Looks up what may have been executed; gives what is to be sent again.
    fn look_up(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        legs: &Legs,
        due: Vec<(u32, Arc<CallBytes>)>,
        first_sent: &HashMap<u32, Timestamp>,
    ) -> Result<Vec<(u32, Arc<CallBytes>)>, Stuck> {
        let batch = plan.content().head.id;
        let (mut resend, mut ask) = (Vec::new(), Vec::new());
        for (leg, call) in due {
            // SENT means here that an attempt was put off and provably not executed.
            if legs.state(leg) == LegState::Sent {
                resend.push((leg, call));
            } else {
                ask.push((leg, call));
            }
        }
        let found = desk.each(&ask, |leg, call| {
            let reference = legs.facts(leg).map_or("", |facts| &facts.reference);
            desk.client.lookup(call, reference, first_sent[&leg])
        });
        let mut answered = Vec::new();
        for (found, (leg, call)) in found.into_iter().zip(ask) {
            let answer = match found {
                Found::Leg(answer) => answer,
                Found::Absent if legs.state(leg) == LegState::Unknown => {
                    resend.push((leg, call));
                    continue;
                }
                Found::Absent => {
                    let reason = "the provider does not know a payment that it had accepted";
                    Answer::Unknown { reason: reason.to_owned(), alarm: true }
                }
                Found::Again { after, reason } => Answer::Later { after, reason },
                Found::Halt { reason } => Answer::Halt { reason },
            };
            answered.push(Called { leg, call, answer });
        }
        self.answered(desk, plan, answered)?;
        resend.retain(|(leg, _)| desk.is_due((batch, *leg), Instant::now()));
        resend.sort_unstable_by_key(|(leg, _)| *leg);
        Ok(resend)
    }

    /// Legs that are SENT when the engine starts: nobody heard what became of them.
    pub(super) fn lost_at_start(&mut self) -> Result<(), Stuck> {
        let batches = self.intake.control().settling_batches();
        for batch in batches {
            let (legs, rail) = self.legs(batch)?;
            if rail != Rail::Card || legs.count(LegState::Sent) == 0 {
                continue;
            }
            let plan = self.plan(batch)?;
            let sent = (0..).zip(legs.states()).filter(|(_, state)| **state == LegState::Sent);
            let why = "the engine stopped before an answer came";
            let lost = sent.map(|(leg, _)| to(&plan, leg, LegState::Unknown, "", why));
            self.journal(&plan, Mover::Engine, lost.collect())?;
        }
        Ok(())
    }

    /// What a webhook says of a leg, by its key or by the provider's reference.
    pub(super) fn hear_card(&mut self, report: card::Report) -> Result<Outcome, Stuck> {
        let mut outcome = Outcome::default();
        for plan in self.plans_on(Rail::Card)? {
            let (legs, _) = self.legs(plan.content().head.id)?;
            let by_reference = || legs.by_reference(&report.key);
            let Some(leg) = plan.leg(&report.key).or_else(by_reference) else { continue };
            let report: LegReport = report.clone().in_asset(&plan.content().head.asset);
            let said = std::iter::once((leg, report)).collect();
            self.hear_batch(&plan, &said, Digest::ZERO, &mut outcome)?;
            return Ok(outcome);
        }
        outcome.note(format!("a webhook speaks of {}, which is no leg", report.key));
        Ok(outcome)
    }
}
