//! The key that owns the contract and signs its transactions.
//!
//! Owns reading its file and the signature. Never shows the key, never writes the file.

use alloy_primitives::{Address, B256, hex, keccak256};
use k256::ecdsa::{Signature, SigningKey, VerifyingKey};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tallystick_ledger::limits::EVM_KEY_FILE_BYTES_MAX;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the key file {path} cannot be read: {why}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("others may read the key file {path}: chmod 600 it, and think about a new key")]
    Open {
        /// Which file.
        path: PathBuf,
    },
    /// Its content is none.
    #[error("{path} holds no key: 64 hexadecimal digits of a secp256k1 private key")]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
}

/// A secp256k1 key, and the address that belongs to it.
pub struct Signer {
    key: SigningKey,
    address: Address,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address)
    }
}

impl Signer {
    /// The key of these 32 bytes; `None` if they are none.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Option<Self> {
        let key = SigningKey::from_slice(secret).ok()?;
        let address = address_of(key.verifying_key());
        Some(Self { key, address })
    }

    /// Reads a key's file: 64 hexadecimal digits, private to its owner.
    ///
    /// # Errors
    /// `KeyError` that names the file and never shows its content.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let read = |why| KeyError::Read { path: path.to_owned(), why };
        let not_a_key = || KeyError::NotAKey { path: path.to_owned() };
        let about = fs::metadata(path).map_err(read)?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_owned() });
        }
        if about.len() > EVM_KEY_FILE_BYTES_MAX {
            return Err(not_a_key());
        }
        let text = fs::read(path).map_err(read)?;
        let digits = text.trim_ascii();
        let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
        let mut secret = [0; 32];
        hex::decode_to_slice(digits, &mut secret).map_err(|_| not_a_key())?;
        Self::new(&secret).ok_or_else(not_a_key)
    }

    /// The address that the chain knows it by.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest: RFC 6979 and the lower s, so that the same digest gives the same signature.
    /// The number is the parity that recovers the key.
    pub(super) fn sign(&self, digest: B256) -> (Signature, u8) {
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice());
        assert_eq!(signature.normalize_s(), signature, "a signature has the lower s");
        assert!(!recovery.is_x_reduced(), "an r beyond the curve's order is never found");
        (signature, u8::from(recovery.is_y_odd()))
    }
}

/// The address of a public key: the end of the hash of its point.
pub(super) fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_sec1_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}
