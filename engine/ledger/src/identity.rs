//! Who has an identity with this engine: as the events say, one after the other. A name, a role, by
//! which credential it is known, for whom it acts, and until when. Pure rules; whether a key signed
//! what it should, or a digest is that of a key that was shown, is for the edge to find.

use crate::envelope::{Role, Via};
use crate::limits::{
    CERTIFICATE_NAME_BYTES_MAX, IDENTITIES_MAX, IDENTITY_NAME_BYTES_MAX, ROTATIONS_MAX,
    SCOPE_PARTIES_MAX,
};
use crate::types::{Digest, Lsn, PartyId, SignerKey, Timestamp};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::BTreeMap;

/// By what an identity is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Credential {
    /// An API key, of which only the digest is known.
    Key(Digest),
    /// A public key, whose owner signs a token for a few minutes.
    Signed(SignerKey),
    /// The name in a client's certificate.
    Certificate(String),
}

impl Credential {
    /// The way by which its owner comes.
    #[must_use]
    pub fn via(&self) -> Via {
        match self {
            Self::Key(_) => Via::Key,
            Self::Signed(_) => Via::Signed,
            Self::Certificate(_) => Via::Certificate,
        }
    }
}

/// For whom an identity acts. Both lists ascend; who a role is not for has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Scope {
    /// Of a facilitator: whose vouchers it may bring; none: everybody's. Of a party: whose owner it
    /// is.
    pub parties: Vec<PartyId>,
    /// Of a facilitator: whom the vouchers that it brings may pay; none: everybody.
    pub payees: Vec<PartyId>,
}

impl Scope {
    /// Whether vouchers of this payer may be brought.
    #[must_use]
    pub fn has_payer(&self, payer: PartyId) -> bool {
        self.parties.is_empty() || self.parties.binary_search(&payer).is_ok()
    }

    /// Whether vouchers may pay this payee.
    #[must_use]
    pub fn has_payee(&self, payee: PartyId) -> bool {
        self.payees.is_empty() || self.payees.binary_search(&payee).is_ok()
    }

    /// Whether a party is one of its own.
    #[must_use]
    pub fn owns(&self, party: PartyId) -> bool {
        self.parties.binary_search(&party).is_ok()
    }

    /// Whether it leaves nobody out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.parties.is_empty() && self.payees.is_empty()
    }
}

/// An identity, whether it is still in force or not.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Identity {
    /// Its name: its own for ever.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// By what it is known now.
    pub credential: Credential,
    /// For whom it acts.
    pub scope: Scope,
    /// From when on it counts no more; `None`: it has no end.
    pub expires_at: Option<Timestamp>,
    /// Vouchers that it may bring in a second; 0: as many as the engine takes.
    pub rate: u32,
    /// The record that gave it the credential that it has.
    pub changed: Lsn,
    /// The record that revoked it.
    pub revoked: Option<Lsn>,
    /// Who made the credential that it has, and may know it: an operator's name, empty where
    /// nobody had one. `None`: the identity itself, the owner of the machine, or whoever signs
    /// certificates.
    pub maker: Option<String>,
    /// By what it was known before: nobody is known by that ever again.
    pub past: Vec<Credential>,
}

/// Why an identity cannot be added or changed so, or may not do what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum IdentityMisfit {
    #[error(
        "{0:?} is no name for an identity: use 1 to {IDENTITY_NAME_BYTES_MAX} letters, digits and . _ - @, and not \
         \"schedule\""
    )]
    Name(String),
    #[error(
        "identity {0:?} exists, or existed; names are for ever: choose another, or give it another key (`tallystick \
         access rotate`)"
    )]
    NameTaken(String),
    #[error(
        "this key or certificate is known already, as that of identity {0:?}; give each its own"
    )]
    CredentialTaken(String),
    #[error(
        "the certificate's name has {length} bytes; it must have 1 to {CERTIFICATE_NAME_BYTES_MAX}"
    )]
    CertificateName { length: usize },
    #[error(
        "an identity cannot have role {role}; use facilitator, party, operator, approver or auditor"
    )]
    Role { role: &'static str },
    #[error("role party is for the owner of a party: say of which (`--party ID`)")]
    NoParty,
    #[error("role {role} acts for everybody; leave --party, --payee and --rate out")]
    NoScope { role: &'static str },
    #[error("a scope names 1 to {SCOPE_PARTIES_MAX} parties, each once and in order")]
    Scope,
    #[error("expires_at is not after now; an identity that has expired can do nothing")]
    Over,
    #[error("there were {IDENTITIES_MAX} identities, and no more are taken")]
    TooMany,
    #[error(
        "identity {0:?} had {ROTATIONS_MAX} keys, and takes no more; have a new one added (`tallystick access add`)"
    )]
    TooOften(String),
    #[error("identity {0:?} does not exist; `tallystick access list` shows those there are")]
    Unknown(String),
    #[error("identity {0:?} was revoked; have a new one added (`tallystick access add`)")]
    Revoked(String),
    #[error("identity {0:?} has expired; have a new one added (`tallystick access add`)")]
    Expired(String),
    #[error("identity {0:?} is known by something else by now; use its newest key")]
    Rotated(String),
    #[error(
        "the new credential of identity {0:?} is of another kind than the one it has; revoke it, and add another"
    )]
    OtherKind(String),
    #[error(
        "role {role} may not do this ({call}); docs/ACCESS.md says who may, and `tallystick access add` makes an \
         identity with another role"
    )]
    NotAllowed { role: &'static str, call: &'static str },
    #[error(
        "identity {name:?} has role {role}, and this ({call}) is about somebody who is not in its scope; ask an \
         operator (`tallystick access list` shows the scope)"
    )]
    NotOwn { name: String, role: &'static str, call: &'static str },
}

/// All identities that there ever were.
#[derive(Debug, Clone, Default)]
pub struct Identities {
    /// By the record that added each.
    all: BTreeMap<Lsn, Identity>,
    names: BTreeMap<String, Lsn>,
    /// What each is known by, or was: of those that were revoked too, so that it never comes back.
    credentials: BTreeMap<Credential, Lsn>,
    /// How many there ever were of each role that locks a door.
    operators: u64,
    facilitators: u64,
    /// How often any of them changed in this process.
    changes: u64,
}

impl PartialEq for Identities {
    /// All else follows from who there is; how often that changed is each process's own.
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

/// Whether a name can be an identity's.
///
/// # Errors
/// `IdentityMisfit::Name`.
pub fn check_name(name: &str) -> Result<(), IdentityMisfit> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    let is_one = (1..=IDENTITY_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
    match is_one && name != crate::envelope::Caller::SCHEDULE {
        true => Ok(()),
        false => Err(IdentityMisfit::Name(name.to_owned())),
    }
}

impl Identity {
    /// Whether its role counts where two must agree.
    #[must_use]
    pub fn counts(&self) -> bool {
        matches!(self.role, Role::Operator | Role::Approver)
    }

    /// Whether it counts at this time.
    ///
    /// # Errors
    /// `Revoked` or `Expired`.
    pub fn check_in_force(&self, at: Timestamp) -> Result<(), IdentityMisfit> {
        if self.revoked.is_some() {
            return Err(IdentityMisfit::Revoked(self.name.clone()));
        }
        match self.expires_at {
            Some(end) if end <= at => Err(IdentityMisfit::Expired(self.name.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it can be one, whoever else there is.
    ///
    /// # Errors
    /// `IdentityMisfit` that says why not.
    pub fn check(&self) -> Result<(), IdentityMisfit> {
        check_name(&self.name)?;
        check_credential(&self.credential)?;
        let Scope { parties, payees } = &self.scope;
        for list in [parties, payees] {
            if list.len() > SCOPE_PARTIES_MAX || !list.is_sorted_by(|a, b| a < b) {
                return Err(IdentityMisfit::Scope);
            }
        }
        let role = self.role.name();
        let is_bare = self.scope.is_all() && self.rate == 0;
        match self.role {
            Role::Facilitator => Ok(()),
            Role::Party if parties.is_empty() => Err(IdentityMisfit::NoParty),
            Role::Party if payees.is_empty() && self.rate == 0 => Ok(()),
            Role::Operator | Role::Approver | Role::Auditor if is_bare => Ok(()),
            Role::Party | Role::Operator | Role::Approver | Role::Auditor => {
                Err(IdentityMisfit::NoScope { role })
            }
            Role::Engine | Role::Anyone => Err(IdentityMisfit::Role { role }),
        }
    }
}

/// Who may know the secret of a credential besides its owner. Whoever has certificates signed is
/// trusted with what they say.
#[must_use]
pub fn made_by(credential: &Credential, maker: Option<&str>) -> Option<String> {
    match credential {
        Credential::Key(_) | Credential::Signed(_) => maker.map(str::to_owned),
        Credential::Certificate(_) => None,
    }
}

fn check_credential(credential: &Credential) -> Result<(), IdentityMisfit> {
    match credential {
        Credential::Key(_) | Credential::Signed(_) => Ok(()),
        Credential::Certificate(name) => match name.len() {
            1..=CERTIFICATE_NAME_BYTES_MAX => Ok(()),
            length => Err(IdentityMisfit::CertificateName { length }),
        },
    }
}

impl Identities {
    /// The identity of this name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn named(&self, name: &str) -> Result<&Identity, IdentityMisfit> {
        let found = self.names.get(name).and_then(|lsn| self.all.get(lsn));
        found.ok_or_else(|| IdentityMisfit::Unknown(name.to_owned()))
    }

    /// By what the identity of this name is known, if there is one.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.named(name).ok().map(|of| &of.credential)
    }

    /// The identity that is known by this, or was until it was revoked.
    #[must_use]
    pub fn known_by(&self, credential: &Credential) -> Option<&Identity> {
        self.had(credential).filter(|of| of.credential == *credential)
    }

    /// The identity that is known by this, or ever was.
    fn had(&self, credential: &Credential) -> Option<&Identity> {
        self.all.get(self.credentials.get(credential)?)
    }

    /// Whether what the record at `lsn` did under this name was done with the credential that the
    /// name has now, and that nobody else has made: else somebody else may have done it. Who has a
    /// token of the configuration has no identity.
    #[must_use]
    pub fn stands_by(&self, name: &str, lsn: Lsn) -> bool {
        self.named(name).map_or(true, |of| of.maker.is_none() && of.changed < lsn)
    }

    /// The names of those who ever counted where two must agree.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        let counts = |of: &&Identity| of.counts();
        self.all.values().filter(counts).map(|of| &*of.name)
    }

    /// The identity that the record at `lsn` added.
    #[must_use]
    pub fn added_by(&self, lsn: Lsn) -> Option<&Identity> {
        self.all.get(&lsn)
    }

    /// The record that added the identity of this name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Lsn> {
        self.names.get(name).copied()
    }

    /// All of them, in the order in which they were added, each with the record that did.
    pub fn all(&self) -> impl Iterator<Item = (Lsn, &Identity)> {
        self.all.iter().map(|(lsn, identity)| (*lsn, identity))
    }

    /// How many with role operator there are at this time.
    #[must_use]
    pub fn operators(&self, at: Timestamp) -> usize {
        let is_one = |of: &&Identity| of.role == Role::Operator && of.check_in_force(at).is_ok();
        self.all.values().filter(is_one).count()
    }

    /// Whether there ever was one with role operator.
    #[must_use]
    pub fn had_operator(&self) -> bool {
        self.operators > 0
    }

    /// Whether there ever was any: from then on nobody operates unnamed.
    #[must_use]
    pub fn had_any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether there ever was a facilitator: from then on nobody brings vouchers unnamed.
    #[must_use]
    pub fn had_facilitator(&self) -> bool {
        self.facilitators > 0
    }

    /// Rises whenever one of them is added or changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether an identity may be added at this time.
    ///
    /// # Errors
    /// `IdentityMisfit` that says why not.
    pub fn check_add(&self, identity: &Identity, at: Timestamp) -> Result<(), IdentityMisfit> {
        identity.check()?;
        if identity.expires_at.is_some_and(|end| end <= at) {
            return Err(IdentityMisfit::Over);
        }
        if self.names.contains_key(&identity.name) {
            return Err(IdentityMisfit::NameTaken(identity.name.clone()));
        }
        self.check_free(&identity.credential)?;
        if self.all.len() >= IDENTITIES_MAX {
            return Err(IdentityMisfit::TooMany);
        }
        Ok(())
    }

    /// Whether the identity of this name may be revoked. Who was revoked stays so, and that is said
    /// to nobody: it was meant.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn check_revoke(&self, name: &str) -> Result<(), IdentityMisfit> {
        self.named(name).map(|_| ())
    }

    /// Whether the identity of this name may be known by this from now on.
    ///
    /// # Errors
    /// `IdentityMisfit` that says why not.
    pub fn check_rotate(
        &self,
        name: &str,
        credential: &Credential,
        at: Timestamp,
    ) -> Result<(), IdentityMisfit> {
        let held = self.named(name)?;
        held.check_in_force(at)?;
        check_credential(credential)?;
        if held.credential.via() != credential.via() {
            return Err(IdentityMisfit::OtherKind(name.to_owned()));
        }
        if held.past.len() + 1 >= ROTATIONS_MAX {
            return Err(IdentityMisfit::TooOften(name.to_owned()));
        }
        self.check_free(credential)
    }

    fn check_free(&self, credential: &Credential) -> Result<(), IdentityMisfit> {
        match self.had(credential) {
            Some(other) => Err(IdentityMisfit::CredentialTaken(other.name.clone())),
            None => Ok(()),
        }
    }

    /// The identity that acts, at this time, under this name, in this role and by this way.
    ///
    /// # Errors
    /// `IdentityMisfit` when it does not, or does no more.
    pub fn acts(
        &self,
        name: &str,
        (role, via): (Role, Via),
        at: Timestamp,
    ) -> Result<&Identity, IdentityMisfit> {
        let held = self.named(name)?;
        held.check_in_force(at)?;
        match held.role == role && held.credential.via() == via {
            true => Ok(held),
            false => Err(IdentityMisfit::Rotated(name.to_owned())),
        }
    }

    /// Adds one that `check_add` allowed, or that the journal holds.
    pub fn add(&mut self, lsn: Lsn, identity: Identity) {
        self.changes += 1;
        self.restore(lsn, identity);
    }

    /// One as it was kept.
    pub fn restore(&mut self, lsn: Lsn, identity: Identity) {
        self.operators += u64::from(identity.role == Role::Operator);
        self.facilitators += u64::from(identity.role == Role::Facilitator);
        self.names.insert(identity.name.clone(), lsn);
        for credential in identity.past.iter().chain([&identity.credential]) {
            self.credentials.insert(credential.clone(), lsn);
        }
        self.all.insert(lsn, identity);
    }

    /// The identity of this name counts no more.
    pub fn revoke(&mut self, lsn: Lsn, name: &str) {
        self.changes += 1;
        if let Some(held) = self.names.get(name).and_then(|of| self.all.get_mut(of)) {
            held.revoked.get_or_insert(lsn);
        }
    }

    /// The identity of this name is known by this from now on, and by nothing else. `maker` asked
    /// for it.
    pub fn rotate(&mut self, lsn: Lsn, name: &str, credential: Credential, maker: Option<&str>) {
        self.changes += 1;
        let Some(place) = self.names.get(name).copied() else { return };
        let Some(held) = self.all.get_mut(&place) else { return };
        held.maker = made_by(&credential, maker.filter(|maker| *maker != name));
        held.past.push(std::mem::replace(&mut held.credential, credential.clone()));
        held.changed = lsn;
        self.credentials.insert(credential, place);
    }
}

#[cfg(test)]
mod tests;
