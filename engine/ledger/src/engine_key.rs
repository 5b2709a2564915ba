//! Which key the engine signs with: as the events say, one after the other. Pure rules; whether a
//! signature is valid is for `verify` to say, and for an audit to ask.

use super::event::EngineKeySet;
use crate::types::{Lsn, SignerKey};
use std::collections::BTreeMap;

/// The engine's keys, from the first to the one in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineKeys {
    current: Option<SignerKey>,
    set: BTreeMap<Lsn, SignerKey>,
}

/// Why an event about the engine's key, or one that it signed, does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum KeyMisfit {
    #[error("the engine has no key yet")]
    None,
    #[error("it is signed with {found}, but the engine signs with {wanted}")]
    NotCurrent { found: SignerKey, wanted: SignerKey },
    #[error("{0} was the engine's key before")]
    Reused(SignerKey),
    #[error("{0} is, or was, an operator's key")]
    Operators(SignerKey),
    #[error("the first key follows no other and is asked for by nobody")]
    First,
    #[error(
        "a key that follows another is asked for by an operator, or has the proof that the one before named it"
    )]
    Unasked,
}

impl EngineKeys {
    /// The key in force; `None` in a journal that names none yet.
    #[must_use]
    pub fn current(&self) -> Option<SignerKey> {
        self.current
    }

    /// The key that the record at `lsn` put in force: the first result, for whoever retries the
    /// call.
    #[must_use]
    pub fn set_by(&self, lsn: Lsn) -> Option<SignerKey> {
        self.set.get(&lsn).copied()
    }

    /// Every key, in the order of the records that put it in force.
    pub fn all(&self) -> impl Iterator<Item = (Lsn, SignerKey)> {
        self.set.iter().map(|(&lsn, &key)| (lsn, key))
    }

    /// Whether a key may be put in force by this event, which somebody asked for or nobody. The
    /// proof in it is not checked here.
    ///
    /// # Errors
    /// `KeyMisfit` that says why not.
    pub fn check_set(&self, asked: bool, event: &EngineKeySet) -> Result<(), KeyMisfit> {
        if self.set.values().any(|key| *key == event.key) {
            return Err(KeyMisfit::Reused(event.key));
        }
        match (self.current, asked) {
            (None, false) if event.proof == [0; 64] => Ok(()),
            (None, _) => Err(KeyMisfit::First),
            (Some(_), false) if event.proof == [0; 64] => Err(KeyMisfit::Unasked),
            // By itself a key follows where another node takes the journal over.
            (Some(_), _) => Ok(()),
        }
    }

    /// Puts a key in force that `check_set` allowed, or that the journal holds.
    pub fn set(&mut self, lsn: Lsn, key: SignerKey) {
        self.current = Some(key);
        self.set.insert(lsn, key);
    }

    /// Whether an event that `key` signed may be journaled now.
    ///
    /// # Errors
    /// `KeyMisfit` when it is not the key in force.
    pub fn check_signed(&self, key: SignerKey) -> Result<(), KeyMisfit> {
        match self.current {
            None => Err(KeyMisfit::None),
            Some(wanted) if wanted == key => Ok(()),
            Some(wanted) => Err(KeyMisfit::NotCurrent { found: key, wanted }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_each_other_and_never_come_back() {
        let event =
            |key: u8, proof: u8| EngineKeySet { key: SignerKey([key; 32]), proof: [proof; 64] };
        let mut keys = EngineKeys::default();
        assert_eq!(keys.check_signed(SignerKey([1; 32])), Err(KeyMisfit::None));
        assert_eq!(keys.check_set(true, &event(1, 0)), Err(KeyMisfit::First));
        assert_eq!(keys.check_set(false, &event(1, 9)), Err(KeyMisfit::First));
        assert_eq!(keys.check_set(false, &event(1, 0)), Ok(()));
        keys.set(Lsn(2), SignerKey([1; 32]));
        assert_eq!(keys.check_set(false, &event(2, 0)), Err(KeyMisfit::Unasked));
        assert_eq!(keys.check_set(false, &event(2, 9)), Ok(()));
        assert_eq!(keys.check_set(true, &event(2, 9)), Ok(()));
        keys.set(Lsn(5), SignerKey([2; 32]));
        let first = SignerKey([1; 32]);
        assert_eq!(keys.check_set(true, &event(1, 9)), Err(KeyMisfit::Reused(first)));
        assert_eq!(keys.set_by(Lsn(2)), Some(first));
        assert!(keys.check_signed(first).is_err() && keys.check_signed(SignerKey([2; 32])).is_ok());
    }
}
