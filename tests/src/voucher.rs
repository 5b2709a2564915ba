//! The voucher's bytes, written anew from the documents: a mistake in the engine's own code cannot
//! hide behind the same mistake here. (And the engine's library, with all of RocksDB, need not be
//! linked into every test.) Knows no rule.

use std::fmt;

/// Bytes of one packed voucher.
pub const VOUCHER_BYTES: usize = 160;

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }
    };
}

id32!(
    /// A party.
    PartyId
);
id32!(
    /// An ed25519 public key.
    SignerKey
);
id32!(
    /// A deployment.
    NetworkId
);

/// A voucher's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// Key that signs.
    pub signer: SignerKey,
    /// Who is paid.
    pub payee: PartyId,
    /// What is owed.
    pub asset: u32,
    /// Which of the signer's channels to this payee.
    pub lane: u64,
    /// Unix seconds.
    pub expires_at: i64,
    /// The channel's running total.
    pub cumulative: u64,
    /// R then S.
    pub signature: [u8; 64],
}

impl Voucher {
    /// The packed wire form.
    #[must_use]
    pub fn pack(&self) -> [u8; VOUCHER_BYTES] {
        let parts: [&[u8]; 8] = [
            &self.signer.0,
            &self.payee.0,
            &self.asset.to_le_bytes(),
            &[0; 4],
            &self.lane.to_le_bytes(),
            &self.expires_at.to_le_bytes(),
            &self.cumulative.to_le_bytes(),
            &self.signature,
        ];
        parts.concat().try_into().expect("the fields are 160 bytes")
    }

    /// The 50 bytes that are signed.
    #[must_use]
    pub fn message(&self, network: NetworkId) -> Vec<u8> {
        let mut channel = blake3::Hasher::new_derive_key("tallystick 2026-11 channel v1");
        channel.update(&network.0).update(&self.signer.0).update(&self.payee.0);
        channel.update(&self.asset.to_le_bytes()).update(&self.lane.to_le_bytes());
        channel.update(&self.expires_at.to_le_bytes());
        let channel = channel.finalize();
        let (cumulative, expires_at) =
            (self.cumulative.to_le_bytes(), self.expires_at.to_le_bytes());
        [&[0x56, 0x01], &channel.as_bytes()[..], &cumulative, &expires_at].concat()
    }
}
