//! What becomes of a command, and what it changes: the tables of DESIGN section 4, by hand.

use super::{Batch, BatchState, Signer, State, Told, Window};
use crate::clock::DAY;
use crate::world::Asset;
use tallystick::ledger::control::CreateBatch;
use tallystick::ledger::event::{
    BatchEvent, HoldEvent, KeyEvent, LegEvent, RegistryEvent, SignerAdded, TroubleEvent,
    WindowEvent,
};
use tallystick::ledger::{
    Caller, Command, Envelope, Event, Refusal, Request, Role, SealedAccount, Wish,
};
use tallystick::types::{BatchId, MONEY_MAX, PartyId, SettlementModel, SignerKey, Total};

/// Closed windows that may wait for their seal.
const UNSEALED_MAX: usize = 16;

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is this record.
    Now(u64),
    /// It was done before, by this record.
    Before(u64),
    /// The rules refuse it.
    Refused(&'static str),
}

/// The word for a refusal.
#[must_use]
pub fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::RequestReused(_) => "RequestReused",
        Refusal::UnknownParty(_) => "UnknownParty",
        Refusal::UnknownSigner(_) => "UnknownSigner",
        Refusal::UnknownAsset(_) => "UnknownAsset",
        Refusal::UnknownWindow { .. } => "UnknownWindow",
        Refusal::UnknownBatch(_) => "UnknownBatch",
        Refusal::AssetDiffers { .. } => "AssetDiffers",
        Refusal::SignerDiffers(_) => "SignerDiffers",
        Refusal::SignerRevoked(_) => "SignerRevoked",
        Refusal::DepositsTooLarge(..) => "DepositsTooLarge",
        Refusal::WindowOpen(_) | Refusal::WindowUnsealed(_) => window_word(refusal),
        Refusal::SealingBehind(_) => "SealingBehind",
        Refusal::WindowInBatch { .. } => "WindowInBatch",
        Refusal::EngineKey(_) => "EngineKey",
        Refusal::EngineKeyMoved => "EngineKeyMoved",
        Refusal::OperatorKey(misfit) => super::own::word(misfit),
        Refusal::Identity(misfit) => super::access::word(misfit),
        Refusal::NothingToSettle(_) | Refusal::BelowLeast { .. } => "NothingToSettle",
        Refusal::BatchState { .. } => "BatchState",
        Refusal::AccountsMissing { .. } => "AccountsMissing",
        Refusal::TooManyLegs(_) => "TooManyLegs",
        Refusal::RailUnfit { .. } => "RailUnfit",
        Refusal::AccountsMoved | Refusal::SuspensionsMoved => moved_word(refusal),
        Refusal::BatchWindows { .. } => "BatchWindows",
        Refusal::WindowTwice(_) | Refusal::WindowDisputed(_) => window_word(refusal),
        Refusal::WindowState { .. } => "WindowState",
        Refusal::SameOperator(_) => "SameOperator",
        Refusal::Eyes(misfit) => super::eyes::word(misfit),
        Refusal::Submission { .. } => "Submission",
        Refusal::NotCovered { .. } => "NotCovered",
        Refusal::NoSuchLeg { .. } => "NoSuchLeg",
        Refusal::LegState { .. } => "LegState",
        Refusal::ReleasedBefore { .. } => "ReleasedBefore",
        Refusal::NeedsTwo { .. } => "NeedsTwo",
        Refusal::InHand { .. } => "InHand",
        Refusal::LegWord { .. } => "LegWord",
        Refusal::StillPaid { .. } => "StillPaid",
        Refusal::LegTwice { .. } => "LegTwice",
        Refusal::NoReasonOfLeg { .. } => "NoReasonOfLeg",
        Refusal::ReportCount { .. } => "ReportCount",
        Refusal::NotUnknown { .. } => "NotUnknown",
        Refusal::SaidBefore { .. } => "SaidBefore",
        Refusal::NoEvidence => "NoEvidence",
        Refusal::NoReason => "NoReason",
        Refusal::NoRequestId | Refusal::RequestReserved => "NoRequestId",
        Refusal::EnginesOwn { .. } => "EnginesOwn",
        Refusal::TextTooLong { .. } => "TextTooLong",
        Refusal::PartyErased(_) => "PartyErased",
        Refusal::ErasedMeanwhile(_) => "ErasedMeanwhile",
        Refusal::NotSuspended(_) => "NotSuspended",
        Refusal::StillNeeded { .. } => "StillNeeded",
        Refusal::DepositsLeft { .. } => "DepositsLeft",
        Refusal::NotSealed { .. } => "NotSealed",
        Refusal::AssetUnfit(_) => "AssetUnfit",
        Refusal::PartyUnfit(_) => "PartyUnfit",
        Refusal::TooManyCaps(_) | Refusal::CapsRepeat => "CapsUnfit",
        Refusal::Budgets(misfit) => super::budgets::word(misfit),
        Refusal::Endpoint(misfit) => super::endpoints::word(misfit),
        Refusal::NoDeposit => "NoDeposit",
        Refusal::NotEnded { .. } => "NotEnded",
        Refusal::AckNumbers(_) => "AckNumbers",
        Refusal::InDoubt { .. } => "InDoubt",
        Refusal::UnknownTrouble(_) => "UnknownTrouble",
        Refusal::RequestsFull(_) | Refusal::TableFull { .. } | Refusal::TroublesFull(_) => "Full",
        Refusal::SaidToBePaid { .. } => "SaidToBePaid",
        Refusal::OnHold { .. } | Refusal::NotOnHold => hold_word(refusal),
    }
}

fn moved_word(refusal: &Refusal) -> &'static str {
    if *refusal == Refusal::AccountsMoved { "AccountsMoved" } else { "SuspensionsMoved" }
}

fn hold_word(refusal: &Refusal) -> &'static str {
    if *refusal == Refusal::NotOnHold { "NotOnHold" } else { "OnHold" }
}

fn window_word(refusal: &Refusal) -> &'static str {
    if let Refusal::WindowOpen(_) = refusal {
        "WindowOpen"
    } else if let Refusal::WindowTwice(_) = refusal {
        "WindowTwice"
    } else if let Refusal::WindowDisputed(_) = refusal {
        "WindowDisputed"
    } else {
        "WindowUnsealed"
    }
}

type Allowed = Result<(), &'static str>;

fn unless(refused: bool, word: &'static str) -> Allowed {
    if refused { Err(word) } else { Ok(()) }
}

/// Whose ids a caller's request ids are among: those of the desk, or its own.
fn whose(caller: &Caller) -> Option<String> {
    matches!(caller.role, Role::Facilitator | Role::Party).then(|| caller.name.clone())
}

impl State {
    /// Decides a command and, if it is done, does it, as the record `lsn`.
    pub(super) fn decide(
        &mut self,
        assets: &[Asset],
        lsn: u64,
        at: i64,
        command: &Command,
    ) -> Decided {
        let Command { envelope, wish } = command;
        let (request, operator) = (envelope.request.as_ref(), envelope.operator());
        if let Err(word) = self.acting(envelope, wish, at) {
            return Decided::Refused(word);
        }
        if let Some(Request { id, content }) = request
            && let Some((before, lsn, _)) =
                self.requests.get(&(whose(&envelope.caller), id.clone()))
        {
            let same = before == content;
            return if same { Decided::Before(*lsn) } else { Decided::Refused("RequestReused") };
        }
        let mut waits = None;
        let fact = match self.of_eyes((lsn, at), command) {
            Some(Err(word)) => return Decided::Refused(word),
            Some(Ok(_)) => None,
            None => match self.allowed_now(command, at) {
                Ok(fact) => fact,
                Err(word) => return Decided::Refused(word),
            },
        };
        if let (Wish::CloseWindow | Wish::CreateBatch(_), true) = (wish, self.eyes.on)
            && let Err(word) = self.has_own_key(&envelope.caller)
        {
            return Decided::Refused(word);
        }
        if let Some(event) = &fact {
            match self.waits(envelope, event, at) {
                Ok(waiting) => waits = waiting,
                Err(word) => return Decided::Refused(word),
            }
        }
        self.last = (lsn, at);
        self.applied = lsn;
        // Ids are forgotten by spans of five days: seven of them are remembered, the one that goes
        // on too.
        let span = |at: i64| at.div_euclid(5 * DAY);
        self.requests.retain(|_, (_, _, asked)| span(at) - span(*asked) < 7);
        if let Some(Request { id, content }) = request {
            let key = (whose(&envelope.caller), id.clone());
            self.requests.insert(key, (*content, lsn, at));
        }
        // Nobody asks again for what was answered before them.
        let remembered = self.requests.values().map(|(_, lsn, _)| *lsn).min().unwrap_or(lsn + 1);
        self.answers = self.answers.split_off(&remembered);
        if let Some(waiting) = waits {
            self.proposed(lsn, waiting);
        } else if let Some(event) = fact {
            self.record(lsn, operator, &event);
        }
        if let Wish::CloseWindow = wish {
            let open = self.windows.last_mut().expect("one window is open");
            open.cut = Some((lsn, at));
            self.windows.push(Window { first_lsn: lsn + 1, ..Window::default() });
        } else if let Wish::SealWindow(sealed) = wish {
            self.window_mut(sealed.window.0).sealed = true;
        } else if let Wish::CreateBatch(create) = wish {
            self.created(assets, (lsn, operator), create);
        }
        Decided::Now(lsn)
    }

    /// The key that a command registers, if it is done.
    pub(super) fn registers(&self, command: &Command) -> Option<SignerKey> {
        if let Wish::AddSigner { signer, .. } = &command.wish {
            return Some(signer.key());
        }
        let Wish::ConfirmProposal { proposal, .. } = &command.wish else { return None };
        let event = self.event_of(*proposal)?;
        let Event::Registry(RegistryEvent::SignerAdded(e)) = event else { return None };
        Some(e.signer)
    }

    /// The event of a command that may be done; `None` of a wish that makes none of its own.
    fn allowed_now(&self, command: &Command, at: i64) -> Result<Option<Event>, &'static str> {
        let (fact, wish) = (self.fact(command)?, &command.wish);
        if let Some(Event::Access(e)) = &fact {
            self.may_access(e, at)?;
        }
        if let Some(event) = &fact {
            self.allowed_event(&command.envelope, event)?;
        }
        if let (
            Wish::EraseParty { clear, .. },
            Some(Event::Registry(RegistryEvent::PartyErased(e))),
        ) = (wish, &fact)
        {
            self.may_erase(e, clear)?;
        }
        let key = self.keys.last().map_or(SignerKey::ZERO, |(key, _)| *key);
        if let Wish::CloseWindow = wish {
            let closed = self.windows.iter().rev().skip(1);
            let waiting = closed.take_while(|window| !window.sealed).count();
            unless(waiting >= UNSEALED_MAX, "SealingBehind")?;
        } else if let Wish::SealWindow(sealed) = wish {
            unless(sealed.key != key, "EngineKeyMoved")?;
        } else if let Wish::CreateBatch(create) = wish {
            unless(!self.still_has(create), "AccountsMoved")?;
            unless(create.key != key, "EngineKeyMoved")?;
            self.settleable(&numbers(create), create.head().asset.number.0)?;
        }
        if let Some(event) = &fact {
            self.own_affair(&command.envelope, event)?;
        }
        Ok(fact)
    }

    /// Whether what a batch was computed from is still there, whoever changed meanwhile.
    fn still_has(&self, create: &CreateBatch) -> bool {
        let head = create.head();
        let account = |(id, used): (&PartyId, &SealedAccount)| {
            let party = &self.parties[id];
            let mut on_rail =
                party.accounts.iter().filter(|own| own.rail == head.policy.rail.name());
            let same_name = party.name.as_ref() == Some(&used.name);
            same_name && on_rail.any(|own| own.fields == used.fields)
        };
        let deposit = |(id, before): &(PartyId, Total)| {
            let (before, now) = (before.0, self.free(*id, head.asset.number.0));
            let paid = head.prefunded.iter().find(|(of, _)| of == id).map_or(0, |(_, paid)| paid.0);
            // Who owes no more than their deposits pay is free to deposit more.
            let all_paid = head.asset.model == SettlementModel::Multilateral && paid < before;
            now == before || all_paid && paid <= now
        };
        create.used.accounts.iter().all(account) && create.used.free.iter().all(deposit)
    }

    pub(super) fn allowed_event(&self, envelope: &Envelope, event: &Event) -> Allowed {
        let operator = envelope.operator();
        match event {
            Event::Registry(e) => self.allowed_registry(e),
            Event::Key(KeyEvent::EngineSet(e)) => {
                let before = self.keys.iter().any(|(key, _)| *key == e.key);
                unless(before || envelope.request.is_none() != self.keys.is_empty(), "EngineKey")
            }
            Event::Batch(BatchEvent::Approved(e)) => self.may_approve(&envelope.caller, e.batch),
            Event::Batch(BatchEvent::Aborted(e)) => match self.batches.get(&e.batch) {
                None => Err("UnknownBatch"),
                // Nothing of it has left.
                Some((state, ..)) => {
                    let untouched = [BatchState::Computed, BatchState::Approved];
                    unless(!untouched.contains(state), "BatchState")
                }
            },
            Event::Window(WindowEvent::Disputed(e)) => self.disputable(e.window.0),
            Event::Window(WindowEvent::DisputeEnded(e)) => {
                let window = self.window(e.window.0).ok_or("UnknownWindow")?;
                unless(!window.disputed, "WindowState")
            }
            Event::Window(WindowEvent::Archived(e)) => {
                let window = self.window(e.window.0).ok_or("UnknownWindow")?;
                unless(window.cut.is_none(), "WindowOpen")?;
                unless(!window.sealed, "WindowUnsealed")?;
                unless(window.disputed, "WindowDisputed")?;
                unless(!window.can_leave(), "WindowState")
            }
            Event::Leg(LegEvent::Submitted(e)) => self.may_submit(e),
            Event::Leg(LegEvent::Moved(e)) => self.may_move(operator, e),
            Event::Leg(LegEvent::Booked(e)) => self.may_book(e),
            Event::Leg(LegEvent::Proposed(e)) => self.may_propose(operator, e),
            Event::Leg(LegEvent::Released(e)) => self.may_release(e),
            Event::Budget(e) => self.may_budget(e),
            Event::Endpoint(e) => self.may_endpoint(e),
            // What is asked of keys is decided as the event is made, and of identities by the time.
            Event::Access(_)
            | Event::Eyes(_)
            | Event::Hold(_)
            | Event::Key(KeyEvent::OperatorSet(_) | KeyEvent::OperatorRemoved(_))
            | Event::Trouble(TroubleEvent::Raised(_)) => Ok(()),
            Event::Trouble(TroubleEvent::Acked(e)) => {
                unless(!e.troubles.iter().all(|n| self.troubles.contains_key(n)), "UnknownTrouble")
            }
            Event::Window(WindowEvent::Cut(_) | WindowEvent::Sealed(_))
            | Event::Batch(BatchEvent::Computed(_)) => {
                unreachable!("nobody asks for {event:?} as it is")
            }
        }
    }

    fn may_approve(&self, caller: &Caller, id: BatchId) -> Allowed {
        let (state, batch, made) = self.batches.get(&id).ok_or("UnknownBatch")?;
        unless(*state != BatchState::Computed, "BatchState")?;
        // Four eyes are those of two people who have names, and keys that nobody else made.
        if batch.four_eyes || self.eyes.on {
            let one = caller.name.is_empty() || caller.name == batch.creator;
            unless(one, "SameOperator")?;
            unless(batch.creator.is_empty(), "NobodyMade")?;
            self.has_own_key(caller)?;
            unless(!self.did(&batch.creator, *made), "MadeWithOldKey")?;
        }
        self.may_leave()?;
        unless(!self.said_to_be_paid(id).is_empty(), "SaidToBePaid")?;
        let mut of = batch.windows.iter().filter_map(|number| self.window(*number));
        unless(of.any(|window| window.disputed), "WindowDisputed")
    }

    fn allowed_registry(&self, event: &RegistryEvent) -> Allowed {
        let party = |id: &PartyId| self.open_party(*id);
        let asset = |n: u32| unless(!self.assets.contains_key(&n), "UnknownAsset");
        match event {
            RegistryEvent::AssetCreated(e) => {
                let held = self.assets.get(&e.asset.number.0);
                unless(held.is_some_and(|held| *held != e.asset), "AssetDiffers")
            }
            RegistryEvent::SignerAdded(e) => {
                party(&e.party)?;
                e.caps.iter().try_for_each(|cap| asset(cap.asset.0))?;
                let Some(held) = self.signers.get(&e.signer) else { return Ok(()) };
                unless(held.revoked, "SignerRevoked")?;
                unless((held.party, &held.caps) != (e.party, &e.caps), "SignerDiffers")
            }
            RegistryEvent::SignerRevoked(e) => {
                unless(!self.signers.contains_key(&e.signer), "UnknownSigner")
            }
            RegistryEvent::LimitSet(e) => party(&e.party).and_then(|()| asset(e.asset.0)),
            RegistryEvent::Deposited(e) => {
                party(&e.party).and_then(|()| asset(e.asset.0))?;
                let before = self.deposits.get(&(e.party, e.asset.0)).copied().unwrap_or(0);
                let sum = before + e.amount.0;
                unless(sum > MONEY_MAX, "DepositsTooLarge")
            }
            // Looked at where the wish is.
            RegistryEvent::PartyUpserted(_) | RegistryEvent::PartyErased(_) => Ok(()),
        }
    }

    /// A party that was not erased.
    fn open_party(&self, party: PartyId) -> Allowed {
        let party = self.parties.get(&party).ok_or("UnknownParty")?;
        unless(party.erased, "PartyErased")
    }

    fn disputable(&self, number: u64) -> Allowed {
        let window = self.window(number).ok_or("UnknownWindow")?;
        unless(window.cut.is_none(), "WindowOpen")?;
        unless(window.disputed, "WindowDisputed")?;
        let approved = window.live.values().any(|id| self.batches[id].0 != BatchState::Computed);
        unless(approved, "WindowState")
    }

    pub(super) fn record(&mut self, lsn: u64, operator: &str, event: &Event) {
        match event {
            Event::Registry(RegistryEvent::AssetCreated(e)) => {
                self.assets.insert(e.asset.number.0, e.asset.clone());
            }
            Event::Registry(RegistryEvent::PartyUpserted(e)) => self.registered(e),
            Event::Registry(RegistryEvent::PartyErased(e)) => self.erase(e),
            Event::Registry(RegistryEvent::SignerAdded(SignerAdded {
                signer,
                party,
                caps,
                ..
            })) => {
                let added = Signer { party: *party, revoked: false, caps: caps.clone() };
                self.signers.entry(*signer).or_insert(added);
            }
            Event::Registry(RegistryEvent::SignerRevoked(e)) => {
                self.signers.get_mut(&e.signer).expect("it is known").revoked = true;
            }
            Event::Registry(RegistryEvent::LimitSet(e)) => {
                let owes = self.exposures.entry((e.party, e.asset.0)).or_default();
                owes.limit = e.limit.0;
                self.answers.insert(lsn, (e.party, e.asset.0, *owes));
                self.overtake(e);
            }
            Event::Registry(RegistryEvent::Deposited(e)) => {
                let owes = self.exposures.entry((e.party, e.asset.0)).or_default();
                owes.prefund += e.amount.0;
                self.answers.insert(lsn, (e.party, e.asset.0, *owes));
                *self.deposits.entry((e.party, e.asset.0)).or_default() += e.amount.0;
                self.directory += 1;
            }
            Event::Budget(e) => self.budgeted(e),
            Event::Endpoint(e) => self.endpointed(lsn, operator, e),
            Event::Access(e) => self.accessed(lsn, operator, e),
            Event::Eyes(_) => unreachable!("{event:?} is no event of its own here"),
            Event::Key(e) => self.key(lsn, e),
            Event::Batch(BatchEvent::Approved(e)) => self.approve(e.batch, operator),
            Event::Batch(BatchEvent::Aborted(e)) => self.aborted(e.batch),
            Event::Window(WindowEvent::Disputed(e)) => self.window_mut(e.window.0).disputed = true,
            Event::Window(WindowEvent::DisputeEnded(e)) => {
                self.window_mut(e.window.0).disputed = false
            }
            Event::Window(WindowEvent::Archived(e)) => {
                self.window_mut(e.window.0).archived = true;
            }
            Event::Leg(LegEvent::Submitted(e)) => self.submit(e),
            Event::Leg(LegEvent::Moved(e)) => self.moved(e),
            Event::Leg(LegEvent::Booked(e)) => self.booked(e),
            Event::Leg(LegEvent::Proposed(e)) => self.propose(operator, e),
            Event::Leg(LegEvent::Released(e)) => self.release(e),
            Event::Trouble(e) => self.troubled(e),
            Event::Hold(HoldEvent::Begun(_)) => self.held = Some(lsn),
            Event::Hold(HoldEvent::Released(_)) => self.held = None,
            Event::Window(WindowEvent::Cut(_) | WindowEvent::Sealed(_))
            | Event::Batch(BatchEvent::Computed(_)) => {
                unreachable!("nobody asks for {event:?} as it is")
            }
        }
    }

    fn troubled(&mut self, event: &TroubleEvent) {
        match event {
            TroubleEvent::Raised(e) => {
                for trouble in &e.troubles {
                    self.raised += 1;
                    self.troubles.insert(self.raised, Told::new(trouble));
                }
            }
            TroubleEvent::Acked(e) => {
                self.troubles.retain(|number, _| !e.troubles.contains(number));
            }
        }
    }

    fn created(&mut self, assets: &[Asset], (lsn, operator): (u64, &str), create: &CreateBatch) {
        let (id, asset) = (create.head().id, create.head().asset.number.0);
        let windows = numbers(create);
        // Computed before it is marked, as its windows say.
        let batch = self.compute(assets, &windows, asset);
        let mut batch = batch.unwrap_or_else(|word| panic!("a batch is made that is {word}"));
        operator.clone_into(&mut batch.creator);
        batch.four_eyes = create.four_eyes;
        for number in windows {
            self.window_mut(number).live.insert(asset, id);
        }
        for (party, amount) in &batch.prefunded {
            *self.pledged.entry((*party, asset)).or_default() += amount;
            self.directory += 1;
        }
        self.computed.insert(lsn, id);
        self.batches.insert(id, (BatchState::Computed, batch, lsn));
    }

    /// Nothing of it has left: its windows and deposits are free again.
    fn aborted(&mut self, id: BatchId) {
        let (state, batch, _) = self.batches.get_mut(&id).expect("it is known");
        *state = BatchState::Aborted;
        let Batch { windows, asset, prefunded, .. } = batch.clone();
        for number in windows {
            self.window_mut(number).live.remove(&asset);
        }
        for (party, amount) in &prefunded {
            *self.pledged.get_mut(&(*party, asset)).expect("it was pledged") -= amount;
            self.directory += 1;
        }
    }
}

fn numbers(create: &CreateBatch) -> Vec<u64> {
    create.head().windows.iter().map(|window| window.0).collect()
}
