//! Bundles: one signature over the totals of several channels of one signer.
//!
//! Written from the published format alone and checked against `tests/vectors/bundles.json`. Never
//! shares code with the engine: a mistake there must show up as a difference here.

use crate::voucher::{Fields, Network};

/// Most entries of a bundle.
pub const ENTRIES_MAX: usize = 64;
/// Bytes of a packed bundle before its entries: signer, then signature.
pub const HEAD_BYTES: usize = 96;
/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 60;
/// Bytes of the message that is signed.
pub const MESSAGE_BYTES: usize = 34;

const LEAF: &str = "tallystick 2026-11 bundle leaf v1";
const NODE: &str = "tallystick 2026-11 bundle node v1";
const BUNDLE: &str = "tallystick 2026-11 bundle v1";

/// Why there is no such bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBundle {
    /// Without an entry, or with too many.
    #[error("a bundle has 1 to 64 entries, not {0}: sign several")]
    Count(usize),
    /// Entries of more than one key.
    #[error("entry {0} is of another signer than the first: a bundle is of one signer")]
    Signer(usize),
}

/// What a signer signs for all of these at once.
///
/// # Errors
/// `NoBundle`.
pub fn message(network: &Network, entries: &[Fields]) -> Result<[u8; MESSAGE_BYTES], NoBundle> {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let first = entries.first().filter(|_| entries.len() <= ENTRIES_MAX);
    let signer = first.ok_or(NoBundle::Count(entries.len()))?.signer;
    if let Some(place) = entries.iter().position(|entry| entry.signer != signer) {
        return Err(NoBundle::Signer(place));
    }
    let mut level: Vec<[u8; 32]> = entries
        .iter()
        .map(|entry| derive(LEAF, &[&network.channel(entry), &entry.cumulative.to_le_bytes()]))
        .collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => derive(NODE, &[left, right]),
                // An odd one moves up unchanged.
                odd => odd[0],
            })
            .collect();
    }
    let bundle = derive(BUNDLE, &[&network.id(), &signer, &count.to_le_bytes(), &level[0]]);
    let mut message = [0; MESSAGE_BYTES];
    message[..2].copy_from_slice(&[0x56, 0x02]);
    message[2..].copy_from_slice(&bundle);
    Ok(message)
}

/// The packed form: `entries` as they were signed, in their order.
#[must_use]
pub fn pack(entries: &[Fields], signature: &[u8; 64]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES);
    if let Some(first) = entries.first() {
        packed.extend_from_slice(&first.signer);
        packed.extend_from_slice(signature);
    }
    for entry in entries {
        packed.extend_from_slice(&entry.payee);
        packed.extend_from_slice(&entry.asset.to_le_bytes());
        packed.extend_from_slice(&entry.lane.to_le_bytes());
        packed.extend_from_slice(&entry.expires_at.to_le_bytes());
        packed.extend_from_slice(&entry.cumulative.to_le_bytes());
    }
    packed
}

fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use serde_json::Value;

    fn hex<const N: usize>(value: &Value) -> [u8; N] {
        HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
        value.as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn every_bundle_vector_is_reproduced() {
        let text = include_str!("../../../tests/vectors/bundles.json");
        let file: Value = serde_json::from_str(text).unwrap();
        let network = Network::new(hex(&file["network_id"]));
        let cases = file["bundles"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        for case in cases {
            let fields = |entry: &Value| Fields {
                signer: hex(&case["signer"]),
                payee: hex(&entry["payee"]),
                asset: entry["asset"].as_u64().unwrap().try_into().unwrap(),
                lane: number(&entry["lane"]),
                expires_at: number(&entry["expires_at"]),
                cumulative: number(&entry["cumulative"]),
            };
            let entries: Vec<Fields> =
                case["entries"].as_array().unwrap().iter().map(fields).collect();
            assert_eq!(message(&network, &entries).unwrap(), hex(&case["message"]));
            let packed = pack(&entries, &hex(&case["signature"]));
            assert_eq!(HEXLOWER.encode(&packed), case["packed"]);
        }
    }

    #[test]
    fn what_is_no_bundle_is_told() {
        let network = Network::new([1; 32]);
        let entry = |signer: u8| Fields {
            signer: [signer; 32],
            payee: [2; 32],
            asset: 978,
            lane: 0,
            expires_at: 9,
            cumulative: 5,
        };
        assert_eq!(message(&network, &[]), Err(NoBundle::Count(0)));
        assert_eq!(message(&network, &vec![entry(1); 65]), Err(NoBundle::Count(65)));
        assert_eq!(message(&network, &[entry(1), entry(2)]), Err(NoBundle::Signer(1)));
        assert!(message(&network, &vec![entry(1); 64]).is_ok());
    }
}
