//! Identities: added, revoked, known by something else, and listed. No key is ever seen here: who
//! makes one keeps it, and sends its digest.

use super::access::Own;
use super::held::Edge;
use super::messages::{asked, asks, bytes, id};
use super::proposals;
use super::status::invalid;
use crate::ledger::control::identity;
use crate::ledger::event::IdentityAdded;
use crate::ledger::{Caller, Credential, Identity, Role, Scope, Wish};
use crate::pipeline::Done;
use crate::settle::Engine;
use crate::types::{Digest, Lsn, PartyId, SignerKey, Timestamp};
use crate::verify::fit_key;
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Status;

asks! {
    AddIdentityRequest "AddIdentity",
    RevokeIdentityRequest "RevokeIdentity",
    RotateIdentityRequest "RotateIdentity",
}

const MICROS: i64 = 1_000_000;

/// Gives somebody an identity.
pub(super) async fn add(
    engine: &Engine,
    edge: &Edge,
    caller: Caller,
    message: v1::AddIdentityRequest,
) -> Result<v1::Identity, Status> {
    let (request, message) = asked(message)?;
    let role = role(message.role())?;
    let credential = credential(message.credential)?;
    let scope = Scope {
        parties: parties(&message.party_ids, "party_ids")?,
        payees: parties(&message.payees, "payees")?,
    };
    let expires_at = match message.expires_at {
        0 => None,
        seconds => Some(Timestamp(seconds.checked_mul(MICROS).ok_or_else(|| {
            invalid("expires_at is further away than any time that there will be")
        })?)),
    };
    let (name, rate) = (message.name, message.rate);
    // From the first identity on nobody operates unnamed.
    if caller.role == Role::Anyone && role != Role::Operator {
        return Err(Status::failed_precondition(
            "nobody operates this engine by name, and from its first identity on nobody does \
             unnamed: add an operator first (`tallystick access add --role operator`, or `tallystick \
             access bootstrap`)",
        ));
    }
    // What the journal says somebody did is one person's doing.
    if edge.operators.has(&name) {
        return Err(Status::already_exists(format!(
            "{name:?} is the name of an operator in the configuration; choose another"
        )));
    }
    let added = IdentityAdded { name: name.clone(), role, credential, scope, expires_at, rate };
    let asked = identity(Lsn(0), &added, Some(&caller.name));
    let done = engine.tell(Wish::AddIdentity(added).by(caller, request)).await?;
    let proposal = proposals::of(engine, &done);
    if !proposal.is_empty() {
        return Ok(v1::Identity { proposal, ..self::message(Lsn(0), &asked) });
    }
    // A retry whose proposal was not confirmed.
    let found = one(engine, &name).await;
    found.map_err(|error| if matches!(done, Done::Before(_)) { proposals::ended() } else { error })
}

/// An identity counts no more.
pub(super) async fn revoke(
    engine: &Engine,
    caller: Caller,
    message: v1::RevokeIdentityRequest,
) -> Result<v1::Identity, Status> {
    let (request, message) = asked(message)?;
    let name = message.name;
    engine.tell(Wish::RevokeIdentity { name: name.clone() }.by(caller, request)).await?;
    one(engine, &name).await
}

/// An identity is known by something else.
pub(super) async fn rotate(
    engine: &Engine,
    caller: Caller,
    message: v1::RotateIdentityRequest,
) -> Result<v1::Identity, Status> {
    let (request, message) = asked(message)?;
    let (name, credential) = (message.name, credential(message.credential)?);
    let wish = Wish::RotateIdentity { name: name.clone(), credential };
    let done = engine.tell(wish.by(caller, request)).await?;
    let identity = one(engine, &name).await?;
    Ok(v1::Identity { proposal: proposals::of(engine, &done), ..identity })
}

/// Those that may be seen, oldest first.
pub(super) async fn list(engine: &Engine, own: &Own) -> Result<Vec<v1::Identity>, Status> {
    let found = engine.ask(|control| {
        let all = control.identities().all();
        let seen = all.filter(|(_, of)| own.name().is_none_or(|name| name == of.name));
        Ok(seen.map(|(lsn, of)| message(lsn, of)).collect())
    });
    Ok(found.await?)
}

/// An identity as it is now, also for a retry.
async fn one(engine: &Engine, name: &str) -> Result<v1::Identity, Status> {
    let found = engine.ask(|control| {
        let identities = control.identities();
        let of = identities.named(name)?;
        Ok(message(identities.place(name).expect("a named one has a place"), of))
    });
    Ok(found.await?)
}

fn role(role: v1::Role) -> Result<Role, Status> {
    Ok(match role {
        v1::Role::Facilitator => Role::Facilitator,
        v1::Role::Party => Role::Party,
        v1::Role::Operator => Role::Operator,
        v1::Role::Approver => Role::Approver,
        v1::Role::Auditor => Role::Auditor,
        v1::Role::Unspecified => {
            return Err(invalid("role is missing, or one that this engine does not know"));
        }
    })
}

fn credential(message: Option<v1::Credential>) -> Result<Credential, Status> {
    match message.and_then(|message| message.kind) {
        Some(v1::credential::Kind::KeyDigest(digest)) => {
            Ok(Credential::Key(id::<Digest>(&digest, "credential.key_digest")?))
        }
        Some(v1::credential::Kind::PublicKey(key)) => {
            let key: SignerKey = id(&key, "credential.public_key")?;
            fit_key(key).map_err(|error| invalid(format!("credential.public_key: {error}")))?;
            Ok(Credential::Signed(key))
        }
        Some(v1::credential::Kind::Certificate(name)) => Ok(Credential::Certificate(name)),
        None => Err(invalid(
            "credential is missing: the digest of a key, a public key, or the name in a certificate",
        )),
    }
}

fn parties(list: &[Bytes], field: &str) -> Result<Vec<PartyId>, Status> {
    let all = list.iter().map(|bytes| id::<PartyId>(bytes, field));
    let mut all = all.collect::<Result<Vec<_>, Status>>()?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Who may know its key besides its owner.
fn made_by(of: &Identity) -> String {
    match of.maker.as_deref() {
        Some("") => "anyone".to_owned(),
        maker => maker.unwrap_or_default().to_owned(),
    }
}

fn message(added: Lsn, of: &Identity) -> v1::Identity {
    let role = match of.role {
        Role::Facilitator => v1::Role::Facilitator,
        Role::Party => v1::Role::Party,
        Role::Operator => v1::Role::Operator,
        Role::Approver => v1::Role::Approver,
        Role::Auditor => v1::Role::Auditor,
        Role::Engine | Role::Anyone => v1::Role::Unspecified,
    };
    let (public_key, certificate) = match &of.credential {
        Credential::Key(_) => (Bytes::new(), String::new()),
        Credential::Signed(key) => (bytes(&key.0), String::new()),
        Credential::Certificate(name) => (Bytes::new(), name.clone()),
    };
    let ids = |list: &[PartyId]| list.iter().map(|party| bytes(&party.0)).collect();
    v1::Identity {
        name: of.name.clone(),
        role: role.into(),
        kind: of.credential.via().name().to_owned(),
        public_key,
        certificate,
        party_ids: ids(&of.scope.parties),
        payees: ids(&of.scope.payees),
        expires_at: of.expires_at.map_or(0, Timestamp::seconds),
        rate: of.rate,
        added_lsn: added.0,
        changed_lsn: of.changed.0,
        revoked_lsn: of.revoked.map_or(0, |lsn| lsn.0),
        proposal: Bytes::new(),
        made_by: made_by(of),
    }
}
