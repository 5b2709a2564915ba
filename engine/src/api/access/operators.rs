//! Operators of the configuration, each by the digest of a token, as they are now.

use crate::types::{Digest, same_digest};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

type Tokens = BTreeMap<String, Digest>;

/// Who operates by the configuration. Cheap to clone; all clones are one list.
#[derive(Clone, Default)]
pub struct Operators(Arc<RwLock<List>>);

#[derive(Default)]
struct List {
    tokens: Arc<Tokens>,
    /// Whether there ever was one, since the start.
    had: bool,
    /// How often the list was changed.
    changes: u64,
}

impl Operators {
    /// These, by name and digest of the token.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        let had = !tokens.is_empty();
        Self(Arc::new(RwLock::new(List { tokens: Arc::new(tokens), had, changes: 0 })))
    }

    /// From now on it is these.
    pub fn set(&self, tokens: Tokens) {
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        list.had |= !tokens.is_empty();
        list.changes += 1;
        list.tokens = Arc::new(tokens);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tokens().len()
    }

    /// Whether one has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tokens().contains_key(name)
    }

    /// Whether there is one, or was. That the last one was taken out opens nothing.
    pub(super) fn had_any(&self) -> bool {
        self.read(|list| list.had)
    }

    /// Rises when the list changes.
    pub(super) fn changes(&self) -> u64 {
        self.read(|list| list.changes)
    }

    /// Whose token has this digest. Every operator is compared with, so that the time tells
    /// nothing.
    pub(super) fn known_by(&self, digest: &Digest) -> Option<String> {
        let tokens = self.tokens();
        let mut found = None;
        for (name, held) in &*tokens {
            if same_digest(held, digest) {
                found = Some(name);
            }
        }
        found.cloned()
    }

    /// Whether this is still an operator's token.
    pub(super) fn is(&self, name: &str, digest: &Digest) -> bool {
        self.tokens().get(name).is_some_and(|held| same_digest(held, digest))
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.read(|list| list.tokens.clone())
    }

    fn read<T>(&self, look: impl FnOnce(&List) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_list_is_everybodys_and_an_empty_one_opens_nothing() {
        let (ann, bob) = (Digest([1; 32]), Digest([2; 32]));
        let none = Operators::new(Tokens::new());
        assert!(!none.had_any() && none.count() == 0);
        let list = Operators::new(Tokens::from([("ann".to_owned(), ann)]));
        let other = list.clone();
        assert_eq!(other.known_by(&ann), Some("ann".to_owned()));
        list.set(Tokens::from([("ann".to_owned(), bob)]));
        assert_eq!((other.known_by(&ann), other.changes()), (None, 1));
        assert!(other.is("ann", &bob) && !other.is("ann", &ann) && other.has("ann"));
        list.set(Tokens::new());
        assert!(other.had_any() && other.count() == 0 && !other.is("ann", &bob));
    }
}
