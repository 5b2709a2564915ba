//! Who has logged in, and makes calls without sending a key each time: by what they were known is
//! looked up anew for each call, so that they may do what whoever sends that key may, and as long.

use super::{Access, Denied, Entrant, Presented};
use crate::ledger::{Call, Credential};
use crate::pipeline;
use crate::types::Digest;

/// By what somebody was known who logged in. Among the extensions of a call that is made for them,
/// which nobody sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) enum Known {
    /// By nothing: as long as anybody may operate.
    Nobody,
    /// By the token of an operator of the configuration.
    Token(Digest),
    /// By what an identity has.
    By(Credential),
}

impl Access {
    /// As `admit_to`, for somebody who has logged in.
    ///
    /// # Errors
    /// `Denied`: it is counted.
    pub(in crate::api) fn admit_known(&self, call: Call, known: &Known) -> Result<Entrant, Denied> {
        let presented = match known {
            Known::Nobody => Ok(Presented::Nothing),
            Known::Token(digest) => match self.all.operators.known_by(digest) {
                Some(name) => Ok(Presented::Operator(name, *digest)),
                None => Err(Denied::NoOperator),
            },
            Known::By(credential) => Ok(Presented::Credential(Ok(credential.clone()))),
        };
        let now = pipeline::now();
        let admitted = presented.and_then(|presented| {
            // Whoever has no certificate here was known by theirs elsewhere.
            self.control(|control| self.entrant(control, call, presented, None, now))
        });
        admitted.inspect_err(|denied| self.all.refused.note(denied))
    }

    /// The same for the call with this path.
    ///
    /// # Errors
    /// As for `admit_known`.
    pub(super) fn admit_known_at(&self, path: &str, known: &Known) -> Result<Entrant, Denied> {
        let call = Call::at(path).ok_or(Denied::NoSuchCall);
        let call = call.inspect_err(|denied| self.all.refused.note(denied))?;
        self.admit_known(call, known)
    }
}

impl Entrant {
    /// By what whoever was let in is known.
    pub(in crate::api) fn known(&self) -> Known {
        match (&self.identity, &self.token) {
            (Some(identity), _) => Known::By(identity.credential.clone()),
            (None, Some(token)) => Known::Token(*token),
            (None, None) => Known::Nobody,
        }
    }

    /// The parties in its scope, if it is an identity.
    pub(in crate::api) fn parties(&self) -> &[crate::types::PartyId] {
        self.identity.as_ref().map_or(&[], |identity| &identity.scope.parties)
    }
}
