//! How a text is sealed (`docs/FORMATS.md`, "What is sealed"). Pure: the same key, field and text
//! give the same bytes, and bytes of one field open as no other.
//!
//! XChaCha20-Poly1305. The nonce is a keyed hash of what is sealed, so two texts under one nonce
//! would be a collision of BLAKE3; what it shows is that the same text was sealed before.

use crate::ledger::SealedText;
use crate::types::{PartyId, SignerKey};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const CIPHER_CONTEXT: &str = "tallystick 2026-11 party cipher key v1";
const NONCE_CONTEXT: &str = "tallystick 2026-11 party nonce key v1";
const SHARED_CONTEXT: &str = "tallystick 2026-11 shared call key v1";

const NONCE_BYTES: usize = 24;
/// Stands before what is blinded; what a nonce is made of begins with the length of a field, which
/// is less.
const BLINDED: u8 = 0xff;
const BLIND_BYTES: usize = 16;

/// A key that nobody sees.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// What is sealed, and of whom: part of what the tag covers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field<'a> {
    /// A party's name.
    Name(PartyId),
    /// A party's account on the rail of this name.
    Account(PartyId, &'a str),
    /// The account that a leg's money leaves, as the rail of this name compares it.
    Leaves(PartyId, &'a str),
    /// The bytes of a call, which these bytes name.
    Call(&'a [u8]),
    /// A party's own key, under the root key, and its number among the party's keys.
    PartyKey(PartyId, u32),
    /// The secret half of this key, under the root key.
    EngineKey(SignerKey),
    /// Where a party is told over HTTP.
    HookUrl(PartyId),
    /// What signs that.
    HookSecret(PartyId),
}

impl Field<'_> {
    fn bytes(self) -> Vec<u8> {
        let of = |kind: u8, party: PartyId, rest: &[u8]| [&[kind], &party.0[..], rest].concat();
        match self {
            Self::Name(party) => of(1, party, &[]),
            Self::Account(party, rail) => of(2, party, rail.as_bytes()),
            Self::Leaves(party, rail) => of(3, party, rail.as_bytes()),
            Self::Call(name) => [&[4], name].concat(),
            Self::PartyKey(party, generation) => of(5, party, &generation.to_le_bytes()),
            Self::EngineKey(key) => [&[6], &key.0[..]].concat(),
            Self::HookUrl(party) => of(7, party, &[]),
            Self::HookSecret(party) => of(8, party, &[]),
        }
    }
}

/// Seals under one key.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    nonces: Secret,
}

impl Seal {
    pub fn new(key: &Secret) -> Self {
        let cipher = Zeroizing::new(blake3::derive_key(CIPHER_CONTEXT, &**key));
        let nonces = Zeroizing::new(blake3::derive_key(NONCE_CONTEXT, &**key));
        Self { cipher: XChaCha20Poly1305::new(&Key::from(*cipher)), nonces }
    }

    /// Of all of these keys together: without one of them nothing is opened.
    pub fn shared<'a>(keys: impl Iterator<Item = &'a Secret>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(SHARED_CONTEXT);
        keys.for_each(|key| {
            hasher.update(&**key);
        });
        Self::new(&Zeroizing::new(*hasher.finalize().as_bytes()))
    }

    pub fn seal(&self, field: Field<'_>, text: &[u8]) -> SealedText {
        let about = field.bytes();
        let length = u64::try_from(about.len()).expect("a length fits 64 bits");
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(&length.to_le_bytes()).update(&about).update(text);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_BYTES]);
        let payload = Payload { msg: text, aad: &about };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a text is far shorter than what the cipher takes");
        SealedText::new([&nonce[..], &sealed].concat())
    }

    /// A keyed hash of a text: the same for the same text, and no use to who has not the key.
    pub fn blind(&self, text: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(&[BLINDED]).update(text.as_bytes());
        data_encoding::HEXLOWER.encode(&hasher.finalize().as_bytes()[..BLIND_BYTES])
    }

    /// `None` when it was not sealed so: under another key, as another field, or it has changed.
    pub fn open(&self, field: Field<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: &field.bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

/// The fields of an account as they are sealed: of each its name, then its value, each with its
/// length (u32) before it.
pub(super) fn fields_bytes(fields: &[(String, String)]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    for text in fields.iter().flat_map(|(name, value)| [name, value]) {
        let length = u32::try_from(text.len()).expect("texts are bounded");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The same, read back.
pub(super) fn fields_of(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (name, rest) = text_of(bytes)?;
        let (value, rest) = text_of(rest)?;
        fields.push((name, value));
        bytes = rest;
    }
    Some(fields)
}

fn text_of(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEAL_BYTES;
    use data_encoding::HEXLOWER;

    const ANN: PartyId = PartyId([1; 32]);
    const BOB: PartyId = PartyId([2; 32]);

    fn seal(byte: u8) -> Seal {
        Seal::new(&Zeroizing::new([byte; 32]))
    }

    #[test]
    fn what_is_sealed_opens_under_its_own_key_as_its_own_field_and_not_otherwise() {
        let own = seal(7);
        let sealed = own.seal(Field::Account(ANN, "evm"), b"0xabc");
        assert_eq!(sealed.bytes().len(), 5 + SEAL_BYTES);
        let open = |seal: &Seal, field, bytes: &[u8]| seal.open(field, bytes).map(|t| t.to_vec());
        let account = Field::Account(ANN, "evm");
        assert_eq!(open(&own, account, sealed.bytes()), Some(b"0xabc".to_vec()));
        for field in [
            Field::Account(BOB, "evm"),
            Field::Account(ANN, "card"),
            Field::Leaves(ANN, "evm"),
            Field::Name(ANN),
            Field::PartyKey(ANN, 0),
        ] {
            assert_eq!(open(&own, field, sealed.bytes()), None, "{field:?}");
        }
        assert_eq!(open(&seal(8), account, sealed.bytes()), None);
        for place in 0..sealed.bytes().len() {
            let mut changed = sealed.bytes().to_vec();
            changed[place] ^= 1;
            assert_eq!(open(&own, account, &changed), None, "byte {place}");
            assert_eq!(open(&own, account, &sealed.bytes()[..place]), None, "cut at {place}");
        }
    }

    #[test]
    fn the_same_text_gives_the_same_bytes_and_of_another_field_others() {
        let own = seal(7);
        let name = |party, text: &str| own.seal(Field::Name(party), text.as_bytes());
        assert_eq!(name(ANN, "Müller"), name(ANN, "Müller"));
        assert_ne!(name(ANN, "Müller"), name(BOB, "Müller"));
        let nonce = |sealed: &SealedText| sealed.bytes()[..NONCE_BYTES].to_vec();
        assert_ne!(nonce(&name(ANN, "a")), nonce(&name(ANN, "b")));
        assert_ne!(nonce(&name(ANN, "a")), nonce(&own.seal(Field::Leaves(ANN, ""), b"a")));
    }

    #[test]
    fn a_call_of_two_parties_opens_with_both_keys_only() {
        let [ann, bob] = [1, 2].map(|byte| Zeroizing::new([byte; 32]));
        let sealed = Seal::shared([&ann, &bob].into_iter()).seal(Field::Call(b"n"), b"call");
        let opens = |keys: &[&Secret]| {
            let shared = Seal::shared(keys.iter().copied());
            shared.open(Field::Call(b"n"), sealed.bytes()).is_some()
        };
        assert!(opens(&[&ann, &bob]));
        assert!(!opens(&[&ann]) && !opens(&[&bob]) && !opens(&[&bob, &ann]) && !opens(&[]));
    }

    #[test]
    fn fields_are_read_back_and_what_is_none_is_not_guessed_at() {
        let fields =
            vec![("iban".to_owned(), "DE02".to_owned()), ("bic".to_owned(), String::new())];
        let bytes = fields_bytes(&fields);
        assert_eq!(fields_of(&bytes), Some(fields));
        let first = 4 + 4 + 4 + 4;
        for length in (1..bytes.len()).filter(|length| *length != first) {
            assert_eq!(fields_of(&bytes[..length]), None, "cut at {length}");
        }
        assert_eq!(fields_of(&[]), Some(Vec::new()));
    }

    /// Made by another program: `tests/vectors/sealed.py`.
    #[test]
    fn what_another_program_sealed_is_what_this_one_seals() {
        let text = include_str!("../../../tests/vectors/sealed.json");
        let cases: serde_json::Value = serde_json::from_str(text).unwrap();
        let hex = |value: &serde_json::Value| {
            HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
        };
        let id = |value: &serde_json::Value| <[u8; 32]>::try_from(hex(value)).unwrap();
        for case in cases.as_array().unwrap() {
            let keys: Vec<Secret> = case["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| Zeroizing::new(id(key)))
                .collect();
            let about = case["about"].as_str().unwrap();
            let seal = match about {
                "call" => Seal::shared(keys.iter()),
                _ => Seal::new(&keys[0]),
            };
            let party = PartyId(id(&case["party"]));
            let (rail, call) = (case["rail"].as_str().unwrap(), hex(&case["call"]));
            let field = match about {
                "name" => Field::Name(party),
                "account" => Field::Account(party, rail),
                "leaves" => Field::Leaves(party, rail),
                "call" => Field::Call(&call),
                _ => Field::PartyKey(party, 3),
            };
            let sealed = seal.seal(field, &hex(&case["text"]));
            assert_eq!(HEXLOWER.encode(sealed.bytes()), case["sealed"].as_str().unwrap());
        }
    }
}
