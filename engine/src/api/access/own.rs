//! What an identity may ask about, where its role may see no more than what is its own.

use super::Denied;
use crate::api::messages::id;
use crate::ledger::{Call, Identity, IdentityMisfit, Role};
use crate::pipeline::Brought;
use crate::settle::Engine;
use crate::types::{Outcome, Packed, PartyId, SignerKey, VOUCHER_BYTES};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tonic::Status;

/// Whose affairs a call may be about: everybody's, or an identity's own.
#[derive(Debug, Clone)]
pub(in crate::api) struct Own {
    call: Call,
    identity: Option<Arc<Identity>>,
}

/// What may be brought, and what the others are answered, by their places in the frame; 0:
/// it is among the first.
pub(in crate::api) struct Screened {
    pub brought: Brought,
    pub kept_back: Option<Vec<u8>>,
}

impl Own {
    pub(super) fn new(call: Call, identity: Option<Arc<Identity>>) -> Self {
        Self { call, identity }
    }

    /// The only identity that may be seen.
    pub fn name(&self) -> Option<&str> {
        self.identity.as_ref().map(|of| of.name.as_str())
    }

    fn unless(&self, may: impl FnOnce(&Identity) -> bool) -> Result<(), Status> {
        let Some(of) = &self.identity else { return Ok(()) };
        if may(of) {
            return Ok(());
        }
        let (name, role, call) = (of.name.clone(), of.role.name(), self.call.name());
        Err(Denied::from(IdentityMisfit::NotOwn { name, role, call }).into())
    }

    /// Whether a party's affairs may be seen or changed.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn party(&self, party: PartyId) -> Result<(), Status> {
        self.unless(|of| is_own(of, party))
    }

    /// Whether the identity of this name may be changed.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn named(&self, name: &str) -> Result<(), Status> {
        self.unless(|of| of.name == name)
    }

    /// Whether those of one party of several may: that must be one of its own.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn one_of(&self, parties: &[PartyId]) -> Result<(), Status> {
        self.unless(|of| parties.iter().any(|party| is_own(of, *party)))
    }

    /// Whether a list of those of one party may be seen; of none: of all.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn of_party(&self, party: &[u8]) -> Result<(), Status> {
        match party {
            [] => self.unless(|_| false),
            party => self.party(id(party, "party_id")?),
        }
    }

    /// The same of several parties.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn of_parties(&self, parties: &[Bytes]) -> Result<(), Status> {
        match parties {
            [] => self.unless(|_| false),
            all => all.iter().try_for_each(|party| self.party(id(party, "party_ids")?)),
        }
    }

    /// Whether a signer's affairs may be seen or changed.
    ///
    /// # Errors
    /// PERMISSION_DENIED, also where there is no such signer.
    pub fn signer(&self, engine: &Engine, signer: SignerKey) -> Result<(), Status> {
        self.unless(|of| engine.payer_of(signer).is_some_and(|party| is_own(of, party)))
    }

    /// Whether a channel may be seen: by who may bring its vouchers, by its payer and by its payee.
    ///
    /// # Errors
    /// PERMISSION_DENIED, also where there is no such signer.
    pub fn channel(
        &self,
        engine: &Engine,
        signer: SignerKey,
        payee: PartyId,
    ) -> Result<(), Status> {
        self.unless(|of| {
            let payer = engine.payer_of(signer);
            if of.role == Role::Party {
                return payer.is_some_and(|p| of.scope.owns(p)) || of.scope.owns(payee);
            }
            payer.is_some_and(|p| of.scope.has_payer(p)) && of.scope.has_payee(payee)
        })
    }

    /// Whether it may be seen how much a signer may still spend, with this payee or whomever: by
    /// who may bring its vouchers, and by its payer. That nobody has registered it, anybody may
    /// know.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn headroom(
        &self,
        engine: &Engine,
        signer: SignerKey,
        payee: Option<PartyId>,
    ) -> Result<(), Status> {
        let Some(payer) = engine.payer_of(signer) else { return Ok(()) };
        self.unless(|of| {
            if of.role == Role::Party {
                return of.scope.owns(payer);
            }
            of.scope.has_payer(payer) && payee.is_none_or(|to| of.scope.has_payee(to))
        })
    }

    /// Keeps the vouchers back that are not of the identity's scope, and bundles of which an entry
    /// is not: without it nobody could say what was signed.
    pub fn screen(&self, engine: &Engine, brought: Brought) -> Screened {
        let scope = self.identity.as_ref().map(|of| &of.scope);
        let Some(scope) = scope.filter(|scope| !scope.is_all()) else {
            return Screened { brought, kept_back: None };
        };
        let judge = |voucher: &[u8; VOUCHER_BYTES]| {
            let voucher = Packed(voucher);
            if !scope.has_payee(voucher.payee()) {
                return Outcome::OutOfScope.byte();
            }
            match engine.payer_of(voucher.signer()) {
                _ if scope.parties.is_empty() => 0,
                Some(payer) if scope.has_payer(payer) => 0,
                Some(_) => Outcome::OutOfScope.byte(),
                // Whose it will be is not known: it must not slip in meanwhile.
                None => Outcome::UnknownSigner.byte(),
            }
        };
        let all = brought.all();
        let mut judged: Vec<u8> = all.iter().map(judge).collect();
        for bundle in brought.bundles(0..all.len()) {
            let out = judged[bundle.clone()].iter().copied().find(|byte| *byte != 0);
            judged[bundle].fill(out.unwrap_or(0));
        }
        if judged.iter().all(|byte| *byte == 0) {
            return Screened { brought, kept_back: None };
        }
        let mut passed = BytesMut::with_capacity(all.len() * VOUCHER_BYTES);
        for (voucher, _) in all.iter().zip(&judged).filter(|(_, byte)| **byte == 0) {
            passed.extend_from_slice(voucher);
        }
        let singles = judged[..brought.singles()].iter().filter(|byte| **byte == 0).count();
        Screened { brought: Brought::new(passed.freeze(), singles), kept_back: Some(judged) }
    }
}

fn is_own(of: &Identity, party: PartyId) -> bool {
    if of.role == Role::Facilitator { of.scope.has_payer(party) } else { of.scope.owns(party) }
}

/// The outcomes of a frame of which some vouchers were kept back; and how many those were.
pub(in crate::api) fn merged(kept_back: Vec<u8>, outcomes: &[u8]) -> (Vec<u8>, u32) {
    let (mut all, mut outcomes) = (kept_back, outcomes.iter());
    let mut count = 0;
    for place in &mut all {
        match *place {
            0 => *place = *outcomes.next().expect("each voucher that passed has an outcome"),
            _ => count += 1,
        }
    }
    (all, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_the_places_of_their_vouchers() {
        let out = Outcome::OutOfScope.byte();
        assert_eq!(merged(vec![0, out, 0, out, 0], &[1, 2, 3]), (vec![1, out, 2, out, 3], 2));
        assert_eq!(merged(vec![out], &[]), (vec![out], 1));
    }
}
