//! An agent's key: what signs vouchers.

use crate::bundle::{self, NoBundle};
use crate::voucher::{Fields, Network, Voucher};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer as _, SigningKey};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// An agent's key. Its secret never shows in a log.
#[derive(Clone)]
pub struct AgentKey(SigningKey);

impl AgentKey {
    /// The key of this secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Reads the file that `tallystick voucher keygen --out FILE` wrote: 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it is no key.
    pub fn read(path: &Path) -> io::Result<Self> {
        let told = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let name = path.display();
        let mut file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(told(format!("others may read {name}: chmod 600 it")));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text)?;
        let secret = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok().map(Zeroizing::new);
        let secret: Option<[u8; 32]> = secret.and_then(|bytes| bytes.as_slice().try_into().ok());
        let bad = || {
            told(format!("{name} is no key file: `tallystick voucher keygen --out FILE` makes one"))
        };
        secret.map(Zeroizing::new).map(|secret| Self::new(&secret)).ok_or_else(bad)
    }

    /// Makes a key, and writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// When the file is there, or cannot be written; or the system gives no randomness.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|error| io::Error::other(error.to_string()))?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        let text = Zeroizing::new(HEXLOWER.encode(&*secret));
        writeln!(file, "{}", *text)?;
        file.sync_all()?;
        Ok(Self::new(&secret))
    }

    /// The public key: what `tallystick signer add` takes, in hexadecimal.
    #[must_use]
    pub fn signer(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The signed voucher. The same one each time it is asked for.
    #[must_use]
    pub fn sign(&self, network: &Network, mut fields: Fields) -> Voucher {
        fields.signer = self.signer();
        let signature = self.0.sign(&network.message(&fields)).to_bytes();
        Voucher { fields, signature }
    }

    /// A packed bundle: one signature over all of these totals, in their order.
    ///
    /// # Errors
    /// When there are none, or more than 64.
    pub fn sign_bundle(
        &self,
        network: &Network,
        entries: &mut [Fields],
    ) -> Result<Vec<u8>, NoBundle> {
        entries.iter_mut().for_each(|entry| entry.signer = self.signer());
        let signature = self.0.sign(&bundle::message(network, entries)?).to_bytes();
        Ok(bundle::pack(entries, &signature))
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", HEXLOWER.encode(&self.signer()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made_and_others_may_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.key");
        let key = AgentKey::create(&path).unwrap();
        assert_eq!(AgentKey::read(&path).unwrap().signer(), key.signer());
        assert!(AgentKey::create(&path).is_err(), "a key is never overwritten");
        let mut open = std::fs::metadata(&path).unwrap().permissions();
        open.set_mode(0o644);
        std::fs::set_permissions(&path, open).unwrap();
        assert!(AgentKey::read(&path).unwrap_err().to_string().contains("chmod 600"));
        let secret = std::fs::read_to_string(&path).unwrap();
        assert!(!format!("{key:?}").contains(secret.trim()));
    }
}
