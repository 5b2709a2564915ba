//! From a wish to what is journaled. Here alone events are made; whether they may be, is checked on
//! the event.

use super::access::access_event;
use super::directory::{reason, text};
use super::signed::UNSIGNED;
use super::words::Resolution;
use super::{Control, CreateBatch, Made};
use crate::batch::{BatchContent, Payment};
use crate::engine_key::KeyMisfit;
use crate::envelope::Envelope;
use crate::event::{
    AssetCreated, BatchAborted, BatchEvent, BudgetsSet, BudgetsWarned, CreditLimitSet,
    DepositRecorded, DisputeEnded, EngineKeySet, Event, ExposureReleased, HoldEvent, KeyEvent,
    LegEvent, LegRun, LegsBooked, LegsMoved, LegsSubmitted, PartyErased, RegistryEvent,
    SignerAdded, SignerRevoked, TroubleEvent, TroublesAcked, TroublesRaised, WindowCut,
    WindowDisputed, WindowEvent,
};
use crate::leg::{LegMove, Mover};
use crate::legs::Legs;
use crate::limits;
use crate::plan::BatchPlan;
use crate::refusal::Refusal;
use crate::types::{BatchId, Digest, PartyId, Timestamp, Total, WindowNumber};
use crate::wish::{LegStep, SubmitLegs, Wish};

impl Control {
    /// What a wish leads to, if the rules allow it.
    pub(super) fn fact(
        &self,
        envelope: &Envelope,
        wish: Wish,
        at: Timestamp,
    ) -> Result<(Event, Made), Refusal> {
        let caller = &envelope.caller;
        let event = match wish {
            Wish::CreateAsset { asset } => Event::from(AssetCreated { asset }),
            Wish::UpsertParty(upsert) => Event::from(self.upserted(upsert)?),
            Wish::EraseParty { party, deposits, clear } => self.erasure(party, deposits, &clear)?,
            Wish::AddSigner { signer, party, caps } => {
                Event::from(SignerAdded { signer: signer.key(), party, caps })
            }
            Wish::RevokeSigner { signer } => Event::from(SignerRevoked { signer }),
            Wish::SetBudgets { signer, budgets } => Event::from(BudgetsSet { signer, budgets }),
            Wish::WarnBudgets(uses) => Event::from(BudgetsWarned { uses }),
            Wish::SetEngineKey { key, proof } => Event::from(EngineKeySet { key, proof }),
            Wish::SetOperatorKey { possession, signed } => {
                self.key_set(caller, *possession, signed)?
            }
            Wish::RemoveOperatorKey { operator, key, signed } => {
                self.key_removed(caller, (operator, key), signed)?
            }
            wish @ (Wish::SetCreditLimit { .. }
            | Wish::RecordDeposit { .. }
            | Wish::BookLegs { .. }
            | Wish::AddIdentity(_)
            | Wish::RevokeIdentity { .. }
            | Wish::RotateIdentity { .. }) => whole(wish),
            wish @ (Wish::AddEndpoint { .. }
            | Wish::RemoveEndpoint { .. }
            | Wish::RotateEndpoint { .. }) => self.of_endpoints(wish)?,
            wish @ (Wish::SetEyes(_)
            | Wish::ConfirmProposal { .. }
            | Wish::WithdrawProposal { .. }) => self.of_eyes(envelope, wish, at)?,
            Wish::CloseWindow => self.cut_of()?,
            Wish::SealWindow(e) => self.current_key(e.key).map(|()| Event::from(e))?,
            Wish::ArchiveWindow(e) => self.window(e.window)?.check_archive().map(|()| e.into())?,
            Wish::DisputeWindow { window, reason } => {
                Event::from(WindowDisputed { window, reason })
            }
            Wish::EndDispute { window, reason } => Event::from(DisputeEnded { window, reason }),
            Wish::CreateBatch(create) => return self.computed_of(create),
            Wish::ApproveBatch { batch, signed } => self.approval(caller, batch, signed)?,
            Wish::AbortBatch { batch, reason } => Event::from(BatchAborted { batch, reason }),
            Wish::SubmitLegs(submit) => Event::from(self.submission(submit)?),
            Wish::MoveLegs { content, voice, evidence, steps } => {
                Event::from(self.moves(&content, voice.mover(), evidence, steps)?)
            }
            Wish::MoveEnded { batch, voice, evidence, moves } => {
                Event::from(self.moves_of_ended(batch, voice.mover(), evidence, moves)?)
            }
            Wish::ReportLegs { content, evidence, words, signed } => {
                let moved = self.report(&content, evidence, &words)?;
                self.signed_moves(caller, moved, signed)?
            }
            Wish::ResolveLeg { content, leg, word, reference, evidence, signed } => {
                let said = Resolution { leg, word, reference, evidence };
                self.resolution(caller, &content, said, signed)?
            }
            Wish::ReleaseExposure { plan, places } => Event::from(self.releases(&plan, &places)?),
            Wish::RaiseTroubles(troubles) => Event::from(TroublesRaised { troubles }),
            Wish::AckTroubles { troubles, note } => Event::from(TroublesAcked { troubles, note }),
            wish @ (Wish::BeginHold(_) | Wish::ReleaseHold { .. }) => self.of_hold(wish)?,
        };
        self.check(envelope, &event, at)?;
        Ok((event, Made::Nothing))
    }

    fn erasure(
        &self,
        party: PartyId,
        deposits: String,
        clear: &[WindowNumber],
    ) -> Result<Event, Refusal> {
        self.check_erase(party, &deposits, clear)?;
        Ok(Event::from(PartyErased { party, deposits }))
    }

    fn cut_of(&self) -> Result<Event, Refusal> {
        let unsealed = self.windows().rev().skip(1).take_while(|w| w.sealed.is_none());
        if unsealed.count() >= limits::UNSEALED_WINDOWS_MAX {
            return Err(Refusal::SealingBehind(limits::UNSEALED_WINDOWS_MAX));
        }
        let window = self.open_window().number;
        Ok(Event::from(WindowCut { window }))
    }

    fn computed_of(&self, create: CreateBatch) -> Result<(Event, Made), Refusal> {
        self.check_used(&create)?;
        self.check_doubts(&create.used)?;
        self.current_key(create.key)?;
        let head = create.head().clone();
        self.settleable(&head.windows, head.asset.number)?;
        let CreateBatch { four_eyes, history, key, signature, .. } = create;
        let event = head.event(four_eyes, history, key, signature);
        Ok((Event::from(event), Made::Batch(head)))
    }

    /// Legs that leave, with what the clearing account pays of them.
    fn submission(&self, submit: SubmitLegs) -> Result<LegsSubmitted, Refusal> {
        let SubmitLegs { content, submission, attempt, legs, digest, bytes, name, suspensions } =
            submit;
        // Another attempt pays the same legs in place of the first.
        let pays_suspended = || {
            let mut payments = payments(&content, &legs);
            payments.any(|payment| self.suspended.contains(&payment.to))
        };
        if attempt == 0 && (suspensions != self.suspensions || pays_suspended()) {
            return Err(Refusal::SuspensionsMoved);
        }
        self.whole(&content)?;
        let paid_out = paid_out(&content, &legs);
        let batch = content.head.id;
        Ok(LegsSubmitted { batch, submission, attempt, legs, paid_out, digest, bytes, name })
    }

    /// Moves of legs, with what each moves.
    pub(super) fn moves(
        &self,
        content: &BatchContent,
        mover: Mover,
        evidence: Digest,
        steps: Vec<LegStep>,
    ) -> Result<LegsMoved, Refusal> {
        self.whole(content)?;
        let (batch, asset) = (content.head.id, content.head.asset.number);
        let one = |LegStep { leg, to, reference, reason }: LegStep| {
            let payment = content.legs.get(leg as usize).map(|of| of.payment);
            let payment = payment.ok_or(Refusal::NoSuchLeg { batch, leg })?;
            let (payer, payee, amount) = (payment.from, payment.to, payment.amount);
            Ok(LegMove { leg, to, payer, payee, amount, reference, reason })
        };
        let moves = steps.into_iter().map(one).collect::<Result<_, Refusal>>()?;
        Ok(LegsMoved { batch, asset, mover, evidence, moves, signature: UNSIGNED })
    }

    /// Moves of legs of a batch that has ended.
    fn moves_of_ended(
        &self,
        batch: BatchId,
        mover: Mover,
        evidence: Digest,
        moves: Vec<LegMove>,
    ) -> Result<LegsMoved, Refusal> {
        let entry = self.batch(batch)?;
        if !entry.state().has_ended() {
            return Err(Refusal::NotEnded { batch });
        }
        let asset = entry.head.asset.number;
        Ok(LegsMoved { batch, asset, mover, evidence, moves, signature: UNSIGNED })
    }

    /// Exposure that falls, by what the batch has settled for each party.
    fn releases(&self, plan: &BatchPlan, places: &[u32]) -> Result<ExposureReleased, Refusal> {
        let head = &plan.content().head;
        let (batch, asset) = (head.id, head.asset.number);
        self.whole(plan.content())?;
        let legs = self.settling(batch)?;
        let one = |&at: &u32| {
            let party = plan.party(at).ok_or(Refusal::NotEnded { batch })?;
            if legs.is_released(at) {
                return Err(Refusal::ReleasedBefore { batch, party });
            }
            plan.release_of(at, legs).ok_or(Refusal::NotEnded { batch })
        };
        let releases = places.iter().map(one).collect::<Result<Vec<_>, Refusal>>()?;
        // An empty one says that there is no more to come.
        let all = u64::try_from(plan.parties()).expect("parties are limited");
        if releases.is_empty() && !(legs.have_ended() && legs.released() == all) {
            return Err(Refusal::NotEnded { batch });
        }
        Ok(ExposureReleased { batch, asset, releases })
    }

    /// Whether this is an approved batch of ours, with all its legs.
    fn whole(&self, content: &BatchContent) -> Result<(), Refusal> {
        self.settling(content.head.id)?;
        self.legs_of(content).map(|_| ())
    }

    /// Where the legs of a batch of ours stand, all of which are given.
    pub(super) fn legs_of(&self, content: &BatchContent) -> Result<&Legs, Refusal> {
        let legs = &self.batch(content.head.id)?.legs;
        let (own, given) = (legs.len(), content.legs.len());
        assert_eq!(own, given, "a batch is settled whole, and its id is the hash of all of it");
        Ok(legs)
    }

    pub(super) fn check(
        &self,
        envelope: &Envelope,
        event: &Event,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        match event {
            Event::Registry(e) => self.check_registry(e),
            Event::Budget(e) => self.check_budgets(e),
            Event::Access(e) => self.check_access(e, at),
            Event::Endpoint(e) => self.check_endpoints(e),
            Event::Window(WindowEvent::Disputed(e)) => {
                reason(&e.reason)?;
                self.check_dispute(e.window)
            }
            Event::Window(WindowEvent::DisputeEnded(e)) => {
                reason(&e.reason)?;
                self.check_dispute_end(e.window)
            }
            Event::Batch(BatchEvent::Approved(e)) => self.check_approval(&envelope.caller, e),
            Event::Batch(BatchEvent::Aborted(e)) => {
                text(&e.reason, "reason")?;
                self.check_abort(e)
            }
            Event::Leg(LegEvent::Submitted(e)) => self.check_submission(e),
            Event::Leg(LegEvent::Moved(e)) => self.check_moves(&envelope.caller, e),
            Event::Leg(LegEvent::Booked(e)) => self.check_bookings(e),
            Event::Leg(LegEvent::Proposed(e)) => self.check_proposal(&envelope.caller, e),
            Event::Leg(LegEvent::Released(e)) => self.check_release(e),
            Event::Trouble(TroubleEvent::Raised(e)) => self.troubles.check_raise(e),
            Event::Trouble(TroubleEvent::Acked(e)) => {
                text(&e.note, "note")?;
                self.troubles.check_ack(e)
            }
            Event::Key(KeyEvent::EngineSet(e)) => {
                let asked = envelope.request.is_some();
                self.engine_keys.check_set(asked, e).map_err(Refusal::EngineKey)?;
                match self.operator_keys.get(e.key) {
                    Some(_) => Err(Refusal::EngineKey(KeyMisfit::Operators(e.key))),
                    None => Ok(()),
                }
            }
            Event::Hold(HoldEvent::Released(e)) => reason(&e.reason),
            // Checked where they are made.
            Event::Hold(HoldEvent::Begun(_))
            | Event::Eyes(_)
            | Event::Key(KeyEvent::OperatorSet(_) | KeyEvent::OperatorRemoved(_))
            | Event::Window(
                WindowEvent::Cut(_) | WindowEvent::Sealed(_) | WindowEvent::Archived(_),
            )
            | Event::Batch(BatchEvent::Computed(_)) => Ok(()),
        }
    }

    fn check_registry(&self, event: &RegistryEvent) -> Result<(), Refusal> {
        match event {
            RegistryEvent::AssetCreated(e) => self.check_asset(e),
            RegistryEvent::PartyUpserted(e) => self.check_party(e),
            RegistryEvent::SignerAdded(e) => self.check_signer(e),
            RegistryEvent::SignerRevoked(e) => self.signer(e.signer).map(|_| ()),
            RegistryEvent::LimitSet(e) => self.check_limit(e),
            RegistryEvent::Deposited(e) => self.check_deposit(e),
            // Checked where it is made.
            RegistryEvent::PartyErased(_) => Ok(()),
        }
    }
}

/// What follows from a wish that names all of it.
fn whole(wish: Wish) -> Event {
    if let Wish::SetCreditLimit { party, asset, limit } = wish {
        Event::from(CreditLimitSet { party, asset, limit })
    } else if let Wish::RecordDeposit { party, asset, amount, reference } = wish {
        Event::from(DepositRecorded { party, asset, amount, reference })
    } else if let Wish::BookLegs { batch, evidence, bookings } = wish {
        Event::from(LegsBooked { batch, evidence, bookings })
    } else {
        access_event(wish)
    }
}

/// The payments of these legs, up to the first that is not there.
fn payments(content: &BatchContent, legs: &[LegRun]) -> impl Iterator<Item = Payment> {
    let places = legs.iter().flat_map(|run| run.first..run.first.saturating_add(run.count));
    places.map_while(|leg| content.legs.get(leg as usize)).map(|leg| leg.payment)
}

/// What the clearing account pays of these legs.
fn paid_out(content: &BatchContent, legs: &[LegRun]) -> Total {
    let out = payments(content, legs).filter(|payment| payment.from == PartyId::CLEARING);
    out.fold(Total::ZERO, |sum, payment| sum.plus(payment.amount))
}

#[cfg(test)]
mod tests;
