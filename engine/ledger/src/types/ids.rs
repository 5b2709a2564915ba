//! Identifiers. Owns their byte form and their hexadecimal text form, and nothing about their
//! meaning.

use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits, got {got:?}")]
pub struct HexError {
    /// How many digits the id has.
    pub expected: usize,
    /// The text that was given, cut to 80 characters.
    pub got: String,
}

/// The first and the last of all ids of 32 bytes that begin with these hexadecimal digits; `None`
/// when they are no digits, or too many.
#[must_use]
pub fn ids_named(digits: &str) -> Option<([u8; 32], [u8; 32])> {
    let filled = |with: u8| {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(&digits.bytes().chain(std::iter::repeat(with)).take(64).collect::<Vec<u8>>());
        bytes.ok()?.try_into().ok()
    };
    let known = digits.len() <= 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if known { filled(b'0').zip(filled(b'f')) } else { None }
}

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// All bytes zero.
            pub const ZERO: Self = Self([0; 32]);

            /// Reads an id from a slice; `None` unless it is exactly 32 bytes long.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                // Four words instead of a byte slice: no length prefix, no loop.
                for word in self.0.as_chunks::<8>().0 {
                    state.write_u64(u64::from_le_bytes(*word));
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 64];
                data_encoding::HEXLOWER.encode_mut(&self.0, &mut digits);
                f.write_str(str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = HexError;
            fn from_str(text: &str) -> Result<Self, HexError> {
                let bad = || HexError { expected: 64, got: text.chars().take(80).collect() };
                let bytes = data_encoding::HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .map_err(|_| bad())?;
                Self::from_slice(&bytes).ok_or_else(bad)
            }
        }
    };
}

id32!(
    /// A legal payer and/or payee. All zero is the clearing account and never a party.
    PartyId
);
id32!(
    /// The 32 bytes of an ed25519 public key that signs vouchers for one party.
    SignerKey
);
id32!(
    /// One payment stream: hash of (network, signer, payee, asset, lane, expiry).
    ChannelId
);
id32!(
    /// Names one deployment; vouchers are valid in one network only.
    NetworkId
);
id32!(
    /// Hash of a settlement batch's content: recomputing the batch gives the same id.
    BatchId
);
id32!(
    /// A BLAKE3 digest: a record's link, a window's root, the digest of a file.
    Digest
);

impl PartyId {
    /// The clearing account: the far end of every multilateral leg and of its carried dust.
    pub const CLEARING: Self = Self::ZERO;

    /// Which of `count` shards owns this party. Any choice gives the same results; this one spreads
    /// ids that differ in few bytes.
    #[must_use]
    pub fn shard(&self, count: u16) -> u16 {
        let mut mixed = 0u64;
        for word in self.0.as_chunks::<8>().0 {
            mixed = (mixed ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 32;
        }
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 32;
        u16::try_from(mixed % u64::from(count)).expect("a remainder is below its u16 divisor")
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            Archive, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Number of an asset, chosen by the operator, unique for ever.
    AssetNumber,
    u32
);
number!(
    /// Position of a record in the journal. The first record has 1; 0 means "none".
    Lsn,
    u64
);
number!(
    /// Number of a window. The first has 1.
    WindowNumber,
    u64
);

impl Lsn {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl WindowNumber {
    /// The window after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A key that is fit to sign, found so with its bytes: only such a one can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitKey(SignerKey);

impl FitKey {
    /// Of a key that was checked. For whoever checks keys, and nobody else.
    #[must_use]
    pub fn checked(key: SignerKey) -> Self {
        Self(key)
    }

    /// The key.
    #[must_use]
    pub fn key(self) -> SignerKey {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_text_and_bytes_are_the_same_id() {
        let id = PartyId(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(id.to_string().parse::<PartyId>().unwrap(), id);
        assert_eq!("ab".parse::<PartyId>().unwrap_err().expected, 64);
        assert!("zz".repeat(32).parse::<PartyId>().is_err());
    }

    #[test]
    fn parties_that_differ_in_their_last_byte_spread_over_the_shards() {
        let mut seen = [0u32; 4];
        for last in 0..=255u8 {
            let mut id = PartyId::ZERO;
            id.0[31] = last;
            seen[usize::from(id.shard(4))] += 1;
        }
        assert!(seen.iter().all(|&n| n > 32), "{seen:?}");
    }
}
