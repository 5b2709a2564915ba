//! The form of an API key: a prefix by which people and programs that look for leaked secrets
//! recognise it, 32 random bytes, and a checksum, so that a cut-off or mistyped one is told from a
//! wrong one. Owns the form; never makes the random bytes, and keeps none.

use data_encoding::BASE32_NOPAD;

/// How every key begins.
pub const API_KEY_PREFIX: &str = "tsk_";
const SECRET_BYTES: usize = 32;
const CHECK_BYTES: usize = 4;
const CHECK_CONTEXT: &str = "tallystick 2026-11 api key check v1";

/// Why a text is no API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAKey {
    /// It begins otherwise.
    OfAnotherForm,
    /// It begins as one, and its checksum does not fit.
    Mistyped,
}

/// The form of an API key.
#[derive(Debug, Clone, Copy)]
pub struct ApiKey;

impl ApiKey {
    /// The key of this secret: `tsk_` and 58 small letters and digits.
    #[must_use]
    pub fn text(secret: &[u8; SECRET_BYTES]) -> String {
        let bytes = [&secret[..], &check(secret)].concat();
        format!("{API_KEY_PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// Whether a text is one.
    ///
    /// # Errors
    /// `NotAKey`.
    pub fn check(text: &str) -> Result<(), NotAKey> {
        let rest = text.strip_prefix(API_KEY_PREFIX).ok_or(NotAKey::OfAnotherForm)?;
        if rest.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NotAKey::Mistyped);
        }
        let bytes = BASE32_NOPAD.decode(rest.to_ascii_uppercase().as_bytes());
        let bytes = bytes.map_err(|_| NotAKey::Mistyped)?;
        let whole: [u8; SECRET_BYTES + CHECK_BYTES] =
            bytes.try_into().map_err(|_| NotAKey::Mistyped)?;
        let (secret, sum) = whole.split_at(SECRET_BYTES);
        match check(secret) == sum {
            true => Ok(()),
            false => Err(NotAKey::Mistyped),
        }
    }
}

fn check(secret: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::derive_key(CHECK_CONTEXT, secret);
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_and_a_changed_one_is_told_from_it() {
        let key = ApiKey::text(&[7; 32]);
        assert_eq!(key.len(), 62, "{key}");
        let plain = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
        assert!(key.strip_prefix("tsk_").is_some_and(|rest| rest.chars().all(plain)), "{key}");
        assert_eq!(ApiKey::check(&key), Ok(()));
        for place in API_KEY_PREFIX.len()..key.len() {
            let mut changed = key.clone().into_bytes();
            changed[place] = if changed[place] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(ApiKey::check(&changed), Err(NotAKey::Mistyped), "{changed}");
        }
        for cut in [&key[..key.len() - 1], "tsk_", &key.to_ascii_uppercase().replace("TSK", "tsk")]
        {
            assert_eq!(ApiKey::check(cut), Err(NotAKey::Mistyped), "{cut}");
        }
        assert_eq!(ApiKey::check("5d41402abc4b2a76"), Err(NotAKey::OfAnotherForm));
    }
}
