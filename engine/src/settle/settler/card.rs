//! The rail `card`: one call a leg. The bytes of a chunk of calls are durable and journaled, then
//! they are made, then what came of them is journaled. **SENT means that the call is being made**:
//! what came back without an end, put off or lost, is UNKNOWN, and is looked up; what the provider
//! does not know is journaled as SENT anew and sent with the same bytes, until the provider says
//! what became of it.
//!
//! Owns what is journaled of calls and when. Waits for none: the line makes them, on threads of its
//! own, and what has come of them by now is journaled together.

mod due;
mod hear;
mod hooks;
mod line;
mod mail;

use super::desk::{Desk, Ready};
use super::step::{Bytes, to};
use super::{Run, Stuck};
use crate::faults;
use crate::journal::kept::{self, CallsOf};
use crate::ledger::{BatchPlan, Home, LegState, Legs, Rail, Voice};
use crate::limits::{CALL_LEGS_MAX, CALLS_GATHERED, CALLS_STOP_MAX, CALLS_UNDER_WAY_MAX};
use crate::rails::card::{self, CallBytes, Client};
use crate::settle::archive::NotLoaded;
use crate::settle::engine::Engine;
use crate::types::{BatchId, FileHasher, PartyId};
use crate::vault::parties_of;
use crossbeam::channel::{Receiver, Select, never};
use due::Due;
use line::{Done, Line, Order, Task};
pub use mail::Mailbox;
use mail::{Letter, Read, mailbox};
use std::collections::{BTreeMap, HashMap, hash_map};
use std::sync::Arc;
use std::time::Instant;

/// How the provider is reached, and what is under way there.
pub struct CardDesk {
    client: Arc<Client>,
    /// Calls that are made side by side.
    threads: usize,
    line: Option<Line>,
    /// What the provider says by itself.
    letters: Receiver<Letter>,
    /// Where it says it.
    mailbox: Mailbox,
    /// What the line has done, and is not journaled.
    arrived: Vec<Done>,
    /// When the legs under way are asked for next.
    due: HashMap<BatchId, Due>,
    /// No call is made before: the provider refuses our key or URL.
    halted: Option<(Instant, String)>,
    /// The engine stops: nothing leaves any more.
    rests: bool,
}

/// A leg that is due, as the ledger has it.
struct Open {
    leg: u32,
    state: LegState,
    home: Option<Home>,
    reference: String,
}

impl CardDesk {
    /// A desk that makes up to `threads` calls side by side.
    #[must_use]
    pub fn new(client: Client, threads: usize) -> Self {
        let (mailbox, letters) = mailbox();
        Self {
            client: Arc::new(client),
            threads,
            line: None,
            letters,
            mailbox,
            arrived: Vec::new(),
            due: HashMap::new(),
            halted: None,
            rests: false,
        }
    }

    /// The secret with which the provider signs webhooks.
    #[must_use]
    pub fn webhook_secret(&self) -> card::Secret {
        self.client.config().webhook_secret.clone()
    }

    /// Where webhooks are handed in.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    fn line(&mut self) -> &mut Line {
        self.line.as_mut().expect("the settler has started it")
    }

    /// Where the line says what it has done.
    fn done(&self) -> Receiver<Done> {
        self.line.as_ref().map_or_else(never, |line| line.done().clone())
    }

    /// Takes what the line has done, and what it does in the next moment, as long as there is more
    /// under way: one record of many is cheaper than many of one.
    fn gather(&mut self, first: Done) {
        let until = Instant::now() + CALLS_GATHERED;
        let mut next = Some(first);
        while let Some(done) = next {
            self.line().take(&done);
            self.arrived.push(done);
            let full = self.line().under_way() == (0, 0) || self.arrived.len() >= CALL_LEGS_MAX;
            next = if full { None } else { self.done().recv_deadline(until).ok() };
        }
    }

    /// What has arrived, by batch.
    fn take_arrived(&mut self) -> BTreeMap<BatchId, Vec<Done>> {
        let mut all: BTreeMap<BatchId, Vec<Done>> = BTreeMap::new();
        let now = Instant::now();
        for done in std::mem::take(&mut self.arrived) {
            // Whatever becomes of it: the leg is asked for later, until it is seen to have ended.
            let due = self.due.entry(done.batch).or_default();
            due.later(done.leg, now, hear::least(&done.came));
            all.entry(done.batch).or_default().push(done);
        }
        all
    }

    fn order(&mut self, batch: BatchId, leg: u32, call: Arc<CallBytes>, task: Task) {
        self.due.entry(batch).or_default().begin(leg);
        self.line().order(Order { batch, leg, call, task });
    }

    /// How the provider is reached.
    fn config(&self) -> &card::CardConfig {
        self.client.config()
    }

    /// Has a leg asked for at the next turn, if it is under way.
    fn ask_soon(&mut self, (batch, leg): (BatchId, u32)) {
        if let Some(due) = self.due.get_mut(&batch) {
            due.soon(leg, Instant::now());
        }
    }

    /// Whether calls may be made now.
    fn may_call(&mut self) -> Result<(), Stuck> {
        match &self.halted {
            Some((until, why)) if Instant::now() < *until => {
                Err(Stuck::Other(format!("the provider refuses all calls: {why}")))
            }
            Some(_) | None => {
                self.line().allow(true);
                Ok(())
            }
        }
    }
}

impl Desk for CardDesk {
    fn at_start(&mut self, engine: &Engine) {
        self.line = Some(Line::start(&self.client, self.threads, engine.intake().held_control()));
    }

    fn watch<'a>(&'a self, select: &mut Select<'a>) {
        select.recv(&self.letters);
        if let Some(line) = &self.line {
            select.recv(line.done());
        }
    }

    fn arrived(&mut self, run: &mut Run) {
        if let Ok(done) = self.done().try_recv() {
            self.gather(done);
        }
        self.read_letters(run);
    }

    fn hear(&mut self, run: &mut Run) -> Result<(), Stuck> {
        let mut heard = Ok(());
        for (batch, arrived) in self.take_arrived() {
            let done = run.plan(batch).and_then(|plan| run.hear_calls(self, &plan, arrived));
            let storage = matches!(done, Err(Stuck::NotLoaded(NotLoaded::Storage(_))));
            match done {
                Ok(()) => {}
                Err(stuck) if storage || stuck.is_stop() => heard = Err(stuck),
                Err(stuck) => {
                    run.unheard.insert(batch, stuck.to_string());
                }
            }
        }
        heard
    }

    fn step(&mut self, run: &mut Run, plan: &BatchPlan, ready: Ready) -> Result<(), Stuck> {
        let Ready { pay_ins, pay_outs } = ready;
        let ready: Vec<u32> = pay_ins.into_iter().chain(pay_outs).collect();
        run.step_card(self, plan, &ready)
    }

    fn asks(&self) -> bool {
        true
    }

    /// Forgets what is no longer settling, and has nothing under way.
    fn retain(&mut self, batches: &[BatchId]) {
        let line = self.line.as_ref();
        self.due.retain(|batch, _| {
            batches.contains(batch) || line.is_some_and(|line| line.is_at(*batch))
        });
    }

    /// Asks nothing more, and waits a while for what is being asked.
    fn at_stop(&mut self) {
        let until = Instant::now() + CALLS_STOP_MAX;
        self.line().allow(false);
        self.rests = true;
        while self.line().under_way() != (0, 0) {
            let Ok(done) = self.done().recv_deadline(until) else { return };
            self.line().take(&done);
            self.arrived.push(done);
        }
    }
}

impl Run {
    /// What a batch on this rail needs, without waiting for the provider: legs under way that are
    /// due are asked for, and legs that are READY leave, as far as there is room.
    fn step_card(
        &mut self,
        desk: &mut CardDesk,
        plan: &BatchPlan,
        ready: &[u32],
    ) -> Result<(), Stuck> {
        self.ask_due(desk, plan)?;
        let (ready, waits) = self.without_doubted(plan, ready);
        let (calls, looks) = desk.line().under_way();
        let room = (CALLS_UNDER_WAY_MAX - calls - looks).min(CALL_LEGS_MAX.saturating_sub(calls));
        // Not for a few: each chunk costs two writes to disk.
        let few = calls > CALL_LEGS_MAX / 2;
        if room > 0 && !few && !ready.is_empty() {
            desk.may_call()?;
            let mut some: Vec<u32> = ready.iter().copied().take(room).collect();
            some.sort_unstable();
            self.submit_calls(desk, plan, &some)?;
            // Those that cannot be called have made room for others.
            self.more |= ready.len() > some.len() && desk.line().under_way() == (calls, looks);
        }
        waits.map_or(Ok(()), |why| Err(Stuck::Other(why)))
    }

    /// Those of these legs whose party nothing is in doubt of, and why the others wait.
    fn without_doubted(&self, plan: &BatchPlan, ready: &[u32]) -> (Vec<u32>, Option<String>) {
        let doubted: BTreeMap<PartyId, u64> = {
            let control = self.engine.control();
            control.doubted(Rail::Card).map(|(number, party)| (party, number)).collect()
        };
        let doubt = |leg: u32| {
            let payment = plan.content().legs[leg as usize].payment;
            let of = doubted.get(&payment.from).or_else(|| doubted.get(&payment.to));
            of.copied()
        };
        let (kept, waits): (Vec<u32>, Vec<u32>) =
            ready.iter().partition(|leg| doubt(**leg).is_none());
        let why = waits.first().and_then(|leg| doubt(*leg)).map(|number| {
            format!(
                "{} wait{}: what became of an earlier payment of their party is in doubt; look into \
                 trouble {number}, and take it away when it is settled",
                if waits.len() == 1 { "1 leg".to_owned() } else { format!("{} legs", waits.len()) },
                if waits.len() == 1 { "s" } else { "" }
            )
        });
        (kept, why)
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
        let vault = self.engine.vault();
        let open = vault.open_legs(content, legs).map_err(NotLoaded::from)?;
        let (mut calls, mut cannot) = (Vec::new(), Vec::new());
        for &leg in legs {
            match card::request(&content.legs[leg as usize], &open, version) {
                Ok(call) => calls.push((leg, Arc::new(call))),
                Err(why) => {
                    cannot.push(to(leg, LegState::Rejected, "", &why.to_string()));
                }
            }
        }
        if !cannot.is_empty() {
            self.move_legs(plan, Voice::Engine, cannot)?;
        }
        if calls.is_empty() {
            return Ok(());
        }
        let number = self.with_legs(batch, |legs| legs.submissions().len())?;
        let number = u32::try_from(number).expect("limited by legs");
        let of = CallsOf { batch, submission: number, attempt: 0 };
        let tables = self.engine.tables();
        let bytes = || calls.iter().map(|(_, call)| call.as_bytes());
        let mut sealed = Vec::new();
        for (piece, (leg, call)) in (0..).zip(&calls) {
            let parties = parties_of([content.legs[*leg as usize].payment].into_iter());
            let call = vault.seal_call(of, piece, &parties, call.as_bytes());
            sealed.push(call.map_err(NotLoaded::from)?);
        }
        let sealed = sealed.iter().map(Vec::as_slice);
        kept::put_calls(tables, of, sealed).map_err(NotLoaded::from)?;
        let mut hasher = FileHasher::default();
        bytes().for_each(|bytes| hasher.update(bytes));
        let length = bytes().map(<[u8]>::len).sum::<usize>();
        let legs: Vec<u32> = calls.iter().map(|(leg, _)| *leg).collect();
        faults::point(|| "submit-staged");
        // Should anything go wrong from here on, they are looked up.
        let (due, now) = (desk.due.entry(batch).or_default(), Instant::now());
        legs.iter().for_each(|leg| due.watch(*leg, now));
        let length = u64::try_from(length).expect("a length fits 64 bits");
        let (digest, name) = (hasher.finish(), format!("{} calls", calls.len()));
        self.leave(plan, (number, 0), &legs, Bytes { digest, length, name })?;
        faults::point(|| "submit-journaled");
        calls.into_iter().for_each(|(leg, call)| desk.order(batch, leg, call, Task::Call));
        Ok(())
    }

    /// Has legs that are under way and due looked up, as far as there is room.
    fn ask_due(&self, desk: &mut CardDesk, plan: &BatchPlan) -> Result<(), Stuck> {
        let batch = plan.content().head.id;
        let (now, (calls, looks)) = (Instant::now(), desk.line().under_way());
        let room = CALLS_UNDER_WAY_MAX - calls - looks;
        let room = room.min(CALL_LEGS_MAX.saturating_sub(looks));
        if let hash_map::Entry::Vacant(place) = desk.due.entry(batch) {
            // The first look since the start: of what is under way nothing is known.
            let due = place.insert(Due::default());
            self.with_legs(batch, |legs| {
                legs.standing().in_flight().for_each(|leg| due.watch(leg, now));
            })?;
        }
        let due = desk.due.entry(batch).or_default();
        let asked: Vec<u32> = due.due(now).take(room).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let open = |legs: &Legs| {
            let one = |leg: u32| Open {
                leg,
                state: legs.state(leg),
                home: legs.home(leg),
                reference: legs.facts(leg).map_or("", |facts| &facts.reference).to_owned(),
            };
            asked.iter().map(|leg| one(*leg)).collect()
        };
        let (open, ended): (Vec<Open>, Vec<Open>) = {
            let all: Vec<Open> = self.with_facts(batch, &asked, open)?;
            all.into_iter().partition(|one| one.state.is_in_flight())
        };
        ended.iter().for_each(|one| due.forget(one.leg));
        if open.is_empty() {
            return Ok(());
        }
        desk.may_call()?;
        // Its call was made, and what came of it could not be journaled.
        let sent = open.iter().filter(|one| one.state == LegState::Sent);
        let why = "what came of the call is not known";
        let lost = sent.map(|one| to(one.leg, LegState::Unknown, "", why));
        self.journal(plan, Voice::Engine, lost.collect())?;
        for Open { leg, home, reference, .. } in open {
            let Home { submission, piece, at } = home.expect("what is in flight was submitted");
            let of = CallsOf { batch, submission, attempt: 0 };
            let sealed = kept::load_call(self.engine.tables(), of, piece);
            let sealed = sealed.map_err(NotLoaded::from)?;
            let payment = plan.content().legs[leg as usize].payment;
            let parties = parties_of([payment].into_iter());
            let bytes = self.engine.vault().open_call(of, piece, &parties, &sealed);
            let call = CallBytes::from_bytes(bytes.map_err(NotLoaded::from)?);
            let call = call.map_err(|error| Stuck::Other(error.to_string()))?;
            let task = Task::LookUp { reference, first_sent: at };
            desk.order(batch, leg, Arc::new(call), task);
        }
        Ok(())
    }
}
