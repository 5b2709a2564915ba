//! The voucher's bytes as a client sees them: packing, channel id, signed message, outcomes.
//!
//! Written from the published format alone and checked against `tests/vectors/vouchers.json`. Never
//! shares code with the engine: a mistake there must show up as a difference here.

use data_encoding::HEXLOWER;

/// Bytes of one packed voucher.
pub const VOUCHER_BYTES: usize = 160;
/// Where the signature starts.
pub const SIGNATURE_AT: usize = 96;
/// Bytes of the message that is signed.
pub const MESSAGE_BYTES: usize = 50;

const CHANNEL_CONTEXT: &str = "tallystick 2026-11 channel v1";

/// A channel without its signer: it has one running total. Another expiry is another channel, which
/// starts at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel {
    /// Who is paid.
    pub payee: [u8; 32],
    /// Number of the asset.
    pub asset: u32,
    /// Unix seconds.
    pub expires_at: i64,
    /// Which of a signer's parallel channels to this payee.
    pub lane: u64,
}

impl Channel {
    /// What a voucher of this total says.
    #[must_use]
    pub fn fields(&self, signer: [u8; 32], cumulative: u64) -> Fields {
        let Self { payee, asset, expires_at, lane } = *self;
        Fields { signer, payee, asset, lane, expires_at, cumulative }
    }
}

/// What a voucher says; the signature stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Key that signs.
    pub signer: [u8; 32],
    /// Who is paid.
    pub payee: [u8; 32],
    /// Number of the asset.
    pub asset: u32,
    /// Which of the parallel channels of signer and payee.
    pub lane: u64,
    /// Unix seconds; part of the channel.
    pub expires_at: i64,
    /// The channel's running total, in asset units.
    pub cumulative: u64,
}

impl Fields {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let Self { payee, asset, expires_at, lane, .. } = *self;
        Channel { payee, asset, expires_at, lane }
    }

    /// Writes the packed form.
    pub fn pack(&self, signature: &[u8; 64], out: &mut [u8; VOUCHER_BYTES]) {
        out[..32].copy_from_slice(&self.signer);
        out[32..64].copy_from_slice(&self.payee);
        out[64..68].copy_from_slice(&self.asset.to_le_bytes());
        out[68..72].fill(0);
        out[72..80].copy_from_slice(&self.lane.to_le_bytes());
        out[80..88].copy_from_slice(&self.expires_at.to_le_bytes());
        out[88..96].copy_from_slice(&self.cumulative.to_le_bytes());
        out[96..].copy_from_slice(signature);
    }

    /// Reads the packed form; the signature is the last 64 bytes.
    #[must_use]
    pub fn unpack(packed: &[u8; VOUCHER_BYTES]) -> (Self, [u8; 64]) {
        fn at<const N: usize>(packed: &[u8; VOUCHER_BYTES], from: usize) -> [u8; N] {
            *packed[from..].first_chunk().expect("every field lies within the 160 bytes")
        }
        let fields = Self {
            signer: at(packed, 0),
            payee: at(packed, 32),
            asset: u32::from_le_bytes(at(packed, 64)),
            lane: u64::from_le_bytes(at(packed, 72)),
            expires_at: i64::from_le_bytes(at(packed, 80)),
            cumulative: u64::from_le_bytes(at(packed, 88)),
        };
        (fields, at(packed, SIGNATURE_AT))
    }
}

impl std::fmt::Display for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
        write!(
            f,
            "signer {}, payee {}, asset {}, lane {}, expires_at {}, cumulative {}",
            hex(&self.signer),
            hex(&self.payee),
            self.asset,
            self.lane,
            self.expires_at,
            self.cumulative
        )
    }
}

/// A signed voucher: the signer's word that the channel's total is now `cumulative`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// What it says.
    pub fields: Fields,
    /// R, then S.
    pub signature: [u8; 64],
}

impl Voucher {
    /// The packed form, as frames hold it.
    #[must_use]
    pub fn packed(&self) -> [u8; VOUCHER_BYTES] {
        let mut packed = [0; VOUCHER_BYTES];
        self.fields.pack(&self.signature, &mut packed);
        packed
    }

    /// From the packed form.
    #[must_use]
    pub fn unpack(packed: &[u8; VOUCHER_BYTES]) -> Self {
        let (fields, signature) = Fields::unpack(packed);
        Self { fields, signature }
    }

    /// As the payload of an x402 payment carries it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let of = &self.fields;
        serde_json::json!({
            "signer": HEXLOWER.encode(&of.signer),
            "payee": HEXLOWER.encode(&of.payee),
            "asset": of.asset,
            "lane": of.lane.to_string(),
            "expiresAt": of.expires_at,
            "cumulative": of.cumulative.to_string(),
            "signature": HEXLOWER.encode(&self.signature),
        })
    }
}

/// One network, whose id is part of every channel.
#[derive(Clone)]
pub struct Network {
    id: [u8; 32],
    /// A hasher that has read the context and the network id.
    start: blake3::Hasher,
}

impl Network {
    /// The network of that id.
    #[must_use]
    pub fn new(id: [u8; 32]) -> Self {
        let mut start = blake3::Hasher::new_derive_key(CHANNEL_CONTEXT);
        start.update(&id);
        Self { id, start }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Id of the voucher's channel.
    #[must_use]
    pub fn channel(&self, voucher: &Fields) -> [u8; 32] {
        let mut tail = [0; 84];
        tail[..32].copy_from_slice(&voucher.signer);
        tail[32..64].copy_from_slice(&voucher.payee);
        tail[64..68].copy_from_slice(&voucher.asset.to_le_bytes());
        tail[68..76].copy_from_slice(&voucher.lane.to_le_bytes());
        tail[76..].copy_from_slice(&voucher.expires_at.to_le_bytes());
        *self.start.clone().update(&tail).finalize().as_bytes()
    }

    /// What the signer signs.
    #[must_use]
    pub fn message(&self, voucher: &Fields) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        message[..2].copy_from_slice(&[0x56, 0x01]);
        message[2..34].copy_from_slice(&self.channel(voucher));
        message[34..42].copy_from_slice(&voucher.cumulative.to_le_bytes());
        message[42..].copy_from_slice(&voucher.expires_at.to_le_bytes());
        message
    }
}

/// What became of a voucher: a byte of an ack. An engine may know more of them than this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome(pub u8);

impl Outcome {
    /// It raised the channel's total.
    pub const CREDITED: Self = Self(outcome::CREDITED);
    /// The channel's total was already there.
    pub const STALE: Self = Self(outcome::STALE);
    /// The key is revoked. Says nothing of an earlier sending.
    pub const REVOKED_SIGNER: Self = Self(19);
    /// The channel has expired. Says nothing of an earlier sending.
    pub const EXPIRED: Self = Self(23);
    /// The payer or the payee is suspended. Says nothing of an earlier sending.
    pub const SUSPENDED_PARTY: Self = Self(27);

    /// Whether the engine holds the voucher's total, durably: this sending raised it, or an earlier
    /// one.
    #[must_use]
    pub fn is_held(self) -> bool {
        matches!(self, Self::CREDITED | Self::STALE)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&outcome::name(self.0))
    }
}

/// What became of a voucher: bytes of an ack.
pub mod outcome {
    /// Raised the channel's total.
    pub const CREDITED: u8 = 1;
    /// The channel's total was already there.
    pub const STALE: u8 = 2;
    /// The signature is not valid.
    pub const BAD_SIGNATURE: u8 = 17;
    /// The payer would owe more than its limit.
    pub const OVER_LIMIT: u8 = 26;

    /// The contract's word for an outcome byte.
    #[must_use]
    pub fn name(byte: u8) -> String {
        use tallystick_proto::v1::Outcome;
        match Outcome::try_from(i32::from(byte)) {
            Ok(known) => {
                known.as_str_name().trim_start_matches("OUTCOME_").to_lowercase().replace('_', " ")
            }
            Err(_) => format!("unknown outcome {byte}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::Value;

    fn bytes<const N: usize>(value: &Value) -> [u8; N] {
        HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
    }

    fn number<T: std::str::FromStr>(value: &Value) -> T
    where
        T::Err: std::fmt::Debug,
    {
        value.as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn every_vector_is_packed_hashed_and_signed_alike() {
        let text = include_str!("../../../tests/vectors/vouchers.json");
        let file: Value = serde_json::from_str(text).unwrap();
        assert_eq!(file["context"], CHANNEL_CONTEXT);
        let network = Network::new(bytes(&file["network_id"]));
        let cases = file["vouchers"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let fields = Fields {
                signer: bytes(&case["signer"]),
                payee: bytes(&case["payee"]),
                asset: case["asset"].as_u64().unwrap().try_into().unwrap(),
                lane: number(&case["lane"]),
                expires_at: number(&case["expires_at"]),
                cumulative: number(&case["cumulative"]),
            };
            assert_eq!(network.channel(&fields), bytes(&case["channel_id"]));
            let message = network.message(&fields);
            assert_eq!(message, bytes(&case["message"]));
            let key = SigningKey::from_bytes(&bytes(&case["signer_secret"]));
            let signature = key.sign(&message).to_bytes();
            assert_eq!(signature, bytes(&case["signature"]));
            let mut packed = [0xff; VOUCHER_BYTES];
            fields.pack(&signature, &mut packed);
            assert_eq!(packed, bytes(&case["packed"]));
            assert_eq!(Fields::unpack(&packed), (fields, signature));
        }
    }

    #[test]
    fn outcomes_have_the_numbers_of_the_contract() {
        use tallystick_proto::v1::Outcome;
        let pairs = [
            (outcome::CREDITED, Outcome::Credited),
            (outcome::STALE, Outcome::Stale),
            (outcome::BAD_SIGNATURE, Outcome::BadSignature),
            (outcome::OVER_LIMIT, Outcome::OverLimit),
            (super::Outcome::REVOKED_SIGNER.0, Outcome::RevokedSigner),
            (super::Outcome::EXPIRED.0, Outcome::Expired),
            (super::Outcome::SUSPENDED_PARTY.0, Outcome::SuspendedParty),
        ];
        for (byte, known) in pairs {
            assert_eq!(i32::from(byte), known as i32);
        }
        assert_eq!(outcome::name(17), "bad signature");
        assert_eq!(outcome::name(99), "unknown outcome 99");
    }
}
