//! The rail `card`: one call a leg. The bytes of a chunk of calls are durable and journaled, then all of
//! them are made, then what came of them is journaled. **SENT means that the call is being made**: what came
//! back without an end, put off or lost, is UNKNOWN, and is looked up; what the provider does not know is
//! journaled as SENT anew and sent with the same bytes, until the provider says what became of it.

use super::step::to;
use super::word::Statements;
use super::{Run, Stuck};
use crate::faults;
use crate::journal::kept::{self, CallsOf};
use crate::ledger::event::LegsSubmitted;
use crate::ledger::hearing::{Ground, Place, Side, Statement, Sum};
use crate::ledger::{BatchPlan, Event, LegState, LegWord, Legs, Mover, Rail, TroubleKind, runs};
use crate::limits::{CALL_AGAIN_MAX, CALL_AGAIN_MIN, CALL_LEGS_MAX};
use crate::rails::LegReport;
use crate::rails::card::{self, Answer, CallBytes, Client, Found};
use crate::settle::doubts;
use crate::types::{BatchId, Digest, FileHasher, PartyId, Timestamp};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
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
    /// Whose payments each open trouble puts in doubt.
    doubted: BTreeMap<u64, Option<PartyId>>,
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
        Self { client, threads, again: HashMap::new(), halted: None, doubted: BTreeMap::new() }
    }

    /// The secret with which the provider signs webhooks.
    #[must_use]
    pub fn webhook_secret(&self) -> card::Secret {
        self.client.config().webhook_secret.clone()
    }

    /// Sends calls side by side, those that may leave when their turn has come; the answers come in the order
    /// of the calls.
    fn send(
        &self,
        calls: &[(u32, Arc<CallBytes>)],
        may_leave: impl Fn(u32) -> bool + Sync,
    ) -> Vec<Called> {
        let answers = self.each(calls, |leg, call| may_leave(leg).then(|| self.client.send(call)));
        let made = answers.into_iter().zip(calls);
        made.filter_map(|(answer, (leg, call))| {
            answer.map(|answer| Called { leg: *leg, call: call.clone(), answer })
        })
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

    /// How the provider is reached.
    pub(super) fn config(&self) -> &card::CardConfig {
        self.client.config()
    }

    /// Has a leg asked for at the next turn.
    pub(super) fn ask_soon(&mut self, of: (BatchId, u32)) {
        self.again.remove(&of);
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
        let (ready, waits) = self.without_doubted(desk, plan, ready)?;
        // One chunk a turn: a stop, webhooks and other batches wait for no more than its slowest call.
        if let Some(some) = ready.chunks(CALL_LEGS_MAX).next() {
            desk.may_call()?;
            self.submit_calls(desk, plan, some)?;
            self.more |= ready.len() > some.len();
        }
        waits.map_or(Ok(()), |why| Err(Stuck::Other(why)))
    }

    /// Those of these legs whose party nothing is in doubt of, and why the others wait.
    fn without_doubted(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        ready: &[u32],
    ) -> Result<(Vec<u32>, Option<String>), Stuck> {
        let open = doubts::open(&self.intake, Rail::Card);
        desk.doubted.retain(|number, _| open.iter().any(|(of, ..)| of == number));
        for (number, batch, leg) in open {
            if let Entry::Vacant(place) = desk.doubted.entry(number) {
                place.insert(doubts::party(&self.intake, &self.archive, batch, leg)?);
            }
        }
        let doubt = |leg: u32| {
            let payment = plan.content().legs[leg as usize].payment;
            let own = |party: &PartyId| *party == payment.from || *party == payment.to;
            desk.doubted.iter().find(|(_, party)| party.as_ref().is_some_and(own))
        };
        let (kept, waits): (Vec<u32>, Vec<u32>) =
            ready.iter().partition(|leg| doubt(**leg).is_none());
        let why = waits.first().and_then(|leg| doubt(*leg)).map(|(number, _)| {
            format!(
                "{} legs wait: what became of an earlier payment of their party is in doubt; look into \
                 trouble {number}, and take it away when it is settled",
                waits.len()
            )
        });
        Ok((kept, why))
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
        self.send_calls(desk, plan, &calls)
    }

    /// Makes calls that are journaled as SENT. Nobody but the settler moves a leg that stands there, and it
    /// is looked at once more before each call: a chunk takes its time.
    fn send_calls(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        calls: &[(u32, Arc<CallBytes>)],
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let is_sent = |leg| self.state(batch, leg).is_ok_and(|state| state == LegState::Sent);
        let called = desk.send(calls, is_sent);
        faults::point(|| "submit-left");
        self.answered(desk, plan, called)
    }

    /// Journals what calls and look-ups led to.
    fn answered(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        called: Vec<Called>,
    ) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let (legs, _) = self.legs(batch)?;
        let (mut said, mut lost, mut troubles) = (Statements::new(), Vec::new(), Vec::new());
        let (mut waits, mut halt) = (Vec::new(), None);
        for Called { leg, call, answer } in called {
            let (state, key) = (legs.state(leg), call.leg_key());
            if let Some(report) = answer.report(key) {
                if state.is_owed_again() && report.word == LegWord::Accepted {
                    let text = format!(
                        "leg {key} is {}, and the provider is still at work on it: it may yet be paid",
                        state.name()
                    );
                    troubles.push(self.trouble(plan, leg, TroubleKind::Contradiction, key, text));
                }
                let known = legs.facts(leg).map_or("", |facts| &facts.reference);
                let one = statement(plan, leg, &call, known, report);
                said.insert(leg, (vec![one], format!("answer about {key}")));
            }
            let (open, least) = match answer {
                Answer::Unknown { reason, alarm } => {
                    if alarm {
                        let text = format!("leg {key} is {}: {reason}", state.name());
                        troubles.push(self.trouble(plan, leg, TroubleKind::Misfit, key, text));
                    }
                    (Some(reason), Duration::ZERO)
                }
                Answer::Later { after, reason } => (Some(format!("put off: {reason}")), after),
                Answer::Halt { reason } => {
                    halt = Some(reason.clone());
                    (Some(format!("put off: {reason}")), Duration::ZERO)
                }
                // The client has it given up, or says that it could not.
                Answer::Open { reason, .. } => (Some(reason), Duration::ZERO),
                Answer::Accepted { .. }
                | Answer::Confirmed { .. }
                | Answer::Rejected { .. }
                | Answer::Returned { .. } => (None, Duration::ZERO),
            };
            if let Some(reason) = open.filter(|_| state == LegState::Sent) {
                lost.push(to(plan, leg, LegState::Unknown, "", &reason));
            }
            waits.push((leg, least));
        }
        desk.halted = halt.map(|why| (Instant::now() + CALL_AGAIN_MAX, why));
        self.raise(troubles)?;
        self.weigh(plan, &said)?;
        self.journal(plan, Mover::Engine, lost)?;
        for (leg, least) in waits {
            if self.state(batch, leg)?.has_ended() {
                desk.again.remove(&(batch, leg));
            } else {
                desk.later((batch, leg), least);
            }
        }
        faults::point(|| "answers-journaled");
        Ok(())
    }

    /// Finds out about legs that are under way and due, a chunk of them. Whether there may be more.
    fn ask_again(&self, desk: &mut CardDesk, plan: &BatchPlan) -> Result<bool, Stuck> {
        let batch = plan.content().head.id;
        let (legs, _) = self.legs(batch)?;
        let now = Instant::now();
        let mut due: Vec<(u32, Arc<CallBytes>)> = Vec::new();
        let mut first_sent: HashMap<u32, Timestamp> = HashMap::new();
        let mut lost = Vec::new();
        for (number, submission) in (0..).zip(legs.submissions()) {
            let of = CallsOf { batch, submission: number, attempt: 0 };
            for (piece, leg) in (0..).zip(submission.legs()) {
                if due.len() == CALL_LEGS_MAX {
                    break;
                }
                let state = legs.state(leg);
                if !state.is_in_flight() || !desk.is_due((batch, leg), now) {
                    continue;
                }
                // Its call was made, and what came of it could not be journaled.
                if state == LegState::Sent {
                    let why = "what came of the call is not known";
                    lost.push(to(plan, leg, LegState::Unknown, "", why));
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
        self.journal(plan, Mover::Engine, lost)?;
        let more = due.len() == CALL_LEGS_MAX;
        desk.may_call()?;
        let absent = self.look_up(desk, plan, &legs, due, &first_sent)?;
        self.send_again(desk, plan, absent)?;
        Ok(more)
    }

    /// Sends what the provider was found not to know. The look-up took its time: what operators have said of a
    /// leg meanwhile stands. What leaves is what this record makes SENT, and nothing else: if one of its legs
    /// has moved at this very moment, it is refused whole, and none leaves before the next look-up.
    fn send_again(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        mut absent: Vec<(u32, Arc<CallBytes>)>,
    ) -> Result<(), Stuck> {
        let (legs, _) = self.legs(plan.content().head.id)?;
        let places: Vec<u32> = absent.iter().map(|(leg, _)| *leg).collect();
        let again = legs.to_send_again(&places);
        if again.is_empty() {
            return Ok(());
        }
        absent.retain(|(leg, _)| again.binary_search(leg).is_ok());
        let sent = again.iter().map(|&leg| to(plan, leg, LegState::Sent, "", "sent again"));
        self.journal(plan, Mover::Engine, sent.collect())?;
        self.send_calls(desk, plan, &absent)
    }

    /// Looks up what may have been executed; gives what the provider does not know, ordered by leg.
    fn look_up(
        &self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        legs: &Legs,
        ask: Vec<(u32, Arc<CallBytes>)>,
        first_sent: &HashMap<u32, Timestamp>,
    ) -> Result<Vec<(u32, Arc<CallBytes>)>, Stuck> {
        let found = desk.each(&ask, |leg, call| {
            let reference = legs.facts(leg).map_or("", |facts| &facts.reference);
            desk.client.lookup(call, reference, first_sent[&leg])
        });
        let (mut answered, mut absent) = (Vec::new(), Vec::new());
        for (found, (leg, call)) in found.into_iter().zip(ask) {
            let answer = match found {
                Found::Leg(answer) => answer,
                Found::Absent if legs.state(leg) != LegState::Accepted => {
                    absent.push((leg, call));
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
        absent.sort_unstable_by_key(|(leg, _)| *leg);
        Ok(absent)
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
