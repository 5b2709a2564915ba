//! Four eyes by hand: what takes two, what waits for the second, and who that may be, as ADR 26
//! says it in words.

use super::State;
use super::commands::Decided;
use std::collections::{BTreeMap, BTreeSet};
use tallystick::ledger::control::PartyEntry;
use tallystick::ledger::event::{
    AccessEvent, BatchEvent, Change, CreditLimitSet, HoldEvent, KeyEvent, RegistryEvent,
    WindowEvent,
};
use tallystick::ledger::eyes::{
    credential_before, key_before, overtaken, party_before, proposal_id,
};
use tallystick::ledger::{Caller, Command, Envelope, Event, EyesMisfit, Role, Wish};
use tallystick::types::{Digest, Timestamp, Total, confirmation_statement};

/// Three days, in microseconds.
const LIFE: i64 = 3 * 24 * 3_600 * 1_000_000;

/// What waits for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub id: Digest,
    /// Who proposed it.
    pub proposer: String,
    /// When.
    pub at: i64,
    /// What happens.
    pub event: Event,
    /// What it replaces.
    pub before: Digest,
}

/// Whether two are needed, and what waits for the second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Eyes {
    /// Whether four eyes are on.
    pub on: bool,
    /// The operators of the configuration.
    pub operators: Vec<String>,
    /// Whether there ever were two.
    pub two: bool,
    /// By the record that proposed each.
    pub open: BTreeMap<u64, Waiting>,
}

/// The word for a refusal about them.
pub(super) fn word(misfit: &EyesMisfit) -> &'static str {
    match misfit {
        EyesMisfit::NobodyMade(_) => "NobodyMade",
        EyesMisfit::FirstTwo => "FirstTwo",
        EyesMisfit::NobodyProposes => "NobodyProposes",
        EyesMisfit::NoProposal(_) => "NoProposal",
        EyesMisfit::ProposalOver(_) => "ProposalOver",
        EyesMisfit::ProposalsFull { .. } => "Full",
        EyesMisfit::SameConfirmer { .. } => "SameConfirmer",
        EyesMisfit::ProposerGone { .. } => "ProposerGone",
        EyesMisfit::KeyOfAnother { .. } => "KeyOfAnother",
        EyesMisfit::MadeWithOldKey { .. } => "MadeWithOldKey",
        EyesMisfit::ChangedMeanwhile(_) => "ChangedMeanwhile",
    }
}

type Allowed<T> = Result<T, &'static str>;

impl State {
    fn counts(&self, name: &str, at: i64) -> bool {
        let is_one = |role| matches!(role, Role::Operator | Role::Approver);
        let known = self.identities.get(name);
        let in_force = known.is_some_and(|of| !of.revoked && of.until.is_none_or(|end| at < end));
        self.eyes.operators.iter().any(|of| of == name)
            || in_force && known.is_some_and(|of| is_one(of.role))
    }

    /// Whether an event takes two, while four eyes are on.
    fn is_grave(&self, caller: &Caller, event: &Event) -> bool {
        let grave = |role| matches!(role, Role::Operator | Role::Approver | Role::Party);
        if let Event::Registry(RegistryEvent::PartyUpserted(e)) = event {
            self.parties.get(&e.party).is_some_and(|held| {
                let renamed = held.name.as_ref() != Some(&e.name);
                renamed || held.accounts != e.accounts || held.suspended && !e.suspended
            })
        } else if let Event::Registry(RegistryEvent::SignerAdded(_)) = event {
            caller.role != Role::Party
        } else if let Event::Registry(RegistryEvent::LimitSet(e)) = event {
            e.limit > Total(0)
        } else if let Event::Access(AccessEvent::Added(e)) = event {
            grave(e.role)
        } else if let Event::Access(AccessEvent::Rotated(e)) = event {
            let own = caller.name == e.name && caller.via.is_of_identities();
            !own && grave(self.identities[&e.name].role)
        } else {
            matches!(
                event,
                Event::Registry(RegistryEvent::Deposited(_))
                    | Event::Key(KeyEvent::OperatorRemoved(_))
                    | Event::Hold(HoldEvent::Released(_))
            )
        }
    }

    /// Whether an event does nothing but protect, or is about the caller's own key.
    fn is_mild(&self, caller: &Caller, event: &Event) -> bool {
        if let Event::Registry(RegistryEvent::PartyUpserted(e)) = event {
            let known = self.parties.contains_key(&e.party);
            known && e.suspended && !self.is_grave(caller, event)
        } else if let Event::Registry(RegistryEvent::LimitSet(e)) = event {
            e.limit == Total(0)
        } else if let Event::Access(AccessEvent::Rotated(e)) = event {
            e.name == caller.name
        } else {
            matches!(
                event,
                Event::Registry(RegistryEvent::SignerRevoked(_))
                    | Event::Access(AccessEvent::Revoked(_))
                    | Event::Window(WindowEvent::Disputed(_))
                    | Event::Batch(BatchEvent::Aborted(_))
            )
        }
    }

    fn before(&self, event: &Event) -> Digest {
        if let Event::Registry(RegistryEvent::PartyUpserted(e)) = event {
            let entry = self.parties.get(&e.party).map(|held| PartyEntry {
                name: held.name.clone(),
                suspended: held.suspended,
                accounts: held.accounts.clone(),
                erasures: held.erasures,
            });
            party_before(entry.as_ref())
        } else if let Event::Key(KeyEvent::OperatorRemoved(e)) = event {
            key_before(self.own.get(&e.operator))
        } else if let Event::Access(AccessEvent::Rotated(e)) = event {
            credential_before(self.identities.get(&e.name).map(|known| &known.credential))
        } else {
            Digest::ZERO
        }
    }

    /// What waits from now on, where an event takes two; `None` where it stands at once.
    pub(super) fn waits(
        &self,
        envelope: &Envelope,
        event: &Event,
        at: i64,
    ) -> Allowed<Option<Waiting>> {
        let caller = &envelope.caller;
        if !self.eyes.on || caller.role == Role::Engine {
            return Ok(None);
        }
        if !self.is_mild(caller, event) {
            self.has_own_key(caller)?;
        }
        if !self.is_grave(caller, event) {
            return Ok(None);
        }
        if !self.eyes.two {
            let another = matches!(event, Event::Access(AccessEvent::Added(e))
                if matches!(e.role, Role::Operator | Role::Approver));
            return if another { Err("FirstTwo") } else { Ok(None) };
        }
        if !self.counts(&caller.name, at) || !caller.is_operator() {
            return Err("NobodyProposes");
        }
        let (proposer, before) = (caller.name.clone(), self.before(event));
        let change = Change::of(event.clone()).expect("it can be proposed");
        let request = envelope.request.as_ref().map_or("", |request| &request.id);
        let id = proposal_id(&change, before, (&proposer, request), Timestamp(at));
        Ok(Some(Waiting { id, proposer, at, event: event.clone(), before }))
    }

    pub(super) fn waiting(&self, id: Digest) -> Option<(u64, &Waiting)> {
        let mut all = self.eyes.open.iter().map(|(lsn, of)| (*lsn, of));
        all.find(|(_, of)| of.id == id)
    }

    /// What happens if it is confirmed.
    pub(super) fn event_of(&self, id: Digest) -> Option<Event> {
        self.waiting(id).map(|(_, of)| of.event.clone())
    }

    /// One that may be confirmed or withdrawn now.
    fn open_one(&self, id: Digest, at: i64) -> Allowed<&Waiting> {
        let (_, of) = self.waiting(id).ok_or("NoProposal")?;
        if of.at + LIFE <= at { Err("ProposalOver") } else { Ok(of) }
    }

    /// The event that happens if this is confirmed, and who proposed it.
    pub(super) fn confirmed(&self, command: &Command, at: i64) -> Allowed<(Event, String)> {
        let Command { envelope, wish } = command;
        let Wish::ConfirmProposal { proposal, signed } = wish else {
            unreachable!("{wish:?} confirms nothing")
        };
        let of = self.open_one(*proposal, at)?;
        let caller = &envelope.caller;
        let another = caller.is_operator() && self.counts(&caller.name, at);
        if !another || caller.name == of.proposer {
            return Err("SameConfirmer");
        }
        self.has_own_key(caller)?;
        let (lsn, _) = self.waiting(*proposal).expect("it is open");
        if !self.counts(&of.proposer, at) || !self.did(&of.proposer, lsn) {
            return Err("ProposerGone");
        }
        let over = confirmation_statement(self.network(), *proposal);
        self.signature(&caller.name, *signed, &over)?;
        let still_held = if let Event::Hold(HoldEvent::Released(e)) = &of.event {
            self.held == Some(e.restored.0)
        } else {
            true
        };
        if self.before(&of.event) != of.before || !still_held {
            return Err("ChangedMeanwhile");
        }
        if let Event::Access(e) = &of.event {
            self.may_access(e, at)?;
        }
        self.allowed_event(envelope, &of.event)?;
        Ok((of.event.clone(), of.proposer.clone()))
    }

    /// What these wishes do; `None` of all others.
    pub(super) fn of_eyes(
        &mut self,
        (lsn, at): (u64, i64),
        command: &Command,
    ) -> Option<Allowed<Decided>> {
        let caller = &command.envelope.caller;
        if let Wish::SetEyes(e) = &command.wish {
            (self.eyes.on, self.eyes.operators) = (e.on, e.operators.clone());
            self.count_eyes();
            Some(Ok(Decided::Now(lsn)))
        } else if let Wish::ConfirmProposal { proposal, .. } = &command.wish {
            Some(self.confirmed(command, at).map(|(event, proposer)| {
                let (place, _) = self.waiting(*proposal).expect("it is there");
                self.eyes.open.remove(&place);
                self.record(lsn, &proposer, &event);
                Decided::Now(lsn)
            }))
        } else if let Wish::WithdrawProposal { proposal, .. } = &command.wish {
            let open = self.open_one(*proposal, at).map(|_| ());
            let own = if self.eyes.on { self.has_own_key(caller) } else { Ok(()) };
            Some(match (open, caller.is_operator(), own) {
                (Err(word), ..) | (Ok(()), true, Err(word)) => Err(word),
                (Ok(()), false, _) => Err("NobodyProposes"),
                (Ok(()), true, Ok(())) => {
                    let (place, _) = self.waiting(*proposal).expect("it is there");
                    self.eyes.open.remove(&place);
                    Ok(Decided::Now(lsn))
                }
            })
        } else {
            None
        }
    }

    /// What would set a limit that is set now is not confirmed any more.
    pub(super) fn overtake(&mut self, set: &CreditLimitSet) {
        for of in self.eyes.open.values_mut() {
            if let Event::Registry(RegistryEvent::LimitSet(e)) = &of.event
                && (e.party, e.asset) == (set.party, set.asset)
            {
                of.before = overtaken();
            }
        }
    }

    /// It waits for another, and those that are over are forgotten.
    pub(super) fn proposed(&mut self, lsn: u64, waiting: Waiting) {
        self.eyes.open.retain(|_, of| of.at + LIFE > waiting.at);
        self.eyes.open.insert(lsn, waiting);
    }

    pub(super) fn count_eyes(&mut self) {
        let is_one = |role| matches!(role, Role::Operator | Role::Approver);
        let people = self.identities.iter().filter(|(_, of)| is_one(of.role));
        let people = people.map(|(name, _)| name).chain(&self.eyes.operators);
        self.eyes.two |= people.collect::<BTreeSet<_>>().len() >= 2;
    }
}
