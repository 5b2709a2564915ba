//! Which keys operators have of their own: as the events say, one after the other. Pure rules;
//! whether a signature is valid is for `verify` to say, and for an audit to ask again.

use crate::limits::OPERATOR_KEYS_MAX;
use crate::types::{Lsn, SIGNATURE_BYTES, SignerKey, Statement};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::BTreeMap;

/// A signature that was checked: what it is over, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorSignature {
    over: Statement,
    key: SignerKey,
    signature: [u8; SIGNATURE_BYTES],
}

impl OperatorSignature {
    /// For whoever has found, strictly, that the key is fit to be one and that this is its
    /// signature over the statement.
    #[must_use]
    pub fn checked(over: Statement, key: SignerKey, signature: [u8; SIGNATURE_BYTES]) -> Self {
        Self { over, key, signature }
    }

    /// The key that signed.
    #[must_use]
    pub fn key(&self) -> SignerKey {
        self.key
    }

    /// R then S, if it is this key's signature over this.
    #[must_use]
    pub fn of(&self, key: SignerKey, over: &Statement) -> Option<[u8; SIGNATURE_BYTES]> {
        (self.key == key && self.over == *over).then_some(self.signature)
    }
}

/// A key that an operator has, or had.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OperatorKeyEntry {
    /// Whose: for ever.
    pub operator: String,
    /// The record that put it in force.
    pub since: Lsn,
    /// The record that ended it; `None` while it is in force.
    pub until: Option<Lsn>,
}

/// The keys of all operators, also those that are in force no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorKeys {
    current: BTreeMap<String, SignerKey>,
    all: BTreeMap<SignerKey, OperatorKeyEntry>,
}

/// Why a key cannot become an operator's, or what an operator says is not taken as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum OperatorKeyMisfit {
    #[error("{0} was an operator's key before; make a new one (`tallystick operator key new`)")]
    Reused(SignerKey),
    #[error("{0} is a key of the engine; make one of your own (`tallystick operator key new`)")]
    Engines(SignerKey),
    #[error("operators have had {OPERATOR_KEYS_MAX} keys, and no more are taken")]
    TooMany,
    #[error(
        "operator {operator:?} has an own key ({key}) and signs with it what they approve and say: give its file \
         (`--sign-with FILE`); if it is lost, another operator takes it away (`tallystick operator key remove`)"
    )]
    MustSign { operator: String, key: SignerKey },
    #[error(
        "operator {operator:?} has no own key, so that a signature says nothing: leave it out (`--sign-with`), \
         or set the key first (`tallystick operator key set NAME --sign-with FILE`)"
    )]
    NoKey { operator: String },
    #[error(
        "who has no name has no own key and takes none away: configure operators, and call with a token"
    )]
    Nameless,
    #[error(
        "the signature is not that of key {key} over just what operator {operator:?} asks for here: sign this call with \
         that key (`tallystick operator key list`)"
    )]
    SignatureUnfit { operator: String, key: SignerKey },
    #[error(
        "{key} is not the key of operator {operator:?} now; `tallystick operator key list` shows it"
    )]
    NotHis { operator: String, key: SignerKey },
    #[error(
        "leg {key} is {state} already, and what an operator signs is journaled word by word: sign what moves a leg, \
         without this one"
    )]
    Idle { key: String, state: &'static str },
}

impl OperatorKeys {
    /// The key that an operator signs with; `None` if they have none.
    #[must_use]
    pub fn current(&self, operator: &str) -> Option<SignerKey> {
        self.current.get(operator).copied()
    }

    /// The key that an operator had in force when the record at `lsn` was decided.
    #[must_use]
    pub fn in_force(&self, operator: &str, lsn: Lsn) -> Option<SignerKey> {
        let then = |of: &OperatorKeyEntry| {
            of.operator == operator && of.since < lsn && of.until.is_none_or(|until| until >= lsn)
        };
        self.all.iter().find(|(_, of)| then(of)).map(|(key, _)| *key)
    }

    /// What is known of a key that is, or was, an operator's.
    #[must_use]
    pub fn get(&self, key: SignerKey) -> Option<&OperatorKeyEntry> {
        self.all.get(&key)
    }

    /// Every key that there ever was, in the order of the records that put it in force.
    #[must_use]
    pub fn all(&self) -> Vec<(SignerKey, &OperatorKeyEntry)> {
        let mut all: Vec<_> = self.all.iter().map(|(key, of)| (*key, of)).collect();
        all.sort_by_key(|(_, of)| of.since);
        all
    }

    /// The key that the record at `lsn` put in force, or, if it put none, that it ended: the first
    /// result, for whoever retries the call.
    #[must_use]
    pub fn changed_by(&self, lsn: Lsn) -> Option<SignerKey> {
        let find = |was: fn(&OperatorKeyEntry, Lsn) -> bool| {
            self.all.iter().find(|(_, of)| was(of, lsn)).map(|(key, _)| *key)
        };
        find(|of, lsn| of.since == lsn).or_else(|| find(|of, lsn| of.until == Some(lsn)))
    }

    /// Whether a key may become an operator's. A key says one name for ever, and never the engine's
    /// word. The signatures that it comes with are not checked here.
    ///
    /// # Errors
    /// `OperatorKeyMisfit` that says why not.
    pub fn check_set(
        &self,
        key: SignerKey,
        is_engines: impl Fn(SignerKey) -> bool,
    ) -> Result<(), OperatorKeyMisfit> {
        if self.all.contains_key(&key) {
            return Err(OperatorKeyMisfit::Reused(key));
        }
        if is_engines(key) {
            return Err(OperatorKeyMisfit::Engines(key));
        }
        if self.all.len() >= OPERATOR_KEYS_MAX {
            return Err(OperatorKeyMisfit::TooMany);
        }
        Ok(())
    }

    /// Puts a key in force that `check_set` allowed, or that the journal holds.
    pub fn set(&mut self, lsn: Lsn, operator: &str, key: SignerKey) {
        self.remove(lsn, operator);
        self.restore(
            key,
            OperatorKeyEntry { operator: operator.to_owned(), since: lsn, until: None },
        );
    }

    /// The operator's key is in force no more.
    pub fn remove(&mut self, lsn: Lsn, operator: &str) {
        let before = self.current.remove(operator);
        if let Some(of) = before.and_then(|key| self.all.get_mut(&key)) {
            of.until = Some(lsn);
        }
    }

    /// A key as it was kept.
    pub fn restore(&mut self, key: SignerKey, of: OperatorKeyEntry) {
        if of.until.is_none() {
            self.current.insert(of.operator.clone(), key);
        }
        self.all.insert(key, of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_operators_for_ever_and_never_comes_back() {
        let (mut keys, key) = (OperatorKeys::default(), |n: u8| SignerKey([n; 32]));
        let engines = |of: SignerKey| of == key(9);
        assert_eq!(keys.check_set(key(9), engines), Err(OperatorKeyMisfit::Engines(key(9))));
        assert_eq!(keys.check_set(key(1), engines), Ok(()));
        keys.set(Lsn(5), "ann", key(1));
        keys.set(Lsn(6), "bob", key(2));
        keys.set(Lsn(8), "ann", key(3));
        keys.remove(Lsn(9), "bob");
        assert_eq!((keys.current("ann"), keys.current("bob")), (Some(key(3)), None));
        for used in [1, 2, 3] {
            let reused = Err(OperatorKeyMisfit::Reused(key(used)));
            assert_eq!(keys.check_set(key(used), engines), reused);
        }
        // The record that changes a key is decided under the one before.
        let then = [(5, None), (6, Some(1)), (8, Some(1)), (9, Some(3)), (99, Some(3))];
        for (lsn, of) in then {
            assert_eq!(keys.in_force("ann", Lsn(lsn)), of.map(key), "{lsn}");
        }
        assert_eq!(keys.in_force("bob", Lsn(10)), None);
        let changed = [5, 6, 8, 9, 7].map(|lsn| keys.changed_by(Lsn(lsn)));
        assert_eq!(changed, [Some(key(1)), Some(key(2)), Some(key(3)), Some(key(2)), None]);
        let order: Vec<SignerKey> = keys.all().into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, [key(1), key(2), key(3)]);
    }

    #[test]
    fn as_many_keys_as_fit_and_no_more() {
        let mut keys = OperatorKeys::default();
        let key = |n: usize| {
            let mut key = SignerKey::ZERO;
            key.0[..8].copy_from_slice(&u64::try_from(n).unwrap().to_le_bytes());
            key
        };
        for n in 0..OPERATOR_KEYS_MAX {
            assert_eq!(keys.check_set(key(n), |_| false), Ok(()));
            keys.set(Lsn(2), "ann", key(n));
        }
        let one_more = keys.check_set(key(OPERATOR_KEYS_MAX), |_| false);
        assert_eq!(one_more, Err(OperatorKeyMisfit::TooMany));
    }
}
