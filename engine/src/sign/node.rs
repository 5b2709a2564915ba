//! Keys of several nodes that may own one journal: each has its own, which never leaves its
//! machine. The one in force names, ahead of time, those that may follow it; so a node can take the
//! journal over whose predecessor's key is lost with its machine.

use super::file::KeyFile;
use super::{EngineKey, EngineKeyError, Held, generate, public};
use crate::types::SignerKey;
use std::path::Path;
use std::sync::Mutex;

impl EngineKey {
    /// The key of a directory that is to follow the one in force, durable there, once its node
    /// takes the journal over; made where there is none. `was` tells which keys the engine had, as
    /// far as that is known: none of them comes back.
    ///
    /// # Errors
    /// When it cannot be made, read or written.
    pub fn candidate(
        dir: &Path,
        current: Option<SignerKey>,
        was: &dyn Fn(SignerKey) -> bool,
    ) -> Result<SignerKey, EngineKeyError> {
        let file = KeyFile::new(dir);
        let next = file.read_next()?.map(|next| public(&next));
        // What the journal may name behind what is known of it stays.
        if let Some(next) = next.filter(|next| !was(*next) || current == Some(*next)) {
            return Ok(next);
        }
        let made = generate()?;
        file.write_next(&made)?;
        Ok(public(&made))
    }

    /// Whether a directory holds this key.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn is_here(dir: &Path, key: SignerKey) -> Result<bool, EngineKeyError> {
        let file = KeyFile::new(dir);
        let held = [file.read()?, file.read_next()?];
        Ok(held.iter().flatten().any(|held| public(held) == key))
    }

    /// The key of a node that has taken the journal over, and the one that is to follow that of the
    /// node before: none where the key in force is this node's. As for `load_or_create`.
    ///
    /// # Errors
    /// As for `load_or_create`.
    pub fn of_node(
        dir: &Path,
        journaled: Option<SignerKey>,
    ) -> Result<(Self, Option<SignerKey>), EngineKeyError> {
        let is_own = journaled.map_or(Ok(true), |key| Self::is_here(dir, key))?;
        let file = KeyFile::new(dir);
        let next = file.read_next()?.filter(|_| !is_own);
        let Some(next) = next else { return Ok((Self::load_or_create(dir, journaled)?, None)) };
        let key = public(&next);
        // The one that it has now is out of force, and signs nothing.
        let current = file.read()?.unwrap_or_else(|| next.clone());
        Ok((
            Self { file: Some(file), held: Mutex::new(Held { current, next: Some(next) }) },
            Some(key),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NetworkId, key_statement};

    #[test]
    fn a_candidate_stays_until_it_was_in_force_and_is_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let other = SignerKey([9; 32]);
        let first = EngineKey::candidate(dir.path(), Some(other), &|_| false).unwrap();
        assert_eq!(EngineKey::candidate(dir.path(), Some(other), &|_| false).unwrap(), first);
        // Another node's is in force: with this one it follows.
        let (key, next) = EngineKey::of_node(dir.path(), Some(other)).unwrap();
        assert_eq!(next, Some(first));
        let statement = key_statement(NetworkId([1; 32]), other);
        assert_eq!(key.sign_as(first, &statement).unwrap().key, first);
        // Journaled, and cut off before its file has its name.
        let was = |key| key == first;
        assert_eq!(EngineKey::candidate(dir.path(), Some(first), &was).unwrap(), first);
        let (key, next) = EngineKey::of_node(dir.path(), Some(first)).unwrap();
        assert_eq!((key.public(), next), (first, None));
        // Another node took over since: it never comes back.
        let second = EngineKey::candidate(dir.path(), Some(other), &was).unwrap();
        assert_ne!(second, first);
        assert!(EngineKey::is_here(dir.path(), first).unwrap());
        let (key, next) = EngineKey::of_node(dir.path(), Some(other)).unwrap();
        assert_eq!(next, Some(second));
        key.adopt().unwrap();
        assert_eq!(key.public(), second);
        assert!(!EngineKey::is_here(dir.path(), first).unwrap());
    }
}
