//! Plain words of the product: ids, money, assets, vouchers, time, digests.
//!
//! Owns what the words look like in memory and as bytes. Never holds a rule of business, never does
//! IO, never reads a clock.

mod asset;
mod digest;
mod ids;
mod money;
mod outcome;
mod time;
mod verdict;
mod voucher;

pub use asset::{AssetDef, AssetError, CODE_BYTES_MAX, SCALE_MAX, SettlementModel};
pub use digest::{BatchHasher, LINK_START, LegKeys, MerkleTree, RecordHasher, content_digest};
pub use ids::{
    AssetNumber, BatchId, ChannelId, Digest, HexError, Lsn, NetworkId, PartyId, SignerKey,
    WindowNumber,
};
pub use money::{Amount, MONEY_MAX, MoneyError, Net, Total};
pub use outcome::Outcome;
pub use time::Timestamp;
pub use verdict::Verdict;
pub use voucher::{
    ChannelHasher, MESSAGE_BYTES, Packed, SIGNATURE_BYTES, VOUCHER_BYTES, Voucher, message,
};
