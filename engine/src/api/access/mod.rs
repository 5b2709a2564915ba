//! Who calls, and whether they may: from a token, a signed token or the name in a certificate to a
//! caller with a role and a scope, by the table of rights and the control state as it is now.
//!
//! Owns the one place where a caller by gRPC is made. What may be done is the ledger's to say
//! (`rights`), which decides again on all that is journaled.

mod allowance;
mod denied;
mod gate;
mod known;
mod operators;
mod own;
mod signed;

pub(in crate::api) use allowance::Allowance;
pub(in crate::api) use denied::Denied;
pub use denied::Refused;
pub use gate::Gated;
pub(in crate::api) use known::Known;
pub use operators::Operators;
pub(in crate::api) use own::{Own, Screened, merged};

use super::door::{Holder, Peer};
use super::trail;
use crate::ledger::{
    Call, Caller, Control, Credential, Identity, IdentityMisfit, Right, Role, Via,
};
use crate::limits::ACCESS_LOOK_EVERY;
use crate::pipeline;
use crate::settle::Engine;
use crate::types::{ApiKey, Digest, Lsn, NotAKey, SignerKey, Timestamp, token_digest};
use allowance::Allowances;
use hyper::HeaderMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tonic::{Request, Status};

const SCHEME: &str = "Bearer ";

/// How a listener is reached.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// From other machines, too.
    pub away: bool,
    /// By those alone who have a certificate by the right authority.
    pub certified: bool,
}

/// Decides who may make which call at one listener. Cheap to clone; what an identity may have is
/// one for all listeners.
#[derive(Clone)]
pub struct Access {
    reach: Reach,
    all: Arc<Inner>,
}

struct Inner {
    operators: Operators,
    engine: Engine,
    refused: Refused,
    allowances: Allowances,
    /// Rises when somebody may do less than before.
    changes: watch::Sender<u64>,
}

/// Who makes a call that was let in, among its extensions.
#[derive(Clone)]
pub(in crate::api) struct Entrant {
    /// Who calls.
    pub caller: Caller,
    /// The identity, if it is one, with the record that gave it its credential.
    identity: Option<Arc<Identity>>,
    /// What that may have.
    pub allowance: Option<Arc<Allowance>>,
    /// The digest of the token, if it is an operator of the configuration.
    token: Option<Digest>,
    call: Call,
}

impl Access {
    /// For these operators of the configuration, and the engine's identities.
    #[must_use]
    pub fn new(operators: Operators, reach: Reach, engine: Engine, refused: Refused) -> Self {
        let (changes, _) = watch::channel(0);
        let allowances = Allowances::default();
        let all = Arc::new(Inner { operators, engine, refused, allowances, changes });
        Self { reach, all }
    }

    /// The same at another listener: whoever comes by both has what one may have, and no more.
    #[must_use]
    pub fn also(&self, reach: Reach) -> Self {
        Self { reach, all: self.all.clone() }
    }

    /// Looks, until nobody is interested any more, whether somebody may do less than before.
    pub async fn watch(self) {
        let mut every = tokio::time::interval(ACCESS_LOOK_EVERY);
        loop {
            every.tick().await;
            let now = pipeline::now();
            let seen = self.control(|control| {
                let identities = control.identities();
                let ended = identities.all().filter(|(_, of)| of.check_in_force(now).is_err());
                let ended = u64::try_from(ended.count()).unwrap_or(u64::MAX);
                identities.changes() + self.all.operators.changes() + ended
            });
            self.all.changes.send_if_modified(|before| {
                let differs = *before != seen;
                *before = seen;
                differs
            });
        }
    }

    /// The control state now, durable or not: who was revoked is so at once, and what somebody new
    /// does is in a record behind the one that added them.
    fn control<T>(&self, look: impl FnOnce(&Control) -> T) -> T {
        match self.all.engine.standing(|control| Ok(look(control))) {
            Ok(found) => found,
            Err(_) => unreachable!("nothing refuses a look"),
        }
    }

    /// Whether an identity has this name, or had it: no operator of the configuration may.
    #[must_use]
    pub fn is_identity(&self, name: &str) -> bool {
        self.control(|control| control.identities().named(name).is_ok())
    }

    /// Whether an identity may operate now.
    #[must_use]
    pub fn has_operator(&self) -> bool {
        let now = pipeline::now();
        self.control(|control| control.identities().operators(now) > 0)
    }

    /// Whether vouchers are taken of whoever brings them.
    fn brings_anybody(&self, control: &Control) -> bool {
        let Reach { away, certified } = self.reach;
        (!away || certified) && !control.identities().had_facilitator()
    }

    /// Whether anybody may operate: as long as nobody ever was known by name.
    fn operates_anybody(&self, control: &Control) -> bool {
        !self.all.operators.had_any() && !control.identities().had_any()
    }

    /// Who makes a call, if they may make it.
    ///
    /// # Errors
    /// `Denied`: it is counted.
    pub(in crate::api) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Entrant, Denied> {
        let call = Call::at(path).ok_or(Denied::NoSuchCall);
        let call = call.inspect_err(|denied| self.all.refused.note(denied))?;
        self.admit_to(call, headers, peer)
    }

    /// Who makes this call, in whatever words, if they may make it.
    ///
    /// # Errors
    /// `Denied`: it is counted.
    pub(in crate::api) fn admit_to(
        &self,
        call: Call,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Entrant, Denied> {
        let now = pipeline::now();
        let presented = self.presented(headers, now);
        let admitted = self.control(|control| self.entrant(control, call, presented, peer, now));
        admitted.inspect_err(|denied| self.all.refused.note(denied))
    }

    /// The registered key of an agent that signed the token that is carried: it has no identity,
    /// and may ask about its own channels.
    pub(in crate::api) fn agent(&self, headers: &HeaderMap) -> Option<SignerKey> {
        let token = token(headers.get("authorization")?.to_str().ok()?)?;
        let engine = &self.all.engine;
        let key_of = |name: &str| {
            let key = name.parse::<SignerKey>().ok();
            key.filter(|key| engine.payer_of(*key).is_some())
        };
        let is_one = signed::looks_like_one(token);
        let found = is_one.then(|| signed::check(token, engine.network(), pipeline::now(), key_of));
        found.and_then(Result::ok)
    }

    fn entrant(
        &self,
        control: &Control,
        call: Call,
        presented: Presented,
        peer: Option<&Peer>,
        now: Timestamp,
    ) -> Result<Entrant, Denied> {
        let anyone = || {
            trail::is_by("", Role::Anyone.name());
            Entrant::unnamed(Caller::grpc(String::new()), None, call)
        };
        // Whoever signs a token must know for which network: that is no secret.
        if call == Call::GetNetwork {
            return Ok(anyone());
        }
        let open = match call.is_of_vouchers() {
            true => self.brings_anybody(control),
            false => self.operates_anybody(control),
        };
        let found = match presented {
            Presented::Nothing => by_certificate(control, peer, now),
            Presented::Operator(name, token) => Ok(Some(Found::Operator(name, token))),
            Presented::Credential(credential) => {
                credential.and_then(|credential| known(control, &credential, now)).map(Some)
            }
        };
        // A token that nobody has is a mistake that somebody should know of, also where the door is
        // open to whoever sends none.
        let Some(found) = found? else {
            return match (open, call.is_of_vouchers()) {
                (true, _) => Ok(anyone()),
                (false, true) => Err(Denied::NobodyBrings),
                (false, false) => Err(Denied::NobodyOperates),
            };
        };
        match &found {
            Found::Operator(name, _) => trail::is_by(name, Role::Operator.name()),
            Found::Identity(of) => trail::is_by(&of.name, of.role.name()),
        }
        match found {
            Found::Operator(name, token) => {
                Ok(Entrant::unnamed(Caller::grpc(name), Some(token), call))
            }
            Found::Identity(of) => {
                let place = control.identities().place(&of.name).expect("it was found there");
                let allowance = self.all.allowances.of(place, of);
                if call.right(of.role) == Right::Refused {
                    // It counts all the same, and many make none of the desk's lines go.
                    if allowance.call(call).is_err() {
                        trail::is_too_often();
                    }
                    return Err(Denied::role(of.role.name(), call));
                }
                Ok(Entrant {
                    caller: Caller::identity(of),
                    identity: Some(Arc::new(of.clone())),
                    allowance: Some(allowance),
                    token: None,
                    call,
                })
            }
        }
    }

    /// What a call carries. Hashing and checking signatures take their time, and nobody waits for
    /// them: no lock is held.
    fn presented(&self, headers: &HeaderMap, now: Timestamp) -> Presented {
        // A header that is no text is no token.
        let header = headers.get("authorization").map(|header| header.to_str().unwrap_or_default());
        let Some(header) = header else { return Presented::Nothing };
        let token = token(header).unwrap_or_default();
        if token.is_empty() {
            return Presented::Credential(Err(Denied::Unknown));
        }
        let digest = token_digest(token);
        if let Some(name) = self.all.operators.known_by(&digest) {
            return Presented::Operator(name, digest);
        }
        if signed::looks_like_one(token) {
            let key_of = |name: &str| self.control(|control| key_of(control, name));
            let signed = signed::check(token, self.all.engine.network(), now, key_of);
            return Presented::Credential(signed.map(Credential::Signed));
        }
        Presented::Credential(match ApiKey::check(token) {
            // Looked up by its digest, which tells nobody what the key is like.
            Ok(()) => Ok(Credential::Key(digest)),
            Err(NotAKey::Mistyped) => Err(Denied::Mistyped),
            Err(NotAKey::OfAnotherForm) => Err(Denied::Unknown),
        })
    }

    /// Whether who was let in still may.
    fn still(&self, entrant: &Entrant) -> Result<(), Denied> {
        let now = pipeline::now();
        if let Some(token) = &entrant.token {
            let is_one = self.all.operators.is(&entrant.caller.name, token);
            return if is_one { Ok(()) } else { Err(Denied::NoOperator) };
        }
        self.control(|control| {
            let Some(identity) = &entrant.identity else {
                let is_open = match entrant.call.is_of_vouchers() {
                    true => self.brings_anybody(control),
                    false => self.operates_anybody(control),
                };
                let is_anyone = entrant.caller.role == Role::Anyone;
                let must_leave = is_anyone && !is_open && entrant.call != Call::GetNetwork;
                return if must_leave { Err(Denied::Locked) } else { Ok(()) };
            };
            let as_who: (Role, Via) = (identity.role, identity.credential.via());
            let of = control.identities().acts(&identity.name, as_who, now)?;
            let same: (Lsn, Lsn) = (of.changed, identity.changed);
            match same.0 == same.1 {
                true => Ok(()),
                false => Err(IdentityMisfit::Rotated(identity.name.clone()).into()),
            }
        })
    }

    /// Comes at this time, when who was let in may be answered.
    ///
    /// # Errors
    /// Earlier, with what they are told, when they may not go on.
    pub(in crate::api) async fn held(&self, entrant: &Entrant, at: Instant) -> Result<(), Status> {
        if at <= Instant::now() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => Ok(()),
            told = self.clone().ended(entrant.clone()) => Err(told),
        }
    }

    /// Comes when who was let in may not go on, with what they are told.
    pub(in crate::api) async fn ended(self, entrant: Entrant) -> Status {
        let mut changes = self.all.changes.subscribe();
        loop {
            if let Err(denied) = self.still(&entrant) {
                self.all.refused.note(&denied);
                return denied.into();
            }
            // The sender is held here.
            let _ = changes.changed().await;
        }
    }
}

impl Entrant {
    /// Of who has no identity, but perhaps a token of the configuration.
    fn unnamed(caller: Caller, token: Option<Digest>, call: Call) -> Self {
        Self { caller, identity: None, allowance: None, token, call }
    }

    /// Who takes a place where there are few. Whoever operates unnamed is the desk, whoever brings
    /// vouchers unnamed a stranger.
    pub(in crate::api) fn holder(&self) -> Holder {
        let is_desk = match self.caller.role {
            Role::Facilitator | Role::Party => false,
            Role::Anyone => !self.call.is_of_vouchers(),
            Role::Engine | Role::Operator | Role::Approver | Role::Auditor => true,
        };
        Holder { identity: self.allowance.as_ref().map(|own| own.place()), is_desk }
    }
}

/// The token in a header.
fn token(header: &str) -> Option<&str> {
    let scheme = header.get(..SCHEME.len()).filter(|s| s.eq_ignore_ascii_case(SCHEME))?;
    header.get(scheme.len()..).map(str::trim)
}

enum Found<'a> {
    Operator(String, Digest),
    Identity(&'a Identity),
}

/// What a call carries.
enum Presented {
    Nothing,
    /// The token of this operator of the configuration, by its digest.
    Operator(String, Digest),
    Credential(Result<Credential, Denied>),
}

/// The key with which an identity signs, if it does.
fn key_of(control: &Control, name: &str) -> Option<SignerKey> {
    match &control.identities().named(name).ok()?.credential {
        Credential::Signed(key) => Some(*key),
        Credential::Key(_) | Credential::Certificate(_) => None,
    }
}

/// Whose a key is.
fn known<'a>(
    control: &'a Control,
    credential: &Credential,
    now: Timestamp,
) -> Result<Found<'a>, Denied> {
    // It has the form of an identity's, and nobody is let in by one for nothing.
    let of = control.identities().known_by(credential).ok_or(Denied::UnknownKey)?;
    of.check_in_force(now)?;
    Ok(Found::Identity(of))
}

fn by_certificate<'a>(
    control: &'a Control,
    peer: Option<&Peer>,
    now: Timestamp,
) -> Result<Option<Found<'a>>, Denied> {
    let Some(name) = peer.and_then(|peer| peer.certificate.clone()) else { return Ok(None) };
    let Some(of) = control.identities().known_by(&Credential::Certificate(name)) else {
        return Ok(None);
    };
    of.check_in_force(now)?;
    Ok(Some(Found::Identity(of)))
}

/// Who makes a call that was let in.
pub(in crate::api) fn caller<T>(request: &Request<T>) -> Caller {
    entrant(request).caller.clone()
}

/// What a call that was let in may be about.
pub(in crate::api) fn own<T>(request: &Request<T>) -> Own {
    entrant(request).own()
}

impl Entrant {
    /// What the call may be about.
    pub(in crate::api) fn own(&self) -> Own {
        let Self { identity, call, .. } = self;
        let is_own = |of: &Arc<Identity>| call.right(of.role) == Right::Own;
        Own::new(*call, identity.clone().filter(is_own))
    }
}

pub(in crate::api) fn entrant<T>(request: &Request<T>) -> &Entrant {
    request.extensions().get().expect("every call comes through the gate")
}
