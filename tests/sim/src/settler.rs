//! The settler and the rail behind it: what leaves, what the rail then says, in whatever order and
//! however often, and whose exposure falls. Draws it from where the legs stand, as the settler
//! does: it remembers nothing, so a crash changes nothing. Never checks what comes of it (`calls`,
//! `settled`).

use crate::answers::{self, word_of};
use crate::approvals::another;
use crate::clients::{OPERATORS, by};
use crate::dice::Dice;
use crate::fold;
use crate::life::{Halt, Life, died};
use crate::run::Run;
use std::collections::BTreeSet;
use std::sync::Arc;
use tallystick::ledger::event::LegBooking;
use tallystick::ledger::hearing::{Side, Step, Subject, weigh};
use tallystick::ledger::{
    BatchPlan, BatchState, Command, LegState, LegStep, LegWord, Legs, Movements, Next, Request,
    SaidOfLeg, SubmitLegs, Voice, Way, Wish, runs,
};
use tallystick::settle::NotLoaded;
use tallystick::types::{BatchId, Digest, PartyId, Total};

/// How often each is drawn: a submission, what is held back, the rail's words, the engine's moves,
/// another attempt, a release, an operator's word, what nobody should ask for.
const KINDS: [u32; 8] = [25, 12, 40, 10, 3, 25, 15, 4];

/// In so many rounds every batch ends, or something is stuck.
const ROUNDS_MAX: u32 = 200;

/// Whether these are what the settler, and the operators that stand beside it, ask for.
#[must_use]
pub fn is_own(commands: &[Command]) -> bool {
    commands.iter().any(|Command { wish, .. }| {
        let beside = matches!(wish, Wish::ReportLegs { .. } | Wish::ResolveLeg { .. });
        let others = matches!(
            wish,
            Wish::SealWindow(_)
                | Wish::ArchiveWindow(_)
                | Wish::RaiseTroubles(_)
                | Wish::WarnBudgets(_)
        );
        beside || wish.is_the_engines() && !others
    })
}

/// A batch under way, as the settler sees it.
pub(crate) struct View {
    pub(crate) plan: Arc<BatchPlan>,
    pub(crate) legs: Legs,
    state: BatchState,
    settling: bool,
    /// What the clearing account may pay out for it.
    free: Total,
    /// Who is suspended, and how often that has changed.
    suspended: BTreeSet<PartyId>,
    suspensions: u64,
    /// Legs that have not left and are said to be paid.
    said: BTreeSet<u32>,
    /// Submissions whose files have not left.
    staged: BTreeSet<u32>,
    /// For whoever asks as an operator.
    pub(crate) request: Request,
}

impl Run<'_> {
    /// One more step of some batch that was approved.
    pub(crate) fn rail(&mut self) -> Result<(), Halt> {
        let waiting = self.computed();
        if !waiting.is_empty() && self.dice.percent(20) {
            let (batch, creator) = self.dice.pick(&waiting).clone();
            // Now and then by whoever asks, also the one who computed it.
            let anyone = self.dice.percent(25).then(|| *self.dice.pick(&OPERATORS));
            return self.approve(batch, anyone.unwrap_or_else(|| another(&creator)));
        }
        let (settling, all) = self.approved();
        let late = settling.is_empty() || self.dice.percent(10);
        let from = if late { all } else { settling };
        if from.is_empty() {
            return Ok(());
        }
        self.let_leave()?;
        let batch = *self.dice.pick(&from);
        match self.dice.below(20) {
            0 | 1 => return self.look_up(batch),
            2 => return self.webhook(batch),
            3 => return self.carry(batch),
            4.. => {}
        }
        let view = self.view(batch)?;
        match view.draw(&mut self.dice) {
            Some(command) => self.ask_for(command),
            None => Ok(()),
        }
    }

    fn ask_for(&mut self, command: Command) -> Result<(), Halt> {
        let Wish::SubmitLegs(mut submit) = command.wish else {
            return self.ask_commands(vec![command]);
        };
        if submit.attempt == 0 && self.dice.percent(30) {
            self.staged.insert((submit.content.head.id, submit.submission));
        }
        // Now and then they were chosen at another time: one that never comes, for the next
        // suspension may be under way already.
        if self.dice.percent(5) {
            submit.suspensions = u64::MAX;
        }
        self.ask_commands(vec![Command::own(Wish::SubmitLegs(submit))])
    }

    /// Goes on with every approved batch until all have ended and all exposure is released.
    pub(crate) fn end_batches(&mut self) -> Result<(), Halt> {
        for _ in 0..ROUNDS_MAX {
            let (settling, _) = self.approved();
            if settling.is_empty() {
                return Ok(());
            }
            for batch in settling {
                let view = self.view(batch)?;
                let drawn = self.dice.percent(50).then(|| view.draw(&mut self.dice)).flatten();
                let wish = drawn.or_else(|| view.onward(&mut self.dice));
                let wish = wish.ok_or_else(|| format!("batch {batch} is stuck: {:?}", view.legs));
                self.ask_for(wish?)?;
            }
            self.settle()?;
        }
        Err(Halt::Wrong(format!("some batch does not end in {ROUNDS_MAX} rounds")))
    }

    /// Batches that are not done, and all that were approved.
    fn approved(&mut self) -> (Vec<BatchId>, Vec<BatchId>) {
        let control = self.life().stepper.control();
        let all = control.batches().into_iter().filter(|entry| match entry.state() {
            BatchState::Computed | BatchState::Aborted => false,
            BatchState::Approved
            | BatchState::Submitting
            | BatchState::Settled
            | BatchState::SettledWithCarry => true,
        });
        (control.settling_batches(), all.map(|entry| entry.head.id).collect())
    }

    pub(crate) fn view(&mut self, batch: BatchId) -> Result<View, Halt> {
        let request = self.clients.new_request();
        let disk = self.disk.clone();
        let staged = self.staged.iter().filter(|(of, _)| *of == batch).map(|(_, n)| *n).collect();
        let Life { intake, archive, stepper, .. } = self.life();
        let plan = archive.plan(intake, batch).map_err(|error| match error {
            NotLoaded::Storage(error) => died(&disk, &error),
            NotLoaded::Sealed(error) => Halt::Wrong(format!("no plan for {batch}: {error}")),
            NotLoaded::Away(why) => Halt::Wrong(format!("no plan for {batch}: {why}")),
            NotLoaded::NotDone(reason) => Halt::Wrong(format!("no plan for {batch}: {reason}")),
        })?;
        let control = stepper.control();
        let entry = control.batch(batch).map_err(|refusal| refusal.to_string())?;
        let legs = fold::whole(&disk, batch, &entry.legs);
        let (state, settling) = (entry.state(), entry.is_settling());
        let free = control.free_to_pay(batch).map_err(|refusal| refusal.to_string())?;
        let (suspended, suspensions) = (control.suspended().clone(), control.suspensions());
        let said = control.said_to_be_paid(batch).map(|(leg, _)| leg).collect();
        Ok(View {
            plan,
            legs,
            state,
            settling,
            free,
            suspended,
            suspensions,
            said,
            staged,
            request,
        })
    }
}

impl View {
    /// Something that may happen next, or that somebody may think does.
    fn draw(&self, dice: &mut Dice) -> Option<Command> {
        let drawn = dice.weighted(&KINDS);
        let of = |kind: usize, dice: &mut Dice| match kind {
            0 => self.submission(dice),
            1 => self.held_back(dice),
            2 => self.words(dice),
            3 => self.engine_moves(dice),
            4 => self.attempt(dice),
            5 => {
                let limit = *dice.pick(&[1, 1, 2, usize::MAX]);
                self.release(limit)
            }
            6 => self.operator(dice),
            _ => self.nonsense(dice),
        };
        // Where there is nothing of the kind, one of what a settler does on its own.
        of(drawn, dice).or_else(|| [0, 1, 2, 5].into_iter().find_map(|kind| of(kind, dice)))
    }

    /// What brings the batch nearer to its end.
    fn onward(&self, dice: &mut Dice) -> Option<Command> {
        let Next { pay_ins, pay_outs, held_back, suspended } = self.next();
        let all: Vec<u32> = pay_ins.into_iter().chain(pay_outs).collect();
        if !held_back.is_empty() {
            let held = held_back.into_iter().map(|leg| (leg, LegState::Rejected));
            return self.moves(Voice::Engine, held.collect());
        }
        if !all.is_empty() {
            return self.submit(all);
        }
        if !suspended.is_empty() {
            return self.given_up(suspended);
        }
        let open = self.standing(LegState::is_in_flight);
        let word = |leg| {
            let failed = dice.percent(20);
            (leg, if failed { LegState::Rejected } else { LegState::Confirmed })
        };
        self.moves(Voice::Rail, open.into_iter().map(word).collect())
            .or_else(|| self.release(usize::MAX))
    }

    fn next(&self) -> Next {
        let mut next = self.plan.next(self.legs.standing(), self.free, &self.suspended);
        next.pay_ins.retain(|leg| !self.said.contains(leg));
        next.pay_outs.retain(|leg| !self.said.contains(leg));
        next
    }

    /// What waits for a suspended payee is owed again, because an operator says so.
    fn given_up(&self, legs: Vec<u32>) -> Option<Command> {
        let legs = legs.into_iter().map(|leg| (leg, LegState::Rejected));
        Some(self.report(OPERATORS[0], self.steps(legs.collect())))
    }

    pub(crate) fn standing(&self, at: impl Fn(LegState) -> bool) -> Vec<u32> {
        let legs = (0u32..).zip(self.legs.states());
        legs.filter(|(_, state)| at(*state)).map(|(leg, _)| leg).collect()
    }

    /// Some of the READY legs that may leave.
    fn submission(&self, dice: &mut Dice) -> Option<Command> {
        let Next { pay_ins, pay_outs, .. } = self.next();
        let from = match dice.below(3) {
            0 if !pay_ins.is_empty() => pay_ins,
            1 if !pay_outs.is_empty() => pay_outs,
            _ => pay_ins.into_iter().chain(pay_outs).collect(),
        };
        self.submit(some(dice, from))
    }

    fn submit(&self, mut legs: Vec<u32>) -> Option<Command> {
        legs.sort_unstable();
        let number = u32::try_from(self.legs.submissions().len()).expect("they are few");
        (!legs.is_empty()).then(|| self.submitted(number, 0, runs(legs.into_iter())))
    }

    fn submitted(
        &self,
        submission: u32,
        attempt: u32,
        legs: Vec<tallystick::ledger::event::LegRun>,
    ) -> Command {
        let (content, suspensions) = (self.plan.content().clone(), self.suspensions);
        let batch = content.head.id;
        let name = format!("{batch}-{submission}-{attempt}");
        let digest = Digest(*blake3::hash(name.as_bytes()).as_bytes());
        let bytes = u64::try_from(name.len()).expect("a length fits 64 bits");
        let submit =
            SubmitLegs { content, submission, attempt, legs, digest, bytes, name, suspensions };
        Command::own(Wish::SubmitLegs(submit))
    }

    /// Some of the pay-outs that nothing covers.
    fn held_back(&self, dice: &mut Dice) -> Option<Command> {
        let Next { held_back, suspended, .. } = self.next();
        if !suspended.is_empty() && dice.percent(10) {
            return self.given_up(some(dice, suspended));
        }
        let held = some(dice, held_back);
        let held = held.into_iter().map(|leg| (leg, LegState::Rejected));
        self.moves(Voice::Engine, held.collect())
    }

    /// What the rail says, late, twice, out of order. Where legs stand decides what it leads to.
    fn words(&self, dice: &mut Dice) -> Option<Command> {
        // A rail that has lost an answer mostly stays silent.
        let (late, silent) = (dice.percent(15), dice.percent(70));
        let legs = self.standing(|state| {
            let open = state.is_in_flight() && !(silent && state == LegState::Unknown);
            open || late && state.has_ended()
        });
        let (mut told, mut booked, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for leg in some(dice, legs) {
            let payment = self.plan.content().legs[usize::try_from(leg).expect("few")].payment;
            let file = self.legs.submission_of(leg);
            let subject = Subject {
                state: self.legs.state(leg),
                has_left: file.is_some_and(|number| !self.staged.contains(&number)),
                side: if payment.to == PartyId::CLEARING { Side::In } else { Side::Out },
                amount: payment.amount,
                went: Movements::NONE,
                came: Movements::NONE,
            };
            let subject = subject.with(self.legs.facts(leg));
            let said = answers::draw(dice, &subject);
            let verdict = weigh(&subject, &said);
            held.extend(verdict.held.into_iter().map(|(way, said)| (leg, way, said)));
            let (to, wanted) = (verdict.to, answers::wanted(&subject, &said));
            let moved = to.as_ref().map(|step| step.to);
            assert_eq!(moved, wanted, "{subject:?} by {said:#?}");
            if let Some(step) = to {
                if step.is_booked { &mut booked } else { &mut told }.push((leg, step));
            }
        }
        let is_booked = told.is_empty() || !booked.is_empty() && dice.percent(50);
        let (voice, steps) = if is_booked { (Voice::Books, booked) } else { (Voice::Rail, told) };
        let by_operator = !is_booked && dice.percent(10);
        // Of legs that have ended: the others' are held behind their moves, or found again.
        held.retain(|(leg, ..): &(u32, Way, String)| self.legs.state(*leg).has_ended());
        if steps.is_empty() || !held.is_empty() && dice.percent(70) {
            return self.booked(held.into_iter());
        }
        let one = |(leg, step): (u32, Step)| {
            let (to, reference, reason) = (step.to, step.reference, String::new());
            LegStep { leg, to, reference, reason }
        };
        let mut steps: Vec<LegStep> = steps.into_iter().map(one).collect();
        steps.sort_unstable_by_key(|step| step.leg);
        Some(match by_operator {
            true => self.report(OPERATORS[0], steps),
            false => self.moved(voice, steps),
        })
    }

    /// An answer is lost, or what was accepted is undone.
    fn engine_moves(&self, dice: &mut Dice) -> Option<Command> {
        let legs = some(dice, self.standing(LegState::is_in_flight));
        let to = |leg| {
            let sent = self.legs.state(leg) == LegState::Sent;
            (leg, if sent { LegState::Unknown } else { LegState::Sent })
        };
        self.moves(Voice::Engine, legs.into_iter().map(to).collect())
    }

    /// Other bytes for the same legs.
    fn attempt(&self, dice: &mut Dice) -> Option<Command> {
        let all = self.legs.submissions();
        if all.is_empty() {
            return None;
        }
        let place = dice.place(all.len());
        let attempts = all[place].attempts.len() - usize::from(dice.percent(20));
        let number = |n: usize| u32::try_from(n).expect("they are few");
        Some(self.submitted(number(place), number(attempts), all[place].legs.clone()))
    }

    /// Exposure falls, but never while the batch can be aborted.
    fn release(&self, limit: usize) -> Option<Command> {
        let begun = self.state == BatchState::Submitting || self.state.has_ended();
        if !begun || !self.settling {
            return None;
        }
        let releases = self.plan.releases(&self.legs, limit);
        if releases.is_empty() && !self.state.has_ended() {
            return None;
        }
        let places = releases.iter().map(|one| one.place).collect();
        Some(Command::own(Wish::ReleaseExposure { plan: self.plan.clone(), places }))
    }

    /// An operator says what became of an UNKNOWN leg, or another agrees.
    fn operator(&self, dice: &mut Dice) -> Option<Command> {
        let operator = *dice.pick(&OPERATORS);
        let proposed: Vec<u32> = self.legs.proposed().keys().copied().collect();
        if !proposed.is_empty() && dice.percent(60) {
            let leg = *dice.pick(&proposed);
            let said = &self.legs.proposed()[&leg];
            let word = word_of(said.to);
            if dice.percent(20) {
                // In the way in which a rail's word is reported: then it must be the second one,
                // too.
                let (to, reference, reason) = (said.to, said.reference.clone(), String::new());
                let step = LegStep { leg, to, reference, reason };
                return Some(self.report(operator, vec![step]));
            }
            return Some(self.resolve(operator, leg, word, said.reference.clone()));
        }
        let early = dice.percent(10);
        let unknown =
            self.standing(|state| state == LegState::Unknown || early && state.is_in_flight());
        if unknown.is_empty() {
            return self.engine_moves(dice);
        }
        let leg = *dice.pick(&unknown);
        let to = *dice.pick(&[LegState::Confirmed, LegState::Confirmed, LegState::Rejected]);
        Some(self.resolve(operator, leg, word_of(to), format!("R{leg}")))
    }

    /// What the rules mostly refuse.
    fn nonsense(&self, dice: &mut Dice) -> Option<Command> {
        let count = self.legs.len();
        if dice.percent(30) {
            // Pay-outs, whether anything covers them or not.
            let mut legs = self.standing(|state| state == LegState::Ready);
            let all = &self.plan.content().legs;
            legs.retain(|leg| {
                let payment = all[*leg as usize].payment;
                payment.from == PartyId::CLEARING && !self.suspended.contains(&payment.to)
            });
            return self.submit(some(dice, legs));
        }
        if count == 0 || dice.percent(20) {
            let number = u32::try_from(self.legs.submissions().len()).expect("they are few");
            let legs = runs(std::iter::once(0));
            return Some(self.submitted(number + 1, 0, legs));
        }
        let leg = u32::try_from(dice.place(count)).expect("legs are few");
        let voice = *dice.pick(&[Some(Voice::Engine), Some(Voice::Rail), None]);
        let mut steps = self.steps(vec![(leg, *dice.pick(&LegState::ALL))]);
        if dice.percent(20) {
            steps[0].leg = u32::try_from(count).expect("legs are few");
        }
        Some(match voice {
            Some(voice) => self.moved(voice, steps),
            None => self.report(OPERATORS[0], steps),
        })
    }

    pub(crate) fn moves(&self, voice: Voice, moves: Vec<(u32, LegState)>) -> Option<Command> {
        (!moves.is_empty()).then(|| self.moved(voice, self.steps(moves)))
    }

    /// Bookings that are held of legs.
    pub(crate) fn booked(&self, held: impl Iterator<Item = (u32, Way, String)>) -> Option<Command> {
        let one = |(leg, way, reference)| LegBooking { leg, way, reference };
        let bookings: Vec<LegBooking> = held.map(one).collect();
        let (batch, evidence) = (self.plan.content().head.id, Digest::ZERO);
        let is_none = bookings.is_empty();
        let wish = Wish::BookLegs { batch, evidence, bookings };
        (!is_none).then_some(Command::own(wish))
    }

    fn steps(&self, mut moves: Vec<(u32, LegState)>) -> Vec<LegStep> {
        moves.sort_unstable();
        let one = |(leg, to)| LegStep { leg, to, reference: String::new(), reason: String::new() };
        moves.into_iter().map(one).collect()
    }

    pub(crate) fn moved(&self, voice: Voice, steps: Vec<LegStep>) -> Command {
        let (content, evidence) = (self.plan.content().clone(), Digest::ZERO);
        Command::own(Wish::MoveLegs { content, voice, evidence, steps })
    }

    /// An operator says what the rail did.
    fn report(&self, operator: &str, steps: Vec<LegStep>) -> Command {
        let said = |LegStep { leg, to, reference, .. }: LegStep| {
            let reason = "simulated".to_owned();
            SaidOfLeg { leg, word: word_of(to), reference, reason }
        };
        let request = self.request.clone();
        let (content, evidence) = (self.plan.content().clone(), Digest::ZERO);
        let words = steps.into_iter().map(said).collect();
        Wish::ReportLegs { content, evidence, words, signed: None }.by(by(operator), request)
    }

    /// An operator says what became of a leg that the rail does not tell of.
    pub(crate) fn resolve(
        &self,
        operator: &str,
        leg: u32,
        word: LegWord,
        reference: String,
    ) -> Command {
        let request = self.request.clone();
        let (content, evidence) = (self.plan.content().clone(), "a statement".to_owned());
        Wish::ResolveLeg { content, leg, word, reference, evidence, signed: None }
            .by(by(operator), request)
    }
}

/// All of these or some, at least one if there are any.
fn some(dice: &mut Dice, mut legs: Vec<u32>) -> Vec<u32> {
    if legs.is_empty() || dice.percent(30) {
        return legs;
    }
    let (kept, share) = (*dice.pick(&legs), *dice.pick(&[10, 50, 80]));
    legs.retain(|leg| *leg == kept || dice.percent(share));
    legs
}
