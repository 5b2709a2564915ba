//! Identities by hand: who there is, and what each may want, as ADR 21 says it in words.

use super::State;
use tallystick::ledger::event::{AccessEvent, BudgetEvent, RegistryEvent};
use tallystick::ledger::{Caller, Credential, Envelope, Event, IdentityMisfit, Role, Wish};
use tallystick::types::PartyId;

/// Most bytes of a name.
const NAME_MAX: usize = 64;

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its role.
    pub role: Role,
    /// By what it is known.
    pub credential: Credential,
    /// Whose it is.
    pub parties: Vec<PartyId>,
    /// Its end, if it has one.
    pub until: Option<i64>,
    /// Whether somebody revoked it.
    pub revoked: bool,
    /// Who made its key, and may know it.
    pub maker: Option<String>,
    /// By what it was known before.
    pub past: Vec<Credential>,
    /// The record since which it is known by what it is.
    pub changed: u64,
}

/// The word for a refusal about them.
pub(super) fn word(misfit: &IdentityMisfit) -> &'static str {
    match misfit {
        IdentityMisfit::Name(_)
        | IdentityMisfit::CertificateName { .. }
        | IdentityMisfit::Role { .. }
        | IdentityMisfit::NoParty
        | IdentityMisfit::NoScope { .. }
        | IdentityMisfit::Scope
        | IdentityMisfit::Over => "IdentityUnfit",
        IdentityMisfit::NameTaken(_) | IdentityMisfit::CredentialTaken(_) => "IdentityTaken",
        IdentityMisfit::TooMany | IdentityMisfit::TooOften(_) => "Full",
        IdentityMisfit::Unknown(_) => "IdentityUnknown",
        IdentityMisfit::Revoked(_) => "IdentityRevoked",
        IdentityMisfit::Expired(_) => "IdentityExpired",
        IdentityMisfit::Rotated(_) => "IdentityRotated",
        IdentityMisfit::OtherKind(_) => "IdentityOtherKind",
        IdentityMisfit::NotAllowed { .. } => "NotAllowed",
        IdentityMisfit::NotOwn { .. } => "NotOwn",
    }
}

type Allowed = Result<(), &'static str>;

impl State {
    fn in_force(&self, name: &str, at: i64) -> Result<&Known, &'static str> {
        let known = self.identities.get(name).ok_or("IdentityUnknown")?;
        if known.revoked {
            return Err("IdentityRevoked");
        }
        match known.until {
            Some(until) if at >= until => Err("IdentityExpired"),
            Some(_) | None => Ok(known),
        }
    }

    /// Whether who asks has a key that nobody else has made.
    pub(super) fn has_own_key(&self, caller: &Caller) -> Allowed {
        let known = self.identities.get(&caller.name);
        let own = known.is_none_or(|known| known.maker.is_none());
        if own || !caller.via.is_of_identities() { Ok(()) } else { Err("KeyOfAnother") }
    }

    /// Whether who is known by this name now, by a key of their own, did what a record says.
    pub(super) fn did(&self, name: &str, lsn: u64) -> bool {
        let known = self.identities.get(name);
        known.is_none_or(|known| known.maker.is_none() && known.changed < lsn)
    }

    /// Whether who asks as an identity is one now, with a role that may want such a thing.
    pub(super) fn acting(&self, envelope: &Envelope, wish: &Wish, at: i64) -> Allowed {
        let caller = &envelope.caller;
        if !caller.via.is_of_identities() {
            return Ok(());
        }
        let known = self.in_force(&caller.name, at)?;
        if (known.role, known.credential.via()) != (caller.role, caller.via) {
            return Err("IdentityRotated");
        }
        let rotates = matches!(wish, Wish::RotateIdentity { .. });
        let may = match known.role {
            Role::Operator => true,
            Role::Approver => {
                let approves = matches!(
                    wish,
                    Wish::ApproveBatch { .. }
                        | Wish::AbortBatch { .. }
                        | Wish::DisputeWindow { .. }
                        | Wish::EndDispute { .. }
                        | Wish::ResolveLeg { .. }
                        | Wish::SetOperatorKey { .. }
                        | Wish::RemoveOperatorKey { .. }
                        | Wish::ConfirmProposal { .. }
                        | Wish::WithdrawProposal { .. }
                        | Wish::ReleaseHold { .. }
                );
                approves || rotates
            }
            Role::Party => {
                let of_signers = matches!(
                    wish,
                    Wish::AddSigner { .. }
                        | Wish::RevokeSigner { .. }
                        | Wish::SetBudgets { .. }
                        | Wish::AddEndpoint { .. }
                        | Wish::RemoveEndpoint { .. }
                        | Wish::RotateEndpoint { .. }
                );
                of_signers || rotates
            }
            Role::Facilitator | Role::Auditor => rotates,
            Role::Engine | Role::Anyone => unreachable!("no identity has this role"),
        };
        if may { Ok(()) } else { Err("NotAllowed") }
    }

    /// Whether what an identity does is its own affair, where it must be.
    pub(super) fn own_affair(&self, envelope: &Envelope, event: &Event) -> Allowed {
        let caller = &envelope.caller;
        if !caller.via.is_of_identities() || caller.role == Role::Operator {
            return Ok(());
        }
        let own = &self.identities[&caller.name].parties;
        let signs_for = |key| self.signers.get(key).map(|signer| signer.party);
        let party = if let Event::Registry(RegistryEvent::SignerAdded(e)) = event {
            Some(e.party)
        } else if let Event::Registry(RegistryEvent::SignerRevoked(e)) = event {
            signs_for(&e.signer)
        } else if let Event::Budget(BudgetEvent::Set(e)) = event {
            signs_for(&e.signer)
        } else if let Event::Endpoint(e) = event {
            Some(e.party())
        } else if let Event::Access(AccessEvent::Rotated(e)) = event {
            return if e.name == caller.name { Ok(()) } else { Err("NotOwn") };
        } else {
            return Ok(());
        };
        if party.is_some_and(|party| own.contains(&party)) { Ok(()) } else { Err("NotOwn") }
    }

    pub(super) fn may_access(&self, event: &AccessEvent, at: i64) -> Allowed {
        let held = |credential: &Credential| {
            let mut all = self.identities.values();
            all.any(|known| known.credential == *credential || known.past.contains(credential))
        };
        match event {
            AccessEvent::Added(e) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
                let (parties, payees) = (&e.scope.parties, &e.scope.payees);
                let ordered = |list: &Vec<PartyId>| list.windows(2).all(|two| two[0] < two[1]);
                let bare = parties.is_empty() && payees.is_empty() && e.rate == 0;
                let of_party = !parties.is_empty() && payees.is_empty() && e.rate == 0;
                let fits = bare && e.role != Role::Party
                    || of_party && e.role == Role::Party
                    || e.role == Role::Facilitator;
                let named = !e.name.is_empty() && e.name.len() <= NAME_MAX;
                let fits = fits && named && e.name.chars().all(plain);
                let over = e.expires_at.is_some_and(|until| until.0 <= at);
                if !fits || !ordered(parties) || !ordered(payees) || over {
                    return Err("IdentityUnfit");
                }
                let configured = self.eyes.operators.contains(&e.name);
                if configured || self.identities.contains_key(&e.name) || held(&e.credential) {
                    return Err("IdentityTaken");
                }
                let mut all = parties.iter().chain(payees);
                let known = all.all(|party| self.parties.contains_key(party));
                if known { Ok(()) } else { Err("UnknownParty") }
            }
            AccessEvent::Revoked(e) => match self.identities.contains_key(&e.name) {
                true => Ok(()),
                false => Err("IdentityUnknown"),
            },
            AccessEvent::Rotated(e) => {
                let known = self.in_force(&e.name, at)?;
                if known.credential.via() != e.credential.via() {
                    return Err("IdentityOtherKind");
                }
                if held(&e.credential) { Err("IdentityTaken") } else { Ok(()) }
            }
        }
    }

    /// An event about identities happens.
    pub(super) fn accessed(&mut self, changed: u64, maker: &str, event: &AccessEvent) {
        // Who has certificates signed is trusted with what they say.
        let made = |credential: &Credential| match credential {
            Credential::Certificate(_) => None,
            Credential::Key(_) | Credential::Signed(_) => Some(maker.to_owned()),
        };
        match event {
            AccessEvent::Added(e) => {
                let (role, credential) = (e.role, e.credential.clone());
                let (parties, until) = (e.scope.parties.clone(), e.expires_at.map(|at| at.0));
                let (maker, past) = (made(&credential), Vec::new());
                let revoked = false;
                let known =
                    Known { role, credential, parties, until, revoked, maker, past, changed };
                self.identities.insert(e.name.clone(), known);
                self.count_eyes();
            }
            AccessEvent::Revoked(e) => {
                self.identities.get_mut(&e.name).expect("it is known").revoked = true;
            }
            AccessEvent::Rotated(e) => {
                let known = self.identities.get_mut(&e.name).expect("it is known");
                known.maker = made(&e.credential).filter(|maker| *maker != e.name);
                known.changed = changed;
                known.past.push(std::mem::replace(&mut known.credential, e.credential.clone()));
            }
        }
    }
}
