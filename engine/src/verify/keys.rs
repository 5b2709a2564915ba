//! The registered keys, ready for checking. A key is never taken out: whether it was revoked is the
//! ledger's business.

use super::KeyError;
use crate::types::{FitKey, PartyId, SignerKey};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Whether a key is fit to be registered: canonical, not of small order, torsion-free.
///
/// # Errors
/// `KeyError` that names the first rule it breaks.
pub fn check_key(key: SignerKey) -> Result<(), KeyError> {
    tallystick_verify::check_key(key.0)
}

/// A key that is fit to be registered.
///
/// # Errors
/// As for `check_key`.
pub fn fit_key(key: SignerKey) -> Result<FitKey, KeyError> {
    check_key(key).map(|()| FitKey::checked(key))
}

/// A registered key.
#[derive(Debug)]
pub struct Key {
    party: PartyId,
    key: tallystick_verify::Key,
}

impl Key {
    /// For whom it signs.
    #[must_use]
    pub fn party(&self) -> PartyId {
        self.party
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn key(&self) -> &tallystick_verify::Key {
        &self.key
    }
}

type Map = HashMap<SignerKey, Key, RandomState>;

/// Every registered key. Read by all verify workers, written by the sequencer.
///
/// A worker holds its view from the look-up of a batch's keys until what the batch taught is
/// learnt: well under a millisecond with `lanes`, 10 ms with the slowest backend. A writer that
/// waits is let in before new readers are (the lock of std prefers writers), so it is never
/// starved; to keep the workers from waiting behind it often, the sequencer writes at most once a
/// group.
#[derive(Debug, Default)]
pub struct Keys(RwLock<Map>);

/// The keys at one moment; held for one batch of vouchers.
pub struct KeysView<'a>(RwLockReadGuard<'a, Map>);

impl Keys {
    /// Adds keys that `check_key` passed, under one lock. A key that is known stays as it is.
    pub fn insert(&self, keys: impl IntoIterator<Item = (SignerKey, PartyId)>) {
        // The map is whole whenever the lock is free: no step below can panic half-way.
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (signer, party) in keys {
            let key = || Key { party, key: tallystick_verify::Key::new(signer.0) };
            map.entry(signer).or_insert_with(key);
        }
    }

    /// The keys now.
    #[must_use]
    pub fn view(&self) -> KeysView<'_> {
        KeysView(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeysView<'_> {
    /// One key, if it is registered.
    #[must_use]
    pub fn get(&self, signer: &SignerKey) -> Option<&Key> {
        self.0.get(signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Verdict;
    use crate::verify::{Check, Options, Scratch, Verifier};
    use ed25519_dalek::{Signer as _, SigningKey};

    #[test]
    fn a_key_signs_for_the_party_that_it_was_first_registered_for() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let signer = SignerKey(secret.verifying_key().to_bytes());
        assert_eq!(check_key(signer), Ok(()));
        assert_eq!(check_key(SignerKey([0; 32])), Err(KeyError::SmallOrder));
        let keys = Keys::default();
        assert!(keys.view().get(&signer).is_none());
        keys.insert([(signer, PartyId([1; 32])), (signer, PartyId([2; 32]))]);
        let view = keys.view();
        assert_eq!(view.get(&signer).unwrap().party(), PartyId([1; 32]));

        let good = secret.sign(b"message").to_bytes();
        let mut bad = good;
        bad[40] ^= 1;
        let check = |signature| {
            let key = view.get(&signer).unwrap().key();
            Check { key, message: b"message", signature }
        };
        let verifier = Verifier::new(Options::default()).unwrap();
        let mut verdicts = Vec::new();
        verifier.check(&mut Scratch::default(), &[check(&good), check(&bad)], &mut verdicts);
        let verdicts: Vec<Verdict> = verdicts.into_iter().map(crate::verify::known).collect();
        assert_eq!(verdicts, [Verdict::Valid, Verdict::BadSignature]);
    }
}
