//! A rail that is called: looked up, sent again, heard by webhooks. What leaves must be SENT by the
//! records of that very moment, whatever was said between the look-up and the call; what does not
//! fit a leg moves nothing and is found; what contradicts a leg that has ended is found.
//!
//! Owns these steps and their rules, by hand. Knows nothing of files.

use crate::check::ensure;
use crate::clients::OPERATORS;
use crate::life::Halt;
use crate::run::Run;
use crate::settler::View;
use tallystick::ledger::hearing::{Ground, Place, Side, Statement, Subject, Sum, Weight, weigh};
use tallystick::ledger::{Command, LegState, LegStep, LegWord, Movements, Voice};
use tallystick::types::{BatchId, PartyId, Total};

/// A look-up under way: of which start, and which legs the rail does not know.
pub(crate) struct Looked {
    epoch: u32,
    batch: BatchId,
    absent: Vec<u32>,
}

impl Run<'_> {
    /// A look-up begins, or the one under way comes to its end.
    pub(crate) fn look_up(&mut self, batch: BatchId) -> Result<(), Halt> {
        match self.looked.take() {
            Some(looked) if looked.epoch == self.epoch => self.send_again(&looked),
            Some(_) | None => {
                let absent = self.view(batch)?.standing(|state| state == LegState::Unknown);
                if !absent.is_empty() {
                    self.looked = Some(Looked { epoch: self.epoch, batch, absent });
                }
                Ok(())
            }
        }
    }

    /// What was found absent leaves again, as far as the journal still says that it may.
    fn send_again(&mut self, Looked { batch, absent, .. }: &Looked) -> Result<(), Halt> {
        if self.dice.percent(60) {
            self.resolve(*batch, absent)?;
        }
        let view = self.view(*batch)?;
        let leaving = view.legs.to_send_again(absent);
        let unknown = |leg: &u32| view.legs.state(*leg) == LegState::Unknown;
        let sent = leaving.iter().copied().filter(unknown).map(|leg| (leg, LegState::Sent));
        let Some(wish) = view.moves(Voice::Engine, sent.collect()) else {
            return self.left(*batch, &leaving);
        };
        self.ask_commands(vec![wish])?;
        // The settler waits for its record; whatever was asked before it stands before it. If that
        // ended a leg, the record was refused, and nothing leaves.
        let moved: Vec<u32> = leaving.iter().copied().filter(unknown).collect();
        self.settle()?;
        if self.left(*batch, &moved).is_err() {
            return Ok(());
        }
        self.left(*batch, &leaving)
    }

    /// The calls are made: each leg of them must be SENT.
    fn left(&self, batch: BatchId, leaving: &[u32]) -> Result<(), Halt> {
        for leg in leaving {
            let place = usize::try_from(*leg).expect("legs are few");
            let state = self.model.now.batches[&batch].1.progress.legs[place];
            ensure(state == LegState::Sent, || {
                format!("leg {leg} of {batch} leaves, and by the records it is {state:?}")
            })?;
        }
        Ok(())
    }

    /// Two operators say what became of a leg that is being looked up.
    fn resolve(&mut self, batch: BatchId, absent: &[u32]) -> Result<(), Halt> {
        self.settle()?;
        let leg = *self.dice.pick(absent);
        let word = *self.dice.pick(&[LegWord::Confirmed, LegWord::Rejected]);
        let view = self.view(batch)?;
        if view.legs.state(leg) != LegState::Unknown {
            return Ok(());
        }
        let reference = format!("by hand {leg}");
        self.ask_commands(vec![view.resolve(OPERATORS[0], leg, word, reference.clone())])?;
        self.settle()?;
        let second = self.view(batch)?.resolve(OPERATORS[1], leg, word, reference);
        self.ask_commands(vec![second])?;
        self.settle()
    }

    /// A webhook says something of a leg that has left: what fits, what does not, what cannot be.
    pub(crate) fn webhook(&mut self, batch: BatchId) -> Result<(), Halt> {
        let view = self.view(batch)?;
        let left = view.standing(|state| state != LegState::Ready);
        if left.is_empty() {
            return Ok(());
        }
        let leg = *self.dice.pick(&left);
        let Some(wish) = self.said(&view, leg)? else { return Ok(()) };
        self.ask_commands(vec![wish])
    }

    /// What it leads to, which must be what this page says.
    fn said(&mut self, view: &View, leg: u32) -> Result<Option<Command>, Halt> {
        let place = usize::try_from(leg).expect("legs are few");
        let payment = view.plan.content().legs[place].payment;
        let subject = Subject {
            state: view.legs.state(leg),
            has_left: true,
            side: if payment.to == PartyId::CLEARING { Side::In } else { Side::Out },
            amount: payment.amount,
            went: Movements::NONE,
            came: Movements::NONE,
        };
        let subject = subject.with(view.legs.facts(leg));
        let (other_sum, other_place) = (self.dice.percent(15), self.dice.percent(20));
        let words = [LegWord::Accepted, LegWord::Confirmed, LegWord::Confirmed, LegWord::Returned];
        let word = *self.dice.pick(&words);
        let amount = if other_sum { payment.amount.plus(Total(1)) } else { payment.amount };
        let said = Statement {
            word,
            ground: if word == LegWord::Accepted { Ground::Report } else { Ground::Money },
            is_duplicate: false,
            side: subject.side,
            sum: Sum::Units(amount),
            place: if other_place { Place::Other("another object".into()) } else { Place::Ours },
            reference: format!("W{leg}"),
            apart: 0,
            reason: String::new(),
        };
        let verdict = weigh(&subject, &[said]);
        let weights: Vec<Weight> =
            verdict.findings.iter().map(|finding| finding.weight(subject.state)).collect();
        let what = || format!("{word:?} of {subject:?} leads to {verdict:?}");
        if other_sum || other_place {
            let told = weights.iter().all(|of| matches!(of, Weight::Misfit | Weight::Remark));
            ensure(verdict.to.is_none() && told && weights.len() == 1, what)?;
        }
        let paid_late = subject.state == LegState::Rejected && !subject.is_booked();
        if paid_late && word == LegWord::Confirmed && !other_sum && !other_place {
            ensure(verdict.to.is_none() && weights == [Weight::Contradiction], what)?;
        }
        let held = || view.booked(verdict.held.iter().map(|(way, said)| (leg, *way, said.clone())));
        let wish = verdict.to.as_ref().map(|step| {
            let voice = if step.is_booked { Voice::Books } else { Voice::Rail };
            let (to, reference, reason) = (step.to, step.reference.clone(), String::new());
            view.moved(voice, vec![LegStep { leg, to, reference, reason }])
        });
        Ok(wish.or_else(held))
    }
}
