//! Single signatures, checked by the reference: for the few that an offline check has to do with,
//! and for what the engine itself signs.

use super::{Backend, Check, Options, Scratch, SignatureVerdict, Verifier, check_key};
use crate::types::{SIGNATURE_BYTES, SignerKey};

/// Whether `key` is fit to be a key and `signature` is its signature over `message`, strictly.
#[must_use]
pub fn is_signed(key: SignerKey, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    if check_key(key).is_err() {
        return false;
    }
    let options = Options { backend: Some(Backend::Reference), table_bytes: 0 };
    let verifier = Verifier::new(options).expect("the reference runs everywhere");
    let key = tallystick_verify::Key::new(key.0);
    let mut verdicts = Vec::with_capacity(1);
    let check = Check { key: &key, message, signature };
    verifier.check(&mut Scratch::default(), &[check], &mut verdicts);
    verdicts == [SignatureVerdict::Valid]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    #[test]
    fn only_the_signature_of_this_key_over_this_message_counts() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let key = SignerKey(secret.verifying_key().to_bytes());
        let signature = secret.sign(b"message").to_bytes();
        assert!(is_signed(key, b"message", &signature));
        assert!(!is_signed(key, b"massage", &signature));
        assert!(!is_signed(SignerKey([0; 32]), b"message", &signature));
        // A small-order key "signs" anything in the eyes of a careless verifier.
        assert!(!is_signed(SignerKey([0; 32]), b"message", &[0; 64]));
    }
}
