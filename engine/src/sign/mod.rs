//! The engine's own key: what it signs windows, batches and receipts with.
//!
//! Owns the secret, in memory and in its file, and how one key follows another. Never decides which
//! key is in force (the journal says so), never checks a signature (`verify` does), never lets the
//! secret out.
//!
//! A new key is durable in its file before the journal hears of it, and is given the lasting name
//! only after that. So whatever the journal names as the engine's key is on disk under one of two
//! names.

mod file;
mod node;

use crate::secret::{self, SecretError};
use crate::types::{NetworkId, SIGNATURE_BYTES, SignerKey, Statement, key_statement};
use ed25519_dalek::{Signer as _, SigningKey};
use file::KeyFile;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why the engine's key cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EngineKeyError {
    #[error(
        "the key file {} is missing, but the journal says that this engine signs with {key}; restore \
         the file from a copy (no other file can take its place: auditors know this key)",
        .path.display()
    )]
    Missing { path: PathBuf, key: SignerKey },
    #[error(
        "the key file {} holds the key {found}, but the journal says that this engine signs with \
         {wanted}; restore the file that belongs to this data directory",
        .path.display()
    )]
    Other { path: PathBuf, found: SignerKey, wanted: SignerKey },
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A signature, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// The key that signed.
    pub key: SignerKey,
    /// R then S.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// The engine's key; shared by all who sign.
pub struct EngineKey {
    /// None for a key that is never on disk.
    file: Option<KeyFile>,
    held: Mutex<Held>,
}

struct Held {
    current: SigningKey,
    /// On disk, and perhaps already in the journal.
    next: Option<SigningKey>,
}

impl EngineKey {
    /// The key of a data directory. `journaled` is the key that the journal names; `None` in a
    /// journal that names none yet: then a key is made, unless an earlier start made one and came
    /// no further.
    ///
    /// # Errors
    /// `EngineKeyError` that says what is wrong with the file and what to do.
    pub fn load_or_create(
        dir: &Path,
        journaled: Option<SignerKey>,
    ) -> Result<Self, EngineKeyError> {
        let file = KeyFile::new(dir);
        let current = match (journaled, file.read()?) {
            (None, Some(made)) => made,
            (None, None) => {
                let made = generate()?;
                file.write(&made)?;
                made
            }
            (Some(wanted), Some(held)) if public(&held) == wanted => held,
            (Some(wanted), held) => match file.read_next()? {
                // The journal took the new key, and the process ended before the file got its name.
                Some(next) if public(&next) == wanted => {
                    file.adopt_next()?;
                    next
                }
                Some(_) | None => {
                    let path = file.path();
                    return Err(match held {
                        None => EngineKeyError::Missing { path, key: wanted },
                        Some(held) => EngineKeyError::Other { path, found: public(&held), wanted },
                    });
                }
            },
        };
        // What is left was never journaled, and nothing was signed with it.
        file.remove_next()?;
        Ok(Self { file: Some(file), held: Mutex::new(Held { current, next: None }) })
    }

    /// A key that is never on disk, for engines that are not either.
    #[must_use]
    pub fn of_secret(secret: [u8; 32]) -> Self {
        let current = SigningKey::from_bytes(&secret);
        Self { file: None, held: Mutex::new(Held { current, next: None }) }
    }

    /// The key that signs now.
    #[must_use]
    pub fn public(&self) -> SignerKey {
        public(&self.held().current)
    }

    /// Signs with the key that is in force. The same statement gives the same signature (RFC 8032).
    #[must_use]
    pub fn sign(&self, statement: &Statement) -> Signed {
        signed(&self.held().current, statement)
    }

    /// Signs with the key that the journal names as the one in force: while one key follows
    /// another, that may be the new one. `None` if this engine holds no such key.
    #[must_use]
    pub fn sign_as(&self, key: SignerKey, statement: &Statement) -> Option<Signed> {
        let held = self.held();
        let mut keys = [Some(&held.current), held.next.as_ref()].into_iter().flatten();
        keys.find(|held| public(held) == key).map(|held| signed(held, statement))
    }

    /// Makes the key that is to follow, durable beside the one in force, and the proof that the one
    /// in force names it. Journal both, then `adopt`; if that comes to nothing, `discard`.
    ///
    /// # Errors
    /// When it cannot be made or written. The key in force stays.
    pub fn prepare(&self, network: NetworkId) -> Result<Signed, EngineKeyError> {
        self.prepare_key(network, generate()?)
    }

    /// The same with a secret that is given: for engines whose every byte is to be the same again.
    ///
    /// # Errors
    /// As for `prepare`.
    pub fn prepare_secret(
        &self,
        network: NetworkId,
        secret: [u8; 32],
    ) -> Result<Signed, EngineKeyError> {
        self.prepare_key(network, SigningKey::from_bytes(&secret))
    }

    fn prepare_key(&self, network: NetworkId, next: SigningKey) -> Result<Signed, EngineKeyError> {
        self.file.iter().try_for_each(|file| file.write_next(&next))?;
        let mut held = self.held();
        let key = public(&next);
        let proof = signed(&held.current, &key_statement(network, key));
        held.next = Some(next);
        Ok(Signed { key, signature: proof.signature })
    }

    /// Puts the prepared key in force, once the journal holds it durably.
    ///
    /// # Errors
    /// When the file cannot be given its name. The next start finds it under the other one.
    pub fn adopt(&self) -> Result<(), EngineKeyError> {
        let mut held = self.held();
        if let Some(next) = held.next.take() {
            held.current = next;
            self.file.iter().try_for_each(KeyFile::adopt_next)?;
        }
        Ok(())
    }

    /// Forgets the prepared key: the journal did not take it.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn discard(&self) -> Result<(), EngineKeyError> {
        self.held().next = None;
        self.file.iter().try_for_each(KeyFile::remove_next)
    }

    /// The key in force with its secret half as `seal` gives it: for a backup.
    #[must_use]
    pub fn sealed(
        &self,
        seal: impl FnOnce(SignerKey, &[u8; 32]) -> Vec<u8>,
    ) -> (SignerKey, Vec<u8>) {
        let held = self.held();
        let key = public(&held.current);
        (key, seal(key, held.current.as_bytes()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Whole whenever the lock is free: no step under it can panic half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the key of a restored ledger into its data directory.
///
/// # Errors
/// `Other` when the secret is not that of `wanted`; or when it cannot be written.
pub fn restore_key(dir: &Path, wanted: SignerKey, secret: &[u8; 32]) -> Result<(), EngineKeyError> {
    let (file, key) = (KeyFile::new(dir), SigningKey::from_bytes(secret));
    if public(&key) != wanted {
        let (path, found) = (file.path(), public(&key));
        return Err(EngineKeyError::Other { path, found, wanted });
    }
    file.write(&key)
}

fn generate() -> Result<SigningKey, EngineKeyError> {
    Ok(SigningKey::from_bytes(&*secret::fresh()?))
}

fn public(key: &SigningKey) -> SignerKey {
    SignerKey(key.verifying_key().to_bytes())
}

fn signed(key: &SigningKey, statement: &Statement) -> Signed {
    Signed { key: public(key), signature: key.sign(statement.bytes()).to_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NETWORK: NetworkId = NetworkId([1; 32]);

    #[test]
    fn a_key_is_made_once_private_and_signs_the_same_for_ever() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let key = EngineKey::load_or_create(dir.path(), None).unwrap();
        let path = dir.path().join("tallystick.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let statement = key_statement(NETWORK, SignerKey([2; 32]));
        let first = key.sign(&statement);
        assert_eq!((first.key, key.sign(&statement)), (key.public(), first));
        // Journaled or not yet: the next start has the same one.
        for journaled in [None, Some(key.public())] {
            let again = EngineKey::load_or_create(dir.path(), journaled).unwrap();
            assert_eq!(again.sign(&statement), first);
        }
        let signature = ed25519_dalek::Signature::from_bytes(&first.signature);
        let public = ed25519_dalek::VerifyingKey::from_bytes(&first.key.0).unwrap();
        public.verify_strict(statement.bytes(), &signature).unwrap();
    }

    #[test]
    fn a_missing_other_or_spoilt_key_refuses_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |wanted| {
            let error = EngineKey::load_or_create(dir.path(), Some(wanted)).err().unwrap();
            error.to_string()
        };
        let wanted = SignerKey([7; 32]);
        assert!(refusal(wanted).contains("is missing"), "{}", refusal(wanted));
        let key = EngineKey::load_or_create(dir.path(), None).unwrap().public();
        let text = refusal(wanted);
        assert!(text.contains(&key.to_string()) && text.contains(&wanted.to_string()), "{text}");
        fs::write(dir.path().join("tallystick.key"), "abc").unwrap();
        assert!(refusal(key).contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_key_follows_another_and_survives_a_crash_at_any_step() {
        let dir = tempfile::tempdir().unwrap();
        let key = EngineKey::load_or_create(dir.path(), None).unwrap();
        let old = key.public();
        let statement = key_statement(NETWORK, SignerKey([2; 32]));

        // Prepared, not journaled: the old one stays and the new one is forgotten.
        let lost = key.prepare(NETWORK).unwrap();
        let after = EngineKey::load_or_create(dir.path(), Some(old)).unwrap();
        assert_eq!(after.public(), old);
        assert!(after.sign_as(lost.key, &statement).is_none());
        assert!(!dir.path().join("tallystick.key.next").exists());

        // Journaled, not adopted: both sign while it lasts, and the next start has the new one.
        let next = after.prepare(NETWORK).unwrap();
        let (by_old, by_new) =
            (after.sign_as(old, &statement), after.sign_as(next.key, &statement));
        assert_eq!((by_old.unwrap().key, by_new.unwrap().key), (old, next.key));
        assert_eq!(after.public(), old);
        let crashed = EngineKey::load_or_create(dir.path(), Some(next.key)).unwrap();
        assert_eq!(crashed.public(), next.key);
        assert_eq!(crashed.sign(&statement), by_new.unwrap());

        // Adopted at once; and given up.
        let third = crashed.prepare(NETWORK).unwrap();
        crashed.adopt().unwrap();
        assert_eq!(crashed.public(), third.key);
        crashed.prepare(NETWORK).unwrap();
        crashed.discard().unwrap();
        let last = EngineKey::load_or_create(dir.path(), Some(third.key)).unwrap();
        assert_eq!(last.public(), third.key);
    }
}
