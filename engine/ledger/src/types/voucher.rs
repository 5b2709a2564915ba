//! The voucher's bytes: the packed wire form, the channel id and the signed message.
//!
//! Owns the layout of DESIGN section 2, copied into `docs/FORMATS.md`. Knows no rule: whether a
//! voucher counts is the ledger's business, whether its signature is valid the verifier's.

use super::digest::Context;
use super::{Amount, AssetNumber, ChannelId, NetworkId, PartyId, SignerKey};

/// Bytes of one packed voucher.
pub const VOUCHER_BYTES: usize = 160;
/// Bytes of an ed25519 signature, R then S.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of the message that is signed.
pub const MESSAGE_BYTES: usize = 50;

const CHANNEL_CONTEXT: &str = "tallystick 2026-11 channel v1";

/// A packed voucher, read in place.
#[derive(Clone, Copy)]
pub struct Packed<'a>(pub &'a [u8; VOUCHER_BYTES]);

/// A voucher's fields, for whoever makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// Key that signs.
    pub signer: SignerKey,
    /// Who is paid.
    pub payee: PartyId,
    /// What is owed.
    pub asset: AssetNumber,
    /// Which of the signer's parallel channels to this payee.
    pub lane: u64,
    /// Unix seconds; part of the channel.
    pub expires_at: i64,
    /// The channel's running total, in asset units.
    pub cumulative: Amount,
    /// R then S.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Packed<'a> {
    fn at<const N: usize>(self, offset: usize) -> &'a [u8; N] {
        self.0[offset..].first_chunk().expect("fields lie within the 160 bytes")
    }

    /// Reads the packed vouchers of a frame; the second part is what is left of a misaligned one.
    pub fn split(frame: &'a [u8]) -> (impl ExactSizeIterator<Item = Self>, &'a [u8]) {
        let (vouchers, rest) = frame.as_chunks::<VOUCHER_BYTES>();
        (vouchers.iter().map(Packed), rest)
    }

    /// Key that signs.
    #[must_use]
    pub fn signer(self) -> SignerKey {
        SignerKey(*self.at(0))
    }

    /// Who is paid.
    #[must_use]
    pub fn payee(self) -> PartyId {
        PartyId(*self.at(32))
    }

    /// What is owed.
    #[must_use]
    pub fn asset(self) -> AssetNumber {
        AssetNumber(u32::from_le_bytes(*self.at(64)))
    }

    /// Whether the reserved bytes are zero, as they must be.
    #[must_use]
    pub fn reserved_is_zero(self) -> bool {
        *self.at::<4>(68) == [0; 4]
    }

    /// Which of the signer's parallel channels to this payee.
    #[must_use]
    pub fn lane(self) -> u64 {
        u64::from_le_bytes(*self.at(72))
    }

    /// Unix seconds; part of the channel.
    #[must_use]
    pub fn expires_at(self) -> i64 {
        i64::from_le_bytes(*self.at(80))
    }

    /// The channel's running total, in asset units.
    #[must_use]
    pub fn cumulative(self) -> Amount {
        Amount(u64::from_le_bytes(*self.at(88)))
    }

    /// R then S.
    #[must_use]
    pub fn signature(self) -> &'a [u8; SIGNATURE_BYTES] {
        self.at(96)
    }

    /// The fields, copied out.
    #[must_use]
    pub fn unpack(self) -> Voucher {
        Voucher {
            signer: self.signer(),
            payee: self.payee(),
            asset: self.asset(),
            lane: self.lane(),
            expires_at: self.expires_at(),
            cumulative: self.cumulative(),
            signature: *self.signature(),
        }
    }
}

impl Voucher {
    /// The packed wire form.
    #[must_use]
    pub fn pack(&self) -> [u8; VOUCHER_BYTES] {
        let mut out = [0; VOUCHER_BYTES];
        out[..32].copy_from_slice(&self.signer.0);
        out[32..64].copy_from_slice(&self.payee.0);
        out[64..68].copy_from_slice(&self.asset.0.to_le_bytes());
        out[72..80].copy_from_slice(&self.lane.to_le_bytes());
        out[80..88].copy_from_slice(&self.expires_at.to_le_bytes());
        out[88..96].copy_from_slice(&self.cumulative.0.to_le_bytes());
        out[96..].copy_from_slice(&self.signature);
        out
    }
}

/// Derives the channel ids of one network. Holds the derived context key, so that one id costs one
/// short hash and not two.
#[derive(Clone)]
pub struct ChannelHasher {
    context: Context,
    network: NetworkId,
}

impl ChannelHasher {
    /// For the vouchers of `network`.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        Self { context: Context::new(CHANNEL_CONTEXT), network }
    }

    /// The network whose channels these are.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The channel of one voucher.
    #[must_use]
    pub fn channel(&self, voucher: Packed<'_>) -> ChannelId {
        ChannelId(self.context.hash(&[&self.preimage(voucher)]).0)
    }

    /// The channel of each voucher, in their order: in less time than one by one.
    #[must_use]
    pub fn channels<'a>(&self, vouchers: impl Iterator<Item = Packed<'a>>) -> Vec<ChannelId> {
        let preimages: Vec<_> = vouchers.map(|voucher| self.preimage(voucher)).collect();
        let mut digests = Vec::new();
        self.context.hash_all(&preimages, &mut digests);
        digests.into_iter().map(ChannelId).collect()
    }

    /// network || signer || payee || asset || lane || expires_at: the voucher's own bytes with the
    /// reserved field left out.
    fn preimage(&self, voucher: Packed<'_>) -> [u8; 116] {
        let mut preimage = [0; 116];
        preimage[..32].copy_from_slice(&self.network.0);
        preimage[32..100].copy_from_slice(&voucher.0[..68]);
        preimage[100..].copy_from_slice(&voucher.0[72..88]);
        preimage
    }

    /// The channel of (signer, payee, asset, lane, expires_at).
    #[must_use]
    pub fn channel_of(
        &self,
        signer: SignerKey,
        payee: PartyId,
        asset: AssetNumber,
        lane: u64,
        expires_at: i64,
    ) -> ChannelId {
        let cumulative = Amount(0);
        let signature = [0; SIGNATURE_BYTES];
        let voucher = Voucher { signer, payee, asset, lane, expires_at, cumulative, signature };
        self.channel(Packed(&voucher.pack()))
    }
}

/// The 50 bytes that a signer signs: `0x56 0x01 || channel_id || cumulative || expires_at`.
#[must_use]
pub fn message(channel: ChannelId, cumulative: Amount, expires_at: i64) -> [u8; MESSAGE_BYTES] {
    let mut out = [0; MESSAGE_BYTES];
    out[0] = 0x56;
    out[1] = 0x01;
    out[2..34].copy_from_slice(&channel.0);
    out[34..42].copy_from_slice(&cumulative.0.to_le_bytes());
    out[42..].copy_from_slice(&expires_at.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn hex(value: &Value) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
    }

    /// The vectors come from an independent program (Python: blake3, cryptography).
    #[test]
    fn every_voucher_vector_is_reproduced() {
        let text = include_str!("../../../../tests/vectors/vouchers.json");
        let file: Value = serde_json::from_str(text).unwrap();
        assert_eq!(file["context"], CHANNEL_CONTEXT);
        let network = NetworkId::from_slice(&hex(&file["network_id"])).unwrap();
        let hasher = ChannelHasher::new(network);
        let cases = file["vouchers"].as_array().unwrap();
        assert_eq!(cases.len(), 8);
        for case in cases {
            let packed: [u8; VOUCHER_BYTES] = hex(&case["packed"]).try_into().unwrap();
            let voucher = Packed(&packed);
            let number = |name: &str| case[name].as_str().unwrap().to_owned();
            assert_eq!(voucher.signer().0.to_vec(), hex(&case["signer"]));
            assert_eq!(voucher.payee().0.to_vec(), hex(&case["payee"]));
            assert_eq!(u64::from(voucher.asset().0), case["asset"].as_u64().unwrap());
            assert_eq!(voucher.lane().to_string(), number("lane"));
            assert_eq!(voucher.expires_at().to_string(), number("expires_at"));
            assert_eq!(voucher.cumulative().to_string(), number("cumulative"));
            assert!(voucher.reserved_is_zero());
            assert_eq!(voucher.unpack().pack(), packed);
            let channel = hasher.channel(voucher);
            assert_eq!(channel.0.to_vec(), hex(&case["channel_id"]));
            let message = message(channel, voucher.cumulative(), voucher.expires_at());
            assert_eq!(message.to_vec(), hex(&case["message"]));
            assert_eq!(voucher.signature().to_vec(), hex(&case["signature"]));
        }
    }

    #[test]
    fn reserved_bytes_are_seen() {
        let mut bytes = [0; VOUCHER_BYTES];
        for i in 68..72 {
            bytes[i] = 1;
            assert!(!Packed(&bytes).reserved_is_zero());
            bytes[i] = 0;
        }
    }

    #[test]
    fn a_misaligned_frame_leaves_its_rest() {
        let bytes = [0; VOUCHER_BYTES * 2 + 1];
        let (vouchers, rest) = Packed::split(&bytes);
        assert_eq!((vouchers.len(), rest.len()), (2, 1));
    }
}
