//! What a wish must lead to: the ledger's rules by hand, from a wish to the event that follows.
//! What may be done at all is said next door (`commands`, `legs`).

use super::{Batch, State};
use tallystick::ledger::LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
use tallystick::ledger::event::{
    AssetCreated, BatchAborted, BatchApproved, BudgetsSet, BudgetsWarned, CreditLimitSet,
    DepositRecorded, DisputeEnded, EngineKeySet, ExposureReleased, HoldReleased, IdentityRevoked,
    IdentityRotated, LegEvent, LegProposed, LegsBooked, LegsMoved, LegsSubmitted, PartyErased,
    Release, SignerAdded, SignerRevoked, TroublesAcked, TroublesRaised, WindowDisputed,
};
use tallystick::ledger::{
    Caller, Command, Envelope, Event, LegMove, LegState, LegStep, LegWord, Mover,
    OperatorSignature, SaidOfLeg, SubmitLegs, Wish,
};
use tallystick::types::{
    AssetNumber, BatchId, Digest, FileHasher, Lsn, PartyId, Total, approval_statement,
};

/// What follows; or the word of the refusal.
type Fact = Result<Event, &'static str>;

fn place(leg: u32) -> usize {
    usize::try_from(leg).expect("legs are few")
}

/// Where one operator's word moves a leg: what it says, from where that can be; nothing where it is
/// known.
fn said(state: LegState, word: LegWord) -> Result<Option<LegState>, &'static str> {
    let (to, from): (LegState, &[LegState]) = match word {
        LegWord::Accepted => (Accepted, &[Sent, Unknown]),
        LegWord::Confirmed => (Confirmed, &[Sent, Unknown, Accepted]),
        LegWord::Rejected => (Rejected, &[Sent, Unknown, Accepted]),
        LegWord::Returned => (Returned, &[Confirmed]),
    };
    if from.contains(&state) {
        Ok(Some(to))
    } else if state == to || (state, word) == (Confirmed, LegWord::Accepted) {
        Ok(None)
    } else {
        Err("LegWord")
    }
}

impl State {
    /// The event that a command leads to; `None` of those that the model makes as it does them.
    ///
    /// # Errors
    /// The word of the refusal, where the rules of words refuse it.
    pub fn fact(&self, command: &Command) -> Result<Option<Event>, &'static str> {
        let Command { envelope, wish } = command;
        if let Some(event) = self.registration_of(envelope, wish)? {
            return Ok(Some(event));
        }
        let operator = envelope.operator();
        let event = match wish.clone() {
            Wish::DisputeWindow { window, reason } => {
                Event::from(WindowDisputed { window, reason })
            }
            Wish::EndDispute { window, reason } => Event::from(DisputeEnded { window, reason }),
            Wish::ArchiveWindow(e) => Event::from(e),
            Wish::ApproveBatch { batch, signed } => {
                let over = approval_statement(self.network(), batch);
                let signature = self.signature(operator, signed, &over)?;
                Event::from(BatchApproved { batch, signature })
            }
            Wish::AbortBatch { batch, reason } => Event::from(BatchAborted { batch, reason }),
            Wish::SubmitLegs(submit) => self.leaving(submit)?,
            Wish::MoveLegs { content, voice, evidence, steps } => {
                self.moving(content.head.id, voice.mover(), evidence, steps)?
            }
            Wish::MoveEnded { batch, voice, evidence, moves } => {
                let steps = moves.into_iter().map(step_of).collect();
                self.moving(batch, voice.mover(), evidence, steps)?
            }
            Wish::ReportLegs { content, evidence, words, signed } => {
                let steps = self.heard(content.head.id, &words)?;
                let moved = self.moving(content.head.id, Mover::Operator, evidence, steps)?;
                self.signed(operator, moved, signed)?
            }
            Wish::ResolveLeg { signed, .. } => {
                self.signed(operator, self.resolved(&envelope.caller, wish)?, signed)?
            }
            Wish::ReleaseExposure { plan, places } => {
                self.released(plan.content().head.id, &places)?
            }
            Wish::WarnBudgets(uses) => Event::from(BudgetsWarned { uses }),
            Wish::RaiseTroubles(troubles) => Event::from(TroublesRaised { troubles }),
            Wish::AckTroubles { troubles, note } => Event::from(TroublesAcked { troubles, note }),
            hold @ (Wish::BeginHold(_) | Wish::ReleaseHold { .. }) => self.hold_of(hold)?,
            Wish::CreateAsset { .. }
            | Wish::UpsertParty(_)
            | Wish::EraseParty { .. }
            | Wish::AddSigner { .. }
            | Wish::RevokeSigner { .. }
            | Wish::SetBudgets { .. }
            | Wish::BookLegs { .. }
            | Wish::SetCreditLimit { .. }
            | Wish::RecordDeposit { .. }
            | Wish::SetEngineKey { .. }
            | Wish::SetOperatorKey { .. }
            | Wish::RemoveOperatorKey { .. }
            | Wish::AddIdentity(_)
            | Wish::RevokeIdentity { .. }
            | Wish::RotateIdentity { .. }
            | Wish::AddEndpoint { .. }
            | Wish::RemoveEndpoint { .. }
            | Wish::RotateEndpoint { .. }
            | Wish::SetEyes(_)
            | Wish::ConfirmProposal { .. }
            | Wish::WithdrawProposal { .. }
            | Wish::CloseWindow
            | Wish::SealWindow(_)
            | Wish::CreateBatch(_) => return Ok(None),
        };
        Ok(Some(event))
    }

    /// What is registered, or was proposed.
    fn registration_of(
        &self,
        envelope: &Envelope,
        wish: &Wish,
    ) -> Result<Option<Event>, &'static str> {
        if let Wish::ConfirmProposal { proposal, .. } = wish {
            return Ok(self.event_of(*proposal));
        } else if let Wish::UpsertParty(upsert) = wish {
            return self.upserted(upsert.clone()).map(Some);
        }
        if let Some(fact) = self.of_endpoints(wish) {
            return fact.map(Some);
        }
        Ok(registration(wish).or(self.of_keys(envelope, wish)?))
    }

    fn hold_of(&self, wish: Wish) -> Fact {
        if let Wish::BeginHold(of) = wish {
            return Ok(Event::from(of));
        }
        let Wish::ReleaseHold { reason } = wish else { unreachable!("{wish:?} is about no hold") };
        let restored = Lsn(self.held.ok_or("NotOnHold")?);
        Ok(Event::from(HoldReleased { restored, reason }))
    }

    /// What an operator says of legs, with what stands under it.
    fn signed(&self, operator: &str, said: Event, signed: Option<OperatorSignature>) -> Fact {
        match said.clone() {
            Event::Leg(LegEvent::Moved(e)) => {
                let signature = self.signature(operator, signed, &e.statement(self.network()))?;
                Ok(Event::from(LegsMoved { signature, ..e }))
            }
            Event::Leg(LegEvent::Proposed(e)) => {
                let signature = self.signature(operator, signed, &e.statement(self.network()))?;
                Ok(Event::from(LegProposed { signature, ..e }))
            }
            Event::Leg(LegEvent::Submitted(_) | LegEvent::Booked(_) | LegEvent::Released(_))
            | Event::Registry(_)
            | Event::Budget(_)
            | Event::Access(_)
            | Event::Endpoint(_)
            | Event::Eyes(_)
            | Event::Key(_)
            | Event::Window(_)
            | Event::Batch(_)
            | Event::Trouble(_)
            | Event::Hold(_) => unreachable!("{said:?} is no word about a leg"),
        }
    }

    /// What leaves, with what it pays out by the model's own batch.
    fn leaving(&self, submit: SubmitLegs) -> Fact {
        let SubmitLegs { content, submission, attempt, legs, digest, bytes, name, suspensions } =
            submit;
        let is_suspended = |to: &PartyId| self.parties.get(to).is_some_and(|party| party.suspended);
        let pays_suspended =
            legs.iter().flat_map(|run| run.first..run.first + run.count).any(|leg| {
                content.legs.get(place(leg)).is_some_and(|leg| is_suspended(&leg.payment.to))
            });
        if attempt == 0 && (suspensions != self.suspensions || pays_suspended) {
            return Err("SuspensionsMoved");
        }
        let batch = content.head.id;
        let of = self.approved(batch)?;
        let places = legs.iter().flat_map(|run| run.first..run.first + run.count);
        let payments = places.filter_map(|leg| of.payments.get(place(leg)));
        let out = payments.filter(|(from, ..)| *from == PartyId::CLEARING);
        let paid_out = Total(out.map(|(_, _, amount, _)| amount).sum());
        let event =
            LegsSubmitted { batch, submission, attempt, legs, paid_out, digest, bytes, name };
        Ok(Event::from(event))
    }

    /// Legs that move, with what each moves by the model's own batch.
    fn moving(&self, batch: BatchId, mover: Mover, evidence: Digest, steps: Vec<LegStep>) -> Fact {
        let of = self.approved(batch)?;
        let one = |LegStep { leg, to, reference, reason }: LegStep| {
            let (payer, payee, amount, _) = *of.payments.get(place(leg)).ok_or("NoSuchLeg")?;
            Ok(LegMove { leg, to, payer, payee, amount: Total(amount), reference, reason })
        };
        let moves = steps.into_iter().map(one).collect::<Result<_, &'static str>>()?;
        let asset = AssetNumber(of.asset);
        let event = LegsMoved { batch, asset, mover, evidence, moves, signature: [0; 64] };
        Ok(Event::from(event))
    }

    /// Whose exposure falls, by what the model says that the batch settled for it.
    fn released(&self, batch: BatchId, places: &[u32]) -> Fact {
        let of = self.approved(batch)?;
        let one = |&at: &u32| {
            let party = *of.owed.keys().nth(place(at)).ok_or("NotEnded")?;
            if of.progress.released.contains(&party) {
                return Err("ReleasedBefore");
            }
            let (unsettled, prefund) = of.release(party).map_err(|_| "NotEnded")?;
            let (unsettled, prefund) = (Total(unsettled), Total(prefund));
            Ok(Release { place: at, party, unsettled, prefund })
        };
        let releases = places.iter().map(one).collect::<Result<Vec<_>, &'static str>>()?;
        let done = of.ended() && of.progress.released.len() == of.owed.len();
        if releases.is_empty() && !done {
            return Err("NotEnded");
        }
        let asset = AssetNumber(of.asset);
        Ok(Event::from(ExposureReleased { batch, asset, releases }))
    }

    /// Where an operator's words move legs: each of them must.
    fn heard(&self, batch: BatchId, words: &[SaidOfLeg]) -> Result<Vec<LegStep>, &'static str> {
        let (_, of, _) = self.batches.get(&batch).ok_or("UnknownBatch")?;
        let (mut steps, mut known) = (Vec::new(), false);
        for word in words {
            let state = *of.progress.legs.get(place(word.leg)).ok_or("NoSuchLeg")?;
            let (_, payee, ..) = of.payments[place(word.leg)];
            let suspended = self.parties.get(&payee).is_some_and(|party| party.suspended);
            let given_up = state == Ready && suspended && word.word == LegWord::Rejected;
            let to = if given_up { Some(Rejected) } else { said(state, word.word)? };
            known |= to.is_none();
            let (leg, reference, reason) = (word.leg, word.reference.clone(), word.reason.clone());
            steps.extend(to.map(|to| LegStep { leg, to, reference, reason }));
        }
        if known { Err("LegState") } else { Ok(steps) }
    }

    /// One operator's word about an UNKNOWN leg: kept, or done if another has said the same.
    fn resolved(&self, caller: &Caller, wish: &Wish) -> Fact {
        self.has_own_key(caller)?;
        let operator = &*caller.name;
        let Wish::ResolveLeg { content, leg, word, reference, evidence, .. } = wish.clone() else {
            unreachable!("{wish:?} resolves nothing")
        };
        let batch = content.head.id;
        let (_, Batch { progress, .. }, _) = self.batches.get(&batch).ok_or("UnknownBatch")?;
        match progress.legs.get(place(leg)) {
            None => return Err("NoSuchLeg"),
            Some(Unknown) => {}
            Some(_) => return Err("NotUnknown"),
        }
        let to = said(Unknown, word)?.expect("nothing is known of it");
        if let Some((who, standing, of)) = progress.proposed.get(&leg)
            && (*standing, of) == (to, &reference)
        {
            // The simulator's operators always rest on the same evidence.
            if *who == operator {
                return Err("SaidBefore");
            }
            let mut hasher = FileHasher::default();
            hasher.update(evidence.as_bytes());
            let step = LegStep { leg, to, reference, reason: evidence };
            return self.moving(batch, Mover::Operator, hasher.finish(), vec![step]);
        }
        let signature = [0; 64];
        let event = LegProposed { batch, leg, to, reference, evidence, signature };
        Ok(Event::from(event))
    }
}

fn step_of(of: LegMove) -> LegStep {
    LegStep { leg: of.leg, to: of.to, reference: of.reference, reason: of.reason }
}

/// Who and what is registered: just what was asked for.
fn registration(wish: &Wish) -> Option<Event> {
    Some(match wish.clone() {
        Wish::CreateAsset { asset } => Event::from(AssetCreated { asset }),
        Wish::EraseParty { party, deposits, .. } => Event::from(PartyErased { party, deposits }),
        Wish::AddSigner { signer, party, caps } => {
            Event::from(SignerAdded { signer: signer.key(), party, caps })
        }
        Wish::RevokeSigner { signer } => Event::from(SignerRevoked { signer }),
        Wish::SetBudgets { signer, budgets } => Event::from(BudgetsSet { signer, budgets }),
        Wish::SetCreditLimit { party, asset, limit } => {
            Event::from(CreditLimitSet { party, asset, limit })
        }
        Wish::RecordDeposit { party, asset, amount, reference } => {
            let event = DepositRecorded { party, asset, amount, reference };
            Event::from(event)
        }
        Wish::SetEngineKey { key, proof } => Event::from(EngineKeySet { key, proof }),
        Wish::BookLegs { batch, evidence, bookings } => {
            Event::from(LegsBooked { batch, evidence, bookings })
        }
        Wish::AddIdentity(e) => Event::from(e),
        Wish::RevokeIdentity { name } => Event::from(IdentityRevoked { name }),
        Wish::RotateIdentity { name, credential } => {
            Event::from(IdentityRotated { name, credential })
        }
        Wish::UpsertParty(_)
        | Wish::WarnBudgets(_)
        | Wish::SetOperatorKey { .. }
        | Wish::RemoveOperatorKey { .. }
        | Wish::AddEndpoint { .. }
        | Wish::RemoveEndpoint { .. }
        | Wish::RotateEndpoint { .. }
        | Wish::SetEyes(_)
        | Wish::ConfirmProposal { .. }
        | Wish::WithdrawProposal { .. }
        | Wish::CloseWindow
        | Wish::SealWindow(_)
        | Wish::ArchiveWindow(_)
        | Wish::DisputeWindow { .. }
        | Wish::EndDispute { .. }
        | Wish::CreateBatch(_)
        | Wish::ApproveBatch { .. }
        | Wish::AbortBatch { .. }
        | Wish::SubmitLegs(_)
        | Wish::MoveLegs { .. }
        | Wish::MoveEnded { .. }
        | Wish::ReportLegs { .. }
        | Wish::ResolveLeg { .. }
        | Wish::ReleaseExposure { .. }
        | Wish::RaiseTroubles(_)
        | Wish::AckTroubles { .. }
        | Wish::BeginHold(_)
        | Wish::ReleaseHold { .. } => return None,
    })
}
